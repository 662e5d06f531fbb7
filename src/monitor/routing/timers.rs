//! All that time alone brings about: one table.

/// What is due at some time. [`crate::monitor::Monitor`] is woken at the earliest of them, and sees to
/// all of them after each event, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::monitor) enum Timer {
    /// A window of maintenance begins or ends.
    Maintenance,
    /// A site's turn comes.
    Check,
    /// The report of a job may be missing.
    Job,
    /// A certificate or domain is to be inspected, or root certificates that end to be notified.
    Inspection,
    /// An action is to run by itself.
    Remediation,
    /// The uplink is to be probed, for a pending down or while it has a fault.
    Probe,
    /// Telegram is to be asked by another way, or an earlier one to be tried.
    Route,
    /// A flapping site has been steady for long enough.
    Flapping,
    /// A reminder is due, or a mute ends.
    Reminder,
    /// A fault of the uplink has lasted.
    Fault,
    UncleanStop,
    Digest,
    Heartbeat,
    /// The progress of a `/check`, commands that came too late, messages of strangers.
    Bot,
    /// Buttons are to be brought up to date.
    Keyboard,
    /// An alert is to go by a channel, or may be tried again there.
    Channel,
    Save,
    /// A message that was held back may go. The last, as all others may queue one.
    Send,
}

impl Timer {
    pub const ALL: [Timer; 18] = [
        Timer::Maintenance,
        Timer::Check,
        Timer::Job,
        Timer::Inspection,
        Timer::Remediation,
        Timer::Probe,
        Timer::Route,
        Timer::Flapping,
        Timer::Reminder,
        Timer::Fault,
        Timer::UncleanStop,
        Timer::Digest,
        Timer::Heartbeat,
        Timer::Bot,
        Timer::Keyboard,
        Timer::Channel,
        Timer::Save,
        Timer::Send,
    ];
}
