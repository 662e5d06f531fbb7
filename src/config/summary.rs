//! What would run: a table for people, JSON for programs. Neither holds a secret.

use super::json::json_string;
use super::value::format_duration;
use super::{Agent, Config, Telegram};
use crate::monitor::render::text::count;
use crate::monitor::site::{
    Check, HttpCheck, HttpVersion, IpVersion, Login, LoginExpect, Site, Talk,
};
use crate::monitor::time::hours;
use std::path::Path;
use std::time::Duration;

/// Columns of a table are no wider: a cell that is longer pushes the rest of its row away.
const WIDEST: usize = 64;

/// The configuration as a table for people, line breaks included.
pub fn summary(config: &Config) -> String {
    let mut rows = vec![["NAME", "URL", "EVERY", "TIMEOUT", "EXPECTED"].map(str::to_owned)];
    rows.extend(config.sites.iter().map(|site| {
        let (every, timeout) = (
            format_duration(site.interval),
            format_duration(site.timeout),
        );
        [
            site.name.clone(),
            site.url.clone(),
            every,
            timeout,
            expectation(site),
        ]
    }));
    let mut text = String::new();
    if !config.sites.is_empty() {
        text = table(&rows);
        text.push('\n');
    }
    let agent = &config.agent;
    text.push_str(&format!(
        "agent     state {}, {} connections at once ({} idle for {}), {} at once, \
         user agent {}{}\n",
        agent.state.display(),
        agent.max_connections,
        agent.idle_connections,
        format_duration(agent.idle_timeout),
        count(agent.commands, "command"),
        agent.user_agent,
        agent
            .ca_file
            .as_ref()
            .map_or(String::new(), |path| format!(", roots {}", path.display())),
    ));
    let zone = agent.timezone.as_deref().unwrap_or("the system's");
    text.push_str(&format!("time zone {zone}\n"));
    if let Some(at) = agent.digest {
        text.push_str(&format!("digest    at {}\n", hours::clock(at)));
    }
    let uplink: Vec<String> = agent.uplink.iter().map(ToString::to_string).collect();
    text.push_str(&match uplink.as_slice() {
        [] => "uplink    none: our own line is never asked\n".to_owned(),
        uplink => format!("uplink    {}\n", uplink.join(", ")),
    });
    if let Some(server) = &agent.rdap {
        text.push_str(&format!("rdap      {server}\n"));
    }
    match &agent.heartbeat {
        Some(secret) => text.push_str(&format!("heartbeat {secret} every minute\n")),
        None => text.push_str("heartbeat none\n"),
    }
    match &config.telegram {
        Some(telegram) => text.push_str(&telegram_line(telegram)),
        None => text.push_str("telegram  none: the terminal is the chat\n"),
    }
    text
}

/// `{"sites":[…],"agent":{…},"telegram":{…}}` with every key filled in, `null` for none, secrets as `"***"`.
pub fn to_json(config: &Config) -> String {
    let sites: Vec<String> = config.sites.iter().map(|site| site_json(site)).collect();
    let telegram = config.telegram.as_ref().map(telegram_json);
    format!(
        "{{\"sites\":[{}],\"agent\":{},\"telegram\":{}}}",
        sites.join(","),
        agent_json(&config.agent),
        telegram.unwrap_or_else(|| "null".to_owned())
    )
}

fn agent_json(agent: &Agent) -> String {
    let mut object = Object::default();
    object.text("state", &agent.state.to_string_lossy());
    object.raw("max_connections", &agent.max_connections.to_string());
    object.raw("idle_connections", &agent.idle_connections.to_string());
    object.time("idle_timeout", agent.idle_timeout);
    object.raw("commands", &agent.commands.to_string());
    let uplink = agent.uplink.iter().map(|t| json_string(&t.to_string()));
    let uplink: Vec<String> = uplink.collect();
    object.raw("uplink", &format!("[{}]", uplink.join(",")));
    object.optional("heartbeat", agent.heartbeat.as_ref().map(|_| "***"));
    object.optional("digest", agent.digest.map(hours::clock));
    object.optional("timezone", agent.timezone.as_deref());
    object.optional("rdap", agent.rdap.as_deref());
    let ca_file = agent.ca_file.as_ref();
    object.optional("ca_file", ca_file.map(|path| path.to_string_lossy()));
    object.text("user_agent", &agent.user_agent);
    object.finish()
}

fn telegram_json(telegram: &Telegram) -> String {
    let ids = |ids: &[i64]| {
        let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
        format!("[{}]", ids.join(","))
    };
    let null = || "null".to_owned();
    format!(
        "{{\"token\":{},\"chats\":{},\"users\":{},\"topic\":{},\"quiet\":{},\"api\":{},\"poll\":{}}}",
        json_string(&telegram.token.to_string()),
        ids(&telegram.chats),
        telegram.users.as_deref().map_or_else(null, ids),
        telegram.topic.map_or_else(null, |topic| topic.to_string()),
        telegram
            .quiet
            .map_or_else(null, |quiet| json_string(&quiet.to_string())),
        json_string(&telegram.api),
        json_string(&format_duration(telegram.poll)),
    )
}

fn expectation(site: &Site) -> String {
    let mut wanted = match &site.check {
        Check::Http(http) => http_expectation(http),
        Check::Tcp(tcp) => talk_expectation(&tcp.talk),
        Check::Tls(tls) => {
            let mut wanted = talk_expectation(&tls.talk);
            wanted.extend(unverified(tls.verify));
            wanted
        }
        Check::Dns(dns) => vec![match &dns.expect {
            Some(value) => format!("{} {}", dns.kind.word(), shown(value)),
            None => format!("any {}", dns.kind.word()),
        }],
        Check::Icmp(_) => vec!["echo".to_owned()],
    };
    for (what, before) in [("cert", site.cert), ("domain", site.domain)] {
        wanted.extend(before.map(|before| format!("{what} {}", format_duration(before))));
    }
    if let Some(slow) = site.slow {
        wanted.push(format!("within {}", format_duration(slow)));
    }
    if !site.maintenance.is_empty() {
        wanted.push(format!("maintenance {}", hours::list(&site.maintenance)));
    }
    if let Some(name) = &site.after {
        wanted.push(format!("after {name}"));
    }
    if site.paused {
        wanted.insert(0, "paused".to_owned());
    }
    wanted.join(", ")
}

fn http_expectation(http: &HttpCheck) -> Vec<String> {
    let mut wanted = Vec::new();
    if http.login.is_some() {
        wanted.push("login".to_owned());
    }
    wanted.push(format!("status {}", http.status));
    // `{:?}` keeps control characters from the terminal.
    wanted.extend(http.body.iter().map(|text| format!("body with {text:?}")));
    wanted.extend(
        http.body_not
            .iter()
            .map(|text| format!("body without {text:?}")),
    );
    wanted.extend(http.json.iter().map(|json| shown(&json.text)));
    wanted.extend(unverified(http.verify));
    wanted
}

fn talk_expectation(talk: &Talk) -> Vec<String> {
    vec![match (&talk.send, &talk.expect) {
        (None, Some(text)) => format!("banner {text:?}"),
        (Some(_), Some(text)) => format!("answer {text:?}"),
        (_, None) => "connection".to_owned(),
    }]
}

fn unverified(verify: bool) -> Option<String> {
    (!verify).then(|| "certificate not verified".to_owned())
}

/// A text on one line that cannot steer a terminal.
fn shown(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_debug());
        } else {
            line.push(c);
        }
    }
    line
}

fn telegram_line(telegram: &Telegram) -> String {
    let ids = |ids: &[i64]| {
        ids.iter()
            .map(i64::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let chats = match telegram.chats.as_slice() {
        [] => "no chats yet (sitemon pair finds one)".to_owned(),
        chats => format!("chats {}", ids(chats)),
    };
    let users = match &telegram.users {
        Some(users) => format!("users {}", ids(users)),
        None => "anybody in them commands".to_owned(),
    };
    let topic = telegram.topic;
    let topic = topic.map_or_else(String::new, |topic| format!("topic {topic}, "));
    let quiet = telegram.quiet;
    let quiet = quiet.map_or_else(String::new, |quiet| format!("quiet {quiet}, "));
    let poll = format_duration(telegram.poll);
    format!(
        "telegram  token {}, {chats}, {users}, {topic}{quiet}api {}, poll {poll}\n",
        telegram.token, telegram.api
    )
}

/// Columns as wide as their widest cell, within reason, two blanks between them, none behind the last.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
            .min(WIDEST)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in rows {
        // Not a width of `format!`, which panics beyond 65,535.
        let padded = |(cell, width): (&String, &usize)| {
            let blanks = width.saturating_sub(cell.chars().count());
            format!("{cell}{}", " ".repeat(blanks))
        };
        let cells = row.iter().zip(&widths).map(padded);
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn site_json(site: &Site) -> String {
    let mut object = Object::default();
    object.text("name", &site.name);
    object.text("url", &site.url);
    object.time("interval", site.interval);
    object.time("timeout", site.timeout);
    object.raw("tries", &site.tries.to_string());
    object.time("retry", site.retry);
    object.raw("recover", &site.recover.to_string());
    object.time("remind", site.remind.unwrap_or(Duration::ZERO));
    object.optional("slow", site.slow.map(format_duration));
    object.optional("after", site.after.as_deref());
    object.optional("group", site.group.as_deref());
    object.raw("paused", &site.paused.to_string());
    let chats = site.chats.as_ref().map(|ids| {
        let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
        format!("[{}]", ids.join(","))
    });
    object.raw("chats", chats.as_deref().unwrap_or("null"));
    let windows = Some(&site.maintenance).filter(|windows| !windows.is_empty());
    object.optional("maintenance", windows.map(|windows| hours::list(windows)));
    let ip = match &site.check {
        Check::Http(http) => {
            http_keys(&mut object, http);
            if site.is_https() {
                tls_keys(&mut object, site, http.verify, http.ca_file.as_deref());
            }
            http.ip
        }
        Check::Tcp(tcp) => {
            talk_keys(&mut object, &tcp.talk);
            tcp.ip
        }
        Check::Tls(tls) => {
            tls_keys(&mut object, site, tls.verify, tls.ca_file.as_deref());
            talk_keys(&mut object, &tls.talk);
            tls.ip
        }
        Check::Dns(dns) => {
            object.optional("expect", dns.expect.as_deref());
            dns.ip
        }
        Check::Icmp(icmp) => icmp.ip,
    };
    object.time("domain", site.domain.unwrap_or(Duration::ZERO));
    object.optional(
        "ip",
        match ip {
            IpVersion::Any => None,
            IpVersion::V4 => Some("4"),
            IpVersion::V6 => Some("6"),
        },
    );
    object.finish()
}

fn http_keys(object: &mut Object, http: &HttpCheck) {
    object.text("method", &http.method);
    object.raw("headers", &hidden(&http.headers));
    object.optional("send", http.send.as_ref().map(|_| "***"));
    object.optional("auth", http.auth.as_ref().map(|_| "***"));
    object.text("status", &http.status.to_string());
    object.optional("body", http.body.as_deref());
    object.optional("body_not", http.body_not.as_deref());
    let json: Vec<String> = http.json.iter().map(|j| json_string(&j.text)).collect();
    object.raw("json", &format!("[{}]", json.join(",")));
    object.raw("redirects", &http.redirects.to_string());
    object.raw("private_redirects", &http.private_redirects.to_string());
    object.optional(
        "http",
        match http.version {
            HttpVersion::Any => None,
            HttpVersion::Http11 => Some("1.1"),
            HttpVersion::Http2 => Some("2"),
        },
    );
    match &http.login {
        Some(login) => object.raw("login", &login_json(login)),
        None => object.raw("login", "null"),
    }
}

/// Its URLs may hold secrets that were filled in.
fn login_json(login: &Login) -> String {
    let mut object = Object::default();
    object.text("url", "***");
    object.optional("page", login.page.as_ref().map(|_| "***"));
    object.raw("form", &hidden(&login.form));
    object.optional(
        "expect",
        login.expect.as_ref().map(|expect| match expect {
            LoginExpect::Status(codes) => codes.to_string(),
            LoginExpect::Text(text) => text.clone(),
        }),
    );
    object.finish()
}

fn tls_keys(object: &mut Object, site: &Site, verify: bool, ca_file: Option<&Path>) {
    object.time("cert", site.cert.unwrap_or(Duration::ZERO));
    object.raw("verify", &verify.to_string());
    object.optional("ca_file", ca_file.map(Path::to_string_lossy));
}

fn talk_keys(object: &mut Object, talk: &Talk) {
    object.optional("send", talk.send.as_ref().map(|_| "***"));
    object.optional("expect", talk.expect.as_deref());
}

/// The names alone.
fn hidden(fields: &[(String, String)]) -> String {
    let mut object = Object::default();
    for (name, _) in fields {
        object.text(name, "***");
    }
    object.finish()
}

/// A JSON object that is being written.
#[derive(Default)]
struct Object {
    members: Vec<String>,
}

impl Object {
    fn raw(&mut self, key: &str, json: &str) {
        self.members.push(format!("{}:{json}", json_string(key)));
    }

    fn text(&mut self, key: &str, text: &str) {
        self.raw(key, &json_string(text));
    }

    fn time(&mut self, key: &str, time: Duration) {
        self.text(key, &format_duration(time));
    }

    fn optional(&mut self, key: &str, text: Option<impl AsRef<str>>) {
        match text {
            Some(text) => self.text(key, text.as_ref()),
            None => self.raw(key, "null"),
        }
    }

    fn finish(self) -> String {
        format!("{{{}}}", self.members.join(","))
    }
}
