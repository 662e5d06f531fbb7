//! `/check` commands: at most `commands` at once, the others wait their turn and are told their
//! place; the same asked twice is one.

use super::outcome::Outcome;
use super::text::{bold, count, escape, response};
use super::time::{Moment, Now};
use std::collections::BTreeSet;
use std::time::Duration;

/// Waiting `/check` commands at most.
pub const MAX_WAITING: usize = 20;
/// Lines of a result: one screen.
const MAX_LINES: usize = 40;

/// One `/check` under way or in the queue.
#[derive(Debug)]
pub struct Job {
    pub id: u64,
    /// Names, in the order of the file.
    pub targets: Vec<String>,
    pub remaining: BTreeSet<String>,
    pub results: Vec<(String, Verdict)>,
    pub listeners: Vec<Listener>,
    /// When it got its permit.
    pub started: Option<Moment>,
}

/// What came of one target.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Good(Option<Duration>),
    Bad(String),
    Paused,
}

/// A chat that waits for the result.
#[derive(Debug)]
pub struct Listener {
    pub chat: i64,
    /// As in a [`super::message::Message`].
    pub topic: Option<i64>,
    pub message: Shown,
    /// The text it shows now.
    pub text: String,
}

/// Where a job's message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Sent, its id not known yet.
    Away,
    Message(i64),
    /// It never arrived, or the chat cannot edit (the terminal): the result is a new message.
    Nowhere,
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

    pub fn note(&mut self, site: &str, verdict: Verdict) {
        if self.remaining.remove(site) {
            self.results.push((site.to_owned(), verdict));
        }
    }

    pub fn done(&self) -> bool {
        self.started.is_some() && self.remaining.is_empty()
    }

    /// `place` 1 is the next to start.
    pub fn waiting_text(&self, place: usize) -> String {
        format!("{} in the queue: {}", ordinal(place), self.subject())
    }

    pub fn progress_text(&self) -> String {
        let all = self.targets.len();
        let bad = self.bad();
        let failed = if bad > 0 {
            format!(", {bad} failed")
        } else {
            String::new()
        };
        format!(
            "Checking {}: {} of {all} done{failed}",
            self.subject(),
            self.results.len()
        )
    }

    /// The whole result, failures first, cut to one screen.
    pub fn result_text(&self, now: Now) -> String {
        if let [(name, verdict)] = self.results.as_slice() {
            return line(name, verdict);
        }
        let bad = self.bad();
        let good = self
            .results
            .iter()
            .filter(|(_, v)| matches!(v, Verdict::Good(_)))
            .count();
        let took = self.started.map_or(Duration::ZERO, |at| now.since(at));
        let mut text = format!(
            "<b>{} checked</b> in {}: {good} fine, {bad} failed",
            count(self.results.len(), "site"),
            response(took)
        );
        let mut results: Vec<&(String, Verdict)> = self.results.iter().collect();
        let place = |name: &str| self.targets.iter().position(|t| t == name);
        results.sort_by_key(|(name, v)| (!matches!(v, Verdict::Bad(_)), place(name)));
        for (name, verdict) in results.iter().take(MAX_LINES) {
            text.push('\n');
            text.push_str(&line(name, verdict));
        }
        if results.len() > MAX_LINES {
            text.push_str(&format!("\n… and {} more", results.len() - MAX_LINES));
        }
        text
    }

    fn bad(&self) -> usize {
        self.results
            .iter()
            .filter(|(_, v)| matches!(v, Verdict::Bad(_)))
            .count()
    }

    fn subject(&self) -> String {
        match self.targets.as_slice() {
            [one] => bold(one),
            more => count(more.len(), "site"),
        }
    }
}

impl Verdict {
    pub fn of(outcome: &Outcome) -> Verdict {
        match &outcome.verdict {
            Ok(()) => Verdict::Good(outcome.took),
            Err(failure) => Verdict::Bad(failure.detail.clone()),
        }
    }
}

fn line(name: &str, verdict: &Verdict) -> String {
    match verdict {
        Verdict::Good(Some(took)) => format!("✅ {} {}", bold(name), response(*took)),
        Verdict::Good(None) => format!("✅ {}", bold(name)),
        Verdict::Bad(cause) => format!("❌ {} {}", bold(name), escape(cause)),
        Verdict::Paused => format!("⏸ {} is paused", bold(name)),
    }
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
        Now {
            uptime: Duration::from_secs(secs),
            wall: 0,
            zone: 0,
        }
    }

    #[test]
    fn the_result_shows_failures_first_in_the_order_of_the_file() {
        let mut job = Job::new(1, vec!["a".into(), "b".into(), "c".into()]);
        job.started = Some(Moment(0));
        assert!(!job.done());
        job.note("c", Verdict::Good(Some(Duration::from_millis(42))));
        assert_eq!(job.progress_text(), "Checking 3 sites: 1 of 3 done");
        job.note("b", Verdict::Bad("HTTP 503, wanted 200-299".into()));
        job.note("a", Verdict::Paused);
        job.note("a", Verdict::Bad("a late second result".into()));
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
        job.note("a", Verdict::Good(Some(Duration::from_millis(1280))));
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
        let mut job = Job::new(1, names.clone());
        job.started = Some(Moment(0));
        for name in &names {
            job.note(name, Verdict::Bad("HTTP 503, wanted 200-299".into()));
        }
        let text = job.result_text(now(5));
        assert!(super::super::text::units(&text) <= super::super::text::MESSAGE_UNITS);
        assert!(text.ends_with("… and 960 more"));
    }
}
