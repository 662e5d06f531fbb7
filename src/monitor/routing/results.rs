//! Routes results of clocks, checks, inspections and probes: from the scheduler to the judge, the
//! uplink and expiry, and their events to incidents, alerts and the save schedule.

use crate::monitor::alert::Notification;
use crate::monitor::alert::root_notices::{by_chat, root_text};
use crate::monitor::bot::check_jobs::JobResult;
use crate::monitor::expiry::{ExpiryEvent, Subject};
use crate::monitor::judge::flapping;
use crate::monitor::judge::{JudgeEvent, Judging, Transition};
use crate::monitor::site::flapping::ChangeNotice;
use crate::monitor::site::outcome::{CheckResult, Failure, FailureKind, Inspection, Outcome};
use crate::monitor::site::report::{Report, ReportAnswer};
use crate::monitor::site::state::SiteState;
use crate::monitor::site::streak::Change;
use crate::monitor::site::suppression::UplinkFault;
use crate::monitor::time::{ClockChange, Now, Redating};
use crate::monitor::uplink::{ProbeResult, UplinkEvent};
use crate::monitor::{Action, Level, Monitor};
use std::time::Duration;

/// Delay before a job that cannot be judged now is examined again.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

impl Monitor {
    /// Reads the clock and applies its changes. Returns the time to use.
    pub(crate) fn read_clock(&mut self, now: Now) -> Now {
        let change = self.clock.read(now);
        let now = self.clock.estimate(now);
        if change.is_some() {
            self.schedule.forget_maintenance();
        }
        match change {
            Some(ClockChange::Doubted(why)) => self.actions.log(Level::Warn, why),
            Some(ClockChange::Set(redating)) => self.clock_is_set(now, &redating),
            None => {}
        }
        now
    }

    pub(crate) fn clock_is_set(&mut self, now: Now, redating: &Redating) {
        self.actions.log(Level::Info, "the clock is set".to_owned());
        let moment = now.moment();
        let (since, floor) = redating.this_run();
        self.outbox.redate_periods(since, floor, redating.seconds);
        self.uplink.redate_period(floor, redating.seconds);
        for incident in self.incidents.iter_mut() {
            incident.redate(redating);
        }
        let mut muted_until = self.alerts.muted_until();
        redating.mute(None, &mut muted_until);
        self.alerts.mute_all(muted_until);
        self.uplink.redate(|at| redating.moment(at));
        self.outbox.redate(|at| redating.moment(at));
        if redating.shifts() {
            let length = |number| self.incidents.get(number).map(|i| i.length(now));
            self.outbox.relength(length);
        }
        self.incidents.remediations_mut().redate(redating);
        self.incidents.on_clock_set(moment);
        for watched in self.sites.iter_mut() {
            watched.clock_is_set(moment, redating);
        }
        self.schedule.check_https_soon(moment, &self.sites);
        for watched in self.sites.iter_mut() {
            if let Some(job) = watched.job_mut() {
                job.on_clock_set(now);
                self.schedule.at(watched.place(), moment);
            }
        }
    }

    /// Informs jobs that the wall clock was set, or the machine slept; otherwise it would show
    /// `before`.
    pub(crate) fn on_jump(&mut self, now: Now, before: i64) {
        for watched in self.sites.iter_mut() {
            if let Some(job) = watched.job_mut() {
                job.on_jump(before, now);
                self.save_schedule.within_5_min(now.moment());
                self.schedule.at(watched.place(), now.moment());
            }
        }
    }

    /// Takes the report of a job.
    pub(crate) fn reported(&mut self, now: Now, id: u64, report: &Report) {
        let clock_set = self.clock.is_set();
        let found = self.sites.find(&report.site);
        let job = found.and_then(|at| Some((at, self.sites[at].job_mut()?)));
        let Some((at, job)) = job else {
            let answer = ReportAnswer::Unknown;
            return self.actions.push(Action::AnswerReport { id, answer });
        };
        let outcome = job.on_report(report, now, clock_set);
        self.save_schedule.on_report(id);
        self.schedule.at(at, now.moment());
        if let Some(outcome) = outcome {
            self.job_ended(now, at, outcome);
        }
    }

    /// Examines which job reports are missing.
    pub(crate) fn look_at_jobs(&mut self, now: Now) {
        let moment = now.moment();
        let offline = self.uplink.has_fault(UplinkFault::NoConnection);
        while let Some(at) = self.schedule.take_job(moment) {
            let watched = &mut self.sites[at];
            if watched.is_paused() || watched.pending_down().is_some() {
                // It is examined again when that ends.
                continue;
            }
            let (down, suppressed) = (watched.is_down(), watched.is_suppressed());
            let Some(job) = watched.job_mut() else {
                continue;
            };
            if suppressed || offline && job.reports_by_http() {
                job.grant_grace(moment);
                self.schedule.at(at, moment + LOOK_AGAIN);
                continue;
            }
            match job.look(down, now) {
                Ok(next) => next.into_iter().for_each(|then| self.schedule.at(at, then)),
                Err(outcome) => self.job_ended(now, at, *outcome),
            }
        }
    }

    /// Judges a job that has ended, or has not ended in time.
    fn job_ended(&mut self, now: Now, at: usize, outcome: Outcome) {
        let watched = &mut self.sites[at];
        // Counts as a check that began and ended now.
        watched.begin_check(now.moment());
        watched.end_check();
        if watched.is_paused() {
            return;
        }
        self.history.count_check(None);
        self.judge_outcome(now, at, outcome);
    }

    /// Starts inspections, and queues notices about root certificates that expire.
    pub(crate) fn inspect(&mut self, now: Now) {
        let moment = now.moment();
        self.expiry
            .on_timeout(moment, &self.sites, &mut self.actions);
        if self.alerts.all_muted(moment) {
            return;
        }
        for (root, sites) in self.expiry.take_ending_roots(now, &self.sites) {
            self.save_schedule.immediately();
            self.actions.log(Level::Warn, root_text(&root, &sites, now));
            for (sites, chats) in by_chat(&self.sites, &sites, self.bot.chats()) {
                self.notifier(now)
                    .notice(chats, root_text(&root, &sites, now));
            }
        }
    }

    pub(crate) fn inspected(
        &mut self,
        now: Now,
        name: &str,
        subject: Subject,
        result: Result<Inspection, Failure>,
    ) {
        let Some(at) = self.sites.find(name) else {
            return;
        };
        let muted = self.alerts.muted(&self.sites[at], now.moment());
        let (sites, actions) = (&mut self.sites, &mut self.actions);
        let found = (subject, result);
        let events = self
            .expiry
            .on_inspected(now, &mut sites[at], found, muted, actions);
        for event in events {
            let notification = match event {
                ExpiryEvent::EndsSoon(expiry) => Notification::Expiring { subject, expiry },
                ExpiryEvent::Renewed(expiry) => Notification::Renewed { subject, expiry },
                ExpiryEvent::Changed => {
                    self.save_schedule.within_5_min(now.moment());
                    continue;
                }
                ExpiryEvent::RootsChanged => {
                    self.save_schedule.within_1_s(now.moment());
                    continue;
                }
            };
            let mut notifier = self.notifier(now);
            let site = &notifier.sites[at];
            let alert = notifier.audience().alert(site, notification, None);
            notifier.queue([alert]);
        }
    }

    pub(crate) fn probed(&mut self, now: Now, result: ProbeResult) {
        let clock_set = self.clock.is_set();
        let (sites, actions) = (&mut self.sites, &mut self.actions);
        let ended = self
            .uplink
            .on_probe_result(now, result, clock_set, sites, actions);
        let Some((began, events)) = ended else {
            return;
        };
        self.on_uplink(now, events);
        if result.up {
            let events = self.judging(now).suppress_failing(result, began);
            self.on_judged(now, events);
        }
        let (sites, actions) = (&mut self.sites, &mut self.actions);
        let events = self.uplink.end_faults(now, result, sites, actions);
        self.on_uplink(now, events);
    }

    pub(crate) fn on_uplink(&mut self, now: Now, events: impl IntoIterator<Item = UplinkEvent>) {
        let moment = now.moment();
        for event in events {
            match event {
                // Without this write, a power cut would make outages include the time without
                // judging.
                UplinkEvent::Offline => {
                    self.incidents.remediations_mut().on_offline(moment);
                    self.save_schedule.immediately_if_affordable(moment);
                }
                UplinkEvent::Online {
                    since,
                    unjudged,
                    period,
                    goes_on,
                } => {
                    self.incidents.remediations_mut().on_online();
                    for at in unjudged {
                        // An outage that began before continues, but this time is not counted.
                        let name = self.sites[at].name();
                        if let Some(incident) = self.incidents.open_of_mut(name) {
                            incident.exclude(since, moment);
                        }
                    }
                    for watched in self.sites.iter_mut() {
                        if let Some(job) = watched.job_mut() {
                            job.on_online(moment.since(since));
                        }
                    }
                    self.save_schedule.within_5_min(moment);
                    self.notifier(now).offline_period(period, goes_on);
                }
                UplinkEvent::FaultBegan { fault, due } => {
                    self.save_schedule.within_5_min(moment);
                    self.alerts.on_fault(fault, due);
                }
                UplinkEvent::FaultEnded { fault, notice } => {
                    self.save_schedule.within_5_min(moment);
                    if let Some(mut chats) = self.alerts.on_fault_end(fault) {
                        chats.retain(|chat| self.bot.chats().contains(chat));
                        self.notifier(now).uplink_notice(chats, notice);
                    }
                }
                UplinkEvent::Contradicted { notice } => {
                    let chats = self.bot.chats().to_vec();
                    self.notifier(now).uplink_notice(chats, notice.to_owned());
                }
            }
        }
    }

    pub(crate) fn judging(&mut self, now: Now) -> Judging<'_> {
        Judging {
            now,
            clock: &self.clock,
            sites: &mut self.sites,
            schedule: &mut self.schedule,
            uplink: &mut self.uplink,
            actions: &mut self.actions,
        }
    }

    /// Takes the result of a check.
    pub(crate) fn checked(&mut self, now: Now, name: &str, outcome: Outcome) {
        let moment = now.moment();
        let kind = outcome.verdict.as_ref().err().map(|f| f.kind);
        self.history.count_check(kind);
        self.schedule.check_ended(moment);
        let Some(at) = self.sites.find(name) else {
            return;
        };
        let verdict = JobResult::of(&outcome, &self.sites[at]);
        let watched = &self.sites[at];
        let hangs = watched.timed_out() || kind == Some(FailureKind::Timeout);
        if !hangs
            && !self.clock.stalled_during(watched.check_began())
            && let Some((level, text)) = self.schedule.round_ended(moment, watched)
        {
            self.actions.log(level, text.clone());
            self.notifier(now).notice_to_all(text);
        }
        let watched = &mut self.sites[at];
        watched.end_check();
        if watched.is_paused() {
            self.note_in_jobs(now, name, &JobResult::Paused);
            return;
        }
        if let Some(FailureKind::Local(local_fault)) = kind
            && !mutated!("blame a site for what this machine lacks")
        {
            watched.count(CheckResult::Excused);
            watched.record_local_fault();
            self.schedule.check_soon(moment, &self.sites[at]);
            let quiet = self.alerts.all_muted(moment);
            let notice =
                self.uplink
                    .on_local_fault(now, name, local_fault, quiet, &mut self.actions);
            if let Some(text) = notice {
                self.notifier(now).notice_to_all(text);
            }
            // Our own connection may be at fault.
            let kind = FailureKind::Local(local_fault);
            self.uplink.on_failure(moment, &self.sites[at], kind);
            self.note_in_jobs(now, name, &verdict);
            return;
        }
        self.uplink.on_check(moment, name, &mut self.actions);
        self.schedule.next_turn(at, moment);
        let untimely = match kind {
            Some(FailureKind::Tls | FailureKind::Untrusted) => true,
            Some(FailureKind::Limit) => self.sites[at].config().needs_clock(),
            _ => false,
        };
        if self.clock.is_set() || !untimely {
            self.judge_outcome(now, at, outcome);
        } else {
            self.sites[at].count(CheckResult::Excused);
        }
        self.note_in_jobs(now, name, &verdict);
    }

    fn judge_outcome(&mut self, now: Now, at: usize, outcome: Outcome) {
        if let (Ok(()), Some(took)) = (&outcome.verdict, outcome.took) {
            match self.sites[at].job() {
                Some(_) => self.history.on_run(at, took),
                None => self.history.on_answer(at, took),
            }
        }
        let (events, transition) = self.judging(now).on_outcome(at, outcome);
        self.on_uplink(now, events);
        self.on_judged(now, transition.map(JudgeEvent::Transition));
        self.incidents.on_checked(self.sites[at].name());
    }

    /// Decides the pending downs that can be decided now.
    pub(crate) fn settle_pending(&mut self, now: Now) {
        for at in self.sites.recount().pending.clone() {
            let event = self.judging(now).settle(at);
            self.on_judged(now, event);
        }
    }

    pub(crate) fn on_judged(&mut self, now: Now, events: impl IntoIterator<Item = JudgeEvent>) {
        for event in events {
            match event {
                JudgeEvent::Transition(transition) => self.on_transition(now, transition),
                JudgeEvent::Suppressed(fault) => {
                    self.save_schedule.within_5_min(now.moment());
                    self.on_uplink(now, fault);
                }
            }
        }
    }

    pub(crate) fn on_transition(&mut self, now: Now, transition: Transition) {
        let Transition {
            at,
            change,
            cause,
            lasted,
        } = transition;
        match change {
            Change::WentDown => {
                self.history.on_down(now, &self.sites[at]);
                self.refresh_reach(now.moment());
                let notice = self.manner_of_change(now, at);
                self.notifier(now).went_down(at, cause, notice);
            }
            Change::Recovered => {
                let notice = self.manner_of_change(now, at);
                self.refresh_reach(now.moment());
                self.notifier(now).recovered(at, notice);
            }
            Change::Slowed => {
                let notice = self.manner_of_change(now, at);
                self.notifier(now).slowed(at, cause, notice);
            }
            Change::SpedUp => {
                let notice = self.manner_of_change(now, at);
                self.notifier(now).sped_up(at, lasted, notice);
            }
            Change::FirstUp => {
                let name = self.sites[at].name();
                self.actions.log(Level::Debug, format!("{name} is up"));
                // Once all sites are known, the saved state is complete enough to be shown.
                if self.sites.recount().unknown == 0 {
                    self.save_schedule.within_1_s(now.moment());
                } else {
                    self.save_schedule.within_5_min(now.moment());
                }
            }
        }
    }

    fn manner_of_change(&mut self, now: Now, at: usize) -> ChangeNotice {
        flapping::manner_of_change(now.moment(), at, &mut self.sites, &mut self.actions)
    }

    pub(crate) fn end_flapping(&mut self, now: Now) {
        let clock_set = self.clock.is_set();
        let notified = |site: &SiteState| !self.alerts.flaps_in_silence(site.name());
        for at in flapping::take_steady(now.moment(), &mut self.sites, clock_set, notified) {
            self.notifier(now).became_steady(at);
        }
    }
}
