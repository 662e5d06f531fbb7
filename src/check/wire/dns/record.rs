//! What is in a record (RFC 1035 section 3.3, RFC 3596, RFC 2782, RFC 8659), how a person reads it
//! and whether it is what was expected.

use super::name::{Name, unescape};
use super::{Malformed, number};
use crate::monitor::site::RecordKind;
use std::fmt;
use std::net::IpAddr;
use url::Host;

/// The data of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// A and AAAA.
    Address(IpAddr),
    /// CNAME, NS and PTR.
    Host(Name),
    Mx {
        preference: u16,
        host: Name,
    },
    /// Its strings joined.
    Txt(Vec<u8>),
    Soa {
        ns: Name,
        hostmaster: Name,
        /// Serial, refresh, retry, expire, minimum.
        numbers: [u32; 5],
    },
    Caa {
        flags: u8,
        tag: Vec<u8>,
        value: Vec<u8>,
    },
    Srv {
        priority: u16,
        weight: u16,
        port: u16,
        host: Name,
    },
}

impl Data {
    /// Reads `message[at..end]`, the data of a record of `kind`, to its end.
    pub(super) fn read(
        message: &[u8],
        at: usize,
        end: usize,
        kind: RecordKind,
    ) -> Result<Data, Malformed> {
        let bytes = message.get(at..end).ok_or(Malformed)?;
        let (data, read) = match kind {
            RecordKind::A => {
                let octets: [u8; 4] = bytes.try_into().map_err(|_| Malformed)?;
                (Data::Address(octets.into()), end)
            }
            RecordKind::Aaaa => {
                let octets: [u8; 16] = bytes.try_into().map_err(|_| Malformed)?;
                (Data::Address(octets.into()), end)
            }
            RecordKind::Cname | RecordKind::Ns | RecordKind::Ptr => {
                let (host, read) = Name::read(message, at)?;
                (Data::Host(host), read)
            }
            RecordKind::Mx => {
                let (host, read) = Name::read(message, at + 2)?;
                let preference = number(message, at)?;
                (Data::Mx { preference, host }, read)
            }
            RecordKind::Txt => (Data::Txt(strings(bytes)?), end),
            RecordKind::Soa => {
                let (ns, read) = Name::read(message, at)?;
                let (hostmaster, read) = Name::read(message, read)?;
                let bytes = message
                    .get(read..)
                    .and_then(|rest| rest.first_chunk::<20>());
                let (numbers, _) = bytes.ok_or(Malformed)?.as_chunks();
                let mut all = numbers.iter().map(|number| u32::from_be_bytes(*number));
                let data = Data::Soa {
                    ns,
                    hostmaster,
                    numbers: std::array::from_fn(|_| all.next().unwrap_or_default()),
                };
                (data, read + 20)
            }
            RecordKind::Caa => {
                let (&flags, rest) = bytes.split_first().ok_or(Malformed)?;
                let (&length, rest) = rest.split_first().ok_or(Malformed)?;
                let (tag, value) = rest.split_at_checked(length.into()).ok_or(Malformed)?;
                let (tag, value) = (tag.to_vec(), value.to_vec());
                (Data::Caa { flags, tag, value }, end)
            }
            RecordKind::Srv => {
                let (host, read) = Name::read(message, at + 6)?;
                let data = Data::Srv {
                    priority: number(message, at)?,
                    weight: number(message, at + 2)?,
                    port: number(message, at + 4)?,
                    host,
                };
                (data, read)
            }
        };
        if read == end {
            Ok(data)
        } else {
            Err(Malformed)
        }
    }

    /// It is what `expected` says, which is what `dig` shows of the record, or less: an address; a
    /// host's name, an internationalized one in either form; `10 mail.example.org` or the host
    /// alone; a text, or its strings in quotes; `ns hostmaster serial refresh retry expire
    /// minimum`, the first three of them, the name server or the serial alone; `0 issue
    /// "ca.example"`, quoted or not, or the value alone; `10 5 5060 sip.example.org` or the host
    /// alone.
    pub fn is(&self, expected: &str) -> bool {
        let words: Vec<&str> = match self {
            // Blanks are part of it.
            Data::Txt(_) => Vec::new(),
            _ => expected.split_ascii_whitespace().take(8).collect(),
        };
        match (self, words.as_slice()) {
            (Data::Txt(text), _) => is_text(text, expected),
            (Data::Address(address), [wanted]) => wanted.parse() == Ok(*address),
            (Data::Host(host), [wanted])
            | (Data::Mx { host, .. }, [wanted])
            | (Data::Srv { host, .. }, [wanted]) => is_name(host, wanted),
            (Data::Mx { preference, host }, [first, wanted]) => {
                first.parse() == Ok(*preference) && is_name(host, wanted)
            }
            (Data::Soa { ns, numbers, .. }, [wanted]) => {
                wanted.parse() == Ok(numbers[0]) || is_name(ns, wanted)
            }
            (
                Data::Soa {
                    ns,
                    hostmaster,
                    numbers,
                },
                [first, second, rest @ ..],
            ) => {
                let same = |(text, number): (&&str, &u32)| text.parse() == Ok(*number);
                matches!(rest.len(), 1 | 5)
                    && is_name(ns, first)
                    && is_name(hostmaster, second)
                    && rest.iter().zip(numbers).all(same)
            }
            (Data::Caa { flags, tag, value }, words) => {
                let whole = |[first, second]: [&str; 2]| {
                    first.parse() == Ok(*flags)
                        && tag.eq_ignore_ascii_case(second.as_bytes())
                        && is_value(value, after_word(after_word(expected)))
                };
                is_value(value, expected) || words.first_chunk().is_some_and(|words| whole(*words))
            }
            (
                Data::Srv {
                    priority,
                    weight,
                    port,
                    host,
                },
                [first, second, third, wanted],
            ) => {
                first.parse() == Ok(*priority)
                    && second.parse() == Ok(*weight)
                    && third.parse() == Ok(*port)
                    && is_name(host, wanted)
            }
            _ => false,
        }
    }
}

/// `text` may be in any script; then it means what resolvers know it as (RFC 5891), or a name that
/// is UTF-8 itself (RFC 6763 section 4.1.3).
fn is_name(name: &Name, text: &str) -> bool {
    if Name::parse(text).as_ref() == Some(name) {
        return true;
    }
    match Host::parse(text) {
        Ok(Host::Domain(ascii)) if !text.is_ascii() => Name::parse(&ascii).as_ref() == Some(name),
        _ => false,
    }
}

fn is_text(text: &[u8], expected: &str) -> bool {
    text == expected.as_bytes() || unquoted(expected).is_some_and(|plain| plain == text)
}

/// Like a text, but blanks around it don't count.
fn is_value(value: &[u8], expected: &str) -> bool {
    is_text(value, expected) || value == expected.trim_ascii().as_bytes()
}

/// What follows the first word and a blank.
fn after_word(text: &str) -> &str {
    let text = text.trim_ascii_start();
    let end = text.split_once(|c: char| c.is_ascii_whitespace());
    end.map_or("", |(_, after)| after)
}

/// The strings of `"one " "two"` joined (RFC 1035 section 5.1); `None`: it isn't written so.
fn unquoted(text: &str) -> Option<Vec<u8>> {
    let mut joined = Vec::with_capacity(text.len());
    let mut rest = text.trim_ascii().as_bytes();
    loop {
        rest = rest.strip_prefix(b"\"")?;
        loop {
            let (&octet, after) = rest.split_first()?;
            rest = after;
            match octet {
                b'"' => break,
                b'\\' => {
                    let (octet, after) = unescape(rest)?;
                    joined.push(octet);
                    rest = after;
                }
                _ => joined.push(octet),
            }
        }
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Some(joined);
        }
    }
}

/// Strings that each begin with their length.
fn strings(mut bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut joined = Vec::with_capacity(bytes.len());
    while let Some((&length, rest)) = bytes.split_first() {
        let (string, rest) = rest.split_at_checked(length.into()).ok_or(Malformed)?;
        joined.extend_from_slice(string);
        bytes = rest;
    }
    Ok(joined)
}

/// `10 mail.example.org`; what is text stands in quotes.
impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Data::Address(address) => write!(f, "{address}"),
            Data::Host(host) => write!(f, "{host}"),
            Data::Mx { preference, host } => write!(f, "{preference} {host}"),
            Data::Txt(text) => quoted(f, text),
            Data::Soa {
                ns,
                hostmaster,
                numbers,
            } => {
                write!(f, "{ns} {hostmaster}")?;
                numbers.iter().try_for_each(|number| write!(f, " {number}"))
            }
            Data::Caa { flags, tag, value } => {
                write!(f, "{flags} ")?;
                for &octet in tag {
                    super::escape(f, octet, b"\\")?;
                }
                f.write_str(" ")?;
                quoted(f, value)
            }
            Data::Srv {
                priority,
                weight,
                port,
                host,
            } => write!(f, "{priority} {weight} {port} {host}"),
        }
    }
}

fn quoted(f: &mut fmt::Formatter<'_>, text: &[u8]) -> fmt::Result {
    f.write_str("\"")?;
    for &octet in text {
        match octet {
            b' ' => f.write_str(" ")?,
            _ => super::escape(f, octet, b"\"\\")?,
        }
    }
    f.write_str("\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).expect("a name")
    }

    fn read(kind: RecordKind, bytes: &[u8]) -> Result<Data, Malformed> {
        Data::read(bytes, 0, bytes.len(), kind)
    }

    #[test]
    fn every_kind_is_read_and_written() {
        use RecordKind as K;
        for (kind, bytes, shown) in [
            (K::A, b"\xc0\x00\x02\x01".as_slice(), "192.0.2.1"),
            (
                K::Aaaa,
                b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01",
                "2001:db8::1",
            ),
            (K::Cname, b"\x01a\x01b\0", "a.b"),
            (K::Ns, b"\x01a\x01b\0", "a.b"),
            (K::Ptr, b"\0", "."),
            (K::Mx, b"\0\x0a\x04mail\x01b\0", "10 mail.b"),
            (K::Txt, b"\x05v=spf\x031 \"\x01\0", r#""v=spf1 \"\000""#),
            (K::Txt, b"\0", "\"\""),
            (
                K::Soa,
                b"\x01n\0\x01h\0\0\0\x01\0\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04",
                "n h 256 1 2 3 4",
            ),
            (
                K::Caa,
                b"\x80\x05issueca.example",
                "128 issue \"ca.example\"",
            ),
            (K::Srv, b"\0\x0a\0\x05\x13\xc4\x03sip\0", "10 5 5060 sip"),
        ] {
            let data = read(kind, bytes).unwrap_or_else(|_| panic!("{shown}"));
            assert_eq!(data.to_string(), shown);
            for end in 1..bytes.len() {
                // A shorter text is a text still.
                if !matches!(kind, K::Txt | K::Caa) {
                    assert_eq!(
                        read(kind, &bytes[..end]),
                        Err(Malformed),
                        "{shown} to {end}"
                    );
                }
            }
            let long = [bytes, b"x"].concat();
            if kind != K::Caa {
                assert_eq!(read(kind, &long), Err(Malformed), "{shown} and more");
            }
        }
        assert_eq!(read(K::Txt, b"\x05abc"), Err(Malformed));
        assert_eq!(read(K::Caa, b"\x00\x09issue"), Err(Malformed));
    }

    #[test]
    fn a_name_in_any_script_is_the_name_that_resolvers_know() {
        let host = Data::Host(name("xn--bcher-kva.example"));
        for good in [
            "bücher.example",
            "BÜCHER.example.",
            "bu\u{308}cher.example",
            "bücher。example",
            "XN--BCHER-KVA.example",
        ] {
            assert!(host.is(good), "{good}");
        }
        for bad in ["bucher.example", "büch er.example", "bücher.example/", "ü"] {
            assert!(!host.is(bad), "{bad}");
        }
        let mx = Data::Mx {
            preference: 10,
            host: name("_mx.xn--r8jz45g.xn--zckzah"),
        };
        assert!(mx.is("10 _mx.例え.テスト."));
        let raw = Data::Host(name("B\\195\\188ro.local"));
        assert!(raw.is("Büro.local") && raw.is(r"B\195\188ro.local."));
    }

    #[test]
    fn a_record_is_what_was_expected_of_it() {
        let address = Data::Address("2001:db8::1".parse().expect("an address"));
        let host = Data::Host(name("www.Example.org"));
        let mx = Data::Mx {
            preference: 10,
            host: name("mail.example.org"),
        };
        let text = Data::Txt(b"v=spf1  -all ".to_vec());
        let odd = Data::Txt(b"a \"b\"\\\xc3\xa4\t;".to_vec());
        let none = Data::Txt(Vec::new());
        let soa = Data::Soa {
            ns: name("ns.example.org"),
            hostmaster: name("admin.example.org"),
            numbers: [2026, 7200, 3600, 1_209_600, 300],
        };
        let caa = Data::Caa {
            flags: 0,
            tag: b"issue".to_vec(),
            value: b"ca.example; account=1".to_vec(),
        };
        let srv = Data::Srv {
            priority: 10,
            weight: 5,
            port: 5060,
            host: name("sip.example.org"),
        };
        for (data, good, bad) in [
            (
                &address,
                vec!["2001:db8::1", "2001:0DB8:0::1"],
                vec!["2001:db8::2", "192.0.2.1", "www", ""],
            ),
            (
                &host,
                vec!["www.example.org", "WWW.EXAMPLE.ORG."],
                vec!["example.org", "www.example.org.org", ""],
            ),
            (
                &mx,
                vec![
                    "mail.example.org.",
                    "10 mail.example.org",
                    "10  Mail.example.org.",
                ],
                vec!["20 mail.example.org", "10", "10 mail.example.org x"],
            ),
            (
                &text,
                vec![
                    "v=spf1  -all ",
                    r#""v=spf1  -all ""#,
                    r#" "v=spf1 " " -all" " "  "#,
                ],
                vec![
                    "v=spf1  -all",
                    "v=spf1 -all ",
                    "V=spf1  -all ",
                    " v=spf1  -all ",
                    r#""v=spf1  -all""#,
                    r#""v=spf1  -all "x"#,
                    r#""v=spf1  -all "#,
                    "",
                ],
            ),
            (
                &odd,
                vec![
                    r#""a \"b\"\\\195\164\009;""#,
                    r#""a \"b\"" "\\ä" "\009\;""#,
                    "a \"b\"\\ä\t;",
                ],
                vec![r#""a \"b\"\\\195\164\9;""#, r#""a "b"\\ä\009;""#],
            ),
            (&none, vec!["", r#""""#, r#""" """#], vec![" ", "\""]),
            (
                &soa,
                vec![
                    "2026",
                    "ns.example.org.",
                    "NS.example.org admin.example.org 2026",
                    "ns.example.org. admin.example.org. 2026 7200 3600 1209600 300",
                ],
                vec![
                    "2025",
                    "admin.example.org",
                    "ns.example.org admin.example.org 1",
                    "ns.example.org admin.example.org 2026 7200",
                    "ns.example.org. admin.example.org. 2026 7200 3600 1209600 301",
                    "ns.example.org. admin.example.org. 2026 7200 3600 1209600 300 1",
                ],
            ),
            (
                &caa,
                vec![
                    "0 issue ca.example; account=1",
                    "0 ISSUE \"ca.example; account=1\"",
                    "  0   issue  ca.example; account=1 ",
                    "ca.example; account=1",
                    "\"ca.example; account=1\"",
                    "\"ca.example\\; account=\\049\"",
                ],
                vec![
                    "1 issue ca.example; account=1",
                    "0 issue ca.example",
                    "0 issue ca.example;  account=1",
                    "0 issue",
                    "issue",
                    "",
                ],
            ),
            (
                &srv,
                vec!["sip.example.org", "10 5 5060 SIP.example.org."],
                vec!["10 5 5061 sip.example.org", "5060 sip.example.org"],
            ),
        ] {
            for text in good {
                assert!(data.is(text), "{data} is {text}");
            }
            for text in bad {
                assert!(!data.is(text), "{data} is not {text}");
            }
            assert!(data.is(&data.to_string()), "{data} is what it is shown as");
        }
    }
}
