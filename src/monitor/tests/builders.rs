//! What a world is made of: sites, what their checks find, who may command.

use super::world::CHAT;
use crate::monitor::Settings;
use crate::monitor::site::access::Access;
use crate::monitor::site::outcome::{FailureKind, Outcome};
use crate::monitor::site::{Check, Site};
use crate::plain_site::plain_site;
use std::time::Duration;

/// When the program of these tests was built: November 2023.
pub const BUILT: i64 = 1_700_000_000;

pub fn good(ms: u64) -> Outcome {
    Outcome {
        verdict: Ok(()),
        took: Some(Duration::from_millis(ms)),
        phases: None,
        address: None,
        detail: None,
        warning: None,
    }
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

/// A site behind another.
pub fn after(name: &str, parent: &str) -> Site {
    Site {
        after: Some(parent.to_owned()),
        ..site(name)
    }
}

/// The site that `/add` makes of an address.
pub fn asked_for(url: &str, name: Option<String>) -> Site {
    let host = || url.trim_start_matches("https://").trim_end_matches('/');
    site(&name.unwrap_or_else(|| host().to_owned()))
}

/// The same outcome, from an address elsewhere.
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

pub fn access() -> Access {
    Access {
        chats: vec![CHAT],
        users: None,
    }
}

/// Spoken to without TLS.
pub fn plain(mut site: Site) -> Site {
    let Check::Http(check) = &mut site.check else {
        panic!("not http")
    };
    check.url = format!("http://{}.example/", site.name);
    site
}
