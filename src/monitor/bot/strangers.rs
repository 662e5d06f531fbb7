//! Log lines about messages and presses from chats and users that may not command.
//!
//! The first message of such a sender is logged: its id is what an administrator needs to complete
//! `chats`. But every user of Telegram can write to a bot, so there is at most one line a minute,
//! which names the newest sender and counts the others.

use crate::monitor::render::text::count;
use crate::monitor::time::Moment;
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// Minimum time between two lines.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// Maximum number of remembered senders. A known sender causes no further line.
const MAX_KNOWN: usize = 64;
/// Maximum number of chats that are counted.
const CHATS: usize = 1000;

/// Chat, and user if known.
type Sender = (i64, Option<i64>);

#[derive(Debug, Default)]
pub(crate) struct Strangers {
    known: VecDeque<Sender>,
    /// When the next line may be written at the earliest; `None`: at once.
    next: Option<Moment>,
    /// The senders since the last line.
    untold: UnreportedSenders,
}

#[derive(Debug, Default)]
struct UnreportedSenders {
    /// The last sender that was not known.
    newest: Option<Sender>,
    messages: usize,
    /// At most [`CHATS`] chats.
    chats: BTreeSet<i64>,
}

impl Strangers {
    /// Takes a message or press that is not allowed. Returns the line to log now, if any.
    pub fn on_message(&mut self, now: Moment, chat: i64, user: Option<i64>) -> Option<String> {
        let sender = (chat, user);
        let known = self.known.contains(&sender);
        if !known {
            if self.known.len() == MAX_KNOWN {
                self.known.pop_front();
            }
            self.known.push_back(sender);
        }
        if self.next.is_none() {
            return (!known).then(|| {
                self.next = Some(now + LOG_INTERVAL);
                describe(sender)
            });
        }
        let untold = &mut self.untold;
        untold.messages += 1;
        if untold.chats.len() < CHATS {
            untold.chats.insert(chat);
        }
        if !known {
            untold.newest = Some(sender);
        }
        None
    }

    /// Returns when [`Strangers::on_timeout`] has something to do.
    pub fn next_timeout(&self) -> Option<Moment> {
        self.next
    }

    /// Returns the line about the senders since the last line, if one of them is new.
    pub fn on_timeout(&mut self, now: Moment) -> Option<String> {
        if self.next.is_none_or(|next| next > now) {
            return None;
        }
        let untold = std::mem::take(&mut self.untold);
        self.next = untold.newest.map(|_| now + LOG_INTERVAL);
        let newest = describe(untold.newest?);
        let more = untold.messages - 1;
        if more == 0 {
            return Some(newest);
        }
        let messages = count(more, "more message");
        let chats = match untold.chats.len() {
            CHATS => format!("{CHATS} or more chats"),
            chats => count(chats, "chat"),
        };
        Some(format!(
            "{newest}; within a minute {messages}, of {chats} in all that may not command"
        ))
    }
}

fn describe((chat, user): Sender) -> String {
    let user = user.map_or_else(|| "no user".to_owned(), |id| format!("user {id}"));
    format!("no answer for {user} in chat {chat}: not in `chats` and `users` of sitemon.conf")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOT_IN: &str = "not in `chats` and `users` of sitemon.conf";

    fn at(seconds: u64) -> Moment {
        Moment(1_000_000) + Duration::from_secs(seconds)
    }

    #[test]
    fn the_first_is_named_at_once_and_only_once() {
        let mut strangers = Strangers::default();
        let named = strangers.on_message(at(0), 5, Some(6));
        let named = named.expect("a line");
        assert_eq!(named, format!("no answer for user 6 in chat 5: {NOT_IN}"));
        for second in 1..300 {
            assert_eq!(strangers.on_message(at(second), 5, Some(6)), None);
            assert_eq!(strangers.on_timeout(at(second)), None);
        }
        assert_eq!(strangers.next_timeout(), None);
        let post = strangers.on_message(at(300), -7, None).expect("a line");
        assert_eq!(post, format!("no answer for no user in chat -7: {NOT_IN}"));
    }

    #[test]
    fn ten_thousand_in_an_hour_are_a_line_a_minute_with_a_count() {
        let mut strangers = Strangers::default();
        let mut lines = Vec::new();
        let mut counted = 0;
        for n in 0..10_000_i64 {
            let now = at(u64::try_from(n).expect("positive") * 3600 / 10_000);
            lines.extend(strangers.on_timeout(now));
            lines.extend(strangers.on_message(now, n, Some(n)));
            assert!(strangers.known.len() <= MAX_KNOWN && strangers.untold.chats.len() <= CHATS);
        }
        let due = strangers.next_timeout().expect("some are untold");
        lines.extend(strangers.on_timeout(due));
        assert!((60..=61).contains(&lines.len()), "{}", lines.len());
        for line in &lines {
            let more = line.split("within a minute ").nth(1);
            let more = more.and_then(|rest| rest.split(' ').next());
            counted += 1 + more.map_or(0, |n| n.parse::<usize>().expect("a number"));
        }
        assert_eq!(counted, 10_000);
        assert!(
            lines[1].ends_with(" more messages, of 166 chats in all that may not command"),
            "{}",
            lines[1]
        );
        // After the interval a new sender is named at once again.
        let over = due + LOG_INTERVAL;
        assert_eq!(strangers.on_timeout(over), None);
        assert!(strangers.on_message(over, -1, Some(1)).is_some());
    }

    #[test]
    fn of_very_many_chats_a_thousand_are_told_apart() {
        let mut strangers = Strangers::default();
        strangers.on_message(at(0), 0, None);
        for chat in 1..=5000 {
            assert_eq!(strangers.on_message(at(1), chat, None), None);
        }
        let line = strangers.on_timeout(at(60)).expect("a line");
        let end = "; within a minute 4999 more messages, of 1000 or more chats in all that may not command";
        assert!(line.ends_with(end), "{line}");
        assert!(line.starts_with("no answer for no user in chat 5000: "));
    }
}
