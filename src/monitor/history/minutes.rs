//! The minutes of a site's last day: those of one hour as they are, and of the 24 hours before it as bytes, which are
//! those of the file (`page.rs`): of a quiet hour 35 instead of 120.

use super::Minute;
use super::page::{pack, unpack};

/// Minutes of an hour.
pub(super) const LENGTH: usize = 60;
/// Hours that are packed.
const PACKED: usize = 24;

#[derive(Debug)]
pub(super) struct Minutes {
    /// The hour since 1970 that is not packed.
    hour: i64,
    open: [Minute; LENGTH],
    /// Of the hours before it, the oldest first: one after the other.
    packed: Box<[u8]>,
    /// How many bytes each of them has.
    lengths: [u8; PACKED],
}

impl Default for Minutes {
    fn default() -> Minutes {
        Minutes {
            hour: 0,
            open: [Minute::default(); LENGTH],
            packed: Box::default(),
            lengths: [0; PACKED],
        }
    }
}

impl Minutes {
    /// The minutes of an hour since 1970; nothing of one that is not kept.
    pub(super) fn of(&self, hour: i64) -> [Minute; LENGTH] {
        if hour == self.hour {
            return self.open;
        }
        self.place(hour)
            .map_or([Minute::default(); LENGTH], |at| self.unpacked(at))
    }

    /// Changes the minutes of an hour since 1970, which is not packed any more when it is the newest so far. One that
    /// is too old to be kept stays as it is.
    pub(super) fn change(&mut self, hour: i64, change: impl FnOnce(&mut [Minute; LENGTH])) {
        if hour > self.hour {
            self.open_at(hour);
        }
        if hour == self.hour {
            change(&mut self.open);
        } else if let Some(at) = self.place(hour) {
            let mut minutes = self.unpacked(at);
            change(&mut minutes);
            self.pack(at, &minutes);
        }
    }

    /// Nothing is known of what comes after this hour.
    pub(super) fn rewind(&mut self, hour: i64) {
        if hour < self.hour {
            self.open_at(hour);
        }
    }

    /// Goes to another hour; of those that are newer nothing is kept.
    fn open_at(&mut self, hour: i64) {
        if self.hour.abs_diff(hour) > PACKED as u64 {
            *self = Minutes {
                hour,
                ..Minutes::default()
            };
        }
        while self.hour < hour {
            self.packed = self.packed[usize::from(self.lengths[0])..].into();
            self.lengths.rotate_left(1);
            self.lengths[PACKED - 1] = 0;
            let open = std::mem::replace(&mut self.open, [Minute::default(); LENGTH]);
            self.pack(PACKED - 1, &open);
            self.hour += 1;
        }
        while self.hour > hour {
            self.open = self.unpacked(PACKED - 1);
            self.pack(PACKED - 1, &[Minute::default(); LENGTH]);
            self.lengths.rotate_right(1);
            self.hour -= 1;
        }
    }

    /// Where an hour is among the packed ones.
    fn place(&self, hour: i64) -> Option<usize> {
        let before = usize::try_from(self.hour - hour).ok()?;
        PACKED.checked_sub(before).filter(|at| *at < PACKED)
    }

    /// Where its bytes are.
    fn bytes(&self, at: usize) -> std::ops::Range<usize> {
        let start = self.lengths[..at].iter().copied().map(usize::from).sum();
        start..start + usize::from(self.lengths[at])
    }

    fn unpacked(&self, at: usize) -> [Minute; LENGTH] {
        let mut minutes = [Minute::default(); LENGTH];
        // Made by `pack`, so it is sound.
        let _ = unpack(&self.packed[self.bytes(at)], &mut minutes);
        minutes
    }

    fn pack(&mut self, at: usize, minutes: &[Minute; LENGTH]) {
        let (bytes, old) = (pack(minutes), self.bytes(at));
        // 212 bytes at most: two for each run of shares, three halves for each response time.
        self.lengths[at] = u8::try_from(bytes.len()).unwrap_or(0);
        self.packed = [&self.packed[..old.start], &bytes, &self.packed[old.end..]]
            .concat()
            .into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn size(minutes: &Minutes) -> usize {
        std::mem::size_of::<Minutes>() + minutes.packed.len()
    }

    fn day(minute: impl Fn(u8) -> Minute) -> Minutes {
        let mut minutes = Minutes::default();
        for hour in 500_000..=500_024 {
            minutes.change(hour, |all| {
                (0..).zip(all).for_each(|(nth, m)| *m = minute(nth))
            });
        }
        minutes
    }

    #[test]
    fn a_quiet_day_takes_1_kb_and_the_most_varied_one_is_kept_whole() {
        let quiet = |nth| Minute {
            shares: 15 << 4,
            took: 90 + nth % 7,
        };
        assert!(size(&day(quiet)) <= 1_024);
        let varied = |nth| Minute {
            shares: 15 - nth % 2,
            took: 1 + nth % 2 * 200,
        };
        let minutes = day(varied);
        assert!(
            (5_000..5_300).contains(&size(&minutes)),
            "{}",
            size(&minutes)
        );
        assert_eq!(minutes.of(500_000)[59], varied(59));
    }

    proptest! {
        /// Beside a map that keeps all.
        #[test]
        fn it_keeps_a_day_whatever_comes(
            changes in proptest::collection::vec((-30i64..30, 0usize..60, any::<u8>(), 0u8..6), 0..80),
        ) {
            let (mut minutes, mut map) = (Minutes::default(), BTreeMap::<i64, [Minute; LENGTH]>::new());
            let mut newest = 0;
            for (step, nth, took, what) in changes {
                let hour = newest + if what == 0 { step } else { step % 3 };
                if what == 1 && hour < newest {
                    minutes.rewind(hour);
                    map.split_off(&(hour + 1));
                    map.retain(|kept, _| *kept >= newest - 24);
                    newest = hour;
                } else if hour >= newest - 24 {
                    let minute = Minute { shares: took >> 4, took };
                    minutes.change(hour, |all| all[nth] = minute);
                    map.entry(hour).or_insert([Minute::default(); LENGTH])[nth] = minute;
                    newest = newest.max(hour);
                    map.retain(|kept, _| *kept >= newest - 24);
                }
                for hour in newest - 30..newest + 5 {
                    prop_assert_eq!(minutes.of(hour), map.get(&hour).copied().unwrap_or([Minute::default(); LENGTH]), "{}", hour);
                }
            }
        }
    }
}
