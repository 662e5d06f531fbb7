//! Updates in, answers out: who may, which site is meant, what is done.

use super::command::{self, Command};
use super::incident::Acknowledged;
use super::judge::State;
use super::message::{CONSOLE, CallbackAnswer, Content, Incoming, Press, Update};
use super::outbox::Reply;
use super::stats::{self, Tally, Vitals};
use super::text::{bold, count, escape, lasting, pack};
use super::time::Now;
use super::{Action, Level, Monitor, reply};
use std::time::Duration;

/// A command that is older than this when it arrives is not carried out (SPEC 6): we were off.
const STALE: i64 = 300;
/// Stale commands come in one batch of updates: this long is waited for the rest of them.
const STALE_PAUSE: Duration = Duration::from_millis(500);
/// Stale commands that are listed at most.
const STALE_LISTED: usize = 20;
/// Strangers that the log remembers having named.
const STRANGERS: usize = 64;

/// What a name in a command means.
enum Meant {
    One(usize),
    Group(String),
    Unclear(String),
}

impl Monitor {
    pub(super) fn update(&mut self, now: Now, update: Update) {
        let terminal = match &update.content {
            Some(Content::Message(message)) => message.chat == CONSOLE,
            Some(Content::Press(press)) => press.chat == CONSOLE,
            None => false,
        };
        if !terminal {
            // Delivered twice, after a restart or an answer that was lost: once is enough.
            if self
                .last_update
                .is_some_and(|last| update.id <= last && last - update.id < 1000)
            {
                return;
            }
            self.last_update = Some(update.id);
            self.saving.later(now.moment());
        }
        let message = match update.content {
            Some(Content::Message(message)) => message,
            Some(Content::Press(press)) => return self.pressed(now, press),
            None => return,
        };
        if !self.access.allows(message.chat, message.user) {
            self.name_stranger(message.chat, message.user);
            return;
        }
        let chat = message.chat;
        let Some(command) = command::parse(&message.text, self.bot.as_deref(), terminal) else {
            return;
        };
        if command == Command::NotOurs && chat < 0 {
            // In a group it may be meant for another bot.
            return;
        }
        // The terminal dates by our own clock, which may not be set.
        if !terminal && now.wall - message.date > STALE {
            self.note_stale(now, &message);
            return;
        }
        if let Some(html) = self.carry_out(now, chat, message.user, command) {
            self.answer(now, chat, now.uptime, &html);
        }
    }

    /// Strangers get nothing, not even an answer that lets their button rest.
    fn pressed(&mut self, now: Now, press: Press) {
        if !self.access.allows(press.chat, press.user) {
            self.name_stranger(press.chat, press.user);
            return;
        }
        self.actions.push(Action::AnswerPress(CallbackAnswer {
            id: press.id,
            text: "This button is too old.".to_owned(),
            asked: now.uptime,
        }));
    }

    /// Does it, and gives the answer unless that comes later.
    fn carry_out(
        &mut self,
        now: Now,
        chat: i64,
        user: Option<i64>,
        command: Command,
    ) -> Option<String> {
        Some(match command {
            Command::Status { group } => match self.members(group.as_deref()) {
                Ok(sites) => {
                    let troubles = self.line.troubles();
                    reply::status(&self.watched(&sites), troubles, self.muted_until, now)
                }
                Err(text) => text,
            },
            Command::List { group } => match self.members(group.as_deref()) {
                Ok(sites) => reply::list(&self.watched(&sites), now),
                Err(text) => text,
            },
            Command::Site { name } => self.about(&name, |monitor, at| {
                let watched = &monitor.sites[at];
                let due = monitor.schedule.due_at(watched.name());
                reply::site(watched, due, &monitor.incidents, now)
            }),
            Command::History { name } => {
                self.about(&name, |monitor, at| reply::history(&monitor.sites[at], now))
            }
            Command::Incidents { name: None } => reply::incidents(&self.incidents, None, now),
            Command::Incidents { name: Some(name) } => self.about(&name, |monitor, at| {
                reply::incidents(&monitor.incidents, Some(monitor.sites[at].name()), now)
            }),
            Command::Check { name } => {
                let targets = match name.as_deref().map(|name| self.meant(name)) {
                    None => (0..self.sites.len()).collect(),
                    Some(Meant::One(at)) => vec![at],
                    Some(Meant::Group(group)) => self.group(&group),
                    Some(Meant::Unclear(text)) => return Some(text),
                };
                let names = targets
                    .into_iter()
                    .map(|at| self.sites[at].name().to_owned())
                    .collect();
                return self.check_command(now, chat, now.uptime, names);
            }
            Command::Ack { number } => self.acknowledge(now, user, number),
            Command::Mute { name: None, span } => {
                self.muted_until = Some(now.moment() + span);
                self.saving.now();
                format!("🔕 Everything is muted for {}.", lasting(span))
            }
            Command::Mute {
                name: Some(name),
                span,
            } => self.about_many(&name, |monitor, sites| {
                for &at in sites {
                    monitor.sites[at].muted_until = Some(now.moment() + span);
                }
                monitor.saving.now();
                format!("🔕 {} muted for {}.", monitor.named(sites), lasting(span))
            }),
            Command::Unmute { name: None } => {
                self.muted_until = None;
                for watched in &mut self.sites {
                    watched.muted_until = None;
                }
                self.saving.now();
                "🔔 Nothing is muted.".to_owned()
            }
            Command::Unmute { name: Some(name) } => self.about_many(&name, |monitor, sites| {
                for &at in sites {
                    monitor.sites[at].muted_until = None;
                }
                monitor.saving.now();
                let all = monitor
                    .muted_until
                    .is_some_and(|until| until > now.moment());
                let but = if all {
                    " Everything still is: /unmute."
                } else {
                    ""
                };
                format!("🔔 {} not muted.{but}", monitor.named(sites))
            }),
            Command::Pause { name } => self.about(&name, |monitor, at| monitor.pause(now, at)),
            Command::Resume { name } => self.about(&name, |monitor, at| monitor.resume(now, at)),
            Command::Stats => {
                self.actions.push(Action::Measure {
                    chat,
                    asked: now.uptime,
                });
                return None;
            }
            Command::Help => reply::help(),
            Command::Wrong(text) => escape(&text),
            Command::NotOurs => "I do not know that command. /help lists mine.".to_owned(),
        })
    }

    pub(super) fn answer_stats(&mut self, now: Now, chat: i64, asked: Duration, vitals: &Vitals) {
        let tally = Tally {
            sites: self.sites.len(),
            checks: self.checks,
            internal_errors: self.internal_errors,
            alerts_waiting: self.outbox.waiting_alerts(),
        };
        let html = stats::render(vitals, tally);
        self.answer(now, chat, asked, &html);
    }

    /// One message for each chat that lists what was not carried out.
    pub(super) fn tell_stale(&mut self, now: Now) {
        let due: Vec<i64> = self
            .stale
            .iter()
            .filter(|(_, (at, _))| *at <= now.moment())
            .map(|(chat, _)| *chat)
            .collect();
        for chat in due {
            let Some((_, lines)) = self.stale.remove(&chat) else {
                continue;
            };
            let more = lines.len().saturating_sub(STALE_LISTED);
            let mut html = String::from("I was away. Too old to carry out:");
            for line in lines.iter().take(STALE_LISTED) {
                html.push('\n');
                html.push_str(line);
            }
            if more > 0 {
                html.push_str(&format!("\n… and {more} more"));
            }
            self.answer(now, chat, now.uptime, &html);
        }
    }

    fn note_stale(&mut self, now: Now, message: &Incoming) {
        let age = u64::try_from(now.wall - message.date).unwrap_or(0);
        let text: String = message.text.chars().take(100).collect();
        let line = format!(
            "{} · {} ago",
            escape(&text.replace('\n', " ")),
            lasting(Duration::from_secs(age))
        );
        let due = now.moment() + STALE_PAUSE;
        let (at, lines) = self
            .stale
            .entry(message.chat)
            .or_insert_with(|| (due, Vec::new()));
        *at = due;
        // What is beyond the list is only counted.
        lines.push(if lines.len() < STALE_LISTED {
            line
        } else {
            String::new()
        });
    }

    /// Long answers become several messages.
    fn answer(&mut self, now: Now, chat: i64, asked: Duration, html: &str) {
        for (i, part) in pack(html.lines()).into_iter().enumerate() {
            self.outbox.push_reply(Reply {
                asked: (i == 0).then_some(asked),
                ..Reply::new(chat, part, now.moment())
            });
        }
    }

    fn name_stranger(&mut self, chat: i64, user: Option<i64>) {
        let who = (chat, user);
        if self.strangers.contains(&who) {
            return;
        }
        if self.strangers.len() == STRANGERS {
            self.strangers.pop_front();
        }
        self.strangers.push_back(who);
        let user = user.map_or_else(
            || "nobody in particular".to_owned(),
            |id| format!("user {id}"),
        );
        self.log(
            Level::Warn,
            format!(
                "no answer for {user} in chat {chat}: not in `chats` and `users` of sitemon.conf"
            ),
        );
    }

    fn acknowledge(&mut self, now: Now, user: Option<i64>, number: Option<u32>) -> String {
        let at = now.moment();
        let mut taken = Vec::new();
        for incident in self.incidents.iter_open_mut() {
            if number.is_none_or(|n| n == incident.number) {
                if incident.acknowledged.is_none() {
                    incident.acknowledged = Some(Acknowledged { by: user, at });
                }
                taken.push(format!("#{} {}", incident.number, bold(&incident.site)));
            }
        }
        if taken.is_empty() {
            return match number {
                Some(n) if self.incidents.get(n).is_some() => format!("#{n} is over already."),
                Some(n) => format!("There is no incident #{n}. /incidents lists them."),
                None => "No incident is open.".to_owned(),
            };
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
        self.incidents.close(&name, now.moment());
        self.refresh_reach(now);
        self.saving.now();
        format!("⏸ {} is paused. /resume starts it again.", bold(&name))
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

    /// An answer about the one site that is meant.
    fn about(&mut self, name: &str, answer: impl FnOnce(&mut Monitor, usize) -> String) -> String {
        match self.meant(name) {
            Meant::One(at) => answer(self, at),
            Meant::Group(group) => format!(
                "{} is a group. This takes one site: {}.",
                bold(&group),
                self.choice(&self.group(&group))
            ),
            Meant::Unclear(text) => text,
        }
    }

    /// An answer about a site or all sites of a group.
    fn about_many(
        &mut self,
        name: &str,
        answer: impl FnOnce(&mut Monitor, &[usize]) -> String,
    ) -> String {
        match self.meant(name) {
            Meant::One(at) => answer(self, &[at]),
            Meant::Group(group) => {
                let sites = self.group(&group);
                answer(self, &sites)
            }
            Meant::Unclear(text) => text,
        }
    }

    /// An exact site name wins, then an exact group, then a unique part of a name (SPEC 10).
    fn meant(&self, name: &str) -> Meant {
        if let Some(&at) = self.index.get(name) {
            return Meant::One(at);
        }
        if !self.group(name).is_empty() {
            return Meant::Group(name.to_owned());
        }
        let lower = name.to_lowercase();
        let matching = |test: &dyn Fn(&str) -> bool| -> Vec<usize> {
            (0..self.sites.len())
                .filter(|&at| test(&self.sites[at].name().to_lowercase()))
                .collect()
        };
        let same = matching(&|candidate| candidate == lower);
        if let [at] = same.as_slice() {
            return Meant::One(*at);
        }
        let part = matching(&|candidate| candidate.contains(&lower));
        match part.as_slice() {
            [at] => Meant::One(*at),
            [] => Meant::Unclear(format!("There is no site {}. /list shows all.", bold(name))),
            several => Meant::Unclear(format!(
                "{} fits {}. Which one? {}",
                bold(name),
                count(several.len(), "site"),
                self.choice(several)
            )),
        }
    }

    /// The sites of a group, or all.
    fn members(&self, group: Option<&str>) -> Result<Vec<usize>, String> {
        let Some(group) = group else {
            return Ok((0..self.sites.len()).collect());
        };
        let members = self.group(group);
        if members.is_empty() {
            return match self.meant(group) {
                Meant::One(at) => Ok(vec![at]),
                Meant::Group(_) => Ok(members),
                Meant::Unclear(_) => Err(format!("There is no group {}.", bold(group))),
            };
        }
        Ok(members)
    }

    fn group(&self, name: &str) -> Vec<usize> {
        (0..self.sites.len())
            .filter(|&at| self.sites[at].site.group.as_deref() == Some(name))
            .collect()
    }

    fn watched(&self, sites: &[usize]) -> Vec<&super::watch::Watched> {
        sites.iter().map(|&at| &self.sites[at]).collect()
    }

    fn named(&self, sites: &[usize]) -> String {
        match sites {
            [at] => format!("{} is", bold(self.sites[*at].name())),
            several => format!("{} are", count(several.len(), "site")),
        }
    }

    fn choice(&self, sites: &[usize]) -> String {
        let mut names: Vec<String> = sites
            .iter()
            .take(12)
            .map(|&at| escape(self.sites[at].name()))
            .collect();
        if sites.len() > names.len() {
            names.push("…".to_owned());
        }
        names.join(", ")
    }

    /// Sites by state: for tests and the log.
    pub fn state_of(&self, name: &str) -> Option<State> {
        self.index.get(name).map(|&at| self.sites[at].state())
    }
}
