//! Reads files whose paths users give: only regular files, up to a maximum size, within a timeout.
//!
//! A path may lead to a FIFO without a writer, to a device, or to a network file system whose
//! server is down; then open(2), read(2) or even stat(2) blocks for ever and can't be interrupted.
//! Such files are therefore read on a helper thread. A thread that exceeds the timeout is
//! abandoned, and another one for the same path is started only after a pause, because the path may
//! lead elsewhere by then.

use crate::offload::{job, spawn};
use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Timeout of reading a file.
pub const READ_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum size of a bundle of trusted roots in bytes; that of a distribution has about 220,000.
pub const LARGEST_BUNDLE: u64 = 4 << 20;
/// Maximum number of helper threads, including abandoned ones.
const MAX_THREADS: usize = 32;
/// Maximum number of helper threads for one path.
const MOST_EACH: usize = 8;

/// Returns the pause before the next attempt when `hanging` threads of the path hang.
fn pause(hanging: usize) -> Duration {
    Duration::from_secs(match hanging {
        1 => 10,
        2 => 60,
        _ => 3600,
    })
}

/// Reads a regular file of at most `limit` bytes. Blocks for at most [`READ_TIMEOUT`].
///
/// # Errors
///
/// Returns an error if the file can't be read, is larger, isn't a regular file, or hangs
/// (`TimedOut`).
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let owned = path.to_owned();
    within(path, READ_TIMEOUT, move || read_now(&owned, limit))
}

/// Like [`read`], but on this thread, for files of the system itself. Doesn't block on a FIFO, but
/// does on a file system that hangs.
///
/// # Errors
///
/// As for [`read`], except `TimedOut`.
pub fn read_now(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (file, _) = open(path, limit)?;
    bounded(file, limit)
}

/// Reads `file` to its end.
///
/// # Errors
///
/// Returns an error if it can't be read or has more than `limit` bytes.
pub fn bounded(file: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(too_large(limit));
    }
    Ok(bytes)
}

/// Opens a regular file of at most `limit` bytes and follows symbolic links. Blocks if the file
/// system does.
///
/// # Errors
///
/// As for [`read`], except `TimedOut`.
pub fn open(path: &Path, limit: u64) -> io::Result<(File, Metadata)> {
    // Checked before opening because opening a device may have side effects.
    regular(&std::fs::metadata(path)?)?;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let file = match options.open(path) {
        // Another process holds a lease on the file and is now asked to release it (fcntl(2)).
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => File::open(path)?,
        opened => opened?,
    };
    let found = file.metadata()?;
    regular(&found)?;
    match found.len() > limit {
        true => Err(too_large(limit)),
        false => Ok((file, found)),
    }
}

/// Opens a regular file and follows no symbolic link. Doesn't block on a FIFO.
///
/// # Errors
///
/// Returns an error if the file can't be opened or isn't a regular file.
pub fn open_itself(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    // Checked before opening because opening a device may have side effects.
    if let Ok(found) = std::fs::symlink_metadata(path) {
        regular(&found)?;
    }
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = options.custom_flags(flags).open(path)?;
    regular(&file.metadata()?)?;
    Ok(file)
}

/// Creates a draft, which is renamed when it is complete, and locks it until it is closed: one that
/// is not locked has lost its writer. `create` has to fail if the file exists.
///
/// # Errors
///
/// Returns the error of `create`.
pub fn draft(create: impl Fn() -> io::Result<File>) -> io::Result<File> {
    loop {
        let file = create()?;
        let locked = loop {
            match file.lock() {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                locked => break locked,
            }
        };
        // Where files can't be locked none is removed either.
        if locked.is_err() || file.metadata()?.nlink() > 0 {
            return Ok(file);
        }
        // Another process took it for an abandoned one before it was locked.
    }
}

/// Removes a [`draft`] whose writer was killed. Does nothing if there is none, if its writer is
/// still at it, or if this user may not write or remove it.
pub fn remove_abandoned(path: &Path) {
    // NFS locks only what is open for writing.
    let _ = open_itself(path, OpenOptions::new().read(true).write(true)).and_then(|file| {
        file.try_lock()?;
        // Since it was opened its writer may have ended, and another one begun.
        let (locked, found) = (file.metadata()?, std::fs::symlink_metadata(path)?);
        match (locked.dev(), locked.ino()) == (found.dev(), found.ino()) {
            true => std::fs::remove_file(path),
            false => Ok(()),
        }
    });
}

/// Accepts only regular files.
///
/// # Errors
///
/// Says what `found` is instead; the text completes a sentence after the path and a colon.
pub fn regular(found: &Metadata) -> io::Result<()> {
    match found {
        found if found.is_file() => Ok(()),
        found if found.is_dir() => Err(io::Error::from_raw_os_error(libc::EISDIR)),
        _ => Err(io::Error::other(format!(
            "it is {}, not a regular file",
            kind(found.file_type())
        ))),
    }
}

/// Returns the kind with its article, such as `a directory` or `a named pipe`.
pub fn kind(found: FileType) -> &'static str {
    match found {
        kind if kind.is_file() => "a regular file",
        kind if kind.is_dir() => "a directory",
        kind if kind.is_symlink() => "a symbolic link",
        kind if kind.is_fifo() => "a named pipe",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    }
}

fn too_large(limit: u64) -> io::Error {
    let size = match (limit >> 20, limit >> 10) {
        (0, kib) => format!("{kib} KiB"),
        (mib, _) => format!("{mib} MiB"),
    };
    io::Error::other(format!("it is larger than {size}"))
}

/// Formats an I/O error without the number that Rust adds.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

/// Runs `work`, which accesses `path`, on a helper thread and waits at most `patience` for it. A
/// thread that hangs is abandoned and ends when it can.
///
/// # Errors
///
/// Returns the error of `work`, or `TimedOut` if it takes too long. Returns `TimedOut` at once if
/// earlier work with this path still hangs.
pub fn within<T: Send + 'static>(
    path: &Path,
    patience: Duration,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let give_up = Instant::now() + patience;
    let turn = Turn::wait(path, patience, give_up)?;
    let (done, ended) = sync_channel::<()>(0);
    let (job, result) = job(move || {
        let found = work();
        // Before the result is passed on, because the caller may start the next job at once.
        drop(turn);
        found
    });
    spawn("file", job, done)?;
    match ended.recv_timeout(give_up.saturating_duration_since(Instant::now())) {
        Err(RecvTimeoutError::Timeout) => Err(hangs()),
        Ok(()) | Err(RecvTimeoutError::Disconnected) => result.take(),
    }
}

fn hangs() -> io::Error {
    let text = "it does not answer (a network file system whose server is gone?)";
    io::Error::new(io::ErrorKind::TimedOut, text)
}

/// A running helper thread.
struct Job {
    path: PathBuf,
    since: Instant,
    /// A later job for the same path has ended, so this one no longer shows that the path hangs.
    outdated: bool,
}

static JOBS: Mutex<Vec<Job>> = Mutex::new(Vec::new());
static ENDED: Condvar = Condvar::new();

fn jobs() -> MutexGuard<'static, Vec<Job>> {
    JOBS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A permit to run a helper thread for one path; released when dropped.
struct Turn {
    path: PathBuf,
    since: Instant,
}

impl Turn {
    fn wait(path: &Path, patience: Duration, give_up: Instant) -> io::Result<Turn> {
        let mut jobs = jobs();
        loop {
            let now = Instant::now();
            let same = jobs.iter().filter(|job| job.path == path && !job.outdated);
            let same: Vec<Duration> = same.map(|job| now.duration_since(job.since)).collect();
            let newest = same.iter().min();
            let waits = newest.is_some_and(|age| *age < patience);
            let hanging = newest.is_some_and(|age| *age < pause(same.len()));
            if hanging && (!waits || now >= give_up) || same.len() >= MOST_EACH {
                return Err(hangs());
            }
            if !hanging && jobs.len() < MAX_THREADS {
                let (path, since) = (path.to_owned(), now);
                jobs.push(Job {
                    path: path.clone(),
                    since,
                    outdated: false,
                });
                return Ok(Turn { path, since });
            }
            if now >= give_up {
                let text = format!("{MAX_THREADS} other files do not answer");
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            let left = give_up.saturating_duration_since(now);
            let waited = ENDED.wait_timeout(jobs, left);
            jobs = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut jobs = jobs();
        let own = |job: &Job| job.path == self.path && job.since == self.since;
        if let Some(at) = jobs.iter().position(own) {
            jobs.swap_remove(at);
        }
        for job in jobs.iter_mut() {
            job.outdated |= job.path == self.path && job.since < self.since;
        }
        ENDED.notify_all();
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::ffi::CString;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    /// More than a busy machine needs.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// Calls mkfifo(3) because a child process would inherit the file locks of other tests between
    /// fork and exec.
    pub(crate) fn fifo(path: &Path) {
        let path = CString::new(path.as_os_str().as_bytes()).expect("a path");
        // SAFETY: reads a text that ends with a NUL (mkfifo(3)).
        let made = unsafe { libc::mkfifo(path.as_ptr(), 0o600) };
        assert_eq!(made, 0, "{}", io::Error::last_os_error());
    }

    fn said(path: &Path) -> String {
        read_now(path, 1024).expect_err("is no file").to_string()
    }

    #[test]
    fn a_file_is_read_through_symbolic_links() {
        let dir = tempfile::tempdir().expect("a directory");
        let (data, file) = (dir.path().join("..data"), dir.path().join("ca.pem"));
        fs::create_dir(dir.path().join("v1")).expect("a directory");
        fs::write(dir.path().join("v1/ca.pem"), "text").expect("written");
        // Kubernetes mounts its secrets like this.
        symlink("v1", &data).expect("a link");
        symlink("..data/ca.pem", &file).expect("a link");
        assert_eq!(read(&file, 4).expect("readable"), b"text");
        fs::write(&file, "x".repeat(1025)).expect("written");
        assert_eq!(said(&file), "it is larger than 1 KiB");
    }

    #[test]
    fn what_is_no_regular_file_is_named_and_not_waited_for() {
        let dir = tempfile::tempdir().expect("a directory");
        let (pipe, link) = (dir.path().join("pipe"), dir.path().join("link"));
        fifo(&pipe);
        symlink(&pipe, &link).expect("a link");
        let socket = dir.path().join("socket");
        let _listener = UnixListener::bind(&socket).expect("a socket");
        assert!(said(dir.path()).starts_with("Is a directory"));
        for (path, what) in [
            (&*pipe, "a named pipe"),
            (&*link, "a named pipe"),
            (&*socket, "a socket"),
            (Path::new("/dev/zero"), "a device"),
        ] {
            assert_eq!(said(path), format!("it is {what}, not a regular file"));
        }
        let missing = read_now(&dir.path().join("none"), 1).expect_err("is missing");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_draft_stays_while_it_is_written_and_not_longer() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("draft");
        let attempts = AtomicUsize::new(0);
        let written = draft(|| {
            let file = File::create_new(&path)?;
            if attempts.fetch_add(1, Ordering::SeqCst) == 0 {
                // It is not locked yet.
                remove_abandoned(&path);
            }
            Ok(file)
        });
        let written = written.expect("made");
        assert_eq!(attempts.load(Ordering::SeqCst), 2);
        remove_abandoned(&path);
        assert!(path.exists());
        drop(written);
        // Another file: a program that another test starts may still hold the lock of the first one.
        let path = dir.path().join("left");
        fs::write(&path, "").expect("written");
        remove_abandoned(&path);
        assert!(!path.exists());
        let target = dir.path().join("target");
        fs::write(&target, "text").expect("written");
        symlink(&target, &path).expect("a link");
        remove_abandoned(&path);
        assert!(path.is_symlink() && target.exists());
    }

    #[test]
    fn work_that_hangs_is_given_up_and_not_begun_again_until_it_ends() {
        let patience = Duration::from_millis(50);
        let path = Path::new("/nowhere/hangs");
        let begun = Arc::new(AtomicUsize::new(0));
        let (end, ends) = sync_channel::<()>(0);
        let count = begun.clone();
        let hang = move || {
            count.fetch_add(1, Ordering::SeqCst);
            let _ = ends.recv();
            Ok(())
        };
        let hung = within(path, patience, hang).expect_err("it hangs");
        assert_eq!(hung.kind(), io::ErrorKind::TimedOut);
        // The thread may start late.
        while begun.load(Ordering::SeqCst) == 0 {
            thread::sleep(Duration::from_millis(1));
        }
        for _ in 0..100 {
            let count = begun.clone();
            let again = within(path, patience, move || {
                count.fetch_add(1, Ordering::SeqCst);
                Ok(())
            });
            assert!(again.is_err());
        }
        assert_eq!(begun.load(Ordering::SeqCst), 1);
        let other = within(Path::new("/nowhere/else"), PATIENCE, || Ok(1));
        assert_eq!(other.expect("another file is not held up"), 1);
        drop(end);
        // Waits until the first job has ended.
        let again = within(path, PATIENCE, || Ok(2));
        assert_eq!(again.expect("it has ended"), 2);
    }

    #[test]
    fn two_that_read_one_file_at_once_both_get_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        fs::write(&path, "text").expect("written");
        let readers: Vec<_> = (0..64)
            .map(|_| {
                let path = path.clone();
                let owned = path.clone();
                thread::spawn(move || within(&path, PATIENCE, move || read_now(&owned, 1024)))
            })
            .collect();
        for reader in readers {
            let bytes = reader.join().expect("no panic").expect("readable");
            assert_eq!(bytes, b"text");
        }
    }

    #[test]
    fn work_that_panics_is_an_error_and_over() {
        let path = Path::new("/nowhere/panics");
        let panicked = within(path, PATIENCE, || -> io::Result<()> {
            panic!("on purpose")
        });
        assert!(panicked.is_err());
        assert!(within(path, PATIENCE, || Ok(())).is_ok());
    }
}
