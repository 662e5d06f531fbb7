//! The minutes of a site's last day: those of the current hour unpacked, those of the 24 hours
//! before it encoded as in the file (`page.rs`). A quiet hour takes 35 bytes instead of 120.

use super::Minute;
use super::page::{pack, unpack};

/// Minutes per hour.
pub(super) const LENGTH: usize = 60;
/// Number of packed hours.
const PACKED: usize = 24;

#[derive(Debug)]
pub(super) struct Minutes {
    /// The hour since 1970 that is not packed.
    hour: i64,
    open: [Minute; LENGTH],
    /// The encoded hours before it, concatenated, oldest first.
    packed: Box<[u8]>,
    /// Size of each packed hour, in bytes.
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
    /// Returns the minutes of an hour since 1970; unknown ones if it is not kept.
    pub(super) fn of(&self, hour: i64) -> [Minute; LENGTH] {
        if hour == self.hour {
            return self.open;
        }
        self.place(hour)
            .map_or([Minute::default(); LENGTH], |at| self.unpacked(at))
    }

    /// Changes the minutes of an hour since 1970. An hour that is newer than all others becomes the
    /// unpacked one; one that is too old to be kept is ignored.
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

    /// Discards the hours after this one.
    pub(super) fn rewind(&mut self, hour: i64) {
        if hour < self.hour {
            self.open_at(hour);
        }
    }

    /// Makes another hour the unpacked one and discards newer hours.
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

    /// Returns the index of an hour among the packed ones.
    fn place(&self, hour: i64) -> Option<usize> {
        let before = usize::try_from(self.hour - hour).ok()?;
        PACKED.checked_sub(before).filter(|at| *at < PACKED)
    }

    /// Returns the range of a packed hour's bytes.
    fn bytes(&self, at: usize) -> std::ops::Range<usize> {
        let start = self.lengths[..at].iter().copied().map(usize::from).sum();
        start..start + usize::from(self.lengths[at])
    }

    fn unpacked(&self, at: usize) -> [Minute; LENGTH] {
        let mut minutes = [Minute::default(); LENGTH];
        // Encoded by `pack`, so never corrupt.
        let _ = unpack(&self.packed[self.bytes(at)], &mut minutes);
        minutes
    }

    fn pack(&mut self, at: usize, minutes: &[Minute; LENGTH]) {
        let (bytes, old) = (pack(minutes), self.bytes(at));
        // At most 212 bytes: two for each run of shares, one and a half for each response time.
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
        /// Compares with a map of unpacked hours.
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
