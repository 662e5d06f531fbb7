//! Telegram's "HTML style" (Bot API, formatting options), read strictly.

/// Tags with no attributes. `a`, `span`, `blockquote`, `pre` and `code` also have some.
const PLAIN_TAGS: [&str; 15] = [
    "b",
    "strong",
    "i",
    "em",
    "u",
    "ins",
    "s",
    "strike",
    "del",
    "tg-spoiler",
    "a",
    "code",
    "pre",
    "blockquote",
    "span",
];

/// Returns the text that users see, or the reason why Telegram would refuse it. Stricter than the
/// real server in one thing: a `&` that begins no known entity is an error, where Telegram would
/// show it as it is.
pub fn plain_text(html: &str) -> Result<String, String> {
    let mut text = String::new();
    let mut open: Vec<&str> = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find(['<', '&']) {
        text.push_str(&rest[..at]);
        let offset = html.len() - rest.len() + at;
        rest = &rest[at..];
        if rest.starts_with('&') {
            let (c, after) = entity(rest)
                .ok_or_else(|| refusal(&format!("unknown entity at byte offset {offset}")))?;
            text.push(c);
            rest = after;
            continue;
        }
        let end = rest
            .find('>')
            .ok_or_else(|| refusal(&format!("unclosed start tag at byte offset {offset}")))?;
        let tag = &rest[1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            let name = name.trim_end();
            if open.pop() != Some(name) {
                return Err(refusal(&format!(
                    "unmatched end tag \"{name}\" at byte offset {offset}"
                )));
            }
        } else {
            open.push(start_tag(tag, offset)?);
        }
    }
    text.push_str(rest);
    match open.pop() {
        Some(tag) => Err(refusal(&format!(
            "can't find end tag corresponding to start tag \"{tag}\""
        ))),
        None => Ok(text),
    }
}

fn start_tag(tag: &str, offset: usize) -> Result<&str, String> {
    let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
    let known = PLAIN_TAGS.contains(&name)
        && match (name, attributes.trim()) {
            ("a", value) => quoted_value(value, "href").is_some(),
            ("span", value) => value == "class=\"tg-spoiler\"",
            (_, "") => true,
            ("code", value) => quoted_value(value, "class").is_some(),
            ("blockquote", value) => value == "expandable",
            _ => false,
        };
    if known {
        return Ok(name);
    }
    Err(refusal(&format!(
        "unsupported start tag \"{tag}\" at byte offset {offset}"
    )))
}

fn quoted_value<'a>(attribute: &'a str, name: &str) -> Option<&'a str> {
    let value = attribute.strip_prefix(name)?.strip_prefix("=\"")?;
    let value = value.strip_suffix('"')?;
    (!value.contains('"')).then_some(value)
}

/// Returns the character of the entity at the start of `text`, and the text after it.
fn entity(text: &str) -> Option<(char, &str)> {
    let (name, after) = text.strip_prefix('&')?.split_once(';')?;
    let c = match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "quot" => '"',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok().filter(|c| *c != 0)?)?
        }
    };
    Some((c, after))
}

fn refusal(why: &str) -> String {
    format!("Bad Request: can't parse entities: {why}")
}

/// Returns the entities of a text that [`plain_text`] accepts: kind, offset and length in UTF-16
/// units.
pub fn entities(html: &str) -> Vec<(String, i64, i64)> {
    let mut found = Vec::new();
    let mut open: Vec<(String, i64)> = Vec::new();
    let mut at = 0;
    let mut rest = html;
    while let Some(c) = rest.chars().next() {
        if let Some((tag, after)) = rest.strip_prefix('<').and_then(|r| r.split_once('>')) {
            rest = after;
            match open.pop_if(|_| tag.starts_with('/')) {
                Some((kind, start)) => found.push((kind, start, at - start)),
                None => open.push((tag.to_owned(), at)),
            }
            continue;
        }
        let (c, after) = entity(rest).unwrap_or((c, &rest[c.len_utf8()..]));
        at += c.len_utf16() as i64;
        rest = after;
    }
    for (kind, ..) in &mut found {
        *kind = match kind.as_str() {
            "b" | "strong" => "bold".to_owned(),
            "i" | "em" => "italic".to_owned(),
            other => other.to_owned(),
        };
    }
    found
}
