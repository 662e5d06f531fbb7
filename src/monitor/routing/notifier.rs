//! Queues new alerts for chats and channels, and schedules their write to disk. The other files of
//! this folder create them.

use crate::monitor::alert::Alerts;
use crate::monitor::alert::audience::{Audience, NewAlert};
use crate::monitor::bot::Bot;
use crate::monitor::event::Actions;
use crate::monitor::incident::Incidents;
use crate::monitor::outbox::Outbox;
use crate::monitor::persist::save_schedule::SaveSchedule;
use crate::monitor::site::table::Sites;
use crate::monitor::time::Now;
use crate::monitor::uplink::Uplink;

/// The components that queueing an alert changes or reads.
pub(in crate::monitor) struct Notifier<'a> {
    pub now: Now,
    /// The wall clock is trusted.
    pub clock_set: bool,
    pub sites: &'a Sites,
    pub bot: &'a Bot,
    pub uplink: &'a mut Uplink,
    pub incidents: &'a mut Incidents,
    pub alerts: &'a mut Alerts,
    pub outbox: &'a mut Outbox,
    pub save_schedule: &'a mut SaveSchedule,
    pub actions: &'a mut Actions,
}

impl<'a> Notifier<'a> {
    pub fn audience(&self) -> Audience<'a> {
        Audience::new(self.sites, self.bot.access(), self.now)
    }

    /// Queues alerts for chats and channels, and schedules their write.
    pub fn queue(&mut self, alerts: impl IntoIterator<Item = NewAlert>) {
        let alerts: Vec<NewAlert> = alerts.into_iter().collect();
        let moment = self.now.moment();
        let by_channels = self.outbox.offer_to_channels(&alerts, self.sites, moment);
        self.queue_for_chats(alerts, &by_channels);
    }

    /// Queues alerts for chats and schedules their write. `by_channels`: indices of the alerts that
    /// wait for channels, too.
    pub fn queue_for_chats(&mut self, alerts: Vec<NewAlert>, by_channels: &[usize]) {
        let moment = self.now.moment();
        for (place, alert) in alerts.into_iter().enumerate() {
            self.alerts.on_alert(&alert);
            let (site, at_once) = (alert.site, alert.at_once);
            if alert.chats.is_empty() && !by_channels.contains(&place) {
                if !at_once {
                    self.save_schedule.within_5_min(moment);
                }
                continue;
            }
            let (notification, incident) = (alert.notification, alert.incident);
            self.outbox
                .push_alert(notification, &site, incident, alert.chats, moment);
            if at_once {
                self.save_schedule.immediately();
            } else if !self.save_schedule.on_alert(&site, moment) {
                for number in self.outbox.condense(&site) {
                    self.alerts.on_merged(number, self.incidents);
                }
            }
        }
    }

    /// Queues a notice for these chats. The caller logs it.
    pub fn notice(&mut self, chats: Vec<i64>, text: String) {
        self.queue([NewAlert::notice(chats, text)]);
    }

    /// Queues a notice for all chats. The caller logs it.
    pub fn notice_to_all(&mut self, text: String) {
        self.notice(self.bot.chats().to_vec(), text);
    }
}
