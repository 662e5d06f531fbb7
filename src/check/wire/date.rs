//! Parses dates as registries write them: RFC 3339, as RDAP demands, and the many other formats in use.

/// Returns Unix seconds. The date must be complete and exist. A missing or invalid time counts as
/// midnight, a missing or invalid offset as UTC: the error is less than a day.
///
/// Formats: `2026-11-25T03:27:25.5+01:00` `2026-11-25` `2026-11-25 03:27 UTC` `20261125T032725Z`
/// `25.11.2026` `25-Nov-2026` `Wed, 25 Nov 2026 03:27:25 GMT` `November 25, 2026`. Ambiguous dates such
/// as `3/4/2026` are rejected.
pub fn seconds(text: &str) -> Option<i64> {
    let (date, rest) = date(text.trim())?;
    let (time, rest) = time(rest).unwrap_or((0, rest));
    Some(midnight(date)? + time - offset(rest).unwrap_or(0))
}

/// Returns the start of a date in UTC, in Unix seconds; `None` if there is no such date.
pub fn midnight([year, month, day]: Date) -> Option<i64> {
    let (month, day) = (month.try_into().ok()?, day.try_into().ok()?);
    let date = jiff::civil::Date::new(year.try_into().ok()?, month, day).ok()?;
    let epoch = const { jiff::civil::Date::constant(1970, 1, 1) };
    Some(date.duration_since(epoch).as_secs())
}

/// Returns 1 to 12 for a lower-case month name, or its first letters, at least three.
pub fn month(word: &str) -> Option<i64> {
    const NAMES: &str = "january february march april may june july august september october \
        november december";
    place(NAMES, word)
}

/// Returns which of `names` begins with `word`, counted from 1.
fn place(names: &str, word: &str) -> Option<i64> {
    let is = |name: &str| word.len() >= 3 && name.starts_with(word);
    Some(names.split(' ').position(is)? as i64 + 1)
}

/// Year, month and day.
pub type Date = [i64; 3];

fn date(text: &str) -> Option<(Date, &str)> {
    let (first, rest) = part(text)?;
    let (date, rest) = match first {
        Part::Weekday => return date(rest.trim_start_matches([',', '.', ' '])),
        Part::Month(month) => {
            let (day, rest) = day(after_separator(rest)?)?;
            return match after_separator(rest).and_then(year) {
                Some((year, rest)) => Some(([year, month, day], rest)),
                // `Wed Nov 25 03:27:25 UTC 2026`
                None => {
                    let (rest, last) = rest.rsplit_once(' ')?;
                    let (year, "") = year(last)? else {
                        return None;
                    };
                    Some(([year, month, day], rest))
                }
            };
        }
        Part::Number(number, 8) => ([number / 10_000, number / 100 % 100, number % 100], rest),
        Part::Number(year, 4) => {
            let (month, rest) = match part(after_separator(rest)?)? {
                (Part::Number(month, 1 | 2) | Part::Month(month), rest) => (month, rest),
                _ => return None,
            };
            let (day, rest) = day(after_separator(rest)?)?;
            ([year, month, day], rest)
        }
        Part::Number(first, 1 | 2) => {
            let second = part(after_separator(rest)?)?;
            let slash = rest.starts_with('/');
            let (year, rest) = year(after_separator(second.1)?)?;
            match second.0 {
                Part::Month(month) => ([year, month, first], rest),
                Part::Number(second, 1 | 2) if slash && second > 12 => {
                    ([year, first, second], rest)
                }
                Part::Number(second, 1 | 2) if slash && first <= 12 && first != second => {
                    return None;
                }
                Part::Number(month, 1 | 2) => ([year, month, first], rest),
                _ => return None,
            }
        }
        Part::Number(..) => return None,
    };
    // The part must not end within a word or number.
    let ends = |c: char| !c.is_alphanumeric() || matches!(c, 'T' | 't' | 'Z' | 'z');
    rest.chars().next().is_none_or(ends).then_some((date, rest))
}

enum Part {
    /// Value, and number of digits.
    Number(i64, usize),
    Month(i64),
    Weekday,
}

/// Parses the part at the start of `text`.
fn part(text: &str) -> Option<(Part, &str)> {
    const WEEKDAYS: &str = "monday tuesday wednesday thursday friday saturday sunday";
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let (digits, _) = text.split_at(text.len() - rest.len());
    if !digits.is_empty() {
        return Some((Part::Number(digits.parse().ok()?, digits.len()), rest));
    }
    let rest = text.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let (word, _) = text.split_at(text.len() - rest.len());
    let word = word.to_ascii_lowercase();
    match place(WEEKDAYS, &word) {
        Some(_) => Some((Part::Weekday, rest)),
        None => Some((Part::Month(month(&word)?), rest)),
    }
}

fn year(text: &str) -> Option<(i64, &str)> {
    match part(text)? {
        (Part::Number(year, 4), rest) => Some((year, rest)),
        _ => None,
    }
}

fn day(text: &str) -> Option<(i64, &str)> {
    match part(text)? {
        (Part::Number(day, 1 | 2), rest) => Some((day, rest)),
        _ => None,
    }
}

/// Skips one separator between the parts of a date, and blanks.
fn after_separator(text: &str) -> Option<&str> {
    let after = text.strip_prefix(['-', '/', '.', ',', ' '])?;
    Some(after.trim_start_matches(' '))
}

/// Parses `T03:27:25.5`, `03:27` or `T032725` to seconds since midnight; 24:00 is the next midnight.
fn time(text: &str) -> Option<(i64, &str)> {
    let text = text.trim_start_matches(['T', 't', ' ', ',']);
    let (Part::Number(number, length), rest) = part(text)? else {
        return None;
    };
    let two = |rest: &'_ str| match part(rest.strip_prefix(':')?)? {
        (Part::Number(number, 2), after) => Some((number, rest.len() - after.len())),
        _ => None,
    };
    let ([hour, minute, second], rest) = match length {
        6 => ([number / 10_000, number / 100 % 100, number % 100], rest),
        4 => ([number / 100, number % 100, 0], rest),
        1 | 2 => {
            let (minute, length) = two(rest)?;
            let rest = rest.get(length..)?;
            let (second, length) = two(rest).unwrap_or((0, 0));
            ([number, minute, second], rest.get(length..)?)
        }
        _ => return None,
    };
    // A leap second counts as the following second, as in POSIX.
    if hour > 24 || minute > 59 || second > 60 || (hour == 24 && minute + second > 0) {
        return None;
    }
    let fraction = rest.strip_prefix(['.', ',']).unwrap_or(rest);
    let rest = match fraction.len() == rest.len() {
        true => rest,
        false => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
    };
    Some((hour * 3600 + minute * 60 + second, rest))
}

/// Parses `+01:00`, `-0530` or `+02` to seconds east of UTC.
fn offset(text: &str) -> Option<i64> {
    let text = text.trim_start_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let amount = text.strip_prefix(['+', '-'])?;
    let (hours, minutes) = match part(amount)? {
        (Part::Number(hours, 1 | 2), rest) => match rest.strip_prefix(':').and_then(part) {
            Some((Part::Number(minutes, 2), _)) => (hours, minutes),
            _ => (hours, 0),
        },
        (Part::Number(both, 4), _) => (both / 100, both % 100),
        _ => return None,
    };
    if hours > 23 || minutes > 59 {
        return None;
    }
    let east = hours * 3600 + minutes * 60;
    Some(if text.starts_with('-') { -east } else { east })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_read_as_the_rfc_has_them() {
        for (text, wanted) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1985-04-12T23:20:50.52Z", 482_196_050),
            ("1996-12-19T16:39:57-08:00", 851_042_397),
            ("1990-12-31T23:59:60Z", 662_688_000),
            ("1937-01-01T12:00:27.87+00:20", -1_041_337_173),
            ("2026-02-28t10:00:00.000z", 1_772_272_800),
            ("2024-02-29 00:00:00+00:00", 1_709_164_800),
            ("0000-01-01T00:00:00Z", -62_167_219_200),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            assert_eq!(seconds(text), Some(wanted), "{text}");
        }
        for text in [
            "",
            "never",
            "2026",
            "2026-02",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "0000-00-00",
            "00000000",
            "+026-01-01T00:00:00Z",
            "20260101000000",
            "2026-01-011",
            "2026-01-01x",
            "26-01-01",
            "3/4/2026",
            "31.11.2026",
            "Foo 3, 2026",
            "Dec 3",
            "Monday",
            "99999999999999999999-01-01",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_read_as_registries_write_them() {
        // Expected values from python-dateutil.
        for (text, wanted) in [
            ("2026-12-03", 1_796_256_000),
            (" 2026-12-03\n", 1_796_256_000),
            ("2026-12-03Z", 1_796_256_000),
            ("2026-12-03+01:00", 1_796_252_400),
            ("2026-12-03T04:05:06", 1_796_270_706),
            ("2026-12-03 04:05:06", 1_796_270_706),
            ("2026-12-03 04:05:06 UTC", 1_796_270_706),
            ("2026-12-03T04:05Z", 1_796_270_700),
            ("2026-12-03T04:05:06+0130", 1_796_265_306),
            ("2026-12-03T04:05:06-05", 1_796_288_706),
            ("2026-12-03T04:05:06 +01:00", 1_796_267_106),
            ("2026-12-03T04:05:06,789Z", 1_796_270_706),
            ("2026-12-03T04:05:06.789Z[UTC]", 1_796_270_706),
            ("2026-12-02T24:00:00Z", 1_796_256_000),
            ("20261203", 1_796_256_000),
            ("20261203T040506Z", 1_796_270_706),
            ("2026/12/03", 1_796_256_000),
            ("2026.12.03 04:05:06", 1_796_270_706),
            ("2026. 12. 03.", 1_796_256_000),
            ("03.12.2026", 1_796_256_000),
            ("3-12-2026", 1_796_256_000),
            ("13/12/2026", 1_797_120_000),
            ("12/13/2026 00:00", 1_797_120_000),
            ("12/12/2026", 1_797_033_600),
            ("03-Dec-2026", 1_796_256_000),
            ("3 December 2026", 1_796_256_000),
            ("2026-Dec-03", 1_796_256_000),
            ("Thu, 03 Dec 2026 04:05:06 GMT", 1_796_270_706),
            ("Thu Dec  3 04:05:06 UTC 2026", 1_796_270_706),
            ("December 3, 2026", 1_796_256_000),
            ("Dec 3 2026 04:05:06", 1_796_270_706),
            ("2026-2-3", 1_770_076_800),
            // A valid date counts even if the time is invalid.
            ("2026-12-03T25:00:00Z", 1_796_256_000),
            ("2026-12-03T00:00:00+24:00", 1_796_256_000),
            ("2026-12-03Tx", 1_796_256_000),
            ("2026-12-03T04:05:0éZ", 1_796_270_700),
        ] {
            assert_eq!(seconds(text), Some(wanted), "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_texts_never_panic(text in "([0-9]{1,8}|[TtZz:.,+ é/-]|jan|Nov|monday){0,12}") {
            let _ = seconds(&text);
        }

        #[test]
        fn a_time_is_what_the_calendar_says(
            at in -62_000_000_000i64..253_000_000_000, fraction in "(\\.[0-9]{1,12})?",
            hours in -23i64..=23, minutes in 0i64..60,
        ) {
            let east = if hours < 0 { hours * 3600 - minutes * 60 } else { hours * 3600 + minutes * 60 };
            let local = jiff::Timestamp::from_second(at + east).expect("in range");
            let local = jiff::tz::Offset::UTC.to_datetime(local);
            let sign = if hours < 0 { '-' } else { '+' };
            let text = format!("{}{fraction}{sign}{:02}:{minutes:02}", local, hours.abs());
            prop_assert_eq!(seconds(&text), Some(at), "{}", text);
        }
    }
}
