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
        if notice == ChangeNotice::Flapping {
            let alert = self.flapping(audience, site, Some((number, cause)), false);
            return alert.map(|alert| vec![alert]);
        }
        if notice == ChangeNotice::Silent || self.muted(site, audience.now.moment()) {
            return None;
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
            ChangeNotice::Flapping => {
                let known_before = notified.is_some();
                self.flapping(audience, site, None, known_before)
            }
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
                self.add_in_silence(Topic::Slow(site.name().to_owned()));
                None
            }
            ChangeNotice::Normal => Some(audience.alert(site, degraded(cause), None)),
            ChangeNotice::Flapping => self.flapping(audience, site, None, false),
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
            ChangeNotice::Flapping => self.flapping(audience, site, None, notified.is_some()),
            ChangeNotice::Silent => None,
        }
    }

    /// Returns the alert about a site that started flapping; under a mute or maintenance it follows
    /// when that ends. `open`: its incident and the cause.
    fn flapping(
        &mut self,
        audience: Audience,
        site: &SiteState,
        open: Option<(u32, &str)>,
        known_before: bool,
    ) -> Option<NewAlert> {
        if known_before || !self.muted(site, audience.now.moment()) {
            return Some(audience.flapping(site, open));
        }
        self.add_in_silence(Topic::Flapping(site.name().to_owned()));
        None
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
        let notified = self.end_topic(&flapping);
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
        if site.judged_state() == State::Degraded {
            if muted && notified.is_none() {
                self.add_in_silence(Topic::Slow(site.name().to_owned()));
                return None;
            }
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

    pub(super) fn flapping(self, site: &SiteState, open: Option<(u32, &str)>) -> NewAlert {
        let cause = open.map(|(_, cause)| cause.to_owned());
        let incident = open.map(|(number, _)| number);
        self.alert(site, Notification::Flapping { cause }, incident)
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
