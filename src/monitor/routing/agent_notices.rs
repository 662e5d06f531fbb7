//! Notices of the agent itself: mistakes in the file, an unclean stop, a disk that fails, and its
//! own connection.

use crate::monitor::Level;
use crate::monitor::alert::audience::NewAlert;
use crate::monitor::alert::{Alert, Alerts, Notification};
use crate::monitor::routing::notifier::Notifier;
use crate::monitor::site::report::ReportAnswer;
use crate::monitor::uplink::Period;

impl Notifier<'_> {
    /// The file has mistakes. `safe` names no site.
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

    /// Alerts that wait for the disk go out all the same; runs of actions are not made, and reports are
    /// answered accordingly.
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

    /// A notice about our own connection, which may come and go all day: it is written within the
    /// day's budget, as a site's alerts are. One that still waits is not queued again.
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

    /// Telegram is asked by another route.
    pub fn route_changed(&mut self, text: String) {
        self.actions.log(Level::Info, text.clone());
        self.save_schedule.within_5_min(self.now.moment());
        self.uplink_notice(self.bot.chats().to_vec(), text);
    }

    /// The faults of the uplink that have lasted.
    pub fn due_faults(&mut self) {
        let chats = self.bot.chats();
        for fault in self.alerts.take_due_faults(chats, self.now.moment()) {
            if let Some(text) = fault.begin_notice() {
                self.uplink_notice(chats.to_vec(), text.to_owned());
            }
        }
    }

    /// An offline period is over. `goes_on`: it is one with the period before.
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
