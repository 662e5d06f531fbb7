//! The clocks of the process and the local time zone. All code reads the time from a [`Clock`], so
//! that tests can set it.

use crate::files;
use crate::monitor;
use crate::monitor::time::Now;
use crate::monitor::time::zone::Zone;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::ffi::OsString;
use std::io;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Midnight UTC of the day of the build, in Unix seconds: see [`monitor::time::wall_clock`].
pub const BUILT: i64 = match i64::from_str_radix(env!("SITEMON_BUILT"), 10) {
    Ok(seconds) => seconds,
    Err(_) => panic!("SITEMON_BUILT is not a number"),
};

/// Maximum size of a zone file in bytes. The largest ones of a system have about 4 KB.
const MAX_ZONE_FILE: u64 = 256 * 1024;
/// Interval in seconds at which the zone is looked up again. Offsets change at multiples of it.
const LOOK_EVERY: i64 = 300;

/// Values of `Inner::judged`: the monitor's judgement of the wall clock.
const UNJUDGED: u8 = 0;
const BELIEVED: u8 = 1;
const DOUBTED: u8 = 2;

/// The clocks. Cheap to clone; all clones share their state.
#[derive(Clone)]
pub struct Clock(Arc<Inner>);

struct Inner {
    started: Instant,
    /// Returns Unix seconds.
    wall: Box<dyn Fn() -> i64 + Send + Sync>,
    judged: AtomicU8,
    zone: Mutex<Known>,
}

/// The local time zone, as it was looked up last.
struct Known {
    /// The configuration's `timezone`.
    wanted: Option<String>,
    /// Number of the [`LOOK_EVERY`] interval in which `zone` was looked up.
    stretch: Option<i64>,
    zone: Zone,
    /// Whether the unknown zone was logged.
    told: bool,
}

impl Known {
    fn new(wanted: Option<String>) -> Known {
        Known {
            wanted,
            stretch: None,
            zone: Zone::UTC,
            told: false,
        }
    }
}

impl Clock {
    /// Returns the system's clocks. Uptime starts at 0 now.
    pub fn system() -> Clock {
        Clock::new(system_wall)
    }

    /// Returns a clock whose wall time is the result of `wall`.
    #[cfg(test)]
    pub(crate) fn showing(wall: impl Fn() -> i64 + Send + Sync + 'static) -> Clock {
        Clock::new(wall)
    }

    fn new(wall: impl Fn() -> i64 + Send + Sync + 'static) -> Clock {
        Clock(Arc::new(Inner {
            started: Instant::now(),
            wall: Box::new(wall),
            judged: AtomicU8::new(UNJUDGED),
            zone: Mutex::new(Known::new(None)),
        }))
    }

    /// Returns the current time of both clocks.
    pub fn now(&self) -> Now {
        self.at(Instant::now())
    }

    /// Returns the time of both clocks for an event that happened at `instant`, shortly before.
    pub fn at(&self, instant: Instant) -> Now {
        let wall = self.wall();
        Now {
            uptime: instant.saturating_duration_since(self.0.started),
            wall,
            zone: self.zone(wall),
        }
    }

    /// Returns the instant at which the uptime is `uptime`.
    pub fn instant(&self, uptime: Duration) -> Instant {
        self.0.started + uptime
    }

    /// Returns Unix seconds.
    pub fn wall(&self) -> i64 {
        (self.0.wall)()
    }

    /// Returns whether the wall clock is reliable enough to judge the dates of certificates. If no
    /// monitor has judged it yet, a plausible time suffices.
    pub fn is_believed(&self) -> bool {
        match self.0.judged.load(Ordering::Relaxed) {
            UNJUDGED => monitor::time::wall_clock::plausible(self.wall(), BUILT),
            judged => judged == BELIEVED && self.wall() >= BUILT,
        }
    }

    /// Stores the monitor's judgement of the wall clock, which takes the saved state into account.
    pub fn judge(&self, believed: bool) {
        let judged = if believed { BELIEVED } else { DOUBTED };
        self.0.judged.store(judged, Ordering::Relaxed);
    }

    /// Uses the configuration's `timezone` from now on, or the system's zone if it is `None`.
    pub fn use_zone(&self, wanted: Option<String>) {
        *self.known() = Known::new(wanted);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.zone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the local time zone around `wall`.
    fn zone(&self, wall: i64) -> Zone {
        let mut known = self.known();
        let stretch = wall.div_euclid(LOOK_EVERY);
        if known.stretch != Some(stretch) {
            known.stretch = Some(stretch);
            let files = Files::system();
            let found = match &known.wanted {
                Some(name) => files
                    .named(name)
                    .ok_or_else(|| format!("`timezone` {}", files.unknown(name))),
                None => files.zone(std::env::var_os("TZ")),
            };
            let zone = found.unwrap_or_else(|unknown| {
                if !known.told {
                    log::warn!("{unknown}: local times are told in UTC");
                    known.told = true;
                }
                TimeZone::UTC
            });
            known.zone = around(&zone, wall);
        }
        known.zone
    }
}

/// Checks that the configuration's `timezone` is known on this system.
///
/// # Errors
///
/// Says what to do about an unknown zone; the text follows the key's name in a message.
pub fn check_zone(name: &str) -> Result<(), String> {
    let files = Files::system();
    match files.named(name) {
        Some(_) if !name.is_empty() => Ok(()),
        _ => Err(files.unknown(name)),
    }
}

/// Converts the zone around `wall` (Unix seconds) to the core's type.
fn around(zone: &TimeZone, wall: i64) -> Zone {
    /// Maximum number of transitions that are skipped because they don't change the offset.
    const RENAMINGS: usize = 8;
    let Ok(at) = Timestamp::from_second(wall) else {
        return Zone::UTC;
    };
    let offset_at = |at: Timestamp| zone.to_offset(at).seconds();
    let offset = offset_at(at);
    let just_before = |at: Timestamp| {
        let second = Timestamp::from_second(at.as_second() - 1);
        second.map_or(offset, offset_at)
    };
    // A transition at this very second counts as a past one: hence the search from the next second.
    let next_second = Timestamp::from_second(wall.saturating_add(1)).unwrap_or(at);
    let before = zone.preceding(next_second).take(RENAMINGS);
    let mut before = before.map(|t| (t.timestamp().as_second(), just_before(t.timestamp())));
    let after = zone.following(at).take(RENAMINGS);
    let mut after = after.map(|t| (t.timestamp().as_second(), t.offset().seconds()));
    let (since, before) =
        (before.find(|(_, before)| *before != offset)).unwrap_or((i64::MIN, offset));
    let (until, after) = (after.find(|(_, after)| *after != offset)).unwrap_or((i64::MAX, offset));
    Zone {
        offset,
        since,
        before,
        until,
        after,
    }
}

/// Returns whether the kernel regards its clock as synchronised (adjtimex(2): neither `TIME_ERROR`
/// nor `STA_UNSYNC`). Returns `None` if a sandbox refuses the call (EPERM, ENOSYS).
pub fn kernel_synchronised() -> Option<bool> {
    // libc and the kernel may disagree about the width of the time fields: room for either.
    let mut told: [MaybeUninit<libc::timex>; 2] = [MaybeUninit::zeroed(), MaybeUninit::zeroed()];
    // SAFETY: an all-zero `timex` is a query (`modes` 0). It outlives the call, which writes at
    // most one `timex` of either layout.
    let (state, status) = unsafe {
        let state = libc::adjtimex(told[0].as_mut_ptr());
        (state, (*told[0].as_ptr()).status)
    };
    (state >= 0).then_some(state != libc::TIME_ERROR && status & libc::STA_UNSYNC == 0)
}

fn system_wall() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

/// Files that say which zone the system is in, and the zones that it knows (tzset(3), tzfile(5)).
struct Files {
    /// OpenWrt's `/etc/TZ`, which contains a value for `TZ`.
    tz: PathBuf,
    localtime: PathBuf,
    zoneinfo: PathBuf,
}

impl Files {
    fn system() -> Files {
        Files {
            tz: PathBuf::from("/etc/TZ"),
            localtime: PathBuf::from("/etc/localtime"),
            zoneinfo: PathBuf::from("/usr/share/zoneinfo"),
        }
    }

    /// Returns the zone of `TZ`, else of `/etc/TZ`, else of `/etc/localtime`, else UTC. The error
    /// is a sentence about an unknown zone.
    fn zone(&self, variable: Option<OsString>) -> Result<TimeZone, String> {
        if let Some(value) = variable {
            let value = value.to_string_lossy();
            return self
                .named(&value)
                .ok_or_else(|| format!("TZ={value:?} is not a known time zone"));
        }
        match files::read(&self.tz, MAX_ZONE_FILE) {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                let value = text.lines().next().unwrap_or_default().trim();
                return self.named(value).ok_or_else(|| {
                    let path = self.tz.display();
                    format!("{path} has {value:?}, which is not a known time zone")
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => log::debug!("{} cannot be read: {error}", self.tz.display()),
        }
        if !self.localtime.exists() {
            return Ok(TimeZone::UTC);
        }
        compiled(&self.localtime).ok_or_else(|| {
            let path = self.localtime.display();
            format!("{path} cannot be read as a time zone")
        })
    }

    /// Returns the message about an unknown zone, which follows the key's name.
    fn unknown(&self, name: &str) -> String {
        let shown: String = name.chars().take(64).collect();
        if self.zoneinfo.is_dir() {
            return format!(
                "{shown:?} is not a known time zone; write one such as \"Europe/Berlin\", or the \
                 POSIX form such as \"CET-1CEST,M3.5.0,M10.5.0/3\""
            );
        }
        format!(
            "{shown:?} cannot be looked up, for this system has no {}; install its time zones \
             (OpenWrt: zoneinfo-core and the one of your continent, else: tzdata), write the POSIX \
             form such as \"CET-1CEST,M3.5.0,M10.5.0/3\", or leave it out for the system's own",
            self.zoneinfo.display()
        )
    }

    /// Looks up a value such as `Europe/Berlin`, `CET-1CEST,M3.5.0,M10.5.0/3` or `/path/to/a/file`,
    /// each with or without a leading colon.
    fn named(&self, value: &str) -> Option<TimeZone> {
        let name = value.strip_prefix(':').unwrap_or(value);
        if ["", "UTC", "GMT"].contains(&name) {
            return Some(TimeZone::UTC);
        }
        // `..` could leave the directory. An absolute path replaces it.
        let within = !name.split('/').any(|part| part == "..");
        within
            .then(|| compiled(&self.zoneinfo.join(name)))
            .flatten()
            .or_else(|| TimeZone::posix(name).ok())
    }
}

/// Reads a compiled zone file.
fn compiled(path: &Path) -> Option<TimeZone> {
    let bytes = files::read(path, MAX_ZONE_FILE).ok()?;
    TimeZone::tzif("local", &bytes).ok()
}

/// Returns the CPU time of this thread. Unlike elapsed time, tests can limit it on a busy machine.
#[cfg(test)]
pub fn thread_cpu() -> std::time::Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` receives the result and outlives the call.
    let got = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(got, 0);
    std::time::Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::sync::atomic::AtomicI64;

    /// 15 January and 15 July 2026, noon UTC.
    const WINTER: i64 = 1_768_478_400;
    const SUMMER: i64 = 1_784_116_800;

    fn files(dir: &Path) -> Files {
        Files {
            tz: dir.join("TZ"),
            localtime: dir.join("localtime"),
            zoneinfo: dir.join("zoneinfo"),
        }
    }

    /// Returns a compiled zone (RFC 9636) that is `hours` ahead of UTC.
    fn tzif(hours: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..2 {
            bytes.extend_from_slice(b"TZif2");
            bytes.extend_from_slice(&[0; 15]);
            for count in [0u32, 0, 0, 0, 1, 4] {
                bytes.extend_from_slice(&count.to_be_bytes());
            }
            bytes.extend_from_slice(&(i32::from(hours) * 3600).to_be_bytes());
            bytes.extend_from_slice(&[0, 0]);
            bytes.extend_from_slice(b"XXX\0");
        }
        bytes.extend_from_slice(format!("\nXXX-{hours}\n").as_bytes());
        bytes
    }

    fn hours(zone: &TimeZone, wall: i64) -> i32 {
        let offset = around(zone, wall).offset;
        assert_eq!(offset % 3600, 0);
        offset / 3600
    }

    #[test]
    fn a_posix_zone_has_its_summer_time() {
        let dir = tempfile::tempdir().expect("a directory");
        let berlin = Some("CET-1CEST,M3.5.0,M10.5.0/3".into());
        let zone = files(dir.path()).zone(berlin).expect("a zone");
        assert_eq!((hours(&zone, WINTER), hours(&zone, SUMMER)), (1, 2));
    }

    #[test]
    fn the_changes_before_and_after_come_along() {
        let dir = tempfile::tempdir().expect("a directory");
        let berlin = Some("CET-1CEST,M3.5.0,M10.5.0/3".into());
        let zone = files(dir.path()).zone(berlin).expect("a zone");
        let summer = around(&zone, SUMMER);
        assert_eq!(summer, crate::monitor::time::zone::tests::BERLIN);
        let (change, winter) = (summer.until, around(&zone, summer.until));
        assert_eq!((winter.since, winter.before), (change, 7200));
        let last = around(&zone, change - 1);
        assert_eq!((last.until, last.after), (change, 3600));
        assert_eq!(around(&TimeZone::UTC, SUMMER), Zone::UTC);
    }

    #[test]
    fn an_unknown_zone_of_the_configuration_is_told_with_the_remedy() {
        let dir = tempfile::tempdir().expect("a directory");
        let files = files(dir.path());
        let without = files.unknown("Europe/Berlin");
        assert!(without.contains("OpenWrt: zoneinfo-core"), "{without}");
        fs::create_dir_all(&files.zoneinfo).expect("a directory");
        assert_eq!(
            files.unknown("Europe/Brelin"),
            "\"Europe/Brelin\" is not a known time zone; write one such as \"Europe/Berlin\", or \
             the POSIX form such as \"CET-1CEST,M3.5.0,M10.5.0/3\""
        );
        assert!(check_zone("CET-1CEST,M3.5.0,M10.5.0/3").is_ok());
        assert!(check_zone("").is_err());
    }

    #[test]
    fn tz_goes_before_etc_tz_and_that_before_etc_localtime() {
        let dir = tempfile::tempdir().expect("a directory");
        let files = files(dir.path());
        let zone = |tz: Option<&str>| {
            let zone = files.zone(tz.map(OsString::from)).expect("a zone");
            hours(&zone, WINTER)
        };
        assert_eq!(zone(None), 0, "a system that says nothing");
        fs::write(&files.localtime, tzif(3)).expect("written");
        assert_eq!(zone(None), 3);
        fs::write(&files.tz, "XXX-4\n").expect("written");
        assert_eq!(zone(None), 4);
        assert_eq!(zone(Some("XXX-5")), 5);
        assert_eq!(zone(Some("")), 0);
    }

    #[test]
    fn a_name_is_looked_up_among_the_systems_zones() {
        let dir = tempfile::tempdir().expect("a directory");
        let files = files(dir.path());
        fs::create_dir_all(files.zoneinfo.join("Asia")).expect("a directory");
        let path = files.zoneinfo.join("Asia/Karachi");
        fs::write(&path, tzif(5)).expect("written");
        for name in [
            "Asia/Karachi",
            ":Asia/Karachi",
            path.to_str().expect("text"),
        ] {
            let zone = files.zone(Some(name.into())).expect("a zone");
            assert_eq!(hours(&zone, WINTER), 5, "{name}");
        }
    }

    #[test]
    fn an_unknown_zone_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let files = files(dir.path());
        for name in ["Mars/Olympus", "../../etc/passwd", "/etc/passwd", "/"] {
            let unknown = files.zone(Some(name.into())).expect_err(name);
            assert_eq!(unknown, format!("TZ={name:?} is not a known time zone"));
        }
        fs::write(&files.localtime, "no zone").expect("written");
        let unknown = files.zone(None).expect_err("garbage");
        assert!(unknown.ends_with("localtime cannot be read as a time zone"));
    }

    #[test]
    fn a_clock_before_the_build_is_never_believed_and_a_judged_one_by_the_judge() {
        let wall = Arc::new(AtomicI64::new(0));
        let shown = wall.clone();
        let clock = Clock::showing(move || shown.load(Ordering::Relaxed));
        assert!(!clock.is_believed());
        wall.store(BUILT, Ordering::Relaxed);
        assert!(clock.is_believed());
        assert_eq!(clock.now().wall, BUILT);
        clock.judge(false);
        assert!(!clock.is_believed());
        clock.judge(true);
        wall.store(BUILT + 43 * 31_556_952, Ordering::Relaxed);
        assert!(clock.is_believed());
        wall.store(BUILT - 1, Ordering::Relaxed);
        assert!(!clock.is_believed());
    }

    #[test]
    fn the_binary_knows_a_likely_day_of_its_build() {
        const { assert!(BUILT > 1_700_000_000 && BUILT % 86_400 == 0) };
        assert!(Clock::system().is_believed());
    }
}
