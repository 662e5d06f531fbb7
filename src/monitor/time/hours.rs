//! Hours of the day and windows of the week in local time, e.g. quiet hours, maintenance and due
//! times of jobs.

use crate::monitor::time::zone::{DAY, Zone};
use std::fmt;

/// Hours of a day in local time, without the minute `until`; over midnight if `until` is not after
/// `from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    /// Minutes since midnight, 0 to 1439.
    pub from: u16,
    /// Minutes since midnight, 1 to 1440.
    pub until: u16,
}

/// Hours on some days of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The days on which it begins: bit 0 is Monday.
    pub days: u8,
    pub hours: Hours,
}

pub const ALL_DAYS: u8 = 0x7f;
pub const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

impl Hours {
    /// Returns the period that begins on a local day, in Unix seconds. It begins when clocks first
    /// show `from` and ends when they last show `until`, even if they are changed on that day.
    fn on(self, day: i64, zone: Zone) -> (i64, i64) {
        let at = |day: i64, minute: u16| day * DAY + i64::from(minute) * 60;
        let over = i64::from(self.until <= self.from);
        (
            zone.first(at(day, self.from)),
            zone.last(at(day + over, self.until)),
        )
    }

    /// Returns whether `wall` (Unix seconds) lies within the hours.
    pub fn have(self, wall: i64, zone: Zone) -> bool {
        let today = zone.day(wall);
        [today - 1, today].into_iter().any(|day| {
            let (from, until) = self.on(day, zone);
            (from..until).contains(&wall)
        })
    }
}

impl Window {
    fn begins_on(self, day: i64) -> bool {
        // 1970-01-01 was a Thursday.
        self.days >> (day + 3).rem_euclid(7) & 1 == 1
    }

    /// Iterates over its periods that begin from the day before `wall` to seven days after it.
    fn stretches(self, wall: i64, zone: Zone) -> impl Iterator<Item = (i64, i64)> {
        let today = zone.day(wall);
        let days = (today - 1..=today + 7).filter(move |day| self.begins_on(*day));
        days.map(move |day| self.hours.on(day, zone))
    }
}

/// Returns when the windows that contain `wall` end, in Unix seconds; adjacent windows count as
/// one. Returns `None` if no window contains it.
pub fn ends(windows: &[Window], wall: i64, zone: Zone) -> Option<i64> {
    let mut end = None;
    // Windows without a gap are followed for a week.
    for _ in 0..64 {
        let at = end.unwrap_or(wall);
        let all = windows.iter().flat_map(|w| w.stretches(at, zone));
        let last = all
            .filter(|(from, until)| (*from..*until).contains(&at))
            .map(|(_, until)| until)
            .max();
        match last {
            Some(last) if last < wall + 7 * DAY => end = Some(last),
            Some(last) => return Some(last),
            None => break,
        }
    }
    end
}

/// Returns when a window next begins or ends after `wall`.
pub fn next_change(windows: &[Window], wall: i64, zone: Zone) -> Option<i64> {
    let all = windows.iter().flat_map(|w| w.stretches(wall, zone));
    let edges = all.flat_map(|(from, until)| [from, until]);
    edges.filter(|at| *at > wall).min()
}

/// Returns begin and end of the first period of the windows that begins after `wall`.
pub fn next_stretch(windows: &[Window], wall: i64, zone: Zone) -> Option<(i64, i64)> {
    let all = windows.iter().flat_map(|w| w.stretches(wall, zone));
    all.filter(|(from, _)| *from > wall).min()
}

/// Formats when the windows begin: `Mon-Fri 03:00, Sat 05:00`.
pub fn beginnings(windows: &[Window]) -> String {
    let begins = |window: &Window| {
        let text = window.to_string();
        text.rsplit_once('-')
            .map_or(text.clone(), |(from, _)| from.to_owned())
    };
    let windows: Vec<String> = windows.iter().map(begins).collect();
    windows.join(", ")
}

/// Formats as in the configuration: `22:00-07:00`.
impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", clock(self.from), clock(self.until))
    }
}

/// Formats as in the configuration: `Sun 02:00-04:00`, `Mon-Fri 12:00-13:00`, `02:00-04:00`.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days != ALL_DAYS {
            let has = |day: usize| self.days >> (day % 7) & 1 == 1;
            // The days are consecutive: the first is the one after a gap.
            let first = (0..7).find(|day| has(*day) && !has(day + 6)).unwrap_or(0);
            let count = self.days.count_ones() as usize;
            f.write_str(DAYS[first])?;
            if count > 1 {
                write!(f, "-{}", DAYS[(first + count - 1) % 7])?;
            }
            f.write_str(" ")?;
        }
        write!(f, "{}", self.hours)
    }
}

/// Formats windows: `Sun 02:00-04:00, 12:00-12:30`.
pub fn list(windows: &[Window]) -> String {
    let windows: Vec<String> = windows.iter().map(Window::to_string).collect();
    windows.join(", ")
}

/// Formats minutes since midnight: `09:00`.
pub fn clock(minutes: u16) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::time::zone::tests::{AUTUMN, BERLIN, SPRING};

    const HOUR: i64 = 3600;

    fn hours(from: u16, until: u16) -> Hours {
        Hours { from, until }
    }

    fn on(days: u8, from: u16, until: u16) -> Window {
        let hours = hours(from, until);
        Window { days, hours }
    }

    #[test]
    fn hours_over_midnight_are_of_two_days() {
        let night = hours(22 * 60, 7 * 60);
        // 2026-11-25 00:00 UTC.
        let midnight = 1_795_564_800;
        let have = |at: i64| night.have(midnight + at, Zone::UTC);
        assert!(have(0) && have(7 * HOUR - 1) && have(22 * HOUR));
        assert!(!have(7 * HOUR) && !have(22 * HOUR - 1));
        let whole = hours(0, 1440);
        assert!(whole.have(midnight, Zone::UTC) && whole.have(midnight - 1, Zone::UTC));
    }

    #[test]
    fn a_window_of_sunday_night_ends_on_monday() {
        // Wednesday.
        let midnight = 1_795_564_800;
        let sunday = midnight + 4 * DAY;
        let windows = [on(1 << 6, 23 * 60, 60)];
        assert_eq!(ends(&windows, midnight, Zone::UTC), None);
        assert_eq!(
            next_change(&windows, midnight, Zone::UTC),
            Some(sunday + 23 * HOUR)
        );
        let begun = sunday + 23 * HOUR;
        let over = sunday + 25 * HOUR;
        assert_eq!(ends(&windows, begun, Zone::UTC), Some(over));
        assert_eq!(ends(&windows, over - 1, Zone::UTC), Some(over));
        assert_eq!(ends(&windows, over, Zone::UTC), None);
        assert_eq!(
            next_change(&windows, over, Zone::UTC),
            Some(begun + 7 * DAY)
        );
    }

    #[test]
    fn windows_that_touch_are_one() {
        let midnight = 1_795_564_800;
        let windows = [on(ALL_DAYS, 60, 120), on(ALL_DAYS, 120, 180)];
        assert_eq!(
            ends(&windows, midnight + HOUR, Zone::UTC),
            Some(midnight + 3 * HOUR)
        );
        let always = [on(ALL_DAYS, 0, 1440)];
        assert!(ends(&always, midnight, Zone::UTC).is_some_and(|end| end >= midnight + 6 * DAY));
    }

    #[test]
    fn a_window_in_the_hour_that_is_skipped_is_not_lost() {
        let windows = [on(1 << 6, 2 * 60 + 15, 2 * 60 + 45)];
        // 02:15 to 02:45 never occur; jobs that cron delays to 03:00 are covered.
        assert_eq!(next_change(&windows, SPRING - 1, BERLIN), Some(SPRING));
        assert_eq!(ends(&windows, SPRING, BERLIN), Some(SPRING + 45 * 60));
        let wide = [on(1 << 6, 2 * 60, 4 * 60)];
        assert_eq!(ends(&wide, SPRING, BERLIN), Some(SPRING + HOUR));
        assert_eq!(ends(&wide, SPRING - 1, BERLIN), None);
    }

    #[test]
    fn a_window_in_the_hour_that_comes_twice_lasts_over_both() {
        let windows = [on(1 << 6, 2 * 60 + 15, 2 * 60 + 45)];
        let first = AUTUMN - 45 * 60;
        assert_eq!(next_change(&windows, AUTUMN - HOUR, BERLIN), Some(first));
        assert_eq!(ends(&windows, first, BERLIN), Some(AUTUMN + 45 * 60));
        assert_eq!(ends(&windows, first - 1, BERLIN), None);
    }

    #[test]
    fn a_window_is_written_as_it_was_read() {
        for (window, text) in [
            (on(ALL_DAYS, 120, 240), "02:00-04:00"),
            (on(1 << 6, 120, 240), "Sun 02:00-04:00"),
            (on(0b001_1111, 720, 780), "Mon-Fri 12:00-13:00"),
            (on(0b100_0001, 0, 1440), "Sun-Mon 00:00-24:00"),
        ] {
            assert_eq!(window.to_string(), text);
        }
    }
}
