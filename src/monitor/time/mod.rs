//! Time in the core: plain numbers that the agent passes in.

pub mod hours;
pub(crate) mod suspend;
pub mod text;
pub mod wall_clock;
pub mod zone;

use crate::monitor::time::zone::Zone;
use std::time::Duration;
pub use wall_clock::{Clock, ClockChange, Redating};

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic time since the agent started, for schedules, durations and backoff.
    pub uptime: Duration,
    /// Unix seconds, for times of day and dates.
    pub wall: i64,
    /// Local time around `wall`.
    pub zone: Zone,
}

impl Now {
    #[cfg(test)]
    pub const fn utc(uptime: Duration, wall: i64) -> Now {
        Now {
            uptime,
            wall,
            zone: Zone::UTC,
        }
    }

    pub fn moment(self) -> Moment {
        if mutated!("count time asleep") {
            return Moment(self.wall.saturating_mul(1000));
        }
        // Computed often; an uptime does not exceed 292 million years.
        Moment(self.uptime.as_millis() as i64)
    }

    /// Returns the time since `moment`; zero if it is in the future.
    pub fn since(self, moment: Moment) -> Duration {
        self.moment().since(moment)
    }

    /// Returns what the wall clock showed at `moment`, in Unix seconds.
    pub fn wall_at(self, moment: Moment) -> i64 {
        self.wall - (self.moment().0 - moment.0 + 500).div_euclid(1000)
    }

    /// Returns the moment at which the wall clock showed `wall`. A time ahead of the clock, which
    /// was set back since, counts as now: no stored event is in the future.
    pub fn past_moment(self, wall: i64) -> Moment {
        let ago = self.wall.saturating_sub(wall).max(0);
        Moment(self.moment().0.saturating_sub(ago.saturating_mul(1000)))
    }

    /// Returns the moment at which the wall clock will show `wall`; now if that has passed.
    pub fn coming_moment(self, wall: i64) -> Moment {
        let ahead = wall.saturating_sub(self.wall).max(0);
        Moment(self.moment().0.saturating_add(ahead.saturating_mul(1000)))
    }
}

/// A point in time of the agent's monotonic clock, in milliseconds since its start; negative for
/// times of an earlier run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub i64);

impl Moment {
    pub fn since(self, earlier: Moment) -> Duration {
        let millis = self.0.saturating_sub(earlier.0).max(0);
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }
}

impl std::ops::Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, d: Duration) -> Moment {
        // `as_millis` has 128 bits.
        let seconds = i64::try_from(d.as_secs()).unwrap_or(i64::MAX);
        let millis = seconds.saturating_mul(1000);
        let millis = millis.saturating_add(i64::from(d.subsec_millis()));
        Moment(self.0.saturating_add(millis))
    }
}

/// Deterministic jitter: the agent provides the seed, so that a run can be replayed (xorshift64*,
/// Vigna 2016).
#[derive(Clone, Debug)]
pub struct Jitter(u64);

impl Jitter {
    pub fn new(seed: u64) -> Jitter {
        Jitter(seed | 1)
    }

    /// Returns a number that is uniform in `0.0..1.0`.
    pub fn fraction(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11;
        bits as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(uptime_s: u64, wall: i64) -> Now {
        Now::utc(Duration::from_secs(uptime_s), wall)
    }

    #[test]
    fn a_moment_of_an_earlier_run_survives_as_wall_time() {
        let before = now(5000, 1_000_000);
        let wall = before.wall_at(Moment(4_000_000));
        assert_eq!(wall, 999_000);
        let after = now(10, 1_000_100);
        assert_eq!(
            after.since(after.past_moment(wall)),
            Duration::from_secs(1100)
        );
    }

    #[test]
    fn a_clock_set_back_makes_no_negative_duration() {
        let n = now(10, 500);
        assert_eq!(n.since(n.past_moment(900)), Duration::ZERO);
        assert_eq!(n.coming_moment(100), n.moment());
    }

    #[test]
    fn jitter_repeats_for_a_seed_and_stays_in_range() {
        let (mut a, mut b) = (Jitter::new(7), Jitter::new(7));
        for _ in 0..1000 {
            let x = a.fraction();
            assert!((0.0..1.0).contains(&x));
            assert_eq!(x, b.fraction());
        }
    }
}
