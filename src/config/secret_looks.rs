//! Recognises secrets by their form: users, passwords and queries of URLs, bot tokens.

use super::scheme::Scheme;
use super::value::{is_word, leading};
use std::ops::Range;

/// Like [`hidden_parts`] for a URL as written in the file: all of it if escapes may stand for `@` or `?`.
pub fn hidden_in_source(source: &str) -> Vec<Range<usize>> {
    match source.contains('\\') {
        true => std::iter::once(0..source.len()).collect(),
        false => hidden_parts(source),
    }
}

/// Returns the ranges in bytes of users, passwords, queries and fragments in `url`, which may be
/// malformed.
pub fn hidden_parts(url: &str) -> Vec<Range<usize>> {
    if Scheme::of(url).is_some_and(|scheme| !scheme.has_host()) {
        return Vec::new();
    }
    let start = url.find("//").map_or(0, |slashes| slashes + 2);
    let user = url[start..].rfind('@').map_or(start, |at| start + at);
    let query = url[user..].find(['?', '#']).map(|at| user + at);
    vec![start..user, query.unwrap_or(url.len())..url.len()]
}

/// Returns the ranges in bytes of all but scheme, host and port in a URL as written in the file; all of a
/// text that is no URL, except for the keywords that are allowed in place of one.
pub fn hidden_beside_origin(source: &str) -> Vec<Range<usize>> {
    const WORDS: [&str; 2] = ["direct", "none"];
    if source.contains('\\') || !source.contains("//") {
        let hidden = 0..source.len();
        return Some(hidden)
            .filter(|_| !WORDS.contains(&source))
            .into_iter()
            .collect();
    }
    let mut hidden = hidden_parts(source);
    let user_end = hidden.first().map_or(0, |user| user.end);
    let path = source[user_end..].find('/').map(|at| user_end + at);
    hidden.extend(path.map(|at| at..source.len()));
    hidden
}

/// Replaces the [`hidden_parts`] of `url` by `***`.
pub fn masked_url(url: &str) -> String {
    let mut shown = url.to_owned();
    for part in hidden_parts(url).into_iter().rev() {
        if !part.is_empty() {
            shown.replace_range(part, "***");
        }
    }
    shown
}

/// Returns the ranges in bytes of `text` that look like secrets: bot tokens, and users and passwords in
/// URLs. In no particular order.
pub fn secret_looks(text: &str) -> Vec<Range<usize>> {
    let mut found = bot_tokens(text);
    found.extend(url_users(text));
    found
}

/// Replaces what looks like a secret by as many `*`.
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

/// Finds `digits:key` with a key of at least 25 characters (real ones have 35).
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

/// Finds the text between `//` and the last `@` of the same word, which quotation marks end, too. More
/// than a URL parser would take, as the URL may be malformed.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_tokens_are_replaced_by_as_many_stars() {
        assert_eq!(scrub("bad `//a:b@c`"), "bad `//***@c`");
        let token = format!("12:{}", "A".repeat(25));
        assert_eq!(
            scrub(&format!("x{token}!")),
            format!("x{}!", "*".repeat(28))
        );
        assert_eq!(scrub("12:AAAA 10:00-12:00 a@b"), "12:AAAA 10:00-12:00 a@b");
    }

    #[test]
    fn of_a_url_the_user_and_the_query_are_hidden() {
        assert_eq!(masked_url("https://u:p@h/a?b#c"), "https://***@h/a***");
        assert_eq!(masked_url("https://h/a"), "https://h/a");
        let shown = |source: &str| {
            let mut shown = source.to_owned();
            for part in hidden_beside_origin(source) {
                shown.replace_range(part.clone(), &"*".repeat(part.len()));
            }
            shown
        };
        for (source, left) in [
            ("socks5h://u:p@h:1", "socks5h://***@h:1"),
            ("https://h/p/q?r", "https://h******"),
            ("u:p@h", "*****"),
            ("hunter2", "*******"),
            ("direct", "direct"),
            ("none", "none"),
        ] {
            assert_eq!(shown(source), left);
        }
        assert_eq!(
            hidden_in_source("https://u\\u0040h").first(),
            Some(&(0..16))
        );
    }
}
