//! What becomes an alert: changes of state, ends of mutes, reminders.

use crate::monitor::alert::Notification;
use crate::monitor::bot::visibility::may_see;
use crate::monitor::incident::Incident;
use crate::monitor::judge::State;
use crate::monitor::judge::flapping::Manner;
use crate::monitor::render::text;
use crate::monitor::site::Site;
use crate::monitor::site::state::SiteState;
use crate::monitor::time::{Moment, Now};
use crate::monitor::{Level, Monitor};
use std::time::Duration;

impl Monitor {
    pub(crate) fn went_down(&mut self, now: Now, at: usize, cause: String) {
        let moment = now.moment();
        let site = self.sites[at].site.clone();
        let number = self.incidents.open(&site.name, cause.clone(), moment);
        // Its recovery is told as one from down.
        self.sites[at].slow_told = false;
        self.sites[at].slow_untold = false;
        self.refresh_reach(now);
        let manner = self.manner_of_change(moment, at);
        self.log(
            level_of(manner),
            format!("{} is down: {cause} (#{number})", site.name),
        );
        if manner == Manner::Silently || self.muted(&site.name, moment) {
            self.saving.untold(manner, moment);
            return;
        }
        if manner == Manner::Flapping {
            self.sites[at].flapping.told = true;
            let news = Notification::Flapping { cause: Some(cause) };
            self.tell(now, &site, news, Some(number));
        } else {
            let common = self.sites[at].common_cause(&cause);
            for (behind, chats) in self.behind_by_chat(at) {
                let news = Notification::Down {
                    cause: cause.clone(),
                    common: common.clone(),
                    behind,
                };
                self.tell_chats(now, &site, news, Some(number), chats);
            }
        }
        if let Some(incident) = self.incidents.get_mut(number) {
            incident.told = true;
        }
    }

    /// The end of an incident is told to whom its start was told, muted since or not.
    pub(crate) fn recovered(&mut self, now: Now, at: usize) {
        let moment = now.moment();
        let site = self.sites[at].site.clone();
        let manner = self.manner_of_change(moment, at);
        self.refresh_reach(now);
        let Some(ended) = self.close_incident(&site.name, moment) else {
            return;
        };
        let lasted = ended.length(now);
        self.log(
            level_of(manner),
            format!(
                "{} is up again after {} (#{})",
                site.name,
                text::lasting(lasted),
                ended.number
            ),
        );
        self.saving.untold(manner, moment);
        match manner {
            Manner::Plainly if ended.told => {
                self.tell(now, &site, Notification::Up { lasted }, Some(ended.number));
            }
            Manner::Flapping => self.tell_flapping(now, at, ended.told),
            _ => {}
        }
    }

    pub(crate) fn slowed(&mut self, now: Now, at: usize, cause: String) {
        let moment = now.moment();
        let site = self.sites[at].site.clone();
        let manner = self.manner_of_change(moment, at);
        let text = format!("{} is slow: {cause}", site.name);
        self.log(level_of(manner), text);
        let plainly = manner == Manner::Plainly;
        let told = plainly && !self.muted(&site.name, moment);
        self.sites[at].slow_told = told;
        self.sites[at].slow_untold = plainly && !told;
        self.slow_untold |= plainly && !told;
        if told {
            self.tell(now, &site, Notification::Slow { cause }, None);
        } else if manner == Manner::Flapping {
            self.tell_flapping(now, at, false);
        }
    }

    pub(crate) fn sped_up(&mut self, now: Now, at: usize, lasted: Duration) {
        let site = self.sites[at].site.clone();
        let manner = self.manner_of_change(now.moment(), at);
        self.log(level_of(manner), format!("{} is fast again", site.name));
        self.sites[at].slow_untold = false;
        let told = std::mem::take(&mut self.sites[at].slow_told);
        match manner {
            Manner::Plainly if told => self.tell(now, &site, Notification::Fast { lasted }, None),
            Manner::Flapping => self.tell_flapping(now, at, told),
            _ => {}
        }
    }

    /// By a change that is not its going down.
    fn tell_flapping(&mut self, now: Now, at: usize, heard_before: bool) {
        let site = self.sites[at].site.clone();
        if heard_before || !self.muted(&site.name, now.moment()) {
            self.sites[at].flapping.told = true;
            self.tell(now, &site, Notification::Flapping { cause: None }, None);
        }
    }

    /// Sites that have been steady for long enough are no longer flapping.
    pub(crate) fn end_flapping(&mut self, now: Now) {
        let moment = now.moment();
        let set = self.clock.is_set();
        for (at, told) in self.judge.take_steady(moment, &mut self.sites, set) {
            let watched = &self.sites[at];
            let site = watched.site.clone();
            self.saving.later(moment);
            self.log(Level::Info, format!("{} is steady again", site.name));
            let open = self.incidents.open_of(&site.name).map(|i| i.number);
            match open {
                // Told by the end of the mute then.
                Some(_) if self.muted(&site.name, moment) => {}
                Some(number) if told => {
                    let Some(incident) = self.incidents.get_mut(number) else {
                        continue;
                    };
                    incident.told = true;
                    incident.reminded = moment;
                    let lasted = incident.length(now);
                    let cause = Some(incident.cause.clone());
                    self.tell(
                        now,
                        &site,
                        Notification::Steady { cause, lasted },
                        Some(number),
                    );
                }
                None if self.sites[at].judge.state() == State::Degraded
                    && (told || !self.muted(&site.name, moment)) =>
                {
                    self.sites[at].slow_told = true;
                    let cause = self.sites[at].cause.clone().unwrap_or_default();
                    self.tell(now, &site, Notification::Slow { cause }, None);
                }
                None if told => {
                    let lasted = now.since(self.sites[at].since);
                    let cause = None;
                    self.tell(now, &site, Notification::Steady { cause, lasted }, None);
                }
                _ => {}
            }
        }
    }

    /// Puts an alert into the outbox for all who are told of the site.
    pub(crate) fn tell(
        &mut self,
        now: Now,
        site: &Site,
        news: Notification,
        incident: Option<u32>,
    ) {
        let chats = self.chats_of(site);
        self.tell_chats(now, site, news, incident, chats);
    }

    fn tell_chats(
        &mut self,
        now: Now,
        site: &Site,
        news: Notification,
        incident: Option<u32>,
        chats: Vec<i64>,
    ) {
        let moment = now.moment();
        if chats.is_empty() {
            self.saving.later(moment);
            return;
        }
        self.outbox
            .push_alert(news, &site.name, incident, chats, moment);
        if !self.saving.alert(&site.name, moment) {
            for number in self.outbox.condense(&site.name) {
                // They are among those that are only counted.
                if let Some(incident) = self.incidents.get_mut(number) {
                    incident.told &= !incident.messages.is_empty();
                }
            }
        }
    }

    /// How many sites behind this one are unreachable too, as far as each chat may know.
    fn behind_by_chat(&self, at: usize) -> Vec<(usize, Vec<i64>)> {
        let behind = self.behind(at);
        let mut told: Vec<(usize, Vec<i64>)> = Vec::new();
        for chat in self.chats_of(&self.sites[at].site) {
            let seen = |at: &&usize| may_see(chat, &self.sites[**at].site);
            let count = behind.iter().filter(seen).count();
            match told.iter_mut().find(|(n, _)| *n == count) {
                Some((_, chats)) => chats.push(chat),
                None => told.push((count, vec![chat])),
            }
        }
        told
    }

    /// The file has mistakes. They may name sites: only chats that see all of them are told `what`,
    /// the others what is `safe`.
    pub(crate) fn tell_mistakes(&mut self, now: Now, what: &str, safe: &str) {
        let (all, some) = self
            .access
            .chats
            .iter()
            .partition(|&&chat| self.sees_all(chat));
        self.notice_to(now, all, what.to_owned());
        self.notice_to(now, some, safe.to_owned());
    }

    /// A notice for these chats, which is in the log already.
    pub(crate) fn notice_to(&mut self, now: Now, chats: Vec<i64>, text: String) {
        if chats.is_empty() {
            return;
        }
        self.outbox
            .push_alert(Notification::Notice { text }, "", None, chats, now.moment());
        self.saving.now();
    }

    pub(crate) fn notice(&mut self, now: Now, text: String) {
        self.log(Level::Info, text.clone());
        self.announce(now, text);
    }

    /// A notice that is in the log already.
    pub(crate) fn announce(&mut self, now: Now, text: String) {
        let chats = self.access.chats.clone();
        self.notice_to(now, chats, text);
    }

    /// A notice about our own line, which may come and go all day: it is written within the day's
    /// budget, as a site's alerts are. One that still waits is not said again.
    pub(crate) fn announce_line(&mut self, now: Now, text: String) {
        let chats = self.access.chats.clone();
        let news = Notification::Notice { text };
        if self.outbox.alerts().any(|a| a.news == news) {
            return;
        }
        self.outbox.push_alert(news, "", None, chats, now.moment());
        self.saving.alert("", now.moment());
    }

    /// Everything is muted.
    pub(crate) fn silenced(&self, now: Moment) -> bool {
        self.muted_until.is_some_and(|until| until > now)
    }

    /// Nothing of the site is told at present but what was begun: it is muted, under maintenance,
    /// flapping or not judged.
    fn untellable(&self, name: &str, now: Moment) -> bool {
        let covered = |w: &SiteState| w.suppression.is_some() || w.flapping.flapping() || w.stale();
        self.muted(name, now)
            || self
                .sites
                .find(name)
                .is_some_and(|at| covered(&self.sites[at]))
    }

    /// Nothing new of the site is told at present: it or everything is muted, or it is under
    /// maintenance.
    pub(crate) fn muted(&self, name: &str, now: Moment) -> bool {
        let silent = |w: &SiteState| w.muted(now) || w.maintenance.is_some();
        let at = self.sites.find(name);
        self.silenced(now) || at.is_some_and(|at| silent(&self.sites[at]))
    }

    /// An outage that began in silence and outlasts it is told then.
    pub(crate) fn end_mutes(&mut self, now: Now) {
        let moment = now.moment();
        if self.muted_until.is_some_and(|until| until <= moment) {
            self.muted_until = None;
        }
        self.tell_slow(now);
        let untold: Vec<u32> = self
            .incidents
            .iter_open()
            .filter(|i| !i.told && !self.untellable(&i.site, moment))
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
            if let Some(at) = self.sites.find(&name) {
                let site = self.sites[at].site.clone();
                let news = Notification::StillDown { cause, lasted };
                self.tell(now, &site, news, Some(number));
            }
        }
    }

    /// A site that became slow in silence and still is.
    fn tell_slow(&mut self, now: Now) {
        if !self.slow_untold {
            return;
        }
        let moment = now.moment();
        for at in 0..self.sites.len() {
            let watched = &self.sites[at];
            let slow = watched.slow_untold && watched.judge.state() == State::Degraded;
            if !slow || watched.paused() || self.untellable(watched.name(), moment) {
                continue;
            }
            let cause = watched.cause.clone().unwrap_or_default();
            let site = watched.site.clone();
            self.sites[at].slow_untold = false;
            self.sites[at].slow_told = true;
            self.tell(now, &site, Notification::Slow { cause }, None);
        }
        self.slow_untold = self.sites.iter().any(|w| w.slow_untold);
    }

    pub(crate) fn remind(&mut self, now: Now) {
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
                && !self.untellable(&name, moment)
                && let Some(at) = self.sites.find(&name)
            {
                let site = self.sites[at].site.clone();
                let news = Notification::StillDown { cause, lasted };
                self.tell(now, &site, news, Some(number));
            }
        }
    }

    /// When an open incident is next to be looked at: a reminder, or the end of its mute.
    pub(crate) fn reminder_due(&self, incident: &Incident, now: Now) -> Option<Moment> {
        let watched = &self.sites[self.sites.find(&incident.site)?];
        if !incident.told {
            let moment = now.moment();
            let ends = [self.muted_until, watched.muted_until];
            return ends.into_iter().flatten().filter(|m| *m > moment).max();
        }
        let every = watched.site.remind?;
        (incident.acknowledged.is_none() && !watched.paused() && !watched.stale())
            .then(|| incident.reminded + every)
    }
}

/// What a site does over and over is not worth a line each in a log that may be on flash.
fn level_of(manner: Manner) -> Level {
    match manner {
        Manner::Silently => Level::Debug,
        Manner::Plainly | Manner::Flapping => Level::Info,
    }
}
