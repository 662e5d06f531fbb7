//! Offline periods, which are notified once there is a connection again.

use std::time::Duration;

/// Time without a connection, as it is notified: short periods close together are merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    /// Unix seconds.
    pub from: i64,
    pub until: i64,
    pub times: u32,
    /// Total time without a connection; the time in between is not included.
    pub total: Duration,
    /// Whether the clock was set when the period was dated.
    pub dated: bool,
}

impl Period {
    /// Corrects the dates of a period. They assume that no time passed between `floor` and the
    /// start of this run, but `off` seconds did. A period dated by a set clock is not changed.
    pub fn redate(&mut self, floor: i64, off: i64) {
        if std::mem::replace(&mut self.dated, true) {
            return;
        }
        self.until = self.until.saturating_add(off);
        if self.from > floor {
            self.from = self.from.saturating_add(off);
        } else {
            self.total += Duration::from_secs(u64::try_from(off).unwrap_or(0));
        }
    }
}
