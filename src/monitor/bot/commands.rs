//! Carries out commands: an update becomes a reply, and orders for changes outside of the bot.

use crate::monitor::alert::Alerts;
use crate::monitor::bot::command::{self, Command};
use crate::monitor::bot::name_resolution::{Unresolved, VisibleSites};
use crate::monitor::bot::stale_commands::is_stale;
use crate::monitor::bot::{Bot, ReplyContent, views};
use crate::monitor::incident::remediation::Asked;
use crate::monitor::incident::{Acknowledged, Incident};
use crate::monitor::outbox::Outbox;
use crate::monitor::outbox::alert_notes::AlertNote;
use crate::monitor::outbox::message::{CONSOLE, Content, Incoming, Requester, Update};
use crate::monitor::render::details::SiteDetails;
use crate::monitor::render::replies;
use crate::monitor::render::stats::Vitals;
use crate::monitor::render::text::{bold, count, escape, named};
use crate::monitor::schedule::Scheduler;
use crate::monitor::site::table::Sites;
use crate::monitor::time::text::lasting;
use crate::monitor::time::{Moment, Now};
use crate::monitor::uplink::Uplink;
use crate::monitor::{Action, Actions};

/// The state that commands and buttons read.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub sites: &'a Sites,
    pub details: SiteDetails<'a>,
    pub alerts: &'a Alerts,
    pub uplink: &'a Uplink,
    pub schedule: &'a Scheduler,
    pub now: Now,
}

impl<'a> View<'a> {
    pub(super) fn visible_to(self, chat: i64) -> VisibleSites<'a> {
        VisibleSites {
            sites: self.sites,
            chat,
        }
    }
}

/// A change outside of the bot that a command or button requests. Sites are given by index,
/// incidents by number.
#[derive(Debug)]
pub(crate) enum Order {
    /// Save the number of the last update, from which `getUpdates` continues.
    KeepOffset,
    /// A group has a new id.
    MoveChat {
        from: i64,
        to: i64,
    },
    /// Mute everything until this time.
    MuteAll(Moment, AlertNote),
    /// Unmute everything, and each site.
    UnmuteAll(AlertNote),
    Mute {
        sites: Vec<usize>,
        /// `None`: unmute.
        until: Option<Moment>,
        note: AlertNote,
    },
    Acknowledge {
        incidents: Vec<u32>,
        by: Acknowledged,
        note: AlertNote,
    },
    /// Run an action, as a user has confirmed.
    Run {
        action: String,
        /// The incident of the alert whose button was pressed.
        incident: Option<u32>,
        asked: Asked,
    },
    Pause(usize),
    Resume(usize),
    /// Stop watching a site that was added in a chat.
    Remove {
        name: String,
        by: String,
    },
    /// Reply with the site in detail after the other orders are carried out, with a note below.
    ShowSite {
        requester: Requester,
        site: usize,
        note: String,
    },
}

/// The handling of one update: what it reads and changes.
pub(crate) struct Execution<'a> {
    pub bot: &'a mut Bot,
    pub view: View<'a>,
    pub outbox: &'a mut Outbox,
    pub actions: &'a mut Actions,
    pub orders: Vec<Order>,
    /// The number of the update; 0 outside of an update.
    pub update: i64,
}

impl Execution<'_> {
    /// Carries out an update. Returns the changes to make outside of the bot.
    pub(crate) fn on_update(mut self, update: Update) -> Vec<Order> {
        let terminal = match &update.content {
            Some(Content::Message(message)) => message.chat == CONSOLE,
            Some(Content::Press(press)) => press.chat == CONSOLE,
            Some(Content::Moved { .. }) | None => false,
        };
        if !terminal {
            if !self.bot.is_new(update.id) {
                return self.orders;
            }
            self.orders.push(Order::KeepOffset);
        }
        match self.in_current_chat(update.content) {
            Some(Content::Message(message)) if self.may_command(message.chat, message.user) => {
                self.message(message, terminal);
            }
            Some(Content::Press(press)) if self.may_command(press.chat, press.user) => {
                self.pressed(press);
            }
            Some(Content::Moved { from, to }) => {
                self.bot.on_service_message(from);
                self.orders.push(Order::MoveChat { from, to });
            }
            _ => {}
        }
        self.orders
    }

    /// Replaces the id of a moved chat by its current one.
    fn in_current_chat(&self, mut content: Option<Content>) -> Option<Content> {
        match &mut content {
            Some(Content::Message(message)) => message.chat = self.bot.current_id(message.chat),
            Some(Content::Press(press)) => {
                let chat = self.bot.current_id(press.chat);
                if chat != press.chat {
                    // In the new chat this id belongs to another message or to none.
                    (press.chat, press.message_id) = (chat, 0);
                }
            }
            Some(Content::Moved { .. }) | None => {}
        }
        content
    }

    fn may_command(&mut self, chat: i64, user: Option<i64>) -> bool {
        let now = self.view.now.moment();
        self.bot.may_command(now, chat, user, self.actions)
    }

    fn message(&mut self, message: Incoming, terminal: bool) {
        let (chat, now) = (message.chat, self.view.now);
        let known = |name: &str| self.view.visible_to(chat).is_name(name);
        let bot = self.bot.username.as_deref();
        let command = match command::parse(&message.text, bot, terminal, &known) {
            // In a group it may be meant for another bot.
            Some(Command::NotOurs(_)) if chat < 0 => return,
            Some(command) => command,
            None => return self.chatter(message),
        };
        // Messages of the terminal are dated by our own clock, which may not be set.
        if !terminal && is_stale(now, message.waited, message.date) {
            self.bot.stale.add(now, &message);
            return;
        }
        let requester = Requester {
            chat,
            topic: message.topic,
            user: message.user,
            name: message.name,
            pressed: false,
            instead: None,
            at: now.uptime,
        };
        let answer = self.carry_out(&requester, &command);
        self.answer(&requester, answer);
    }

    /// Answers a message that is no command, if it comes from a private chat.
    fn chatter(&mut self, message: Incoming) {
        let (chat, now) = (message.chat, self.view.now);
        let text = message.text.trim();
        let late = is_stale(now, message.waited, message.date);
        if chat < 0 || text.is_empty() || text.starts_with('/') || late {
            return;
        }
        let word = text.split_whitespace().next().unwrap_or_default();
        let meant = command::nearest_command(word).map(|near| format!("Did you mean /{near}? "));
        let html = format!(
            "I only understand commands. {}/help lists them.",
            meant.unwrap_or_default()
        );
        let requester = Requester {
            chat,
            topic: message.topic,
            at: now.uptime,
            ..Requester::default()
        };
        self.answer(&requester, Some(html.into()));
    }

    pub(crate) fn answer(&mut self, requester: &Requester, content: Option<ReplyContent>) {
        if let Some(content) = content {
            content.send(self.view.now.moment(), requester, self.outbox);
        }
    }

    /// Answers `/stats` with the measured figures.
    pub(crate) fn measured(&mut self, requester: &Requester, vitals: &Vitals) {
        let html = views::stats(self.view, self.outbox, requester.chat, vitals);
        self.answer(requester, Some(html.into()));
    }

    /// Carries out a command. Returns the reply unless it comes later.
    pub(super) fn carry_out(
        &mut self,
        requester: &Requester,
        command: &Command,
    ) -> Option<ReplyContent> {
        match self.execute(requester, command) {
            Ok(answer) => answer,
            Err(unresolved) => Some(unresolved.ask(command, self.view.sites)),
        }
    }

    fn execute(
        &mut self,
        requester: &Requester,
        command: &Command,
    ) -> Result<Option<ReplyContent>, Unresolved> {
        let (chat, view) = (requester.chat, self.view);
        let (sites, details, now) = (view.sites, view.details, view.now);
        let visible = view.visible_to(chat);
        let html = match command {
            Command::Status { group } => {
                let places = visible.some_or_all(group.as_deref())?;
                let (faults, muted) = (view.uplink.faults(), view.alerts.muted_until());
                let incidents = details.incidents;
                return Ok(Some(views::status(
                    visible, &places, faults, muted, incidents, now,
                )));
            }
            Command::List { group } => {
                let places = visible.some_or_all(group.as_deref())?;
                replies::list(&sites.at(&places), now)
            }
            Command::Site { name } => {
                let at = visible.one(name)?;
                return Ok(Some(about_site(view, at, chat)));
            }
            Command::History { name } => replies::history(&sites[visible.one(name)?], now),
            Command::Incidents { name: None } => {
                let seen = details.incidents.iter();
                let seen = seen.filter(|i| i.visible_to(chat, sites));
                replies::incidents(seen.collect(), None, details.dated, now)
            }
            Command::Incidents { name: Some(name) } => {
                let site = sites[visible.one(name)?].name();
                let of_it = details.incidents.iter().filter(|i| i.site() == site);
                replies::incidents(of_it.collect(), Some(site), details.dated, now)
            }
            Command::Check { name } => {
                let places = visible.several_or_all(name.as_deref())?;
                return Ok(self.check(requester, &places));
            }
            Command::Chart { name, span } => {
                let places = visible.some_or_all(name.as_deref())?;
                return Ok(Some(match (name, places.as_slice()) {
                    (Some(_), [at]) => views::chart(&sites[*at], details.history, *span, now),
                    (_, []) => replies::list(&[], now).into(),
                    _ => views::chart_of_many(&sites.at(&places), details.history, *span, now),
                }));
            }
            Command::Ack { number } => self.acknowledge(requester, *number),
            Command::Mute { name: None, span } if sites.all_visible(chat) => {
                let note = AlertNote::typed(
                    requester,
                    &format!("🔕 everything muted for {}", lasting(*span)),
                );
                self.orders.push(Order::MuteAll(now.moment() + *span, note));
                format!("🔕 Everything is muted for {}.", lasting(*span))
            }
            Command::Mute { name, span } => {
                let places = visible.some_or_all(name.as_deref())?;
                let lasting = lasting(*span);
                let said = match places.as_slice() {
                    [at] => format!("🔕 {} is muted for {lasting}.", bold(sites[*at].name())),
                    several => {
                        let (count, names) = (count(several.len(), "site"), names(sites, &places));
                        format!("🔕 {count} are muted for {lasting}: {names}")
                    }
                };
                let note = AlertNote::typed(requester, &format!("🔕 muted for {lasting}"));
                self.mute(places, Some(now.moment() + *span), note);
                said
            }
            Command::Unmute { name: None } if sites.all_visible(chat) => {
                let all: Vec<usize> = (0..sites.len()).collect();
                let muted = match view.alerts.all_muted(now.moment()) {
                    true => all,
                    false => muted_among(sites, all, now),
                };
                self.orders
                    .push(Order::UnmuteAll(AlertNote::typed(requester, "🔔 unmuted")));
                unmuted(sites, &muted)
            }
            Command::Unmute { name } => {
                let places = visible.some_or_all(name.as_deref())?;
                let muted = muted_among(sites, places.clone(), now);
                let everything = match view.alerts.all_muted(now.moment()) {
                    true if sites.all_visible(chat) => "Everything is still muted: /unmute",
                    true => "Everything is still muted, by another chat.",
                    false => "",
                };
                let said = match (muted.as_slice(), places.as_slice(), everything) {
                    ([], [at], "") => format!("🔔 {} is not muted.", bold(sites[*at].name())),
                    (muted, _, "") => unmuted(sites, muted),
                    ([], ..) => format!("🔕 {everything}"),
                    (muted, ..) => format!("{}\n🔕 {everything}", unmuted(sites, muted)),
                };
                self.mute(places, None, AlertNote::typed(requester, "🔔 unmuted"));
                said
            }
            Command::Pause { name } => {
                let at = visible.one(name)?;
                let name = bold(sites[at].name());
                if sites[at].is_paused() {
                    format!("⏸ {name} is paused already.")
                } else {
                    self.orders.push(Order::Pause(at));
                    format!("⏸ {name} is paused. /resume starts it again.")
                }
            }
            Command::Resume { name } => {
                let at = visible.one(name)?;
                let name = bold(sites[at].name());
                if sites[at].is_paused() {
                    self.orders.push(Order::Resume(at));
                    format!("▶️ {name} is checked again.")
                } else {
                    format!("▶️ {name} is not paused.")
                }
            }
            Command::Add { url, name } => {
                let added = &mut self.bot.added;
                match added.request(requester, url, name.as_deref(), self.actions) {
                    Some(refusal) => refusal,
                    None => return Ok(None),
                }
            }
            Command::Run { name } => return Ok(Some(self.run(requester, name.as_deref()))),
            Command::Remove { name } => self.remove(requester, name)?,
            Command::Stats => {
                let requester = requester.clone();
                self.actions.push(Action::Measure { requester });
                return Ok(None);
            }
            Command::Help => views::help(),
            Command::Wrong(text) => escape(text),
            Command::NotOurs(Some(near)) => {
                format!("I do not know that command. Did you mean /{near}?")
            }
            Command::NotOurs(None) => "I do not know that command. /help lists mine.".to_owned(),
        };
        Ok(Some(html.into()))
    }

    /// Starts a `/check` of the sites at these indices.
    pub(super) fn check(
        &mut self,
        requester: &Requester,
        places: &[usize],
    ) -> Option<ReplyContent> {
        let asked = places.iter().map(|&at| &self.view.sites[at]);
        let names = asked.filter(|w| w.job().is_none());
        let names = names.map(|w| w.name().to_owned());
        if let [at] = *places
            && self.view.sites[at].job().is_some()
        {
            let name = bold(self.view.sites[at].name());
            return Some(format!("{name} is not asked: it reports by itself.").into());
        }
        let (jobs, now) = (&mut self.bot.jobs, self.view.now);
        jobs.request(now, requester, names.collect(), self.outbox, self.actions)
    }

    fn mute(&mut self, sites: Vec<usize>, until: Option<Moment>, note: AlertNote) {
        self.orders.push(Order::Mute { sites, until, note });
    }

    /// An added record whose site cannot be watched any more is found by its name alone.
    fn remove(&mut self, requester: &Requester, name: &str) -> Result<String, Unresolved> {
        let sites = self.view.sites;
        let name = if self.bot.added.contains(requester.chat, name, sites) {
            name.to_owned()
        } else {
            let at = self.view.visible_to(requester.chat).one(name)?;
            sites[at].name().to_owned()
        };
        let shown = bold(&name);
        if !self.bot.added.remove(&name) {
            return Ok(format!(
                "{shown} is in sitemon.conf: take it out there and reload (SIGHUP). /pause stops its checks."
            ));
        }
        let by = by_user(requester);
        self.orders.push(Order::Remove { name, by });
        Ok(format!("➖ {shown} is not watched any more."))
    }

    /// Acknowledges the incident with this number, or all open ones.
    fn acknowledge(&mut self, requester: &Requester, number: Option<u32>) -> String {
        let (sites, incidents) = (self.view.sites, self.view.details.incidents);
        let seen = |i: &&Incident| i.visible_to(requester.chat, sites);
        let open = incidents.iter_open().filter(seen);
        let open = open.filter(|i| number.is_none_or(|n| n == i.number()));
        let (known_before, new): (Vec<&Incident>, Vec<&Incident>) =
            open.partition(|i| i.acknowledged().is_some());
        if let (Some(before), []) = (known_before.first(), new.as_slice()) {
            let name = before.acknowledged().map_or("", |earlier| &earlier.name);
            let by = replies::by(name);
            return match known_before.len() {
                1 => format!("#{} was acknowledged before{by}.", before.number()),
                _ => "All open incidents are acknowledged already.".to_owned(),
            };
        }
        let (numbers, names): (Vec<u32>, Vec<String>) = new
            .iter()
            .map(|i| (i.number(), format!("#{} {}", i.number(), bold(i.site()))))
            .unzip();
        if numbers.is_empty() {
            let known = |n| incidents.get(n).is_some_and(|i| seen(&i));
            return match number {
                Some(n) if known(n) => format!("#{n} is over already."),
                Some(n) => format!("There is no incident #{n}. /incidents lists them."),
                None => "No incident is open.".to_owned(),
            };
        }
        self.orders.push(Order::Acknowledge {
            incidents: numbers,
            by: Acknowledged::by(requester.user, &requester.name, self.view.now.moment()),
            note: AlertNote::typed(requester, "👍 acknowledged"),
        });
        format!("👍 Acknowledged: {}", names.join(", "))
    }
}

/// Returns the reply with one site in detail, for a chat that may see it.
pub(crate) fn about_site(view: View, at: usize, chat: i64) -> ReplyContent {
    let due = view.schedule.due_at(at);
    views::site(view.visible_to(chat), at, due, view.details, view.now)
}

/// Maximum number of names in one reply.
const NAMED: usize = 20;

fn names(sites: &Sites, places: &[usize]) -> String {
    let names: Vec<&str> = places.iter().map(|&at| sites[at].name()).collect();
    named(&names, NAMED)
}

/// Returns the sites that are muted themselves, rather than by muting everything.
fn muted_among(sites: &Sites, mut places: Vec<usize>, now: Now) -> Vec<usize> {
    places.retain(|&at| sites[at].is_muted(now.moment()));
    places
}

/// Returns the reply to `/unmute`. `muted`: the sites that were muted until then.
fn unmuted(sites: &Sites, muted: &[usize]) -> String {
    match muted {
        [] => "🔔 Nothing is muted.".to_owned(),
        muted => format!("🔔 Unmuted: {}", names(sites, muted)),
    }
}

/// Returns the part of a log line that names the user who gave the command.
pub(crate) fn by_user(requester: &Requester) -> String {
    let user = requester.user.map(|id| format!(" by user {id}"));
    user.unwrap_or_default()
}
