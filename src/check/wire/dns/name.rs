//! Domain names as text and as compressed labels on the wire (RFC 1035 sections 3.1 and 4.1.4).

use super::Malformed;
use std::fmt;
use std::net::IpAddr;

/// Maximum bytes of a name on the wire, including the root's empty label (RFC 1035 section 2.3.4).
const NAME: usize = 255;
const LABEL: usize = 63;
/// Maximum number of compression pointers: a name has no more labels.
const POINTERS: usize = 127;

/// A domain name. Comparison ignores ASCII case (RFC 4343).
#[derive(Clone, Debug)]
pub struct Name {
    /// Uncompressed labels with their lengths, including the empty one at the end.
    wire: Vec<u8>,
}

impl Name {
    /// Parses `www.example.org`, with or without the final dot; `.` and the empty text are the root. `\.` is
    /// a dot in a label, `\DDD` an octet (RFC 1035 section 5.1). `None` if it is no name.
    pub fn parse(text: &str) -> Option<Name> {
        let mut wire = Vec::with_capacity(text.len() + 2);
        let mut label = Vec::new();
        let mut bytes = if text == "." { &[] } else { text.as_bytes() };
        while let Some((&byte, rest)) = bytes.split_first() {
            bytes = rest;
            match byte {
                b'.' => {
                    push(&mut wire, &label)?;
                    label.clear();
                }
                b'\\' => {
                    let (octet, rest) = unescape(bytes)?;
                    label.push(octet);
                    bytes = rest;
                }
                _ => label.push(byte),
            }
        }
        if !label.is_empty() {
            push(&mut wire, &label)?;
        }
        wire.push(0);
        (wire.len() <= NAME).then_some(Name { wire })
    }

    /// The reverse name of `address` (RFC 1035 section 3.5, RFC 3596 section 2.5).
    pub fn reverse(address: IpAddr) -> Option<Name> {
        Name::parse(&match address {
            IpAddr::V4(v4) => {
                let [a, b, c, d] = v4.octets();
                format!("{d}.{c}.{b}.{a}.in-addr.arpa")
            }
            IpAddr::V6(v6) => {
                let octets = v6.octets().into_iter().rev();
                let nibbles = octets.map(|octet| format!("{:x}.{:x}.", octet & 15, octet >> 4));
                nibbles.collect::<String>() + "ip6.arpa"
            }
        })
    }

    /// Reads the name at `at`, and returns the offset after it.
    pub(super) fn read(message: &[u8], at: usize) -> Result<(Name, usize), Malformed> {
        let mut wire = Vec::with_capacity(32);
        let (mut from, mut end, mut pointers) = (at, None, 0);
        loop {
            let length = *message.get(from).ok_or(Malformed)?;
            match length {
                0 => {
                    wire.push(0);
                    return Ok((Name { wire }, end.unwrap_or(from + 1)));
                }
                1..=63 => {
                    let label = message.get(from..=from + usize::from(length));
                    wire.extend_from_slice(label.ok_or(Malformed)?);
                    if wire.len() >= NAME {
                        return Err(Malformed);
                    }
                    from += 1 + usize::from(length);
                }
                // RFC 6891 section 5: no other kinds of labels are in use.
                64..=191 => return Err(Malformed),
                192..=255 => {
                    let low = *message.get(from + 1).ok_or(Malformed)?;
                    end = end.or(Some(from + 2));
                    from = usize::from(length & 63) << 8 | usize::from(low);
                    pointers += 1;
                    if pointers > POINTERS {
                        return Err(Malformed);
                    }
                }
            }
        }
    }

    /// Returns the offset after the name at `at`, without following pointers.
    pub(super) fn skip(message: &[u8], at: usize) -> Result<usize, Malformed> {
        let mut from = at;
        loop {
            match *message.get(from).ok_or(Malformed)? {
                0 => return Ok(from + 1),
                length @ 1..=63 => from += 1 + usize::from(length),
                64..=191 => return Err(Malformed),
                192..=255 => return Ok(from + 2),
            }
            if from - at > NAME {
                return Err(Malformed);
            }
        }
    }

    pub(super) fn wire(&self) -> &[u8] {
        &self.wire
    }
}

/// Appends a label of 1 to 63 octets.
fn push(wire: &mut Vec<u8>, label: &[u8]) -> Option<()> {
    if !(1..=LABEL).contains(&label.len()) {
        return None;
    }
    wire.push(label.len() as u8);
    wire.extend_from_slice(label);
    Some(())
}

/// Decodes what follows a backslash.
pub(super) fn unescape(bytes: &[u8]) -> Option<(u8, &[u8])> {
    match bytes {
        [a, b, c, rest @ ..] if [a, b, c].iter().all(|d| d.is_ascii_digit()) => {
            let digits = [a, b, c].map(|digit| u16::from(digit - b'0'));
            let octet = digits[0] * 100 + digits[1] * 10 + digits[2];
            Some((u8::try_from(octet).ok()?, rest))
        }
        [digit, ..] if digit.is_ascii_digit() => None,
        [octet, rest @ ..] => Some((*octet, rest)),
        [] => None,
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        // Length bytes are below the letters.
        self.wire.eq_ignore_ascii_case(&other.wire)
    }
}

impl Eq for Name {}

/// Without the final dot; the root is `.`.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.wire.as_slice();
        if rest == [0] {
            return f.write_str(".");
        }
        let mut first = true;
        while let Some((&length, after)) = rest.split_first()
            && length > 0
        {
            if !first {
                f.write_str(".")?;
            }
            first = false;
            let (label, next) = after.split_at(usize::from(length).min(after.len()));
            for &octet in label {
                super::escape(f, octet, b".\\")?;
            }
            rest = next;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_written_as_they_are_read() {
        for (text, shown) in [
            ("www.example.org", "www.example.org"),
            ("Example.ORG.", "Example.ORG"),
            ("_sip._tcp.example.org", "_sip._tcp.example.org"),
            (r"a\.b.c", r"a\.b.c"),
            (r"a\\b", r"a\\b"),
            (r"a\032b\007\255", r"a\032b\007\255"),
            (".", "."),
            ("", "."),
        ] {
            let name = Name::parse(text).unwrap_or_else(|| panic!("{text} is a name"));
            assert_eq!(name.to_string(), shown);
            assert_eq!(Name::parse(shown), Some(name));
        }
    }

    #[test]
    fn what_cannot_be_a_name_is_none() {
        let long = "a".repeat(64);
        let deep = "a.".repeat(128);
        for text in ["..", ".a", "a..b", r"a\", r"a\1", r"a\256", &long, &deep] {
            assert_eq!(Name::parse(text), None, "{text}");
        }
        assert!(Name::parse(&"a.".repeat(127)).is_some(), "255 octets");
        assert!(Name::parse(&"a".repeat(63)).is_some());
    }

    #[test]
    fn case_does_not_count() {
        assert_eq!(
            Name::parse("WWW.Example.org"),
            Name::parse("www.example.ORG")
        );
        assert_ne!(Name::parse("a.b"), Name::parse(r"a\.b"));
    }

    #[test]
    fn addresses_have_names_that_lead_back() {
        let reverse = |address: &str| {
            let name = Name::reverse(address.parse().expect("an address"));
            name.expect("a name").to_string()
        };
        assert_eq!(reverse("192.0.2.1"), "1.2.0.192.in-addr.arpa");
        assert_eq!(
            reverse("2001:db8::1"),
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
        );
    }

    #[test]
    fn pointers_are_followed_and_those_that_lead_nowhere_are_not() {
        let message = b"\x03org\0\x07example\xc0\x00\x03www\xc0\x05";
        let (name, end) = Name::read(message, 15).expect("a name");
        assert_eq!((name.to_string().as_str(), end), ("www.example.org", 21));
        assert_eq!(Name::skip(message, 15), Ok(21));
        for bad in [
            b"\xc0\x00".as_slice(),
            b"\xc0\x02\xc0\x00",
            b"\x01a\xc0\x00",
            b"\xc0\x09",
            b"\xc0",
            b"\x05abc",
            b"\x40",
            b"\x80",
            b"",
        ] {
            assert_eq!(Name::read(bad, 0), Err(Malformed), "{bad:?}");
        }
        let long = [[63; 64]; 4].concat();
        assert_eq!(Name::read(&long, 0), Err(Malformed), "256 octets");
        assert_eq!(Name::skip(&[1; 400], 0), Err(Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_name_that_reads_back_or_none(bytes: Vec<u8>, at in 0..64usize) {
            if let Ok((name, end)) = Name::read(&bytes, at) {
                prop_assert!(name.wire.len() <= NAME && end <= bytes.len());
                prop_assert_eq!(Name::skip(&bytes, at), Ok(end));
                prop_assert_eq!(Name::parse(&name.to_string()), Some(name));
            }
        }

        #[test]
        fn any_text_is_a_name_that_reads_back_or_none(text: String) {
            if let Some(name) = Name::parse(&text) {
                prop_assert_eq!(Name::read(&name.wire, 0), Ok((name.clone(), name.wire.len())));
                prop_assert_eq!(Name::parse(&name.to_string()), Some(name));
            }
        }
    }
}
