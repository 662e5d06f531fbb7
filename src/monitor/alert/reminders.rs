//! Reminders of open incidents, and alerts that are deferred until a mute ends. Acknowledged
//! incidents get no reminders ([`Incident::next_reminder`]).

use crate::monitor::alert::audience::{Audience, NewAlert};
use crate::monitor::alert::notified::Topic;
use crate::monitor::alert::{Alerts, Notification};
use crate::monitor::incident::{Incident, Incidents};
use crate::monitor::site::state::{SiteState, State};
use crate::monitor::site::table::Sites;
use crate::monitor::time::Moment;

impl Alerts {
    /// Ends the mute of everything when it is over. Returns alerts about what began under a mute
    /// and is still going on.
    pub fn end_mutes(&mut self, audience: Audience, incidents: &mut Incidents) -> Vec<NewAlert> {
        let now = audience.now.moment();
        if self.muted_until.is_some_and(|until| until <= now) {
            self.muted_until = None;
        }
        let mut alerts = self.begun_in_silence(audience, incidents);
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

    /// Returns alerts about sites that became slow or flapping while muted or under maintenance and
    /// still are.
    fn begun_in_silence(&self, audience: Audience, incidents: &Incidents) -> Vec<NewAlert> {
        let now = audience.now.moment();
        let site = |name: &str| audience.sites.named(name).filter(|site| !site.is_paused());
        let alert = |topic: &Topic| match topic {
            Topic::Slow(name) => {
                let slow = |site: &&SiteState| site.judged_state() == State::Degraded;
                let site = site(name).filter(slow)?;
                (!self.is_held_back(site, now)).then(|| audience.slow(site))
            }
            Topic::Flapping(name) => {
                let site = site(name)?;
                let due = site.flapping().is_flapping() && !self.is_silenced(site, now);
                due.then(|| {
                    let open = incidents.open_of(name);
                    audience.flapping(site, open.map(|i| (i.number(), i.cause())))
                })
            }
            Topic::Incident(_) | Topic::Fault(_) => None,
        };
        self.in_silence.iter().filter_map(alert).collect()
    }

    /// Returns the reminders that are due. `queued`: an alert of the incident still waits to be
    /// delivered, so a reminder is not needed.
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
                .reminder_or_mute_end(site, incident, now)
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

    /// Returns whether an alert of the incident was made, and another one may be made now.
    pub fn may_escalate(&self, incident: &Incident, sites: &Sites, now: Moment) -> bool {
        let told = self.notified(&Topic::Incident(incident.number())).is_some();
        let site = sites.named(incident.site());
        told && site.is_some_and(|site| !site.is_paused() && !self.is_held_back(site, now))
    }

    /// Returns whether [`Alerts::end_mutes`] or [`Alerts::remind`] may have something to do.
    pub fn reminders_due(&self, now: Moment) -> bool {
        self.any_silence(now) || self.reminders_at.is_some_and(|at| at <= now)
    }

    /// Returns when [`Alerts::reminders_due`] will be true if nothing but the time changes.
    pub fn next_reminder_or_mute_end(&self) -> Option<Moment> {
        self.reminders_at
    }

    /// Records that something has changed that reminders and mutes depend on.
    pub fn outdate_reminders(&mut self) {
        self.reminders_at = Some(Moment(0));
    }

    /// Computes [`Alerts::next_reminder_or_mute_end`] by a walk over all open incidents.
    pub fn plan_reminders(&mut self, sites: &Sites, incidents: &Incidents, now: Moment) {
        let due = incidents.iter_open().filter_map(|incident| {
            let site = sites.named(incident.site())?;
            self.reminder_or_mute_end(site, incident, now)
        });
        self.reminders_at = due.min();
    }

    /// Returns when a reminder of an open incident is due, or its mute ends.
    fn reminder_or_mute_end(
        &self,
        site: &SiteState,
        incident: &Incident,
        now: Moment,
    ) -> Option<Moment> {
        if self.notified(&Topic::Incident(incident.number())).is_none() {
            let ends = [self.muted_until, site.muted_until()];
            return ends.into_iter().flatten().filter(|m| *m > now).max();
        }
        let every = site.config().remind?;
        let due = incident.next_reminder(every)?;
        (!site.is_paused() && !site.is_uncertain()).then_some(due)
    }
}

impl Audience<'_> {
    pub(crate) fn still_down(self, site: &SiteState, incident: &Incident) -> NewAlert {
        let notification = Notification::StillDown {
            cause: incident.cause().to_owned(),
            lasted: incident.length(self.now),
        };
        self.alert(site, notification, Some(incident.number()))
    }
}
