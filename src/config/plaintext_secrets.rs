//! Finds secrets that are written in the file instead of the environment: other users may be able to
//! read the file.

use super::error::MistakeList;
use super::value::expand;
use std::cell::Cell;
use toml_span::Span;

/// Parts of names of headers, fields and parameters with secret values.
const PARTS: [&str; 11] = [
    "auth",
    "cookie",
    "credential",
    "key",
    "passcode",
    "passwd",
    "password",
    "pwd",
    "secret",
    "session",
    "token",
];
/// Whole names of that kind.
const NAMES: [&str; 5] = ["pass", "passphrase", "pin", "pw", "sig"];

/// Maximum number of keys that a warning names.
const NAMED: usize = 5;

/// `text` is a value without variables of the environment.
pub fn is_literal(text: &str) -> bool {
    let filled = Cell::new(false);
    let env = |_: &str| {
        filled.set(true);
        Some(String::new())
    };
    // A `$` without a name is recorded as a mistake elsewhere.
    let _ = expand(text, &env);
    !text.is_empty() && !filled.get()
}

/// The name suggests a secret.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    NAMES.contains(&name.as_str()) || PARTS.iter().any(|part| name.contains(part))
}

/// `text`, a request body, contains the name of a secret and no variable of the environment.
pub fn is_secret_body(text: &str) -> bool {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-'));
    is_literal(text) && words.into_iter().any(is_secret_name)
}

/// `url` has a literal password, or a literal parameter whose name suggests a secret.
pub fn is_secret_url(url: &str) -> bool {
    let rest = url.split_once("//").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    let password = user.and_then(|user| user.split_once(':'));
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    let pairs = query
        .split(['&', ';', '#'])
        .filter_map(|p| p.split_once('='));
    password.is_some_and(|(_, password)| is_literal(password))
        || pairs
            .into_iter()
            .any(|(name, value)| is_secret_name(name) && is_literal(value))
}

/// Warns of a `file` that other users can read and that has secrets at these places; `None` without any.
pub fn warning(file: &str, secrets: &[(Span, String)], log: &MistakeList) -> Option<String> {
    let named = secrets.iter().take(NAMED);
    let named: Vec<String> = named
        .map(|(span, key)| format!("`{key}` in line {}", log.line(*span)))
        .collect();
    let more = match secrets.len().saturating_sub(NAMED) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    (!secrets.is_empty()).then(|| {
        format!(
            "{file} can be read by other users and holds secrets: {}{more}; put them into the \
             environment as $NAME (the token also into a `token_file`), or chmod 600 {file}",
            named.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_the_environment_is_not_literal() {
        for literal in ["x", "pa$$word", "a $ b"] {
            assert!(is_literal(literal), "{literal}");
        }
        for other in ["", "$KEY", "bearer $KEY", "me:$PASSWORD"] {
            assert!(!is_literal(other), "{other}");
        }
    }

    #[test]
    fn secrets_go_by_their_names() {
        for secret in [
            "Authorization",
            "X-Api-Key",
            "Cookie",
            "X-Auth-Token",
            "user_password",
            "pw",
            "PIN",
        ] {
            assert!(is_secret_name(secret), "{secret}");
        }
        for other in ["Accept", "User-Agent", "user", "ping", "compass"] {
            assert!(!is_secret_name(other), "{other}");
        }
        assert!(is_secret_body("{\"user\":\"me\",\"password\":\"x\"}"));
        assert!(!is_secret_body("user=me&password=$PW") && !is_secret_body("PING\r\n"));
    }

    #[test]
    fn urls_hold_passwords_and_parameters() {
        for secret in ["https://u:p@h/", "https://h/?a=b&api_key=x"] {
            assert!(is_secret_url(secret), "{secret}");
        }
        for other in [
            "https://u@h/",
            "https://u:$P@h/",
            "https://h/a:b@c",
            "https://h/?token=$T&a=b",
            "dns:///h?type=A",
        ] {
            assert!(!is_secret_url(other), "{other}");
        }
    }
}
