//! Encodes DNS queries and decodes responses (RFC 1035 section 4, EDNS of RFC 6891). Takes 16 KB of the
//! binary; the crate `simple-dns` 0.13 takes 72 KB and parses all records of all sections, so that an
//! invalid one outside the answer makes the response unreadable.

mod name;
mod record;

pub use name::Name;
pub use record::{Data, Part};

use crate::monitor::site::RecordKind;
use std::fmt;

/// UDP payload size in bytes that no link fragments (DNS flag day 2020).
pub const UDP: u16 = 1232;
/// Maximum bytes over TCP, whose length field has two bytes (RFC 1035 section 4.2.2).
pub const TCP: usize = 65_535;
const HEADER: usize = 12;
const IN: u16 = 1;
const CNAME: u16 = 5;
const OPT: u16 = 41;
/// Maximum length of a CNAME chain whose records come in reverse order; in order there is no limit. A
/// datagram holds no more.
const ROUNDS: usize = 64;

/// The message is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// A DNS question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub id: u16,
    pub name: Name,
    pub kind: RecordKind,
}

impl Question {
    /// Encodes a recursive query. `edns` allows responses over 512 bytes; not every server supports it.
    pub fn encode(&self, edns: bool) -> Vec<u8> {
        const RECURSION_DESIRED: u16 = 1 << 8;
        let mut message = Vec::with_capacity(HEADER + 255 + 4 + 11);
        let mut add = |numbers: &[u16], then: &[u8]| {
            for number in numbers {
                message.extend_from_slice(&number.to_be_bytes());
            }
            message.extend_from_slice(then);
        };
        let header = [self.id, RECURSION_DESIRED, 1, 0, 0, edns.into()];
        add(&header, self.name.wire());
        add(&[code(self.kind), IN], &[]);
        if edns {
            // The root's name, the type, our payload size as the class; no flags, no options.
            add(&[], &[0]);
            add(&[OPT, UDP, 0, 0, 0], &[]);
        }
        message
    }

    /// Reads `message` as a response to this question; `None` if it is none.
    pub fn answer<'m>(&self, message: &'m [u8]) -> Option<Answer<'m>> {
        const RESPONSE: u16 = 1 << 15;
        const OPCODE: u16 = 15 << 11;
        const TRUNCATED: u16 = 1 << 9;
        let flags = number(message, 2).ok()?;
        if number(message, 0) != Ok(self.id) || flags & RESPONSE == 0 || flags & OPCODE != 0 {
            return None;
        }
        let rcode = Rcode(flags & 15);
        let questions = number(message, 4).ok()?;
        let count = number(message, 6).ok()?;
        let begin = match questions {
            1 => {
                let (name, end) = Name::read(message, HEADER).ok()?;
                let same = name == self.name
                    && number(message, end) == Ok(code(self.kind))
                    && number(message, end + 2) == Ok(IN);
                same.then_some(end + 4)?
            }
            // A server that rejects the query may omit the question.
            0 if rcode.refuses() && message.len() >= HEADER => HEADER,
            _ => return None,
        };
        Some(Answer {
            message,
            rcode,
            truncated: flags & TRUNCATED != 0,
            begin,
            count,
        })
    }
}

/// A response to our question. Its records are not parsed yet.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'m> {
    message: &'m [u8],
    pub rcode: Rcode,
    /// The response was truncated.
    pub truncated: bool,
    /// Offset of the records.
    begin: usize,
    /// Number of records in the header.
    count: u16,
}

impl<'m> Answer<'m> {
    /// Follows CNAME records from `name`, and returns `name` if it has none.
    ///
    /// # Errors
    ///
    /// If the records are malformed.
    pub fn canonical(&self, name: &Name) -> Result<Name, Malformed> {
        let mut target = name.clone();
        // The records are usually in order: one round follows them all, and the next one finds nothing.
        for _ in 0..ROUNDS {
            let before = target.clone();
            for entry in self.entries() {
                let entry = entry?;
                if entry.kind == CNAME && entry.owner()? == target {
                    target = Name::read(self.message, entry.data)?.0;
                }
            }
            if target == before {
                break;
            }
        }
        Ok(target)
    }

    /// Returns the records of this name and kind.
    pub fn records(
        &self,
        name: &Name,
        kind: RecordKind,
    ) -> impl Iterator<Item = Result<Data, Malformed>> {
        self.entries().filter_map(move |entry| {
            let found = |entry: Entry| -> Result<Option<Data>, Malformed> {
                if entry.kind != code(kind) || entry.owner()? != *name {
                    return Ok(None);
                }
                entry.data(kind).map(Some)
            };
            entry.and_then(found).transpose()
        })
    }

    /// Iterates over the answer section up to the first malformed entry.
    fn entries(&self) -> impl Iterator<Item = Result<Entry<'m>, Malformed>> {
        let (message, mut at) = (self.message, Some(self.begin));
        let all = (0..self.count).map_while(move |_| {
            let entry = Entry::read(message, at?);
            at = entry.as_ref().ok().map(|entry| entry.end);
            Some(entry)
        });
        all.filter(|entry| !matches!(entry, Ok(entry) if entry.class != IN))
    }
}

/// A record whose data are not parsed.
struct Entry<'m> {
    message: &'m [u8],
    name: usize,
    kind: u16,
    class: u16,
    data: usize,
    end: usize,
}

impl<'m> Entry<'m> {
    fn read(message: &'m [u8], at: usize) -> Result<Entry<'m>, Malformed> {
        let fixed = Name::skip(message, at)?;
        let length = number(message, fixed + 8)?;
        let data = fixed + 10;
        let end = data + usize::from(length);
        if end > message.len() {
            return Err(Malformed);
        }
        Ok(Entry {
            message,
            name: at,
            kind: number(message, fixed)?,
            class: number(message, fixed + 2)?,
            data,
            end,
        })
    }

    fn owner(&self) -> Result<Name, Malformed> {
        Ok(Name::read(self.message, self.name)?.0)
    }

    fn data(&self, kind: RecordKind) -> Result<Data, Malformed> {
        Data::read(self.message, self.data, self.end, kind)
    }
}

/// The response code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rcode(u16);

impl Rcode {
    pub const NO_ERROR: Rcode = Rcode(0);
    pub const NO_SUCH_NAME: Rcode = Rcode(3);

    /// The server rejects the query without saying anything about the name.
    pub fn refuses(self) -> bool {
        self != Rcode::NO_ERROR && self != Rcode::NO_SUCH_NAME
    }
}

/// As in `dig`.
impl fmt::Display for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0 => "NOERROR",
            1 => "FORMERR",
            2 => "SERVFAIL",
            3 => "NXDOMAIN",
            4 => "NOTIMP",
            5 => "REFUSED",
            9 => "NOTAUTH",
            other => return write!(f, "error {other}"),
        })
    }
}

/// Type codes of RFC 1035 section 3.2.2, RFC 3596, RFC 2782 and RFC 8659.
fn code(kind: RecordKind) -> u16 {
    match kind {
        RecordKind::A => 1,
        RecordKind::Ns => 2,
        RecordKind::Cname => CNAME,
        RecordKind::Soa => 6,
        RecordKind::Ptr => 12,
        RecordKind::Mx => 15,
        RecordKind::Txt => 16,
        RecordKind::Aaaa => 28,
        RecordKind::Srv => 33,
        RecordKind::Caa => 257,
    }
}

/// Reads two bytes at `at`.
fn number(message: &[u8], at: usize) -> Result<u16, Malformed> {
    let bytes = message.get(at..).and_then(|rest| rest.first_chunk());
    bytes.map(|two| u16::from_be_bytes(*two)).ok_or(Malformed)
}

/// Prints an octet: unprintable ones as `\DDD`, `special` ones with a backslash.
fn escape(f: &mut fmt::Formatter<'_>, octet: u8, special: &[u8]) -> fmt::Result {
    match octet {
        _ if special.contains(&octet) => write!(f, "\\{}", char::from(octet)),
        b'!'..=b'~' => write!(f, "{}", char::from(octet)),
        _ => write!(f, "\\{octet:03}"),
    }
}

#[cfg(test)]
mod tests;
