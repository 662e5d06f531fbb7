//! When jobs that report by themselves are looked at, to see whether a report is overdue.
//!
//! A look is cheap, and an extra one does no harm: the job itself knows its deadline.

use crate::monitor::schedule::Scheduler;
use crate::monitor::time::{Moment, Now};
use std::collections::{BTreeMap, BTreeSet};

/// The time of each job's next look.
#[derive(Debug, Default)]
pub struct Jobs {
    looks: BTreeSet<(Moment, usize)>,
    next: BTreeMap<usize, Moment>,
    /// The wall clock minus the uptime, in seconds, at the last event; `None` if the wall clock was
    /// not believed then.
    offset: Option<i64>,
}

impl Jobs {
    pub fn clear(&mut self) {
        (self.looks, self.next) = (BTreeSet::new(), BTreeMap::new());
    }

    /// Schedules a look at a job at `then`, unless there is one before.
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
    /// Returns when the next job is to be looked at.
    pub fn next_job(&self) -> Option<Moment> {
        let first = self.jobs.looks.first().filter(|_| !self.stopping);
        first.map(|(then, _)| *then)
    }

    /// Takes the next job whose look is due.
    pub fn take_job(&mut self, now: Moment) -> Option<usize> {
        let (_, at) = *self.jobs.looks.first().filter(|(then, _)| *then <= now)?;
        self.jobs.looks.pop_first();
        self.jobs.next.remove(&at);
        Some(at)
    }

    /// Returns what the wall clock would show, in Unix seconds, without clock changes and sleep
    /// since the last call. To be called at every event. `None` if the wall clock was not believed
    /// then, or is not now.
    pub fn wall_before(&mut self, now: Now, clock_set: bool) -> Option<i64> {
        let uptime = i64::try_from(now.uptime.as_secs()).unwrap_or(i64::MAX);
        let offset = clock_set.then(|| now.wall.saturating_sub(uptime));
        let before = std::mem::replace(&mut self.jobs.offset, offset);
        Some(before.filter(|_| clock_set)?.saturating_add(uptime))
    }
}
