//! Writes the files of the token and the configuration, with permissions for their readers.

use super::super::Failure;
use super::super::config_file::Draft;
use crate::files;
use crate::secret::Secret;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Checks that a file can be written beside `path`.
///
/// # Errors
///
/// Returns the error of creating it.
pub fn look_over(path: &Path) -> Result<(), Failure> {
    Draft::beside(path)
        .map(drop)
        .map_err(|e| unwritten(path, &e))
}

/// Writes the token's file, readable only by its owner.
///
/// # Errors
///
/// Returns the error of writing it; an existing file is unchanged.
pub fn token(path: &Path, token: &Secret, owner: Option<(u32, u32)>) -> Result<(), Failure> {
    let text = format!("{}\n", token.expose());
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let made = dir.map_or(Ok(()), fs::create_dir_all);
    let put = made.and_then(|()| put(path, &text, owner, 0o600));
    put.map_err(|e| unwritten(path, &e))
}

/// Writes the configuration. `old` is the metadata of the previous file, `service` the user and
/// group that must be able to read it; `secret` means that other users must not.
///
/// # Errors
///
/// Returns the error of writing it; an existing file is unchanged.
pub fn configuration(
    path: &Path,
    text: &str,
    old: Option<&Metadata>,
    service: Option<(u32, u32)>,
    secret: bool,
) -> Result<(), Failure> {
    let old = old.map(|old| ((old.uid(), old.gid()), old.mode()));
    let (owner, mode) = owner_and_mode(old, service, secret);
    put(path, text, owner, mode).map_err(|e| unwritten(path, &e))
}

fn put(path: &Path, text: &str, owner: Option<(u32, u32)>, mode: u32) -> io::Result<()> {
    let mut draft = Draft::beside(path)?;
    draft.fill(text, owner, mode)?;
    draft.put()
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    let root = match error.kind() {
        io::ErrorKind::PermissionDenied => "; run it as root: sudo sitemon init",
        _ => "",
    };
    let (path, reason) = (path.display(), files::reason(error));
    Failure::Usage(format!("{path} cannot be written: {reason}{root}"))
}

/// Returns owner and mode of the configuration. `old` is owner and mode of the previous file;
/// `service` is the user and group that must be able to read it.
fn owner_and_mode(
    old: Option<((u32, u32), u32)>,
    service: Option<(u32, u32)>,
    secret: bool,
) -> (Option<(u32, u32)>, u32) {
    let owner = old.map(|(owner, _)| owner);
    match service {
        _ if !secret => (owner, old.map_or(0o644, |(_, mode)| mode)),
        Some((_, group)) => (Some((owner.map_or(0, |(user, _)| user), group)), 0o640),
        None => (owner, 0o600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_with_a_secret_is_for_the_service_alone() {
        let old = Some(((5, 6), 0o100_644));
        assert_eq!(owner_and_mode(None, None, false), (None, 0o644));
        assert_eq!(
            owner_and_mode(old, Some((7, 8)), false),
            (Some((5, 6)), 0o100_644)
        );
        assert_eq!(
            owner_and_mode(old, Some((7, 8)), true),
            (Some((5, 8)), 0o640)
        );
        assert_eq!(
            owner_and_mode(None, Some((7, 8)), true),
            (Some((0, 8)), 0o640)
        );
        assert_eq!(owner_and_mode(None, None, true), (None, 0o600));
    }
}
