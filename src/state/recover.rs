//! Reads a state directory in any condition.
//!
//! Each saved state has a number. A snapshot contains one complete state, a record of the journal the
//! difference to the next one. So any snapshot and all records with higher numbers give the last state,
//! regardless of which file was renamed or removed first: records that a snapshot includes are skipped, and
//! a missing number shows a loss.
//!
//! A missing record (both copies damaged) does not invalidate later ones. They contain complete records and
//! the newest counters, so continuing restores every site, incident and alert as last written in a readable
//! place; stopping would lose waiting alerts. An alert whose delivery was in the lost record is sent twice,
//! which is allowed; the monitor reconciles a site and its incident that disagree. For the same reason a
//! journal is used even without any snapshot.

use super::format::{Base, Journal, Unreadable, claimed_seq, decode_journal, decode_snapshot};
use super::owned_file;
use super::{BACKUP, JOURNAL, SNAPSHOT};
use crate::files;
use crate::monitor::persist::snapshot::Snapshot;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// Maximum bytes of a file. A snapshot of 1,000 sites is under 1 MB.
const MAX_SIZE: u64 = 16 << 20;

/// The content of a state directory.
#[derive(Debug, Default)]
pub struct Found {
    pub snapshot: Option<Snapshot>,
    /// The highest number that was found.
    pub seq: u64,
    /// Where the next record goes.
    pub journal_len: u64,
    /// A writer does not leave files like this: the next save must replace them all.
    pub unsound: bool,
    /// The snapshot has a copy.
    pub copied: bool,
    /// The last write to the journal was interrupted.
    pub torn: bool,
    pub damaged: Vec<Damage>,
    /// Files of a newer version.
    pub newer: Vec<&'static str>,
    pub version: Option<u32>,
    /// Some saved data are in no file any more.
    pub lost: bool,
}

/// A file to set aside.
#[derive(Debug)]
pub struct Damage {
    pub file: &'static str,
    pub what: String,
    /// Some of it was used, so it must stay until the next save.
    pub useful: bool,
}

/// Reads all files and changes nothing.
pub fn find(dir: &Path) -> Found {
    let mut found = Found::default();
    let mut claimed = None;
    let main = open_snapshot(&dir.join(SNAPSHOT), &mut claimed);
    let backup = open_snapshot(&dir.join(BACKUP), &mut None);
    for (file, read) in [(SNAPSHOT, &main), (BACKUP, &backup)] {
        match read {
            Err(Unreadable::Damaged(what)) if main.is_err() => {
                found.damage(file, what.clone(), false);
            }
            Err(Unreadable::Newer(newer)) => {
                found.unsound = true;
                found.newer.push(file);
                found.version = found.version.max(Some(*newer));
            }
            _ => {}
        }
    }
    let base = match (main, backup) {
        (Ok(main), Ok(backup)) => {
            found.copied = main.seq == backup.seq;
            Some(if backup.seq > main.seq { backup } else { main })
        }
        (main, backup) => main.or(backup).ok(),
    };
    let journal = match read(&dir.join(JOURNAL)) {
        Err(Unreadable::Missing | Unreadable::Newer(_)) => Journal::default(),
        // A journal that continues an unreadable snapshot.
        Ok(_) if base.is_none() && !found.newer.is_empty() => {
            found.newer.push(JOURNAL);
            Journal::default()
        }
        Ok(bytes) => {
            found.journal_len = bytes.len() as u64;
            decode_journal(&bytes)
        }
        Err(Unreadable::Damaged(what)) => {
            found.damage(JOURNAL, what, false);
            found.lost = true;
            Journal::default()
        }
    };
    if journal.damaged {
        let what = "a checksum is wrong".to_owned();
        found.damage(JOURNAL, what, !journal.deltas.is_empty());
    }
    found.torn = journal.torn;
    found.lost |= journal.tail_lost;
    found.unsound |= journal.torn;
    found.replay(base, journal);
    // A power cut came between a snapshot and its copy, which is one state behind.
    found.lost |= claimed == Some(found.seq + 1);
    found
}

impl Found {
    fn damage(&mut self, file: &'static str, what: String, useful: bool) {
        self.unsound = true;
        self.damaged.push(Damage { file, what, useful });
    }

    fn replay(&mut self, base: Option<Base>, journal: Journal) {
        if base.is_none() && journal.deltas.is_empty() {
            self.unsound = true;
            return;
        }
        self.lost |= base.is_none();
        let known = base.is_some();
        let Base { seq, mut snapshot } = base.unwrap_or(Base {
            seq: 0,
            snapshot: Snapshot::default(),
        });
        self.seq = seq;
        for delta in journal.deltas {
            if known && delta.seq <= self.seq {
                continue;
            }
            self.lost |= delta.seq != self.seq + 1;
            self.seq = delta.seq;
            delta.apply(&mut snapshot);
        }
        self.unsound |= self.lost;
        let printable = snapshot.clone().printable();
        self.unsound |= printable != snapshot;
        self.snapshot = Some(printable);
    }

    /// Describes what is wrong with the files.
    pub fn faults(&self) -> String {
        let faults: Vec<String> = self
            .damaged
            .iter()
            .map(|d| format!("{}: {}", d.file, d.what))
            .collect();
        faults.join("; ")
    }
}

/// `claimed`: set to the number in the header of an unusable snapshot.
fn open_snapshot(path: &Path, claimed: &mut Option<u64>) -> Result<Base, Unreadable> {
    let bytes = read(path)?;
    decode_snapshot(&bytes).inspect_err(|_| *claimed = claimed_seq(&bytes))
}

fn read(path: &Path) -> Result<Vec<u8>, Unreadable> {
    owned_file::read(path, MAX_SIZE).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => Unreadable::Missing,
        // The error's text is a complete description.
        _ if e.raw_os_error().is_none() => Unreadable::Damaged(e.to_string()),
        _ => Unreadable::Damaged(format!("it cannot be read: {}", files::reason(&e))),
    })
}

/// Renames a file of a newer version. Returns the new name unless that fails.
pub fn keep_newer(dir: &Path, file: &str) -> Option<String> {
    let aside = format!("{file}.newer");
    renamed(file, fs::rename(dir.join(file), dir.join(&aside)), aside)
}

/// Renames a damaged file. Returns the new name unless that fails. If it is still needed, it is copied (files
/// with a second name are not written to) and stays until the next save replaces it.
pub fn set_aside(dir: &Path, file: &str, needed: bool) -> Option<String> {
    let aside = format!("{file}.bad");
    let (from, to) = (dir.join(file), dir.join(&aside));
    let done = match needed {
        true => copy(&from, &to),
        false => fs::rename(&from, &to),
    };
    renamed(file, done, aside)
}

fn renamed(file: &str, done: io::Result<()>, aside: String) -> Option<String> {
    done.inspect_err(|e| log::warn!("{file} cannot be set aside: {}", files::reason(e)))
        .ok()
        .map(|()| aside)
}

fn copy(path: &Path, to: &Path) -> io::Result<()> {
    match fs::remove_file(to) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let bytes = owned_file::read(path, MAX_SIZE)?;
    owned_file::create_empty(to)?.write_all(&bytes)
}
