//! What would run: a table for people, JSON for programs. Neither holds a secret.

use super::json::json_string;
use super::value::format_duration;
use super::{Config, Telegram};
use crate::monitor::site::{Check, HttpCheck, HttpVersion, IpVersion, Site};
use std::path::Path;
use std::time::Duration;

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
        "agent     state {}, {} connections at once ({} idle for {}), {} commands at once, \
         user agent {}{}\n",
        agent.state.display(),
        agent.max_connections,
        agent.idle_connections,
        format_duration(agent.idle_timeout),
        agent.commands,
        agent.user_agent,
        agent
            .ca_file
            .as_ref()
            .map_or(String::new(), |path| format!(", roots {}", path.display())),
    ));
    let uplink: Vec<String> = agent.uplink.iter().map(ToString::to_string).collect();
    text.push_str(&match uplink.as_slice() {
        [] => "uplink    none: our own line is never asked\n".to_owned(),
        uplink => format!("uplink    {}\n", uplink.join(", ")),
    });
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

/// `{"sites":[…]}` with every key of every site filled in, `null` for none, secrets as `"***"`.
pub fn to_json(config: &Config) -> String {
    let sites: Vec<String> = config.sites.iter().map(site_json).collect();
    format!("{{\"sites\":[{}]}}", sites.join(","))
}

fn expectation(site: &Site) -> String {
    let mut wanted = match &site.check {
        Check::Http(http) => http_expectation(http),
        Check::Tcp(_) | Check::Tls(_) | Check::Dns(_) | Check::Icmp(_) => Vec::new(),
    };
    if let Some(slow) = site.slow {
        wanted.push(format!("within {}", format_duration(slow)));
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
    let mut wanted = vec![format!("status {}", http.status)];
    // `{:?}` keeps control characters from the terminal.
    wanted.extend(http.body.iter().map(|text| format!("body with {text:?}")));
    wanted.extend(
        http.body_not
            .iter()
            .map(|text| format!("body without {text:?}")),
    );
    if !http.verify {
        wanted.push("certificate not verified".to_owned());
    }
    wanted
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
    let poll = format_duration(telegram.poll);
    format!(
        "telegram  token {}, {chats}, {users}, api {}, poll {poll}\n",
        telegram.token, telegram.api
    )
}

/// Columns as wide as their widest cell, two blanks between them, none behind the last.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:<width$}"));
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
    match &site.check {
        Check::Http(http) => http_keys(&mut object, http),
        Check::Tcp(_) | Check::Tls(_) | Check::Dns(_) | Check::Icmp(_) => {}
    }
    object.finish()
}

fn http_keys(object: &mut Object, http: &HttpCheck) {
    object.text("method", &http.method);
    let mut headers = Object::default();
    for (name, _) in &http.headers {
        headers.text(name, "***");
    }
    object.raw("headers", &headers.finish());
    object.optional("send", http.send.as_ref().map(|_| "***"));
    object.optional("auth", http.auth.as_ref().map(|_| "***"));
    object.text("status", &http.status.to_string());
    object.optional("body", http.body.as_deref());
    object.optional("body_not", http.body_not.as_deref());
    object.raw("redirects", &http.redirects.to_string());
    object.optional(
        "http",
        match http.version {
            HttpVersion::Any => None,
            HttpVersion::Http11 => Some("1.1"),
            HttpVersion::Http2 => Some("2"),
        },
    );
    object.optional(
        "ip",
        match http.ip {
            IpVersion::Any => None,
            IpVersion::V4 => Some("4"),
            IpVersion::V6 => Some("6"),
        },
    );
    object.raw("verify", &http.verify.to_string());
    object.optional(
        "ca_file",
        http.ca_file.as_deref().map(Path::to_string_lossy),
    );
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
