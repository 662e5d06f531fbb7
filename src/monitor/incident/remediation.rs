//! Runs of the `[[action]]`s of the configuration: when one begins by itself, and that none is made twice.
//!
//! | a run | when | becomes |
//! | --- | --- | --- |
//! | is none | a user confirmed it | waiting, to be written |
//! | is none | a site of the action has been down for `auto`, no run was made since it went down, and nothing of ours explains it | waiting, to be written |
//! | is none | our own connection has been gone for `auto`, and no run was made since it went | waiting, to be written |
//! | waiting | it is on disk, and a user asked for it or what it is for goes on | started |
//! | waiting | it is on disk, and what it is for is over | none |
//! | waiting | the disk does not take it | ended without having been made, and told |
//! | started | it ends | ended, and told |
//! | waiting, started | the agent starts anew | ended, and told: its result is unknown |
//! | ended | `limit` asks for it no longer, and there is a later run | forgotten |
//!
//! So none is made without a trace on disk, and none of an earlier run of the agent is made again.

pub mod record;

use crate::monitor::incident::remediation::record::RunRecord;
use crate::monitor::incident::{Incident, Incidents};
use crate::monitor::site::Site;
use crate::monitor::site::state::SiteState;
use crate::monitor::site::table::Sites;
use crate::monitor::time::{Moment, Now, Redating};
use std::time::Duration;

/// After the agent's start, or after the machine stood still, nothing runs by itself for so long: what is
/// known of the sites is too old.
const QUIET: Duration = Duration::from_secs(120);

/// An `[[action]]` of the configuration, as far as the core must know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remediation {
    /// Unique.
    pub name: String,
    /// Names of sites and groups; none for [`When::Offline`].
    pub sites: Vec<String>,
    pub when: When,
    /// After so long it runs by itself.
    pub auto: Option<Duration>,
    /// Of the runs by itself.
    pub limit: Limit,
}

/// What an action is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// One of its sites is down.
    Down,
    /// Our own connection is gone.
    Offline,
}

/// So many runs, at least one, within any span of this length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub runs: u32,
    pub within: Duration,
}

impl Remediation {
    /// It is about outages of this site.
    pub fn is_for(&self, site: &Site) -> bool {
        let listed = |name: &str| self.sites.iter().any(|wanted| wanted == name);
        listed(&site.name) || site.group.as_deref().is_some_and(listed)
    }
}

/// What is to be run, and the placeholders of the outage. Texts are empty where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunRequest {
    pub action: String,
    pub site: String,
    /// A word of [`crate::monitor::site::state::State`].
    pub state: String,
    pub cause: String,
    pub incident: Option<u32>,
    /// The user who confirmed it; `None`: it runs by itself.
    pub asked: Option<Asked>,
}

/// The user who confirmed a run, and where its result is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub chat: i64,
    pub topic: Option<i64>,
    /// The message with the question, which becomes the answer.
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
    /// Incidents up to this number are not to have another run by itself.
    covers: u32,
    /// Nor has the time without a connection of our own.
    covers_offline: bool,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting,
    Started,
    Ended,
}

/// A run that may begin by itself, as things are.
#[derive(Debug)]
pub struct DueRun {
    pub at: Moment,
    pub request: RunRequest,
    /// The uplink must be seen to be up first.
    pub elsewhere: bool,
}

/// What is to be known of the agent itself for a run to begin.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    /// Everything is muted until then.
    pub muted_until: Option<Moment>,
    pub clock_set: bool,
    /// Since when our own connection is gone.
    pub offline_since: Option<Moment>,
}

/// The actions of the configuration, and their runs.
#[derive(Debug, Default)]
pub struct Remediations {
    configured: Vec<Remediation>,
    /// Oldest first.
    runs: Vec<Run>,
    /// Nothing runs by itself before this.
    quiet_until: Moment,
    /// Since when it is known that our own connection is gone: it may have gone long before, or just then.
    offline_since: Option<Moment>,
}

impl Remediations {
    pub fn reload(&mut self, configured: Vec<Remediation>) {
        self.configured = configured;
        self.quiet_until = self.quiet_until.max(Moment(0) + QUIET);
    }

    pub fn iter(&self) -> impl Iterator<Item = &Remediation> {
        self.configured.iter()
    }

    pub fn named(&self, name: &str) -> Option<&Remediation> {
        self.iter().find(|remediation| remediation.name == name)
    }

    /// A run of the action has not ended.
    pub fn is_under_way(&self, action: &str) -> bool {
        let mut runs = self.runs_of(action);
        runs.any(|run| run.phase != Phase::Ended)
    }

    fn runs_of<'a>(&'a self, action: &'a str) -> impl DoubleEndedIterator<Item = &'a Run> {
        let runs = self.runs.iter();
        runs.filter(move |run| run.request.action == action)
    }

    /// The machine stood still until now.
    pub fn on_wakeup(&mut self, now: Moment) {
        self.quiet_until = self.quiet_until.max(now + QUIET);
    }

    /// Our own connection is gone, as is known from now on.
    pub fn on_offline(&mut self, now: Moment) {
        self.offline_since.get_or_insert(now);
    }

    /// Our own connection is back: the next time that it is gone is another one.
    pub fn on_online(&mut self) {
        self.offline_since = None;
        for run in &mut self.runs {
            run.covers_offline = false;
        }
    }

    /// A run is to be made once it is on disk. `id`: as those of alerts; `last_incident`: the number of
    /// the newest incident; `offline`: our own connection is gone.
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

    /// What waits up to this id can't be put on disk: it is not made, nor asked for again.
    pub fn on_save_failed(&mut self, id: u64) -> Vec<Run> {
        let waiting = self.runs.iter_mut();
        let refused = waiting.filter(|run| run.phase == Phase::Waiting && run.id <= id);
        let refused = refused.map(|run| {
            run.phase = Phase::Ended;
            run.clone()
        });
        refused.collect()
    }

    /// A run has ended.
    pub fn on_ended(&mut self, id: u64, now: Moment) -> Option<Run> {
        let mut started = self.runs.iter_mut();
        let run = started.find(|run| run.phase == Phase::Started && run.id == id)?;
        run.phase = Phase::Ended;
        let ended = run.clone();
        self.forget(now);
        Some(ended)
    }

    /// Forgets the runs that nothing depends on any more.
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

    /// The past was elsewhere than was thought.
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

    /// Takes back what an earlier run of the agent wrote; `offline`: it had no connection, and that goes
    /// on. Those whose result is unknown are returned.
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

    /// The earliest moment at which the limit allows the action to run by itself.
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

    /// What waits up to this id is on disk: those start now, but for runs by themselves that nothing calls
    /// for any more.
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

    /// A user asked for the run, or what it is for goes on.
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

    /// The runs that may begin by themselves, one of an action at most, and from when on. Those that
    /// something other than time keeps back are none.
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

    /// When one of [`Incidents::due_runs`] is due that is not yet.
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

/// No alert is made of it until then, and nothing runs for it.
fn muted_until(site: &SiteState) -> Option<Moment> {
    let muted = site.muted_until();
    muted.filter(|_| !mutated!("run an action for a muted site"))
}

/// It is down by the last that was seen of it, and neither a fault of ours, a site that it depends on nor
/// a user's order explains that.
fn is_down_by_itself(site: &SiteState) -> bool {
    let suppressed = site.is_suppressed() && !mutated!("run an action for what is not judged");
    let maintained = site.under_maintenance() && !mutated!("run an action under maintenance");
    // A job is not looked at: what it said last holds, over restarts too.
    let seen = site.job().is_some() || site.last_failure().is_some() && !site.is_stale();
    site.is_down() && seen && !site.is_paused() && !suppressed && !maintained
}
