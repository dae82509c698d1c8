//! How answers are printed: for programs as they are, for people in lines that steer no terminal.

use serde_json::Value;

use crate::output;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// One line for each item, with its values behind their names.
    Text,
    /// As the server answers.
    Json,
}

pub(super) fn print(answer: &Value, format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
        return output::line(answer);
    }
    let Some(items) = answer.get("items").and_then(Value::as_array) else { return output::line(line(answer, "\n")) };
    output::text(&items.iter().map(|item| line(item, " ") + "\n").collect::<String>())?;
    if let Some(next) = answer["next"].as_str() {
        output::note(format_args!("there is more: --cursor {next}"));
    }
    Ok(())
}

/// The values of an object behind their names; another value as it is.
fn line(value: &Value, between: &str) -> String {
    match value {
        Value::Object(values) => {
            let pair = |(name, value): (&String, &Value)| match value {
                Value::String(text) => format!("{name}={}", shown(text)),
                Value::Null => format!("{name}=none"),
                value => format!("{name}={value}"),
            };
            // Where there is nothing else, it is the answer that there is none.
            let is_nothing = values.values().all(Value::is_null);
            let shown = values.iter().filter(|(_, value)| is_nothing || !value.is_null());
            shown.map(pair).collect::<Vec<_>>().join(between)
        }
        Value::String(text) => shown(text),
        value => value.to_string(),
    }
}

/// A text as it is, or in quotes where it could be taken for something else: a terminal must not obey what users call
/// themselves.
pub(super) fn shown(text: &str) -> String {
    let is_plain =
        |letter: char| !letter.is_control() && !letter.is_whitespace() && !matches!(letter, '"' | '\\' | '=');
    if !text.is_empty() && text.chars().all(is_plain) && !text.chars().any(is_format) {
        return text.to_owned();
    }
    let mut shown = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => shown.extend(['\\', letter]),
            letter if letter.is_control() || is_format(letter) => shown.extend(letter.escape_unicode()),
            letter => shown.push(letter),
        }
    }
    shown.push('"');
    shown
}

/// Letters that are not seen and turn others around.
fn is_format(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{line, shown};

    #[test]
    fn an_answer_of_nothing_says_of_what() {
        assert_eq!(line(&json!({ "tokens_revoked_before": null }), "\n"), "tokens_revoked_before=none");
        assert_eq!(line(&json!({ "user_id": "alice", "banned_until": null }), "\n"), "user_id=alice");
    }

    #[test]
    fn what_users_call_themselves_steers_no_terminal() {
        for (text, wanted) in [
            ("alice", "alice"),
            ("城市", "城市"),
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("a=b", "\"a=b\""),
            ("say \"hi\"", "\"say \\\"hi\\\"\""),
            ("\u{1b}[2J", "\"\\u{1b}[2J\""),
            ("a\nb", "\"a\\u{a}b\""),
            ("\u{202e}evil", "\"\\u{202e}evil\""),
        ] {
            assert_eq!(shown(text), wanted);
        }
    }
}
