//! Writes the configuration file, and what it names.

use crate::config::{self, LARGEST_FILE};
use crate::files;
use crate::state;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

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
    let replaced = file.metadata().and_then(|old| {
        let mut draft = Draft::beside(path)?;
        draft.fill(&text, Some((old.uid(), old.gid())), old.mode())?;
        draft.put()
    });
    replaced.map_err(failed)
}

/// The file and its text. One that is a symbolic link is not followed: what it leads to may belong to any user.
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

/// A file on its way to its path; without [`Draft::put`] it leaves nothing behind.
pub struct Draft {
    path: PathBuf,
    new: PathBuf,
    file: File,
}

impl Draft {
    /// An empty file beside `path`, which is readable for its owner alone.
    ///
    /// # Errors
    ///
    /// There is no such directory, or it cannot be written.
    pub fn beside(path: &Path) -> io::Result<Draft> {
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!(".{}", std::process::id()));
        let new = path.with_file_name(name);
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        let path = path.to_owned();
        Ok(Draft { path, new, file })
    }

    /// Writes all of it to the disk. `owner`: user and group; `None` = the user who runs this.
    ///
    /// # Errors
    ///
    /// It cannot be written, or given to the owner.
    pub fn fill(&mut self, text: &str, owner: Option<(u32, u32)>, mode: u32) -> io::Result<()> {
        self.file.write_all(text.as_bytes())?;
        if let Some((user, group)) = owner {
            fchown(&self.file, Some(user), Some(group))?;
        }
        let mode = Permissions::from_mode(mode & 0o7777);
        self.file.set_permissions(mode)?;
        self.file.sync_all()
    }

    /// Puts it in the place of what is at its path.
    ///
    /// # Errors
    ///
    /// What is there stays.
    pub fn put(self) -> io::Result<()> {
        fs::rename(&self.new, &self.path)?;
        let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty());
        // It is in place, whether or not this works.
        let _ = File::open(dir.unwrap_or(Path::new("."))).and_then(|dir| dir.sync_all());
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.new);
    }
}
