//! How long an alert waits for company: one message says what many would.

use super::alert::{Alert, News};
use super::time::Moment;
use std::time::Duration;

/// Alerts due within this go out as one message.
const LINGER: Duration = Duration::from_secs(1);
/// While many sites are failing but not judged, a down alert waits for them, at most this long.
const STORM_HOLD: Duration = Duration::from_secs(60);
const STORM: usize = 5;

/// How things stand with the sites: an alert may be worth holding back a little.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unsettled {
    /// Sites failing, but not yet judged.
    pub suspects: usize,
    /// Sites on their way up again.
    pub recovering: usize,
}

/// When the alerts of a chat may go: at once when nothing else is about to happen. `None` when
/// there are none.
pub fn hold_until(ready: &[&Alert], company: usize, unsettled: Unsettled) -> Option<Moment> {
    let oldest = ready.first()?.at;
    let any_down = ready.iter().any(|a| matches!(a.news, News::Down { .. }));
    Some(if any_down && unsettled.suspects >= STORM {
        oldest + STORM_HOLD
    } else if unsettled.suspects + unsettled.recovering > 0 || company > 1 {
        oldest + LINGER
    } else {
        oldest
    })
}
