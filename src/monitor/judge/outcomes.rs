//! Judges the outcome of a check.

use crate::monitor::event::Level;
use crate::monitor::judge::{Judging, Transition};
use crate::monitor::site::outcome::{CheckResult, FailureKind, Outcome};
use crate::monitor::site::streak::Seen;
use crate::monitor::uplink::UplinkEvent;

/// Maximum number of consecutive failures that are excused by a standstill of this machine.
const MAX_STALLED: u32 = 5;

impl Judging<'_> {
    /// Takes the outcome of a check. Returns what it means for the uplink, and the site's
    /// transition.
    pub fn on_outcome(
        &mut self,
        at: usize,
        outcome: Outcome,
    ) -> (Vec<UplinkEvent>, Option<Transition>) {
        let (now, kind, address) = (self.now, outcome.failure_kind(), outcome.address);
        let events = self
            .uplink
            .on_outcome(now, at, &outcome, self.sites, self.actions);
        let watched = &mut self.sites[at];
        let (seen, cause) = watched.record_outcome(outcome, now);
        let judgeable = self.uplink.judgeable(now.moment(), watched, kind, address);
        let excused = kind.is_some_and(|kind| !judgeable || self.excused(at, kind));
        self.sites[at].count(match kind {
            None => CheckResult::Success,
            Some(_) if excused => CheckResult::Excused,
            Some(_) => CheckResult::Failure,
        });
        let transition = match judgeable && !excused {
            true => self.judge(at, seen, kind, cause.as_deref()),
            false => None,
        };
        self.sites[at].record_recent(now, cause);
        (events, transition)
    }

    fn judge(
        &mut self,
        at: usize,
        seen: Seen,
        kind: Option<FailureKind>,
        cause: Option<&str>,
    ) -> Option<Transition> {
        let (now, moment) = (self.now, self.now.moment());
        let watched = &mut self.sites[at];
        watched.note_resolved(self.uplink.resolved());
        let retry = watched.config().retry;
        if let Some(kind) = kind
            && watched.makes_pending()
        {
            let cause = cause.unwrap_or_default().to_owned();
            watched.set_pending_down(kind, cause, moment);
            // At once, even if the parent is checked first: later the uplink may be back.
            self.uplink.on_failure(moment, &self.sites[at], kind);
            self.schedule.at(at, moment + retry);
            return None;
        }
        let lasted = now.since(watched.since());
        let change = watched.judge(seen, cause, now);
        if watched.needs_retry() {
            self.schedule.at(at, moment + retry);
        }
        if let Some(kind) = kind {
            self.uplink.on_failure(moment, &self.sites[at], kind);
            self.bring_others_forward();
        }
        let cause = cause.unwrap_or_default();
        if change.is_none() && seen == Seen::Failed && !self.sites[at].is_down() {
            let text = format!("{}: {cause}; trying again", self.sites[at].name());
            self.actions.log(Level::Debug, text);
        }
        change.map(|change| Transition {
            at,
            change,
            cause: cause.to_owned(),
            lasted,
        })
    }

    /// Returns whether a fault of ours excuses the failure. If so, the check is repeated soon.
    fn excused(&mut self, at: usize, kind: FailureKind) -> bool {
        let excused = !self.sites[at].is_down()
            && (self.excused_by_stall(at) || self.uplink.excuses(&self.sites[at], kind));
        if excused {
            let site = self.sites[at].config().clone();
            let text = format!("{}: failed by a fault of ours: does not count", site.name);
            self.actions.log(Level::Debug, text);
            self.schedule.at(at, self.now.moment() + site.retry);
        }
        excused
    }

    /// Returns whether the machine stood still during the check. Limited, because a machine that
    /// stands still in every check must judge its sites all the same.
    fn excused_by_stall(&mut self, at: usize) -> bool {
        let watched = &mut self.sites[at];
        self.clock.stalled_during(watched.check_began()) && watched.excuse_stalled(MAX_STALLED)
    }
}
