//! Data of records (RFC 1035 section 3.3, RFC 3596, RFC 2782, RFC 8659): decoding, formatting, and the
//! comparison with `expect`.

use super::Malformed;
use super::name::{Name, unescape};
use crate::monitor::site::RecordKind;
use std::fmt;
use std::net::IpAddr;
use url::Host;

/// The data of one record, in the parts that `dig` shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data(pub Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Number(u32),
    Address(IpAddr),
    Name(Name),
    /// The name of a property (CAA).
    Tag(Vec<u8>),
    /// Shown in quotes; the strings of a TXT are joined.
    Text(Vec<u8>),
}

impl Data {
    /// Decodes `message[at..end]` as the data of a record of `kind`.
    pub(super) fn read(
        message: &[u8],
        at: usize,
        end: usize,
        kind: RecordKind,
    ) -> Result<Data, Malformed> {
        let mut reader = Reader { message, at, end };
        let mut parts = Vec::new();
        for field in fields(kind) {
            parts.push(match field {
                Field::V4 => Part::Address(reader.array::<4>()?.into()),
                Field::V6 => Part::Address(reader.array::<16>()?.into()),
                Field::U8 => Part::Number(reader.array::<1>()?[0].into()),
                Field::U16 => Part::Number(u16::from_be_bytes(reader.array()?).into()),
                Field::U32 => Part::Number(u32::from_be_bytes(reader.array()?)),
                Field::Name => Part::Name(reader.name()?),
                Field::Tag => Part::Tag(reader.string()?.to_vec()),
                Field::Strings => Part::Text(reader.strings()?),
                Field::Rest => Part::Text(reader.take(reader.left())?.to_vec()),
            });
        }
        (reader.at == end).then_some(Data(parts)).ok_or(Malformed)
    }

    /// Compares the record with `expected`, which is what `dig` shows of it or a part of that: an address; a
    /// host name, an internationalized one in either form; `10 mail.example.org` or the host alone; a text,
    /// or its quoted strings; `ns hostmaster serial refresh retry expire minimum`, the first three of these,
    /// the name server or the serial alone; `0 issue "ca.example"`, quoted or not, or the value alone;
    /// `10 5 5060 sip.example.org` or the host alone.
    pub fn is(&self, expected: &str) -> bool {
        let words: Vec<&str> = expected.split_ascii_whitespace().take(8).collect();
        let are = |parts: &[Part]| {
            let mut pairs = parts.iter().zip(&words);
            parts.len() == words.len() && pairs.all(|(part, word)| part.is(word))
        };
        let all = self.0.as_slice();
        match all {
            // Blanks are significant in texts.
            [Part::Text(text)] => is_text(text, expected),
            [flags, tag, Part::Text(value)] => {
                let whole = |[first, second]: &[&str; 2]| {
                    flags.is(first)
                        && tag.is(second)
                        && is_value(value, after_word(after_word(expected)))
                };
                is_value(value, expected) || words.first_chunk().is_some_and(whole)
            }
            [_ns, _hostmaster, _serial, _, _, _, _] => {
                are(all) || are(&all[..3]) || are(&all[..1]) || are(&all[2..3])
            }
            // The numbers before a host may be omitted.
            _ => are(all) || are(&all[all.len().saturating_sub(1)..]),
        }
    }
}

impl Part {
    fn is(&self, word: &str) -> bool {
        match self {
            Part::Number(number) => word.parse() == Ok(*number),
            Part::Address(address) => word.parse() == Ok(*address),
            Part::Name(name) => is_name(name, word),
            Part::Tag(tag) => tag.eq_ignore_ascii_case(word.as_bytes()),
            Part::Text(text) => is_text(text, word),
        }
    }
}

/// Encoding of a part.
#[derive(Clone, Copy)]
enum Field {
    V4,
    V6,
    U8,
    U16,
    U32,
    Name,
    /// A length byte and a string.
    Tag,
    /// Strings up to the end.
    Strings,
    Rest,
}

fn fields(kind: RecordKind) -> &'static [Field] {
    use Field::{Name, Rest, Strings, Tag, U8, U16, U32, V4, V6};
    match kind {
        RecordKind::A => &[V4],
        RecordKind::Aaaa => &[V6],
        RecordKind::Cname | RecordKind::Ns | RecordKind::Ptr => &[Name],
        RecordKind::Mx => &[U16, Name],
        RecordKind::Srv => &[U16, U16, U16, Name],
        RecordKind::Soa => &[Name, Name, U32, U32, U32, U32, U32],
        RecordKind::Txt => &[Strings],
        RecordKind::Caa => &[U8, Tag, Rest],
    }
}

struct Reader<'m> {
    message: &'m [u8],
    at: usize,
    end: usize,
}

impl<'m> Reader<'m> {
    fn left(&self) -> usize {
        self.end.saturating_sub(self.at)
    }

    fn take(&mut self, count: usize) -> Result<&'m [u8], Malformed> {
        let bytes = self.message.get(self.at..self.end).ok_or(Malformed)?;
        self.at += count;
        bytes.get(..count).ok_or(Malformed)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    fn name(&mut self) -> Result<Name, Malformed> {
        let (name, end) = Name::read(self.message, self.at)?;
        self.at = end;
        Ok(name)
    }

    fn string(&mut self) -> Result<&'m [u8], Malformed> {
        let [length] = self.array()?;
        self.take(length.into())
    }

    fn strings(&mut self) -> Result<Vec<u8>, Malformed> {
        let mut joined = Vec::with_capacity(self.left());
        while self.left() > 0 {
            joined.extend_from_slice(self.string()?);
        }
        Ok(joined)
    }
}

/// `text` may be an internationalized name (RFC 5891), or a name that is in UTF-8 itself (RFC 6763
/// section 4.1.3).
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

/// Compares like a text, but ignores blanks at both ends.
fn is_value(value: &[u8], expected: &str) -> bool {
    is_text(value, expected) || value == expected.trim_ascii().as_bytes()
}

/// Returns what follows the first word and a blank.
fn after_word(text: &str) -> &str {
    let text = text.trim_ascii_start();
    let end = text.split_once(|c: char| c.is_ascii_whitespace());
    end.map_or("", |(_, after)| after)
}

/// Joins the strings of `"one " "two"` (RFC 1035 section 5.1); `None` for another notation.
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

/// `10 mail.example.org`; texts are quoted.
impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(" ")?;
            }
            match part {
                Part::Number(number) => write!(f, "{number}")?,
                Part::Address(address) => write!(f, "{address}")?,
                Part::Name(name) => write!(f, "{name}")?,
                Part::Tag(tag) => {
                    let mut octets = tag.iter();
                    octets.try_for_each(|&octet| super::escape(f, octet, b"\\"))?;
                }
                Part::Text(text) => quoted(f, text)?,
            }
        }
        Ok(())
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
                // A truncated text is still a text.
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
        let host = Data(vec![Part::Name(name("xn--bcher-kva.example"))]);
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
        let mx = vec![
            Part::Number(10),
            Part::Name(name("_mx.xn--r8jz45g.xn--zckzah")),
        ];
        let mx = Data(mx);
        assert!(mx.is("10 _mx.例え.テスト."));
        let raw = Data(vec![Part::Name(name("B\\195\\188ro.local"))]);
        assert!(raw.is("Büro.local") && raw.is(r"B\195\188ro.local."));
    }

    #[test]
    fn a_record_is_what_was_expected_of_it() {
        let number = Part::Number;
        let host_of = |text| Part::Name(name(text));
        let text_of = |text: &[u8]| Part::Text(text.to_vec());
        let address = Data(vec![Part::Address(
            "2001:db8::1".parse().expect("an address"),
        )]);
        let host = Data(vec![host_of("www.Example.org")]);
        let mx = Data(vec![number(10), host_of("mail.example.org")]);
        let text = Data(vec![text_of(b"v=spf1  -all ")]);
        let odd = Data(vec![text_of(b"a \"b\"\\\xc3\xa4\t;")]);
        let none = Data(vec![text_of(b"")]);
        let mut soa = vec![host_of("ns.example.org"), host_of("admin.example.org")];
        soa.extend([2026, 7200, 3600, 1_209_600, 300].map(number));
        let soa = Data(soa);
        let caa = vec![
            number(0),
            Part::Tag(b"issue".to_vec()),
            text_of(b"ca.example; account=1"),
        ];
        let caa = Data(caa);
        let mut srv: Vec<Part> = [10, 5, 5060].map(number).into();
        srv.push(host_of("sip.example.org"));
        let srv = Data(srv);
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
