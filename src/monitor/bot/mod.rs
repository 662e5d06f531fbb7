//! The bot: turns an update into a command or callback, and that into a reply.

pub mod added_record;
pub(crate) mod added_sites;
mod callbacks;
pub(crate) mod check_jobs;
pub(crate) mod checks;
pub mod command;
pub(crate) mod commands;
pub(crate) mod moved_chats;
pub mod name_resolution;
pub mod nearest;
pub(crate) mod run_questions;
pub(crate) mod stale_commands;
pub(crate) mod strangers;
pub(crate) mod views;

use crate::monitor::bot::added_record::AddedRecord;
use crate::monitor::bot::added_sites::AddedSites;
use crate::monitor::bot::checks::CheckJobs;
use crate::monitor::bot::run_questions::RunQuestions;
use crate::monitor::bot::stale_commands::StaleCommands;
use crate::monitor::bot::strangers::Strangers;
use crate::monitor::outbox::message::{Button, Requester};
use crate::monitor::outbox::{Outbox, Reply};
use crate::monitor::render::picture::Picture;
use crate::monitor::render::text::pack;
use crate::monitor::site::access::Access;
use crate::monitor::time::{Moment, Now};
use crate::monitor::{Actions, Level};
use std::sync::Arc;

/// Which chats and users may command, and the state of their commands.
#[derive(Debug)]
pub struct Bot {
    access: Access,
    added: AddedSites,
    /// Old and new ids of moved groups whose new id may not be in the configuration yet.
    moved: Vec<(i64, i64)>,
    /// Old ids of groups whose service message has arrived. It is the last update from the old id.
    left: Vec<i64>,
    /// Our own username, without `@`, once it is known.
    username: Option<String>,
    jobs: CheckJobs,
    last_update: Option<i64>,
    stale: StaleCommands,
    strangers: Strangers,
    questions: RunQuestions,
}

impl Bot {
    pub fn new(access: Access, max_jobs: usize) -> Bot {
        Bot {
            access,
            added: AddedSites::default(),
            moved: Vec::new(),
            left: Vec::new(),
            username: None,
            jobs: CheckJobs::new(max_jobs),
            last_update: None,
            stale: StaleCommands::default(),
            strangers: Strangers::default(),
            questions: RunQuestions::default(),
        }
    }

    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Returns the chats that may command and get alerts.
    pub fn chats(&self) -> &[i64] {
        &self.access.chats
    }

    pub fn on_username(&mut self, username: String) {
        self.username = Some(username);
    }

    /// Returns the sites that were added in chats, as they were requested.
    pub fn added(&self) -> &[AddedRecord] {
        self.added.records()
    }

    /// Returns the number of the last update, from which `getUpdates` continues.
    pub fn last_update(&self) -> Option<i64> {
        self.last_update
    }

    pub fn restore_updates(&mut self, last_update: Option<i64>) {
        self.last_update = last_update;
    }

    /// Takes the settings of a configuration that was read again.
    pub fn reload(&mut self, access: Access, max_jobs: usize) {
        self.jobs.reload(max_jobs);
        self.access = access;
    }

    /// Returns whether an update is new, and records it as known. Updates arrive twice after a
    /// restart or a lost response.
    fn is_new(&mut self, update: i64) -> bool {
        let known = |last: i64| update <= last && last - update < 1000;
        let new = !self.last_update.is_some_and(known);
        if new {
            self.last_update = Some(update);
        }
        new
    }

    /// Returns whether the sender of a message or press may command. Logs senders that may not.
    fn may_command(
        &mut self,
        now: Moment,
        chat: i64,
        user: Option<i64>,
        actions: &mut Actions,
    ) -> bool {
        let allowed = self.access.allows(chat, user);
        if !allowed && let Some(text) = self.strangers.on_message(now, chat, user) {
            actions.log(Level::Warn, text);
        }
        allowed
    }

    pub fn next_timeout(&self, now: Moment, outbox: &Outbox) -> Option<Moment> {
        let stale = self.stale.next_timeout();
        let jobs = self.jobs.next_timeout(now, outbox);
        let due = [stale, self.strangers.next_timeout(), jobs];
        due.into_iter().flatten().min()
    }

    pub fn on_timeout(&mut self, now: Now, outbox: &mut Outbox, actions: &mut Actions) {
        self.stale.on_timeout(now, outbox);
        if let Some(text) = self.strangers.on_timeout(now.moment()) {
            actions.log(Level::Warn, text);
        }
        self.jobs.on_timeout(now.moment(), outbox);
    }
}

/// The content of the reply to a command.
#[derive(Debug, Default)]
pub(crate) struct ReplyContent {
    /// Lines of HTML, of any length.
    pub html: String,
    pub buttons: Vec<Vec<Button>>,
    pub picture: Option<Arc<Picture>>,
}

impl ReplyContent {
    /// Queues the reply. A long text becomes several messages, with the buttons under the last one.
    pub fn send(mut self, now: Moment, requester: &Requester, outbox: &mut Outbox) {
        let parts = pack(self.html.lines());
        let last = parts.len().saturating_sub(1);
        for (i, part) in parts.into_iter().enumerate() {
            outbox.push_reply(Reply {
                topic: requester.topic,
                edit: requester.instead.filter(|_| i == 0),
                asked: (i == 0).then_some(requester.at),
                picture: self.picture.take(),
                buttons: if i == last {
                    std::mem::take(&mut self.buttons)
                } else {
                    Vec::new()
                },
                ..Reply::new(requester.chat, part, now)
            });
        }
    }
}

impl From<String> for ReplyContent {
    fn from(html: String) -> ReplyContent {
        ReplyContent {
            html,
            ..ReplyContent::default()
        }
    }
}
