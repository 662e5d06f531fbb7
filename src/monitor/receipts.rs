//! What has become of what was sent, and groups that have a new id.

use super::message::Delivery;
use super::outbox::Receipt;
use super::time::Now;
use super::{Level, Monitor};
use std::sync::Arc;

impl Monitor {
    pub(super) fn delivered(&mut self, now: Now, id: u64, delivery: Delivery) {
        for receipt in self.outbox.delivered(id, delivery, now) {
            match receipt {
                Receipt::Told {
                    incident,
                    chat,
                    message_id,
                } => {
                    if let Some(incident) = self.incidents.get_mut(incident) {
                        let earlier = incident.message_in(chat);
                        incident.messages.retain(|(c, _)| *c != chat);
                        incident.messages.push((chat, message_id));
                        let ended = incident.end.is_some().then_some(message_id);
                        let stale = earlier.filter(|m| *m != message_id).into_iter();
                        for message_id in stale.chain(ended) {
                            self.renew_buttons(chat, message_id);
                        }
                    }
                }
                Receipt::Shown {
                    chat,
                    message_id,
                    html,
                } => self.shown.remember(chat, message_id, html),
                Receipt::Offline { chat, message_id } => {
                    self.told_offline.retain(|(c, _)| *c != chat);
                    self.told_offline.push((chat, message_id));
                }
                Receipt::Job {
                    job,
                    chat,
                    message_id,
                } => self.job_message(now, job, chat, message_id),
                Receipt::Migrated { from, to } => self.migrated(now, from, to),
                Receipt::Dropped { chat, reason } => self.log(
                    Level::Warn,
                    format!("a message for chat {chat} was refused and dropped: {reason}"),
                ),
                Receipt::Delayed { reason } => {
                    self.log(Level::Info, format!("a message waits: {reason}"));
                }
                Receipt::AlertsChanged { good: true } => self.saving.sometime(now.moment()),
                Receipt::AlertsChanged { good: false } => self.saving.soon(now.moment()),
            }
        }
    }

    /// The new id counts until the configuration is read again.
    fn migrated(&mut self, now: Now, from: i64, to: i64) {
        self.moved.retain(|(old, _)| *old != from);
        self.moved.push((from, to));
        self.follow_moves();
        for job in &mut self.jobs {
            for listener in job.listeners.iter_mut().filter(|l| l.chat == from) {
                listener.chat = to;
            }
        }
        self.notice(
            now,
            format!("Group {from} became {to}: put the new id into `chats` of sitemon.conf."),
        );
    }

    /// Puts the new ids of groups where the configuration has the old ones.
    pub(super) fn follow_moves(&mut self) {
        for (from, to) in self.moved.clone() {
            self.follow_move(from, to);
        }
    }

    fn follow_move(&mut self, from: i64, to: i64) {
        for chat in self.access.chats.iter_mut().filter(|c| **c == from) {
            *chat = to;
        }
        for watched in &mut self.sites {
            if watched
                .site
                .chats
                .as_ref()
                .is_some_and(|c| c.contains(&from))
            {
                let site = Arc::make_mut(&mut watched.site);
                for chat in site.chats.iter_mut().flatten().filter(|c| **c == from) {
                    *chat = to;
                }
            }
        }
    }
}
