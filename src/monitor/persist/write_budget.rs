//! The daily budget of flash writes (docs/flash.md: 500 KB a day, including the history): what was
//! spent of it, and each site's own allowance, which other sites do not use up.
//!
//! Both are leaky buckets, stored as the moment at which they are empty.

use crate::monitor::time::Moment;
use std::time::Duration;

const DAY: i64 = 86_400_000;
/// Blocks of 4 KB that the snapshot and its journal may take per day. With the burst and the
/// history (30 blocks) that is less than 125 blocks, which are 500 KB.
const BLOCKS_A_DAY: i64 = 30;
const BLOCK_EVERY: i64 = DAY / BLOCKS_A_DAY;
/// Blocks above the steady rate up to which alerts of a noisy site are written at once.
const BURST_ALLOWED: i64 = 35;
/// Blocks above the steady rate up to which changes without an alert are written when due, and
/// alerts without a minimum interval.
const CHANGES_ALLOWED: i64 = 10;
/// Limit of the debt in blocks: a day after a mass outage alerts are written at once again.
const MAX_DEBT: i64 = 65;
/// Alerts per day above which a site counts as noisy.
const ALERTS_A_DAY: i64 = 3;
const ALERT_EVERY: i64 = DAY / ALERTS_A_DAY;
/// Minimum interval of urgent writes above `CHANGES_ALLOWED`. Alerts of one interval share a
/// message.
const SHARED: Duration = Duration::from_secs(1);
/// Minimum interval of urgent writes above `BURST_ALLOWED`.
const SHARED_MORE: Duration = Duration::from_secs(10);

/// Blocks that were written and not worked off yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spending {
    dry: Option<Moment>,
}

impl Spending {
    pub fn add(&mut self, now: Moment, blocks: u64) {
        let blocks = i64::try_from(blocks).unwrap_or(MAX_DEBT).min(2 * MAX_DEBT);
        let from = self.dry.map_or(now, |at| at.max(now));
        let most = now + millis(MAX_DEBT * BLOCK_EVERY);
        self.dry = Some((from + millis(blocks * BLOCK_EVERY)).min(most));
    }

    pub fn room_for_alerts(&self, now: Moment) -> bool {
        self.room_for_alerts_at() <= now
    }

    pub fn room_for_alerts_at(&self) -> Moment {
        self.below(BURST_ALLOWED)
    }

    pub fn room_for_changes_at(&self) -> Moment {
        self.below(CHANGES_ALLOWED)
    }

    /// Returns the minimum interval from a write that began at `began` to the next urgent one. It
    /// makes many alerts share one write.
    pub fn apart(&self, began: Moment) -> Duration {
        if self.below(CHANGES_ALLOWED) <= began {
            Duration::ZERO
        } else if self.below(BURST_ALLOWED) <= began {
            SHARED
        } else {
            SHARED_MORE
        }
    }

    /// Returns when the debt is down to `blocks`.
    fn below(&self, blocks: i64) -> Moment {
        self.dry
            .map_or(Moment(i64::MIN), |at| Moment(at.0 - blocks * BLOCK_EVERY))
    }
}

/// Recent alerts of a site, as a leaky bucket.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowance {
    dry: Option<Moment>,
}

impl Allowance {
    /// Counts an alert and returns whether it is within the allowance. Alerts beyond it count too:
    /// only a quiet site gets its allowance back.
    pub fn take(&mut self, now: Moment) -> bool {
        let from = self.dry.map_or(now, |at| at.max(now));
        let within = from.since(now) <= millis((ALERTS_A_DAY - 1) * ALERT_EVERY);
        self.dry = Some((from + millis(ALERT_EVERY)).min(now + millis(DAY)));
        within
    }

    /// Returns whether the whole allowance is unused.
    pub fn whole(&self, now: Moment) -> bool {
        self.dry.is_none_or(|at| at <= now)
    }
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_takes_the_burst_and_the_days_share_and_no_more() {
        let mut spending = Spending::default();
        let mut written = 0;
        for second in 0..86_400 {
            let now = Moment(second * 1000);
            if spending.room_for_alerts(now) {
                spending.add(now, 1);
                written += 1;
            }
        }
        assert!(
            (BLOCKS_A_DAY + BURST_ALLOWED - 1..=BLOCKS_A_DAY + BURST_ALLOWED + 1)
                .contains(&written),
            "{written}"
        );
    }

    #[test]
    fn a_day_after_a_mass_outage_there_is_room_again() {
        let mut spending = Spending::default();
        spending.add(Moment(0), 1_000_000);
        let due = spending.room_for_alerts_at();
        assert!((1..=DAY).contains(&due.0), "{due:?}");
    }

    #[test]
    fn a_site_has_three_alerts_a_day() {
        let mut allowance = Allowance::default();
        let taken = |allowance: &mut Allowance, day: i64| {
            let takes = (0..100).filter(|n| allowance.take(Moment(day * DAY + n)));
            takes.count()
        };
        assert_eq!(taken(&mut allowance, 0), 3);
        assert_eq!(taken(&mut allowance, 2), 3);
        assert!(!allowance.whole(Moment(2 * DAY + 100)));
        assert!(allowance.whole(Moment(4 * DAY)));
    }

    #[test]
    fn a_site_that_is_never_quiet_has_none() {
        let mut allowance = Allowance::default();
        let hourly = (0..1_000).filter(|hour| allowance.take(Moment(hour * 3_600_000)));
        assert_eq!(hourly.count(), 3);
    }
}
