//! The snapshot on flash and back: replaced whole, checked when read, locked against a second run.
//!
//! The file is one header line and then JSON:
//! `sitemon-state 1 CRC32 LENGTH`, the checksum in hexadecimal over the bytes that follow.

use crate::monitor::snapshot::Snapshot;
use nanoserde::{DeJson, SerJson};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const FILE: &str = "snapshot";
const MAGIC: &str = "sitemon-state";
const VERSION: u32 = 1;
/// A snapshot of 1,000 sites is under 1 MB.
const MAX_SIZE: u64 = 16 << 20;

/// An open state directory. Its lock is held until it is dropped.
#[derive(Debug)]
pub struct State {
    dir: PathBuf,
    _lock: File,
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
#[derive(Debug, Default)]
pub struct Loaded {
    pub snapshot: Option<Snapshot>,
    /// A damaged file was set aside: the sentence to tell.
    pub damage: Option<String>,
}

/// Why there is nothing to show.
#[derive(Debug)]
pub enum ReadError {
    Missing,
    Io(io::Error),
    Damaged(String),
}

impl State {
    /// Makes the directory if need be (mode 0700) and takes its lock.
    pub fn open(dir: &Path) -> Result<State, OpenError> {
        let unusable = |what: &str, e: io::Error| {
            OpenError::Unusable(format!("cannot {what} {}: {}", dir.display(), reason(&e)))
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|e| unusable("create", e))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(dir.join("lock"))
            .map_err(|e| unusable("write to", e))?;
        match lock.try_lock() {
            Ok(()) => Ok(State {
                dir: dir.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse(format!(
                "another sitemon uses {}: stop it first, or give this one a `state` of its own",
                dir.display()
            ))),
            Err(TryLockError::Error(e)) => Err(unusable("lock", e)),
        }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Reads the snapshot. A damaged one is renamed to `snapshot.bad` and the agent starts afresh.
    pub fn load(&self) -> Loaded {
        match read(&self.dir) {
            Ok(snapshot) => Loaded {
                snapshot: Some(snapshot),
                damage: None,
            },
            Err(ReadError::Missing) => Loaded::default(),
            Err(ReadError::Io(e)) => Loaded {
                snapshot: None,
                damage: Some(format!(
                    "The state in {} cannot be read ({}); starting afresh.",
                    self.dir.display(),
                    reason(&e)
                )),
            },
            Err(ReadError::Damaged(what)) => Loaded {
                snapshot: None,
                damage: Some(self.set_aside(&what)),
            },
        }
    }

    fn set_aside(&self, what: &str) -> String {
        let path = self.dir.join(FILE);
        let aside = self.dir.join("snapshot.bad");
        match fs::rename(&path, &aside) {
            Ok(()) => format!(
                "The state was damaged ({what}). It is kept as {}; starting afresh.",
                aside.display()
            ),
            Err(e) => format!(
                "The state in {} is damaged ({what}) and cannot be set aside ({}); starting afresh.",
                self.dir.display(),
                reason(&e)
            ),
        }
    }
}

/// The snapshot as the running agent last wrote it, without taking the lock.
pub fn read(dir: &Path) -> Result<Snapshot, ReadError> {
    let path = dir.join(FILE);
    let size = match fs::metadata(&path) {
        Ok(meta) => meta.len(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(ReadError::Missing),
        Err(e) => return Err(ReadError::Io(e)),
    };
    if size > MAX_SIZE {
        return Err(ReadError::Damaged("it is far too large".into()));
    }
    decode(&fs::read(&path).map_err(ReadError::Io)?).map_err(ReadError::Damaged)
}

/// Replaces the snapshot whole: a new file, fsync, rename, fsync of the directory. Blocks for as
/// long as the flash takes. Returns the number of bytes written.
pub fn write(dir: &Path, snapshot: &Snapshot) -> io::Result<u64> {
    let bytes = encode(snapshot);
    let new = dir.join("snapshot.new");
    let written = (|| {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&new, dir.join(FILE))?;
        File::open(dir)?.sync_all()
    })();
    if written.is_err() {
        // A half-written file on a full disk would keep it full.
        let _ = fs::remove_file(&new);
    }
    written.map(|()| bytes.len() as u64)
}

/// Words for an I/O error without the number that Rust adds.
pub fn reason(e: &io::Error) -> String {
    let text = e.to_string();
    match text.find(" (os error") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

fn encode(snapshot: &Snapshot) -> Vec<u8> {
    let json = snapshot.serialize_json();
    let header = format!(
        "{MAGIC} {VERSION} {:08x} {}\n",
        crc32(json.as_bytes()),
        json.len()
    );
    let mut bytes = header.into_bytes();
    bytes.extend_from_slice(json.as_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Result<Snapshot, String> {
    let end = bytes
        .iter()
        .take(80)
        .position(|b| *b == b'\n')
        .ok_or("it has no header")?;
    let header = std::str::from_utf8(&bytes[..end]).map_err(|_| "its header is not text")?;
    let body = &bytes[end + 1..];
    let mut words = header.split(' ');
    if words.next() != Some(MAGIC) {
        return Err("it has no header".into());
    }
    let version: u32 = words
        .next()
        .and_then(|w| w.parse().ok())
        .ok_or("it has no version")?;
    if version != VERSION {
        return Err(format!(
            "it has version {version}, this sitemon knows {VERSION}"
        ));
    }
    let sum = words.next().and_then(|w| u32::from_str_radix(w, 16).ok());
    let length = words.next().and_then(|w| w.parse::<usize>().ok());
    if length != Some(body.len()) {
        return Err("it was cut off".into());
    }
    if sum != Some(crc32(body)) {
        return Err("its checksum is wrong".into());
    }
    let json = std::str::from_utf8(body).map_err(|_| "it is not text")?;
    Snapshot::deserialize_json(json).map_err(|_| "it is not readable".into())
}

/// CRC-32 (IEEE 802.3), bit by bit: some kilobytes a few times an hour.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::snapshot::SiteRecord;
    use proptest::prelude::*;

    fn sample() -> Snapshot {
        Snapshot {
            written: 1_800_000_000,
            last_update: Some(9_007_199_254_740_993),
            next_incident: 3,
            sites: vec![SiteRecord {
                name: "blog \"ü\u{1F600}".into(),
                state: "down".into(),
                cause: Some("HTTP 503".into()),
                ..SiteRecord::default()
            }],
            ..Snapshot::default()
        }
    }

    #[test]
    fn the_checksum_is_the_standard_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn what_was_written_is_read_back() {
        let dir = tempfile::tempdir().expect("tempdir");
        let state = State::open(dir.path()).expect("opens");
        assert!(state.load().snapshot.is_none());
        write(dir.path(), &sample()).expect("writes");
        assert_eq!(state.load().snapshot, Some(sample()));
    }

    #[test]
    fn a_second_run_is_kept_off() {
        let dir = tempfile::tempdir().expect("tempdir");
        let first = State::open(dir.path()).expect("opens");
        assert!(matches!(State::open(dir.path()), Err(OpenError::InUse(_))));
        drop(first);
        assert!(State::open(dir.path()).is_ok());
    }

    #[test]
    fn cut_at_any_byte_or_with_any_bit_flipped_it_is_set_aside_and_said() {
        let dir = tempfile::tempdir().expect("tempdir");
        let state = State::open(dir.path()).expect("opens");
        let good = encode(&sample());
        let damaged = (0..good.len())
            .map(|n| good[..n].to_vec())
            .chain((0..good.len() * 8).map(|bit| {
                let mut bytes = good.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                bytes
            }));
        for bytes in damaged {
            fs::write(dir.path().join(FILE), &bytes).expect("writes");
            let loaded = state.load();
            // The header's hexadecimal may change its case and mean the same.
            if loaded.snapshot != Some(sample()) {
                assert!(loaded.snapshot.is_none());
                let said = loaded.damage.expect("says so");
                assert!(said.contains("damaged"), "{said}");
                assert!(dir.path().join("snapshot.bad").exists());
            }
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_is_an_error_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().expect("tempdir");
        assert!(write(&dir.path().join("gone"), &sample()).is_err());
    }

    #[test]
    fn the_directory_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("a/b");
        let _state = State::open(&path).expect("opens");
        let mode = fs::metadata(&path).expect("exists").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes);
        }
    }
}
