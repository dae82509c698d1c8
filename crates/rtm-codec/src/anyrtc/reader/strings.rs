//! Reads the text of a string: where it ends, and what its escapes stand for.

use std::{borrow::Cow, iter};

use super::Reader;
use crate::{
    DecodeErrorKind,
    json::{QUOTES, first_special},
};

/// One character of a string's text.
pub(super) enum Unit {
    Char(char),
    /// Half of a surrogate pair, as JavaScript makes it when it cuts a text: JSON can write it, text cannot hold it.
    Lone,
    /// The string ends.
    End,
}

impl<'a> Reader<'a> {
    /// Reads a string whose opening quote was read. Half of a surrogate pair becomes U+FFFD.
    pub(super) fn rest_of_string(&mut self) -> Result<Cow<'a, str>, DecodeErrorKind> {
        let start = self.at;
        if self.plain() {
            let end = self.at;
            self.at += QUOTES[self.depth].len();
            return Ok(Cow::Borrowed(&self.text[start..end]));
        }
        self.rest_of_escaped_string(start)
    }

    // A function of its own: strings without escapes must not pay for its stack.
    #[inline(never)]
    fn rest_of_escaped_string(&mut self, start: usize) -> Result<Cow<'a, str>, DecodeErrorKind> {
        let mut text = String::with_capacity(2 * (self.at - start) + ESCAPED_BYTES);
        text.push_str(&self.text[start..self.at]);
        loop {
            match self.escapes(&mut text) {
                Some(true) => break,
                Some(false) => {}
                None => match self.unit(self.depth + 1)? {
                    Unit::Char(c) => text.push(c),
                    Unit::Lone => text.push(char::REPLACEMENT_CHARACTER),
                    Unit::End => break,
                },
            }
            let from = self.at;
            let ends = self.plain();
            text.push_str(&self.text[from..self.at]);
            if ends {
                self.at += QUOTES[self.depth].len();
                break;
            }
        }
        // The text may be kept for long.
        if text.capacity() - text.len() > text.len() / 4 + 2 * ESCAPED_BYTES {
            text.shrink_to_fit();
        }
        Ok(Cow::Owned(text))
    }

    pub(super) fn skip_string(&mut self) -> Result<(), DecodeErrorKind> {
        self.expect('"')?;
        loop {
            if self.plain() {
                self.at += QUOTES[self.depth].len();
                return Ok(());
            }
            if let Unit::End = self.unit(self.depth + 1)? {
                return Ok(());
            }
        }
    }

    /// Passes over text without escapes. Returns whether the string ends there.
    pub(super) fn plain(&mut self) -> bool {
        self.at += first_special(&self.text.as_bytes()[self.at..]).unwrap_or(self.text.len() - self.at);
        self.is_quote(self.depth)
    }

    /// Reads a run of backslashes and what they escape, written as every JSON library does. Returns whether the string
    /// ends there, or `None` for something rarer, which [`unit`](Self::unit) reads.
    ///
    /// Inside `n` nested strings a backslash is written `2^n` times. A quote has `2^n - 1` of them before it, an
    /// escaped letter `2^(n-1)`.
    fn escapes(&mut self, text: &mut String) -> Option<bool> {
        let bytes = &self.text.as_bytes()[self.at..];
        let width = 2 << self.depth;
        let run = bytes.iter().take_while(|byte| **byte == b'\\').count();
        let (whole, rest) = (run >> (self.depth + 1), run & (width - 1));
        if whole > 0 {
            text.extend(iter::repeat_n('\\', whole));
            self.at += whole * width;
        }
        if rest == 0 {
            return (whole > 0).then_some(false);
        }
        let char = match bytes.get(run)? {
            b'"' if rest == width - 1 => '"',
            b'"' if rest == width / 2 - 1 => {
                self.at += rest + 1;
                return Some(true);
            }
            b'n' if rest == width / 2 => '\n',
            b'r' if rest == width / 2 => '\r',
            b't' if rest == width / 2 => '\t',
            b'b' if rest == width / 2 => '\u{8}',
            b'f' if rest == width / 2 => '\u{c}',
            _ => return None,
        };
        text.push(char);
        self.at += rest + 1;
        Some(false)
    }

    /// The next character of the text within `level` strings.
    pub(super) fn unit(&mut self, level: usize) -> Result<Unit, DecodeErrorKind> {
        let Some(outer) = level.checked_sub(1) else {
            let char = self.rest().chars().next().ok_or(DecodeErrorKind::Truncated)?;
            self.at += char.len_utf8();
            return Ok(Unit::Char(char));
        };
        match self.unit(outer)? {
            Unit::Char('"') => Ok(Unit::End),
            Unit::Char('\\') => self.escape(outer),
            Unit::Char(char) if char < ' ' => Err(DecodeErrorKind::Syntax),
            Unit::Char(char) => Ok(Unit::Char(char)),
            Unit::Lone => Ok(Unit::Lone),
            Unit::End => Err(DecodeErrorKind::Truncated),
        }
    }

    /// What an escape stands for, whose backslash was read and whose characters are at level `outer`.
    fn escape(&mut self, outer: usize) -> Result<Unit, DecodeErrorKind> {
        let char = match self.char(outer)? {
            char @ ('"' | '\\' | '/') => char,
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => return self.unicode(outer),
            _ => return Err(DecodeErrorKind::Syntax),
        };
        Ok(Unit::Char(char))
    }

    fn unicode(&mut self, outer: usize) -> Result<Unit, DecodeErrorKind> {
        let first = self.hex(outer)?;
        if let Some(char) = char::from_u32(first) {
            return Ok(Unit::Char(char));
        }
        let start = self.at;
        if first < 0xdc00 && matches!(self.unit(outer)?, Unit::Char('\\')) && self.char(outer)? == 'u' {
            let second = self.hex(outer)?;
            if (0xdc00..0xe000).contains(&second) {
                let char = char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00));
                return Ok(char.map_or(Unit::Lone, Unit::Char));
            }
        }
        self.at = start;
        Ok(Unit::Lone)
    }

    fn hex(&mut self, outer: usize) -> Result<u32, DecodeErrorKind> {
        let mut value = 0;
        for _ in 0..4 {
            value = value * 16 + self.char(outer)?.to_digit(16).ok_or(DecodeErrorKind::Syntax)?;
        }
        Ok(value)
    }

    fn char(&mut self, level: usize) -> Result<char, DecodeErrorKind> {
        match self.unit(level)? {
            Unit::Char(char) => Ok(char),
            Unit::Lone => Err(DecodeErrorKind::Syntax),
            Unit::End => Err(DecodeErrorKind::Truncated),
        }
    }
}

/// The room that a text with escapes has at first, beyond twice what was before the first of them.
const ESCAPED_BYTES: usize = 64;
