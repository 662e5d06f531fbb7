//! The clocks of the process and the local time zone. All that is told the time is told by a
//! [`Clock`], so that a test can set it.

use crate::monitor::time::Now;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Midnight UTC of the day of the build, in Unix seconds: a wall clock that shows less is not set.
pub const BUILT: i64 = match i64::from_str_radix(env!("SITEMON_BUILT"), 10) {
    Ok(seconds) => seconds,
    Err(_) => panic!("SITEMON_BUILT is not a number"),
};

/// The zone is looked up anew this often, in seconds. Offsets change on multiples of it.
const LOOK_EVERY: i64 = 300;

/// Cheap to clone; all clones are the same clock.
#[derive(Clone)]
pub struct Clock(Arc<Inner>);

struct Inner {
    started: Instant,
    /// Unix seconds.
    wall: Box<dyn Fn() -> i64 + Send + Sync>,
    zone: Mutex<Zone>,
}

#[derive(Default)]
struct Zone {
    /// The stretch of [`LOOK_EVERY`] of wall time that `offset` is of.
    stretch: Option<i64>,
    offset: i32,
    /// An unknown zone has been told of.
    told: bool,
}

impl Clock {
    /// The clocks of the system. Uptime is counted from now on.
    pub fn system() -> Clock {
        Clock::new(system_wall)
    }

    /// A wall clock that shows what `wall` says.
    #[cfg(test)]
    pub(crate) fn showing(wall: impl Fn() -> i64 + Send + Sync + 'static) -> Clock {
        Clock::new(wall)
    }

    fn new(wall: impl Fn() -> i64 + Send + Sync + 'static) -> Clock {
        Clock(Arc::new(Inner {
            started: Instant::now(),
            wall: Box::new(wall),
            zone: Mutex::default(),
        }))
    }

    /// Both clocks.
    pub fn now(&self) -> Now {
        self.at(Instant::now())
    }

    /// Both clocks for something that happened at `instant`, a moment ago.
    pub fn at(&self, instant: Instant) -> Now {
        let wall = self.wall();
        Now {
            uptime: instant.saturating_duration_since(self.0.started),
            wall,
            zone: self.zone(wall),
        }
    }

    /// The point in time at which the uptime is `uptime`.
    pub fn instant(&self, uptime: Duration) -> Instant {
        self.0.started + uptime
    }

    /// Unix seconds.
    pub fn wall(&self) -> i64 {
        (self.0.wall)()
    }

    /// The wall clock cannot be trusted with a certificate's dates otherwise.
    pub fn is_set(&self) -> bool {
        self.wall() >= BUILT
    }

    /// Seconds that local time is ahead of UTC at `wall`.
    fn zone(&self, wall: i64) -> i32 {
        let mut zone = self.0.zone.lock().unwrap_or_else(PoisonError::into_inner);
        let stretch = wall.div_euclid(LOOK_EVERY);
        if zone.stretch != Some(stretch) {
            zone.stretch = Some(stretch);
            let found = Files::system().zone(std::env::var_os("TZ"));
            let zone_of = found.unwrap_or_else(|unknown| {
                if !zone.told {
                    log::warn!("{unknown}: local times are told in UTC");
                    zone.told = true;
                }
                TimeZone::UTC
            });
            zone.offset = offset(&zone_of, wall);
        }
        zone.offset
    }
}

fn offset(zone: &TimeZone, wall: i64) -> i32 {
    Timestamp::from_second(wall).map_or(0, |at| zone.to_offset(at).seconds())
}

fn system_wall() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

/// Where a system says which zone it is in, and what it knows of zones (tzset(3), tzfile(5)).
struct Files {
    /// OpenWrt's `/etc/TZ`: the value of `TZ` for all.
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

    /// The zone that `TZ` names, else `/etc/TZ`, else `/etc/localtime`; a system that says nothing
    /// means UTC. An error is a sentence about a zone that cannot be known.
    fn zone(&self, variable: Option<OsString>) -> Result<TimeZone, String> {
        if let Some(value) = variable {
            let value = value.to_string_lossy();
            return self
                .named(&value)
                .ok_or_else(|| format!("TZ={value:?} is not a known time zone"));
        }
        match fs::read_to_string(&self.tz) {
            Ok(text) => {
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

    /// `Europe/Berlin`, `CET-1CEST,M3.5.0,M10.5.0/3` or `/path/to/a/file`, all with or without a
    /// colon in front.
    fn named(&self, value: &str) -> Option<TimeZone> {
        let name = value.strip_prefix(':').unwrap_or(value);
        if ["", "UTC", "GMT"].contains(&name) {
            return Some(TimeZone::UTC);
        }
        // `..` leads nowhere a zone would be. An absolute path replaces the directory.
        let within = !name.split('/').any(|part| part == "..");
        within
            .then(|| compiled(&self.zoneinfo.join(name)))
            .flatten()
            .or_else(|| TimeZone::posix(name).ok())
    }
}

/// Reads a compiled zone.
fn compiled(path: &Path) -> Option<TimeZone> {
    /// The largest of the system's are about 4 KB.
    const LARGEST: u64 = 256 * 1024;
    let meta = fs::metadata(path).ok()?;
    if !meta.is_file() || meta.len() > LARGEST {
        return None;
    }
    TimeZone::tzif("local", &fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, Ordering};

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

    /// A compiled zone (RFC 9636) that is `hours` ahead of UTC.
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
        assert_eq!(offset(zone, wall) % 3600, 0);
        offset(zone, wall) / 3600
    }

    #[test]
    fn a_posix_zone_has_its_summer_time() {
        let dir = tempfile::tempdir().expect("a directory");
        let berlin = Some("CET-1CEST,M3.5.0,M10.5.0/3".into());
        let zone = files(dir.path()).zone(berlin).expect("a zone");
        assert_eq!((hours(&zone, WINTER), hours(&zone, SUMMER)), (1, 2));
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
    fn a_clock_before_the_build_is_not_set() {
        let wall = Arc::new(AtomicI64::new(0));
        let shown = wall.clone();
        let clock = Clock::showing(move || shown.load(Ordering::Relaxed));
        assert!(!clock.is_set());
        wall.store(BUILT, Ordering::Relaxed);
        assert!(clock.is_set());
        assert_eq!(clock.now().wall, BUILT);
    }

    #[test]
    fn the_binary_knows_a_likely_day_of_its_build() {
        const { assert!(BUILT > 1_700_000_000 && BUILT % 86_400 == 0) };
        assert!(Clock::system().is_set());
    }
}
