//! The log: one line an event to stderr, our own lines only: a library's could hold a URL and so
//! the token.
//!
//! What a command says is written at once, however long that takes. The agent must not wait for a
//! pipe that is not read: its lines go through a bounded queue, which a thread empties that lives no
//! longer than that takes. What finds no room is counted.

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

/// Bytes that may wait: some 600 lines.
const MAX_QUEUED: usize = 64 << 10;
/// What a line that waits takes besides its text, in bytes.
const OVERHEAD: usize = 64;
/// A line that has waited so long says since when.
const LATE_AFTER: Duration = Duration::from_secs(2);
/// The thread that writes; what panics on it has nowhere to be said.
const WRITER: &str = "log";

/// Lines are written where they come up, and waited for. Of a command a warning is no event in a log: it is said
/// without its time and origin.
pub fn start(level: LevelFilter) {
    let logger = SimpleLogger::new()
        .with_level(LevelFilter::Off)
        .with_module_level("sitemon", level);
    log::set_max_level(logger.max_level());
    // Both only fail when there is a logger already.
    let _ = SIMPLE.set((logger, !supervised()));
    let _ = log::set_logger(&Stderr);
}

/// From now on nothing that is said waits for stderr to be read, a panic's message included.
pub fn queue() {
    queued().on = true;
    panic::set_hook(Box::new(|panic| {
        let thread = thread::current();
        if thread.name() == Some(WRITER) {
            return;
        }
        // Without a backtrace: a stripped binary has no names for it.
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

/// Says `text` on stderr, without a level or a time.
pub fn say(text: &str) {
    let on = queued().on;
    match on {
        true => put(None, text.to_owned()),
        // Not `eprintln!`, which panics when stderr is not read any more: the exit code says it too.
        false => drop(writeln!(io::stderr(), "{text}")),
    }
}

/// Waits until everything is written, at most so long.
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

/// Whether an init system reads the log: it puts the time before each line. systemd says so in
/// `JOURNAL_STREAM`; procd starts its services as children of process 1. What was started in a
/// desktop's terminal may have inherited the variable.
fn supervised() -> bool {
    let started =
        || std::env::var_os("JOURNAL_STREAM").is_some() || std::os::unix::process::parent_id() == 1;
    !io::stderr().is_terminal() && started()
}

/// Writes the lines, and whether each begins with the time; set before [`Stderr`] is the logger.
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
            // Not even made, in a flood of them.
            lose(queue);
        } else {
            drop(queue);
            let head = (record.level(), record.target().to_owned());
            put(Some(head), record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// What waits to be written.
struct Line {
    /// Level and target of a log line; `None`: plain text.
    head: Option<(Level, String)>,
    text: String,
    at: Instant,
}

struct Queue {
    /// Lines wait in it; otherwise they are written at once.
    on: bool,
    lines: VecDeque<Line>,
    /// Of the lines, in bytes.
    size: usize,
    /// There was no room: until all is written, what comes is dropped.
    overflowing: bool,
    /// Lines dropped that nothing has been said of.
    lost: usize,
    /// The last write failed: what was lost is said with the next line, not for its own sake.
    failing: bool,
    /// A thread is at it.
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

/// Puts a line in the queue, or counts it as lost.
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

/// Sees to it that a thread writes what waits.
fn write_on(mut queue: MutexGuard<'_, Queue>) {
    if !queue.writing {
        let thread = thread::Builder::new().name(WRITER.to_owned());
        // No thread can be had: the next line tries again.
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

/// The next line to be written. Without one the thread ends.
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

/// Waits for as long as it takes. Whether it was written.
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

/// [`SimpleLogger`] panics when stderr is not read any more, for example when the `logger` behind
/// it has died: that must not end what was about to be logged.
fn write_record(record: &Record) -> bool {
    let Some((simple, dated)) = SIMPLE.get() else {
        return false;
    };
    // Held for the whole line, which has two parts.
    let mut stderr = io::stderr().lock();
    if *dated && stderr.write_all(utc(SystemTime::now()).as_bytes()).is_err() {
        return false;
    }
    panic::catch_unwind(AssertUnwindSafe(|| simple.log(record))).is_ok()
}

/// `2026-11-24T14:03:05.042Z ` (RFC 3339): [`SimpleLogger`] takes a second calendar for it.
fn utc(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    // Not `Timestamp::now`, which brings the words of all errors of jiff.
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
