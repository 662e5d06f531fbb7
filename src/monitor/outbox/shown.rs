//! What alerts with buttons say at present: to change their buttons is to send their text again.
//!
//! In memory alone, and bounded: after a restart, a button that makes no sense any more stays until
//! somebody presses it; a press brings the text along.

use std::collections::VecDeque;

/// Bytes of all texts together.
const ROOM: usize = 64 * 1024;

#[derive(Debug, Default)]
pub struct Shown {
    /// Oldest first.
    texts: VecDeque<Text>,
    bytes: usize,
}

#[derive(Debug)]
struct Text {
    chat: i64,
    message_id: i64,
    html: String,
}

impl Shown {
    pub fn remember(&mut self, chat: i64, message_id: i64, html: String) {
        self.forget(chat, message_id);
        self.bytes += html.len();
        self.texts.push_back(Text {
            chat,
            message_id,
            html,
        });
        while self.bytes > ROOM
            && let Some(oldest) = self.texts.pop_front()
        {
            self.bytes -= oldest.html.len();
        }
    }

    pub fn get(&self, chat: i64, message_id: i64) -> Option<&str> {
        let text = self.texts.iter().find(|t| t.is(chat, message_id))?;
        Some(&text.html)
    }

    pub fn forget(&mut self, chat: i64, message_id: i64) {
        self.keep(|t| !t.is(chat, message_id));
    }

    pub fn forget_chat(&mut self, chat: i64) {
        self.keep(|t| t.chat != chat);
    }

    fn keep(&mut self, wanted: impl Fn(&Text) -> bool) {
        self.texts.retain(wanted);
        self.bytes = self.texts.iter().map(|t| t.html.len()).sum();
    }
}

impl Text {
    fn is(&self, chat: i64, message_id: i64) -> bool {
        (self.chat, self.message_id) == (chat, message_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_text_of_a_message_counts_and_the_oldest_messages_are_forgotten() {
        let mut shown = Shown::default();
        shown.remember(7, 1, "a".into());
        shown.remember(7, 1, "b".into());
        assert_eq!(shown.get(7, 1), Some("b"));
        assert_eq!(shown.get(8, 1), None);
        for id in 2..100 {
            shown.remember(7, id, "x".repeat(1000));
        }
        assert_eq!(shown.get(7, 1), None);
        assert!(shown.get(7, 99).is_some() && shown.bytes <= ROOM);
        assert_eq!(shown.texts.len(), ROOM / 1000);
        shown.forget(7, 99);
        assert_eq!((shown.get(7, 99), shown.bytes), (None, 64_000));
    }
}
