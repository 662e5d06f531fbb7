//! What a check found, and what it changes.

use crate::monitor::bot::check_jobs::JobResult;
use crate::monitor::judge::{Seen, State, Transition};
use crate::monitor::site::outcome::{FailureKind, Outcome};
use crate::monitor::site::state::{PendingDown, SiteState};
use crate::monitor::time::Now;
use crate::monitor::{Level, Monitor};
use std::time::Duration;

/// Failures in a row that may be blamed on our own standstill.
const PATIENCE: u32 = 5;

/// A check that counted for nothing is made again no sooner than this.
const SOON: Duration = Duration::from_secs(5);

impl Monitor {
    pub(crate) fn checked(&mut self, now: Now, name: &str, outcome: Outcome, waited: Duration) {
        self.history.count_check();
        self.schedule.check_ended(now.moment());
        let kind = outcome.verdict.as_ref().err().map(|f| f.kind);
        if kind == Some(FailureKind::Internal) {
            self.internal_errors += 1;
        }
        let verdict = JobResult::of(&outcome);
        let Some(at) = self.sites.find(name) else {
            return;
        };
        let late = self
            .schedule
            .round_ended(now.moment(), &self.sites[at], waited);
        if let Some(text) = late {
            self.log(Level::Warn, text.clone());
            self.announce(now, text);
        }
        let watched = &mut self.sites[at];
        watched.running = false;
        if watched.paused() {
            self.note_in_jobs(now, name, &JobResult::Paused);
            return;
        }
        if let Some(FailureKind::Local(lack)) = kind
            && !mutated!("blame a site for what this machine lacks")
        {
            // It is not long in coming back, as a rule: the next turn may be in an hour.
            let again = watched.site.retry.max(SOON).min(watched.site.interval);
            self.schedule.at(name, now.moment() + again);
            let quiet = self.silenced(now.moment());
            let notice = self.uplink.on_lack(now, lack, quiet, &mut self.actions);
            if let Some(text) = notice {
                self.announce(now, text);
            }
            // Our own line may be at fault.
            let kind = FailureKind::Local(lack);
            self.uplink.on_failure(now.moment(), &self.sites[at], kind);
            self.note_in_jobs(now, name, &verdict);
            return;
        }
        self.uplink.on_check(now.moment(), &mut self.actions);
        self.schedule.next_turn(name, now.moment());
        let untimely = matches!(kind, Some(FailureKind::Tls | FailureKind::Untrusted));
        if self.clock.is_set() || !untimely {
            let (sites, actions) = (&mut self.sites, &mut self.actions);
            let events = self.uplink.on_outcome(now, at, &outcome, sites, actions);
            self.on_uplink(now, events);
            let watched = &mut self.sites[at];
            let judgeable = self.uplink.judgeable(now.moment(), watched, &outcome);
            let (seen, cause) = self.sites[at].take(outcome, now);
            if judgeable {
                self.judge(now, at, seen, kind, cause.as_deref());
            }
            self.sites[at].remember(now, cause);
            self.incidents.on_checked(name);
        }
        self.note_in_jobs(now, name, &verdict);
    }

    fn judge(
        &mut self,
        now: Now,
        at: usize,
        seen: Seen,
        kind: Option<FailureKind>,
        cause: Option<&str>,
    ) {
        let moment = now.moment();
        if let Some(kind) = kind
            && !self.sites[at].down()
            && (self.overslept(at) || self.uplink.excuses(&self.sites[at], kind))
        {
            let (name, retry) = (self.sites[at].name().to_owned(), self.sites[at].site.retry);
            self.schedule.at(&name, moment + retry);
            return;
        }
        let watched = &mut self.sites[at];
        let site = watched.site.clone();
        if let Some(kind) = kind
            && (watched.pending_down.is_some() || watched.judge.at_the_brink(watched.rules()))
        {
            let cause = cause.unwrap_or_default().to_owned();
            watched.failing_since.get_or_insert(moment);
            // The first failure stays the one that counts: a look that takes longer than `retry`
            // would else be too old each time.
            let before = watched.pending_down.take();
            watched.pending_down = Some(PendingDown {
                failed: before.as_ref().map_or(moment, |d| d.failed),
                began: watched.began,
                kind,
                cause,
                shaded: before.is_some_and(|d| d.shaded),
            });
            self.pending_downs += 1;
            // At once, even when something else is looked at first: the line may be back by then.
            self.uplink.on_failure(moment, &self.sites[at], kind);
            self.schedule.at(&site.name, moment + site.retry);
            return;
        }
        let lasted = now.since(watched.since);
        let change = watched.judged(seen, cause, now);
        if watched.judge.wavering() {
            self.schedule.at(&site.name, moment + site.retry);
        }
        if let Some(kind) = kind {
            self.uplink.on_failure(moment, &self.sites[at], kind);
            self.watch_for_storm(moment);
        }
        match change {
            Some(change) => {
                let cause = cause.unwrap_or_default().to_owned();
                self.changed(now, at, change, cause, lasted);
            }
            None if seen == Seen::Failed && !self.sites[at].down() => {
                let cause = cause.unwrap_or_default();
                let text = format!("{}: {cause}; trying again", site.name);
                self.log(Level::Debug, text);
            }
            None => {}
        }
    }

    /// We stood still during the check, and not every time: a machine that always does so must
    /// judge all the same.
    fn overslept(&mut self, at: usize) -> bool {
        let watched = &mut self.sites[at];
        if !self.clock.overslept(watched.began) || watched.overslept >= PATIENCE {
            return false;
        }
        watched.overslept += 1;
        true
    }

    /// A site is in another state than before.
    pub(crate) fn changed(
        &mut self,
        now: Now,
        at: usize,
        change: Transition,
        cause: String,
        lasted: Duration,
    ) {
        self.history.site_changed();
        if change == Transition::WentDown {
            self.history.on_down(now, &mut self.sites[at]);
        }
        match change {
            Transition::WentDown => self.went_down(now, at, cause),
            Transition::Recovered => self.recovered(now, at),
            Transition::Slowed => self.slowed(now, at, cause),
            Transition::SpedUp => self.sped_up(now, at, lasted),
            Transition::FirstUp => {
                let name = self.sites[at].site.name.clone();
                self.log(Level::Debug, format!("{name} is up"));
                // Once all are known it is worth showing.
                let known = |w: &SiteState| w.paused() || w.state() != State::Unknown;
                if self.sites.iter().all(known) {
                    self.saving.soon(now.moment());
                } else {
                    self.saving.later(now.moment());
                }
            }
        }
    }
}
