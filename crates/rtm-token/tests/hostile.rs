//! Tokens that were damaged or forged: refused with a reason, without a panic, in bounded memory.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

mod support;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use rtm_token::{
    Builder, MAX_CONTENT_LENGTH, MAX_TOKEN_LENGTH, Policy, TokenError, TokenErrorKind, Verified, Version, explain,
    verify,
};
use support::{
    APP_ID, CERTIFICATE, certificate, content_006, content_007, content_007_of, lp, rtm_service, text_006, text_007,
    token_006, token_007,
};

const NOW: u32 = 1_700_000_000;

fn check(token: &str) -> Result<Verified, TokenError> {
    let certificates = [certificate(CERTIFICATE)];
    verify(token, APP_ID, &certificates, "alice", NOW.into(), &Policy::new())
}

fn refused(token: &str) -> TokenError {
    check(token).unwrap_err()
}

/// A token of each version that holds.
fn tokens() -> [String; 2] {
    let signer = certificate(CERTIFICATE);
    [Version::V006, Version::V007].map(|version| {
        let builder = Builder::new(APP_ID, &signer, "alice", NOW.into(), 0x0123_4567);
        let token = builder.version(version).build().unwrap();
        check(&token).unwrap();
        token
    })
}

/// `bytes` with each of its bits changed in turn.
fn flips(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..bytes.len() * 8).map(|bit| {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    })
}

#[test]
fn every_bit_of_the_content_is_protected() {
    let [v006, v007] = tokens();
    for content in flips(&content_006(&v006)) {
        assert_eq!(refused(&text_006(&content)).kind(), TokenErrorKind::Invalid);
    }
    for content in flips(&content_007(&v007)) {
        assert_eq!(refused(&text_007(&content)).kind(), TokenErrorKind::Invalid);
    }
}

#[test]
fn every_bit_of_the_text_is_protected() {
    let [v006, v007] = tokens();
    // A token is text, so the eighth bit of a character cannot be flipped alone.
    let texts = |token: &str| {
        let texts: Vec<_> = flips(token.as_bytes()).filter_map(|text| String::from_utf8(text).ok()).collect();
        assert_eq!(texts.len(), token.len() * 7);
        texts
    };
    for text in texts(&v006) {
        assert_eq!(refused(&text).kind(), TokenErrorKind::Invalid, "{text}");
    }
    let content = content_007(&v007);
    let mut same_content = 0;
    for text in texts(&v007) {
        match check(&text) {
            Err(error) => assert_eq!(error.kind(), TokenErrorKind::Invalid, "{text}"),
            // Deflate ignores the bits that fill up its last byte; nothing signed has changed.
            Ok(_) => {
                assert_eq!(content_007(&text), content, "{text}");
                same_content += 1;
            }
        }
    }
    assert!(same_content < 8, "{same_content}");
}

#[test]
fn every_truncation_is_refused() {
    for token in tokens() {
        let unpadded = token.trim_end_matches('=');
        for length in 0..unpadded.len() {
            assert_eq!(refused(&token[..length]).kind(), TokenErrorKind::Invalid, "{length}");
            assert!(explain(&token[..length]).is_err(), "{length}");
        }
        // Padding says nothing, and often gets lost.
        assert_eq!(check(unpadded), check(&token));
    }
}

#[test]
fn every_truncation_of_the_content_is_refused() {
    let [v006, v007] = tokens();
    let content = content_006(&v006);
    for length in 0..content.len() {
        let error = refused(&text_006(&content[..length]));
        assert!(matches!(error, TokenError::Truncated { .. }), "{length}: {error}");
    }
    let content = content_007(&v007);
    for length in 0..content.len() {
        let text = text_007(&content[..length]);
        assert_eq!(refused(&text).kind(), TokenErrorKind::Invalid, "{length}");
        let error = explain(&text).unwrap_err();
        assert!(matches!(error, TokenError::Truncated { .. }), "{length}: {error}");
    }
}

#[test]
fn signed_services_may_end_too_early() {
    let services = rtm_service("alice", &[(1, 60)]);
    for length in 0..services.len() {
        let error = refused(&token_007(NOW, 60, 1, 1, &services[..length]));
        assert!(matches!(error, TokenError::Truncated { .. }), "{length}: {error}");
    }
}

#[test]
fn nothing_may_follow() {
    let [v006, v007] = tokens();
    let longer = [&content_006(&v006)[..], &[0, 0]].concat();
    assert_eq!(refused(&text_006(&longer)), TokenError::TrailingBytes { count: 2 });

    // Behind the zlib stream, where the signature does not reach.
    let mut compressed = STANDARD.decode(&v007[3..]).unwrap();
    compressed.push(0);
    let token = format!("007{}", STANDARD.encode(compressed));
    assert_eq!(refused(&token), TokenError::TrailingBytes { count: 1 });

    let services = [&rtm_service("alice", &[(1, 60)])[..], &[0, 0, 0]].concat();
    assert_eq!(refused(&token_007(NOW, 60, 1, 1, &services)), TokenError::TrailingBytes { count: 3 });
    for token in tokens() {
        for tail in ["A", "AAAA", "=", "\n", " "] {
            refused(&format!("{token}{tail}"));
        }
    }
}

#[test]
fn what_is_wrong_is_named() {
    let [v006, _] = tokens();
    assert_eq!(refused(""), TokenError::Missing);
    for text in ["0", "00", "008", "005970CA", "ÿÿ", "null", " 006"] {
        assert_eq!(refused(text), TokenError::BadPrefix, "{text}");
        assert_eq!(explain(text).unwrap_err(), TokenError::BadPrefix);
    }
    assert_eq!(refused("006970CA"), TokenError::Truncated { field: "App ID" });
    assert_eq!(refused(&format!("006{}", "é".repeat(40))), TokenError::BadAppId);
    assert_eq!(refused(&format!("006{}\n{}", &APP_ID[..31], &v006[35..])), TokenError::BadAppId);
    assert_eq!(refused(&format!("006{APP_ID}!!!!")), TokenError::BadBase64);
    assert_eq!(refused("007!!!!"), TokenError::BadBase64);
    assert_eq!(refused("007AAAA"), TokenError::BadCompression);
    assert_eq!(refused(&text_007(&[])), TokenError::Truncated { field: "signature" });
    for length in [0, 20, 31, 33, u16::MAX] {
        let content = [&length.to_le_bytes()[..], &[0; 64]].concat();
        assert_eq!(refused(&text_006(&content)), TokenError::SignatureLength { length });
        assert_eq!(refused(&text_007(&content)), TokenError::SignatureLength { length });
    }
    let strange_app_id = [lp(&[0; 32]), lp(b"970CA35de60c44645bbae8a215061b3"), vec![0; 14]].concat();
    assert_eq!(refused(&text_007(&strange_app_id)), TokenError::BadAppId);
    let not_utf8 = [2, 0, 0, 0, 1, 0, 0xff];
    assert_eq!(refused(&token_007(NOW, 60, 1, 1, &not_utf8)), TokenError::NotUtf8 { field: "user id" });
}

#[test]
fn url_safe_base64_is_another_alphabet() {
    let plain = (0..)
        .map(|salt| token_006("alice", "", salt, NOW + 60, &[(1000, 0)]))
        .find(|token| token.contains('+'))
        .unwrap();
    assert!(check(&plain).is_ok());
    assert_eq!(refused(&plain.replace('+', "-")), TokenError::BadBase64);
}

#[test]
fn errors_do_not_show_the_token() {
    for token in tokens() {
        let changed = format!("{}AAAA", token.trim_end_matches('='));
        let error = refused(&changed);
        let text = format!("{error} {error:?}");
        assert!(!text.contains(&token[3..11]) && !text.contains(&token[40..48]), "{text}");
    }
}

#[test]
fn long_texts_are_not_decoded() {
    for prefix in ["006", "007", "xyz"] {
        let length = MAX_TOKEN_LENGTH + 1;
        let text = format!("{prefix}{}", "A".repeat(length - 3));
        assert_eq!(refused(&text), TokenError::TooLong { length });
        assert_ne!(refused(&text[1..]), TokenError::TooLong { length });
    }
}

/// A signed 007 token whose content has `length` bytes, most of them in a service nobody knows.
fn padded(length: usize) -> String {
    let rtm = rtm_service("alice", &[(1, 60)]);
    let bare = content_007_of(NOW, 60, 1, 2, &rtm).len();
    let unknown = [&0xabcd_u16.to_le_bytes()[..], &vec![0; length - bare - 2]].concat();
    let content = content_007_of(NOW, 60, 1, 2, &[rtm, unknown].concat());
    assert_eq!(content.len(), length);
    text_007(&content)
}

#[test]
fn inflating_stops_at_the_limit() {
    for length in [1023, 1024, 1025, 32_768, 32_769, MAX_CONTENT_LENGTH - 1, MAX_CONTENT_LENGTH] {
        assert!(check(&padded(length)).is_ok(), "{length}");
    }
    for length in [MAX_CONTENT_LENGTH + 1, 2 * MAX_CONTENT_LENGTH] {
        assert_eq!(refused(&padded(length)), TokenError::InflatesTooFar);
    }
    // The largest bomb that fits into the longest token, a thousand times its size.
    let bomb = text_007(&vec![0; 11 << 20]);
    assert!((MAX_TOKEN_LENGTH / 2..=MAX_TOKEN_LENGTH).contains(&bomb.len()), "{}", bomb.len());
    assert_eq!(refused(&bomb), TokenError::InflatesTooFar);
    assert_eq!(explain(&bomb).unwrap_err(), TokenError::InflatesTooFar);
}

#[test]
fn compressed_content_must_be_whole_and_unharmed() {
    let [_, v007] = tokens();
    let compressed = STANDARD.decode(&v007[3..]).unwrap();
    for length in 0..compressed.len() {
        let token = format!("007{}", STANDARD.encode(&compressed[..length]));
        let error = refused(&token);
        assert_eq!(error, TokenError::Truncated { field: "zlib stream" }, "{length}");
    }
    let mut checksum = compressed.clone();
    *checksum.last_mut().unwrap() ^= 1;
    let token = format!("007{}", STANDARD.encode(checksum));
    assert_eq!(refused(&token), TokenError::BadCompression);
    // Raw deflate, without the zlib head and checksum.
    let raw = &compressed[2..compressed.len() - 4];
    check(&format!("007{}", STANDARD.encode(raw))).unwrap_err();
}

#[test]
fn lengths_and_counts_that_lie() {
    let huge = u16::MAX.to_le_bytes();
    let [v006, _] = tokens();
    let mut content = content_006(&v006);
    content[42..44].copy_from_slice(&huge);
    assert_eq!(refused(&text_006(&content)), TokenError::Truncated { field: "signed message" });

    let services: [&[u8]; 4] = [
        // privileges, user id, resources of RTM2, names of one of its permissions
        &[2, 0, huge[0], huge[1], 1, 0],
        &[2, 0, 0, 0, huge[0], huge[1], b'a'],
        &[8, 0, 0, 0, 1, 0, b'a', huge[0], huge[1]],
        &[8, 0, 0, 0, 1, 0, b'a', 1, 0, 0, 0, 1, 0, 0, 0, huge[0], huge[1], 1, 0, b'x'],
    ];
    for services in services {
        for count in [1, u16::MAX] {
            let error = refused(&token_007(NOW, 60, 1, count, services));
            assert!(matches!(error, TokenError::Truncated { .. }), "{error}");
        }
    }
}

#[test]
fn many_small_parts_stay_bounded() {
    // As many services, and as many empty permissions, as fit.
    let stt = [10, 0, 0, 0].repeat(16_000);
    let explained = explain(&token_007(NOW, 60, 1, 16_000, &stt)).unwrap();
    assert_eq!(explained.grants.len(), 16_000);
    let permissions = [1, 0, 0, 0].repeat(16_000);
    let head = [8, 0, 0, 0, 1, 0, b'a', 1, 0, 0, 0];
    let rtm2 = [&head[..], &16_000_u16.to_le_bytes(), &permissions].concat();
    let explained = explain(&token_007(NOW, 60, 1, 1, &rtm2)).unwrap();
    assert_eq!(explained.grants[0].permissions.len(), 16_000);
}

proptest! {
    #[test]
    fn any_text(text in "\\PC*") {
        check(&text).unwrap_err();
        explain(&text).unwrap_err();
    }

    #[test]
    fn any_text_behind_a_prefix(version in "00[67]", text in "[A-Za-z0-9+/]{0,200}=?") {
        check(&format!("{version}{text}")).unwrap_err();
        check(&format!("{version}{APP_ID}{text}")).unwrap_err();
    }

    #[test]
    fn any_content(content in proptest::collection::vec(any::<u8>(), 0..300)) {
        check(&text_006(&content)).unwrap_err();
        check(&text_007(&content)).unwrap_err();
        let head = [&[32, 0][..], &[7; 32]].concat();
        let content = [head, content].concat();
        check(&text_006(&content)).unwrap_err();
        check(&text_007(&content)).unwrap_err();
    }

    /// Well signed, so that the parser of what is signed is met.
    #[test]
    fn any_signed_services(
        count: u16,
        kind in 0_u8..12,
        services in proptest::collection::vec(prop_oneof![0_u8..4, any::<u8>()], 0..200),
    ) {
        let services = [&[kind, 0][..], &services].concat();
        let token = token_007(NOW, 60, 1, count, &services);
        let verified = check(&token);
        match explain(&token) {
            Ok(explained) => prop_assert!(explained.grants_login || verified.is_err()),
            Err(error) => prop_assert_eq!(verified, Err(error)),
        }
    }
}
