//! Single `/check` commands: at most `commands` run at once, the others wait in a queue and show
//! their position; a second `/check` of the same sites joins the first.

use crate::monitor::render::text::{MESSAGE_UNITS, bold, count, escape, units};
use crate::monitor::site::outcome::Outcome;
use crate::monitor::site::state::SiteState;
use crate::monitor::time::text::response;
use crate::monitor::time::{Moment, Now};
use std::collections::BTreeSet;
use std::time::Duration;

/// Maximum number of waiting `/check` commands.
pub const MAX_WAITING: usize = 20;
/// Maximum number of lines in a result: one screen.
const MAX_LINES: usize = 40;
/// Maximum number of failures that the progress text names.
const MAX_SO_FAR: usize = 5;
/// UTF-16 code units of a message that are reserved for its last lines.
const LAST_LINES_UNITS: usize = 200;
/// Maximum number of characters of a cause.
const MAX_CAUSE: usize = 150;
/// Number of blocks of the progress bar.
const BAR: usize = 10;

/// A `/check` that runs or waits.
#[derive(Debug)]
pub struct Job {
    pub id: u64,
    /// Names of sites, in the order of the file.
    pub targets: Vec<String>,
    pub remaining: BTreeSet<String>,
    pub results: Vec<(String, JobResult)>,
    pub listeners: Vec<WaitingChat>,
    /// When it got its permit; `None` while it waits.
    pub started: Option<Moment>,
}

/// The result of one target.
#[derive(Clone, Debug, PartialEq)]
pub enum JobResult {
    Good(Option<Duration>),
    /// It answered too slowly, or its certificate or domain ends soon: the cause.
    Degraded(String),
    Bad(String),
    Paused,
}

/// A chat that waits for the result, and the message that shows it.
#[derive(Clone, Debug)]
pub struct WaitingChat {
    pub chat: i64,
    /// As in a [`crate::monitor::outbox::message::Message`].
    pub topic: Option<i64>,
    pub message: JobMessage,
    /// The text that the message shows now, without `asked_by`.
    pub text: String,
    /// A line that names the user who pressed the button, or empty.
    pub asked_by: String,
}

/// The message that shows a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobMessage {
    /// Sent; its id is not known yet.
    Away,
    Message(i64),
    /// Not delivered, or not editable (terminal): the result is sent as a new message.
    Nowhere,
}

impl WaitingChat {
    /// Returns `text` with the line that names the user who pressed the button.
    pub fn worded(&self, text: &str) -> String {
        format!("{text}{}", self.asked_by)
    }
}

impl Job {
    pub fn new(id: u64, targets: Vec<String>) -> Job {
        Job {
            id,
            remaining: targets.iter().cloned().collect(),
            targets,
            results: Vec::new(),
            listeners: Vec::new(),
            started: None,
        }
    }

    pub fn note(&mut self, site: &str, verdict: JobResult) {
        if self.remaining.remove(site) {
            self.results.push((site.to_owned(), verdict));
        }
    }

    pub fn done(&self) -> bool {
        self.started.is_some() && self.remaining.is_empty()
    }

    /// Returns the text of a waiting job. `place`: position in the queue, from 1.
    pub fn waiting_text(&self, place: usize) -> String {
        format!("{} in the queue: {}", ordinal(place), self.subject())
    }

    pub fn progress_text(&self) -> String {
        let (done, all, bad) = (self.results.len(), self.targets.len(), self.bad());
        let mut text = format!("Checking {} …", self.subject());
        if all == 1 {
            return text;
        }
        text.push_str(&format!(
            "\n<code>{}</code> {done} of {all}",
            bar(done, all)
        ));
        if bad > 0 {
            text.push_str(&format!(", {bad} failed"));
        }
        let failures = self.results.iter().filter(|(_, v)| v.is_bad());
        for (name, verdict) in failures.take(MAX_SO_FAR) {
            text.push_str(&format!("\n{}", line(name, verdict)));
        }
        if bad > MAX_SO_FAR {
            text.push_str(&format!("\n… and {} more", bad - MAX_SO_FAR));
        }
        text
    }

    /// Returns the whole result, failures first, truncated to one screen.
    pub fn result_text(&self, now: Now) -> String {
        if let [(name, verdict)] = self.results.as_slice() {
            return line(name, verdict);
        }
        let bad = self.bad();
        let good = self
            .results
            .iter()
            .filter(|(_, v)| matches!(v, JobResult::Good(_)))
            .count();
        let took = self.started.map_or(Duration::ZERO, |at| now.since(at));
        let degraded = self.results.iter().filter(|(_, v)| v.rank() == 1).count();
        let degraded = match degraded {
            0 => String::new(),
            n => format!(", {n} degraded"),
        };
        let mut text = format!(
            "<b>{} checked</b> in {}: {good} fine{degraded}, {bad} failed",
            count(self.results.len(), "site"),
            response(took)
        );
        let mut results: Vec<&(String, JobResult)> = self.results.iter().collect();
        let place = |name: &str| self.targets.iter().position(|t| t == name);
        results.sort_by_key(|(name, v)| (v.rank(), place(name)));
        let mut shown = 0;
        for (name, verdict) in results.iter().take(MAX_LINES) {
            let line = line(name, verdict);
            if units(&text) + units(&line) > MESSAGE_UNITS - LAST_LINES_UNITS {
                break;
            }
            text.push('\n');
            text.push_str(&line);
            shown += 1;
        }
        if results.len() > shown {
            text.push_str(&format!("\n… and {} more", results.len() - shown));
        }
        text
    }

    fn bad(&self) -> usize {
        self.results.iter().filter(|(_, v)| v.is_bad()).count()
    }

    fn subject(&self) -> String {
        match self.targets.as_slice() {
            [one] => bold(one),
            more => count(more.len(), "site"),
        }
    }
}

impl JobResult {
    fn is_bad(&self) -> bool {
        matches!(self, JobResult::Bad(_))
    }

    pub fn of(outcome: &Outcome, site: &SiteState) -> JobResult {
        let degraded = outcome.degraded_by(site.config().slow);
        match &outcome.verdict {
            Err(failure) => JobResult::Bad(failure.detail.clone()),
            Ok(()) => match degraded.or_else(|| site.ends_soon().map(str::to_owned)) {
                Some(cause) => JobResult::Degraded(cause),
                None => JobResult::Good(outcome.took),
            },
        }
    }

    /// Returns the sort key of a result: failures first.
    fn rank(&self) -> u8 {
        match self {
            JobResult::Bad(_) => 0,
            JobResult::Degraded(_) => 1,
            JobResult::Good(_) | JobResult::Paused => 2,
        }
    }
}

fn line(name: &str, verdict: &JobResult) -> String {
    match verdict {
        JobResult::Good(Some(took)) => format!("✅ {} {}", bold(name), response(*took)),
        JobResult::Good(None) => format!("✅ {}", bold(name)),
        JobResult::Degraded(cause) => format!("🟡 {} {}", bold(name), escape(cause)),
        JobResult::Bad(cause) => {
            let short: String = cause.chars().take(MAX_CAUSE).collect();
            let cut = if short.len() < cause.len() { "…" } else { "" };
            format!("❌ {} {}{cut}", bold(name), escape(&short))
        }
        JobResult::Paused => format!("⏸ {} is paused", bold(name)),
    }
}

fn bar(done: usize, all: usize) -> String {
    let full = done * BAR / all.max(1);
    "█".repeat(full) + &"░".repeat(BAR - full)
}

fn ordinal(n: usize) -> String {
    let suffix = match (n % 10, n % 100) {
        (1, r) if r != 11 => "st",
        (2, r) if r != 12 => "nd",
        (3, r) if r != 13 => "rd",
        _ => "th",
    };
    format!("{n}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(secs: u64) -> Now {
        Now::utc(Duration::from_secs(secs), 0)
    }

    #[test]
    fn the_result_shows_failures_first_in_the_order_of_the_file() {
        let mut job = Job::new(1, vec!["a".into(), "b".into(), "c".into()]);
        job.started = Some(Moment(0));
        assert!(!job.done());
        job.note("c", JobResult::Good(Some(Duration::from_millis(42))));
        assert_eq!(
            job.progress_text(),
            "Checking 3 sites …\n<code>███░░░░░░░</code> 1 of 3"
        );
        job.note("b", JobResult::Bad("HTTP 503, wanted 200-299".into()));
        assert_eq!(
            job.progress_text(),
            "Checking 3 sites …\n<code>██████░░░░</code> 2 of 3, 1 failed\n\
             ❌ <b>b</b> HTTP 503, wanted 200-299"
        );
        job.note("a", JobResult::Paused);
        job.note("a", JobResult::Bad("a late second result".into()));
        assert!(job.done());
        assert_eq!(
            job.result_text(now(3)),
            "<b>3 sites checked</b> in 3.00 s: 1 fine, 1 failed\n\
             ❌ <b>b</b> HTTP 503, wanted 200-299\n\
             ⏸ <b>a</b> is paused\n\
             ✅ <b>c</b> 42 ms"
        );
    }

    #[test]
    fn one_site_is_one_line() {
        let mut job = Job::new(1, vec!["a".into()]);
        job.note("a", JobResult::Good(Some(Duration::from_millis(1280))));
        assert_eq!(job.result_text(now(1)), "✅ <b>a</b> 1.28 s");
    }

    #[test]
    fn a_waiting_one_says_its_place() {
        let job = Job::new(1, vec!["a".into()]);
        assert_eq!(job.waiting_text(2), "2nd in the queue: <b>a</b>");
        assert_eq!(ordinal(1), "1st");
        assert_eq!(ordinal(11), "11th");
        assert_eq!(ordinal(23), "23rd");
    }

    #[test]
    fn a_result_of_a_thousand_sites_fits_one_message() {
        let names: Vec<String> = (0..1000).map(|i| format!("site-{i:04}")).collect();
        for (cause, rest) in [
            ("HTTP 503, wanted 200-299", "960"),
            (&"x&".repeat(5000), "992"),
        ] {
            let mut job = Job::new(1, names.clone());
            job.started = Some(Moment(0));
            for name in &names {
                job.note(name, JobResult::Bad(cause.into()));
            }
            let progress = job.progress_text();
            assert!(units(&progress) <= MESSAGE_UNITS);
            assert!(progress.ends_with("… and 995 more"));
            let text = job.result_text(now(5));
            assert!(units(&text) <= MESSAGE_UNITS);
            assert!(text.ends_with(&format!("… and {rest} more")), "{text}");
        }
    }
}
