//! Routes what one component says to the others: transitions to alerts, alerts to the outbox, results
//! of deliveries back.

use crate::monitor::alert::Alerts;
use crate::monitor::alert::notifications::{Audience, NewAlert};
use crate::monitor::alert::notified::Topic;
use crate::monitor::bot::check_jobs::JobResult;
use crate::monitor::bot::commands::by_user;
use crate::monitor::bot::moved_chats::Move;
use crate::monitor::incident::Incident;
use crate::monitor::judge::flapping::Manner;
use crate::monitor::outbox::DeliveryEffect;
use crate::monitor::outbox::message::{Asker, Delivery};
use crate::monitor::render::stats::{self, Tally, Vitals};
use crate::monitor::render::text;
use crate::monitor::site::Site;
use crate::monitor::site::outcome::Outcome;
use crate::monitor::time::{Moment, Now};
use crate::monitor::{Action, Level, Monitor};
use std::time::Duration;

impl Monitor {
    /// Queues alerts and has them written.
    pub(crate) fn notify(&mut self, now: Now, alerts: impl IntoIterator<Item = NewAlert>) {
        let moment = now.moment();
        for alert in alerts {
            self.alerts.on_alert(&alert);
            let NewAlert {
                notification,
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
            self.outbox
                .push_alert(notification, &site, incident, chats, moment);
            if at_once {
                self.saving.now();
            } else if !self.saving.alert(&site, moment) {
                for number in self.outbox.condense(&site) {
                    self.alerts.on_merged(number, &self.incidents);
                }
            }
        }
    }

    pub(crate) fn went_down(&mut self, now: Now, at: usize, cause: String) {
        let moment = now.moment();
        let name = self.sites[at].name().to_owned();
        let number = self.incidents.open(&name, cause.clone(), moment);
        self.alerts.keep_incidents(&self.incidents);
        self.refresh_reach(now);
        let manner = self.manner_of_change(moment, at);
        let text = format!("{name} is down: {cause} (#{number})");
        self.log(level_of(manner), text);
        let behind = self.behind(at);
        let audience = Audience::new(&self.sites, self.bot.access(), now);
        let alerts = self
            .alerts
            .on_down(audience, at, number, &cause, manner, &behind);
        let Some(alerts) = alerts else {
            self.saving.untold(manner, moment);
            return;
        };
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
        let audience = Audience::new(&self.sites, self.bot.access(), now);
        let alert = self.alerts.on_up(audience, at, &ended, manner);
        self.notify(now, alert);
    }

    pub(crate) fn slowed(&mut self, now: Now, at: usize, cause: String) {
        let manner = self.manner_of_change(now.moment(), at);
        let text = format!("{} is slow: {cause}", self.sites[at].name());
        self.log(level_of(manner), text);
        let audience = Audience::new(&self.sites, self.bot.access(), now);
        let alert = self.alerts.on_slow(audience, at, cause, manner);
        self.notify(now, alert);
    }

    pub(crate) fn sped_up(&mut self, now: Now, at: usize, lasted: Duration) {
        let manner = self.manner_of_change(now.moment(), at);
        let text = format!("{} is fast again", self.sites[at].name());
        self.log(level_of(manner), text);
        let audience = Audience::new(&self.sites, self.bot.access(), now);
        let alert = self.alerts.on_fast(audience, at, lasted, manner);
        self.notify(now, alert);
    }

    pub(crate) fn end_flapping(&mut self, now: Now) {
        let moment = now.moment();
        let set = self.clock.is_set();
        for at in self.judge.take_steady(moment, &mut self.sites, set) {
            let name = self.sites[at].name().to_owned();
            self.saving.later(moment);
            self.log(Level::Info, format!("{name} is steady again"));
            let open = self.incidents.open_of_mut(&name);
            let audience = Audience::new(&self.sites, self.bot.access(), now);
            let alert = self.alerts.on_steady(audience, at, open);
            self.notify(now, alert);
        }
    }

    pub(crate) fn end_mutes(&mut self, now: Now) {
        let alerts = self.alerts.end_mutes(
            Audience::new(&self.sites, self.bot.access(), now),
            &mut self.incidents,
        );
        self.notify(now, alerts);
    }

    pub(crate) fn remind(&mut self, now: Now) {
        let queued = |number| self.outbox.alerts().any(|a| a.incident == Some(number));
        let audience = Audience::new(&self.sites, self.bot.access(), now);
        let alerts = self.alerts.remind(audience, &mut self.incidents, queued);
        self.notify(now, alerts);
    }

    pub(crate) fn notify_of_digest(&mut self, now: Now) {
        if !self.clock.is_set() {
            return;
        }
        let audience = Audience::new(&self.sites, self.bot.access(), now);
        if let Some(alerts) = self.alerts.digest_alerts(audience, &self.incidents) {
            self.saving.now();
            self.notify(now, alerts);
        }
    }

    pub(crate) fn notify_of_unclean_stop(&mut self, now: Now) {
        if !self.clock.is_set() {
            return;
        }
        if let Some(stop) = self.incidents.take_unclean_stop(now.moment()) {
            let audience = Audience::new(&self.sites, self.bot.access(), now);
            let (text, alerts) = Alerts::unclean_stop(audience, &stop);
            self.log(Level::Info, text);
            self.notify(now, alerts);
            self.saving.now();
        }
    }

    pub(crate) fn notify_of_mistakes(&mut self, now: Now, what: &str, safe: &str) {
        let alerts = Alerts::mistakes(
            Audience::new(&self.sites, self.bot.access(), now),
            what,
            safe,
        );
        self.notify(now, alerts);
    }

    /// A notice for these chats, which is in the log already.
    pub(crate) fn notify_chats(&mut self, now: Now, chats: Vec<i64>, text: String) {
        self.notify(now, [NewAlert::notice(chats, text)]);
    }

    pub(crate) fn notice(&mut self, now: Now, text: String) {
        self.log(Level::Info, text.clone());
        self.notify_all(now, text);
    }

    /// A notice that is in the log already.
    pub(crate) fn notify_all(&mut self, now: Now, text: String) {
        let chats = self.bot.chats().to_vec();
        self.notify_chats(now, chats, text);
    }

    /// A notice about our own line, which may come and go all day: it is written within the day's
    /// budget, as a site's alerts are. One that still waits is not said again.
    pub(crate) fn notify_of_uplink(&mut self, now: Now, chats: Vec<i64>, text: String) {
        let alert = NewAlert {
            at_once: false,
            ..NewAlert::notice(chats, text)
        };
        if self
            .outbox
            .alerts()
            .all(|a| a.notification != alert.notification)
        {
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

    /// A sending has ended.
    pub(crate) fn delivered(&mut self, now: Now, id: u64, delivery: Delivery) {
        for effect in self.outbox.delivered(id, delivery, now) {
            match effect {
                DeliveryEffect::Notified {
                    incident,
                    chat,
                    message_id,
                } => {
                    self.alerts.add_notified(Topic::Incident(incident), &[chat]);
                    for outdated in self.incidents.on_message(incident, chat, message_id) {
                        self.outbox.outdate_keyboard(chat, outdated);
                    }
                }
                DeliveryEffect::Offline { chat, message_id } => {
                    self.alerts.on_offline_message(chat, message_id);
                }
                DeliveryEffect::Job {
                    job,
                    chat,
                    edited,
                    message_id,
                } => {
                    let outbox = &mut self.outbox;
                    let jobs = &mut self.bot.jobs;
                    jobs.on_message(now.moment(), job, chat, edited, message_id, outbox);
                }
                DeliveryEffect::Migrated { from, to } => self.chat_moved(now, from, to),
                DeliveryEffect::Dropped { chat, reason } => self.log(
                    Level::Warn,
                    format!("a message for chat {chat} was refused and dropped: {reason}"),
                ),
                DeliveryEffect::Delayed { reason } => {
                    self.log(Level::Info, format!("a message waits: {reason}"));
                }
                DeliveryEffect::AlertsChanged { .. }
                    if mutated!("never write that an alert was delivered") => {}
                DeliveryEffect::AlertsChanged { silent: true } => {
                    self.saving.sometime(now.moment())
                }
                DeliveryEffect::AlertsChanged { silent: false } => self.saving.soon(now.moment()),
            }
        }
    }

    /// A group has a new id: all that knows it by the old one follows at once.
    pub(crate) fn chat_moved(&mut self, now: Now, from: i64, to: i64) {
        let both = match self.bot.on_move(from, to) {
            Move::NotOurs => return,
            // Something was still under way to it.
            Move::Known => return self.outbox.rename_chat(from, to),
            Move::New { both } => both,
        };
        // What went to both ids is not to go to the new one again.
        if !mutated!("tell a group under both its ids") {
            self.outbox.drop_delivered(from, to);
        }
        self.rename_chat(from, to);
        for incident in self.incidents.iter_mut() {
            incident.chat_moved(from, to);
        }
        self.saving.now();
        let what = match both {
            true => format!("take {from} out of `chats` of sitemon.conf"),
            false => "put the new id into `chats` of sitemon.conf".to_owned(),
        };
        self.notice(now, format!("Group {from} became {to}: {what}."));
    }

    /// Puts the new ids of groups where a configuration or a snapshot has the old ones.
    pub(crate) fn follow_moves(&mut self) {
        for (from, to) in self.bot.follow_moves() {
            self.rename_chat(from, to);
        }
    }

    fn rename_chat(&mut self, from: i64, to: i64) {
        self.outbox.rename_chat(from, to);
        self.sites.rename_chat(from, to);
        self.alerts.rename_chat(from, to);
    }

    /// A `/check` has its permit: its sites are checked now.
    pub(crate) fn admitted(&mut self, now: Now, id: u64) {
        let Some(targets) = self.bot.jobs.admitted(now.moment(), id) else {
            self.actions.push(Action::Dismiss { job: id });
            return;
        };
        for name in targets {
            let Some(at) = self.sites.find(&name) else {
                continue;
            };
            if self.sites[at].paused() {
                self.note_in_jobs(now, &name, &JobResult::Paused);
                continue;
            }
            self.expiry.inspect_now(now, &mut self.sites[at]);
            if !self.sites[at].running && !self.start_check(now, &name) && !self.schedule.stopping()
            {
                let result = JobResult::Bad("the clock is not set yet".into());
                self.note_in_jobs(now, &name, &result);
            }
        }
        self.finish_jobs(now);
    }

    /// A check has ended: every `/check` that waits for it takes the result.
    pub(crate) fn note_in_jobs(&mut self, now: Now, name: &str, result: &JobResult) {
        self.bot.jobs.on_result(name, result);
        self.finish_jobs(now);
    }

    pub(crate) fn finish_jobs(&mut self, now: Now) {
        let (outbox, actions) = (&mut self.outbox, &mut self.actions);
        self.bot.jobs.finish(now, outbox, actions);
    }

    /// The rules of the file have been applied to what a user wants to add.
    pub(crate) fn examined(&mut self, now: Now, id: u64, result: Result<Site, String>) {
        let (added, actions) = (&mut self.bot.added, &mut self.actions);
        if let Some((asker, html)) =
            added.examined(id, result, &self.sites, self.clock.is_set(), actions)
        {
            self.answer(now, &asker, html.into());
        }
    }

    /// The first check of a site that a user wants to add has ended.
    pub(crate) fn tried(&mut self, now: Now, id: u64, outcome: &Outcome) {
        let (added, actions) = (&mut self.bot.added, &mut self.actions);
        let Some(end) = added.tried(now.moment(), id, outcome, &self.sites, actions) else {
            return;
        };
        if let Some(site) = end.site {
            let text = format!("{} was added{}", site.name, by_user(&end.asker));
            let mut sites: Vec<_> = self.sites.iter().map(|w| w.site.clone()).collect();
            sites.push(site);
            self.take_sites(sites, now);
            self.sites_changed(now);
            self.log(Level::Info, text);
        }
        self.answer(now, &end.asker, end.html.into());
    }

    pub(crate) fn answer_stats(&mut self, now: Now, asker: &Asker, vitals: &Vitals) {
        let visible = self.sites.visible(asker.chat);
        let all = visible.len() == self.sites.len();
        let tally = Tally {
            sites: visible.len(),
            checks: match all {
                true => self.history.checks(),
                false => visible.iter().map(|&at| self.sites[at].checks).sum(),
            },
            late: self.schedule.round_counts(),
            internal_errors: self.internal_errors,
            excused: self.uplink.excused_checks(),
            alerts_waiting: match all {
                true => self.outbox.waiting_alerts(),
                false => {
                    let waiting = self.outbox.alerts();
                    waiting.filter(|a| a.chats.contains(&asker.chat)).count()
                }
            },
        };
        self.answer(now, asker, stats::render(vitals, tally).into());
    }

    /// Ends the site's open incident: nothing can be done about it any more.
    pub(crate) fn close_incident(&mut self, site: &str, now: Moment) -> Option<Incident> {
        let alerts = &self.alerts;
        let notified = |number| alerts.notified(&Topic::Incident(number)).is_some();
        let ended = self.incidents.close(site, now, notified)?;
        for &(chat, message_id) in &ended.messages {
            self.outbox.outdate_keyboard(chat, message_id);
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
