//! What each command does and is answered with.

use crate::monitor::bot::ReplyContent;
use crate::monitor::bot::callback_data::{self, CallbackData, MOST_SITES};
use crate::monitor::bot::check_jobs::JobResult;
use crate::monitor::bot::command::Command;
use crate::monitor::bot::name_resolution::{Unresolved, VisibleSites};
use crate::monitor::incident::Acknowledged;
use crate::monitor::judge::State;
use crate::monitor::outbox::message::Asker;
use crate::monitor::render::replies;
use crate::monitor::render::text::{bold, count, escape, lasting};
use crate::monitor::site::Site;
use crate::monitor::site::outcome::Outcome;
use crate::monitor::time::Now;
use crate::monitor::{Action, Level, Monitor};

impl Monitor {
    /// Does it, and gives the answer unless that comes later.
    pub(crate) fn carry_out(
        &mut self,
        now: Now,
        asker: &Asker,
        command: &Command,
    ) -> Option<ReplyContent> {
        match self.obey(now, asker, command) {
            Ok(answer) => answer,
            Err(unresolved) => Some(unresolved.ask(command, &self.sites)),
        }
    }

    fn obey(
        &mut self,
        now: Now,
        asker: &Asker,
        command: &Command,
    ) -> Result<Option<ReplyContent>, Unresolved> {
        let chat = asker.chat;
        let html = match command {
            Command::Status { group } => {
                let sites = self.visible_to(chat).some_or_all(group.as_deref())?;
                return Ok(Some(self.status(now, chat, &sites)));
            }
            Command::List { group } => {
                let sites = self.visible_to(chat).some_or_all(group.as_deref())?;
                replies::list(&self.watched(&sites), now)
            }
            Command::Site { name } => {
                let at = self.visible_to(chat).one(name)?;
                return Ok(Some(self.about_site(now, chat, at)));
            }
            Command::History { name } => {
                let at = self.visible_to(chat).one(name)?;
                replies::history(&self.sites[at], now)
            }
            Command::Incidents { name: None } => {
                let all = self.incidents.iter();
                let seen = all.filter(|i| i.visible_to(chat, &self.sites));
                replies::incidents(seen.collect(), None, now)
            }
            Command::Incidents { name: Some(name) } => {
                let at = self.visible_to(chat).one(name)?;
                let site = self.sites[at].name();
                let all = self.incidents.iter();
                replies::incidents(all.filter(|i| i.site == site).collect(), Some(site), now)
            }
            Command::Check { name } => {
                let sites = self.visible_to(chat).some_or_all(name.as_deref())?;
                return Ok(self.check_command(now, asker, &sites));
            }
            Command::Chart { name, span } => {
                let sites = self.visible_to(chat).some_or_all(name.as_deref())?;
                return Ok(Some(match (name, sites.as_slice()) {
                    (Some(_), [at]) => self.chart_of(now, *at, *span),
                    (_, []) => replies::list(&[], now).into(),
                    _ => self.chart_of_many(now, &sites, *span),
                }));
            }
            Command::Ack { number } => self.acknowledge(now, asker, *number),
            Command::Mute { name: None, span } if self.sites.all_visible(chat) => {
                self.alerts.mute_all(Some(now.moment() + *span));
                self.saving.now();
                format!("🔕 Everything is muted for {}.", lasting(*span))
            }
            Command::Mute { name, span } => {
                let sites = self.visible_to(chat).some_or_all(name.as_deref())?;
                for &at in &sites {
                    self.sites[at].muted_until = Some(now.moment() + *span);
                }
                self.renew_alerts_of(&sites);
                self.saving.now();
                format!("🔕 {} muted for {}.", self.named(&sites), lasting(*span))
            }
            Command::Unmute { name: None } if self.sites.all_visible(chat) => {
                self.alerts.mute_all(None);
                for watched in self.sites.iter_mut() {
                    watched.muted_until = None;
                }
                self.saving.now();
                "🔔 Nothing is muted.".to_owned()
            }
            Command::Unmute { name } => {
                let sites = self.visible_to(chat).some_or_all(name.as_deref())?;
                for &at in &sites {
                    self.sites[at].muted_until = None;
                }
                self.renew_alerts_of(&sites);
                self.saving.now();
                let but = match self.silenced(now.moment()) {
                    true if self.sites.all_visible(chat) => " Everything still is: /unmute.",
                    true => " Everything still is, by another chat.",
                    false => "",
                };
                format!("🔔 {} not muted.{but}", self.named(&sites))
            }
            Command::Pause { name } => {
                let at = self.visible_to(chat).one(name)?;
                self.pause(now, at)
            }
            Command::Resume { name } => {
                let at = self.visible_to(chat).one(name)?;
                self.resume(now, at)
            }
            Command::Add { url, name } => {
                let (added, actions) = (&mut self.bot.added, &mut self.actions);
                match added.request(asker, url, name.as_deref(), actions) {
                    Some(refusal) => refusal,
                    None => return Ok(None),
                }
            }
            Command::Remove { name } => self.remove_command(now, asker, name)?,
            Command::Stats => {
                let asker = asker.clone();
                self.actions.push(Action::Measure { asker });
                return Ok(None);
            }
            Command::Help => replies::help(),
            Command::Wrong(text) => escape(text),
            Command::NotOurs => "I do not know that command. /help lists mine.".to_owned(),
        };
        Ok(Some(html.into()))
    }

    /// A `/check` of these sites.
    pub(crate) fn check_command(
        &mut self,
        now: Now,
        asker: &Asker,
        sites: &[usize],
    ) -> Option<ReplyContent> {
        let names = sites.iter().map(|&at| self.sites[at].name().to_owned());
        let (outbox, actions) = (&mut self.outbox, &mut self.actions);
        let jobs = &mut self.bot.jobs;
        jobs.request(now, asker, names.collect(), outbox, actions)
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
            self.look_now(now, at);
            if !self.sites[at].running && !self.start_check(now, &name) && !self.stopping {
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

    pub(crate) fn answer(&mut self, now: Now, asker: &Asker, content: ReplyContent) {
        content.send(now.moment(), asker, &mut self.outbox);
    }

    pub(crate) fn finish_jobs(&mut self, now: Now) {
        let (outbox, actions) = (&mut self.outbox, &mut self.actions);
        self.bot.jobs.finish(now, outbox, actions);
    }

    /// A button leads to each site that is not up, as far as they are named.
    fn status(&self, now: Now, chat: i64, sites: &[usize]) -> ReplyContent {
        let watched = self.watched(sites);
        let troubled = replies::worst_first(&watched);
        let html = replies::status(
            &watched,
            &troubled,
            self.line.troubles(),
            self.alerts.muted_until(),
            &|name| self.sites.find_visible(chat, name).is_some(),
            now,
        );
        let button = |watched: &&crate::monitor::site::state::SiteState| {
            let line = format!("/site {}", callback_data::key(watched.name()));
            CallbackData::Open(line).button(watched.name())
        };
        let mut buttons = callback_data::rows(troubled.iter().take(MOST_SITES).map(button));
        if !watched.is_empty() {
            buttons.push(vec![CallbackData::Open("/chart".into()).button("Chart")]);
        }
        ReplyContent {
            html,
            buttons,
            picture: None,
        }
    }

    /// One site in detail, with what can be done about it.
    pub(crate) fn about_site(&self, now: Now, chat: i64, at: usize) -> ReplyContent {
        let watched = &self.sites[at];
        let due = self.schedule.due_at(watched.name());
        let key = callback_data::key(watched.name());
        let open =
            |label: &str, verb: &str| CallbackData::Open(format!("/{verb} {key}")).button(label);
        let turn = |label: &str, line: String| CallbackData::Turn(line).button(label);
        let mut buttons = Vec::new();
        if watched.paused() {
            buttons.push(turn("Resume", format!("/resume {key}")));
        } else {
            buttons.push(open("Check now", "check"));
            buttons.push(if watched.muted(now.moment()) {
                turn("Unmute", format!("/unmute {key}"))
            } else {
                turn("Mute", format!("/mute {key} 1h"))
            });
            buttons.push(turn("Pause", format!("/pause {key}")));
        }
        buttons.push(open("Chart", "chart"));
        ReplyContent {
            html: replies::site(
                watched,
                due,
                &self.incidents,
                &|name| self.sites.find_visible(chat, name).is_some(),
                now,
            ),
            buttons: callback_data::rows(buttons),
            picture: None,
        }
    }

    fn acknowledge(&mut self, now: Now, asker: &Asker, number: Option<u32>) -> String {
        let at = now.moment();
        let (mut taken, mut told) = (Vec::new(), Vec::new());
        let open = self.incidents.iter_open();
        let meant = open.filter(|i| number.is_none_or(|n| n == i.number));
        let meant = meant.filter(|i| i.visible_to(asker.chat, &self.sites));
        let meant: Vec<u32> = meant.map(|i| i.number).collect();
        for number in meant {
            if let Some(incident) = self.incidents.get_mut(number) {
                if incident.acknowledged.is_none() {
                    incident.acknowledged = Some(Acknowledged {
                        by: asker.user,
                        name: asker.name.clone(),
                        at,
                    });
                }
                told.extend(&incident.messages);
                taken.push(format!("#{} {}", incident.number, bold(&incident.site)));
            }
        }
        if taken.is_empty() {
            let incident = |n| self.incidents.get(n);
            let known = |n| incident(n).is_some_and(|i| i.visible_to(asker.chat, &self.sites));
            return match number {
                Some(n) if known(n) => format!("#{n} is over already."),
                Some(n) => format!("There is no incident #{n}. /incidents lists them."),
                None => "No incident is open.".to_owned(),
            };
        }
        for (chat, message_id) in told {
            self.outbox.keyboards.outdate(chat, message_id);
        }
        self.saving.now();
        format!("👍 Acknowledged: {}", taken.join(", "))
    }

    fn pause(&mut self, now: Now, at: usize) -> String {
        let watched = &mut self.sites[at];
        let name = watched.name().to_owned();
        if watched.paused() {
            return format!("⏸ {} is paused already.", bold(&name));
        }
        watched.pause_order = Some(true);
        watched.reset(now.moment());
        self.alerts.on_reset(&name);
        self.schedule.clear(&name);
        self.close_incident(&name, now.moment());
        self.refresh_reach(now);
        self.saving.now();
        format!("⏸ {} is paused. /resume starts it again.", bold(&name))
    }

    /// The rules of the file have been applied to what a user wants to add.
    pub(crate) fn examined(&mut self, now: Now, id: u64, result: Result<Site, String>) {
        let (added, actions) = (&mut self.bot.added, &mut self.actions);
        if let Some((asker, html)) =
            added.examined(id, result, &self.sites, self.clock_set, actions)
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

    /// A record whose site cannot be watched any more is no site, but has its name.
    fn remove_command(
        &mut self,
        now: Now,
        asker: &Asker,
        name: &str,
    ) -> Result<String, Unresolved> {
        let name = if self.bot.added.contains(asker.chat, name, &self.sites) {
            name.to_owned()
        } else {
            let at = self.visible_to(asker.chat).one(name)?;
            self.sites[at].name().to_owned()
        };
        if !self.bot.added.remove(&name) {
            return Ok(format!(
                "{} is in sitemon.conf: take it out there and reload (SIGHUP). /pause stops its checks.",
                bold(&name)
            ));
        }
        let rest = self.sites.iter().filter(|w| w.name() != name);
        let sites = rest.map(|w| w.site.clone()).collect();
        self.take_sites(sites, now);
        self.sites_changed(now);
        self.log(Level::Info, format!("{name} was removed{}", by_user(asker)));
        Ok(format!("➖ {} is not watched any more.", bold(&name)))
    }

    fn resume(&mut self, now: Now, at: usize) -> String {
        let watched = &mut self.sites[at];
        let name = watched.name().to_owned();
        if !watched.paused() {
            return format!("▶️ {} is not paused.", bold(&name));
        }
        watched.pause_order = Some(false);
        watched.reset(now.moment());
        self.alerts.on_reset(&name);
        self.schedule.at(&name, now.moment());
        self.refresh_reach(now);
        self.saving.now();
        format!("▶️ {} is checked again.", bold(&name))
    }

    pub(crate) fn visible_to(&self, chat: i64) -> VisibleSites<'_> {
        VisibleSites {
            sites: &self.sites,
            chat,
        }
    }

    pub(crate) fn watched(&self, sites: &[usize]) -> Vec<&crate::monitor::site::state::SiteState> {
        sites.iter().map(|&at| &self.sites[at]).collect()
    }

    fn named(&self, sites: &[usize]) -> String {
        match sites {
            [at] => format!("{} is", bold(self.sites[*at].name())),
            several => format!("{} are", count(several.len(), "site")),
        }
    }

    /// Sites by state: for tests and the log.
    pub fn state_of(&self, name: &str) -> Option<State> {
        self.sites.find(name).map(|at| self.sites[at].state())
    }
}

/// Of which user the log says that it was done.
fn by_user(asker: &Asker) -> String {
    let user = asker.user.map(|id| format!(" by user {id}"));
    user.unwrap_or_default()
}
