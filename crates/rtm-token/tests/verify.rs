//! The rules of `verify`: clocks and their edges, rotation of certificates, who and what is named.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

mod support;

use std::time::Duration;

use rtm_token::{
    Builder, Certificate, MAX_TTL, Policy, TokenError, TokenErrorKind, Verified, Version, explain, verify,
};
use support::{
    APP_ID, CERTIFICATE, DAY, OTHER_CERTIFICATE, certificate, lp, map, message_006, rtm_service, signed_006, token_006,
    token_007,
};

const NOW: u32 = 1_700_000_000;
const VERSIONS: [Version; 2] = [Version::V006, Version::V007];
const TOLERANCE: u32 = 300;

fn check(token: &str, now: u32) -> Result<Verified, TokenError> {
    check_by(token, now, &Policy::new())
}

fn check_by(token: &str, now: u32, policy: &Policy) -> Result<Verified, TokenError> {
    verify(token, APP_ID, &[certificate(CERTIFICATE)], "alice", now.into(), policy)
}

fn ends_at(token: &str, now: u32) -> u32 {
    check(token, now).unwrap().ends_at.try_into().unwrap()
}

fn built(version: Version, signer: &Certificate) -> String {
    Builder::new(APP_ID, signer, "alice", NOW.into(), 7).version(version).ttl(Duration::from_secs(60)).build().unwrap()
}

#[test]
fn last_valid_second_and_first_refused() {
    for version in VERSIONS {
        let token = built(version, &certificate(CERTIFICATE));
        for now in [NOW, NOW + 59] {
            assert_eq!(ends_at(&token, now), NOW + 60);
        }
        let error = check(&token, NOW + 60).unwrap_err();
        assert_eq!(error, TokenError::Expired { ended_at: u64::from(NOW) + 60 });
        assert_eq!(error.kind(), TokenErrorKind::Expired);
    }
}

#[test]
fn any_time_can_be_asked_for() {
    for version in VERSIONS {
        let token = built(version, &certificate(CERTIFICATE));
        let certificates = [certificate(CERTIFICATE)];
        let at = |now| verify(&token, APP_ID, &certificates, "alice", now, &Policy::new());
        assert_eq!(at(u64::MAX).unwrap_err().kind(), TokenErrorKind::Expired);
        assert_eq!(at(0).unwrap_err().kind(), TokenErrorKind::Invalid);
    }
}

#[test]
fn either_certificate_of_a_rotation_serves() {
    let [old, new] = [CERTIFICATE, OTHER_CERTIFICATE].map(certificate);
    let both = [new.clone(), old.clone()];
    for version in VERSIONS {
        for (signer, index) in [(&old, 1), (&new, 0)] {
            let token = built(version, signer);
            let check = |certificates: &[Certificate]| {
                verify(&token, APP_ID, certificates, "alice", NOW.into(), &Policy::new())
            };
            assert_eq!(check(&both).unwrap().certificate_index, index);
            assert_eq!(check(&both[index..=index]).unwrap().certificate_index, 0);
            let other = &both[1 - index..=1 - index];
            assert_eq!(check(other), Err(TokenError::WrongSignature));
            assert_eq!(check(&[]), Err(TokenError::WrongSignature));
        }
    }
}

#[test]
fn other_user_other_project_no_user() {
    let certificates = [certificate(CERTIFICATE)];
    for version in VERSIONS {
        let token = built(version, &certificates[0]);
        let check = |app_id: &str, uid: &str| {
            verify(&token, app_id, &certificates, uid, NOW.into(), &Policy::new()).unwrap_err()
        };
        for uid in ["bob", "Alice", "alice ", "alic"] {
            assert_eq!(check(APP_ID, uid), TokenError::AnotherUser);
        }
        assert_eq!(check(APP_ID, ""), TokenError::EmptyUid);
        let lower_case = APP_ID.to_lowercase();
        for app_id in [&lower_case[..], "00000000000000000000000000000000", ""] {
            assert_eq!(check(app_id, "alice"), TokenError::OtherAppId);
        }
        assert_eq!(check(APP_ID, "bob").kind(), TokenErrorKind::Invalid);
    }
}

#[test]
fn v006_ends_with_the_earlier_of_its_clocks() {
    let with = |end: u32, login: u32| token_006("alice", "", 1, end, &[(1000, login)]);
    assert_eq!(ends_at(&with(NOW + DAY, NOW + 10), NOW), NOW + 10);
    assert_eq!(ends_at(&with(NOW + 10, NOW + DAY), NOW), NOW + 10);
    assert_eq!(ends_at(&with(NOW + 10, 0), NOW), NOW + 10);
    let ended_at = u64::from(NOW) - 1;
    assert_eq!(check(&with(NOW + DAY, NOW - 1), NOW), Err(TokenError::Expired { ended_at }));
    assert_eq!(check(&with(0, 0), NOW), Err(TokenError::Expired { ended_at: 0 }));
}

#[test]
fn v006_privilege_expiry_can_be_ignored_but_not_the_privilege() {
    let policy = Policy::new().honour_privilege_expiry(false);
    let token = token_006("alice", "", 1, NOW + DAY, &[(1000, NOW - 1)]);
    let verified = check_by(&token, NOW, &policy).unwrap();
    assert_eq!(verified.ends_at, u64::from(NOW + DAY));
    for privileges in [&[][..], &[(1, NOW + 60)], &[(1, NOW), (999, NOW), (1001, NOW)]] {
        let token = token_006("alice", "", 1, NOW + DAY, privileges);
        assert_eq!(check(&token, NOW), Err(TokenError::NoLoginPrivilege));
        assert_eq!(check_by(&token, NOW, &policy), Err(TokenError::NoLoginPrivilege));
    }
}

#[test]
fn v006_lives_24_hours_and_a_clock_difference_at_most() {
    let ahead = |seconds: u32| token_006("alice", "", 1, NOW + seconds, &[(1000, 0)]);
    let most = DAY + TOLERANCE;
    assert_eq!(ends_at(&ahead(most), NOW), NOW + most);
    let error = check(&ahead(most + 1), NOW).unwrap_err();
    let ends_at = u64::from(NOW + most + 1);
    assert_eq!(error, TokenError::LivesTooLong { ends_at });
    assert_eq!(error.kind(), TokenErrorKind::Invalid);
    // A short privilege does not excuse the long life around it.
    let token = token_006("alice", "", 1, NOW + most + 1, &[(1000, NOW + 10)]);
    assert_eq!(check(&token, NOW), Err(TokenError::LivesTooLong { ends_at }));

    let strict = Policy::new().clock_tolerance(Duration::ZERO);
    assert!(check_by(&ahead(DAY), NOW, &strict).is_ok());
    assert!(check_by(&ahead(DAY + 1), NOW, &strict).is_err());
}

#[test]
fn v006_privileges_in_any_order() {
    let end = NOW + DAY;
    for privileges in [[(1000, NOW + 10), (1, end), (101, end)], [(101, end), (1000, NOW + 10), (1, end)]] {
        assert_eq!(ends_at(&token_006("alice", "", 1, end, &privileges), NOW), NOW + 10);
    }
}

#[test]
fn v006_salt_may_repeat_or_be_nothing() {
    for salt in [0, 1, u32::MAX] {
        let token = token_006("alice", "", salt, NOW + DAY, &[(1000, 0)]);
        assert!(check(&token, NOW).is_ok());
        assert!(check(&token, NOW).is_ok());
    }
}

#[test]
fn v006_signed_but_malformed_message() {
    let whole = message_006(1, NOW + DAY, &[(1000, 0)]);
    for length in 0..whole.len() {
        let token = signed_006("alice", "", &whole[..length]);
        let error = check(&token, NOW).unwrap_err();
        assert!(matches!(error, TokenError::Truncated { .. }), "{length}: {error}");
    }
    let longer = [&whole[..], &[0]].concat();
    assert_eq!(check(&signed_006("alice", "", &longer), NOW), Err(TokenError::TrailingBytes { count: 1 }));
}

#[test]
fn v007_ends_with_the_earlier_of_its_lives_and_after_24_hours() {
    let with = |life, login| token_007(NOW, life, 1, 1, &rtm_service("alice", &[(1, login)]));
    assert_eq!(ends_at(&with(60, 3600), NOW), NOW + 60);
    assert_eq!(ends_at(&with(3600, 60), NOW), NOW + 60);
    for longer in [DAY, DAY + 1, 30 * DAY, u32::MAX] {
        assert_eq!(ends_at(&with(longer, longer), NOW), NOW + DAY);
        let ended_at = u64::from(NOW + DAY);
        let token = with(longer, longer);
        assert_eq!(check(&token, NOW + DAY), Err(TokenError::Expired { ended_at }));
    }
    // 0 ends at once; in 007 it does not mean "no limit".
    for (life, login) in [(0, 60), (60, 0), (0, 0)] {
        let ended_at = u64::from(NOW);
        let token = with(life, login);
        assert_eq!(check(&token, NOW), Err(TokenError::Expired { ended_at }));
    }
    let policy = Policy::new().honour_privilege_expiry(false);
    let verified = check_by(&with(3600, 60), NOW, &policy).unwrap();
    assert_eq!(verified.ends_at, u64::from(NOW) + 60);
}

#[test]
fn v007_issued_in_the_future() {
    let issued = |issue| token_007(issue, 60, 1, 1, &rtm_service("alice", &[(1, 60)]));
    assert_eq!(ends_at(&issued(NOW + TOLERANCE), NOW), NOW + TOLERANCE + 60);
    let error = check(&issued(NOW + TOLERANCE + 1), NOW).unwrap_err();
    let issued_at = u64::from(NOW + TOLERANCE + 1);
    assert_eq!(error, TokenError::IssuedInFuture { issued_at });
    assert_eq!(error.kind(), TokenErrorKind::Invalid);
    let strict = Policy::new().clock_tolerance(Duration::ZERO);
    assert!(check_by(&issued(NOW), NOW, &strict).is_ok());
    assert!(check_by(&issued(NOW + 1), NOW, &strict).is_err());
    // The very last second that can be written does not overflow.
    assert!(check(&issued(u32::MAX), u32::MAX).is_ok());
}

#[test]
fn v007_needs_the_login_privilege_of_an_rtm_service() {
    let rtc = [&1_u16.to_le_bytes()[..], &map(&[(1, 60)]), &lp(b"room"), &lp(b"alice")].concat();
    let chat = [&5_u16.to_le_bytes()[..], &map(&[(1, 60)]), &lp(b"alice")].concat();
    for (count, services) in [
        (0, Vec::new()),
        (1, rtm_service("alice", &[])),
        (1, rtm_service("alice", &[(2, 60), (1000, 60)])),
        (1, rtc),
        (1, chat),
    ] {
        let token = token_007(NOW, 60, 1, count, &services);
        assert_eq!(check(&token, NOW), Err(TokenError::NoLoginPrivilege));
        assert!(!explain(&token).unwrap().grants_login);
    }
}

#[test]
fn v007_several_services_for_several_users() {
    let services =
        [rtm_service("bob", &[(1, 3600)]), rtm_service("alice", &[(1, 60)]), rtm_service("alice", &[(1, 600)])]
            .concat();
    let token = token_007(NOW, 3600, 1, 3, &services);
    assert_eq!(ends_at(&token, NOW), NOW + 600);
    let only_bob = token_007(NOW, 3600, 1, 1, &services);
    assert_eq!(check(&only_bob, NOW), Err(TokenError::TrailingBytes { count: 34 }));
}

#[test]
fn v007_every_known_service_can_stand_before_rtm() {
    let privileges = map(&[(1, 60)]);
    let two = [lp(b"room"), lp(b"somebody")].concat();
    let apaas = [&two[..], &(-1_i16).to_le_bytes()].concat();
    let rtm2 = [&lp(b"somebody")[..], &[1, 0, 4, 0, 1, 0, 0, 0, 1, 0], &lp(b"bob")].concat();
    let fields: [(u16, Vec<u8>); 9] = [
        (1, two.clone()),
        (3, two.clone()),
        (4, Vec::new()),
        (5, lp(b"somebody")),
        (6, two),
        (7, apaas),
        (8, rtm2),
        (9, Vec::new()),
        (10, Vec::new()),
    ];
    for (number, fields) in fields {
        let services = [&number.to_le_bytes()[..], &privileges, &fields, &rtm_service("alice", &[(1, 60)])].concat();
        let token = token_007(NOW, 60, 1, 2, &services);
        assert_eq!(ends_at(&token, NOW), NOW + 60, "service {number}");
        let explained = explain(&token).unwrap();
        assert_eq!(explained.grants[0].service.number(), number);
        assert_eq!(explained.grants.len(), 2);
    }
}

#[test]
fn v007_reading_stops_at_an_unknown_service() {
    let unknown = [&77_u16.to_le_bytes()[..], b"any bytes at all"].concat();
    let before = [rtm_service("alice", &[(1, 60)]), unknown.clone()].concat();
    let token = token_007(NOW, 60, 1, 2, &before);
    assert_eq!(ends_at(&token, NOW), NOW + 60);
    let explained = explain(&token).unwrap();
    assert_eq!(explained.unknown_service, Some(77));
    assert_eq!(explained.grants.len(), 1);

    // What stands behind it cannot be found, so it does not count.
    let behind = [unknown, rtm_service("alice", &[(1, 60)])].concat();
    let token = token_007(NOW, 60, 1, 2, &behind);
    assert_eq!(check(&token, NOW), Err(TokenError::NoLoginPrivilege));
}

#[test]
fn longest_life_is_what_the_default_builder_gives() {
    let signer = certificate(CERTIFICATE);
    for version in VERSIONS {
        let builder = Builder::new(APP_ID, &signer, "alice", NOW.into(), 7).version(version);
        let token = builder.build().unwrap();
        assert_eq!(u64::from(ends_at(&token, NOW)), u64::from(NOW) + MAX_TTL.as_secs());
    }
}
