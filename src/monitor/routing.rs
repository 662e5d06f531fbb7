//! Routes what one component says to the others: transitions to alerts, alerts to the outbox, results
//! of deliveries back.

use crate::monitor::alert::Alerts;
use crate::monitor::alert::Notification;
use crate::monitor::alert::notifications::{Audience, NewAlert};
use crate::monitor::incident::Incident;
use crate::monitor::judge::flapping::Manner;
use crate::monitor::render::text;
use crate::monitor::site::Site;
use crate::monitor::site::state::SiteState;
use crate::monitor::time::{Moment, Now};
use crate::monitor::{Level, Monitor};
use std::time::Duration;

impl Monitor {
    /// Queues alerts and has them written.
    fn notify(&mut self, now: Now, alerts: impl IntoIterator<Item = NewAlert>) {
        let moment = now.moment();
        for alert in alerts {
            let NewAlert {
                news,
                site,
                incident,
                chats,
                at_once,
            } = alert;
            if chats.is_empty() {
                if !at_once {
                    self.saving.later(moment);
                }
                continue;
            }
            self.outbox.push_alert(news, &site, incident, chats, moment);
            if at_once {
                self.saving.now();
            } else if !self.saving.alert(&site, moment) {
                for number in self.outbox.condense(&site) {
                    self.incidents.merged_away(number);
                }
            }
        }
    }

    pub(crate) fn went_down(&mut self, now: Now, at: usize, cause: String) {
        let moment = now.moment();
        let name = self.sites[at].name().to_owned();
        let number = self.incidents.open(&name, cause.clone(), moment);
        self.refresh_reach(now);
        let manner = self.manner_of_change(moment, at);
        let text = format!("{name} is down: {cause} (#{number})");
        self.log(level_of(manner), text);
        let behind = self.behind(at);
        let audience = Audience::new(&self.sites, &self.bot.access, now);
        let alerts = self
            .alerts
            .on_down(audience, at, number, &cause, manner, &behind);
        let Some(alerts) = alerts else {
            self.saving.untold(manner, moment);
            return;
        };
        if let Some(incident) = self.incidents.get_mut(number) {
            incident.told = true;
        }
        self.sites[at].flapping.told |= manner == Manner::Flapping;
        self.notify(now, alerts);
    }

    pub(crate) fn recovered(&mut self, now: Now, at: usize) {
        let moment = now.moment();
        let name = self.sites[at].name().to_owned();
        let manner = self.manner_of_change(moment, at);
        self.refresh_reach(now);
        let Some(ended) = self.close_incident(&name, moment) else {
            return;
        };
        let lasted = text::lasting(ended.length(now));
        let text = format!("{name} is up again after {lasted} (#{})", ended.number);
        self.log(level_of(manner), text);
        self.saving.untold(manner, moment);
        let mut alert = self.alerts.on_up(
            Audience::new(&self.sites, &self.bot.access, now),
            at,
            &ended,
            manner,
        );
        if let Some(alert) = alert.as_mut().filter(|a| a.news.ends_incident()) {
            alert
                .chats
                .retain(|&chat| !self.never_told(ended.number, chat));
        }
        self.notify_of(now, at, manner, alert);
    }

    pub(crate) fn slowed(&mut self, now: Now, at: usize, cause: String) {
        let manner = self.manner_of_change(now.moment(), at);
        let text = format!("{} is slow: {cause}", self.sites[at].name());
        self.log(level_of(manner), text);
        let alert = self.alerts.on_slow(
            Audience::new(&self.sites, &self.bot.access, now),
            at,
            cause,
            manner,
        );
        self.notify_of(now, at, manner, alert);
    }

    pub(crate) fn sped_up(&mut self, now: Now, at: usize, lasted: Duration) {
        let manner = self.manner_of_change(now.moment(), at);
        let text = format!("{} is fast again", self.sites[at].name());
        self.log(level_of(manner), text);
        let alert = self.alerts.on_fast(
            Audience::new(&self.sites, &self.bot.access, now),
            at,
            lasted,
            manner,
        );
        self.notify_of(now, at, manner, alert);
    }

    /// What a change of the site is told by, if it is told.
    fn notify_of(&mut self, now: Now, at: usize, manner: Manner, alert: Option<NewAlert>) {
        self.sites[at].flapping.told |= manner == Manner::Flapping && alert.is_some();
        self.notify(now, alert);
    }

    fn manner_of_change(&mut self, now: Moment, at: usize) -> Manner {
        let watched = &mut self.sites[at];
        if watched.maintenance.is_some() && !watched.flapping.flapping() {
            // What is done to it there says nothing about how steady it is.
            return Manner::Plainly;
        }
        let manner = watched.flapping.change(now);
        if manner == Manner::Flapping {
            self.flapping += 1;
            let name = self.sites[at].site.name.clone();
            self.log(Level::Info, format!("{name} is flapping"));
        }
        manner
    }

    pub(crate) fn next_steady(&self) -> Option<Moment> {
        if self.flapping == 0 {
            return None;
        }
        let judged = self.sites.iter().filter(|w| self.judges(w));
        judged.filter_map(|w| w.flapping.steady_at(w.down())).min()
    }

    /// Its checks are made, and count.
    fn judges(&self, watched: &SiteState) -> bool {
        let timely = self.clock_set || !watched.site.is_https();
        watched.suppression.is_none() && !watched.paused() && timely
    }

    /// Sites that have been steady for long enough are no longer flapping.
    pub(crate) fn end_flapping(&mut self, now: Now) {
        let moment = now.moment();
        if self.next_steady().is_none_or(|at| at > moment) {
            return;
        }
        for at in 0..self.sites.len() {
            let watched = &self.sites[at];
            let steady = watched.flapping.steady_at(watched.down());
            if steady.is_none_or(|at| at > moment) || !self.judges(watched) {
                continue;
            }
            let told = self.sites[at].flapping.settle();
            let name = self.sites[at].name().to_owned();
            self.saving.later(moment);
            self.log(Level::Info, format!("{name} is steady again"));
            let open = self.incidents.open_of_mut(&name);
            let alert = self.alerts.on_steady(
                Audience::new(&self.sites, &self.bot.access, now),
                at,
                open,
                told,
            );
            self.notify(now, alert);
        }
        self.flapping = self.sites.iter().filter(|w| w.flapping.flapping()).count();
    }

    pub(crate) fn end_mutes(&mut self, now: Now) {
        let alerts = self.alerts.end_mutes(
            Audience::new(&self.sites, &self.bot.access, now),
            &mut self.incidents,
        );
        self.notify(now, alerts);
    }

    pub(crate) fn remind(&mut self, now: Now) {
        let queued = |number| self.outbox.alerts().any(|a| a.incident == Some(number));
        let audience = Audience::new(&self.sites, &self.bot.access, now);
        let alerts = self.alerts.remind(audience, &mut self.incidents, queued);
        self.notify(now, alerts);
    }

    pub(crate) fn tell_digest(&mut self, now: Now) {
        if !self.clock_set {
            return;
        }
        let audience = Audience::new(&self.sites, &self.bot.access, now);
        if let Some(alerts) = self.alerts.digest_alerts(audience, &self.incidents) {
            self.saving.now();
            self.notify(now, alerts);
        }
    }

    /// Puts an alert into the outbox for all chats that get those of the site.
    pub(crate) fn tell(
        &mut self,
        now: Now,
        site: &Site,
        news: Notification,
        incident: Option<u32>,
    ) {
        let alert = NewAlert {
            news,
            site: site.name.clone(),
            incident,
            chats: self.bot.access.chats_of(site),
            at_once: false,
        };
        self.notify(now, [alert]);
    }

    pub(crate) fn tell_mistakes(&mut self, now: Now, what: &str, safe: &str) {
        let alerts = Alerts::mistakes(
            Audience::new(&self.sites, &self.bot.access, now),
            what,
            safe,
        );
        self.notify(now, alerts);
    }

    /// A notice for these chats, which is in the log already.
    pub(crate) fn notice_to(&mut self, now: Now, chats: Vec<i64>, text: String) {
        self.notify(now, [NewAlert::notice(chats, text)]);
    }

    pub(crate) fn notice(&mut self, now: Now, text: String) {
        self.log(Level::Info, text.clone());
        self.announce(now, text);
    }

    /// A notice that is in the log already.
    pub(crate) fn announce(&mut self, now: Now, text: String) {
        let chats = self.bot.access.chats.clone();
        self.notice_to(now, chats, text);
    }

    /// A notice about our own line, which may come and go all day: it is written within the day's
    /// budget, as a site's alerts are. One that still waits is not said again.
    pub(crate) fn announce_line(&mut self, now: Now, text: String) {
        let chats = self.bot.access.chats.clone();
        let alert = NewAlert {
            at_once: false,
            ..NewAlert::notice(chats, text)
        };
        if self.outbox.alerts().all(|a| a.news != alert.news) {
            self.notify(now, [alert]);
        }
    }

    /// Everything is muted.
    pub(crate) fn silenced(&self, now: Moment) -> bool {
        self.alerts.all_muted(now)
    }

    /// Nothing new of the site is told at present.
    pub(crate) fn muted(&self, name: &str, now: Moment) -> bool {
        let site = self.sites.named(name);
        site.map_or(self.silenced(now), |site| self.alerts.muted(site, now))
    }

    /// Ends the site's open incident: nothing can be done about it any more.
    pub(crate) fn close_incident(&mut self, site: &str, now: Moment) -> Option<Incident> {
        let ended = self.incidents.close(site, now)?;
        for &(chat, message_id) in &ended.messages {
            self.outbox.keyboards.outdate(chat, message_id);
        }
        Some(ended)
    }
}

/// What a site does over and over is not worth a line each in a log that may be on flash.
fn level_of(manner: Manner) -> Level {
    match manner {
        Manner::Silently => Level::Debug,
        Manner::Plainly | Manner::Flapping => Level::Info,
    }
}
