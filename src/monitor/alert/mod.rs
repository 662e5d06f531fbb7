//! What becomes an alert, and for which chats (docs/alerts.md).

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
use std::collections::{BTreeMap, HashSet};
use std::mem::{Discriminant, discriminant};
use std::time::Duration;

/// Which changes become alerts, and which chats were notified of them.
#[derive(Debug, Default)]
pub struct Alerts {
    /// Everything is muted until then.
    muted_until: Option<Moment>,
    /// Alerts of these hours have no sound.
    quiet: Option<Hours>,
    digest: Digest,
    /// See [`Alerts::notified`].
    notified: BTreeMap<Topic, Vec<i64>>,
    /// Sites that became slow while they were muted or under maintenance: an alert says so when that
    /// is over.
    slow_in_silence: HashSet<String>,
    /// Faults that no alert was made of yet, and when one is due.
    due_faults: Vec<(UplinkFault, Moment)>,
    /// The messages that say the last offline period and nothing else: chat and message.
    offline_messages: Vec<(i64, i64)>,
}

impl Alerts {
    /// `digest`: when the daily summary is due, in minutes since local midnight.
    pub fn new(quiet: Option<Hours>, digest: Option<u16>) -> Alerts {
        let mut alerts = Alerts::default();
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

    /// The local day, counted from 1970, that the last daily summary was sent on.
    pub fn digested(&self) -> Option<i64> {
        self.digest.sent
    }

    /// Alerts have no sound at this hour, by a clock that is believed.
    pub fn quiet(&self, now: Now) -> bool {
        let quiet = self.quiet.as_ref();
        quiet.is_some_and(|hours| hours.have(now.wall, now.zone))
    }
}

/// One notification, and the chats that it still has to reach.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Counts up; also their order.
    pub id: u64,
    pub notification: Notification,
    /// Name of the site; empty for notices of the agent itself.
    pub site: String,
    pub incident: Option<u32>,
    pub at: Moment,
    /// Chats that have not confirmed it yet.
    pub chats: Vec<i64>,
    /// Chats that have it, or its like for them.
    pub delivered: Vec<i64>,
    /// In these chats it replaces the text of a message: chat and message.
    pub edits: Vec<(i64, i64)>,
    /// It is on disk, or cannot be: it may be sent.
    pub stored: bool,
    pub by_channels: ByChannels,
}

/// What channels besides the chats have to do with an alert for chats.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ByChannels {
    /// The channels that it went to because it could not be sent.
    pub handed: Vec<String>,
    /// The channels that have it.
    pub sent: Vec<String>,
    /// A chat could not be reached with it at first.
    pub delayed: bool,
}

impl Alert {
    /// What it is made of: alerts for several chats that differ in their words have this in common.
    pub fn event(&self) -> (Moment, Discriminant<Notification>, Option<u32>, String) {
        let kind = discriminant(&self.notification);
        (self.at, kind, self.incident, self.site.clone())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Notification {
    Down {
        cause: String,
        /// The part of `cause` that other sites may share, when that is not all of it:
        /// [`crate::monitor::site::outcome::Failure::common`].
        common: Option<String>,
        /// Sites that depend on it and are unreachable with it.
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
    /// It is degraded by what a check found, not by how long that took.
    Degraded {
        cause: String,
    },
    /// It is not degraded any more.
    Well {
        lasted: Duration,
    },
    /// It comes and goes; the cause when it is down.
    Flapping {
        cause: Option<String>,
    },
    /// Several changes that had to wait for a write, in one; the cause when it is down or slow now.
    Changes {
        times: u32,
        cause: Option<String>,
    },
    /// It no longer flaps; the cause when it stays down.
    Steady {
        cause: Option<String>,
        lasted: Duration,
    },
    /// A certificate or a domain ends soon, or has ended.
    Expiring {
        subject: Subject,
        expiry: Expiry,
    },
    /// It was renewed.
    Renewed {
        subject: Subject,
        expiry: Expiry,
    },
    /// Our own line was down.
    Offline(Period),
    /// The daily summary, in HTML.
    Digest {
        html: String,
    },
    /// Of the agent itself: plain text.
    Notice {
        text: String,
    },
}

impl Notification {
    /// It says that an incident is over, and nothing else of it.
    pub fn ends_incident(&self) -> bool {
        matches!(self, Notification::Up { .. })
    }

    /// What got worse has a sound, what got better has none.
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

    /// What a headline counts it as.
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

    /// Of a change of a site's state: why it is down or slow now. `None` for other notifications.
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

    /// The site's note stands under it.
    pub fn wants_note(&self) -> bool {
        matches!(
            self,
            Notification::Down { .. } | Notification::StillDown { .. }
        )
    }

    /// How many changes of a site's state it stands for.
    pub fn changes(&self) -> u32 {
        match self {
            Notification::Changes { times, .. } => *times,
            Notification::StillDown { .. } => 0,
            _ => 1,
        }
    }
}
