//! The values that calls take and answer, as JSON Schema has them.

use serde_json::{Map, Value, json};

/// A value with a name; one that may be missing, or null, has a question mark behind it.
pub(super) type Field = (&'static str, Kind);

#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text,
    Time,
    Number,
    /// A number from 1 on.
    Count,
    Flag,
    /// A number with a fraction.
    Decimal,
    Texts,
    /// Values of an application's own, by their names.
    Map,
    /// Values of any form, by their names.
    Any,
    Items(&'static [Field]),
    Object(&'static [Field]),
}

impl Kind {
    pub(super) fn schema(self, may_be_null: bool) -> Value {
        let kind = |name: &str| if may_be_null { json!([name, "null"]) } else { json!(name) };
        match self {
            Self::Text => json!({ "type": kind("string") }),
            Self::Time => json!({ "type": kind("string"), "format": "date-time" }),
            Self::Number => json!({ "type": kind("integer"), "minimum": 0 }),
            Self::Count => json!({ "type": kind("integer"), "minimum": 1 }),
            Self::Decimal => json!({ "type": kind("number"), "minimum": 0 }),
            Self::Flag => json!({ "type": kind("boolean") }),
            Self::Texts => json!({ "type": kind("array"), "items": { "type": "string" } }),
            Self::Map => json!({ "type": kind("object"), "additionalProperties": { "type": "string" } }),
            Self::Any => json!({ "type": kind("object"), "additionalProperties": {} }),
            Self::Items(fields) => json!({ "type": kind("array"), "items": object(fields) }),
            Self::Object(fields) => {
                let mut schema = object(fields);
                schema["type"] = kind("object");
                schema
            }
        }
    }
}

pub(super) fn object(fields: &[Field]) -> Value {
    let mut properties = Map::new();
    let mut needed = Vec::new();
    for (name, kind) in fields {
        let (name, is_required) = required(name);
        properties.insert(name.to_owned(), kind.schema(!is_required));
        if is_required {
            needed.push(name);
        }
    }
    json!({ "type": "object", "required": needed, "properties": properties })
}

pub(super) fn list(item: &Value) -> Value {
    json!({
        "type": "object",
        "required": ["items", "next"],
        "properties": { "items": { "type": "array", "items": item }, "next": { "type": ["string", "null"] } },
    })
}

/// A value that somebody may send, where one helps more than what kind of value it is.
pub(super) fn example(name: &str, kind: Kind) -> Option<Value> {
    Some(match name {
        "from" if matches!(kind, Kind::Time) => json!("2026-01-01T00:00:00Z"),
        "app_id" => json!("0123456789abcdef0123456789abcdef"),
        "user_id" => json!("alice"),
        "from" => json!("bob"),
        "channel_id" => json!("lobby"),
        "name" => json!("shop"),
        "text" => json!("hello"),
        "level" => json!("info"),
        "limits" => json!({ "send_message": "360/3s" }),
        "issued_before" => json!("2026-01-01T00:00:00Z"),
        "for" | "wait" => json!("1s"),
        "types" => json!("user.*"),
        "limit" => json!(100),
        "after" => json!(0),
        "token" => json!("006…"),
        _ => return None,
    })
}

/// A field's name, and whether it has to be there.
pub(super) fn required(name: &str) -> (&str, bool) {
    match name.strip_suffix('?') {
        Some(name) => (name, false),
        None => (name, true),
    }
}
