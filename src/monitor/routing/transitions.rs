//! Effects of a site's transitions: an incident opens or ends, a line is logged, and an alert is
//! queued if [`crate::monitor::alert::transition_alerts`] makes one.

use crate::monitor::Level;
use crate::monitor::alert::notified::Topic;
use crate::monitor::incident::Incident;
use crate::monitor::routing::notifier::Notifier;
use crate::monitor::site::flapping::ChangeNotice;
use crate::monitor::time::text::{self, SLOW};
use std::time::Duration;

impl Notifier<'_> {
    pub fn went_down(&mut self, at: usize, cause: String, notice: ChangeNotice) {
        let moment = self.now.moment();
        let name = self.sites[at].name();
        let number = self.incidents.open(name, cause.clone(), moment);
        self.alerts.keep_incidents(self.incidents);
        let text = format!("{name} is down: {cause} (#{number})");
        self.actions.log(level_of(notice), text);
        let behind = self.sites.behind(at);
        let audience = self.audience();
        match (self.alerts).on_down(audience, at, number, &cause, notice, &behind) {
            Some(alerts) => self.queue(alerts),
            None => self.save_schedule.on_silent_change(notice, moment),
        }
    }

    pub fn recovered(&mut self, at: usize, notice: ChangeNotice) {
        let name = self.sites[at].name();
        let Some(ended) = self.close_incident(name) else {
            return;
        };
        let lasted = text::lasting(ended.length(self.now));
        let text = format!("{name} is up again after {lasted} (#{})", ended.number());
        self.actions.log(level_of(notice), text);
        self.save_schedule
            .on_silent_change(notice, self.now.moment());
        let alert = self.alerts.on_up(self.audience(), at, &ended, notice);
        self.queue(alert);
    }

    pub fn slowed(&mut self, at: usize, cause: String, notice: ChangeNotice) {
        let name = self.sites[at].name();
        let text = match cause.starts_with(SLOW) {
            true => format!("{name} is slow: {cause}"),
            false => format!("{name} is degraded: {cause}"),
        };
        self.actions.log(level_of(notice), text);
        let alert = self.alerts.on_slow(self.audience(), at, cause, notice);
        self.queue(alert);
    }

    pub fn sped_up(&mut self, at: usize, lasted: Duration, notice: ChangeNotice) {
        let well = match self.sites[at].config().slow {
            Some(_) => "fast",
            None => "well",
        };
        let text = format!("{} is {well} again", self.sites[at].name());
        self.actions.log(level_of(notice), text);
        let alert = self.alerts.on_fast(self.audience(), at, lasted, notice);
        self.queue(alert);
    }

    /// Notifies chats that the site stopped flapping.
    pub fn became_steady(&mut self, at: usize) {
        let name = self.sites[at].name();
        self.save_schedule.within_5_min(self.now.moment());
        self.actions
            .log(Level::Info, format!("{name} stopped flapping"));
        let audience = self.audience();
        let open = self.incidents.open_of_mut(name);
        let alert = self.alerts.on_steady(audience, at, open);
        self.queue(alert);
    }

    /// Ends the site's open incident, and marks the buttons of its messages as outdated.
    pub fn close_incident(&mut self, site: &str) -> Option<Incident> {
        let alerts = &self.alerts;
        let notified = |number| alerts.notified(&Topic::Incident(number)).is_some();
        let ended = (self.incidents).close(site, self.now.moment(), notified)?;
        for &(chat, message_id) in ended.messages() {
            self.outbox.outdate_keyboard(chat, message_id);
        }
        Some(ended)
    }
}

/// Returns the log level. A flapping site does not get a line for each change: the log may be on
/// flash.
fn level_of(notice: ChangeNotice) -> Level {
    match notice {
        ChangeNotice::Silent => Level::Debug,
        ChangeNotice::Normal | ChangeNotice::Flapping => Level::Info,
    }
}
