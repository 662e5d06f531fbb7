//! Decodes RDAP responses (RFC 9083) and IANA's list of registries (RFC 9224).

use super::date::seconds;
use crate::json::{Document, JsonError, Value, Values};
use crate::monitor::site::printable::ADDRESS;

/// Maximum number of names that are queried for a host.
const MOST_CANDIDATES: usize = 4;
/// Domains whose owners sell subdomains as a registry does, so that their own expiry is irrelevant. From
/// the private section of the public suffix list; its many names with user accounts below them
/// (`github.io`) offer no registrations.
const RESOLD: &str = "ae.org africa.com br.com cn.com co.com co.nl co.no com.de com.se de.com eu.com gb.net \
    gr.com hu.net in.net it.com jp.net jpn.com mex.com radio.am radio.fm ru.com sa.com \
    se.net uk.com uk.net us.com us.org za.bz za.com za.net";
/// 1985, the first registration. Earlier dates, such as year 1 or 1970, stand for an unset date.
const FIRST: i64 = 473_385_600;

/// What a response says about a domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registration {
    /// The registered name, without the final dot.
    pub name: Option<String>,
    /// Expiry in Unix seconds.
    pub ends: Option<i64>,
    /// The registrar's name; empty if there is none.
    pub registrar: String,
}

/// Decodes the response to a domain query. Fields that are missing or malformed are missing in the
/// result.
pub fn registration(body: &[u8]) -> Result<Registration, JsonError> {
    // A registrar's name in Latin-1 must not make the response unreadable.
    let document = Document::lenient(body)?;
    let domain = document.root().ok_or(JsonError::Malformed)?;
    let name = domain.get("ldhName").and_then(|name| name.text());
    let ends = elements(&domain, "events").find_map(|event| {
        let action = event.get("eventAction")?.text()?;
        // Other events, such as "registrar expiration", have other dates.
        if !action.trim().eq_ignore_ascii_case("expiration") {
            return None;
        }
        seconds(&event.get("eventDate")?.text()?).filter(|ends| *ends >= FIRST)
    });
    let is_registrar = |entity: &Value<'_>| {
        elements(entity, "roles").any(|role| role.text().as_deref() == Some("registrar"))
    };
    let mut registrars = elements(&domain, "entities").filter(is_registrar);
    Ok(Registration {
        name: name.map(|name| name.trim().trim_end_matches('.').to_owned()),
        ends,
        registrar: registrars.find_map(formatted_name).unwrap_or_default(),
    })
}

fn elements<'a>(object: &Value<'a>, name: &str) -> Values<'a> {
    object.get(name).unwrap_or(Value::Null).elements()
}

/// Returns `fn` of a jCard (RFC 7095): `["vcard", [["fn", {}, "text", "Example Inc."], …]]`.
fn formatted_name(entity: Value<'_>) -> Option<String> {
    let properties = entity.get("vcardArray")?.elements().nth(1)?;
    properties.elements().find_map(|property| {
        let mut parts = property.elements();
        if parts.next()?.text()? != "fn" {
            return None;
        }
        parts.nth(2)?.text().filter(|name| !name.is_empty())
    })
}

/// Returns the address of the registry for each of `wanted` (lower case, without dots) from IANA's list,
/// https before http; an empty text where there is none.
pub fn services(list: &[u8], wanted: &[String]) -> Result<Vec<String>, JsonError> {
    let mut found = vec![String::new(); wanted.len()];
    let all = Document::lenient(list)?.root();
    let all = all.and_then(|all| all.get("services"));
    for service in all.ok_or(JsonError::Malformed)?.elements() {
        let mut parts = service.elements();
        let (Some(domains), Some(addresses)) = (parts.next(), parts.next()) else {
            continue;
        };
        for domain in domains.elements().filter_map(|domain| domain.text()) {
            let Some(at) = wanted.iter().position(|w| domain.eq_ignore_ascii_case(w)) else {
                continue;
            };
            let addresses = || {
                let texts = addresses.clone().elements();
                let texts = texts.filter_map(|address| address.text());
                texts.filter(|address| is_address(address))
            };
            let https = addresses().find(|address| address.starts_with("https://"));
            found[at] = https.or_else(|| addresses().next()).unwrap_or_default();
        }
    }
    Ok(found)
}

/// Short enough to be stored, and made of URL characters (RFC 3986, section 2).
fn is_address(text: &str) -> bool {
    text.len() <= ADDRESS && text.bytes().all(|b| b.is_ascii_graphic())
}

/// Returns the names at or above `host` that may be registered, in query order. The longest comes first,
/// as without a public suffix list only the registry knows, and may know both `shop.uk.com` and
/// `uk.com`; but one that begins with `www` comes last, as it is rarely registered. Empty for a
/// single-label name.
pub fn candidates(host: &str) -> Vec<&str> {
    let host = host.trim_end_matches('.');
    let dots = host.rmatch_indices('.').map(|(at, _)| at);
    let starts = dots.skip(1).map(|dot| dot + 1).chain([0]);
    let names = starts.map(|start| &host[start..]);
    let mut names: Vec<&str> = names
        .filter(|name| name.contains('.'))
        .take(MOST_CANDIDATES)
        .collect();
    let is_resold = |resold: &str| names[0].eq_ignore_ascii_case(resold);
    if names.len() > 1 && RESOLD.split(' ').any(is_resold) {
        names.remove(0);
    }
    names.reverse();
    let is_www = |name: &&str| {
        name.get(..4)
            .is_some_and(|start| start.eq_ignore_ascii_case("www."))
    };
    // The sort is stable: the others keep their order.
    names.sort_by_key(is_www);
    names
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
        assert_eq!(registration(b"<html>"), Err(JsonError::Malformed));
        assert_eq!(registration(br#"{"events":["#), Err(JsonError::CutOff));
        assert_eq!(
            registration(br#"{"events":,"a":1}"#),
            Err(JsonError::Malformed)
        );
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
        assert_eq!(services(b"{}", &wanted), Err(JsonError::Malformed));
        let long = format!(
            r#"{{"services":[[["com"],["https://rdap.example/{}"]]]}}"#,
            "x".repeat(900_000)
        );
        let found = services(long.as_bytes(), &["com".to_owned()]);
        assert_eq!(found, Ok(vec![String::new()]));
    }

    #[test]
    fn what_registries_write_instead_of_json_is_read() {
        let answer = |date: &str, name: &[u8]| {
            let start = format!(
                "{{\"ldhName\":\"a.org\",\"events\":[{{\"eventAction\":\"Expiration \",\
                 \"eventDate\":\"{date}\"}}],\"entities\":[{{\"roles\":[\"registrar\"],\
                 \"vcardArray\":[\"vcard\",[[\"fn\",{{}},\"text\",\""
            );
            [start.as_bytes(), name, b"\"]]]}]}\r\n"].concat()
        };
        let ends = Some(1_788_062_400);
        let good = "2026-08-30T04:00:00Z";
        for (body, registrar) in [
            (answer(good, b"Line\nfeed\tInc.\0"), "Line\nfeed\tInc.\0"),
            (
                answer(good, b"R\xe9gistrar \xe9"),
                "R\u{fffd}gistrar \u{fffd}",
            ),
            (answer(good, b"O\\'Brien"), ""),
            (answer(good, b"\\u12"), ""),
            (answer(good, b"Inc.\"],[\"tel\",{},0049,\"\\x"), "Inc."),
            (
                [b"\xef\xbb\xbf", answer(good, b"Inc.").as_slice()].concat(),
                "Inc.",
            ),
            (
                [b"\xef\xbb\xbf\r\n ", answer(good, b"Inc.").as_slice()].concat(),
                "Inc.",
            ),
        ] {
            let found = registration(&body).expect("an answer");
            assert_eq!((found.ends, found.registrar.as_str()), (ends, registrar));
        }
        for unset in [
            "0001-01-01T00:00:00Z",
            "1970-01-01",
            "0000-00-00 00:00:00",
            "",
        ] {
            let found = registration(&answer(unset, b"Inc.")).expect("an answer");
            assert_eq!(found.ends, None, "{unset}");
        }
        let list =
            b"\xef\xbb\xbf{\"services\":[[[\"com\"],[\"https://a/\"]]],\"note\":\"a\nb\xe9\"}";
        let found = services(list, &["com".to_owned()]);
        assert_eq!(found, Ok(vec!["https://a/".to_owned()]));
    }

    #[test]
    fn the_longest_name_is_asked_for_first_and_www_last() {
        assert_eq!(candidates("example.org"), ["example.org"]);
        assert_eq!(
            candidates("www.example.org"),
            ["example.org", "www.example.org"]
        );
        assert_eq!(
            candidates("www.example.co.uk."),
            ["example.co.uk", "co.uk", "www.example.co.uk"]
        );
        assert_eq!(
            candidates("a.b.c.d.e.f"),
            ["b.c.d.e.f", "c.d.e.f", "d.e.f", "e.f"]
        );
        assert_eq!(
            candidates("www.shop.UK.com"),
            ["shop.UK.com", "www.shop.UK.com"]
        );
        assert_eq!(
            candidates("a.shop.co.com"),
            ["a.shop.co.com", "shop.co.com"]
        );
        assert_eq!(candidates("uk.com"), ["uk.com"]);
        assert!(candidates("localhost").is_empty());
        assert!(candidates("").is_empty());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = registration(&bytes);
            let _ = services(&bytes, &["com".to_owned()]);
        }

        #[test]
        fn arbitrary_hosts_never_panic(host in "[a.é-]{0,30}") {
            for name in candidates(&host) {
                prop_assert!(host.trim_end_matches('.').ends_with(name));
            }
        }
    }
}
