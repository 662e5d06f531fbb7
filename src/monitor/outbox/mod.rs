//! The outbox: alerts, which must not be lost, and answers, which must not wait.
//!
//! An alert leaves the outbox only when Telegram has accepted or refused it; the outbox is part of
//! the snapshot. At most one alert message, one answer and one edit are in flight for a chat, so
//! their order is kept.

pub(crate) mod alert_notes;
pub(crate) mod backoff;
pub(crate) mod callback_data;
pub mod channels;
pub(crate) mod keyboards;
pub mod message;
pub(crate) mod queue;
pub(crate) mod send_context;
pub(crate) mod sending;

use crate::monitor::alert::notified::Topic;
use crate::monitor::alert::{Alert, ByChannels, Notification};
use crate::monitor::outbox::backoff::BackoffPause;
use crate::monitor::outbox::channels::Channels;
use crate::monitor::outbox::keyboards::Keyboards;
use crate::monitor::outbox::message::{Button, Delivery};
pub use crate::monitor::outbox::queue::{DeliveryEffect, Outgoing, Reply};
use crate::monitor::outbox::send_context::pause;
use crate::monitor::render::text::count;
use crate::monitor::site::access::rename;
use crate::monitor::time::{Jitter, Moment, Now};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

/// Maximum number of waiting alerts. Beyond it the oldest half is merged into one summary.
const MAX_ALERTS: usize = 1000;
/// Maximum number of answers waiting for one chat; the oldest are dropped.
const MAX_REPLIES: usize = 100;
/// Maximum age of an answer to be sent, unless it is [`Reply::lasting`].
pub(crate) const REPLY_LIFE: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub struct Outbox {
    alerts: VecDeque<Alert>,
    replies: VecDeque<Reply>,
    chat_states: BTreeMap<i64, ChatState>,
    everywhere: BackoffPause,
    in_flight: HashMap<u64, InFlight>,
    next_id: u64,
    jitter: Jitter,
    keyboards: Keyboards,
    /// Start or failure of the first send to a chat since one was last accepted or refused.
    failing_since: Option<Moment>,
    channels: Channels,
}

/// Delays of one chat, besides messages in flight.
#[derive(Debug, Default)]
struct ChatState {
    wait: BackoffPause,
    /// When the last message was sent.
    last: Option<Moment>,
}

#[derive(Debug)]
struct InFlight {
    /// Current id of the chat.
    chat: i64,
    /// Id of the chat at the time of the send.
    sent_to: i64,
    payload: Payload,
}

#[derive(Debug)]
enum Payload {
    Alerts {
        ids: Vec<u64>,
        incidents: Vec<u32>,
        /// Its text, if it has buttons.
        html: Option<String>,
        /// It is about an offline period only.
        offline: bool,
    },
    Reply(Reply),
}

/// At most one message of each kind is in flight for a chat; two for a group that migrated
/// meanwhile, one to each id.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Alert,
    /// An edit of a message; replies do not wait for it.
    Edit,
    Reply,
}

impl Payload {
    fn kind(&self) -> Kind {
        match self {
            Payload::Alerts { .. } => Kind::Alert,
            Payload::Reply(reply) => kind_of(reply),
        }
    }
}

fn kind_of(reply: &Reply) -> Kind {
    match reply.edit {
        Some(_) => Kind::Edit,
        None => Kind::Reply,
    }
}

impl Outbox {
    pub fn new(seed: u64) -> Outbox {
        Outbox {
            alerts: VecDeque::new(),
            replies: VecDeque::new(),
            chat_states: BTreeMap::new(),
            everywhere: BackoffPause::default(),
            in_flight: HashMap::new(),
            next_id: 1,
            jitter: Jitter::new(seed),
            keyboards: Keyboards::default(),
            failing_since: None,
            channels: Channels::default(),
        }
    }

    /// Takes alerts of an earlier run, which are on disk already.
    pub fn restore(&mut self, alerts: Vec<Alert>) {
        for mut alert in alerts {
            // Ids continue those of the earlier run: the journal refers to alerts by id.
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
        notification: Notification,
        site: &str,
        incident: Option<u32>,
        chats: Vec<i64>,
        now: Moment,
    ) {
        if chats.is_empty() {
            return;
        }
        if self.alerts.is_empty() {
            // Earlier failures delayed no alert, and may be over long since.
            self.failing_since = self.failing_since.map(|since| since.max(now));
        }
        let id = self.take_id();
        self.alerts.push_back(Alert {
            id,
            notification,
            site: site.to_owned(),
            incident,
            at: now,
            chats,
            delivered: Vec::new(),
            edits: Vec::new(),
            stored: mutated!("send an alert before it is on disk"),
            by_channels: ByChannels::default(),
        });
        if self.alerts.len() > MAX_ALERTS {
            self.summarise(now);
        }
    }

    /// Merges three or more alerts of a site that wait for the same chat, and for a write, into one
    /// with the current state, so the number of waiting alerts stays bounded. Returns the incidents
    /// that have no alert of their own any more.
    pub fn condense(&mut self, site: &str) -> Vec<u32> {
        let away = self.ids_under_way();
        let of_state = |a: &Alert| a.site == site && a.notification.state_now().is_some();
        let Some(newest) = self.alerts.back().filter(|a| of_state(a)).cloned() else {
            return Vec::new();
        };
        let waits =
            |a: &Alert, chat: &i64| of_state(a) && a.chats.contains(chat) && !away.contains(&a.id);
        // Of one change there may be two alerts, for chats that see different sites behind it.
        let mut crowded = newest.chats.clone();
        crowded.retain(|chat| self.alerts.iter().filter(|a| waits(a, chat)).count() >= 3);
        let times = |chat: &i64| -> u32 {
            let waiting = self.alerts.iter().filter(|a| waits(a, chat));
            waiting.map(|a| a.notification.changes()).sum()
        };
        let Some(times) = crowded.iter().map(times).max() else {
            return Vec::new();
        };
        let mut incidents = Vec::new();
        self.alerts.retain_mut(|alert| {
            if !crowded.iter().any(|chat| waits(alert, chat)) {
                return true;
            }
            incidents.extend(alert.incident);
            alert.chats.retain(|chat| !crowded.contains(chat));
            !alert.chats.is_empty()
        });
        let cause = newest.notification.state_now().flatten().map(str::to_owned);
        let incident = newest.incident.filter(|_| cause.is_some());
        let notification = match newest.notification {
            // These say themselves that the state changed often.
            Notification::Flapping { .. } | Notification::Steady { .. } => newest.notification,
            _ => Notification::Changes { times, cause },
        };
        let merged = Alert {
            id: self.take_id(),
            notification,
            incident,
            chats: crowded,
            by_channels: ByChannels::default(),
            ..newest
        };
        self.alerts.push_back(merged);
        incidents.retain(|n| self.alerts.iter().all(|a| a.incident != Some(*n)));
        incidents
    }

    /// Queues the alert about an offline period. A period that extends the last one (`goes_on`)
    /// replaces it: in the alert that still waits, or in its messages (`shown`: chat and message
    /// id).
    pub fn push_offline(
        &mut self,
        notification: Notification,
        mut chats: Vec<i64>,
        shown: &[(i64, i64)],
        goes_on: bool,
        now: Moment,
    ) {
        if let Notification::Offline(period) = &notification
            && goes_on
        {
            self.prolong_offline(&notification, now);
            let away: Vec<u64> = self.ids_under_way();
            // A period with another start is a different one.
            let same = |other: &Notification| matches!(other, Notification::Offline(p) if p.from == period.from);
            for alert in &mut self.alerts {
                if same(&alert.notification) && !away.contains(&alert.id) {
                    alert.notification = notification.clone();
                    alert.at = now;
                    chats.retain(|c| !alert.chats.contains(c));
                }
            }
        }
        let edits = shown.iter().filter(|(c, _)| chats.contains(c)).copied();
        let edits: Vec<(i64, i64)> = if goes_on { edits.collect() } else { Vec::new() };
        self.push_alert(notification, "", None, chats, now);
        if let Some(alert) = self.alerts.back_mut().filter(|_| !edits.is_empty()) {
            alert.edits = edits;
        }
    }

    fn ids_under_way(&self) -> Vec<u64> {
        let payloads = self.in_flight.values().map(|f| &f.payload);
        let ids = payloads.filter_map(|payload| match payload {
            Payload::Alerts { ids, .. } => Some(ids.iter().copied()),
            Payload::Reply(_) => None,
        });
        ids.flatten().collect()
    }

    /// Queues a reply. Of several edits of one message only the newest is sent: `/check` edits
    /// often.
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
            waiting.lasting |= reply.lasting;
            return;
        }
        if self.replies.iter().filter(|r| r.chat == reply.chat).count() >= MAX_REPLIES
            && let Some(oldest) = self.replies.iter().position(|r| r.chat == reply.chat)
        {
            self.replies.remove(oldest);
        }
        self.replies.push_back(reply);
    }

    /// Marks the buttons of an alert's message for an update when the chat is idle.
    pub fn outdate_keyboard(&mut self, chat: i64, message_id: i64) {
        self.keyboards.outdate(chat, message_id);
    }

    /// Adds `note` to the stored text of an alert, if that is known and has room; it is shown when
    /// the buttons are updated ([`Outbox::outdate_keyboard`]). Returns whether it was added.
    pub fn note(&mut self, chat: i64, message_id: i64, note: &str) -> bool {
        let html = self.keyboards.get(chat, message_id);
        let Some(html) = html.and_then(|html| keyboards::noted(html, note)) else {
            return false;
        };
        self.keyboards.remember(chat, message_id, html);
        true
    }

    /// Returns the text of an alert's message, including its notes.
    pub fn text_of(&self, chat: i64, message_id: i64) -> Option<&str> {
        self.keyboards.get(chat, message_id)
    }

    /// Returns whether the last send to a chat failed, with none in flight.
    pub fn is_failing(&self) -> bool {
        self.failing_since.is_some() && self.in_flight.is_empty()
    }

    /// Edits an alert's message: adds `note` and replaces the buttons. `html`: the text as the
    /// press has it, used if no newer one is known.
    pub fn annotate(
        &mut self,
        (chat, message_id): (i64, i64),
        html: Option<&str>,
        note: &str,
        buttons: Vec<Vec<Button>>,
        now: Moment,
    ) {
        // A press from before our last edit has an outdated text.
        let shown = self.keyboards.get(chat, message_id).or(html);
        let Some(html) = shown else {
            return;
        };
        // If the note does not fit, the buttons are updated nevertheless.
        let html = keyboards::noted(html, note).unwrap_or_else(|| html.to_owned());
        self.keyboards.remember(chat, message_id, html.clone());
        self.push_reply(Reply {
            edit: Some(message_id),
            touch_up: true,
            buttons,
            ..Reply::new(chat, html, now)
        });
    }

    /// Returns when a message that is not urgent may be sent to the chat; `None` while answers
    /// wait.
    pub fn calm_at(&self, chat: i64) -> Option<Moment> {
        if self.replies.iter().any(|r| r.chat == chat) {
            return None;
        }
        let state = self.chat_states.get(&chat);
        let after = state.and_then(|l| l.last).map(|last| last + pause(chat));
        Some(after.unwrap_or(Moment(0)))
    }

    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.iter()
    }

    /// Updates the length of outages in recovery alerts.
    pub fn relength(&mut self, length: impl Fn(u32) -> Option<Duration>) {
        for alert in self.all_alerts_mut() {
            if let (Notification::Up { lasted }, Some(n)) =
                (&mut alert.notification, alert.incident)
                && let Some(known) = length(n)
            {
                *lasted = known;
            }
        }
    }

    /// Corrects the times of alerts of an earlier run.
    pub fn redate(&mut self, redate: impl Fn(&mut Moment)) {
        self.all_alerts_mut()
            .for_each(|alert| redate(&mut alert.at));
    }

    /// Alerts for chats and for channels.
    fn all_alerts_mut(&mut self) -> impl Iterator<Item = &mut Alert> {
        self.alerts.iter_mut().chain(self.channels.alerts_mut())
    }

    /// Redates the offline periods whose alerts were made after `since`
    /// ([`crate::monitor::uplink::Period::redate`]).
    pub fn redate_periods(&mut self, since: Moment, floor: i64, off: i64) {
        for alert in self.all_alerts_mut().filter(|a| a.at > since) {
            if let Notification::Offline(period) = &mut alert.notification {
                period.redate(floor, off);
            }
        }
    }

    /// Returns the number of messages in flight.
    pub fn under_way(&self) -> usize {
        self.in_flight.len() + self.channels.under_way()
    }

    /// Returns whether alerts or replies wait.
    pub fn any_waiting(&self) -> bool {
        !self.alerts.is_empty() || !self.replies.is_empty()
    }

    pub fn waiting_alerts(&self) -> usize {
        self.alerts.len()
    }

    pub fn last_alert_id(&self) -> u64 {
        self.next_id - 1
    }

    /// Ends the general backoff, as there is another route to the server, but not a delay that the
    /// server asked for.
    pub fn try_now(&mut self) {
        self.everywhere.succeed();
    }

    /// Marks the alerts up to `id` as on disk, or as impossible to write: they may be sent.
    pub fn mark_stored(&mut self, id: u64) {
        for alert in self.all_alerts_mut().filter(|a| a.id <= id) {
            alert.stored = true;
        }
    }

    /// Drops messages for chats that are no longer configured, or may no longer see the site.
    /// `keep` takes a site's name, empty for the agent itself, and a chat. Returns the topics that
    /// chats will not be notified of because of that.
    pub fn keep_chats(&mut self, keep: &dyn Fn(&str, i64) -> bool) -> Vec<(Topic, i64)> {
        let mut dropped = Vec::new();
        for alert in &mut self.alerts {
            let gone = alert.chats.iter().filter(|&&chat| !keep(&alert.site, chat));
            dropped.extend(gone.flat_map(|&chat| alert.topics().map(move |topic| (topic, chat))));
            let site = &alert.site;
            alert.chats.retain(|&chat| keep(site, chat));
        }
        self.alerts.retain(|a| !a.chats.is_empty());
        self.replies.retain(|r| keep("", r.chat));
        dropped
    }

    /// Takes the result of one send.
    pub fn delivered(&mut self, id: u64, delivery: Delivery, now: Now) -> Vec<DeliveryEffect> {
        let Some(InFlight {
            chat,
            sent_to,
            payload,
        }) = self.in_flight.remove(&id)
        else {
            return Vec::new();
        };
        let loses = match delivery {
            Delivery::Migrated { .. } => mutated!("drop what a group that moved was to be told"),
            Delivery::Later { .. } => mutated!("clear the alert before its delivery"),
            _ => false,
        };
        if loses && let Payload::Alerts { ids, .. } = &payload {
            self.settle(chat, ids, false);
        }
        match delivery {
            Delivery::Later { .. } => {
                self.failing_since.get_or_insert(now.moment());
                if let Payload::Alerts { ids, .. } = &payload {
                    for alert in self.alerts.iter_mut().filter(|a| ids.contains(&a.id)) {
                        alert.by_channels.delayed = true;
                    }
                }
            }
            _ => self.failing_since = None,
        }
        match delivery {
            Delivery::Sent { message_id } => {
                self.chat_states.entry(chat).or_default().wait.succeed();
                self.everywhere.succeed();
                // A chat that migrated meanwhile has another id for the message.
                let message_id = if chat == sent_to { message_id } else { 0 };
                self.arrived(chat, payload, message_id)
            }
            Delivery::Refused { reason } => {
                let dropped = DeliveryEffect::Dropped { chat, reason };
                let effect = match payload {
                    Payload::Alerts { ids, .. } => {
                        let silent = self.settle(chat, &ids, false);
                        Some(DeliveryEffect::AlertsChanged { silent })
                    }
                    Payload::Reply(reply) => job_effect(&reply, chat, None),
                };
                [dropped].into_iter().chain(effect).collect()
            }
            Delivery::Migrated { to } => {
                self.put_back(chat, payload);
                vec![
                    DeliveryEffect::Migrated { from: sent_to, to },
                    DeliveryEffect::AlertsChanged { silent: false },
                ]
            }
            Delivery::Later {
                after,
                everywhere,
                reason,
            } => {
                let wait = match everywhere {
                    true => &mut self.everywhere,
                    false => &mut self.chat_states.entry(chat).or_default().wait,
                };
                let after = after.filter(|_| !mutated!("a chat's 429 is not obeyed"));
                wait.fail(now.moment(), after, &mut self.jitter);
                self.put_back(chat, payload);
                vec![DeliveryEffect::Delayed { reason }]
            }
        }
    }

    /// Queues an answer again, under the current id of the chat. Alerts never left the queue.
    fn put_back(&mut self, chat: i64, payload: Payload) {
        if let Payload::Reply(reply) = payload
            && let Some(reply) = reply.in_chat(chat)
        {
            self.replies.push_front(reply);
        }
    }

    fn arrived(&mut self, chat: i64, payload: Payload, message_id: i64) -> Vec<DeliveryEffect> {
        match payload {
            Payload::Alerts {
                ids,
                incidents,
                html,
                offline,
            } => {
                let silent = self.settle(chat, &ids, true);
                let changed = DeliveryEffect::AlertsChanged { silent };
                if offline && message_id != 0 {
                    return vec![DeliveryEffect::Offline { chat, message_id }, changed];
                }
                let notified = incidents
                    .into_iter()
                    .map(|incident| DeliveryEffect::Notified {
                        incident,
                        chat,
                        message_id,
                    });
                if let Some(html) = html.filter(|_| message_id != 0) {
                    self.keyboards.remember(chat, message_id, html);
                }
                notified.chain([changed]).collect()
            }
            Payload::Reply(reply) => {
                if let Some(gone) = reply.edit.filter(|edit| *edit != message_id) {
                    self.edits_move(chat, gone, message_id);
                }
                job_effect(&reply, chat, Some(message_id))
                    .into_iter()
                    .collect()
            }
        }
    }

    /// Redirects later edits after a deleted message was sent again as a new one.
    fn edits_move(&mut self, chat: i64, gone: i64, anew: i64) {
        let waiting = self.replies.iter_mut().filter(|r| r.chat == chat);
        for reply in waiting.filter(|r| r.edit == Some(gone)) {
            // The id of the new message could not be read.
            reply.edit = Some(anew).filter(|id| *id != 0);
        }
    }

    /// Removes the chat from the alerts. Returns whether all of them are silent.
    fn settle(&mut self, chat: i64, ids: &[u64], delivered: bool) -> bool {
        let of_it = |alert: &&mut Alert| ids.contains(&alert.id);
        let mut events = Vec::new();
        let mut silent = true;
        for alert in self.alerts.iter_mut().filter(of_it) {
            alert.chats.retain(|c| *c != chat);
            silent &= alert.notification.silent();
            events.extend(delivered.then(|| alert.event()));
        }
        self.alerts.retain(|a| !a.chats.is_empty());
        for alert in &mut self.alerts {
            if events.contains(&alert.event()) && !alert.delivered.contains(&chat) {
                alert.delivered.push(chat);
            }
        }
        silent
    }

    /// Drops what the group `from`, which became `to`, has received or will receive under its new
    /// id. Two notices of one moment may be of different events and are kept.
    pub(crate) fn drop_delivered(&mut self, from: i64, to: i64) {
        let notice = |a: &Alert| matches!(a.notification, Notification::Notice { .. });
        let waiting = self.alerts.iter().filter(|a| a.chats.contains(&to));
        let waiting: Vec<_> = waiting.filter(|a| !notice(a)).map(Alert::event).collect();
        for alert in &mut self.alerts {
            if alert.delivered.contains(&to) || waiting.contains(&alert.event()) {
                alert.chats.retain(|c| *c != from);
            }
        }
        self.alerts.retain(|a| !a.chats.is_empty());
    }

    /// Replaces a group's id in waiting messages and those in flight.
    pub(crate) fn rename_chat(&mut self, from: i64, to: i64) {
        self.keyboards.forget_chat(from);
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
        for sending in self.in_flight.values_mut().filter(|f| f.chat == from) {
            sending.chat = to;
        }
        self.chat_states.remove(&from);
    }

    fn in_flight(&self, chat: i64, kind: Kind) -> bool {
        let mut to_it = self.in_flight.values().filter(|f| f.chat == chat);
        to_it.any(|f| f.payload.kind() == kind)
    }

    /// Merges the oldest half into one notice with counts, so that no alert is dropped silently.
    fn summarise(&mut self, now: Moment) {
        let old: Vec<Alert> = self.alerts.drain(..MAX_ALERTS / 2).collect();
        let chats: BTreeSet<i64> = old.iter().flat_map(|a| &a.chats).copied().collect();
        // A chat may only learn of the sites whose alerts it gets.
        for (chat, spent) in chats.into_iter().zip(&old) {
            let text = merged_text(old.iter().filter(|a| a.chats.contains(&chat)));
            self.alerts.push_front(Alert {
                id: spent.id,
                notification: Notification::Notice { text },
                site: String::new(),
                incident: None,
                at: now,
                chats: vec![chat],
                delivered: Vec::new(),
                edits: Vec::new(),
                stored: false,
                by_channels: ByChannels::default(),
            });
        }
    }

    pub(crate) fn take_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }
}

/// Returns the text that replaces merged alerts.
fn merged_text<'a>(alerts: impl Iterator<Item = &'a Alert> + Clone) -> String {
    let mut text = match alerts.clone().count() {
        1 => "1 older alert was merged.".to_owned(),
        n => format!("{n} older alerts were merged."),
    };
    let mut downs: BTreeMap<&str, usize> = BTreeMap::new();
    for alert in alerts.filter(|a| matches!(a.notification, Notification::Down { .. })) {
        *downs.entry(&alert.site).or_default() += 1;
    }
    let mut most: Vec<_> = downs.into_iter().collect();
    most.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    for (site, n) in most.iter().take(20) {
        text.push_str(&format!(" {site} went down {}.", count(*n, "time")));
    }
    text
}

fn job_effect(reply: &Reply, chat: i64, message_id: Option<i64>) -> Option<DeliveryEffect> {
    reply.job.map(|job| DeliveryEffect::Job {
        job,
        chat,
        edited: reply.edit,
        message_id,
    })
}

#[cfg(test)]
mod tests;
