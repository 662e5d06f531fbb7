//! Encodes and decodes the two kinds of file. Pure; all input is verified.
//!
//! A snapshot is one header line and JSON: `sitemon-state 2 SEQ CRC32 LENGTH`, with a hexadecimal checksum
//! over `SEQ`, a newline and the JSON. Version 1 had no `SEQ`.
//!
//! A journal is a sequence of lines `CRC32 LENGTH JSON`, each written twice, so that a flipped bit costs
//! nothing. NUL bytes between lines are padding up to a block of flash.
//! costs nothing. NUL bytes between lines are room left over in a block of flash.

use super::delta::Delta;
use crate::crc::Crc;
use crate::monitor::persist::snapshot::Snapshot;
use nanoserde::{DeJson, SerJson};

const MAGIC: &str = "sitemon-state";
pub const VERSION: u32 = 2;

/// The content of a snapshot file.
#[derive(Debug, PartialEq)]
pub struct Base {
    /// Number of the state; 0 in version 1.
    pub seq: u64,
    pub snapshot: Snapshot,
}

/// The content of a journal.
#[derive(Debug, Default, PartialEq)]
pub struct Journal {
    /// One per state, in the order written.
    pub deltas: Vec<Delta>,
    /// It ends within a record, whose write was interrupted.
    pub torn: bool,
    /// It is damaged before its end.
    pub damaged: bool,
    /// The damage after the last valid record is more than the second copy of that record.
    pub tail_lost: bool,
}

pub fn encode_snapshot(seq: u64, snapshot: &Snapshot) -> Vec<u8> {
    let json = snapshot.serialize_json();
    let mut bytes = header(seq, &json).into_bytes();
    bytes.extend_from_slice(json.as_bytes());
    bytes
}

/// Why a file cannot be used.
#[derive(Debug, PartialEq)]
pub enum Unreadable {
    Missing,
    /// Its format has this newer version.
    Newer(u32),
    Damaged(String),
}

pub fn decode_snapshot(bytes: &[u8]) -> Result<Base, Unreadable> {
    match version(bytes) {
        Some(newer) if newer > VERSION => Err(Unreadable::Newer(newer)),
        _ => decode_known(bytes).map_err(Unreadable::Damaged),
    }
}

/// Returns the version in a snapshot's header, even if the file is damaged.
fn version(bytes: &[u8]) -> Option<u32> {
    let (header, _) = split(bytes)?;
    let mut words = header.split(' ');
    (words.next() == Some(MAGIC)).then(|| words.next()?.parse().ok())?
}

fn decode_known(bytes: &[u8]) -> Result<Base, String> {
    let (header_read, body) = split(bytes).ok_or("it has no header")?;
    let words: Vec<&str> = header_read.split(' ').collect();
    let (version, seq, sum, length) = match words[..] {
        [MAGIC, "1", sum, length] => (1, Some(0), sum, length),
        [MAGIC, version, seq, sum, length] => {
            let version = version.parse::<u32>().map_err(|_| "it has no version")?;
            (version, seq.parse().ok(), sum, length)
        }
        _ => return Err("it has no header".into()),
    };
    if !matches!(version, 1 | VERSION) {
        return Err(format!(
            "it has version {version}, this sitemon knows {VERSION}"
        ));
    }
    let seq: u64 = seq.ok_or("its number is wrong")?;
    if length.parse() != Ok(body.len()) {
        return Err("it was cut off".into());
    }
    let json = std::str::from_utf8(body).map_err(|_| "it is not text")?;
    // Compared literally, so that every flipped bit is noticed.
    let sound = match version {
        1 => format!("{:08x}", crc32(&[body])) == sum,
        _ => header(seq, json).trim_end() == header_read,
    };
    if !sound {
        return Err("its checksum is wrong".into());
    }
    let snapshot = Snapshot::deserialize_json(json).map_err(|_| "it is not readable")?;
    Ok(Base { seq, snapshot })
}

/// Returns the number in a snapshot's header, even if the file is damaged.
pub fn claimed_seq(bytes: &[u8]) -> Option<u64> {
    let (header, _) = split(bytes)?;
    header.split(' ').nth(2)?.parse().ok()
}

fn header(seq: u64, json: &str) -> String {
    let number = format!("{seq}\n");
    let sum = crc32(&[number.as_bytes(), json.as_bytes()]);
    format!("{MAGIC} {VERSION} {seq} {sum:08x} {}\n", json.len())
}

fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().take(80).position(|b| *b == b'\n')?;
    let header = std::str::from_utf8(&bytes[..end]).ok()?;
    Some((header, &bytes[end + 1..]))
}

/// Encodes both copies.
pub fn encode_record(delta: &Delta) -> Vec<u8> {
    let json = delta.serialize_json();
    format!("{}{json}\n", prefix(json.as_bytes()))
        .repeat(2)
        .into_bytes()
}

pub fn decode_journal(bytes: &[u8]) -> Journal {
    let mut journal = Journal::default();
    let mut at = 0;
    // Of the last valid record: number of copies, length of one, bytes of damage after it.
    let (mut copies, mut length, mut bad) = (0, 0, 0);
    while at < bytes.len() {
        if bytes[at] == 0 {
            // Padding precedes a record: there is none at the end.
            journal.torn = at + 1 == bytes.len();
            at += 1;
            continue;
        }
        if let Some((delta, long)) = decode_record(&bytes[at..]) {
            let twin = journal.deltas.last().is_some_and(|d| d.seq == delta.seq);
            copies = if twin { copies + 1 } else { 1 };
            if !twin {
                journal.deltas.push(delta);
            }
            (length, bad) = (long + 1, 0);
            at += long;
            match bytes.get(at) {
                Some(b'\n') => {}
                Some(_) => journal.damaged = true,
                None => journal.torn = true,
            }
            at += 1;
        } else if let Some(end) = bytes[at..].iter().position(|b| *b == b'\n') {
            journal.damaged = true;
            bad += end + 1;
            at += end + 1;
        } else {
            journal.torn = true;
            break;
        }
    }
    journal.tail_lost = bad > if copies == 1 { length } else { 0 };
    journal
}

/// Decodes the record at the start of `bytes`; returns its length without the newline, too.
fn decode_record(bytes: &[u8]) -> Option<(Delta, usize)> {
    let start = bytes.iter().take(40).position(|b| *b == b'{')?;
    let prefix_read = std::str::from_utf8(&bytes[..start]).ok()?;
    let length: usize = prefix_read.split(' ').nth(1)?.parse().ok()?;
    let end = prefix_read.len().checked_add(length)?;
    let body = bytes.get(prefix_read.len()..end)?;
    if prefix(body) != prefix_read {
        return None;
    }
    let delta = Delta::deserialize_json(std::str::from_utf8(body).ok()?).ok()?;
    Some((delta, end))
}

fn prefix(json: &[u8]) -> String {
    format!("{:08x} {} ", crc32(&[json]), json.len())
}

/// CRC-32 of the concatenated `parts`.
pub(super) fn crc32(parts: &[&[u8]]) -> u32 {
    let sum = |crc: Crc, part: &&[u8]| crc.add(part);
    parts.iter().fold(Crc::default(), sum).value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn delta(seq: u64) -> Delta {
        Delta {
            seq,
            gone_sites: vec!["blog".into()],
            ..Delta::default()
        }
    }

    fn seqs(journal: &Journal) -> Vec<u64> {
        journal.deltas.iter().map(|d| d.seq).collect()
    }

    #[test]
    fn the_checksum_is_the_standard_one() {
        assert_eq!(crc32(&[b"1234", b"56789"]), 0xCBF4_3926);
    }

    #[test]
    fn the_format_of_the_first_version_is_read() {
        let json = "{\"written\":5}";
        let sum = crc32(&[json.as_bytes()]);
        let text = format!("sitemon-state 1 {sum:08x} {}\n{json}", json.len());
        let base = decode_snapshot(text.as_bytes()).expect("readable");
        assert_eq!((base.seq, base.snapshot.written), (0, 5));
    }

    #[test]
    fn a_newer_version_is_named() {
        let read = decode_snapshot(b"sitemon-state 3 5 00000000 2\n{}");
        assert_eq!(read, Err(Unreadable::Newer(3)));
    }

    #[test]
    fn records_are_read_across_the_room_between_them() {
        let mut bytes = encode_record(&delta(1));
        bytes.extend([0; 300]);
        bytes.extend(encode_record(&delta(2)));
        let journal = decode_journal(&bytes);
        assert_eq!(seqs(&journal), [1, 2]);
        assert!(!journal.torn && !journal.damaged && !journal.tail_lost);
    }

    #[test]
    fn zeros_at_the_end_are_a_write_that_the_power_cut_short() {
        let mut bytes = encode_record(&delta(1));
        bytes.extend([0; 300]);
        let journal = decode_journal(&bytes);
        assert_eq!(seqs(&journal), [1]);
        assert!(journal.torn && !journal.damaged);
    }

    #[test]
    fn a_record_without_a_sound_copy_is_missed() {
        let (one, two) = (encode_record(&delta(1)), encode_record(&delta(2)));
        let both = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            let half = bytes.len() / 2;
            bytes[20] ^= 1;
            bytes[half + 20] ^= 1;
            bytes
        };
        let last = decode_journal(&[one.clone(), both(&two)].concat());
        assert!(last.damaged && last.tail_lost);
        assert_eq!(seqs(&last), [1]);
        let first = decode_journal(&[both(&one), two].concat());
        assert!(first.damaged && !first.tail_lost);
        assert_eq!(seqs(&first), [2]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_readers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode_snapshot(&bytes);
            let _ = decode_journal(&bytes);
            let _ = claimed_seq(&bytes);
        }
    }
}
