//! The admin listener, as Prometheus, a load balancer and an operator meet it.

mod access;
mod description;
mod health;
mod metrics;
mod not_done;
mod users;

use std::net::SocketAddr;

use rtm_server::{AdminKey, AdminRole, CallLimits, LogControl, Server};

use crate::support::{http, server_with};

async fn with_admin() -> (Server, SocketAddr) {
    let server = server_with(|config| config.admin.listen = vec!["127.0.0.1:0".parse().unwrap()]).await;
    let admin = server.admin_addrs()[0];
    (server, admin)
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let answer = http(address, request).await;
    (answer.status, answer.body)
}

async fn metrics(address: SocketAddr) -> String {
    let (status, text) = get(address, "/metrics").await;
    assert_eq!(status, 200, "{text}");
    text
}

/// The value of the sample that is written so.
fn sample(text: &str, sample: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {sample} in\n{text}")).parse().unwrap()
}

/// A server whose API has keys of all roles, and one of another project only. Gives their texts.
async fn with_keys() -> (Server, SocketAddr, [String; 4]) {
    let key = |name: &str, role| AdminKey::generate(name, role).unwrap();
    let (read, operate, all) =
        (key("grafana", AdminRole::Read), key("support", AdminRole::Operate), key("root", AdminRole::Admin));
    let mut other = key("other", AdminRole::Admin);
    other.0.projects = Some(vec!["f".repeat(32).parse().unwrap()]);
    let texts = [read.1, operate.1, all.1, other.1];
    let server = server_with(|config| {
        config.admin.listen = vec!["127.0.0.1:0".parse().unwrap()];
        config.projects[0].limits = CallLimits::unlimited();
        config.admin.keys = vec![read.0, operate.0, all.0, other.0];
        config.admin.log = Some(LogControl::new("info", |level| match level {
            "nonsense" => Err("that is no level".to_owned()),
            _ => Ok(()),
        }));
    })
    .await;
    let admin = server.admin_addrs()[0];
    (server, admin, texts)
}

/// Calls the API. Gives the status and the answer.
async fn call(address: SocketAddr, key: &str, method: &str, path: &str, body: &str) -> (u16, serde_json::Value) {
    let answer = http(
        address,
        format!(
            "{method} /admin/v1{path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    )
    .await;
    (answer.status, answer.json())
}
