//! A condition on a JSON body, `PATH OPERATOR VALUE` or `PATH exists`, as text → [`JsonCondition`].
//!
//! Of GJSON's paths these: names and places in a list with dots between them, `#` at the end
//! for a length, and `\` before any character that would mean something else.

use super::value::brief;
use crate::monitor::site::{JsonCondition, JsonOp, JsonValue};
use nanoserde::DeJson;
use std::ops::Range;

/// Part of an expression, and what is wrong with it, as it follows the key's name.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    /// In bytes of the expression; may be empty, at its end.
    pub range: Range<usize>,
    pub what: String,
}

const OPERATORS: [(&str, JsonOp); 8] = [
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
    let wrong = |range: Range<usize>, what: String| Err(Wrong { range, what });
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
                "goes on behind `exists`, which takes no value".to_owned(),
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

/// Bytes of a word, or of signs up to a blank or a value.
fn operator_length(text: &str) -> usize {
    let sign = |c: char| "=!<>~^".contains(c);
    let end = if text.starts_with(sign) {
        text.find(|c| !sign(c))
    } else {
        text.find(char::is_whitespace)
    };
    end.unwrap_or(text.len())
}

/// Where the path that begins at `start` ends.
fn path(text: &str, start: usize) -> Result<usize, Wrong> {
    let wrong = |range: Range<usize>, what: &str| {
        Err(Wrong {
            range,
            what: what.to_owned(),
        })
    };
    let unsupported = |at: usize, end: usize| {
        let range = at..end;
        let what = format!(
            "has `{}` in its path, which sitemon does not know: only a.b, a.0 and a.# \
             (write `\\` before a sign that belongs to a name)",
            brief(&text[range.clone()])
        );
        Err(Wrong { range, what })
    };
    let mut chars = text[start..].char_indices().map(|(at, c)| (start + at, c));
    let mut part = start;
    // Where a `#` stands alone as a part.
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
            '\\' => {
                if !chars.next().is_some_and(|(_, c)| !c.is_control()) {
                    return wrong(at..at + 1, "has a `\\` in its path that no sign follows");
                }
            }
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

/// A JSON literal, or a word, which is a string.
fn value(text: &str) -> Result<JsonValue, Wrong> {
    let wrong = |range: Range<usize>, what: &str| {
        Err(Wrong {
            range,
            what: what.to_owned(),
        })
    };
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
        return match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(JsonValue::Number(number)),
            _ => wrong(0..text.len(), "has a number that is too large"),
        };
    }
    Ok(JsonValue::Text(text.to_owned()))
}

/// A JSON string, which `text` begins with and should end with.
fn quoted(text: &str) -> Result<JsonValue, Wrong> {
    let wrong = |range: Range<usize>, what: &str| {
        Err(Wrong {
            range,
            what: what.to_owned(),
        })
    };
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
        Ok(value) => Ok(JsonValue::Text(value)),
        Err(_) => wrong(
            0..text.len(),
            "has a text with an escape that JSON does not know",
        ),
    }
}

/// RFC 8259, section 6.
fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::json_string;
    use proptest::prelude::*;

    #[test]
    fn a_condition_is_a_path_an_operator_and_a_value() {
        let text = |text: &str| JsonValue::Text(text.to_owned());
        let number = JsonValue::Number;
        for (written, path, op, value) in [
            (
                "data.status == ok",
                "data.status",
                JsonOp::Equal,
                text("ok"),
            ),
            ("queue.# < 100", "queue.#", JsonOp::Less, number(100.0)),
            ("#>=1", "#", JsonOp::AtLeast, number(1.0)),
            (
                " a.0.b  !=  null ",
                "a.0.b",
                JsonOp::NotEqual,
                JsonValue::Null,
            ),
            ("a<=-1.5e2", "a", JsonOp::AtMost, number(-150.0)),
            ("a>0", "a", JsonOp::Greater, number(0.0)),
            ("ok == true", "ok", JsonOp::Equal, JsonValue::Bool(true)),
            ("ok == \"true\"", "ok", JsonOp::Equal, text("true")),
            ("v == 1.2.3", "v", JsonOp::Equal, text("1.2.3")),
            ("v == 007", "v", JsonOp::Equal, text("007")),
            (
                "day == 2024-01-31",
                "day",
                JsonOp::Equal,
                text("2024-01-31"),
            ),
            (
                "a contains \"b \\\"c\\\" \\u00e4\"",
                "a",
                JsonOp::Contains,
                text("b \"c\" ä"),
            ),
            ("a == \"\"", "a", JsonOp::Equal, text("")),
            ("a\\.b.c exists", "a\\.b.c", JsonOp::Exists, JsonValue::Null),
            (
                "a\\ b\\=.\\# exists",
                "a\\ b\\=.\\#",
                JsonOp::Exists,
                JsonValue::Null,
            ),
            (
                "me@home.a#b-c_d exists",
                "me@home.a#b-c_d",
                JsonOp::Exists,
                JsonValue::Null,
            ),
            ("größe > 1", "größe", JsonOp::Greater, number(1.0)),
        ] {
            let expected = JsonCondition {
                text: written.trim().to_owned(),
                path: path.to_owned(),
                op,
                value,
            };
            assert_eq!(parse(written), Ok(expected));
        }
    }

    #[test]
    fn what_is_wrong_is_pointed_at() {
        let operators = "one of == != < <= > >= contains exists";
        let unknown = |sign: &str| {
            format!(
                "has `{sign}` in its path, which sitemon does not know: only a.b, a.0 and a.# \
                 (write `\\` before a sign that belongs to a name)"
            )
        };
        let no_path = "has no path; it is \"PATH OPERATOR VALUE\" such as \"status == ok\"";
        let several = "goes on behind its value; a text of several words stands in double quotes";
        let list = "has a list or an object for a value; only a number, a text, true, false or \
                    null can be compared";
        for (text, part, what) in [
            ("", "", no_path.to_owned()),
            ("  ", "", no_path.to_owned()),
            (" == 1", "", no_path.to_owned()),
            (
                "a",
                "",
                format!("ends behind the path; {operators} follows"),
            ),
            (
                "a is b",
                "is",
                format!("has `is` where {operators} should be"),
            ),
            (
                "a === b",
                "===",
                format!("has `===` where {operators} should be"),
            ),
            (
                "a =~ b",
                "=~",
                format!("has `=~` where {operators} should be"),
            ),
            (
                "a = b",
                "=",
                "has `=`, which is no operator; write `==`".to_owned(),
            ),
            (
                "a ==",
                "",
                "lacks a value; the empty text is `\"\"`".to_owned(),
            ),
            (
                "a exists 1",
                "1",
                "goes on behind `exists`, which takes no value".to_owned(),
            ),
            (
                "a < b",
                "b",
                "compares with `<`, which needs a number".to_owned(),
            ),
            (
                "a >= \"5\"",
                "\"5\"",
                "compares with `>=`, which needs a number".to_owned(),
            ),
            (
                "a < 1e999",
                "1e999",
                "has a number that is too large".to_owned(),
            ),
            ("a == all good", "good", several.to_owned()),
            ("a == [1]", "[1]", list.to_owned()),
            ("a == {}", "{}", list.to_owned()),
            (
                "a == 'b'",
                "'b'",
                "has a text in single quotes; JSON's are double".to_owned(),
            ),
            (
                "a == \"b",
                "\"b",
                "has a text whose closing quote is missing".to_owned(),
            ),
            ("a == \"b\" c", "c", "goes on behind its value".to_owned()),
            (
                "a == \"\\q\"",
                "\"\\q\"",
                "has a text with an escape that JSON does not know".to_owned(),
            ),
            (
                "a == b\"",
                "\"",
                "has a quote or a backslash in a word; put the word into double quotes".to_owned(),
            ),
            (
                "a..b exists",
                ".",
                "has a `.` in its path that no name is before".to_owned(),
            ),
            (
                "a. exists",
                ".",
                "has a `.` in its path that no name follows".to_owned(),
            ),
            (
                "a\\",
                "\\",
                "has a `\\` in its path that no sign follows".to_owned(),
            ),
            ("a.#(b==1).c == 2", "#(b==1).c", unknown("#(b==1).c")),
            ("a.#.b == 2", "#.b", unknown("#.b")),
            ("a|b == 2", "|", unknown("|")),
            ("@this exists", "@", unknown("@")),
            ("a.@reverse exists", "@", unknown("@")),
            ("a.b* exists", "*", unknown("*")),
            ("a.b? exists", "?", unknown("?")),
            ("{a,b} exists", "{", unknown("{")),
            ("[a,b] exists", "[", unknown("[")),
        ] {
            let wrong = parse(text).expect_err(text);
            assert_eq!(
                (&text[wrong.range.clone()], wrong.what),
                (part, what),
                "{text}"
            );
        }
    }

    /// Another text with the same meaning.
    fn rendered(condition: &JsonCondition) -> String {
        let (word, _) = OPERATORS
            .iter()
            .find(|(_, op)| *op == condition.op)
            .unwrap();
        let value = match &condition.value {
            _ if condition.op == JsonOp::Exists => String::new(),
            JsonValue::Null => "null".to_owned(),
            JsonValue::Bool(value) => value.to_string(),
            JsonValue::Number(number) => number.to_string(),
            JsonValue::Text(text) => json_string(text),
        };
        format!("{} {word} {value}", condition.path)
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(text in any::<String>()) {
            if let Err(wrong) = parse(&text) {
                prop_assert!(text.get(wrong.range).is_some());
            }
        }

        #[test]
        fn what_was_read_is_written_and_read_again(
            text in r#"[a-cé0-9.#\\@|!" ]{0,8} ?(==|!=|<=?|>=?|contains|exists|=)? ?["a-z0-9.e+-]{0,6}[ "\\]?"#
        ) {
            match parse(&text) {
                Ok(condition) => {
                    let again = parse(&rendered(&condition)).unwrap();
                    prop_assert_eq!(
                        (&again.path, again.op, &again.value),
                        (&condition.path, condition.op, &condition.value)
                    );
                }
                Err(wrong) => prop_assert!(text.get(wrong.range).is_some()),
            }
        }

        #[test]
        fn any_string_can_be_a_value(value in any::<String>()) {
            let condition = parse(&format!("a == {}", json_string(&value))).unwrap();
            prop_assert_eq!(condition.value, JsonValue::Text(value));
        }
    }
}
