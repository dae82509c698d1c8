//! The backend with a file does what every backend has to do.
#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

use rtm_server::{Redb, core::store::conformance};

#[test]
fn redb_passes_every_check() {
    let failures = conformance::checks().iter().filter_map(|check| {
        let directory = tempfile::tempdir().unwrap();
        check.run(|| Ok(Box::new(Redb::open(directory.path())?))).err()
    });
    let failures: Vec<_> = failures.map(|failure| failure.to_string()).collect();
    assert!(failures.is_empty(), "{failures:#?}");
}
