//! Writes JSON, and JSON inside strings of JSON, in one pass: a character is escaped once for each string around it.

/// JSON under construction.
#[derive(Debug, Default)]
pub(super) struct Writer {
    out: String,
    /// How many strings lie around what is written next.
    depth: usize,
}

impl Writer {
    /// With room for `bytes` bytes.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { out: String::with_capacity(bytes), depth: 0 }
    }

    /// How many strings lie around what is written next.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// Appends JSON's own characters, and text known to need no escape at any depth.
    pub(super) fn raw(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// A number.
    pub(super) fn number(&mut self, number: impl itoa::Integer) {
        self.out.push_str(itoa::Buffer::new().format(number));
    }

    /// A number with a fraction; what JSON cannot say is `null`.
    pub(super) fn double(&mut self, number: f64) {
        if number.is_finite() { self.raw(&format!("{number:?}")) } else { self.raw("null") }
    }

    /// The same, with as many digits as its precision has.
    pub(super) fn single(&mut self, number: f32) {
        if number.is_finite() { self.raw(&format!("{number:?}")) } else { self.raw("null") }
    }

    /// A string.
    pub(super) fn string(&mut self, text: &str) {
        self.nested(|out| out.text(text));
    }

    /// A string that holds what `write` writes.
    pub(super) fn nested(&mut self, write: impl FnOnce(&mut Self)) {
        self.out.push_str(QUOTES[self.depth]);
        self.depth += 1;
        write(self);
        self.depth -= 1;
        self.out.push_str(QUOTES[self.depth]);
    }

    /// Characters of the innermost string.
    fn text(&mut self, mut text: &str) {
        while let Some(at) = first_special(text.as_bytes()) {
            self.out.push_str(&text[..at]);
            self.escape(text.as_bytes()[at]);
            text = &text[at + 1..];
        }
        self.out.push_str(text);
    }

    fn escape(&mut self, byte: u8) {
        // A character that is one escape in the innermost string has its backslash doubled by each
        // string further out.
        let backslashes = 1 << (self.depth.max(1) - 1);
        let letter = match byte {
            b'"' => {
                self.out.push_str(QUOTES[self.depth]);
                return;
            }
            b'\\' => {
                self.out.push_str(&BACKSLASHES[..2 * backslashes]);
                return;
            }
            b'\n' => 'n',
            b'\r' => 'r',
            b'\t' => 't',
            0x08 => 'b',
            0x0c => 'f',
            _ => 'u',
        };
        self.out.push_str(&BACKSLASHES[..backslashes]);
        self.out.push(letter);
        if letter == 'u' {
            self.out.push_str("00");
            self.out.push(HEX[usize::from(byte >> 4)]);
            self.out.push(HEX[usize::from(byte & 15)]);
        }
    }

    /// What was written.
    pub(super) fn finish(self) -> String {
        self.out
    }
}

/// Where the first byte stands that cannot stand for itself in a string: a quote, a backslash or a control character.
#[inline]
pub(super) fn first_special(bytes: &[u8]) -> Option<usize> {
    // Most strings end, or have something to escape, within a few bytes.
    match bytes.first_chunk().and_then(|word| special_in(*word)) {
        Some(found) => Some(found),
        None => first_special_beyond(bytes),
    }
}

fn first_special_beyond(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(word) = bytes[at..].first_chunk() {
        if let Some(found) = special_in(*word) {
            return Some(at + found);
        }
        at += WORD;
        if at == NEAR {
            // For the others a test without branches, which compiles to vector code.
            let (blocks, _) = bytes[at..].as_chunks::<BLOCK>();
            let is_plain = |block: &&[u8; BLOCK]| !block.iter().fold(false, |found, byte| found | is_special(*byte));
            at += blocks.iter().take_while(is_plain).count() * BLOCK;
        }
    }
    bytes[at..].iter().position(|byte| is_special(*byte)).map(|found| at + found)
}

fn is_special(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

/// Tests eight bytes at once: of each test's marks the lowest is right, whatever borrows do to those above it.
fn special_in(word: [u8; WORD]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    let word = u64::from_le_bytes(word);
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let marks = (below(word, b' ') | equal(b'"') | equal(b'\\')) & (ONES * 0x80);
    (marks != 0).then(|| marks.trailing_zeros() as usize / 8)
}

const WORD: usize = 8;
const NEAR: usize = 64;
const BLOCK: usize = 32;
const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];

/// The escapes that a quote and a backslash take are `2^depth - 1` and `2^depth` backslashes.
const BACKSLASHES: &str = r"\\\\\\\\\\\\\\\\";

/// How many strings may lie around a token. The deepest of the wire is a text in JSON, in a message's body, in
/// `Content`, in the envelope.
pub(super) const MAX_DEPTH: usize = 3;

/// The quote of a string, by the number of strings around it.
pub(super) const QUOTES: [&str; MAX_DEPTH + 1] = [r#"""#, r#"\""#, r#"\\\""#, r#"\\\\\\\""#];

#[cfg(test)]
mod tests {
    use super::*;

    /// serde_json, applied once for each string, is the oracle.
    fn wrapped(text: &str, depth: usize) -> String {
        (0..=depth).fold(text.to_owned(), |text, _| serde_json::to_string(&text).unwrap())
    }

    fn written(text: &str, depth: usize) -> String {
        fn deeper(out: &mut Writer, text: &str, depth: usize) {
            match depth {
                0 => out.string(text),
                _ => out.nested(|out| deeper(out, text, depth - 1)),
            }
        }
        let mut out = Writer::default();
        deeper(&mut out, text, depth);
        out.finish()
    }

    #[test]
    fn every_character_is_escaped_as_if_once_for_each_string_around_it() {
        let all: String = (0..=0x17f).filter_map(char::from_u32).collect();
        for text in [all.as_str(), "", "\"", "\\", "\u{7f}\u{2028}\u{2029}\u{d7ff}\u{e000}\u{fffd}", "中文 👋🏽"]
        {
            for depth in 0..MAX_DEPTH {
                assert_eq!(written(text, depth), wrapped(text, depth), "{text:?} in {depth} strings");
            }
        }
    }

    #[test]
    fn a_special_byte_is_found_wherever_it_stands() {
        for len in 0..200 {
            let plain = vec![b'x'; len];
            assert_eq!(first_special(&plain), None);
            for at in 0..len {
                for byte in [b'"', b'\\', 0, 0x1f] {
                    let mut bytes = plain.clone();
                    bytes[at] = byte;
                    assert_eq!(first_special(&bytes), Some(at));
                }
            }
        }
        assert_eq!(first_special("\u{7f} é字".as_bytes()), None);
    }
}
