//! Converts Telegram's HTML to plain text, for the terminal and for a message that Telegram failed
//! to parse, and a received message of this bot back to HTML.

use super::api_types::RawEntity;

/// The tags of the Bot API's "HTML style" that may occur in a message.
const TAGS: [&str; 9] = [
    "b",
    "i",
    "u",
    "s",
    "code",
    "pre",
    "a",
    "blockquote",
    "tg-spoiler",
];

/// The named entities of the Bot API's "HTML style".
const ENTITIES: [(&str, char); 4] = [
    ("&lt;", '<'),
    ("&gt;", '>'),
    ("&amp;", '&'),
    ("&quot;", '"'),
];

/// Returns `html` without its tags and with its entities decoded. The result is never longer than
/// `html`. Unknown tags and entities are kept unchanged, so that no text is lost.
pub fn plain(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find(['<', '&']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(length) = tag_length(rest) {
            rest = &rest[length..];
        } else if let Some((entity, c)) =
            ENTITIES.iter().find(|(entity, _)| rest.starts_with(entity))
        {
            out.push(*c);
            rest = &rest[entity.len()..];
        } else {
            out.push_str(&rest[..1]);
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    out
}

/// Returns the HTML that a message was made from, given its text and entities. Ignores entities of
/// kinds that sitemon doesn't send; Telegram adds those (links) again.
pub fn marked(text: &str, entities: &[RawEntity]) -> String {
    let mut marks: Vec<(i64, i64, &str)> = entities
        .iter()
        .filter_map(|entity| {
            let tag = match entity.kind.as_str() {
                "bold" => "b",
                "italic" => "i",
                "code" => "code",
                _ => return None,
            };
            let end = entity.offset.checked_add(entity.length)?;
            (entity.length > 0).then_some((entity.offset, end, tag))
        })
        .collect();
    marks.sort_by_key(|&(start, end, _)| (start, std::cmp::Reverse(end)));
    let mut marks = marks.into_iter().peekable();
    let mut open: Vec<(i64, &str)> = Vec::new();
    let mut html = String::with_capacity(text.len() + 16);
    let close = |html: &mut String, tag: &str| html.push_str(&format!("</{tag}>"));
    let mut at = 0;
    for c in text.chars() {
        while let Some((_, tag)) = open.pop_if(|(end, _)| *end <= at) {
            close(&mut html, tag);
        }
        while let Some((_, end, tag)) = marks.next_if(|(start, ..)| *start <= at) {
            // Entities must not end after the one that they are in.
            let end = open.last().map_or(end, |(outer, _)| end.min(*outer));
            if end > at {
                html.push_str(&format!("<{tag}>"));
                open.push((end, tag));
            }
        }
        match ENTITIES.iter().find(|(_, plain)| *plain == c) {
            Some((entity, _)) => html.push_str(entity),
            None => html.push(c),
        }
        at += c.len_utf16() as i64;
    }
    while let Some((_, tag)) = open.pop() {
        close(&mut html, tag);
    }
    html
}

/// Returns the length in bytes of the tag that `text` starts with, if it is one of [`TAGS`].
fn tag_length(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('<')?;
    let end = inner.find('>')?;
    let name = inner[..end]
        .trim_start_matches('/')
        .split_whitespace()
        .next()?;
    TAGS.contains(&name).then_some(end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tags_go_and_entities_are_decoded_once() {
        assert_eq!(
            plain("🔴 <b>blog</b> is <i>down</i>: <code>1 &lt; 2 &amp;&amp; &quot;x&quot;</code>"),
            "🔴 blog is down: 1 < 2 && \"x\""
        );
        assert_eq!(plain("<a href=\"https://e.org/\">here</a>"), "here");
        assert_eq!(plain("&amp;lt;b&amp;gt;"), "&lt;b&gt;");
    }

    #[test]
    fn what_is_no_markup_is_kept() {
        for text in [
            "1 < 2",
            "<unknown>",
            "a & b",
            "&copy;",
            "<",
            "&",
            "<b",
            "<>",
            "</>",
            "x <- y -> z",
        ] {
            assert_eq!(plain(text), text);
        }
    }

    fn entity(kind: &str, offset: i64, length: i64) -> RawEntity {
        RawEntity {
            kind: kind.into(),
            offset,
            length,
        }
    }

    #[test]
    fn a_message_comes_back_as_the_html_it_was_made_from() {
        let text = "🔴 a<b is down: \"x\" & y (#1)";
        let entities = [entity("bold", 3, 3), entity("url", 7, 2)];
        assert_eq!(
            marked(text, &entities),
            "🔴 <b>a&lt;b</b> is down: &quot;x&quot; &amp; y (#1)"
        );
        let nested = [entity("bold", 0, 3), entity("code", 1, 2)];
        assert_eq!(marked("abcd", &nested), "<b>a<code>bc</code></b>d");
    }

    proptest! {
        #[test]
        fn marks_from_outside_are_nested_and_lose_no_text(
            text in ".{0,20}",
            marks in prop::collection::vec((0..3usize, -3..30i64, -3..i64::MAX), 0..6),
        ) {
            let kinds = ["bold", "italic", "code"];
            let entities: Vec<RawEntity> = marks
                .into_iter()
                .map(|(kind, offset, length)| entity(kinds[kind], offset, length))
                .collect();
            let html = marked(&text, &entities);
            prop_assert_eq!(plain(&html), text);
            let mut open = Vec::new();
            for (at, _) in html.match_indices('<') {
                let tag = html[at + 1..].split('>').next().unwrap();
                match tag.strip_prefix('/') {
                    Some(tag) => prop_assert_eq!(open.pop(), Some(tag)),
                    None => open.push(tag),
                }
            }
            prop_assert!(open.is_empty());
        }

        #[test]
        fn plain_text_is_never_longer(html in "([<>&;/ab]|&lt;|</?code>|é|🔴)*") {
            prop_assert!(plain(&html).len() <= html.len());
        }

        #[test]
        fn escaped_text_comes_back(text in any::<String>()) {
            let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
            prop_assert_eq!(plain(&format!("<b>{escaped}</b>")), text);
        }
    }
}
