//! The table of all keys of `sitemon.conf`: each is declared once, with its type, the visibility of its
//! value, the sites that have it, its default and its description.
//!
//! Reading, hints for unknown keys, `[defaults]`, masking, `sitemon config --json` and
//! `docs/configuration.md` are derived from it. A new key needs a line here, a reader, and its use.

use super::scheme::Scheme::{self, Dns, Exec, Host, Http, Https, Icmp, Push, Tcp, Tls};
use super::value::{LONGEST_DURATION, brief};
use crate::monitor::bot::nearest::nearest;
use ValueType::{Few, Flag, Integer, List, Other, Seconds, Table, Time};
use Visibility::{Names, Nothing, Origin, Url, Value};
use std::time::Duration;
use toml_span::value::ValueInner;

/// A kind of table.
pub struct Section {
    /// The name in messages, e.g. `[agent]`.
    pub title: &'static str,
    /// The prefix of its keys in messages, e.g. `login.`.
    pub prefix: &'static str,
    pub keys: &'static [Key],
    /// Missing keys have their defaults.
    pub has_defaults: bool,
}

pub struct Key {
    pub name: &'static str,
    pub takes: ValueType,
    pub shown: Visibility,
    /// The kinds of sites that have the key.
    pub sites: &'static [Scheme],
    /// As in the file, without quotes and brackets; empty for none.
    pub default: &'static str,
    #[cfg(test)]
    pub help: &'static str,
}

/// Type and range of a value.
pub enum ValueType {
    /// A duration: minimum and maximum.
    Time(&'static (Duration, Duration)),
    /// A duration in whole seconds: minimum and maximum, and an example.
    Seconds(&'static (Duration, Duration), &'static str),
    /// A whole number: minimum and maximum.
    Integer(u32, u32),
    Flag,
    /// A list with at least one element, described in words.
    List(&'static str),
    /// A list that may be empty, described in words; the maximum number of elements, and its reason.
    Few(&'static (&'static str, usize, &'static str)),
    /// Another type, described in words.
    Other(&'static str),
    /// A table with its own keys.
    Table(&'static Section),
}

/// Which part of a value may be shown in errors and in `sitemon config`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// All of it: it is not secret.
    Value,
    /// A URL without user, password, query and fragment.
    Url,
    /// Scheme, host and port of a URL.
    Origin,
    /// The names in a table, which users choose.
    Names,
    Nothing,
}

/// Declares a key. The description is not part of the binary.
const fn key(
    name: &'static str,
    takes: ValueType,
    shown: Visibility,
    sites: &'static [Scheme],
    default: &'static str,
    help: &'static str,
) -> Key {
    let _ = help;
    Key {
        name,
        takes,
        shown,
        sites,
        default,
        #[cfg(test)]
        help,
    }
}

const ZERO: Duration = Duration::ZERO;
const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const TEXT: ValueType = Other("a text in quotes");
const URL: ValueType = Other("a URL in quotes");
const PATH: ValueType = Other("a path in quotes");
const IDS: ValueType = List("a list of ids such as [123456789]");
/// The Bot API's type of topic ids.
const POSITIVE: ValueType = Integer(1, i32::MAX as u32);

const ANY: &[Scheme] = &Scheme::ALL;
/// Sites that are checked, as opposed to those that report.
const ASKED: &[Scheme] = &[Http, Https, Tcp, Tls, Dns, Icmp, Host, Exec];
/// Sites that are reached over a network.
const REMOTE: &[Scheme] = &[Http, Https, Tcp, Tls, Dns, Icmp];
/// Sites whose response time is meaningful.
const TIMED: &[Scheme] = &[Http, Https, Tcp, Tls, Dns, Icmp, Exec];
const PROGRAM: &[Scheme] = &[Exec];
const WEB: &[Scheme] = &[Http, Https];
const SECURE: &[Scheme] = &[Https, Tls];

pub static ROOT: Section = Section {
    title: "the file",
    prefix: "",
    #[rustfmt::skip]
    keys: &[
        key("telegram", Table(&TELEGRAM), Value, ANY, "", "the bot and its chats; without it the terminal is the chat"),
        key("agent", Table(&AGENT), Value, ANY, "", "the agent itself"),
        key("defaults", Table(&DEFAULTS), Value, ANY, "", "what holds for every site that does not say otherwise"),
        key("site", Table(&SITE), Value, ANY, "", "a site to watch; one table each"),
        key("notify", Table(&NOTIFY), Value, ANY, "", "another channel for alerts, by HTTP; one table each"),
        key("action", Table(&ACTION), Value, ANY, "", "what may be done about an outage; one table each"),
        key("listen", Table(&LISTEN), Value, ANY, "", "metrics for Prometheus, by HTTP"),
    ],
    has_defaults: false,
};

pub static TELEGRAM: Section = Section {
    title: "[telegram]",
    prefix: "",
    #[rustfmt::skip]
    keys: &[
        key("token", Other("a text in quotes such as \"123456:ABC-DEF\""), Nothing, ANY, "", "the bot's token, from @BotFather; otherwise in `token_file`, or in the environment as `SITEMON_TELEGRAM_TOKEN`"),
        key("token_file", Other("a path in quotes such as \"/etc/sitemon.token\""), Nothing, ANY, "", "a file that holds the token alone; relative to the configuration"),
        key("chats", IDS, Value, ANY, "", "chats that get the alerts and may give commands (negative: a group); `sitemon pair` finds the first"),
        key("users", IDS, Value, ANY, "", "in these chats only these users may give commands"),
        key("topic", POSITIVE, Value, ANY, "", "topic of a forum group that messages go to (`message_thread_id`)"),
        key("quiet", Other("hours in quotes such as \"22:00-07:00\""), Value, ANY, "", "between these local times alerts arrive without sound"),
        key("api", URL, Url, ANY, "https://api.telegram.org", "Bot API server"),
        key("route", List("a list such as [\"direct\", \"socks5h://127.0.0.1:1080\"]"), Origin, ANY, "direct", "ways to Telegram, tried in order: `\"direct\"`, a proxy (`http://`, `socks5://`, `socks5h://`, with user and password if need be), a relay (`https://`, which sees the token); `$NAME` as in a site; see [telegram-blocked.md](telegram-blocked.md)"),
        key("poll", Seconds(&(ZERO, seconds(50)), "50s"), Value, ANY, "50s", "how long one request waits for updates"),
    ],
    has_defaults: true,
};

pub static AGENT: Section = Section {
    title: "[agent]",
    prefix: "",
    #[rustfmt::skip]
    keys: &[
        key("state", PATH, Value, ANY, "/var/lib/sitemon", "directory for what survives a restart, created with mode 0700; relative to the configuration"),
        key("socket", PATH, Value, ANY, "push.sock", "where `sitemon push` finds the agent; relative to `state`"),
        key("spool", PATH, Value, ANY, "spool", "directory for the reports that come while no agent runs; relative to `state`"),
        // The usual limit of a process is 1,024 descriptors.
        key("max_connections", Integer(4, 1000), Value, ANY, "10", "HTTP connections at once, checks and Telegram together"),
        key("idle_connections", Integer(0, 1000), Value, ANY, "5", "connections kept open when idle"),
        key("idle_timeout", Seconds(&(SECOND, LONGEST_DURATION), "30s"), Value, ANY, "30s", "an idle connection is not used again after this"),
        key("commands", Integer(1, 1000), Value, ANY, "2", "`/check` commands running at once; more wait their turn"),
        key("max_commands", Integer(1, 100), Value, ANY, "2", "programs running at once: `exec:` checks and actions"),
        key("uplink", Few(&("a list such as [\"tcp://1.1.1.1:443\"]", 8, "all of them are asked at once when a site fails")), Url, ANY, "tcp://1.1.1.1:443, tcp://9.9.9.9:443", "if none of them answers, sites beyond the local network are offline, not down; `[]`: never ask"),
        key("heartbeat", URL, Nothing, ANY, "", "fetched every minute while checks go on, so that a service elsewhere notices when sitemon is gone; `$NAME` as in a site"),
        key("digest", Other("a time in quotes such as \"09:00\""), Value, ANY, "", "a daily summary at this local time, without sound"),
        key("timezone", Other("a zone in quotes such as \"Europe/Berlin\""), Value, ANY, "", "local time; otherwise that of `TZ`, `/etc/TZ` or `/etc/localtime`"),
        key("rdap", URL, Url, ANY, "", "server that is asked for every domain, instead of those of IANA's list"),
        key("ca_file", PATH, Value, ANY, "", "trusted roots, instead of the system's"),
        key("user_agent", TEXT, Value, ANY, concat!("sitemon/", env!("CARGO_PKG_VERSION")), "what the sites see as `User-Agent`"),
    ],
    has_defaults: true,
};

/// Keys that `[defaults]` lacks come first.
#[rustfmt::skip]
const SITE_KEYS: &[Key] = &[
    key("name", TEXT, Value, ANY, "", "required; unique, 1 to 64 characters"),
    key("url", URL, Url, ANY, "", "required; what to watch: `http://`, `https://`, `tcp://HOST:PORT`, `tls://HOST:PORT`, `dns://SERVER/NAME?type=A`, `icmp://HOST`, `host:disk/PATH?free=10%` ([checks.md](checks.md#host)), `exec:` ([checks.md](checks.md#exec)), `push:` ([jobs.md](jobs.md)); `$NAME` is taken from the environment, here and in `headers`, `send`, `auth` and `login`, and `$$` is a dollar sign"),
    key("after", Other("the name of a site in quotes"), Value, ANY, "", "another site that this one depends on: while that is down, this one is unreachable, and silent"),
    key("command", List("a list such as [\"/usr/lib/nagios/plugins/check_disk\", \"-w\", \"20%\"]"), Value, PROGRAM, "", "required; the program, by its absolute path, and its arguments, which every user of this machine can see: `$NAME` is an error in them, and `$$` a dollar sign"),
    key("every", Time(&(SECOND, LONGEST_DURATION)), Value, &[Push], "", "a report is due so long after the last one"),
    key("at", Other("times in quotes such as \"Mon-Fri 03:00\""), Value, &[Push], "", "local times at which a report is due, commas between them; instead of `every`"),
    key("token", TEXT, Nothing, &[Push], "", "what a report by HTTP must come with, at least 16 characters; `$NAME` as in `url`"),
    key("interval", Time(&(SECOND, LONGEST_DURATION)), Value, ASKED, "60s", "time between checks"),
    key("timeout", Time(&(MILLISECOND, seconds(300))), Value, ASKED, "10s", "for a whole check, connect to last byte"),
    key("tries", Integer(1, 100), Value, ASKED, "3", "failures in a row that make it down"),
    key("retry", Time(&(SECOND, LONGEST_DURATION)), Value, ASKED, "10s", "time between tries after a first failure"),
    key("recover", Integer(1, 100), Value, ASKED, "1", "successes in a row that make it up again"),
    key("remind", Time(&(ZERO, LONGEST_DURATION)), Value, ANY, "6h", "time after which a down alert that is not acknowledged is repeated; `\"0s\"`: never"),
    key("slow", Time(&(MILLISECOND, LONGEST_DURATION)), Value, TIMED, "", "slower than this is degraded; shorter than `timeout`"),
    key("group", TEXT, Value, ANY, "", "label for `/status` and `/check`"),
    key("paused", Flag, Value, ANY, "false", "configured but not checked"),
    key("chats", IDS, Value, ANY, "", "of the chats in [telegram] these alone; for others the site does not exist"),
    key("topic", POSITIVE, Value, ANY, "", "topic of a forum group for its alerts (`message_thread_id`); otherwise that of [telegram]"),
    key("maintenance", Other("windows in quotes such as \"Sun 02:00-04:00\""), Value, ANY, "", "local times, commas between them: checked and recorded, but silent"),
    key("note", TEXT, Value, ANY, "", "a line under the site's down alert and in `/site`: a run-book link, whom to call; at most 200 characters"),
    key("grace", Time(&(ZERO, LONGEST_DURATION)), Value, &[Push], "1h", "a report may be so late"),
    key("longest", Time(&(SECOND, LONGEST_DURATION)), Value, &[Push], "", "a job that was started must end within this"),
    key("method", Other("a method in quotes such as \"GET\""), Value, WEB, "GET", "method of the request"),
    key("headers", Other("a table such as { Accept = \"text/html\" }"), Names, WEB, "{}", "headers of the request"),
    key("send", TEXT, Nothing, &[Http, Https, Tcp, Tls], "", "body of the request; over tcp and tls what is sent first"),
    key("auth", TEXT, Nothing, WEB, "", "`\"user:password\"` (Basic) or `\"bearer TOKEN\"`"),
    key("status", Other("codes in quotes such as \"200-299,401\""), Value, WEB, "200-299", "wanted codes and ranges of them"),
    key("body", TEXT, Value, WEB, "", "text that must be in the first 1 MiB of the answer"),
    key("body_not", TEXT, Value, WEB, "", "text that must not be there"),
    key("json", List("a list of conditions such as [\"status == ok\"]"), Value, WEB, "", "conditions that the answer must meet: `\"PATH OP VALUE\"` with `==`, `!=`, `<`, `<=`, `>`, `>=`, `contains`, or `\"PATH exists\"`"),
    key("redirects", Integer(0, 50), Value, WEB, "10", "followed at most; `0`: the redirect itself is judged"),
    key("private_redirects", Flag, Value, WEB, "false", "follow redirects from a public server to addresses of the local network"),
    key("proxy", Other("\"none\" or a proxy in quotes such as \"socks5h://127.0.0.1:1080\""), Origin, WEB, "", "`\"none\"`, or a proxy (`http://`, `socks5://`, `socks5h://`) for this site alone; otherwise that of the environment"),
    key("http", Other("\"1.1\" or \"2\" in quotes"), Value, WEB, "", "version of HTTP; otherwise what the server offers"),
    key("login", Table(&LOGIN), Nothing, WEB, "", "log in first, and keep the cookies for this check alone"),
    key("cert", Time(&(ZERO, LONGEST_DURATION)), Value, SECURE, "14d", "a certificate that ends within this makes it degraded; `\"0s\"`: never look"),
    key("verify", Flag, Value, SECURE, "true", "`false`: any certificate will do"),
    key("ca_file", PATH, Value, SECURE, "", "trusted roots for this site, for a private CA"),
    key("loss", Other("a share in quotes such as \"20%\""), Value, &[Icmp], "", "more lost echo requests than this make it degraded; a check sends three, and all lost is down"),
    key("expect", TEXT, Value, &[Tcp, Tls, Dns], "", "text in the first 4 KiB of the answer; of a dns site what one of the records must be"),
    key("env", Other("a table such as { PGPASSWORD = \"$DB\" }"), Names, PROGRAM, "{}", "environment of the program, beside `PATH`, `TZ`, `LANG` and `SITEMON_SITE`; `$NAME` as in `url`"),
    key("local", Flag, Value, PROGRAM, "false", "what the program looks at is on this machine or its local network: judged while the connection is down, too"),
    key("domain", Time(&(ZERO, LONGEST_DURATION)), Value, REMOTE, "0s", "a registration of the domain that ends within this makes it degraded; `\"0s\"`: never ask"),
    key("ip", Other("\"4\" or \"6\" in quotes"), Value, REMOTE, "", "IPv4 or IPv6 alone"),
];

pub static SITE: Section = Section {
    title: "[[site]]",
    prefix: "",
    keys: SITE_KEYS,
    has_defaults: false,
};

pub static DEFAULTS: Section = Section {
    title: "[defaults]",
    prefix: "",
    keys: SITE_KEYS.split_at(7).1,
    has_defaults: true,
};

pub static LOGIN: Section = Section {
    title: "`login`",
    prefix: "login.",
    #[rustfmt::skip]
    keys: &[
        key("url", URL, Nothing, ANY, "", "required; where the form is sent to"),
        key("page", URL, Nothing, ANY, "", "where the form is, if it has hidden fields: they are sent along"),
        key("form", Other("a table such as { user = \"me\", password = \"$PASSWORD\" }"), Names, ANY, "", "required; fields of the form"),
        key("expect", Other("codes such as \"200-299,302\", or a text, in quotes"), Value, ANY, "", "codes that the answer to the form must have, or a text that must be in it; otherwise 200 to 399"),
    ],
    has_defaults: false,
};

/// Shell completion finds sites in `config --json` by their first two keys, `name` and `url`.
pub static NOTIFY: Section = Section {
    title: "[[notify]]",
    prefix: "",
    #[rustfmt::skip]
    keys: &[
key("name", TEXT, Value, ANY, "", "required; unique, 1 to 64 characters"),
        key("when", Other("\"always\", \"telegram fails 5m\" or \"unacknowledged 15m\" in quotes"), Value, ANY, "always", "every alert; those that wait while nothing could be sent to Telegram for so long; or outages that no user acknowledged within so long, and their ends"),
        key("sites", List("a list of names of sites and groups such as [\"shop\"]"), Value, ANY, "", "alerts of these alone; otherwise of all, and those about sitemon itself"),
        key("url", URL, Nothing, ANY, "", "required; where an alert is sent: `http://` or `https://`; `$NAME` as in a site, here and in `headers`, `body` and `json`; placeholders (see [notify.md](notify.md)) are percent-encoded"),
        key("method", Other("a method in quotes such as \"POST\""), Value, ANY, "POST", "method of the request"),
        key("headers", Other("a table such as { Title = \"{site} {state}\" }"), Names, ANY, "{}", "headers of the request, with placeholders; one whose value is empty is left out"),
        key("body", TEXT, Nothing, ANY, "", "body of the request, with placeholders as they are"),
        key("json", Other("a table such as { message = \"{text}\" }"), Nothing, ANY, "", "body of the request as JSON, in whose texts placeholders are encoded; instead of `body`"),
    ],
    has_defaults: true,
};

pub static ACTION: Section = Section {
    title: "[[action]]",
    prefix: "",
    #[rustfmt::skip]
    keys: &[
        key("name", TEXT, Value, ANY, "", "required; unique, 1 to 64 characters"),
        key("request", Table(&REQUEST), Nothing, ANY, "", "an HTTP request; an action has one of `request`, `command` and `wake`"),
        key("command", List("a list of a program and its arguments such as [\"/usr/local/bin/modem\", \"restart\"]"), Value, ANY, "", "a program by its absolute path, and its arguments, as of an `exec:` site; without a shell"),
        key("wake", Other("a MAC address in quotes such as \"aa:bb:cc:dd:ee:ff\""), Value, ANY, "", "the machine of this MAC address is woken (Wake-on-LAN)"),
        key("sites", List("a list of names of sites and groups such as [\"wan\"]"), Value, ANY, "", "required but for `when = \"offline\"`; whose down alerts have the button"),
        key("when", Other("\"down\" or \"offline\" in quotes"), Value, ANY, "down", "`down`: one of `sites` is; `offline`: our own connection is gone"),
        key("auto", Time(&(SECOND, LONGEST_DURATION)), Value, ANY, "", "it runs by itself after so long"),
        key("limit", Other("a limit in quotes such as \"2 per 6h\""), Value, ANY, "2 per 6h", "how often it runs by itself at most"),
    ],
    has_defaults: true,
};

pub static REQUEST: Section = Section {
    title: "`request`",
    prefix: "request.",
    #[rustfmt::skip]
    keys: &[
        key("url", URL, Nothing, ANY, "", "required; `http://` or `https://`; `$NAME` as in a site, here and in `headers` and `body`"),
        key("method", Other("a method in quotes such as \"GET\""), Value, ANY, "GET", "method of the request"),
        key("headers", Other("a table such as { Authorization = \"Bearer $PLUG\" }"), Names, ANY, "{}", "headers of the request"),
        key("body", TEXT, Nothing, ANY, "", "body of the request"),
    ],
    has_defaults: true,
};

pub static LISTEN: Section = Section {
    title: "[listen]",
    prefix: "",
    #[rustfmt::skip]
    keys: &[
        key("address", Other("an address in quotes such as \"127.0.0.1:8099\""), Value, ANY, "127.0.0.1:8099", "IP address and port that are listened on"),
        key("token", TEXT, Nothing, ANY, "", "what `/metrics` wants as `Authorization: Bearer TOKEN`; `$NAME` as in a site"),
    ],
    has_defaults: true,
};

impl Key {
    /// The value of a missing key.
    pub fn default_value(&self) -> Option<ValueInner<'static>> {
        let text = |text: &'static str| ValueInner::String(text.into());
        Some(match (self.default, &self.takes) {
            ("", _) => return None,
            ("{}", _) => ValueInner::Table(toml_span::value::Table::new()),
            (flag, Flag) => ValueInner::Boolean(flag == "true"),
            (number, Integer(..)) => ValueInner::Integer(number.parse().ok()?),
            (all, List(_) | Few(_)) => {
                let all = all.split(", ").map(|one| toml_span::Value::new(text(one)));
                ValueInner::Array(all.collect())
            }
            (other, _) => text(other),
        })
    }
}

impl Section {
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    fn names(&self) -> Vec<&'static str> {
        self.keys.iter().map(|key| key.name).collect()
    }

    /// The mistake for a key that this table lacks.
    pub fn unknown(&self, key: &str) -> String {
        let name = plain_part(key);
        let kind = match self.title == ROOT.title {
            true => "table",
            false => "key",
        };
        if let Some(near) = nearest(key, self.names()) {
            return format!("unknown {kind} `{name}`; did you mean `{near}`?");
        }
        let homes = |sections: &[&'static Section]| {
            let homes = sections.iter().filter(|home| home.key(key).is_some());
            let titles: Vec<&str> = homes.map(|home| home.title).collect();
            titles.join(" or ")
        };
        let mut home = homes(&[&TELEGRAM, &AGENT, &DEFAULTS, &SITE]);
        if home.is_empty() {
            home = homes(&[&LOGIN, &NOTIFY, &ACTION, &REQUEST, &LISTEN]);
        }
        if !home.is_empty() {
            return format!("unknown key `{name}` here; it belongs in {home}");
        }
        let (title, known) = (self.title, self.names().join(", "));
        format!("unknown {kind} `{name}`; {title} has {known}")
    }
}

impl ValueType {
    /// Describes the type, to follow "must be".
    pub fn words(&self) -> String {
        let duration = |example| format!("a duration in quotes such as \"{example}\"");
        match self {
            Time(_) => duration("60s"),
            Seconds(_, example) => duration(example),
            Integer(least, most) => format!("a whole number from {least} to {most}"),
            Flag => "true or false".to_owned(),
            List(words) | Few((words, ..)) | Other(words) => (*words).to_owned(),
            Table(_) => "a table".to_owned(),
        }
    }
}

/// A table has a key of this name.
pub fn is_known(key: &str) -> bool {
    let all = [
        &ROOT, &TELEGRAM, &AGENT, &SITE, &LOGIN, &NOTIFY, &ACTION, &REQUEST, &LISTEN,
    ];
    all.iter().any(|section| section.key(key).is_some())
}

/// Length in bytes of the part of a name that may be shown: its first characters, as far as names are
/// made of them. The rest may be a value that was run together with the name.
pub fn plain_length(name: &str) -> usize {
    let odd = |c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-' | '.');
    name.find(odd).unwrap_or(name.len())
}

/// The part of a name that may be shown, with `…` for the rest.
pub fn plain_part(name: &str) -> String {
    match plain_length(name) {
        end if end < name.len() => brief(&format!("{}…", &name[..end])),
        _ => brief(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_near_key_is_suggested() {
        let near = |name| nearest(name, SITE.names());
        assert_eq!(near("Intervall"), Some("interval"));
        assert_eq!(near("body-not"), Some("body_not"));
        assert_eq!(near("nam"), Some("name"));
        assert_eq!(near("frequency"), None);
        assert_eq!(near("x"), None);
    }

    #[test]
    fn defaults_have_every_key_of_a_site_but_its_own() {
        assert_eq!(DEFAULTS.keys.len() + 7, SITE.keys.len());
        for own in ["name", "url", "after", "command", "every", "at", "token"] {
            assert!(DEFAULTS.key(own).is_none(), "{own}");
        }
    }
}
