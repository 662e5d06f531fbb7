//! The part of an incident that survives a restart, as plain data.

#![allow(clippy::question_mark)] // in what nanoserde derives

use crate::monitor::incident::{Acknowledged, Incident};
use crate::monitor::time::Now;
use nanoserde::{DeJson, SerJson};
use std::time::Duration;

/// An incident as stored; moments are Unix seconds.
#[derive(Clone, Debug, Default, PartialEq, SerJson, DeJson)]
#[nserde(default)]
pub struct IncidentRecord {
    pub number: u32,
    pub site: String,
    pub cause: String,
    pub start: i64,
    pub end: Option<i64>,
    pub acknowledged_by: Option<i64>,
    pub acknowledged_name: Option<String>,
    pub acknowledged_at: Option<i64>,
    /// Chat, message, chat, message, …
    pub messages: Vec<i64>,
    /// An alert was made for it.
    pub told: bool,
    /// Chats that an alert was made for and that have no entry in `messages`. `None` if there are
    /// no such chats, or in a state of an earlier version.
    pub notified: Option<Vec<i64>>,
    pub reminded: i64,
    /// Seconds that do not count, as our own connection was down.
    pub blind: u64,
    /// Channels that it was sent to because it was not acknowledged; they will get its end.
    pub escalated: Option<Vec<String>>,
}

impl IncidentRecord {
    /// `notified`: the chats that an alert was made for.
    pub fn of(incident: &Incident, notified: Option<&[i64]>, now: Now) -> IncidentRecord {
        let ack = incident.acknowledged.as_ref();
        let without_message = notified.map(|chats| {
            let chats = chats.iter().copied();
            let without = chats.filter(|&chat| incident.message_in(chat).is_none());
            without.collect::<Vec<i64>>()
        });
        IncidentRecord {
            number: incident.number,
            site: incident.site.clone(),
            cause: incident.cause.clone(),
            start: now.wall_at(incident.start),
            end: incident.end.map(|end| now.wall_at(end)),
            acknowledged_by: ack.and_then(|a| a.by),
            acknowledged_name: ack.map(|a| a.name.clone()).filter(|name| !name.is_empty()),
            acknowledged_at: ack.map(|a| now.wall_at(a.at)),
            messages: incident
                .messages
                .iter()
                .flat_map(|&(chat, message)| [chat, message])
                .collect(),
            told: notified.is_some(),
            notified: without_message
                .filter(|chats| !chats.is_empty() || incident.messages.is_empty()),
            reminded: now.wall_at(incident.reminded),
            blind: incident.unjudged.as_secs(),
            escalated: None,
        }
    }

    pub fn restore(&self, now: Now) -> Incident {
        Incident {
            number: self.number,
            site: self.site.clone(),
            cause: self.cause.clone(),
            start: now.past_moment(self.start),
            end: self.end.map(|end| now.past_moment(end)),
            acknowledged: self.acknowledged_at.map(|at| Acknowledged {
                by: self.acknowledged_by,
                name: self.acknowledged_name.clone().unwrap_or_default(),
                at: now.past_moment(at),
            }),
            messages: self
                .messages
                .chunks_exact(2)
                .map(|pair| (pair[0], pair[1]))
                .collect(),
            reminded: now.past_moment(self.reminded),
            unjudged: Duration::from_secs(self.blind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::time::Moment;

    const NOW: Now = Now::utc(Duration::from_secs(1000), 1_800_000_000);

    #[test]
    fn an_incident_survives_the_way_through_json() {
        let incident = Incident {
            number: 12,
            site: "blog \"<&\u{1F600}".into(),
            cause: "HTTP 503, wanted 200-299".into(),
            start: Moment(400_000),
            end: None,
            acknowledged: Some(Acknowledged {
                name: "Ann".into(),
                by: Some(7),
                at: Moment(500_000),
            }),
            messages: vec![(-1_001_234_567_890, 42)],
            reminded: Moment(500_000),
            unjudged: Duration::from_secs(7),
        };
        let json = IncidentRecord::of(&incident, Some(&[7]), NOW).serialize_json();
        let read = IncidentRecord::deserialize_json(&json).expect("own JSON");
        assert_eq!(read.notified, Some(vec![7]));
        assert_eq!(read.restore(NOW), incident);
    }
}
