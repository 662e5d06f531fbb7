//! Channels besides the chats (`[[notify]]`): which alerts each channel gets, and their queue. A
//! channel gets a copy of an alert, which is delivered independently of the chats:
//!
//! | a copy | when | becomes |
//! | --- | --- | --- |
//! | does not exist | an alert is made, and the channel gets all | waiting, to be written |
//! | does not exist | sending to Telegram has failed for the configured time, and the alert waits for it | waiting, on disk with the alert |
//! | does not exist | an incident that chats were notified of is not acknowledged within the configured time | waiting, to be written |
//! | does not exist | an alert about the end of such an incident is made | waiting, to be written |
//! | waiting | it is on disk, the oldest of the channel, and the channel does not back off | in flight |
//! | in flight | it was accepted | deleted |
//! | in flight | 429, 5xx, no answer | waiting, and the channel backs off |
//! | in flight | any other answer | deleted; the first time chats get a notice |
//! | waiting | the channel is no longer configured | deleted, with a line in the log |
//! | waiting | there are too many | merged with others into one notice |

pub mod placeholders;

use crate::monitor::alert::audience::{Audience, NewAlert};
use crate::monitor::alert::{Alert, Alerts, ByChannels, Notification};
use crate::monitor::incident::{Incident, Incidents};
use crate::monitor::outbox::backoff::BackoffPause;
use crate::monitor::outbox::channels::placeholders::Values;
use crate::monitor::outbox::message::Delivery;
use crate::monitor::outbox::send_context::SendContext;
use crate::monitor::outbox::{Outbox, merged_text};
use crate::monitor::render::text::count;
use crate::monitor::site::table::Sites;
use crate::monitor::time::{Moment, Now};
use std::collections::{BTreeMap, VecDeque};
use std::mem::discriminant;
use std::time::Duration;

/// Maximum number of alerts waiting for one channel. Beyond it the oldest half becomes one notice.
const MOST: usize = 200;

/// The part of a `[[notify]]` of the configuration that the core needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Unique.
    pub name: String,
    pub when: When,
    /// Names of the sites and groups whose alerts the channel gets; `None` = all sites and the
    /// agent.
    pub sites: Option<Vec<String>>,
}

/// Which alerts a channel gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Always,
    /// Alerts that still wait after sending to Telegram has failed for this long.
    TelegramFails(Duration),
    /// Outages that no user acknowledged within this time, and their ends.
    Unacknowledged(Duration),
}

impl Channel {
    /// Returns whether the channel gets alerts of this site; the empty name stands for the agent
    /// itself.
    fn takes(&self, site: &str, sites: &Sites) -> bool {
        let Some(wanted) = &self.sites else {
            return true;
        };
        let group = sites.named(site).and_then(|s| s.config().group.as_ref());
        let listed = |name: &str| wanted.iter().any(|wanted| wanted == name);
        !site.is_empty() && (listed(site) || group.is_some_and(|group| listed(group)))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelSend {
    /// Passed back with the [`Delivery`].
    pub id: u64,
    pub channel: String,
    pub values: Values,
}

/// Effect of a delivery by a channel on the rest of the monitor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelEffect {
    /// The alert was sent. `silent`: it makes no sound in a chat.
    Sent { silent: bool },
    /// The channel refused the alert, which is dropped. `first`: for the first time since it last
    /// accepted one.
    Refused {
        channel: String,
        reason: String,
        first: bool,
    },
    /// The alert will be retried. `first`: for the first time since the channel last accepted one.
    Delayed {
        channel: String,
        reason: String,
        first: bool,
    },
}

/// All channels and their queues.
#[derive(Debug, Default)]
pub(super) struct Channels {
    states: Vec<ChannelState>,
    waiting: VecDeque<Waiting>,
    /// Incidents sent to channels because they were not acknowledged, until their end is queued.
    escalated: BTreeMap<u32, Escalated>,
}

#[derive(Debug)]
struct ChannelState {
    channel: Channel,
    wait: BackoffPause,
    in_flight: Option<InFlight>,
    /// Why the last alert was not accepted.
    trouble: Option<String>,
    /// Chats were notified that the channel refuses alerts.
    refusing: bool,
}

/// Ids of a send and of its alert.
#[derive(Debug)]
struct InFlight {
    id: u64,
    alert: u64,
}

#[derive(Debug)]
struct Waiting {
    channel: String,
    /// Its `chats` are empty.
    alert: Alert,
}

#[derive(Debug)]
struct Escalated {
    site: String,
    channels: Vec<String>,
}

impl Alert {
    fn is_handed_to(&self, channel: &Channel) -> bool {
        self.by_channels.handed.contains(&channel.name)
    }
}

impl Outbox {
    /// Takes the channels of a configuration. Returns log lines about the alerts that were dropped
    /// because their channel no longer exists.
    pub fn reload_channels(&mut self, channels: Vec<Channel>) -> Vec<String> {
        let all = &mut self.channels;
        let mut before = std::mem::take(&mut all.states);
        all.states = channels
            .into_iter()
            .map(|channel| {
                let same = before.iter().position(|s| s.channel.name == channel.name);
                match same.map(|place| before.swap_remove(place)) {
                    Some(state) => ChannelState { channel, ..state },
                    None => ChannelState {
                        channel,
                        wait: BackoffPause::default(),
                        in_flight: None,
                        trouble: None,
                        refusing: false,
                    },
                }
            })
            .collect();
        all.drop_unknown()
    }

    /// Returns whether the configuration has channels.
    pub fn has_channels(&self) -> bool {
        !self.channels.states.is_empty()
    }

    /// Restores the state of an earlier run: waiting alerts, and for each unacknowledged incident
    /// the channels that it was sent to. Returns log lines about dropped alerts.
    pub fn restore_channels<'a>(
        &mut self,
        waiting: impl IntoIterator<Item = (String, Alert)>,
        escalated: impl IntoIterator<Item = (&'a Incident, Vec<String>)>,
    ) -> Vec<String> {
        for (channel, mut alert) in waiting {
            if self.alerts.iter().any(|a| a.id == alert.id) {
                alert.id = self.take_id();
            }
            self.next_id = self.next_id.max(alert.id + 1);
            alert.chats.clear();
            self.channels.waiting.push_back(Waiting { channel, alert });
        }
        for (incident, channels) in escalated {
            let site = incident.site().to_owned();
            let escalated = Escalated { site, channels };
            self.channels.escalated.insert(incident.number(), escalated);
        }
        self.channels.drop_unknown()
    }

    /// Returns the waiting alerts with their channels, to be saved.
    pub fn channel_alerts(&self) -> impl Iterator<Item = (&str, &Alert)> {
        let waiting = self.channels.waiting.iter();
        waiting.map(|w| (w.channel.as_str(), &w.alert))
    }

    /// Returns the channels that the incident was sent to because it was not acknowledged.
    pub fn escalated(&self, incident: u32) -> Option<&[String]> {
        let escalated = self.channels.escalated.get(&incident)?;
        Some(&escalated.channels)
    }

    /// Returns the status of each channel: `ntfy: 2 waiting, HTTP 500`.
    pub fn channel_lines(&self) -> Vec<String> {
        let lines = self.channels.states.iter().map(|state| {
            let name = &state.channel.name;
            let waiting = self.channels.waiting.iter();
            let waiting = waiting.filter(|w| w.channel == *name).count();
            let trouble = state.trouble.iter().map(|why| format!(", {why}"));
            format!("{name}: {waiting} waiting{}", trouble.collect::<String>())
        });
        lines.collect()
    }

    /// Queues the new alerts for the channels that get them. Returns the indices of the queued
    /// ones, which must be written to disk.
    pub fn offer_to_channels(
        &mut self,
        alerts: &[NewAlert],
        sites: &Sites,
        now: Moment,
    ) -> Vec<usize> {
        if !self.has_channels() {
            return Vec::new();
        }
        let same = |one: &NewAlert, other: &NewAlert| {
            let kind = |a: &NewAlert| discriminant(&a.notification);
            kind(one) == kind(other) && one.site == other.site && one.incident == other.incident
        };
        let mut taken = Vec::new();
        for (place, alert) in alerts.iter().enumerate() {
            // Chats may have different texts of one alert; a channel gets the most complete one.
            if alerts[..place].iter().any(|earlier| same(earlier, alert)) {
                continue;
            }
            let alike = alerts[place..].iter().filter(|other| same(other, alert));
            let Some(fullest) = alike.max_by_key(|a| fullness(&a.notification)) else {
                continue;
            };
            for channel in self.channels.takers(alert, sites) {
                self.push_to_channel(channel, fullest, now);
                taken.push(place);
            }
        }
        taken
    }

    /// Extends an offline period: replaces the alerts about it that are still waiting.
    pub(super) fn prolong_offline(&mut self, notification: &Notification, now: Moment) {
        let all = &mut self.channels;
        let in_flight: Vec<u64> = all.in_flight().collect();
        for Waiting { alert, .. } in &mut all.waiting {
            if let (Notification::Offline(waiting), Notification::Offline(period)) =
                (&alert.notification, notification)
                && waiting.from == period.from
                && !in_flight.contains(&alert.id)
            {
                alert.notification = notification.clone();
                alert.at = now;
            }
        }
    }

    fn push_to_channel(&mut self, channel: String, new: &NewAlert, now: Moment) {
        let id = self.take_id();
        let alert = Alert {
            id,
            notification: new.notification.clone(),
            site: new.site.clone(),
            incident: new.incident,
            at: now,
            chats: Vec::new(),
            delivered: Vec::new(),
            edits: Vec::new(),
            stored: mutated!("send by a channel what is not on disk"),
            by_channels: ByChannels::default(),
        };
        self.channels.push(channel, alert);
    }

    /// Copies the alerts that wait for Telegram to the fallback channels that are due. Returns
    /// whether there were any.
    pub fn fall_back(&mut self, sites: &Sites, now: Moment) -> bool {
        let channels = self.channels.states.iter().map(|state| &state.channel);
        let due = |channel: &&Channel| self.fallback_due(channel).is_some_and(|due| due <= now);
        let channels: Vec<&Channel> = channels.filter(due).collect();
        let mut copies = Vec::new();
        for channel in channels {
            let takes = |alert: &Alert| {
                let digest = matches!(alert.notification, Notification::Digest { .. });
                let new = alert.stored && !digest && !alert.is_handed_to(channel);
                new && channel.takes(&alert.site, sites)
            };
            if !self.alerts.iter().any(takes) {
                continue;
            }
            let handed = self.alerts.iter().filter(|a| a.is_handed_to(channel));
            // Several chats may have the same event with different texts; one copy is enough.
            // Whether two notices are the same event is not known.
            let notice = |a: &Alert| matches!(a.notification, Notification::Notice { .. });
            let mut events: Vec<_> = handed.map(Alert::event).collect();
            for alert in self.alerts.iter_mut().filter(|a| takes(a)) {
                alert.by_channels.handed.push(channel.name.clone());
                alert.by_channels.delayed = true;
                if notice(alert) || !events.contains(&alert.event()) {
                    events.push(alert.event());
                    copies.push((channel.name.clone(), alert.clone()));
                }
            }
        }
        let any = !copies.is_empty();
        for (channel, alert) in copies {
            let copy = Alert {
                id: self.take_id(),
                chats: Vec::new(),
                delivered: Vec::new(),
                edits: Vec::new(),
                by_channels: ByChannels::default(),
                ..alert
            };
            self.channels.push(channel, copy);
        }
        any
    }

    /// Returns when alerts that wait for Telegram are copied to this channel.
    fn fallback_due(&self, channel: &Channel) -> Option<Moment> {
        match channel.when {
            When::TelegramFails(_) if mutated!("never fall back to a channel") => None,
            When::TelegramFails(after) => Some(self.failing_since? + after),
            When::Always | When::Unacknowledged(_) => None,
        }
    }

    /// Excludes `channel` from getting the newest alert for chats, which is about its own failure.
    pub fn keep_from_channel(&mut self, channel: String) {
        if let Some(alert) = self.alerts.back_mut() {
            alert.by_channels.handed.push(channel);
        }
    }

    /// Returns the open incidents that will be sent to a channel unless a user acknowledges them,
    /// and when.
    fn escalations<'a>(
        &'a self,
        alerts: &'a Alerts,
        incidents: &'a Incidents,
        audience: Audience<'a>,
    ) -> impl Iterator<Item = (Moment, &'a Channel, &'a Incident)> {
        let (sites, now) = (audience.sites, audience.now.moment());
        let channels = self.channels.states.iter().map(|state| &state.channel);
        let channels = channels.filter_map(|channel| match channel.when {
            When::Unacknowledged(after) => Some((channel, after)),
            When::Always | When::TelegramFails(_) => None,
        });
        channels.flat_map(move |(channel, after)| {
            incidents.iter_open().filter_map(move |incident| {
                let has_it = self.escalated(incident.number());
                let has_it = has_it.is_some_and(|names| names.contains(&channel.name));
                let seen = incident.acknowledged().is_some();
                let seen = seen && !mutated!("send what was acknowledged by a channel");
                let wanted = !seen && !has_it && channel.takes(incident.site(), sites);
                let wanted = wanted && alerts.may_escalate(incident, sites, now);
                wanted.then(|| (incident.start() + after, channel, incident))
            })
        })
    }

    /// Queues open incidents that no user acknowledged in time for their channels. Returns whether
    /// there were any.
    pub fn escalate(&mut self, alerts: &Alerts, incidents: &Incidents, audience: Audience) -> bool {
        let now = audience.now.moment();
        let due = self.escalations(alerts, incidents, audience);
        let due = due.filter(|(due, ..)| *due <= now);
        let due = due.filter_map(|(_, channel, incident)| {
            let site = audience.sites.named(incident.site())?;
            Some((channel.name.clone(), audience.still_down(site, incident)))
        });
        let due: Vec<(String, NewAlert)> = due.collect();
        for (channel, alert) in &due {
            self.push_escalated(channel, alert, now);
        }
        !due.is_empty()
    }

    fn push_escalated(&mut self, channel: &str, alert: &NewAlert, now: Moment) {
        let Some(number) = alert.incident else {
            return;
        };
        let entry = self.channels.escalated.entry(number);
        let escalated = entry.or_insert_with(|| Escalated {
            site: alert.site.clone(),
            channels: Vec::new(),
        });
        escalated.channels.push(channel.to_owned());
        self.push_to_channel(channel.to_owned(), alert, now);
    }

    /// Drops incidents that are no longer remembered.
    pub fn keep_escalated(&mut self, incidents: &Incidents) {
        let escalated = &mut self.channels.escalated;
        escalated.retain(|number, _| incidents.get(*number).is_some());
    }

    /// Returns the next alert to send to a channel. `dated`: the wall clock is trusted.
    pub(crate) fn next_channel_send(
        &mut self,
        now: Now,
        dated: bool,
        context: &SendContext,
    ) -> Option<ChannelSend> {
        let all = &self.channels;
        let (place, alert) = all.states.iter().enumerate().find_map(|(place, state)| {
            let ready = state.in_flight.is_none() && state.wait.holds(now.moment()).is_none();
            let next = all.next_of(&state.channel.name).filter(|_| ready)?;
            next.stored.then_some((place, next))
        })?;
        let (alert, values) = (alert.id, Values::of(alert, context, now, dated));
        let id = self.take_id();
        let state = &mut self.channels.states[place];
        state.in_flight = Some(InFlight { id, alert });
        Some(ChannelSend {
            id,
            channel: state.channel.name.clone(),
            values,
        })
    }

    /// Returns when channels next need attention, if nothing else happens before.
    pub fn next_channel_due(
        &self,
        alerts: &Alerts,
        incidents: &Incidents,
        audience: Audience,
    ) -> Option<Moment> {
        let (all, now) = (&self.channels, audience.now.moment());
        let escalations = self.escalations(alerts, incidents, audience);
        let escalations = escalations.map(|(due, ..)| due).filter(|due| *due > now);
        let held = all.states.iter().filter_map(|state| {
            let waits = state.in_flight.is_none() && all.next_of(&state.channel.name).is_some();
            state.wait.holds(now).filter(|_| waits)
        });
        let fallback = all
            .states
            .iter()
            .filter_map(|s| self.fallback_due(&s.channel));
        let fallback = fallback.filter(|due| !self.alerts.is_empty() && *due > now);
        held.chain(fallback).chain(escalations).min()
    }

    /// Takes the result of a send by a channel; `None` if it is unknown.
    pub fn channel_delivered(
        &mut self,
        id: u64,
        delivery: Delivery,
        now: Now,
    ) -> Option<ChannelEffect> {
        let mut states = self.channels.states.iter_mut();
        let state = states.find(|s| s.in_flight.as_ref().is_some_and(|f| f.id == id))?;
        let in_flight = state.in_flight.take()?;
        let channel = state.channel.name.clone();
        match delivery {
            Delivery::Later { after, reason, .. } => {
                state.wait.fail(now.moment(), after, &mut self.jitter);
                let first = state.trouble.replace(reason.clone()).is_none();
                Some(ChannelEffect::Delayed {
                    channel,
                    reason,
                    first,
                })
            }
            Delivery::Refused { reason } => {
                state.wait.succeed();
                state.trouble = Some(reason.clone());
                let first = !std::mem::replace(&mut state.refusing, true);
                self.channels.remove(in_flight.alert);
                Some(ChannelEffect::Refused {
                    channel,
                    reason,
                    first,
                })
            }
            Delivery::Sent { .. } | Delivery::Migrated { .. } => {
                state.wait.succeed();
                (state.trouble, state.refusing) = (None, false);
                let alert = self.channels.remove(in_flight.alert)?;
                let event = alert.event();
                for waiting in self.alerts.iter_mut().filter(|a| a.event() == event) {
                    waiting.by_channels.sent.push(channel.clone());
                }
                let silent = alert.notification.silent();
                Some(ChannelEffect::Sent { silent })
            }
        }
    }
}

impl Channels {
    /// Returns the channels that get a new alert at once.
    fn takers(&mut self, alert: &NewAlert, sites: &Sites) -> Vec<String> {
        // The digest is a report, in HTML.
        if matches!(alert.notification, Notification::Digest { .. }) {
            return Vec::new();
        }
        let over = alert.notification.state_now() == Some(None);
        let mut ended = Vec::new();
        if over {
            self.escalated.retain(|_, escalated| {
                let goes_on = escalated.site != alert.site;
                if !goes_on {
                    ended.append(&mut escalated.channels);
                }
                goes_on
            });
        }
        let channels = self.states.iter().map(|state| &state.channel);
        let takers = channels.filter(|channel| match channel.when {
            When::Always => channel.takes(&alert.site, sites),
            When::Unacknowledged(_) => ended.contains(&channel.name),
            When::TelegramFails(_) => false,
        });
        takers.map(|channel| channel.name.clone()).collect()
    }

    fn next_of(&self, channel: &str) -> Option<&Alert> {
        let mut waiting = self.waiting.iter();
        waiting.find(|w| w.channel == channel).map(|w| &w.alert)
    }

    fn remove(&mut self, alert: u64) -> Option<Alert> {
        let place = self.waiting.iter().position(|w| w.alert.id == alert)?;
        self.waiting.remove(place).map(|w| w.alert)
    }

    /// Ids of the alerts that are in flight.
    fn in_flight(&self) -> impl Iterator<Item = u64> {
        let in_flight = self.states.iter().filter_map(|s| s.in_flight.as_ref());
        in_flight.map(|f| f.alert)
    }

    pub(super) fn under_way(&self) -> usize {
        self.in_flight().count()
    }

    pub(super) fn alerts_mut(&mut self) -> impl Iterator<Item = &mut Alert> {
        self.waiting.iter_mut().map(|w| &mut w.alert)
    }

    /// Adds an alert. Beyond [`MOST`] the oldest half is merged into one notice, so that none is
    /// dropped silently.
    fn push(&mut self, channel: String, alert: Alert) {
        let at = alert.at;
        self.waiting.push_back(Waiting {
            channel: channel.clone(),
            alert,
        });
        let away: Vec<u64> = self.in_flight().collect();
        let mine = |w: &Waiting| w.channel == channel && !away.contains(&w.alert.id);
        if self.waiting.iter().filter(|w| mine(w)).count() <= MOST {
            return;
        }
        let mut old = Vec::new();
        let mut kept = VecDeque::new();
        for waiting in self.waiting.drain(..) {
            match mine(&waiting) && old.len() < MOST / 2 {
                true => old.push(waiting.alert),
                false => kept.push_back(waiting),
            }
        }
        let (text, first) = (merged_text(old.iter()), old.swap_remove(0));
        let alert = Alert {
            notification: Notification::Notice { text },
            site: String::new(),
            incident: None,
            at,
            stored: false,
            ..first
        };
        kept.push_front(Waiting { channel, alert });
        self.waiting = kept;
    }

    fn drop_unknown(&mut self) -> Vec<String> {
        let names: Vec<&String> = self.states.iter().map(|s| &s.channel.name).collect();
        let mut dropped: BTreeMap<String, usize> = BTreeMap::new();
        self.waiting.retain(|waiting| {
            let known = names.contains(&&waiting.channel);
            if !known {
                *dropped.entry(waiting.channel.clone()).or_default() += 1;
            }
            known
        });
        let lines = dropped.into_iter().map(|(channel, n)| {
            let alerts = count(n, "alert");
            format!("{alerts} for {channel} dropped: there is no [[notify]] of that name any more")
        });
        lines.collect()
    }
}

/// Ranks the variants of an alert for different chats: the one with the largest number or the
/// longest text is the most complete.
fn fullness(notification: &Notification) -> usize {
    match notification {
        Notification::Down { behind, .. } => *behind,
        Notification::Notice { text } => text.len(),
        _ => 0,
    }
}
