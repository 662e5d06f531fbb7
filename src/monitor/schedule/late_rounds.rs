//! Rounds that come late: more checks are due than can be made. Counted, and told once.
//!
//! A round is late when the site's check begins more than its interval after it was due: each turn
//! that was due meanwhile and could not be had is one. A turn that is skipped because the check
//! before it takes so long is the site's own doing and no late round; nor are the turns of sites
//! that run into their timeout, which wait in a lane of their own.

use crate::monitor::time::Moment;
use std::time::Duration;

/// Rounds are looked at in slots of this length.
const SLOT: Duration = Duration::from_secs(10);
/// Slots in a row must be late for so long; one that is not ends the row.
const LATE_FOR: Duration = Duration::from_secs(60);
/// It is told again only after no slot was late for so long.
const REPEAT_AFTER: Duration = Duration::from_secs(3600);
/// A slot is late when of so many rounds one is.
const ONE_OF: u64 = 10;

/// Counts rounds, late ones and all that were due, since the start.
#[derive(Debug, Default)]
pub struct Rounds {
    due: u64,
    late: u64,
    slot: Option<Slot>,
    /// Since when slots have been late, and what came of it.
    row: Option<Slot>,
    /// Since when they have not been, once it was told.
    calm: Option<Moment>,
    told: bool,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    began: Moment,
    due: u64,
    late: u64,
}

impl Rounds {
    /// The check of a site ended, which had waited for so long. What to tell, if anything.
    pub fn ended(&mut self, now: Moment, interval: Duration, waited: Duration) -> Option<String> {
        let interval = interval.as_millis().max(1);
        let late = u64::try_from(waited.as_millis() / interval).unwrap_or(u64::MAX);
        self.due = self.due.saturating_add(late).saturating_add(1);
        self.late = self.late.saturating_add(late);
        let over = self.slot.filter(|slot| now.since(slot.began) >= SLOT);
        let told = over.and_then(|slot| {
            self.slot = None;
            self.close(slot, now)
        });
        let slot = self.slot.get_or_insert(Slot {
            began: now,
            due: 0,
            late: 0,
        });
        slot.due = slot.due.saturating_add(late).saturating_add(1);
        slot.late = slot.late.saturating_add(late);
        told
    }

    /// We stood still: what is late by that says nothing.
    pub fn stood_still(&mut self) {
        (self.slot, self.row) = (None, None);
    }

    /// Late rounds, and all that were due.
    pub fn counts(&self) -> (u64, u64) {
        (self.late, self.due)
    }

    fn close(&mut self, slot: Slot, now: Moment) -> Option<String> {
        if slot.late * ONE_OF < slot.due {
            self.row = None;
            let calm = *self.calm.get_or_insert(slot.began);
            self.told &= now.since(calm) < REPEAT_AFTER;
            return None;
        }
        self.calm = None;
        let row = self.row.get_or_insert(Slot {
            due: 0,
            late: 0,
            ..slot
        });
        row.due += slot.due;
        row.late += slot.late;
        let lasted = now.since(row.began);
        if self.told || lasted < LATE_FOR {
            return None;
        }
        self.told = true;
        Some(text(row.due - row.late, row.due, lasted))
    }
}

/// `66 of 1,000 checks a second are done: …`
fn text(done: u64, due: u64, lasted: Duration) -> String {
    let rate = |n: u64, unit: u64| {
        let millis = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX).max(1);
        (n.saturating_mul(unit * 1000) + millis / 2) / millis
    };
    let units = [(1, "a second"), (60, "a minute"), (3600, "an hour")];
    let enough = |(unit, _): &&(u64, &str)| rate(due, *unit) >= 10;
    let (unit, word) = *units.iter().find(enough).unwrap_or(&units[2]);
    format!(
        "Checks are late: {} of {} {word} are done. Raise `interval`, or `max_connections` if this machine has time for more.",
        grouped(rate(done, unit)),
        grouped(rate(due, unit))
    )
}

/// `12,345`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Lives through `span` in which a check ends every `every` ms that had waited; what is told.
    fn pass(
        rounds: &mut Rounds,
        clock: &mut i64,
        span: Duration,
        every: i64,
        waited: Duration,
    ) -> Vec<String> {
        let until = *clock + i64::try_from(span.as_millis()).expect("short");
        let mut told = Vec::new();
        while *clock < until {
            *clock += every;
            told.extend(rounds.ended(Moment(*clock), SECOND, waited));
        }
        told
    }

    #[test]
    fn a_thousand_sites_of_which_66_a_second_are_done_are_told_once_with_figures() {
        let (mut rounds, mut clock) = (Rounds::default(), 0);
        let waited = Duration::from_millis(14_150);
        let told = pass(&mut rounds, &mut clock, 3600 * SECOND, 15, waited);
        assert_eq!(
            told,
            [
                "Checks are late: 67 of 1,000 a second are done. Raise `interval`, or `max_connections` if this machine has time for more."
            ]
        );
        let (late, due) = rounds.counts();
        assert_eq!(late * 15, due * 14);
        assert_eq!(due, 3_600_000);
    }

    #[test]
    fn it_is_told_again_only_after_an_hour_without() {
        let (mut rounds, mut clock) = (Rounds::default(), 0);
        let mut told = |span: u64, waited: u64| {
            let span = Duration::from_secs(span);
            pass(
                &mut rounds,
                &mut clock,
                span,
                100,
                Duration::from_secs(waited),
            )
            .len()
        };
        assert_eq!(told(120, 5), 1);
        assert_eq!(told(1800, 0), 0);
        assert_eq!(told(120, 5), 0);
        assert_eq!(told(3700, 0), 0);
        assert_eq!(told(120, 5), 1);
    }

    #[test]
    fn a_hiccup_is_counted_and_not_told() {
        let (mut rounds, mut clock) = (Rounds::default(), 0);
        for _ in 0..100 {
            let late = pass(&mut rounds, &mut clock, 15 * SECOND, 100, 5 * SECOND);
            assert_eq!(late, Vec::<String>::new());
            let fine = pass(&mut rounds, &mut clock, 25 * SECOND, 100, Duration::ZERO);
            assert_eq!(fine, Vec::<String>::new());
        }
        assert_eq!(rounds.counts().0, 100 * 150 * 5);
    }

    #[test]
    fn one_that_waits_for_less_than_its_interval_is_not_late() {
        let (mut rounds, mut clock) = (Rounds::default(), 0);
        let waited = Duration::from_millis(999);
        let told = pass(&mut rounds, &mut clock, 600 * SECOND, 10, waited);
        assert_eq!(told, Vec::<String>::new());
        assert_eq!(rounds.counts(), (0, 60_000));
    }

    #[test]
    fn where_few_are_due_the_figures_are_by_the_minute() {
        let (mut rounds, mut clock) = (Rounds::default(), 0);
        let mut told = Vec::new();
        while told.is_empty() {
            clock += 5_000;
            let minute = Duration::from_secs(60);
            told.extend(rounds.ended(Moment(clock), minute, 2 * minute));
        }
        assert!(told[0].contains(" of 36 a minute"), "{}", told[0]);
    }
}
