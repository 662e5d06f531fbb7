//! Which transitions, ends of mutes and reminders become alerts, and for which chats.

use crate::monitor::alert::notified::Topic;
use crate::monitor::alert::{Alerts, Notification};
use crate::monitor::incident::unclean_stop::UncleanStop;
use crate::monitor::incident::{Incident, Incidents};
use crate::monitor::site::access::{Access, may_see};
use crate::monitor::site::flapping::ChangeNotice;
use crate::monitor::site::state::{SiteState, State};
use crate::monitor::site::table::Sites;
use crate::monitor::time::text::{SLOW, clock_times};
use crate::monitor::time::{Moment, Now};
use std::collections::BTreeSet;
use std::time::Duration;

/// The clock that dated what was last written may have been ahead by so much, in seconds.
const CLOCK_TOLERANCE: i64 = 60;

/// An alert that is to be queued.
#[derive(Debug)]
pub struct NewAlert {
    pub notification: Notification,
    /// Name of the site; empty for what the agent says of itself.
    pub site: String,
    pub incident: Option<u32>,
    pub chats: Vec<i64>,
    /// It must be on disk at once, whatever was written today.
    pub at_once: bool,
}

impl NewAlert {
    /// Plain text, of the agent itself.
    pub fn notice(chats: Vec<i64>, text: String) -> NewAlert {
        NewAlert::general(Notification::Notice { text }, chats)
    }

    /// Of no site.
    pub fn general(notification: Notification, chats: Vec<i64>) -> NewAlert {
        NewAlert {
            notification,
            site: String::new(),
            incident: None,
            chats,
            at_once: true,
        }
    }

    /// For those of its chats that are among these.
    fn only_for(mut self, chats: &[i64]) -> NewAlert {
        self.chats.retain(|chat| chats.contains(chat));
        self
    }
}

/// What alerts need to know of the sites and the chats.
#[derive(Clone, Copy)]
pub struct Audience<'a> {
    pub sites: &'a Sites,
    pub access: &'a Access,
    pub now: Now,
}

impl<'a> Audience<'a> {
    pub fn new(sites: &'a Sites, access: &'a Access, now: Now) -> Audience<'a> {
        Audience { sites, access, now }
    }

    /// For all chats that get the alerts of the site.
    pub fn alert(
        self,
        site: &SiteState,
        notification: Notification,
        incident: Option<u32>,
    ) -> NewAlert {
        NewAlert {
            notification,
            site: site.name().to_owned(),
            incident,
            chats: self.access.chats_of(site.config()),
            at_once: false,
        }
    }

    /// How many of the sites `behind` a site each of its chats may know of.
    fn behind_by_chat(self, site: &SiteState, behind: &[usize]) -> Vec<(usize, Vec<i64>)> {
        let chats = self.access.chats_of(site.config());
        if chats.is_empty() {
            return vec![(0, chats)];
        }
        by_words(&chats, |chat| {
            let seen = behind.iter();
            let seen = seen.filter(|&&at| may_see(chat, self.sites[at].config()));
            seen.count()
        })
    }
}

/// What each of the chats is to read, and which read the same. Those share an alert: two of them may
/// be one group by its old id and its new one, which then reads it once.
pub fn by_words<T: PartialEq>(chats: &[i64], words: impl Fn(i64) -> T) -> Vec<(T, Vec<i64>)> {
    let mut all: Vec<(T, Vec<i64>)> = Vec::new();
    for &chat in chats {
        let words = words(chat);
        match all.iter_mut().find(|(same, _)| *same == words) {
            Some((_, chats)) => chats.push(chat),
            None => all.push((words, vec![chat])),
        }
    }
    all
}

impl Alerts {
    /// Everything is muted.
    pub fn all_muted(&self, now: Moment) -> bool {
        self.muted_until.is_some_and(|until| until > now)
    }

    /// No new alert is made of the site: it or everything is muted, or it is under maintenance.
    pub fn muted(&self, site: &SiteState, now: Moment) -> bool {
        self.all_muted(now) || site.is_muted(now) || site.under_maintenance()
    }

    /// No alert is made of the site but the end of what had one: it is muted, under maintenance,
    /// flapping or not judged, or recovering.
    fn is_held_back(&self, site: &SiteState, now: Moment) -> bool {
        let covered = site.is_suppressed() || site.flapping().is_flapping() || site.is_uncertain();
        covered || self.muted(site, now)
    }

    /// A site went down: `None` when no alert is made now. `behind`: the sites that depend on it.
    pub fn on_down(
        &mut self,
        audience: Audience,
        at: usize,
        number: u32,
        cause: &str,
        notice: ChangeNotice,
        behind: &[usize],
    ) -> Option<Vec<NewAlert>> {
        let site = &audience.sites[at];
        // Its recovery is one from down.
        self.end_slow(site.name());
        if notice == ChangeNotice::Silent || self.muted(site, audience.now.moment()) {
            return None;
        }
        if notice == ChangeNotice::Flapping {
            let cause = Some(cause.to_owned());
            let notification = Notification::Flapping { cause };
            return Some(vec![audience.alert(site, notification, Some(number))]);
        }
        let common = site.common_cause(cause);
        let by_chat = audience.behind_by_chat(site, behind).into_iter();
        let alerts = by_chat.map(|(behind, chats)| NewAlert {
            notification: Notification::Down {
                cause: cause.to_owned(),
                common: common.clone(),
                behind,
            },
            site: site.name().to_owned(),
            incident: Some(number),
            chats,
            at_once: false,
        });
        Some(alerts.collect())
    }

    /// The end of an incident is for the chats that were notified of it, muted since or not.
    pub fn on_up(
        &mut self,
        audience: Audience,
        at: usize,
        ended: &Incident,
        notice: ChangeNotice,
    ) -> Option<NewAlert> {
        let site = &audience.sites[at];
        let notified = self.notified(&Topic::Incident(ended.number()));
        match notice {
            ChangeNotice::Normal => {
                let lasted = ended.length(audience.now);
                let notification = Notification::Up { lasted };
                let alert = audience.alert(site, notification, Some(ended.number()));
                if mutated!("tell the end of an outage that was not told") && notified.is_none() {
                    return Some(alert);
                }
                Some(alert.only_for(notified?))
            }
            ChangeNotice::Flapping => self.flapping(audience, site, notified.is_some()),
            ChangeNotice::Silent => None,
        }
    }

    pub fn on_slow(
        &mut self,
        audience: Audience,
        at: usize,
        cause: String,
        notice: ChangeNotice,
    ) -> Option<NewAlert> {
        let site = &audience.sites[at];
        self.end_slow(site.name());
        match notice {
            ChangeNotice::Normal if self.muted(site, audience.now.moment()) => {
                self.slow_in_silence.insert(site.name().to_owned());
                None
            }
            ChangeNotice::Normal => Some(audience.alert(site, degraded(cause), None)),
            ChangeNotice::Flapping => self.flapping(audience, site, false),
            ChangeNotice::Silent => None,
        }
    }

    pub fn on_fast(
        &mut self,
        audience: Audience,
        at: usize,
        lasted: Duration,
        notice: ChangeNotice,
    ) -> Option<NewAlert> {
        let site = &audience.sites[at];
        let notified = self.end_slow(site.name());
        match notice {
            ChangeNotice::Normal => {
                let over = match site.config().slow {
                    Some(_) => Notification::Fast { lasted },
                    None => Notification::Well { lasted },
                };
                let alert = audience.alert(site, over, None);
                Some(alert.only_for(&notified?))
            }
            ChangeNotice::Flapping => self.flapping(audience, site, notified.is_some()),
            ChangeNotice::Silent => None,
        }
    }

    /// It flaps, by a change that is not its going down.
    fn flapping(
        &self,
        audience: Audience,
        site: &SiteState,
        known_before: bool,
    ) -> Option<NewAlert> {
        let wanted = known_before || !self.muted(site, audience.now.moment());
        wanted.then(|| audience.alert(site, Notification::Flapping { cause: None }, None))
    }

    /// A site is no longer flapping.
    pub fn on_steady(
        &mut self,
        audience: Audience,
        at: usize,
        open: Option<&mut Incident>,
    ) -> Option<NewAlert> {
        let (site, now) = (&audience.sites[at], audience.now);
        let flapping = Topic::Flapping(site.name().to_owned());
        let notified = self.notified.remove(&flapping);
        let muted = self.muted(site, now.moment());
        if let Some(incident) = open {
            if muted {
                // The end of the mute says it.
                return None;
            }
            notified?;
            incident.on_reminder(now.moment());
            let (cause, lasted) = (Some(incident.cause().to_owned()), incident.length(now));
            let notification = Notification::Steady { cause, lasted };
            return Some(audience.alert(site, notification, Some(incident.number())));
        }
        if site.judged_state() == State::Degraded && (notified.is_some() || !muted) {
            return Some(audience.slow(site));
        }
        let (cause, lasted) = (None, now.since(site.since()));
        let alert = audience.alert(site, Notification::Steady { cause, lasted }, None);
        Some(alert.only_for(&notified?))
    }

    /// Ends the mute of everything; what began in silence and outlasts it has its alert then.
    pub fn end_mutes(&mut self, audience: Audience, incidents: &mut Incidents) -> Vec<NewAlert> {
        let now = audience.now.moment();
        if self.muted_until.is_some_and(|until| until <= now) {
            self.muted_until = None;
        }
        let mut alerts = self.slow_in_silence(audience);
        for incident in incidents.iter_open_mut() {
            if self.notified(&Topic::Incident(incident.number())).is_some() {
                continue;
            }
            let site = audience.sites.named(incident.site());
            if site.is_some_and(|site| self.is_held_back(site, now)) || self.all_muted(now) {
                continue;
            }
            incident.on_reminder(now);
            alerts.extend(site.map(|site| audience.still_down(site, incident)));
        }
        alerts
    }

    /// Sites that became slow in silence and still are.
    fn slow_in_silence(&mut self, audience: Audience) -> Vec<NewAlert> {
        if self.slow_in_silence.is_empty() {
            return Vec::new();
        }
        let places = self.slow_in_silence.iter();
        let places = places.filter_map(|name| audience.sites.find(name));
        let mut alerts = Vec::new();
        for at in places.collect::<BTreeSet<usize>>() {
            let site = &audience.sites[at];
            let slow = site.judged_state() == State::Degraded && !site.is_paused();
            if slow && !self.is_held_back(site, audience.now.moment()) {
                self.slow_in_silence.remove(site.name());
                alerts.push(audience.slow(site));
            }
        }
        alerts
    }

    /// `queued`: an alert of the incident still waits to be delivered, so there is nothing to repeat.
    pub fn remind(
        &self,
        audience: Audience,
        incidents: &mut Incidents,
        queued: impl Fn(u32) -> bool,
    ) -> Vec<NewAlert> {
        let now = audience.now.moment();
        let mut alerts = Vec::new();
        for incident in incidents.iter_open_mut() {
            let Some(site) = audience.sites.named(incident.site()) else {
                continue;
            };
            if self
                .reminder_due(site, incident, now)
                .is_none_or(|at| at > now)
            {
                continue;
            }
            incident.on_reminder(now);
            let notified = self.notified(&Topic::Incident(incident.number())).is_some();
            if notified && !queued(incident.number()) && !self.is_held_back(site, now) {
                alerts.push(audience.still_down(site, incident));
            }
        }
        alerts
    }

    /// An alert of the incident was made, and another one may be made of it now.
    pub fn may_escalate(&self, incident: &Incident, sites: &Sites, now: Moment) -> bool {
        let told = self.notified(&Topic::Incident(incident.number())).is_some();
        let site = sites.named(incident.site());
        told && site.is_some_and(|site| !site.is_paused() && !self.is_held_back(site, now))
    }

    /// When [`Alerts::remind`] or [`Alerts::end_mutes`] has something to do.
    pub fn next_reminder(
        &self,
        sites: &Sites,
        incidents: &Incidents,
        now: Moment,
    ) -> Option<Moment> {
        let due = incidents.iter_open().filter_map(|incident| {
            let site = sites.named(incident.site())?;
            self.reminder_due(site, incident, now)
        });
        due.min()
    }

    /// When an open incident is next to be looked at: a reminder, or the end of its mute.
    fn reminder_due(&self, site: &SiteState, incident: &Incident, now: Moment) -> Option<Moment> {
        if self.notified(&Topic::Incident(incident.number())).is_none() {
            let ends = [self.muted_until, site.muted_until()];
            return ends.into_iter().flatten().filter(|m| *m > now).max();
        }
        let every = site.config().remind?;
        let due = incident.next_reminder(every)?;
        (!site.is_paused() && !site.is_uncertain()).then_some(due)
    }

    /// The file has mistakes. They may name sites: only chats that see all of them get `what`, the
    /// others what is `safe`.
    pub fn mistakes(audience: Audience, what: &str, safe: &str) -> [NewAlert; 2] {
        let chats = audience.access.chats.iter();
        let (all, some) = chats.partition(|&&chat| audience.sites.all_visible(chat));
        [
            NewAlert::notice(all, what.to_owned()),
            NewAlert::notice(some, safe.to_owned()),
        ]
    }

    /// The log line and the alerts about an unclean stop. A chat reads of the sites that it gets
    /// alerts of and of no other.
    pub fn unclean_stop(audience: Audience, stop: &UncleanStop) -> (String, Vec<NewAlert>) {
        let now = audience.now;
        let back = now.wall_at(stop.back());
        // By a clock that was ahead: since when is not known.
        let known = stop.seen() <= back.saturating_add(CLOCK_TOLERANCE);
        let (seen, back) = clock_times(stop.seen().min(back), back, now);
        let text = match known {
            true => format!("I was away, last seen {seen}, back {back}"),
            false => format!("I was away, back {back}"),
        };
        let still = audience.sites.iter().filter(|w| {
            let down = w.is_down() && !w.is_paused() && !w.under_maintenance();
            down && w.last_failure().is_some() && stop.is_checked(w.name())
        });
        let still: Vec<&SiteState> = still.collect();
        let texts = by_words(&audience.access.chats, |chat| {
            let seen = still.iter().filter(|w| may_see(chat, w.config()));
            let names: Vec<&str> = seen.map(|w| w.name()).collect();
            let down = match names.is_empty() {
                true => String::new(),
                false => format!("; still down: {}", names.join(", ")),
            };
            text.clone() + &down
        });
        let alerts = texts.into_iter();
        let alerts = alerts.map(|(text, chats)| NewAlert::notice(chats, text));
        let alerts = alerts.collect();
        (text, alerts)
    }
}

impl Audience<'_> {
    fn slow(self, site: &SiteState) -> NewAlert {
        let cause = site.cause().unwrap_or_default().to_owned();
        self.alert(site, degraded(cause), None)
    }

    pub(crate) fn still_down(self, site: &SiteState, incident: &Incident) -> NewAlert {
        let notification = Notification::StillDown {
            cause: incident.cause().to_owned(),
            lasted: incident.length(self.now),
        };
        self.alert(site, notification, Some(incident.number()))
    }
}

/// What is to be notified of a site that is degraded by `cause`.
fn degraded(cause: String) -> Notification {
    match cause.starts_with(SLOW) {
        true => Notification::Slow { cause },
        false => Notification::Degraded { cause },
    }
}
