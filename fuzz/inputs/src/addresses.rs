//! What proxies say of their clients: a PROXY header, and the headers of requests.

use std::net::{IpAddr, Ipv4Addr};

use rtm_server::client_address::{
    headers::{self, client, x_forwarded_for},
    proxy_header::{ProxyHeader, read},
};

/// The first bytes of a connection. Read piece by piece, as they come, they mean the same, and no more is read than belongs to
/// the header.
pub fn proxy_header(bytes: &[u8]) {
    let mut have = 0;
    loop {
        match read(bytes.get(..have).unwrap_or_default()) {
            Ok(ProxyHeader::Needs(more)) => {
                assert!(more > 0, "it asks for nothing");
                have += more;
                assert!(have <= MOST, "a header is not that long");
                if have > bytes.len() {
                    return;
                }
            }
            Ok(ProxyHeader::Of(both)) => {
                let whole = bytes.get(..have).unwrap_or_default();
                assert_eq!(read(whole), Ok(ProxyHeader::Of(both)));
                return;
            }
            Err(_) => return,
        }
    }
}

/// The values of `Forwarded` and `X-Forwarded-For`, one a line.
pub fn forwarded(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let values: Vec<_> = text.lines().collect();
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    for hops in [headers::forwarded(&values), x_forwarded_for(&values)] {
        assert!(hops.len() <= bytes.len() + 1);
        // Where nobody is trusted beyond the peer, only the last that was written counts.
        let last = hops.last().copied().flatten().unwrap_or(peer);
        assert_eq!(client(peer, &hops, |_| false), last);
        let first = client(peer, &hops, |_| true);
        assert!(first == peer || hops.contains(&Some(first)));
    }
}

/// The longest header of version 2, and what is asked for at a time.
const MOST: usize = 16 + 4096;
