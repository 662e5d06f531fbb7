//! How long an alert waits for company: one message says what many would.

use crate::monitor::alert::{Alert, Notification};
use crate::monitor::judge::storm::STORM_SITES;
use crate::monitor::time::Moment;
use std::time::Duration;

/// Alerts due within this go out as one message.
const LINGER: Duration = Duration::from_secs(1);
/// While many sites are failing but not judged, a down alert waits for them, at most this long.
const STORM_HOLD: Duration = Duration::from_secs(60);
/// While many sites are down, those that are mended wait so long for the next, at most as long as a
/// storm holds.
const MENDED: Duration = Duration::from_secs(5);
/// How things stand with the sites: an alert may be worth holding back a little.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unsettled {
    /// Sites failing, but not yet judged.
    pub suspects: usize,
    /// Alerts have no sound at this hour.
    pub quiet: bool,
    /// Sites on their way up again.
    pub recovering: usize,
    /// Sites that are down.
    pub down: usize,
    /// How long an alert may have to wait for its write, as writes are many.
    pub writes_apart: Duration,
}

/// When the alerts of a chat may go: at once when nothing else is about to happen. `None` when
/// there are none.
///
/// `unwritten` is when the newest alert came that is still being written to disk.
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
    // Those that were judged already belong to the storm as well: the last suspects are waited for.
    let storm = unsettled.suspects > 0 && unsettled.suspects + downs > STORM_SITES;
    Some(if downs > 0 && storm {
        oldest + STORM_HOLD
    } else if let Some(at) = unwritten {
        // A moment later it can go along.
        at + unsettled.writes_apart + LINGER
    } else if unsettled.down > 0 && ready.iter().all(|a| good(&a.notification)) {
        // What broke together is often mended together.
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

/// A site is as it should be again.
fn good(notification: &Notification) -> bool {
    matches!(
        notification,
        Notification::Up { .. } | Notification::Fast { .. }
    )
}
