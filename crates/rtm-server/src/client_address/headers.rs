//! What proxies write into requests: the addresses of those whom a request passed, the last one last.

use std::net::{IpAddr, SocketAddr};

/// The addresses in the values of `X-Forwarded-For`, in order; `None` for what is no address.
#[must_use]
pub fn x_forwarded_for(values: &[&str]) -> Vec<Option<IpAddr>> {
    values.iter().flat_map(|value| value.split(',')).map(|hop| address(hop.trim())).collect()
}

/// The addresses in the values of `Forwarded`, in order; `None` where it has a name for one, or cannot be read.
#[must_use]
pub fn forwarded(values: &[&str]) -> Vec<Option<IpAddr>> {
    // What a client wrote must not hide what a proxy wrote behind it: quotes that are wrong somewhere count nowhere.
    let hops = values.iter().flat_map(|value| split(value, ',').unwrap_or_else(|| value.split(',').collect()));
    hops.map(|hop| {
        let node = split(hop, ';')?.into_iter().find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            name.trim().eq_ignore_ascii_case("for").then_some(value.trim())
        })?;
        address(&unquoted(node)?)
    })
    .collect()
}

/// The last address that is not a proxy's which is trusted. Beyond one that cannot be read nobody is believed.
#[must_use]
pub fn client(peer: IpAddr, hops: &[Option<IpAddr>], is_trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut client = peer;
    for hop in hops.iter().rev() {
        let Some(hop) = hop else { break };
        client = *hop;
        if !is_trusted(client) {
            break;
        }
    }
    client
}

/// An address, with brackets around it and a port behind it or not.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

/// Parts between separators, which do not count within quotes; `None` unless all quotes are around whole values.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let (mut from, mut before, mut at) = (0, None, Place::Bare);
    for (place, letter) in text.char_indices() {
        at = match (at, letter) {
            (Place::Quoted, '\\') => Place::Escaped,
            (Place::Quoted, '"') => Place::Behind,
            (Place::Quoted | Place::Escaped, _) => Place::Quoted,
            (Place::Bare, '"') if before == Some('=') => Place::Quoted,
            (Place::Bare | Place::Behind, '"') => return None,
            (Place::Behind, ' ' | '\t') => Place::Behind,
            (_, ',' | ';') => Place::Bare,
            (Place::Behind, _) => return None,
            (Place::Bare, _) => Place::Bare,
        };
        if letter == separator && at == Place::Bare {
            parts.push(&text[from..place]);
            from = place + letter.len_utf8();
        }
        if !matches!(letter, ' ' | '\t') {
            before = Some(letter);
        }
    }
    parts.push(&text[from..]);
    matches!(at, Place::Bare | Place::Behind).then_some(parts)
}

/// Where a letter of a header stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In no quotes.
    Bare,
    Quoted,
    /// In quotes, behind a backslash.
    Escaped,
    /// Behind quotes, where the value has ended.
    Behind,
}

/// A value without its quotes; `None` if they do not match.
fn unquoted(value: &str) -> Option<String> {
    let Some(inner) = value.strip_prefix('"') else { return Some(value.to_owned()) };
    let mut text = String::new();
    let mut letters = inner.strip_suffix('"')?.chars();
    while let Some(letter) = letters.next() {
        text.push(if letter == '\\' { letters.next()? } else { letter });
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(hops: &[Option<IpAddr>]) -> Vec<String> {
        hops.iter().map(|hop| hop.map_or_else(|| "?".to_owned(), |hop| hop.to_string())).collect()
    }

    #[test]
    fn addresses_are_read_as_proxies_write_them() {
        let x = |value| ips(&x_forwarded_for(&[value]));
        assert_eq!(x("203.0.113.7, 10.0.0.1"), ["203.0.113.7", "10.0.0.1"]);
        assert_eq!(
            x("203.0.113.7:4711,[2001:db8::1]:80,2001:db8::2, [2001:db8::3]"),
            ["203.0.113.7", "2001:db8::1", "2001:db8::2", "2001:db8::3"]
        );
        assert_eq!(x("::ffff:203.0.113.7, unknown, "), ["203.0.113.7", "?", "?"]);
        let forwarded = |value| ips(&forwarded(&[value]));
        assert_eq!(forwarded("for=192.0.2.60;proto=http;by=203.0.113.43"), ["192.0.2.60"]);
        assert_eq!(forwarded("For=\"[2001:db8:cafe::17]:4711\", for=192.0.2.43"), ["2001:db8:cafe::17", "192.0.2.43"]);
        assert_eq!(forwarded("for=_hidden, for=\"_a,b;c\", by=1.2.3.4, for=unknown"), ["?", "?", "?", "?"]);
        assert_eq!(forwarded("host=\"a\\\",b\";for=1.2.3.4"), ["1.2.3.4"]);
        assert_eq!(forwarded("for=\"1.2.3.4"), ["?"]);
        assert_eq!(forwarded("for = \"1.2.3.4\" ;proto=https , for=1.2.3.5"), ["1.2.3.4", "1.2.3.5"]);
    }

    #[test]
    fn quotes_that_a_client_leaves_open_hide_nothing_that_a_proxy_adds() {
        for before in ["for=192.0.2.1;x=\"", "for=192.0.2.1;x=\"a\\", "for=192.0.2.1;x=a\"b", "\"", "x=\"a\"b\""] {
            for added in ["for=192.0.2.2", "for=\"[2001:db8::2]:80\"", "for=192.0.2.2;host=\"a\\\"b\";proto=https"] {
                let value = format!("{before}, {added}");
                let hops = forwarded(&[&value]);
                let last = hops.last().copied().flatten().map(|hop| hop.to_string());
                assert!(matches!(last.as_deref(), Some("192.0.2.2" | "2001:db8::2")), "{value}: {hops:?}");
                assert!(hops[..hops.len() - 1].iter().all(Option::is_none), "{value}: {hops:?}");
            }
        }
        let good = "for=192.0.2.1;x=\", for=192.0.2.3\", for=192.0.2.2";
        assert_eq!(ips(&forwarded(&[good])), ["192.0.2.1", "192.0.2.2"]);
    }

    #[test]
    fn the_rightmost_address_that_is_not_trusted_is_the_client() {
        let peer: IpAddr = "10.0.0.1".parse().unwrap();
        let of = |value: &str| {
            let hops = x_forwarded_for(&[value]);
            client(peer, &hops, |address| address.to_string().starts_with("10.")).to_string()
        };
        // What the client wrote itself is on the left.
        assert_eq!(of("1.1.1.1, 203.0.113.7"), "203.0.113.7");
        assert_eq!(of("1.1.1.1, 203.0.113.7, 10.0.0.2"), "203.0.113.7");
        assert_eq!(of("10.0.0.3, 10.0.0.2"), "10.0.0.3");
        assert_eq!(of("1.1.1.1, nonsense"), "10.0.0.1");
        assert_eq!(of("1.1.1.1, nonsense, 10.0.0.2"), "10.0.0.2");
        assert_eq!(client(peer, &[], |_| true), peer);
    }
}
