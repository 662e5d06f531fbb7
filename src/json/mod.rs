//! Reading JSON from outside.
//!
//! nanoserde 0.2 trusts its input: in a field that it skips, a missing value makes it panic and a
//! text that ends early makes it loop for ever; it nests a call for every comment, and a number over
//! `i64::MAX` turns negative. So the shape of a text is looked at before nanoserde sees it.

mod view;

pub use view::View;

use nanoserde::DeJson;

/// Why a text could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It ends too early: the rest was lost on the way.
    CutOff,
    /// It isn't JSON, or not what was expected, or holds something that nanoserde can't read
    /// (a lone surrogate, a number out of range).
    Malformed,
}

/// Reads one JSON value of a known shape; unknown fields are skipped.
pub fn read<T: DeJson>(bytes: &[u8]) -> Result<T, Flaw> {
    let text = std::str::from_utf8(bytes).map_err(|e| match e.error_len() {
        None => Flaw::CutOff,
        Some(_) => Flaw::Malformed,
    })?;
    check_shape(text.as_bytes(), false)?;
    T::deserialize_json(text).map_err(|_| Flaw::Malformed)
}

/// The first whole, non-negative number behind `"key":`, wherever it stands: what can still be
/// learnt from a text that can't be read. Within a JSON string a quote is written `\"`, so
/// nobody's words are taken for the key.
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
    // A number at the very end may have been cut.
    if matches!(value.get(digits)?, b'.' | b'e' | b'E') {
        return None;
    }
    std::str::from_utf8(&value[..digits]).ok()?.parse().ok()
}

/// What may come next.
#[derive(Clone, Copy, PartialEq)]
enum Expect {
    Value,
    ValueOrClose,
    Key,
    KeyOrClose,
    Colon,
    CommaOrClose,
    End,
}

/// Whether the brackets, commas, colons and strings of `bytes` are those of one JSON value, without
/// recursion. The inside of numbers and escapes is left to nanoserde, which refuses a bad one.
/// `raw`: control characters may stand in strings.
fn check_shape(bytes: &[u8], raw: bool) -> Result<(), Flaw> {
    let mut open: Vec<u8> = Vec::new();
    let mut expect = Expect::Value;
    let mut rest = bytes;
    loop {
        while let [b' ' | b'\t' | b'\r' | b'\n', tail @ ..] = rest {
            rest = tail;
        }
        let Some((&first, tail)) = rest.split_first() else {
            return if expect == Expect::End {
                Ok(())
            } else {
                Err(Flaw::CutOff)
            };
        };
        rest = tail;
        let innermost = open.last().copied();
        match (expect, first) {
            (Expect::Value | Expect::ValueOrClose, b'{') => {
                open.push(b'{');
                expect = Expect::KeyOrClose;
                continue;
            }
            (Expect::Value | Expect::ValueOrClose, b'[') => {
                open.push(b'[');
                expect = Expect::ValueOrClose;
                continue;
            }
            (Expect::Key | Expect::KeyOrClose, b'"') => {
                rest = after_string(rest, raw)?;
                expect = Expect::Colon;
                continue;
            }
            (Expect::Colon, b':') => {
                expect = Expect::Value;
                continue;
            }
            (Expect::CommaOrClose, b',') => {
                expect = if innermost == Some(b'{') {
                    Expect::Key
                } else {
                    Expect::Value
                };
                continue;
            }
            (Expect::ValueOrClose | Expect::CommaOrClose, b']') if innermost == Some(b'[') => {
                open.pop();
            }
            (Expect::KeyOrClose | Expect::CommaOrClose, b'}') if innermost == Some(b'{') => {
                open.pop();
            }
            (Expect::Value | Expect::ValueOrClose, b'"') => rest = after_string(rest, raw)?,
            (Expect::Value | Expect::ValueOrClose, b't') => rest = after_word(rest, b"rue")?,
            (Expect::Value | Expect::ValueOrClose, b'f') => rest = after_word(rest, b"alse")?,
            (Expect::Value | Expect::ValueOrClose, b'n') => rest = after_word(rest, b"ull")?,
            (Expect::Value | Expect::ValueOrClose, b'-' | b'0'..=b'9') => {
                while let [b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-', tail @ ..] = rest {
                    rest = tail;
                }
            }
            _ => return Err(Flaw::Malformed),
        }
        expect = if open.is_empty() {
            Expect::End
        } else {
            Expect::CommaOrClose
        };
    }
}

/// What follows a string whose opening quote was read.
fn after_string(mut rest: &[u8], raw: bool) -> Result<&[u8], Flaw> {
    loop {
        rest = match rest {
            [b'"', tail @ ..] => return Ok(tail),
            [b'\\', _, tail @ ..] => tail,
            [] | [b'\\'] => return Err(Flaw::CutOff),
            // nanoserde takes a NUL for the end of the text.
            [0..=0x1f, ..] if !raw => return Err(Flaw::Malformed),
            [_, tail @ ..] => tail,
        };
    }
}

/// What follows `true`, `false` or `null`, of which the first letter was read.
fn after_word<'a>(rest: &'a [u8], word: &[u8]) -> Result<&'a [u8], Flaw> {
    match rest.strip_prefix(word) {
        Some(tail) => Ok(tail),
        None if word.starts_with(rest) => Err(Flaw::CutOff),
        None => Err(Flaw::Malformed),
    }
}

#[cfg(test)]
// nanoserde's derive writes such blocks.
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
                Err(Flaw::CutOff),
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
                Err(Flaw::Malformed),
                "{text}"
            );
        }
        assert_eq!(
            read::<Sample>(b"{\"id\":1,\"text\":\"\xff\"}"),
            Err(Flaw::Malformed)
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
        assert_eq!(read::<Sample>(comments.as_bytes()), Err(Flaw::Malformed));
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
