//! Updates: which are new, allowed and in time.

use crate::monitor::Monitor;
use crate::monitor::bot::ReplyContent;
use crate::monitor::bot::command::{self, Command};
use crate::monitor::outbox::Outbox;
use crate::monitor::outbox::message::{Asker, CONSOLE, Content, Incoming, Update};
use crate::monitor::render::stats::{self, Tally, Vitals};
use crate::monitor::render::text::{escape, lasting};
use crate::monitor::time::{Moment, Now};
use std::collections::BTreeMap;
use std::time::Duration;

/// A command that is older than this when it arrives is not carried out (SPEC 6): we were off.
const STALE: i64 = 300;
/// Stale commands come in one batch of updates: this long is waited for the rest of them.
const STALE_PAUSE: Duration = Duration::from_millis(500);
/// Stale commands that are listed at most.
const STALE_LISTED: usize = 20;

/// Whether something that came from a chat is too old to be carried out: we were off, or could not
/// reach it. What a poll was parked for is known to be fresh, whatever the clocks say; only what may
/// have `waited` for long is compared by its `date`, in Unix seconds.
pub(crate) fn is_stale(now: Now, waited: Duration, date: i64) -> bool {
    let long = waited > Duration::from_secs(STALE.unsigned_abs())
        || mutated!("judge a command's age by the clock alone");
    long && now.wall.saturating_sub(date) > STALE
}

impl Monitor {
    pub(crate) fn update(&mut self, now: Now, update: Update) {
        let terminal = match &update.content {
            Some(Content::Message(message)) => message.chat == CONSOLE,
            Some(Content::Press(press)) => press.chat == CONSOLE,
            Some(Content::Moved { .. }) | None => false,
        };
        if !terminal {
            if !self.bot.is_new(update.id) {
                return;
            }
            self.saving.later(now.moment());
        }
        let message = match update.content {
            Some(Content::Message(message)) => message,
            Some(Content::Press(press)) => return self.pressed(now, &press),
            Some(Content::Moved { from, to }) => return self.chat_moved(now, from, to),
            None => return,
        };
        if !self.bot.access.allows(message.chat, message.user) {
            let bot = &mut self.bot;
            bot.on_stranger(now.moment(), message.chat, message.user, &mut self.actions);
            return;
        }
        let chat = message.chat;
        let known = |name: &str| self.visible_to(chat).is_name(name);
        let bot = self.bot.username.as_deref();
        let Some(command) = command::parse(&message.text, bot, terminal, &known) else {
            return;
        };
        if command == Command::NotOurs && chat < 0 {
            // In a group it may be meant for another bot.
            return;
        }
        // The terminal dates by our own clock, which may not be set.
        if !terminal && is_stale(now, message.waited, message.date) {
            self.bot.stale.add(now, &message);
            return;
        }
        let asker = Asker {
            chat,
            topic: message.topic,
            user: message.user,
            name: message.name,
            pressed: false,
            instead: None,
            at: now.uptime,
        };
        if let Some(answer) = self.carry_out(now, &asker, &command) {
            self.answer(now, &asker, answer);
        }
    }

    pub(crate) fn answer_stats(&mut self, now: Now, asker: &Asker, vitals: &Vitals) {
        let visible = self.sites.visible(asker.chat);
        let all = visible.len() == self.sites.len();
        let tally = Tally {
            sites: visible.len(),
            checks: match all {
                true => self.checks,
                false => visible.iter().map(|&at| self.sites[at].checks).sum(),
            },
            late: self.rounds.counts(),
            internal_errors: self.internal_errors,
            excused: self.excused,
            alerts_waiting: match all {
                true => self.outbox.waiting_alerts(),
                false => {
                    let waiting = self.outbox.alerts();
                    waiting.filter(|a| a.chats.contains(&asker.chat)).count()
                }
            },
        };
        self.answer(now, asker, stats::render(vitals, tally).into());
    }
}

/// Commands that came too late to be carried out: the chat is told once which.
#[derive(Debug, Default)]
pub(crate) struct StaleCommands {
    /// By chat: when to tell, and the lines.
    waiting: BTreeMap<i64, (Moment, Vec<String>)>,
}

impl StaleCommands {
    fn add(&mut self, now: Now, message: &Incoming) {
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
        // What is beyond the list is only counted.
        lines.push(if lines.len() < STALE_LISTED {
            line
        } else {
            String::new()
        });
    }

    pub fn next_timeout(&self) -> Option<Moment> {
        self.waiting.values().map(|(at, _)| *at).min()
    }

    /// One message for each chat that lists what was not carried out.
    pub fn on_timeout(&mut self, now: Now, outbox: &mut Outbox) {
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
            let asker = Asker {
                chat,
                at: now.uptime,
                ..Asker::default()
            };
            ReplyContent::from(html).send(now.moment(), &asker, outbox);
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
