//! Checks of this machine: reads a figure and compares it with its limits.
//!
//! They run on threads of their own, as file systems may hang, and with permits of their own, as they
//! need no connection.

use crate::files;
use crate::host::{Disk, HIDDEN, Machine, Mount, NO_PROC, NO_THERMAL_ZONE};
use crate::lock::lock;
use crate::machine;
use crate::monitor::render::text::size;
use crate::monitor::site::outcome::{Failure, FailureKind, LocalFault, Outcome};
use crate::monitor::site::{Amount, HostCheck, Site};
use crate::monitor::time::text::lasting;
use crate::offload::offload;
use async_lock::Semaphore;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

/// Checks at the same time.
static PERMITS: Semaphore = Semaphore::new(8);

/// For each path of a disk, the innermost mount point that was ever found on it.
static MOUNTED: Mutex<Vec<(PathBuf, PathBuf)>> = Mutex::new(Vec::new());

const TOO_MANY_HANG: &str = "too many files on this machine do not answer";

/// Checks once. The timeout starts when a permit is acquired.
pub(super) async fn run(site: &Site, check: &HostCheck) -> Outcome {
    let _permit = PERMITS.acquire().await;
    let start = Instant::now();
    let (looked_at, patience) = (check.clone(), site.timeout);
    let found = offload(move || {
        let place = place(&looked_at);
        files::within(&place, patience, move || look(&Machine::this(), &looked_at))
    });
    let found = found.await.unwrap_or_else(|error| fault(check, &error));
    let took = start.elapsed();
    let verdict = found
        .verdict
        .map_err(|failure| match needs_descriptors(check, &failure) {
            true => machine::lacked_since(start).map_or(failure, Failure::local),
            false => failure,
        });
    let answered = match &verdict {
        Ok(()) => true,
        Err(failure) => failure.kind == FailureKind::Limit,
    };
    Outcome {
        detail: found.detail,
        warning: found.warning,
        ..Outcome::new(verdict, answered.then_some(took))
    }
}

/// A file that was not found may not have been opened for want of descriptors.
fn needs_descriptors(check: &HostCheck, failure: &Failure) -> bool {
    use FailureKind::Local;
    matches!(check, HostCheck::Process { .. })
        || matches!(failure.kind, Local(LocalFault::Figure(_)))
}

/// Result of a check, as part of an [`Outcome`].
#[derive(Debug, PartialEq)]
struct Finding {
    verdict: Result<(), Failure>,
    warning: Option<String>,
    detail: Option<String>,
}

impl Finding {
    fn good(detail: String) -> Finding {
        Finding {
            verdict: Ok(()),
            warning: None,
            detail: Some(detail),
        }
    }

    fn failed(failure: Failure) -> Finding {
        Finding {
            verdict: Err(failure),
            warning: None,
            detail: None,
        }
    }

    fn down(cause: String) -> Finding {
        Finding::failed(Failure::new(FailureKind::Limit, cause))
    }

    fn unknown(why: &'static str) -> Finding {
        Finding::failed(Failure::local(LocalFault::Figure(why)))
    }

    /// Combines two findings: the first failure or warning, and both details.
    fn and(self, other: Finding) -> Finding {
        let details = self.detail.into_iter().chain(other.detail);
        let details: Vec<String> = details.collect();
        Finding {
            verdict: self.verdict.and(other.verdict),
            warning: self.warning.or(other.warning),
            detail: (!details.is_empty()).then(|| details.join(", ")),
        }
    }
}

/// Checks of the same place run one after the other: what hangs is not accessed again and again.
fn place(check: &HostCheck) -> PathBuf {
    match check {
        HostCheck::Disk { path, .. } | HostCheck::File { path, .. } => path.clone(),
        HostCheck::Memory { .. } | HostCheck::Load { .. } => "/proc/meminfo".into(),
        HostCheck::Temperature { .. } => "/sys/class/thermal".into(),
        HostCheck::Process { .. } => "/proc".into(),
    }
}

/// What the check is called in causes.
fn subject(check: &HostCheck) -> String {
    match check {
        HostCheck::Disk { path, .. } => format!("disk {}", path.display()),
        HostCheck::File { path, .. } => format!("file {}", path.display()),
        HostCheck::Memory { .. } => "memory".to_owned(),
        HostCheck::Load { .. } => "load".to_owned(),
        HostCheck::Temperature { .. } => "temperature".to_owned(),
        HostCheck::Process { name } => format!("process {name}"),
    }
}

/// The finding for a check that failed with this error.
fn fault(check: &HostCheck, error: &io::Error) -> Finding {
    let subject = subject(check);
    if let Some(local_fault) = machine::local_fault(error) {
        return Finding::failed(Failure::local(local_fault));
    }
    let text = error.to_string();
    let reason = text.split(" (os error ").next().unwrap_or_default();
    match error.kind() {
        // No thread could be started.
        io::ErrorKind::WouldBlock => Finding::failed(Failure::local(LocalFault::Memory)),
        io::ErrorKind::TimedOut => match reason.strip_prefix("it ") {
            Some(hangs) => {
                let cause = format!("{subject} {hangs}");
                Finding::failed(Failure::new(FailureKind::Timeout, cause))
            }
            None => Finding::unknown(TOO_MANY_HANG),
        },
        _ => Finding::down(format!("{subject} cannot be looked at: {reason}")),
    }
}

fn look(machine: &Machine, check: &HostCheck) -> io::Result<Finding> {
    Ok(match check {
        HostCheck::Disk {
            path,
            free,
            warn,
            inodes,
        } => {
            let limits = [*free, *warn, *inodes];
            disk(path, machine.disk(path), limits, &MOUNTED)?
        }
        HostCheck::Memory { available, warn } => match machine.memory() {
            Some(memory) => {
                let share = Share {
                    subject: "memory:".to_owned(),
                    words: "available",
                    left: memory.available,
                    of: memory.total,
                    show: size,
                };
                share.judged(Some(*available), *warn)
            }
            None => Finding::unknown(NO_PROC),
        },
        HostCheck::Load { max, warn } => match machine.load() {
            Some(load) => {
                let text = format!("load {} over 5 minutes", plain(load));
                at_most(text, load, plain, *max, *warn)
            }
            None => Finding::unknown(NO_PROC),
        },
        HostCheck::Temperature { max, warn } => match machine.hottest() {
            Some((zone, degrees)) => {
                let text = format!("{zone} {degrees} °C");
                let show = |degrees| format!("{degrees} °C");
                at_most(text.trim_start().to_owned(), degrees, show, *max, *warn)
            }
            None => Finding::unknown(NO_THERMAL_ZONE),
        },
        HostCheck::File { path, age, size } => match fs::metadata(path) {
            Ok(found) => {
                let modified = found.modified()?;
                let old = SystemTime::now().duration_since(modified);
                // A modification time in the future counts as new.
                file(path, old.unwrap_or_default(), found.len(), *age, *size)
            }
            Err(error) if is_missing(&error) => {
                Finding::down(format!("file {} does not exist", path.display()))
            }
            Err(error) => return Err(error),
        },
        HostCheck::Process { name } => match machine.processes(name)?[..] {
            [] if machine.hides_processes() => Finding::unknown(HIDDEN),
            [] => Finding::down(format!("no process {name}")),
            [pid] => Finding::good(format!("process {pid}")),
            ref several => Finding::good(format!("{} processes", several.len())),
        },
    })
}

fn disk(
    path: &Path,
    found: io::Result<Disk>,
    limits: [Option<Amount>; 3],
    mounted: &Mutex<Vec<(PathBuf, PathBuf)>>,
) -> io::Result<Finding> {
    let subject = format!("disk {}", path.display());
    let disk = match found {
        Err(error) if is_missing(&error) => {
            let cause = format!("{subject} is not mounted: there is no such directory");
            return Ok(Finding::down(cause));
        }
        found => found?,
    };
    Ok(match away(path, &disk, mounted) {
        Some(why) => Finding::down(format!("{subject}{why}")),
        None => room(format!("{subject} has"), &disk, limits),
    })
}

/// Returns why the disk cannot be used, or is not mounted; the cause continues the path.
fn away(path: &Path, disk: &Disk, mounted: &Mutex<Vec<(PathBuf, PathBuf)>>) -> Option<String> {
    let mount = disk.mount.as_ref()?;
    let mut mounted = lock(mounted);
    let gone = |before: &&PathBuf| **before != mount.point && before.starts_with(&mount.point);
    let known = mounted.iter().position(|(of, _)| of == path);
    let before = known.map(|at| &mounted[at].1);
    if let Some(gone) = before.filter(gone).or(disk.expected.as_ref()) {
        return Some(match gone == path {
            true => " is not mounted".to_owned(),
            false => format!(": {} is not mounted", gone.display()),
        });
    }
    match known {
        Some(at) => mounted[at].1.clone_from(&mount.point),
        None => mounted.push((path.to_owned(), mount.point.clone())),
    }
    let Mount { kind, source, .. } = mount;
    if disk.device_gone {
        return Some(format!(" is away: its device {source} is gone"));
    }
    let read_only = || format!(" is read-only ({kind} on {source})");
    mount.read_only.then(read_only)
}

/// Compares free space and inodes with their limits.
fn room(subject: String, disk: &Disk, [free, warn, inodes]: [Option<Amount>; 3]) -> Finding {
    if disk.size == 0 {
        return Finding::down(format!("{subject} no size: no disk is there"));
    }
    let share = |words, left, of, show| Share {
        subject: subject.clone(),
        words,
        left,
        of,
        show,
    };
    let space = share("free", disk.free, disk.size, size as Show).judged(free, warn);
    // File systems without a fixed number of inodes do not run out of them.
    if inodes.is_none() || disk.inodes == 0 {
        return space;
    }
    let left = share("of its inodes free", disk.inodes_free, disk.inodes, number);
    space.and(left.judged(inodes, None))
}

/// Formats an amount.
type Show = fn(u64) -> String;

fn number(count: u64) -> String {
    count.to_string()
}

/// The remaining part of a resource.
struct Share {
    /// Begins the causes.
    subject: String,
    /// Follows the percentage: `free`.
    words: &'static str,
    left: u64,
    of: u64,
    show: Show,
}

impl Share {
    /// Fails below `least`; warns below `warn`.
    fn judged(&self, least: Option<Amount>, warn: Option<Amount>) -> Finding {
        let (left, of) = ((self.show)(self.left), (self.show)(self.of));
        // Rounded down: 9.9 % does not meet a limit of 10 %.
        let percent = u128::from(self.left) * 100 / u128::from(self.of.max(1));
        let figures = format!("{percent} % {} ({left} of {of})", self.words);
        let missed = |amount: Option<Amount>| {
            let amount = amount.filter(|amount| self.is_below(*amount))?;
            let wanted = match amount {
                Amount::Percent(percent) => format!("{} %", plain(percent)),
                Amount::Count(count) => (self.show)(count),
            };
            Some(format!("{} {figures}, wanted {wanted}", self.subject))
        };
        graded(figures.clone(), missed(least), missed(warn))
    }

    fn is_below(&self, least: Amount) -> bool {
        match least {
            Amount::Percent(percent) => (self.left as f64) * 100.0 < percent * self.of as f64,
            Amount::Count(count) => self.left < count,
        }
    }
}

/// Formats without trailing zeros: `5.2`, `4`. Printing floats with std takes 5 KB.
fn plain(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn at_most<T: PartialOrd + Copy>(
    text: String,
    value: T,
    show: impl Fn(T) -> String,
    max: T,
    warn: Option<T>,
) -> Finding {
    let beyond = |limit: T| (value > limit).then(|| format!("{text}, limit {}", show(limit)));
    let (failure, warning) = (beyond(max), warn.and_then(beyond));
    graded(text, failure, warning)
}

fn file(
    path: &Path,
    old: Duration,
    length: u64,
    age: Option<Duration>,
    least: Option<u64>,
) -> Finding {
    let path = path.display();
    let (is_old, is_long) = (format!("{} old", lasting(old)), size(length));
    let too_old = age.filter(|limit| old > *limit);
    let too_old = too_old.map(|limit| format!("file {path} is {is_old}, limit {}", hours(limit)));
    let too_small = least.filter(|least| length < *least);
    let too_small =
        too_small.map(|least| format!("file {path} has {is_long}, wanted {}", size(least)));
    graded(format!("{is_old}, {is_long}"), too_old.or(too_small), None)
}

/// `26 h`: limits are usually written in hours.
fn hours(limit: Duration) -> String {
    match limit.as_secs() {
        seconds if seconds % 3600 == 0 && seconds <= 72 * 3600 => format!("{} h", seconds / 3600),
        _ => lasting(limit),
    }
}

fn graded(detail: String, failure: Option<String>, warning: Option<String>) -> Finding {
    match (failure, warning) {
        (Some(cause), _) => Finding::down(cause),
        (None, Some(warning)) => Finding {
            verdict: Ok(()),
            warning: Some(warning),
            detail: None,
        },
        (None, None) => Finding::good(detail),
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tests::root;

    const GIB: u64 = 1 << 30;

    #[track_caller]
    fn cause(finding: &Finding) -> &str {
        match &finding.verdict {
            Err(failure) => &failure.detail,
            Ok(()) => panic!("{finding:?}"),
        }
    }

    fn of_disk(free: u64) -> Disk {
        Disk {
            size: 29 * GIB,
            free,
            inodes: 40_000,
            inodes_free: 1_234,
            mount: None,
            device_gone: false,
            expected: None,
        }
    }

    fn mounted(point: &str, read_only: bool) -> Option<Mount> {
        let state = if read_only { "ro" } else { "rw" };
        let line = format!("2 1 8:1 / {point} rw - ext4 /dev/sda1 {state}");
        crate::host::mounts(line.as_bytes()).pop()
    }

    #[track_caller]
    fn found(found: Disk, path: &str, limits: [Option<Amount>; 3]) -> Finding {
        disk(Path::new(path), Ok(found), limits, &Mutex::default()).expect("a finding")
    }

    #[test]
    fn a_disk_needs_room_and_inodes() {
        let tenth = Amount::Percent(10.0);
        let found = |disk, limits| found(disk, "/", limits);
        let check = [Some(tenth), None, None];
        let full = found(of_disk(GIB * 5 / 4), check);
        let text = "disk / has 4 % free (1.2 GB of 29 GB), wanted 10 %";
        assert_eq!(cause(&full), text);
        let good = found(of_disk(3 * GIB), check);
        assert_eq!(good, Finding::good("10 % free (3 GB of 29 GB)".to_owned()));
        let nearly = found(of_disk(29 * GIB / 10 - 1), check);
        let text = "disk / has 9 % free (2.8 GB of 29 GB), wanted 10 %";
        assert_eq!(cause(&nearly), text);
        let least = Some(Amount::Count(100 << 20));
        let all = [least, Some(tenth), Some(Amount::Percent(5.0))];
        let text = "disk / has 0 % free (99 MB of 29 GB), wanted 100 MB";
        assert_eq!(cause(&found(of_disk((100 << 20) - 1), all)), text);
        let text = "disk / has 3 % of its inodes free (1234 of 40000), wanted 5 %";
        assert_eq!(cause(&found(of_disk(2 * GIB), all)), text);
        let many = Disk {
            inodes_free: 30_000,
            ..of_disk(2 * GIB)
        };
        let warned = Finding {
            verdict: Ok(()),
            warning: Some("disk / has 6 % free (2 GB of 29 GB), wanted 10 %".to_owned()),
            detail: Some("75 % of its inodes free (30000 of 40000)".to_owned()),
        };
        assert_eq!(found(many, all), warned);
        // btrfs and FAT create inodes as needed.
        let without = Disk {
            inodes: 0,
            inodes_free: 0,
            ..of_disk(20 * GIB)
        };
        let good = Finding::good("68 % free (20 GB of 29 GB)".to_owned());
        assert_eq!(found(without, all), good);
    }

    #[test]
    fn a_disk_that_is_away_or_read_only_is_down_by_that() {
        let (path, limits) = (
            Path::new("/mnt/usb/data"),
            [Some(Amount::Count(1)), None, None],
        );
        let seen = Mutex::default();
        let found = |found: Disk| {
            let finding = disk(path, Ok(found), limits, &seen).expect("a finding");
            finding.verdict.map_err(|failure| failure.detail)
        };
        let of = |mount| Disk {
            mount,
            ..of_disk(20 * GIB)
        };
        assert_eq!(found(of(mounted("/", false))), Ok(()));
        assert_eq!(found(of(mounted("/mnt/usb", false))), Ok(()));
        let away = || Err("disk /mnt/usb/data: /mnt/usb is not mounted".to_owned());
        assert_eq!(found(of(mounted("/", false))), away());
        assert_eq!(found(of(mounted("/mnt/usb", false))), Ok(()));
        let text = "disk /mnt/usb/data is read-only (ext4 on /dev/sda1)";
        assert_eq!(found(of(mounted("/mnt/usb", true))), Err(text.to_owned()));
        let gone = Disk {
            device_gone: true,
            ..of(mounted("/mnt/usb", false))
        };
        let text = "disk /mnt/usb/data is away: its device /dev/sda1 is gone";
        assert_eq!(found(gone), Err(text.to_owned()));
        let unmounted = Disk {
            expected: Some("/mnt/usb/data".into()),
            ..of(mounted("/mnt/usb", false))
        };
        let text = "disk /mnt/usb/data is not mounted";
        assert_eq!(found(unmounted), Err(text.to_owned()));
        let missing = Err(io::ErrorKind::NotFound.into());
        let missing = disk(path, missing, limits, &seen).expect("a finding");
        let text = "disk /mnt/usb/data is not mounted: there is no such directory";
        assert_eq!(cause(&missing), text);
        let other = Err(io::Error::from_raw_os_error(libc::EACCES));
        let error = disk(path, other, limits, &seen).expect_err("an error");
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn figures_of_the_kernel_are_told_with_their_limits() {
        let root = root(&[
            (
                "proc/meminfo",
                "MemTotal: 1048576 kB\nMemAvailable: 62914 kB\n",
            ),
            ("proc/loadavg", "9.00 5.20 3.10 1/100 9\n"),
            ("proc/1/stat", "1 (init) S 0"),
            ("proc/2/stat", "2 (sh) S 1"),
            ("proc/3/stat", "3 (sh) S 1"),
            ("sys/class/thermal/thermal_zone0/temp", "84999\n"),
            ("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n"),
        ]);
        let machine = Machine::below(root.path());
        let look = |check: HostCheck| look(&machine, &check).expect("a finding");
        let memory = |available, warn| HostCheck::Memory { available, warn };
        let (tenth, twentieth) = (Amount::Percent(10.0), Amount::Percent(5.0));
        let text = "memory: 5 % available (61 MB of 1 GB), wanted 10 %";
        assert_eq!(cause(&look(memory(tenth, None))), text);
        let warned = look(memory(twentieth, Some(tenth)));
        assert_eq!(
            (warned.verdict, warned.warning),
            (Ok(()), Some(text.to_owned()))
        );
        let good = "5 % available (61 MB of 1 GB)".to_owned();
        assert_eq!(look(memory(twentieth, None)), Finding::good(good));

        let load = |max, warn| look(HostCheck::Load { max, warn });
        let text = "load 5.2 over 5 minutes, limit 4";
        assert_eq!(cause(&load(4.0, None)), text);
        assert_eq!(load(6.0, Some(4.0)).warning.as_deref(), Some(text));
        let good = Finding::good("load 5.2 over 5 minutes".to_owned());
        assert_eq!(load(5.2, None), good);

        let heat = |max, warn| look(HostCheck::Temperature { max, warn });
        let text = "cpu-thermal 84 °C, limit 80 °C";
        assert_eq!(cause(&heat(80, None)), text);
        assert_eq!(heat(90, Some(80)).warning.as_deref(), Some(text));
        assert_eq!(
            heat(84, None),
            Finding::good("cpu-thermal 84 °C".to_owned())
        );

        let process = |name: &str| {
            look(HostCheck::Process {
                name: name.to_owned(),
            })
        };
        assert_eq!(cause(&process("dnsmasq")), "no process dnsmasq");
        assert_eq!(process("init"), Finding::good("process 1".to_owned()));
        assert_eq!(process("sh"), Finding::good("2 processes".to_owned()));
        fs::remove_file(root.path().join("proc/1/stat")).expect("is there");
        assert_eq!(process("dnsmasq"), Finding::unknown(HIDDEN));
        assert_eq!(process("sh"), Finding::good("2 processes".to_owned()));
    }

    #[test]
    fn a_file_may_be_too_old_or_too_small() {
        let path = Path::new("/var/backups/last");
        let hour = Duration::from_secs(3600);
        let found = |old, length| file(path, old, length, Some(26 * hour), Some(1 << 20));
        let text = "file /var/backups/last is 2 d 3 h old, limit 26 h";
        assert_eq!(cause(&found(51 * hour, 2 << 20)), text);
        let text = "file /var/backups/last has 12 KB, wanted 1 MB";
        assert_eq!(cause(&found(hour, 12 << 10)), text);
        let good = Finding::good("1 h old, 1 MB".to_owned());
        assert_eq!(found(hour, 1 << 20), good);
        let minutes = file(path, hour, 0, Some(hour / 2), None);
        assert!(cause(&minutes).ends_with("is 1 h old, limit 30 min"));
        let missing = HostCheck::File {
            path: "/nowhere/at all".into(),
            age: Some(hour),
            size: None,
        };
        let missing = look(&Machine::this(), &missing).expect("a finding");
        assert_eq!(cause(&missing), "file /nowhere/at all does not exist");
    }

    #[test]
    fn what_hangs_is_told_from_too_much_that_hangs() {
        let check = HostCheck::Disk {
            path: "/mnt/nas".into(),
            free: Some(Amount::Count(1)),
            warn: None,
            inodes: None,
        };
        let timed_out = |text| fault(&check, &io::Error::new(io::ErrorKind::TimedOut, text));
        let hangs = timed_out("it does not answer (a server?)");
        assert_eq!(cause(&hangs), "disk /mnt/nas does not answer (a server?)");
        assert_eq!(timed_out("32 other files"), Finding::unknown(TOO_MANY_HANG));
        let denied = fault(&check, &io::Error::from_raw_os_error(libc::EACCES));
        let text = "disk /mnt/nas cannot be looked at: Permission denied";
        assert_eq!(cause(&denied), text);
        let no_thread = fault(&check, &io::ErrorKind::WouldBlock.into());
        let memory = Failure::local(LocalFault::Memory);
        assert_eq!(no_thread, Finding::failed(memory));
    }
}
