//! Handles pressed buttons. The returned texts are shown to the user for a moment.

use crate::monitor::Action;
use crate::monitor::bot::command::{self, Command};
use crate::monitor::bot::commands::{Execution, Order, View};
use crate::monitor::bot::stale_commands::is_stale;
use crate::monitor::incident::Acknowledged;
use crate::monitor::outbox::Reply;
use crate::monitor::outbox::alert_notes::AlertNote;
use crate::monitor::outbox::callback_data::{AlertButton, CallbackData};
use crate::monitor::outbox::message::{CallbackAnswer, Press};
use crate::monitor::outbox::send_context::SendContext;
use crate::monitor::render::replies::by;
use crate::monitor::time::text::lasting;

pub(super) const GONE: &str = "That is too old: I no longer watch that site.";

impl Execution<'_> {
    /// Handles a press. Presses of chats and users that may not command get no
    /// `answerCallbackQuery`.
    pub(super) fn pressed(&mut self, press: Press) {
        let now = self.view.now;
        // A press has no date of its own, so its message's date is used, which is earlier.
        let text = if is_stale(now, press.waited, press.date) {
            "That is too old: pressed while I was away. Press it again.".to_owned()
        } else {
            self.callback(&press)
        };
        self.actions.push(Action::AnswerPress(CallbackAnswer {
            id: press.id,
            text,
            asked: now.uptime,
        }));
    }

    fn callback(&mut self, press: &Press) -> String {
        match CallbackData::read(&press.data) {
            Some(CallbackData::Choose(line)) => self.line(press, &line, press.message()),
            Some(CallbackData::Open(line)) => self.line(press, &line, None),
            Some(CallbackData::Refresh(line)) => self.refresh(press, &line),
            Some(CallbackData::Alert(button, numbers)) => {
                self.alert_button(press, button, &numbers)
            }
            Some(CallbackData::Run { action, incident }) => {
                self.run_button(press, &action, incident)
            }
            Some(CallbackData::Confirm { yes, question }) => self.confirm(press, yes, question),
            None => {
                let unknown = "That is too old: I no longer know this button.";
                self.take_buttons(press, unknown.to_owned())
            }
        }
    }

    /// Executes a line; its reply replaces the message `instead`.
    fn line(&mut self, press: &Press, line: &str, instead: Option<i64>) -> String {
        let visible = self.view.visible_to(press.chat);
        let key = line.split(' ').nth(1);
        if key.is_some_and(|key| visible.of_key(key).is_none()) {
            return self.take_buttons(press, GONE.to_owned());
        }
        let requester = press.requester(self.view.now.uptime, instead);
        if let Some(command) = command::parse(line, None, false, &|_| false) {
            let content = self.carry_out(&requester, &command);
            self.answer(&requester, content);
        }
        String::new()
    }

    /// Executes a line about a site, and replaces the message by the site in its new state.
    fn refresh(&mut self, press: &Press, line: &str) -> String {
        let visible = self.view.visible_to(press.chat);
        let key = line.split(' ').nth(1);
        let Some(site) = key.and_then(|key| visible.of_key(key)) else {
            return self.take_buttons(press, GONE.to_owned());
        };
        let requester = press.requester(self.view.now.uptime, press.message());
        let Some(command) = command::parse(line, None, false, &|_| false) else {
            return String::new();
        };
        self.carry_out(&requester, &command);
        let done = match command {
            Command::Mute { .. } => "🔕 Muted for 1 h",
            Command::Unmute { .. } => "🔔 Unmuted",
            Command::Pause { .. } => "⏸ Paused",
            Command::Resume { .. } => "▶️ Checked again",
            _ => return String::new(),
        };
        if requester.instead.is_some() {
            let note = format!("\n{done}{}", by(&press.name));
            self.orders.push(Order::ShowSite {
                requester,
                site,
                note,
            });
        }
        done.to_owned()
    }

    /// Checks, acknowledges, mutes or unmutes the open incidents of an alert.
    fn alert_button(&mut self, press: &Press, button: AlertButton, numbers: &[u32]) -> String {
        let View {
            sites,
            details,
            now,
            ..
        } = self.view;
        let incident = |n: &u32| details.incidents.get(*n);
        let seen = |n: &u32| incident(n).is_none_or(|i| i.visible_to(press.chat, sites));
        let numbers: Vec<u32> = numbers.iter().copied().filter(seen).collect();
        let open = numbers.iter().filter_map(incident);
        let open = open.filter(|i| i.is_open());
        let mut places: Vec<usize> = open.clone().filter_map(|i| sites.find(i.site())).collect();
        places.sort_unstable();
        let unseen = open.clone().filter(|i| i.acknowledged().is_none());
        let unseen: Vec<u32> = unseen.map(|i| i.number()).collect();
        let open: Vec<u32> = open.map(|i| i.number()).collect();
        let Some(&first) = open.first() else {
            let over = match numbers.first() {
                // The test alert of `sitemon init`.
                Some(0) => "That was a test: nothing is down.".to_owned(),
                Some(number) => format!("That is too old: #{number} is over."),
                // The file has since hidden the site from this chat.
                None => GONE.to_owned(),
            };
            return self.take_buttons(press, over);
        };
        // `None`: acknowledge.
        let (done, mute) = match button {
            AlertButton::Check => {
                let requester = press.requester(now.uptime, None);
                let content = self.check(&requester, &places);
                self.answer(&requester, content);
                return String::new();
            }
            AlertButton::Acknowledge if unseen.is_empty() => {
                self.outbox.outdate_keyboard(press.chat, press.message_id);
                let last = open.iter().rev().filter_map(incident);
                let earlier = last.filter_map(|i| i.acknowledged()).next();
                let name = earlier.map_or("", |earlier| &earlier.name);
                return format!("#{first} was acknowledged before{}.", plainly_by(name));
            }
            AlertButton::Acknowledge => ("👍 acknowledged".to_owned(), None),
            AlertButton::Mute(span) => {
                let until = Some(now.moment() + span);
                (format!("🔕 muted for {}", lasting(span)), Some(until))
            }
            AlertButton::Unmute => ("🔔 unmuted".to_owned(), Some(None)),
        };
        let note = AlertNote {
            chat: press.chat,
            text: format!("{done}{}", by(&press.name)),
            press: Some((press.clone(), numbers)),
        };
        self.orders.push(match mute {
            Some(until) => Order::Mute {
                sites: places,
                until,
                note,
            },
            None => Order::Acknowledge {
                incidents: unseen,
                by: Acknowledged::by(press.user, &press.name, now.moment()),
                note,
            },
        });
        done
    }

    /// Removes the outdated buttons of a message. Its text stays, and so do the buttons for
    /// incidents that are still open. Returns `text`.
    pub(super) fn take_buttons(&mut self, press: &Press, text: String) -> String {
        let now = self.view.now.moment();
        let (incidents, sites) = (self.view.details.incidents, self.view.sites);
        let context = SendContext::new(incidents, sites, now);
        let mut about = context.incidents_of(press.chat, press.message_id);
        about.retain(|n| {
            incidents
                .get(*n)
                .is_some_and(|i| i.visible_to(press.chat, sites))
        });
        let shown = self.outbox.text_of(press.chat, press.message_id);
        let html = shown.or(press.html.as_deref()).map(str::to_owned);
        if let (Some(message_id), Some(html)) = (press.message(), html) {
            self.outbox.push_reply(Reply {
                edit: Some(message_id),
                touch_up: true,
                buttons: context.buttons(&about),
                ..Reply::new(press.chat, html, now)
            });
        }
        text
    }
}

/// Returns ` by Ann` as plain text.
fn plainly_by(name: &str) -> String {
    if name.is_empty() {
        return String::new();
    }
    let short: String = name.chars().take(32).collect();
    format!(" by {short}")
}
