//! JSON (RFC 8259), read in place and without recursion, and the part of GJSON's paths that leads
//! to one value: `a.b`, `a.0`, `a.#` (length), a backslash before a dot that belongs to a name.

use std::borrow::Cow;

/// What a path leads to. The slices are of the document.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    /// As it is written; a length in digits.
    Number(Cow<'a, str>),
    Text(Text<'a>),
    Array(Items<'a>),
    Object(Items<'a>),
}

/// A string of the document, escapes and all, without its quotes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Text<'a>(&'a [u8]);

/// The members of an array or object: its first byte and all that follows in the document.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Items<'a>(&'a [u8]);

/// A whole document, known to be JSON.
pub struct Document<'a>(&'a [u8]);

impl<'a> Document<'a> {
    /// Strings may hold bytes that are no UTF-8; a byte order mark before it all is allowed.
    ///
    /// # Errors
    ///
    /// The place of the first byte that can't stand there; the text's length when it ends too soon.
    pub fn parse(text: &'a [u8]) -> Result<Document<'a>, usize> {
        let start = match text.starts_with(b"\xef\xbb\xbf") {
            true => 3,
            false => 0,
        };
        let start = after_space(text, start);
        validate(text, start)?;
        Ok(Document(from(text, start)))
    }

    /// The value at `path`, if there is one. Of members with the same name the first counts.
    pub fn get(&self, path: &str) -> Option<Value<'a>> {
        let mut value = Value::read(self.0)?;
        let parts = parts(path);
        for (i, part) in parts.iter().enumerate() {
            value = match value {
                Value::Object(items) => items.named(part.as_bytes())?,
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
    /// The value that `text` begins with.
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
}

impl Text<'_> {
    /// Without escapes. What is no UTF-8, and half a surrogate pair, becomes U+FFFD.
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
    /// The elements of an array, or the values of an object.
    pub fn values(self) -> impl Iterator<Item = Value<'a>> {
        self.members().map_while(|(_, value)| Value::read(value))
    }

    fn named(self, name: &[u8]) -> Option<Value<'a>> {
        let (_, value) = self
            .members()
            .find(|(key, _)| key.is_some_and(|key| key.is(name)))?;
        Value::read(value)
    }

    /// Each with its key, and all of the document from the value on. A value is passed over only
    /// when the next one is asked for.
    fn members(self) -> impl Iterator<Item = (Option<Text<'a>>, &'a [u8])> {
        let is_object = self.0.first() == Some(&b'{');
        let mut rest = from(self.0, 1);
        let mut passed = true;
        std::iter::from_fn(move || {
            if !passed {
                rest = from(rest, end(rest));
            }
            passed = false;
            rest = from(rest, after_space(rest, 0));
            if rest.first() == Some(&b',') {
                rest = from(rest, after_space(rest, 1));
            }
            if matches!(rest.first(), None | Some(b'}' | b']')) {
                passed = true;
                return None;
            }
            let mut key = None;
            if is_object {
                key = Some(Text(within_quotes(rest)));
                // The colon and what is around it.
                let colon = after_space(rest, end(rest));
                rest = from(rest, after_space(rest, colon + 1));
            }
            Some((key, rest))
        })
    }
}

/// The names of a path. A backslash takes the meaning from what follows.
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

/// What `\u` is followed by: one character, of one or two such escapes, and the rest.
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

/// Checks the whole of `text`. Depth costs one byte a level.
fn validate(text: &[u8], mut at: usize) -> Result<(), usize> {
    // The bracket that closes each container that is open.
    let mut open = Vec::new();
    loop {
        at = match text.get(at) {
            Some(&bracket @ (b'{' | b'[')) => {
                // In ASCII a closing bracket is the opening one plus 2.
                open.push(bracket + 2);
                at = after_space(text, at + 1);
                match (bracket, text.get(at)) {
                    (_, Some(&close)) if close == bracket + 2 => at,
                    (b'{', _) => {
                        at = key(text, at)?;
                        continue;
                    }
                    _ => continue,
                }
            }
            Some(b'"') => string(text, at)?,
            Some(b't') => word(text, at, b"true")?,
            Some(b'f') => word(text, at, b"false")?,
            Some(b'n') => word(text, at, b"null")?,
            _ => number(text, at)?,
        };
        // A value has ended: what may follow it?
        loop {
            at = after_space(text, at);
            match (open.last(), text.get(at)) {
                (None, None) => return Ok(()),
                (Some(close), Some(byte)) if byte == close => {
                    open.pop();
                    at += 1;
                }
                (Some(close), Some(b',')) => {
                    at = after_space(text, at + 1);
                    if *close == b'}' {
                        at = key(text, at)?;
                    }
                    break;
                }
                _ => return Err(at),
            }
        }
    }
}

/// Each of these takes where something begins and returns where it has ended, or where it is wrong.
fn key(text: &[u8], at: usize) -> Result<usize, usize> {
    if text.get(at) != Some(&b'"') {
        return Err(at);
    }
    let at = after_space(text, string(text, at)?);
    match text.get(at) {
        Some(b':') => Ok(after_space(text, at + 1)),
        _ => Err(at),
    }
}

fn string(text: &[u8], at: usize) -> Result<usize, usize> {
    let mut at = at + 1;
    loop {
        at = match text.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => match text.get(at + 1) {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => at + 2,
                Some(b'u') => {
                    let digit = |at: &usize| text.get(*at).is_some_and(u8::is_ascii_hexdigit);
                    match (at + 2..at + 6).find(|at| !digit(at)) {
                        Some(wrong) => return Err(wrong),
                        None => at + 6,
                    }
                }
                _ => return Err(at + 1),
            },
            Some(0x20..) => at + 1,
            _ => return Err(at),
        };
    }
}

fn word(text: &[u8], at: usize, word: &[u8]) -> Result<usize, usize> {
    let same = from(text, at)
        .iter()
        .zip(word)
        .take_while(|(a, b)| a == b)
        .count();
    match same == word.len() {
        true => Ok(at + same),
        false => Err(at + same),
    }
}

fn number(text: &[u8], at: usize) -> Result<usize, usize> {
    let mut at = at + usize::from(text.get(at) == Some(&b'-'));
    at = match text.get(at) {
        Some(b'0') => at + 1,
        _ => digits(text, at)?,
    };
    if text.get(at) == Some(&b'.') {
        at = digits(text, at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        at = digits(
            text,
            at + usize::from(matches!(text.get(at), Some(b'+' | b'-'))),
        )?;
    }
    Ok(at)
}

fn digits(text: &[u8], at: usize) -> Result<usize, usize> {
    let count = from(text, at)
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    match count {
        0 => Err(at),
        _ => Ok(at + count),
    }
}

fn after_space(text: &[u8], at: usize) -> usize {
    let space = from(text, at)
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
        .count();
    at + space
}

/// Where the value that `text` begins with has ended; `text` is known to be JSON.
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

/// What is between the quote that `text` begins with and the next one that isn't escaped.
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

fn from(text: &[u8], at: usize) -> &[u8] {
    text.get(at..).unwrap_or_default()
}

#[cfg(test)]
#[path = "jsonpath_tests.rs"]
mod tests;
