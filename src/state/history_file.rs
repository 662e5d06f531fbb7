//! The history of the sites, in files of its own: one record an hour, one block of flash for a
//! hundred sites.
//!
//! | file | holds |
//! | --- | --- |
//! | `history` | what was known when the day began, and its hours since |
//! | `history.old` | the same of the day before, with the minutes of the last 24 hours |
//!
//! A record is `sHr1`, the length and the CRC-32 of what follows, and that: a letter, the hour
//! (since 1970), and for each site what the core made of it. Zeros between records are room left
//! over in a block. Any record may be missing: what it held is unknown then, and nothing else is.

use super::OPEN_WITHIN;
use super::format::crc32;
use super::owned_file;
use super::recover;
use super::writer::{BLOCK, Written, append};
use crate::files;
use crate::monitor::history::{Extent, Record, Rows, Scope};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const FILE: &str = "history";
const OLD: &str = "history.old";
const NEW: &str = "history.new";
pub(super) const FILES: [&str; 3] = [OLD, FILE, NEW];
const MAGIC: &[u8; 4] = b"sHr1";
/// In bytes: of 1,000 sites it is some 5 MB.
const MAX_FILE: u64 = 32 << 20;
/// Magic, length, checksum.
const HEADER: usize = 12;

/// The history files of a state directory.
#[derive(Debug)]
pub struct HistoryFiles {
    dir: PathBuf,
    /// The names in the order in which the records of the file have them.
    table: Vec<String>,
    /// The day that the file is of.
    day: Option<i64>,
    length: u64,
}

/// Of a format that comes after this one.
fn is_newer(bytes: &[u8]) -> bool {
    let version = bytes.strip_prefix(&MAGIC[..3]).and_then(<[u8]>::first);
    version.is_some_and(|version| version.is_ascii_alphanumeric() && *version > MAGIC[3])
}

impl HistoryFiles {
    /// Hands on everything that is sound, in the order of time. A file that is damaged is kept as
    /// `*.bad`, and the sentence for the chats is returned. The lock of the directory must be held.
    pub fn load(dir: &Path, mut take: impl FnMut(&Record)) -> (HistoryFiles, Option<String>) {
        let mut history_files = HistoryFiles {
            dir: dir.to_owned(),
            table: Vec::new(),
            day: None,
            length: 0,
        };
        let mut faults = Vec::new();
        let mut newer = Vec::new();
        for file in FILES {
            let path = dir.join(file);
            let read = {
                let path = path.clone();
                move || owned_file::read(&path, MAX_FILE)
            };
            let bytes = match files::within(&path, OPEN_WITHIN, read) {
                Ok(bytes) => bytes,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => {
                    log::warn!("{file} of the state cannot be read: {}", super::reason(&e));
                    continue;
                }
            };
            if is_newer(&bytes) {
                newer.extend(recover::keep_newer(dir, file));
                continue;
            }
            let read = decode(&bytes, &mut take);
            if read.damaged {
                faults.extend(recover::set_aside(dir, file, false));
            }
            if file == FILE && !read.damaged && !read.torn {
                history_files.day = read.hour.map(|hour| hour.div_euclid(24));
                history_files.length = bytes.len() as u64;
                history_files.table = read.table;
            }
        }
        let kept = |files: &[String]| dir.join(files.join(" and ")).display().to_string();
        let mut said = Vec::new();
        if !faults.is_empty() {
            let kept = kept(&faults);
            said.push(format!(
                "The history was damaged. It is kept as {kept}. What is sound of it is used."
            ));
        }
        if !newer.is_empty() {
            let kept = kept(&newer);
            said.push(format!(
                "The history was written by a newer sitemon. It is kept as {kept}."
            ));
        }
        let said = (!said.is_empty()).then(|| said.join(" "));
        (history_files, said)
    }

    /// What to give to [`HistoryFiles::save`] for these sites at this hour.
    pub fn need<'a>(&self, names: impl Iterator<Item = &'a str>, hour: i64) -> Extent {
        let names: BTreeSet<&str> = names.collect();
        let known = self.table.iter().all(|name| names.contains(name.as_str()));
        match self.day {
            None => Extent::Whole,
            Some(_) if !known => Extent::Whole,
            Some(day) if day != hour.div_euclid(24) => Extent::Base,
            Some(_) => Extent::Pages,
        }
    }

    /// Writes the records and returns once they are on flash.
    ///
    /// # Errors
    /// The disk is full or read-only, or fails. The next save then writes everything anew.
    pub fn save(&mut self, extent: Extent, records: &[Record]) -> io::Result<Written> {
        let done = match extent {
            Extent::Pages => self.append(records),
            Extent::Base | Extent::Whole => self.begin(extent, records),
        };
        if done.is_err() {
            self.day = None;
            let _ = fs::remove_file(self.dir.join(NEW));
        }
        done
    }

    fn append(&mut self, records: &[Record]) -> io::Result<Written> {
        let bytes = encode(records, &mut self.table);
        let file = owned_file::open_to_write(&self.dir.join(FILE))?;
        append(&file, &mut self.length, &bytes)
    }

    fn begin(&mut self, extent: Extent, records: &[Record]) -> io::Result<Written> {
        self.table.clear();
        let bytes = encode(records, &mut self.table);
        let new = self.dir.join(NEW);
        let mut file = owned_file::create_empty(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        let path = self.dir.join(FILE);
        if extent == Extent::Base {
            fs::rename(&path, self.dir.join(OLD))?;
        }
        fs::rename(&new, &path)?;
        if extent == Extent::Whole {
            // What is gone from the configuration leaves nothing behind.
            match fs::remove_file(self.dir.join(OLD)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        File::open(&self.dir)?.sync_all()?;
        self.day = records.last().map(|r| r.hour.div_euclid(24));
        self.length = bytes.len() as u64;
        Ok(Written {
            bytes: self.length,
            blocks: self.length.div_ceil(BLOCK) + 1,
        })
    }
}

/// `table` grows by the names that are new; a record holds the names that it adds.
fn encode(records: &[Record], table: &mut Vec<String>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in records {
        let known: HashSet<&str> = table.iter().map(String::as_str).collect();
        let names = record.sites.iter().map(|(name, _)| name);
        let added: Vec<String> = names
            .filter(|name| !known.contains(name))
            .map(str::to_owned)
            .collect();
        let mut body = vec![match record.scope {
            Scope::Base => b'B',
            Scope::Page => b'P',
        }];
        body.extend_from_slice(&record.hour.to_le_bytes());
        body.push(record.length);
        put_count(&mut body, table.len());
        put_count(&mut body, added.len());
        for name in &added {
            put_count(&mut body, name.len());
            body.extend_from_slice(name.as_bytes());
        }
        table.extend(added);
        let of: HashMap<&str, &[u8]> = record.sites.iter().collect();
        for name in table.iter() {
            let known = of.get(name.as_str()).copied().unwrap_or_default();
            put_count(&mut body, known.len());
            body.extend_from_slice(known);
        }
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&crc32(&[&body]).to_le_bytes());
        bytes.extend_from_slice(&body);
    }
    bytes
}

/// Seven bits a byte, the lowest first.
fn put_count(bytes: &mut Vec<u8>, mut count: usize) {
    while count > 127 {
        bytes.push(count as u8 | 128);
        count >>= 7;
    }
    bytes.push(count as u8);
}

#[derive(Debug, Default)]
struct Read {
    /// Of the last record.
    hour: Option<i64>,
    table: Vec<String>,
    /// It ends in the middle of a record.
    torn: bool,
    damaged: bool,
}

fn decode(bytes: &[u8], mut take: impl FnMut(&Record)) -> Read {
    let mut read = Read::default();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == 0 {
            // Room is left over in front of a record, never at the end.
            read.torn = at + 1 == bytes.len();
            at += 1;
            continue;
        }
        match framed(&bytes[at..]) {
            Some(body) => {
                at += HEADER + body.len();
                match record(body, &mut read.table) {
                    Some(record) => {
                        read.hour = Some(record.hour);
                        take(&record);
                    }
                    None => read.damaged = true,
                }
            }
            None => {
                let next = bytes[at + 1..].windows(4).position(|w| w == MAGIC);
                match next {
                    Some(next) => {
                        read.damaged = true;
                        at += 1 + next;
                    }
                    None => {
                        read.torn = true;
                        break;
                    }
                }
            }
        }
    }
    read
}

/// The body of the record at the start of `bytes`, if that is sound.
fn framed(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let body = rest.get(..length)?;
    (crc32(&[body]) == u32::from_le_bytes(*sum)).then_some(body)
}

fn record(mut body: &[u8], table: &mut Vec<String>) -> Option<Record> {
    let scope = match take(&mut body, 1)? {
        b"B" => Scope::Base,
        b"P" => Scope::Page,
        _ => return None,
    };
    let hour = i64::from_le_bytes(take(&mut body, 8)?.try_into().ok()?);
    let length = take(&mut body, 1)?[0];
    // A record that added names is missing: it is not known whose these are.
    if take_count(&mut body)? != table.len() {
        return None;
    }
    for _ in 0..take_count(&mut body)? {
        let length = take_count(&mut body)?;
        let name = std::str::from_utf8(take(&mut body, length)?).ok()?;
        table.push(name.to_owned());
    }
    let mut row = |name| {
        let length = take_count(&mut body)?;
        Some((name, take(&mut body, length)?))
    };
    let sites = table.iter().map(&mut row).collect::<Option<Rows>>()?;
    Some(Record {
        scope,
        hour,
        length,
        sites,
    })
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn take_count(bytes: &mut &[u8]) -> Option<usize> {
    let mut count = 0usize;
    for shift in [0, 7, 14, 21] {
        let byte = take(bytes, 1)?[0];
        count |= usize::from(byte & 127) << shift;
        if byte < 128 {
            return Some(count);
        }
    }
    None
}

#[cfg(test)]
#[path = "history_file_tests.rs"]
mod tests;
