//! Conditions on a JSON body.
//!
//! Types must match: `== 5` is met by the number 5 only, `== "5"` and `== ok` by a string only; so
//! `!= 5` is met by the string "5" and by any other value. Numbers are compared as exact decimals of any
//! length. `< <= > >=` compare two numbers, or two strings byte by byte (such as ISO 8601 dates).
//! `contains` searches a string for a text, or an array for an element. A missing value meets no
//! condition.

use super::wire::decimal;
use crate::json::{Document, Value};
use crate::monitor::site::outcome::{Failure, FailureKind};
use crate::monitor::site::{JsonCondition, JsonOp, JsonValue};
use std::cmp::Ordering;

/// Maximum number of characters of a value in a cause.
const SHOWN: usize = 60;

/// Judges a body by the first condition that is not met. `cut`: the body is truncated.
pub(super) fn judge(body: &[u8], cut: bool, conditions: &[JsonCondition]) -> Result<(), Failure> {
    let fail = |detail: String| Err(Failure::new(FailureKind::Body, detail));
    let document = match Document::parse(body) {
        Ok(document) => document,
        Err(_) if cut => return fail("the body is cut off at 1 MiB: not JSON".to_owned()),
        Err(0) if body.is_empty() => return fail("the body is empty, not JSON".to_owned()),
        Err(at) if at >= body.len() => {
            return fail("the body is not JSON (it ends too soon)".to_owned());
        }
        Err(at) => return fail(format!("the body is not JSON (byte {})", at + 1)),
    };
    for condition in conditions {
        let path = &condition.path;
        let Some(value) = document.get(path) else {
            return fail(format!("json: {path} is missing"));
        };
        if !is_met(&value, condition) {
            let (found, wanted) = (shown(&value), wanted(condition));
            return fail(format!("json: {path} is {found}, wanted {wanted}"));
        }
    }
    Ok(())
}

fn is_met(value: &Value<'_>, condition: &JsonCondition) -> bool {
    let wanted = &condition.value;
    let order = |is: fn(Ordering) -> bool| compare(value, wanted).is_some_and(is);
    match condition.op {
        JsonOp::Equal => equals(value, wanted),
        JsonOp::NotEqual => !equals(value, wanted),
        JsonOp::Less => order(Ordering::is_lt),
        JsonOp::AtMost => order(Ordering::is_le),
        JsonOp::Greater => order(Ordering::is_gt),
        JsonOp::AtLeast => order(Ordering::is_ge),
        JsonOp::Contains => match value {
            Value::Text(text) => text.decoded().contains(&plain(wanted)),
            Value::Array(items) => items.values().any(|item| equals(&item, wanted)),
            _ => false,
        },
        JsonOp::Exists => true,
    }
}

fn equals(value: &Value<'_>, wanted: &JsonValue) -> bool {
    match (value, wanted) {
        (Value::Null, JsonValue::Null) => true,
        (Value::Bool(a), JsonValue::Bool(b)) => a == b,
        _ => compare(value, wanted) == Some(Ordering::Equal),
    }
}

/// `None` if the values cannot be compared.
fn compare(value: &Value<'_>, wanted: &JsonValue) -> Option<Ordering> {
    match (value, wanted) {
        (Value::Number(a), JsonValue::Number(b)) => Some(decimal::compare(a, b)),
        (Value::Text(a), JsonValue::Text(b)) => Some(a.decoded().as_str().cmp(b)),
        _ => None,
    }
}

fn wanted(condition: &JsonCondition) -> String {
    let op = match condition.op {
        JsonOp::Equal => "==",
        JsonOp::NotEqual => "!=",
        JsonOp::Less => "<",
        JsonOp::AtMost => "<=",
        JsonOp::Greater => ">",
        JsonOp::AtLeast => ">=",
        JsonOp::Contains => "contains",
        JsonOp::Exists => return "exists".to_owned(),
    };
    let value = match &condition.value {
        JsonValue::Number(number) => cut(number),
        JsonValue::Text(text) => format!("\"{}\"", cut(text)),
        other => plain(other),
    };
    format!("{op} {value}")
}

fn plain(value: &JsonValue) -> String {
    match value {
        JsonValue::Null => "null".to_owned(),
        JsonValue::Bool(value) => value.to_string(),
        JsonValue::Number(text) | JsonValue::Text(text) => text.clone(),
    }
}

fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => cut(number),
        Value::Text(text) => format!("\"{}\"", cut(&text.decoded())),
        Value::Array(items) => format!("an array of {}", items.values().count()),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// Truncates a text for a cause.
fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use JsonOp::*;

    fn condition(path: &str, op: JsonOp, value: JsonValue) -> JsonCondition {
        JsonCondition {
            text: String::new(),
            path: path.to_owned(),
            op,
            value,
        }
    }

    /// The cause, or an empty text.
    fn told(json: &str, path: &str, op: JsonOp, value: JsonValue) -> String {
        match judge(json.as_bytes(), false, &[condition(path, op, value)]) {
            Ok(()) => String::new(),
            Err(failure) => {
                assert_eq!(failure.kind, FailureKind::Body);
                failure.detail
            }
        }
    }

    fn text(text: &str) -> JsonValue {
        JsonValue::Text(text.to_owned())
    }

    use JsonValue::{Bool, Null};

    fn number(text: &str) -> JsonValue {
        JsonValue::Number(text.to_owned())
    }

    const JSON: &str = r#"{"s":"degraded","n":140,"five":"5","t":true,"z":null,
        "when":"2026-03-01","a":["x",2,null,[1]],"o":{"k":1},"f":0.1,"quote":"say \"hi\"\n"}"#;

    #[test]
    fn what_is_met_is_met() {
        for (path, op, value) in [
            ("s", Equal, text("degraded")),
            ("s", NotEqual, text("ok")),
            ("n", Equal, number("140")),
            ("n", NotEqual, number("1")),
            ("n", Less, number("140.5")),
            ("n", AtMost, number("140")),
            ("n", Greater, number("-1")),
            ("n", AtLeast, number("140")),
            ("f", Equal, number("0.1")),
            ("t", Equal, Bool(true)),
            ("t", NotEqual, Bool(false)),
            ("z", Equal, Null),
            ("z", Exists, Null),
            ("s", NotEqual, Null),
            ("when", Less, text("2026-10-01")),
            ("s", Contains, text("grade")),
            ("five", Contains, number("5")),
            ("quote", Contains, text("\"hi\"\n")),
            ("a", Contains, text("x")),
            ("a", Contains, number("2")),
            ("a", Contains, Null),
            ("a.#", Equal, number("4")),
            ("a", NotEqual, text("x")),
        ] {
            assert_eq!(told(JSON, path, op, value), "", "{path} {op:?}");
        }
    }

    #[test]
    fn what_is_not_met_is_told_with_what_was_there() {
        for (path, op, value, cause) in [
            ("s", Equal, text("ok"), r#"s is "degraded", wanted == "ok""#),
            ("n", Less, number("100"), "n is 140, wanted < 100"),
            ("a.#", Greater, number("9"), "a.# is 4, wanted > 9"),
            ("data.status", Equal, text("ok"), "data.status is missing"),
            ("q", NotEqual, text("ok"), "q is missing"),
            ("q", Exists, Null, "q is missing"),
            ("t", Equal, Bool(false), "t is true, wanted == false"),
            ("t", NotEqual, Bool(true), "t is true, wanted != true"),
            ("z", NotEqual, Null, "z is null, wanted != null"),
            (
                "s",
                Contains,
                text("x"),
                r#"s is "degraded", wanted contains "x""#,
            ),
            (
                "a",
                Contains,
                text("2"),
                r#"a is an array of 4, wanted contains "2""#,
            ),
            (
                "o",
                Contains,
                text("k"),
                r#"o is an object, wanted contains "k""#,
            ),
            ("f", AtLeast, number("0.25"), "f is 0.1, wanted >= 0.25"),
        ] {
            assert_eq!(told(JSON, path, op, value), format!("json: {cause}"));
        }
    }

    #[test]
    fn types_must_match() {
        for (path, op, value, cause) in [
            ("five", Equal, number("5"), r#"five is "5", wanted == 5"#),
            ("five", Less, number("9"), r#"five is "5", wanted < 9"#),
            ("n", Equal, text("140"), r#"n is 140, wanted == "140""#),
            ("t", Equal, text("true"), r#"t is true, wanted == "true""#),
            ("t", Less, Bool(true), "t is true, wanted < true"),
            ("z", AtMost, Null, "z is null, wanted <= null"),
        ] {
            assert_eq!(told(JSON, path, op, value), format!("json: {cause}"));
        }
        assert_eq!(told(JSON, "five", NotEqual, number("5")), "");
    }

    #[test]
    fn numbers_are_exact_at_any_size() {
        let json = r#"{"id":9007199254740993,"big":-123456789012345678901234567890,"d":0.1,
            "ids":[9007199254740993],"far":1e1000000000,"one":1.0,"none":-0}"#;
        for (path, op, value, is_met) in [
            ("id", Equal, "9007199254740993", true),
            ("id", Equal, "9007199254740992", false),
            ("id", NotEqual, "9007199254740992", true),
            ("id", Greater, "9007199254740992", true),
            ("id", AtMost, "9007199254740992", false),
            ("big", Equal, "-123456789012345678901234567890", true),
            ("big", Less, "-123456789012345678901234567889", true),
            ("big", AtLeast, "-123456789012345678901234567889", false),
            ("d", Equal, "0.10000000000000000001", false),
            ("d", Less, "0.10000000000000000001", true),
            ("d", Equal, "1e-1", true),
            ("ids", Contains, "9007199254740992", false),
            ("ids", Contains, "9007199254740993.0", true),
            ("far", Greater, "1e999999999", true),
            ("one", Equal, "1", true),
            ("none", Equal, "0", true),
        ] {
            let told = told(json, path, op, number(value));
            assert_eq!(told.is_empty(), is_met, "{path} {op:?} {value}: {told}");
        }
        assert_eq!(
            told(json, "id", Equal, number("9007199254740992")),
            "json: id is 9007199254740993, wanted == 9007199254740992"
        );
    }

    #[test]
    fn a_long_value_is_cut_and_a_huge_number_short() {
        let long = format!("[\"{}\",1e300,-1e999,{}]", "ä".repeat(70), "9".repeat(70));
        assert_eq!(
            told(&long, "0", Equal, text("ok")),
            format!("json: 0 is \"{}…\", wanted == \"ok\"", "ä".repeat(60))
        );
        assert_eq!(
            told(&long, "1", Less, number("100")),
            "json: 1 is 1e300, wanted < 100"
        );
        assert_eq!(
            told(&long, "2", Greater, number("0")),
            "json: 2 is -1e999, wanted > 0"
        );
        assert_eq!(
            told(&long, "3", Equal, number("0")),
            format!("json: 3 is {}…, wanted == 0", "9".repeat(60))
        );
    }

    #[test]
    fn a_body_that_is_not_json_is_told_so_and_where() {
        let exists = || condition("a", Exists, Null);
        let cause = |body: &str, cut| {
            let judged = judge(body.as_bytes(), cut, &[exists()]);
            judged.expect_err("not JSON").detail
        };
        assert_eq!(cause("<html>", false), "the body is not JSON (byte 1)");
        assert_eq!(cause("{\"a\":1,}", false), "the body is not JSON (byte 8)");
        assert_eq!(
            cause("{\"a\":[1,2", false),
            "the body is not JSON (it ends too soon)"
        );
        assert_eq!(cause("", false), "the body is empty, not JSON");
        assert_eq!(
            cause("{\"a\":[1,2", true),
            "the body is cut off at 1 MiB: not JSON"
        );
        assert_eq!(
            judge(b"{\"a\":1}", true, &[exists()]),
            Ok(()),
            "just so long"
        );
    }

    #[test]
    fn the_first_condition_that_is_not_met_counts() {
        let conditions = [
            condition("n", Greater, number("0")),
            condition("s", Equal, text("ok")),
            condition("q", Exists, Null),
        ];
        let told = judge(JSON.as_bytes(), false, &conditions).expect_err("unmet");
        assert_eq!(told.detail, r#"json: s is "degraded", wanted == "ok""#);
    }
}
