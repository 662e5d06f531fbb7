//! Suspend and standstill: what was under way then failed by our own fault.

use crate::monitor::time::{Moment, Now};

/// We are woken later than this only when the process or the machine stood still, in ms.
const LATE: i64 = 2_000;
/// The wall clock gets ahead of our own by more than this when the machine slept (the monotonic
/// clock does not count that) or was set, in seconds. Neither is a time to judge by.
const AHEAD: i64 = 2;

/// When we last stood still.
#[derive(Debug)]
pub struct Awake {
    since: Moment,
    /// When we want to be woken.
    expected: Option<Moment>,
    /// Wall clock minus uptime.
    offset: i64,
}

impl Awake {
    pub fn new(now: Now) -> Awake {
        Awake {
            since: Moment(i64::MIN),
            expected: None,
            offset: offset(now),
        }
    }

    pub fn expect(&mut self, wakeup: Option<Moment>) {
        self.expected = wakeup;
    }

    /// Whether we stood still until now.
    pub fn asleep(&mut self, now: Now) -> bool {
        let moment = now.moment();
        let late = self
            .expected
            .take()
            .is_some_and(|at| moment.0 - at.0 > LATE);
        let offset = offset(now);
        let jumped = (offset - self.offset).abs() > AHEAD;
        self.offset = offset;
        if late || jumped {
            self.since = moment;
        }
        late || jumped
    }

    /// What began at `began` was under way while we stood still.
    pub fn overslept(&self, began: Moment) -> bool {
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
        Now {
            uptime: Duration::from_millis(ms),
            wall,
            zone: crate::monitor::time::zone::Zone::UTC,
        }
    }

    #[test]
    fn a_process_that_is_stopped_is_woken_late() {
        let mut awake = Awake::new(now(0, 100));
        awake.expect(Some(Moment(1_000)));
        assert!(!awake.asleep(now(1_500, 101)));
        awake.expect(Some(Moment(3_000)));
        assert!(awake.asleep(now(60_000, 160)));
        assert!(awake.overslept(Moment(59_999)));
        assert!(!awake.overslept(Moment(60_000)));
    }

    #[test]
    fn a_machine_that_slept_has_a_wall_clock_ahead_of_its_own() {
        let mut awake = Awake::new(now(0, 100));
        assert!(!awake.asleep(now(999, 101)));
        assert!(awake.asleep(now(2_000, 3_700)));
        assert!(!awake.asleep(now(3_000, 3_701)));
    }

    #[test]
    fn nothing_is_late_that_nobody_waited_for() {
        let mut awake = Awake::new(now(0, 100));
        assert!(!awake.asleep(now(3_600_000, 3_700)));
    }
}
