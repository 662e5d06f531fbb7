//! Any bytes as files of `/proc` and `/etc/fstab`: no panic, and the mount point is a prefix of the
//! path.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sitemon::procfs::{covering, degrees, load, memory, mounted_at_boot, mounts, process, program};
use std::path::Path;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let _ = (memory(&text), load(&text), degrees(&text));
    if let Some((name, _)) = process(bytes) {
        assert!(name.len() + 4 <= bytes.len());
    }
    assert!(!program(bytes).contains(&b'/'));
    assert!(mounted_at_boot(bytes).iter().all(|point| point.is_absolute()));
    let path = Path::new("/a/b");
    if let Some(mount) = covering(&mounts(bytes), path) {
        assert!(path.starts_with(&mount.point));
    }
});
