//! Zones of link-local addresses (RFC 6874), which name an interface.

use std::borrow::Cow;
use std::net::Ipv6Addr;

/// Parses `[fe80::1%25eth0]`, or a bare `%` as curl and ping accept it, to the address and the zone.
pub fn zoned(host: &str) -> Option<(Ipv6Addr, &str)> {
    let inside = host.strip_prefix('[')?.strip_suffix(']')?;
    let (address, zone) = inside.split_once('%')?;
    let address: Ipv6Addr = address.parse().ok()?;
    let behind = zone.strip_prefix("25").filter(|zone| !zone.is_empty());
    let zone = behind.unwrap_or(zone);
    (address.is_unicast_link_local() && is_zone(zone)).then_some((address, zone))
}

/// Name or index of an interface. Names have at most 15 bytes on Linux.
fn is_zone(zone: &str) -> bool {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    (1..=15).contains(&zone.len()) && zone.bytes().all(unreserved)
}

/// Splits off the zone, which the URL standard does not support.
pub fn without(url: &str) -> Result<(Cow<'_, str>, Option<String>), String> {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find(['/', '?', '#', '\\']);
    let end = end.map_or(url.len(), |end| start + end);
    let start = url[start..end]
        .rfind('@')
        .map_or(start, |at| start + at + 1);
    let end = url[start..end].find(']').map_or(end, |at| start + at + 1);
    let host = &url[start..end];
    if !host.starts_with('[') || !host.contains('%') {
        return Ok((url.into(), None));
    }
    match zoned(host) {
        Some((address, zone)) => {
            let plain = format!("{}[{address}]{}", &url[..start], &url[end..]);
            Ok((plain.into(), Some(zone.to_owned())))
        }
        None => Err(
            "has a zone that is none; a link-local address may have one, as in \
                     http://[fe80::1%25eth0]/"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::address::{self, Address};

    #[test]
    fn the_zone_of_an_address_moves_out_of_the_url() {
        for (written, plain, zone) in [
            (
                "http://[fe80::1%25eth0]:8080/a?b#c",
                "http://[fe80::1]:8080/a?b",
                "eth0",
            ),
            (
                "https://u:p%25@[FE80::0:1%br-lan.2]",
                "https://[fe80::1]/",
                "br-lan.2",
            ),
            (
                "http://[fe80::1%2525]/%25eth0",
                "http://[fe80::1]/%25eth0",
                "25",
            ),
        ] {
            match address::site(written, written) {
                Ok(Address::Http {
                    url, zone: found, ..
                }) => {
                    assert_eq!((url.as_str(), found.as_deref()), (plain, Some(zone)));
                }
                _ => panic!("{written} is refused"),
            }
        }
        for written in [
            "http://[2001:db8::1%25eth0]/",
            "http://[fe80::1%25]extra/",
            "http://[fe80::1%25a/b]/",
            "http://[fe80::1%25a%20b]/",
            "http://fe80::1%25eth0/",
        ] {
            assert!(address::site(written, written).is_err(), "{written}");
        }
    }
}
