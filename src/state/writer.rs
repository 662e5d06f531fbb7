//! Saving with little wear: a save appends what changed to the journal, one block of flash; now and
//! then all of it is written anew.

use super::delta::{Delta, settle};
use super::format::{encode_record, encode_snapshot};
use super::owned_file;
use super::recover::Found;
use super::{BACKUP, JOURNAL, NEW, SNAPSHOT, reason};
use crate::monitor::persist::snapshot::Snapshot;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What flash is written in.
pub const BLOCK: u64 = 4096;
/// A journal of this length is folded into a new snapshot. With 100 sites that is once in some
/// fifty saves, each of which then costs a quarter of a block more.
const FOLD_AFTER: u64 = 128 << 10;
/// A change of this length (both copies) had better be a new snapshot: a storm over many sites.
const LARGE: usize = 32 << 10;

/// What a save cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub bytes: u64,
    /// Blocks of 4 KB touched, those of the directory included.
    pub blocks: u64,
}

/// The one writer of a state directory.
#[derive(Debug)]
pub struct Files {
    dir: PathBuf,
    /// What the files say now, and its number.
    last: Snapshot,
    seq: u64,
    /// The highest number given to a state, written or not. A new snapshot gets a higher one, so
    /// that the remains of a failed write are never mistaken for something newer.
    given: u64,
    journal_len: u64,
    /// The files say `last`, and the journal may be continued.
    pub(super) sound: bool,
    /// The snapshot has its copy.
    copied: bool,
    /// The last save was asked for.
    pub(super) closed: bool,
}

/// The steps of a whole new snapshot.
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

/// In their order. Wherever the power goes, there is a sound snapshot with all records after it:
/// the journal goes last, and until then two of the three files are enough.
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

    /// Writes what changed. Blocks for as long as the flash takes. After an error the files still
    /// say one of the states that were to be saved.
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

    /// `record` leads from the last state to the next; empty if it cannot.
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
                Err(e) => log::debug!("the journal cannot be written: {}", reason(&e)),
            }
        }
        match self.rewrite(next) {
            // There may be room for a block where there is none for all of it.
            Err(e) if is_full(&e) && self.sound && !record.is_empty() => {
                self.append(record).map_err(|_| e)
            }
            written => written,
        }
    }

    /// Appends a record. After an error the journal is as it was, or not `sound`.
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

    /// Cuts off what a failed append may have left. Where that fails too, half a record will be
    /// recognised, and a whole one is a state that was to be saved.
    fn take_back(&self) -> io::Result<()> {
        let path = self.dir.join(JOURNAL);
        let file = owned_file::open_to_write(&path)?;
        if file.metadata()?.len() < self.journal_len {
            return Err(io::Error::other("a part of it is gone"));
        }
        file.set_len(self.journal_len)?;
        file.sync_data()
    }

    /// Writes everything anew, twice.
    fn rewrite(&mut self, next: &Snapshot) -> io::Result<Written> {
        let (write, rest) = STEPS.split_at(1);
        let (put, copy) = rest.split_at(2);
        self.given += 1;
        let bytes = encode_snapshot(self.given, next);
        let mut done = self.perform(write, &bytes);
        if done.as_ref().is_err_and(is_full) {
            // The copy makes room for the new state; the snapshot and its journal are untouched.
            let _ = fs::remove_file(self.dir.join(BACKUP));
            self.copied = false;
            done = self.perform(write, &bytes);
        }
        done?;
        // Until it is known whether it is in place, it is not known what a record would follow.
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
            // The snapshot holds all that the journal does.
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
            // The state is saved; the next save tries again to make it safe against damage.
            Err(e) => log::debug!("the state has no copy: {}", reason(&e)),
        }
        Ok(written)
    }

    pub(super) fn perform(&self, steps: &[Step], bytes: &[u8]) -> io::Result<()> {
        let done = steps.iter().try_for_each(|step| self.step(*step, bytes));
        if done.is_err() {
            // A half-written file on a full disk would keep it full.
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
            // Should it come back after a power cut, it has nothing that is newer.
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

/// Appends a record to a file of this length, and waits until it is on flash. Where it would straddle
/// two blocks and one has room for it, it goes into the next block; what is left free reads as zeros.
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
