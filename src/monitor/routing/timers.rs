//! All timers of the monitor.

/// A timer. [`crate::monitor::Monitor`] is woken at the earliest one, and handles all of them after
/// each event, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::monitor) enum Timer {
    /// A maintenance window begins or ends.
    Maintenance,
    /// A site's check is due.
    Check,
    /// The report of a job may be missing.
    Job,
    /// A certificate or domain is to be inspected, or a notice about an expiring root certificate
    /// is due.
    Inspection,
    /// An automatic run of an action is due.
    Remediation,
    /// The uplink is to be probed, for a pending down or while it has a fault.
    Probe,
    /// The route to Telegram is to be changed, or an earlier one retried.
    Route,
    /// A flapping site has been steady for long enough.
    Flapping,
    /// A reminder is due, or a mute ends.
    Reminder,
    /// A fault of the uplink has lasted long enough to be notified.
    Fault,
    UncleanStop,
    Digest,
    Heartbeat,
    /// Progress of a `/check`, replies to commands that came too late, log lines about strangers.
    Bot,
    /// Buttons are to be updated.
    Keyboard,
    /// An alert is to be sent by a channel, or retried there.
    Channel,
    Save,
    /// A delayed message may be sent. The last timer, as all others may queue messages.
    Send,
}

/// Does the same for each timer, in order. Not a loop: a `match` of a timer that the compiler knows
/// costs nothing, and this happens at each event.
macro_rules! for_each_timer {
    (|$timer:ident| $action:expr) => {
        for_each_timer!(|$timer| $action;
            Maintenance Check Job Inspection Remediation Probe Route Flapping Reminder Fault
            UncleanStop Digest Heartbeat Bot Keyboard Channel Save Send)
    };
    (|$timer:ident| $action:expr; $($name:ident)*) => {
        $({
            let $timer = Timer::$name;
            $action
        })*
    };
}
pub(in crate::monitor) use for_each_timer;
