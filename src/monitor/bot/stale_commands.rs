//! Commands that arrive too late to be carried out.

use crate::monitor::bot::ReplyContent;
use crate::monitor::outbox::Outbox;
use crate::monitor::outbox::message::{Incoming, Requester};
use crate::monitor::render::text::escape;
use crate::monitor::time::text::lasting;
use crate::monitor::time::{Moment, Now};
use std::collections::BTreeMap;
use std::time::Duration;

/// Age in seconds above which a command is not carried out: the agent was not running or not
/// reachable.
const STALE_AFTER: i64 = 300;
/// Time to wait for further stale commands, which arrive in one batch of updates.
const STALE_PAUSE: Duration = Duration::from_millis(500);
/// Maximum number of stale commands that are listed.
const STALE_LISTED: usize = 20;

/// Returns whether something that came from a chat is too old to be carried out. An update that a
/// parked poll returned is fresh, whatever the clocks say; only one that may have `waited` for long
/// is compared by its `date`, in Unix seconds.
pub(crate) fn is_stale(now: Now, waited: Duration, date: i64) -> bool {
    let long = waited > Duration::from_secs(STALE_AFTER.unsigned_abs())
        || mutated!("judge a command's age by the clock alone");
    long && now.wall.saturating_sub(date) > STALE_AFTER
}

/// Commands that were too old to be carried out. One reply to the chat lists them.
#[derive(Debug, Default)]
pub(crate) struct StaleCommands {
    /// By chat: when to send the reply, and its lines.
    waiting: BTreeMap<i64, (Moment, Vec<String>)>,
}

impl StaleCommands {
    pub fn add(&mut self, now: Now, message: &Incoming) {
        let age = u64::try_from(now.wall - message.date).unwrap_or(0);
        let text: String = message.text.chars().take(100).collect();
        let line = format!(
            "{} · {} ago",
            escape(&text.replace('\n', " ")),
            lasting(Duration::from_secs(age))
        );
        let due = now.moment() + STALE_PAUSE;
        let waiting = self.waiting.entry(message.chat);
        let (at, lines) = waiting.or_insert_with(|| (due, Vec::new()));
        *at = due;
        // Commands beyond the list are only counted.
        lines.push(if lines.len() < STALE_LISTED {
            line
        } else {
            String::new()
        });
    }

    pub fn next_timeout(&self) -> Option<Moment> {
        self.waiting.values().map(|(at, _)| *at).min()
    }

    /// Sends each chat one message that lists its stale commands.
    pub fn on_timeout(&mut self, now: Now, outbox: &mut Outbox) {
        if self.waiting.is_empty() {
            return;
        }
        let due = |(_, (at, _)): &(i64, (Moment, Vec<String>))| *at <= now.moment();
        let (due, waiting): (BTreeMap<_, _>, _) =
            std::mem::take(&mut self.waiting).into_iter().partition(due);
        self.waiting = waiting;
        for (chat, (_, lines)) in due {
            let more = lines.len().saturating_sub(STALE_LISTED);
            let mut html = String::from("I was away. Too old to carry out:");
            for line in lines.iter().take(STALE_LISTED) {
                html.push('\n');
                html.push_str(line);
            }
            if more > 0 {
                html.push_str(&format!("\n… and {more} more"));
            }
            let requester = Requester {
                chat,
                at: now.uptime,
                ..Requester::default()
            };
            ReplyContent::from(html).send(now.moment(), &requester, outbox);
        }
    }

    /// A group has a new id.
    pub fn rename_chat(&mut self, from: i64, to: i64) {
        if let Some((at, mut lines)) = self.waiting.remove(&from) {
            let (_, listed) = self.waiting.entry(to).or_insert((at, Vec::new()));
            listed.append(&mut lines);
        }
    }
}
