//! Updates in, answers out: who may, and what came too late.

use crate::monitor::bot::command::{self, Command};
use crate::monitor::outbox::Reply;
use crate::monitor::outbox::message::{Asker, Button, CONSOLE, Content, Incoming, Update};
use crate::monitor::render::picture::Picture;
use crate::monitor::render::stats::{self, Tally, Vitals};
use crate::monitor::render::text::{escape, lasting, pack};
use crate::monitor::time::Now;
use crate::monitor::{Level, Monitor};
use std::sync::Arc;
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
    waited > Duration::from_secs(STALE.unsigned_abs()) && now.wall.saturating_sub(date) > STALE
}

/// What a command is answered with.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// Lines of HTML, of any length.
    pub html: String,
    pub buttons: Vec<Vec<Button>>,
    pub picture: Option<Arc<Picture>>,
}

impl From<String> for Answer {
    fn from(html: String) -> Answer {
        Answer {
            html,
            ..Answer::default()
        }
    }
}

impl Monitor {
    pub(crate) fn update(&mut self, now: Now, update: Update) {
        let terminal = match &update.content {
            Some(Content::Message(message)) => message.chat == CONSOLE,
            Some(Content::Press(press)) => press.chat == CONSOLE,
            Some(Content::Moved { .. }) | None => false,
        };
        if !terminal {
            // Delivered twice, after a restart or an answer that was lost: once is enough.
            if self
                .last_update
                .is_some_and(|last| update.id <= last && last - update.id < 1000)
            {
                return;
            }
            self.last_update = Some(update.id);
            self.saving.later(now.moment());
        }
        let message = match update.content {
            Some(Content::Message(message)) => message,
            Some(Content::Press(press)) => return self.pressed(now, &press),
            Some(Content::Moved { from, to }) => return self.chat_moved(now, from, to),
            None => return,
        };
        if !self.access.allows(message.chat, message.user) {
            self.note_stranger(now, message.chat, message.user);
            return;
        }
        let chat = message.chat;
        let known = |name: &str| self.is_name(chat, name);
        let bot = self.bot.as_deref();
        let Some(command) = command::parse(&message.text, bot, terminal, &known) else {
            return;
        };
        if command == Command::NotOurs && chat < 0 {
            // In a group it may be meant for another bot.
            return;
        }
        // The terminal dates by our own clock, which may not be set.
        if !terminal && is_stale(now, message.waited, message.date) {
            self.note_stale(now, &message);
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
        let visible = self.visible(asker.chat);
        let all = visible.len() == self.sites.len();
        let tally = Tally {
            sites: visible.len(),
            checks: match all {
                true => self.history.checks(),
                false => visible.iter().map(|&at| self.sites[at].checks).sum(),
            },
            late: self.schedule.round_counts(),
            internal_errors: self.internal_errors,
            excused: self.uplink.excused_checks(),
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

    /// One message for each chat that lists what was not carried out.
    pub(crate) fn tell_stale(&mut self, now: Now) {
        let due: Vec<i64> = self
            .stale
            .iter()
            .filter(|(_, (at, _))| *at <= now.moment())
            .map(|(chat, _)| *chat)
            .collect();
        for chat in due {
            let Some((_, lines)) = self.stale.remove(&chat) else {
                continue;
            };
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
            self.answer(now, &asker, html.into());
        }
    }

    fn note_stale(&mut self, now: Now, message: &Incoming) {
        let age = u64::try_from(now.wall - message.date).unwrap_or(0);
        let text: String = message.text.chars().take(100).collect();
        let line = format!(
            "{} · {} ago",
            escape(&text.replace('\n', " ")),
            lasting(Duration::from_secs(age))
        );
        let due = now.moment() + STALE_PAUSE;
        let (at, lines) = self
            .stale
            .entry(message.chat)
            .or_insert_with(|| (due, Vec::new()));
        *at = due;
        // What is beyond the list is only counted.
        lines.push(if lines.len() < STALE_LISTED {
            line
        } else {
            String::new()
        });
    }

    /// Long answers become several messages; the buttons are under the last one.
    pub(crate) fn answer(&mut self, now: Now, asker: &Asker, answer: Answer) {
        let mut buttons = answer.buttons;
        let parts = pack(answer.html.lines());
        let last = parts.len().saturating_sub(1);
        for (i, part) in parts.into_iter().enumerate() {
            self.outbox.push_reply(Reply {
                topic: asker.topic,
                edit: asker.instead.filter(|_| i == 0),
                asked: (i == 0).then_some(asker.at),
                picture: answer.picture.clone().filter(|_| i == 0),
                buttons: if i == last {
                    std::mem::take(&mut buttons)
                } else {
                    Vec::new()
                },
                ..Reply::new(asker.chat, part, now.moment())
            });
        }
    }

    pub(crate) fn note_stranger(&mut self, now: Now, chat: i64, user: Option<i64>) {
        if let Some(text) = self.strangers.on_message(now.moment(), chat, user) {
            self.log(Level::Warn, text);
        }
    }

    pub(crate) fn log_strangers(&mut self, now: Now) {
        if let Some(text) = self.strangers.on_timeout(now.moment()) {
            self.log(Level::Warn, text);
        }
    }
}
