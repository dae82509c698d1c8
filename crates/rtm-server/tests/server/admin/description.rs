//! The answers fit the description in OpenAPI.

use rtm_codec::{ChannelId, JoinChannel, Wire};

use super::{call, with_keys};
use crate::support::{APP, Client};

#[cfg(feature = "webhooks")]
/// What a value has to be by its schema. A test has no use for more of JSON Schema.
fn fits(schema: &serde_json::Value, value: &serde_json::Value, path: &str) {
    use serde_json::Value;
    let named = match &schema["type"] {
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        one => vec![one.as_str().unwrap()],
    };
    let name = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(named.contains(&name), "{path} is {value}, and should be {named:?}");
    match value {
        Value::Array(items) => items.iter().for_each(|item| fits(&schema["items"], item, path)),
        Value::Object(fields) => {
            for needed in schema["required"].as_array().into_iter().flatten() {
                assert!(fields.contains_key(needed.as_str().unwrap()), "{path} has no {needed}");
            }
            for (name, value) in fields {
                let known = schema["properties"].get(name).unwrap_or_else(|| &schema["additionalProperties"]);
                assert!(known.is_object(), "{path}.{name} is not described");
                if known.get("type").is_some() {
                    fits(known, value, &format!("{path}.{name}"));
                }
            }
        }
        _ => {}
    }
}

#[cfg(feature = "webhooks")]
#[tokio::test]
async fn every_call_answers_as_its_description_says() {
    let kept: serde_json::Value = serde_json::from_str(include_str!("../../../../../docs/admin-api.json")).unwrap();
    let described: serde_json::Value = serde_json::from_str(&rtm_server::admin_openapi()).unwrap();
    assert!(kept == described, "run: rtm admin openapi > docs/admin-api.json");
    let (server, admin, [.., all, _]) = with_keys().await;
    let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    alice.request(JoinChannel { channel_id: ChannelId::new("room").unwrap() }).await;
    alice.next().await;
    let _bob = Client::login(server.local_addr(), Wire::Vendor, "bob").await;
    let bodies = [
        ("set_log_level", r#"{"level":"debug"}"#),
        ("ban", r#"{"for":"1h"}"#),
        ("revoke_tokens", r#"{"issued_before":"now"}"#),
        ("revoke_all_tokens", r#"{"issued_before":"2026-01-01T00:00:00Z"}"#),
        ("send_to_user", r#"{"from":"support","text":"hello","offline":true,"history":true}"#),
        ("replay_webhook", r#"{"after":0}"#),
        ("make_token", r#"{"user_id":"alice"}"#),
        ("set_limits", r#"{"limits":{"get_members":"500/2s"}}"#),
        ("explain_token", r#"{"token":"006"}"#),
        ("send_to_channel", r#"{"from":"support","text":"hello","history":true}"#),
    ];
    let mut calls: Vec<_> = described["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            methods
                .as_object()
                .unwrap()
                .iter()
                .map(move |(method, call)| (path.clone(), method.to_uppercase(), call.clone()))
        })
        .collect();
    // What ends something comes last, and a read sees what was sent before.
    calls.sort_by_key(|(_, method, _)| ["POST", "PUT", "GET", "DELETE"].iter().position(|known| known == method));
    calls.sort_by_key(|(path, ..)| path.ends_with("/kick") || path.ends_with("/ban") || path.ends_with("/drain"));
    let all_calls = calls.len();
    let mut answered = 0;
    for (path, method, described) in calls {
        let name = described["operationId"].as_str().unwrap();
        let user = if name == "send_to_user" || name.ends_with("ban") { "bob" } else { "alice" };
        let path = path
            .replace("{app_id}", APP)
            .replace("{user_id}", user)
            .replace("{channel_id}", "room")
            .replace("{name}", "none");
        let path = path.strip_prefix("/admin/v1").unwrap();
        let body = bodies.iter().find(|(known, _)| *known == name).map_or("", |(_, body)| *body);
        assert_eq!(body.is_empty(), described.get("requestBody").is_none(), "{name}");
        let (status, answer) = call(admin, &all, &method, path, body).await;
        let schema = match status {
            200 => &described["responses"]["200"]["content"]["application/json"]["schema"],
            // Nobody gave it a configuration to read again, and it is in no cluster.
            409 if ["reload", "cluster"].contains(&name) => continue,
            // The project is open.
            409 if name == "make_token" => continue,
            // It has no webhook.
            404 if ["webhook_attempts", "replay_webhook", "test_webhook", "pause_webhook", "enable_webhook"]
                .contains(&name) =>
            {
                continue;
            }
            other => panic!("{name} is answered {other}: {answer}"),
        };
        fits(schema, &answer, name);
        answered += 1;
    }
    assert_eq!(answered, all_calls - 8);
}
