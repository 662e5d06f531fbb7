//! What happened in a run, as an observer outside sees it.

use crate::actions::ActionRun;
use crate::dice::Span;

/// The cause of a check's outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Fine,
    Slow,
    /// The site was out.
    Site,
    /// The uplink was cut, in this span.
    Line(Span),
    /// No resolver answered, in this span.
    Names(Span),
    /// This machine lacked what the check needs.
    Machine,
    /// The process stood still.
    Frozen,
}

impl Why {
    pub fn failed(self) -> bool {
        !matches!(self, Why::Fine | Why::Slow)
    }
}

#[derive(Clone, Copy, Debug)]
pub struct CheckRun {
    pub from: i64,
    pub to: i64,
    pub why: Why,
}

#[derive(Clone, Copy, Debug)]
pub struct ProbeRun {
    pub from: i64,
    pub to: i64,
    /// When the packet was sent that was answered.
    pub answered: Option<i64>,
    /// When the query was sent that a resolver answered.
    pub resolved: Option<i64>,
    /// Whether Telegram's name was resolved, if the probe asked for it.
    pub names: Option<bool>,
}

/// A message that arrived in a chat.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub at: i64,
    pub chat: i64,
    pub text: String,
    pub alert: bool,
    /// The message that it edits.
    pub edit: Option<i64>,
    /// Index of the attempt that delivered it.
    pub attempt: usize,
}

/// One attempt to send to a chat.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub at: i64,
    pub chat: i64,
    pub text: String,
    pub alert: bool,
    /// When the agent knew that it had arrived.
    pub confirmed: Option<i64>,
    /// Telegram refused it for good.
    pub refused: bool,
}

/// One attempt to send by a channel.
#[derive(Clone, Debug)]
pub struct ChannelAttempt {
    pub at: i64,
    pub channel: String,
    pub incident: Option<u32>,
    pub site: String,
    pub text: String,
    /// When it reached the channel's server.
    pub arrived: Option<i64>,
    /// When the agent knew that it had arrived.
    pub confirmed: Option<i64>,
}

/// One run of the agent, from its start to its end.
#[derive(Clone, Debug)]
pub struct Life {
    pub span: Span,
    /// It was stopped in good order. Otherwise power was cut.
    pub orderly: bool,
    /// The snapshot on disk at the start: `None` without one, `true` for one of an orderly end.
    pub found: Option<bool>,
    /// When the wall clock began to be trusted.
    pub unset_until: i64,
}

/// An update that was handed to the agent.
#[derive(Clone, Copy, Debug)]
pub struct Fed {
    pub at: i64,
    /// Index into the plan's `written`.
    pub which: usize,
    /// When the first snapshot that includes it was on disk.
    pub durable: Option<i64>,
    /// Seconds that the wall clock was ahead then.
    pub clock_off: i64,
    /// Age of the update in seconds.
    pub age: i64,
    /// A parked poll received it, or a poll soon after one.
    pub fresh: bool,
}

#[derive(Debug, Default)]
pub struct Record {
    /// By site, sorted by their ends.
    pub checks: Vec<Vec<CheckRun>>,
    pub probes: Vec<ProbeRun>,
    pub arrivals: Vec<Arrival>,
    pub attempts: Vec<Attempt>,
    pub by_channels: Vec<ChannelAttempt>,
    pub runs: Vec<ActionRun>,
    pub lives: Vec<Life>,
    /// When the clock was doubted.
    pub doubted: Vec<Span>,
    pub fed: Vec<Fed>,
    pub reloads: Vec<i64>,
    /// Successful writes: when, and the size in bytes.
    pub writes: Vec<(i64, usize)>,
    pub failed_writes: Vec<i64>,
    /// The snapshots that were written, if the plan keeps them.
    pub images: Vec<String>,
    /// When the route to Telegram changed, and to which.
    pub routes: Vec<(i64, usize)>,
    /// Violations of what must never happen, whatever was reported.
    pub wrongs: Vec<String>,
    pub events: u64,
    /// Alerts in the outbox at the end of the run.
    pub alerts_left: usize,
}

impl Record {
    pub fn wrong(&mut self, at: i64, text: impl std::fmt::Display) {
        if self.wrongs.len() < 20 {
            self.wrongs.push(format!("{}: {text}", clock(at)));
        }
    }

    /// Returns when the agent was off.
    pub fn off(&self) -> Vec<Span> {
        let pairs = self.lives.windows(2);
        pairs
            .map(|w| Span::new(w[0].span.to, w[1].span.from))
            .collect()
    }
}

/// Formats a time as `13:05:07.250`, after the first day with the day in front.
pub fn clock(at: i64) -> String {
    let (h, m, s) = (at / 3_600_000, at / 60_000 % 60, at / 1000 % 60);
    if h < 24 {
        format!("{h:02}:{m:02}:{s:02}.{:03}", at.rem_euclid(1000))
    } else {
        format!("day {} {:02}:{m:02}:{s:02}", h / 24 + 1, h % 24)
    }
}
