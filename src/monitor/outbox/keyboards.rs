//! The keyboards under alerts: the current text of each message, since changing its buttons means
//! sending the text again, and which keyboards are outdated.
//!
//! Kept in memory only, and bounded: after a restart an outdated button stays until it is pressed;
//! the press includes the text.

use crate::monitor::outbox::message::CONSOLE;
use crate::monitor::render::text::{MESSAGE_UNITS, units};
use std::collections::VecDeque;

/// Maximum total size of the texts in bytes.
const MAX_TEXT_BYTES: usize = 64 * 1024;
/// Prefixes of lines that say what a user did, by kind; a new line replaces those of its kind.
const NOTES: [&[&str]; 2] = [&["👍"], &["🔕", "🔔"]];
/// Maximum number of messages in [`Keyboards::outdated`].
const MAX_OUTDATED: usize = 200;

#[derive(Debug, Default)]
pub struct Keyboards {
    /// Chat, message id and text, oldest first.
    texts: VecDeque<((i64, i64), String)>,
    /// Messages whose buttons must be updated: chat and message id.
    pub(super) outdated: VecDeque<(i64, i64)>,
}

impl Keyboards {
    pub fn remember(&mut self, chat: i64, message_id: i64, html: String) {
        self.forget(chat, message_id);
        self.texts.push_back(((chat, message_id), html));
        while self.bytes() > MAX_TEXT_BYTES {
            self.texts.pop_front();
        }
    }

    fn bytes(&self) -> usize {
        self.texts.iter().map(|(_, html)| html.len()).sum()
    }

    pub fn get(&self, chat: i64, message_id: i64) -> Option<&str> {
        let mut texts = self.texts.iter();
        let (_, html) = texts.find(|(message, _)| *message == (chat, message_id))?;
        Some(html)
    }

    pub fn forget(&mut self, chat: i64, message_id: i64) {
        self.texts
            .retain(|(message, _)| *message != (chat, message_id));
    }

    pub fn forget_chat(&mut self, chat: i64) {
        self.texts.retain(|((c, _), _)| *c != chat);
        self.outdated.retain(|(c, _)| *c != chat);
    }

    /// Marks the buttons of an alert's message for an update.
    pub fn outdate(&mut self, chat: i64, message_id: i64) {
        let message = (chat, message_id);
        if message_id == 0 || chat == CONSOLE || self.outdated.contains(&message) {
            return;
        }
        if self.outdated.len() == MAX_OUTDATED {
            self.outdated.pop_front();
        }
        self.outdated.push_back(message);
    }
}

/// Returns `html` with `note` as its last line, in place of earlier notes of its kind that were
/// about no other site; `None` if the result is too long.
pub fn noted(html: &str, note: &str) -> Option<String> {
    let starts = |line: &str, marks: &[&str]| marks.iter().any(|mark| line.starts_with(mark));
    let kind = NOTES.iter().find(|marks| starts(note, marks));
    let replaced = |line: &str| {
        kind.is_some_and(|marks| starts(line, marks))
            && match (sites_of(line), sites_of(note)) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(before), Some(now)) => {
                    before.split(", ").all(|b| now.split(", ").any(|n| n == b))
                }
            }
    };
    let kept = html.lines().filter(|line| !replaced(line));
    let lines: Vec<&str> = kept.chain([note]).collect();
    let longer = lines.join("\n");
    (units(&longer) <= MESSAGE_UNITS).then_some(longer)
}

/// Returns the sites that a note is about, if it is not about the whole message
/// ([`crate::monitor::outbox::send_context::SendContext::part_of`]). A user's name may contain a
/// colon; such a note may stay too long.
fn sites_of(note: &str) -> Option<&str> {
    note.split_once(": ").map(|(_, sites)| sites)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_text_of_a_message_counts_and_the_oldest_messages_are_forgotten() {
        let mut keyboards = Keyboards::default();
        keyboards.remember(7, 1, "a".into());
        keyboards.remember(7, 1, "b".into());
        assert_eq!(keyboards.get(7, 1), Some("b"));
        assert_eq!(keyboards.get(8, 1), None);
        for id in 2..100 {
            keyboards.remember(7, id, "x".repeat(1000));
        }
        assert_eq!(keyboards.get(7, 1), None);
        assert!(keyboards.get(7, 99).is_some() && keyboards.bytes() <= MAX_TEXT_BYTES);
        assert_eq!(keyboards.texts.len(), MAX_TEXT_BYTES / 1000);
        keyboards.forget(7, 99);
        assert_eq!((keyboards.get(7, 99), keyboards.bytes()), (None, 64_000));
    }

    #[test]
    fn a_note_takes_the_place_of_those_that_it_makes_untrue() {
        let mut html = "two are down".to_owned();
        for (note, rest) in [
            ("👍 acknowledged by Bob: a", "👍 acknowledged by Bob: a"),
            (
                "🔕 muted for 1 h",
                "👍 acknowledged by Bob: a\n🔕 muted for 1 h",
            ),
            (
                "🔔 unmuted: b",
                "👍 acknowledged by Bob: a\n🔕 muted for 1 h\n🔔 unmuted: b",
            ),
            (
                "🔕 muted for 1 d: a, b",
                "👍 acknowledged by Bob: a\n🔕 muted for 1 h\n🔕 muted for 1 d: a, b",
            ),
            (
                "👍 acknowledged by Ann: b",
                "👍 acknowledged by Bob: a\n🔕 muted for 1 h\n🔕 muted for 1 d: a, b\n👍 acknowledged by Ann: b",
            ),
            (
                "🔔 unmuted",
                "👍 acknowledged by Bob: a\n👍 acknowledged by Ann: b\n🔔 unmuted",
            ),
        ] {
            html = noted(&html, note).expect("there is room");
            assert_eq!(html, format!("two are down\n{rest}"));
        }
        assert_eq!(noted(&"x".repeat(MESSAGE_UNITS - 1), "y"), None);
    }
}
