//! Runs of the `[[action]]`s of the configuration: when automatic runs are due, and that none is
//! made twice.
//!
//! | a run | when | becomes |
//! | --- | --- | --- |
//! | does not exist | a user confirmed it | waiting, to be written |
//! | does not exist | a site of the action has been down for `auto`, no run was made since it went down, and no fault of ours explains it | waiting, to be written |
//! | does not exist | our own connection has been down for `auto`, and no run was made since it went down | waiting, to be written |
//! | waiting | it is on disk, and a user asked for it or its reason still exists | started |
//! | waiting | it is on disk, and its reason no longer exists | deleted |
//! | waiting | it cannot be written to disk | ended without having been made, and reported |
//! | started | it ends | ended, and reported |
//! | waiting, started | the agent restarts | ended, and reported: its result is unknown |
//! | ended | the action is no longer configured, or `limit` no longer counts it and there is a later run | deleted |
//!
//! So no run is made without a record on disk, and none of an earlier run of the agent is repeated.

pub mod record;

use crate::monitor::incident::remediation::record::RunRecord;
use crate::monitor::incident::{Incident, Incidents};
use crate::monitor::site::Site;
use crate::monitor::site::state::SiteState;
use crate::monitor::site::table::Sites;
use crate::monitor::time::{Moment, Now, Redating};
use std::time::Duration;

/// No automatic runs for this long after the agent's start, or after the machine stood still: the
/// known states of the sites are out of date.
const QUIET: Duration = Duration::from_secs(120);

/// The part of an `[[action]]` of the configuration that the core needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remediation {
    /// Unique.
    pub name: String,
    /// Names of sites and groups; empty for [`When::Offline`].
    pub sites: Vec<String>,
    pub when: When,
    /// Time after which it runs automatically; `None` = never.
    pub auto: Option<Duration>,
    /// Limit for automatic runs.
    pub limit: Limit,
}

/// The condition that an action remedies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// One of its sites is down.
    Down,
    /// Our own connection is down.
    Offline,
}

/// Maximum number of runs, at least 1, within any period of this length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub runs: u32,
    pub within: Duration,
}

impl Remediation {
    /// Returns whether it applies to outages of this site.
    pub fn is_for(&self, site: &Site) -> bool {
        let listed = |name: &str| self.sites.iter().any(|wanted| wanted == name);
        listed(&site.name) || site.group.as_deref().is_some_and(listed)
    }
}

/// The action to run, and the values of its placeholders; texts may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunRequest {
    pub action: String,
    pub site: String,
    /// A word of [`crate::monitor::site::state::State`].
    pub state: String,
    pub cause: String,
    pub incident: Option<u32>,
    /// The user who confirmed it; `None` for an automatic run.
    pub asked: Option<Asked>,
}

/// The user who confirmed a run, and where its result is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub chat: i64,
    pub topic: Option<i64>,
    /// The message with the question; the result replaces it.
    pub message: Option<i64>,
    pub user: Option<i64>,
    /// The user's name; may be empty.
    pub name: String,
}

/// One run of an action.
#[derive(Clone, Debug)]
pub struct Run {
    pub id: u64,
    pub request: RunRequest,
    at: Moment,
    /// Incidents up to this number get no further automatic run.
    covers: u32,
    /// The current offline period gets no further automatic run.
    covers_offline: bool,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting,
    Started,
    Ended,
}

/// An automatic run that is due now or later, if nothing changes.
#[derive(Debug)]
pub struct DueRun {
    pub at: Moment,
    pub request: RunRequest,
    /// A probe must find the uplink up first.
    pub elsewhere: bool,
}

/// Conditions of the agent itself for automatic runs.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    /// Everything is muted until then.
    pub muted_until: Option<Moment>,
    pub clock_set: bool,
    /// Start of the current offline period.
    pub offline_since: Option<Moment>,
}

/// The actions of the configuration, and their runs.
#[derive(Debug, Default)]
pub struct Remediations {
    configured: Vec<Remediation>,
    /// Oldest first.
    runs: Vec<Run>,
    /// No automatic runs before this.
    quiet_until: Moment,
    /// When the current offline period was detected; it may have begun long before.
    offline_since: Option<Moment>,
}

impl Remediations {
    pub fn reload(&mut self, configured: Vec<Remediation>) {
        self.configured = configured;
        self.quiet_until = self.quiet_until.max(Moment(0) + QUIET);
    }

    pub fn is_empty(&self) -> bool {
        self.configured.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Remediation> {
        self.configured.iter()
    }

    pub fn named(&self, name: &str) -> Option<&Remediation> {
        self.iter().find(|remediation| remediation.name == name)
    }

    /// Returns whether a run of the action has not ended yet.
    pub fn is_under_way(&self, action: &str) -> bool {
        let mut runs = self.runs_of(action);
        runs.any(|run| run.phase != Phase::Ended)
    }

    fn runs_of<'a>(&'a self, action: &'a str) -> impl DoubleEndedIterator<Item = &'a Run> {
        let runs = self.runs.iter();
        runs.filter(move |run| run.request.action == action)
    }

    /// Delays automatic runs after the machine stood still until now.
    pub fn on_wakeup(&mut self, now: Moment) {
        self.quiet_until = self.quiet_until.max(now + QUIET);
    }

    /// Records that our own connection was found to be down.
    pub fn on_offline(&mut self, now: Moment) {
        self.offline_since.get_or_insert(now);
    }

    /// Records that our own connection is up again: the next offline period is a new one.
    pub fn on_online(&mut self) {
        self.offline_since = None;
        for run in &mut self.runs {
            run.covers_offline = false;
        }
    }

    /// Adds a run that starts once it is on disk. `id`: from the same sequence as those of alerts;
    /// `last_incident`: number of the newest incident; `offline`: our own connection is down.
    pub fn request(
        &mut self,
        id: u64,
        request: RunRequest,
        (last_incident, offline): (u32, bool),
        now: Moment,
    ) {
        self.runs.push(Run {
            id,
            request,
            at: now,
            covers: last_incident,
            covers_offline: offline,
            phase: Phase::Waiting,
        });
    }

    /// Ends and returns the waiting runs up to this id, which cannot be written to disk.
    pub fn on_save_failed(&mut self, id: u64) -> Vec<Run> {
        let waiting = self.runs.iter_mut();
        let refused = waiting.filter(|run| run.phase == Phase::Waiting && run.id <= id);
        let refused = refused.map(|run| {
            run.phase = Phase::Ended;
            run.clone()
        });
        refused.collect()
    }

    /// Ends a run and returns it; `None` if it was not started.
    pub fn on_ended(&mut self, id: u64, now: Moment) -> Option<Run> {
        let mut started = self.runs.iter_mut();
        let run = started.find(|run| run.phase == Phase::Started && run.id == id)?;
        run.phase = Phase::Ended;
        let ended = run.clone();
        self.forget(now);
        Some(ended)
    }

    /// Drops ended runs that are no longer needed.
    fn forget(&mut self, now: Moment) {
        let configured = &self.configured;
        let mut later: Vec<String> = Vec::new();
        let mut kept: Vec<Run> = Vec::new();
        for run in std::mem::take(&mut self.runs).into_iter().rev() {
            let action = &run.request.action;
            let known = configured.iter().find(|r| r.name == *action);
            let counts = known
                .is_some_and(|r| run.request.asked.is_none() && now.since(run.at) < r.limit.within);
            let newest = known.is_some() && !later.contains(action);
            if counts || newest || run.phase != Phase::Ended {
                later.push(action.clone());
                kept.push(run);
            }
        }
        kept.reverse();
        self.runs = kept;
    }

    /// Corrects moments of an earlier run of the agent, now that the time since is known.
    pub fn redate(&mut self, redating: &Redating) {
        self.runs
            .iter_mut()
            .for_each(|run| redating.moment(&mut run.at));
    }

    pub fn records(&self, now: Now) -> Vec<RunRecord> {
        let runs = self.runs.iter();
        let runs = runs.filter(|_| !mutated!("forget at a restart what was run"));
        let records = runs.map(|run| RunRecord::of(run, now));
        records.collect()
    }

    /// Restores the runs of an earlier run of the agent. `offline`: it was offline, and the agent
    /// still is. Returns the runs whose result is unknown.
    pub fn restore(&mut self, records: &[RunRecord], offline: bool, now: Now) -> Vec<Run> {
        if offline {
            self.on_offline(now.moment());
        }
        let mut unknown = Vec::new();
        for record in records {
            let run = record.restore(offline, now);
            if record.under_way {
                unknown.push(run.clone());
            }
            self.runs.push(run);
        }
        unknown
    }

    /// Returns the earliest moment at which the limit allows an automatic run.
    fn allowed_at(&self, remediation: &Remediation) -> Moment {
        let Limit { runs, within } = remediation.limit;
        let by_itself = self.runs_of(&remediation.name);
        let mut by_itself = by_itself.filter(|run| run.request.asked.is_none()).rev();
        let last = by_itself.nth(runs.saturating_sub(1) as usize);
        match last {
            Some(run) if !mutated!("run more often than the limit") => run.at + within,
            _ => self.quiet_until,
        }
    }
}

impl Incidents {
    pub fn remediations(&self) -> &Remediations {
        &self.remediations
    }

    pub fn remediations_mut(&mut self) -> &mut Remediations {
        &mut self.remediations
    }

    /// Starts the waiting runs up to this id, which are on disk, and deletes automatic ones whose
    /// reason no longer exists. Returns the started ones.
    pub fn start_saved_runs(
        &mut self,
        id: u64,
        sites: &Sites,
        around: Surroundings,
        now: Moment,
    ) -> Vec<(u64, RunRequest)> {
        let mut runs = std::mem::take(&mut self.remediations.runs);
        let is_saved = |run: &Run| run.phase == Phase::Waiting && run.id <= id;
        runs.retain(|run| !is_saved(run) || self.is_called_for(&run.request, sites, around, now));
        let saved = runs.iter_mut().filter(|run| is_saved(run));
        let started = saved.map(|run| {
            run.phase = Phase::Started;
            (run.id, run.request.clone())
        });
        let started = started.collect();
        self.remediations.runs = runs;
        started
    }

    /// Returns whether a user asked for the run, or its reason still exists and is not muted.
    fn is_called_for(
        &self,
        request: &RunRequest,
        sites: &Sites,
        around: Surroundings,
        now: Moment,
    ) -> bool {
        let all_muted = around.muted_until.is_some_and(|until| until > now);
        let open = |number| self.get(number).is_some_and(Incident::is_open);
        let site = sites.named(&request.site);
        request.asked.is_some()
            || !all_muted
                && match request.incident {
                    Some(number) => {
                        let muted = |site| muted_until(site).is_some_and(|until| until > now);
                        let is_down = |site| is_down_by_itself(site) && !muted(site);
                        open(number) && around.clock_set && site.is_some_and(is_down)
                    }
                    None => around.offline_since.is_some(),
                }
    }

    /// Returns the automatic runs that are due now or later, at most one for each action. Those
    /// that wait for anything but time are omitted.
    pub fn due_runs(&self, sites: &Sites, around: Surroundings) -> Vec<DueRun> {
        let mut due = Vec::new();
        let all = &self.remediations;
        for remediation in all.iter() {
            let Some(auto) = remediation.auto else {
                continue;
            };
            if all.is_under_way(&remediation.name) {
                continue;
            }
            let run = match remediation.when {
                When::Offline => self.due_offline(remediation, auto, around),
                When::Down if around.clock_set => self.due_down(remediation, auto, sites),
                When::Down => None,
            };
            let Some(run) = run else { continue };
            let at = run.at.max(all.allowed_at(remediation)).max(all.quiet_until);
            due.push(DueRun {
                at: around.muted_until.map_or(at, |until| at.max(until)),
                ..run
            });
        }
        due
    }

    /// Returns when the next of [`Incidents::due_runs`] is due that is not due yet.
    pub fn next_run(&self, sites: &Sites, around: Surroundings, now: Moment) -> Option<Moment> {
        let due = self.due_runs(sites, around).into_iter().map(|run| run.at);
        due.filter(|at| *at > now).min()
    }

    fn due_offline(
        &self,
        remediation: &Remediation,
        auto: Duration,
        around: Surroundings,
    ) -> Option<DueRun> {
        let mut runs = self.remediations.runs_of(&remediation.name);
        let since = self.remediations.offline_since?.max(around.offline_since?);
        (!runs.any(|run| run.covers_offline)).then(|| DueRun {
            at: since + auto,
            request: RunRequest {
                action: remediation.name.clone(),
                state: "offline".to_owned(),
                ..RunRequest::default()
            },
            elsewhere: false,
        })
    }

    fn due_down(&self, remediation: &Remediation, auto: Duration, sites: &Sites) -> Option<DueRun> {
        let runs = self.remediations.runs_of(&remediation.name);
        let covered = runs.map(|run| run.covers).max().unwrap_or(0);
        let new = self
            .iter_open()
            .filter(|incident| incident.number > covered);
        let due = new.filter_map(|incident| {
            let site = sites.named(&incident.site)?;
            let wanted = remediation.is_for(site.config()) && is_down_by_itself(site);
            let muted = muted_until(site);
            let at = incident.lasts_at(auto);
            let at = muted.map_or(at, |until| at.max(until));
            wanted.then_some((at, incident, site))
        });
        let (at, incident, site) = due.min_by_key(|(at, ..)| *at)?;
        Some(DueRun {
            at,
            request: RunRequest {
                action: remediation.name.clone(),
                site: incident.site.clone(),
                state: site.state().word().to_owned(),
                cause: incident.cause.clone(),
                incident: Some(incident.number),
                asked: None,
            },
            elsewhere: !site.bypasses_uplink(),
        })
    }
}

/// Returns the end of the mute of the site, until which there are no automatic runs.
fn muted_until(site: &SiteState) -> Option<Moment> {
    let muted = site.muted_until();
    muted.filter(|_| !mutated!("run an action for a muted site"))
}

/// Returns whether the site was down at its last check, and that is not explained by a fault of
/// ours, a site that it depends on, a pause or maintenance.
fn is_down_by_itself(site: &SiteState) -> bool {
    let suppressed = site.is_suppressed() && !mutated!("run an action for what is not judged");
    let maintained = site.under_maintenance() && !mutated!("run an action under maintenance");
    // Jobs are not checked: their last report stays valid, also over a restart.
    let seen = site.job().is_some() || site.last_failure().is_some() && !site.is_stale();
    site.is_down() && seen && !site.is_paused() && !suppressed && !maintained
}
