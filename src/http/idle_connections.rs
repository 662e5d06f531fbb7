//! Computes when idle connections must be closed.
//!
//! libcurl closes connections that have been idle for over 118 s (`conn_max_idle_ms` of its admin
//! handle), but looks for them only when a transfer starts, at most once a second
//! (`Curl_cpool_prune_dead`). If no transfer starts, a dummy transfer makes it look, so that idle
//! connections are closed within two minutes.

use std::collections::VecDeque;
use std::time::Duration;

/// A transfer that starts this long after the end of another closes its connection.
const PRUNED_AFTER: Duration = Duration::from_millis(119_100);
/// Without one, the dummy transfer starts after this time.
const NUDGE_AFTER: Duration = Duration::from_millis(119_200);
/// libcurl's minimum interval between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Ends within this time share an entry.
const BUCKET: Duration = Duration::from_secs(1);
/// Maximum number of entries: a dummy transfer comes 119.2 s after the oldest, so more are useless.
const MAX_ENTRIES: usize = 130;

/// Ends of transfers whose connections may be idle. Times are of one monotonic clock.
#[derive(Debug, Default)]
pub(super) struct Idle {
    /// The first end in each second with ends, oldest first.
    ends: VecDeque<Duration>,
    looked: Option<Duration>,
}

impl Idle {
    /// Notes the start of a transfer: libcurl looks for idle connections unless it just did.
    pub(super) fn started(&mut self, now: Duration) {
        if self.looked.is_some_and(|at| now < at + LOOK_EVERY) {
            return;
        }
        self.looked = Some(now);
        while self
            .ends
            .front()
            .is_some_and(|&end| now >= end + PRUNED_AFTER)
        {
            self.ends.pop_front();
        }
    }

    /// Notes the end of a transfer. Returns true if there was no entry before.
    pub(super) fn ended(&mut self, now: Duration) -> bool {
        let first = self.ends.is_empty();
        if self.ends.back().is_some_and(|&end| now < end + BUCKET) || self.ends.len() >= MAX_ENTRIES
        {
            return false;
        }
        self.ends.push_back(now);
        first
    }

    /// Returns when a dummy transfer is due.
    pub(super) fn due(&self) -> Option<Duration> {
        let due = *self.ends.front()? + NUDGE_AFTER;
        Some(self.looked.map_or(due, |at| due.max(at + LOOK_EVERY)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_nudge_is_due_two_minutes_after_the_last_transfer() {
        let mut idle = Idle::default();
        assert_eq!(idle.due(), None);
        idle.started(s(1_000));
        assert!(idle.ended(s(1_500)));
        assert_eq!(idle.due(), Some(s(120_700)));
        idle.started(s(120_700));
        assert_eq!(idle.due(), None);
        // A dummy transfer leaves no connection: its end is not noted.
    }

    #[test]
    fn a_transfer_that_starts_late_enough_spares_the_nudge() {
        let mut idle = Idle::default();
        idle.ended(s(0));
        idle.started(s(119_000));
        assert_eq!(
            idle.due(),
            Some(s(120_000)),
            "too early: still idle for less than 118 s"
        );
        idle.started(s(120_100));
        assert_eq!(idle.due(), None);
    }

    #[test]
    fn a_start_within_a_second_of_a_look_does_not_count() {
        let mut idle = Idle::default();
        idle.ended(s(0));
        idle.started(s(118_500));
        idle.started(s(119_300));
        assert_eq!(idle.due(), Some(s(119_500)));
    }

    #[test]
    fn every_connection_is_idle_between_118_and_120_seconds_when_nudged() {
        let mut idle = Idle::default();
        idle.ended(s(10_000));
        idle.ended(s(10_990));
        let due = idle.due().expect("two ends");
        assert!(due > s(10_990) + s(118_000) && due < s(10_000) + s(120_000));
    }

    #[test]
    fn a_year_of_traffic_takes_no_more_room_than_two_minutes_of_it() {
        let mut idle = Idle::default();
        for second in 0..100_000 {
            idle.started(s(second * 1000));
            idle.ended(s(second * 1000 + 40));
            assert!(idle.ends.len() <= 121);
        }
    }
}
