//! When jobs that report by themselves are looked at: has the report come that is due?
//!
//! A look costs nothing, and one too many does no harm: what a job's deadline is by then, it says itself.

use crate::monitor::schedule::Scheduler;
use crate::monitor::time::{Moment, Now};
use std::collections::{BTreeMap, BTreeSet};

/// When each job is looked at next.
#[derive(Debug, Default)]
pub struct Jobs {
    looks: BTreeSet<(Moment, usize)>,
    next: BTreeMap<usize, Moment>,
    /// The wall clock minus the uptime, as last seen, while the wall clock was believed.
    offset: Option<i64>,
}

impl Jobs {
    pub fn clear(&mut self) {
        (self.looks, self.next) = (BTreeSet::new(), BTreeMap::new());
    }

    /// The job of this site is looked at then, if not before.
    pub fn look(&mut self, at: usize, then: Moment) {
        let next = self.next.entry(at).or_insert(then);
        if *next > then {
            self.looks.remove(&(*next, at));
            *next = then;
        }
        self.looks.insert((*next, at));
    }
}

impl Scheduler {
    /// When the next job is to be looked at.
    pub fn next_job(&self) -> Option<Moment> {
        let first = self.jobs.looks.first().filter(|_| !self.stopping);
        first.map(|(then, _)| *then)
    }

    /// The next of the jobs that are to be looked at by now.
    pub fn take_job(&mut self, now: Moment) -> Option<usize> {
        let (_, at) = *self.jobs.looks.first().filter(|(then, _)| *then <= now)?;
        self.jobs.looks.pop_first();
        self.jobs.next.remove(&at);
        Some(at)
    }

    /// What the wall clock would show had it not been set, nor the machine slept, since this was last asked; to be
    /// asked at every event. `None` where it was not believed then, or is not now.
    pub fn wall_before(&mut self, now: Now, clock_set: bool) -> Option<i64> {
        let uptime = i64::try_from(now.uptime.as_secs()).unwrap_or(i64::MAX);
        let offset = clock_set.then(|| now.wall.saturating_sub(uptime));
        let before = std::mem::replace(&mut self.jobs.offset, offset);
        Some(before.filter(|_| clock_set)?.saturating_add(uptime))
    }
}
