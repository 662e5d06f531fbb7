//! An offline period: what is notified once there is a connection again.

use std::time::Duration;

/// Time without a connection, as it is notified: several short ones close together are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    /// Unix seconds.
    pub from: i64,
    pub until: i64,
    pub times: u32,
    /// Without the time in between when there was a connection.
    pub total: Duration,
    /// The clock that dated it was set.
    pub dated: bool,
}

impl Period {
    /// It was dated as if no time had passed between `floor` and the start of this run; but `off`
    /// seconds did. Nothing happens to one that was dated by a clock that was set.
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
