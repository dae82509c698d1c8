//! Access tokens of any form: explained and verified, never believed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rtm_token::{Certificate, Policy, explain, verify};

const APP_ID: &str = "0123456789abcdef0123456789abcdef";

fuzz_target!(|token: &str| {
    let certificate = Certificate::new("fedcba9876543210fedcba9876543210").expect("it has the right form");
    if let Ok(explained) = explain(token) {
        let _ = explained.signature(&certificate, Some("alice"));
        let _ = explained.holder.may_be("alice");
    }
    let verified = verify(token, APP_ID, &[certificate], "alice", 1_700_000_000, &Policy::default());
    assert!(verified.is_err(), "nobody signed this");
});
