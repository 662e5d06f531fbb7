//! This process: its end, and what others could see of its secrets in core dumps and in
//! `/proc/PID/environ`.

use crate::lock::lock;
use crate::secret::Secret;
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use std::collections::HashMap;
use std::ffi::{CStr, c_char};
use std::sync::Mutex;

/// Leaves no core dump behind, for it would hold the token. The limit alone doesn't hold where cores
/// are piped to a program (core(5)). A process that can't be dumped can't be traced by its own user
/// either; `/proc/self` stays readable to it.
pub fn forbid_core_dumps() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // An old kernel or a filter of system calls may refuse: then dumps are as they were.
    let _ = rustix::process::setrlimit(Resource::Core, none);
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Ends the process, whatever its other threads are at: exit(3) would run what libraries have
/// registered for the end while those still use them, and wait for a full stdout.
pub fn end(code: i32) -> ! {
    // SAFETY: takes any number, and never returns (_exit(2)). Stdout is written line by line.
    unsafe { libc::_exit(code) }
}

/// The environment variable `name`, for the configuration. It may be a secret: from the first time
/// on it is only here, and wiped from the environment.
pub fn variable(name: &str) -> Option<String> {
    static TAKEN: Mutex<Option<HashMap<String, Secret>>> = Mutex::new(None);
    let mut taken = lock(&TAKEN);
    let taken = taken.get_or_insert_default();
    if let Some(value) = taken.get(name) {
        return Some(value.expose().to_owned());
    }
    let value = std::env::var(name).ok()?;
    if !is_read_elsewhere(name) {
        wipe(name);
        taken.insert(name.to_owned(), Secret::new(value.clone()));
    }
    Some(value)
}

/// Libraries and programs that we start look these up themselves.
fn is_read_elsewhere(name: &str) -> bool {
    const NAMES: &str = "PATH HOME USER LOGNAME SHELL PWD TMPDIR HOSTNAME RES_OPTIONS LOCALDOMAIN \
        JOURNAL_STREAM NOTIFY_SOCKET CREDENTIALS_DIRECTORY";
    const BEGINNINGS: &str = "TZ LANG LC_ TERM SSL_ LD_ RUST_ WATCHDOG_";
    NAMES.split(' ').any(|known| known == name)
        || BEGINNINGS.split(' ').any(|begins| name.starts_with(begins))
        || name.to_ascii_lowercase().ends_with("_proxy")
}

/// Overwrites the value of `name` in the block that the kernel shows as `/proc/PID/environ`.
fn wipe(name: &str) {
    unsafe extern "C" {
        /// environ(7)
        static environ: *const *mut c_char;
    }
    // SAFETY: the list ends with a null pointer, and each of its texts with a NUL. Nothing in this
    // process adds, removes or replaces one (std::env::set_var, setenv(3)), so that list and texts
    // stay where they are, whatever other threads look up meanwhile. Those compare names, which
    // stay as they are; this value is read under the lock of `variable` alone.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            let text = CStr::from_ptr(*entry).to_bytes();
            let value = text
                .strip_prefix(name.as_bytes())
                .and_then(|rest| rest.strip_prefix(b"="));
            if let Some(value) = value {
                let (at, length) = (text.len() - value.len(), value.len());
                for byte in at..at + length {
                    entry.read().add(byte).write_volatile(0);
                }
            }
            entry = entry.add(1);
        }
    }
}
