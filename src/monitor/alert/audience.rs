//! An alert that is to be queued, and the chats that it is for.

use crate::monitor::alert::Notification;
use crate::monitor::site::access::Access;
use crate::monitor::site::state::SiteState;
use crate::monitor::site::table::Sites;
use crate::monitor::time::Now;

/// An alert that is to be queued.
#[derive(Debug)]
pub struct NewAlert {
    pub notification: Notification,
    /// Name of the site; empty for what the agent says of itself.
    pub site: String,
    pub incident: Option<u32>,
    pub chats: Vec<i64>,
    /// It must be on disk at once, whatever was written today.
    pub at_once: bool,
}

impl NewAlert {
    /// Plain text, of the agent itself.
    pub fn notice(chats: Vec<i64>, text: String) -> NewAlert {
        NewAlert::general(Notification::Notice { text }, chats)
    }

    /// Of no site.
    pub fn general(notification: Notification, chats: Vec<i64>) -> NewAlert {
        NewAlert {
            notification,
            site: String::new(),
            incident: None,
            chats,
            at_once: true,
        }
    }

    /// For those of its chats that are among these.
    pub(super) fn only_for(mut self, chats: &[i64]) -> NewAlert {
        self.chats.retain(|chat| chats.contains(chat));
        self
    }
}

/// The sites, and which chats have their alerts.
#[derive(Clone, Copy)]
pub struct Audience<'a> {
    pub sites: &'a Sites,
    pub access: &'a Access,
    pub now: Now,
}

impl<'a> Audience<'a> {
    pub fn new(sites: &'a Sites, access: &'a Access, now: Now) -> Audience<'a> {
        Audience { sites, access, now }
    }

    /// For all chats that get the alerts of the site.
    pub fn alert(
        self,
        site: &SiteState,
        notification: Notification,
        incident: Option<u32>,
    ) -> NewAlert {
        NewAlert {
            notification,
            site: site.name().to_owned(),
            incident,
            chats: self.access.chats_of(site.config()),
            at_once: false,
        }
    }
}

/// What each of the chats is to read, and which read the same. Those share an alert: two of them may
/// be one group by its old id and its new one, which then reads it once.
pub fn by_words<T: PartialEq>(chats: &[i64], words: impl Fn(i64) -> T) -> Vec<(T, Vec<i64>)> {
    let mut all: Vec<(T, Vec<i64>)> = Vec::new();
    for &chat in chats {
        let words = words(chat);
        match all.iter_mut().find(|(same, _)| *same == words) {
            Some((_, chats)) => chats.push(chat),
            None => all.push((words, vec![chat])),
        }
    }
    all
}
