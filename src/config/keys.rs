//! Which keys there are, and what to say of one that is not.

use super::value::brief;
use crate::monitor::bot::nearest::nearest;

/// A kind of table: what it is called and which keys it has.
pub struct Section {
    /// As messages call it, e.g. `[agent]`.
    pub title: &'static str,
    pub keys: &'static [&'static str],
    /// What messages put before a key, e.g. `login.`.
    pub prefix: &'static str,
    /// Keys of later versions.
    pub later: &'static [&'static str],
}

pub const TELEGRAM: Section = Section {
    title: "[telegram]",
    prefix: "",
    keys: &[
        "token",
        "token_file",
        "chats",
        "users",
        "topic",
        "quiet",
        "api",
        "poll",
    ],
    later: &[],
};

pub const AGENT: Section = Section {
    title: "[agent]",
    prefix: "",
    keys: &[
        "state",
        "max_connections",
        "idle_connections",
        "idle_timeout",
        "commands",
        "uplink",
        "heartbeat",
        "digest",
        "timezone",
        "rdap",
        "ca_file",
        "user_agent",
    ],
    later: &[],
};

/// Keys of a site that `[defaults]` has too come last.
const SITE_KEYS: &[&str] = &[
    "name",
    "url",
    "after",
    "interval",
    "timeout",
    "tries",
    "retry",
    "recover",
    "remind",
    "slow",
    "group",
    "paused",
    "chats",
    "maintenance",
    "method",
    "headers",
    "send",
    "auth",
    "status",
    "body",
    "body_not",
    "json",
    "redirects",
    "private_redirects",
    "http",
    "login",
    "cert",
    "verify",
    "ca_file",
    "expect",
    "domain",
    "ip",
];

pub const SITE: Section = Section {
    title: "[[site]]",
    prefix: "",
    keys: SITE_KEYS,
    later: &[],
};

pub const DEFAULTS: Section = Section {
    title: "[defaults]",
    prefix: "",
    keys: SITE_KEYS.split_at(3).1,
    later: &[],
};

pub const LOGIN: Section = Section {
    title: "`login`",
    prefix: "login.",
    keys: &["url", "page", "form", "expect"],
    later: &[],
};

pub const ROOT: Section = Section {
    title: "the file",
    prefix: "",
    keys: &["telegram", "agent", "defaults", "site"],
    later: &["listen"],
};

/// The table that stands under `key`, if that is known.
pub fn inner(key: &str) -> Option<&'static Section> {
    Some(match key {
        "telegram" => &TELEGRAM,
        "agent" => &AGENT,
        "defaults" => &DEFAULTS,
        "site" => &SITE,
        "login" => &LOGIN,
        _ => return None,
    })
}

/// Some table has a key of this name.
pub fn is_known(key: &str) -> bool {
    let all = [&ROOT, &TELEGRAM, &AGENT, &SITE, &LOGIN];
    all.iter().any(|section| section.keys.contains(&key))
}

/// Of the name of a key, a header or a field what may be shown: it may have been written together
/// with its value.
pub fn plain_part(name: &str) -> &str {
    &name[..name.find([':', '=']).unwrap_or(name.len())]
}

/// What to say of a key that `section` does not have.
pub fn unknown(section: &Section, key: &str) -> String {
    let name = brief(plain_part(key));
    if section.later.contains(&key) {
        return format!("unknown key `{name}`: this version of sitemon does not have it yet");
    }
    let kind = if section.title == ROOT.title {
        "table"
    } else {
        "key"
    };
    if let Some(near) = nearest(key, section.keys.iter().copied()) {
        return format!("unknown {kind} `{name}`; did you mean `{near}`?");
    }
    let mut homes: Vec<&str> = [&TELEGRAM, &AGENT, &DEFAULTS, &SITE]
        .iter()
        .filter(|home| home.keys.contains(&key))
        .map(|home| home.title)
        .collect();
    if homes.is_empty() && LOGIN.keys.contains(&key) {
        homes.push(LOGIN.title);
    }
    if !homes.is_empty() {
        return format!(
            "unknown key `{name}` here; it belongs in {}",
            homes.join(" or ")
        );
    }
    let known = section.keys.join(", ");
    format!("unknown {kind} `{name}`; {} has {known}", section.title)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_near_key_is_suggested() {
        let near = |name| nearest(name, SITE_KEYS.iter().copied());
        assert_eq!(near("Intervall"), Some("interval"));
        assert_eq!(near("body-not"), Some("body_not"));
        assert_eq!(near("nam"), Some("name"));
        assert_eq!(near("frequency"), None);
        assert_eq!(near("x"), None);
    }

    #[test]
    fn defaults_have_every_key_of_a_site_but_three() {
        assert_eq!(DEFAULTS.keys.len() + 3, SITE.keys.len());
        for own in ["name", "url", "after"] {
            assert!(!DEFAULTS.keys.contains(&own), "{own}");
        }
    }
}
