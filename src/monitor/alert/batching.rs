//! How long an alert waits so that several can be sent as one message.

use crate::monitor::alert::{Alert, Notification};
use crate::monitor::judge::storm::STORM_SITES;
use crate::monitor::time::Moment;
use std::time::Duration;

/// Alerts due within this time are sent as one message.
const LINGER: Duration = Duration::from_secs(1);
/// Maximum time that a down alert waits while many sites are failing but not judged yet.
const STORM_HOLD: Duration = Duration::from_secs(60);
/// While many sites are down, a recovery waits this long for the next one, up to [`STORM_HOLD`] in
/// total.
const MENDED: Duration = Duration::from_secs(5);
/// Conditions under which alerts are held back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unsettled {
    /// Number of sites failing, but not yet judged.
    pub suspects: usize,
    /// Quiet hours: alerts are silent.
    pub quiet: bool,
    /// Number of sites with successful checks that are not yet up again.
    pub recovering: usize,
    /// Number of sites that are down.
    pub down: usize,
    /// Maximum time until an alert is written, while writes are rate-limited.
    pub writes_apart: Duration,
}

/// Returns when the alerts of a chat may be sent: at once if no others are expected; `None` if
/// `ready` is empty.
///
/// `unwritten`: when the newest alert that is not yet on disk was made.
pub fn hold_until(
    ready: &[&Alert],
    unwritten: Option<Moment>,
    unsettled: Unsettled,
) -> Option<Moment> {
    let oldest = ready.first()?.at;
    let downs = ready
        .iter()
        .filter(|a| matches!(a.notification, Notification::Down { .. }))
        .count();
    // Alerts already queued belong to the storm as well: wait for the last suspects.
    let storm = unsettled.suspects > 0 && unsettled.suspects + downs > STORM_SITES;
    Some(if downs > 0 && storm {
        oldest + STORM_HOLD
    } else if let Some(at) = unwritten {
        // The unwritten alert can then be sent in the same message.
        at + unsettled.writes_apart + LINGER
    } else if unsettled.down > 0 && ready.iter().all(|a| good(&a.notification)) {
        // Sites that went down together often recover together.
        let many = unsettled.down + ready.len() > STORM_SITES;
        match ready.last().filter(|_| many) {
            Some(newest) => (newest.at + MENDED).min(oldest + STORM_HOLD),
            None => oldest + LINGER,
        }
    } else if unsettled.suspects + unsettled.recovering > 0 || ready.len() > 1 {
        oldest + LINGER
    } else {
        oldest
    })
}

/// Returns whether the site recovered.
fn good(notification: &Notification) -> bool {
    matches!(
        notification,
        Notification::Up { .. } | Notification::Fast { .. }
    )
}
