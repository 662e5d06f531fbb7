//! The execution of commands and pressed buttons: what each does and is answered with.

use crate::monitor::bot::command::{self, Command};
use crate::monitor::bot::name_resolution::{Unresolved, VisibleSites};
use crate::monitor::bot::stale_commands::is_stale;
use crate::monitor::bot::{ReplyContent, views};
use crate::monitor::incident::{Acknowledged, Incident};
use crate::monitor::outbox::Reply;
use crate::monitor::outbox::callback_data::{AlertButton, CallbackData};
use crate::monitor::outbox::message::{Asker, CONSOLE, CallbackAnswer, Content, Press, Update};
use crate::monitor::outbox::send_context::SendContext;
use crate::monitor::render::replies::{self, by};
use crate::monitor::render::text::{bold, count, escape};
use crate::monitor::time::text::lasting;
use crate::monitor::time::{Moment, Now};
use crate::monitor::{Action, Level, Monitor};

const GONE: &str = "That is too old: I no longer watch that site.";

impl Monitor {
    pub(crate) fn update(&mut self, now: Now, update: Update) {
        let terminal = match &update.content {
            Some(Content::Message(message)) => message.chat == CONSOLE,
            Some(Content::Press(press)) => press.chat == CONSOLE,
            Some(Content::Moved { .. }) | None => false,
        };
        if !terminal {
            if !self.bot.is_new(update.id) {
                return;
            }
            self.saving.later(now.moment());
        }
        let message = match update.content {
            Some(Content::Message(message)) => message,
            Some(Content::Press(press)) => {
                if self.may_command(now, press.chat, press.user) {
                    self.pressed(now, &press);
                }
                return;
            }
            Some(Content::Moved { from, to }) => return self.chat_moved(now, from, to),
            None => return,
        };
        if !self.may_command(now, message.chat, message.user) {
            return;
        }
        let chat = message.chat;
        let known = |name: &str| self.visible_to(chat).is_name(name);
        let bot = self.bot.username();
        let Some(command) = command::parse(&message.text, bot, terminal, &known) else {
            return;
        };
        if command == Command::NotOurs && chat < 0 {
            // In a group it may be meant for another bot.
            return;
        }
        // The terminal dates by our own clock, which may not be set.
        if !terminal && is_stale(now, message.waited, message.date) {
            self.bot.stale.add(now, &message);
            return;
        }
        let asker = Asker {
            chat,
            topic: message.topic,
            user: message.user,
            name: message.name,
            pressed: false,
            instead: None,
            at: now.uptime,
        };
        if let Some(answer) = self.carry_out(now, &asker, &command) {
            self.answer(now, &asker, answer);
        }
    }

    fn may_command(&mut self, now: Now, chat: i64, user: Option<i64>) -> bool {
        let (bot, actions) = (&mut self.bot, &mut self.actions);
        bot.may_command(now.moment(), chat, user, actions)
    }

    /// Does it, and gives the answer unless that comes later.
    pub(crate) fn carry_out(
        &mut self,
        now: Now,
        asker: &Asker,
        command: &Command,
    ) -> Option<ReplyContent> {
        match self.execute(now, asker, command) {
            Ok(answer) => answer,
            Err(unresolved) => Some(unresolved.ask(command, &self.sites)),
        }
    }

    fn execute(
        &mut self,
        now: Now,
        asker: &Asker,
        command: &Command,
    ) -> Result<Option<ReplyContent>, Unresolved> {
        let chat = asker.chat;
        let html = match command {
            Command::Status { group } => {
                let sites = self.visible_to(chat).some_or_all(group.as_deref())?;
                let visible = self.visible_to(chat);
                let (faults, muted) = (self.uplink.faults(), self.alerts.muted_until());
                return Ok(Some(views::status(visible, &sites, faults, muted, now)));
            }
            Command::List { group } => {
                let sites = self.visible_to(chat).some_or_all(group.as_deref())?;
                replies::list(&self.sites.at(&sites), now)
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
                replies::incidents(all.filter(|i| i.site() == site).collect(), Some(site), now)
            }
            Command::Check { name } => {
                let sites = self.visible_to(chat).some_or_all(name.as_deref())?;
                return Ok(self.check_command(now, asker, &sites));
            }
            Command::Chart { name, span } => {
                let sites = self.visible_to(chat).some_or_all(name.as_deref())?;
                return Ok(Some(match (name, sites.as_slice()) {
                    (Some(_), [at]) => {
                        views::chart(self.sites[*at].name(), &self.history, *span, now)
                    }
                    (_, []) => replies::list(&[], now).into(),
                    _ => views::chart_of_many(&self.sites.at(&sites), &self.history, *span, now),
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
                self.mute(&sites, Some(now.moment() + *span));
                format!("🔕 {} muted for {}.", self.named(&sites), lasting(*span))
            }
            Command::Unmute { name: None } if self.sites.all_visible(chat) => {
                self.alerts.mute_all(None);
                let all: Vec<usize> = (0..self.sites.len()).collect();
                self.sites.mute(&all, None);
                self.saving.now();
                "🔔 Nothing is muted.".to_owned()
            }
            Command::Unmute { name } => {
                let sites = self.visible_to(chat).some_or_all(name.as_deref())?;
                self.mute(&sites, None);
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
            Command::Help => views::help(),
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

    pub(crate) fn answer(&mut self, now: Now, asker: &Asker, content: ReplyContent) {
        content.send(now.moment(), asker, &mut self.outbox);
    }

    fn pause(&mut self, now: Now, at: usize) -> String {
        let watched = &mut self.sites[at];
        let name = watched.name().to_owned();
        if watched.paused() {
            return format!("⏸ {} is paused already.", bold(&name));
        }
        watched.pause(true, now.moment());
        self.alerts.on_reset(&name);
        self.schedule.clear(&name);
        self.close_incident(&name, now.moment());
        self.refresh_reach(now);
        self.saving.now();
        format!("⏸ {} is paused. /resume starts it again.", bold(&name))
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
        let sites = rest.map(|w| w.config().clone()).collect();
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
        watched.pause(false, now.moment());
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

    fn named(&self, sites: &[usize]) -> String {
        match sites {
            [at] => format!("{} is", bold(self.sites[*at].name())),
            several => format!("{} are", count(several.len(), "site")),
        }
    }
    /// One site in detail.
    fn about_site(&self, now: Now, chat: i64, at: usize) -> ReplyContent {
        let due = self.schedule.due_at(self.sites[at].name());
        views::site(self.visible_to(chat), at, due, self.details(), now)
    }

    /// Mutes these sites until then; the buttons of their alerts follow.
    fn mute(&mut self, sites: &[usize], until: Option<Moment>) {
        self.sites.mute(sites, until);
        let open = sites.iter();
        let open = open.filter_map(|&at| self.incidents.open_of(self.sites[at].name()));
        let open: Vec<u32> = open.map(|i| i.number()).collect();
        self.renew_keyboards(&open, None);
        self.saving.now();
    }

    /// The buttons of the alerts that told of these incidents are brought up to date, but for the
    /// message `but`: chat and message.
    fn renew_keyboards(&mut self, numbers: &[u32], but: Option<(i64, i64)>) {
        for (chat, message_id) in self.incidents.messages_of(numbers) {
            if Some((chat, message_id)) != but {
                self.outbox.outdate_keyboard(chat, message_id);
            }
        }
    }

    /// Of the incident with this number, or of all that are open.
    fn acknowledge(&mut self, now: Now, asker: &Asker, number: Option<u32>) -> String {
        let seen = |i: &&Incident| i.visible_to(asker.chat, &self.sites);
        let open = self.incidents.iter_open().filter(seen);
        let open = open.filter(|i| number.is_none_or(|n| n == i.number()));
        let (numbers, names): (Vec<u32>, Vec<String>) = open
            .map(|i| (i.number(), format!("#{} {}", i.number(), bold(i.site()))))
            .unzip();
        if numbers.is_empty() {
            let known = |n| self.incidents.get(n).is_some_and(|i| seen(&i));
            return match number {
                Some(n) if known(n) => format!("#{n} is over already."),
                Some(n) => format!("There is no incident #{n}. /incidents lists them."),
                None => "No incident is open.".to_owned(),
            };
        }
        let by = Acknowledged::by(asker.user, &asker.name, now.moment());
        self.incidents.acknowledge(&numbers, &by);
        self.renew_keyboards(&numbers, None);
        self.saving.now();
        format!("👍 Acknowledged: {}", names.join(", "))
    }

    /// Chats and users that may not command get nothing, not even the answer that would let their
    /// button rest.
    fn pressed(&mut self, now: Now, press: &Press) {
        // A press has no date of its own: it is no older than its message.
        let text = if is_stale(now, press.waited, press.date) {
            "That is too old: pressed while I was away. Press it again.".to_owned()
        } else {
            self.callback(now, press)
        };
        self.actions.push(Action::AnswerPress(CallbackAnswer {
            id: press.id.clone(),
            text,
            asked: now.uptime,
        }));
    }

    /// Does what the button says; what the user who pressed it sees for a moment.
    fn callback(&mut self, now: Now, press: &Press) -> String {
        match CallbackData::read(&press.data) {
            Some(CallbackData::Choose(line)) => self.line(now, press, &line, press.message()),
            Some(CallbackData::Open(line)) => self.line(now, press, &line, None),
            Some(CallbackData::Refresh(line)) => self.refresh(now, press, &line),
            Some(CallbackData::Alert(button, numbers)) => {
                self.alert_button(now, press, button, &numbers)
            }
            None => {
                let unknown = "That is too old: I no longer know this button.";
                self.take_buttons(now, press, unknown.to_owned())
            }
        }
    }

    /// Executes a line; its answer takes the place of the message `instead`.
    fn line(&mut self, now: Now, press: &Press, line: &str, instead: Option<i64>) -> String {
        let key = line.split(' ').nth(1);
        if key.is_some_and(|key| self.visible_to(press.chat).of_key(key).is_none()) {
            return self.take_buttons(now, press, GONE.to_owned());
        }
        let asker = press.asker(now.uptime, instead);
        if let Some(command) = command::parse(line, None, false, &|_| false)
            && let Some(content) = self.carry_out(now, &asker, &command)
        {
            self.answer(now, &asker, content);
        }
        String::new()
    }

    /// Executes a line about a site, and shows that site anew in the place of the message.
    fn refresh(&mut self, now: Now, press: &Press, line: &str) -> String {
        let key = line.split(' ').nth(1);
        let Some(at) = key.and_then(|key| self.visible_to(press.chat).of_key(key)) else {
            return self.take_buttons(now, press, GONE.to_owned());
        };
        let asker = press.asker(now.uptime, press.message());
        let Some(command) = command::parse(line, None, false, &|_| false) else {
            return String::new();
        };
        self.carry_out(now, &asker, &command);
        let done = match command {
            Command::Mute { .. } => "🔕 Muted for 1 h",
            Command::Unmute { .. } => "🔔 No longer muted",
            Command::Pause { .. } => "⏸ Paused",
            Command::Resume { .. } => "▶️ Checked again",
            _ => return String::new(),
        };
        if asker.instead.is_some() {
            let mut content = self.about_site(now, press.chat, at);
            let note = format!("\n{done}{}", by(&press.name));
            content.html.push_str(&note);
            self.answer(now, &asker, content);
        }
        done.to_owned()
    }

    /// Does something about the incidents of an alert that go on.
    fn alert_button(
        &mut self,
        now: Now,
        press: &Press,
        button: AlertButton,
        numbers: &[u32],
    ) -> String {
        let incident = |n: &u32| self.incidents.get(*n);
        let seen = |n: &u32| incident(n).is_none_or(|i| i.visible_to(press.chat, &self.sites));
        let numbers: Vec<u32> = numbers.iter().copied().filter(seen).collect();
        let open = numbers.iter().filter_map(incident).filter(|i| i.is_open());
        let mut sites: Vec<usize> = open
            .clone()
            .filter_map(|i| self.sites.find(i.site()))
            .collect();
        sites.sort_unstable();
        let open: Vec<u32> = open.map(|i| i.number()).collect();
        let Some(&first) = open.first() else {
            let over = match numbers.first() {
                Some(number) => format!("That is too old: #{number} is over."),
                // The message told of it before the file took it from this chat.
                None => GONE.to_owned(),
            };
            return self.take_buttons(now, press, over);
        };
        let done = match button {
            AlertButton::Check => {
                let asker = press.asker(now.uptime, None);
                if let Some(content) = self.check_command(now, &asker, &sites) {
                    self.answer(now, &asker, content);
                }
                return String::new();
            }
            AlertButton::Acknowledge => {
                let earlier = open
                    .iter()
                    .rev()
                    .find_map(|n| incident(n)?.acknowledged().cloned());
                let by = Acknowledged::by(press.user, &press.name, now.moment());
                if !self.incidents.acknowledge(&open, &by) {
                    self.outbox.outdate_keyboard(press.chat, press.message_id);
                    let name = earlier.map_or(String::new(), |earlier| earlier.name);
                    return format!("#{first} was acknowledged before{}.", plainly_by(&name));
                }
                "👍 acknowledged".to_owned()
            }
            AlertButton::Mute(span) => {
                self.sites.mute(&sites, Some(now.moment() + span));
                format!("🔕 muted for {}", lasting(span))
            }
            AlertButton::Unmute => {
                self.sites.mute(&sites, None);
                "🔔 no longer muted".to_owned()
            }
        };
        self.saving.now();
        if let Some(message_id) = press.message() {
            let (moment, note) = (now.moment(), format!("{done}{}", by(&press.name)));
            let buttons = SendContext::new(&self.incidents, &self.sites, moment).buttons(&numbers);
            let (message, html) = ((press.chat, message_id), press.html.as_deref());
            self.outbox.annotate(message, html, &note, buttons, moment);
        }
        // Where else it was told, at least its buttons follow.
        self.renew_keyboards(&open, Some((press.chat, press.message_id)));
        done
    }

    /// The buttons of a message that make no sense any more go, its text stays. Gives `text` back.
    fn take_buttons(&mut self, now: Now, press: &Press, text: String) -> String {
        if let (Some(message_id), Some(html)) = (press.message(), press.html.clone()) {
            self.outbox.push_reply(Reply {
                edit: Some(message_id),
                touch_up: true,
                ..Reply::new(press.chat, html, now.moment())
            });
        }
        text
    }
}

/// ` by Ann` for plain text.
fn plainly_by(name: &str) -> String {
    if name.is_empty() {
        return String::new();
    }
    let short: String = name.chars().take(32).collect();
    format!(" by {short}")
}

/// Of which user the log says that it was done.
pub(crate) fn by_user(asker: &Asker) -> String {
    let user = asker.user.map(|id| format!(" by user {id}"));
    user.unwrap_or_default()
}
