//! Formats durations, times of day and dates, and parses durations.

use crate::monitor::time::Now;
use crate::monitor::time::hours::DAYS;
use std::time::Duration;

/// Formats a duration, rounded to seconds, in its two largest units: `12 s`, `3 min 20 s`,
/// `2 d 4 h`.
pub fn lasting(d: Duration) -> String {
    let s = (d + Duration::from_millis(500)).as_secs();
    let two = |a: u64, unit_a: &str, b: u64, unit_b: &str| {
        if b == 0 {
            format!("{a} {unit_a}")
        } else {
            format!("{a} {unit_a} {b} {unit_b}")
        }
    };
    match s {
        0..60 => format!("{s} s"),
        60..3600 => two(s / 60, "min", s % 60, "s"),
        3600..86_400 => two(s / 3600, "h", s % 3600 / 60, "min"),
        _ => two(s / 86_400, "d", s % 86_400 / 3600, "h"),
    }
}

/// Formats a remaining duration, rounded up to minutes: one second later, `1 h` is still `1 h` and
/// not `59 min 59 s`.
pub fn left(d: Duration) -> String {
    let minutes = d.as_secs().div_ceil(60);
    lasting(match minutes {
        ..=1 => d,
        _ => Duration::from_secs(minutes * 60),
    })
}

/// Formats a response time: `42 ms`, `1.28 s`.
pub fn response(d: Duration) -> String {
    if !d.is_zero() && d < Duration::from_millis(1) {
        // Hosts on the local network answer a ping in less than 1 ms.
        format!("{:.1} ms", (d.as_secs_f64() * 1000.0).max(0.1))
    } else if d < Duration::from_secs(1) {
        format!("{} ms", d.as_millis())
    } else {
        format!("{:.2} s", d.as_secs_f64())
    }
}

/// Formats the run time of a job: `1.28 s`, `4 min 20 s`.
pub fn run_time(d: Duration) -> String {
    match d.as_secs() {
        ..60 => response(d),
        _ => lasting(d),
    }
}

/// Prefix of [`too_slow`], which no other cause has.
pub const SLOW: &str = "slow: ";

/// Returns the cause of a site that is degraded because its answer took longer than `slow`.
pub fn too_slow(took: Duration, limit: Duration) -> String {
    format!("{SLOW}{}, limit {}", response(took), response(limit))
}

/// Formats two times as `14:03`, local time, both with the date if their days differ.
pub fn clock_times(from: i64, until: i64, now: Now) -> (String, String) {
    let local = |wall: i64| {
        let local = now.zone.local(wall);
        (local.div_euclid(86_400), local.rem_euclid(86_400) / 60)
    };
    let time = |minutes: i64| format!("{:02}:{:02}", minutes / 60, minutes % 60);
    let ((from_day, from), (until_day, until)) = (local(from), local(until));
    if from_day == until_day {
        (time(from), time(until))
    } else {
        let dated = |day, minutes| format!("{} {}", date(day), time(minutes));
        (dated(from_day, from), dated(until_day, until))
    }
}

/// Formats a past local time as `14:03`; if not of today, with its day: `Tue 14:03`,
/// `24 Nov 14:03`, `24 Nov 2025 14:03`.
pub fn past_time(wall: i64, now: Now) -> String {
    let (day, today) = (now.zone.day(wall), now.zone.day(now.wall));
    let minutes = now.zone.local(wall).rem_euclid(86_400) / 60;
    let time = format!("{:02}:{:02}", minutes / 60, minutes % 60);
    match today.saturating_sub(day) {
        ..=0 => time,
        // 1970 began on a Thursday.
        1..=6 => format!("{} {time}", DAYS[((day + 3).rem_euclid(7)) as usize]),
        7..=300 => format!("{} {time}", date(day)),
        _ => format!("{} {time}", day_of(wall, now)),
    }
}

/// Formats a past local time as `03:04`, `yesterday 03:04`, or else as [`past_time`] does.
pub fn recent_time(wall: i64, now: Now) -> String {
    let time = past_time(wall, now);
    match now.zone.day(now.wall) - now.zone.day(wall) {
        1 => format!("yesterday {}", &time[time.len().saturating_sub(5)..]),
        _ => time,
    }
}

/// Formats a past period: `14:03–14:18`, `Tue 14:03–14:18`, `Tue 23:50–today 00:10`. Days are those
/// of [`past_time`]; that of the end is shown only if it differs.
pub fn past_times(from: i64, until: i64, now: Now) -> String {
    let start = past_time(from, now);
    let end = past_time(until, now);
    match end.rsplit_once(' ') {
        Some((_, time)) if now.zone.day(from) == now.zone.day(until) => format!("{start}–{time}"),
        None if start.contains(' ') => format!("{start}–today {end}"),
        _ => format!("{start}–{end}"),
    }
}

/// Formats the local day of a time in Unix seconds: `24 Nov 2026`.
pub fn day_of(wall: i64, now: Now) -> String {
    let day = now.zone.day(wall);
    // Limits to the years 1 to 9999: certificates may claim to end far in the future.
    let day = day.clamp(-719_162, 2_932_896);
    let (year, date) = year_and_date(day);
    format!("{date} {year}")
}

/// Formats a day counted from 1970-01-01: `24 Nov`.
pub fn date(day: i64) -> String {
    year_and_date(day).1
}

/// Returns the year, and day and month as text, of a day counted from 1970-01-01 (Hinnant,
/// "chrono-compatible low-level date algorithms"): years begin in March, and eras of 400 years have
/// 146,097 days.
fn year_and_date(day: i64) -> (i64, String) {
    const MONTHS: [&str; 12] = [
        "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb",
    ];
    let shifted = day + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let name = MONTHS[usize::try_from(month).unwrap_or(0) % 12];
    let year = 400 * era + year + i64::from(month >= 10);
    (year, format!("{day} {name}"))
}

/// Parses `30m`, `1h30m`, `2d` as a duration from 1 s to 366 days; `None` for anything else.
pub fn parse_span(text: &str) -> Option<Duration> {
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let n: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = match rest.chars().next()? {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return None,
        };
        rest = &rest[1..];
        total = total.checked_add(n.checked_mul(unit)?)?;
    }
    (1..=366 * 86_400)
        .contains(&total)
        .then(|| Duration::from_secs(total))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_show_their_two_largest_units() {
        let show = |s| lasting(Duration::from_secs(s));
        assert_eq!(lasting(Duration::from_millis(850)), "1 s");
        assert_eq!(show(12), "12 s");
        assert_eq!(show(200), "3 min 20 s");
        assert_eq!(show(3600), "1 h");
        assert_eq!(show(7_500), "2 h 5 min");
        assert_eq!(show(187_200), "2 d 4 h");
    }

    #[test]
    fn what_is_left_is_rounded_up() {
        let show = |s| left(Duration::from_secs(s));
        assert_eq!(show(45), "45 s");
        assert_eq!(show(61), "2 min");
        assert_eq!(show(3599), "1 h");
        assert_eq!(show(86_399), "1 d");
        assert_eq!(show(5 * 86_400 - 5), "5 d");
        assert_eq!(show(13 * 86_400), "13 d");
        assert_eq!(show(26 * 3600), "1 d 2 h");
    }

    #[test]
    fn times_of_one_day_need_no_date() {
        let now = Now {
            uptime: Duration::ZERO,
            wall: 0,
            zone: crate::monitor::time::zone::Zone::fixed(3600),
        };
        // 2026-11-24 22:03 and 22:20 UTC, 2027-01-01 00:00 UTC, 2028-02-29 12:00 UTC.
        let (from, until) = (1_795_557_780, 1_795_558_800);
        let utc = Now {
            zone: crate::monitor::time::zone::Zone::UTC,
            ..now
        };
        assert_eq!(
            clock_times(from, until, utc),
            ("22:03".into(), "22:20".into())
        );
        assert_eq!(
            clock_times(from, until + 3600, now),
            ("24 Nov 23:03".into(), "25 Nov 00:20".into())
        );
        assert_eq!(
            clock_times(1_798_761_600, 1_835_438_400, utc),
            ("1 Jan 00:00".into(), "29 Feb 12:00".into())
        );
        assert_eq!(day_of(1_835_438_400, utc), "29 Feb 2028");
        assert_eq!(day_of(-1, utc), "31 Dec 1969");
        assert_eq!(day_of(i64::MAX / 4, utc), "31 Dec 9999");
        assert_eq!(day_of(1_798_675_200, utc), "31 Dec 2026");
        assert_eq!(day_of(1_798_761_600, utc), "1 Jan 2027");
        assert_eq!(day_of(i64::MIN / 4, utc), "1 Jan 1");
    }

    #[test]
    fn what_is_past_has_its_day_where_that_is_not_today() {
        // 2026-11-24 22:03 UTC, a Tuesday.
        let utc = Now::utc(Duration::ZERO, 1_795_557_780);
        let (minute, day) = (60, 86_400);
        let times = |from: i64, until: i64| past_times(utc.wall - from, utc.wall - until, utc);
        assert_eq!(times(20 * minute, 5 * minute), "21:43–21:58");
        assert_eq!(times(day + 20 * minute, day), "Mon 21:43–22:03");
        assert_eq!(times(6 * day, 5 * day), "Wed 22:03–Thu 22:03");
        assert_eq!(times(day, 0), "Mon 22:03–today 22:03");
        assert_eq!(times(7 * day, 7 * day), "17 Nov 22:03–22:03");
        assert_eq!(times(400 * day, 20 * day), "20 Oct 2025 22:03–4 Nov 22:03");
        assert_eq!(past_time(utc.wall + day, utc), "22:03", "a clock set back");
        let zone = crate::monitor::time::zone::Zone::fixed(2 * 3600);
        let ahead = Now { zone, ..utc };
        assert_eq!(
            past_times(utc.wall - 3600, utc.wall, ahead),
            "Tue 23:03–today 00:03"
        );
    }

    #[test]
    fn response_times_are_milliseconds_under_a_second() {
        assert_eq!(response(Duration::from_millis(42)), "42 ms");
        assert_eq!(response(Duration::from_micros(420)), "0.4 ms");
        assert_eq!(response(Duration::from_nanos(10)), "0.1 ms");
        assert_eq!(response(Duration::ZERO), "0 ms");
        assert_eq!(response(Duration::from_millis(1280)), "1.28 s");
    }

    #[test]
    fn spans_of_a_command_are_read_strictly() {
        assert_eq!(parse_span("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(parse_span("2d"), Some(Duration::from_secs(172_800)));
        for bad in [
            "",
            "h",
            "5",
            "5x",
            "0m",
            "9999d",
            "1h-",
            "99999999999999999999d",
            "1ü",
        ] {
            assert_eq!(parse_span(bad), None, "{bad}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn spans_never_panic(text in ".{0,20}") {
            let _ = parse_span(&text);
        }
    }
}
