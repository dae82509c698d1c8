//! Reads JSON, and JSON within strings of JSON, in place: nothing is unescaped into a buffer to be read
//! again. A text without escapes is borrowed from the packet.

mod strings;

use std::borrow::Cow;

use self::strings::Unit;
use crate::{DecodeErrorKind, json::QUOTES};

/// A place in a packet.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// How many strings lie around this place.
    depth: usize,
    nesting: usize,
}

/// What kind of value comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    String,
    Number,
    True,
    False,
    Null,
}

/// What comes next besides white space.
struct Token {
    /// The character; `None` where the innermost string or the packet ends.
    char: Option<char>,
    /// How many bytes of the packet it takes.
    len: usize,
}

impl<'a> Reader<'a> {
    /// At the start of `text`.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0, nesting: 0 }
    }

    /// What kind of value comes next; it stays there.
    pub(super) fn kind(&mut self) -> Result<Kind, DecodeErrorKind> {
        match self.token()?.char.ok_or(DecodeErrorKind::Truncated)? {
            '{' => Ok(Kind::Object),
            '[' => Ok(Kind::Array),
            '"' => Ok(Kind::String),
            't' => Ok(Kind::True),
            'f' => Ok(Kind::False),
            'n' => Ok(Kind::Null),
            '-' | '0'..='9' => Ok(Kind::Number),
            _ => Err(DecodeErrorKind::Syntax),
        }
    }

    /// Reads an object; `field` reads, or skips, the value of each key.
    pub(super) fn object(
        &mut self,
        mut field: impl FnMut(&str, &mut Self) -> Result<(), DecodeErrorKind>,
    ) -> Result<(), DecodeErrorKind> {
        self.enter('{')?;
        if self.accept('}')? {
            return self.leave();
        }
        loop {
            self.expect('"')?;
            let key = self.rest_of_string()?;
            self.expect(':')?;
            field(&key, self)?;
            if !self.accept(',')? {
                self.expect('}')?;
                return self.leave();
            }
        }
    }

    /// Reads an array; `item` reads, or skips, each of its values.
    pub(super) fn array(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<(), DecodeErrorKind>,
    ) -> Result<(), DecodeErrorKind> {
        self.enter('[')?;
        if self.accept(']')? {
            return self.leave();
        }
        loop {
            item(self)?;
            if !self.accept(',')? {
                self.expect(']')?;
                return self.leave();
            }
        }
    }

    /// Reads a string. Returns `None` for another value, which is skipped.
    pub(super) fn string(&mut self) -> Result<Option<Cow<'a, str>>, DecodeErrorKind> {
        if self.accept('"')? { self.rest_of_string().map(Some) } else { self.skip().map(|()| None) }
    }

    /// Reads JSON inside a string. Returns `None` when the string does not hold that. The string is skipped either
    /// way.
    pub(super) fn nested<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeErrorKind>,
    ) -> Result<Option<T>, DecodeErrorKind> {
        let mut inner = self.clone();
        inner.open()?;
        match read(&mut inner).and_then(|value| inner.close().map(|()| value)) {
            Ok(value) => {
                *self = inner;
                Ok(Some(value))
            }
            Err(_) => {
                self.skip_string()?;
                Ok(None)
            }
        }
    }

    /// Goes into a string.
    pub(super) fn open(&mut self) -> Result<(), DecodeErrorKind> {
        self.expect('"')?;
        self.depth += 1;
        if self.depth < QUOTES.len() { Ok(()) } else { Err(DecodeErrorKind::TooDeep { limit: QUOTES.len() - 1 }) }
    }

    /// Leaves the innermost string, of which everything was read.
    pub(super) fn close(&mut self) -> Result<(), DecodeErrorKind> {
        if self.token()?.char.is_some() {
            return Err(DecodeErrorKind::Syntax);
        }
        if self.at == self.text.len() {
            return Err(DecodeErrorKind::Truncated);
        }
        self.depth -= 1;
        self.at += QUOTES[self.depth].len();
        Ok(())
    }

    /// Whether nothing but white space is left of the innermost string, or of the packet.
    pub(super) fn is_at_end(&mut self) -> Result<bool, DecodeErrorKind> {
        Ok(self.token()?.char.is_none())
    }

    /// Makes sure that nothing follows.
    pub(super) fn end(&mut self) -> Result<(), DecodeErrorKind> {
        if self.is_at_end()? { Ok(()) } else { Err(DecodeErrorKind::TrailingBytes) }
    }

    /// Reads a whole number, also one in a string. Returns `None` for one that is too large and for another value.
    /// Either is skipped.
    pub(super) fn unsigned(&mut self) -> Result<Option<u64>, DecodeErrorKind> {
        let start = self.at;
        let mut number = 0;
        while let Some(byte @ b'0'..=b'9') = self.text.as_bytes().get(self.at) {
            number = number * 10 + u64::from(byte - b'0');
            self.at += 1;
            if self.at - start == SAFE_DIGITS {
                break;
            }
        }
        let digits = &self.text[start..self.at];
        let is_whole = digits.len() == 1 || (digits.len() > 1 && !digits.starts_with('0'));
        if is_whole && matches!(self.text.as_bytes().get(self.at), Some(b',' | b'}')) {
            return Ok(Some(number));
        }
        // What is not written as the SDK writes it.
        self.at = start;
        match self.kind()? {
            Kind::Number => self.number().map(|digits| digits.parse().ok()),
            Kind::String => self.string().map(|text| text.and_then(|text| text.parse().ok())),
            _ => self.skip().map(|()| None),
        }
    }

    /// Reads a number, as it is written.
    pub(super) fn number(&mut self) -> Result<&'a str, DecodeErrorKind> {
        self.token()?;
        let bytes = self.text.as_bytes();
        let start = self.at;
        self.at += usize::from(bytes.get(self.at) == Some(&b'-'));
        let whole = self.digits();
        if whole == 0 || (whole > 1 && bytes[self.at - whole] == b'0') {
            return Err(DecodeErrorKind::Syntax);
        }
        if bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(DecodeErrorKind::Syntax);
            }
        }
        if matches!(bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(bytes.get(self.at), Some(b'-' | b'+')));
            if self.digits() == 0 {
                return Err(DecodeErrorKind::Syntax);
            }
        }
        Ok(&self.text[start..self.at])
    }

    /// Reads `true`, `false` or `null`, whichever [`kind`](Self::kind) said.
    pub(super) fn literal(&mut self, kind: Kind) -> Result<(), DecodeErrorKind> {
        let word = match kind {
            Kind::True => "true",
            Kind::False => "false",
            _ => "null",
        };
        if !self.rest().starts_with(word) {
            return Err(DecodeErrorKind::Syntax);
        }
        self.at += word.len();
        Ok(())
    }

    /// Passes over a value of any kind.
    pub(super) fn skip(&mut self) -> Result<(), DecodeErrorKind> {
        // Recursion goes no deeper than `MAX_NESTING`.
        match self.kind()? {
            Kind::Object => self.object(|_, reader| reader.skip()),
            Kind::Array => self.array(Self::skip),
            Kind::String => self.skip_string(),
            Kind::Number => self.number().map(|_| ()),
            kind @ (Kind::True | Kind::False | Kind::Null) => self.literal(kind),
        }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn enter(&mut self, bracket: char) -> Result<(), DecodeErrorKind> {
        self.expect(bracket)?;
        self.nesting += 1;
        if self.nesting > MAX_NESTING { Err(DecodeErrorKind::TooDeep { limit: MAX_NESTING }) } else { Ok(()) }
    }

    fn leave(&mut self) -> Result<(), DecodeErrorKind> {
        self.nesting -= 1;
        Ok(())
    }

    #[inline(always)]
    fn accept(&mut self, char: char) -> Result<bool, DecodeErrorKind> {
        let token = self.token()?;
        let found = token.char == Some(char);
        if found {
            self.at += token.len;
        }
        Ok(found)
    }

    #[inline(always)]
    fn expect(&mut self, char: char) -> Result<(), DecodeErrorKind> {
        let token = self.token()?;
        match token.char {
            Some(found) if found == char => {
                self.at += token.len;
                Ok(())
            }
            Some(_) => Err(DecodeErrorKind::Syntax),
            None => Err(DecodeErrorKind::Truncated),
        }
    }

    /// Passes over white space and looks at what follows.
    #[inline(always)]
    fn token(&mut self) -> Result<Token, DecodeErrorKind> {
        match self.text.as_bytes().get(self.at) {
            Some(b' ' | b'\n' | b'\r' | b'\t') | None => self.rare_token(),
            Some(b'"' | b'\\') if self.is_quote(self.depth) => {
                Ok(Token { char: Some('"'), len: QUOTES[self.depth].len() })
            }
            Some(b'"' | b'\\') => self.rare_token(),
            Some(byte) => Ok(Token { char: Some(char::from(*byte)), len: 1 }),
        }
    }

    #[cold]
    fn rare_token(&mut self) -> Result<Token, DecodeErrorKind> {
        loop {
            let Some(&byte) = self.text.as_bytes().get(self.at) else {
                return Ok(Token { char: None, len: 0 });
            };
            match byte {
                b' ' => self.at += 1,
                b'\n' | b'\r' | b'\t' if self.depth == 0 => self.at += 1,
                b'"' | b'\\' if self.is_quote(self.depth) => {
                    return Ok(Token { char: Some('"'), len: QUOTES[self.depth].len() });
                }
                b'"' | b'\\' if self.depth > 0 && self.is_quote(self.depth - 1) => {
                    return Ok(Token { char: None, len: 0 });
                }
                // White space, or anything else, that the strings around it made an escape of.
                b'\\' => {
                    let start = self.at;
                    match self.unit(self.depth)? {
                        Unit::Char(' ' | '\n' | '\r' | '\t') => {}
                        Unit::Char(char) => {
                            let len = self.at - start;
                            self.at = start;
                            return Ok(Token { char: Some(char), len });
                        }
                        Unit::Lone | Unit::End => return Err(DecodeErrorKind::Syntax),
                    }
                }
                // A string further out ends, and with it what is read here.
                b'"' => return Err(DecodeErrorKind::Truncated),
                byte => return Ok(Token { char: Some(char::from(byte)), len: 1 }),
            }
        }
    }

    /// Whether a quote comes next that has `depth` strings around it.
    #[inline(always)]
    fn is_quote(&self, depth: usize) -> bool {
        let bytes = &self.text.as_bytes()[self.at..];
        let backslashes = (1 << depth) - 1;
        bytes.get(backslashes) == Some(&b'"') && bytes[..backslashes].iter().all(|byte| *byte == b'\\')
    }

    fn digits(&mut self) -> usize {
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        self.at += digits;
        digits
    }
}

/// How deep objects and arrays may lie in one another, over all the strings they are wrapped in.
/// The wire's own go four deep.
pub(super) const MAX_NESTING: usize = 16;
/// The digits that any number of `u64` may have.
const SAFE_DIGITS: usize = 19;
