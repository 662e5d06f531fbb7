//! Delay before the next attempt after a server did not accept a message.

use crate::monitor::time::{Jitter, Moment};
use std::time::Duration;

const BACKOFF_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct BackoffPause {
    until: Option<Moment>,
    /// The server asked for the delay.
    asked: bool,
    failures: u32,
}

impl BackoffPause {
    /// Returns the end of the delay, if it is in the future.
    pub fn holds(&self, now: Moment) -> Option<Moment> {
        self.until.filter(|until| *until > now)
    }

    /// Sets the delay: `after` if the server asked for one, else 1 s doubled up to 60 s, with
    /// jitter. Without `after`, a failure during the delay changes nothing.
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

    /// Resets the backoff after a success. A delay that the server asked for stays: the message may
    /// have been in flight before that.
    pub fn succeed(&mut self) {
        self.failures = 0;
        self.until = self.until.filter(|_| self.asked);
    }
}
