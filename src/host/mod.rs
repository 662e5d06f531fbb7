//! Figures of this machine: file systems, memory, load, temperatures, files, processes. All
//! functions block, and hang if a file system does.

mod procfs;

use crate::files;
use crate::monitor::render::stats::MachineFigures;
use crate::monitor::site::HostCheck;
#[cfg(test)]
pub use procfs::mounts;
pub use procfs::{Memory, Mount};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub const NO_PROC: &str = "/proc/meminfo and /proc/loadavg cannot be read (ProcSubset=?)";
pub const NO_THERMAL_ZONE: &str = "this machine has no thermal zone";
pub const HIDDEN: &str =
    "the processes of other users are hidden from sitemon (ProtectProc=, hidepid=?)";

/// Maximum size of a file in `/proc`, `/sys` and `/etc/fstab` in bytes.
const LARGEST_FILE: u64 = 4 << 20;
/// Maximum number of bytes that are read of a file in `/proc/PID`; only the program's path is
/// needed.
const LARGEST_COMMAND: u64 = 1 << 16;

/// How long `/stats` waits for a file system.
const PATIENCE: Duration = Duration::from_millis(500);

/// A Linux machine whose `/proc`, `/sys` and `/etc` are below `root`.
pub struct Machine {
    root: PathBuf,
}

/// The size and the free space of a file system.
#[derive(Debug)]
pub struct Disk {
    /// Space that unprivileged users can use, in bytes; root's reserve is left out.
    pub size: u64,
    pub free: u64,
    /// Number of inodes; 0 if the file system has no fixed number.
    pub inodes: u64,
    pub inodes_free: u64,
    /// `None` if the mount is unknown.
    pub mount: Option<Mount>,
    /// The device was removed while it was mounted.
    pub device_gone: bool,
    /// A mount point of `/etc/fstab` on the way to the path on which nothing is mounted.
    pub expected: Option<PathBuf>,
}

impl Machine {
    /// Returns the machine that this process runs on.
    pub fn this() -> Machine {
        Machine::below(Path::new("/"))
    }

    /// Returns a machine whose `/proc`, `/sys` and `/etc` are below `root`.
    pub fn below(root: &Path) -> Machine {
        Machine {
            root: root.to_owned(),
        }
    }

    /// Returns one of the messages above if this machine lacks or hides what `check` reads.
    pub fn lacks(&self, check: &HostCheck) -> Option<&'static str> {
        match check {
            HostCheck::Memory { .. } => self.memory().is_none().then_some(NO_PROC),
            HostCheck::Load { .. } => self.load().is_none().then_some(NO_PROC),
            HostCheck::Temperature { .. } => self.hottest().is_none().then_some(NO_THERMAL_ZONE),
            HostCheck::Process { .. } => self.hides_processes().then_some(HIDDEN),
            HostCheck::Disk { .. } | HostCheck::File { .. } => None,
        }
    }

    pub fn memory(&self) -> Option<Memory> {
        procfs::memory(&self.text("proc/meminfo")?)
    }

    /// Returns the load average over 5 minutes.
    pub fn load(&self) -> Option<f64> {
        procfs::load(&self.text("proc/loadavg")?)
    }

    /// Returns the type of the hottest thermal zone and its temperature in degrees Celsius.
    pub fn hottest(&self) -> Option<(String, i32)> {
        let zones = fs::read_dir(self.root.join("sys/class/thermal")).ok()?;
        let zones = zones.flatten().map(|zone| zone.path());
        let zones = zones.filter(|zone| {
            let name = zone.file_name().unwrap_or_default();
            name.as_bytes().starts_with(b"thermal_zone")
        });
        let measured = zones.filter_map(|zone| {
            let degrees = procfs::degrees(&text(&zone.join("temp"))?)?;
            let kind = text(&zone.join("type")).unwrap_or_default();
            Some((degrees, kind.trim().to_owned()))
        });
        measured.max().map(|(degrees, kind)| (kind, degrees))
    }

    /// Returns the figures of the file system that `path` is on.
    ///
    /// # Errors
    ///
    /// Returns the error of `statvfs` or of resolving `path`.
    pub fn disk(&self, path: &Path) -> io::Result<Disk> {
        // First, because it triggers an automount.
        let stat = rustix::fs::statvfs(path)?;
        let path = path.canonicalize()?;
        let mounts = files::read_now(&self.root.join("proc/self/mountinfo"), LARGEST_FILE);
        let mounts = procfs::mounts(&mounts.unwrap_or_default());
        let mount = procfs::covering(&mounts, &path).cloned();
        let fstab = files::read_now(&self.root.join("etc/fstab"), LARGEST_FILE);
        let at_boot = procfs::mounted_at_boot(&fstab.unwrap_or_default());
        let here = mount.as_ref().map_or(Path::new("/"), |mount| &mount.point);
        let mut expected = at_boot.into_iter();
        let used = stat.f_blocks.saturating_sub(stat.f_bfree);
        Ok(Disk {
            size: used
                .saturating_add(stat.f_bavail)
                .saturating_mul(stat.f_frsize),
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            inodes: stat.f_files,
            inodes_free: stat.f_ffree,
            device_gone: mount.as_ref().is_some_and(|mount| self.is_gone(mount)),
            expected: expected
                .find(|at| at != here && path.starts_with(at) && at.starts_with(here)),
            mount,
        })
    }

    /// Returns the figures for `/stats`; `state` is the state directory. Waits at most [`PATIENCE`]
    /// for its file system.
    pub fn figures(&self, state: &Path) -> MachineFigures {
        let owned = state.to_owned();
        let stat = move || Ok(rustix::fs::statvfs(&owned)?);
        let stat = files::within(state, PATIENCE, stat).ok();
        MachineFigures {
            disk_free: stat.map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize)),
            memory_available: self.memory().map(|memory| memory.available),
            load: self.load(),
            temperature: self.hottest().map(|(_, degrees)| degrees),
        }
    }

    /// Returns whether the kernel no longer knows the block device of `mount`.
    fn is_gone(&self, mount: &Mount) -> bool {
        let devices = self.root.join("sys/dev/block");
        let is_block = !mount.device.starts_with("0:");
        is_block && devices.is_dir() && !devices.join(&mount.device).exists()
    }

    /// Returns the ids of the processes whose name or program's name is `name`, without zombies.
    ///
    /// # Errors
    ///
    /// Returns the error of reading `/proc`.
    pub fn processes(&self, name: &str) -> io::Result<Vec<u32>> {
        let name = name.as_bytes();
        let mut found = Vec::new();
        for entry in fs::read_dir(self.root.join("proc"))?.flatten() {
            let pid = entry.file_name().to_str().and_then(|pid| pid.parse().ok());
            let Some(pid) = pid else { continue };
            // The process may have ended by now.
            let read = |file: &str| {
                let mut bytes = Vec::new();
                let file = fs::File::open(entry.path().join(file)).ok()?;
                io::Read::read_to_end(&mut io::Read::take(file, LARGEST_COMMAND), &mut bytes)
                    .ok()?;
                Some(bytes)
            };
            let is_it = read("stat").is_some_and(|stat| match procfs::process(&stat) {
                Some((_, b'Z' | b'X')) | None => false,
                Some((own, _)) if own == name => true,
                Some(_) => read("cmdline").is_some_and(|line| procfs::program(&line) == name),
            });
            if is_it {
                found.push(pid);
            }
        }
        Ok(found)
    }

    /// Returns whether the processes of other users are hidden: then process 1 is.
    pub fn hides_processes(&self) -> bool {
        fs::File::open(self.root.join("proc/1/stat")).is_err()
    }

    fn text(&self, path: &str) -> Option<String> {
        text(&self.root.join(path))
    }
}

fn text(path: &Path) -> Option<String> {
    let bytes = files::read_now(path, LARGEST_FILE).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::monitor::site::Amount;
    use tempfile::TempDir;

    /// Creates a directory with these files.
    pub(crate) fn root(files: &[(&str, &str)]) -> TempDir {
        let root = tempfile::tempdir().expect("a directory");
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("below the root")).expect("directories");
            fs::write(path, text).expect("written");
        }
        root
    }

    #[test]
    fn the_hottest_zone_that_measures_counts() {
        let root = root(&[
            ("sys/class/thermal/thermal_zone0/temp", "48312\n"),
            ("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n"),
            ("sys/class/thermal/thermal_zone1/temp", "61999\n"),
            ("sys/class/thermal/thermal_zone1/type", "wifi\n"),
            ("sys/class/thermal/thermal_zone2/temp", "-274000\n"),
            ("sys/class/thermal/thermal_zone2/type", "off\n"),
            ("sys/class/thermal/cooling_device0/temp", "99000\n"),
        ]);
        let machine = Machine::below(root.path());
        assert_eq!(machine.hottest(), Some(("wifi".to_owned(), 61)));
    }

    #[test]
    fn a_process_is_found_by_its_name_or_its_programs_unless_it_has_ended() {
        let root = root(&[
            ("proc/1/stat", "1 (systemd) S 0"),
            ("proc/1/cmdline", "/sbin/init\0"),
            ("proc/20/stat", "20 (nginx) S 1"),
            ("proc/20/cmdline", "nginx: worker process"),
            ("proc/7/stat", "7 (a-name-longer-t) S 1"),
            ("proc/7/cmdline", "/opt/a-name-longer-than-15\0-x\0"),
            ("proc/9/stat", "9 (nginx) S 1"),
            ("proc/10/stat", "10 (gone) Z 1"),
            ("proc/10/cmdline", ""),
            ("proc/stat", "cpu 1"),
        ]);
        let machine = Machine::below(root.path());
        for (name, pids) in [
            ("nginx", &[9, 20][..]),
            ("init", &[1]),
            ("systemd", &[1]),
            ("a-name-longer-than-15", &[7]),
            ("a-name", &[]),
            ("gone", &[]),
            ("", &[]),
        ] {
            let mut found = machine.processes(name).expect("readable");
            found.sort_unstable();
            assert_eq!(found, pids, "{name}");
        }
        assert!(!machine.hides_processes());
    }

    #[test]
    fn what_a_machine_lacks_is_said() {
        let root = root(&[("proc/7/stat", "7 (own) S 1")]);
        let machine = Machine::below(root.path());
        let (max, warn) = (80, None);
        let lacks = |check| machine.lacks(&check);
        assert_eq!(
            lacks(HostCheck::Temperature { max, warn }),
            Some(NO_THERMAL_ZONE)
        );
        assert_eq!(
            lacks(HostCheck::Load {
                max: 1.0,
                warn: None
            }),
            Some(NO_PROC)
        );
        let available = Amount::Count(1);
        let memory = HostCheck::Memory {
            available,
            warn: None,
        };
        assert_eq!(lacks(memory.clone()), Some(NO_PROC));
        let name = "own".to_owned();
        assert_eq!(lacks(HostCheck::Process { name }), Some(HIDDEN));
        assert_eq!(Machine::this().lacks(&memory), None);
    }

    #[test]
    fn a_file_system_is_known_by_its_mount_and_its_device() {
        let at = tempfile::tempdir().expect("a directory");
        let at = at.path().canonicalize().expect("it is there");
        let mounts = format!(
            "1 1 0:2 / / rw - rootfs rootfs rw\n2 1 8:1 / {} ro - ext4 /dev/sda1 rw\n",
            at.display()
        );
        let root = root(&[
            ("proc/self/mountinfo", &mounts),
            ("sys/dev/block/8:2/dev", ""),
        ]);
        let machine = Machine::below(root.path());
        let disk = machine.disk(&at).expect("it is there");
        assert!(disk.free <= disk.size && disk.size > 0, "{disk:?}");
        assert!(disk.device_gone);
        assert_eq!(disk.expected, None);
        assert!(
            disk.mount
                .is_some_and(|mount| mount.point == at && !mount.read_only)
        );
        fs::create_dir(root.path().join("sys/dev/block/8:1")).expect("made");
        let boot = format!("/dev/sdb1 {}/in ext4 nofail\n", at.display());
        fs::create_dir(root.path().join("etc")).expect("made");
        fs::write(root.path().join("etc/fstab"), boot).expect("written");
        fs::create_dir(at.join("in")).expect("made");
        let disk = machine.disk(&at.join("in")).expect("it is there");
        assert!(!disk.device_gone);
        assert_eq!(disk.expected, Some(at.join("in")));
    }
}
