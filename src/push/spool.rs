//! The spool: a directory with a file for each report that no agent has taken yet.
//!
//! Other users may write there (members of the group of the packages). Only regular files of
//! bounded size with a single link are read, if they belong to root, to our own user, or to the
//! group of the directory. No incomplete file is read: each is renamed into place when it is
//! complete.

use super::wire::{LARGEST, encode, parse};
use crate::crc::Crc;
use crate::files;
use crate::monitor::site::report::{Report, Way};
use rustix::fs::{AtFlags, Mode, OFlags};
use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, fchown};
use std::path::{Path, PathBuf};

/// Maximum number of reports of a site that a user keeps, or that are read. Newer ones supersede
/// older ones.
const MOST_KEPT: usize = 20;
/// Maximum number of refused files that are named.
const MOST_NAMED: usize = 10;
const SUFFIX: &str = ".report";
const MODE: Mode = Mode::from_raw_mode(0o640);

/// Keeps a report until an agent reads it. Returns its path.
///
/// # Errors
///
/// Returns an error if the file cannot be written.
pub fn keep(dir: &Path, report: &Report) -> io::Result<PathBuf> {
    let opened = open_dir(dir)?;
    // The path may lead elsewhere by now.
    remove_abandoned(&Path::new("/proc/self/fd").join(opened.as_raw_fd().to_string()));
    let group = opened.metadata()?.gid();
    let own = own_of(dir, &report.site);
    for old in own.iter().rev().skip(MOST_KEPT - 1) {
        let _ = fs::remove_file(old);
    }
    let pid = std::process::id();
    let at = report.at.max(0);
    let name = format!("{}{at:016}-{pid}{SUFFIX}", prefix(&report.site));
    let draft = format!(".{name}");
    let written = (|| {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        // Until it is locked, no other user may open it.
        let create = || rustix::fs::openat(&opened, &draft, flags, Mode::RUSR | Mode::WUSR);
        let file = files::draft(|| Ok(File::from(create()?)))?;
        // The agent's group, so that the agent can read the files of other users.
        let _ = fchown(&file, None, Some(group));
        // Regardless of the umask.
        rustix::fs::fchmod(&file, MODE)?;
        (&file).write_all(encode(report).as_bytes())?;
        file.sync_all()?;
        rustix::fs::renameat(&opened, &draft, &opened, &name)?;
        opened.sync_all()
    })();
    if written.is_err() {
        let _ = rustix::fs::unlinkat(&opened, &draft, AtFlags::empty());
    }
    written.map(|()| dir.join(name))
}

/// Opens the directory. If only the directory itself is missing, creates it with owner and group of
/// its parent. A symbolic link is refused: the agent's user could direct root elsewhere with it.
///
/// # Errors
///
/// Returns an error if it cannot be created or opened, or is a link.
pub fn open_dir(dir: &Path) -> io::Result<File> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || rustix::fs::open(dir, flags, Mode::empty()).map(File::from);
    match open() {
        Err(rustix::io::Errno::NOENT) => {}
        opened => return Ok(opened?),
    }
    let above = dir.parent().filter(|above| !above.as_os_str().is_empty());
    let above = fs::metadata(above.unwrap_or(Path::new(".")))?;
    let created = match create_dir(dir, &above) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => false,
        created => created.map(|()| true)?,
    };
    let (opened, own) = (open()?, rustix::process::geteuid().as_raw());
    let found = opened.metadata()?;
    let differs = (found.uid(), found.gid()) != (above.uid(), above.gid());
    // This process may not act as another user, or it isn't root.
    if created && differs && found.uid() == own {
        fchown(&opened, Some(above.uid()), Some(above.gid()))?;
    }
    Ok(opened)
}

/// Creates the directory; as root with owner and group of its parent `above`, in one step, because
/// another job or the agent may use it at once.
fn create_dir(dir: &Path, above: &Metadata) -> io::Result<()> {
    let create = || DirBuilder::new().mode(0o700).create(dir);
    if !rustix::process::geteuid().is_root() {
        return create();
    }
    // SAFETY: they take any number, and return the one before. They change this thread alone, and
    // only who it is for file systems (setfsuid(2)).
    let [gid, uid] = unsafe { [libc::setfsgid(above.gid()), libc::setfsuid(above.uid())] };
    let created = create();
    // SAFETY: as above.
    unsafe { [libc::setfsuid(uid as u32), libc::setfsgid(gid as u32)] };
    created
}

/// Removes drafts whose writers were killed. Those that this user may not write or remove stay until
/// their writer reports again.
fn remove_abandoned(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if is_draft(&entry.file_name()) {
            files::remove_abandoned(&entry.path());
        }
    }
}

fn is_draft(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b".") && name.ends_with(SUFFIX.as_bytes())
}

/// Removes this user's reports of the site up to this one, which the agent has taken. They are out
/// of date, and in another user's directory only their writer may remove them.
pub fn forget(dir: &Path, report: &Report) {
    let newest = format!("{}{:016}", prefix(&report.site), report.at.max(0));
    for path in own_of(dir, &report.site) {
        let name = path.file_name().map(|name| name.to_string_lossy());
        // This report itself, or an older one.
        if name.is_some_and(|name| name[..name.len().min(newest.len())] <= *newest) {
            let _ = fs::remove_file(path);
        }
    }
}

/// Returns the prefix of the file names of a site.
fn prefix(site: &str) -> String {
    format!("{:08x}-", Crc::default().add(site.as_bytes()).value())
}

/// Returns the files of a site that belong to this user, oldest first.
fn own_of(dir: &Path, site: &str) -> Vec<PathBuf> {
    let prefix = prefix(site);
    let user = rustix::process::geteuid().as_raw();
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let own = entries.filter(|entry| {
        let name = entry.file_name();
        let named = name
            .to_str()
            .is_some_and(|name| name.starts_with(&prefix) && name.ends_with(SUFFIX));
        named
            && entry
                .metadata()
                .is_ok_and(|found| found.is_file() && found.uid() == user)
    });
    let mut paths: Vec<PathBuf> = own.map(|entry| entry.path()).collect();
    paths.sort_unstable();
    paths
}

/// The contents of the spool.
#[derive(Debug, Default)]
pub struct Found {
    /// Oldest first; of each site at most the newest `MOST_KEPT`.
    pub reports: Vec<(PathBuf, Report)>,
    /// The first files that are not reports, and why.
    pub refused: Vec<(OsString, io::Error)>,
    /// Number of further files that are not reports.
    pub refused_more: usize,
    /// Number of reports of unknown sites, and one of these sites. The reports are removed.
    pub foreign: Option<(usize, String)>,
}

/// Reads the reports of `sites`; blocks on nothing but the file system. Other files, however many,
/// displace no report, and the memory that is used is bounded by the number of sites.
///
/// # Errors
///
/// Returns an error if the directory cannot be read.
pub fn read(dir: &Path, sites: &[String]) -> io::Result<Found> {
    let group = fs::metadata(dir)?.gid();
    let mut found = Found::default();
    let mut kept: HashMap<&str, BTreeMap<(i64, OsString), Report>> = HashMap::new();
    kept.extend(sites.iter().map(|site| (site.as_str(), BTreeMap::new())));
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let path = dir.join(&name);
        if name.as_encoded_bytes().starts_with(b".") {
            // It is being written, or its writer was killed.
            if is_draft(&name) {
                files::remove_abandoned(&path);
            }
            continue;
        }
        match read_one(&path, group) {
            Ok(report) => match kept.get_mut(report.site.as_str()) {
                Some(of_site) => {
                    of_site.insert((report.at, name), report);
                    if of_site.len() > MOST_KEPT
                        && let Some(((_, oldest), _)) = of_site.pop_first()
                    {
                        let _ = fs::remove_file(dir.join(oldest));
                    }
                }
                None => {
                    let _ = fs::remove_file(path);
                    found.foreign.get_or_insert((0, report.site)).0 += 1;
                }
            },
            Err(e) if found.refused.len() < MOST_NAMED => {
                found.refused.push((name, e));
            }
            Err(_) => found.refused_more += 1,
        }
    }
    let reports = kept.into_values().flatten();
    let reports = reports.map(|((_, name), report)| (dir.join(name), report));
    found.reports = reports.collect();
    found.reports.sort_by_key(|(_, report)| report.at);
    Ok(found)
}

fn read_one(path: &Path, group: u32) -> io::Result<Report> {
    // Before opening it, which may have an effect on a device.
    sound(&fs::symlink_metadata(path)?, group)?;
    let file = files::open_itself(path, OpenOptions::new().read(true))?;
    sound(&file.metadata()?, group)?;
    let bytes = files::bounded(&file, LARGEST)?;
    parse(&bytes, Way::Spool).ok_or_else(|| io::Error::other("it is no report"))
}

/// Checks type, links, size and owner of a file.
///
/// # Errors
///
/// Returns why it is not a file that `sitemon push` has written.
fn sound(found: &Metadata, group: u32) -> io::Result<()> {
    files::regular(found)?;
    let own = rustix::process::geteuid().as_raw();
    let what = if found.nlink() != 1 {
        "it has other names"
    } else if found.len() > LARGEST {
        "it is larger than 64 KiB"
    } else if found.uid() != 0 && found.uid() != own && found.gid() != group {
        "it belongs to a user who may not report"
    } else {
        return Ok(());
    };
    Err(io::Error::other(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::site::report::ReportKind;
    use rustix::fs::inotify;
    use std::os::unix::fs::{chown, symlink};

    fn report(site: &str, at: i64) -> Report {
        Report {
            site: site.into(),
            kind: ReportKind::Good,
            at,
            code: Some(0),
            took: None,
            lines: "a\nb".into(),
            way: Way::Spool,
        }
    }

    #[test]
    fn what_is_kept_is_read_oldest_first_and_forgotten_by_the_next_report() {
        let above = tempfile::tempdir().expect("a directory");
        let dir = above.path().join("spool");
        let sites = ["a", "b"].map(str::to_owned);
        let read = |dir: &Path| read(dir, &sites);
        assert!(read(&dir).is_err_and(|e| e.kind() == io::ErrorKind::NotFound));
        for (site, at) in [("a", 7_000), ("b", 5_000), ("a", 6_000)] {
            let path = keep(&dir, &report(site, at)).expect("kept");
            let found = fs::metadata(path).expect("there");
            assert_eq!(found.mode() & 0o7777, 0o640);
        }
        let reports = |dir: &Path| {
            let found = read(dir).expect("read").reports;
            found.into_iter().map(|(_, r)| r).collect::<Vec<_>>()
        };
        let all = [report("b", 5_000), report("a", 6_000), report("a", 7_000)];
        assert_eq!(reports(&dir), all);
        forget(&dir, &report("a", 6_000));
        assert_eq!(reports(&dir), [report("b", 5_000), report("a", 7_000)]);
        forget(&dir, &report("a", 9_000));
        assert_eq!(reports(&dir), [report("b", 5_000)]);
    }

    #[test]
    fn a_draft_whose_writer_was_killed_is_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        let names = || {
            let entries = fs::read_dir(dir.path()).expect("there").flatten();
            let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
            names.sort();
            names
        };
        let draft = |name: &str| File::create_new(dir.path().join(name)).expect("made");
        let _written = files::draft(|| Ok(draft(".1.report"))).expect("locked");
        draft(".not-ours");
        draft(".2.report");
        keep(dir.path(), &report("a", 1)).expect("kept");
        let left = names();
        assert_eq!(left[..2], [".1.report", ".not-ours"]);
        assert_eq!(left.len(), 3);
        draft(".3.report");
        assert_eq!(
            read(dir.path(), &["a".into()]).expect("read").reports.len(),
            1
        );
        assert_eq!(names(), left);
    }

    #[test]
    fn the_directory_belongs_to_the_owner_of_its_parent_from_the_beginning() {
        let above = tempfile::tempdir().expect("a directory");
        let dir = above.path().join("spool");
        chown(above.path(), Some(4711), Some(4712)).expect("root");
        let watch = inotify::init(inotify::CreateFlags::NONBLOCK).expect("a watch");
        let flags = inotify::WatchFlags::CREATE | inotify::WatchFlags::ATTRIB;
        inotify::add_watch(&watch, above.path(), flags).expect("watched");
        let opened = open_dir(&dir).expect("made").metadata().expect("there");
        let owner = (opened.uid(), opened.gid(), opened.mode() & 0o7777);
        assert_eq!(owner, (4711, 4712, 0o700));
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&watch, &mut buffer);
        let event = events.next().expect("an event").events();
        assert!(event.contains(inotify::ReadFlags::CREATE), "{event:?}");
        let changed = events.next().map(|event| event.events());
        assert_eq!(changed, Err(rustix::io::Errno::AGAIN), "it was changed");
        // This thread is root again.
        let file = File::create(above.path().join("file")).expect("made");
        let made = file.metadata().expect("there");
        assert_eq!((made.uid(), made.gid()), (0, 0));
    }

    #[test]
    fn a_job_that_reports_for_months_without_an_agent_does_not_fill_the_disk() {
        let dir = tempfile::tempdir().expect("a directory");
        for at in 0..200 {
            keep(dir.path(), &report("a", at)).expect("kept");
            keep(dir.path(), &report("b", at)).expect("kept");
        }
        let found = read(dir.path(), &["a".into(), "b".into()])
            .expect("read")
            .reports;
        assert_eq!(found.len(), 2 * MOST_KEPT);
        assert_eq!(found.last().map(|(_, r)| r.at), Some(199));
    }

    #[test]
    fn however_much_else_there_is_no_report_is_passed_over() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: String| dir.path().join(name);
        let sites: Vec<String> = (0..150).map(|n| format!("job {n}")).collect();
        for n in 0..12_000 {
            fs::write(at(format!("{n}.junk")), b"junk").expect("made");
        }
        // As if several users had kept them.
        for site in &sites {
            for n in 1..=30 {
                let text = encode(&report(site, n));
                fs::write(at(format!("{n} {site}")), text).expect("made");
            }
        }
        let foreign = encode(&report("other", 1));
        fs::write(at("foreign".into()), foreign).expect("made");
        let found = read(dir.path(), &sites).expect("read");
        for site in &sites {
            let of_site = found.reports.iter().filter(|(_, r)| r.site == *site);
            let times: Vec<i64> = of_site.map(|(_, report)| report.at).collect();
            assert_eq!(times, (11..=30).collect::<Vec<_>>(), "{site}");
        }
        assert_eq!(found.refused.len() + found.refused_more, 12_000);
        assert_eq!(found.refused.len(), MOST_NAMED);
        assert_eq!(found.foreign, Some((1, "other".into())));
        // Superseded reports and those of unknown sites are removed.
        let left = fs::read_dir(dir.path()).expect("there").count();
        assert_eq!(left, 12_000 + 150 * MOST_KEPT);
    }

    #[test]
    fn what_sitemon_push_has_not_written_is_passed_over_with_its_reason() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name);
        let good = keep(dir.path(), &report("a", 1)).expect("kept");
        symlink("/etc/passwd", at("link")).expect("made");
        fs::hard_link(at("link"), at("link2")).expect("made");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("fifo"),
            rustix::fs::FileType::Fifo,
            0o666.into(),
            0,
        )
        .expect("made");
        fs::create_dir(at("dir")).expect("made");
        fs::write(at("garbage"), b"\xff\0").expect("made");
        fs::write(at("empty"), b"").expect("made");
        File::create(at("huge"))
            .expect("made")
            .set_len(1 << 40)
            .expect("made");
        let foreign = encode(&report("a", 2));
        fs::write(at("foreign"), &foreign).expect("made");
        chown(at("foreign"), Some(4711), Some(4712)).expect("root");
        fs::write(at("of-the-group"), &foreign).expect("made");
        let group = fs::metadata(dir.path()).expect("there").gid();
        chown(at("of-the-group"), Some(4711), Some(group)).expect("root");
        fs::write(at("twice"), &foreign).expect("made");
        fs::hard_link(at("twice"), at("twice2")).expect("made");
        fs::write(at(".draft"), &foreign).expect("made");
        let found = read(dir.path(), &["a".into()]).expect("read");
        let paths: Vec<_> = found.reports.iter().map(|(path, _)| path.clone()).collect();
        assert_eq!(paths, [good, at("of-the-group")]);
        let mut refused: Vec<(String, String)> = found
            .refused
            .into_iter()
            .map(|(name, why)| (name.into_string().expect("a name"), why.to_string()))
            .collect();
        refused.sort();
        let link = "it is a symbolic link, not a regular file";
        assert_eq!(
            refused,
            [
                ("dir", "Is a directory (os error 21)"),
                ("empty", "it is no report"),
                ("fifo", "it is a named pipe, not a regular file"),
                ("foreign", "it belongs to a user who may not report"),
                ("garbage", "it is no report"),
                ("huge", "it is larger than 64 KiB"),
                ("link", link),
                ("link2", link),
                ("twice", "it has other names"),
                ("twice2", "it has other names"),
            ]
            .map(|(name, why)| (name.to_owned(), why.to_owned()))
        );
    }
}
