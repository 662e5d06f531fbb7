//! Detects suspend and standstill: failures of checks that were under way then can be excused.

use crate::monitor::time::{Moment, Now};

/// Maximum delay of a wake-up in ms. A longer one means that the process or the machine stood
/// still.
const MAX_LATENESS_MS: i64 = 2_000;
/// Maximum change of the difference between wall clock and monotonic clock, in seconds. A greater
/// one means that the machine slept (the monotonic clock stops then) or that the wall clock was
/// set.
const MAX_AHEAD: i64 = 2;

/// Detects when the machine or the process stood still.
#[derive(Debug)]
pub struct SuspendDetector {
    since: Moment,
    /// When the next wake-up is due.
    expected: Option<Moment>,
    /// Wall clock minus uptime, in seconds.
    offset: i64,
}

impl SuspendDetector {
    pub fn new(now: Now) -> SuspendDetector {
        SuspendDetector {
            since: Moment(i64::MIN),
            expected: None,
            offset: offset(now),
        }
    }

    pub fn expect(&mut self, wakeup: Option<Moment>) {
        self.expected = wakeup;
    }

    /// Returns whether the machine or the process stood still until now.
    pub fn stood_still(&mut self, now: Now) -> bool {
        let moment = now.moment();
        let late = self
            .expected
            .take()
            .is_some_and(|at| moment.0 - at.0 > MAX_LATENESS_MS);
        let offset = offset(now);
        let jumped = (offset - self.offset).abs() > MAX_AHEAD;
        self.offset = offset;
        if late || jumped {
            self.since = moment;
        }
        late || jumped
    }

    /// Returns whether the machine or the process stood still after `began`.
    pub fn stalled_during(&self, began: Moment) -> bool {
        began < self.since
    }
}

fn offset(now: Now) -> i64 {
    let uptime = i64::try_from(now.uptime.as_secs()).unwrap_or(i64::MAX);
    now.wall.saturating_sub(uptime)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn now(ms: u64, wall: i64) -> Now {
        Now::utc(Duration::from_millis(ms), wall)
    }

    #[test]
    fn a_process_that_is_stopped_is_woken_late() {
        let mut suspend = SuspendDetector::new(now(0, 100));
        suspend.expect(Some(Moment(1_000)));
        assert!(!suspend.stood_still(now(1_500, 101)));
        suspend.expect(Some(Moment(3_000)));
        assert!(suspend.stood_still(now(60_000, 160)));
        assert!(suspend.stalled_during(Moment(59_999)));
        assert!(!suspend.stalled_during(Moment(60_000)));
    }

    #[test]
    fn a_machine_that_slept_has_a_wall_clock_ahead_of_its_own() {
        let mut suspend = SuspendDetector::new(now(0, 100));
        assert!(!suspend.stood_still(now(999, 101)));
        assert!(suspend.stood_still(now(2_000, 3_700)));
        assert!(!suspend.stood_still(now(3_000, 3_701)));
    }

    #[test]
    fn nothing_is_late_that_was_not_expected() {
        let mut suspend = SuspendDetector::new(now(0, 100));
        assert!(!suspend.stood_still(now(3_600_000, 3_700)));
    }
}
