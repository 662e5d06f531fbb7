//! A job that reports by itself (`push:`): when its next report is due, and its last report.
//!
//! | job | judged | test |
//! | --- | --- | --- |
//! | its end was reported as failed | down at once | `a_bad_report_is_down_with_code_and_last_lines` |
//! | no end was reported until `grace` after the due time | down | `a_report_that_is_missing_is_told_with_the_time_of_the_last` |
//! | it was started, and has not ended within `longest` | down; until then no report is missing | `a_job_that_runs_too_long_is_down` |
//! | its end was reported as good | up | `the_next_good_report_ends_the_outage` |
//!
//! A job is never late because sitemon did not run: after a start, a standstill, a jump of the
//! clock, the end of a pause or of `unreachable`, and after the clock is set it gets at least
//! `grace`. Reports due in a time that a jump of the clock skipped are not expected.

#![allow(clippy::question_mark)] // in what nanoserde derives

use crate::monitor::site::outcome::{Failure, FailureKind, Outcome};
use crate::monitor::site::report::{Report, ReportKind, Way, last_lines};
use crate::monitor::site::{Due, PushCheck};
use crate::monitor::time::text::{clock_times, lasting, recent_time, run_time};
use crate::monitor::time::{Moment, Now, hours};
use nanoserde::{DeJson, SerJson};
use std::time::Duration;

/// Maximum time by which a report may precede its due time: the clock of another machine may be
/// ahead. Never longer than `grace`.
const EARLY: Duration = Duration::from_secs(60);
/// Setback of the clock, in seconds, up to which cron(8) does not run jobs again.
const RUN_AGAIN_AFTER: i64 = 3 * 3600;

/// Stands for a time that was taken while the clock was not set.
const UNDATED: i64 = 0;

/// The state of the job of one site.
#[derive(Debug)]
pub struct PushJob {
    plan: PushCheck,
    /// Reports due until then have come, or are not expected.
    base: Stamp,
    started: Option<Stamp>,
    last: Option<LastReport>,
    /// The `at` of the newest report, in ms.
    newest: i64,
    /// The `at` of the newest report that came from the spool in this run, in ms.
    newest_kept: i64,
    /// No report is late before this.
    not_before: Moment,
    /// Time without a connection, by which deadlines of jobs that report by HTTP are extended.
    excused: Duration,
    /// Whether the deadline has passed and the failure was returned to be judged.
    missed: bool,
}

/// When something happened, by both clocks.
#[derive(Clone, Copy, Debug)]
struct Stamp {
    moment: Moment,
    /// Unix seconds.
    wall: i64,
    /// Whether the clock was set when `wall` was taken.
    dated: bool,
}

/// The last report of an end, good or bad.
#[derive(Debug)]
struct LastReport {
    at: Stamp,
    failed: bool,
    code: Option<i32>,
    took: Option<Duration>,
    lines: String,
    by_http: bool,
}

/// The time at which a job is judged as failed unless it reports before.
#[derive(Clone, Copy, Debug)]
struct Deadline {
    at: Moment,
    /// Unix seconds, without extensions.
    wall: i64,
    /// Whether the job was started and must end by then; otherwise a report is due.
    running: bool,
}

/// The part of a job's state that survives a restart. Times in Unix seconds, 0 without a
/// clock.
#[derive(Clone, Debug, Default, PartialEq, SerJson, DeJson)]
#[nserde(default)]
pub struct JobRecord {
    /// Due times as text: if they have changed, reports due before the restart are not expected.
    pub plan: String,
    pub base: i64,
    pub started: Option<i64>,
    /// In ms.
    pub newest: Option<i64>,
    pub reported: Option<i64>,
    pub failed: bool,
    pub code: Option<i32>,
    /// In ms.
    pub took: Option<u64>,
    pub lines: String,
    pub by_http: bool,
}

impl Stamp {
    fn new(now: Now, dated: bool) -> Stamp {
        Stamp {
            moment: now.moment(),
            wall: now.wall,
            dated,
        }
    }

    /// Returns the stamp of a past time, in Unix seconds.
    fn past(now: Now, wall: i64) -> Stamp {
        Stamp {
            moment: now.past_moment(wall),
            wall,
            dated: true,
        }
    }

    /// Returns the Unix seconds for the state file; 0 if the clock was not set.
    fn kept(&self) -> i64 {
        match self.dated {
            true => self.wall,
            false => UNDATED,
        }
    }

    /// Returns the stamp of a time of an earlier run. Without a date its age is unknown, so that it
    /// counts from now.
    fn restored(now: Now, wall: i64) -> Stamp {
        match wall {
            UNDATED => Stamp::new(now, false),
            wall => Stamp::past(now, wall),
        }
    }

    fn on_clock_set(&mut self, now: Now) {
        if self.dated {
            self.moment = now.past_moment(self.wall).min(self.moment);
        } else {
            self.wall = now.wall_at(self.moment);
            self.dated = true;
        }
    }
}

impl PushJob {
    pub fn new(plan: PushCheck, now: Now) -> PushJob {
        PushJob {
            base: Stamp::new(now, false),
            not_before: now.moment() + plan.grace,
            plan,
            started: None,
            last: None,
            newest: i64::MIN,
            newest_kept: i64::MIN,
            excused: Duration::ZERO,
            missed: false,
        }
    }

    /// Replaces the configuration: reports due by the old one are not expected.
    pub fn change_plan(&mut self, plan: &PushCheck, now: Now) {
        let same = (&self.plan.due, self.plan.grace, self.plan.longest)
            == (&plan.due, plan.grace, plan.longest);
        self.plan = plan.clone();
        if !same {
            self.base = Stamp::new(now, false);
            self.missed = false;
            self.grant_grace(now.moment());
        }
    }

    /// Extends the deadlines to at least `grace` from now.
    pub fn grant_grace(&mut self, now: Moment) {
        self.not_before = self.not_before.max(now + self.plan.grace);
    }

    /// Makes the job be judged anew.
    pub fn on_reset(&mut self, now: Moment) {
        self.missed = false;
        self.grant_grace(now);
    }

    /// Corrects the times that were taken before the clock was set.
    pub fn on_clock_set(&mut self, now: Now) {
        self.base.on_clock_set(now);
        let last = self.last.as_mut().map(|last| &mut last.at);
        for stamp in self.started.iter_mut().chain(last) {
            stamp.on_clock_set(now);
        }
        self.grant_grace(now.moment());
    }

    /// Handles a jump of the wall clock, which would have shown `before`: it was set, or the
    /// machine slept.
    pub fn on_jump(&mut self, before: i64, now: Now) {
        self.grant_grace(now.moment());
        // The jump does not count as run time of a job.
        if let Some(started) = &mut self.started {
            started.wall = now.wall_at(started.moment);
        }
        let Due::At(times) = &self.plan.due else {
            self.base.wall = now.wall_at(self.base.moment);
            return;
        };
        // A report that was due before the jump is still expected.
        let waited_for = self.next_time(times, now);
        if waited_for.is_none_or(|(from, _)| from > before) {
            self.base.wall = match self.base.wall.saturating_sub(now.wall) {
                ahead if ahead <= RUN_AGAIN_AFTER => self.base.wall.max(now.wall),
                _ => now.wall,
            };
        }
    }

    /// Extends the deadlines of a job elsewhere, which could not report while there was no
    /// connection.
    pub fn on_online(&mut self, lasted: Duration) {
        if self.reports_by_http() {
            self.excused = self.excused.saturating_add(lasted);
        }
    }

    /// Returns whether the job reports by HTTP, as far as is known.
    pub fn reports_by_http(&self) -> bool {
        let last = self.last.as_ref().map(|last| last.by_http);
        last.unwrap_or(self.plan.token.is_some())
    }

    /// Returns when the next report is due by the clock: from and until, in Unix seconds.
    fn next_time(&self, times: &[hours::Window], now: Now) -> Option<(i64, i64)> {
        let early = seconds(EARLY.min(self.plan.grace));
        let after = self.base.wall.saturating_add(early);
        // The start of that minute; of its second occurrence if clocks are set back then.
        hours::next_stretch(times, after, now.zone).map(|(from, until)| (from, until - 60))
    }

    /// Returns when to call this again; `down`: the site is down already. Call it only while the
    /// clock is set.
    ///
    /// # Errors
    ///
    /// Returns the failure to judge: the last report is a bad one, or a report is missing.
    pub fn look(&mut self, down: bool, now: Now) -> Result<Option<Moment>, Box<Outcome>> {
        self.base.dated = true;
        if !down {
            if let Some(last) = self.last.as_ref().filter(|last| last.failed) {
                return Err(Box::new(last.outcome()));
            }
            if self.missed {
                // The site is not down although the report is missing: that failure was excused.
                self.on_reset(now.moment());
            }
        }
        match self.deadline(now).filter(|_| !self.missed) {
            Some(deadline) if deadline.at <= now.moment() => {
                Err(Box::new(self.on_deadline(deadline, now)))
            }
            deadline => Ok(deadline.map(|deadline| deadline.at)),
        }
    }

    fn deadline(&self, now: Now) -> Option<Deadline> {
        let grace = seconds(self.plan.grace);
        let (at, wall, running) = match (&self.started, self.plan.longest, &self.plan.due) {
            (Some(started), Some(longest), _) => {
                let wall = started.wall.saturating_add(seconds(longest));
                (started.moment + longest, wall, true)
            }
            (.., Due::Every(every)) => {
                let wall = self.base.wall.saturating_add(seconds(*every) + grace);
                (self.base.moment + *every + self.plan.grace, wall, false)
            }
            (.., Due::At(times)) => {
                let wall = self.next_time(times, now)?.1.saturating_add(grace);
                let ahead = wall.saturating_sub(now.wall).saturating_mul(1000);
                (Moment(now.moment().0.saturating_add(ahead)), wall, false)
            }
        };
        Some(Deadline {
            at: (at + self.excused).max(self.not_before),
            wall,
            running,
        })
    }

    fn on_deadline(&mut self, deadline: Deadline, now: Now) -> Outcome {
        self.missed = true;
        let time = |wall| recent_time(wall, now);
        let started = self.started.filter(|_| deadline.running);
        let cause = match (started, self.plan.longest, &self.last) {
            (Some(started), Some(longest), _) => {
                let (started, longest) = (time(started.wall), lasting(longest));
                format!("started {started}, not ended within {longest}")
            }
            (.., Some(last)) => {
                let (last, until) = (time(last.at.wall), time(deadline.wall));
                format!("no report since {last}, expected by {until}")
            }
            (.., None) => format!("no report yet, expected by {}", time(deadline.wall)),
        };
        Outcome::failed(FailureKind::Job, cause)
    }

    /// Handles a report. Returns the outcome to judge; `None` for a start and for a known report.
    pub fn on_report(&mut self, report: &Report, now: Now, clock_set: bool) -> Option<Outcome> {
        let kept = report.way == Way::Spool;
        // The clock was set back since. Its resolution is whole seconds.
        let ahead = |at: i64| clock_set && at.div_euclid(1000) > now.wall;
        let known = match report.way {
            Way::Spool => report.at <= self.newest && !ahead(self.newest),
            // It waited at the socket for so long that its sender stored it in the spool as well.
            Way::Socket => clock_set && report.at <= self.newest_kept && !ahead(self.newest_kept),
            Way::Http => false,
        };
        if known {
            return None;
        }
        if kept {
            self.newest_kept = self.newest_kept.max(report.at);
        }
        let ahead = ahead(self.newest);
        self.newest = match ahead {
            true => report.at,
            false => self.newest.max(report.at),
        };
        let stamp = match report.at.div_euclid(1000) {
            wall if kept && (wall <= now.wall || !clock_set) => Stamp::past(now, wall),
            _ => Stamp::new(now, clock_set),
        };
        let started = match report.kind {
            ReportKind::Start => {
                self.started = Some(stamp);
                // A start is not judged: the end may still be reported, if late.
                return None;
            }
            ReportKind::Good | ReportKind::Bad => self.started.take(),
        };
        let took = started.map(|started| stamp.moment.since(started.moment));
        let last = self.last.insert(LastReport {
            at: stamp,
            failed: report.kind == ReportKind::Bad,
            code: report.code,
            took: report.took.or(took),
            lines: report.lines.clone(),
            by_http: report.way == Way::Http,
        });
        let outcome = last.outcome();
        self.base = stamp;
        self.excused = Duration::ZERO;
        self.missed = false;
        Some(outcome)
    }

    /// Returns what the job printed last, if it failed and printed more than one line.
    pub fn failed_lines(&self) -> Option<&str> {
        let last = self.last.as_ref().filter(|last| last.failed)?;
        Some(last.lines.as_str()).filter(|lines| lines.contains('\n'))
    }

    /// Returns the state in lines for a user (last end, next due time), and what the job printed
    /// last.
    pub fn lines(&self, dated: bool, now: Now) -> (Vec<String>, &str) {
        let mut lines = Vec::new();
        let ago = |stamp: &Stamp| lasting(now.since(stamp.moment));
        let mut printed = "";
        match &self.last {
            None => lines.push("Last report: none yet".to_owned()),
            Some(last) => {
                lines.push(format!(
                    "Last report: {}, {} ago",
                    last.ended_briefly(),
                    ago(&last.at)
                ));
                printed = &last.lines;
            }
        }
        if let Some(started) = &self.started {
            lines.push(format!("Started {} ago, not ended yet", ago(started)));
        }
        if let Some(deadline) = self.deadline(now).filter(|_| dated && !self.missed) {
            let what = match deadline.running {
                true => "Must end",
                false => "Next report expected",
            };
            let until = clock_times(now.wall, now.wall_at(deadline.at), now).1;
            lines.push(format!("{what} by {until} ({})", self.plan.due));
        }
        (lines, printed)
    }

    /// Returns the part of the state that survives a restart.
    pub fn record(&self) -> JobRecord {
        let last = self.last.as_ref();
        JobRecord {
            plan: self.plan.due.to_string(),
            base: self.base.kept(),
            started: self.started.map(|started| started.kept()),
            newest: Some(self.newest).filter(|newest| *newest != i64::MIN),
            reported: last.map(|last| last.at.kept()),
            failed: last.is_some_and(|last| last.failed),
            code: last.and_then(|last| last.code),
            took: last.and_then(|last| u64::try_from(last.took?.as_millis()).ok()),
            lines: last.map(|last| last.lines.clone()).unwrap_or_default(),
            by_http: last.is_some_and(|last| last.by_http),
        }
    }

    /// Restores the state of an earlier run.
    pub fn restore(&mut self, record: &JobRecord, now: Now) {
        self.base = match record.plan == self.plan.due.to_string() {
            true => Stamp::restored(now, record.base),
            false => Stamp::new(now, false),
        };
        self.grant_grace(now.moment());
        self.started = record.started.map(|wall| Stamp::restored(now, wall));
        self.newest = record.newest.unwrap_or(i64::MIN);
        self.last = record.reported.map(|wall| LastReport {
            at: Stamp::restored(now, wall),
            failed: record.failed,
            code: record.code,
            took: record.took.map(Duration::from_millis),
            lines: last_lines(&record.lines),
            by_http: record.by_http,
        });
    }
}

impl LastReport {
    /// Returns e.g. `exit code 3`, `killed by signal 9`, `reported as failed`, `ended well`.
    fn end(&self) -> String {
        match self.code {
            Some(signal) if signal < 0 => format!("killed by signal {}", signal.unsigned_abs()),
            Some(code) => format!("exit code {code}"),
            None if self.failed => "reported as failed".to_owned(),
            None => "ended well".to_owned(),
        }
    }

    /// Returns e.g. `exit code 3 after 4 min`.
    fn ended_briefly(&self) -> String {
        let took = self.took.map(|took| format!(" after {}", run_time(took)));
        self.end() + &took.unwrap_or_default()
    }

    /// Returns the outcome to judge; a failure e.g. as
    /// `exit code 3 after 4 min: no space left on device`.
    fn outcome(&self) -> Outcome {
        let ended = || match self.lines.lines().last() {
            Some(line) => format!("{}: {line}", self.ended_briefly()),
            None => self.ended_briefly(),
        };
        let failure = self.failed.then(|| Failure::new(FailureKind::Job, ended()));
        Outcome::new(failure.map_or(Ok(()), Err), self.took)
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX / 4)
}
