//! What is still to be sent: alerts that must not be lost, answers that must not wait.
//!
//! An alert leaves the outbox when Telegram said `ok` and never before; the outbox is part of the
//! snapshot. One alert message, one answer and one edit are under way for a chat at most, so order is
//! kept.

pub(crate) mod backoff;
pub(crate) mod deliveries;
pub(crate) mod keyboards;
pub mod message;
pub(crate) mod moved_chats;
pub(crate) mod queue;
pub(crate) mod send_context;
pub(crate) mod sending;

use crate::monitor::alert::{Alert, Notification};
use crate::monitor::outbox::backoff::Wait;
use crate::monitor::outbox::keyboards::Keyboards;
use crate::monitor::outbox::message::Delivery;
use crate::monitor::outbox::moved_chats::rename;
pub use crate::monitor::outbox::queue::{Outgoing, Receipt, Reply};
use crate::monitor::outbox::send_context::pause;
use crate::monitor::render::text::count;
use crate::monitor::time::{Jitter, Moment, Now};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

/// Alerts waiting at most; the oldest half is then merged into one summary.
const MAX_ALERTS: usize = 1000;
/// Answers waiting for one chat at most: somebody leans on a key.
const MAX_REPLIES: usize = 100;
/// An answer that could not be sent for so long answers nothing any more.
pub(crate) const REPLY_LIFE: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub struct Outbox {
    pub(crate) alerts: VecDeque<Alert>,
    pub(crate) replies: VecDeque<Reply>,
    pub(crate) lanes: BTreeMap<i64, Lane>,
    pub(crate) everywhere: Wait,
    pub(crate) flights: HashMap<u64, Flight>,
    next_id: u64,
    jitter: Jitter,
    pub(in crate::monitor) keyboards: Keyboards,
}

/// What holds one chat up.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    pub(crate) wait: Wait,
    pub(crate) alert_away: bool,
    /// An answer, a new message.
    pub(crate) reply_away: bool,
    /// A change of a message; no answer waits for it.
    pub(crate) edit_away: bool,
    /// When the last message went out.
    pub(crate) last: Option<Moment>,
}

impl Lane {
    /// One of its kind is under way.
    pub(crate) fn busy_with(&self, reply: &Reply) -> bool {
        if reply.edit.is_some() {
            self.edit_away
        } else {
            self.reply_away
        }
    }
}

#[derive(Debug)]
pub(crate) struct Flight {
    /// The chat by the id that it has now.
    pub(crate) chat: i64,
    /// The id that it had when this was sent.
    pub(crate) sent_to: i64,
    pub(crate) load: Load,
}

#[derive(Debug)]
pub(crate) enum Load {
    Alerts {
        ids: Vec<u64>,
        incidents: Vec<u32>,
        /// Its text, if it has buttons.
        html: Option<String>,
        /// It tells of an offline period and of nothing else.
        offline: bool,
    },
    Reply(Reply),
}

/// Of each kind one message is in flight for a chat at most.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Alert,
    Edit,
    Reply,
}

impl Load {
    fn kind(&self) -> Kind {
        match self {
            Load::Alerts { .. } => Kind::Alert,
            Load::Reply(reply) if reply.edit.is_some() => Kind::Edit,
            Load::Reply(_) => Kind::Reply,
        }
    }
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
            keyboards: Keyboards::default(),
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
        news: Notification,
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
            stored: mutated!("send an alert before it is on disk"),
        });
        if self.alerts.len() > MAX_ALERTS {
            self.summarise(now);
        }
    }

    /// Three waiting alerts or more of a site whose alerts must wait for a write become one, which
    /// says how it is now: what waits stays bounded, however often it changes. The incidents that
    /// are then not told by themselves are returned.
    pub fn condense(&mut self, site: &str) -> Vec<u32> {
        let away = self.ids_under_way();
        let Some(newest) = self.alerts.back().filter(|a| a.site == site).cloned() else {
            return Vec::new();
        };
        let Some(cause) = newest.news.state_now().map(|c| c.map(str::to_owned)) else {
            return Vec::new();
        };
        let alike = |a: &Alert| {
            a.site == site
                && a.chats == newest.chats
                && a.news.state_now().is_some()
                && !away.contains(&a.id)
        };
        let waiting = self.alerts.iter().filter(|a| alike(a));
        if waiting.clone().count() < 3 {
            return Vec::new();
        }
        let incidents: Vec<u32> = waiting.clone().filter_map(|a| a.incident).collect();
        let times = waiting.map(|a| a.news.changes()).sum();
        let news = match newest.news {
            // They say themselves that it came and went, and what follows.
            Notification::Flapping { .. } | Notification::Steady { .. } => newest.news.clone(),
            _ => Notification::Changes {
                times,
                cause: cause.clone(),
            },
        };
        self.alerts.retain(|a| !alike(a));
        let incident = newest.incident.filter(|_| cause.is_some());
        self.alerts.push_back(Alert {
            news,
            incident,
            ..newest
        });
        incidents
            .into_iter()
            .filter(|n| Some(*n) != incident)
            .collect()
    }

    /// An offline period. One that goes on with the last one takes its place: in the alert that
    /// still waits, or in the message that told of it (`told`: chat and message).
    pub fn push_offline(
        &mut self,
        news: Notification,
        mut chats: Vec<i64>,
        told: &[(i64, i64)],
        goes_on: bool,
        now: Moment,
    ) {
        if let Notification::Offline(period) = &news
            && goes_on
        {
            let away: Vec<u64> = self.ids_under_way();
            // One that began at another time is another story.
            let same = |other: &Notification| matches!(other, Notification::Offline(p) if p.from == period.from);
            for alert in &mut self.alerts {
                if same(&alert.news) && !away.contains(&alert.id) {
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
            waiting.picture = reply.picture;
            waiting.buttons = reply.buttons;
            waiting.passing = reply.passing;
            return;
        }
        if self.replies.iter().filter(|r| r.chat == reply.chat).count() >= MAX_REPLIES
            && let Some(oldest) = self.replies.iter().position(|r| r.chat == reply.chat)
        {
            self.replies.remove(oldest);
        }
        self.replies.push_back(reply);
    }

    /// From when on something that is not urgent may go to the chat; `None` while answers wait.
    pub fn calm_at(&self, chat: i64) -> Option<Moment> {
        if self.replies.iter().any(|r| r.chat == chat) {
            return None;
        }
        let lane = self.lanes.get(&chat);
        let after = lane.and_then(|l| l.last).map(|last| last + pause(chat));
        Some(after.unwrap_or(Moment(0)))
    }

    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.iter()
    }

    /// How long an outage took has become known better.
    pub fn relength(&mut self, length: impl Fn(u32) -> Option<Duration>) {
        for alert in &mut self.alerts {
            if let (Notification::Up { lasted }, Some(n)) = (&mut alert.news, alert.incident)
                && let Some(known) = length(n)
            {
                *lasted = known;
            }
        }
    }

    /// The past was elsewhere than was thought.
    pub fn redate(&mut self, redate: impl Fn(&mut Moment)) {
        self.alerts
            .iter_mut()
            .for_each(|alert| redate(&mut alert.at));
    }

    /// Offline periods that were to be told after `since`: see [`crate::monitor::uplink::Period::redate`].
    pub fn redate_periods(&mut self, since: Moment, floor: i64, off: i64) {
        for alert in self.alerts.iter_mut().filter(|a| a.at > since) {
            if let Notification::Offline(period) = &mut alert.news {
                period.redate(floor, off);
            }
        }
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

    /// Chats that are configured no longer get nothing, and nothing of a site that they may no longer
    /// see: `keep` takes a site's name, empty for the agent itself, and a chat.
    pub fn keep_chats(&mut self, keep: &dyn Fn(&str, i64) -> bool) {
        for alert in &mut self.alerts {
            let site = &alert.site;
            alert.chats.retain(|&chat| keep(site, chat));
        }
        self.alerts.retain(|a| !a.chats.is_empty());
        self.replies.retain(|r| keep("", r.chat));
    }

    /// Takes the result of one sending.
    pub fn delivered(&mut self, id: u64, delivery: Delivery, now: Now) -> Vec<Receipt> {
        let Some(Flight {
            chat,
            sent_to,
            load,
        }) = self.flights.remove(&id)
        else {
            return Vec::new();
        };
        // A group that moved may have two of a kind in flight: one to each id.
        let kind = load.kind();
        let mut others = self.flights.values().filter(|f| f.chat == chat);
        let away = others.any(|f| f.load.kind() == kind);
        let lane = self.lanes.entry(chat).or_default();
        match kind {
            Kind::Alert => lane.alert_away = away,
            Kind::Edit => lane.edit_away = away,
            Kind::Reply => lane.reply_away = away,
        }
        match delivery {
            Delivery::Sent { message_id } => {
                lane.wait = Wait::default();
                self.everywhere = Wait::default();
                // In a chat that has moved meanwhile it has another id.
                let message_id = if chat == sent_to { message_id } else { 0 };
                self.arrived(chat, load, message_id)
            }
            Delivery::Refused { reason } => {
                let mut receipts = vec![Receipt::Dropped { chat, reason }];
                match load {
                    Load::Alerts { ids, .. } => {
                        let good = self.strike(chat, &ids);
                        receipts.push(Receipt::AlertsChanged { good });
                    }
                    Load::Reply(reply) => receipts.extend(job_receipt(&reply, chat, None)),
                }
                receipts
            }
            Delivery::Migrated { to } => {
                if mutated!("drop what a group that moved was to be told")
                    && let Load::Alerts { ids, .. } = &load
                {
                    self.strike(chat, ids);
                }
                if let Load::Reply(reply) = load {
                    self.replies.push_front(reply);
                }
                vec![
                    Receipt::Migrated { from: sent_to, to },
                    Receipt::AlertsChanged { good: false },
                ]
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
                let after = after.filter(|_| !mutated!("a chat's 429 is not obeyed"));
                wait.fail(now.moment(), after, &mut self.jitter);
                if mutated!("clear the alert before its delivery")
                    && let Load::Alerts { ids, .. } = &load
                {
                    self.strike(chat, ids);
                }
                if let Load::Reply(reply) = load
                    && let Some(reply) = reply.in_chat(chat)
                {
                    self.replies.push_front(reply);
                }
                vec![Receipt::Delayed { reason }]
            }
        }
    }

    fn arrived(&mut self, chat: i64, load: Load, message_id: i64) -> Vec<Receipt> {
        match load {
            Load::Alerts {
                ids,
                incidents,
                html,
                offline,
            } => {
                let good = self.strike(chat, &ids);
                let changed = Receipt::AlertsChanged { good };
                if offline && message_id != 0 {
                    return vec![Receipt::Offline { chat, message_id }, changed];
                }
                let told = incidents.into_iter().map(|incident| Receipt::Told {
                    incident,
                    chat,
                    message_id,
                });
                let shown = html.filter(|_| message_id != 0).map(|html| Receipt::Shown {
                    chat,
                    message_id,
                    html,
                });
                shown.into_iter().chain(told).chain([changed]).collect()
            }
            Load::Reply(reply) => {
                if let Some(gone) = reply.edit.filter(|edit| *edit != message_id) {
                    self.edits_move(chat, gone, message_id);
                }
                job_receipt(&reply, chat, Some(message_id))
                    .into_iter()
                    .collect()
            }
        }
    }

    /// A message was deleted, and what it was to say stands in a new one: later edits go there.
    fn edits_move(&mut self, chat: i64, gone: i64, anew: i64) {
        let waiting = self.replies.iter_mut().filter(|r| r.chat == chat);
        for reply in waiting.filter(|r| r.edit == Some(gone)) {
            // Telegram has it, but its id could not be read.
            reply.edit = Some(anew).filter(|id| *id != 0);
        }
    }

    /// The alerts need not reach this chat any more. Whether all of them were good news.
    fn strike(&mut self, chat: i64, ids: &[u64]) -> bool {
        let mut good = true;
        for alert in self.alerts.iter_mut().filter(|a| ids.contains(&a.id)) {
            alert.chats.retain(|c| *c != chat);
            good &= alert.news.silent();
        }
        self.alerts.retain(|a| !a.chats.is_empty());
        good
    }

    /// Alerts that tell of the incident wait, and none of them for this chat.
    pub(crate) fn waits_for_others(&self, incident: u32, chat: i64) -> bool {
        let of_it = |a: &&Alert| a.incident == Some(incident) && !a.news.ends_incident();
        let mut waiting = self.alerts.iter().filter(of_it).peekable();
        waiting.peek().is_some() && waiting.all(|a| !a.chats.contains(&chat))
    }

    /// The chat needs none of the alerts from `since` on that `twin` takes: they go to another chat,
    /// which is the same.
    pub(crate) fn drop_twins(&mut self, chat: i64, since: Moment, twin: &dyn Fn(&Alert) -> bool) {
        let twins = self.alerts.iter_mut().filter(|a| a.at >= since);
        for alert in twins.filter(|a| twin(a)) {
            alert.chats.retain(|c| *c != chat);
        }
        self.alerts.retain(|a| !a.chats.is_empty());
    }

    /// A group has a new id: what waits for it and what is under way goes on under that.
    pub(crate) fn rename_chat(&mut self, from: i64, to: i64) {
        for alert in &mut self.alerts {
            rename(&mut alert.chats, from, to);
            alert.edits.retain(|(chat, _)| *chat != from);
        }
        self.alerts.retain(|a| !a.chats.is_empty());
        let replies = std::mem::take(&mut self.replies).into_iter();
        self.replies = replies
            .filter_map(|reply| match reply.chat == from {
                true => reply.in_chat(to),
                false => Some(reply),
            })
            .collect();
        for flight in self.flights.values_mut().filter(|f| f.chat == from) {
            flight.chat = to;
        }
        if let Some(old) = self.lanes.remove(&from) {
            let lane = self.lanes.entry(to).or_default();
            lane.alert_away |= old.alert_away;
            lane.reply_away |= old.reply_away;
            lane.edit_away |= old.edit_away;
        }
    }

    /// Bounded, and nothing is dropped in silence: the oldest half becomes one line that counts.
    fn summarise(&mut self, now: Moment) {
        let old: Vec<Alert> = self.alerts.drain(..MAX_ALERTS / 2).collect();
        let mut chats: Vec<i64> = old.iter().flat_map(|a| a.chats.iter().copied()).collect();
        chats.sort_unstable();
        chats.dedup();
        // A chat reads of the sites that it is told of and of no other.
        for (chat, spent) in chats.into_iter().zip(&old) {
            let mut downs: BTreeMap<&str, usize> = BTreeMap::new();
            let mine = old.iter().filter(|a| a.chats.contains(&chat));
            let merged = match mine.clone().count() {
                1 => "1 older alert was merged.".to_owned(),
                n => format!("{n} older alerts were merged."),
            };
            let mut text = merged;
            for alert in mine.filter(|a| matches!(a.news, Notification::Down { .. })) {
                *downs.entry(&alert.site).or_default() += 1;
            }
            let mut most: Vec<_> = downs.into_iter().collect();
            most.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
            for (site, n) in most.iter().take(20) {
                text.push_str(&format!(" {site} went down {}.", count(*n, "time")));
            }
            self.alerts.push_front(Alert {
                id: spent.id,
                news: Notification::Notice { text },
                site: String::new(),
                incident: None,
                at: now,
                chats: vec![chat],
                edits: Vec::new(),
                stored: false,
            });
        }
    }

    pub(crate) fn take_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }
}

fn job_receipt(reply: &Reply, chat: i64, message_id: Option<i64>) -> Option<Receipt> {
    reply.job.map(|job| Receipt::Job {
        job,
        chat,
        edited: reply.edit,
        message_id,
    })
}

#[cfg(test)]
mod tests;
