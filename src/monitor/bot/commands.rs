//! What each command does and is answered with.

use crate::monitor::bot::callback_data::{self, MOST_SITES, Wish};
use crate::monitor::bot::command::Command;
use crate::monitor::bot::name_resolution::Unclear;
use crate::monitor::bot::updates::Answer;
use crate::monitor::incident::Acknowledged;
use crate::monitor::judge::State;
use crate::monitor::outbox::message::Asker;
use crate::monitor::render::replies;
use crate::monitor::render::text::{bold, count, escape, lasting};
use crate::monitor::time::Now;
use crate::monitor::{Action, Monitor};

impl Monitor {
    /// Does it, and gives the answer unless that comes later.
    pub(crate) fn carry_out(
        &mut self,
        now: Now,
        asker: &Asker,
        command: &Command,
    ) -> Option<Answer> {
        match self.obey(now, asker, command) {
            Ok(answer) => answer,
            Err(unclear) => Some(self.ask_back(command, unclear)),
        }
    }

    fn obey(
        &mut self,
        now: Now,
        asker: &Asker,
        command: &Command,
    ) -> Result<Option<Answer>, Unclear> {
        let chat = asker.chat;
        let html = match command {
            Command::Status { group } => {
                let sites = self.some_or_all(chat, group.as_deref())?;
                return Ok(Some(self.status(now, chat, &sites)));
            }
            Command::List { group } => {
                let sites = self.some_or_all(chat, group.as_deref())?;
                replies::list(&self.watched(&sites), now)
            }
            Command::Site { name } => {
                let at = self.one(chat, name)?;
                return Ok(Some(self.about_site(now, chat, at)));
            }
            Command::History { name } => {
                let at = self.one(chat, name)?;
                replies::history(&self.sites[at], now)
            }
            Command::Incidents { name: None } => {
                let all = self.incidents.iter();
                let seen = all.filter(|i| self.may_see_incident(chat, i));
                replies::incidents(seen.collect(), None, now)
            }
            Command::Incidents { name: Some(name) } => {
                let at = self.one(chat, name)?;
                let site = self.sites[at].name();
                let all = self.incidents.iter();
                replies::incidents(all.filter(|i| i.site == site).collect(), Some(site), now)
            }
            Command::Check { name } => {
                let sites = self.some_or_all(chat, name.as_deref())?;
                return Ok(self.check_command(now, asker, &sites));
            }
            Command::Chart { name, span } => {
                let sites = self.some_or_all(chat, name.as_deref())?;
                return Ok(Some(match (name, sites.as_slice()) {
                    (Some(_), [at]) => self.chart_of(now, *at, *span),
                    (_, []) => replies::list(&[], now).into(),
                    _ => self.chart_of_many(now, &sites, *span),
                }));
            }
            Command::Ack { number } => self.acknowledge(now, asker, *number),
            Command::Mute { name: None, span } if self.sees_all(chat) => {
                self.muted_until = Some(now.moment() + *span);
                self.saving.now();
                format!("🔕 Everything is muted for {}.", lasting(*span))
            }
            Command::Mute { name, span } => {
                let sites = self.some_or_all(chat, name.as_deref())?;
                for &at in &sites {
                    self.sites[at].muted_until = Some(now.moment() + *span);
                }
                self.renew_alerts_of(&sites);
                self.saving.now();
                format!("🔕 {} muted for {}.", self.named(&sites), lasting(*span))
            }
            Command::Unmute { name: None } if self.sees_all(chat) => {
                self.muted_until = None;
                for watched in self.sites.iter_mut() {
                    watched.muted_until = None;
                }
                self.saving.now();
                "🔔 Nothing is muted.".to_owned()
            }
            Command::Unmute { name } => {
                let sites = self.some_or_all(chat, name.as_deref())?;
                for &at in &sites {
                    self.sites[at].muted_until = None;
                }
                self.renew_alerts_of(&sites);
                self.saving.now();
                let but = match self.silenced(now.moment()) {
                    true if self.sees_all(chat) => " Everything still is: /unmute.",
                    true => " Everything still is, by another chat.",
                    false => "",
                };
                format!("🔔 {} not muted.{but}", self.named(&sites))
            }
            Command::Pause { name } => {
                let at = self.one(chat, name)?;
                self.pause(now, at)
            }
            Command::Resume { name } => {
                let at = self.one(chat, name)?;
                self.resume(now, at)
            }
            Command::Add { url, name } => match self.add(asker, url, name.as_deref()) {
                Some(refusal) => refusal,
                None => return Ok(None),
            },
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

    /// A button leads to each site that is not up, as far as they are named.
    fn status(&self, now: Now, chat: i64, sites: &[usize]) -> Answer {
        let watched = self.watched(sites);
        let troubled = replies::worst_first(&watched);
        let html = replies::status(
            &watched,
            &troubled,
            self.uplink.faults(),
            self.muted_until,
            &|name| self.find(chat, name).is_some(),
            now,
        );
        let button = |watched: &&crate::monitor::site::state::SiteState| {
            let line = format!("/site {}", callback_data::key(watched.name()));
            Wish::Open(line).button(watched.name())
        };
        let mut buttons = callback_data::rows(troubled.iter().take(MOST_SITES).map(button));
        if !watched.is_empty() {
            buttons.push(vec![Wish::Open("/chart".into()).button("Chart")]);
        }
        Answer {
            html,
            buttons,
            picture: None,
        }
    }

    /// One site in detail, with what can be done about it.
    pub(crate) fn about_site(&self, now: Now, chat: i64, at: usize) -> Answer {
        let watched = &self.sites[at];
        let due = self.schedule.due_at(watched.name());
        let key = callback_data::key(watched.name());
        let open = |label: &str, verb: &str| Wish::Open(format!("/{verb} {key}")).button(label);
        let turn = |label: &str, line: String| Wish::Turn(line).button(label);
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
        Answer {
            html: replies::site(
                watched,
                due,
                &self.incidents,
                &|name| self.find(chat, name).is_some(),
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
        let meant = meant.filter(|i| self.may_see_incident(asker.chat, i));
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
            let known = |n| incident(n).is_some_and(|i| self.may_see_incident(asker.chat, i));
            return match number {
                Some(n) if known(n) => format!("#{n} is over already."),
                Some(n) => format!("There is no incident #{n}. /incidents lists them."),
                None => "No incident is open.".to_owned(),
            };
        }
        for (chat, message_id) in told {
            self.renew_buttons(chat, message_id);
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
        self.schedule.clear(&name);
        self.close_incident(&name, now.moment());
        self.refresh_reach(now);
        self.saving.now();
        format!("⏸ {} is paused. /resume starts it again.", bold(&name))
    }

    /// A record whose site cannot be watched any more is no site, but has its name.
    fn remove_command(&mut self, now: Now, asker: &Asker, name: &str) -> Result<String, Unclear> {
        let name = if self.is_added(asker.chat, name) {
            name.to_owned()
        } else {
            let at = self.one(asker.chat, name)?;
            self.sites[at].name().to_owned()
        };
        Ok(self.remove(now, asker, &name).unwrap_or_else(|| {
            format!(
                "{} is in sitemon.conf: take it out there and reload (SIGHUP). /pause stops its checks.",
                bold(&name)
            )
        }))
    }

    fn resume(&mut self, now: Now, at: usize) -> String {
        let watched = &mut self.sites[at];
        let name = watched.name().to_owned();
        if !watched.paused() {
            return format!("▶️ {} is not paused.", bold(&name));
        }
        watched.pause_order = Some(false);
        watched.reset(now.moment());
        self.schedule.at(&name, now.moment());
        self.refresh_reach(now);
        self.saving.now();
        format!("▶️ {} is checked again.", bold(&name))
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
