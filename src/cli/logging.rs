//! Writes the log to stderr, one line per event. Only events of this crate are logged, because
//! those of libraries could contain a URL and so the token.
//!
//! Commands write their lines at once, however long that takes. The agent must not wait for a pipe
//! that isn't read: its lines go through a bounded queue, which a thread writes; the thread ends
//! when the queue is empty. Lines that don't fit are dropped and counted.

use super::return_addresses;
use jiff::Timestamp;
use jiff::tz::Offset;
use log::{Level, LevelFilter, Log, Metadata, Record};
use simple_logger::SimpleLogger;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Maximum size of the queue in bytes: about 600 lines.
const MAX_QUEUED: usize = 64 << 10;
/// Memory of a queued line besides its text, in bytes.
const OVERHEAD: usize = 64;
/// Waiting time after which a line says when it was logged.
const LATE_AFTER: Duration = Duration::from_secs(2);
/// Name of the thread that writes. A panic on it can't be logged.
const WRITER: &str = "log";

/// Starts the log, unqueued. In this mode warnings are written without time and origin because they
/// are messages of a command.
pub fn start(level: LevelFilter) {
    let logger = SimpleLogger::new()
        .with_level(LevelFilter::Off)
        .with_module_level("sitemon", level);
    log::set_max_level(logger.max_level());
    // Both fail only if a logger is already set.
    let _ = SIMPLE.set((logger, !supervised()));
    let _ = log::set_logger(&Stderr);
}

/// Queues all lines from now on, panic messages included, so that no thread waits for stderr to be
/// read.
pub fn queue() {
    queued().on = true;
    panic::set_hook(Box::new(|panic| {
        let thread = thread::current();
        if thread.name() == Some(WRITER) {
            return;
        }
        // Without a backtrace, because a stripped binary has no symbols.
        let name = thread.name().unwrap_or_default();
        let mut text = format!("thread '{name}' {panic}");
        if let Some(addresses) = return_addresses::instead_of(panic.location()) {
            text.push_str("\naddresses:");
            for address in addresses {
                let _ = write!(text, " {address:x}");
            }
        }
        put(None, text);
    }));
}

/// Writes `text` to stderr without level and time.
pub fn say(text: &str) {
    let on = queued().on;
    match on {
        true => put(None, text.to_owned()),
        // Not `eprintln!`, which panics if stderr is closed; the exit code reports the failure,
        // too.
        false => drop(writeln!(io::stderr(), "{text}")),
    }
}

/// Waits until the queue is written, but at most `patience`.
pub fn flush(patience: Duration) {
    let give_up = Instant::now() + patience;
    let mut queue = queued();
    while queue.writing {
        let left = give_up.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        let waited = DRAINED.wait_timeout(queue, left);
        queue = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// Returns whether an init system reads the log and adds the time to each line. systemd sets
/// `JOURNAL_STREAM`, and procd's services are children of process 1. A terminal on a desktop may
/// have inherited the variable.
fn supervised() -> bool {
    let started =
        || std::env::var_os("JOURNAL_STREAM").is_some() || std::os::unix::process::parent_id() == 1;
    !io::stderr().is_terminal() && started()
}

/// The logger, and whether lines begin with the time. Set before [`Stderr`] becomes the logger.
static SIMPLE: OnceLock<(SimpleLogger, bool)> = OnceLock::new();

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata) -> bool {
        SIMPLE
            .get()
            .is_some_and(|(simple, _)| simple.enabled(metadata))
    }

    fn log(&self, record: &Record) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let queue = queued();
        if !queue.on {
            drop(queue);
            match record.level() {
                Level::Warn => say(&format!("warning: {}", record.args())),
                _ => drop(write_record(record)),
            }
        } else if queue.overflowing {
            // Not even formatted while lines are dropped.
            lose(queue);
        } else {
            drop(queue);
            let head = (record.level(), record.target().to_owned());
            put(Some(head), record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// A queued line.
struct Line {
    /// Level and target of a log line; `None` for plain text.
    head: Option<(Level, String)>,
    text: String,
    at: Instant,
}

struct Queue {
    /// Whether lines are queued; otherwise they are written at once.
    on: bool,
    lines: VecDeque<Line>,
    /// Total size of the lines in bytes.
    size: usize,
    /// The queue was full: lines are dropped until it is empty.
    overflowing: bool,
    /// Number of dropped lines that weren't reported yet.
    lost: usize,
    /// The last write failed: dropped lines are reported with the next line, not on their own.
    failing: bool,
    /// The writing thread runs.
    writing: bool,
}

static QUEUE: Mutex<Queue> = Mutex::new(Queue {
    on: false,
    lines: VecDeque::new(),
    size: 0,
    overflowing: false,
    lost: 0,
    failing: false,
    writing: false,
});
static DRAINED: Condvar = Condvar::new();

fn queued() -> MutexGuard<'static, Queue> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Queues a line, or counts it as dropped.
fn put(head: Option<(Level, String)>, text: String) {
    let mut queue = queued();
    let size = text.len() + OVERHEAD;
    let room = queue.lines.is_empty() || queue.size + size <= MAX_QUEUED;
    if queue.overflowing || !room {
        return lose(queue);
    }
    queue.size += size;
    let at = Instant::now();
    queue.lines.push_back(Line { head, text, at });
    write_on(queue);
}

fn lose(mut queue: MutexGuard<'_, Queue>) {
    queue.overflowing = true;
    queue.lost += 1;
    write_on(queue);
}

/// Starts the writing thread unless it runs.
fn write_on(mut queue: MutexGuard<'_, Queue>) {
    if !queue.writing {
        let thread = thread::Builder::new().name(WRITER.to_owned());
        // If no thread can be started, the next line tries again.
        queue.writing = thread.spawn(write_all).is_ok();
    }
}

fn write_all() {
    while let Some(line) = next() {
        let written = panic::catch_unwind(AssertUnwindSafe(|| write(&line))).is_ok_and(|done| done);
        let mut queue = queued();
        queue.failing = !written;
        queue.lost += usize::from(!written);
    }
}

/// Returns the next line to write, or `None` if the thread is to end.
fn next() -> Option<Line> {
    let mut queue = queued();
    if let Some(line) = queue.lines.pop_front() {
        queue.size -= line.text.len() + OVERHEAD;
        return Some(line);
    }
    queue.overflowing = false;
    if queue.lost > 0 && !queue.failing {
        let text = match std::mem::take(&mut queue.lost) {
            1 => "1 line of the log was lost: stderr was not read".to_owned(),
            n => format!("{n} lines of the log were lost: stderr was not read"),
        };
        return Some(Line {
            head: Some((Level::Warn, module_path!().to_owned())),
            text,
            at: Instant::now(),
        });
    }
    queue.writing = false;
    DRAINED.notify_all();
    None
}

/// Writes a line, however long that takes. Returns whether it was written.
fn write(line: &Line) -> bool {
    let (waited, text) = (line.at.elapsed(), &line.text);
    let Some((level, target)) = &line.head else {
        return writeln!(io::stderr(), "{text}").is_ok();
    };
    let ago = match waited < LATE_AFTER {
        true => String::new(),
        false => format!(" ({} s ago)", waited.as_secs()),
    };
    let mut record = Record::builder();
    record.level(*level).target(target);
    write_record(&record.args(format_args!("{text}{ago}")).build())
}

/// Writes a record and survives the panic of [`SimpleLogger`] when stderr is closed, for example
/// because the `logger` that reads it has died.
fn write_record(record: &Record) -> bool {
    let Some((simple, dated)) = SIMPLE.get() else {
        return false;
    };
    // Locked for the whole line, which is written in two parts.
    let mut stderr = io::stderr().lock();
    if *dated && stderr.write_all(utc(SystemTime::now()).as_bytes()).is_err() {
        return false;
    }
    panic::catch_unwind(AssertUnwindSafe(|| simple.log(record))).is_ok()
}

/// Formats a time such as `2026-11-24T14:03:05.042Z ` (RFC 3339). [`SimpleLogger`] would need a
/// second calendar library.
fn utc(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    // Not `Timestamp::now`, which links the texts of all errors of jiff.
    let at = Timestamp::from_millisecond(since.as_millis() as i64).unwrap_or_default();
    let at = Offset::UTC.to_datetime(at);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z ",
        at.year(),
        at.month(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        at.millisecond()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_begins_with_the_time_in_utc_to_the_millisecond() {
        let at = UNIX_EPOCH + Duration::from_millis(1_796_270_706_042);
        assert_eq!(utc(at), "2026-12-03T04:05:06.042Z ");
    }
}
