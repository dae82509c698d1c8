//! The HTTP side of the port, as the vendor's SDK, a browser and an operator meet it.

use std::time::Duration;

use crate::support::{APP, GATEWAY, app_id, http, post, server, server_with, soon};
use rtm_server::{Advertise, Server};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

fn connect_body(app_id: &str) -> String {
    format!(r#"{{"appid":"{app_id}","uid":"alice","token":"","wss":false}}"#)
}

#[tokio::test]
async fn the_gateway_names_the_address_that_was_asked() {
    let server = server().await;
    let address = server.local_addr();
    let answer = post(address, GATEWAY, &connect_body(APP)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let json = answer.json();
    assert_eq!(json["code"], 0);
    assert!(!json["sessionid"].as_str().unwrap().is_empty());
    let expected = serde_json::json!([{"type": 0, "addr": "127.0.0.1", "port": address.port()}]);
    assert_eq!(json["addresses"], expected);
}

#[tokio::test]
async fn the_named_address_is_that_of_the_host_header_or_the_advertised_one() {
    let server = server().await;
    let address = server.local_addr();
    let own = ("127.0.0.1".to_owned(), u64::from(address.port()));
    let cases = [
        ("rtm.example.com:9000", false, ("rtm.example.com".into(), 9000)),
        ("rtm.example.com", false, ("rtm.example.com".into(), 80)),
        ("rtm.example.com", true, ("rtm.example.com".into(), 443)),
        // The SDK puts it into a URL as it is.
        ("[2001:db8::1]:9000", false, ("[2001:db8::1]".into(), 9000)),
        ("[2001:db8::1]", true, ("[2001:db8::1]".into(), 443)),
        // What is no host and port is not passed on.
        ("a\"b:1", false, own.clone()),
        (":80", false, own.clone()),
        ("host:99999", false, own.clone()),
        ("", false, own),
    ];
    for (host, wss, expected) in cases {
        let body = format!(r#"{{"appid":"{APP}","uid":"alice","token":"","wss":{wss}}}"#);
        let len = body.len();
        let request = format!("POST {GATEWAY} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len}\r\n\r\n{body}");
        let json = http(address, request).await.json();
        let named = &json["addresses"][0];
        assert_eq!((named["addr"].as_str().unwrap().to_owned(), named["port"].as_u64().unwrap()), expected, "{host:?}");
    }

    let address: Advertise = "rtm.example.com:443".parse().unwrap();
    let server = Server::builder().project(app_id()).advertise(address).bind("127.0.0.1:0").await.unwrap();
    let json = post(server.local_addr(), GATEWAY, &connect_body(APP)).await.json();
    assert_eq!(json["addresses"], serde_json::json!([{"type": 0, "addr": "rtm.example.com", "port": 443}]));
}

#[tokio::test]
async fn the_gateway_answers_bad_requests_with_a_code() {
    let server = server().await;
    let address = server.local_addr();
    let other = "f".repeat(32);
    let unknown_app = [4, 101];
    let bad_parameter = [3, -4, -7];
    for (body, codes) in [
        (connect_body(&other), unknown_app.as_slice()),
        (connect_body("short"), &unknown_app),
        (format!(r#"{{"appid":"{APP}","uid":"a'b","token":"","wss":false}}"#), &bad_parameter),
        ("{}".into(), &unknown_app),
        ("[]".into(), &unknown_app),
        ("".into(), &bad_parameter),
        ("\0".into(), &bad_parameter),
        ("[".repeat(60_000), &bad_parameter),
        (r#"{"a":"#.repeat(10_000), &bad_parameter),
    ] {
        let answer = post(address, GATEWAY, &body).await;
        assert_eq!(answer.status, 200, "{body:.60}");
        let code = answer.json()["code"].as_i64().unwrap();
        assert!(codes.contains(&code), "{body:.60}: {code}");
    }
}

#[tokio::test]
async fn a_browser_may_ask_from_any_page() {
    let server = server().await;
    let address = server.local_addr();
    let preflight = http(
        address,
        format!(
            "OPTIONS {GATEWAY} HTTP/1.1\r\nHost: h\r\nOrigin: https://example.com\r\n\
             Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type, x-y\r\n\
             Access-Control-Request-Private-Network: true\r\n\r\n"
        ),
    )
    .await;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
    assert_eq!(preflight.header("access-control-allow-headers"), Some("content-type, x-y"));
    assert!(preflight.header("access-control-allow-methods").unwrap().contains("POST"));
    assert_eq!(preflight.header("access-control-allow-private-network"), Some("true"));

    // A simple cross-origin request has a text body and no JSON content type.
    for content_type in ["", "Content-Type: text/plain;charset=UTF-8\r\n", "Content-Type: application/json\r\n"] {
        let body = connect_body(APP);
        let len = body.len();
        let request =
            format!("POST {GATEWAY} HTTP/1.1\r\nHost: h\r\n{content_type}Content-Length: {len}\r\n\r\n{body}");
        let answer = http(address, request).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some("*")));
        assert_eq!(answer.json()["code"], 0);
    }
}

#[tokio::test]
async fn the_operator_sees_health_and_others_see_nothing() {
    let server = server().await;
    let address = server.local_addr();
    let answer = http(address, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"));
    assert_eq!(http(address, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.status, 404);
    assert_eq!(post(address, "/healthz", "").await.status, 404);
    let answer = http(address, "GET /readyz HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"ready":true,"reasons":[]}"#));
    let answer = http(address, format!("GET {GATEWAY} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST, OPTIONS")));
}

#[tokio::test]
async fn what_is_too_large_is_refused_without_being_read_whole() {
    let server = server().await;
    let address = server.local_addr();
    let body = "x".repeat(64 * 1024 + 1);
    assert_eq!(post(address, GATEWAY, &body).await.status, 413);
    // The length alone is enough, and a length that lies is found out.
    let request = format!("POST {GATEWAY} HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\n");
    assert_eq!(http(address, request).await.status, 413);
    let chunks = "2000\r\n".to_owned() + &"x".repeat(0x2000) + "\r\n";
    let request = format!("POST {GATEWAY} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(http(address, request + &chunks.repeat(9)).await.status, 413);
    // A browser shows a page only what it may read, and a person what was wrong.
    let headers = |count: usize| (0..count).map(|i| format!("X-{i}: y\r\n")).collect::<String>();
    for head in
        [format!("Cookie: {}\r\n", "x".repeat(17 * 1024)), format!("X: {}\r\n", "x".repeat(40 * 1024)), headers(101)]
    {
        let answer = http(address, format!("GET /healthz HTTP/1.1\r\nHost: h\r\n{head}\r\n")).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (431, Some("*")));
        assert!(answer.body.contains("16 KiB"), "{answer:?}");
    }
    let request = format!("GET /healthz HTTP/1.1\r\nHost: h\r\n{}\r\n", headers(99));
    assert_eq!(http(address, request).await.status, 200);
    let request = format!("GET /healthz HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(200 * 1024));
    assert_eq!(http(address, request).await.status, 431);
    assert_eq!(http(address, "nonsense\r\n\r\n").await.status, 400);
}

#[tokio::test]
async fn who_is_slow_with_a_request_is_cut_off() {
    let server = server_with(|config| config.handshake_timeout = Duration::from_millis(100)).await;
    let address = server.local_addr();
    let starts: [&[u8]; 4] = [
        b"",
        b"GET / HT",
        b"GET /healthz HTTP/1.1\r\nHost: h\r\nX: ",
        b"POST /arapi/v1?action=wrtm_gateway HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\n\r\n{",
    ];
    for start in starts {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(start).await.unwrap();
        let mut rest = Vec::new();
        // The end of the stream, cleanly or not, is what is waited for.
        let _ = soon("being cut off", stream.read_to_end(&mut rest)).await;
    }
    soon("all sockets gone", async {
        while server.stats().connections > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_handshake_is_refused_with_what_is_wrong() {
    let server = server().await;
    let address = server.local_addr();
    let good = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let ask = async |method: &str, headers: &[(&str, &str)]| {
        let headers: String = headers.iter().map(|(key, value)| format!("{key}: {value}\r\n")).collect();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("{method} /any/path HTTP/1.1\r\nHost: h\r\n{headers}\r\n").as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        while !bytes.windows(4).any(|window| window == b"\r\n\r\n") {
            assert_ne!(soon("an answer", stream.read_buf(&mut bytes)).await.unwrap(), 0);
        }
        crate::support::parse(&bytes)
    };
    let with = |name, value| [&good[..], &[(name, value)]].concat();

    let answer = ask("GET", &good).await;
    assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (101, None));
    assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    let answer = ask("GET", &with("Sec-WebSocket-Protocol", "other, rtm.v1")).await;
    assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (101, Some("rtm.v1")));

    for protocol in ["rtm.v2", "", "rtm", "RTM.V1"] {
        assert_eq!(ask("GET", &with("Sec-WebSocket-Protocol", protocol)).await.status, 400, "{protocol:?}");
    }
    assert_eq!(ask("POST", &good).await.status, 400);
    for (left_out, status) in [(0, 400), (2, 426), (3, 400)] {
        let mut headers = good.to_vec();
        headers.remove(left_out);
        assert_eq!(ask("GET", &headers).await.status, status);
    }
    let mut headers = good.to_vec();
    headers[2].1 = "8";
    let answer = ask("GET", &headers).await;
    assert_eq!((answer.status, answer.header("sec-websocket-version")), (426, Some("13")));
    headers[2].1 = "13";
    headers[3].1 = "short";
    assert_eq!(ask("GET", &headers).await.status, 400);
}

#[tokio::test]
async fn a_handshake_that_a_proxy_has_spoilt_is_refused_with_what_to_set() {
    let server = server().await;
    let address = server.local_addr();
    let headers = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    // nginx speaks HTTP/1.0 unless it is told otherwise.
    for host in ["", "Host: h\r\n"] {
        let answer = http(address, format!("GET / HTTP/1.0\r\n{host}{headers}\r\n")).await;
        assert_eq!((answer.status, answer.header("upgrade")), (426, Some("websocket")));
        assert!(answer.body.contains("HTTP/1.1") && answer.body.contains("proxy_http_version 1.1"), "{answer:?}");
    }
    // And leaves the headers out that are for one hop only.
    let key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let answer = http(address, format!("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{key}\r\n")).await;
    assert_eq!(answer.status, 426);
    assert!(answer.body.contains("proxy_set_header Upgrade $http_upgrade"), "{answer:?}");
    // Other requests may come in HTTP/1.0.
    assert_eq!(http(address, "GET /healthz HTTP/1.0\r\n\r\n").await.status, 200);
}

#[tokio::test]
async fn those_who_look_after_it_ask_the_port_of_clients_too() {
    let server = server().await;
    for (path, body) in [("/livez", "ok\n"), ("/healthz", "ok\n"), ("/readyz", "{\"ready\":true,\"reasons\":[]}")] {
        for (method, wanted) in [("GET", body), ("HEAD", "")] {
            let answer = http(server.local_addr(), format!("{method} {path} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
            assert_eq!((answer.status, answer.body.as_str()), (200, wanted), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_request_names_its_host_once() {
    let server = server().await;
    let address = server.local_addr();
    let body = connect_body(APP);
    let post = async |target: &str, version: &str, hosts: &[&str]| {
        let hosts: String = hosts.iter().map(|host| format!("Host: {host}\r\n")).collect();
        let len = body.len();
        http(address, format!("POST {target} HTTP/{version}\r\n{hosts}Content-Length: {len}\r\n\r\n{body}")).await
    };
    for hosts in [&[][..], &["a:1", "a:1"], &["a:1", "b:1"]] {
        let answer = post(GATEWAY, "1.1", hosts).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (400, Some("*")), "{hosts:?}");
        assert!(answer.body.contains("Host"), "{answer:?}");
    }
    assert_eq!(post(GATEWAY, "1.0", &[]).await.json()["addresses"][0]["port"], address.port());
    // A proxy asks for the whole of the URL, and that counts.
    let absolute = format!("http://rtm.example.com:9000{GATEWAY}");
    let answer = post(&absolute, "1.1", &["other.example.com:1"]).await.json();
    assert_eq!(
        (&answer["addresses"][0]["addr"], &answer["addresses"][0]["port"]),
        (&"rtm.example.com".into(), &9000.into())
    );
}
