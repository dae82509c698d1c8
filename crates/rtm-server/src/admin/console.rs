//! The console: a page for browsers over the admin API, made of files that are in the program.

use std::{
    io::Write as _,
    net::SocketAddr,
    sync::{Arc, LazyLock},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest as _, Sha256};

use super::{Admin, access, answers::ApiError};

/// The page at `/`, and what it loads from below `/console/`.
pub(super) fn router(admin: &Arc<Admin>) -> Router<Arc<Admin>> {
    Router::new()
        .route("/", get(page))
        .route("/console/{*name}", get(file))
        .layer(from_fn_with_state(Arc::clone(admin), access::check_host))
}

async fn page(State(admin): State<Arc<Admin>>, uri: Uri, headers: HeaderMap) -> Response {
    let mut response = FILES[0].answer(&headers);
    let host = uri.authority().map(ToString::to_string);
    let host = host.or_else(|| Some(headers.get(header::HOST)?.to_str().ok()?.to_owned())).unwrap_or_default();
    let listeners = admin.shared.accepted.iter().map(|(address, _)| *address);
    let policy = policy(&host, listeners, admin.shared.tls.is_some());
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    match FILES.iter().skip(1).find(|file| file.name == name) {
        Some(file) => file.answer(&headers),
        None => ApiError::not_found("there is nothing here").into_response(),
    }
}

/// What the page may load and reach: its own files, and beside this listener those of the server's clients.
fn policy(host: &str, listeners: impl Iterator<Item = SocketAddr>, has_tls: bool) -> String {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let schemes: &[&str] = if has_tls { &["ws", "wss", "http", "https"] } else { &["ws", "http"] };
    let mut reached = String::new();
    for address in listeners {
        // A listener of all addresses is reached at the one that this page came from.
        let own =
            if address.ip().is_unspecified() { format!("{name}:{}", address.port()) } else { address.to_string() };
        for scheme in schemes {
            reached.push_str(&format!(" {scheme}://{own}"));
        }
    }
    format!(
        "default-src 'none'; script-src 'self' '{}'; style-src 'self'; img-src 'self'; connect-src 'self'{reached}; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        *IMPORT_MAP_HASH
    )
}

/// A file of the console.
struct File {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
    packed: LazyLock<Packed>,
}

/// What is sent of it.
struct Packed {
    gzip: Bytes,
    tag: String,
}

impl Packed {
    fn new(bytes: &'static [u8]) -> Self {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        // A vector takes everything.
        let gzip = gzip.write_all(bytes).and_then(|()| gzip.finish()).unwrap_or_default();
        let digest = Sha256::digest(bytes);
        Self { gzip: gzip.into(), tag: format!("\"{}\"", BASE64_STANDARD.encode(&digest[..12])) }
    }
}

impl File {
    fn answer(&self, headers: &HeaderMap) -> Response {
        let packed = &*self.packed;
        let said = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut response = if said(header::IF_NONE_MATCH).split(',').any(|tag| tag.trim() == packed.tag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else if said(header::ACCEPT_ENCODING).split(',').any(|coding| coding.trim().starts_with("gzip")) {
            ([(header::CONTENT_ENCODING, "gzip")], packed.gzip.clone()).into_response()
        } else {
            Bytes::from_static(self.bytes).into_response()
        };
        let all = response.headers_mut();
        for (name, value) in HEADERS {
            all.insert(name, HeaderValue::from_static(value));
        }
        all.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if let Ok(tag) = HeaderValue::from_str(&packed.tag) {
            all.insert(header::ETAG, tag);
        }
        response
    }
}

/// The hash of the import map, the one script that is in the page itself: browsers take none from a file.
static IMPORT_MAP_HASH: LazyLock<String> = LazyLock::new(|| {
    let page = std::str::from_utf8(FILES[0].bytes).unwrap_or_default();
    let script = page.split_once("<script type=\"importmap\">").and_then(|(_, rest)| rest.split_once("</script>"));
    let (map, _) = script.unwrap_or_default();
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(map)))
});

const HEADERS: [(HeaderName, &str); 5] = [
    (header::CACHE_CONTROL, "no-cache"),
    (header::VARY, "Accept-Encoding"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
];

macro_rules! files {
    ($($name:literal $content_type:literal;)*) => {
        static FILES: [File; [$($name),*].len()] = [$(File {
            name: $name,
            content_type: $content_type,
            bytes: include_bytes!(concat!("../../console/", $name)),
            packed: LazyLock::new(|| Packed::new(include_bytes!(concat!("../../console/", $name)))),
        }),*];
    };
}

// The page first.
files! {
    "index.html" "text/html; charset=utf-8";
    "icon.svg" "image/svg+xml";
    "console.css" "text/css; charset=utf-8";
    "vendor/uplot.css" "text/css; charset=utf-8";
    "vendor/preact.js" "text/javascript; charset=utf-8";
    "vendor/hooks.js" "text/javascript; charset=utf-8";
    "vendor/htm.js" "text/javascript; charset=utf-8";
    "vendor/signals-core.js" "text/javascript; charset=utf-8";
    "vendor/signals.js" "text/javascript; charset=utf-8";
    "vendor/uplot.js" "text/javascript; charset=utf-8";
    "app.js" "text/javascript; charset=utf-8";
    "api.js" "text/javascript; charset=utf-8";
    "state.js" "text/javascript; charset=utf-8";
    "words.js" "text/javascript; charset=utf-8";
    "zh.js" "text/javascript; charset=utf-8";
    "parts.js" "text/javascript; charset=utf-8";
    "charts.js" "text/javascript; charset=utf-8";
    "overview.js" "text/javascript; charset=utf-8";
    "lists.js" "text/javascript; charset=utf-8";
    "user.js" "text/javascript; charset=utf-8";
    "channel.js" "text/javascript; charset=utf-8";
    "server.js" "text/javascript; charset=utf-8";
    "events.js" "text/javascript; charset=utf-8";
    "tokens.js" "text/javascript; charset=utf-8";
    "try.js" "text/javascript; charset=utf-8";
    "native.js" "text/javascript; charset=utf-8";
    "vendor-wire.js" "text/javascript; charset=utf-8";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_is_small() {
        let sizes: Vec<_> = FILES.iter().map(|file| (file.name, file.packed.gzip.len())).collect();
        let all: usize = sizes.iter().map(|(_, size)| size).sum();
        assert!(all <= 120_000, "{all} bytes in gzip: {sizes:?}");
        assert!(sizes.iter().all(|(_, size)| *size > 0));
    }

    #[test]
    fn the_page_reaches_this_server_and_nothing_else() {
        let listeners = ["127.0.0.1:8080", "0.0.0.0:8443", "[::]:81"].map(|address| address.parse().unwrap());
        let policy = policy("rtm.example:8090", listeners.into_iter(), false);
        let reached = policy.split("; ").find_map(|part| part.strip_prefix("connect-src ")).unwrap();
        assert_eq!(
            reached,
            "'self' ws://127.0.0.1:8080 http://127.0.0.1:8080 ws://rtm.example:8443 http://rtm.example:8443 \
             ws://rtm.example:81 http://rtm.example:81"
        );
        let script = policy.split("; ").find_map(|part| part.strip_prefix("script-src ")).unwrap();
        assert!(script.starts_with("'self' 'sha256-") && !script.contains("unsafe"), "{script}");
    }

    #[test]
    fn there_is_one_script_in_the_page_and_it_is_the_import_map() {
        let page = std::str::from_utf8(FILES[0].bytes).unwrap();
        let inline: Vec<_> = page
            .match_indices("<script")
            .filter(|(at, _)| !page[*at..].split('>').next().unwrap().contains("src="))
            .collect();
        assert_eq!(inline.len(), 1);
        assert!(!page.contains("style="));
        assert_ne!(*IMPORT_MAP_HASH, format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(""))));
    }

    #[test]
    fn every_file_of_the_page_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/console");
        let mut missing = Vec::new();
        for (below, entries) in [("", folder.to_owned()), ("vendor/", format!("{folder}/vendor"))] {
            for entry in std::fs::read_dir(entries).unwrap() {
                let name = format!("{below}{}", entry.unwrap().file_name().into_string().unwrap());
                let is_served = [".html", ".js", ".css", ".svg"].iter().any(|end| name.ends_with(end));
                if is_served && FILES.iter().all(|file| file.name != name) {
                    missing.push(name);
                }
            }
        }
        assert!(missing.is_empty(), "{missing:?}");
    }
}
