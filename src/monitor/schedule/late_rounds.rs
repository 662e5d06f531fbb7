//! Late rounds: turns of a site that pass while its check waits for a permit or is under way. They
//! are counted. Their beginning and their end are notified once.
//!
//! | rounds are | for | notice |
//! | --- | --- | --- |
//! | late (at least a tenth of them) | a minute with at least ten late ones, and no slot on time | "Rounds are late", unless it was sent before and less than an hour on time followed |
//! | on time | 15 minutes | "Rounds are on time again", if "Rounds are late" was sent |
//!
//! It makes no difference whether the machine, the permits or the site is too slow. Not counted as
//! late are turns of sites that run into their timeout (they wait in a queue of their own, and are
//! down) and turns in a standstill.

use crate::monitor::event::Level;
use crate::monitor::time::Moment;
use crate::monitor::time::text::lasting;
use std::time::Duration;

/// Minimum duration of a slot, in which rounds are counted…
const SLOT: Duration = Duration::from_secs(10);
/// … and minimum number of its rounds. A slot is late if at least one of this many rounds is.
const ONE_OF: u64 = 10;
/// Minimum duration of consecutive late slots before the notice, and their minimum of late rounds.
const LATE_FOR: Duration = Duration::from_secs(60);
const LEAST: u64 = 10;
/// Time without a late slot after which the end is notified.
const OVER_AFTER: Duration = Duration::from_secs(15 * 60);
/// Time without a late slot after which lateness is notified again.
const REPEAT_AFTER: Duration = Duration::from_secs(3600);

/// Numbers of late rounds and of all rounds that were due, since the start.
#[derive(Debug, Default)]
pub struct Rounds {
    due: u64,
    late: u64,
    slot: Option<Slot>,
    /// The current sequence of late slots, merged.
    row: Option<Slot>,
    /// Since when no slot has been late.
    on_time: Option<Moment>,
    told: Told,
}

#[derive(Clone, Copy, Debug, Default)]
enum Told {
    #[default]
    Nothing,
    /// Lateness was notified; it began at this moment.
    Late(Moment),
    Over,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    began: Moment,
    ended: Moment,
    due: u64,
    late: u64,
}

impl Slot {
    fn new(began: Moment) -> Slot {
        let ended = began;
        let (due, late) = (0, 0);
        Slot {
            began,
            ended,
            due,
            late,
        }
    }

    fn add(&mut self, ended: Moment, due: u64, late: u64) {
        self.ended = ended;
        self.due = self.due.saturating_add(due);
        self.late = self.late.saturating_add(late);
    }

    fn lasted(&self) -> Duration {
        self.ended.since(self.began)
    }
}

impl Rounds {
    /// Counts the rounds of a check that ended `took` after it was due. Returns the notice, if any.
    pub fn ended(
        &mut self,
        now: Moment,
        interval: Duration,
        took: Duration,
    ) -> Option<(Level, String)> {
        let late = took.as_millis() / interval.as_millis().max(1);
        let late = u64::try_from(late).unwrap_or(u64::MAX);
        let due = late.saturating_add(1);
        self.due = self.due.saturating_add(due);
        self.late = self.late.saturating_add(late);
        // The first check only begins a slot.
        let slot = self.slot.get_or_insert(Slot::new(now));
        if slot.began < now {
            slot.add(now, due, late);
        }
        if slot.lasted() < SLOT || slot.due < ONE_OF {
            return None;
        }
        let slot = self.slot.replace(Slot::new(now))?;
        self.close(slot)
    }

    /// Discards the current slots, because a standstill made their rounds late.
    pub fn stood_still(&mut self) {
        (self.slot, self.row) = (None, None);
    }

    /// Returns the number of late rounds, and of all that were due.
    pub fn counts(&self) -> (u64, u64) {
        (self.late, self.due)
    }

    /// Returns `1,240 checks/s wanted, 900 done` while rounds are late.
    pub fn figures(&self) -> Option<String> {
        let row = self.row.filter(Rounds::is_to_be_told)?;
        Some(figures(row.due, row.due - row.late, row.lasted()))
    }

    fn is_to_be_told(row: &Slot) -> bool {
        row.lasted() >= LATE_FOR && row.late >= LEAST
    }

    fn close(&mut self, slot: Slot) -> Option<(Level, String)> {
        if slot.late * ONE_OF < slot.due {
            self.row = None;
            let since = *self.on_time.get_or_insert(slot.began);
            let on_time = slot.ended.since(since);
            match self.told {
                Told::Late(began) if on_time >= OVER_AFTER => {
                    self.told = Told::Over;
                    let lasted = lasting(since.since(began));
                    let text = format!("Rounds are on time again: they were late for {lasted}.");
                    return Some((Level::Info, text));
                }
                Told::Over if on_time >= REPEAT_AFTER => self.told = Told::Nothing,
                _ => {}
            }
            return None;
        }
        self.on_time = None;
        let row = self.row.get_or_insert(Slot::new(slot.began));
        row.add(slot.ended, slot.due, slot.late);
        let began = row.began;
        if !matches!(self.told, Told::Nothing) {
            return None;
        }
        let figures = self.figures()?;
        self.told = Told::Late(began);
        let text = format!(
            "Rounds are late: {figures}. Raise `interval`, or `max_connections` if checks wait for slow sites and this machine has time for more."
        );
        Some((Level::Warn, text))
    }
}

/// Formats rates per second, minute or hour, whichever is the first with at least ten wanted.
fn figures(wanted: u64, done: u64, lasted: Duration) -> String {
    let millis = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX).max(1);
    let rate = |n: u64, seconds: u64| (n.saturating_mul(seconds * 1000) + millis / 2) / millis;
    let units = [(1, "s"), (60, "min"), (3600, "h")];
    let enough = |(seconds, _): &&(u64, &str)| rate(wanted, *seconds) >= 10;
    let (seconds, unit) = *units.iter().find(enough).unwrap_or(&units[2]);
    let (wanted, done) = (rate(wanted, seconds), rate(done, seconds));
    let checks = if wanted == 1 { "check" } else { "checks" };
    format!(
        "{} {checks}/{unit} wanted, {} done",
        grouped(wanted),
        grouped(done)
    )
}

/// Formats a number as `12,345`.
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
    const MINUTE: u64 = 60;

    /// Checks of which one ends every `every` ms.
    struct Checks {
        rounds: Rounds,
        clock: i64,
        every: i64,
        interval: Duration,
    }

    impl Checks {
        fn of(every: i64, interval: Duration) -> Checks {
            Checks {
                rounds: Rounds::default(),
                clock: 0,
                every,
                interval,
            }
        }

        /// Lets time pass in which each check ends `took` seconds after it was due; returns the
        /// notices.
        fn pass(&mut self, seconds: u64, took: f64) -> Vec<String> {
            let until = self.clock + 1000 * seconds as i64;
            let mut told = Vec::new();
            while self.clock < until {
                self.clock += self.every;
                let took = Duration::from_secs_f64(took);
                let text = self.rounds.ended(Moment(self.clock), self.interval, took);
                told.extend(text.map(|(_, text)| text));
            }
            told
        }
    }

    #[test]
    fn a_thousand_sites_of_which_66_a_second_are_done_are_told_once_with_figures() {
        let mut checks = Checks::of(15, SECOND);
        let told = checks.pass(6 * 3600, 14.15);
        let [text] = &told[..] else {
            panic!("{told:?}");
        };
        let figures = "Rounds are late: 1,000 checks/s wanted, 67 done. Raise `interval`";
        assert!(text.starts_with(figures), "{text}");
        let (late, due) = checks.rounds.counts();
        assert_eq!(late * 15, due * 14);
        assert_eq!(due, 6 * 3_600_000);
    }

    #[test]
    fn its_end_is_told_after_a_quarter_of_an_hour() {
        let mut checks = Checks::of(100, SECOND);
        assert_eq!(checks.pass(10 * MINUTE, 5.0).len(), 1);
        assert!(checks.rounds.figures().is_some());
        assert_eq!(checks.pass(14 * MINUTE, 0.0), Vec::<String>::new());
        assert_eq!(checks.rounds.figures(), None);
        let told = checks.pass(5 * 3600, 0.0);
        assert_eq!(
            told,
            ["Rounds are on time again: they were late for 10 min."]
        );
    }

    #[test]
    fn it_is_told_again_only_after_an_hour_without() {
        let mut checks = Checks::of(100, SECOND);
        assert_eq!(checks.pass(2 * MINUTE, 5.0).len(), 1);
        assert_eq!(checks.pass(30 * MINUTE, 0.0).len(), 1, "its end");
        assert_eq!(checks.pass(2 * MINUTE, 5.0).len(), 0);
        assert_eq!(checks.pass(61 * MINUTE, 0.0).len(), 0);
        assert_eq!(checks.pass(2 * MINUTE, 5.0).len(), 1);
    }

    #[test]
    fn one_that_comes_and_goes_is_told_once_and_ends_once() {
        for (late, on_time, messages) in [(2, 2, 1), (5, 10, 1), (20, 20, 2), (3, 50, 2)] {
            let mut checks = Checks::of(100, SECOND);
            let mut told = Vec::new();
            for _ in 0..20 {
                told.extend(checks.pass(late * MINUTE, 5.0));
                told.extend(checks.pass(on_time * MINUTE, 0.0));
            }
            assert_eq!(told.len(), messages, "{late} {on_time}: {told:?}");
        }
    }

    #[test]
    fn a_hiccup_is_counted_and_not_told() {
        let mut checks = Checks::of(100, SECOND);
        for _ in 0..100 {
            assert_eq!(checks.pass(15, 5.0), Vec::<String>::new());
            assert_eq!(checks.pass(25, 0.0), Vec::<String>::new());
        }
        assert_eq!(checks.rounds.counts().0, 100 * 150 * 5);
        // A single slow check among many.
        let mut checks = Checks::of(6_000, 60 * SECOND);
        checks.pass(3600, 0.0);
        assert_eq!(checks.pass(6, 300.0), Vec::<String>::new());
        assert_eq!(checks.pass(3600, 0.0), Vec::<String>::new());
    }

    #[test]
    fn one_that_ends_within_its_interval_is_not_late() {
        let mut checks = Checks::of(10, SECOND);
        assert_eq!(checks.pass(600, 0.999), Vec::<String>::new());
        assert_eq!(checks.rounds.counts(), (0, 60_000));
    }

    #[test]
    fn where_few_are_due_the_figures_are_by_the_minute_or_the_hour() {
        for (every, figures) in [
            (100, "30 checks/s wanted, 10 done"),
            (5_000, "36 checks/min wanted, 12 done"),
            (50_000, "216 checks/h wanted, 72 done"),
        ] {
            let mut checks = Checks::of(every, 60 * SECOND);
            let told = checks.pass(3600, 120.0);
            let text = told.concat();
            assert!(text.contains(figures), "{text}");
        }
    }

    #[test]
    fn one_check_is_one() {
        let hour = 3600 * SECOND;
        assert_eq!(figures(1, 0, hour), "1 check/h wanted, 0 done");
        assert_eq!(figures(2, 1, hour), "2 checks/h wanted, 1 done");
        assert_eq!(
            figures(1_240, 900, SECOND),
            "1,240 checks/s wanted, 900 done"
        );
    }
}
