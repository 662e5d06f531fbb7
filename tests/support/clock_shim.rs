//! A wall clock of the test's own for the real binary, by a preloaded library.

use super::agent::Sitemon;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// What `adjtimex` returns to the agent.
#[derive(Clone, Copy, Debug)]
pub enum Kernel {
    Synchronised = 0,
    NotSynchronised = 5,
    Refuses = -1,
}

/// The clock of one agent, which may be set while the agent runs.
pub struct ClockShim(PathBuf);

impl ClockShim {
    /// Builds the library with the system's C compiler and preloads it into the agent.
    pub fn before(sitemon: Sitemon) -> (Sitemon, ClockShim) {
        let (library, file) = (sitemon.dir().join("shim.so"), sitemon.dir().join("clock"));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/clock_shim.c");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([library.as_os_str(), source.as_ref()])
            .status();
        assert!(
            built.is_ok_and(|status| status.success()),
            "a C compiler is needed"
        );
        let sitemon = sitemon
            .env("LD_PRELOAD", &library.to_string_lossy())
            .env("SITEMON_CLOCK_SHIM", &file.to_string_lossy());
        (sitemon, ClockShim(file))
    }

    /// Sets the clock `ahead` seconds ahead of the true time.
    pub fn set(&self, ahead: i64, kernel: Kernel) {
        let new = self.0.with_extension("new");
        fs::write(&new, format!("{ahead} {}", kernel as i32)).expect("written");
        fs::rename(new, &self.0).expect("renamed");
    }
}
