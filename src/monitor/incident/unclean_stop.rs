//! Unclean stops: since when nothing was checked, and which sites are still down.

use crate::monitor::incident::Incidents;
use crate::monitor::time::Moment;
use std::collections::BTreeSet;
use std::time::Duration;

/// Maximum time to wait for a new check of the sites that were down, before the notice.
const CHECK_WITHIN: Duration = Duration::from_secs(90);

/// An unclean stop that was not notified yet.
#[derive(Debug)]
pub struct UncleanStop {
    seen: i64,
    back: Moment,
    /// When the clock was set, or the start of this run; https sites are not checked without a
    /// clock.
    clock: Moment,
    /// Sites that were down and have not been checked since.
    unchecked: BTreeSet<String>,
}

impl UncleanStop {
    /// Returns when the state was last written, in Unix seconds.
    pub fn seen(&self) -> i64 {
        self.seen
    }

    /// Returns when this run began.
    pub fn back(&self) -> Moment {
        self.back
    }

    /// Returns whether the site was checked since the restart, or was not down before.
    pub fn is_checked(&self, site: &str) -> bool {
        !self.unchecked.contains(site)
    }

    fn due(&self) -> Moment {
        self.clock + CHECK_WITHIN
    }
}

impl Incidents {
    /// `seen`: when the state was last written, in Unix seconds; `down`: the sites that were down.
    pub fn on_unclean_stop(&mut self, seen: i64, now: Moment, down: BTreeSet<String>) {
        self.unclean_stop = Some(UncleanStop {
            seen,
            back: now,
            clock: now,
            unchecked: down,
        });
    }

    /// Returns the unclean stop that was not notified yet.
    pub fn unclean_stop(&self) -> Option<&UncleanStop> {
        self.unclean_stop.as_ref()
    }

    pub fn on_clock_set(&mut self, now: Moment) {
        if let Some(stop) = &mut self.unclean_stop {
            stop.clock = now;
        }
    }

    pub fn on_checked(&mut self, site: &str) {
        if let Some(stop) = &mut self.unclean_stop {
            stop.unchecked.remove(site);
        }
    }

    /// Stops waiting for sites that no longer exist.
    pub fn keep_sites(&mut self, keep: impl Fn(&str) -> bool) {
        if let Some(stop) = &mut self.unclean_stop {
            stop.unchecked.retain(|name| keep(name));
        }
    }

    /// Returns when [`Incidents::take_unclean_stop`] is due at the latest; the clock must be
    /// trusted.
    pub fn next_timeout(&self) -> Option<Moment> {
        self.unclean_stop.as_ref().map(UncleanStop::due)
    }

    /// Returns the unclean stop to notify of now.
    pub fn take_unclean_stop(&mut self, now: Moment) -> Option<UncleanStop> {
        let ready = |stop: &mut UncleanStop| stop.unchecked.is_empty() || now >= stop.due();
        self.unclean_stop.take_if(ready)
    }
}
