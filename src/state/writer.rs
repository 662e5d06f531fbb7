//! Saves with little wear: a save appends the changes to the journal, one block of flash; now and then the
//! complete state is rewritten.

use super::delta::{Delta, settle};
use super::format::{encode_record, encode_snapshot};
use super::owned_file;
use super::recover::Found;
use super::{BACKUP, JOURNAL, NEW, SNAPSHOT};
use crate::files;
use crate::monitor::persist::snapshot::Snapshot;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Block size of flash in bytes.
pub const BLOCK: u64 = 4096;
/// Length of a journal in bytes that is folded into a new snapshot: with 100 sites after some fifty saves,
/// which costs each of them a quarter of a block more.
const FOLD_AFTER: u64 = 128 << 10;
/// Length of a change in bytes (both copies) from which a new snapshot is cheaper: an outage of many sites.
const LARGE: usize = 32 << 10;

/// The cost of a save.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub bytes: u64,
    /// Written blocks of 4 KB, including those of the directory.
    pub blocks: u64,
}

/// The only writer of a state directory.
#[derive(Debug)]
pub struct Files {
    dir: PathBuf,
    /// The state in the files, and its number.
    last: Snapshot,
    seq: u64,
    /// The highest number that was assigned, written or not. A new snapshot gets a higher one, so that the
    /// remains of a failed write are never taken for something newer.
    given: u64,
    journal_len: u64,
    /// The files contain `last`, and the journal may be continued.
    pub(super) sound: bool,
    /// The snapshot has a copy.
    copied: bool,
    /// The last save was made.
    pub(super) closed: bool,
}

/// The steps of writing a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Write,
    PutInPlace,
    SyncSnapshot,
    WriteBackup,
    PutBackup,
    SyncBackup,
    DropJournal,
}

/// In order. After a power cut at any step there is a valid snapshot with all records after it: the journal
/// is removed last, and until then two of the three files suffice.
pub(super) const STEPS: [Step; 7] = [
    Step::Write,
    Step::PutInPlace,
    Step::SyncSnapshot,
    Step::WriteBackup,
    Step::PutBackup,
    Step::SyncBackup,
    Step::DropJournal,
];

impl Files {
    pub fn new(dir: &Path, found: &Found) -> Files {
        Files {
            dir: dir.to_owned(),
            last: found.snapshot.clone().unwrap_or_default(),
            seq: found.seq,
            given: found.seq,
            journal_len: found.journal_len,
            sound: !found.unsound,
            copied: found.copied,
            closed: false,
        }
    }

    /// Writes the changes. Blocks as long as the flash does. After an error the files still contain one of the
    /// states that were to be saved.
    pub fn save(&mut self, snapshot: Snapshot) -> io::Result<Written> {
        let next = settle(&self.last, snapshot);
        let delta = if self.sound {
            Delta::between(&self.last, &next, self.seq + 1)
        } else {
            None
        };
        if delta.as_ref().is_some_and(|d| d.is_empty(&self.last)) {
            return Ok(Written::default());
        }
        let record = delta.map(|d| encode_record(&d)).unwrap_or_default();
        let written = self.write(&record, &next)?;
        self.last = next;
        Ok(written)
    }

    /// `record` leads from the last state to the next; empty if no record can.
    fn write(&mut self, record: &[u8], next: &Snapshot) -> io::Result<Written> {
        let whole = self.closed
            || next.clean
            || !self.copied
            || self.journal_len >= FOLD_AFTER
            || record.is_empty()
            || record.len() > LARGE;
        if !whole {
            match self.append(record) {
                Ok(written) => return Ok(written),
                Err(e) => log::debug!("the journal cannot be written: {}", files::reason(&e)),
            }
        }
        match self.rewrite(next) {
            // There may be room for one block, but not for the complete state.
            Err(e) if is_full(&e) && self.sound && !record.is_empty() => {
                self.append(record).map_err(|_| e)
            }
            written => written,
        }
    }

    /// Appends a record. After an error the journal is unchanged, or `sound` is false.
    fn append(&mut self, record: &[u8]) -> io::Result<Written> {
        self.given = self.given.max(self.seq + 1);
        let appended = self.append_at_end(record);
        match appended {
            Ok(_) => self.seq += 1,
            Err(_) => self.sound = self.take_back().is_ok(),
        }
        appended
    }

    fn append_at_end(&mut self, record: &[u8]) -> io::Result<Written> {
        let path = self.dir.join(JOURNAL);
        let first = self.journal_len == 0;
        let file = match first {
            true => owned_file::create_empty(&path)?,
            false => owned_file::open_to_write(&path)?,
        };
        let mut length = self.journal_len;
        let mut written = append(&file, &mut length, record)?;
        if first {
            self.sync_dir()?;
            written.blocks += 1;
        }
        self.journal_len = length;
        Ok(written)
    }

    /// Truncates what a failed append may have left. If that fails, too, a partial record will be recognised,
    /// and a complete one is a state that was to be saved.
    fn take_back(&self) -> io::Result<()> {
        let path = self.dir.join(JOURNAL);
        let file = owned_file::open_to_write(&path)?;
        if file.metadata()?.len() < self.journal_len {
            return Err(io::Error::other("a part of it is gone"));
        }
        file.set_len(self.journal_len)?;
        file.sync_data()
    }

    /// Writes the complete state twice.
    fn rewrite(&mut self, next: &Snapshot) -> io::Result<Written> {
        let (write, rest) = STEPS.split_at(1);
        let (put, copy) = rest.split_at(2);
        self.given += 1;
        let bytes = encode_snapshot(self.given, next);
        let mut done = self.perform(write, &bytes);
        if done.as_ref().is_err_and(is_full) {
            // Removing the copy makes room; the snapshot and its journal are untouched.
            let _ = fs::remove_file(self.dir.join(BACKUP));
            self.copied = false;
            done = self.perform(write, &bytes);
        }
        done?;
        // Until the rename has succeeded it is unknown which state a record would follow.
        self.sound = false;
        self.perform(put, &bytes)?;
        (self.sound, self.copied, self.seq) = (true, false, self.given);
        let length = bytes.len() as u64;
        let mut written = Written {
            bytes: length,
            blocks: length.div_ceil(BLOCK) + 1,
        };
        let mut done = self.perform(copy, &bytes);
        if done.as_ref().is_err_and(is_full) {
            // The snapshot includes the journal.
            done = self.step(Step::DropJournal, &bytes);
            if done.is_ok() {
                self.journal_len = 0;
                done = self.perform(copy, &bytes);
            }
        }
        match done {
            Ok(()) => {
                self.copied = true;
                self.journal_len = 0;
                written.bytes *= 2;
                written.blocks *= 2;
            }
            // The state is saved; the next save tries again to copy it.
            Err(e) => log::debug!("the state has no copy: {}", files::reason(&e)),
        }
        Ok(written)
    }

    pub(super) fn perform(&self, steps: &[Step], bytes: &[u8]) -> io::Result<()> {
        let done = steps.iter().try_for_each(|step| self.step(*step, bytes));
        if done.is_err() {
            // A partial file on a full disk would keep it full.
            let _ = fs::remove_file(self.dir.join(NEW));
        }
        done
    }

    fn step(&self, step: Step, bytes: &[u8]) -> io::Result<()> {
        let new = self.dir.join(NEW);
        match step {
            Step::Write | Step::WriteBackup => {
                let mut file = owned_file::create_empty(&new)?;
                file.write_all(bytes)?;
                file.sync_all()
            }
            Step::PutInPlace => fs::rename(new, self.dir.join(SNAPSHOT)),
            Step::PutBackup => fs::rename(new, self.dir.join(BACKUP)),
            Step::SyncSnapshot | Step::SyncBackup => self.sync_dir(),
            // If it reappears after a power cut, it contains nothing newer.
            Step::DropJournal => match fs::remove_file(self.dir.join(JOURNAL)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
                _ => Ok(()),
            },
        }
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }
}

/// Appends a record to a file of this length, and waits until it is on flash. A record that would span two
/// blocks but fits into one starts in the next block; the gap reads as zeros.
pub(super) fn append(file: &File, length: &mut u64, record: &[u8]) -> io::Result<Written> {
    if file.metadata()?.len() != *length {
        return Err(io::Error::other("another process wrote to it"));
    }
    let bytes = record.len() as u64;
    let mut at = *length;
    if bytes <= BLOCK && at % BLOCK + bytes > BLOCK {
        at = at.next_multiple_of(BLOCK);
    }
    file.write_all_at(record, at)?;
    file.sync_data()?;
    *length = at + bytes;
    let blocks = length.div_ceil(BLOCK) - at / BLOCK;
    Ok(Written { bytes, blocks })
}

fn is_full(e: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(e.kind(), StorageFull | QuotaExceeded)
}
