//! Checks that a program exists and that no other user can replace it.

use crate::machine;
use crate::monitor::site::outcome::LocalFault;
use rustix::fs::{Access, access};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Why a program was not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotStarted {
    Missing,
    /// Not a program, for another architecture, or not executable for this user.
    NotExecutable,
    /// Other users can write to this path: the program or a directory above it.
    Exposed(PathBuf),
    /// The file system does not respond.
    Hangs,
    /// This machine lacks a resource for another process.
    Lacking(LocalFault),
}

impl NotStarted {
    /// Describes the reason, to follow the program's name.
    pub fn text(&self) -> String {
        match self {
            NotStarted::Missing => "does not exist".to_owned(),
            NotStarted::NotExecutable => "cannot be executed".to_owned(),
            NotStarted::Exposed(path) => {
                format!(
                    "can be replaced by other users: {} is theirs to write",
                    path.display()
                )
            }
            NotStarted::Hangs => "does not answer (a network file system?)".to_owned(),
            NotStarted::Lacking(fault) => format!("was not started: {}", fault.reason()),
        }
    }
}

/// Resolves links in `program` and checks that it may be run. `owner`: a user that is trusted like our own.
/// Blocks.
///
/// # Errors
///
/// Why it may not be run.
pub fn resolve(program: &Path, owner: Option<u32>) -> Result<PathBuf, NotStarted> {
    let real = fs::canonicalize(program).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => NotStarted::Missing,
        _ => refusal(&error),
    })?;
    let is_file = fs::metadata(&real).is_ok_and(|found| found.is_file());
    if !is_file || access(&real, Access::EXEC_OK).is_err() {
        return Err(NotStarted::NotExecutable);
    }
    match exposed(&real, owner) {
        Some(path) => Err(NotStarted::Exposed(path.to_owned())),
        None => Ok(real),
    }
}

/// Returns the part of `real`, a path without links, to which users other than root, us and `owner` can
/// write. In a sticky directory they cannot replace files of others (unlink(2)).
fn exposed(real: &Path, owner: Option<u32>) -> Option<&Path> {
    let own = rustix::process::geteuid().as_raw();
    let is_safe = |path: &&Path| {
        let Ok(found) = fs::symlink_metadata(path) else {
            return false;
        };
        let sticky = found.is_dir() && found.mode() & 0o1000 != 0;
        [Some(0), Some(own), owner].contains(&Some(found.uid()))
            && (found.mode() & 0o002 == 0 || sticky)
    };
    real.ancestors().find(|path| !is_safe(path))
}

/// Why the system did not run it.
pub(super) fn refusal(error: &io::Error) -> NotStarted {
    if let Some(local_fault) = machine::local_fault(error) {
        return NotStarted::Lacking(local_fault);
    }
    match error.raw_os_error() {
        // Too many processes.
        Some(libc::EAGAIN) => NotStarted::Lacking(LocalFault::Memory),
        _ => NotStarted::NotExecutable,
    }
}
