//! Sanitizes text from outside for display: short, on one line, and without characters that control
//! the terminal or the layout.
//!
//! Every text from a server, a peer, a chat or the file of an older version passes through
//! [`line()`] (or [`lines`]) where it comes in, so that log, chat, table, JSON, state and chart can
//! use it as is:
//!
//! | what | becomes |
//! | --- | --- |
//! | control characters, tabs, line breaks, U+2028, U+2029 | a blank |
//! | bidirectional marks: U+061C, U+200E, U+200F, U+202A-202E, U+2066-2069 | nothing |
//! | characters without width: U+00AD, U+034F, U+200B, U+2060-206F, U+FEFF, U+FFF9-FFFB, fillers of Hangul, Khmer and Mongolian, tags and selectors U+E0000-E0FFF, … | nothing |
//! | joiners U+200C, U+200D | kept between two letters of scripts that join (Arabic to Sinhala), U+200D between two emoji; else nothing |
//! | variation selectors | U+FE0E and U+FE0F are kept after an emoji or a keycap's digit; else nothing |
//! | private use, noncharacters | U+FFFD |
//! | too long | cut, with `…` at its end |
//!
//! Letters of every script, combining marks and emoji are kept, and so are unassigned code points:
//! they may be emoji of a newer Unicode version.

/// Maximum length of the cause of a failure and similar texts, in characters.
pub const CAUSE: usize = 200;
/// Maximum length of the name of a user, a bot or a site, in characters: Telegram's limit.
pub const NAME: usize = 64;
/// Maximum length of a server's address in the state file, in bytes.
pub const ADDRESS: usize = 255;
/// Maximum length of a message from a chat, in characters (Bot API, `Message.text`).
pub const MESSAGE: usize = 4096;

/// Returns `text` on one line of at most `most` characters. The function is idempotent.
pub fn line(text: &str, most: usize) -> String {
    shown(text, most, false)
}

/// Like [`line()`], but keeps line breaks (LF): for texts of our own that were stored outside.
pub fn lines(text: &str, most: usize) -> String {
    shown(text, most, true)
}

/// Returns whether [`line()`] would not show `c` by itself.
pub fn refused(c: char) -> bool {
    !matches!(kind(c), Kind::Shown | Kind::Selector)
}

fn shown(text: &str, most: usize, breaks: bool) -> String {
    let mut out = String::new();
    let mut length = 0;
    // Where the text ends if it is too long.
    let mut cut = 0;
    let mut before = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let c = match kind(c) {
            Kind::Shown => c,
            Kind::Blank if breaks && c == '\n' => c,
            Kind::Blank => ' ',
            Kind::Foreign => char::REPLACEMENT_CHARACTER,
            Kind::Joiner if joins(before, c, chars.peek().copied()) => c,
            Kind::Selector if before.is_some_and(|b| is_emoji(b) || is_keycap(b)) => c,
            Kind::Joiner | Kind::Selector | Kind::Unseen => continue,
        };
        if length == most {
            out.truncate(cut);
            while out.ends_with(['\u{200c}', '\u{200d}']) {
                out.pop();
            }
            out.push('…');
            break;
        }
        length += 1;
        if length == most {
            cut = out.len();
        }
        out.push(c);
        before = Some(c);
    }
    out
}

/// How a character is treated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Shown,
    Blank,
    Unseen,
    Joiner,
    Selector,
    /// Without a meaning that fonts and programs agree on.
    Foreign,
}

/// Classifies by the general categories Cc, Zl, Zp, Co and Cn (noncharacters) and the property
/// `Default_Ignorable_Code_Point` (Unicode 16, DerivedCoreProperties.txt). Visible format
/// characters (U+0600-0605 and the like) are harmless.
fn kind(c: char) -> Kind {
    match c {
        ' '..='~' => Kind::Shown,
        c if c.is_control() => Kind::Blank,
        '\u{2028}' | '\u{2029}' => Kind::Blank,
        '\u{200c}' | '\u{200d}' => Kind::Joiner,
        '\u{fe0e}' | '\u{fe0f}' => Kind::Selector,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' => {
            Kind::Unseen
        }
        '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' => Kind::Unseen,
        '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0d}' | '\u{feff}' => Kind::Unseen,
        '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{13430}'..='\u{1343f}' => Kind::Unseen,
        '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' => Kind::Unseen,
        '\u{e0000}'..='\u{e0fff}' => Kind::Unseen,
        '\u{e000}'..='\u{f8ff}' | '\u{fdd0}'..='\u{fdef}' | '\u{f0000}'.. => Kind::Foreign,
        c if u32::from(c) & 0xfffe == 0xfffe => Kind::Foreign,
        _ => Kind::Shown,
    }
}

/// Returns whether a joiner has an effect there (simplified from UAX #31, section 2.3).
fn joins(before: Option<char>, joiner: char, after: Option<char>) -> bool {
    let (Some(before), Some(after)) = (before, after) else {
        return false;
    };
    // Arabic, Syriac and the scripts of India.
    let joining = |c| matches!(c, '\u{620}'..='\u{dff}') && kind(c) == Kind::Shown;
    let emoji = |c| is_emoji(c) || c == '\u{fe0f}';
    joining(before) && joining(after) || joiner == '\u{200d}' && emoji(before) && is_emoji(after)
}

/// Approximates `Extended_Pictographic` and the skin tone modifiers by blocks.
fn is_emoji(c: char) -> bool {
    matches!(
        c,
        '©' | '®' | '‼' | '⁉' | '™' | 'ℹ' | '\u{2190}'..='\u{2bff}' | '〰' | '〽' | '㊗' | '㊙'
            | '\u{1f000}'..='\u{1faff}'
    )
}

fn is_keycap(c: char) -> bool {
    matches!(c, '#' | '*' | '0'..='9')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_steers_a_terminal_or_forges_a_line_is_a_blank() {
        assert_eq!(
            line(
                "a\r\nb\u{1b}[31mc\u{7}\0\t\u{85}\u{9b}2J\u{2028}\u{2029}d",
                99
            ),
            "a  b [31mc     2J  d"
        );
    }

    #[test]
    fn what_turns_text_round_or_is_not_seen_goes() {
        for c in
            "\u{ad}\u{34f}\u{61c}\u{115f}\u{180e}\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\u{202a}\
                  \u{202b}\u{202c}\u{202d}\u{202e}\u{2060}\u{2061}\u{2066}\u{2067}\u{2068}\u{2069}\
                  \u{206a}\u{206f}\u{3164}\u{fe00}\u{fe0f}\u{feff}\u{ffa0}\u{fff9}\u{fffb}\u{1d173}\
                  \u{e0001}\u{e0041}\u{e0100}"
                .chars()
        {
            let text = format!("a{c}b");
            assert_eq!(line(&text, 9), "ab", "{c:?}");
        }
        for c in [
            '\u{e000}',
            '\u{f8ff}',
            '\u{fdd0}',
            '\u{fffe}',
            '\u{10ffff}',
            '\u{f0000}',
        ] {
            assert_eq!(line(&c.to_string(), 9), "\u{fffd}", "{c:?}");
        }
    }

    #[test]
    fn texts_of_people_stay_as_they_are() {
        for text in [
            "Zoë O’Brien — 12 €",
            "שלום עולם",
            "السلام عليكم",
            // Persian: a non-joiner between two parts of a word.
            "می\u{200c}خواهم",
            // Sinhala: an explicit conjunct.
            "ශ්\u{200d}රී ලංකා",
            "नमस्ते",
            "ไทย",
            "Cafe\u{301} n\u{303}a\u{328}",
            "日本語 한국어",
            "👨\u{200d}👩\u{200d}👧\u{200d}👦",
            "🏳\u{fe0f}\u{200d}🌈 👩🏽\u{200d}🔧 ❤\u{fe0f} 1\u{fe0f}\u{20e3} 🇩🇪",
        ] {
            assert_eq!(line(text, 99), text);
        }
    }

    #[test]
    fn a_joiner_that_joins_nothing_goes() {
        for text in [
            "\u{200d}🌈",
            "🌈\u{200d}",
            "🌈\u{200d}\u{200d}",
            "🌈\u{200c}",
            "🌈\u{fe0e}\u{fe0f}\u{fe0f}\u{200d}",
        ] {
            let shown = line(text, 9);
            assert_eq!(shown.trim_end_matches('\u{fe0e}'), "🌈", "{shown:?}");
        }
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        assert_eq!(line("abcdef", 6), "abcdef");
        assert_eq!(line("abcdefg", 6), "abcde…");
        assert_eq!(line("ab\u{200b}\u{200b}", 2), "ab");
        assert_eq!(line("🌈\u{200d}🌈🌈", 3), "🌈…");
        assert_eq!(line(&"é".repeat(1 << 20), CAUSE).chars().count(), CAUSE);
    }

    #[test]
    fn line_breaks_of_our_own_stay_in_lines() {
        assert_eq!(lines("a\r\n\tb\u{202e}\n", 9), "a \n b\n");
    }

    /// Generates arbitrary text, with many of the characters that are treated specially.
    fn hostile() -> impl Strategy<Value = String> {
        let marks = "[\0-\u{20}\u{7f}-\u{a0}\u{ad}\u{600}-\u{640}\u{200b}-\u{200f}\u{2028}-\u{202e}\
                     \u{2060}-\u{206f}\u{fe00}-\u{fe0f}\u{feff}\u{e000}\u{1f468}\u{1f3fd}2🌈é]";
        let one = prop_oneof![any::<char>().prop_map(String::from), marks];
        prop::collection::vec(one, 0..40).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn what_comes_out_is_short_one_line_and_final(text in hostile(), most in 1usize..50) {
            let shown = line(&text, most);
            prop_assert!(shown.chars().count() <= most);
            prop_assert!(!shown.chars().any(char::is_control));
            let chars: Vec<char> = shown.chars().collect();
            for (at, &c) in chars.iter().enumerate() {
                let joiner = matches!(c, '\u{200c}' | '\u{200d}');
                prop_assert!(!refused(c) || joiner && at > 0 && at + 1 < chars.len(), "{:?}", shown);
            }
            prop_assert_eq!(line(&shown, most), shown);
        }

        #[test]
        fn lines_are_final_too(text in hostile(), most in 1usize..50) {
            let shown = lines(&text, most);
            prop_assert!(shown.chars().count() <= most);
            prop_assert!(!shown.chars().any(|c| c.is_control() && c != '\n'));
            prop_assert_eq!(lines(&shown, most), shown);
        }
    }
}
