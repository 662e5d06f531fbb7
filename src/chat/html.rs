//! Telegram's HTML as plain text: for the terminal, and for a message that Telegram would not parse.

/// The tags of the Bot API's "HTML style" that a message may hold.
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

/// `html` without its tags and with its entities decoded. Never longer than `html`; whatever is
/// neither a known tag nor a known entity is kept as it stands, so that no text is lost.
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

/// Bytes of the tag that `text` starts with, if it is one of [`TAGS`].
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

    proptest! {
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
