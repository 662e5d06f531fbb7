//! Finds what must not be shown when a line of the configuration is quoted.
//!
//! It works on the bare text, because the line to be quoted may be the very one
//! that is not TOML. Where it is in doubt it hides.

use crate::monitor::near::distance;
use std::ops::Range;

/// How much of a key's value is secret.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    #[default]
    Public,
    /// A table whose keys may be shown, but not their values: `headers`, `login` and its `form`.
    Values,
    /// Everything.
    Whole,
}

/// Byte ranges of `text` that hold secrets by the key they belong to, in order.
pub fn secret_values(text: &str) -> Vec<Range<usize>> {
    let mut scan = Scan {
        text,
        at: 0,
        ..Scan::default()
    };
    while let Some(c) = scan.rest().chars().next() {
        scan.step(c);
    }
    scan.secrets
}

/// Byte ranges of `text` that look like secrets wherever they stand: bot tokens and
/// passwords in URLs. In no particular order.
pub fn secret_looks(text: &str) -> Vec<Range<usize>> {
    let mut found = bot_tokens(text);
    found.extend(url_passwords(text));
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
        let key = bytes[colon + 1..]
            .iter()
            .take_while(|&&b| is_word(b.into()))
            .count();
        if digits > 0 && key >= 25 {
            found.push(colon - digits..colon + 1 + key);
        }
    }
    found
}

/// What stands between `//user:` and the last `@` of the same word, quotes ending a word too:
/// more than a URL parser would take, for the URL may be a broken one.
fn url_passwords(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (slashes, _) in text.match_indices("//") {
        let start = slashes + 2;
        let length = text[start..]
            .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`'))
            .unwrap_or(text.len() - start);
        let word = &text[start..start + length];
        if let (Some(colon), Some(at)) = (word.find(':'), word.rfind('@'))
            && colon < at
        {
            found.push(start + colon + 1..start + at);
        }
    }
    found
}

/// How secret the value of `key` is; misspelt keys and guesses at other names count.
fn level_of(key: &str) -> Level {
    let key = key.to_ascii_lowercase();
    if key.contains("header") || distance(&key, "headers") <= 2 {
        return Level::Values;
    }
    let misspelt = |known: &&str| distance(&key, known) <= 1;
    let tell_tales = ["token", "auth", "pass", "secret", "cookie"];
    if tell_tales.iter().any(|part| key.contains(part))
        || ["token", "auth", "send"].iter().any(misspelt)
        // Its URL holds the id of the alarm that it keeps silent.
        || distance(&key, "heartbeat") <= 3
    {
        return Level::Whole;
    }
    if key.contains("login") || ["login", "form"].iter().any(misspelt) {
        return Level::Values;
    }
    Level::Public
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

/// A reader of TOML's lexical structure that never fails. What it calls a key and what a
/// value agrees with a TOML parser up to the first syntax error, after which nothing but
/// the rest of that line is ever quoted.
#[derive(Default)]
struct Scan<'t> {
    text: &'t str,
    at: usize,
    secrets: Vec<Range<usize>>,
    /// Of the keys under the last `[header]`.
    section: Level,
    /// Inside the brackets of a `[header]`.
    in_header: bool,
    /// Something other than blanks came on this line.
    line_begun: bool,
    /// Open `{` (true) and `[` (false), with the level of what they hold.
    open: Vec<(bool, Level)>,
    /// Of the key that is being read.
    key: Level,
    /// A part of a key has just ended, and no dot came since.
    after_word: bool,
    /// `Some` in a value.
    value: Option<Level>,
    /// The value was a string, and it is closed.
    closed: bool,
}

impl<'t> Scan<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn step(&mut self, c: char) {
        let first = !self.line_begun;
        self.line_begun |= !c.is_whitespace();
        match c {
            '\n' => self.newline(),
            '#' if self.value == Some(Level::Whole) => self.hide_line(),
            '#' => self.at += self.line_length(),
            '"' | '\'' => self.string(c),
            _ if c.is_whitespace() => self.at += c.len_utf8(),
            '[' if first && self.open.is_empty() => {
                self.at += 1;
                self.in_header = true;
                self.section = Level::Public;
                self.start_key(Level::Public);
            }
            _ => match self.value {
                Some(level) => self.in_value(c, level),
                None => self.in_key(c),
            },
        }
    }

    fn newline(&mut self) {
        self.at += 1;
        self.line_begun = false;
        self.in_header = false;
        if self.open.is_empty() {
            self.start_key(self.section);
        }
    }

    fn start_key(&mut self, level: Level) {
        self.value = None;
        self.key = level;
        self.after_word = false;
    }

    fn start_value(&mut self, level: Level) {
        self.value = Some(level);
        self.closed = false;
    }

    fn in_key(&mut self, c: char) {
        if is_word(c) {
            let word = self.bare_word();
            if self.word(word) {
                self.at += word.len();
            }
            return;
        }
        match c {
            '=' => {
                self.at += 1;
                self.start_value(self.key);
            }
            '.' => {
                self.at += 1;
                self.after_word = false;
            }
            ']' if self.in_header => {
                self.at += 1;
                self.in_header = false;
                self.section = self.key;
                self.after_word = false;
            }
            '}' | ']' => self.close(),
            '[' | ',' => self.at += 1,
            // No key looks like that: a value whose `=` is missing.
            _ if self.key > Level::Public => self.start_value(Level::Whole),
            _ => self.at += c.len_utf8(),
        }
    }

    /// Takes a part of a key, or finds that it is a value whose `=` is missing.
    fn word(&mut self, word: &str) -> bool {
        if self.after_word && self.key > Level::Public {
            self.start_value(Level::Whole);
            return false;
        }
        self.key = self.key.max(level_of(word));
        self.after_word = true;
        true
    }

    fn in_value(&mut self, c: char, level: Level) {
        // Without quotes nobody can tell where a secret ends.
        let hidden = level == Level::Whole && !self.closed;
        match c {
            '{' | '[' if !hidden => {
                self.at += 1;
                self.open.push((c == '{', level));
                if c == '{' {
                    self.start_key(level);
                }
            }
            '}' | ']' if !hidden => self.close(),
            ',' if !hidden => {
                self.at += 1;
                if let Some(&(true, outer)) = self.open.last() {
                    self.start_key(outer);
                }
            }
            _ if level == Level::Public && is_word(c) => {
                let word = self.bare_word();
                self.at += word.len();
                // Two keys in one line: whatever comes is no TOML, but may be a secret.
                if level_of(word) > Level::Public {
                    self.start_value(Level::Whole);
                }
            }
            _ => self.take(c.len_utf8(), level > Level::Public),
        }
    }

    fn close(&mut self) {
        self.at += 1;
        if let Some((_, level)) = self.open.pop() {
            self.value = Some(level);
            self.closed = true;
        }
    }

    fn string(&mut self, quote: char) {
        let rest = self.rest();
        let triple: String = [quote; 3].iter().collect();
        let multiline = rest.starts_with(&triple);
        let delimiter = if multiline {
            triple.as_str()
        } else {
            &triple[..1]
        };
        let content = &rest[delimiter.len()..];
        let length = string_length(content, quote, multiline);
        if self.value.is_none() && !self.word(&content[..length]) {
            return;
        }
        let hidden = self.value.is_some_and(|level| level > Level::Public);
        self.at += delimiter.len();
        self.take(length, hidden);
        if self.rest().starts_with(quote) {
            self.at += delimiter.len();
            self.closed = true;
        }
    }

    fn bare_word(&self) -> &'t str {
        let rest = self.rest();
        &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())]
    }

    fn hide_line(&mut self) {
        self.take(self.line_length(), true);
    }

    fn line_length(&self) -> usize {
        self.rest().find('\n').unwrap_or(self.rest().len())
    }

    fn take(&mut self, length: usize, hidden: bool) {
        if hidden && length > 0 {
            self.secrets.push(self.at..self.at + length);
        }
        self.at += length;
    }
}

/// Bytes before the closing quotes, or before the line's or the text's end where they are missing.
fn string_length(content: &str, quote: char, multiline: bool) -> usize {
    let bytes = content.as_bytes();
    let quote = quote as u8;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if quote == b'"' && bytes.get(at + 1) != Some(&b'\n') => at += 1,
            b'\n' if !multiline => return at,
            b if b == quote => {
                let run = bytes[at..].iter().take_while(|&&b| b == quote).count();
                if !multiline {
                    return at;
                }
                if run >= 3 {
                    // Up to two quotes before the closing three belong to the text.
                    return at + run.min(5) - 3;
                }
                at += run - 1;
            }
            _ => {}
        }
        at += 1;
    }
    // An escape may have stepped over the end, but not into a character: it is the end then.
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn shown(text: &str, expected: &str) {
        let (values, looks) = (secret_values(text), secret_looks(text));
        let masked: String = text
            .char_indices()
            .map(|(at, c)| {
                let secret = values.iter().chain(&looks).any(|range| range.contains(&at));
                if secret && c != '\n' { '*' } else { c }
            })
            .collect();
        assert_eq!(masked, expected);
    }

    #[test]
    fn values_of_secret_keys_are_hidden() {
        shown("token = \"1:ab\" # x", "token = \"****\" ***");
        shown(
            "name = \"a\" # b\nauth='u:p'",
            "name = \"a\" # b\nauth='***'",
        );
        shown("telegram.token = \"1:ab\"", "telegram.token = \"****\"");
        shown(
            "\"send\" = \"a\\\"b\"\nname = \"n\"",
            "\"send\" = \"****\"\nname = \"n\"",
        );
        shown(
            "send = \"\"\"\na=1\n\"b\"\"\"\"\nname='n'",
            "send = \"\"\"\n***\n***\"\"\"\nname='n'",
        );
        shown(
            "heart-beat = \"https://h/id\" # old id\nHeartbeats='https://h/id'",
            "heart-beat = \"************\" ********\nHeartbeats='************'",
        );
        shown(
            "autth = \"u:p\"\nMyPassword = 'x'",
            "autth = \"***\"\nMyPassword = '*'",
        );
    }

    #[test]
    fn values_of_headers_are_hidden_and_their_names_are_not() {
        shown(
            "headers = { A = \"x\", \"B C\" = 'y' }",
            "headers = { A = \"*\", \"B C\" = '*' }",
        );
        shown(
            "[site.headers] # h\nA = \"x\"\n[[site]]\nA = \"x\"",
            "[site.headers] # h\nA = \"*\"\n[[site]]\nA = \"x\"",
        );
        shown(
            "headers.A = \"x\"\nname = \"n\"",
            "headers.A = \"*\"\nname = \"n\"",
        );
        shown(
            "site = [{ name = \"n\", auth = \"u:p\", headers = { A = \"x\" }, url = \"u\" }]",
            "site = [{ name = \"n\", auth = \"***\", headers = { A = \"*\" }, url = \"u\" }]",
        );
        shown(
            "headers = {\n A = 5 }\nname = 5",
            "headers = {\n A = * }\nname = 5",
        );
    }

    #[test]
    fn values_of_logins_are_hidden_and_their_names_are_not() {
        shown(
            "login = { url = \"u\", form = { pw = 'x' }, expect = 302 }\nname = 5",
            "login = { url = \"*\", form = { pw = '*' }, expect = *** }\nname = 5",
        );
        shown(
            "[site.login.form]\npw = \"x\"\n[[site]]\nname = \"n\"",
            "[site.login.form]\npw = \"*\"\n[[site]]\nname = \"n\"",
        );
        shown("lgoin = \"me:x\"", "lgoin = \"****\"");
        shown(
            "form = { password = x, a = 1 }",
            "form = { password = ** * * * *",
        );
    }

    #[test]
    fn secrets_are_hidden_in_broken_lines_too() {
        shown("auth = \"user:pass", "auth = \"*********");
        shown("auth = user:pa#s s", "auth = ***********");
        shown("token \"\"\"1:ab\"", "token \"\"\"*****");
        shown("auth \"user:pass\"", "auth \"*********\"");
        shown("auth: user", "auth* ****");
        shown("auth = {user:pass}", "auth = ***********");
        shown("auth = \"a\"b\"c", "auth = \"*\"*\"*");
        shown("[telegram] token = \"1:ab\"", "[telegram] token = \"****\"");
        shown("headers = { A: secret }", "headers = { A* ****** *");
        shown("headers = { A \"secret\" }", "headers = { A \"******\" }");
        shown("a = token = \"1:ab\"", "a = token * \"****\"");
        shown("x = { auth = a,b }", "x = { auth = *** *");
    }

    #[test]
    fn tokens_and_passwords_in_urls_are_hidden_anywhere() {
        let key = "A".repeat(25);
        shown(
            &format!("# old: 12:{key}!"),
            &format!("# old: {}!", "*".repeat(28)),
        );
        shown("url = \"https://u:p@h/\"", "url = \"https://u:*@h/\"");
        shown("url = 'https://u:p/#@x@h'", "url = 'https://u:*****@h'");
        shown(
            "url = \"https://h:80/a\" # @",
            "url = \"https://h:80/a\" # @",
        );
        assert_eq!(scrub("bad `//a:b@c`"), "bad `//a:*@c`");
    }

    proptest! {
        #[test]
        fn any_text_can_be_scanned(text in any::<String>()) {
            for range in secret_values(&text).into_iter().chain(secret_looks(&text)) {
                prop_assert!(text.get(range).is_some());
            }
        }

        #[test]
        fn toml_like_text_can_be_scanned(text in r#"([a-z=.\[\]{},"'# \n\\é]|auth|headers|"""|''')*"#) {
            for range in secret_values(&text) {
                prop_assert!(text.get(range).is_some());
            }
        }
    }
}
