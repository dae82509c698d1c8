//! Tokens made by the vendor's published builders: read, verified, and made again byte for byte.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

mod support;

use std::time::Duration;

use rtm_token::{
    Builder, Holder, Policy, Service, Signature, TokenError, TokenErrorKind, Verified, Version, explain, verify,
};
use support::{
    APP_ID, CERTIFICATE, DAY, OTHER_CERTIFICATE, certificate, content_007, content_007_of, hex, lp, map, rtm_service,
    token_006,
};

const ODD_UID: &str = "u !#$%&()+-:;<=.>?@[]^_{}|~,";

const V006_1: &str = "006970CA35de60c44645bbae8a215061b33IAAsR0qgiCxv0vrpRcpkz5BrbfEWCBZ6kvR6t7qG/wJIQob86ogAAAAAEAABAAAAR/QQAAEA6AOvKDdW";
const V006_2: &str = "006970CA35de60c44645bbae8a215061b33IACjLU+Szb8cbTAcj3jcGdvsCpDa2EaepWinBAayfrzSaSnq/ZkAAAAAEAB4VjQSgEJVZQEA6AMAAAAA";
const V006_3: &str = "006970CA35de60c44645bbae8a215061b33IABoIXqyOswA+c4izI7BVZQWxE/zLIbmnbw3K0UabQKruoM6+s0AAAAAEAD/4PUFgNjbcAEA6AOA2Ntw";
const V006_4: &str = "006970CA35de60c44645bbae8a215061b33IAD1iFPkXAL2jO8nvLblBHmvr7XvmYH47aDzaxTI0mmu0ULMxyZXoFHlFgABAAAAR/QQAAIAAQCvKDdW6AOvKDdW";
const V006_5: &str = "006970CA35de60c44645bbae8a215061b33IABuyYolq/OxLADUSfifSw1lyesuXLJnO1ncLsJF+5VkiELMxyYAAAAAEAABAAAAR/QQAAEAAQCvKDdW";
const V006_6: &str = "006970CA35de60c44645bbae8a215061b33IABBT7kd4dEhP3AjqNyQKJ2+gbFksOcIWpuQwblHBRc1CV0HL3sAAAAAEAD///8/gEJVZQEA6AMQ/1Nl";
/// 006-1 with its last byte changed.
const V006_BAD: &str = "006970CA35de60c44645bbae8a215061b33IAAsR0qgiCxv0vrpRcpkz5BrbfEWCBZ6kvR6t7qG/wJIQob86ogAAAAAEAABAAAAR/QQAAEA6AOvKDdX";

const V007_1: &str = "007eJxTYOCdJftjyTM2zxW6Xhm/5T0j5LdcUt/xYVt48fb5Mp3PX9coMFiaGzg7GpumpJoZJJuYmJmYJiUlplokGhmaGpgZJhkbu38RYIhgYmBgZABhJgZGBkYwn5OhJLW4JL60OLUIAFlWHoA=";
const V007_2: &str = "007eJxTYAjkuMkWuDVv0gX11lOFXcob5z5gynuhezLsB6PdQQ2hd9EKDJbmBs6OxqYpqWYGySYmZiamSUmJqRaJRoamBmaGScbGDB+DUxsCGRn8EvcwMDIwMTAyMDKA+IIMiTmZyakOqRWJuQU5qXrJ+bkAWBIi1A==";
const V007_3: &str = "007eJxTYDC3KmY8GiH3VCenz6HUrLvpgFflld+r1xj7Mlz+djT4j7ACg6W5gbOjsWlKqplBsomJmYlpUlJiqkWikaGpgZlhkrExw8fgVAE+Bob/D76yMjEwgiGIz8aQnJGYp2vIxWBkYWFkbGJoZG7MBJflZChJLS6JLy1OLQIAMRAkmA==";
const V007_4: &str = "007eJxTYKht2rpz4qM5gsunaniejjzc2b5b68zdRNUH8x51rzX8nquuwGBpbuDsaGyakmpmkGxiYmZimpSUmGqRaGRoamBmmGRs7P5FgCGCiYGBkQGEORgYGRjBfE6GktTikvjS4tQiJgaINBMDJ0NuanFxYnqqbiKCmcTIAIEcDMUlRamJubqJAA81Ki8=";
/// 007-1 for the user `test_uses` instead.
const V007_BAD: &str = "007eJxTYOCdJftjyTM2zxW6Xhm/5T0j5LdcUt/xYVt48fb5Mp3PX9coMFiaGzg7GpumpJoZJJuYmJmYJiUlplokGhmaGpgZJhkbu38RYIhgYmBgZABhJiBmBPM5GUpSi0viS4tTiwFZVx6B";

const CONTENT_007_1: &str = "20000d9a1df8a4e60649a82d4a68fb1f49581fb4d227b8f0b65773b79f1c89e7eb7c2000393730434133356465363063343436343562626165386132313530363162333347f4100058020000010000000100020001000100580200000900746573745f75736572";
const CONTENT_007_2: &str = "20005108d90651b56e92d02785ca718a23b19de0026ee82dc956f8013ec12812ee5b2000393730434133356465363063343436343562626165386132313530363162333300f15365805101004e61bc000100020001000100805101001100616c696365406578616d706c652e636f6d";
const CONTENT_007_3: &str = "2000373a7301c5581ee52c6c8e4075368b82c04a79d4fbabac334d00d3f6c553fc132000393730434133356465363063343436343562626165386132313530363162333300f15365100e0000ffe0f5050200010001000100100e000006006368616e2d310a0032383832333431323733020001000100100e00000900746573745f75736572";
const CONTENT_007_4: &str = "20007d82b5b991e29c11a7952849cb59c38987bb2accdd6125e09ee28bad31f76d272000393730434133356465363063343436343562626165386132313530363162333347f4100058020000010000000100080001000100580200000900746573745f757365720200000001000000020009006d6573736167652d6109006d6573736167652d620100010001000100080073747265616d2d61";

fn verify_at(token: &str, uid: &str, now: u32) -> Result<Verified, TokenError> {
    let certificates = [certificate(CERTIFICATE)];
    verify(token, APP_ID, &certificates, uid, now.into(), &Policy::new())
}

/// Checks version and end, and that the token holds just before that end and not at it.
fn holds_until(token: &str, uid: &str, version: Version, issued_at: u32, ends_at: u32) {
    let verified = verify_at(token, uid, ends_at - 1).unwrap();
    assert_eq!(verified.version, version);
    assert_eq!(verified.issued_at, u64::from(issued_at));
    assert_eq!(verified.ends_at, u64::from(ends_at));
    let ended_at = ends_at.into();
    assert_eq!(verify_at(token, uid, ends_at), Err(TokenError::Expired { ended_at }));
}

#[test]
fn v006_tokens_hold_for_their_user() {
    // 006-1: its privilege outlives the token itself.
    holds_until(V006_1, "test_user", Version::V006, 1_111_111 - DAY, 1_111_111);
    // 006-2: the privilege has no clock of its own.
    holds_until(V006_2, "alice@example.com", Version::V006, 1_700_000_000, 1_700_086_400);
    holds_until(V006_3, ODD_UID, Version::V006, 1_893_456_000 - DAY, 1_893_456_000);
    // 006-6: the privilege ends first.
    holds_until(V006_6, "test_user_id", Version::V006, 1_700_000_000, 1_700_003_600);
}

#[test]
fn v006_expired_long_ago() {
    let error = verify_at(V006_1, "test_user", 1_763_800_000).unwrap_err();
    assert_eq!(error, TokenError::Expired { ended_at: 1_111_111 });
    assert_eq!(error.kind(), TokenErrorKind::Expired);
}

#[test]
fn v006_must_fail() {
    let now = 1_111_000;
    assert_eq!(verify_at(V006_1, "test_userx", now), Err(TokenError::AnotherUser));
    assert_eq!(verify_at(V006_BAD, "test_user", now), Err(TokenError::WrongSignature));
    let others = [certificate(OTHER_CERTIFICATE)];
    assert_eq!(
        verify(V006_1, APP_ID, &others, "test_user", now.into(), &Policy::new()),
        Err(TokenError::WrongSignature)
    );
}

#[test]
fn v006_media_tokens_do_not_log_in() {
    // 006-4 names a channel and a media user; that it has the RTM privilege too does not help.
    for uid in ["chan-1", "2882341273"] {
        assert_eq!(verify_at(V006_4, uid, 1_111_000), Err(TokenError::AnotherUser));
    }
    // Without separators between the signed strings, channel and user together fit the signature.
    assert_eq!(verify_at(V006_4, "chan-12882341273", 1_111_000), Err(TokenError::WrongChecksum));
    // 006-5 is for "any user of chan-1", so its signature holds for a user of that name.
    assert_eq!(verify_at(V006_5, "chan-1", 1_111_000), Err(TokenError::NoLoginPrivilege));
}

#[test]
fn v006_built_byte_for_byte() {
    let certificate = certificate(CERTIFICATE);
    let third = Builder::new(APP_ID, &certificate, ODD_UID, 1_893_369_600, 99_999_999);
    assert_eq!(third.build().unwrap(), V006_3);
    let sixth = Builder::new(APP_ID, &certificate, "test_user_id", 1_700_000_000, 1_073_741_823)
        .version(Version::V006)
        .ttl(Duration::from_secs(3600));
    assert_eq!(sixth.build().unwrap(), V006_6);
}

/// Shows that the tests' own writer, which the hostile tokens come from, writes the real format.
#[test]
fn v006_rewritten_by_the_tests() {
    let end = 1_446_455_471;
    let tokens = [
        (V006_1, token_006("test_user", "", 1, 1_111_111, &[(1000, end)])),
        (V006_2, token_006("alice@example.com", "", 305_419_896, 1_700_086_400, &[(1000, 0)])),
        (V006_3, token_006(ODD_UID, "", 99_999_999, 1_893_456_000, &[(1000, 1_893_456_000)])),
        (V006_4, token_006("chan-1", "2882341273", 1, 1_111_111, &[(1, end), (1000, end)])),
        (V006_5, token_006("chan-1", "", 1, 1_111_111, &[(1, end)])),
        (V006_6, token_006("test_user_id", "", 1_073_741_823, 1_700_086_400, &[(1000, 1_700_003_600)])),
    ];
    for (vector, token) in tokens {
        assert_eq!(token, vector);
    }
}

#[test]
fn v006_explained() {
    let signer = certificate(CERTIFICATE);
    let explained = explain(V006_6).unwrap();
    assert_eq!(explained.version, Version::V006);
    assert_eq!(explained.app_id, APP_ID);
    assert_eq!(explained.holder, Holder::Crc32(0x7b2f_075d));
    assert!(explained.holder.may_be("test_user_id"));
    assert!(!explained.holder.may_be("test_user"));
    assert_eq!(explained.issued_at, 1_700_000_000);
    assert_eq!(explained.ends_at, 1_700_003_600);
    assert!(explained.grants_login);
    assert_eq!(explained.grants.len(), 1);
    assert_eq!(explained.grants[0].service, Service::Rtm);
    let login = &explained.grants[0].privileges[0];
    assert_eq!((login.number, login.name), (1000, Some("RtmLogin")));
    assert_eq!(login.ends_at, Some(1_700_003_600));
    assert_eq!(explained.signature(&signer, None), Signature::NeedsUid);
    assert_eq!(explained.signature(&signer, Some("test_user_id")), Signature::Holds);
    assert_eq!(explained.signature(&signer, Some("test_user")), Signature::Fails);
    let other = certificate(OTHER_CERTIFICATE);
    assert_eq!(explained.signature(&other, Some("test_user_id")), Signature::Fails);

    let unlimited = explain(V006_2).unwrap();
    assert_eq!(unlimited.ends_at, 1_700_086_400);
    assert_eq!(unlimited.grants[0].privileges[0].ends_at, None);

    let media = explain(V006_4).unwrap();
    assert_eq!(media.holder, Holder::Nobody);
    assert!(!media.holder.may_be("chan-1"));
    let services: Vec<_> = media.grants.iter().map(|grant| grant.service).collect();
    assert_eq!(services, [Service::Rtc, Service::Rtm]);
    assert_eq!(media.grants[0].privileges[0].name, Some("JoinChannel"));

    let no_login = explain(V006_5).unwrap();
    assert!(!no_login.grants_login);
    assert_eq!(no_login.ends_at, 1_111_111);
}

#[test]
fn v007_tokens_hold_for_their_user() {
    holds_until(V007_1, "test_user", Version::V007, 1_111_111, 1_111_711);
    holds_until(V007_2, "alice@example.com", Version::V007, 1_700_000_000, 1_700_086_400);
    // 007-3 holds a media service before that of RTM, 007-4 is for RTM2.
    holds_until(V007_3, "test_user", Version::V007, 1_700_000_000, 1_700_003_600);
    holds_until(V007_4, "test_user", Version::V007, 1_111_111, 1_111_711);
}

#[test]
fn v007_must_fail() {
    let now = 1_111_200;
    for uid in ["test_user", "test_uses"] {
        assert_eq!(verify_at(V007_BAD, uid, now), Err(TokenError::WrongSignature));
    }
    assert_eq!(verify_at(V007_1, "test_uses", now), Err(TokenError::AnotherUser));
    assert_eq!(verify_at(V007_3, "2882341273", 1_700_000_000), Err(TokenError::AnotherUser));
    let others = [certificate(OTHER_CERTIFICATE)];
    assert_eq!(
        verify(V007_1, APP_ID, &others, "test_user", now.into(), &Policy::new()),
        Err(TokenError::WrongSignature)
    );
}

#[test]
fn v007_built_to_the_same_content() {
    let certificate = certificate(CERTIFICATE);
    let first = Builder::new(APP_ID, &certificate, "test_user", 1_111_111, 1)
        .version(Version::V007)
        .ttl(Duration::from_secs(600));
    assert_eq!(hex(&content_007(&first.build().unwrap())), CONTENT_007_1);
    let second =
        Builder::new(APP_ID, &certificate, "alice@example.com", 1_700_000_000, 12_345_678).version(Version::V007);
    assert_eq!(hex(&content_007(&second.build().unwrap())), CONTENT_007_2);
}

/// Shows that the tests' own writer, which the hostile tokens come from, writes the real format.
#[test]
fn v007_rewritten_by_the_tests() {
    let rtc = [&1_u16.to_le_bytes()[..], &map(&[(1, 3600)]), &lp(b"chan-1"), &lp(b"2882341273")].concat();
    let rtm2 = [
        &8_u16.to_le_bytes()[..],
        &map(&[(1, 600)]),
        &lp(b"test_user"),
        &[2, 0, /* message channels, one permission, */ 0, 0, 1, 0, /* read, two */ 0, 0, 2, 0],
        &lp(b"message-a"),
        &lp(b"message-b"),
        &[/* stream channels, one permission, */ 1, 0, 1, 0, /* write, one */ 1, 0, 1, 0],
        &lp(b"stream-a"),
    ]
    .concat();
    let both = [rtc, rtm_service("test_user", &[(1, 3600)])].concat();
    let contents = [
        (V007_1, CONTENT_007_1, content_007_of(1_111_111, 600, 1, 1, &rtm_service("test_user", &[(1, 600)]))),
        (
            V007_2,
            CONTENT_007_2,
            content_007_of(1_700_000_000, DAY, 12_345_678, 1, &rtm_service("alice@example.com", &[(1, DAY)])),
        ),
        (V007_3, CONTENT_007_3, content_007_of(1_700_000_000, 3600, 99_999_999, 2, &both)),
        (V007_4, CONTENT_007_4, content_007_of(1_111_111, 600, 1, 1, &rtm2)),
    ];
    for (vector, content, rewritten) in contents {
        assert_eq!(hex(&content_007(vector)), content);
        assert_eq!(hex(&rewritten), content);
    }
}

#[test]
fn v007_explained() {
    let signer = certificate(CERTIFICATE);
    let explained = explain(V007_3).unwrap();
    assert_eq!(explained.version, Version::V007);
    assert_eq!(explained.app_id, APP_ID);
    assert_eq!(explained.holder, Holder::Uid("test_user".to_owned()));
    assert_eq!(explained.issued_at, 1_700_000_000);
    assert_eq!(explained.ends_at, 1_700_003_600);
    assert!(explained.grants_login);
    assert_eq!(explained.unknown_service, None);
    let [rtc, rtm] = &explained.grants[..] else {
        panic!("two services: {explained:?}");
    };
    assert_eq!(rtc.service, Service::Rtc);
    assert_eq!(rtc.channel.as_deref(), Some("chan-1"));
    assert_eq!(rtc.user.as_deref(), Some("2882341273"));
    assert_eq!(rtm.service, Service::Rtm);
    assert_eq!(rtm.user.as_deref(), Some("test_user"));
    assert_eq!(rtm.privileges[0].name, Some("Login"));
    assert_eq!(rtm.privileges[0].ends_at, Some(1_700_003_600));
    assert_eq!(explained.signature(&signer, None), Signature::Holds);
    assert_eq!(explained.signature(&signer, Some("somebody")), Signature::Holds);
    let other = certificate(OTHER_CERTIFICATE);
    assert_eq!(explained.signature(&other, None), Signature::Fails);

    let changed = explain(V007_BAD).unwrap();
    assert_eq!(changed.holder, Holder::Uid("test_uses".to_owned()));
    assert_eq!(changed.signature(&signer, None), Signature::Fails);

    let permissions = &explain(V007_4).unwrap().grants[0].permissions;
    let listed: Vec<_> =
        permissions.iter().map(|permission| (permission.resource, permission.access, &permission.names[..])).collect();
    assert_eq!(
        listed,
        [(0, 0, &["message-a".to_owned(), "message-b".to_owned()][..]), (1, 1, &["stream-a".to_owned()][..]),]
    );
}
