//! Conditions on a JSON body.

use crate::config::condition::{OPERATORS, parse};
use crate::config::json_string;
use crate::monitor::site::{JsonCondition, JsonOp, JsonValue};
use proptest::prelude::*;

#[test]
fn a_condition_is_a_path_an_operator_and_a_value() {
    let text = |text: &str| JsonValue::Text(text.to_owned());
    let number = |text: &str| JsonValue::Number(text.to_owned());
    for (written, path, op, value) in [
        (
            "data.status == ok",
            "data.status",
            JsonOp::Equal,
            text("ok"),
        ),
        ("queue.# < 100", "queue.#", JsonOp::Less, number("100")),
        ("#>=1", "#", JsonOp::AtLeast, number("1")),
        (
            " a.0.b  !=  null ",
            "a.0.b",
            JsonOp::NotEqual,
            JsonValue::Null,
        ),
        ("a<=-1.5e2", "a", JsonOp::AtMost, number("-1.5e2")),
        ("a>0", "a", JsonOp::Greater, number("0")),
        ("a < 1e999", "a", JsonOp::Less, number("1e999")),
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
        ("größe > 1", "größe", JsonOp::Greater, number("1")),
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
        JsonValue::Number(number) => number.clone(),
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
