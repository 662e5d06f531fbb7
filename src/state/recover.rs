//! Reading a state directory, whatever has become of it.
//!
//! Every saved state has a number. A snapshot holds one state whole, a record of the journal the
//! way from one state to the next. So any snapshot and all records with higher numbers give the
//! last state, and which file was renamed or removed first does not matter: records that a
//! snapshot holds already are passed over, and a number that is missing shows that something is
//! lost.
//!
//! A record that is missing (both its copies are damaged) does not make the later ones worthless.
//! They hold whole records and the newest counters, so going on gives every site, incident and
//! alert as it was last written somewhere readable; stopping would lose alerts that wait. An alert
//! whose delivery was in the lost record is sent twice, which is allowed; a site and its incident
//! that no longer agree are reconciled by the monitor. A journal without any snapshot is used for
//! the same reason.

use super::format::{Base, Journal, Unreadable, claimed_seq, decode_journal, decode_snapshot};
use super::owned_file;
use super::{BACKUP, JOURNAL, SNAPSHOT, reason};
use crate::monitor::persist::snapshot::Snapshot;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// A snapshot of 1,000 sites is under 1 MB.
const MAX_SIZE: u64 = 16 << 20;

/// What a state directory holds.
#[derive(Debug, Default)]
pub struct Found {
    pub snapshot: Option<Snapshot>,
    /// No state with a higher number was seen.
    pub seq: u64,
    /// Where the next record goes.
    pub journal_len: u64,
    /// The files are not as a writer leaves them: the next save must replace them all.
    pub unsound: bool,
    /// The snapshot has its copy.
    pub copied: bool,
    /// The end of the journal was not written completely.
    pub torn: bool,
    pub damaged: Vec<Damage>,
    /// Files of a newer version, and which.
    pub newer: Vec<&'static str>,
    pub version: Option<u32>,
    /// Something that was written is in no file any more.
    pub lost: bool,
}

/// A file to set aside.
#[derive(Debug)]
pub struct Damage {
    pub file: &'static str,
    pub what: String,
    /// Something was read from it, so it must stay until the next save.
    pub useful: bool,
}

/// Reads everything and changes nothing.
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
        // What follows a snapshot that cannot be read.
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
    // A snapshot was put in place and the power went before its copy was: that one is one ahead.
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

    /// What is wrong with the files, for people.
    pub fn faults(&self) -> String {
        let faults: Vec<String> = self
            .damaged
            .iter()
            .map(|d| format!("{}: {}", d.file, d.what))
            .collect();
        faults.join("; ")
    }
}

/// `claimed`: the number that one which cannot be used claims to have.
fn open_snapshot(path: &Path, claimed: &mut Option<u64>) -> Result<Base, Unreadable> {
    let bytes = read(path)?;
    decode_snapshot(&bytes).inspect_err(|_| *claimed = claimed_seq(&bytes))
}

fn read(path: &Path) -> Result<Vec<u8>, Unreadable> {
    owned_file::read(path, MAX_SIZE).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => Unreadable::Missing,
        // What it is says it all.
        _ if e.raw_os_error().is_none() => Unreadable::Damaged(e.to_string()),
        _ => Unreadable::Damaged(format!("it cannot be read: {}", reason(&e))),
    })
}

/// Keeps a file of a newer version as it is. Its new name, unless that fails.
pub fn keep_newer(dir: &Path, file: &str) -> Option<String> {
    let aside = format!("{file}.newer");
    renamed(file, fs::rename(dir.join(file), dir.join(&aside)), aside)
}

/// Keeps a damaged file. Its new name, unless that fails. One that is still needed is copied (a file
/// that has a second name is not written to) and stays until the next save replaces it.
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
    done.inspect_err(|e| log::warn!("{file} cannot be set aside: {}", reason(e)))
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
