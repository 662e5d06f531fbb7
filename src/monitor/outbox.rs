//! What is still to be sent: alerts that must not be lost, answers that must not wait.
//!
//! An alert leaves the outbox when Telegram said `ok` and never before; the outbox is part of the
//! snapshot. One alert message and one answer are under way for a chat at most, so order is kept.

use super::alert::{Alert, News, compose, first_message};
use super::backoff::Wait;
use super::hold::{Unsettled, hold_until};
use super::message::{Delivery, Message};
use super::time::{Jitter, Moment, Now};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

/// Alerts waiting at most; the oldest half is then merged into one summary.
const MAX_ALERTS: usize = 1000;
/// Answers waiting for one chat at most: somebody leans on a key.
const MAX_REPLIES: usize = 100;
/// An answer that could not be sent for so long answers nothing any more.
const REPLY_LIFE: Duration = Duration::from_secs(300);

/// An answer to a command, or an edit of one.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub chat: i64,
    pub html: String,
    /// The message of ours whose text this replaces.
    pub edit: Option<i64>,
    /// When the command came in, as uptime: for the answer times in `/stats`.
    pub asked: Option<Duration>,
    /// The `/check` command whose message this is.
    pub job: Option<u64>,
    pub queued: Moment,
}

/// A message to be sent now.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// To be given back with the [`Delivery`].
    pub id: u64,
    pub message: Message,
    /// An alert and not an answer: it must not take the last free connection.
    pub alert: bool,
    pub asked: Option<Duration>,
}

/// What a delivery means to the rest of the monitor.
#[derive(Clone, Debug, PartialEq)]
pub enum Receipt {
    /// The message that told of an incident.
    Told {
        incident: u32,
        chat: i64,
        message_id: i64,
    },
    /// The message that shows a `/check`; `None` when it never arrived.
    Job {
        job: u64,
        chat: i64,
        message_id: Option<i64>,
    },
    /// The message that told of an offline period, alone.
    Offline {
        chat: i64,
        message_id: i64,
    },
    /// A group has a new id.
    Migrated {
        from: i64,
        to: i64,
    },
    /// Worth a line in the log.
    Dropped {
        chat: i64,
        reason: String,
    },
    Delayed {
        reason: String,
    },
    /// An alert left the outbox: the snapshot is out of date.
    AlertsChanged,
}

#[derive(Debug)]
pub struct Outbox {
    alerts: VecDeque<Alert>,
    replies: VecDeque<Reply>,
    lanes: BTreeMap<i64, Lane>,
    everywhere: Wait,
    flights: HashMap<u64, Flight>,
    next_id: u64,
    jitter: Jitter,
}

/// What holds one chat up.
#[derive(Debug, Default)]
struct Lane {
    wait: Wait,
    alert_away: bool,
    reply_away: bool,
}

#[derive(Debug)]
struct Flight {
    chat: i64,
    load: Load,
}

#[derive(Debug)]
enum Load {
    Alerts {
        ids: Vec<u64>,
        incidents: Vec<u32>,
        /// It tells of an offline period and of nothing else.
        offline: bool,
    },
    Reply(Reply),
}

impl Outbox {
    pub fn new(seed: u64) -> Outbox {
        Outbox {
            alerts: VecDeque::new(),
            replies: VecDeque::new(),
            lanes: BTreeMap::new(),
            everywhere: Wait::default(),
            flights: HashMap::new(),
            next_id: 1,
            jitter: Jitter::new(seed),
        }
    }

    /// Alerts of an earlier run; they are on disk already.
    pub fn restore(&mut self, alerts: Vec<Alert>) {
        for mut alert in alerts {
            // Ids go on from where they were: the journal knows alerts by them.
            if alert.id < self.next_id {
                alert.id = self.take_id();
            } else {
                self.next_id = alert.id + 1;
            }
            alert.stored = true;
            self.alerts.push_back(alert);
        }
    }

    pub fn push_alert(
        &mut self,
        news: News,
        site: &str,
        incident: Option<u32>,
        chats: Vec<i64>,
        now: Moment,
    ) {
        if chats.is_empty() {
            return;
        }
        let id = self.take_id();
        self.alerts.push_back(Alert {
            id,
            news,
            site: site.to_owned(),
            incident,
            at: now,
            chats,
            edits: Vec::new(),
            stored: false,
        });
        if self.alerts.len() > MAX_ALERTS {
            self.summarise(now);
        }
    }

    /// An offline period. One that goes on with the last one takes its place: in the alert that
    /// still waits, or in the message that told of it (`told`: chat and message).
    pub fn push_offline(
        &mut self,
        news: News,
        mut chats: Vec<i64>,
        told: &[(i64, i64)],
        goes_on: bool,
        now: Moment,
    ) {
        if goes_on {
            let away: Vec<u64> = self.ids_under_way();
            for alert in &mut self.alerts {
                if matches!(alert.news, News::Offline(_)) && !away.contains(&alert.id) {
                    alert.news = news.clone();
                    alert.at = now;
                    chats.retain(|c| !alert.chats.contains(c));
                }
            }
        }
        let edits = told.iter().filter(|(c, _)| chats.contains(c)).copied();
        let edits: Vec<(i64, i64)> = if goes_on { edits.collect() } else { Vec::new() };
        self.push_alert(news, "", None, chats, now);
        if let Some(alert) = self.alerts.back_mut().filter(|_| !edits.is_empty()) {
            alert.edits = edits;
        }
    }

    fn ids_under_way(&self) -> Vec<u64> {
        let loads = self.flights.values().map(|f| &f.load);
        let ids = loads.filter_map(|load| match load {
            Load::Alerts { ids, .. } => Some(ids.iter().copied()),
            Load::Reply(_) => None,
        });
        ids.flatten().collect()
    }

    /// `/check` edits its message over and over: only the newest text matters.
    pub fn push_reply(&mut self, reply: Reply) {
        if reply.edit.is_some()
            && let Some(waiting) = self
                .replies
                .iter_mut()
                .find(|r| r.chat == reply.chat && r.edit == reply.edit)
        {
            waiting.html = reply.html;
            return;
        }
        if self.replies.iter().filter(|r| r.chat == reply.chat).count() >= MAX_REPLIES
            && let Some(oldest) = self.replies.iter().position(|r| r.chat == reply.chat)
        {
            self.replies.remove(oldest);
        }
        self.replies.push_back(reply);
    }

    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.iter()
    }

    /// Messages that were handed out and have not been reported on.
    pub fn under_way(&self) -> usize {
        self.flights.len()
    }

    pub fn waiting_alerts(&self) -> usize {
        self.alerts.len()
    }

    pub fn last_alert_id(&self) -> u64 {
        self.next_id - 1
    }

    /// Every alert up to `id` is on disk, or cannot be put there: it may go.
    pub fn mark_stored(&mut self, id: u64) {
        for alert in self.alerts.iter_mut().filter(|a| a.id <= id) {
            alert.stored = true;
        }
    }

    /// Chats that are configured no longer get nothing.
    pub fn keep_chats(&mut self, chats: &[i64]) {
        for alert in &mut self.alerts {
            alert.chats.retain(|c| chats.contains(c));
        }
        self.alerts.retain(|a| !a.chats.is_empty());
        self.replies.retain(|r| chats.contains(&r.chat));
    }

    /// The next message that may go out now: answers first. `message_of` finds the message that
    /// told a chat of an incident.
    pub fn next_send(
        &mut self,
        now: Now,
        unsettled: Unsettled,
        message_of: &dyn Fn(u32, i64) -> Option<i64>,
    ) -> Option<Outgoing> {
        if self.everywhere.holds(now.moment()) {
            return None;
        }
        self.next_reply(now)
            .or_else(|| self.next_alert(now, unsettled, message_of))
    }

    /// When to ask [`Outbox::next_send`] again if nothing else happens.
    pub fn next_due(&self, now: Now, unsettled: Unsettled) -> Option<Moment> {
        let moment = now.moment();
        if self.alerts.is_empty() && self.replies.is_empty() {
            return None;
        }
        if self.everywhere.holds(moment) {
            return self.everywhere.until;
        }
        let chats = self.chats_waiting();
        chats
            .iter()
            .filter_map(|chat| {
                let lane = self.lanes.get(chat);
                if lane.is_some_and(|l| l.wait.holds(moment)) {
                    return lane.and_then(|l| l.wait.until);
                }
                let ready = self.alerts_for(*chat);
                if ready.is_empty() || lane.is_some_and(|l| l.alert_away) {
                    return None;
                }
                hold_until(&ready, self.unwritten(*chat), unsettled).filter(|until| *until > moment)
            })
            .min()
    }

    /// Takes the result of one sending.
    pub fn delivered(&mut self, id: u64, delivery: Delivery, now: Now) -> Vec<Receipt> {
        let Some(Flight { chat, load }) = self.flights.remove(&id) else {
            return Vec::new();
        };
        let lane = self.lanes.entry(chat).or_default();
        match load {
            Load::Alerts { .. } => lane.alert_away = false,
            Load::Reply(_) => lane.reply_away = false,
        }
        match delivery {
            Delivery::Sent { message_id } => {
                lane.wait = Wait::default();
                self.everywhere = Wait::default();
                self.arrived(chat, load, message_id)
            }
            Delivery::Refused { reason } => {
                let mut receipts = vec![Receipt::Dropped { chat, reason }];
                match load {
                    Load::Alerts { ids, .. } => {
                        self.strike(chat, &ids);
                        receipts.push(Receipt::AlertsChanged);
                    }
                    Load::Reply(reply) => receipts.extend(job_receipt(&reply, None)),
                }
                receipts
            }
            Delivery::Migrated { to } => {
                self.rename_chat(chat, to);
                if let Load::Reply(mut reply) = load {
                    reply.chat = to;
                    self.replies.push_front(reply);
                }
                vec![Receipt::Migrated { from: chat, to }, Receipt::AlertsChanged]
            }
            Delivery::Later {
                after,
                everywhere,
                reason,
            } => {
                let wait = if everywhere {
                    &mut self.everywhere
                } else {
                    &mut lane.wait
                };
                wait.fail(now.moment(), after, &mut self.jitter);
                if let Load::Reply(reply) = load {
                    self.replies.push_front(reply);
                }
                vec![Receipt::Delayed { reason }]
            }
        }
    }

    fn next_reply(&mut self, now: Now) -> Option<Outgoing> {
        let moment = now.moment();
        self.replies.retain(|r| moment.since(r.queued) < REPLY_LIFE);
        let place = self.replies.iter().position(|r| {
            self.lanes
                .get(&r.chat)
                .is_none_or(|l| !l.reply_away && !l.wait.holds(moment))
        })?;
        let reply = self.replies.remove(place)?;
        self.lanes.entry(reply.chat).or_default().reply_away = true;
        let message = Message {
            chat: reply.chat,
            html: reply.html.clone(),
            silent: false,
            reply_to: None,
            edit: reply.edit,
        };
        let asked = reply.asked;
        Some(self.launch(message, asked, Load::Reply(reply)))
    }

    fn next_alert(
        &mut self,
        now: Now,
        unsettled: Unsettled,
        message_of: &dyn Fn(u32, i64) -> Option<i64>,
    ) -> Option<Outgoing> {
        let moment = now.moment();
        for chat in self.chats_waiting() {
            let lane = self.lanes.entry(chat).or_default();
            if lane.alert_away || lane.wait.holds(moment) {
                continue;
            }
            let ready = self.alerts_for(chat);
            if hold_until(&ready, self.unwritten(chat), unsettled)
                .is_none_or(|until| until > moment)
            {
                continue;
            }
            let edit = ready.iter().find_map(|a| {
                let (_, message) = a.edits.iter().find(|(c, _)| *c == chat)?;
                Some((a.id, *message))
            });
            let ready: Vec<&Alert> = match edit {
                Some((id, _)) => ready.into_iter().filter(|a| a.id == id).collect(),
                None => ready,
            };
            let composed = compose(&ready, now);
            let (html, ids) = first_message(&composed, &ready);
            let covered: Vec<&&Alert> = ready.iter().filter(|a| ids.contains(&a.id)).collect();
            let told = |a: &&&Alert| {
                matches!(
                    a.news,
                    News::Down { .. }
                        | News::StillDown { .. }
                        | News::Flapping { .. }
                        | News::Steady { .. }
                )
            };
            let incidents = covered.iter().copied().filter(told);
            let incidents = incidents.filter_map(|a| a.incident).collect();
            let offline = covered.iter().all(|a| matches!(a.news, News::Offline(_)));
            let message = Message {
                chat,
                html,
                silent: composed.silent,
                reply_to: composed.recovery_of.and_then(|n| message_of(n, chat)),
                edit: edit.map(|(_, message)| message),
            };
            self.lanes.entry(chat).or_default().alert_away = true;
            let load = Load::Alerts {
                ids,
                incidents,
                offline,
            };
            return Some(self.launch(message, None, load));
        }
        None
    }

    fn launch(&mut self, message: Message, asked: Option<Duration>, load: Load) -> Outgoing {
        let id = self.take_id();
        let alert = matches!(load, Load::Alerts { .. });
        let chat = message.chat;
        self.flights.insert(id, Flight { chat, load });
        Outgoing {
            id,
            message,
            alert,
            asked,
        }
    }

    fn arrived(&mut self, chat: i64, load: Load, message_id: i64) -> Vec<Receipt> {
        match load {
            Load::Alerts {
                ids,
                incidents,
                offline,
            } => {
                self.strike(chat, &ids);
                if offline && message_id != 0 {
                    return vec![
                        Receipt::Offline { chat, message_id },
                        Receipt::AlertsChanged,
                    ];
                }
                // Telegram has it, but we could not read under which id.
                let known = incidents.into_iter().filter(|_| message_id != 0);
                let told = known.map(|incident| Receipt::Told {
                    incident,
                    chat,
                    message_id,
                });
                told.chain([Receipt::AlertsChanged]).collect()
            }
            Load::Reply(reply) => job_receipt(&reply, Some(message_id)).into_iter().collect(),
        }
    }

    /// The alerts need not reach this chat any more.
    fn strike(&mut self, chat: i64, ids: &[u64]) {
        for alert in self.alerts.iter_mut().filter(|a| ids.contains(&a.id)) {
            alert.chats.retain(|c| *c != chat);
        }
        self.alerts.retain(|a| !a.chats.is_empty());
    }

    fn rename_chat(&mut self, from: i64, to: i64) {
        for alert in &mut self.alerts {
            let had_to = alert.chats.contains(&to);
            alert.chats.retain(|c| *c != from || !had_to);
            for chat in alert.chats.iter_mut().filter(|c| **c == from) {
                *chat = to;
            }
        }
        for reply in self.replies.iter_mut().filter(|r| r.chat == from) {
            reply.chat = to;
        }
        self.lanes.remove(&from);
    }

    fn chats_waiting(&self) -> Vec<i64> {
        let mut chats: Vec<i64> = self
            .alerts
            .iter()
            .flat_map(|a| a.chats.iter().copied())
            .chain(self.replies.iter().map(|r| r.chat))
            .collect();
        chats.sort_unstable();
        chats.dedup();
        chats
    }

    fn alerts_for(&self, chat: i64) -> Vec<&Alert> {
        self.alerts
            .iter()
            .filter(|a| a.stored && a.chats.contains(&chat))
            .collect()
    }

    /// When the newest alert for a chat came that is still being written to disk.
    fn unwritten(&self, chat: i64) -> Option<Moment> {
        let waiting = self.alerts.iter().filter(|a| !a.stored);
        let mine = waiting.filter(|a| a.chats.contains(&chat));
        mine.map(|a| a.at).max()
    }

    /// Bounded, and nothing is dropped in silence: the oldest half becomes one line that counts.
    fn summarise(&mut self, now: Moment) {
        let old: Vec<Alert> = self.alerts.drain(..MAX_ALERTS / 2).collect();
        let mut downs: BTreeMap<&str, usize> = BTreeMap::new();
        let mut chats: Vec<i64> = Vec::new();
        for alert in &old {
            if matches!(alert.news, News::Down { .. }) {
                *downs.entry(&alert.site).or_default() += 1;
            }
            chats.extend(&alert.chats);
        }
        chats.sort_unstable();
        chats.dedup();
        let mut text = format!("{} older alerts were merged.", old.len());
        let mut most: Vec<_> = downs.into_iter().collect();
        most.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        for (site, n) in most.iter().take(20) {
            text.push_str(&format!(" {site} went down {n} times."));
        }
        let id = old.first().map_or(0, |a| a.id);
        self.alerts.push_front(Alert {
            id,
            news: News::Notice { text },
            site: String::new(),
            incident: None,
            at: now,
            chats,
            edits: Vec::new(),
            stored: false,
        });
    }

    fn take_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }
}

fn job_receipt(reply: &Reply, message_id: Option<i64>) -> Option<Receipt> {
    reply.job.map(|job| Receipt::Job {
        job,
        chat: reply.chat,
        message_id,
    })
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
