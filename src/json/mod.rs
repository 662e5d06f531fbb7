//! Reads JSON from outside: a [`Document`] of any form in place, or a struct with nanoserde.
//!
//! nanoserde 0.2 trusts its input: in a field that it skips, a missing value makes it panic and a truncated
//! text makes it loop forever; it recurses for every comment, and wraps numbers over `i64::MAX`. So a text
//! is validated before nanoserde parses it.

mod document;
mod syntax;

pub use document::{Document, Value, Values};

use nanoserde::DeJson;

/// Why a text could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonError {
    /// It is truncated.
    CutOff,
    /// It is not JSON, has another form than expected, or contains something that nanoserde cannot read (a lone
    /// surrogate, a number out of range).
    Malformed,
}

impl JsonError {
    /// The error for a text that is invalid at `place`.
    fn at(place: usize, text: &[u8]) -> JsonError {
        match place >= text.len() {
            true => JsonError::CutOff,
            false => JsonError::Malformed,
        }
    }
}

/// Reads one JSON value of a known form; unknown fields are skipped.
pub fn read<T: DeJson>(bytes: &[u8]) -> Result<T, JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|e| match e.error_len() {
        None => JsonError::CutOff,
        Some(_) => JsonError::Malformed,
    })?;
    syntax::validate(bytes, syntax::after_space(bytes, 0), false)
        .map_err(|at| JsonError::at(at, bytes))?;
    T::deserialize_json(text).map_err(|_| JsonError::Malformed)
}

/// Returns the first non-negative whole number after `"key":`, at any depth, to recover it from a text that
/// is invalid. Quotes within JSON strings are escaped, so no user's text is taken for the key.
pub fn dig_number(bytes: &[u8], key: &str) -> Option<i64> {
    let key = format!("\"{key}\"");
    let mut rest = bytes;
    loop {
        let at = rest
            .windows(key.len())
            .position(|window| window == key.as_bytes())?;
        rest = &rest[at + key.len()..];
        if let Some(number) = number_after_colon(rest) {
            return Some(number);
        }
    }
}

fn number_after_colon(bytes: &[u8]) -> Option<i64> {
    let value = bytes
        .trim_ascii_start()
        .strip_prefix(b":")?
        .trim_ascii_start();
    let digits = value.iter().take_while(|b| b.is_ascii_digit()).count();
    // A number at the very end may be truncated.
    if matches!(value.get(digits)?, b'.' | b'e' | b'E') {
        return None;
    }
    std::str::from_utf8(&value[..digits]).ok()?.parse().ok()
}

#[cfg(test)]
// nanoserde's derive generates such blocks.
#[allow(clippy::question_mark)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(DeJson, Debug, PartialEq)]
    struct Sample {
        id: i64,
        text: Option<String>,
    }

    const SOUND: &str = r#" {"skip":{"a":[1,-2.5e3,{"b":"\"\\é\u00e9"},[],{}],"n":null,"t":true,"f":false},"id":5000000000,"text":"\ud83d\ude00"} "#;

    #[test]
    fn a_sound_text_is_read_exactly() {
        let sample = read::<Sample>(SOUND.as_bytes());
        assert_eq!(
            sample,
            Ok(Sample {
                id: 5_000_000_000,
                text: Some("😀".into())
            })
        );
    }

    #[test]
    fn every_text_that_ends_early_is_cut_off() {
        let whole = SOUND.trim().as_bytes();
        for end in 0..whole.len() {
            assert_eq!(
                read::<Sample>(&whole[..end]),
                Err(JsonError::CutOff),
                "cut at {end}"
            );
        }
    }

    #[test]
    fn what_nanoserde_would_trip_over_is_malformed() {
        for text in [
            r#"{"skip":,"id":1}"#,
            r#"{"skip":},"id":1}"#,
            r#"{"skip":[,],"id":1}"#,
            r#"{"skip"::1,"id":1}"#,
            r#"{"skip":[1},"id":1}"#,
            r#"{"id":1,}"#,
            r#"{"id":1}x"#,
            r#"{"id":"1"}"#,
            r#"{"id":1e999}"#,
            r#"{"id":99999999999999999999}"#,
            r#"{"text":"no id"}"#,
            r#"{"id":1,"skip":"\ud800"}"#,
            "{\"id\":1,\"text\":\"\0\"}",
            "//\n{\"id\":1}",
            "<html>502 Bad Gateway</html>",
            "\u{feff}{\"id\":1}",
        ] {
            assert_eq!(
                read::<Sample>(text.as_bytes()),
                Err(JsonError::Malformed),
                "{text}"
            );
        }
        assert_eq!(
            read::<Sample>(b"{\"id\":1,\"text\":\"\xff\"}"),
            Err(JsonError::Malformed)
        );
    }

    #[test]
    fn a_million_brackets_are_no_recursion() {
        let deep = format!(
            r#"{{"skip":{}{},"id":1}}"#,
            "[".repeat(500_000),
            "]".repeat(500_000)
        );
        assert_eq!(
            read::<Sample>(deep.as_bytes()),
            Ok(Sample { id: 1, text: None })
        );
        let comments = "//\n".repeat(300_000);
        assert_eq!(
            read::<Sample>(comments.as_bytes()),
            Err(JsonError::Malformed)
        );
    }

    #[test]
    fn a_number_is_dug_from_what_cannot_be_read() {
        let dig = |text: &str| dig_number(text.as_bytes(), "id");
        assert_eq!(dig(r#"{"result":[{"id" : 7 ,"text":"\ud800""#), Some(7));
        assert_eq!(dig(r#"{"text":"\"id\":5","id":6}"#), Some(6));
        assert_eq!(dig(r#"{"text":"id","id":6}"#), Some(6));
        assert_eq!(dig(r#"{"id":"4","x":{"id":3}}"#), Some(3));
        assert_eq!(dig(r#"{"id":12"#), None, "it may have been 123");
        for none in [
            r#"{"id":-1}"#,
            r#"{"id":1.5}"#,
            r#"{"id":1e5}"#,
            r#"{"id":99999999999999999999}"#,
            r#"{"id":"#,
            "",
        ] {
            assert_eq!(dig(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read::<Sample>(&bytes);
            let _ = dig_number(&bytes, "id");
        }

        #[test]
        fn almost_json_never_panics_or_hangs(text in r#"([\[\]{}:,"0-9.e+-]|"id":|"skip":|"text":|true|null|\\u|d8|/|\*| )*"#) {
            let _ = read::<Sample>(text.as_bytes());
            let _ = read::<Sample>(format!(r#"{{"skip":{text},"id":1}}"#).as_bytes());
        }

        #[test]
        fn a_number_is_dug_wherever_it_stands(
            id in 0..i64::MAX,
            before in r#"[^"]*"#,
            after in "[^0-9.eE].*",
        ) {
            let text = format!(r#"{before}"id":{id}{after}"#);
            prop_assert_eq!(dig_number(text.as_bytes(), "id"), Some(id));
        }
    }
}
