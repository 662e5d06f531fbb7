//! The history of the sites in separate files: one record per hour, one block of flash for a hundred sites.
//!
//! | file | content |
//! | --- | --- |
//! | `history` | what was known at the start of the day, and its hours since |
//! | `history.old` | the same of the day before, with the minutes of the last 24 hours |
//!
//! A record is `sHr1`, the length and the CRC-32 of its body, and the body: a letter, the hour (since 1970),
//! and the core's data for each site. Zeros between records are padding within a block. Records may be
//! missing: only what they contained is unknown then.

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
/// Maximum bytes of a file. With 1,000 sites it has some 5 MB.
const MAX_FILE: u64 = 32 << 20;
/// Magic, length, checksum.
const HEADER: usize = 12;

/// The history files of a state directory.
#[derive(Debug)]
pub struct HistoryFiles {
    dir: PathBuf,
    /// The names in the order used by the file's records.
    table: Vec<String>,
    /// The day of the file.
    day: Option<i64>,
    length: u64,
}

/// The format is a later one.
fn is_newer(bytes: &[u8]) -> bool {
    let version = bytes.strip_prefix(&MAGIC[..3]).and_then(<[u8]>::first);
    version.is_some_and(|version| version.is_ascii_alphanumeric() && *version > MAGIC[3])
}

impl HistoryFiles {
    /// Passes all valid records to `take` in the order of time. Keeps a damaged file as `*.bad` and returns a
    /// sentence for the chats. The lock of the directory must be held.
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
                    log::warn!("{file} of the state cannot be read: {}", files::reason(&e));
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

    /// Returns what [`HistoryFiles::save`] needs for these sites at this hour.
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
    /// If the disk is full, read-only or failing. The next save then writes everything.
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
            // Sites that were removed from the configuration leave no data behind.
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

/// Adds new names to `table`; a record contains the names that it adds.
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

/// Seven bits per byte, lowest first.
fn put_count(bytes: &mut Vec<u8>, mut count: usize) {
    while count > 127 {
        bytes.push(count as u8 | 128);
        count >>= 7;
    }
    bytes.push(count as u8);
}

#[derive(Debug, Default)]
struct Read {
    /// The hour of the last record.
    hour: Option<i64>,
    table: Vec<String>,
    /// It ends within a record.
    torn: bool,
    damaged: bool,
}

fn decode(bytes: &[u8], mut take: impl FnMut(&Record)) -> Read {
    let mut read = Read::default();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == 0 {
            // Padding precedes a record: there is none at the end.
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

/// Returns the body of the record at the start of `bytes` if it is valid.
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
    // A record that added names is missing: the sites of these data are unknown.
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
