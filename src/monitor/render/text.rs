//! Text of messages: escaping, counts, and truncation to Telegram's limits.

/// Telegram's limit for one message, counted in UTF-16 units to be safe (Bot API `sendMessage`).
pub const MESSAGE_UNITS: usize = 4096;

/// Starts an isolated text of either direction (UAX #9, FSI).
const ISOLATE: char = '\u{2068}';

/// Escapes `text` for Telegram's HTML (Bot API, "HTML style"). A text with right-to-left characters
/// is isolated, so that it does not reorder its surroundings (UAX #9, section 2.4).
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let isolated = text.chars().any(right_to_left);
    if isolated {
        safe.push(ISOLATE);
    }
    for c in text.chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            c if c.is_control() && c != '\n' => safe.push(' '),
            // Characters that reorder the rest of the line are removed; only we insert them.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' => {}
            '\u{2066}'..='\u{2069}' => {}
            c => safe.push(c),
        }
    }
    if isolated {
        safe.push('\u{2069}');
    }
    safe
}

/// Whether a character is in a block of Hebrew, Arabic or another script of class R or AL (UAX #9).
fn right_to_left(c: char) -> bool {
    matches!(
        c,
        '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefe}'
            | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}'
    )
}

/// Returns a name in bold, escaped.
pub fn bold(name: &str) -> String {
    format!("<b>{}</b>", escape(name))
}

/// Returns a URL with its user information and query masked, as they may be secret.
pub fn masked(url: &str) -> String {
    let start = url.find("//").map_or(0, |slashes| slashes + 2);
    let query = url[start..].find(['?', '#']).map(|at| start + at);
    let end = query.unwrap_or(url.len());
    let path = url[start..end].find('/').map_or(end, |at| start + at);
    let host = url[start..path].rfind('@').map(|at| start + at);
    let mut shown = url.to_owned();
    if query.is_some() {
        shown.replace_range(end.., "***");
    }
    if let Some(host) = host {
        shown.replace_range(start..host, "***");
    }
    shown
}

/// Returns a URL as a link. If it may contain a secret or a variable, which has no value here, the
/// [`masked`] URL is returned as plain text.
pub fn link(url: &str) -> String {
    let shown = masked(url);
    let open = shown == url && !url.contains('$');
    let shown = escape(&shown);
    match open && !shown.contains(ISOLATE) {
        true => format!("<a href=\"{shown}\">{shown}</a>"),
        false => format!("<code>{shown}</code>"),
    }
}

/// Returns `a, b and 7 more`; at most `most` names are listed.
pub fn named(names: &[&str], most: usize) -> String {
    let (named, more) = names.split_at(names.len().min(most));
    let named: Vec<String> = named.iter().map(|name| escape(name)).collect();
    let more = match more.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    named.join(", ") + &more
}

/// Returns `1 site`, `5 sites`.
pub fn count(n: usize, what: &str) -> String {
    if n == 1 {
        format!("1 {what}")
    } else {
        format!("{n} {what}s")
    }
}

/// Returns a number of bytes as `1.2 GB`, `29 GB` or `60 MB`, rounded down; units are powers of
/// 1024.
pub fn size(bytes: u64) -> String {
    let mut units = [("TB", 40), ("GB", 30), ("MB", 20), ("KB", 10)].into_iter();
    match units.find(|(_, shift)| bytes >> shift > 0) {
        None => format!("{bytes} bytes"),
        Some((unit, shift)) => {
            let (whole, tenth) = (bytes >> shift, (bytes % (1 << shift) * 10) >> shift);
            match tenth {
                1.. if whole < 10 => format!("{whole}.{tenth} {unit}"),
                _ => format!("{whole} {unit}"),
            }
        }
    }
}

/// Returns the length as Telegram counts it at most: in UTF-16 code units, with tags.
pub fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// Packs lines into messages of at most [`MESSAGE_UNITS`], which are split at line ends only. Each
/// line must be complete HTML; a line that is too long is truncated as text without mark-up.
pub fn pack<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut messages: Vec<String> = Vec::new();
    let mut used = 0;
    for line in lines {
        let line = shorten(line);
        let size = units(&line) + 1;
        match messages.last_mut() {
            Some(message) if used + size <= MESSAGE_UNITS => {
                message.push('\n');
                message.push_str(&line);
                used += size;
            }
            _ => {
                messages.push(line);
                used = size;
            }
        }
    }
    messages
}

/// Truncates a line to the limit. A longer one loses its mark-up, as the cut could be inside a tag.
fn shorten(line: &str) -> String {
    if units(line) < MESSAGE_UNITS {
        return line.to_owned();
    }
    let mut in_tag = false;
    let bare: String = line
        .chars()
        .filter(|&c| {
            let keep = !in_tag && c != '<';
            match c {
                '<' => in_tag = true,
                '>' => in_tag = false,
                _ => {}
            }
            keep
        })
        .collect();
    let mut short = String::new();
    let mut used = 0;
    for c in bare.chars() {
        used += c.len_utf16();
        if used >= MESSAGE_UNITS - 1 {
            // An entity must not be cut either.
            if let Some(start) = short.rfind('&')
                && !short[start..].contains(';')
            {
                short.truncate(start);
            }
            short.push('…');
            break;
        }
        short.push(c);
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_with_markup_are_shown_as_they_are() {
        assert_eq!(bold("<a&b>\"\u{7}"), "<b>&lt;a&amp;b&gt;&quot; </b>");
    }

    #[test]
    fn an_address_is_a_link_unless_it_may_hold_a_secret() {
        let plain = "https://shop.example:8443/a/b";
        assert_eq!(link(plain), format!("<a href=\"{plain}\">{plain}</a>"));
        for (url, shown) in [
            ("https://u:***@h/a", "https://***@h/a"),
            ("https://key@h", "https://***@h"),
            ("https://h/a?token=x&y#z", "https://h/a***"),
            ("https://u@h?a=/@b", "https://***@h***"),
            ("https://h/#x", "https://h/***"),
            ("https://h/$KEY/", "https://h/$KEY/"),
        ] {
            assert_eq!(link(url), format!("<code>{shown}</code>"), "{url}");
        }
        assert_eq!(
            link("https://h/\"><b>"),
            "<a href=\"https://h/&quot;&gt;&lt;b&gt;\">https://h/&quot;&gt;&lt;b&gt;</a>"
        );
        assert!(link("https://\u{5d0}.example/").starts_with("<code>\u{2068}"));
    }

    #[test]
    fn a_name_from_right_to_left_does_not_reorder_the_line() {
        assert_eq!(bold("אתר"), "<b>\u{2068}אתר\u{2069}</b>");
        assert_eq!(bold("blog"), "<b>blog</b>");
        // An override in a name would reorder everything after it.
        assert_eq!(bold("a\u{202e}b\u{2067}"), "<b>ab</b>");
    }

    #[test]
    fn long_answers_are_cut_at_line_ends() {
        let line = "x".repeat(1000);
        let messages = pack(std::iter::repeat_n(line.as_str(), 9));
        assert_eq!(messages.len(), 3);
        assert!(messages.iter().all(|m| units(m) <= MESSAGE_UNITS));
        assert_eq!(messages[0].lines().count(), 4);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn packed_messages_fit_and_lose_no_short_line(lines in proptest::collection::vec("[a-z<>&\u{1F600}\u{5d0}]{0,300}", 0..80)) {
            let escaped: Vec<String> = lines.iter().map(|l| escape(l)).collect();
            let messages = pack(escaped.iter().map(String::as_str));
            prop_assert!(messages.iter().all(|m| units(m) <= MESSAGE_UNITS));
            let back: Vec<&str> = messages.iter().flat_map(|m| m.split('\n')).collect();
            prop_assert_eq!(back, escaped.iter().map(String::as_str).collect::<Vec<_>>());
        }

        #[test]
        fn one_endless_line_is_cut_to_fit_without_half_an_entity(text in "[<>&a\u{1F600}]{0,9000}") {
            let messages = pack([format!("<b>{}</b>", escape(&text)).as_str()]);
            for m in &messages {
                prop_assert!(units(m) <= MESSAGE_UNITS);
                let last = m.rfind('&').map(|i| &m[i..]);
                prop_assert!(last.is_none_or(|l| l.contains(';')));
            }
        }
    }
}
