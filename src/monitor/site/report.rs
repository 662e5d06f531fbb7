//! The report of a job, by which a `push:` site is judged.

use crate::monitor::site::printable;
use std::time::Duration;

/// Maximum number of lines in a report.
pub const MOST_LINES: usize = 10;
/// Maximum size of these lines together, in bytes.
pub const MOST_BYTES: usize = 1024;

/// One report of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The name of the `push:` site.
    pub site: String,
    pub kind: ReportKind,
    /// Time by the reporter's clock, in ms since 1970.
    pub at: i64,
    /// The job's exit code, or the negative number of the signal that ended it, if known.
    pub code: Option<i32>,
    /// Run time of the job, if the reporter knows it; otherwise it is counted from the job's start.
    pub took: Option<Duration>,
    /// The message, or the last lines of the job's output: see [`last_lines`].
    pub lines: String,
    pub way: Way,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportKind {
    /// The job has started.
    Start,
    /// The job has ended successfully.
    Good,
    /// The job has failed.
    Bad,
}

/// How a report arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Over the socket, at once.
    Socket,
    /// From the spool, where it was stored until an agent ran: it may be old, or known already.
    Spool,
    /// By HTTP, at once: the job may run on another machine.
    Http,
}

/// The answer to a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportAnswer {
    /// The report is on disk.
    Saved,
    /// The report counts, but the state cannot be written: a restart loses it.
    Unsaved,
    /// No `push:` site has that name.
    Unknown,
}

/// Returns the last lines of `text` that are not empty, sanitized: at most [`MOST_LINES`], and
/// [`MOST_BYTES`] together.
pub fn last_lines(text: &str) -> String {
    let mut kept: Vec<String> = Vec::new();
    let mut bytes = 0;
    for line in text.rsplit(['\n', '\r']) {
        let whole = printable::line(line, MOST_BYTES);
        let whole = whole.trim_end();
        if whole.is_empty() {
            continue;
        }
        let room = MOST_BYTES.saturating_sub(bytes);
        let mut end = room.min(whole.len());
        while !whole.is_char_boundary(end) {
            end -= 1;
        }
        let line = whole[..end].trim_end();
        if kept.len() == MOST_LINES || line.is_empty() {
            break;
        }
        // Includes the line break.
        bytes += line.len() + 1;
        kept.push(line.to_owned());
    }
    kept.reverse();
    kept.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_last_ten_lines_are_kept_and_steer_no_terminal() {
        let many: String = (0..30).map(|n| format!("line {n}\r\n\n")).collect();
        let kept = last_lines(&many);
        assert_eq!(kept.lines().count(), 10);
        assert!(kept.starts_with("line 20\n") && kept.ends_with("line 29"));
        assert_eq!(last_lines("10 %\r 50 %\r100 %\n"), "10 %\n 50 %\n100 %");
        assert_eq!(last_lines("\u{1b}[31mred\u{1b}[0m\n \n"), " [31mred [0m");
        assert_eq!(last_lines(" \n\n"), "");
    }

    proptest! {
        #[test]
        fn no_text_gets_too_long_or_changes_a_second_time(text in "(?s).{0,3000}") {
            let kept = last_lines(&text);
            prop_assert!(kept.len() <= MOST_BYTES && kept.lines().count() <= MOST_LINES);
            prop_assert_eq!(last_lines(&kept), kept);
        }
    }
}
