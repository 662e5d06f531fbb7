//! What a message needs to know of incidents and sites when it is sent.

use crate::monitor::incident::{Incident, Incidents};
use crate::monitor::outbox::callback_data::{self, AlertButton, CallbackData};
use crate::monitor::outbox::message::{Button, CONSOLE};
use crate::monitor::render::text::named;
use crate::monitor::site::table::Sites;
use crate::monitor::time::Moment;
use std::time::Duration;

/// Maximum number of sites that a note names.
const NAMED: usize = 10;
/// Maximum number of action buttons under an alert.
const MOST_ACTIONS: usize = 6;

pub(crate) struct SendContext<'a> {
    pub incidents: &'a Incidents,
    pub sites: &'a Sites,
    pub now: Moment,
}

impl<'a> SendContext<'a> {
    pub fn new(incidents: &'a Incidents, sites: &'a Sites, now: Moment) -> SendContext<'a> {
        SendContext {
            incidents,
            sites,
            now,
        }
    }

    /// Returns the message about an incident in a chat.
    pub fn message_of(&self, number: u32, chat: i64) -> Option<i64> {
        self.incidents.get(number)?.message_in(chat)
    }

    /// Returns the incidents that a message is about.
    pub fn incidents_of(&self, chat: i64, message_id: i64) -> Vec<u32> {
        let about_it = |i: &&Incident| i.message_in(chat) == Some(message_id);
        self.incidents
            .iter()
            .filter(about_it)
            .map(|i| i.number())
            .collect()
    }

    /// Names the sites of `incidents`, if they are only a part of the message: `: a, b`; else
    /// empty.
    pub fn part_of(&self, chat: i64, message_id: i64, incidents: &[u32]) -> String {
        let of_message = self.incidents_of(chat, message_id);
        let (part, rest): (Vec<u32>, Vec<u32>) =
            of_message.iter().partition(|n| incidents.contains(n));
        if rest.is_empty() {
            return String::new();
        }
        let names = part.iter().filter_map(|&n| self.incidents.get(n));
        let names: Vec<&str> = names.map(|i| i.site()).collect();
        format!(": {}", named(&names, NAMED))
    }

    /// Returns the buttons of a message about these incidents: the actions that are possible for
    /// those still open.
    pub fn buttons(&self, numbers: &[u32]) -> Vec<Vec<Button>> {
        let open: Vec<&Incident> = numbers
            .iter()
            .filter_map(|&n| self.incidents.get(n))
            .filter(|i| i.is_open())
            .collect();
        if open.is_empty() {
            return Vec::new();
        }
        let muted = |i: &&Incident| {
            let site = self.sites.named(i.site());
            site.is_some_and(|w| w.is_muted(self.now))
        };
        let unseen = open.iter().any(|i| i.acknowledged().is_none());
        let numbers: Vec<u32> = open.iter().map(|i| i.number()).collect();
        let asked = open.iter().any(|i| {
            let site = self.sites.named(i.site());
            site.is_none_or(|w| w.job().is_none())
        });
        let mut first = Vec::from_iter(asked.then_some(AlertButton::Check));
        first.extend(unseen.then_some(AlertButton::Acknowledge));
        let second = if open.iter().all(muted) {
            vec![AlertButton::Unmute]
        } else {
            [callback_data::HOUR, callback_data::DAY]
                .map(AlertButton::Mute)
                .to_vec()
        };
        let row = |deeds: Vec<AlertButton>| deeds.iter().map(|d| d.button(&numbers)).collect();
        let mut rows = vec![row(first), row(second)];
        rows.extend(self.action_buttons(&open));
        rows.retain(|row: &Vec<Button>| !row.is_empty());
        rows
    }

    /// Returns a button for each action that applies to a site of these incidents.
    fn action_buttons(&self, open: &[&Incident]) -> Vec<Vec<Button>> {
        let actions = self.incidents.remediations().iter();
        let buttons = actions.filter_map(|action| {
            let of_it = |i: &&&Incident| {
                let site = self.sites.named(i.site());
                site.is_some_and(|site| action.is_for(site.config()))
            };
            let data = CallbackData::Run {
                action: callback_data::key(&action.name),
                incident: Some(open.iter().find(of_it)?.number()),
            };
            Some(data.button(&action.name))
        });
        callback_data::rows(buttons.take(MOST_ACTIONS))
    }
}

/// Returns the minimum delay between two messages to one chat that are both not urgent, edits
/// included: Telegram tolerates about one a second in a private chat, 20 a minute in a group.
pub(crate) fn pause(chat: i64) -> Duration {
    if chat == CONSOLE {
        Duration::from_millis(200)
    } else if chat > 0 {
        Duration::from_secs(1)
    } else {
        Duration::from_secs(4)
    }
}
