//! `$NAME` in a value: what the environment has for it, or a mistake that points at it.

use super::error::Log;
use super::mask::hidden_parts;
use super::string_span::within;
use super::toml_table::Entry;
use super::value;
use toml_span::Spanned;

/// Fills in `$NAME`. A `secret` text is not quoted, nor is a password in a URL: of a variable that
/// isn't set, the name is told only if it looks like one, for `pa$sword` may be a password.
pub fn expanded(
    text: Entry<String>,
    key: &str,
    secret: bool,
    env: &dyn Fn(&str) -> Option<String>,
    log: &mut Log,
) -> Entry<String> {
    let Entry::Given(Spanned { value: text, span }) = text else {
        return text;
    };
    let bad = match value::expand(&text, env) {
        Ok(filled) => return Entry::Given(Spanned::with_span(filled, span)),
        Err(bad) => bad,
    };
    let hidden = hidden_parts(&text);
    for dollar in bad {
        let secret = secret || hidden.iter().any(|part| part.contains(&dollar.range.start));
        let at = within(log.text(), span, &text, dollar.range);
        let customary = |name: &str| !name.bytes().any(|b| b.is_ascii_lowercase());
        let what = match dollar.name {
            Some(name) if !secret || customary(&name) => {
                let name = value::brief(&name);
                format!(
                    "`{key}` needs the environment variable {name}, which is not set; `$$` is a dollar sign"
                )
            }
            Some(_) => {
                format!(
                    "`{key}` needs an environment variable that is not set; `$$` is a dollar sign"
                )
            }
            None => format!("`{key}` has a `$` that no name follows; write `$$` for a dollar sign"),
        };
        log.add(at, what);
    }
    Entry::Bad
}
