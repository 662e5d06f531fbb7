//! Settings of this process: how it exits, and how its secrets are kept out of core dumps and
//! `/proc/PID/environ`.

use crate::lock::lock;
use crate::secret::Secret;
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use std::collections::HashMap;
use std::ffi::{CStr, c_char};
use std::sync::Mutex;

/// Disables core dumps, which would contain the token. The limit alone isn't enough if cores are
/// piped to a program (core(5)). An undumpable process can't be traced by its own user either; it
/// can still read its own `/proc/self`.
pub fn forbid_core_dumps() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // Old kernels and seccomp filters may refuse; dumps are then left as they were.
    let _ = rustix::process::setrlimit(Resource::Core, none);
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Exits at once, without exit(3): that would run the exit handlers of libraries while other
/// threads still use them, and would wait for a full stdout.
pub fn end(code: i32) -> ! {
    // SAFETY: takes any number and never returns (_exit(2)). Stdout is line-buffered.
    unsafe { libc::_exit(code) }
}

/// Returns the environment variable `name` for the configuration. As it may be a secret, its first
/// reading moves it into this process's memory and wipes it from the environment.
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

/// Returns whether libraries or child processes read the variable themselves.
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
    // SAFETY: the list ends with a null pointer, and each entry with a NUL. Nothing in this process
    // adds, removes or replaces an entry (std::env::set_var, setenv(3)), so the list and the
    // entries stay in place while other threads look up variables. Those compare names, which
    // aren't changed; this value is only read under the lock of `variable`.
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
