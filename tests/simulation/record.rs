//! What happened in a run, as an observer outside sees it.

use crate::actions::ActionRun;
use crate::dice::Span;

/// Why a check ended as it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Fine,
    Slow,
    /// The site was out.
    Site,
    /// Our line was, from and to.
    Line(Span),
    /// No resolver answered.
    Names(Span),
    /// This machine lacked what the check needs.
    Machine,
    /// We stood still.
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
    /// When the packet left that was answered.
    pub answered: Option<i64>,
    /// When the question left that a resolver answered.
    pub resolved: Option<i64>,
    /// Telegram's name resolved, if that was asked.
    pub names: Option<bool>,
}

/// A message in a chat.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub at: i64,
    pub chat: i64,
    pub text: String,
    pub alert: bool,
    /// It is a new text for this message.
    pub edit: Option<i64>,
    /// Of the attempt that brought it.
    pub attempt: usize,
}

/// One attempt to send.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub at: i64,
    pub chat: i64,
    pub text: String,
    pub alert: bool,
    /// The agent knows that it arrived since then.
    pub confirmed: Option<i64>,
    /// Telegram said never.
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
    /// When its server had it.
    pub arrived: Option<i64>,
    /// When the agent knew that.
    pub confirmed: Option<i64>,
}

/// The agent from its start to its end.
#[derive(Clone, Debug)]
pub struct Life {
    pub span: Span,
    /// It was stopped, not cut off.
    pub orderly: bool,
    /// What the disk had at its start: nothing, the last words of an orderly end, or less.
    pub found: Option<bool>,
    /// The clock was not to be believed before this.
    pub unset_until: i64,
}

/// An update that was handed to the agent.
#[derive(Clone, Copy, Debug)]
pub struct Fed {
    pub at: i64,
    /// Index into the plan's `written`.
    pub which: usize,
    /// The first snapshot that knows of it is on disk.
    pub durable: Option<i64>,
    /// What the wall clock was off by then, in seconds.
    pub clock_off: i64,
    /// Seconds since it was written.
    pub age: i64,
    /// It came with a poll that was waiting for it, or soon after one.
    pub fresh: bool,
}

#[derive(Debug, Default)]
pub struct Record {
    /// By site, in order of their ends.
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
    /// Writes that ended well, and the bytes of each.
    pub writes: Vec<(i64, usize)>,
    pub failed_writes: Vec<i64>,
    /// The snapshots written, if the plan keeps them.
    pub images: Vec<String>,
    /// When another route to Telegram was used, and which.
    pub routes: Vec<(i64, usize)>,
    /// What must never happen, whatever is told.
    pub wrongs: Vec<String>,
    pub events: u64,
    /// At the end of all.
    pub alerts_left: usize,
}

impl Record {
    pub fn wrong(&mut self, at: i64, text: impl std::fmt::Display) {
        if self.wrongs.len() < 20 {
            self.wrongs.push(format!("{}: {text}", clock(at)));
        }
    }

    /// The agent was off.
    pub fn off(&self) -> Vec<Span> {
        let pairs = self.lives.windows(2);
        pairs
            .map(|w| Span::new(w[0].span.to, w[1].span.from))
            .collect()
    }
}

/// `13:05:07.250`, with the day in front after the first.
pub fn clock(at: i64) -> String {
    let (h, m, s) = (at / 3_600_000, at / 60_000 % 60, at / 1000 % 60);
    if h < 24 {
        format!("{h:02}:{m:02}:{s:02}.{:03}", at.rem_euclid(1000))
    } else {
        format!("day {} {:02}:{m:02}:{s:02}", h / 24 + 1, h % 24)
    }
}
