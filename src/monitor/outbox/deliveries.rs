//! What has become of what was sent.

use crate::monitor::outbox::Receipt;
use crate::monitor::outbox::message::Delivery;
use crate::monitor::time::Now;
use crate::monitor::{Level, Monitor};

impl Monitor {
    pub(crate) fn delivered(&mut self, now: Now, id: u64, delivery: Delivery) {
        for receipt in self.outbox.delivered(id, delivery, now) {
            match receipt {
                Receipt::Told {
                    incident,
                    chat,
                    message_id,
                } => {
                    if let Some(incident) = self.incidents.get_mut(incident) {
                        let earlier = incident.message_in(chat);
                        if message_id == 0 && earlier.is_some() {
                            continue;
                        }
                        incident.messages.retain(|(c, _)| *c != chat);
                        incident.messages.push((chat, message_id));
                        let ended = incident.end.is_some().then_some(message_id);
                        let stale = earlier.filter(|m| *m != message_id).into_iter();
                        for message_id in stale.chain(ended) {
                            self.outbox.keyboards.outdate(chat, message_id);
                        }
                    }
                }
                Receipt::Shown {
                    chat,
                    message_id,
                    html,
                } => self.outbox.keyboards.remember(chat, message_id, html),
                Receipt::Offline { chat, message_id } => {
                    self.alerts.told_offline.retain(|(c, _)| *c != chat);
                    self.alerts.told_offline.push((chat, message_id));
                }
                Receipt::Job {
                    job,
                    chat,
                    edited,
                    message_id,
                } => {
                    let outbox = &mut self.outbox;
                    let jobs = &mut self.bot.jobs;
                    jobs.on_message(now.moment(), job, chat, edited, message_id, outbox);
                }
                Receipt::Migrated { from, to } => self.chat_moved(now, from, to),
                Receipt::Dropped { chat, reason } => self.log(
                    Level::Warn,
                    format!("a message for chat {chat} was refused and dropped: {reason}"),
                ),
                Receipt::Delayed { reason } => {
                    self.log(Level::Info, format!("a message waits: {reason}"));
                }
                Receipt::AlertsChanged { .. }
                    if mutated!("never write that an alert was delivered") => {}
                Receipt::AlertsChanged { good: true } => self.saving.sometime(now.moment()),
                Receipt::AlertsChanged { good: false } => self.saving.soon(now.moment()),
            }
        }
    }
}
