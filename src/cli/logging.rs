//! The log: one line an event to stderr, our own lines only: a library's could hold a URL and so
//! the token.

use log::{LevelFilter, Log, Metadata, Record};
use simple_logger::SimpleLogger;
use std::io::{self, IsTerminal};
use std::panic::{self, AssertUnwindSafe};

pub fn start(level: LevelFilter) {
    let logger = SimpleLogger::new()
        .with_level(LevelFilter::Off)
        .with_module_level("sitemon", level);
    let logger = if supervised() {
        logger.without_timestamps()
    } else {
        logger.with_utc_timestamps()
    };
    log::set_max_level(logger.max_level());
    // Only fails when a logger is set already.
    let _ = log::set_boxed_logger(Box::new(Unbreakable(logger)));
}

/// Whether an init system reads the log: it puts the time before each line. systemd says so in
/// `JOURNAL_STREAM`; procd starts its services as children of process 1. What was started in a
/// desktop's terminal may have inherited the variable.
fn supervised() -> bool {
    let started =
        || std::env::var_os("JOURNAL_STREAM").is_some() || std::os::unix::process::parent_id() == 1;
    !io::stderr().is_terminal() && started()
}

/// [`SimpleLogger`] panics when nobody reads stderr any more, for example when the `logger` behind
/// it has died: that must not end what was about to be logged.
struct Unbreakable(SimpleLogger);

impl Log for Unbreakable {
    fn enabled(&self, metadata: &Metadata) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record) {
        let _ = panic::catch_unwind(AssertUnwindSafe(|| self.0.log(record)));
    }

    fn flush(&self) {
        self.0.flush();
    }
}
