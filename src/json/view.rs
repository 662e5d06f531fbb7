//! Looking into a JSON text whose shape nobody can promise, without copying it into a tree.

use super::{Flaw, check_shape};

/// One value of a sound JSON text. Every look costs one pass over it, and no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View<'a>(&'a str);

impl<'a> View<'a> {
    /// The whole text, one JSON value. A byte order mark before it, and control characters as they
    /// are in its strings, are passed over: servers write them (RFC 8259 section 8.1).
    pub fn new(text: &'a str) -> Result<View<'a>, Flaw> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        check_shape(text.as_bytes(), true)?;
        Ok(View(trimmed(text)))
    }

    /// The first member of an object that has this name, which must be written without escapes.
    pub fn get(self, name: &str) -> Option<View<'a>> {
        let mut rest = self.0.strip_prefix('{')?;
        loop {
            let (key, after) = value(trimmed(rest))?;
            let (found, after) = value(trimmed(trimmed(after).strip_prefix(':')?))?;
            if key.strip_prefix('"')?.strip_suffix('"')? == name {
                return Some(View(found));
            }
            rest = trimmed(after).strip_prefix(',')?;
        }
    }

    /// The elements of an array; of anything else there are none.
    pub fn elements(self) -> impl Iterator<Item = View<'a>> {
        let mut rest = self.0.strip_prefix('[');
        std::iter::from_fn(move || {
            let (element, after) = value(trimmed(rest?))?;
            rest = trimmed(after).strip_prefix(',');
            Some(View(element))
        })
    }

    /// The text of a string. A lone surrogate becomes U+FFFD.
    pub fn text(self) -> Option<String> {
        let mut rest = self.0.strip_prefix('"')?.strip_suffix('"')?;
        let mut text = String::with_capacity(rest.len());
        while let Some((plain, escaped)) = rest.split_once('\\') {
            text.push_str(plain);
            let mut after = escaped.chars();
            text.push(match after.next()? {
                'u' => unicode(&mut after)?,
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'b' => '\u{8}',
                'f' => '\u{c}',
                same @ ('"' | '\\' | '/') => same,
                _ => return None,
            });
            rest = after.as_str();
        }
        text.push_str(rest);
        Some(text)
    }
}

/// What stands behind `\u`: four digits, or twice four.
fn unicode(rest: &mut std::str::Chars<'_>) -> Option<char> {
    let high = four(rest)?;
    if !(0xd800..0xdc00).contains(&high) {
        return Some(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    let mut second = rest.as_str().strip_prefix("\\u").unwrap_or("").chars();
    let Some(low @ 0xdc00..0xe000) = four(&mut second) else {
        return Some(char::REPLACEMENT_CHARACTER);
    };
    *rest = second;
    char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00))
}

fn four(rest: &mut std::str::Chars<'_>) -> Option<u32> {
    (0..4).try_fold(0, |code, _| Some(code * 16 + rest.next()?.to_digit(16)?))
}

fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\n'])
}

/// The value at the beginning of `text`, and what follows it; `None` where none begins.
fn value(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    let mut depth = 0usize;
    let mut at = 0;
    loop {
        match bytes.get(at) {
            Some(b'"') => {
                at += 1;
                loop {
                    match bytes.get(at)? {
                        b'"' => break,
                        b'\\' => at += 2,
                        _ => at += 1,
                    }
                }
            }
            Some(b'{' | b'[') => depth += 1,
            Some(b'}' | b']') if depth > 0 => depth -= 1,
            // A number or a word ends with the text or before one of these.
            None | Some(b'}' | b']' | b',' | b':' | b' ' | b'\t' | b'\r' | b'\n') if depth == 0 => {
                return match at {
                    0 => None,
                    _ => text.split_at_checked(at),
                };
            }
            None => return None,
            Some(_) => {}
        }
        at += 1;
        let ended = matches!(bytes[at - 1], b'"' | b'}' | b']');
        if ended && depth == 0 {
            return text.split_at_checked(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn view(text: &str) -> View<'_> {
        View::new(text).expect("sound")
    }

    #[test]
    fn members_and_elements_are_found_wherever_they_stand() {
        let all = view(r#" {"a" : [1, "x]", {"b":"}"} , [] , true ], "b":{ "c" : null},"a":2} "#);
        let elements: Vec<&str> = all
            .get("a")
            .expect("a")
            .elements()
            .map(|View(text)| text)
            .collect();
        assert_eq!(elements, ["1", "\"x]\"", "{\"b\":\"}\"}", "[]", "true"]);
        let inner = all.get("b").and_then(|b| b.get("c"));
        assert_eq!(inner, Some(View("null")));
        assert_eq!(all.get("c"), None);
        assert_eq!(view("{}").get("a"), None);
        assert_eq!(view("[]").elements().count(), 0);
        assert_eq!(view("[ [1,2] ]").elements().count(), 1);
        assert_eq!(view("7").elements().count(), 0);
    }

    #[test]
    fn a_text_is_read_with_its_escapes() {
        let text = |text: &str| view(text).text();
        assert_eq!(
            text(r#""a\"\\\/\n\u00e9\ud83d\ude00b""#).as_deref(),
            Some("a\"\\/\né😀b")
        );
        assert_eq!(
            text(r#""\ud83dx\ude00""#).as_deref(),
            Some("\u{fffd}x\u{fffd}")
        );
        assert_eq!(text(r#""\ud83d\u0041""#).as_deref(), Some("\u{fffd}A"));
        assert_eq!(text(r#""\x""#), None);
        assert_eq!(text(r#""\u12""#), None);
        assert_eq!(text("\"\\é\""), None);
        assert_eq!(text("1"), None);
    }

    proptest! {
        #[test]
        fn whatever_has_a_sound_shape_can_be_looked_into(
            text in r#"(\[|\]|\{|\}|:|,|"a":|"a"|"\\"é"|1e|-|true|null|"\\u[0-9d8c]{0,4}"| )*"#,
        ) {
            if let Ok(view) = View::new(&text) {
                let _ = view.get("a").map(|a| a.elements().count());
                for element in view.elements() {
                    let _ = (element.get("a"), element.text());
                }
                let _ = view.text();
            }
        }

        #[test]
        fn every_member_is_found_and_every_text_comes_back(
            members in prop::collection::btree_map("[a-z]{1,3}", "[ -~é😀]{0,9}", 0..8), nested: bool,
        ) {
            let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
            let written: Vec<String> = members
                .iter()
                .map(|(key, text)| match nested {
                    true => format!("\"{key}\": [{{}},{}]", quoted(text)),
                    false => format!("\"{key}\":{}", quoted(text)),
                })
                .collect();
            let whole = format!("{{{}}}", written.join(" ,"));
            let view = View::new(&whole).expect("sound");
            for (key, text) in &members {
                let found = view.get(key).expect("a member");
                let found = match nested {
                    true => found.elements().nth(1).expect("an element"),
                    false => found,
                };
                let found = found.text();
                prop_assert_eq!(found.as_ref(), Some(text));
            }
            prop_assert_eq!(view.get("none"), None);
        }
    }
}
