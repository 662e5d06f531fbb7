//! Reads DER (X.690) as far as certificates need it, iteratively.

use super::date::midnight;

/// Universal tags (X.680 section 8.4), including the bit of constructed types.
pub const INTEGER: u8 = 0x02;
pub const BIT_STRING: u8 = 0x03;
pub const OCTET_STRING: u8 = 0x04;
pub const OID: u8 = 0x06;
pub const UTC_TIME: u8 = 0x17;
pub const GENERALIZED_TIME: u8 = 0x18;
pub const SEQUENCE: u8 = 0x30;
pub const SET: u8 = 0x31;

/// One element: type, length and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    pub tag: u8,
    pub body: &'a [u8],
}

/// A sequence of elements. Ends before the first that cannot be read: a tag of several bytes, an
/// indefinite length, or a length beyond the end.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    rest: &'a [u8],
}

impl<'a> Elements<'a> {
    pub fn of(bytes: &'a [u8]) -> Elements<'a> {
        Elements { rest: bytes }
    }

    /// Reads the next element, which must have `tag`, and returns its content.
    pub fn body(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next()
            .filter(|element| element.tag == tag)
            .map(|element| element.body)
    }

    /// Reads the next element, which must have `tag`, and returns its elements.
    pub fn inside(&mut self, tag: u8) -> Option<Elements<'a>> {
        self.body(tag).map(Elements::of)
    }

    /// Reads the next element, which must have `tag`, and returns it with type and length.
    pub fn whole(&mut self, tag: u8) -> Option<&'a [u8]> {
        let before = self.rest;
        self.body(tag)?;
        before.get(..before.len() - self.rest.len())
    }

    /// Skips the next element if it has `tag`.
    pub fn optional(&mut self, tag: u8) {
        if self.rest.first() == Some(&tag) {
            self.next();
        }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let (&tag, rest) = self.rest.split_first()?;
        let (length, rest) = length(rest)?;
        let (body, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        (tag & 0x1f != 0x1f).then_some(Element { tag, body })
    }
}

/// Parses a length of one byte, or of up to three (X.690 section 8.1.3), and returns the rest as well.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    match first {
        0..=0x7f => Some((first.into(), rest)),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked((first & 0x7f).into())?;
            let length = digits.iter().fold(0, |sum, &b| sum << 8 | usize::from(b));
            Some((length, rest))
        }
        _ => None,
    }
}

/// Parses a time in the format of RFC 5280 section 4.1.2.5, with seconds and in UTC, to Unix seconds.
pub fn time(element: Element<'_>) -> Option<i64> {
    let (century, digits) = match element.tag {
        UTC_TIME => (None, element.body),
        GENERALIZED_TIME => {
            let (century, rest) = element.body.split_at_checked(2)?;
            (Some(number(century)?), rest)
        }
        _ => return None,
    };
    let digits = digits.strip_suffix(b"Z").filter(|d| d.len() == 12)?;
    let mut parts = digits.chunks_exact(2).map(number);
    let mut part = || parts.next().flatten();
    let year = part()?;
    let year = match century {
        Some(century) => century * 100 + year,
        None if year < 50 => 2000 + year,
        None => 1900 + year,
    };
    let (month, day) = (part()?, part()?);
    let (hour, minute, second) = (part()?, part()?, part()?);
    let is_time = hour < 24 && minute < 60 && second < 60;
    let midnight = midnight([year, month, day]).filter(|_| is_time)?;
    Some(midnight + hour * 3600 + minute * 60 + second)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        Some(sum * 10 + digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(tag: u8, text: &str) -> Option<i64> {
        let body = text.as_bytes();
        time(Element { tag, body })
    }

    #[test]
    fn times_are_read_to_the_second_and_centuries_as_rfc_5280_wants() {
        for (tag, text, wanted) in [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (UTC_TIME, "500101000000Z", Some(-631_152_000)),
            (UTC_TIME, "240229120000Z", Some(1_709_208_000)),
            (UTC_TIME, "230229120000Z", None),
            (GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000)),
            (GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799)),
            (GENERALIZED_TIME, "00000101000000Z", Some(-62_167_219_200)),
            (GENERALIZED_TIME, "19000228000000Z", Some(-2_203_977_600)),
            (GENERALIZED_TIME, "19000229000000Z", None),
            (GENERALIZED_TIME, "20000229000000Z", Some(951_782_400)),
            // Without seconds, with another zone, out of range, not a number, not a time.
            (UTC_TIME, "7001010000Z", None),
            (UTC_TIME, "700101000000+0100", None),
            (UTC_TIME, "701301000000Z", None),
            (UTC_TIME, "700100000000Z", None),
            (UTC_TIME, "700101240000Z", None),
            (UTC_TIME, "700101006000Z", None),
            (UTC_TIME, "700101000060Z", None),
            (UTC_TIME, "7001010000-1Z", None),
            (GENERALIZED_TIME, "2", None),
            (OCTET_STRING, "700101000000Z", None),
        ] {
            assert_eq!(at(tag, text), wanted, "{text}");
        }
    }

    #[test]
    fn elements_end_where_they_cannot_be_read() {
        let read = |bytes: &[u8]| {
            Elements::of(bytes)
                .map(|e| e.body.len())
                .collect::<Vec<_>>()
        };
        assert_eq!(read(&[2, 1, 0, 4, 0]), [1, 0]);
        assert_eq!(read(&[2, 0x81, 1, 0, 4, 0x82, 0, 0]), [1, 0]);
        assert_eq!(read(&[2, 1, 0, 4, 2, 0]), [1], "too long");
        assert_eq!(read(&[0x30, 0x80, 0, 0]), Vec::<usize>::new(), "indefinite");
        assert_eq!(read(&[0x1f, 1, 0]), Vec::<usize>::new(), "a long tag");
        assert_eq!(
            read(&[2, 0x84, 0, 0, 0, 0]),
            Vec::<usize>::new(),
            "a long length"
        );
        assert_eq!(read(&[2, 0x83, 0xff, 0xff, 0xff, 0]), Vec::<usize>::new());
    }
}
