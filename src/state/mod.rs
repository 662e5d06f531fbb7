//! Keeps the state on flash: a snapshot, its copy, and a journal of the changes since.
//!
//! | file | content |
//! | --- | --- |
//! | `snapshot` | a complete state |
//! | `snapshot.old` | a copy of it, or an older state that the journal continues |
//! | `journal` | the changes since, one record per save |
//! | `*.bad` | a damaged file, kept for inspection |
//! | `*.newer` | a file of a newer sitemon |
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
/// A snapshot before it is renamed.
const NEW: &str = "snapshot.new";
const BACKUP: &str = "snapshot.old";
const JOURNAL: &str = "journal";

/// Time limit for opening: slow flash has answered by then.
const OPEN_WITHIN: Duration = Duration::from_secs(10);
/// How often [`read`] starts again when the files change meanwhile.
const READ_ATTEMPTS: u32 = 5;
const READ_PAUSE: Duration = Duration::from_millis(20);
/// How long another process may hold the lock in passing: `status` tests the lock, and a child process
/// inherits it until it executes its program.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// An open state directory. The lock is held until this and all [`Writer`]s of it are dropped.
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
    /// It cannot be created, read or written: the agent runs without it.
    Unusable(String),
}

/// The content of a state directory.
#[derive(Debug)]
pub struct Loaded {
    pub snapshot: Option<Snapshot>,
    /// Damage that was found, as a sentence for the chats.
    pub damage: Option<String>,
    pub writer: Writer,
}

/// Saves to a state directory, from any thread, one save at a time.
#[derive(Clone, Debug)]
pub struct Writer {
    dir: Arc<Path>,
    files: Arc<Mutex<Files>>,
    _lock: Arc<File>,
}

/// Why there is no state to show.
#[derive(Debug)]
pub enum ReadError {
    Missing,
    Io(io::Error),
    Damaged(String),
    /// It is of a newer sitemon, with this version of the format.
    Newer(u32),
}

/// Opens the state directory of the agent and reads its files. Blocks up to [`OPEN_WITHIN`].
pub fn open(dir: &Path) -> Result<Loaded, OpenError> {
    let owned = dir.to_owned();
    let opened = files::within(dir, OPEN_WITHIN, move || {
        Ok(State::open(&owned).map(State::load))
    });
    opened.unwrap_or_else(|e| {
        let text = format!("cannot use {}: {}", dir.display(), files::reason(&e));
        Err(OpenError::Unusable(text))
    })
}

/// Prevents the agent from using a state directory as long as the result lives. Does nothing if the
/// directory cannot be used, does not exist or belongs to another user.
///
/// # Errors
///
/// If another process uses it: a sentence.
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
    /// Creates the directory if it is missing (mode 0700) and locks it. Blocks as long as the file system does.
    pub fn open(dir: &Path) -> Result<State, OpenError> {
        let unusable = |what: &str, e: io::Error| {
            OpenError::Unusable(format!(
                "cannot {what} {}: {}",
                dir.display(),
                files::reason(&e)
            ))
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
            OpenError::Unusable(format!("cannot use {shown}: {}", files::reason(&e)))
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

    /// Reads all files. Keeps damaged ones as `*.bad`, and uses their valid parts.
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

    /// Sets unusable files aside and describes the consequences.
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

    /// Lists where files were set aside.
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
    /// Writes the changes since the last save, and returns once they are on flash. Blocks until then, and
    /// during a save on another thread.
    ///
    /// # Errors
    /// If the disk is full, read-only or failing. The next save then writes the complete state.
    pub fn save(&self, snapshot: Snapshot) -> io::Result<Written> {
        let mut files = self.files();
        if files.closed {
            return Ok(Written::default());
        }
        files.save(snapshot)
    }

    /// The last save. An older state that is still being saved on another thread must not follow it.
    pub fn close(&self, snapshot: Snapshot) -> io::Result<Written> {
        let mut files = self.files();
        files.closed = true;
        files.save(snapshot)
    }

    /// Describes a failed save.
    pub fn failure(&self, e: &io::Error) -> String {
        format!("{}: {}", self.dir.display(), files::reason(e))
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(|poisoned| {
            // A save has panicked.
            self.files.clear_poison();
            let mut files = poisoned.into_inner();
            files.sound = false;
            files
        })
    }
}

/// Whether an agent uses the directory: it holds the lock while it runs. Blocks for a bounded time.
pub fn in_use_now(dir: &Path) -> bool {
    let lock = dir.join(LOCK);
    let held = files::within(dir, OPEN_WITHIN, move || {
        let lock = owned_file::open_to_read(&lock)?;
        Ok(matches!(
            lock.try_lock_shared(),
            Err(TryLockError::WouldBlock)
        ))
    });
    held.unwrap_or(false)
}

/// Reads the state that the running agent last wrote, without locking. Leaves out what is damaged beyond
/// repair. Blocks for a bounded time.
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
        // The agent may append or rename a new snapshot at any moment: a journal that was read after that does not
        // continue the snapshot that was read before.
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

/// Changes whenever another snapshot is renamed into place.
fn identity(dir: &Path) -> Option<(u64, i64, i64)> {
    let meta = fs::metadata(dir.join(SNAPSHOT)).ok()?;
    Some((meta.ino(), meta.mtime(), meta.mtime_nsec()))
}

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod tests;
