//! Masks quoted lines of the configuration: shows names of keys, and values that the table of keys
//! declares as not secret unless they look like one. All other characters become `*`.

use super::keys::{self, ROOT, Section, ValueType, Visibility};
use super::secret_looks::{hidden_beside_origin, hidden_in_source, secret_looks};
use super::value::{is_word, leading};
use std::ops::Range;
use toml_span::value::ValueInner;
use toml_span::{Span, Value};

/// What is known about a byte of the text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ByteKind {
    /// Neither key nor value: punctuation, a comment, the name of a repeated table.
    Bare,
    Shown,
    Hidden,
}

/// The text of a configuration, and which bytes of it may be shown.
pub struct Mask<'t> {
    text: &'t str,
    /// `None` if it is not TOML.
    shown: Option<Vec<bool>>,
}

impl<'t> Mask<'t> {
    pub fn of(text: &'t str) -> Mask<'t> {
        let shown = toml_span::parse(text).ok().map(|root| {
            let paint = vec![ByteKind::Bare; text.len()];
            let mut painting = Masking { text, paint };
            painting.section(&root, &ROOT);
            painting.finish()
        });
        Mask { text, shown }
    }

    /// Returns the characters of the line at `place`, with `*` in place of hidden ones.
    pub fn line(&self, place: Range<usize>) -> Vec<char> {
        let line = &self.text[place.clone()];
        let mut shown = match &self.shown {
            Some(shown) => shown[place].to_vec(),
            None => {
                // After a complete document a key or a header begins; otherwise this may be the middle of a value.
                let begins = toml_span::parse(&self.text[..place.start]).is_ok();
                let start = if begins { beginning(line) } else { 0 };
                let end = line.trim_end().len();
                (0..line.len()).map(|at| at < start || at >= end).collect()
            }
        };
        for range in secret_looks(line) {
            shown[range].fill(false);
        }
        let mask = |(at, c): (usize, char)| if shown[at] { c } else { '*' };
        line.char_indices().map(mask).collect()
    }
}

/// Text in TOML whose bytes are being classified.
struct Masking<'t> {
    text: &'t str,
    paint: Vec<ByteKind>,
}

impl Masking<'_> {
    fn section(&mut self, value: &Value, section: &Section) {
        if let Some(list) = value.as_array() {
            return list.iter().for_each(|value| self.section(value, section));
        }
        let Some(table) = value.as_table() else {
            return self.value(value, Visibility::Nothing);
        };
        for (key, value) in table {
            self.name(key.span);
            match section.key(&key.name) {
                Some(key) => match key.takes {
                    ValueType::Table(inner) => self.section(value, inner),
                    _ => self.value(value, key.shown),
                },
                None => self.value(value, Visibility::Nothing),
            }
        }
    }

    fn value(&mut self, value: &Value, shown: Visibility) {
        match value.as_ref() {
            ValueInner::Table(table) => {
                for (key, value) in table {
                    match shown {
                        Visibility::Names => self.name(key.span),
                        _ => self.paint(key.span, ByteKind::Hidden),
                    }
                    self.value(value, Visibility::Nothing);
                }
            }
            ValueInner::Array(list) => list.iter().for_each(|value| self.value(value, shown)),
            // The span of an empty string covers a quotation mark.
            ValueInner::String(text) if text.is_empty() => {}
            _ => match shown {
                Visibility::Value => self.paint(value.span, ByteKind::Shown),
                Visibility::Url | Visibility::Origin => {
                    self.paint(value.span, ByteKind::Shown);
                    let start = value.span.start;
                    let source = &self.text[start..value.span.end];
                    let hidden = match shown {
                        Visibility::Origin => hidden_beside_origin(source),
                        _ => hidden_in_source(source),
                    };
                    for part in hidden {
                        self.paint(
                            Span::new(start + part.start, start + part.end),
                            ByteKind::Hidden,
                        );
                    }
                }
                Visibility::Names | Visibility::Nothing => self.paint(value.span, ByteKind::Hidden),
            },
        }
    }

    fn name(&mut self, span: Span) {
        self.paint(span, ByteKind::Hidden);
        let plain = keys::plain_length(&self.text[span.start..span.end]);
        self.paint(Span::new(span.start, span.start + plain), ByteKind::Shown);
    }

    fn paint(&mut self, span: Span, paint: ByteKind) {
        if let Some(bytes) = self.paint.get_mut(span.start..span.end) {
            bytes.fill(paint);
        }
    }

    /// Of the unclassified bytes, punctuation and known names are shown and comments are hidden.
    fn finish(self) -> Vec<bool> {
        let Masking { text, paint } = self;
        let mut shown: Vec<bool> = paint
            .iter()
            .map(|&paint| paint == ByteKind::Shown)
            .collect();
        let mut at = 0;
        while let Some(c) = text[at..].chars().next() {
            let mut length = c.len_utf8();
            if paint[at] == ByteKind::Bare {
                let word = leading(&text[at..], is_word);
                length = match c {
                    '#' => leading(&text[at..], |c| c != '\n').len(),
                    _ => word.len().max(length),
                };
                let known = c.is_whitespace() || "[]{}=,.\"'".contains(c) || keys::is_known(word);
                shown[at..at + length].fill(known);
            }
            at += length;
        }
        shown
    }
}

/// Returns the length of the visible start of a line that is not TOML: its header; or its key, the `=`
/// and the quotation marks, which show the type of the hidden value.
fn beginning(line: &str) -> usize {
    let start = line.len() - line.trim_start().len();
    let rest = &line[start..];
    if rest.starts_with('[') {
        return start + leading(rest, |c| is_word(c) || "[].".contains(c)).len();
    }
    let path = leading(rest, |c| is_word(c) || c == '.');
    let behind = &rest[path.len()..];
    let is_key = behind.trim_start().starts_with('=') && !path.is_empty();
    match is_key || keys::is_known(path) {
        true => start + path.len() + leading(behind, |c| " \t=\"'".contains(c)).len(),
        false => start,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn shown(text: &str, expected: &str) {
        let mask = Mask::of(text);
        let mut start = 0;
        let lines = text.split('\n').map(|line| {
            let place = start..start + line.len();
            start += line.len() + 1;
            String::from_iter(mask.line(place))
        });
        assert_eq!(lines.collect::<Vec<_>>().join("\n"), expected);
    }

    #[test]
    fn values_are_shown_where_they_are_known_to_hold_no_secret() {
        shown(
            "[telegram]\ntoken = \"1:ab\"\nchats = [1, -2]\n[agent]\nheartbeat = 'https://h/id'\nstate = 's'",
            "[telegram]\ntoken = \"****\"\nchats = [1, -2]\n[agent]\nheartbeat = '************'\nstate = 's'",
        );
        shown(
            "[[site]]\nname = \"a\"\nauth = 5\n[[site]]\nsend = \"\"\"\na=1\n\"b\"\"\"\"\ntries = 3",
            "[[site]]\nname = \"a\"\nauth = *\n[[site]]\nsend = \"\"\"\n***\n***\"\"\"\ntries = 3",
        );
        shown("telegram.token = '1:ab'", "telegram.token = '****'");
        shown("[[site]]\nauth = ''", "[[site]]\nauth = ''");
    }

    #[test]
    fn unknown_keys_are_shown_and_nothing_of_their_values() {
        shown(
            "[[site]]\nbearer = \"h u.n\"\napi_key = [1, 'x']\nvault = { pin = 5, \"a.b\" = true }",
            "[[site]]\nbearer = \"*****\"\napi_key = [*, '*']\nvault = { *** = *, \"***\" = **** }",
        );
        shown(
            "[vault]\npin = 1.5 # x\n[vault.deep]\nk = 1\n[agent]\nname = 'a'\nstate.x = 'y'",
            "[vault]\n*** = *** ***\n[*****.****]\n* = *\n[agent]\nname = '*'\nstate.* = '*'",
        );
        shown(
            "[[site]]\nname = { auth = 'x' }\n[site.nome]\nauth = 'x'",
            "[[site]]\nname = { **** = '*' }\n[site.nome]\n**** = '*'",
        );
    }

    #[test]
    fn names_are_shown_as_far_as_they_look_like_one() {
        shown(
            "\"Bearer x\" = 1\n\"größe.a-b_c\" = 1\n\"a:b\" = 1",
            "\"Bearer**\" = *\n\"größe.a-b_c\" = *\n\"a**\" = *",
        );
    }

    #[test]
    fn comments_may_hold_anything() {
        shown(
            "# auth = 'u:p'\n[agent] # x\ncommands = 5 # b#c",
            "**************\n[agent] ***\ncommands = 5 *****",
        );
    }

    #[test]
    fn headers_and_forms_show_their_names() {
        shown(
            "[[site]]\nheaders = { A = \"x\", \"B C\" = 'y', \"Cookie: k\" = 5 }",
            "[[site]]\nheaders = { A = \"*\", \"B**\" = '*', \"Cookie***\" = * }",
        );
        shown(
            "[[site]]\nlogin = { url = 'https://h', form = { pw = 'x' }, expect = 302 }\n[site.headers]\nA = 'x'",
            "[[site]]\nlogin = { url = '*********', form = { pw = '*' }, expect = 302 }\n[site.headers]\nA = '*'",
        );
    }

    #[test]
    fn urls_lose_their_user_and_their_query() {
        shown(
            "[[site]]\nurl = \"https://u:p/#@x@h/a?b=c#d\"\n[[site]]\nurl = 'https://h:80/a'",
            "[[site]]\nurl = \"https://*******@h/a******\"\n[[site]]\nurl = 'https://h:80/a'",
        );
        shown(
            "[agent]\nuplink = ['tcp://me@h:1', \"h?k\"]\n[[site]]\nurl = 'me:pw@h'",
            "[agent]\nuplink = ['tcp://**@h:1', \"h**\"]\n[[site]]\nurl = '*****@h'",
        );
    }

    #[test]
    fn of_a_broken_line_the_key_is_shown_and_of_a_broken_value_nothing() {
        for (text, expected) in [
            ("auth = \"user:pass", "auth = \"*********"),
            ("x.bearer=user:pa#s s", "x.bearer=***********"),
            ("token \"\"\"1:ab\" ", "token \"\"\"***** "),
            ("bearer \"1:ab\"", "*************"),
            ("auth: user", "auth******"),
            ("[telegram] token = \"1:ab\"", "[telegram]***************"),
            ("[[site]", "[[site]"),
            ("hunter2", "*******"),
            ("a = token = \"1:ab\"", "a = **************"),
            (" \"a b\" = x", " *********"),
            ("tries = 3 auth = 5", "tries = **********"),
            ("token = \"1\"\ntoken = \"2\"", "token = \"**\ntoken = \"**"),
            ("s = \"\"\"\nhunter2 = x\n", "s = \"\"\"\n***********\n"),
            ("json = [\n  hunter2\n", "json = *\n*********\n"),
        ] {
            let text = format!("[[site]]\n{text}");
            assert!(toml_span::parse(&text).is_err(), "{text}");
            shown(&text, &format!("[[site]]\n{expected}"));
        }
    }

    #[test]
    fn tokens_and_users_in_urls_are_hidden_anywhere() {
        let key = "A".repeat(25);
        shown(
            &format!("[[site]]\nname = \"12:{key}!\""),
            &format!("[[site]]\nname = \"{}!\"", "*".repeat(28)),
        );
        shown(
            "[[site]]\nbody = 'at //u:p@h'",
            "[[site]]\nbody = 'at //***@h'",
        );
    }

    proptest! {
        #[test]
        fn any_text_can_be_masked(text in any::<String>()) {
            let mask = Mask::of(&text);
            let end = text.find('\n').unwrap_or(text.len());
            prop_assert_eq!(mask.line(0..end).len(), text[..end].chars().count());
        }

        /// Values of keys that are not known to be harmless are hidden.
        #[test]
        fn no_value_of_such_a_key_is_shown(
            head in "(\\[\\[site\\]\\]\n|\\[telegram\\]\n|\\[vault\\]\n|)",
            key in "(bearer|api_key|\"a b\"|token|auth|x\\.y|login|login\\.url|headers\\.A|proxy)",
            open in "(\"|'|\"\"\"|'''|\\{ k = \"|\\[ \"|\\[\n'|\"\"\"\n|)",
            close in "(\"|'|\"\"\"|'''|\" \\}|\" \\]|'\n\\]|\n\"\"\"|)",
            rest in "[a-z#= \"']{0,4}",
        ) {
            let text = format!("{head}{key} = {open}Xk7QzW{close}{rest}\n");
            let mask = Mask::of(&text);
            // After a syntax error only its own line is quoted.
            let mut start = 0;
            for line in text.split('\n') {
                let masked = String::from_iter(mask.line(start..start + line.len()));
                prop_assert!(!masked.contains("Xk7QzW"), "{}\n{}", text, masked);
                start += line.len() + 1;
            }
        }
    }
}
