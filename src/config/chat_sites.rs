//! Sites that are added in the chat: the rules of the file, with less trust.

use super::error::MistakeList;
use super::json::json_string;
use super::keys::Visibility;
use super::scheme::Scheme;
use super::site_keys::{Keys, Scope};
use super::site_names::Names;
use super::toml_table;
use super::{Config, Context, keys, site};
use crate::monitor::persist::snapshot::{AddedRecord, LONGEST_URL};
use crate::monitor::site::Site;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The part of `[defaults]` that applies to sites added in the chat. Keys that may be secret are left
/// out: they would be sent to whatever address the user gives.
#[derive(Clone, Default)]
pub struct Defaults(Arc<Keys>);

/// Shows only what is not secret.
impl fmt::Debug for Defaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Defaults")
    }
}

impl Defaults {
    pub(super) fn of(defaults: &Keys) -> Defaults {
        let harmless = |name: &str| {
            let key = keys::DEFAULTS.key(name);
            key.is_some_and(|key| key.shown == Visibility::Value)
        };
        Defaults(Arc::new(Keys::default().or(defaults, &harmless)))
    }
}

/// Builds the site that `/add` asks for. Without a name it gets that of its host.
///
/// # Errors
///
/// What is wrong, as a sentence without a full stop.
pub fn added_site(url: &str, name: Option<&str>, config: &Config) -> Result<Site, String> {
    let by_file = match Scheme::of(url) {
        Some(Scheme::Host) => Some("what is on this machine is watched"),
        Some(Scheme::Exec) => Some("programs are run"),
        Some(Scheme::Push) => Some("jobs are waited for"),
        _ => None,
    };
    if let Some(what) = by_file {
        return Err(format!("{what} by sites of sitemon.conf alone"));
    }
    if url.contains('$') {
        return Err(
            "an address that is added takes nothing from the environment; write %24 for a dollar \
             sign, or put the site into sitemon.conf"
                .to_owned(),
        );
    }
    if url.len() > LONGEST_URL {
        return Err(format!("the address is longer than {LONGEST_URL} bytes"));
    }
    let name = name.map_or_else(|| host(url), str::to_owned);
    let text = format!(
        "[[site]]\nname = {}\nurl = {}\n",
        json_string(&name),
        json_string(url)
    );
    let ctx = Context {
        file: "",
        exposed: false,
        dir: Path::new(""),
        zone: &|_| Ok(()),
        env: &|_| None,
        read: &|_| Err(std::io::ErrorKind::Unsupported.into()),
    };
    let scope = Scope {
        ctx: &ctx,
        chats: None,
        state: None,
    };
    let mut log = MistakeList::new(&text);
    let mut names = Names::default();
    let root = toml_table::root(&text, &mut log);
    let table = root.and_then(|mut root| root.tables("site", &mut log).pop());
    let read =
        table.and_then(|table| site::read(table, &config.defaults.0, &mut names, &scope, &mut log));
    match (read, log.first()) {
        (Some(site), None) => Ok(site),
        (_, what) => Err(what.unwrap_or_else(|| "it cannot be read as a site".to_owned())),
    }
}

/// Returns the sites that were added in the chat, with the current configuration applied.
pub fn added_sites(
    records: &[AddedRecord],
    config: &Config,
) -> Vec<(AddedRecord, Result<Site, String>)> {
    let read = |record: &AddedRecord| {
        let site = added_site(&record.url, Some(&record.name), config);
        (record.clone(), site)
    };
    records.iter().map(read).collect()
}

/// Returns those that are valid and whose names the file does not use.
pub fn added_beside(records: &[AddedRecord], config: &Config) -> Vec<Arc<Site>> {
    let sites = added_sites(records, config).into_iter();
    let sites = sites.filter_map(|(_, site)| site.ok());
    sites
        .filter(|site| config.sites.iter().all(|other| other.name != site.name))
        .map(Arc::new)
        .collect()
}

/// The default name of a site.
fn host(url: &str) -> String {
    let parsed = url::Url::parse(url).ok();
    let host = parsed.as_ref().and_then(url::Url::host_str);
    let name = match (host, url.split_once("://")) {
        (Some(host), _) if !host.is_empty() => host,
        // `dns:///name?type=MX`
        (_, Some((_, rest))) => rest
            .trim_start_matches('/')
            .split('?')
            .next()
            .unwrap_or(rest),
        (_, None) => url,
    };
    name.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::site::Check;
    use proptest::prelude::*;
    use std::time::Duration;

    fn config(text: &str) -> Config {
        let ctx = Context {
            file: "sitemon.conf",
            exposed: false,
            dir: Path::new("/etc"),
            zone: &|_| Ok(()),
            env: &|name| (name == "KEY").then(|| "s3cret".to_owned()),
            read: &|_| Err(std::io::ErrorKind::NotFound.into()),
        };
        super::super::parse(text, &ctx).unwrap_or_else(|mistakes| panic!("{mistakes}"))
    }

    #[test]
    fn a_site_without_a_name_is_called_as_its_host() {
        let config = config("");
        for (url, name) in [
            ("https://blog.example/a?b", "blog.example"),
            ("https://me:pw@h.example:8443/", "h.example"),
            ("tcp://192.0.2.1:22", "192.0.2.1"),
            ("dns:///example.org?type=MX", "example.org"),
            ("icmp://router.lan", "router.lan"),
        ] {
            let site = added_site(url, None, &config).unwrap_or_else(|what| panic!("{what}"));
            assert_eq!(site.name, name);
        }
        let site = added_site("https://h/", Some("My \"blog\""), &config).unwrap();
        assert_eq!(site.name, "My \"blog\"");
    }

    #[test]
    fn the_defaults_hold_but_none_that_may_be_a_secret() {
        let config = config(
            "[defaults]\ninterval = '5m'\nstatus = '200'\nauth = 'bearer $KEY'\n\
             headers = { X-Key = '$KEY' }\nsend = '$KEY'\nslow = '2s'\n\
             login = { url = 'https://h/login', form = { p = '$KEY' } }",
        );
        let site = added_site("https://evil.example/", None, &config).unwrap();
        assert_eq!(site.interval, Duration::from_secs(300));
        assert_eq!(site.slow, Some(Duration::from_secs(2)));
        let Check::Http(http) = site.check else {
            panic!("an http check");
        };
        assert_eq!(http.status.to_string(), "200");
        assert!(http.auth.is_none() && http.send.is_none() && http.headers.is_empty());
        assert!(http.login.is_none());
    }

    #[test]
    fn nothing_is_taken_from_the_environment() {
        let config = config("");
        for url in [
            "https://evil.example/$KEY",
            "https://$KEY.evil.example/",
            "https://h/$$",
        ] {
            let what = added_site(url, None, &config).expect_err(url);
            assert!(what.contains("nothing from the environment"), "{what}");
        }
    }

    #[test]
    fn a_mistake_is_told_as_in_the_file() {
        let config = config("[defaults]\nslow = '2s'");
        for (url, name, expected) in [
            ("blog.example", None, "`url` must begin with"),
            ("file:///etc/passwd", None, "`url` must begin with"),
            (
                "tcp://h",
                Some("a"),
                "`url` must be \"tcp://HOST:PORT\": the port is missing",
            ),
        ] {
            let what = added_site(url, name, &config).expect_err(url);
            assert!(what.starts_with(expected), "{what}");
        }
        for url in [
            "host:disk/?free=1%",
            "HOST:nonsense",
            "host:disk/$HOME?free=1%",
        ] {
            let what = added_site(url, None, &config).expect_err(url);
            let told = "what is on this machine is watched by sites of sitemon.conf alone";
            assert_eq!(what, told, "{url}");
        }
        assert!(added_site("https://h/", Some(&"x".repeat(65)), &config).is_err());
        assert!(added_site("https://h/", Some(""), &config).is_err());
    }

    proptest! {
        #[test]
        fn no_text_of_a_chat_breaks_it(url in any::<String>(), name in any::<Option<String>>()) {
            let config = config("[defaults]\nslow = '2s'\nip = '6'\ndomain = '30d'");
            if let Ok(site) = added_site(&url, name.as_deref(), &config) {
                prop_assert!((1..=64).contains(&site.name.chars().count()));
            }
        }
    }
}
