#!/usr/bin/env bash
# async-nats 0.51.0 (Rust): a credentials file of NATS whose last line has no line break.
#
# guess: it is read all the same: lines of dashes stand around what counts.
# seen:  the same text with and without the last line break: with it all is well, without it "cannot parse nkey from the credentials
#        file", though the key is there. The line of dashes counts only if something ends it.
# so:    who trims files with secrets, as is usual for those that Kubernetes and Docker mount, has to put the line break back.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

run_rust async-nats=0.51.0:ring,nkeys <<'RUST'
use async_nats::ConnectOptions;

const CREDENTIALS: &str = "-----BEGIN NATS USER JWT-----
e30.e30.e30
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
SUAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAEQ
------END USER NKEY SEED------
";

fn main() {
    let mut as_stated = true;
    for (what, text, stated) in [
        ("with the last line break", CREDENTIALS, None),
        ("without", CREDENTIALS.trim(), Some("cannot parse nkey from the credentials file")),
    ] {
        let error = ConnectOptions::with_credentials(text).err().map(|error| error.to_string());
        println!("{what}: {}", error.as_deref().unwrap_or("read"));
        as_stated &= error.as_deref() == stated;
    }
    if !as_stated {
        println!("CHANGED: the end of the file is read in another way");
        std::process::exit(1);
    }
}
RUST
