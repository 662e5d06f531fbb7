//! The one deadline of a check.

use crate::http::within;
use crate::monitor::site::outcome::{Failure, FailureKind};
use crate::timeout::before;
use std::time::{Duration, Instant};

#[derive(Clone, Copy)]
pub(super) struct Deadline {
    pub(super) start: Instant,
    /// The whole check's, as the configuration has it; also for the texts.
    pub(super) timeout: Duration,
}

impl Deadline {
    /// The clock starts here.
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

    /// What `future` comes to; `None` when it doesn't in time.
    pub(super) fn bound<T>(
        &self,
        future: impl Future<Output = T>,
    ) -> impl Future<Output = Option<T>> {
        before(self.end(), future)
    }

    /// `WHAT within 10s`, e.g. `no answer within 10s`.
    pub(super) fn missed(&self, what: &str) -> Failure {
        let detail = format!("{what} within {}", within(self.timeout));
        Failure::new(FailureKind::Timeout, detail)
    }
}
