//! A job that reports by itself (`push:`): when its next report is due, and what it said last.
//!
//! | known of the job | judged | test |
//! | --- | --- | --- |
//! | it has ended badly | down at once | `a_bad_report_is_down_with_code_and_last_lines` |
//! | no end was reported by when it is due and `grace` | down | `a_report_that_is_missing_is_told_with_the_time_of_the_last` |
//! | it was started, and has not ended within `longest` | down; until then no report is missing | `a_job_that_runs_too_long_is_down` |
//! | it has ended well | up | `the_next_good_report_ends_the_outage` |
//!
//! A job is never late for what was our own absence: after a start, a standstill, a jump of the clock, the end of a
//! pause or of `unreachable`, and from when the clock is set it has at least `grace`. What a jump of the clock
//! passed over is not waited for.

#![allow(clippy::question_mark)] // in what nanoserde derives

use crate::monitor::site::outcome::{Failure, FailureKind, Outcome};
use crate::monitor::site::report::{Report, ReportKind, Way, last_lines};
use crate::monitor::site::{Due, PushCheck};
use crate::monitor::time::text::{clock_times, lasting, recent_time, run_time};
use crate::monitor::time::{Moment, Now, hours};
use nanoserde::{DeJson, SerJson};
use std::time::Duration;

/// The clock of another machine may be so much ahead: a report that comes so long before its time is that of this
/// time. Never longer than `grace`.
const EARLY: Duration = Duration::from_secs(60);
/// In seconds. cron(8) runs nothing again when the clock is set back by less.
const RUN_AGAIN_AFTER: i64 = 3 * 3600;

/// In place of Unix seconds, of what happened by a clock that was not set.
const UNDATED: i64 = 0;

/// What is known of the job of one site.
#[derive(Debug)]
pub struct PushJob {
    plan: PushCheck,
    /// What was due until then has come, or is not waited for.
    base: Stamp,
    started: Option<Stamp>,
    last: Option<LastReport>,
    /// The `at` of the newest report.
    newest: i64,
    /// That of the newest one that came from the spool in this run.
    newest_kept: i64,
    /// Nothing is late before this.
    not_before: Moment,
    /// Time without a connection, which is added for jobs that report by HTTP.
    excused: Duration,
    /// It is known that this report is missing.
    missed: bool,
}

/// When something happened, by both clocks.
#[derive(Clone, Copy, Debug)]
struct Stamp {
    moment: Moment,
    /// Unix seconds.
    wall: i64,
    /// `wall` is of a clock that was believed.
    dated: bool,
}

/// The last report of an end.
#[derive(Debug)]
struct LastReport {
    at: Stamp,
    failed: bool,
    code: Option<i32>,
    took: Option<Duration>,
    lines: String,
    by_http: bool,
}

/// When something will be wrong with a job.
#[derive(Clone, Copy, Debug)]
struct Deadline {
    at: Moment,
    /// Unix seconds; without what is added for our own absence.
    wall: i64,
    /// It must have ended by then, else reported.
    running: bool,
}

/// What of a job survives a restart. All times in Unix seconds, 0 without a clock.
#[derive(Clone, Debug, Default, PartialEq, SerJson, DeJson)]
#[nserde(default)]
pub struct JobRecord {
    /// By what it was due: with another plan nothing is waited for that was due before.
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

    /// Of something that was at `wall`.
    fn past(now: Now, wall: i64) -> Stamp {
        Stamp {
            moment: now.past_moment(wall),
            wall,
            dated: true,
        }
    }

    /// What of it survives a restart: no time of a clock that was not set.
    fn kept(&self) -> i64 {
        match self.dated {
            true => self.wall,
            false => UNDATED,
        }
    }

    /// Of an earlier run. How long ago it was is not known without a date: it is counted from now.
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

    /// Another configuration: what was due by the old one is not waited for.
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

    /// Nothing is late for as long as `grace` from now on.
    pub fn grant_grace(&mut self, now: Moment) {
        self.not_before = self.not_before.max(now + self.plan.grace);
    }

    /// Judging starts afresh.
    pub fn on_reset(&mut self, now: Moment) {
        self.missed = false;
        self.grant_grace(now);
    }

    /// The clock is set from now on.
    pub fn on_clock_set(&mut self, now: Now) {
        self.base.on_clock_set(now);
        let last = self.last.as_mut().map(|last| &mut last.at);
        for stamp in self.started.iter_mut().chain(last) {
            stamp.on_clock_set(now);
        }
        self.grant_grace(now.moment());
    }

    /// The wall clock would have shown `before` and shows another time: it was set, or the machine slept.
    pub fn on_jump(&mut self, before: i64, now: Now) {
        self.grant_grace(now.moment());
        // The time by which the clock jumped has not passed for a job that runs.
        if let Some(started) = &mut self.started {
            started.wall = now.wall_at(started.moment);
        }
        let Due::At(times) = &self.plan.due else {
            self.base.wall = now.wall_at(self.base.moment);
            return;
        };
        // What was due before is still waited for.
        let waited_for = self.next_time(times, now);
        if waited_for.is_none_or(|(from, _)| from > before) {
            self.base.wall = match self.base.wall.saturating_sub(now.wall) {
                ahead if ahead <= RUN_AGAIN_AFTER => self.base.wall.max(now.wall),
                _ => now.wall,
            };
        }
    }

    /// There was no connection for so long: a job elsewhere could not report.
    pub fn on_online(&mut self, lasted: Duration) {
        if self.reports_by_http() {
            self.excused = self.excused.saturating_add(lasted);
        }
    }

    /// It reports by HTTP, as far as is known.
    pub fn reports_by_http(&self) -> bool {
        let last = self.last.as_ref().map(|last| last.by_http);
        last.unwrap_or(self.plan.token.is_some())
    }

    /// When the next report is due by the clock: from, and until.
    fn next_time(&self, times: &[hours::Window], now: Now) -> Option<(i64, i64)> {
        let early = seconds(EARLY.min(self.plan.grace));
        let after = self.base.wall.saturating_add(early);
        // The last time at which a clock shows that minute.
        hours::next_stretch(times, after, now.zone).map(|(from, until)| (from, until - 60))
    }

    /// When to look again; `down`: the site is, so that much is known. To be asked while the clock is believed.
    ///
    /// # Errors
    ///
    /// Something is wrong, which is to be judged.
    pub fn look(&mut self, down: bool, now: Now) -> Result<Option<Moment>, Box<Outcome>> {
        self.base.dated = true;
        if !down {
            if let Some(last) = self.last.as_ref().filter(|last| last.failed) {
                return Err(Box::new(last.outcome()));
            }
            if self.missed {
                // That it is missing was not the job's fault.
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

    /// The job reports. What is to be judged; `None` for a start, and for what is known already.
    pub fn on_report(&mut self, report: &Report, now: Now, clock_set: bool) -> Option<Outcome> {
        let kept = report.way == Way::Spool;
        // The clock was set back since. It is known in whole seconds.
        let ahead = |at: i64| clock_set && at.div_euclid(1000) > now.wall;
        let known = match report.way {
            Way::Spool => report.at <= self.newest && !ahead(self.newest),
            // It waited at the socket for so long that it was kept as well.
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
                // One that is late may still come.
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

    /// What the job printed last, when that was a failure.
    pub fn failed_lines(&self) -> Option<&str> {
        let last = self.last.as_ref().filter(|last| last.failed)?;
        Some(last.lines.as_str()).filter(|lines| lines.contains('\n'))
    }

    /// Its state in lines, for a user: how it ended last, and when the next report is due. What it printed last is
    /// apart.
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

    /// What of it survives a restart.
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

    /// Goes on where an earlier run stopped.
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
    /// `exit code 3`, `killed by signal 9`, `reported as failed`, `ended well`.
    fn end(&self) -> String {
        match self.code {
            Some(signal) if signal < 0 => format!("killed by signal {}", signal.unsigned_abs()),
            Some(code) => format!("exit code {code}"),
            None if self.failed => "reported as failed".to_owned(),
            None => "ended well".to_owned(),
        }
    }

    /// `exit code 3 after 4 min`.
    fn ended_briefly(&self) -> String {
        let took = self.took.map(|took| format!(" after {}", run_time(took)));
        self.end() + &took.unwrap_or_default()
    }

    /// What is to be judged; a failure as `exit code 3 after 4 min: no space left on device`.
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
