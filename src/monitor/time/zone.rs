//! Local time: its offset from UTC, and when the offset changes.

/// A time zone around one moment, as plain data: its offset, and the changes before and after. It
/// is valid from the change before `since` to the change after `until`, which are months apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Seconds that local time is ahead of UTC.
    pub offset: i32,
    /// Start of this offset, in Unix seconds; `i64::MIN` without an earlier one.
    pub since: i64,
    /// The offset before.
    pub before: i32,
    /// End of this offset, in Unix seconds; `i64::MAX` without a later one.
    pub until: i64,
    /// The offset from then on.
    pub after: i32,
}

pub const DAY: i64 = 86_400;

impl Zone {
    pub const UTC: Zone = Zone::fixed(0);

    /// Returns a zone whose offset, in seconds ahead of UTC, never changes.
    pub const fn fixed(offset: i32) -> Zone {
        Zone {
            offset,
            since: i64::MIN,
            before: offset,
            until: i64::MAX,
            after: offset,
        }
    }

    /// Returns the seconds that local time is ahead of UTC at `wall`, in Unix seconds.
    pub fn offset_at(self, wall: i64) -> i32 {
        match wall {
            _ if wall < self.since => self.before,
            _ if wall >= self.until => self.after,
            _ => self.offset,
        }
    }

    /// Returns the local time at `wall`, in seconds since 1970-01-01 00:00 local time.
    pub fn local(self, wall: i64) -> i64 {
        wall.saturating_add(i64::from(self.offset_at(wall)))
    }

    /// Returns the local day of `wall`, counted from 1970-01-01.
    pub fn day(self, wall: i64) -> i64 {
        self.local(wall).div_euclid(DAY)
    }

    /// Returns when clocks first show `local` or more, in Unix seconds: the first time in an hour
    /// that occurs twice, and the moment of the change for an hour that is skipped.
    pub fn first(self, local: i64) -> i64 {
        let skip = self.skipping(local).map(|(at, _)| at);
        skip.or_else(|| self.shown(local).min())
            .unwrap_or(local - i64::from(self.offset))
    }

    /// Returns when clocks last show `local`, in Unix seconds: the second time in an hour that
    /// occurs twice, and for an hour that is skipped the time it would have without the change.
    pub fn last(self, local: i64) -> i64 {
        let skip = self.skipping(local);
        let skip = skip.map(|(_, before)| local - i64::from(before));
        skip.or_else(|| self.shown(local).max())
            .unwrap_or(local - i64::from(self.offset))
    }

    /// Iterates over all moments at which clocks show `local`.
    fn shown(self, local: i64) -> impl Iterator<Item = i64> {
        let offsets = [self.offset, self.before, self.after];
        let moments = offsets.map(|offset| local - i64::from(offset)).into_iter();
        moments.filter(move |wall| self.local(*wall) == local)
    }

    /// Returns the change that skips `local`, and the offset before it.
    fn skipping(self, local: i64) -> Option<(i64, i32)> {
        let since = (self.since, self.before, self.offset);
        let until = (self.until, self.offset, self.after);
        let skips = |(at, before, after): &(i64, i32, i32)| {
            let shown = |offset: i32| at.saturating_add(i64::from(offset));
            (shown(*before)..shown(*after)).contains(&local)
        };
        let change = [since, until].into_iter().find(skips);
        change.map(|(at, before, _)| (at, before))
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The changes of Berlin's clocks: Sunday 29 March and 25 October 2026, 01:00 UTC.
    pub const SPRING: i64 = 1_774_746_000;
    pub const AUTUMN: i64 = 1_792_890_000;

    /// Berlin in the summer of 2026.
    pub const BERLIN: Zone = Zone {
        offset: 7200,
        since: SPRING,
        before: 3600,
        until: AUTUMN,
        after: 3600,
    };

    fn at(day: i64, hour: i64, minute: i64) -> i64 {
        day * DAY + hour * 3600 + minute * 60
    }

    #[test]
    fn an_hour_that_is_skipped_begins_and_ends_at_one_moment() {
        let day = BERLIN.day(SPRING);
        assert_eq!(BERLIN.first(at(day, 1, 30)), SPRING - 1800);
        assert_eq!(BERLIN.first(at(day, 2, 30)), SPRING);
        assert_eq!(BERLIN.last(at(day, 2, 30)), SPRING + 1800);
        assert_eq!(BERLIN.first(at(day, 3, 30)), SPRING + 1800);
        assert_eq!(BERLIN.last(at(day, 4, 0)), SPRING + 3600);
    }

    #[test]
    fn an_hour_that_comes_twice_has_a_first_and_a_last_time() {
        let day = BERLIN.day(AUTUMN);
        assert_eq!(BERLIN.first(at(day, 2, 30)), AUTUMN - 1800);
        assert_eq!(BERLIN.last(at(day, 2, 30)), AUTUMN + 1800);
        assert_eq!(BERLIN.first(at(day, 3, 0)), AUTUMN + 3600);
    }

    proptest! {
        #[test]
        fn first_is_never_after_last_and_both_go_forward(hours in -3000i64..3000, step in 0i64..7200) {
            let local = SPRING + hours * 3600;
            prop_assert!(BERLIN.first(local) <= BERLIN.last(local));
            prop_assert!(BERLIN.first(local) <= BERLIN.first(local + step));
            prop_assert_eq!(BERLIN.local(BERLIN.first(local)).max(local), BERLIN.local(BERLIN.first(local)));
        }
    }
}
