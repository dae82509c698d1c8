#!/usr/bin/env bash
# hyper-util 0.1.21 (Rust, feature client-proxy): NO_PROXY=* beside hosts that are IP addresses.
#
# guess: nothing goes through the proxy, as with curl and Python, whose "*" is for every host.
# seen:  names are exempt, and IPv4 and IPv6 addresses still go through the proxy. So does what is beside an entry that ends
#        with a line feed instead of a comma, as a list from a file or a Kubernetes secret does.
# so:    a client that builds on this matcher has to look for "*" itself, and to split the list at any white space.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

run_rust hyper-util=0.1.21:client-proxy http=1.4.0 <<'RUST'
use hyper_util::client::proxy::matcher::Matcher;

/// Whether a request to this host goes through the proxy.
fn is_proxied(no_proxy: &str, host: &str) -> bool {
    let matcher = Matcher::builder().all("http://proxy.example:3128").no(no_proxy).build();
    let url: http::Uri = format!("http://{host}/").parse().unwrap();
    matcher.intercept(&url).is_some()
}

fn main() {
    let mut as_stated = true;
    for (no_proxy, host, stated) in [
        ("*", "example.com", false),
        ("*", "192.0.2.7", true),
        ("*", "[2001:db8::7]", true),
        ("192.0.2.0/24", "192.0.2.7", false),
        ("a.test,b.test", "b.test", false),
        ("a.test\nb.test\n", "b.test", true),
    ] {
        let seen = is_proxied(no_proxy, host);
        println!("no_proxy={no_proxy:?} {host}: {}", if seen { "proxy" } else { "direct" });
        as_stated &= seen == stated;
    }
    if !as_stated {
        println!("CHANGED: the list is read in another way");
        std::process::exit(1);
    }
}
RUST

# What the same value means to curl's and Python's users.
python3 - <<'PYTHON'
import os
import urllib.request

os.environ["no_proxy"] = "*"
for host in ["example.com", "192.0.2.7"]:
    bypassed = bool(urllib.request.proxy_bypass(host))
    print(f"urllib, no_proxy='*' {host}:", "direct" if bypassed else "proxy")
    assert bypassed, "CHANGED: urllib"
PYTHON
