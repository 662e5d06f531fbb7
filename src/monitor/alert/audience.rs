//! New alerts, and which chats get them.

use crate::monitor::alert::Notification;
use crate::monitor::site::access::Access;
use crate::monitor::site::state::SiteState;
use crate::monitor::site::table::Sites;
use crate::monitor::time::Now;

/// An alert to be queued.
#[derive(Debug)]
pub struct NewAlert {
    pub notification: Notification,
    /// Name of the site; empty for notices about the agent itself.
    pub site: String,
    pub incident: Option<u32>,
    pub chats: Vec<i64>,
    /// The alert must be written to disk at once, whatever is left of the day's write budget.
    pub at_once: bool,
}

impl NewAlert {
    /// Creates a plain-text notice about the agent itself.
    pub fn notice(chats: Vec<i64>, text: String) -> NewAlert {
        NewAlert::general(Notification::Notice { text }, chats)
    }

    /// Creates an alert that is not about a site.
    pub fn general(notification: Notification, chats: Vec<i64>) -> NewAlert {
        NewAlert {
            notification,
            site: String::new(),
            incident: None,
            chats,
            at_once: true,
        }
    }

    /// Keeps only those of its chats that are among `chats`.
    pub(super) fn only_for(mut self, chats: &[i64]) -> NewAlert {
        self.chats.retain(|chat| chats.contains(chat));
        self
    }
}

/// The sites, and which chats get their alerts.
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

    /// Creates an alert for all chats that get the alerts of the site.
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

/// Groups chats by the text they get. Chats with the same text share an alert: two of them may be
/// the old and the new id of one group, which must get it only once.
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
