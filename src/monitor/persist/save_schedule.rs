//! When to write the snapshot: as rarely as the guarantees allow, because flash wears.
//!
//! What must be on disk before it is sent is written at once, together with everything else. Other
//! changes have a deadline; changes without an alert also wait until the day's budget allows a
//! write. `docs/flash.md` describes the same for users.

use crate::monitor::persist::write_budget::{Allowance, Spending};
use crate::monitor::site::flapping::ChangeNotice;
use crate::monitor::site::report::ReportAnswer;
use crate::monitor::time::Moment;
use crate::monitor::{Action, Actions};
use std::collections::HashMap;
use std::time::Duration;

/// Delay of changes without an alert, and of what can be repeated (the update offset), so that they
/// share a write.
const CHANGE_DELAY: Duration = Duration::from_secs(300);
/// Delay after the delivery of an alert. A power cut before the write sends the alert again; the
/// delay lets the deliveries of one outage share a write.
const DELIVERY_DELAY: Duration = Duration::from_secs(1);
/// Delay after the delivery of a recovery, which a power cut would send again without a sound, and
/// of changes while a site flaps, which have no alert.
const RECOVERY_DELAY: Duration = Duration::from_secs(3600);
/// Maximum time that an alert waits for the budget.
const MAX_DEFERRAL: Duration = Duration::from_secs(6 * 3600);
/// Delay of the retry after a failed write.
const RETRY_AFTER: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct SaveSchedule {
    /// Something must be on disk before it is sent.
    urgent: bool,
    /// When to write regardless of the budget.
    firm: Option<Moment>,
    /// When to write if the budget allows, or else as soon as it does.
    paced: Option<Moment>,
    /// Since when alerts of sites that have used up their allowance wait until the budget allows a
    /// write.
    deferred: Option<Moment>,
    /// A save is under way; it contains the alerts up to this id.
    under_way: Option<u64>,
    /// When the last save began.
    began: Option<Moment>,
    failing: bool,
    spent: Spending,
    /// Reports that are answered once they are on disk: those that no save has started for, and
    /// those in the save that is under way.
    reports: (Vec<u64>, Vec<u64>),
    /// The allowances that are partly used: alerts that each site may have written at once.
    allowances: HashMap<String, Allowance>,
}

impl SaveSchedule {
    pub fn immediately(&mut self) {
        self.urgent = true;
    }

    /// A change without an alert that should be saved soon: at once if little was written, else
    /// later.
    pub fn immediately_if_affordable(&mut self, now: Moment) {
        self.urgent |= self.spent.room_for_changes_at() <= now;
        self.within_5_min(now);
    }

    /// Takes an alert of a site. Returns whether it is written at once; otherwise it waits for the
    /// budget.
    pub fn on_alert(&mut self, site: &str, now: Moment) -> bool {
        self.allowances.retain(|_, allowance| !allowance.whole(now));
        let allowance = self.allowances.entry(site.to_owned()).or_default();
        let owed = allowance.take(now);
        if owed || self.spent.room_for_alerts(now) {
            self.urgent = true;
            return true;
        }
        self.deferred.get_or_insert(now);
        false
    }

    /// Takes a job's report, which is answered when it is on disk. Its write is not charged to the
    /// budget, as the user chooses how often a job runs.
    pub fn on_report(&mut self, id: u64) {
        self.reports.0.push(id);
    }

    /// Answers the reports in the save that has ended, successfully or not.
    pub fn answer_reports(&mut self, answer: ReportAnswer, actions: &mut Actions) {
        for id in self.reports.1.drain(..) {
            actions.push(Action::AnswerReport { id, answer });
        }
    }

    /// Takes a change that has no alert, or that can be repeated.
    pub fn within_5_min(&mut self, now: Moment) {
        self.paced = earlier(self.paced, now + CHANGE_DELAY);
    }

    /// Takes a change of a site's state that has no alert.
    pub fn on_silent_change(&mut self, notice: ChangeNotice, now: Moment) {
        match notice {
            ChangeNotice::Silent => self.paced = earlier(self.paced, now + RECOVERY_DELAY),
            ChangeNotice::Normal | ChangeNotice::Flapping => self.within_5_min(now),
        }
    }

    /// Takes the delivery of an alert with a sound.
    pub fn within_1_s(&mut self, now: Moment) {
        self.firm = earlier(self.firm, now + DELIVERY_DELAY);
    }

    /// Takes a delivery of alerts without a sound only.
    pub fn within_1_h(&mut self, now: Moment) {
        self.firm = earlier(self.firm, now + RECOVERY_DELAY);
    }

    /// Returns the minimum interval from the last write to the next urgent one.
    pub fn least_interval(&self) -> Duration {
        self.began
            .map_or(Duration::ZERO, |began| self.spent.apart(began))
    }

    /// Returns when to write next; a moment in the past means at once.
    fn due(&self) -> Option<Moment> {
        let urgent = self.urgent.then(|| {
            let began = self.began.unwrap_or(Moment(i64::MIN / 2));
            began + self.least_interval()
        });
        let paced = self
            .paced
            .map(|at| at.max(self.spent.room_for_changes_at()));
        let deferred = self.deferred.map(|since| {
            let room = self.spent.room_for_alerts_at();
            room.min(since + MAX_DEFERRAL)
        });
        let report = (!self.reports.0.is_empty()).then_some(Moment(i64::MIN));
        let dues = [report, urgent, self.firm, paced, deferred];
        dues.iter().flatten().min().copied()
    }

    /// Returns whether to write now; writes never overlap. The caller then writes the whole state.
    pub fn begin(&mut self, now: Moment, last_alert: u64) -> bool {
        if self.under_way.is_some() || self.due().is_none_or(|at| at > now) {
            return false;
        }
        self.urgent = false;
        (self.firm, self.paced, self.deferred) = (None, None, None);
        self.began = Some(now);
        self.under_way = Some(last_alert);
        self.reports.1 = std::mem::take(&mut self.reports.0);
        true
    }

    /// Takes the end of a successful write of `blocks`. The alerts up to the returned id are on
    /// disk.
    pub fn done(&mut self, now: Moment, blocks: u64) -> Option<u64> {
        self.failing = false;
        if self.reports.1.is_empty() {
            self.spent.add(now, blocks);
        }
        self.under_way.take()
    }

    /// Takes the failure of a write. The alerts up to the returned id may be sent nevertheless. The
    /// flag says whether this is the first failure of a streak, which has an alert.
    pub fn failed(&mut self, now: Moment) -> (Option<u64>, bool) {
        let first = !self.failing;
        self.failing = true;
        self.firm = earlier(self.firm, now + RETRY_AFTER);
        (self.under_way.take(), first)
    }

    pub fn next_due(&self) -> Option<Moment> {
        if self.under_way.is_some() {
            return None;
        }
        self.due()
    }
}

fn earlier(one: Option<Moment>, other: Moment) -> Option<Moment> {
    Some(one.map_or(other, |one| one.min(other)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_be_kept_is_written_at_once_and_the_rest_with_it() {
        let mut save_schedule = SaveSchedule::default();
        assert!(!save_schedule.begin(Moment(0), 0));
        save_schedule.within_5_min(Moment(0));
        save_schedule.immediately();
        assert!(save_schedule.begin(Moment(1), 7));
        assert_eq!(save_schedule.done(Moment(1), 1), Some(7));
        assert_eq!(save_schedule.next_due(), None);
    }

    #[test]
    fn what_can_wait_is_written_after_five_minutes() {
        let mut save_schedule = SaveSchedule::default();
        save_schedule.within_5_min(Moment(0));
        save_schedule.within_5_min(Moment(200_000));
        assert!(!save_schedule.begin(Moment(299_999), 0));
        assert_eq!(save_schedule.next_due(), Some(Moment(300_000)));
        assert!(save_schedule.begin(Moment(300_000), 0));
    }

    #[test]
    fn two_writes_never_overlap() {
        let mut save_schedule = SaveSchedule::default();
        save_schedule.immediately();
        assert!(save_schedule.begin(Moment(0), 1));
        save_schedule.immediately();
        assert!(!save_schedule.begin(Moment(1), 2));
        assert_eq!(save_schedule.done(Moment(1), 1), Some(1));
        assert!(save_schedule.begin(Moment(2), 2));
    }

    #[test]
    fn a_full_disk_is_told_once_and_tried_again() {
        let mut save_schedule = SaveSchedule::default();
        save_schedule.immediately();
        assert!(save_schedule.begin(Moment(0), 5));
        assert_eq!(save_schedule.failed(Moment(0)), (Some(5), true));
        assert!(save_schedule.begin(Moment(60_000), 6));
        assert_eq!(save_schedule.failed(Moment(60_000)), (Some(6), false));
        assert!(save_schedule.begin(Moment(120_000), 7));
        assert_eq!(save_schedule.done(Moment(120_000), 1), Some(7));
        save_schedule.immediately();
        assert!(save_schedule.begin(Moment(120_001), 8));
        assert_eq!(save_schedule.failed(Moment(120_002)), (Some(8), true));
    }

    #[test]
    fn where_writes_are_many_the_alerts_of_a_second_share_one() {
        let mut save_schedule = SaveSchedule::default();
        save_schedule.immediately();
        assert!(save_schedule.begin(Moment(0), 1));
        save_schedule.done(Moment(0), 20);
        save_schedule.immediately();
        assert_eq!(save_schedule.next_due(), Some(Moment(1_000)));
        assert!(!save_schedule.begin(Moment(999), 2));
        assert!(save_schedule.begin(Moment(1_000), 2));
    }

    #[test]
    fn a_noisy_site_waits_for_the_budget_and_a_quiet_one_does_not() {
        let mut save_schedule = SaveSchedule::default();
        for n in 0..3 {
            assert!(save_schedule.on_alert("noisy", Moment(n)));
        }
        assert!(save_schedule.begin(Moment(4), 3));
        save_schedule.done(Moment(4), 60);
        assert!(!save_schedule.on_alert("noisy", Moment(5)));
        let due = save_schedule.next_due().expect("it is not forgotten");
        assert_eq!(due, Moment(5 + 6 * 3_600_000));
        assert!(save_schedule.on_alert("quiet", Moment(5)));
        assert!(
            save_schedule.begin(Moment(10_004), 6),
            "the noisy one's goes along"
        );
        save_schedule.done(Moment(10_004), 1);
        assert_eq!(save_schedule.next_due(), None);
    }

    #[test]
    fn nothing_untold_makes_a_write_while_the_budget_is_spent_but_what_was_delivered_does() {
        let mut save_schedule = SaveSchedule::default();
        save_schedule.immediately();
        assert!(save_schedule.begin(Moment(0), 0));
        save_schedule.done(Moment(0), 1_000);
        save_schedule.within_5_min(Moment(0));
        assert!(save_schedule.next_due().is_some_and(|at| at.0 > 3_600_000));
        save_schedule.within_1_h(Moment(0));
        assert_eq!(save_schedule.next_due(), Some(Moment(3_600_000)));
        save_schedule.within_1_s(Moment(0));
        assert_eq!(save_schedule.next_due(), Some(Moment(1_000)));
    }
}
