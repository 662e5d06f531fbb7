//! When the snapshot is worth writing: flash wears, so as rarely as the promises allow.

use super::time::Moment;
use std::time::Duration;

/// What can be done again (the update offset) waits for company this long.
const LAZY: Duration = Duration::from_secs(300);
/// A delivered alert is told again if the power goes before it is written, so soon; but those of one
/// storm share a write.
const SOON: Duration = Duration::from_secs(1);
/// Good news that was delivered is told again, quietly, if the power goes: not worth a write of its
/// own, it goes along with the next one.
const RIDE: Duration = Duration::from_secs(3600);
/// A disk that failed is tried again after this.
const AGAIN: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct Saving {
    /// Something must be on disk before the world sees it.
    urgent: bool,
    /// Something changed that can wait until then.
    lazy: Option<Moment>,
    /// A save is under way; the alerts up to this id are in it.
    under_way: Option<u64>,
    failing: bool,
}

impl Saving {
    pub fn now(&mut self) {
        self.urgent = true;
    }

    pub fn later(&mut self, now: Moment) {
        self.by(now + LAZY);
    }

    pub fn soon(&mut self, now: Moment) {
        self.by(now + SOON);
    }

    pub fn sometime(&mut self, now: Moment) {
        self.by(now + RIDE);
    }

    fn by(&mut self, due: Moment) {
        self.lazy = Some(self.lazy.map_or(due, |l| l.min(due)));
    }

    /// Whether to write now; never two writes at once. The caller then writes everything.
    pub fn begin(&mut self, now: Moment, last_alert: u64) -> bool {
        let due = self.urgent || self.lazy.is_some_and(|at| at <= now);
        if !due || self.under_way.is_some() {
            return false;
        }
        self.urgent = false;
        self.lazy = None;
        self.under_way = Some(last_alert);
        true
    }

    /// A write ended well: the alerts up to the returned id are on disk.
    pub fn done(&mut self) -> Option<u64> {
        self.failing = false;
        self.under_way.take()
    }

    /// A write failed. The alerts up to the returned id may be sent all the same. The flag says
    /// that it is the first failure in a row, the one worth telling.
    pub fn failed(&mut self, now: Moment) -> (Option<u64>, bool) {
        let first = !self.failing;
        self.failing = true;
        self.by(now + AGAIN);
        (self.under_way.take(), first)
    }

    pub fn next_due(&self) -> Option<Moment> {
        if self.under_way.is_some() {
            return None;
        }
        self.lazy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_be_kept_is_written_at_once_and_the_rest_with_it() {
        let mut saving = Saving::default();
        assert!(!saving.begin(Moment(0), 0));
        saving.later(Moment(0));
        saving.now();
        assert!(saving.begin(Moment(1), 7));
        assert_eq!(saving.done(), Some(7));
        assert_eq!(saving.next_due(), None);
    }

    #[test]
    fn what_can_wait_is_written_after_five_minutes() {
        let mut saving = Saving::default();
        saving.later(Moment(0));
        saving.later(Moment(200_000));
        assert!(!saving.begin(Moment(299_999), 0));
        assert_eq!(saving.next_due(), Some(Moment(300_000)));
        assert!(saving.begin(Moment(300_000), 0));
    }

    #[test]
    fn two_writes_never_overlap() {
        let mut saving = Saving::default();
        saving.now();
        assert!(saving.begin(Moment(0), 1));
        saving.now();
        assert!(!saving.begin(Moment(1), 2));
        assert_eq!(saving.done(), Some(1));
        assert!(saving.begin(Moment(2), 2));
    }

    #[test]
    fn a_full_disk_is_told_once_and_tried_again() {
        let mut saving = Saving::default();
        saving.now();
        assert!(saving.begin(Moment(0), 5));
        assert_eq!(saving.failed(Moment(0)), (Some(5), true));
        assert!(saving.begin(Moment(60_000), 6));
        assert_eq!(saving.failed(Moment(60_000)), (Some(6), false));
        assert!(saving.begin(Moment(120_000), 7));
        assert_eq!(saving.done(), Some(7));
        saving.now();
        assert!(saving.begin(Moment(120_001), 8));
        assert_eq!(saving.failed(Moment(120_002)), (Some(8), true));
    }
}
