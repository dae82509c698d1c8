//! Opens the sockets of a server: at a name, one at each of its addresses.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, ToSocketAddrs, lookup_host};
use tracing::debug;

use crate::{address::ListenAddress, error::ServerError};

/// Listens where the configuration says. `localhost` is this machine in both families of addresses, whatever its own
/// files say: browsers know it so. `all` is where the server is to listen, for clients and for those who run it.
pub(crate) async fn at(
    listen: &ListenAddress,
    all: &[ListenAddress],
) -> Result<Vec<(SocketAddr, TcpListener)>, ServerError> {
    let port = listen.port();
    // Otherwise `[::]` takes the connections of IPv4 as well, and nobody else may have the port.
    let is_v4 = |other: &ListenAddress| other.port() == port && other.host().parse::<Ipv4Addr>().is_ok();
    let only_v6 = port != 0 && all.iter().any(is_v4);
    let loopback = [SocketAddr::from((Ipv4Addr::LOCALHOST, port)), SocketAddr::from((Ipv6Addr::LOCALHOST, port))];
    let is_this = listen.host().eq_ignore_ascii_case("localhost");
    let more = if is_this { loopback.as_slice() } else { &[] };
    open((listen.host(), port), more, only_v6, &listen.to_string()).await
}

/// Listens at all addresses of `name`; errors show it as `shown`. Port 0 takes one that is free at all of them.
pub(crate) async fn all(name: impl ToSocketAddrs, shown: &str) -> Result<Vec<(SocketAddr, TcpListener)>, ServerError> {
    open(name, &[], false, shown).await
}

async fn open(
    name: impl ToSocketAddrs,
    more: &[SocketAddr],
    only_v6: bool,
    shown: &str,
) -> Result<Vec<(SocketAddr, TcpListener)>, ServerError> {
    let fault = |source| ServerError::Listen { address: shown.to_owned(), source };
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in lookup_host(name).await.map_err(fault)?.chain(more.iter().copied()) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    let mut tries = TRIES;
    loop {
        match each(&addresses, only_v6) {
            // Somebody else has this port at the second address: the next free one may be free at both.
            Err(error)
                if tries > 0
                    && addresses.len() > 1
                    && addresses[0].port() == 0
                    && error.kind() == io::ErrorKind::AddrInUse =>
            {
                tries -= 1;
            }
            done => return done.map_err(fault),
        }
    }
}

/// Takes over sockets that are open already.
pub(crate) fn opened(sockets: Vec<std::net::TcpListener>) -> Result<Vec<(SocketAddr, TcpListener)>, ServerError> {
    let take = |socket: std::net::TcpListener| {
        socket.set_nonblocking(true)?;
        Ok((socket.local_addr()?, TcpListener::from_std(socket)?))
    };
    let fault = |source| ServerError::Listen { address: "a socket that was handed over".to_owned(), source };
    sockets.into_iter().map(|socket| take(socket).map_err(fault)).collect()
}

fn each(addresses: &[SocketAddr], only_v6: bool) -> io::Result<Vec<(SocketAddr, TcpListener)>> {
    let mut listeners: Vec<(SocketAddr, TcpListener)> = Vec::new();
    let mut missing = None;
    for &address in addresses {
        let mut address = address;
        if let Some((first, _)) = listeners.first() {
            address.set_port(first.port());
        }
        match bind(address, only_v6) {
            Ok(listener) => listeners.push((listener.local_addr()?, listener)),
            // A machine without IPv6 knows ::1 by name all the same.
            Err(error) if addresses.len() > 1 && is_missing(&error) => missing = Some((address, error)),
            Err(error) => return Err(error),
        }
    }
    match missing {
        Some((_, error)) if listeners.is_empty() => Err(error),
        Some((address, error)) => {
            debug!(%address, "this machine does not have it: {error}");
            Ok(listeners)
        }
        None if listeners.is_empty() => Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
        None => Ok(listeners),
    }
}

fn bind(address: SocketAddr, only_v6: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // As the standard library and tokio do.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    if only_v6 && address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Whether the machine lacks an address, or its whole family.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        || error.raw_os_error() == Some(EAFNOSUPPORT)
}

/// How many connections wait to be accepted.
const BACKLOG: i32 = 1024;
/// How often another free port is looked for.
const TRIES: u32 = 16;
/// "Address family not supported", for which the standard library has no kind. By this number on Linux.
const EAFNOSUPPORT: i32 = 97;
