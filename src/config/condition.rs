//! Parses conditions on a JSON body, `PATH OPERATOR VALUE` or `PATH exists`, to [`JsonCondition`].
//!
//! Supports a part of GJSON's paths: names and indices separated by dots, `#` at the end for a length,
//! and `\` to escape a character.

use super::value::{brief, cut};
use crate::monitor::site::{JsonCondition, JsonOp, JsonValue};
use nanoserde::DeJson;
use std::ops::Range;

/// A part of an expression, and what is wrong with it, to follow the key's name.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Range in bytes of the expression; empty at its end.
    pub range: Range<usize>,
    pub what: String,
}

fn wrong<T>(range: Range<usize>, what: impl Into<String>) -> Result<T, Wrong> {
    let what = what.into();
    Err(Wrong { range, what })
}

pub const OPERATORS: [(&str, JsonOp); 8] = [
    ("==", JsonOp::Equal),
    ("!=", JsonOp::NotEqual),
    ("<", JsonOp::Less),
    ("<=", JsonOp::AtMost),
    (">", JsonOp::Greater),
    (">=", JsonOp::AtLeast),
    ("contains", JsonOp::Contains),
    ("exists", JsonOp::Exists),
];

pub fn parse(text: &str) -> Result<JsonCondition, Wrong> {
    let start = skip_blanks(text, 0);
    let path_end = path(text, start)?;
    let op_start = skip_blanks(text, path_end);
    let op_end = op_start + operator_length(&text[op_start..]);
    let word = &text[op_start..op_end];
    let Some(&(_, op)) = OPERATORS.iter().find(|(name, _)| *name == word) else {
        let known = "one of == != < <= > >= contains exists";
        let what = match word {
            "" => format!("ends behind the path; {known} follows"),
            "=" => "has `=`, which is no operator; write `==`".to_owned(),
            _ => format!("has `{}` where {known} should be", brief(word)),
        };
        return wrong(op_start..op_end, what);
    };
    let value_start = skip_blanks(text, op_end);
    let value_end = text.trim_end().len().max(value_start);
    let written = &text[value_start..value_end];
    let value = match op {
        JsonOp::Exists if written.is_empty() => JsonValue::Null,
        JsonOp::Exists => {
            return wrong(
                value_start..value_end,
                "goes on behind `exists`, which takes no value",
            );
        }
        _ => value(written).map_err(|Wrong { range, what }| Wrong {
            range: value_start + range.start..value_start + range.end,
            what,
        })?,
    };
    let ordered = matches!(
        op,
        JsonOp::Less | JsonOp::AtMost | JsonOp::Greater | JsonOp::AtLeast
    );
    if ordered && !matches!(value, JsonValue::Number(_)) {
        let what = format!("compares with `{word}`, which needs a number");
        return wrong(value_start..value_end, what);
    }
    Ok(JsonCondition {
        text: text.trim().to_owned(),
        path: text[start..path_end].to_owned(),
        op,
        value,
    })
}

fn skip_blanks(text: &str, from: usize) -> usize {
    text.len() - text[from..].trim_start().len()
}

/// Length in bytes of a word, or of symbols up to a blank or a value.
fn operator_length(text: &str) -> usize {
    let sign = |c: char| "=!<>~^".contains(c);
    let end = if text.starts_with(sign) {
        text.find(|c| !sign(c))
    } else {
        text.find(char::is_whitespace)
    };
    end.unwrap_or(text.len())
}

/// Returns the end of the path that begins at `start`.
fn path(text: &str, start: usize) -> Result<usize, Wrong> {
    let unsupported = |at: usize, end: usize| {
        let range = at..end;
        let what = format!(
            "has `{}` in its path, which sitemon does not know: only a.b, a.0 and a.# \
             (write `\\` before a sign that belongs to a name)",
            brief(&text[range.clone()])
        );
        wrong(range, what)
    };
    let mut chars = text[start..].char_indices().map(|(at, c)| (start + at, c));
    let mut part = start;
    // Position of a `#` that is a whole part of the path.
    let mut length = None;
    let mut end = text.len();
    while let Some((at, c)) = chars.next() {
        if let Some(sign) = length
            && !(c.is_whitespace() || "=!<>".contains(c))
        {
            let rest = &text[sign..];
            let stop = rest.find(char::is_whitespace).unwrap_or(rest.len());
            return unsupported(sign, sign + stop);
        }
        match c {
            '\\' => match chars.next() {
                Some((_, c)) if !c.is_control() => {}
                _ => return wrong(at..at + 1, "has a `\\` in its path that no sign follows"),
            },
            '.' if at == part => {
                return wrong(at..at + 1, "has a `.` in its path that no name is before");
            }
            '.' => part = at + 1,
            '#' if at == part => length = Some(at),
            '!' | '@' | '{' | '[' | '"' if at == part && (c != '!' || at == start) => {
                return unsupported(at, at + 1);
            }
            '|' | '*' | '?' => return unsupported(at, at + 1),
            c if c.is_whitespace() || "=!<>".contains(c) => {
                end = at;
                break;
            }
            c if c.is_control() => {
                return wrong(at..at + c.len_utf8(), "has a control character in its path");
            }
            _ => {}
        }
    }
    if end == start {
        return wrong(
            start..end,
            "has no path; it is \"PATH OPERATOR VALUE\" such as \"status == ok\"",
        );
    }
    if end == part {
        return wrong(part - 1..part, "has a `.` in its path that no name follows");
    }
    Ok(end)
}

/// Parses a JSON literal, or a word, which is a string.
fn value(text: &str) -> Result<JsonValue, Wrong> {
    match text {
        "" => return wrong(0..0, "lacks a value; the empty text is `\"\"`"),
        "null" => return Ok(JsonValue::Null),
        "true" => return Ok(JsonValue::Bool(true)),
        "false" => return Ok(JsonValue::Bool(false)),
        _ => {}
    }
    if text.starts_with('"') {
        return quoted(text);
    }
    if text.starts_with('\'') {
        return wrong(
            0..text.len(),
            "has a text in single quotes; JSON's are double",
        );
    }
    if text.starts_with(['{', '[']) {
        return wrong(
            0..text.len(),
            "has a list or an object for a value; only a number, a text, true, false or null can \
             be compared",
        );
    }
    if let Some(blank) = text.find(char::is_whitespace) {
        let from = skip_blanks(text, blank);
        return wrong(
            from..text.len(),
            "goes on behind its value; a text of several words stands in double quotes",
        );
    }
    if let Some(at) = text.find(['"', '\\']) {
        return wrong(
            at..at + 1,
            "has a quote or a backslash in a word; put the word into double quotes",
        );
    }
    if let Some(at) = text.find(char::is_control) {
        return wrong(at..text.len(), "has a control character in its value");
    }
    if is_number(text) {
        return Ok(JsonValue::Number(text.to_owned()));
    }
    Ok(JsonValue::Text(text.to_owned()))
}

/// Parses a JSON string that spans all of `text`.
fn quoted(text: &str) -> Result<JsonValue, Wrong> {
    let mut escaped = false;
    let closing = text.char_indices().skip(1).find(|&(_, c)| {
        let closes = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        closes
    });
    let Some((closing, _)) = closing else {
        return wrong(0..text.len(), "has a text whose closing quote is missing");
    };
    if closing + 1 < text.len() {
        let from = skip_blanks(text, closing + 1);
        return wrong(from..text.len(), "goes on behind its value");
    }
    match String::deserialize_json(text) {
        // nanoserde accepts any escape.
        Ok(value) if sound_escapes(text) => Ok(JsonValue::Text(value)),
        _ => wrong(
            0..text.len(),
            "has a text with an escape that JSON does not know",
        ),
    }
}

/// All escapes are those of RFC 8259, section 7; the reader checks the digits of `\u`.
fn sound_escapes(text: &str) -> bool {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\\' && !chars.next().is_some_and(|c| "\"\\/bfnrtu".contains(c)) {
            return false;
        }
    }
    true
}

/// RFC 8259, section 6.
fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = cut(text, |c| matches!(c, 'e' | 'E'));
    let (whole, fraction) = cut(mantissa, |c| c == '.');
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)))
}
