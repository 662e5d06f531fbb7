//! Replaces `$NAME` in values by variables of the environment.

use super::error::MistakeList;
use super::keys::Visibility;
use super::secret_looks::hidden_parts;
use super::string_span::within;
use super::toml_table::{Entry, Table};
use super::value::{self, BadDollar};

/// Reads a text and replaces its variables. `is_secret` tells whether the text as written holds a secret.
pub fn filled(
    table: &mut Table,
    key: &'static str,
    is_secret: fn(&str) -> bool,
    env: &dyn Fn(&str) -> Option<String>,
    log: &mut MistakeList,
) -> (Entry<String>, Entry<String>) {
    let label = table.label(key);
    let written = table.text(key, log, |text| Ok(text.to_owned()));
    if let Entry::Given(text) = &written
        && is_secret(&text.value)
    {
        log.add_secret(text.span, label.clone());
    }
    let secret = table.shown(key) != Visibility::Url;
    let filled = expanded(written.clone(), &label, secret, env, log);
    (written, filled)
}

/// Replaces `$NAME`. Mistakes quote neither a `secret` text nor a password in a URL. The name of an unset
/// variable is shown only if it looks like one, as `pa$sword` may be a password.
pub fn expanded(
    text: Entry<String>,
    key: &str,
    secret: bool,
    env: &dyn Fn(&str) -> Option<String>,
    log: &mut MistakeList,
) -> Entry<String> {
    text.then(|text, span| {
        let bad = match value::expand(&text, env) {
            Ok(filled) => return Some(filled),
            Err(bad) => bad,
        };
        let hidden = hidden_parts(&text);
        for dollar in bad {
            let secret = secret || hidden.iter().any(|part| part.contains(&dollar.range.start));
            let what = format!("`{key}` {}", unfilled(&dollar, secret));
            let at = within(log.text(), span, &text, dollar.range);
            log.add(at, what);
        }
        None
    })
}

/// Describes the mistake, to follow the key's name. See [`expanded`] for `secret`.
pub fn unfilled(dollar: &BadDollar, secret: bool) -> String {
    let customary = |name: &str| !name.bytes().any(|b| b.is_ascii_lowercase());
    match &dollar.name {
        Some(name) if !secret || customary(name) => {
            let name = value::brief(name);
            format!(
                "needs the environment variable {name}, which is not set; `$$` is a dollar sign"
            )
        }
        Some(_) => {
            "needs an environment variable that is not set; `$$` is a dollar sign".to_owned()
        }
        None => "has a `$` that no name follows; write `$$` for a dollar sign".to_owned(),
    }
}
