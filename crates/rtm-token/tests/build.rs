//! The builder: what it refuses, and that what it makes verifies and explains itself.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

mod support;

use std::time::Duration;

use proptest::prelude::*;
use rtm_token::{
    BuildError, Builder, Certificate, CertificateError, Holder, Policy, Signature, Version, explain, verify,
};
use support::{APP_ID, CERTIFICATE, OTHER_CERTIFICATE, certificate};

const NOW: u64 = 1_700_000_000;

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V006), Just(Version::V007)]
}

/// 1 to 64 bytes; the set of characters is not the token's concern.
fn uid() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z0-9 !#$%&()+:;<=.>?@\\[\\]^_{}|~,-]{1,64}", "\\PC{1,16}"]
}

proptest! {
    #[test]
    fn what_is_built_verifies(
        version in version(),
        app_id in "[0-9a-zA-Z]{32}",
        secret in "[!-~]{32}",
        uid in uid(),
        issued_at in 86_400_u64..=u64::from(u32::MAX) - 86_400,
        ttl in 1_u64..=86_400,
        salt: u32,
        age in 0_u64..=86_400,
    ) {
        let certificates = [certificate(&secret)];
        let token = Builder::new(&app_id, &certificates[0], &uid, issued_at, salt)
            .version(version)
            .ttl(Duration::from_secs(ttl))
            .build()
            .unwrap();
        let at = |now| verify(&token, &app_id, &certificates, &uid, now, &Policy::new());

        let result = at(issued_at + age);
        prop_assert_eq!(result.is_ok(), age < ttl);
        let verified = at(issued_at).unwrap();
        prop_assert_eq!(verified.version, version);
        prop_assert_eq!(verified.issued_at, issued_at);
        prop_assert_eq!(verified.ends_at, issued_at + ttl);

        let explained = explain(&token).unwrap();
        prop_assert_eq!(explained.version, version);
        prop_assert_eq!(&explained.app_id, &app_id);
        prop_assert!(explained.holder.may_be(&uid));
        prop_assert_eq!(explained.issued_at, issued_at);
        prop_assert_eq!(explained.ends_at, issued_at + ttl);
        prop_assert!(explained.grants_login);
        prop_assert_eq!(explained.signature(&certificates[0], Some(&uid)), Signature::Holds);
        if version == Version::V007 {
            prop_assert_eq!(explained.holder, Holder::Uid(uid));
        }
    }

    #[test]
    fn a_token_is_for_nobody_else(version in version(), uid in uid(), other in uid()) {
        prop_assume!(uid != other);
        let certificates = [certificate(CERTIFICATE)];
        let token = Builder::new(APP_ID, &certificates[0], &uid, NOW, 1).version(version).build().unwrap();
        prop_assert!(verify(&token, APP_ID, &certificates, &other, NOW, &Policy::new()).is_err());
    }
}

#[test]
fn salt_makes_tokens_differ() {
    let signer = certificate(CERTIFICATE);
    for version in [Version::V006, Version::V007] {
        let token = |salt| Builder::new(APP_ID, &signer, "alice", NOW, salt).version(version).build();
        assert_eq!(token(1), token(1));
        assert_ne!(token(1), token(2));
    }
}

#[test]
fn form_of_the_app_id() {
    let signer = certificate(CERTIFICATE);
    let build = |app_id: &str| Builder::new(app_id, &signer, "alice", NOW, 1).build();
    let wide = "é".repeat(16);
    for app_id in ["", "970CA35de60c44645bbae8a215061b3", &format!("{APP_ID}0"), &wide] {
        assert_eq!(build(app_id), Err(BuildError::AppId));
    }
    assert_eq!(build("970CA35de60c44645bbae8a2150 1b33"), Err(BuildError::AppId));
    assert!(build("ghijklmnopqrstuvwxyzGHIJKLMNOPQR").is_ok());
}

#[test]
fn length_of_the_uid() {
    let signer = certificate(CERTIFICATE);
    let build = |uid: &str| Builder::new(APP_ID, &signer, uid, NOW, 1).build();
    assert_eq!(build(""), Err(BuildError::UidLength { length: 0 }));
    assert_eq!(build(&"x".repeat(65)), Err(BuildError::UidLength { length: 65 }));
    assert!(build(&"x".repeat(64)).is_ok());
}

#[test]
fn bounds_of_the_life() {
    let signer = certificate(CERTIFICATE);
    let build = |ttl| Builder::new(APP_ID, &signer, "alice", NOW, 1).ttl(ttl).build();
    let day = Duration::from_secs(86_400);
    let bad = [Duration::ZERO, Duration::from_millis(999), day + Duration::from_nanos(1), Duration::MAX];
    for ttl in bad {
        assert_eq!(build(ttl), Err(BuildError::Ttl { ttl }));
    }
    assert!(build(day).is_ok());
    assert_eq!(build(Duration::from_millis(1999)), build(Duration::from_secs(1)));
}

#[test]
fn end_of_the_32_bits() {
    let signer = certificate(CERTIFICATE);
    let build = |issued_at| Builder::new(APP_ID, &signer, "alice", issued_at, 1).build();
    let last = u64::from(u32::MAX) - 86_400;
    assert!(build(last).is_ok());
    for issued_at in [last + 1, u64::from(u32::MAX) + 1, u64::MAX] {
        assert_eq!(build(issued_at), Err(BuildError::IssuedAt { issued_at }));
    }
}

#[test]
fn form_of_a_certificate() {
    assert!(certificate(CERTIFICATE).is_hex());
    assert!(!certificate("not hexadecimal".replace(' ', "-").repeat(3).get(..32).unwrap()).is_hex());
    let refused = |text: &str| Certificate::new(text).unwrap_err();
    assert_eq!(refused(""), CertificateError::Length { length: 0 });
    assert_eq!(refused(&CERTIFICATE[1..]), CertificateError::Length { length: 31 });
    assert_eq!(refused(&format!("{CERTIFICATE}\n")), CertificateError::Length { length: 33 });
    assert_eq!(refused(&"é".repeat(16)), CertificateError::Character { index: 0 });
    let with_space = CERTIFICATE.replacen('F', " ", 1);
    assert_eq!(refused(&with_space), CertificateError::Character { index: 2 });
}

#[test]
fn secrets_are_not_printed() {
    let signer = certificate(OTHER_CERTIFICATE);
    let builder = Builder::new(APP_ID, &signer, "alice", NOW, 1);
    assert!(!format!("{signer:?} {builder:?}").contains(&OTHER_CERTIFICATE[..8]));
    let token = builder.build().unwrap();
    let explained = format!("{:?}", explain(&token).unwrap());
    assert!(explained.contains("<redacted>"));
    let refused = Certificate::new(&OTHER_CERTIFICATE[1..]).unwrap_err();
    assert!(!format!("{refused} {refused:?}").contains(&OTHER_CERTIFICATE[1..8]));
}

#[test]
fn version_names() {
    for version in [Version::V006, Version::V007] {
        assert_eq!(version.to_string().parse(), Ok(version));
    }
    for text in ["", "6", "008", "006 "] {
        assert!(text.parse::<Version>().is_err(), "{text}");
    }
}
