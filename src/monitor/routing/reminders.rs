//! Queues reminders, and alerts that were deferred by a mute
//! ([`crate::monitor::alert::reminders`]).

use crate::monitor::routing::notifier::Notifier;

impl Notifier<'_> {
    pub fn end_mutes(&mut self) {
        let audience = self.audience();
        let alerts = self.alerts.end_mutes(audience, self.incidents);
        self.queue(alerts);
    }

    pub fn remind(&mut self) {
        let audience = self.audience();
        let outbox = &self.outbox;
        let queued = |number| outbox.alerts().any(|a| a.incident == Some(number));
        let alerts = self.alerts.remind(audience, self.incidents, queued);
        self.queue(alerts);
    }
}
