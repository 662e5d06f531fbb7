//! Parsers of what Linux reports in `/proc` and `/sys` (proc(5)), and of `/etc/fstab` (fstab(5)).
//! No I/O.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    pub available: u64,
    pub total: u64,
}

/// A line of `/proc/PID/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    id: u64,
    parent: u64,
    /// Device number, `MAJOR:MINOR`. Block devices never have the major number 0.
    pub device: String,
    pub point: PathBuf,
    /// The file system's type, such as `ext4`.
    pub kind: String,
    /// What is mounted, such as `/dev/sda1`.
    pub source: String,
    /// The file system is read-only, not only this mount of it.
    pub read_only: bool,
}

/// Parses `/proc/meminfo`. Kernels before 3.14 have no `MemAvailable`.
pub fn memory(meminfo: &str) -> Option<Memory> {
    let bytes = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
        kib.checked_mul(1024)
    };
    Some(Memory {
        available: bytes("MemAvailable:")?,
        total: bytes("MemTotal:")?,
    })
}

/// Returns the load average over 5 minutes from `/proc/loadavg`.
pub fn load(loadavg: &str) -> Option<f64> {
    let load: f64 = loadavg.split_whitespace().nth(1)?.parse().ok()?;
    (load.is_finite() && load >= 0.0).then_some(load)
}

/// Converts `/sys/class/thermal/thermal_zone*/temp` from thousandths to degrees Celsius, rounded
/// down. Returns `None` for values that no sensor measures.
pub fn degrees(temp: &str) -> Option<i32> {
    let millis: i32 = temp.trim().parse().ok()?;
    let degrees = millis.div_euclid(1000);
    (-100..=1000).contains(&degrees).then_some(degrees)
}

/// Returns the name of the process, which may contain any byte, and the letter of its state from
/// `/proc/PID/stat`.
pub fn process(stat: &[u8]) -> Option<(&[u8], u8)> {
    let open = stat.iter().position(|&b| b == b'(')?;
    let close = stat.iter().rposition(|&b| b == b')')?;
    let name = stat.get(open + 1..close)?;
    match stat.get(close + 1..)? {
        [b' ', state, ..] if state.is_ascii_alphabetic() => Some((name, *state)),
        _ => None,
    }
}

/// Returns the file name of the program from `/proc/PID/cmdline`.
pub fn program(cmdline: &[u8]) -> &[u8] {
    let called = cmdline.split(|&b| b == 0).next().unwrap_or_default();
    called.rsplit(|&b| b == b'/').next().unwrap_or_default()
}

/// Parses `/proc/PID/mountinfo` and skips malformed lines.
pub fn mounts(mountinfo: &[u8]) -> Vec<Mount> {
    mountinfo.split(|&b| b == b'\n').filter_map(mount).collect()
}

/// Parses a line such as
/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`.
fn mount(line: &[u8]) -> Option<Mount> {
    let mut words = line.split(|&b| b == b' ');
    let text = |word: &[u8]| String::from_utf8_lossy(&unescaped(word)).into_owned();
    let number = |word: &[u8]| std::str::from_utf8(word).ok()?.parse().ok();
    let id = number(words.next()?)?;
    let parent = number(words.next()?)?;
    let device = text(words.next()?);
    let point = unescaped(words.nth(1)?);
    words.find(|&word| word == b"-")?;
    let (kind, source) = (text(words.next()?), text(words.next()?));
    // ext4 reports `emergency_ro` or `shutdown` after errors have stopped writes.
    let stopped = |option: &[u8]| matches!(option, b"ro" | b"emergency_ro" | b"shutdown");
    let mut options = words.next()?.split(|&b| b == b',');
    Some(Mount {
        id,
        parent,
        device,
        point: OsString::from_vec(point).into(),
        kind,
        source,
        read_only: options.any(stopped),
    })
}

/// Returns the mount that `path` is on. `path` is absolute and free of symbolic links. Like the
/// kernel, starts at the root and enters each mount on the way.
pub fn covering<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    let inner = |mount: &Mount| {
        mounts
            .iter()
            .any(|m| m.id == mount.parent && m.id != mount.id)
    };
    let is_root = |mount: &&Mount| mount.point == Path::new("/") && !inner(mount);
    let mut here = mounts.iter().find(is_root)?;
    // Bounded because malformed input may contain cycles.
    for _ in mounts {
        let on_the_way = mounts.iter().filter(|mount| {
            mount.parent == here.id && mount.id != here.id && path.starts_with(&mount.point)
        });
        match on_the_way.min_by_key(|mount| mount.point.as_os_str().len()) {
            Some(next) => here = next,
            None => break,
        }
    }
    Some(here)
}

/// Returns the mount points in `/etc/fstab` that are mounted at boot.
pub fn mounted_at_boot(fstab: &[u8]) -> Vec<PathBuf> {
    let point = |line: &[u8]| {
        let words = line.split(|b| b.is_ascii_whitespace());
        let mut words = words.filter(|word| !word.is_empty());
        let source = words.next()?;
        let (point, _kind) = (unescaped(words.next()?), words.next()?);
        let mut options = words.next().unwrap_or_default().split(|&b| b == b',');
        let manual = options.any(|option| option == b"noauto");
        let wanted = !source.starts_with(b"#") && point.starts_with(b"/") && !manual;
        wanted.then(|| OsString::from_vec(point).into())
    };
    fstab.split(|&b| b == b'\n').filter_map(point).collect()
}

/// Decodes the octal escapes of blanks, tabs, line feeds and backslashes, such as `\040`.
fn unescaped(word: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word;
    while let [first, behind @ ..] = rest {
        rest = behind;
        let octal = |byte: &u8| (b'0'..=b'7').contains(byte);
        match behind {
            [a @ b'0'..=b'3', b, c, after @ ..] if *first == b'\\' && octal(b) && octal(c) => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => bytes.push(*first),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::ffi::OsStrExt;

    const PI: &str = "\
22 28 0:20 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
23 28 0:21 / /proc rw,relatime shared:14 - proc proc rw
26 28 0:24 / /run rw,nosuid,nodev shared:5 - tmpfs tmpfs rw,size=93200k,mode=755
28 1 179:2 / / ro,noatime shared:1 - ext4 /dev/mmcblk0p2 rw,discard
40 28 8:1 / /mnt/my\\040disk rw shared:20 - ext4 /dev/sda1 ro,errors=remount-ro
41 26 0:50 / /run/user/1000 rw shared:9 - tmpfs tmpfs rw
";

    #[track_caller]
    fn leads(mountinfo: &str, path: &str, source: &str) {
        let mounts = mounts(mountinfo.as_bytes());
        let found = covering(&mounts, Path::new(path)).map(|mount| mount.source.as_str());
        assert_eq!(found, Some(source), "{path}");
    }

    #[test]
    fn a_path_leads_to_the_mount_that_the_kernel_would_find() {
        for (path, source) in [
            ("/", "/dev/mmcblk0p2"),
            ("/var/log", "/dev/mmcblk0p2"),
            ("/mnt/my disk", "/dev/sda1"),
            ("/mnt/my disk/a", "/dev/sda1"),
            ("/mnt/my disks", "/dev/mmcblk0p2"),
            ("/run/x", "tmpfs"),
        ] {
            leads(PI, path, source);
        }
        // A root mounted over another one, and a mount that hides one below it.
        let stacked = "\
1 1 0:2 / / rw - rootfs rootfs rw
2 1 8:1 / / rw - ext4 below rw
3 2 8:2 / /a/b rw - ext4 hidden rw
4 2 8:3 / /a rw - ext4 above rw
5 4 8:4 / /a rw - ext4 top rw
";
        leads(stacked, "/", "below");
        leads(stacked, "/a/b/c", "top");
        assert_eq!(covering(&[], Path::new("/")), None);
    }

    #[test]
    fn whether_it_can_be_written_is_what_the_file_system_says() {
        let mounts = mounts(PI.as_bytes());
        let read_only = |path: &str| covering(&mounts, Path::new(path)).unwrap().read_only;
        assert!(!read_only("/"), "only this mount of it is");
        assert!(read_only("/mnt/my disk"));
        let stopped = b"1 1 8:1 / / rw - ext4 /dev/sda1 rw,emergency_ro";
        assert!(super::mounts(stopped)[0].read_only);
    }

    #[test]
    fn what_is_mounted_at_boot_stands_in_fstab() {
        let fstab = b"# a comment here\n\nPARTUUID=1-2  /  ext4 defaults,noatime 0 1\n\
            /dev/sda1\t/mnt/my\\040disk\tauto\tnofail\n#/dev/sdb1 /old ext4 rw\n\
            /dev/sdc1 /by/hand vfat noauto,user 0 0\n/swapfile none swap sw 0 0\n";
        let points = ["/", "/mnt/my disk"].map(PathBuf::from);
        assert_eq!(mounted_at_boot(fstab), points);
    }

    #[test]
    fn memory_and_load() {
        let text = "MemTotal:         945364 kB\nMemFree:           82000 kB\nMemAvailable:     561234 kB\n";
        let memory = memory(text).unwrap();
        assert_eq!(memory.total, 945_364 << 10);
        assert_eq!(memory.available, 561_234 << 10);
        assert_eq!(super::memory("MemTotal: 1 kB\n"), None);
        assert_eq!(load("0.20 5.18 0.10 1/105 9999\n"), Some(5.18));
        for bad in ["", "1", "1 x", "1 inf 2", "1 -1 2"] {
            assert_eq!(load(bad), None, "{bad}");
        }
    }

    #[test]
    fn temperatures_are_rounded_down_and_no_sensors_are_left_out() {
        assert_eq!(degrees("84123\n"), Some(84));
        assert_eq!(degrees("-500\n"), Some(-1));
        for bad in ["-274000", "2147483647", "", "hot"] {
            assert_eq!(degrees(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_process_may_be_called_anything() {
        assert_eq!(
            process(b"812 (dnsmasq) S 1 812"),
            Some((&b"dnsmasq"[..], b'S'))
        );
        assert_eq!(process(b"1 (a) Z (b)) Z 1"), Some((&b"a) Z (b)"[..], b'Z')));
        assert_eq!(process(b"1 () R 1"), Some((&b""[..], b'R')));
        for bad in ["", "1", "1 (a", "1 )a( S", "1 (a)", "1 (a) ", "1 (a)  S"] {
            assert_eq!(process(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(program(b"/usr/sbin/dnsmasq\0-C\0/etc/x\0"), b"dnsmasq");
        assert_eq!(program(b"top"), b"top");
        assert_eq!(program(b""), b"");
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_readers(bytes in any::<Vec<u8>>(), text in any::<String>()) {
            let _ = (memory(&text), load(&text), degrees(&text));
            let _ = (process(&bytes), program(&bytes), mounted_at_boot(&bytes));
            let _ = covering(&mounts(&bytes), Path::new("/a/b"));
        }

        #[test]
        fn lines_of_any_mounts_end_at_one_that_leads_there(
            lines in prop::collection::vec((0..5_u64, 0..5_u64, "(/[ab]){0,3}", any::<bool>()), 0..8),
            path in "(/[ab]){1,4}",
        ) {
            let line = |(id, parent, point, ro): &(u64, u64, String, bool)| {
                let point = if point.is_empty() { "/" } else { point };
                let ro = if *ro { "ro" } else { "rw" };
                format!("{id} {parent} 8:{id} / {point} rw - ext4 /dev/sd{id} {ro}\n")
            };
            let text: String = lines.iter().map(line).collect();
            let mounts = mounts(text.as_bytes());
            prop_assert_eq!(mounts.len(), lines.len());
            if let Some(found) = covering(&mounts, Path::new(&path)) {
                prop_assert!(Path::new(&path).starts_with(&found.point));
            }
        }

        #[test]
        fn what_the_kernel_escapes_is_read_as_it_was(name in any::<Vec<u8>>()) {
            // The four characters that the kernel's `seq_path_root()` escapes.
            let escape = |&byte: &u8| match byte {
                b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
                byte => vec![byte],
            };
            let escaped: Vec<u8> = name.iter().flat_map(escape).collect();
            let line = [b"1 1 8:1 / /", &escaped[..], b" rw - ext4 a rw"].concat();
            let point = mount(&line).map(|mount| mount.point);
            let point = point.as_ref().map(|point| &point.as_os_str().as_bytes()[1..]);
            prop_assert_eq!(point, Some(&name[..]));
        }
    }
}
