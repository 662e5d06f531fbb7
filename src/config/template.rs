//! Templates in `[[notify]]` with placeholders `{text}`, `{site}` … Other words in braces are mistakes;
//! `{{word}}` stands for `{word}`, and braces around anything else are literal.

use super::Context;
use super::error::MistakeList;
use super::json::json_string;
use super::string_span::within;
use super::toml_table::Entry;
use super::value::{expand, leading};
use super::variables::expanded;
use crate::monitor::bot::nearest::nearest;
use crate::monitor::outbox::channels::placeholders::{Placeholder, Values};
use crate::pem::base64;
use crate::secret::Secret;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// Characters that are percent-encoded in URLs: all but the unreserved ones (RFC 3986, section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Maximum bytes of a value in a URL or a header: servers refuse long requests (414, 431), and a refused
/// alert is lost.
const LONGEST_IN_HEAD: usize = 1000;

/// How values are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Plain,
    Percent,
    /// Part of a JSON string.
    Json,
    /// One line of ASCII.
    Header,
}

/// A parsed template. May be secret: `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    encoding: Encoding,
    parts: Vec<Part>,
}

#[derive(Clone, PartialEq, Eq)]
enum Part {
    Text(Secret),
    Value(Placeholder),
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Template {
    pub(super) fn new(encoding: Encoding) -> Template {
        let parts = Vec::new();
        Template { encoding, parts }
    }

    /// Replaces the placeholders by these values.
    pub fn fill(&self, values: &Values) -> String {
        let mut filled = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => filled.push_str(text.expose()),
                Part::Value(placeholder) => {
                    let value = values.get(*placeholder);
                    match self.encoding {
                        Encoding::Plain => filled.push_str(value),
                        Encoding::Header => filled.push_str(&shortened(value)),
                        Encoding::Percent => {
                            let value = shortened(value);
                            filled.extend(utf8_percent_encode(&value, RESERVED));
                        }
                        Encoding::Json => filled.push_str(&in_json(value)),
                    }
                }
            }
        }
        match self.encoding {
            Encoding::Header => header_value(&filled),
            _ => filled,
        }
    }

    /// Appends a literal text that does not come from the configuration.
    pub(super) fn push_text(&mut self, text: &str) {
        self.parts.push(Part::Text(Secret::new(text)));
    }

    /// Appends a text of the file: replaces `$NAME` and parses placeholders. Returns whether it is valid;
    /// mistakes are recorded under `key`.
    pub(super) fn push(
        &mut self,
        text: Entry<String>,
        key: &str,
        ctx: &Context,
        log: &mut MistakeList,
    ) -> bool {
        let Entry::Given(written) = &text else {
            return false;
        };
        let (span, written) = (written.span, written.value.clone());
        let sound = expanded(text, key, true, ctx.env, log);
        let (pieces, unknown) = pieces(&written);
        for range in &unknown {
            let what = unknown_placeholder(&written[range.clone()]);
            let at = within(log.text(), span, &written, range.clone());
            log.add(at, format!("`{key}` {what}"));
        }
        for piece in pieces {
            match piece {
                Piece::Text(text) => {
                    // The whole text was expanded successfully before.
                    let text = expand(text, ctx.env).unwrap_or_default();
                    match self.encoding {
                        Encoding::Json => self.push_text(&in_json(&text)),
                        _ => self.push_text(&text),
                    }
                }
                Piece::Value(placeholder) => self.parts.push(Part::Value(placeholder)),
            }
        }
        unknown.is_empty() && !sound.is_bad()
    }
}

/// A part of a text of the file.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'t> {
    Text(&'t str),
    Value(Placeholder),
}

/// Splits a text into parts, and returns the ranges of words in braces that are no placeholders.
fn pieces(text: &str) -> (Vec<Piece<'_>>, Vec<Range<usize>>) {
    let (mut pieces, mut unknown) = (Vec::new(), Vec::new());
    let (mut from, mut at) = (0, 0);
    while let Some(offset) = text[at..].find('{') {
        let open = at + offset;
        let doubled = text[open + 1..].starts_with('{');
        let inner = open + 1 + usize::from(doubled);
        let word = word(&text[inner..]);
        let close = if doubled { "}}" } else { "}" };
        let end = inner + word.len() + close.len();
        if word.is_empty() || !text[inner + word.len()..].starts_with(close) {
            at = open + 1;
            continue;
        }
        let known = Placeholder::ALL.into_iter().find(|p| p.word() == word);
        let piece = match known {
            _ if doubled => Piece::Text(&text[open + 1..end - 1]),
            Some(placeholder) => Piece::Value(placeholder),
            None => {
                unknown.push(open..end);
                at = end;
                continue;
            }
        };
        pieces.extend([Piece::Text(&text[from..open]), piece]);
        (from, at) = (end, end);
    }
    pieces.push(Piece::Text(&text[from..]));
    pieces.retain(|piece| *piece != Piece::Text(""));
    (pieces, unknown)
}

/// Returns the word at the start of `text`; empty if there is none.
fn word(text: &str) -> &str {
    match text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        true => leading(text, |c| {
            c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
        }),
        false => "",
    }
}

/// The mistake for a word in braces. Braces may be part of a secret: the text is shown only if it looks
/// like a word.
fn unknown_placeholder(braced: &str) -> String {
    let word = braced.trim_matches(['{', '}']);
    let plain = word.len() <= 20 && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let near = nearest(word, Placeholder::ALL.map(Placeholder::word));
    let shown = match plain || near.is_some() {
        true => format!("the placeholder `{braced}`, which is not known"),
        false => "a word in braces that is no placeholder".to_owned(),
    };
    let known = Placeholder::ALL
        .map(|p| format!("{{{}}}", p.word()))
        .join(", ");
    let remedy = match near {
        Some(near) => format!("did you mean `{{{near}}}`?"),
        None => format!("there are {known}; double the braces to write the word itself"),
    };
    format!("has {shown}; {remedy}")
}

/// Encodes `text` as part of a JSON string.
fn in_json(text: &str) -> String {
    let quoted = json_string(text);
    quoted[1..quoted.len() - 1].to_owned()
}

/// Truncates to [`LONGEST_IN_HEAD`] bytes and an ellipsis.
fn shortened(value: &str) -> Cow<'_, str> {
    match value.len() <= LONGEST_IN_HEAD {
        true => Cow::Borrowed(value),
        false => {
            let mut bounds = (0..=LONGEST_IN_HEAD).rev();
            let end = bounds.find(|&at| value.is_char_boundary(at));
            Cow::Owned(format!("{}\u{2026}", &value[..end.unwrap_or(0)]))
        }
    }
}

/// Puts the text on one line, as an encoded word (RFC 2047, section 2) if it is not ASCII: header values
/// must be (RFC 9110, section 5.5).
fn header_value(text: &str) -> String {
    let line = text.replace("\r\n", " ");
    let line: String = line
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let line = line.trim();
    match line.is_ascii() {
        true => line.to_owned(),
        false => {
            let mut word = base64(line.as_bytes());
            while !word.len().is_multiple_of(4) {
                word.push('=');
            }
            format!("=?UTF-8?B?{word}?=")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values() -> Values {
        Values::new(|placeholder| match placeholder {
            Placeholder::Text => "a \"b\"\nc".to_owned(),
            Placeholder::Site => "b\u{fc}ro/1".to_owned(),
            Placeholder::Note => String::new(),
            other => other.word().to_owned(),
        })
    }

    fn filled(encoding: Encoding, text: &str) -> String {
        let mut template = Template::new(encoding);
        let (pieces, unknown) = pieces(text);
        assert_eq!(unknown, [0..0; 0], "{text}");
        for piece in pieces {
            match piece {
                Piece::Text(text) => template.push_text(text),
                Piece::Value(value) => template.parts.push(Part::Value(value)),
            }
        }
        template.fill(&values())
    }

    #[test]
    fn values_are_encoded_for_where_they_stand() {
        assert_eq!(filled(Encoding::Plain, "<{text}>{note}"), "<a \"b\"\nc>");
        assert_eq!(filled(Encoding::Json, "{text}"), "a \\\"b\\\"\\nc");
        assert_eq!(
            filled(Encoding::Percent, "https://h/{site}?t={text}"),
            "https://h/b%C3%BCro%2F1?t=a%20%22b%22%0Ac"
        );
        assert_eq!(
            filled(Encoding::Header, "{text}: {state}"),
            "a \"b\" c: state"
        );
        assert_eq!(filled(Encoding::Header, "{note}"), "");
        // RFC 2047, section 4.1; verified with Python's email.header.
        assert_eq!(
            filled(Encoding::Header, "{site}"),
            "=?UTF-8?B?YsO8cm8vMQ==?="
        );
    }

    #[test]
    fn a_head_stays_short_enough_for_servers_and_a_body_is_whole() {
        let long = "\u{1f534}".repeat(5000);
        let values = Values::new(|_| long.clone());
        let of = |encoding| {
            let parts = vec![Part::Value(Placeholder::Text)];
            Template { encoding, parts }.fill(&values)
        };
        // nginx and Apache accept 8 KiB.
        let url = of(Encoding::Percent);
        assert!(
            url.len() < 4000 && url.ends_with("%F0%9F%94%B4%E2%80%A6"),
            "{url}"
        );
        assert!(of(Encoding::Header).len() < 4000);
        assert_eq!(of(Encoding::Plain), long);
        assert_eq!(of(Encoding::Json), long);
    }

    #[test]
    fn braces_that_are_no_placeholders_stay() {
        for text in [
            "{",
            "}",
            "{}",
            "{ text }",
            "{\"a\": {\"b\": 1}}",
            "{0}",
            "a{b c}",
            "{text",
        ] {
            assert_eq!(filled(Encoding::Plain, text), text);
        }
        assert_eq!(filled(Encoding::Plain, "{{text}} {state}"), "{text} state");
        assert_eq!(filled(Encoding::Plain, "{{x}}"), "{x}");
    }

    #[test]
    fn other_words_in_braces_are_mistakes() {
        assert_eq!(pieces("a {txet} {b}").1, [2..8, 9..12]);
        assert_eq!(
            unknown_placeholder("{sites}"),
            "has the placeholder `{sites}`, which is not known; did you mean `{site}`?"
        );
        let secret = unknown_placeholder("{hunter2}");
        assert!(!secret.contains("hunter2"), "{secret}");
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "[{}a-z$ é]{0,20}") {
            let _ = pieces(&text);
        }

        #[test]
        fn a_value_cannot_leave_its_place(value in any::<String>()) {
            let values = Values::new(|_| value.clone());
            let of = |encoding| {
                let parts = vec![Part::Value(Placeholder::Text)];
                Template { encoding, parts }.fill(&values)
            };
            let header = of(Encoding::Header);
            prop_assert!(header.bytes().all(|b| (0x20..0x7f).contains(&b)), "{}", header);
            let url = of(Encoding::Percent);
            prop_assert!(url.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)));
            let json = format!("\"{}\"", of(Encoding::Json));
            let read: String = serde_json::from_str(&json).expect("JSON");
            prop_assert_eq!(read, value);
        }
    }
}
