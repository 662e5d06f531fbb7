//! The state that survives a restart, as plain data. Times are Unix seconds.

#![allow(clippy::question_mark)] // in what nanoserde derives

use crate::monitor::alert::{Alert, ByChannels, Notification};
pub use crate::monitor::bot::added_record::AddedRecord;
use crate::monitor::expiry::Subject;
use crate::monitor::expiry::records::{ExpiryRecord, RootRecord};
use crate::monitor::incident::record::IncidentRecord;
use crate::monitor::incident::remediation::record::RunRecord;
use crate::monitor::site::job::JobRecord;
use crate::monitor::site::outcome::Expiry;
use crate::monitor::site::printable::{ADDRESS, CAUSE, MESSAGE, NAME, line, lines};
use crate::monitor::time::Now;
use crate::monitor::uplink::Period;
use nanoserde::{DeJson, SerJson};
use std::time::Duration;

/// The saved state. Fields may be added; a missing one reads as its default.
#[derive(Clone, Debug, Default, PartialEq, SerJson, DeJson)]
#[nserde(default)]
pub struct Snapshot {
    /// When the snapshot was taken.
    pub written: i64,
    /// Whether it is the last snapshot of an orderly stop.
    pub clean: bool,
    /// When an earlier run was last seen whose unclean stop was not notified yet.
    pub unclean_since: Option<i64>,
    /// Since when our own connection is down.
    pub offline_since: Option<i64>,
    /// The faults of our uplink that have alerts (words of
    /// [`crate::monitor::site::suppression::UplinkFault`]), and since when.
    pub troubles: Vec<String>,
    pub troubles_since: Vec<i64>,
    /// The chats that were notified of each fault; `None` in a state of an earlier version.
    pub troubles_chats: Option<Vec<Vec<i64>>>,
    /// The route to Telegram in use, if it is not the first: its name, without secrets.
    pub route: Option<String>,
    /// Number of the highest Telegram update that was handled.
    pub last_update: Option<i64>,
    /// The local day of the last daily summary, in days since 1970-01-01.
    pub digested: Option<i64>,
    pub next_incident: u32,
    pub muted_until: Option<i64>,
    /// Groups that have a new id, as pairs: old, new, old, new, …
    pub moved: Vec<i64>,
    /// The registries' servers. The agent fills this in, not the core.
    pub registries: Vec<RegistryRecord>,
    /// Root certificates of this machine's bundle that expire.
    pub roots: Vec<RootRecord>,
    /// Sites that were added in chats.
    pub added: Option<Vec<AddedRecord>>,
    /// Runs of actions, oldest first.
    pub runs: Option<Vec<RunRecord>>,
    pub sites: Vec<SiteRecord>,
    pub incidents: Vec<IncidentRecord>,
    pub alerts: Vec<AlertRecord>,
}

#[derive(Clone, Debug, Default, PartialEq, SerJson, DeJson)]
#[nserde(default)]
pub struct SiteRecord {
    pub name: String,
    /// A word of [`crate::monitor::site::state::State`].
    pub state: String,
    pub since: i64,
    /// Why it is not up. A new cause alone does not trigger a write.
    pub cause: Option<String>,
    /// Response time of the last check in ms. It does not trigger a write.
    pub ms: Option<u64>,
    pub paused: Option<bool>,
    pub muted_until: Option<i64>,
    /// The judged state, where `state` shows another one (unreachable, offline, paused).
    pub judged: Option<String>,
    /// When it went down or up within the last hour, for the detection of flapping.
    pub changes: Vec<i64>,
    /// An alert reported that it flaps; another one will report the end. It flaps, too, if
    /// `flapping_untold`.
    pub flapping: bool,
    /// An alert reported that it is slow.
    pub slow_told: bool,
    /// The chats that got these two alerts; `None` in a state of an earlier version.
    pub flapping_chats: Option<Vec<i64>>,
    pub slow_chats: Option<Vec<i64>>,
    /// It became flapping or slow under a mute or maintenance, which has no alert yet.
    pub flapping_untold: Option<bool>,
    pub slow_untold: Option<bool>,
    pub expiry: Vec<ExpiryRecord>,
    /// State of a `push:` site.
    pub job: Option<JobRecord>,
}

/// The RDAP server for the domains below a top-level domain (RFC 9224).
#[derive(Clone, Debug, Default, PartialEq, SerJson, DeJson)]
#[nserde(default)]
pub struct RegistryRecord {
    pub domain: String,
    /// URL of the RDAP server; empty if there is none.
    pub url: String,
    /// When that was looked up.
    pub at: i64,
}

#[derive(Clone, Debug, Default, PartialEq, SerJson, DeJson)]
#[nserde(default)]
pub struct AlertRecord {
    /// Unique for the life of the state directory, ascending.
    pub id: u64,
    pub news: String,
    pub text: String,
    pub seconds: u64,
    pub site: String,
    pub incident: Option<u32>,
    pub at: i64,
    pub chats: Vec<i64>,
    /// Chats that have received it.
    pub delivered: Option<Vec<i64>>,
    /// Numbers that this kind of notification needs.
    pub numbers: Vec<i64>,
    /// For `down`: the part of the cause that other sites may share.
    pub common: Option<String>,
    /// The channel that it waits for, instead of chats.
    pub channel: Option<String>,
    /// For an alert that waits for chats: the channels that it was passed to meanwhile.
    pub handed: Option<Vec<String>>,
    /// For an alert whose delivery to a chat failed at first: the channels that have received it.
    pub sent_by: Option<Vec<String>>,
}

/// Maximum length of an added site's URL in bytes.
pub const LONGEST_URL: usize = 2000;

impl Snapshot {
    /// Returns the snapshot with every text truncated and made printable, as an older version may
    /// have saved the text of a server unchanged.
    pub fn printable(mut self) -> Snapshot {
        let clean = |text: &mut String, most| *text = line(text, most);
        let clean_some = |text: &mut Option<String>, most| {
            if let Some(text) = text {
                clean(text, most);
            }
        };
        clean_some(&mut self.route, ADDRESS);
        for word in &mut self.troubles {
            clean(word, NAME);
        }
        self.registries
            .retain(|r| r.domain.len() <= ADDRESS && r.url.len() <= ADDRESS);
        for registry in &mut self.registries {
            clean(&mut registry.domain, ADDRESS);
            clean(&mut registry.url, ADDRESS);
        }
        for root in &mut self.roots {
            for text in [&mut root.subject, &mut root.issuer, &mut root.key] {
                clean(text, CAUSE);
            }
            for site in &mut root.sites {
                clean(site, NAME);
            }
        }
        for added in self.added.iter_mut().flatten() {
            clean(&mut added.name, NAME);
            clean(&mut added.url, LONGEST_URL);
        }
        for site in self.sites.iter_mut() {
            clean(&mut site.name, NAME);
            clean(&mut site.state, NAME);
            clean_some(&mut site.cause, CAUSE);
            clean_some(&mut site.judged, NAME);
            for expiry in &mut site.expiry {
                clean(&mut expiry.kind, NAME);
                for text in [&mut expiry.subject, &mut expiry.issuer, &mut expiry.key] {
                    clean(text, CAUSE);
                }
            }
        }
        for incident in &mut self.incidents {
            clean(&mut incident.site, NAME);
            clean(&mut incident.cause, CAUSE);
            clean_some(&mut incident.acknowledged_name, NAME);
            let channels = incident.escalated.iter_mut().flatten();
            channels.for_each(|name| clean(name, NAME));
        }
        for run in self.runs.iter_mut().flatten() {
            clean(&mut run.action, NAME);
            clean(&mut run.site, NAME);
            clean_some(&mut run.name, NAME);
        }
        for alert in &mut self.alerts {
            clean(&mut alert.news, NAME);
            clean(&mut alert.site, NAME);
            clean_some(&mut alert.common, CAUSE);
            clean_some(&mut alert.channel, NAME);
            let channels = alert.handed.iter_mut().chain(&mut alert.sent_by).flatten();
            channels.for_each(|name| clean(name, NAME));
            // The summary is HTML that contains our own direction marks.
            if alert.news != "digest" {
                alert.text = lines(&alert.text, MESSAGE);
            }
        }
        self
    }
}

impl AlertRecord {
    pub fn of(alert: &Alert, now: Now) -> AlertRecord {
        let mut numbers = Vec::new();
        let parts;
        let (news, text, lasted) = match &alert.notification {
            Notification::Down { cause, behind, .. } => {
                numbers = vec![i64::try_from(*behind).unwrap_or(0)];
                ("down", cause.as_str(), Duration::ZERO)
            }
            Notification::Offline(period) => {
                let Period { from, until, .. } = *period;
                let undated = i64::from(!period.dated);
                numbers = vec![from, until, i64::from(period.times), undated];
                ("offline", "", period.total)
            }
            Notification::Expiring { subject, expiry }
            | Notification::Renewed { subject, expiry } => {
                numbers = vec![i64::from(*subject == Subject::Domain), expiry.ends];
                parts = format!("{}\n{}\n{}", expiry.subject, expiry.issuer, expiry.key);
                let new = matches!(alert.notification, Notification::Renewed { .. });
                let word = if new { "renewed" } else { "expiring" };
                (word, parts.as_str(), Duration::ZERO)
            }
            Notification::Flapping { cause } => {
                ("flapping", cause.as_deref().unwrap_or(""), Duration::ZERO)
            }
            Notification::Changes { times, cause } => {
                numbers = vec![i64::from(*times)];
                let cause = cause.as_deref().unwrap_or("");
                ("changes", cause, Duration::ZERO)
            }
            Notification::Steady { cause, lasted } => {
                ("steady", cause.as_deref().unwrap_or(""), *lasted)
            }
            Notification::StillDown { cause, lasted } => ("still-down", cause.as_str(), *lasted),
            Notification::Up { lasted } => ("up", "", *lasted),
            Notification::Slow { cause } => ("slow", cause.as_str(), Duration::ZERO),
            Notification::Fast { lasted } => ("fast", "", *lasted),
            Notification::Degraded { cause } => ("degraded", cause.as_str(), Duration::ZERO),
            Notification::Well { lasted } => ("well", "", *lasted),
            Notification::Digest { html } => ("digest", html.as_str(), Duration::ZERO),
            Notification::Notice { text } => ("notice", text.as_str(), Duration::ZERO),
        };
        let by = &alert.by_channels;
        AlertRecord {
            id: alert.id,
            numbers,
            news: news.to_owned(),
            text: text.to_owned(),
            seconds: lasted.as_secs(),
            site: alert.site.clone(),
            incident: alert.incident,
            at: now.wall_at(alert.at),
            chats: alert.chats.clone(),
            delivered: Some(alert.delivered.clone()).filter(|chats| !chats.is_empty()),
            common: match &alert.notification {
                Notification::Down { common, .. } => common.clone(),
                _ => None,
            },
            channel: None,
            handed: Some(by.handed.clone()).filter(|names| !names.is_empty()),
            sent_by: Some(by.sent.clone()).filter(|names| by.delayed && !names.is_empty()),
        }
    }

    /// Restores an alert. An unknown kind of notification becomes a notice with the same text.
    pub fn restore(&self, now: Now) -> Alert {
        let text = self.text.clone();
        let lasted = Duration::from_secs(self.seconds);
        let number = |place: usize| self.numbers.get(place).copied().unwrap_or(0);
        let cause = Some(text.clone()).filter(|t| !t.is_empty());
        let notification = match self.news.as_str() {
            "down" => Notification::Down {
                cause: text,
                common: self.common.clone(),
                behind: usize::try_from(number(0)).unwrap_or(0),
            },
            "offline" => Notification::Offline(Period {
                from: number(0),
                until: number(1),
                times: u32::try_from(number(2)).unwrap_or(1),
                total: lasted,
                dated: number(3) == 0,
            }),
            "expiring" | "renewed" => {
                let mut parts = text.split('\n');
                let mut part = || parts.next().unwrap_or_default();
                let expiry = Expiry::new(number(1), part(), part(), part());
                let subject = match number(0) {
                    0 => Subject::Certificate,
                    _ => Subject::Domain,
                };
                match self.news.as_str() {
                    "renewed" => Notification::Renewed { subject, expiry },
                    _ => Notification::Expiring { subject, expiry },
                }
            }
            "flapping" => Notification::Flapping { cause },
            "changes" => Notification::Changes {
                times: u32::try_from(number(0)).unwrap_or(0),
                cause,
            },
            "steady" => Notification::Steady { cause, lasted },
            "still-down" => Notification::StillDown {
                cause: text,
                lasted,
            },
            "up" => Notification::Up { lasted },
            "slow" => Notification::Slow { cause: text },
            "fast" => Notification::Fast { lasted },
            "degraded" => Notification::Degraded { cause: text },
            "well" => Notification::Well { lasted },
            "digest" => Notification::Digest { html: text },
            _ => Notification::Notice { text },
        };
        Alert {
            id: self.id,
            notification,
            site: self.site.clone(),
            incident: self.incident,
            at: now.past_moment(self.at),
            chats: self.chats.clone(),
            delivered: self.delivered.clone().unwrap_or_default(),
            edits: Vec::new(),
            stored: true,
            by_channels: ByChannels {
                handed: match &self.handed {
                    Some(names) if !mutated!("forget what was handed to channels") => names.clone(),
                    _ => Vec::new(),
                },
                sent: self.sent_by.clone().unwrap_or_default(),
                delayed: self.handed.is_some() || self.sent_by.is_some(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::time::Moment;

    const NOW: Now = Now::utc(Duration::from_secs(1000), 1_800_000_000);

    #[test]
    fn every_kind_of_alert_survives_the_way_through_json() {
        let s = Duration::from_secs(5);
        for notification in [
            Notification::Down {
                cause: "x by y".into(),
                common: Some("x".into()),
                behind: 4,
            },
            Notification::Offline(Period {
                from: 1_800_000_000,
                until: 1_800_000_060,
                times: 3,
                total: s,
                dated: false,
            }),
            Notification::Expiring {
                subject: Subject::Certificate,
                expiry: Expiry {
                    ends: 1_900_000_000,
                    subject: "example.org".into(),
                    issuer: "R11".into(),
                    key: "RSA 2048".into(),
                },
            },
            Notification::Renewed {
                subject: Subject::Domain,
                expiry: Expiry {
                    ends: 1_900_000_000,
                    subject: "example.org".into(),
                    issuer: String::new(),
                    key: String::new(),
                },
            },
            Notification::Flapping { cause: None },
            Notification::Flapping {
                cause: Some("x".into()),
            },
            Notification::Changes {
                times: 14,
                cause: Some("x".into()),
            },
            Notification::Steady {
                cause: None,
                lasted: s,
            },
            Notification::StillDown {
                cause: "x".into(),
                lasted: s,
            },
            Notification::Up { lasted: s },
            Notification::Slow { cause: "x".into() },
            Notification::Degraded { cause: "x".into() },
            Notification::Well { lasted: s },
            Notification::Fast { lasted: s },
            Notification::Digest {
                html: "<b>all</b>".into(),
            },
            Notification::Notice { text: "hm".into() },
        ] {
            let alert = Alert {
                id: 0,
                notification,
                site: "blog".into(),
                incident: Some(3),
                at: Moment(0),
                chats: vec![1, -2],
                delivered: vec![3],
                edits: Vec::new(),
                stored: true,
                by_channels: ByChannels {
                    handed: vec!["ntfy".into()],
                    sent: vec!["hook".into()],
                    delayed: true,
                },
            };
            let json = AlertRecord::of(&alert, NOW).serialize_json();
            let read = AlertRecord::deserialize_json(&json).expect("own JSON");
            assert_eq!(read.restore(NOW), alert);
        }
    }

    #[test]
    fn texts_that_an_older_version_kept_are_made_short_and_harmless() {
        let hostile = |size| format!("a\u{1b}[2J\n\u{202e}{}", "x".repeat(size));
        let kept = Snapshot {
            sites: vec![SiteRecord {
                name: "blog".into(),
                cause: Some(hostile(900_000)),
                expiry: vec![ExpiryRecord {
                    issuer: hostile(900_000),
                    ..ExpiryRecord::default()
                }],
                ..SiteRecord::default()
            }],
            incidents: vec![IncidentRecord {
                cause: hostile(900_000),
                acknowledged_name: Some(hostile(900_000)),
                ..IncidentRecord::default()
            }],
            registries: vec![RegistryRecord {
                domain: "com".into(),
                url: hostile(900_000),
                at: 1,
            }],
            alerts: vec![AlertRecord {
                news: "notice".into(),
                text: hostile(900_000),
                ..AlertRecord::default()
            }],
            ..Snapshot::default()
        };
        let clean = kept.printable();
        assert!(clean.serialize_json().len() < 8_000);
        assert_eq!(clean.sites[0].name, "blog");
        assert!(clean.sites[0].expiry[0].issuer.starts_with("a [2J xxx"));
        assert!(clean.registries.is_empty());
        assert!(clean.alerts[0].text.starts_with("a [2J\nxxx"));
        let again = clean.clone().printable();
        assert_eq!(again, clean);
    }

    #[test]
    fn fields_of_a_newer_or_older_version_do_no_harm() {
        let read = Snapshot::deserialize_json(r#"{"written":5,"unheard_of":[{"a":1}]}"#);
        assert_eq!(read.expect("readable").written, 5);
    }
}
