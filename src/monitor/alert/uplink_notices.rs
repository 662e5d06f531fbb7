//! Notices about faults of the uplink, and messages about offline periods.

use crate::monitor::alert::Alerts;
use crate::monitor::alert::notified::Topic;
use crate::monitor::site::suppression::UplinkFault;
use crate::monitor::time::Moment;

impl Alerts {
    /// Records a fault that began: it is notified at `due` if it still exists then.
    pub fn on_fault(&mut self, fault: UplinkFault, due: Moment) {
        self.due_faults.push((fault, due));
    }

    /// Forgets a fault that ended or is no longer probed for. Returns the chats that were notified
    /// of it.
    pub fn on_fault_end(&mut self, fault: UplinkFault) -> Option<Vec<i64>> {
        self.due_faults.retain(|(due, _)| *due != fault);
        self.notified.remove(&Topic::Fault(fault))
    }

    /// Returns when [`Alerts::take_due_faults`] is due.
    pub fn next_fault(&self) -> Option<Moment> {
        let due = self.due_faults.iter().map(|(_, at)| *at);
        due.min().map(|at| self.after_mute(at))
    }

    /// Returns the faults to notify these chats of now.
    pub fn take_due_faults(&mut self, chats: &[i64], now: Moment) -> Vec<UplinkFault> {
        if self.all_muted(now) {
            return Vec::new();
        }
        let due = self.due_faults.extract_if(.., |(_, at)| *at <= now);
        let due: Vec<UplinkFault> = due.map(|(fault, _)| fault).collect();
        for fault in &due {
            self.add_notified(Topic::Fault(*fault), chats);
        }
        due
    }

    /// Handles the end of an offline period. `goes_on`: it extends the period before. Returns the
    /// messages about that one: chat and message id.
    pub fn on_online(&mut self, goes_on: bool) -> &[(i64, i64)] {
        if !goes_on {
            self.offline_messages.clear();
        }
        &self.offline_messages
    }

    /// Records a delivered message that is only about an offline period.
    pub fn on_offline_message(&mut self, chat: i64, message_id: i64) {
        self.offline_messages.retain(|(known, _)| *known != chat);
        self.offline_messages.push((chat, message_id));
    }
}
