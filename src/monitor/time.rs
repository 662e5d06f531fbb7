//! The time as the core sees it: plain numbers that the agent hands in.

use std::time::Duration;

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Since the agent started, monotonic: drives every schedule, duration and back-off.
    pub uptime: Duration,
    /// Unix seconds: only for texts and the snapshot.
    pub wall: i64,
}
