//! How long to leave a server alone that did not take a message.

use crate::monitor::time::{Jitter, Moment};
use std::time::Duration;

const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// A pause before the next try.
#[derive(Debug, Default)]
pub struct BackoffPause {
    until: Option<Moment>,
    /// The server asked for it.
    asked: bool,
    failures: u32,
}

impl BackoffPause {
    /// Until when, if that is to come.
    pub fn holds(&self, now: Moment) -> Option<Moment> {
        self.until.filter(|until| *until > now)
    }

    /// 1 s doubled to 60 s with jitter, or what the server asked for. Several failures of one
    /// moment count once.
    pub fn fail(&mut self, now: Moment, after: Option<Duration>, jitter: &mut Jitter) {
        if self.holds(now).is_some() && after.is_none() {
            return;
        }
        self.asked = after.is_some();
        self.failures = (self.failures + 1).min(16);
        let backoff = Duration::from_secs(1 << (self.failures - 1).min(6)).min(BACKOFF_MAX);
        let delay = after.unwrap_or_else(|| backoff.mul_f64(0.75 + 0.25 * jitter.fraction()));
        self.until = Some(self.until.map_or(now + delay, |u| u.max(now + delay)));
    }

    /// A message was taken: a backoff is over. What the server asked for is not: the message may have
    /// been under way before that.
    pub fn succeed(&mut self) {
        self.failures = 0;
        self.until = self.until.filter(|_| self.asked);
    }
}
