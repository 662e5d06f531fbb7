//! Validates JSON (RFC 8259) without recursion.

/// Checks that `text` is one JSON value from `at` on. The error is the offset of the first invalid byte; the
/// text's length if it ends too soon. `lenient`: strings may contain control characters and backslashes
/// without an escape, numbers leading zeros. Each level of nesting takes one byte of memory.
pub(super) fn validate(text: &[u8], mut at: usize, lenient: bool) -> Result<(), usize> {
    // The closing brackets of all open containers.
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
                        at = key(text, at, lenient)?;
                        continue;
                    }
                    _ => continue,
                }
            }
            Some(b'"') => string(text, at, lenient)?,
            Some(b't') => word(text, at, b"true")?,
            Some(b'f') => word(text, at, b"false")?,
            Some(b'n') => word(text, at, b"null")?,
            Some(b'-' | b'0'..=b'9') if lenient => at + count(text, at, in_number),
            _ => number(text, at)?,
        };
        // What may follow a value?
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
                        at = key(text, at, lenient)?;
                    }
                    break;
                }
                _ => return Err(at),
            }
        }
    }
}

/// Each of these gets the start of an element and returns its end, or the offset of an error.
fn key(text: &[u8], at: usize, lenient: bool) -> Result<usize, usize> {
    if text.get(at) != Some(&b'"') {
        return Err(at);
    }
    let at = after_space(text, string(text, at, lenient)?);
    match text.get(at) {
        Some(b':') => Ok(after_space(text, at + 1)),
        _ => Err(at),
    }
}

fn string(text: &[u8], at: usize, lenient: bool) -> Result<usize, usize> {
    let mut at = at + 1;
    loop {
        at = match text.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') if lenient => at + 2,
            Some(b'\\') => escape(text, at)?,
            Some(0x20..) => at + 1,
            Some(_) if lenient => at + 1,
            _ => return Err(at),
        };
    }
}

fn escape(text: &[u8], at: usize) -> Result<usize, usize> {
    match text.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => {
            let digit = |at: &usize| text.get(*at).is_some_and(u8::is_ascii_hexdigit);
            match (at + 2..at + 6).find(|at| !digit(at)) {
                Some(wrong) => Err(wrong),
                None => Ok(at + 6),
            }
        }
        _ => Err(at + 1),
    }
}

/// Whether every backslash in a string begins an escape. `string` excludes the quotes.
pub(super) fn is_well_escaped(string: &[u8]) -> bool {
    let mut at = 0;
    while let Some(&byte) = string.get(at) {
        at = match byte {
            b'\\' => match escape(string, at) {
                Ok(after) => after,
                Err(_) => return false,
            },
            _ => at + 1,
        };
    }
    true
}

fn word(text: &[u8], at: usize, word: &[u8]) -> Result<usize, usize> {
    let letters = from(text, at).iter().zip(word);
    let same = letters.take_while(|(a, b)| a == b).count();
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
        at += usize::from(matches!(text.get(at), Some(b'+' | b'-')));
        at = digits(text, at)?;
    }
    Ok(at)
}

fn in_number(byte: &u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')
}

fn digits(text: &[u8], at: usize) -> Result<usize, usize> {
    match count(text, at, u8::is_ascii_digit) {
        0 => Err(at),
        digits => Ok(at + digits),
    }
}

pub(super) fn after_space(text: &[u8], at: usize) -> usize {
    at + count(text, at, |byte| {
        matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
    })
}

/// Counts bytes from `at` on for which `is` is true.
fn count(text: &[u8], at: usize, is: impl Fn(&u8) -> bool) -> usize {
    from(text, at).iter().take_while(|byte| is(byte)).count()
}

/// Returns `text` from `at` on, or nothing if it is shorter.
pub(super) fn from(text: &[u8], at: usize) -> &[u8] {
    text.get(at..).unwrap_or_default()
}
