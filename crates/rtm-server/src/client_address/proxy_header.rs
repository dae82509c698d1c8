//! The PROXY protocol, versions 1 and 2: what a proxy says before everything else on a connection. Only as much is read as
//! belongs to it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What is there of a header so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever reads a header goes on with either")]
pub enum ProxyHeader {
    /// At least so many more bytes belong to it.
    Needs(usize),
    /// It is complete. The client, and the address that it connected to; `None` where the proxy speaks for itself, or
    /// of a kind of address that is not known.
    Of(Option<(SocketAddr, SocketAddr)>),
}

/// This is no header of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no header of the PROXY protocol")]
#[non_exhaustive]
pub struct InvalidProxyHeader;

/// Reads the first bytes of a connection. With [`ProxyHeader::Needs`] it is to be called again with so many more.
///
/// # Errors
///
/// [`InvalidProxyHeader`], as soon as it is sure.
pub fn read(bytes: &[u8]) -> Result<ProxyHeader, InvalidProxyHeader> {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(one, other)| one == other);
    if begins(SIGNATURE) && bytes.len() >= SHORTEST_V1.min(SIGNATURE.len()) {
        return version_2(bytes);
    }
    if !begins(V1) && !begins(SIGNATURE) {
        return Err(InvalidProxyHeader);
    }
    if bytes.len() < SHORTEST_V1 {
        return Ok(ProxyHeader::Needs(SHORTEST_V1 - bytes.len()));
    }
    version_1(bytes)
}

fn version_1(bytes: &[u8]) -> Result<ProxyHeader, InvalidProxyHeader> {
    let Some(line) = bytes.strip_suffix(b"\r\n") else {
        return match bytes.last() {
            _ if bytes.len() >= LONGEST_V1 || bytes.contains(&b'\n') => Err(InvalidProxyHeader),
            Some(b'\r') => Ok(ProxyHeader::Needs(1)),
            _ => Ok(ProxyHeader::Needs(2.min(LONGEST_V1 - bytes.len()))),
        };
    };
    let line = std::str::from_utf8(line).map_err(|_| InvalidProxyHeader)?;
    let words: Vec<_> = line.split(' ').collect();
    match words[..] {
        ["PROXY", "UNKNOWN", ..] => Ok(ProxyHeader::Of(None)),
        ["PROXY", family, from, to, from_port, to_port] => {
            let address = |ip: &str, port: &str| {
                let ip: IpAddr = ip.parse().ok()?;
                let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
                let port = port.parse().ok().filter(|_| is_port)?;
                let is_family = matches!((family, ip), ("TCP4", IpAddr::V4(_)) | ("TCP6", IpAddr::V6(_)));
                is_family.then(|| SocketAddr::new(ip.to_canonical(), port))
            };
            let both = address(from, from_port).zip(address(to, to_port));
            both.map(|both| ProxyHeader::Of(Some(both))).ok_or(InvalidProxyHeader)
        }
        _ => Err(InvalidProxyHeader),
    }
}

fn version_2(bytes: &[u8]) -> Result<ProxyHeader, InvalidProxyHeader> {
    let Some((head, rest)) = bytes.split_at_checked(SIGNATURE.len() + 4) else {
        return Ok(ProxyHeader::Needs(SIGNATURE.len() + 4 - bytes.len()));
    };
    let [command, family, high, low] = head[SIGNATURE.len()..] else { return Err(InvalidProxyHeader) };
    let len = usize::from(u16::from_be_bytes([high, low]));
    if command >> 4 != 2 || command & 0xf > 1 || len > LONGEST_V2 {
        return Err(InvalidProxyHeader);
    }
    if rest.len() < len {
        return Ok(ProxyHeader::Needs(len - rest.len()));
    }
    // LOCAL: the proxy itself, to see whether the server is there.
    if command & 0xf == 0 {
        return Ok(ProxyHeader::Of(None));
    }
    let both = match family {
        0x11 => {
            let addresses = rest.first_chunk::<12>().ok_or(InvalidProxyHeader)?;
            let &[a, b, c, d, e, f, g, h, i, j, k, l] = addresses;
            let from = SocketAddr::from((Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([i, j])));
            Some((from, SocketAddr::from((Ipv4Addr::new(e, f, g, h), u16::from_be_bytes([k, l])))))
        }
        0x21 => {
            let addresses = rest.first_chunk::<36>().ok_or(InvalidProxyHeader)?;
            let ip = |at: usize| {
                let bytes = addresses.get(at..at + 16).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
                bytes.map(|bytes| IpAddr::from(Ipv6Addr::from(bytes)).to_canonical())
            };
            let port = |at: usize| u16::from_be_bytes([addresses[at], addresses[at + 1]]);
            let from = ip(0).map(|ip| SocketAddr::new(ip, port(32)));
            from.zip(ip(16).map(|ip| SocketAddr::new(ip, port(34))))
        }
        _ => None,
    };
    Ok(ProxyHeader::Of(both))
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V1: &[u8] = b"PROXY ";
/// `PROXY UNKNOWN` and the end of its line.
const SHORTEST_V1: usize = 15;
/// As the protocol's document says.
const LONGEST_V1: usize = 107;
/// What may follow the head: addresses, and what else proxies tell, of which nothing is used.
const LONGEST_V2: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a connection's first bytes, if only as many are read as are needed, and how many that are.
    fn read_all(bytes: &[u8]) -> Result<(Option<String>, usize), InvalidProxyHeader> {
        let mut have = 0;
        loop {
            match read(&bytes[..have])? {
                ProxyHeader::Needs(more) => {
                    assert!(more > 0);
                    have += more;
                    if have > bytes.len() {
                        return Ok((Some("incomplete".into()), have));
                    }
                }
                ProxyHeader::Of(both) => return Ok((both.map(|(from, to)| format!("{from} {to}")), have)),
            }
        }
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        [SIGNATURE, &[command, family], &(rest.len() as u16).to_be_bytes(), rest].concat()
    }

    #[test]
    fn version_1_is_read_to_its_end_and_not_beyond() {
        for (line, client) in [
            ("PROXY TCP4 203.0.113.7 10.0.0.1 49152 8080\r\n", Some("203.0.113.7:49152 10.0.0.1:8080")),
            ("PROXY TCP6 2001:db8::7 ::1 1 2\r\n", Some("[2001:db8::7]:1 [::1]:2")),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
        ] {
            let stream = format!("{line}GET / HTTP/1.1\r\n");
            assert_eq!(read_all(stream.as_bytes()), Ok((client.map(str::to_owned), line.len())), "{line}");
        }
    }

    #[test]
    fn version_2_is_read_to_its_end_and_not_beyond() {
        let four = [203, 0, 113, 7, 10, 0, 0, 1, 0xc0, 0, 0x1f, 0x90];
        let header = v2(0x21, 0x11, &[&four[..], b"\x04\0\x01x"].concat());
        let stream = [&header[..], b"GET"].concat();
        assert_eq!(read_all(&stream), Ok((Some("203.0.113.7:49152 10.0.0.1:8080".into()), header.len())));
        let mut six = [0; 36];
        (six[15], six[31], six[33], six[35]) = (1, 2, 3, 4);
        assert_eq!(read_all(&v2(0x21, 0x21, &six)), Ok((Some("[::1]:3 [::2]:4".into()), 52)));
        assert_eq!(read_all(&v2(0x20, 0, b"")), Ok((None, 16)));
        assert_eq!(read_all(&v2(0x21, 0x31, &[0; 216])), Ok((None, 232)), "a Unix socket");
    }

    #[test]
    fn anything_else_is_refused_as_soon_as_it_is_sure() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03aaaaaaa",
            b"PROXY TCP4 203.0.113.7 10.0.0.1 49152 80800\r\n",
            b"PROXY TCP4 203.0.113.7 10.0.0.1 +1 80\r\n",
            b"PROXY TCP4 2001:db8::7 ::1 1 2\r\n",
            b"PROXY TCP4 203.0.113.7 10.0.0.1 1\r\n",
            b"PROXY TCP4  203.0.113.7 10.0.0.1 1 2\r\n",
            b"PROXY UNKNOWNED\r\n",
            b"PROXY \n              ",
            &[b'P'; 200],
            &[b"PROXY ", &[b'x'; 200][..]].concat(),
            &v2(0x11, 0x11, &[0; 12]),
            &v2(0x22, 0x11, &[0; 12]),
            &v2(0x21, 0x11, &[0; 11]),
            &v2(0x21, 0x11, &[0; 4097]),
        ] {
            assert_eq!(read_all(bytes), Err(InvalidProxyHeader), "{}", bytes.escape_ascii());
        }
        assert_eq!(read_all(b"PROXY TCP4 203.0"), Ok((Some("incomplete".into()), 17)));
    }
}
