//! One watched site: its judgement, its last checks, and what people decided about it.

use super::judge::{Change, Judge, Rules, Seen, State};
use super::outcome::{FailureKind, Outcome};
use super::site::Site;
use super::text::response;
use super::time::{Moment, Now};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Checks that `/history` shows.
const HISTORY: usize = 10;

#[derive(Debug)]
pub struct Watched {
    pub site: Arc<Site>,
    pub judge: Judge,
    /// Since when it has been in its state.
    pub since: Moment,
    /// A check of it is under way: never a second one.
    pub running: bool,
    /// `/pause` or `/resume`, over what the configuration says.
    pub pause_order: Option<bool>,
    pub muted_until: Option<Moment>,
    /// An alert said that it is slow, so one will say when it is fast again.
    pub slow_told: bool,
    pub last: Option<(Moment, Outcome)>,
    /// Newest last.
    pub history: VecDeque<Checked>,
    pub checks: u64,
    /// Why it is not up, as the state file remembers it until the first check.
    pub cause: Option<String>,
    pub took: Option<Duration>,
}

/// One line of `/history`.
#[derive(Clone, Debug)]
pub struct Checked {
    pub at: Moment,
    pub state: State,
    pub took: Option<Duration>,
    pub cause: Option<Box<str>>,
}

impl Watched {
    pub fn new(site: Arc<Site>, now: Moment) -> Watched {
        Watched {
            site,
            judge: Judge::new(State::Unknown),
            since: now,
            running: false,
            pause_order: None,
            muted_until: None,
            slow_told: false,
            last: None,
            history: VecDeque::with_capacity(HISTORY),
            checks: 0,
            cause: None,
            took: None,
        }
    }

    pub fn name(&self) -> &str {
        &self.site.name
    }

    pub fn paused(&self) -> bool {
        self.pause_order.unwrap_or(self.site.paused)
    }

    pub fn state(&self) -> State {
        if self.paused() {
            State::Paused
        } else {
            self.judge.state()
        }
    }

    pub fn muted(&self, now: Moment) -> bool {
        self.muted_until.is_some_and(|until| until > now)
    }

    /// Its last check ran into its timeout: it shares half of the permits with its like.
    pub fn hanging(&self) -> bool {
        matches!(&self.last, Some((_, Outcome { verdict: Err(f), .. })) if f.kind == FailureKind::Timeout)
    }

    /// Its last check failed: the next must not ride on a connection that is open.
    pub fn fresh(&self) -> bool {
        matches!(&self.last, Some((_, outcome)) if outcome.verdict.is_err())
    }

    pub fn observe(&mut self, outcome: Outcome, now: Now) -> Option<Change> {
        let slow = self
            .site
            .slow
            .zip(outcome.took)
            .filter(|(limit, took)| took > limit);
        let seen = match (&outcome.verdict, slow) {
            (Err(_), _) => Seen::Failed,
            (Ok(()), Some(_)) => Seen::Slow,
            (Ok(()), None) => Seen::Fast,
        };
        let cause = match (&outcome.verdict, slow) {
            (Err(failure), _) => Some(failure.detail.clone()),
            (Ok(()), Some((limit, took))) => {
                Some(format!("{}, wanted {}", response(took), response(limit)))
            }
            (Ok(()), None) => None,
        };
        let rules = Rules {
            tries: self.site.tries,
            recover: self.site.recover,
        };
        let change = self.judge.observe(seen, rules);
        if change.is_some() {
            self.since = now.moment();
        }
        // A down site's first good answer is no reason to forget why it is down.
        if cause.is_some() || self.judge.state() == State::Up {
            self.cause.clone_from(&cause);
        }
        self.took = outcome.took;
        self.checks += 1;
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(Checked {
            at: now.moment(),
            state: self.judge.state(),
            took: outcome.took,
            cause: cause.map(String::into_boxed_str),
        });
        self.last = Some((now.moment(), outcome));
        change
    }

    /// Judging starts afresh: after a pause nothing is known.
    pub fn reset(&mut self, now: Moment) {
        self.judge = Judge::new(State::Unknown);
        self.since = now;
        self.cause = None;
        self.took = None;
        self.last = None;
    }
}
