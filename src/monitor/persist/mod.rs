//! Saves and restores the state of the components, and takes over the sites of a configuration.

pub(crate) mod save_schedule;
pub mod snapshot;
pub(crate) mod write_budget;

use crate::monitor::alert::notified::Topic;
use crate::monitor::alert::{Alert, Alerts};
use crate::monitor::bot::Bot;
use crate::monitor::expiry::Inspections;
use crate::monitor::incident::record::IncidentRecord;
use crate::monitor::incident::unclean_stop::UncleanStop;
use crate::monitor::incident::{Incident, Incidents};
use crate::monitor::outbox::Outbox;
use crate::monitor::persist::snapshot::{AlertRecord, SiteRecord, Snapshot};
use crate::monitor::schedule::Scheduler;
use crate::monitor::site::Site;
use crate::monitor::site::flapping::Flapping;
use crate::monitor::site::job::PushJob;
use crate::monitor::site::state::{Remembered, SiteState, State};
use crate::monitor::site::suppression::{Suppression, UplinkFault};
use crate::monitor::site::table::{Origins, Sites};
use crate::monitor::time::{Moment, Now};
use crate::monitor::uplink::Uplink;
use std::sync::Arc;
use std::time::Duration;

/// The components whose state survives a restart.
pub(crate) struct Lasting<'a> {
    pub sites: &'a Sites,
    pub uplink: &'a Uplink,
    pub expiry: &'a Inspections,
    pub incidents: &'a Incidents,
    pub alerts: &'a Alerts,
    pub outbox: &'a Outbox,
    pub bot: &'a Bot,
}

impl Lasting<'_> {
    /// Returns all state that must survive a restart. `now`: the estimated wall clock time.
    pub fn snapshot(&self, now: Now) -> Snapshot {
        let coming =
            |moment: Option<Moment>| moment.filter(|m| *m > now.moment()).map(|m| now.wall_at(m));
        let faults = self.uplink.faults().iter();
        let offline = faults
            .clone()
            .find(|(fault, _)| *fault == UplinkFault::NoConnection);
        let notified = faults.filter_map(|(fault, since)| {
            let chats = self.alerts.notified(&Topic::Fault(*fault))?.to_vec();
            Some((chats, (fault.word().to_owned(), now.wall_at(*since))))
        });
        let (chats, notified): (Vec<Vec<i64>>, Vec<(String, i64)>) = notified.unzip();
        let (troubles, troubles_since) = notified.into_iter().unzip();
        let moves = self.bot.moved_chats().iter();
        let sites = self.sites.iter();
        let incidents = self.incidents.iter();
        let incidents = incidents
            .map(|i| (i, self.alerts.notified(&Topic::Incident(i.number()))))
            .filter(|(i, notified)| notified.is_some() || i.is_open());
        let alerts = self.outbox.alerts();
        let alerts = alerts.filter(|_| !mutated!("forget the alerts that wait"));
        let by_channels = self.outbox.channel_alerts();
        let by_channels = by_channels.filter(|_| !mutated!("forget the alerts of channels"));
        let by_channels = by_channels.map(|(channel, alert)| AlertRecord {
            channel: Some(channel.to_owned()),
            ..AlertRecord::of(alert, now)
        });
        let last_update = self.bot.last_update();
        Snapshot {
            written: now.wall,
            clean: false,
            unclean_since: self.incidents.unclean_stop().map(UncleanStop::seen),
            last_update: last_update.filter(|_| !mutated!("forget to persist the offset")),
            digested: self.alerts.digested(),
            added: Some(self.bot.added().to_vec()).filter(|added| !added.is_empty()),
            next_incident: self.incidents.next_number(),
            muted_until: coming(self.alerts.muted_until()),
            offline_since: offline.map(|(_, since)| now.wall_at(*since)),
            troubles,
            troubles_since,
            troubles_chats: Some(chats).filter(|chats| !chats.is_empty()),
            route: self.uplink.remembered_route(),
            registries: Vec::new(),
            roots: self.expiry.root_records(),
            runs: Some(self.incidents.remediations().records(now)).filter(|runs| !runs.is_empty()),
            moved: moves.flat_map(|&(from, to)| [from, to]).collect(),
            sites: sites.map(|w| self.record(w, now)).collect(),
            incidents: incidents
                .map(|(i, notified)| IncidentRecord {
                    escalated: self.outbox.escalated(i.number()).map(<[String]>::to_vec),
                    ..IncidentRecord::of(i, notified, now)
                })
                .collect(),
            alerts: alerts
                .map(|a| AlertRecord::of(a, now))
                .chain(by_channels)
                .collect(),
        }
    }

    fn record(&self, watched: &SiteState, now: Now) -> SiteRecord {
        let [flapping_topic, slow_topic] =
            [Topic::Flapping, Topic::Slow].map(|topic| topic(watched.name().to_owned()));
        let notified = |topic| self.alerts.notified(topic).map(<[i64]>::to_vec);
        let untold = |topic| self.alerts.is_in_silence(topic).then_some(true);
        let (flapping_chats, slow_chats) = (notified(&flapping_topic), notified(&slow_topic));
        let (state, judged) = (watched.state(), watched.judged_state());
        let ms = |took: Duration| u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let coming = watched.muted_until().filter(|m| *m > now.moment());
        let flapping_untold = untold(&flapping_topic);
        // Once flapping is notified, the times of the changes are no longer used.
        let told = watched.flapping().is_flapping() && flapping_untold.is_none();
        let changes = watched.flapping().changes().iter().filter(|_| !told);
        SiteRecord {
            name: watched.name().to_owned(),
            state: state.word().to_owned(),
            since: now.wall_at(watched.since()),
            cause: watched.reason(),
            ms: watched.took().map(ms),
            paused: watched.pause_order(),
            muted_until: coming.map(|m| now.wall_at(m)),
            judged: (judged != state).then(|| judged.word().to_owned()),
            changes: changes.map(|m| now.wall_at(*m)).collect(),
            flapping: flapping_chats.is_some(),
            slow_told: slow_chats.is_some(),
            flapping_chats,
            slow_chats,
            flapping_untold,
            slow_untold: untold(&slow_topic),
            expiry: self.expiry.records(watched),
            job: watched.job().map(PushJob::record),
        }
    }
}

/// Returns until when everything is muted.
pub(crate) fn muted_until(snapshot: &Snapshot, now: Now) -> Option<Moment> {
    let muted_until = snapshot.muted_until;
    let muted_until = muted_until.filter(|_| !mutated!("forget a mute of everything at a restart"));
    muted_until.map(|wall| now.coming_moment(wall))
}

pub(crate) fn incidents(snapshot: &Snapshot, now: Now) -> Incidents {
    let incidents = snapshot.incidents.iter();
    let incidents = incidents.filter(|_| !mutated!("forget open incidents at a restart"));
    let incidents: Vec<Incident> = incidents.map(|i| i.restore(now)).collect();
    Incidents::restore(incidents, snapshot.next_incident)
}

/// Waiting alerts, each with its channel.
type ChannelAlerts = Vec<(String, Alert)>;
/// Incidents, each with the channels that they were escalated to.
type EscalatedIncidents<'a> = Vec<(&'a Incident, Vec<String>)>;

/// Returns the alerts that wait for channels, and the escalated incidents.
pub(crate) fn channels<'a>(
    snapshot: &Snapshot,
    incidents: &'a Incidents,
    now: Now,
) -> (ChannelAlerts, EscalatedIncidents<'a>) {
    let alerts = snapshot.alerts.iter();
    let waiting = alerts.filter_map(|a| Some((a.channel.clone()?, a.restore(now))));
    let records = snapshot.incidents.iter();
    let escalated = records.filter_map(|i| Some((incidents.get(i.number)?, i.escalated.clone()?)));
    (waiting.collect(), escalated.collect())
}

/// Returns the old and new ids of groups that moved.
pub(crate) fn moves(snapshot: &Snapshot) -> Vec<(i64, i64)> {
    let moves = snapshot.moved.chunks_exact(2).map(|m| (m[0], m[1]));
    let moves = moves.filter(|_| !mutated!("forget at a restart what a group became"));
    moves.collect()
}

/// Restores the states of sites. Sites that are no longer configured are dropped.
pub(crate) fn restore_sites(
    snapshot: &Snapshot,
    sites: &mut Sites,
    schedule: &mut Scheduler,
    now: Now,
    clock_set: bool,
) {
    for record in &snapshot.sites {
        let Some(at) = sites.find(&record.name) else {
            continue;
        };
        let watched = &mut sites[at];
        restore_site(watched, record, now);
        if !clock_set {
            // Without a trusted clock their age is unknown.
            watched.flapping_mut().forget_changes();
        }
        if watched.is_paused() {
            schedule.clear(at);
        } else if schedule.due_at(at).is_none() {
            schedule.next_turn(at, now.moment());
        }
    }
}

/// Restores which chats were notified of what; all chats where that was not saved. `waiting`:
/// alerts that are not delivered yet.
pub(crate) fn restore_notified(
    snapshot: &Snapshot,
    alerts: &mut Alerts,
    incidents: &Incidents,
    waiting: &[Alert],
    chats: &[i64],
) {
    for record in &snapshot.sites {
        if record.slow_told {
            let chats = record.slow_chats.as_deref().unwrap_or(chats);
            alerts.add_notified(Topic::Slow(record.name.clone()), chats);
        }
        if record.slow_untold == Some(true) {
            alerts.add_in_silence(Topic::Slow(record.name.clone()));
        }
        if record.flapping_untold == Some(true) {
            alerts.add_in_silence(Topic::Flapping(record.name.clone()));
        }
        if record.flapping {
            let chats = record.flapping_chats.as_deref().unwrap_or(chats);
            alerts.add_notified(Topic::Flapping(record.name.clone()), chats);
        }
    }
    for record in snapshot.incidents.iter().filter(|i| i.told) {
        if let Some(incident) = incidents.get(record.number) {
            let rest = record.notified.as_deref();
            alerts.restore_notified(incident, rest, waiting, chats);
        }
    }
}

/// Restores the ongoing faults of the uplink, and the suppression of sites by a lost connection.
pub(crate) fn restore_uplink(
    snapshot: &Snapshot,
    uplink: &mut Uplink,
    alerts: &mut Alerts,
    chats: &[i64],
    sites: &mut Sites,
    now: Now,
) {
    let moment = now.moment();
    let known = snapshot.troubles_chats.as_deref().unwrap_or_default();
    let troubles = snapshot.troubles.iter().zip(&snapshot.troubles_since);
    for (place, (word, since)) in troubles.enumerate() {
        let chats = known.get(place).map_or(chats, Vec::as_slice);
        let fault = UplinkFault::from_word(word);
        if let Some(fault) =
            fault.filter(|f| !UplinkFault::PROBED.contains(f) || uplink.has_targets())
        {
            uplink.begin_fault(fault, now.past_moment(*since), moment);
            alerts.add_notified(Topic::Fault(fault), chats);
        }
    }
    if let Some(since) = snapshot.offline_since.filter(|_| uplink.has_targets()) {
        uplink.begin_fault(UplinkFault::NoConnection, now.past_moment(since), moment);
        for watched in sites.iter_mut() {
            if !watched.has_lan_address() && !watched.is_paused() {
                watched.suppress(Suppression::Offline(UplinkFault::NoConnection), moment);
            }
        }
    }
}

/// Takes the sites of a configuration. A site that existed `before` keeps its state and, if its
/// interval is the same, its due time.
pub(crate) fn take_sites(
    sites: Vec<Arc<Site>>,
    before: Sites,
    schedule: &mut Scheduler,
    expiry: &mut Inspections,
    now: Now,
) -> (Sites, Origins) {
    let moment = now.moment();
    let mut before = before.into_by_name();
    let count = sites.len();
    let mut all = Vec::with_capacity(count);
    let mut origins = Vec::with_capacity(count);
    for site in sites {
        let known = before.remove(&site.name);
        origins.push(known.as_ref().map(SiteState::place));
        all.push(match known {
            Some(mut watched) => {
                if watched.reconfigure(site, now) {
                    expiry.on_host_changed(watched.place());
                }
                watched
            }
            None => SiteState::new(site, now),
        });
    }
    let (sites, origins) = (Sites::new(all), Origins(origins));
    schedule.forget_maintenance();
    schedule.follow(&origins);
    for (at, watched) in sites.iter().enumerate() {
        let interval = watched.config().interval;
        schedule.set_handshake(at, watched.config().uses_tls());
        schedule.set_reports(at, watched.job().is_some());
        if watched.job().is_some() {
            schedule.at(at, moment);
        } else if schedule.interval(at) != interval {
            schedule.first(at, interval, moment, count);
        } else if schedule.due_at(at).is_none() {
            schedule.next_turn(at, moment);
        }
        if watched.check_under_way() || watched.is_paused() {
            schedule.clear(at);
        }
    }
    (sites, origins)
}

fn restore_site(watched: &mut SiteState, record: &SiteRecord, now: Now) {
    let word = record.judged.as_ref().unwrap_or(&record.state);
    let state = match State::from_word(word) {
        Some(state @ (State::Up | State::Degraded | State::Down)) => state,
        _ => State::Unknown,
    };
    let changes = record.changes.iter().map(|wall| now.past_moment(*wall));
    let flapping = record.flapping || record.flapping_untold == Some(true);
    let cause = record.cause.clone();
    watched.restore(Remembered {
        judged: state,
        since: now.past_moment(record.since),
        cause: cause.filter(|_| record.judged.is_none()),
        took: record.ms.map(Duration::from_millis),
        pause_order: record.paused,
        muted_until: record.muted_until.map(|wall| now.coming_moment(wall)),
        flapping: Flapping::restore(changes.collect(), flapping, now.moment()),
    });
    if let (Some(job), Some(record)) = (watched.job_mut(), &record.job) {
        job.restore(record, now);
    }
}
