//! Sites in and out: the first configuration, a reload, the snapshot and back.

pub mod snapshot;
pub(crate) mod urgency;
pub(crate) mod write_budget;

use crate::monitor::alert::notified::Topic;
use crate::monitor::alert::{Alert, Alerts};
use crate::monitor::expiry::{self, Subject};
use crate::monitor::incident::{Incident, Incidents};
use crate::monitor::judge::flapping::Flapping;
use crate::monitor::judge::{State, Streak};
use crate::monitor::persist::snapshot::{
    AddedRecord, AlertRecord, ExpiryRecord, IncidentRecord, SiteRecord, Snapshot,
};
use crate::monitor::site::Site;
use crate::monitor::site::access::may_see;
use crate::monitor::site::state::{SiteState, Suppression};
use crate::monitor::site::table::Sites;
use crate::monitor::time::{Moment, Now};
use crate::monitor::uplink::Fault;
use crate::monitor::{Level, Monitor, Settings};

use std::sync::Arc;
use std::time::Duration;

impl Monitor {
    /// Everything that must survive a restart.
    pub fn snapshot(&self, now: Now) -> Snapshot {
        let now = self.clock.estimate(now);
        let coming =
            |moment: Option<Moment>| moment.filter(|m| *m > now.moment()).map(|m| now.wall_at(m));
        let offline = |t: &&(Fault, Moment)| t.0 == Fault::Line;
        let told = |t: &&(Fault, Moment)| self.alerts.notified(&Topic::Fault(t.0)).is_some();
        let troubles = self.uplink.faults().iter().filter(told);
        let (troubles, troubles_since) = troubles
            .map(|(t, since)| (t.word().to_owned(), now.wall_at(*since)))
            .unzip();
        Snapshot {
            written: now.wall,
            clean: false,
            last_update: self
                .bot
                .last_update()
                .filter(|_| !mutated!("forget to persist the offset")),
            digested: self.alerts.digested(),
            added: Some(self.bot.added.records().to_vec()).filter(|added| !added.is_empty()),
            next_incident: self.incidents.next_number(),
            muted_until: coming(self.alerts.muted_until()),
            offline_since: self
                .uplink
                .faults()
                .iter()
                .find(offline)
                .map(|(_, since)| now.wall_at(*since)),
            troubles,
            troubles_since,
            registries: Vec::new(),
            roots: self.expiry.root_records(),
            moved: self
                .bot
                .moves()
                .iter()
                .flat_map(|&(from, to)| [from, to])
                .collect(),
            sites: self
                .sites
                .iter()
                .map(|w| record(w, &self.alerts, now))
                .collect(),
            incidents: self
                .incidents
                .iter()
                .map(|i| (i, self.alerts.notified(&Topic::Incident(i.number))))
                .filter(|(i, notified)| notified.is_some() || i.end.is_none())
                .map(|(i, notified)| IncidentRecord::of(i, notified, now))
                .collect(),
            alerts: self
                .outbox
                .alerts()
                .filter(|_| !mutated!("forget the alerts that wait"))
                .map(|a| AlertRecord::of(a, now))
                .collect(),
        }
    }

    /// The last snapshot of an orderly end: the next start was no accident.
    pub fn last_snapshot(&self, now: Now) -> Snapshot {
        Snapshot {
            clean: true,
            ..self.snapshot(now)
        }
    }

    /// Goes on where an earlier run stopped. To be called once, before the first event. Sites that
    /// are no longer configured are forgotten; alerts about them are still delivered.
    pub fn restore(&mut self, snapshot: &Snapshot, now: Now) {
        self.clock.restore(now, snapshot.written);
        let now = self.read_clock(now);
        let moment = now.moment();
        self.bot.restore_updates(snapshot.last_update);
        let muted_until = snapshot.muted_until;
        let muted_until =
            muted_until.filter(|_| !mutated!("forget a mute of everything at a restart"));
        let muted_until = muted_until.map(|wall| now.coming_moment(wall));
        self.alerts.restore(muted_until, snapshot.digested);
        for record in &snapshot.sites {
            let Some(at) = self.sites.find(&record.name) else {
                continue;
            };
            restore_site(&mut self.sites[at], record, now);
            let chats = self.bot.chats();
            if record.slow_told {
                let topic = Topic::Slow(record.name.clone());
                self.alerts.add_notified(topic, chats);
            }
            if record.slow_untold == Some(true) {
                self.alerts.restore_slow_in_silence(&record.name);
            }
            if record.flapping {
                let topic = Topic::Flapping(record.name.clone());
                self.alerts.add_notified(topic, chats);
            }
            if !self.clock.is_set() {
                // It is not known how long ago they were.
                self.sites[at].flapping.forget_changes();
            }
            if self.sites[at].paused() {
                self.schedule.clear(&record.name);
            } else if self.schedule.due_at(&record.name).is_none() {
                self.schedule.next_turn(&record.name, moment);
            }
        }
        let mutes = self.sites.iter();
        let mutes = mutes.filter_map(|w| Some((w.name().to_owned(), w.muted_until?)));
        let muted_until = self.alerts.muted_until();
        self.clock.remember_restored(now, muted_until, mutes);
        let incidents = snapshot.incidents.iter();
        let incidents = incidents.filter(|_| !mutated!("forget open incidents at a restart"));
        let incidents: Vec<Incident> = incidents.map(|i| i.restore(now)).collect();
        self.incidents = Incidents::restore(incidents, snapshot.next_incident);
        let alerts: Vec<Alert> = snapshot.alerts.iter().map(|a| a.restore(now)).collect();
        for record in snapshot.incidents.iter().filter(|i| i.told) {
            if let Some(incident) = self.incidents.get(record.number) {
                let rest = record.notified.as_deref().unwrap_or_default();
                self.alerts
                    .restore_notified(incident, rest, &alerts, self.bot.chats());
            }
        }
        self.expiry.restore_roots(&snapshot.roots);
        self.expiry
            .plan(now, &mut self.sites, self.schedule.jitter());
        self.restore_line(snapshot, now);
        self.reconcile(now);
        self.outbox.restore(alerts);
        let moves = snapshot.moved.chunks_exact(2).map(|m| (m[0], m[1]));
        let moves = moves.filter(|_| !mutated!("forget at a restart what a group became"));
        self.bot.restore_moves(moves.collect());
        self.follow_moves();
        self.drop_hidden();
        if !snapshot.clean || mutated!("every start was an accident") {
            let down = self.sites.iter().filter(|w| w.down() && !w.paused());
            let down = down.map(|w| w.name().to_owned()).collect();
            self.incidents
                .on_unclean_stop(snapshot.written, moment, down);
        }
        // That we run is written down: the next start after a power cut must know of it.
        self.saving.now();
    }

    /// The sites that were added, as they were asked for.
    pub fn added(&self) -> &[AddedRecord] {
        self.bot.added.records()
    }

    /// Takes over the sites that an earlier run was given in the chat. To be called once, before
    /// [`Monitor::restore`].
    pub fn adopt(&mut self, added: Vec<(AddedRecord, Result<Site, String>)>, now: Now) {
        if added.is_empty() {
            return;
        }
        let sites = self.sites.iter().map(|w| w.site.clone()).collect();
        self.take_configuration(sites, added, now);
    }

    /// Takes the sites of a file, and those that were added behind them.
    fn take_configuration(
        &mut self,
        of_file: Vec<Arc<Site>>,
        added: Vec<(AddedRecord, Result<Site, String>)>,
        now: Now,
    ) {
        let merged = self.bot.merge_added(of_file, added, &self.sites);
        for (chats, text) in merged.notices {
            self.log(Level::Info, text.clone());
            self.notify_chats(now, chats, text);
        }
        self.take_sites(merged.sites, now);
    }

    fn restore_line(&mut self, snapshot: &Snapshot, now: Now) {
        let moment = now.moment();
        for (word, since) in snapshot.troubles.iter().zip(&snapshot.troubles_since) {
            let trouble = Fault::from_word(word);
            if let Some(trouble) =
                trouble.filter(|t| *t == Fault::Names || self.uplink.has_targets())
            {
                self.uplink.begins(trouble, now.past_moment(*since), moment);
                let chats = self.bot.chats();
                self.alerts.add_notified(Topic::Fault(trouble), chats);
            }
        }
        if let Some(since) = snapshot.offline_since.filter(|_| self.uplink.has_targets()) {
            self.uplink
                .begins(Fault::Line, now.past_moment(since), moment);
            for watched in self.sites.iter_mut() {
                if !watched.lan() && !watched.paused() {
                    watched.cover(Suppression::Offline(Fault::Line), moment);
                }
            }
        }
        self.refresh_reach(now);
        self.judge.on_sites_changed(&self.sites);
    }

    pub(crate) fn reloaded(
        &mut self,
        now: Now,
        sites: Vec<Arc<Site>>,
        added: Vec<(AddedRecord, Result<Site, String>)>,
        settings: Settings,
    ) {
        self.bot.reload(settings.access, settings.max_jobs);
        self.alerts.reload(settings.quiet, settings.digest);
        self.clock.reload(settings.built);
        self.schedule.reload(settings.heartbeat);
        self.take_configuration(sites, added, now);
        self.uplink
            .set_targets(now.moment(), settings.uplink, &mut self.sites);
        if !settings.uplink {
            for fault in Fault::PROBED {
                self.alerts.on_fault_end(fault);
            }
        }
        self.follow_moves();
        self.drop_hidden();
        self.sites_changed(now);
    }

    /// Puts everything in order after sites have come or gone.
    pub(crate) fn sites_changed(&mut self, now: Now) {
        self.reconcile(now);
        self.refresh_reach(now);
        self.judge.on_sites_changed(&self.sites);
        self.incidents.keep_sites(|name| self.sites.contains(name));
        self.saving.now();
        self.bot.jobs.keep_sites(|name| self.sites.contains(name));
        self.finish_jobs(now);
        self.log(
            Level::Info,
            format!(
                "watching {}",
                crate::monitor::render::text::count(self.sites.len(), "site")
            ),
        );
    }

    /// What waits for chats that are not, or no longer, to have it.
    fn drop_hidden(&mut self) {
        let (chats, sites) = (self.bot.chats(), &self.sites);
        let dropped = self.outbox.keep_chats(&|site, chat| {
            let site = sites.named(site).map(|w| &w.site);
            chats.contains(&chat) && site.is_none_or(|site| may_see(chat, site))
        });
        for (topic, chat) in dropped {
            self.alerts.on_dropped(&topic, chat, &self.incidents);
        }
    }

    pub(crate) fn save_failed(&mut self, now: Now, reason: &str) {
        let (alerts, first) = self.saving.failed(now.moment());
        if let Some(id) = alerts {
            self.outbox.mark_stored(id);
        }
        if first {
            let text = format!(
                "The state cannot be written ({reason}). Alerts still go out, but a restart forgets them."
            );
            self.log(Level::Warn, text.clone());
            self.notify_all(now, text);
            self.outbox.mark_stored(self.outbox.last_alert_id());
        }
    }

    /// Takes the sites of a configuration. One that was there before keeps all that is known of it.
    pub(crate) fn take_sites(&mut self, sites: Vec<Arc<Site>>, now: Now) {
        let mut before = std::mem::take(&mut self.sites).into_by_name();
        let count = sites.len();
        let mut all = Vec::with_capacity(count);
        self.schedule.forget_maintenance();
        for (place, site) in sites.into_iter().enumerate() {
            let watched = match before.remove(&site.name) {
                Some(mut watched) => {
                    // A new `paused` in the file is a newer word than an old /pause or /resume.
                    if watched.site.paused != site.paused {
                        watched.pause_order = None;
                    }
                    if watched.site.host() != site.host() {
                        watched.address = site.literal();
                        watched.named = watched.address.is_none();
                        // Another server's certificate, another domain.
                        for subject in Subject::ALL {
                            watched.forget_expiry(subject);
                        }
                    }
                    if watched.site.check != site.check {
                        // What the old address was at fault for is not the new one's.
                        watched.restart_streak();
                    }
                    watched.site = site;
                    watched
                }
                None => SiteState::new(site, now.moment()),
            };
            self.plan(&watched, (place, count), now);
            all.push(watched);
        }
        for gone in before.keys() {
            self.schedule.remove(gone);
        }
        self.sites = Sites::new(all);
        self.alerts.keep_sites(&self.sites);
        self.expiry
            .plan(now, &mut self.sites, self.schedule.jitter());
    }

    /// A site that stays and keeps its interval keeps its place in the round too.
    fn plan(&mut self, watched: &SiteState, place: (usize, usize), now: Now) {
        let (name, interval) = (watched.name(), watched.site.interval);
        if self.schedule.interval(name) != Some(interval) {
            self.schedule.first(name, interval, now.moment(), place);
        } else if self.schedule.due_at(name).is_none() {
            self.schedule.next_turn(name, now.moment());
        }
        if watched.running || watched.paused() {
            self.schedule.clear(name);
        }
    }

    /// Incidents and states must agree: an open incident of a site that is gone or paused ends, and a
    /// site that is down has one.
    fn reconcile(&mut self, now: Now) {
        let moment = now.moment();
        let over: Vec<String> = self
            .incidents
            .iter_open()
            .filter(|i| {
                self.sites
                    .find(&i.site)
                    .is_none_or(|at| self.sites[at].paused() || !self.sites[at].down())
            })
            .map(|i| i.site.clone())
            .collect();
        for site in over {
            self.close_incident(&site, moment);
        }
        for watched in self.sites.iter_mut() {
            if watched.down() && self.incidents.open_of(watched.name()).is_none() {
                watched.reset(moment);
                self.alerts.on_reset(watched.name());
            }
        }
    }
}

fn record(watched: &SiteState, alerts: &Alerts, now: Now) -> SiteRecord {
    let notified = |topic: fn(String) -> Topic| {
        let topic = topic(watched.name().to_owned());
        alerts.notified(&topic).is_some()
    };
    let (state, judged) = (watched.state(), watched.judge.state());
    let ms = |took: Duration| u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let coming = watched.muted_until.filter(|m| *m > now.moment());
    // Once it is known to flap it does not matter when it changed.
    let flapping = watched.flapping.flapping();
    let changes = watched.flapping.changes().iter().filter(|_| !flapping);
    let mut expiry: Vec<ExpiryRecord> = Subject::ALL
        .into_iter()
        .filter_map(|s| watched.expiry(s)?.record(s))
        .collect();
    // The last snapshot is kept to compare the next one with, and a `Vec` begins with room for four.
    expiry.shrink_to_fit();
    SiteRecord {
        name: watched.name().to_owned(),
        state: state.word().to_owned(),
        since: now.wall_at(watched.since),
        cause: watched.reason(),
        ms: watched.took.map(ms),
        paused: watched.pause_order,
        muted_until: coming.map(|m| now.wall_at(m)),
        judged: (judged != state).then(|| judged.word().to_owned()),
        changes: changes.map(|m| now.wall_at(*m)).collect(),
        flapping: notified(Topic::Flapping),
        slow_told: notified(Topic::Slow),
        slow_untold: alerts.is_slow_in_silence(watched.name()).then_some(true),
        expiry,
    }
}

fn restore_site(watched: &mut SiteState, record: &SiteRecord, now: Now) {
    let word = record.judged.as_ref().unwrap_or(&record.state);
    let state = match State::from_word(word) {
        Some(state @ (State::Up | State::Degraded | State::Down)) => state,
        _ => State::Unknown,
    };
    let changes = record.changes.iter().map(|wall| now.past_moment(*wall));
    watched.judge = Streak::new(state);
    watched.since = now.past_moment(record.since);
    if record.judged.is_none() {
        watched.cause.clone_from(&record.cause);
    }
    watched.took = record.ms.map(Duration::from_millis);
    watched.pause_order = record.paused;
    watched.muted_until = record.muted_until.map(|wall| now.coming_moment(wall));
    watched.flapping = Flapping::restore(changes.collect(), record.flapping, now.moment());
    for record in &record.expiry {
        let known = Subject::ALL.into_iter().find(|s| s.word() == record.kind);
        if let Some(subject) = known {
            *watched.expiry_mut(subject) = expiry::Watch::restore(record);
        }
    }
}
