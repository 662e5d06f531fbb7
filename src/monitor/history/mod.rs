//! History of a site: minutes of the last day, hours of the last week, days of the last 90.
//!
//! Everything is derived from minutes. When an hour ends, its bucket is computed from its 60
//! minutes, and when a day ends, from its 1,440 minutes, which are all still kept. Minutes are
//! packed by the hour. A site takes 1.7 KB from the start and 2.6 KB after a day, 7 KB if no two
//! minutes of the day are alike. Slots are aligned to UTC; the display converts them to local time.
//!
//! Time counts as up, down or unknown: paused, behind a site that is down, our own connection down,
//! not checked yet, or sitemon did not run. Percentages leave out the unknown time and say so.

mod minutes;
pub mod pace;
mod page;
pub(crate) mod recording;
mod span;

use self::minutes::Minutes;
use crate::monitor::site::state::State;
pub use page::{Extent, Record, Rows, Scope};
pub use span::{Part, Share, Span};
use std::ops::Range;
use std::time::Duration;

const MINUTE: i64 = 60;
const HOUR: i64 = 3600;
const DAY: i64 = 86_400;
const MINUTES: usize = 1440;
const HOURS: usize = 168;
const DAYS: usize = 90;
/// Divisor by which run times of jobs are stored on the scale of response times: up to 16 hours.
pub const RUN_SCALE: u32 = 64;
/// Unit of stored time, in seconds: a minute has 15 ticks, so that two counts fit into a byte.
const TICK: i64 = 4;
/// Maximum setback of the clock, in seconds, that does not discard history.
const TOLERATED_STEP_BACK: i64 = 120;

/// Kind of a period of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    Up,
    Down,
    #[default]
    Unknown,
}

impl Kind {
    pub fn of(state: State) -> Kind {
        match state {
            State::Up | State::Degraded => Kind::Up,
            State::Down => Kind::Down,
            State::Unknown | State::Unreachable | State::Offline | State::Paused => Kind::Unknown,
        }
    }
}

/// One minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Minute {
    /// Ticks up in the upper four bits, ticks down in the lower ones; the rest is unknown.
    pub shares: u8,
    /// Response time of one of its checks, sampled uniformly; see [`pace`].
    pub took: u8,
}

impl Minute {
    fn new(up: i64, down: i64, took: u8) -> Minute {
        // Rounded up, so that an outage of one second is not lost.
        let down = (down + TICK - 1) / TICK;
        let up = ((up + TICK / 2) / TICK).min(15 - down);
        let shares = u8::try_from(up << 4 | down).unwrap_or(0);
        Minute { shares, took }
    }

    fn up(self) -> u16 {
        u16::from(self.shares >> 4)
    }

    fn down(self) -> u16 {
        u16::from(self.shares & 15)
    }
}

/// One hour or one day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// In ticks of 4 s, as `down`; the remaining time is unknown.
    pub up: u16,
    pub down: u16,
    /// Response times; see [`pace`].
    pub median: u8,
    pub p95: u8,
}

impl Bucket {
    fn of(minutes: impl Iterator<Item = Minute> + Clone) -> Bucket {
        let (median, p95) = pace::percentiles(minutes.clone().map(|m| m.took));
        Bucket {
            up: minutes.clone().map(Minute::up).sum(),
            down: minutes.map(Minute::down).sum(),
            median,
            p95,
        }
    }
}

/// The finished slots; hours and days are at their number modulo the size of their ring.
#[derive(Debug)]
struct Rings {
    minutes: Minutes,
    hours: [Bucket; HOURS],
    days: [Bucket; DAYS],
}

/// The history of one site. Times are Unix seconds.
#[derive(Debug)]
pub struct History {
    rings: Box<Rings>,
    /// All time before this is accounted for.
    until: i64,
    /// Kind of the time since `until`.
    kind: Kind,
    /// Seconds of the current minute.
    up: i64,
    down: i64,
    took: u8,
    /// Number of checks in the current minute.
    checks: u32,
}

/// Returns the hours that contain these minutes.
fn hours_of(minutes: &Range<i64>) -> Range<i64> {
    minutes.start.div_euclid(60)..(minutes.end + 59).div_euclid(60)
}

fn place(number: i64, size: usize) -> usize {
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    usize::try_from(number.rem_euclid(size)).unwrap_or(0)
}

impl Default for History {
    fn default() -> History {
        History::new(0)
    }
}

impl History {
    /// Returns a history without data before `now`.
    pub fn new(now: i64) -> History {
        History {
            rings: Box::new(Rings {
                minutes: Minutes::default(),
                hours: [Bucket::default(); HOURS],
                days: [Bucket::default(); DAYS],
            }),
            until: now,
            kind: Kind::Unknown,
            up: 0,
            down: 0,
            took: 0,
            checks: 0,
        }
    }

    /// Returns the time before which all time is accounted for.
    pub fn until(&self) -> i64 {
        self.until
    }

    /// Accounts for the time until `now` with the previous kind, and sets the kind from then on. If
    /// the clock was set back a little, nothing is counted until it has caught up.
    pub fn note(&mut self, now: i64, kind: Kind) {
        self.advance(now);
        self.kind = kind;
    }

    /// Accounts for the time until `now` as unknown: nothing was checked.
    pub fn miss(&mut self, now: i64) {
        let kind = std::mem::take(&mut self.kind);
        self.advance(now);
        self.kind = kind;
    }

    /// Adds the duration of a check; the run time of a job is divided by [`RUN_SCALE`] first.
    pub fn add(&mut self, took: Duration) {
        self.checks += 1;
        // Each check is kept with the same probability, so that the minutes of a longer bucket have
        // the percentiles of all checks (reservoir sampling).
        let dice = u64::from(self.checks) ^ self.until.unsigned_abs();
        let dice = dice.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        if dice.is_multiple_of(u64::from(self.checks)) {
            self.took = pace::code(took);
        }
    }

    /// Moves the start of an outage back to `from`, at most one day ago.
    pub fn was_down_since(&mut self, from: i64) {
        let head = self.until.div_euclid(MINUTE);
        let first = from.div_euclid(MINUTE).max(self.oldest_minute());
        self.change_minutes(first..head, |number, minute| {
            // Of the first minute only the part after `from` counts.
            let after = (MINUTE - (from - number * MINUTE)).clamp(0, MINUTE);
            let moved = minute
                .up()
                .min(u16::try_from((after + TICK - 1) / TICK).unwrap_or(0));
            let (up, down) = (minute.up() - moved, minute.down() + moved);
            minute.shares = u8::try_from(up << 4 | down).unwrap_or(0);
        });
        let moved = (self.until - from.max(head * MINUTE)).clamp(0, self.up);
        self.up -= moved;
        self.down += moved;
        for hour in first * MINUTE / HOUR..head * MINUTE / HOUR {
            self.end_hour(hour);
        }
    }

    /// Discards the history after `now`, to which the clock was set back permanently.
    pub fn rewind(&mut self, now: i64) {
        if now >= self.until - TOLERATED_STEP_BACK {
            return;
        }
        let hour = now.div_euclid(HOUR);
        self.rings.minutes.rewind(hour);
        let rest_of_hour = now.div_euclid(MINUTE)..(hour + 1) * 60;
        self.change_minutes(rest_of_hour, |_, minute| *minute = Minute::default());
        let ahead = |unit: i64| now.div_euclid(unit)..self.until.div_euclid(unit);
        for number in ahead(HOUR).take(HOURS) {
            self.rings.hours[place(number, HOURS)] = Bucket::default();
        }
        for number in ahead(DAY).take(DAYS) {
            self.rings.days[place(number, DAYS)] = Bucket::default();
        }
        (self.up, self.down, self.took, self.checks) = (0, 0, 0, 0);
        self.until = now;
    }

    fn oldest_minute(&self) -> i64 {
        self.until.div_euclid(MINUTE) - MINUTES as i64
    }

    fn advance(&mut self, now: i64) {
        // In a gap of more than two days only the first and the last minute count; the rest is
        // unknown.
        if now - self.until > 2 * DAY {
            self.step(self.until.div_euclid(MINUTE) * MINUTE + MINUTE);
            let (from_hour, from_day) = (self.until.div_euclid(HOUR), self.until.div_euclid(DAY));
            self.end_hour(from_hour);
            self.end_day(from_day);
            self.rings.minutes = Minutes::default();
            for number in (from_hour + 1..now.div_euclid(HOUR)).take(HOURS) {
                self.rings.hours[place(number, HOURS)] = Bucket::default();
            }
            for number in (from_day + 1..now.div_euclid(DAY)).take(DAYS) {
                self.rings.days[place(number, DAYS)] = Bucket::default();
            }
            self.until = now.div_euclid(MINUTE) * MINUTE;
        }
        while self.until < now {
            let end = (self.until.div_euclid(MINUTE) + 1) * MINUTE;
            self.step(end.min(now));
        }
    }

    /// Accounts for the time until `to`, which is at most the end of the current minute.
    fn step(&mut self, to: i64) {
        let seconds = to - self.until;
        match self.kind {
            Kind::Up => self.up += seconds,
            Kind::Down => self.down += seconds,
            Kind::Unknown => {}
        }
        let number = self.until.div_euclid(MINUTE);
        self.until = to;
        if to.div_euclid(MINUTE) == number {
            return;
        }
        let over = self.running();
        let (hour, minute) = (number.div_euclid(60), place(number, minutes::LENGTH));
        (self.rings.minutes).change(hour, |minutes| minutes[minute] = over);
        (self.up, self.down, self.took, self.checks) = (0, 0, 0, 0);
        if to % HOUR == 0 {
            self.end_hour(to / HOUR - 1);
        }
        if to % DAY == 0 {
            self.end_day(to / DAY - 1);
        }
    }

    fn running(&self) -> Minute {
        Minute::new(self.up, self.down, self.took)
    }

    fn end_hour(&mut self, number: i64) {
        self.rings.hours[place(number, HOURS)] = self.sum(number * 60, 60);
    }

    fn end_day(&mut self, number: i64) {
        self.rings.days[place(number, DAYS)] = self.sum(number * 1440, 1440);
    }

    fn sum(&self, first: i64, count: i64) -> Bucket {
        // Unpacked once for several passes: at start-up this is most of the work.
        let mut minutes = Vec::with_capacity(count as usize);
        // Nested iterators are several times faster inside out.
        (self.minutes(first..first + count)).for_each(|minute| minutes.push(minute));
        Bucket::of(minutes.iter().copied())
    }

    /// Iterates over minutes by their numbers since 1970; those that are not kept are unknown.
    fn minutes(&self, numbers: Range<i64>) -> impl Iterator<Item = Minute> {
        let (head, oldest) = (self.until.div_euclid(MINUTE), self.oldest_minute());
        hours_of(&numbers)
            .flat_map(|hour| (hour * 60..).zip(self.rings.minutes.of(hour)))
            .filter(move |(number, _)| numbers.contains(number))
            .map(move |(number, minute)| match number {
                _ if number == head => self.running(),
                _ if number < head && number >= oldest => minute,
                _ => Minute::default(),
            })
    }

    fn change_minutes(&mut self, numbers: Range<i64>, mut change: impl FnMut(i64, &mut Minute)) {
        for hour in hours_of(&numbers) {
            self.rings.minutes.change(hour, |minutes| {
                let first = numbers.start.max(hour * 60);
                let minutes = minutes.iter_mut().skip(place(first, minutes::LENGTH));
                let wanted = (first..numbers.end).zip(minutes);
                wanted.for_each(|(number, minute)| change(number, minute));
            });
        }
    }

    /// Returns an hour by its number since 1970.
    pub fn hour(&self, number: i64) -> Bucket {
        let head = self.until.div_euclid(HOUR);
        match number {
            _ if number == head => self.sum(number * 60, 60),
            _ if number < head && number >= head - HOURS as i64 => {
                self.rings.hours[place(number, HOURS)]
            }
            _ => Bucket::default(),
        }
    }

    /// Returns a day by its number since 1970.
    pub fn day(&self, number: i64) -> Bucket {
        let head = self.until.div_euclid(DAY);
        match number {
            _ if number == head => self.sum(number * 1440, 1440),
            _ if number < head && number >= head - DAYS as i64 => {
                self.rings.days[place(number, DAYS)]
            }
            _ => Bucket::default(),
        }
    }
}

#[cfg(test)]
mod tests;
