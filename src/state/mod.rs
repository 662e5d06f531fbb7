//! What must survive, on flash and back: a snapshot, its copy, and a journal of what changed since.
//!
//! | file | holds |
//! | --- | --- |
//! | `snapshot` | a state whole |
//! | `snapshot.old` | the same again, or an older one from which the journal leads on |
//! | `journal` | what changed since, a record for each save |
//! | `*.bad` | a damaged file, for people |
//! | `*.newer` | a file that a newer sitemon wrote |
//! | `history`, `history.old` | the history behind percentages and charts: see [`history_file`] |
//! | `lock` | locked while the agent runs |

mod delta;
mod format;
mod history_file;
mod owned_file;
mod recover;
mod writer;

use crate::files;
use crate::monitor::persist::snapshot::Snapshot;
pub use history_file::HistoryFiles;
use recover::Found;
use rustix::process::geteuid;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};
use writer::Files;
pub use writer::{BLOCK, Written};

const LOCK: &str = "lock";
const SNAPSHOT: &str = "snapshot";
/// A snapshot on its way to its name.
const NEW: &str = "snapshot.new";
const BACKUP: &str = "snapshot.old";
const JOURNAL: &str = "journal";

/// A flash that is slow has answered by then.
const OPEN_WITHIN: Duration = Duration::from_secs(10);
/// How often and how soon again [`read`] looks when the files change under it.
const READ_ATTEMPTS: u32 = 5;
const READ_PAUSE: Duration = Duration::from_millis(20);
/// How long another process may hold the lock in passing: `status` asks whether it is locked, and a
/// child has its parent's until it runs its own program.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// An open state directory. Its lock is held until this and what it was loaded to are dropped.
#[derive(Debug)]
pub struct State {
    dir: PathBuf,
    lock: File,
}

/// Why a state directory cannot be used.
#[derive(Debug)]
pub enum OpenError {
    /// Another process holds the lock.
    InUse(String),
    /// It cannot be made, read or written: the agent goes on without.
    Unusable(String),
}

/// What was found in a state directory.
#[derive(Debug)]
pub struct Loaded {
    pub snapshot: Option<Snapshot>,
    /// Something was damaged: the sentence for the chats.
    pub damage: Option<String>,
    pub writer: Writer,
}

/// Saves to a state directory, from any thread, one save after the other.
#[derive(Clone, Debug)]
pub struct Writer {
    dir: Arc<Path>,
    files: Arc<Mutex<Files>>,
    _lock: Arc<File>,
}

/// Why there is nothing to show.
#[derive(Debug)]
pub enum ReadError {
    Missing,
    Io(io::Error),
    Damaged(String),
    /// A newer sitemon wrote it, in this version of the format.
    Newer(u32),
}

/// Opens the state directory of the agent and reads everything. Blocks, but not for ever.
pub fn open(dir: &Path) -> Result<Loaded, OpenError> {
    let owned = dir.to_owned();
    let opened = files::within(dir, OPEN_WITHIN, move || {
        Ok(State::open(&owned).map(State::load))
    });
    opened.unwrap_or_else(|e| {
        let text = format!("cannot use {}: {}", dir.display(), reason(&e));
        Err(OpenError::Unusable(text))
    })
}

/// Keeps the agent off a state directory as long as what is returned lives. A directory that cannot
/// be used, or not yet, keeps nothing off; one of another user's is left as it is.
///
/// # Errors
///
/// Another process uses it: a sentence.
pub fn reserve(dir: &Path) -> Result<Option<File>, String> {
    let owned = dir.to_owned();
    let reserved = files::within(dir, files::READ_TIMEOUT, move || {
        Ok(match State::open(&owned) {
            Ok(state) => Ok(Some(state.lock)),
            Err(OpenError::InUse(text)) => Err(text),
            Err(OpenError::Unusable(_)) => match owned_file::open_to_read(&owned.join(LOCK)) {
                Ok(lock) if matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) => {
                    Err(in_use(&owned))
                }
                lock => Ok(lock.ok()),
            },
        })
    });
    reserved.unwrap_or(Ok(None))
}

fn in_use(dir: &Path) -> String {
    format!(
        "another sitemon uses {}: stop it first, or give this one a `state` of its own",
        dir.display()
    )
}

impl State {
    /// Makes the directory if need be (mode 0700) and takes its lock. Blocks for as long as the file
    /// system does.
    pub fn open(dir: &Path) -> Result<State, OpenError> {
        let unusable = |what: &str, e: io::Error| {
            OpenError::Unusable(format!("cannot {what} {}: {}", dir.display(), reason(&e)))
        };
        if let Some(text) = owned_file::no_directory(dir) {
            return Err(OpenError::Unusable(text));
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|e| unusable("create", e))?;
        let found = fs::metadata(dir).map_err(|e| unusable("use", e))?;
        if found.uid() != geteuid().as_raw() {
            return Err(OpenError::Unusable(owned_file::whose(dir, &found)));
        }
        if let Some(text) = owned_file::open_to_others(dir, &found) {
            log::warn!("{text}");
        }
        let names = [LOCK, SNAPSHOT, BACKUP, NEW, JOURNAL];
        let names = names.iter().chain(&history_file::FILES);
        if let Some(text) = names
            .map(|name| dir.join(name))
            .find_map(|p| owned_file::foreign(&p))
        {
            return Err(OpenError::Unusable(text));
        }
        let path = dir.join(LOCK);
        let lock = owned_file::create(&path).map_err(|e| {
            let shown = path.display();
            OpenError::Unusable(format!("cannot use {shown}: {}", reason(&e)))
        })?;
        let mut locked = lock.try_lock();
        let given_up = Instant::now() + LOCK_WAIT;
        while matches!(locked, Err(TryLockError::WouldBlock)) && Instant::now() < given_up {
            thread::sleep(READ_PAUSE);
            locked = lock.try_lock();
        }
        match locked {
            Ok(()) => Ok(State {
                dir: dir.to_owned(),
                lock,
            }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse(in_use(dir))),
            Err(TryLockError::Error(e)) => Err(unusable("lock", e)),
        }
    }

    /// Reads everything. A damaged file is kept as `*.bad`, and what is sound is used.
    pub fn load(self) -> Loaded {
        let found = recover::find(&self.dir);
        if found.torn {
            log::warn!("the journal of the state ends in half a record: dropped");
        }
        let damage = self.damage(&found);
        Loaded {
            damage,
            writer: Writer {
                dir: self.dir.as_path().into(),
                files: Arc::new(Mutex::new(Files::new(&self.dir, &found))),
                _lock: Arc::new(self.lock),
            },
            snapshot: found.snapshot,
        }
    }

    /// Sets the files aside that cannot be used and says what that means.
    fn damage(&self, found: &Found) -> Option<String> {
        let newer = !found.newer.is_empty();
        if found.damaged.is_empty() && !found.lost && !newer {
            return None;
        }
        let mut said = Vec::new();
        if newer {
            let version = found.version.unwrap_or_default();
            let known = format::VERSION;
            let files = found.newer.iter();
            let kept = self.kept(files.filter_map(|file| recover::keep_newer(&self.dir, file)));
            said.push(format!(
                "The state was written by a newer sitemon (its version is {version}, this one \
                 knows {known}).{kept}"
            ));
        }
        if !found.damaged.is_empty() || (found.lost && !newer) {
            let faults = match found.damaged.is_empty() {
                true => "a part is missing".to_owned(),
                false => found.faults(),
            };
            let files = found.damaged.iter();
            let kept =
                self.kept(files.filter_map(|d| recover::set_aside(&self.dir, d.file, d.useful)));
            said.push(format!("The state was damaged ({faults}).{kept}"));
        }
        let lost = match (&found.snapshot, found.lost) {
            (None, _) => "Starting afresh.",
            (Some(_), true) => "Some of it is lost; the rest is used.",
            (Some(_), false) => "Nothing was lost.",
        };
        said.push(lost.to_owned());
        Some(said.join(" "))
    }

    /// Where files were set aside to.
    fn kept(&self, files: impl Iterator<Item = String>) -> String {
        let kept: Vec<String> = files.collect();
        if kept.is_empty() {
            return String::new();
        }
        let aside = self.dir.join(kept.join(" and "));
        format!(" It is kept as {}.", aside.display())
    }
}

impl Writer {
    /// Writes what changed since the last save, and returns once it is on flash. Blocks for as long
    /// as that takes, and for a save on another thread.
    ///
    /// # Errors
    /// The disk is full or read-only, or fails. The next save then writes everything anew.
    pub fn save(&self, snapshot: Snapshot) -> io::Result<Written> {
        let mut files = self.files();
        if files.closed {
            return Ok(Written::default());
        }
        files.save(snapshot)
    }

    /// The last save: one that is late on another thread and older must not come after it.
    pub fn close(&self, snapshot: Snapshot) -> io::Result<Written> {
        let mut files = self.files();
        files.closed = true;
        files.save(snapshot)
    }

    /// Where that failed, and why.
    pub fn failure(&self, e: &io::Error) -> String {
        format!("{}: {}", self.dir.display(), reason(e))
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(|poisoned| {
            // A save panicked midway.
            self.files.clear_poison();
            let mut files = poisoned.into_inner();
            files.sound = false;
            files
        })
    }
}

/// Whether an agent uses the directory now: it holds the lock as long as it runs. Blocks, but not
/// for ever.
pub fn in_use_now(dir: &Path) -> bool {
    let lock = dir.join(LOCK);
    let held = files::within(dir, files::READ_TIMEOUT, move || {
        let lock = owned_file::open_to_read(&lock)?;
        Ok(matches!(
            lock.try_lock_shared(),
            Err(TryLockError::WouldBlock)
        ))
    });
    held.unwrap_or(false)
}

/// The state as the running agent last wrote it, without taking the lock. What is damaged beyond
/// repair is left out. Blocks, but not for ever.
pub fn read(dir: &Path) -> Result<Snapshot, ReadError> {
    let owned = dir.to_owned();
    let read = files::within(dir, OPEN_WITHIN, move || Ok(read_now(&owned)));
    read.unwrap_or_else(|e| Err(ReadError::Io(e)))
}

fn read_now(dir: &Path) -> Result<Snapshot, ReadError> {
    match owned_file::open_to_read(&dir.join(SNAPSHOT)) {
        Err(e) if e.raw_os_error().is_some() && e.kind() != io::ErrorKind::NotFound => {
            return Err(ReadError::Io(e));
        }
        _ => {}
    }
    let mut found = Found::default();
    for look in 0..READ_ATTEMPTS {
        if look > 0 {
            thread::sleep(READ_PAUSE);
        }
        // The agent may append or put a new snapshot in place at any moment: a journal that was
        // read after that does not belong to the snapshot that was read before.
        let before = identity(dir);
        found = recover::find(dir);
        if found.damaged.is_empty() && !found.lost && identity(dir) == before {
            break;
        }
    }
    match found.snapshot {
        Some(snapshot) => Ok(snapshot),
        None if !found.newer.is_empty() => Err(ReadError::Newer(found.version.unwrap_or_default())),
        None if found.damaged.is_empty() => Err(ReadError::Missing),
        None => Err(ReadError::Damaged(found.faults())),
    }
}

/// Changes whenever another snapshot is put in place.
fn identity(dir: &Path) -> Option<(u64, i64, i64)> {
    let meta = fs::metadata(dir.join(SNAPSHOT)).ok()?;
    Some((meta.ino(), meta.mtime(), meta.mtime_nsec()))
}

/// Words for an I/O error without the number that Rust adds.
pub fn reason(e: &io::Error) -> String {
    let text = e.to_string();
    match text.find(" (os error") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod tests;
