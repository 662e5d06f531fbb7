//! Parses the date of a cookie's `Expires` (RFC 6265, section 5.1.1), which servers write in many ways.

use super::wire::date::{midnight, month};

/// Returns Unix seconds, negative before 1970; `None` if the text is no date.
pub fn parse(text: &str) -> Option<i64> {
    let is_delimiter =
        |byte: u8| matches!(byte, 0x09 | 0x20..=0x2f | 0x3b..=0x40 | 0x5b..=0x60 | 0x7b..=0x7e);
    let tokens = text.as_bytes().split(|&byte| is_delimiter(byte));
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    for token in tokens.filter(|token| !token.is_empty()) {
        // A token is the first of these that it matches and that is still missing.
        if time.is_none() && clock(token).is_some() {
            time = clock(token);
        } else if day.is_none() && number(token, 1, 2).is_some() {
            day = number(token, 1, 2);
        } else if month.is_none() && month_of(token).is_some() {
            month = month_of(token);
        } else if year.is_none() {
            year = number(token, 2, 4);
        }
    }
    let year = match year? {
        year @ 70..=99 => year + 1900,
        year @ 0..=69 => year + 2000,
        year => year,
    };
    let (time, day, month) = (time?, day?, month?);
    Some(midnight([year, month, day]).filter(|_| year >= 1601)? + time)
}

/// `hh:mm:ss`, followed by the end or a non-digit.
fn clock(token: &[u8]) -> Option<i64> {
    let mut fields = token.splitn(3, |&byte| byte == b':');
    let (hour, minute) = (whole(fields.next()?)?, whole(fields.next()?)?);
    let second = number(fields.next()?, 1, 2)?;
    (hour <= 23 && minute <= 59 && second <= 59).then_some((hour * 60 + minute) * 60 + second)
}

/// One or two digits, and nothing else.
fn whole(token: &[u8]) -> Option<i64> {
    number(token, 1, 2).filter(|_| token.iter().all(u8::is_ascii_digit))
}

/// `least` to `most` digits, followed by the end or a non-digit.
fn number(token: &[u8], least: usize, most: usize) -> Option<i64> {
    let digits = token
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let text = token
        .get(..digits)
        .filter(|_| (least..=most).contains(&digits))?;
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Recognises a month by its first three letters.
fn month_of(token: &[u8]) -> Option<i64> {
    month(
        &std::str::from_utf8(token.get(..3)?)
            .ok()?
            .to_ascii_lowercase(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_are_read_in_every_way_they_are_written() {
        for (text, wanted) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Thu, 01-Jan-1970 00:00:01 GMT", Some(1)),
            ("Thursday, 01-Jan-70 00:00:10 GMT", Some(10)),
            ("Thu Jan  1 00:00:10 1970", Some(10)),
            ("Tue, 19 Jan 2038 03:14:08 GMT", Some(1 << 31)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("06 november 94 8:49:37", Some(784_111_777)),
            ("Thu, 29 Feb 2024 23:59:59 GMT", Some(1_709_251_199)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(253_402_300_799)),
            ("Mon, 01 Jan 1601 00:00:00 GMT", Some(-11_644_473_600)),
            ("Mon, 01 Jan 1600 00:00:00 GMT", None),
            ("0", None),
            ("-1", None),
            ("", None),
            ("Thu, 01 Jan 1970", None),
            ("Thu, 32 Jan 1970 00:00:00 GMT", None),
            ("Mon, 30 Feb 1970 00:00:00 GMT", None),
            ("Thu, 01 Jan 1970 24:00:00 GMT", None),
            ("Thu, 01 Jam 1970 00:00:00 GMT", None),
        ] {
            assert_eq!(parse(text), wanted, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_day_is_one_more_than_the_day_before(day in -134_774..2_932_896_i64) {
            let unix = jiff::Timestamp::from_second(day * 86_400 + 3661).expect("in range");
            let date = jiff::tz::Offset::UTC.to_datetime(unix).date();
            let text = date.strftime("%a, %d %b %Y 01:01:01 GMT").to_string();
            prop_assert_eq!(parse(&text), Some(unix.as_second()), "{}", text);
        }

        #[test]
        fn no_text_panics(text in "([ -~]|Jan|dec|:|[0-9]{1,4}| ){0,20}") {
            let _ = parse(&text);
        }
    }
}
