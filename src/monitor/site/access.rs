//! Access: which chats and users may give commands, and which sites a chat may see. A site's
//! `chats` is an access list: to other chats the site does not exist, in answers, buttons and
//! alerts.

use crate::monitor::site::Site;
use crate::monitor::site::table::Sites;

/// The chat id of the terminal (`run --console`). Telegram has no chat 0.
pub const CONSOLE: i64 = 0;

/// Which chats and users may give commands, and which chats get the alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    pub chats: Vec<i64>,
    /// The only users who may give commands in these chats; `None` = all.
    pub users: Option<Vec<i64>>,
}

impl Access {
    /// Returns access for the terminal alone.
    pub fn console() -> Access {
        Access {
            chats: vec![CONSOLE],
            users: None,
        }
    }

    /// Returns whether both chat and user are allowed. A channel post or an anonymous administrator
    /// has no user id.
    pub fn allows(&self, chat: i64, user: Option<i64>) -> bool {
        self.chats.contains(&chat)
            && self
                .users
                .as_ref()
                .is_none_or(|users| user.is_some_and(|u| users.contains(&u)))
    }

    /// Returns the chats that get the alerts of a site.
    pub fn chats_of(&self, site: &Site) -> Vec<i64> {
        let all = self.chats.iter().copied();
        all.filter(|&chat| may_see(chat, site)).collect()
    }
}

/// Returns whether `chat`, one that may give commands, may see and change `site`. The terminal may
/// see every site.
pub fn may_see(chat: i64, site: &Site) -> bool {
    let listed = |chats: &Vec<i64>| chats.contains(&chat);
    chat == CONSOLE || site.chats.as_ref().is_none_or(listed)
}

impl Sites {
    /// Returns the sites that a chat may see, in the order of the configuration.
    pub fn visible(&self, chat: i64) -> Vec<usize> {
        (0..self.len())
            .filter(|&at| may_see(chat, self[at].config()))
            .collect()
    }

    /// Returns whether the chat may see all sites.
    pub fn all_visible(&self, chat: i64) -> bool {
        self.iter().all(|w| may_see(chat, w.config()))
    }

    /// Returns the place of the site with exactly this name, if the chat may see it.
    pub fn find_visible(&self, chat: i64, name: &str) -> Option<usize> {
        self.find(name)
            .filter(|&at| may_see(chat, self[at].config()))
    }

    /// Replaces the id of a group that got a new one.
    pub fn rename_chat(&mut self, from: i64, to: i64) {
        for watched in self.iter_mut() {
            watched.rename_chat(from, to);
        }
    }

    /// Returns whether a site of this name exists that the chat may not see.
    pub fn hidden(&self, chat: i64, name: &str) -> bool {
        self.contains(name) && self.find_visible(chat, name).is_none()
    }
}

/// Replaces `from` by `to`, without duplicates.
pub fn rename(chats: &mut Vec<i64>, from: i64, to: i64) {
    if chats.contains(&to) {
        chats.retain(|chat| *chat != from);
    }
    for chat in chats.iter_mut().filter(|chat| **chat == from) {
        *chat = to;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chat_and_user_must_both_be_allowed() {
        let access = Access {
            chats: vec![-5, 7],
            users: Some(vec![7]),
        };
        assert!(access.allows(-5, Some(7)));
        assert!(!access.allows(-5, Some(8)));
        assert!(!access.allows(-5, None));
        assert!(!access.allows(8, Some(7)));
        let open = Access {
            users: None,
            ..access
        };
        assert!(open.allows(-5, None));
    }
}
