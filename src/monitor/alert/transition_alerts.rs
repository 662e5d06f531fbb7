//! Which transitions of a site are notified, and to which chats.

use crate::monitor::alert::audience::{Audience, NewAlert, by_words};
use crate::monitor::alert::notified::Topic;
use crate::monitor::alert::{Alerts, Notification};
use crate::monitor::incident::Incident;
use crate::monitor::site::access::may_see;
use crate::monitor::site::flapping::ChangeNotice;
use crate::monitor::site::state::{SiteState, State};
use crate::monitor::time::text::SLOW;
use std::time::Duration;

impl Alerts {
    /// Returns the alerts about a site that went down; `None` if none are made now. `behind`: the
    /// sites that depend on it.
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
        // The recovery will be from down, not from slow.
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
        let alerts = by_chat.map(|(behind, chats)| {
            let notification = Notification::Down {
                cause: cause.to_owned(),
                common: common.clone(),
                behind,
            };
            NewAlert {
                chats,
                ..audience.alert(site, notification, Some(number))
            }
        });
        Some(alerts.collect())
    }

    /// Returns the alert about the end of an incident, for the chats that were notified of the
    /// incident, even if the site is muted now.
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

    /// Returns the alert about a site that started flapping with a change other than going down.
    fn flapping(
        &self,
        audience: Audience,
        site: &SiteState,
        known_before: bool,
    ) -> Option<NewAlert> {
        let wanted = known_before || !self.muted(site, audience.now.moment());
        wanted.then(|| audience.alert(site, Notification::Flapping { cause: None }, None))
    }

    /// Returns the alert about a site that stopped flapping.
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
                // The site is notified as down when the mute ends.
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
}

impl Audience<'_> {
    pub(super) fn slow(self, site: &SiteState) -> NewAlert {
        let cause = site.cause().unwrap_or_default().to_owned();
        self.alert(site, degraded(cause), None)
    }

    /// Counts for each chat of the site how many of the sites `behind` it the chat may see.
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

/// Creates the notification for a site that is degraded by `cause`.
fn degraded(cause: String) -> Notification {
    match cause.starts_with(SLOW) {
        true => Notification::Slow { cause },
        false => Notification::Degraded { cause },
    }
}
