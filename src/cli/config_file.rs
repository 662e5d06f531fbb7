//! Writes into the configuration file.

use crate::config::{self, LARGEST_FILE};
use crate::files;
use crate::state;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

/// Puts `chats = [CHAT]` into the table `[telegram]` of the file at `path`, and changes nothing else of it, whatever
/// happens meanwhile. Its owner and mode stay.
///
/// # Errors
///
/// The file is as it was; the sentence goes on behind its path.
pub fn add_chat(path: &Path, chat: i64) -> Result<(), String> {
    let failed = |error: io::Error| format!("cannot be written: {}", state::reason(&error));
    let (file, text) = open(path).map_err(failed)?;
    let text = config::with_chat(&text, chat)?;
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    let new = path.with_file_name(name);
    let mut options = OpenOptions::new();
    let made = options.write(true).create_new(true).mode(0o600).open(&new);
    let made = made.map_err(failed)?;
    replace(path, &file, &new, made, &text).map_err(|error| {
        let _ = fs::remove_file(&new);
        failed(error)
    })
}

/// The file and its text. One that is a symbolic link is not followed: what it leads to may be anyone's.
fn open(path: &Path) -> io::Result<(File, String)> {
    files::regular(&fs::symlink_metadata(path)?)?;
    let mut options = OpenOptions::new();
    // Writing is only tried.
    options.read(true).write(true);
    let file = options
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    files::regular(&file.metadata()?)?;
    let bytes = files::bounded(&file, LARGEST_FILE)?;
    let text = String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))?;
    Ok((file, text))
}

/// Writes `text` to the empty file `made`, and puts that from `new` in the place of `file`, which is at `path`.
fn replace(path: &Path, file: &File, new: &Path, mut made: File, text: &str) -> io::Result<()> {
    let old = file.metadata()?;
    made.write_all(text.as_bytes())?;
    fchown(&made, Some(old.uid()), Some(old.gid()))?;
    made.set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
    made.sync_all()?;
    fs::rename(new, path)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    // It is in place, whether or not this works.
    let _ = File::open(dir.unwrap_or(Path::new("."))).and_then(|dir| dir.sync_all());
    Ok(())
}
