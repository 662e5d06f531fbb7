//! Notices about the agent itself: mistakes in the configuration file, an unclean stop, a failing
//! disk, and its own connection.

use crate::monitor::Level;
use crate::monitor::alert::audience::NewAlert;
use crate::monitor::alert::{Alert, Alerts, Notification};
use crate::monitor::routing::notifier::Notifier;
use crate::monitor::site::report::ReportAnswer;
use crate::monitor::uplink::Period;

impl Notifier<'_> {
    /// Notifies chats of mistakes in the configuration file. `safe` names no site.
    pub fn mistakes(&mut self, what: &str, safe: &str) {
        self.queue(Alerts::mistakes(self.audience(), what, safe));
    }

    pub fn unclean_stop(&mut self) {
        if let Some(stop) = self.incidents.take_unclean_stop(self.now.moment()) {
            let (text, alerts) = Alerts::unclean_stop(self.audience(), &stop);
            self.actions.log(Level::Info, text);
            self.queue(alerts);
            self.save_schedule.immediately();
        }
    }

    /// Handles a failed save: alerts that wait for the disk are sent nevertheless, runs of actions
    /// are not started, and reports are answered accordingly.
    pub fn save_failed(&mut self, reason: &str) {
        let (alerts, first) = self.save_schedule.failed(self.now.moment());
        if let Some(id) = alerts {
            self.outbox.mark_stored(id);
            self.runs_not_saved(id, reason);
        }
        self.save_schedule
            .answer_reports(ReportAnswer::Unsaved, self.actions);
        if first {
            let text = format!(
                "The state cannot be written ({reason}). Alerts still go out, but a restart forgets them."
            );
            self.actions.log(Level::Warn, text.clone());
            self.notice_to_all(text);
            self.outbox.mark_stored(self.outbox.last_alert_id());
        }
    }

    /// Queues a notice about our own connection. As that may fail often, the notice counts towards
    /// the day's write budget like alerts of sites, and is not queued again while the same one
    /// waits.
    pub fn uplink_notice(&mut self, chats: Vec<i64>, text: String) {
        let alert = NewAlert {
            at_once: false,
            ..NewAlert::notice(chats, text)
        };
        let waits = |a: &Alert| a.notification == alert.notification;
        if !self.outbox.alerts().any(waits) {
            self.queue([alert]);
        }
    }

    /// Notifies chats that another route to Telegram is used.
    pub fn route_changed(&mut self, text: String) {
        self.actions.log(Level::Info, text.clone());
        self.save_schedule.within_5_min(self.now.moment());
        self.uplink_notice(self.bot.chats().to_vec(), text);
    }

    /// Notifies chats of uplink faults that have lasted long enough.
    pub fn due_faults(&mut self) {
        let chats = self.bot.chats();
        for fault in self.alerts.take_due_faults(chats, self.now.moment()) {
            if let Some(text) = fault.begin_notice() {
                self.uplink_notice(chats.to_vec(), text.to_owned());
            }
        }
    }

    /// Notifies chats of an offline period that ended. `goes_on`: it extends the period before.
    pub fn offline_period(&mut self, period: Period, goes_on: bool) {
        let moment = self.now.moment();
        let edits = self.alerts.on_online(goes_on).to_vec();
        if self.alerts.all_muted(moment) {
            return;
        }
        let chats = self.bot.chats().to_vec();
        let notification = Notification::Offline(period);
        if !goes_on {
            let alert = NewAlert::general(notification.clone(), Vec::new());
            self.outbox.offer_to_channels(&[alert], self.sites, moment);
        }
        self.outbox
            .push_offline(notification, chats, &edits, goes_on, moment);
        self.save_schedule.on_alert("", moment);
    }
}
