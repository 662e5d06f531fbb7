//! Sites in and out: the first configuration, a reload, the snapshot and back.

use super::alert::Alert;
use super::command::Access;
use super::incident::{Incident, Incidents};
use super::judge::{Judge, State};
use super::site::Site;
use super::snapshot::{AlertRecord, IncidentRecord, SiteRecord, Snapshot};
use super::time::Now;
use super::watch::Watched;
use super::{Level, Monitor};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

impl Monitor {
    /// Everything that must survive a restart.
    pub fn snapshot(&self, now: Now) -> Snapshot {
        let coming = |moment: Option<super::time::Moment>| {
            moment.filter(|m| *m > now.moment()).map(|m| now.wall_at(m))
        };
        Snapshot {
            written: now.wall,
            last_update: self.last_update,
            next_incident: self.incidents.next_number(),
            muted_until: coming(self.muted_until),
            sites: self
                .sites
                .iter()
                .map(|w| SiteRecord {
                    name: w.name().to_owned(),
                    state: w.judge.state().word().to_owned(),
                    since: now.wall_at(w.since),
                    cause: w.cause.clone(),
                    ms: w
                        .took
                        .map(|t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX)),
                    paused: w.pause_order,
                    muted_until: coming(w.muted_until),
                    ..SiteRecord::default()
                })
                .collect(),
            incidents: self
                .incidents
                .iter()
                .map(|i| IncidentRecord::of(i, now))
                .collect(),
            alerts: self
                .outbox
                .alerts()
                .map(|a| AlertRecord::of(a, now))
                .collect(),
            ..Snapshot::default()
        }
    }

    /// Goes on where an earlier run stopped. To be called once, before the first event. Sites that
    /// are no longer configured are forgotten; alerts about them are still delivered.
    pub fn restore(&mut self, snapshot: &Snapshot, now: Now) {
        self.last_update = snapshot.last_update;
        self.muted_until = snapshot.muted_until.map(|wall| now.coming_moment(wall));
        for record in &snapshot.sites {
            let Some(&at) = self.index.get(&record.name) else {
                continue;
            };
            let watched = &mut self.sites[at];
            let state = State::from_word(&record.state).unwrap_or(State::Unknown);
            watched.judge = Judge::new(state);
            watched.since = now.past_moment(record.since);
            watched.cause.clone_from(&record.cause);
            watched.took = record.ms.map(Duration::from_millis);
            watched.pause_order = record.paused;
            watched.muted_until = record.muted_until.map(|wall| now.coming_moment(wall));
            if watched.paused() {
                self.schedule.clear(&record.name);
            } else if self.schedule.due_at(&record.name).is_none() {
                self.schedule.next_turn(&record.name, now.moment());
            }
        }
        let incidents: Vec<Incident> = snapshot.incidents.iter().map(|i| i.restore(now)).collect();
        self.incidents = Incidents::restore(incidents, snapshot.next_incident);
        self.reconcile(now);
        let alerts: Vec<Alert> = snapshot.alerts.iter().map(|a| a.restore(now)).collect();
        self.outbox.restore(alerts);
        self.outbox.keep_chats(&self.access.chats);
    }

    pub(super) fn reloaded(&mut self, now: Now, sites: Vec<Site>, access: Access) {
        self.access = access;
        self.take_sites(sites, now);
        self.reconcile(now);
        self.outbox.keep_chats(&self.access.chats);
        self.saving.now();
        let gone: Vec<(u64, String)> = self
            .jobs
            .iter()
            .flat_map(|job| job.remaining.iter().map(|name| (job.id, name.clone())))
            .filter(|(_, name)| !self.index.contains_key(name))
            .collect();
        for (id, name) in gone {
            if let Some(job) = self.jobs.iter_mut().find(|j| j.id == id) {
                job.remaining.remove(&name);
            }
        }
        self.finish_jobs(now);
        self.log(
            Level::Info,
            format!("watching {}", super::text::count(self.sites.len(), "site")),
        );
    }

    pub(super) fn save_failed(&mut self, now: Now, reason: &str) {
        let (alerts, first) = self.saving.failed(now.moment());
        if let Some(id) = alerts {
            self.outbox.mark_stored(id);
        }
        if first {
            self.notice(
                now,
                format!(
                    "The state cannot be written ({reason}). Alerts still go out, but a restart forgets them."
                ),
            );
            self.outbox.mark_stored(self.outbox.last_alert_id());
        }
    }

    /// Takes the sites of a configuration. One that was there before keeps all that is known of it.
    pub(super) fn take_sites(&mut self, sites: Vec<Site>, now: Now) {
        let mut before: HashMap<String, Watched> = std::mem::take(&mut self.sites)
            .into_iter()
            .map(|w| (w.name().to_owned(), w))
            .collect();
        let count = sites.len();
        for (place, site) in sites.into_iter().enumerate() {
            let site = Arc::new(site);
            let watched = match before.remove(&site.name) {
                Some(mut watched) => {
                    // A new `paused` in the file is a newer word than an old /pause or /resume.
                    if watched.site.paused != site.paused {
                        watched.pause_order = None;
                    }
                    watched.site = site;
                    watched
                }
                None => Watched::new(site, now.moment()),
            };
            self.plan(&watched, (place, count), now);
            self.sites.push(watched);
        }
        for gone in before.keys() {
            self.schedule.remove(gone);
        }
        self.index = self
            .sites
            .iter()
            .enumerate()
            .map(|(i, w)| (w.name().to_owned(), i))
            .collect();
    }

    /// A site that stays and keeps its interval keeps its place in the round too.
    fn plan(&mut self, watched: &Watched, place: (usize, usize), now: Now) {
        let (name, interval) = (watched.name(), watched.site.interval);
        if self.schedule.interval(name) != Some(interval) {
            self.schedule
                .first(name, interval, now.moment(), place, &mut self.jitter);
        } else if self.schedule.due_at(name).is_none() {
            self.schedule.next_turn(name, now.moment());
        }
        if watched.running || watched.paused() {
            self.schedule.clear(name);
        }
    }

    /// Incidents and states must agree: an open incident of a site that is gone or paused ends,
    /// and a site that is down has one.
    fn reconcile(&mut self, now: Now) {
        let moment = now.moment();
        let over: Vec<String> = self
            .incidents
            .iter_open()
            .filter(|i| {
                self.index
                    .get(&i.site)
                    .is_none_or(|&at| self.sites[at].state() != State::Down)
            })
            .map(|i| i.site.clone())
            .collect();
        for site in over {
            self.incidents.close(&site, moment);
        }
        for watched in &mut self.sites {
            if watched.judge.state() == State::Down
                && self.incidents.open_of(watched.name()).is_none()
            {
                watched.reset(moment);
            }
        }
    }
}
