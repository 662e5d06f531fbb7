//! Opens the entries of a state directory: regular files of ours with a single name.
//!
//! Anything else with such a name was not created by sitemon, and is neither waited for (a FIFO) nor written
//! through (a symbolic link, a hard link to another file).

use crate::files;
use rustix::process::geteuid;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Reads a regular file of any user, up to `limit` bytes. Blocks.
///
/// # Errors
///
/// If the file cannot be read, is larger, or is no regular file.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    files::bounded(open_to_read(path)?, limit)
}

/// Opens a regular file of any user for reading.
///
/// # Errors
///
/// If the file cannot be opened, or is no regular file.
pub fn open_to_read(path: &Path) -> io::Result<File> {
    files::open_itself(path, OpenOptions::new().read(true))
}

/// Opens an existing file for writing.
///
/// # Errors
///
/// If the file cannot be opened, or has another owner or another name.
pub fn open_to_write(path: &Path) -> io::Result<File> {
    own(files::open_itself(path, OpenOptions::new().write(true))?)
}

/// Opens a file for writing, and creates it (mode 0600) if it is missing.
///
/// # Errors
///
/// Those of [`open_to_write`].
pub fn create(path: &Path) -> io::Result<File> {
    own(files::open_itself(
        path,
        OpenOptions::new().write(true).create(true).mode(0o600),
    )?)
}

/// Opens a file for writing, and truncates it.
///
/// # Errors
///
/// Those of [`open_to_write`].
pub fn create_empty(path: &Path) -> io::Result<File> {
    #[cfg(test)]
    full::check()?;
    let file = create(path)?;
    file.set_len(0)?;
    Ok(file)
}

/// Explains why a name cannot be used: the owner, and what to do. `None` if the file is missing or ours,
/// or can be set aside.
pub fn foreign(path: &Path) -> Option<String> {
    let found = fs::symlink_metadata(path).ok()?;
    let file = found.is_file() && found.uid() != geteuid().as_raw();
    let shown = path.display();
    match found.nlink() {
        _ if !file => None,
        // A hard link: chown would give away another file.
        2.. => Some(format!(
            "{shown} is a second name of a file that belongs to {}: remove it",
            user(found.uid())
        )),
        _ => Some(whose(path, &found)),
    }
}

/// Explains that `path` is no directory, and what to do.
pub fn no_directory(path: &Path) -> Option<String> {
    let shown = path.display();
    let what = match fs::metadata(path) {
        Ok(found) if found.is_dir() => return None,
        Ok(found) => files::kind(found.file_type()),
        // A dangling link exists as well.
        Err(_) if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) => {
            "a symbolic link that leads to no directory"
        }
        Err(_) => return None,
    };
    Some(format!("{shown} is {what}: {OWN}"))
}

/// Whether a directory contains nothing but sitemon's files. One that cannot be read is private at least.
fn is_sitemons(dir: &Path) -> bool {
    let Ok(mut names) = fs::read_dir(dir) else {
        return true;
    };
    names.all(|found| {
        found.is_ok_and(|found| {
            let name = found.file_name();
            let name = name.to_string_lossy();
            let known = [
                "lock",
                "snapshot",
                "journal",
                "history",
                "push.sock",
                "spool",
            ];
            known.contains(&name.split('.').next().unwrap_or_default()) || known.contains(&&*name)
        })
    })
}

/// Explains that `path` belongs to another user, and what to do.
pub fn whose(path: &Path, found: &Metadata) -> String {
    let (shown, us, them) = (path.display(), user(geteuid().as_raw()), user(found.uid()));
    if found.is_dir() && found.mode() & 0o002 != 0 {
        // Such as /tmp.
        return format!("{shown} belongs to {them} and is everybody's: {OWN}");
    }
    let dir = match found.is_dir() {
        true => path,
        false => path.parent().unwrap_or(path),
    };
    let remedy = match is_sitemons(dir) {
        true => format!("chown -R {us} {}, or run it as that user", dir.display()),
        // Such as / or /var/lib.
        false => OWN.to_owned(),
    };
    format!("{shown} belongs to {them}, but sitemon runs as {us}: {remedy}")
}

/// Explains that other users can write to the directory `dir`, and what to do; `None` if they cannot.
pub fn open_to_others(dir: &Path, found: &Metadata) -> Option<String> {
    let remedy = match found.mode() {
        mode if mode & 0o022 == 0 => return None,
        mode if mode & 0o1000 != 0 => OWN.to_owned(),
        _ => format!("chmod go-w {}", dir.display()),
    };
    let shown = dir.display();
    Some(format!(
        "other users can write to {shown}, where the state is: {remedy}"
    ))
}

const OWN: &str = "name a directory of sitemon's own as `state`";

/// Returns the name of a user, or the number if there is none (passwd(5)).
fn user(uid: u32) -> String {
    let table = files::read_now(Path::new("/etc/passwd"), 1 << 20).unwrap_or_default();
    let table = String::from_utf8_lossy(&table);
    let name = table.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| uid.to_string())
}

fn own(file: File) -> io::Result<File> {
    let found = file.metadata()?;
    if found.uid() != geteuid().as_raw() {
        let text = format!("it belongs to {}", user(found.uid()));
        return Err(io::Error::other(text));
    }
    if found.nlink() > 1 {
        return Err(io::Error::other("it has a second name (a hard link)"));
    }
    Ok(file)
}

/// Simulates a full disk for the next files.
#[cfg(test)]
pub mod full {
    use std::cell::Cell;
    use std::io;

    thread_local!(static TIMES: Cell<u32> = const { Cell::new(0) });

    pub fn set(times: u32) {
        TIMES.set(times);
    }

    pub fn check() -> io::Result<()> {
        match TIMES.get() {
            0 => Ok(()),
            times => {
                TIMES.set(times - 1);
                Err(io::ErrorKind::StorageFull.into())
            }
        }
    }
}

#[cfg(test)]
#[path = "owned_file_tests.rs"]
mod tests;
