//! What the chats know of faults of the uplink and of offline periods.

use crate::monitor::alert::Alerts;
use crate::monitor::site::suppression::Fault;
use crate::monitor::time::Moment;

/// Whether the chats know of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FaultNotice {
    /// Not yet: then, or when not everything is muted any more.
    Due(Moment),
    Told,
}

#[derive(Debug, Default)]
pub(super) struct UplinkNotices {
    /// Faults that go on.
    faults: Vec<(Fault, FaultNotice)>,
    /// Where the last offline period was told, alone in its message: chat and message.
    offline: Vec<(i64, i64)>,
}

impl Alerts {
    /// A fault began: it is told at `due` if it goes on until then.
    pub fn on_fault(&mut self, fault: Fault, due: Moment) {
        self.uplink.faults.push((fault, FaultNotice::Due(due)));
    }

    /// An earlier run told of the fault.
    pub fn restore_fault(&mut self, fault: Fault) {
        self.uplink.faults.push((fault, FaultNotice::Told));
    }

    /// A fault is over, or not asked for any more. Whether the chats were told of it.
    pub fn on_fault_end(&mut self, fault: Fault) -> bool {
        let told = self.fault_told(fault);
        self.uplink.faults.retain(|(f, _)| *f != fault);
        told
    }

    pub fn fault_told(&self, fault: Fault) -> bool {
        self.uplink.faults.contains(&(fault, FaultNotice::Told))
    }

    /// When [`Alerts::take_due_faults`] has something.
    pub fn next_fault(&self) -> Option<Moment> {
        let due = self
            .uplink
            .faults
            .iter()
            .filter_map(|(_, notice)| match notice {
                FaultNotice::Due(at) => Some(*at),
                FaultNotice::Told => None,
            });
        due.min().map(|at| self.after_mute(at))
    }

    /// Then, or when not everything is muted any more.
    pub fn after_mute(&self, at: Moment) -> Moment {
        self.muted_until.map_or(at, |until| until.max(at))
    }

    /// Faults that are to be told now.
    pub fn take_due_faults(&mut self, now: Moment) -> Vec<Fault> {
        if self.all_muted(now) {
            return Vec::new();
        }
        let due = |(_, notice): &&mut (Fault, FaultNotice)| matches!(notice, FaultNotice::Due(at) if *at <= now);
        let due = self.uplink.faults.iter_mut().filter(due);
        due.map(|(fault, notice)| {
            *notice = FaultNotice::Told;
            *fault
        })
        .collect()
    }

    /// An offline period is over. `goes_on`: it is one with the period before. The messages that
    /// told of that one: chat and message.
    pub fn on_online(&mut self, goes_on: bool) -> &[(i64, i64)] {
        if !goes_on {
            self.uplink.offline.clear();
        }
        &self.uplink.offline
    }

    /// A message told of an offline period, alone.
    pub fn on_offline_message(&mut self, chat: i64, message_id: i64) {
        self.forget_chat(chat);
        self.uplink.offline.push((chat, message_id));
    }

    /// A chat's messages can no longer be edited.
    pub fn forget_chat(&mut self, chat: i64) {
        self.uplink.offline.retain(|(c, _)| *c != chat);
    }
}
