//! What may be shown when a line of the configuration is quoted: the names of keys, and the values
//! of those keys that are known to hold no secret. Everything else is `*`.

use super::keys::{self, ROOT, Section};
use std::ops::Range;
use toml_span::Value;
use toml_span::value::{Key, ValueInner};

/// Keys whose values hold no secret. A key that is missing here is hidden.
const PLAIN: &[&str] = &[
    "after",
    "body",
    "body_not",
    "ca_file",
    "cert",
    "chats",
    "commands",
    "digest",
    "domain",
    "expect",
    "group",
    "http",
    "idle_connections",
    "idle_timeout",
    "interval",
    "ip",
    "json",
    "maintenance",
    "max_connections",
    "method",
    "name",
    "paused",
    "poll",
    "private_redirects",
    "quiet",
    "recover",
    "redirects",
    "remind",
    "retry",
    "slow",
    "state",
    "status",
    "timeout",
    "timezone",
    "topic",
    "tries",
    "user_agent",
    "users",
    "verify",
];

/// Keys whose values are shown without their user, password, query and fragment; those of a login
/// are not shown at all.
const URLS: &[&str] = &["url", "api", "rdap", "uplink"];

/// Tables whose keys are the user's own names; all of their values are hidden.
const NAMES: &[&str] = &["headers", "form"];

/// What is known of one byte of the text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Paint {
    /// Neither key nor value: punctuation, a comment, a table's name in a second header.
    Bare,
    Shown,
    Hidden,
}

/// The text of a configuration and which bytes of it may be shown.
pub struct Mask<'t> {
    text: &'t str,
    /// `None`: it is no TOML.
    paint: Option<Vec<Paint>>,
}

impl<'t> Mask<'t> {
    pub fn of(text: &'t str) -> Mask<'t> {
        let mut mask = Mask { text, paint: None };
        if let Ok(root) = toml_span::parse(text) {
            mask.paint = Some(vec![Paint::Bare; text.len()]);
            mask.section(&root, &ROOT);
        }
        mask
    }

    /// The characters of the line that stands at `place`, with `*` for those that stay hidden.
    pub fn line(&self, place: Range<usize>) -> Vec<char> {
        let line = &self.text[place.clone()];
        let mut shown = match &self.paint {
            Some(paint) => sound(line, &paint[place]),
            // A parser that failed has told of one line alone; whether that begins a key or goes
            // on with a value is known if all before it is sound.
            None if toml_span::parse(&self.text[..place.start]).is_ok() => broken(line),
            None => vec![false; line.len()],
        };
        for range in secret_looks(line) {
            shown[range].fill(false);
        }
        let mask = |(at, c): (usize, char)| if shown[at] { c } else { '*' };
        line.char_indices().map(mask).collect()
    }

    fn section(&mut self, value: &Value, section: &Section) {
        if let Some(list) = value.as_array() {
            return list.iter().for_each(|value| self.section(value, section));
        }
        let Some(table) = value.as_table() else {
            return self.hide(value);
        };
        for (key, value) in table {
            self.name(key);
            let name = key.name.as_ref();
            if !section.keys.contains(&name) {
                self.hide(value);
            } else if let Some(inner) = keys::inner(name) {
                self.section(value, inner);
            } else if NAMES.contains(&name) {
                self.names(value);
            } else if PLAIN.contains(&name) {
                self.scalars(value, &|_| Vec::new());
            } else if URLS.contains(&name) && section.prefix.is_empty() {
                self.scalars(value, &hidden_in_source);
            } else {
                self.hide(value);
            }
        }
    }

    fn names(&mut self, value: &Value) {
        self.hide(value);
        for key in value.as_table().into_iter().flat_map(|table| table.keys()) {
            self.name(key);
        }
    }

    fn name(&mut self, key: &Key) {
        self.paint(key.span.start..key.span.end, Paint::Hidden);
        let plain = keys::plain_part(&self.text[key.span.start..key.span.end]);
        self.paint(key.span.start..key.span.start + plain.len(), Paint::Shown);
    }

    /// A value, or a list of them, without the parts that `hidden` finds in its source.
    fn scalars(&mut self, value: &Value, hidden: &dyn Fn(&str) -> Vec<Range<usize>>) {
        match value.as_ref() {
            ValueInner::Table(_) => self.hide(value),
            ValueInner::Array(list) => {
                for value in list {
                    self.scalars(value, hidden);
                }
            }
            _ => {
                let place = value.span.start..value.span.end;
                let secrets = hidden(&self.text[place.clone()]);
                self.paint(place.clone(), Paint::Shown);
                for range in secrets {
                    self.paint(
                        place.start + range.start..place.start + range.end,
                        Paint::Hidden,
                    );
                }
            }
        }
    }

    /// A value with everything in it, names too.
    fn hide(&mut self, value: &Value) {
        match value.as_ref() {
            ValueInner::Table(table) => {
                for (key, value) in table {
                    self.paint(key.span.start..key.span.end, Paint::Hidden);
                    self.hide(value);
                }
            }
            ValueInner::Array(list) => list.iter().for_each(|value| self.hide(value)),
            // Its span is a quotation mark.
            ValueInner::String(text) if text.is_empty() => {}
            _ => self.paint(value.span.start..value.span.end, Paint::Hidden),
        }
    }

    fn paint(&mut self, place: Range<usize>, paint: Paint) {
        if let Some(bytes) = self.paint.as_mut().and_then(|all| all.get_mut(place)) {
            bytes.fill(paint);
        }
    }
}

/// Which bytes of a line of sound TOML may be shown. What is painted neither way is punctuation,
/// a name that was read before, or a comment, which may hold anything.
fn sound(line: &str, paint: &[Paint]) -> Vec<bool> {
    let mut shown: Vec<bool> = paint.iter().map(|&paint| paint == Paint::Shown).collect();
    let mut at = 0;
    while let Some(c) = line[at..].chars().next() {
        let mut length = c.len_utf8();
        if paint[at] == Paint::Bare {
            if c == '#' {
                break;
            }
            let word = leading(&line[at..], is_word);
            length = word.len().max(length);
            let known = c.is_whitespace() || "[]{}=,.\"'".contains(c) || keys::is_known(word);
            shown[at..at + length].fill(known);
        }
        at += length;
    }
    shown
}

/// Which bytes of a line that begins a key or a header, but is no TOML, may be shown: everything up
/// to its `=`, or else what is known.
fn broken(line: &str) -> Vec<bool> {
    let start = line.len() - line.trim_start().len();
    let rest = &line[start..];
    let word = leading(rest, is_word);
    let path = leading(rest, |c| is_word(c) || c == '.');
    let blanks = leading(&rest[path.len()..], |c| c == ' ' || c == '\t').len();
    let behind = path.len() + blanks;
    let length = if rest.starts_with('[') {
        leading(rest, |c| is_word(c) || "[].".contains(c)).len()
    } else if !path.is_empty() && rest[behind..].starts_with('=') {
        // The blanks and the quotation marks that follow say what kind of value is hidden.
        behind + 1 + leading(&rest[behind + 1..], |c| " \t\"'".contains(c)).len()
    } else if keys::is_known(word) {
        word.len() + leading(&rest[word.len()..], |c| " \t\"'".contains(c)).len()
    } else {
        0
    };
    let mut shown = vec![true; start + length];
    shown.resize(line.trim_end().len().max(start + length), false);
    shown.resize(line.len(), true);
    shown
}

/// [`hidden_parts`] of a URL as it stands in the file: all of it where escapes may stand for `@` or
/// `?`.
fn hidden_in_source(source: &str) -> Vec<Range<usize>> {
    match source.contains('\\') {
        true => std::iter::once(0..source.len()).collect(),
        false => hidden_parts(source),
    }
}

/// Byte ranges of `url`, a broken one perhaps, in which a user, a password, a query or a fragment
/// stands.
pub fn hidden_parts(url: &str) -> Vec<Range<usize>> {
    let start = url.find("//").map_or(0, |slashes| slashes + 2);
    let user = url[start..].rfind('@').map_or(start, |at| start + at);
    let query = url[user..].find(['?', '#']).map(|at| user + at);
    vec![start..user, query.unwrap_or(url.len())..url.len()]
}

/// `url` with `***` for each of its [`hidden_parts`].
pub fn url(url: &str) -> String {
    let mut shown = url.to_owned();
    for part in hidden_parts(url).into_iter().rev() {
        if !part.is_empty() {
            shown.replace_range(part, "***");
        }
    }
    shown
}

/// Byte ranges of `text` that look like secrets wherever they stand: bot tokens, and users and
/// passwords in URLs. In no particular order.
fn secret_looks(text: &str) -> Vec<Range<usize>> {
    let mut found = bot_tokens(text);
    found.extend(url_users(text));
    found
}

/// `text` with whatever looks like a secret replaced by as many `*`.
pub fn scrub(text: &str) -> String {
    let secrets = secret_looks(text);
    text.char_indices()
        .map(|(at, c)| {
            if secrets.iter().any(|range| range.contains(&at)) {
                '*'
            } else {
                c
            }
        })
        .collect()
}

/// `digits:key` with a key of 25 characters or more (real ones have 35).
fn bot_tokens(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    for (colon, _) in text.match_indices(':') {
        let digits = bytes[..colon]
            .iter()
            .rev()
            .take_while(|b| b.is_ascii_digit())
            .count();
        let key = leading(&text[colon + 1..], is_word).len();
        if digits > 0 && key >= 25 {
            found.push(colon - digits..colon + 1 + key);
        }
    }
    found
}

/// What stands between `//` and the last `@` of the same word, quotes ending a word too: more than
/// a URL parser would take, for the URL may be a broken one.
fn url_users(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (slashes, _) in text.match_indices("//") {
        let start = slashes + 2;
        let word = leading(&text[start..], |c| {
            !c.is_whitespace() && !matches!(c, '"' | '\'' | '`')
        });
        if let Some(at) = word.rfind('@') {
            found.push(start..start + at);
        }
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

fn leading(text: &str, wanted: impl Fn(char) -> bool) -> &str {
    &text[..text.find(|c| !wanted(c)).unwrap_or(text.len())]
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
            "[[site]]\nheaders = { A = \"*\", \"B C\" = '*', \"Cookie***\" = * }",
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
        assert_eq!(scrub("bad `//a:b@c`"), "bad `//***@c`");
    }

    proptest! {
        #[test]
        fn any_text_can_be_masked(text in any::<String>()) {
            let mask = Mask::of(&text);
            let end = text.find('\n').unwrap_or(text.len());
            prop_assert_eq!(mask.line(0..end).len(), text[..end].chars().count());
        }

        /// Whatever stands behind a key that is not known to be harmless.
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
            // Once there is a syntax error, its own line alone is quoted.
            let mut start = 0;
            for line in text.split('\n') {
                let masked = String::from_iter(mask.line(start..start + line.len()));
                prop_assert!(!masked.contains("Xk7QzW"), "{}\n{}", text, masked);
                start += line.len() + 1;
            }
        }
    }
}
