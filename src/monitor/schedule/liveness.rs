//! Liveness: that the process runs isn't enough, checks that were started must also end.

use crate::monitor::site::state::SiteState;
use crate::monitor::time::Moment;
use std::time::Duration;

const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(60);
/// Maximum time by which a check exceeds its timeout, unless something is stuck.
const STUCK_AFTER_TIMEOUT: Duration = Duration::from_secs(60);

/// When checks last started and ended.
#[derive(Debug)]
pub struct Progress {
    heartbeat: bool,
    last: Moment,
    running: usize,
    /// When the next heartbeat is due; `None` until a check has ended.
    beat: Option<Moment>,
}

impl Progress {
    pub fn new(heartbeat: bool, now: Moment) -> Progress {
        Progress {
            heartbeat,
            last: now,
            running: 0,
            beat: None,
        }
    }

    pub fn reload(&mut self, heartbeat: bool) {
        self.heartbeat = heartbeat;
    }

    pub fn started(&mut self, now: Moment) {
        if self.running == 0 {
            self.last = now;
        }
        self.running += 1;
    }

    pub fn ended(&mut self, now: Moment) {
        self.last = now;
        self.running = self.running.saturating_sub(1);
        self.beat.get_or_insert(now);
    }

    /// Returns whether checks are ending, or none is under way.
    pub fn healthy(&self, now: Moment, sites: &[SiteState]) -> bool {
        if self.running == 0 {
            return true;
        }
        let longest = sites.iter().map(|w| w.config().timeout).max();
        now.since(self.last) <= longest.unwrap_or_default() + STUCK_AFTER_TIMEOUT
    }

    pub fn next_beat(&self, now: Moment) -> Option<Moment> {
        // An overdue heartbeat needs no timer: it waits for the next check to end.
        self.beat.filter(|at| self.heartbeat && *at > now)
    }

    /// Returns whether to send a heartbeat now.
    pub fn beat(&mut self, now: Moment, sites: &[SiteState]) -> bool {
        if !self.heartbeat || self.beat.is_none_or(|at| at > now) || !self.healthy(now, sites) {
            return false;
        }
        self.beat = Some(now + HEARTBEAT_INTERVAL);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(n: i64) -> Moment {
        Moment(n * 1000)
    }

    #[test]
    fn the_first_sign_comes_with_the_first_check_and_then_every_minute() {
        let mut progress = Progress::new(true, second(0));
        assert!(!progress.beat(second(1), &[]));
        progress.started(second(1));
        progress.ended(second(2));
        assert!(progress.beat(second(2), &[]));
        assert!(!progress.beat(second(61), &[]));
        assert_eq!(progress.next_beat(second(61)), Some(second(62)));
        assert!(progress.beat(second(62), &[]));
    }

    #[test]
    fn a_check_that_never_ends_is_not_healthy() {
        let mut progress = Progress::new(true, second(0));
        progress.started(second(0));
        assert!(progress.healthy(second(60), &[]));
        assert!(!progress.healthy(second(61), &[]));
        progress.ended(second(62));
        assert!(progress.healthy(second(300), &[]), "nothing is under way");
    }

    #[test]
    fn without_a_heartbeat_there_is_no_timer_for_it() {
        let mut progress = Progress::new(false, second(0));
        progress.started(second(0));
        progress.ended(second(0));
        assert_eq!(progress.next_beat(second(0)), None);
        assert!(!progress.beat(second(0), &[]));
    }
}
