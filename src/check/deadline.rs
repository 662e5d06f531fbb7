//! The deadline of a whole check.

use crate::http::within;
use crate::monitor::site::outcome::{Failure, FailureKind};
use crate::timeout::before;
use std::time::{Duration, Instant};

#[derive(Clone, Copy)]
pub(super) struct Deadline {
    pub(super) start: Instant,
    /// The `timeout` of the configuration, also for causes.
    pub(super) timeout: Duration,
}

impl Deadline {
    /// The timeout runs from now on.
    pub(super) fn new(timeout: Duration) -> Deadline {
        Deadline {
            start: Instant::now(),
            timeout,
        }
    }

    pub(super) fn end(&self) -> Instant {
        self.start + self.timeout
    }

    pub(super) fn left(&self) -> Duration {
        self.end().saturating_duration_since(Instant::now())
    }

    /// Runs `future` up to the deadline; `None` if it is not done by then.
    pub(super) fn bound<T>(
        &self,
        future: impl Future<Output = T>,
    ) -> impl Future<Output = Option<T>> {
        before(self.end(), future)
    }

    /// The failure `WHAT within 10s`, e.g. `no answer within 10s`.
    pub(super) fn missed(&self, what: &str) -> Failure {
        let detail = format!("{what} within {}", within(self.timeout));
        Failure::new(FailureKind::Timeout, detail)
    }
}
