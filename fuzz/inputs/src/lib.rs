//! What the fuzz targets do with an input, apart from the fuzzer, so that a stable compiler can run what was found.
//!
//! Each target takes any bytes, and panics when a promise is broken. Those of sequences read their steps from the
//! bytes, as many as there are.

#![expect(clippy::exhaustive_structs, reason = "it is not published")]

mod addresses;
mod call;
mod cluster_decode;
mod connection;
mod decoders;
mod http;
mod server;
mod session;
mod websocket;
mod websocket_read;

pub use addresses::{forwarded, proxy_header};
pub use cluster_decode::cluster_decode;
pub use connection::connection;
pub use decoders::{
    native_client_decode, native_server_decode, rest_decode, token, vendor_client_decode, vendor_gateway_decode,
    vendor_server_decode,
};
pub use http::http;
pub use session::session;
pub use websocket::websocket;
pub use websocket_read::websocket_read;

/// A target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The name that it has in `fuzz_targets/` and `seeds/`.
    pub name: &'static str,
    /// What it does with an input.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: [Target; 15] = [
    Target { name: "native_client_decode", run: native_client_decode },
    Target { name: "native_server_decode", run: native_server_decode },
    Target { name: "vendor_client_decode", run: vendor_client_decode },
    Target { name: "vendor_server_decode", run: vendor_server_decode },
    Target { name: "vendor_gateway_decode", run: vendor_gateway_decode },
    Target { name: "rest_decode", run: rest_decode },
    Target { name: "proxy_header", run: proxy_header },
    Target { name: "forwarded", run: forwarded },
    Target { name: "token", run: token },
    Target { name: "cluster_decode", run: cluster_decode },
    Target { name: "connection", run: connection },
    Target { name: "session", run: session },
    Target { name: "http", run: http },
    Target { name: "websocket", run: websocket },
    Target { name: "websocket_read", run: websocket_read },
];
