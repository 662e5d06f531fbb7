//! Alerts: which changes are notified, and to which chats (docs/alerts.md).

mod agent_notices;
pub(crate) mod audience;
pub(crate) mod batching;
pub(crate) mod digest;
pub(crate) mod grouping;
mod mutes;
pub mod notified;
pub(crate) mod reminders;
pub(crate) mod root_notices;
pub(crate) mod transition_alerts;
mod uplink_notices;
pub(crate) mod words;

use crate::monitor::alert::digest::Digest;
use crate::monitor::alert::notified::Topic;
use crate::monitor::expiry::Subject;
use crate::monitor::site::outcome::Expiry;
use crate::monitor::site::suppression::UplinkFault;
use crate::monitor::time::hours::Hours;
use crate::monitor::time::{Moment, Now};
use crate::monitor::uplink::Period;
use std::collections::{BTreeMap, BTreeSet};
use std::mem::{Discriminant, discriminant};
use std::time::Duration;

/// Selects the changes to notify, and remembers which chats were notified.
#[derive(Debug, Default)]
pub struct Alerts {
    /// Everything is muted until then.
    muted_until: Option<Moment>,
    /// Hours in which alerts are silent.
    quiet: Option<Hours>,
    digest: Digest,
    /// See [`Alerts::notified`].
    notified: BTreeMap<Topic, Vec<i64>>,
    /// When reminders and the ends of mutes are to be looked at; `None`: no time brings one about.
    reminders_at: Option<Moment>,
    /// Sites that became slow or flapping while muted or under maintenance; an alert follows when
    /// that ends.
    in_silence: BTreeSet<Topic>,
    /// Faults that were not notified yet, and when the notice is due.
    due_faults: Vec<(UplinkFault, Moment)>,
    /// Messages about the last offline period only: chat and message id.
    offline_messages: Vec<(i64, i64)>,
}

impl Alerts {
    /// `digest`: when the daily summary is due, in minutes since local midnight.
    pub fn new(quiet: Option<Hours>, digest: Option<u16>) -> Alerts {
        let mut alerts = Alerts::default();
        alerts.outdate_reminders();
        alerts.reload(quiet, digest);
        alerts
    }

    pub fn reload(&mut self, quiet: Option<Hours>, digest: Option<u16>) {
        self.quiet = quiet;
        self.digest.at = digest;
    }

    /// `digested`: see [`Alerts::digested`].
    pub fn restore(&mut self, muted_until: Option<Moment>, digested: Option<i64>) {
        self.muted_until = muted_until;
        self.digest.sent = digested;
    }

    /// Returns the local day, in days since 1970, on which the last daily summary was sent.
    pub fn digested(&self) -> Option<i64> {
        self.digest.sent
    }

    /// Returns whether alerts are silent at this hour; the clock must be trusted.
    pub fn quiet(&self, now: Now) -> bool {
        let quiet = self.quiet.as_ref();
        quiet.is_some_and(|hours| hours.have(now.wall, now.zone))
    }
}

/// A notification, and the chats that have not received it yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Increases in the order of the alerts.
    pub id: u64,
    pub notification: Notification,
    /// Name of the site; empty for notices about the agent itself.
    pub site: String,
    pub incident: Option<u32>,
    pub at: Moment,
    /// Chats that have not received it yet.
    pub chats: Vec<i64>,
    /// Chats that received this alert or another one about the same event.
    pub delivered: Vec<i64>,
    /// Messages whose text it replaces: chat and message id.
    pub edits: Vec<(i64, i64)>,
    /// It is on disk, or cannot be written: it may be sent.
    pub stored: bool,
    pub by_channels: ByChannels,
}

/// Channels that send copies of an alert.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ByChannels {
    /// Channels that took over the alert because Telegram could not be reached.
    pub handed: Vec<String>,
    /// Channels that have sent it.
    pub sent: Vec<String>,
    /// The first attempt to reach a chat failed.
    pub delayed: bool,
}

impl Alert {
    /// Identifies the event: alerts about it for several chats may differ in text.
    pub fn event(&self) -> (Moment, Discriminant<Notification>, Option<u32>, String) {
        let kind = discriminant(&self.notification);
        (self.at, kind, self.incident, self.site.clone())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Notification {
    Down {
        cause: String,
        /// The part of `cause` that other sites may share, if not all of it
        /// ([`crate::monitor::site::outcome::Failure::common`]).
        common: Option<String>,
        /// Number of sites that depend on it and are unreachable with it.
        behind: usize,
    },
    StillDown {
        cause: String,
        lasted: Duration,
    },
    Up {
        lasted: Duration,
    },
    Slow {
        cause: String,
    },
    Fast {
        lasted: Duration,
    },
    /// Degraded by what a check found, not by its duration.
    Degraded {
        cause: String,
    },
    /// No longer degraded.
    Well {
        lasted: Duration,
    },
    /// The state changes often; `cause` if the site is down now.
    Flapping {
        cause: Option<String>,
    },
    /// Several changes that waited for a write, merged; `cause` if the site is down or slow now.
    Changes {
        times: u32,
        cause: Option<String>,
    },
    /// No longer flapping; `cause` if the site is still down.
    Steady {
        cause: Option<String>,
        lasted: Duration,
    },
    /// A certificate or a domain expires soon, or has expired.
    Expiring {
        subject: Subject,
        expiry: Expiry,
    },
    /// A certificate or a domain was renewed.
    Renewed {
        subject: Subject,
        expiry: Expiry,
    },
    /// Our own connection was down.
    Offline(Period),
    /// The daily summary, in HTML.
    Digest {
        html: String,
    },
    /// About the agent itself, in plain text.
    Notice {
        text: String,
    },
}

impl Notification {
    /// Returns whether it only reports the end of an incident.
    pub fn ends_incident(&self) -> bool {
        matches!(self, Notification::Up { .. })
    }

    /// Returns whether it makes no sound: improvements, offline periods and the daily summary.
    pub fn silent(&self) -> bool {
        matches!(
            self,
            Notification::Up { .. }
                | Notification::Fast { .. }
                | Notification::Well { .. }
                | Notification::Steady { cause: None, .. }
                | Notification::Offline(_)
                | Notification::Digest { .. }
                | Notification::Renewed { .. }
        )
    }

    /// Returns the word under which a headline counts it.
    pub(super) fn heading(&self) -> &'static str {
        match self {
            Notification::Down { .. } => "down",
            Notification::StillDown { .. } | Notification::Steady { cause: Some(_), .. } => {
                "still down"
            }
            Notification::Flapping { .. } | Notification::Changes { .. } => "flapping",
            Notification::Slow { .. } => "slow",
            Notification::Degraded { .. } => "degraded",
            Notification::Up { .. }
            | Notification::Fast { .. }
            | Notification::Well { .. }
            | Notification::Steady { .. } => "up again",
            Notification::Expiring { .. }
            | Notification::Renewed { .. }
            | Notification::Notice { .. }
            | Notification::Offline(_)
            | Notification::Digest { .. } => "notice",
        }
    }

    /// Returns why the site is down or slow now, if this is a change of a site's state; `None` for
    /// other notifications.
    pub fn state_now(&self) -> Option<Option<&str>> {
        match self {
            Notification::Down { cause, .. }
            | Notification::StillDown { cause, .. }
            | Notification::Slow { cause }
            | Notification::Degraded { cause } => Some(Some(cause)),
            Notification::Flapping { cause }
            | Notification::Changes { cause, .. }
            | Notification::Steady { cause, .. } => Some(cause.as_deref()),
            Notification::Up { .. } | Notification::Fast { .. } | Notification::Well { .. } => {
                Some(None)
            }
            Notification::Expiring { .. }
            | Notification::Renewed { .. }
            | Notification::Offline(_)
            | Notification::Digest { .. }
            | Notification::Notice { .. } => None,
        }
    }

    /// Returns whether the site's note is added.
    pub fn wants_note(&self) -> bool {
        matches!(
            self,
            Notification::Down { .. } | Notification::StillDown { .. }
        )
    }

    /// Returns how many changes of a site's state it stands for.
    pub fn changes(&self) -> u32 {
        match self {
            Notification::Changes { times, .. } => *times,
            Notification::StillDown { .. } => 0,
            _ => 1,
        }
    }
}
