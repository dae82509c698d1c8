//! JSON with half of a surrogate pair, as JavaScript leaves it when it cuts a text in the middle of an emoji: it can be
//! written, and no text can hold it.

use std::borrow::Cow;

/// The same JSON, with U+FFFD in the place of each half.
pub(crate) fn without_halves(json: &str) -> Cow<'_, str> {
    let mut whole = String::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(found) = json[at..].find('\\') {
        at += found;
        let escape = &json[at..];
        let is_pair = is_half(escape, 0xd800) && escape.get(UNIT..).is_some_and(|next| is_half(next, 0xdc00));
        if is_pair {
            at += 2 * UNIT;
        } else if is_half(escape, 0xd800) || is_half(escape, 0xdc00) {
            whole.push_str(&json[copied..at]);
            whole.push(char::REPLACEMENT_CHARACTER);
            at += UNIT;
            copied = at;
        } else {
            // What is escaped may be a backslash.
            at += 1 + escape[1..].chars().next().map_or(0, char::len_utf8);
        }
    }
    if whole.is_empty() {
        return Cow::Borrowed(json);
    }
    whole.push_str(&json[copied..]);
    Cow::Owned(whole)
}

/// Whether an escape stands for one of the 1,024 halves from `first` on.
fn is_half(escape: &str, first: u32) -> bool {
    let digits = escape.strip_prefix("\\u").and_then(|rest| rest.get(..4));
    let unit = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
    unit.is_some_and(|unit| (first..first + 0x400).contains(&unit))
}

/// The length of an escape with four digits.
const UNIT: usize = r"\ud83d".len();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_replaced_and_nothing_else() {
        for (json, whole) in [
            (r#""a\ud83d""#, "\"a\u{fffd}\""),
            (r#""\uDC4Bb""#, "\"\u{fffd}b\""),
            (r#"{"\ud83d":"\ud83d\ud83d\udc4b"}"#, "{\"\u{fffd}\":\"\u{fffd}\\ud83d\\udc4b\"}"),
            (r#""\udc4b\ud83d""#, "\"\u{fffd}\u{fffd}\""),
            (r#""\ud83d\n""#, "\"\u{fffd}\\n\""),
        ] {
            assert_eq!(without_halves(json), whole, "{json}");
        }
        for json in
            [r#""👋\ud83d\udc4b""#, r#""\\ud83d""#, r#""\\\\udc4b""#, r#""\u00e9""#, r"\", r"\u", r"\ud83", r"\é", ""]
        {
            assert_eq!(without_halves(json), json);
        }
    }
}
