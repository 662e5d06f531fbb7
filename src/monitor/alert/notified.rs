//! Which chats were notified of an event: only these are notified of its end.

use crate::monitor::alert::audience::NewAlert;
use crate::monitor::alert::{Alert, Alerts, Notification};
use crate::monitor::incident::{Incident, Incidents};
use crate::monitor::site::access::rename;
use crate::monitor::site::suppression::UplinkFault;
use crate::monitor::site::table::Sites;

/// An event with a beginning and an end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Number of the incident.
    Incident(u32),
    /// Name of a flapping site.
    Flapping(String),
    /// Name of a slow or degraded site.
    Slow(String),
    Fault(UplinkFault),
}

impl Notification {
    /// Returns the topics whose beginning or progress it reports.
    fn topics(&self, site: &str, incident: Option<u32>) -> impl Iterator<Item = Topic> {
        let incident = incident.filter(|_| !self.ends_incident());
        let of_site = match self {
            Notification::Flapping { .. } => Some(Topic::Flapping(site.to_owned())),
            Notification::Slow { .. } | Notification::Degraded { .. } => {
                Some(Topic::Slow(site.to_owned()))
            }
            _ => None,
        };
        incident.map(Topic::Incident).into_iter().chain(of_site)
    }
}

impl Alert {
    /// See [`Notification::topics`].
    pub fn topics(&self) -> impl Iterator<Item = Topic> {
        self.notification.topics(&self.site, self.incident)
    }
}

impl Alerts {
    /// Returns the chats that an alert about the topic was made for; `None` if none was made.
    pub fn notified(&self, topic: &Topic) -> Option<&[i64]> {
        self.notified.get(topic).map(Vec::as_slice)
    }

    /// Records that an alert about the topic was made for these chats.
    pub fn add_notified(&mut self, topic: Topic, chats: &[i64]) {
        let known = self.notified.entry(topic).or_default();
        let new = chats.iter().filter(|chat| !known.contains(chat));
        let new: Vec<i64> = new.copied().collect();
        known.extend(new);
    }

    pub fn on_alert(&mut self, alert: &NewAlert) {
        for topic in alert.notification.topics(&alert.site, alert.incident) {
            self.in_silence.remove(&topic);
            self.add_notified(topic, &alert.chats);
        }
    }

    /// Records that a chat was removed before it got an alert about the topic, unless it has
    /// another one.
    pub fn on_dropped(&mut self, topic: &Topic, chat: i64, incidents: &Incidents) {
        let has_another = match topic {
            Topic::Incident(number) => {
                let incident = incidents.get(*number);
                incident.is_some_and(|i| i.message_in(chat).is_some())
            }
            _ => false,
        };
        if let Some(chats) = self.notified.get_mut(topic).filter(|_| !has_another) {
            chats.retain(|known| *known != chat);
        }
    }

    /// Records that the alert of an incident was merged into another one, which does not name it.
    pub fn on_merged(&mut self, number: u32, incidents: &Incidents) {
        if incidents
            .get(number)
            .is_none_or(|i| i.messages().is_empty())
        {
            self.notified.remove(&Topic::Incident(number));
        }
    }

    /// Restores which chats an earlier run made an alert of the incident for: those that have a
    /// message about it, those that one of the `waiting` alerts is for, and `rest`. If none are
    /// known, `all`.
    pub fn restore_notified(
        &mut self,
        incident: &Incident,
        rest: Option<&[i64]>,
        waiting: &[Alert],
        all: &[i64],
    ) {
        let topic = Topic::Incident(incident.number());
        let waiting = waiting.iter().filter(|a| a.topics().any(|t| t == topic));
        let waiting = waiting
            .flat_map(|a| &a.chats)
            .chain(rest.unwrap_or_default())
            .copied();
        let delivered = incident.messages().iter().map(|(chat, _)| *chat);
        let known: Vec<i64> = delivered.chain(waiting).collect();
        let known = match rest.is_none() && known.is_empty() {
            true => all,
            false => &known,
        };
        self.add_notified(topic, known);
    }

    /// Drops incidents that are no longer remembered.
    pub fn keep_incidents(&mut self, incidents: &Incidents) {
        let gone =
            |topic: &Topic| matches!(topic, Topic::Incident(n) if incidents.get(*n).is_none());
        self.notified.retain(|topic, _| !gone(topic));
    }

    /// Resets the topics of a site whose state starts anew.
    pub fn on_reset(&mut self, name: &str) {
        self.end_slow(name);
        self.end_topic(&Topic::Flapping(name.to_owned()));
    }

    /// Ends the topic of a slow site. Returns the chats that were notified of it.
    pub(super) fn end_slow(&mut self, name: &str) -> Option<Vec<i64>> {
        self.end_topic(&Topic::Slow(name.to_owned()))
    }

    pub(super) fn end_topic(&mut self, topic: &Topic) -> Option<Vec<i64>> {
        self.in_silence.remove(topic);
        self.notified.remove(topic)
    }

    /// Returns whether the site became slow or flapping while muted or under maintenance, and was
    /// not notified yet.
    pub fn is_in_silence(&self, topic: &Topic) -> bool {
        self.in_silence.contains(topic)
    }

    /// Returns whether the site flaps and this was not notified yet.
    pub fn flaps_in_silence(&self, name: &str) -> bool {
        self.is_in_silence(&Topic::Flapping(name.to_owned()))
    }

    /// See [`Alerts::is_in_silence`].
    pub fn add_in_silence(&mut self, topic: Topic) {
        self.in_silence.insert(topic);
    }

    /// Drops sites that no longer exist.
    pub fn keep_sites(&mut self, sites: &Sites) {
        let known = |topic: &Topic| match topic {
            Topic::Flapping(name) | Topic::Slow(name) => sites.contains(name),
            Topic::Incident(_) | Topic::Fault(_) => true,
        };
        self.in_silence.retain(known);
        self.notified.retain(|topic, _| known(topic));
    }

    /// Replaces the id of a group. Its messages can no longer be edited.
    pub fn rename_chat(&mut self, from: i64, to: i64) {
        for chats in self.notified.values_mut() {
            rename(chats, from, to);
        }
        self.offline_messages.retain(|(chat, _)| *chat != from);
    }
}
