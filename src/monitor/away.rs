//! After an unclean stop: since when we were blind, and what is still down (SPEC 10).

use super::time::{Moment, Now};
use super::{Monitor, text};
use std::collections::BTreeSet;
use std::time::Duration;

/// What was down is looked at again before it is said to be so still; not longer than this.
const LOOK_WITHIN: Duration = Duration::from_secs(90);

/// An absence that is still to be told.
#[derive(Debug)]
pub struct Away {
    /// Unix seconds: the last thing written.
    pub seen: i64,
    pub back: Moment,
    /// When there was first a clock: https sites aren't looked at before.
    pub clock: Moment,
    /// Sites that were down and have not been looked at since.
    pub unseen: BTreeSet<String>,
}

impl Away {
    fn due(&self) -> Moment {
        self.clock + LOOK_WITHIN
    }
}

impl Monitor {
    /// A site was looked at.
    pub(super) fn seen_after_away(&mut self, name: &str) {
        if let Some(away) = &mut self.away {
            away.unseen.remove(name);
        }
    }

    pub(super) fn away_due(&self) -> Option<Moment> {
        self.away.as_ref().filter(|_| self.clock_set).map(Away::due)
    }

    pub(super) fn tell_away(&mut self, now: Now) {
        let moment = now.moment();
        let ready =
            |away: &Away| self.clock_set && (away.unseen.is_empty() || moment >= away.due());
        let Some(away) = self.away.take_if(|away| ready(away)) else {
            return;
        };
        let back = now.wall_at(away.back);
        let (seen, back) = text::clock_times(away.seen, back, now);
        let still: Vec<&str> = self
            .sites
            .iter()
            .filter(|w| {
                w.down()
                    && !w.paused()
                    && w.maintenance.is_none()
                    && !away.unseen.contains(w.name())
            })
            .map(|w| w.name())
            .collect();
        let mut said = format!("I was away, last seen {seen}, back {back}");
        if !still.is_empty() {
            said.push_str("; still down: ");
            said.push_str(&still.join(", "));
        }
        self.notice(now, said);
    }
}
