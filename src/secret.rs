//! Texts that must never be shown, such as the bot token.

use std::fmt;

/// A secret whose `Debug` and `Display` are `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// Returns the text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Replaces each occurrence of the secret, and of the part of a token after the colon, by
    /// `***`, as [`scrub`] does.
    pub fn scrub(&self, text: &str) -> String {
        let text = scrub(text, &self.0);
        match self.0.split_once(':') {
            Some((_, key)) if key.len() >= PART => scrub(&text, key),
            _ => text,
        }
    }
}

/// Compares in a time that reveals nothing about `secret` except whether it is empty. An empty
/// secret equals nothing.
pub fn equal(secret: &str, given: &str) -> bool {
    let (secret, given) = (secret.as_bytes(), given.as_bytes());
    let mut differences = secret.len() ^ given.len();
    for (place, byte) in given.iter().enumerate() {
        let other = secret.get(place % secret.len().max(1)).unwrap_or(&0);
        differences |= usize::from(std::hint::black_box(byte ^ other));
    }
    differences == 0 && !secret.is_empty()
}

/// Minimum length in bytes of a part of a secret that is scrubbed: the second part of a token, or
/// the start of a truncated secret.
const PART: usize = 6;

/// Replaces each occurrence of `secret` in `text` by `***`. Also finds it percent-encoded partly,
/// wholly or repeatedly (RFC 3986, section 2.1), in different case (host names are lowercased),
/// with backslashes before its characters, with `+` for a blank, and truncated by `…` or the end of
/// the text.
pub fn scrub(text: &str, secret: &str) -> String {
    if secret.is_empty() {
        return text.to_owned();
    }
    let (bytes, secret) = (text.as_bytes(), secret.as_bytes());
    let mut clean = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let (found, end) = found(bytes, at, secret);
        let rest = &bytes[end..];
        let cut = found >= PART && (rest.is_empty() || rest.starts_with("…".as_bytes()));
        if found == secret.len() || cut {
            clean.extend_from_slice(b"***");
            at = end;
        } else {
            clean.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&clean).into_owned()
}

/// Returns the number of bytes of `secret` that match at `at`, and where the match ends.
fn found(text: &[u8], at: usize, secret: &[u8]) -> (usize, usize) {
    // More than one after a percent sign, because the number of encodings is unknown.
    let mut ends = vec![at];
    for (count, &byte) in secret.iter().enumerate() {
        let mut next = Vec::new();
        for &end in &ends {
            spellings(text, end, byte, &mut next);
        }
        if next.is_empty() {
            return (count, ends.into_iter().max().unwrap_or(at));
        }
        next.sort_unstable();
        next.dedup();
        ends = next;
    }
    (secret.len(), ends.into_iter().max().unwrap_or(at))
}

/// Adds the ends of all spellings of `byte` that begin at `at`.
fn spellings(text: &[u8], at: usize, byte: u8, ends: &mut Vec<usize>) {
    let is = |at: usize| text.get(at).is_some_and(|b| b.eq_ignore_ascii_case(&byte));
    if is(at) {
        ends.push(at + 1);
    }
    match text.get(at) {
        Some(b'\\') if is(at + 1) => ends.push(at + 2),
        Some(b'+') if byte == b' ' => ends.push(at + 1),
        Some(b'%') => {
            let mut digits = at + 1;
            while let Some(pair) = text.get(digits..digits + 2) {
                digits += 2;
                let code = std::str::from_utf8(pair).ok();
                let code = code.and_then(|pair| u8::from_str_radix(pair, 16).ok());
                if code.is_some_and(|code| code.eq_ignore_ascii_case(&byte)) {
                    ends.push(digits);
                }
                // `%25` is an encoded percent sign: decode once more.
                if pair != b"25" {
                    break;
                }
            }
        }
        _ => {}
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_secret_is_never_shown_and_is_scrubbed_from_texts() {
        let token = Secret::new("123456:ABC-DEF");
        assert_eq!(format!("{token} {token:?}"), "*** ***");
        assert_eq!(
            token.scrub("cannot reach https://api/bot123456:ABC-DEF/getMe"),
            "cannot reach https://api/bot***/getMe"
        );
    }

    #[test]
    fn a_token_is_found_however_it_is_spelt() {
        let token = Secret::new("123456:ABC-DEF_x");
        for spelt in [
            "123456%3AABC-DEF_x",
            "123456%3aABC-DEF_x",
            "123456%253AABC-DEF_x",
            "123456%25253aABC%252DDEF_x",
            "%31%32%33%34%35%36%3A%41%42%43%2D%44%45%46%5F%78",
            "123456:abc-def_X",
        ] {
            let text = format!("https://api/bot{spelt}/getMe: refused");
            assert_eq!(token.scrub(&text), "https://api/bot***/getMe: refused");
        }
        assert_eq!(
            token.scrub("key ABC%2DDEF_x of 123456."),
            "key *** of 123456."
        );
        assert_eq!(token.scrub("bot123456:ABC-D"), "bot***");
        assert_eq!(token.scrub("\"bot123456%3AABC…\""), "\"bot***…\"");
        for harmless in ["%", "100 %", "a%2", "%zz", "12345", "%25", "é%3A", ""] {
            assert_eq!(token.scrub(harmless), harmless);
        }
    }

    #[test]
    fn a_secret_with_odd_characters_is_found_where_they_are_escaped() {
        for (secret, text) in [
            ("pa\"ss\\word", r#"<pa\"ss\\word>"#),
            ("100%25é+ x", "<100%2525%C3%A9%2B+x>"),
            ("100%25é+ x", "<100%25é+ x>"),
        ] {
            assert_eq!(scrub(text, secret), "<***>");
        }
    }

    proptest! {
        #[test]
        fn no_spelling_of_it_is_left(
            secret in "[!-~]{6,20}", around in ".{0,20}",
            spelling in prop::collection::vec(0..4usize, 20),
        ) {
            let spelt: String = secret
                .bytes()
                .zip(spelling)
                .map(|(b, how)| match how {
                    0 => char::from(b).to_string(),
                    1 => format!("%{b:02X}"),
                    2 => format!("%{b:02x}"),
                    _ => format!("%25{b:02x}"),
                })
                .collect();
            let clean = scrub(&format!("{around}<{spelt}>{around}"), &secret);
            prop_assert!(clean.contains("***"), "{}", clean);
            prop_assert!(!clean.contains(&secret) || "***".contains(&secret), "{}", clean);
        }

        #[test]
        fn any_text_is_survived(text in any::<String>(), secret in any::<String>()) {
            let _ = scrub(&text, &secret);
        }
    }
}
