//! Writes the configuration file and the files that it refers to.

use crate::config::{self, LARGEST_FILE};
use crate::files;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Puts `chats = [CHAT]` into the table `[telegram]` of the file at `path` and changes nothing
/// else. The file is replaced atomically and keeps its owner and mode.
///
/// # Errors
///
/// Returns a sentence that follows the path. The file is unchanged.
pub fn add_chat(path: &Path, chat: i64) -> Result<(), String> {
    let failed = |error: io::Error| format!("cannot be written: {}", files::reason(&error));
    // First: what another process writes meanwhile would be lost.
    let mut draft = Draft::beside(path).map_err(failed)?;
    let (file, text) = open(path).map_err(failed)?;
    let text = config::with_chat(&text, chat)?;
    let replaced = file.metadata().and_then(|old| {
        draft.fill(&text, Some((old.uid(), old.gid())), old.mode())?;
        draft.put()
    });
    replaced.map_err(failed)
}

/// Opens and reads the file. Refuses a symbolic link, because its target may belong to another
/// user.
fn open(path: &Path) -> io::Result<(File, String)> {
    // Opened for writing only to check the permission.
    let file = files::open_itself(path, OpenOptions::new().read(true).write(true))?;
    let bytes = files::bounded(&file, LARGEST_FILE)?;
    let text = String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))?;
    Ok((file, text))
}

/// A temporary file that [`Draft::put`] moves to its path; removed when dropped before.
pub struct Draft {
    path: PathBuf,
    new: PathBuf,
    file: File,
}

impl Draft {
    /// Creates an empty file beside `path` that only its owner can read. Replaces one of a process
    /// that was killed: it may contain secrets.
    ///
    /// # Errors
    ///
    /// Returns the error of creating it; one that names the file if another process writes it.
    pub fn beside(path: &Path) -> io::Result<Draft> {
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(".new");
        let new = path.with_file_name(name);
        files::remove_abandoned(&new);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let file = files::draft(|| options.open(&new)).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => io::Error::other(format!(
                "{} exists: another sitemon writes it, or was killed; remove it then",
                new.display()
            )),
            _ => error,
        })?;
        let path = path.to_owned();
        Ok(Draft { path, new, file })
    }

    /// Writes the file and syncs it. `owner` is user and group; `None` for those of this process.
    ///
    /// # Errors
    ///
    /// Returns the error of writing it or of changing its owner or mode.
    pub fn fill(&mut self, text: &str, owner: Option<(u32, u32)>, mode: u32) -> io::Result<()> {
        self.file.write_all(text.as_bytes())?;
        if let Some((user, group)) = owner {
            fchown(&self.file, Some(user), Some(group))?;
        }
        let mode = Permissions::from_mode(mode & 0o7777);
        self.file.set_permissions(mode)?;
        self.file.sync_all()
    }

    /// Replaces the file at its path.
    ///
    /// # Errors
    ///
    /// Returns the error of rename(2); the file at the path is unchanged.
    pub fn put(mut self) -> io::Result<()> {
        fs::rename(&self.new, &self.path)?;
        // From now on a file of that name is another process's.
        self.new.clear();
        let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty());
        // The file is in place even if syncing the directory fails.
        let _ = File::open(dir.unwrap_or(Path::new("."))).and_then(|dir| dir.sync_all());
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_replaced_and_what_another_one_writes_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("sitemon.conf");
        fs::write(&path, "[telegram]\ntoken = \"1:a\"\n").expect("written");
        let other = Draft::beside(&path).expect("made");
        let refused = add_chat(&path, 1).expect_err("another process is at it");
        let name = dir.path().join(".sitemon.conf.new");
        let wanted = format!("cannot be written: {} exists: ", name.display());
        assert!(refused.starts_with(&wanted), "{refused}");
        let left = other.new.clone();
        drop(other);
        fs::write(&left, "secret").expect("written");
        add_chat(&path, 1).expect("written");
        let text = fs::read_to_string(&path).expect("there");
        assert!(text.contains("chats = [1]"), "{text}");
        assert_eq!(fs::read_dir(dir.path()).expect("there").count(), 1);
    }
}
