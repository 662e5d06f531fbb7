//! Takes the reports of `sitemon push`: over a socket, and from the spool of those that could not
//! be sent over the socket.

use super::Agent;
use super::intake::Intake;
use crate::files;
use crate::monitor::site::Check;
use crate::monitor::site::printable::{self, NAME};
use crate::monitor::site::report::{ReportAnswer, Way};
use crate::offload::offload;
use crate::peers::Waiting;
use crate::push::{LARGEST, Reply, client, parse, spool};
use crate::timeout;
use crate::timer::Timer;
use async_io::Async;
use futures_lite::{AsyncReadExt, AsyncWriteExt, FutureExt};
use rustix::fs::inotify;
use rustix::net::sockopt::socket_peercred;
use std::cell::RefCell;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Number of reports that are read at once; more wait in the kernel's queue.
const AT_ONCE: usize = 16;
/// Timeout for a peer to send its report, and to take the reply.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause after descriptors or memory were lacking, and between two reads of the spool.
const PAUSE: Duration = Duration::from_secs(1);
/// Maximum number of a peer's groups (limits.h, NGROUPS_MAX).
const MOST_GROUPS: usize = 65_536;

impl Agent {
    /// Notes the `push:` sites, and starts to take reports once there is one.
    pub(super) fn take_reports(&mut self) {
        let sites = self.config.sites.iter();
        let jobs = sites.filter(|site| matches!(site.check, Check::Push(_)));
        *self.jobs.borrow_mut() = jobs.map(|site| site.name.clone()).collect();
        if self.takes_reports || self.jobs.borrow().is_empty() {
            return;
        }
        self.takes_reports = true;
        let path = self.config.agent.socket.clone();
        match bind(&path) {
            Ok(listener) => self.listen_at(listener, &path),
            Err(e) => {
                let why = files::reason(&e);
                let text = format!(
                    "`sitemon push` cannot reach this agent at {}: {why}. Its reports are kept for the next start.",
                    path.display()
                );
                self.notice(log::Level::Warn, text);
            }
        }
        let (intake, jobs) = (self.intake.clone(), self.jobs.clone());
        let spool = self.config.agent.spool.clone();
        self.spawn(follow_spool(intake, spool, jobs)).detach();
    }

    fn listen_at(&self, listener: Async<UnixListener>, path: &Path) {
        let listener = Rc::new(listener);
        let group = fs::metadata(path).map(|found| found.gid()).ok();
        let reading = Rc::new(Waiting::default());
        for _ in 0..AT_ONCE {
            let (listener, intake) = (listener.clone(), self.intake.clone());
            let reading = reading.clone();
            let work = async move {
                loop {
                    match listener.accept().await {
                        Ok((stream, _)) => {
                            // An error means that the peer has gone.
                            let _ = serve(stream, &intake, &reading, group).await;
                        }
                        Err(e) => {
                            log::debug!("a report cannot be taken: {}", files::reason(&e));
                            Timer::after(PAUSE).await;
                        }
                    }
                }
            };
            self.spawn(work).detach();
        }
    }
}

/// Reads one report and sends its reply.
async fn serve(
    mut stream: Async<UnixStream>,
    intake: &Intake,
    reading: &Waiting,
    group: Option<u32>,
) -> io::Result<()> {
    let report = match may_report(stream.get_ref(), group) {
        true => {
            let mut bytes = Vec::new();
            let mut bounded = (&mut stream).take(LARGEST + 1);
            let read = timeout::at_most(PATIENCE, bounded.read_to_end(&mut bytes));
            let read = read.or(given_up(reading)).await;
            let whole = matches!(read, Some(Ok(length)) if length as u64 <= LARGEST);
            parse(&bytes, Way::Socket).filter(|_| whole)
        }
        false => {
            log::debug!("a report of a user who may not report is refused");
            None
        }
    };
    let reply = match report {
        Some(report) => match intake.take(report).await {
            Some(answer) => Reply::Answer(answer),
            // The agent ends. Without a reply the report is kept in the spool.
            None => return Ok(()),
        },
        None => Reply::Refused,
    };
    let answered = timeout::at_most(PATIENCE, stream.write_all(reply.word().as_bytes()));
    answered.await.unwrap_or(Ok(()))
}

/// Waits until this peer is given up. When the last place is taken, the oldest peer is given up, so
/// that peers that send nothing don't block reports.
async fn given_up<T>(reading: &Waiting) -> Option<T> {
    if reading.count() + 1 == AT_ONCE {
        reading.give_up_oldest();
    }
    reading.given_up().await;
    None
}

/// Returns whether a peer is root, our own user or a member of the socket's group (unix(7),
/// SO_PEERCRED and SO_PEERGROUPS).
fn may_report(peer: &UnixStream, group: Option<u32>) -> bool {
    let Ok(user) = socket_peercred(peer) else {
        return false;
    };
    let own = rustix::process::geteuid();
    let of_group = |gid: u32| Some(gid) == group;
    user.uid.is_root()
        || user.uid == own
        || of_group(user.gid.as_raw())
        || groups(peer).into_iter().any(of_group)
}

/// Returns the supplementary groups of a peer; none on kernels before 4.13.
fn groups(peer: &UnixStream) -> Vec<u32> {
    let mut groups = vec![0u32; MOST_GROUPS];
    let mut bytes = size_of_val(groups.as_slice()) as libc::socklen_t;
    // SAFETY: `bytes` is the size of the buffer, and any bytes are valid numbers.
    let failed = unsafe {
        libc::getsockopt(
            peer.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERGROUPS,
            groups.as_mut_ptr().cast(),
            &mut bytes,
        )
    };
    match failed {
        0 => groups.truncate(bytes as usize / size_of::<u32>()),
        _ => groups.clear(),
    }
    groups
}

/// Binds the socket with mode 0660. Creates its directory with mode 0750 if only that is missing.
fn bind(path: &Path) -> io::Result<Async<UnixListener>> {
    if let Some(dir) = path.parent() {
        match DirBuilder::new().mode(0o750).create(dir) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
    }
    if let Ok(found) = fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(io::Error::other("what is there is no socket"));
        }
        // An earlier run may have left it. If it takes a connection, it is another agent's.
        if client::has_listener(path) {
            return Err(io::Error::other("another agent listens there"));
        }
        fs::remove_file(path)?;
    }
    let listener = Async::<UnixListener>::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Takes the reports in the spool, now and whenever more arrive (inotify(7)): jobs that could not
/// wait for the agent also leave their reports there.
async fn follow_spool(intake: Intake, dir: PathBuf, jobs: Rc<RefCell<Vec<String>>>) {
    let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
    let watch = inotify::init(flags).map_err(io::Error::from);
    let watch = watch.and_then(Async::<OwnedFd>::new_nonblocking);
    let watch = watch.map(Arc::new);
    let mut named = Vec::new();
    loop {
        let sites = jobs.borrow().clone();
        let (path, events) = (dir.clone(), watch.as_ref().ok().cloned());
        let look = move || {
            // Creates the directory: one that another user's job created later could not be
            // watched.
            let opened = spool::open_dir(&path);
            // Watched before it is read, so that files that arrive meanwhile are seen next time.
            // Added each time, because the directory may have been replaced.
            let flags = inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::ONLYDIR;
            let watched = match (opened, events) {
                (Ok(_), Some(events)) => inotify::add_watch(&*events, &path, flags).is_ok(),
                _ => false,
            };
            Ok((watched, spool::read(&path, &sites)?))
        };
        let watched = match offload(look).await {
            Ok((watched, found)) => {
                take_kept(&intake, found, &mut named).await;
                watched
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => return,
            Err(e) => {
                let why = files::reason(&e);
                return log::warn!(
                    "the spool {} cannot be read: {why}; it has to belong to the user of this process, or to its \
                     group with mode 3770",
                    dir.display()
                );
            }
        };
        let Some(events) = watch.as_ref().ok().filter(|_| watched) else {
            return log::warn!(
                "the spool {} cannot be watched: it is read at the next start",
                dir.display()
            );
        };
        if events.readable().await.is_err() {
            return;
        }
        // The events' contents are not used, and any that don't fit cause another round.
        let _ = rustix::io::read(&**events, &mut [0; 4096]);
        Timer::after(PAUSE).await;
    }
}

/// Hands over the reports that were found. `named`: the files that are not reports and have been
/// logged.
async fn take_kept(intake: &Intake, found: spool::Found, named: &mut Vec<OsString>) {
    for (name, e) in &found.refused {
        if named.contains(name) {
            continue;
        }
        let why = match e.kind() {
            io::ErrorKind::PermissionDenied => {
                "it cannot be read; it has to have the group of the spool and mode 0640".to_owned()
            }
            _ => files::reason(e),
        };
        let name = printable::line(&name.to_string_lossy(), NAME);
        log::warn!("{name} in the spool is passed over: {why}");
    }
    if let more @ 1.. = found.refused_more
        && named.is_empty()
    {
        log::warn!("{more} others in the spool are passed over");
    }
    named.clear();
    named.extend(found.refused.into_iter().map(|(name, _)| name));
    if let Some((count, site)) = found.foreign {
        let site = printable::line(&site, NAME);
        log::warn!("a report in the spool is for `{site}`, which is no push: site: it is dropped");
        if let more @ 1.. = count - 1 {
            log::warn!("{more} others like it are dropped");
        }
    }
    for (path, report) in found.reports {
        let answer = intake.take(report).await;
        if matches!(answer, Some(ReportAnswer::Saved | ReportAnswer::Unknown)) {
            // In a directory of root only the writer may remove it. Then the monitor recognises the
            // report when it is read again.
            let _ = fs::remove_file(path);
        }
    }
}
