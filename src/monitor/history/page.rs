//! Encoding of a history: the minutes of one hour, and the hours and days before it. A quiet hour
//! takes 35 bytes.
//!
//! Shares are run-length encoded: the number of runs, then `length value` for each. Response times
//! begin with a byte, the number of leading zeros; then nibbles follow: the difference to the
//! previous time plus 7, 14 for no time, or 15 before a whole byte.

use super::{Bucket, DAY, DAYS, HOUR, HOURS, History, MINUTE, Minute, place};

/// Part of the history of all sites, as stored in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub scope: Scope,
    /// Hours since 1970.
    pub hour: i64,
    /// Number of minutes of a page that are over.
    pub length: u8,
    pub sites: Rows,
}

/// Name and data of each site in two buffers: thousands of small allocations would fragment the
/// heap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    names: String,
    bytes: Vec<u8>,
    /// End of each row in `names` and `bytes`.
    ends: Vec<(usize, usize)>,
}

impl Rows {
    /// Iterates over names and data.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut start = (0, 0);
        self.ends.iter().map(move |&end| {
            let from = std::mem::replace(&mut start, end);
            (&self.names[from.0..end.0], &self.bytes[from.1..end.1])
        })
    }
}

impl<N: AsRef<str>, B: AsRef<[u8]>> FromIterator<(N, B)> for Rows {
    fn from_iter<T: IntoIterator<Item = (N, B)>>(rows: T) -> Rows {
        let mut all = Rows::default();
        for (name, bytes) in rows {
            all.names.push_str(name.as_ref());
            all.bytes.extend_from_slice(bytes.as_ref());
            all.ends.push((all.names.len(), all.bytes.len()));
        }
        all
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The hours and days before the hour.
    Base,
    /// The minutes of the hour.
    Page,
}

/// Part of the history to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The hours since the last one that was written.
    Pages,
    /// These hours after a base, in a new file.
    Base,
    /// Everything; the previous files are dropped.
    Whole,
}

const NONE: u8 = 14;
const WHOLE: u8 = 15;

impl History {
    /// Encodes the minutes of an hour that are over; empty if all of them are unknown.
    pub fn page(&self, hour: i64) -> Vec<u8> {
        let head = self.until.div_euclid(MINUTE);
        let over = hour * 60..(hour * 60 + 60).min(head);
        pack(&self.minutes(over).collect::<Vec<_>>())
    }

    /// Returns how many minutes of an hour are over.
    pub fn length(&self, hour: i64) -> u8 {
        let over = self.until.div_euclid(MINUTE) - hour * 60;
        u8::try_from(over.clamp(0, 60)).unwrap_or(60)
    }

    /// Restores the output of [`History::page`]. Pages must come in order of time; a longer page of
    /// the same hour may follow. Returns `None`, and changes nothing, if the data is corrupt.
    pub fn restore_page(&mut self, hour: i64, length: u8, bytes: &[u8]) -> Option<()> {
        let mut minutes = vec![Minute::default(); usize::from(length.min(60))];
        unpack(bytes, &mut minutes)?;
        self.miss(hour * HOUR + i64::from(length) * MINUTE);
        let (first, oldest) = (hour * 60, self.oldest_minute());
        let taken = first.max(oldest)..first + i64::from(length.min(60));
        self.change_minutes(taken, |number, minute| *minute = minutes[place(number, 60)]);
        if (hour + 1) * HOUR <= self.until {
            self.end_hour(hour);
        }
        let day = (hour * HOUR).div_euclid(DAY);
        if (hour + 1) * HOUR == (day + 1) * DAY && (day + 1) * DAY <= self.until {
            self.end_day(day);
        }
        Some(())
    }

    /// Encodes the hours and days that were over when `hour` began; empty if all of them are
    /// unknown.
    pub fn base(&self, hour: i64) -> Vec<u8> {
        let day = (hour * HOUR).div_euclid(DAY);
        let hours: Vec<Bucket> = (hour - HOURS as i64..hour).map(|n| self.hour(n)).collect();
        let days: Vec<Bucket> = (day - DAYS as i64..day).map(|n| self.day(n)).collect();
        let mut bytes = Vec::new();
        let unknown = |b: &Bucket| *b == Bucket::default();
        if !hours.iter().chain(&days).all(unknown) {
            for buckets in [hours, days] {
                let shares = |b: &Bucket| {
                    let ([a, b], [c, d]) = (b.up.to_le_bytes(), b.down.to_le_bytes());
                    [a, b, c, d]
                };
                put_runs(&mut bytes, buckets.iter().map(shares));
                put_paces(&mut bytes, buckets.iter().map(|b| b.median));
                put_paces(&mut bytes, buckets.iter().map(|b| b.p95));
            }
        }
        bytes
    }

    /// Restores the output of [`History::base`]. Returns `None`, and changes nothing, if it is
    /// corrupt.
    pub fn restore_base(&mut self, hour: i64, bytes: &[u8]) -> Option<()> {
        let day = (hour * HOUR).div_euclid(DAY);
        if bytes.is_empty() {
            return Some(());
        }
        let mut reader = Reader(bytes);
        let hours = reader.buckets(HOURS, HOUR)?;
        let days = reader.buckets(DAYS, DAY)?;
        self.miss(hour * HOUR);
        let (oldest_hour, oldest_day) = (
            self.until.div_euclid(HOUR) - HOURS as i64,
            self.until.div_euclid(DAY) - DAYS as i64,
        );
        for (number, bucket) in (hour - HOURS as i64..hour).zip(hours) {
            if number >= oldest_hour {
                self.rings.hours[place(number, HOURS)] = bucket;
            }
        }
        for (number, bucket) in (day - DAYS as i64..day).zip(days) {
            if number >= oldest_day {
                self.rings.days[place(number, DAYS)] = bucket;
            }
        }
        Some(())
    }
}

/// Encodes minutes; empty if all of them are unknown.
pub(super) fn pack(minutes: &[Minute]) -> Vec<u8> {
    let mut bytes = Vec::new();
    if minutes.iter().any(|m| *m != Minute::default()) {
        put_runs(&mut bytes, minutes.iter().map(|m| [m.shares]));
        put_paces(&mut bytes, minutes.iter().map(|m| m.took));
    }
    bytes
}

/// Decodes the output of [`pack`]. Returns `None`, and changes nothing, if it is corrupt.
pub(super) fn unpack(bytes: &[u8], minutes: &mut [Minute]) -> Option<()> {
    if bytes.is_empty() {
        return Some(());
    }
    let mut reader = Reader(bytes);
    let shares = reader.runs::<1>(minutes.len())?;
    let paces = reader.paces(minutes.len())?;
    let sound = |[shares]: &[u8; 1]| (shares >> 4) + (shares & 15) <= 15;
    if !shares.iter().all(sound) {
        return None;
    }
    for ((minute, [shares]), took) in minutes.iter_mut().zip(shares).zip(paces) {
        *minute = Minute { shares, took };
    }
    Some(())
}

fn put_runs<const N: usize>(bytes: &mut Vec<u8>, values: impl Iterator<Item = [u8; N]>) {
    let mut runs: Vec<(u8, [u8; N])> = Vec::new();
    for value in values {
        match runs.last_mut() {
            Some((length, last)) if *last == value && *length < u8::MAX => *length += 1,
            _ => runs.push((1, value)),
        }
    }
    bytes.push(u8::try_from(runs.len()).unwrap_or(u8::MAX));
    for (length, value) in runs {
        bytes.push(length);
        bytes.extend_from_slice(&value);
    }
}

fn put_paces(bytes: &mut Vec<u8>, paces: impl Iterator<Item = u8> + Clone) {
    let none = paces
        .clone()
        .take(255)
        .take_while(|pace| *pace == 0)
        .count();
    bytes.push(u8::try_from(none).unwrap_or(u8::MAX));
    let mut nibbles = Vec::new();
    let mut before = 0i16;
    for pace in paces.skip(none) {
        let far = i16::from(pace) - before + 7;
        match u8::try_from(far) {
            _ if pace == 0 => nibbles.push(NONE),
            Ok(near) if near < NONE => nibbles.push(near),
            _ => nibbles.extend([WHOLE, pace >> 4, pace & 15]),
        }
        if pace != 0 {
            before = i16::from(pace);
        }
    }
    for pair in nibbles.chunks(2) {
        bytes.push(pair[0] << 4 | pair.get(1).copied().unwrap_or(0));
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn runs<const N: usize>(&mut self, count: usize) -> Option<Vec<[u8; N]>> {
        let mut values = Vec::with_capacity(count);
        for _ in 0..self.byte()? {
            let length = self.byte()?;
            let value = *self.0.first_chunk::<N>()?;
            self.0 = &self.0[N..];
            values.extend(std::iter::repeat_n(value, usize::from(length)));
        }
        (values.len() == count).then_some(values)
    }

    fn paces(&mut self, count: usize) -> Option<Vec<u8>> {
        let none = usize::from(self.byte()?);
        if none > count {
            return None;
        }
        let mut half = None;
        let mut nibble = || match half.take() {
            Some(low) => Some(low),
            None => {
                let byte = self.byte()?;
                half = Some(byte & 15);
                Some(byte >> 4)
            }
        };
        let mut before = 0i16;
        let mut paces = vec![0; none];
        for _ in none..count {
            let pace = match nibble()? {
                NONE => 0,
                WHOLE => nibble()? << 4 | nibble()?,
                near => u8::try_from(before + i16::from(near) - 7).ok()?,
            };
            if pace != 0 {
                before = i16::from(pace);
            }
            paces.push(pace);
        }
        Some(paces)
    }

    fn buckets(&mut self, count: usize, seconds: i64) -> Option<Vec<Bucket>> {
        let shares = self.runs::<4>(count)?;
        let medians = self.paces(count)?;
        let tails = self.paces(count)?;
        let buckets = shares.into_iter().zip(medians).zip(tails);
        let bucket = |(([a, b, c, d], median), p95): (([u8; 4], u8), u8)| {
            let (up, down) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
            let sound = (i64::from(up) + i64::from(down)) * super::TICK <= seconds;
            sound.then_some(Bucket {
                up,
                down,
                median,
                p95,
            })
        };
        buckets.map(bucket).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, Span};
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const START: i64 = 20_000 * DAY;

    fn lived(hours: i64) -> History {
        let mut history = History::new(START);
        for minute in 0..hours * 60 {
            let kind = match minute % 2000 {
                0..30 => Kind::Down,
                700..760 => Kind::Unknown,
                _ => Kind::Up,
            };
            history.note(START + minute * MINUTE, kind);
            if kind == Kind::Up {
                let noise = (minute.unsigned_abs() * 7919) % 23;
                history.add(Duration::from_millis(40 + noise));
            }
        }
        history.note(START + hours * HOUR, Kind::Up);
        history
    }

    #[test]
    fn what_is_written_hour_by_hour_comes_back_as_it_was() {
        let before = lived(260);
        let mut after = History::new(0);
        for day in 0..11 {
            let first = START / HOUR + day * 24;
            let then = lived(day * 24);
            after.restore_base(first, &then.base(first)).expect("sound");
            for hour in first..(first + 24).min(START / HOUR + 260) {
                let then = lived(hour + 1 - START / HOUR);
                let page = then.page(hour);
                after.restore_page(hour, 60, &page).expect("sound");
            }
        }
        for span in Span::ALL {
            let until = before.until();
            assert_eq!(
                after.uptime(span, until),
                before.uptime(span, until),
                "{span:?}"
            );
            let (from, to, count) = span.parts(until);
            let (after, before) = (after.parts(from, to, count), before.parts(from, to, count));
            assert_eq!(after, before, "{span:?}");
        }
    }

    #[test]
    fn a_half_hour_is_completed_by_the_whole_one() {
        let hour = START / HOUR + 1;
        let mut half = lived(1);
        half.note(START + HOUR + 30 * MINUTE, Kind::Up);
        assert_eq!((half.length(hour), half.length(hour - 1)), (30, 60));
        let mut after = History::new(0);
        after
            .restore_page(hour, 30, &half.page(hour))
            .expect("sound");
        assert_eq!(after.until(), START + HOUR + 30 * MINUTE);
        after
            .restore_page(hour, 60, &lived(2).page(hour))
            .expect("sound");
        assert_eq!(after.hour(hour), lived(2).hour(hour));
    }

    #[test]
    fn a_quiet_hour_takes_35_bytes_and_an_unknown_one_none() {
        let mut history = History::new(START);
        history.note(START, Kind::Up);
        for minute in 0..60 {
            history.note(START + minute * MINUTE, Kind::Up);
            let took = 40 + minute.unsigned_abs() * 5 % 17;
            history.add(Duration::from_millis(took));
        }
        history.note(START + HOUR, Kind::Unknown);
        history.note(START + 2 * HOUR, Kind::Unknown);
        assert_eq!(history.page(START / HOUR).len(), 35);
        assert!(history.page(START / HOUR + 1).is_empty());
        assert!(lived(260).base(START / HOUR + 260).len() < 700);
    }

    proptest! {
        #[test]
        fn paces_come_back_as_they_were(paces in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = Vec::new();
            put_paces(&mut bytes, paces.iter().copied());
            prop_assert_eq!(Reader(&bytes).paces(paces.len()), Some(paces));
        }

        #[test]
        fn no_bytes_make_it_panic_or_more_of_time_than_there_was(
            hour in START / HOUR - 5000..START / HOUR + 5000,
            length in any::<u8>(),
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut history = lived(30);
            let _ = history.restore_page(hour, length.min(60), &bytes);
            let _ = history.restore_base(hour, &bytes);
            let share = history.uptime(Span::Day, history.until());
            prop_assert!(share.watched().as_secs() <= 86_460);
        }
    }
}
