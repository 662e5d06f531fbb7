//! An offline period: what is told of a line that is back.

use std::time::Duration;

/// Time without a line, as it is told: several short ones within a story are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    /// Unix seconds.
    pub from: i64,
    pub until: i64,
    pub times: u32,
    /// Without the time in between when the line was up.
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
