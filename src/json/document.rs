//! Reads JSON (RFC 8259) in place and without recursion, and supports the part of GJSON's paths that leads
//! to a single value: `a.b`, `a.0`, `a.#` (length), and a backslash before a dot in a name.

use super::JsonError;
use super::syntax::{after_space, from, is_well_escaped, validate};
use std::borrow::Cow;

/// The value at a path. Slices borrow from the document.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    /// As written; a length in digits.
    Number(Cow<'a, str>),
    Text(Text<'a>),
    Array(Items<'a>),
    Object(Items<'a>),
}

/// A string of the document with its escapes, without its quotes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Text<'a>(&'a [u8]);

/// The members of an array or object: its first byte and the rest of the document.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Items<'a>(&'a [u8]);

/// A complete document that is valid JSON.
pub struct Document<'a>(&'a [u8]);

impl<'a> Document<'a> {
    /// Strings may contain invalid UTF-8; a byte order mark at the start is allowed.
    ///
    /// # Errors
    ///
    /// The offset of the first invalid byte; the text's length if it ends too soon.
    pub fn parse(text: &'a [u8]) -> Result<Document<'a>, usize> {
        Document::checked(text, false)
    }

    /// Like [`Document::parse`], but allows what some servers write: control characters and backslashes without
    /// an escape in strings, and leading zeros in numbers.
    pub fn lenient(text: &'a [u8]) -> Result<Document<'a>, JsonError> {
        Document::checked(text, true).map_err(|at| JsonError::at(at, text))
    }

    fn checked(text: &'a [u8], lenient: bool) -> Result<Document<'a>, usize> {
        let mark = text.starts_with(b"\xef\xbb\xbf");
        let start = after_space(text, if mark { 3 } else { 0 });
        validate(text, start, lenient)?;
        Ok(Document(from(text, start)))
    }

    /// Returns the value of the whole document.
    pub fn root(&self) -> Option<Value<'a>> {
        Value::read(self.0)
    }

    /// Returns the value at `path`, if there is one. Of members with the same name the first counts.
    pub fn get(&self, path: &str) -> Option<Value<'a>> {
        let mut value = self.root()?;
        let parts = parts(path);
        for (i, part) in parts.iter().enumerate() {
            value = match value {
                Value::Object(_) => value.get(part)?,
                Value::Array(items) if part == "#" && i + 1 == parts.len() => {
                    Value::Number(items.values().count().to_string().into())
                }
                Value::Array(items) if part.bytes().all(|byte| byte.is_ascii_digit()) => {
                    items.values().nth(part.parse().ok()?)?
                }
                _ => return None,
            };
        }
        Some(value)
    }
}

impl<'a> Value<'a> {
    /// Reads the value at the start of `text`.
    fn read(text: &'a [u8]) -> Option<Value<'a>> {
        Some(match text.first()? {
            b'{' => Value::Object(Items(text)),
            b'[' => Value::Array(Items(text)),
            b'"' => Value::Text(Text(within_quotes(text))),
            b'n' => Value::Null,
            b't' => Value::Bool(true),
            b'f' => Value::Bool(false),
            _ => {
                let digits = text.get(..end(text)).unwrap_or_default();
                Value::Number(std::str::from_utf8(digits).ok()?.into())
            }
        })
    }

    /// Returns the first member of an object with this name.
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        let Value::Object(items) = self else {
            return None;
        };
        let is_named = |key: Option<Text<'_>>| key.is_some_and(|key| key.is(name.as_bytes()));
        let (_, value) = items.members().find(|(key, _)| is_named(*key))?;
        Value::read(value)
    }

    /// Iterates over the elements of an array; empty for other values.
    pub fn elements(self) -> Values<'a> {
        match self {
            Value::Array(items) => items.values(),
            _ => Items(&[]).values(),
        }
    }

    /// Decodes a string, see [`Text::decoded`]; `None` if it has a backslash without an escape.
    pub fn text(&self) -> Option<String> {
        match self {
            Value::Text(text) => is_well_escaped(text.0).then(|| text.decoded()),
            _ => None,
        }
    }
}

impl Text<'_> {
    /// Decodes escapes. Invalid UTF-8 and unpaired surrogates become U+FFFD.
    pub fn decoded(&self) -> String {
        let mut bytes = Vec::with_capacity(self.0.len());
        let mut rest = self.0;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            if byte != b'\\' {
                bytes.push(byte);
                continue;
            }
            let Some((&kind, after)) = rest.split_first() else {
                break;
            };
            rest = after;
            let c = match kind {
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'u' => {
                    let (c, after) = unicode(rest);
                    rest = after;
                    c
                }
                same => char::from(same),
            };
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn is(&self, name: &[u8]) -> bool {
        match self.0.contains(&b'\\') {
            true => self.decoded().as_bytes() == name,
            false => self.0 == name,
        }
    }
}

impl<'a> Items<'a> {
    /// Iterates over the elements of an array, or the values of an object.
    pub fn values(self) -> Values<'a> {
        Values(self.members())
    }

    fn members(self) -> Members<'a> {
        Members {
            rest: from(self.0, 1),
            is_object: self.0.first() == Some(&b'{'),
            passed: true,
        }
    }
}

/// See [`Items::values`].
pub struct Values<'a>(Members<'a>);

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        Value::read(self.0.next()?.1)
    }
}

/// Iterates over the keys, each with the document from its value on. A value is skipped only when the next
/// one is requested.
struct Members<'a> {
    rest: &'a [u8],
    is_object: bool,
    /// The last value was skipped.
    passed: bool,
}

impl<'a> Iterator for Members<'a> {
    type Item = (Option<Text<'a>>, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let mut rest = self.rest;
        if !self.passed {
            rest = from(rest, end(rest));
        }
        rest = from(rest, after_space(rest, 0));
        if rest.first() == Some(&b',') {
            rest = from(rest, after_space(rest, 1));
        }
        self.passed = matches!(rest.first(), None | Some(b'}' | b']'));
        let mut key = None;
        if self.is_object && !self.passed {
            key = Some(Text(within_quotes(rest)));
            // Skips the colon and white space around it.
            let colon = after_space(rest, end(rest));
            rest = from(rest, after_space(rest, colon + 1));
        }
        self.rest = rest;
        (!self.passed).then_some((key, rest))
    }
}

/// Splits a path into names. A backslash makes the next character literal.
fn parts(path: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        match (c, parts.last_mut()) {
            ('.', _) => parts.push(String::new()),
            ('\\', Some(part)) => part.extend(chars.next()),
            (c, Some(part)) => part.push(c),
            _ => {}
        }
    }
    parts
}

/// Decodes one character after `\u`, from one or two escapes; returns the rest as well.
fn unicode(text: &[u8]) -> (char, &[u8]) {
    let (high, rest) = (hex(text), from(text, 4));
    if let Some(c) = char::from_u32(high) {
        return (c, rest);
    }
    if (0xd800..0xdc00).contains(&high)
        && let Some(second) = rest.strip_prefix(b"\\u")
        && let low @ 0xdc00..0xe000 = hex(second)
        && let Some(c) = char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))
    {
        return (c, from(second, 4));
    }
    (char::REPLACEMENT_CHARACTER, rest)
}

fn hex(text: &[u8]) -> u32 {
    let digits = text.iter().take(4);
    digits.fold(0, |number, &digit| {
        number * 16 + char::from(digit).to_digit(16).unwrap_or(0)
    })
}

/// Returns the end of the value at the start of `text`, which is valid JSON.
fn end(text: &[u8]) -> usize {
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => {
                // The closing quote.
                at += within_quotes(from(text, at)).len() + 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' | b',' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// Returns the text between the quote at the start of `text` and the next unescaped one.
fn within_quotes(text: &[u8]) -> &[u8] {
    let mut at = 1;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => break,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.get(1..at).unwrap_or_default()
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
