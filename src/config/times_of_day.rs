//! Parses times of the day and days of the week. Errors continue the key's name.

use super::value::brief;
use crate::monitor::time::hours::{ALL_DAYS, DAYS, Hours, Window};

/// Parses a time of the day such as `09:00` to minutes since midnight.
pub fn time(text: &str) -> Result<u16, String> {
    minutes(text).filter(|at| *at < 1440).ok_or_else(|| {
        format!(
            "must be a time from 00:00 to 23:59 such as \"09:00\"; `{}` is none",
            brief(text)
        )
    })
}

/// Parses hours such as `22:00-07:00`.
pub fn hours(text: &str) -> Result<Hours, String> {
    read_hours(text).map_err(|what| match what {
        Wrong::Form => format!(
            "must be hours such as \"22:00-07:00\"; `{}` is none",
            brief(text)
        ),
        Wrong::Empty => empty(text),
    })
}

/// Parses windows such as `Sun 02:00-04:00, 12:00-12:30`.
pub fn windows(text: &str) -> Result<Vec<Window>, String> {
    text.split(',').map(|part| window(part.trim())).collect()
}

/// Parses times such as `Mon-Fri 03:00, 12:00` to windows of one minute.
pub fn times(text: &str) -> Result<Vec<Window>, String> {
    text.split(',').map(|part| moment(part.trim())).collect()
}

fn moment(part: &str) -> Result<Window, String> {
    let form = || {
        format!(
            "must be times such as \"03:00\" or \"Mon-Fri 03:00\", with commas between them; `{}` \
             is none",
            brief(part)
        )
    };
    let (days, rest) = match part.split_once(char::is_whitespace) {
        Some((days, rest)) => (days_of(days).ok_or_else(form)?, rest.trim()),
        None => (ALL_DAYS, part),
    };
    let from = minutes(rest).filter(|at| *at < 1440).ok_or_else(form)?;
    let hours = Hours {
        from,
        until: from + 1,
    };
    Ok(Window { days, hours })
}

fn window(part: &str) -> Result<Window, String> {
    let form = || {
        format!(
            "must be windows such as \"Sun 02:00-04:00\", \"Mon-Fri 12:00-13:00\" or \
             \"02:00-04:00\", with commas between them; `{}` is none",
            brief(part)
        )
    };
    let (days, rest) = match part.split_once(char::is_whitespace) {
        Some((days, rest)) => (days_of(days).ok_or_else(form)?, rest.trim()),
        None => (ALL_DAYS, part),
    };
    match read_hours(rest) {
        Ok(hours) => Ok(Window { days, hours }),
        Err(Wrong::Form) => Err(form()),
        Err(Wrong::Empty) => Err(empty(part)),
    }
}

enum Wrong {
    Form,
    Empty,
}

fn empty(text: &str) -> String {
    format!(
        "has `{}`, which begins when it ends; the whole day is 00:00-24:00",
        brief(text)
    )
}

fn read_hours(text: &str) -> Result<Hours, Wrong> {
    let (from, until) = text.split_once('-').ok_or(Wrong::Form)?;
    let from = minutes(from.trim())
        .filter(|at| *at < 1440)
        .ok_or(Wrong::Form)?;
    // Midnight as an end is the end of the day.
    let until = match minutes(until.trim()).ok_or(Wrong::Form)? {
        0 => 1440,
        until => until,
    };
    if from == until {
        return Err(Wrong::Empty);
    }
    Ok(Hours { from, until })
}

/// Parses `9:00` to `24:00` to minutes.
fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str, digits: std::ops::RangeInclusive<usize>| {
        let sound = digits.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        sound.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours, 1..=2)?, number(minutes, 2..=2)?);
    let at = hours * 60 + minutes;
    (minutes < 60 && at <= 1440).then_some(at)
}

/// Parses `Sun`, `Mon-Fri`, `Sat-Mon`.
fn days_of(text: &str) -> Option<u8> {
    let day = |text: &str| DAYS.iter().position(|name| name.eq_ignore_ascii_case(text));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (day(first)?, day(last)?);
    let count = (last + 7 - first) % 7;
    let days = (0..=count).map(|i| 1 << ((first + i) % 7));
    Some(days.fold(0, |all, day: u8| all | day))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::time::hours;
    use proptest::prelude::*;

    #[test]
    fn windows_are_read_as_they_are_written() {
        for (text, written) in [
            ("Sun 02:00-04:00", "Sun 02:00-04:00"),
            ("2:00-4:00", "02:00-04:00"),
            ("22:00-0:00", "22:00-24:00"),
            (
                "sat-MON  23:30 - 1:00,Wed 12:00-12:30",
                "Sat-Mon 23:30-01:00, Wed 12:00-12:30",
            ),
            ("Tue-Mon 00:00-24:00", "00:00-24:00"),
        ] {
            let read = windows(text).unwrap_or_else(|what| panic!("{text}: {what}"));
            assert_eq!(hours::list(&read), written);
            assert_eq!(windows(written), Ok(read));
        }
    }

    #[test]
    fn what_is_no_time_is_shown_with_the_form() {
        for bad in [
            "", "9", "24:00", "09:60", "9:5", "-1:00", "09:00:00", "٩:00",
        ] {
            assert_eq!(
                time(bad),
                Err(format!(
                    "must be a time from 00:00 to 23:59 such as \"09:00\"; `{bad}` is none"
                ))
            );
        }
        assert_eq!(time("9:05"), Ok(545));
        for bad in [
            "22:00",
            "22:00-25:00",
            "24:00-07:00",
            "night",
            "1:00-2:00-3:00",
        ] {
            assert!(
                hours(bad).is_err_and(|what| what.starts_with("must be hours")),
                "{bad}"
            );
        }
        assert_eq!(
            hours("07:00-07:00"),
            Err(
                "has `07:00-07:00`, which begins when it ends; the whole day is 00:00-24:00".into()
            )
        );
        for bad in [
            "",
            "Sun",
            "Funday 02:00-04:00",
            "02:00-04:00,",
            "Sun,Mon 1:00-2:00",
        ] {
            assert!(
                windows(bad).is_err_and(|what| what.starts_with("must be windows")),
                "{bad}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_a_parser(text in any::<String>()) {
            let _ = (time(&text), hours(&text), windows(&text));
        }

        #[test]
        fn every_window_survives_being_written_and_read(
            first in 0usize..7, count in 0usize..7, from in 0u16..1440, until in 1u16..=1440,
        ) {
            prop_assume!(from != until);
            let days = (0..=count).fold(0u8, |all, i| all | 1 << ((first + i) % 7));
            let window = Window { days, hours: Hours { from, until } };
            prop_assert_eq!(windows(&window.to_string()), Ok(vec![window]));
        }
    }
}
