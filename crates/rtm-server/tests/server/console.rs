//! The console, as a browser is given it.

use std::net::SocketAddr;

use crate::support::{http, server_with};

async fn get(address: SocketAddr, path: &str, headers: &str) -> crate::support::Answer {
    http(address, format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n")).await
}

#[tokio::test]
async fn the_page_says_what_it_may_load_and_reach() {
    let server = server_with(|config| config.admin.listen = vec!["127.0.0.1:0".parse().unwrap()]).await;
    let (admin, public) = (server.admin_addrs()[0], server.local_addr());
    let page = get(admin, "/", "").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").unwrap();
    let part = |name: &str| policy.split("; ").find_map(|part| part.strip_prefix(name)?.strip_prefix(' ')).unwrap();
    assert_eq!(part("default-src"), "'none'");
    assert_eq!(part("connect-src"), format!("'self' ws://{public} http://{public}"));
    assert_eq!(part("frame-ancestors"), "'none'");
    for unsafe_word in ["unsafe", "*", "https:", "data:"] {
        assert!(!policy.contains(unsafe_word), "{policy}");
    }
    for (name, value) in [("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer")] {
        assert_eq!(page.header(name), Some(value));
    }
}

#[tokio::test]
async fn its_files_are_asked_for_again_only_where_they_are_others() {
    let server = server_with(|config| config.admin.listen = vec!["127.0.0.1:0".parse().unwrap()]).await;
    let admin = server.admin_addrs()[0];
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/console/app.js", "text/javascript; charset=utf-8"),
        ("/console/console.css", "text/css; charset=utf-8"),
        ("/console/vendor/preact.js", "text/javascript; charset=utf-8"),
    ] {
        let whole = get(admin, path, "").await;
        assert_eq!((whole.status, whole.header("content-type")), (200, Some(content_type)), "{path}");
        assert!(!whole.body.is_empty() && whole.header("content-encoding").is_none());
        let tag = whole.header("etag").unwrap();
        let same = get(admin, path, &format!("If-None-Match: {tag}\r\n")).await;
        assert_eq!((same.status, same.body.as_str()), (304, ""), "{path}");
        let head = http(
            admin,
            format!("HEAD {path} HTTP/1.1\r\nHost: {admin}\r\nAccept-Encoding: br, gzip\r\nConnection: close\r\n\r\n"),
        );
        let head = head.await;
        assert_eq!(head.header("content-encoding"), Some("gzip"), "{path}");
        let length: usize = head.header("content-length").unwrap().parse().unwrap();
        assert!(length < whole.body.len(), "{path}");
    }
    for path in ["/console/", "/console/index.html", "/console/../Cargo.toml", "/console/vendor/fetch.py"] {
        assert_eq!(get(admin, path, "").await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn no_page_of_another_name_gets_it_and_no_client() {
    let server = server_with(|config| config.admin.listen = vec!["127.0.0.1:0".parse().unwrap()]).await;
    let admin = server.admin_addrs()[0];
    let stolen = http(admin, "GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").await;
    assert_eq!(stolen.status, 403);
    assert_eq!(get(server.local_addr(), "/console/app.js", "").await.status, 404);
}
