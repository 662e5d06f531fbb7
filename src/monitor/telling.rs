//! What becomes an alert: changes of state, ends of mutes, reminders.

use super::alert::News;
use super::incident::Incident;
use super::message;
use super::site::Site;
use super::text;
use super::time::{Moment, Now};
use super::{Level, Monitor};
use std::time::Duration;

impl Monitor {
    pub(super) fn went_down(&mut self, now: Now, site: &Site, cause: String) {
        let number = self.incidents.open(&site.name, cause.clone(), now.moment());
        self.log(
            Level::Info,
            format!("{} is down: {cause} (#{number})", site.name),
        );
        self.saving.now();
        if let Some(&at) = self.index.get(&site.name) {
            // Its recovery is told as one from down.
            self.sites[at].slow_told = false;
        }
        if self.muted(&site.name, now.moment()) {
            return;
        }
        self.tell(now, site, News::Down { cause }, Some(number));
        if let Some(incident) = self.incidents.get_mut(number) {
            incident.told = true;
        }
    }

    /// The end of an incident is told to whom its start was told, muted since or not.
    pub(super) fn recovered(&mut self, now: Now, site: &Site) {
        let Some(ended) = self.incidents.close(&site.name, now.moment()) else {
            return;
        };
        let lasted = ended.length(now);
        self.log(
            Level::Info,
            format!(
                "{} is up again after {} (#{})",
                site.name,
                text::lasting(lasted),
                ended.number
            ),
        );
        self.saving.now();
        if ended.told {
            self.tell(now, site, News::Up { lasted }, Some(ended.number));
        }
    }

    pub(super) fn slowed(&mut self, now: Now, at: usize, cause: String) {
        let site = self.sites[at].site.clone();
        self.log(Level::Info, format!("{} is slow: {cause}", site.name));
        let told = !self.muted(&site.name, now.moment());
        self.sites[at].slow_told = told;
        if told {
            self.tell(now, &site, News::Slow { cause }, None);
        }
    }

    pub(super) fn sped_up(&mut self, now: Now, at: usize, lasted: Duration) {
        let site = self.sites[at].site.clone();
        self.log(Level::Info, format!("{} is fast again", site.name));
        if std::mem::take(&mut self.sites[at].slow_told) {
            self.tell(now, &site, News::Fast { lasted }, None);
        }
    }

    /// Puts an alert into the outbox for all who are told of the site.
    pub(super) fn tell(&mut self, now: Now, site: &Site, news: News, incident: Option<u32>) {
        let chats = self.chats_of(site);
        self.outbox
            .push_alert(news, &site.name, incident, chats, now.moment());
        self.saving.now();
    }

    pub(super) fn notice(&mut self, now: Now, text: String) {
        self.log(Level::Info, text.clone());
        let chats = self.access.chats.clone();
        self.outbox
            .push_alert(News::Notice { text }, "", None, chats, now.moment());
        self.saving.now();
    }

    /// The chats that are told of a site.
    pub(super) fn chats_of(&self, site: &Site) -> Vec<i64> {
        let all = &self.access.chats;
        match &site.chats {
            // The terminal is told of everything.
            Some(some) if *all != [message::CONSOLE] => {
                let mut chats = some.clone();
                chats.retain(|c| all.contains(c));
                chats
            }
            _ => all.clone(),
        }
    }

    pub(super) fn muted(&self, name: &str, now: Moment) -> bool {
        self.muted_until.is_some_and(|until| until > now)
            || self
                .index
                .get(name)
                .is_some_and(|&at| self.sites[at].muted(now))
    }

    /// An outage that began in silence and outlasts it is told then.
    pub(super) fn end_mutes(&mut self, now: Now) {
        let moment = now.moment();
        if self.muted_until.is_some_and(|until| until <= moment) {
            self.muted_until = None;
        }
        let untold: Vec<u32> = self
            .incidents
            .iter_open()
            .filter(|i| !i.told && !self.muted(&i.site, moment))
            .map(|i| i.number)
            .collect();
        for number in untold {
            let Some(incident) = self.incidents.get_mut(number) else {
                continue;
            };
            incident.told = true;
            incident.reminded = moment;
            let (name, cause) = (incident.site.clone(), incident.cause.clone());
            let lasted = incident.length(now);
            if let Some(&at) = self.index.get(&name) {
                let site = self.sites[at].site.clone();
                let news = News::StillDown { cause, lasted };
                self.tell(now, &site, news, Some(number));
            }
        }
    }

    pub(super) fn remind(&mut self, now: Now) {
        let moment = now.moment();
        let due: Vec<u32> = self
            .incidents
            .iter_open()
            .filter(|i| self.reminder_due(i, now).is_some_and(|at| at <= moment))
            .map(|i| i.number)
            .collect();
        for number in due {
            let Some(incident) = self.incidents.get_mut(number) else {
                continue;
            };
            incident.reminded = moment;
            let (name, cause) = (incident.site.clone(), incident.cause.clone());
            let (told, lasted) = (incident.told, incident.length(now));
            // Nothing to repeat while the first one still waits to be delivered.
            let waits = self.outbox.alerts().any(|a| a.incident == Some(number));
            if told
                && !waits
                && !self.muted(&name, moment)
                && let Some(&at) = self.index.get(&name)
            {
                let site = self.sites[at].site.clone();
                let news = News::StillDown { cause, lasted };
                self.tell(now, &site, news, Some(number));
            }
        }
    }

    /// When an open incident is next to be looked at: a reminder, or the end of its mute.
    pub(super) fn reminder_due(&self, incident: &Incident, now: Now) -> Option<Moment> {
        let watched = &self.sites[*self.index.get(&incident.site)?];
        if !incident.told {
            let moment = now.moment();
            let ends = [self.muted_until, watched.muted_until];
            return ends.into_iter().flatten().filter(|m| *m > moment).max();
        }
        let every = watched.site.remind?;
        (incident.acknowledged.is_none() && !watched.paused()).then(|| incident.reminded + every)
    }
}
