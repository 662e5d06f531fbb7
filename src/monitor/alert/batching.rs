//! How long an alert waits for company: one message says what many would.

use crate::monitor::Monitor;
use crate::monitor::alert::{Alert, Notification};
use crate::monitor::time::Moment;
use crate::monitor::uplink::Fault;
use std::time::Duration;

/// Alerts due within this go out as one message.
const LINGER: Duration = Duration::from_secs(1);
/// While many sites are failing but not judged, a down alert waits for them, at most this long.
const STORM_HOLD: Duration = Duration::from_secs(60);
pub const STORM: usize = 5;
/// When that many are failing the others are looked at within this, so that one message can tell
/// of all.
const LOOK_WITHIN: Duration = Duration::from_secs(20);
/// A look at the others is enough for so long.
const LOOK_AGAIN: Duration = Duration::from_secs(300);
/// No more than this many are looked at out of turn.
const LOOK_AT: usize = 200;

/// How things stand with the sites: an alert may be worth holding back a little.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unsettled {
    /// Sites failing, but not yet judged.
    pub suspects: usize,
    /// Alerts have no sound at this hour.
    pub quiet: bool,
    /// Sites on their way up again.
    pub recovering: usize,
    /// How long an alert may have to wait for its write, as writes are many.
    pub writes_apart: Duration,
}

impl Monitor {
    /// A site has failed. When it is one of many, the others are looked at soon.
    pub(crate) fn watch_for_storm(&mut self, now: Moment) {
        let recently = |at: Moment| now.since(at) < LOOK_AGAIN;
        if self.storm.is_some_and(recently) || self.uplink.has(Fault::Line) {
            return;
        }
        let suspects = self.sites.iter().filter(|w| w.suspect()).count();
        if suspects < STORM {
            return;
        }
        self.storm = Some(now);
        let others = self.sites.iter().filter(|w| !w.suspect() && !w.running);
        let mut others: Vec<(Moment, String)> = others
            .filter_map(|w| Some((self.schedule.due_at(w.name())?, w.name().to_owned())))
            .collect();
        others.sort();
        let names: Vec<String> = others.into_iter().take(LOOK_AT).map(|(_, n)| n).collect();
        self.schedule.bring_forward(&names, now, LOOK_WITHIN);
    }
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
    let storm = unsettled.suspects > 0 && unsettled.suspects + downs > STORM;
    Some(if downs > 0 && storm {
        oldest + STORM_HOLD
    } else if let Some(at) = unwritten {
        // A moment later it can go along.
        at + unsettled.writes_apart + LINGER
    } else if unsettled.suspects + unsettled.recovering > 0 || ready.len() > 1 {
        oldest + LINGER
    } else {
        oldest
    })
}
