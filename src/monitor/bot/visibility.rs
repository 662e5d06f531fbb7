//! Which sites a chat may see. A site's `chats` is an access list: to any other chat the site does
//! not exist, in answers, in buttons and in what is told.

use crate::monitor::Monitor;
use crate::monitor::incident::Incident;
use crate::monitor::outbox::message::CONSOLE;
use crate::monitor::site::Site;

/// Whether `chat`, one of those that may command, learns of `site` and may change it. The terminal
/// sees everything.
pub fn may_see(chat: i64, site: &Site) -> bool {
    let listed = |chats: &Vec<i64>| chats.contains(&chat);
    chat == CONSOLE || site.chats.as_ref().is_none_or(listed)
}

impl Monitor {
    /// The chats that are told of a site.
    pub(crate) fn chats_of(&self, site: &Site) -> Vec<i64> {
        let all = self.bot.access.chats.iter().copied();
        all.filter(|&chat| may_see(chat, site)).collect()
    }

    /// The sites that a chat may see, in the order of the file.
    pub(crate) fn visible(&self, chat: i64) -> Vec<usize> {
        (0..self.sites.len())
            .filter(|&at| may_see(chat, &self.sites[at].site))
            .collect()
    }

    /// No site is hidden from the chat: what it says of everything is meant for all.
    pub(crate) fn sees_all(&self, chat: i64) -> bool {
        self.sites.iter().all(|w| may_see(chat, &w.site))
    }

    /// Where the site of this name is, if there is one for the chat.
    pub(crate) fn find(&self, chat: i64, name: &str) -> Option<usize> {
        let at = self.sites.find(name);
        at.filter(|&at| may_see(chat, &self.sites[at].site))
    }

    /// There is a site of this name, but not for the chat.
    pub(crate) fn hidden(&self, chat: i64, name: &str) -> bool {
        self.sites.contains(name) && self.find(chat, name).is_none()
    }

    /// An incident of a site that is gone belongs to the chats that were told of it.
    pub(crate) fn may_see_incident(&self, chat: i64, incident: &Incident) -> bool {
        match self.sites.find(&incident.site) {
            Some(at) => may_see(chat, &self.sites[at].site),
            None => chat == CONSOLE || incident.message_in(chat).is_some(),
        }
    }
}
