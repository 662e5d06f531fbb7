//! Builders for the parts of a world: sites, outcomes, access lists, events.

use super::world::{CHAT, WALL};
use crate::monitor::outbox::message::{Content, Delivery, Incoming};
use crate::monitor::site::access::Access;
use crate::monitor::site::outcome::{FailureKind, Outcome};
use crate::monitor::site::{Check, Site};
use crate::monitor::time::hours::{ALL_DAYS, Hours, Window};
use crate::monitor::{Event, Settings};
use crate::plain_site::plain_site;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// When the program of these tests was built: 2023-11-14.
pub const BUILT: i64 = 1_700_000_000;

pub fn good(ms: u64) -> Outcome {
    Outcome::new(Ok(()), Some(Duration::from_millis(ms)))
}

pub fn bad() -> Outcome {
    Outcome::failed(FailureKind::Status, "HTTP 503, wanted 200-299")
}

pub fn hang() -> Outcome {
    Outcome::failed(FailureKind::Timeout, "no answer within 10s")
}

pub fn site(name: &str) -> Site {
    plain_site(name, &format!("https://{name}.example/"))
}

/// Returns a site that depends on another.
pub fn after(name: &str, parent: &str) -> Site {
    Site {
        after: Some(parent.to_owned()),
        ..site(name)
    }
}

/// Returns the site that `/add` creates for a URL.
pub fn asked_for(url: &str, name: Option<String>) -> Site {
    let host = || url.trim_start_matches("https://").trim_end_matches('/');
    site(&name.unwrap_or_else(|| host().to_owned()))
}

/// Returns the same outcome, from a given address.
pub fn from(address: &str, mut outcome: Outcome) -> Outcome {
    outcome.address = Some(address.parse().expect("an address"));
    outcome
}

pub fn failed(kind: FailureKind) -> Outcome {
    Outcome::failed(kind, format!("{kind:?}"))
}

pub fn settings(access: Access) -> Settings {
    Settings {
        access,
        max_jobs: 2,
        permits: 7,
        built: BUILT,
        ..Settings::default()
    }
}

/// Returns settings of a program that was built when the world begins.
pub fn built_now() -> Settings {
    Settings {
        built: WALL,
        ..settings(access())
    }
}

pub fn access() -> Access {
    access_for(&[CHAT])
}

/// Returns access for all users of these chats.
pub fn access_for(chats: &[i64]) -> Access {
    Access {
        chats: chats.to_vec(),
        users: None,
    }
}

pub fn access_for_users(chats: &[i64], users: &[i64]) -> Access {
    Access {
        users: Some(users.to_vec()),
        ..access_for(chats)
    }
}

/// Returns the event of a configuration that was read again.
pub fn reloaded(
    sites: impl IntoIterator<Item = impl Into<Arc<Site>>>,
    settings: Settings,
) -> Event {
    Event::Reloaded {
        sites: sites.into_iter().map(Into::into).collect(),
        added: Vec::new(),
        settings,
    }
}

/// Returns a message that a user writes in a chat.
pub fn written(chat: i64, user: i64, text: &str, date: i64) -> Option<Content> {
    Some(Content::Message(Incoming {
        chat,
        user: Some(user),
        text: text.to_owned(),
        date,
        ..Incoming::default()
    }))
}

/// A delivery that fails for all chats and may be retried after so many seconds.
pub fn telegram_fails(after: Option<u64>, reason: &str) -> Delivery {
    Delivery::Later {
        after: after.map(Duration::from_secs),
        everywhere: true,
        reason: reason.to_owned(),
    }
}

/// A delivery that fails for one chat and may be retried after so many seconds.
pub fn chat_waits(after: Option<u64>, reason: &str) -> Delivery {
    Delivery::Later {
        after: after.map(Duration::from_secs),
        everywhere: false,
        reason: reason.to_owned(),
    }
}

/// Returns a window of every day, in minutes since midnight.
pub fn window(from: u16, until: u16) -> Window {
    Window {
        days: ALL_DAYS,
        hours: Hours { from, until },
    }
}

/// Makes a site use plain HTTP.
pub fn plain(mut site: Site) -> Site {
    let Check::Http(check) = &mut site.check else {
        panic!("not http")
    };
    check.url = Url::parse(&format!("http://{}.example/", site.name)).unwrap();
    site
}

/// Asserts that the text contains `part`; shows the text otherwise.
#[track_caller]
pub fn assert_has(text: &impl AsRef<str>, part: &str) {
    let text = text.as_ref();
    assert!(text.contains(part), "no {part:?} in {text:?}");
}
