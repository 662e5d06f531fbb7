//! When the snapshot is worth writing: flash wears, so as rarely as the promises allow.
//!
//! What must be on disk before the world sees it is written at once, and the rest goes along. What
//! can wait has a deadline; the changes that no alert was made of also wait until the day's budget
//! allows a write. `docs/flash.md` is the same for users.

use crate::monitor::persist::write_budget::{Allowance, Spending};
use crate::monitor::site::flapping::ChangeNotice;
use crate::monitor::site::report::ReportAnswer;
use crate::monitor::time::Moment;
use crate::monitor::{Action, Actions};
use std::collections::HashMap;
use std::time::Duration;

/// A change that no alert was made of, and what can be done again (the update offset), wait so long
/// for a write that they can share.
const CHANGE_DELAY: Duration = Duration::from_secs(300);
/// A delivered alert is sent again if the power goes before it is written, so soon; but those of one
/// storm share a write.
const DELIVERY_DELAY: Duration = Duration::from_secs(1);
/// A recovery that was delivered is sent again, without sound, if the power goes; a change while a
/// site flaps has no alert at all: not worth a write of its own for so long.
const RECOVERY_DELAY: Duration = Duration::from_secs(3600);
/// An alert waits for the budget no longer than this.
const MAX_DEFERRAL: Duration = Duration::from_secs(6 * 3600);
/// A disk that failed is tried again after this.
const RETRY_AFTER: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct SaveSchedule {
    /// Something must be on disk before the world sees it.
    urgent: bool,
    /// To be written by then whatever was spent.
    firm: Option<Moment>,
    /// To be written then if the budget allows, else when it does.
    paced: Option<Moment>,
    /// Since when alerts of sites that have used up their own allowance wait until the budget allows
    /// a write.
    deferred: Option<Moment>,
    /// A save is under way; the alerts up to this id are in it.
    under_way: Option<u64>,
    /// When the last save began.
    began: Option<Moment>,
    failing: bool,
    spent: Spending,
    /// Reports that are answered once they are on disk: those that no save has begun for, and those that are in the
    /// save that is under way.
    reports: (Vec<u64>, Vec<u64>),
    /// The alerts that each site may have written at once, whatever others do: those that used some.
    allowances: HashMap<String, Allowance>,
}

impl SaveSchedule {
    pub fn immediately(&mut self) {
        self.urgent = true;
    }

    /// No alert was made of it, but it had better be kept: at once while little was written, else later.
    pub fn immediately_if_affordable(&mut self, now: Moment) {
        self.urgent |= self.spent.room_for_changes_at() <= now;
        self.within_5_min(now);
    }

    /// A site has an alert. Whether it is written at once; else it waits for the budget.
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

    /// A job has reported and waits to hear that this is kept. It is not of the day's budget: how often a job runs
    /// is the user's own choice.
    pub fn on_report(&mut self, id: u64) {
        self.reports.0.push(id);
    }

    /// Answers the reports of the save that has ended, well or not.
    pub fn answer_reports(&mut self, answer: ReportAnswer, actions: &mut Actions) {
        for id in self.reports.1.drain(..) {
            actions.push(Action::AnswerReport { id, answer });
        }
    }

    /// What no alert was made of, or can be done again.
    pub fn within_5_min(&mut self, now: Moment) {
        self.paced = earlier(self.paced, now + CHANGE_DELAY);
    }

    /// A change of a site's state that no alert was made of.
    pub fn on_silent_change(&mut self, notice: ChangeNotice, now: Moment) {
        match notice {
            ChangeNotice::Silent => self.paced = earlier(self.paced, now + RECOVERY_DELAY),
            ChangeNotice::Normal | ChangeNotice::Flapping => self.within_5_min(now),
        }
    }

    /// An alert with sound was delivered.
    pub fn within_1_s(&mut self, now: Moment) {
        self.firm = earlier(self.firm, now + DELIVERY_DELAY);
    }

    /// Only alerts without sound were delivered.
    pub fn within_1_h(&mut self, now: Moment) {
        self.firm = earlier(self.firm, now + RECOVERY_DELAY);
    }

    /// How long after the last write the next one may begin that is made at once.
    pub fn least_interval(&self) -> Duration {
        self.began
            .map_or(Duration::ZERO, |began| self.spent.apart(began))
    }

    /// When to write next; in the past = at once.
    fn due(&self) -> Option<Moment> {
        let urgent = self.urgent.then(|| {
            let began = self.began.unwrap_or(Moment(i64::MIN / 2));
            began + self.least_interval()
        });
        let paced = self
            .paced
            .map(|at| at.max(self.spent.room_for_changes_at()));
        let room = self.spent.room_for_alerts_at();
        let deferred = self.deferred.map(|since| room.min(since + MAX_DEFERRAL));
        let report = (!self.reports.0.is_empty()).then_some(Moment(i64::MIN));
        [report, urgent, self.firm, paced, deferred]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether to write now; never two writes at once. The caller then writes everything.
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

    /// A write of so many blocks ended well: the alerts up to the returned id are on disk.
    pub fn done(&mut self, now: Moment, blocks: u64) -> Option<u64> {
        self.failing = false;
        if self.reports.1.is_empty() {
            self.spent.add(now, blocks);
        }
        self.under_way.take()
    }

    /// A write failed. The alerts up to the returned id may be sent all the same. The flag says
    /// that it is the first failure in a row, the one worth an alert.
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
