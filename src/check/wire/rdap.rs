//! What registries say of domains: RDAP's answers (RFC 9083), IANA's list of the registries
//! (RFC 9224) and their times (RFC 3339).

use crate::json::{Flaw, View};
use crate::monitor::printable::ADDRESS;

/// More labels than this aren't put before a public suffix.
const MOST_CANDIDATES: usize = 4;

/// What an answer tells of a domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registration {
    /// The name that it is about, without the dot at the end.
    pub name: Option<String>,
    /// Unix seconds.
    pub ends: Option<i64>,
    /// The registrar's name; empty when there is none.
    pub registrar: String,
}

/// Reads the answer to a question for a domain. What it doesn't say, or not in RDAP's words, is
/// missing in the result.
pub fn registration(body: &[u8]) -> Result<Registration, Flaw> {
    let domain = View::new(body)?;
    let name = domain.get("ldhName").and_then(View::text);
    let ends = elements(domain, "events").find_map(|event| {
        let action = event.get("eventAction")?.text()?;
        // Not the registrar's own term ("registrar expiration").
        if !action.eq_ignore_ascii_case("expiration") {
            return None;
        }
        seconds(&event.get("eventDate")?.text()?)
    });
    let is_registrar = |entity: &View<'_>| {
        elements(*entity, "roles").any(|role| role.text().as_deref() == Some("registrar"))
    };
    let registrar = elements(domain, "entities")
        .filter(is_registrar)
        .find_map(formatted_name);
    Ok(Registration {
        name: name.map(|name| name.trim_end_matches('.').to_owned()),
        ends,
        registrar: registrar.unwrap_or_default(),
    })
}

fn elements<'a>(object: View<'a>, name: &str) -> impl Iterator<Item = View<'a>> {
    object.get(name).into_iter().flat_map(View::elements)
}

/// `fn` of a jCard (RFC 7095): `["vcard", [["fn", {}, "text", "Example Inc."], …]]`.
fn formatted_name(entity: View<'_>) -> Option<String> {
    let properties = entity.get("vcardArray")?.elements().nth(1)?;
    properties.elements().find_map(|property| {
        let mut parts = property.elements();
        if parts.next()?.text()? != "fn" {
            return None;
        }
        parts.nth(2)?.text().filter(|name| !name.is_empty())
    })
}

/// Of IANA's list: for each of `wanted` (without the dot, lower case) the address of its registry,
/// https before http; empty where the list has none.
pub fn services(list: &[u8], wanted: &[String]) -> Result<Vec<String>, Flaw> {
    let mut found = vec![String::new(); wanted.len()];
    let all = View::new(list)?.get("services").ok_or(Flaw::Malformed)?;
    for service in all.elements() {
        let mut parts = service.elements();
        let (Some(domains), Some(addresses)) = (parts.next(), parts.next()) else {
            continue;
        };
        for domain in domains.elements().filter_map(View::text) {
            let Some(at) = wanted.iter().position(|w| domain.eq_ignore_ascii_case(w)) else {
                continue;
            };
            let addresses = || {
                let texts = addresses.elements().filter_map(View::text);
                texts.filter(|address| is_address(address))
            };
            let https = addresses().find(|address| address.starts_with("https://"));
            found[at] = https.or_else(|| addresses().next()).unwrap_or_default();
        }
    }
    Ok(found)
}

/// Short enough to be kept, and of characters that a URL is made of (RFC 3986, section 2).
fn is_address(text: &str) -> bool {
    text.len() <= ADDRESS && text.bytes().all(|b| b.is_ascii_graphic())
}

/// The names that may be the registered one above `host`, the shortest first. Without a list of
/// public suffixes it is the registry that knows: it has no registration of `co.uk`, and so the
/// next is asked for. None for a name of one label, which nobody registers.
pub fn candidates(host: &str) -> Vec<&str> {
    let host = host.trim_end_matches('.');
    let dots = host.rmatch_indices('.').map(|(at, _)| at);
    let starts = dots.skip(1).map(|dot| dot + 1).chain([0]);
    let names = starts.map(|start| &host[start..]);
    names
        .filter(|name| name.contains('.'))
        .take(MOST_CANDIDATES)
        .collect()
}

/// Unix seconds of `2026-11-25T03:27:25.5+01:00` (RFC 3339, section 5.6); fractions are cut off.
pub fn seconds(text: &str) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let (time, rest) = rest.strip_prefix(['T', 't', ' '])?.split_at_checked(8)?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let offset = match rest.strip_prefix('.') {
        None => rest,
        Some(fraction) => {
            let offset = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            if offset.len() == fraction.len() {
                return None;
            }
            offset
        }
    };
    let east = match offset.strip_prefix(['+', '-']) {
        None if offset.eq_ignore_ascii_case("z") => 0,
        None => return None,
        Some(amount) => {
            let [hours, minutes] = numbers(amount, ':', [2, 2])?;
            if hours > 23 || minutes > 59 {
                return None;
            }
            let east = hours * 3600 + minutes * 60;
            if offset.starts_with('-') { -east } else { east }
        }
    };
    // A leap second counts as the one after it, as POSIX has it.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(days(year, month, day)? * 86_400 + hour * 3600 + minute * 60 + second - east)
}

/// Numbers of exactly `lengths` digits.
fn numbers<const N: usize>(text: &str, between: char, lengths: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(between);
    let mut numbers = [0; N];
    for (number, length) in numbers.iter_mut().zip(lengths) {
        let part = parts.next()?;
        if part.len() != length || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    const BEFORE: [i64; 13] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365];
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let at = usize::try_from(month - 1).ok().filter(|&at| at < 12)?;
    let long = BEFORE[at + 1] - BEFORE[at] + i64::from(leap && month == 2);
    if !(1..=long).contains(&day) {
        return None;
    }
    // Leap days of the years before this one; year 0 is one of them.
    let past = |length: i64| (year + length - 1) / length;
    let leap_days = past(4) - past(100) + past(400);
    let today = BEFORE[at] + i64::from(leap && month > 2) + day - 1;
    Some(year * 365 + leap_days + today - 719_528)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_answer_is_read() {
        let body = br#"{"objectClassName":"domain","ldhName":"EXAMPLE.ORG.",
            "events":[
                {"eventAction":"registration","eventDate":"1995-08-31T04:00:00Z"},
                {"eventAction":"registrar expiration","eventDate":"2030-01-01T00:00:00Z"},
                {"eventAction":"expiration","eventDate":"2026-08-30T04:00:00Z"}],
            "entities":[
                {"roles":["abuse"],"vcardArray":["vcard",[["fn",{},"text","Nobody"]]]},
                {"roles":["sponsor","registrar"],"events":[{"eventAction":"expiration","eventDate":"2000-01-01T00:00:00Z"}],
                 "vcardArray":["vcard",[["version",{},"text","4.0"],["fn",{},"text","R\u00e9gistrar, Inc."]]]}]}"#;
        assert_eq!(
            registration(body),
            Ok(Registration {
                name: Some("EXAMPLE.ORG".to_owned()),
                ends: Some(1_788_062_400),
                registrar: "Régistrar, Inc.".to_owned(),
            })
        );
    }

    #[test]
    fn what_an_answer_lacks_is_missing_and_no_error() {
        for body in [
            "{}",
            "[]",
            "null",
            r#"{"events":[]}"#,
            r#"{"events":{"eventAction":"expiration"},"entities":7}"#,
            r#"{"events":[{"eventAction":"expiration"},{"eventDate":1},null]}"#,
            r#"{"events":[{"eventAction":"expiration","eventDate":"never"}]}"#,
            r#"{"entities":[{"roles":["registrar"],"vcardArray":["vcard"]}]}"#,
            r#"{"entities":[{"events":[{"eventAction":"expiration","eventDate":"2026-08-30T04:00:00Z"}]}]}"#,
        ] {
            assert_eq!(
                registration(body.as_bytes()),
                Ok(Registration::default()),
                "{body}"
            );
        }
        assert_eq!(registration(b"<html>"), Err(Flaw::Malformed));
        assert_eq!(registration(br#"{"events":["#), Err(Flaw::CutOff));
        assert_eq!(registration(br#"{"events":,"a":1}"#), Err(Flaw::Malformed));
    }

    #[test]
    fn registries_are_found_in_the_list() {
        let list = br#"{"version":"1.0","services":[
            [["com","NET"],["https://rdap.example/com/v1/"]],
            [["kg"],["http://rdap.kg/"]],
            [["both"],["http://rdap.both/","https://rdap.both/"]],
            [["forged"],["https://rdap.forged/\u001b[2J\n"]],
            [["odd"]], 7]}"#;
        let wanted = ["net", "both", "kg", "de", "odd", "forged"].map(str::to_owned);
        let found = services(list, &wanted).expect("a list");
        assert_eq!(
            found,
            [
                "https://rdap.example/com/v1/",
                "https://rdap.both/",
                "http://rdap.kg/",
                "",
                "",
                ""
            ]
        );
        assert_eq!(services(b"{}", &wanted), Err(Flaw::Malformed));
        let long = format!(
            r#"{{"services":[[["com"],["https://rdap.example/{}"]]]}}"#,
            "x".repeat(900_000)
        );
        let found = services(long.as_bytes(), &["com".to_owned()]);
        assert_eq!(found, Ok(vec![String::new()]));
    }

    #[test]
    fn names_are_asked_for_from_two_labels_upward() {
        assert_eq!(candidates("example.org"), ["example.org"]);
        assert_eq!(
            candidates("www.example.co.uk."),
            ["co.uk", "example.co.uk", "www.example.co.uk"]
        );
        assert_eq!(
            candidates("a.b.c.d.e.f"),
            ["e.f", "d.e.f", "c.d.e.f", "b.c.d.e.f"]
        );
        assert!(candidates("localhost").is_empty());
        assert!(candidates("").is_empty());
    }

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
            "2026-02-28",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+0100",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00ZZ",
            "+026-01-01T00:00:00Z",
            "2026-01-01T00:00:0éZ",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = registration(&bytes);
            let _ = services(&bytes, &["com".to_owned()]);
        }

        #[test]
        fn arbitrary_texts_never_panic(text in "[0-9TtZz:.+ é-]{0,40}", host in "[a.é-]{0,30}") {
            let _ = seconds(&text);
            for name in candidates(&host) {
                prop_assert!(host.trim_end_matches('.').ends_with(name));
            }
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
