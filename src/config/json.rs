//! `sitemon config --json`: prints the configuration for programs. The table of keys determines the keys,
//! their order, and which values are hidden.

use super::action::{self, Action, Task};
use super::keys::{
    ACTION, AGENT, Key, LISTEN, LOGIN, NOTIFY, REQUEST, SITE, Section, TELEGRAM, ValueType,
    Visibility,
};
use super::notify::{Body, when_text};
use super::scheme::Scheme;
use super::value::format_duration;
use super::{Agent, Config, Listen, Notify, Telegram};
use crate::monitor::site::{
    Check, Due, HttpCheck, HttpVersion, IpVersion, Login, LoginExpect, Proxy, SendExpect, Site,
};
use crate::monitor::time::hours;
use std::fmt::{Display, Write};
use std::path::PathBuf;
use std::time::Duration;

/// Returns `{"sites":[…],"agent":{…},"telegram":{…},"notify":[…]}` with all keys; missing values are
/// `null`, secrets `"***"`. `notify`, `action` and `listen` are omitted if they are empty.
pub fn to_json(config: &Config) -> String {
    format!(
        "{{\"sites\":{},\"agent\":{},\"telegram\":{}{}{}{}}}",
        list(config.sites.iter().map(|site| site_json(site))),
        agent_json(&config.agent),
        or_null(config.telegram.as_ref().map(telegram_json)),
        match config.channels.as_slice() {
            [] => String::new(),
            channels => format!(",\"notify\":{}", list(channels.iter().map(notify_json))),
        },
        match config.actions.as_slice() {
            [] => String::new(),
            actions => format!(",\"action\":{}", list(actions.iter().map(action_json))),
        },
        match &config.listen {
            Some(listen) => format!(",\"listen\":{}", listen_json(listen)),
            None => String::new(),
        },
    )
}

fn notify_json(notify: &Notify) -> String {
    let channel = &notify.channel;
    let mut object = Object::of(&NOTIFY);
    object.text("name", Some(&channel.name));
    object.secret("url", true);
    object.text("method", Some(&notify.method));
    object.plain("headers", Some(names(&notify.headers)));
    object.secret("body", matches!(notify.body, Body::Text(_)));
    object.secret("json", matches!(notify.body, Body::Json(_)));
    object.text("when", Some(when_text(channel.when)));
    let sites = channel.sites.as_ref();
    object.plain(
        "sites",
        sites.map(|sites| list(sites.iter().map(|s| json_string(s)))),
    );
    object.finish(|_| true)
}

fn listen_json(listen: &Listen) -> String {
    let mut object = Object::of(&LISTEN);
    object.text("address", Some(listen.address.to_string()));
    object.secret("token", listen.token.is_some());
    object.finish(|_| true)
}

fn action_json(action: &Action) -> String {
    let remediation = &action.remediation;
    let mut object = Object::of(&ACTION);
    object.text("name", Some(&remediation.name));
    match &action.task {
        Task::Request(request) => {
            let mut of_request = Object::of(&REQUEST);
            of_request.secret("url", true);
            of_request.text("method", Some(&request.method));
            of_request.plain("headers", Some(names(&request.headers)));
            of_request.secret("body", request.body.is_some());
            object.plain("request", Some(of_request.finish(|_| true)));
        }
        Task::Command(command) => {
            let words = command.iter().map(|word| json_string(word));
            object.plain("command", Some(list(words)));
        }
        Task::Wake(mac) => object.text("wake", Some(action::mac_text(mac))),
    }
    let sites = remediation.sites.iter().map(|site| json_string(site));
    object.plain("sites", (sites.len() > 0).then(|| list(sites)));
    object.text("when", Some(action::when_text(remediation.when)));
    object.time("auto", remediation.auto);
    object.text("limit", Some(action::limit_text(remediation.limit)));
    object.finish(|_| true)
}

fn agent_json(agent: &Agent) -> String {
    let mut object = Object::of(&AGENT);
    object.text("state", Some(agent.state.to_string_lossy()));
    object.path("socket", Some(&agent.socket));
    object.path("spool", Some(&agent.spool));
    object.plain("max_connections", Some(agent.max_connections));
    object.plain("idle_connections", Some(agent.idle_connections));
    object.time("idle_timeout", Some(agent.idle_timeout));
    object.plain("commands", Some(agent.commands));
    object.plain("max_commands", Some(agent.max_commands));
    let uplink = agent.uplink.iter().map(|t| json_string(&t.to_string()));
    object.plain("uplink", Some(list(uplink)));
    object.secret("heartbeat", agent.heartbeat.is_some());
    object.text("digest", agent.digest.map(hours::clock));
    object.text("timezone", agent.timezone.as_deref());
    object.text("rdap", agent.rdap.as_deref());
    object.path("ca_file", agent.ca_file.as_ref());
    object.text("user_agent", Some(&agent.user_agent));
    object.finish(|_| true)
}

fn telegram_json(telegram: &Telegram) -> String {
    let mut object = Object::of(&TELEGRAM);
    object.secret("token", true);
    object.plain("chats", Some(list(&telegram.chats)));
    object.plain("users", telegram.users.as_ref().map(list));
    object.plain("topic", telegram.topic);
    object.text("quiet", telegram.quiet.map(|quiet| quiet.to_string()));
    object.text("api", Some(&telegram.api));
    let route = telegram.route.iter();
    let route = route.map(|route| json_string(&route.to_string()));
    object.plain("route", Some(list(route)));
    object.time("poll", Some(telegram.poll));
    // The origin of the token is not part of the configuration.
    object.finish(|key| key.name != "token_file")
}

fn site_json(site: &Site) -> String {
    let mut object = Object::of(&SITE);
    object.text("name", Some(&site.name));
    object.text("url", Some(&site.url));
    object.text("after", site.after.as_deref());
    object.time("interval", Some(site.interval));
    object.time("timeout", Some(site.timeout));
    object.plain("tries", Some(site.tries));
    object.time("retry", Some(site.retry));
    object.plain("recover", Some(site.recover));
    object.time("remind", site.remind.or(Some(Duration::ZERO)));
    object.time("slow", site.slow);
    object.text("group", site.group.as_deref());
    object.plain("paused", Some(site.paused));
    object.plain("chats", site.chats.as_ref().map(list));
    let windows = Some(&site.maintenance).filter(|windows| !windows.is_empty());
    object.text("maintenance", windows.map(|windows| hours::list(windows)));
    object.text("note", site.note.as_deref());
    object.plain("topic", site.topic);
    object.time("cert", site.cert.or(Some(Duration::ZERO)));
    object.time("domain", site.domain.or(Some(Duration::ZERO)));
    let (scheme, ip) = match &site.check {
        Check::Http(http) => {
            http_keys(&mut object, http);
            let secure = http.url.scheme() == "https";
            (if secure { Scheme::Https } else { Scheme::Http }, http.ip)
        }
        Check::Tcp(tcp) => {
            talk_keys(&mut object, &tcp.send_expect);
            (Scheme::Tcp, tcp.ip)
        }
        Check::Tls(tls) => {
            talk_keys(&mut object, &tls.send_expect);
            object.plain("verify", Some(tls.verify));
            object.path("ca_file", tls.ca_file.as_ref());
            (Scheme::Tls, tls.ip)
        }
        Check::Dns(dns) => {
            object.text("expect", dns.expect.as_deref());
            (Scheme::Dns, dns.ip)
        }
        Check::Icmp(icmp) => {
            object.text("loss", icmp.loss.map(|loss| format!("{loss}%")));
            (Scheme::Icmp, icmp.ip)
        }
        Check::Host(_) => (Scheme::Host, IpVersion::Any),
        Check::Push(push) => {
            match &push.due {
                Due::Every(every) => object.time("every", Some(*every)),
                Due::At(times) => object.text("at", Some(hours::beginnings(times))),
            }
            object.time("grace", Some(push.grace));
            object.time("longest", push.longest);
            object.secret("token", push.token.is_some());
            (Scheme::Push, IpVersion::Any)
        }
        Check::Exec(exec) => {
            let command = exec.command.iter().map(|word| json_string(word));
            object.plain("command", Some(list(command)));
            object.plain("env", Some(names(&exec.env)));
            object.plain("local", Some(exec.local));
            (Scheme::Exec, IpVersion::Any)
        }
    };
    let ip = match ip {
        IpVersion::Any => None,
        IpVersion::V4 => Some("4"),
        IpVersion::V6 => Some("6"),
    };
    object.text("ip", ip);
    object.finish(|key| key.sites.contains(&scheme))
}

fn http_keys(object: &mut Object, http: &HttpCheck) {
    object.text("method", Some(&http.method));
    object.plain("headers", Some(names(&http.headers)));
    object.secret("send", http.send.is_some());
    object.secret("auth", http.auth.is_some());
    object.text("status", Some(http.status.to_string()));
    object.text("body", http.body.as_deref());
    object.text("body_not", http.body_not.as_deref());
    let conditions = http.json.iter().map(|json| json_string(&json.text));
    object.plain("json", Some(list(conditions)));
    object.plain("redirects", Some(http.redirects));
    object.plain("private_redirects", Some(http.private_redirects));
    let proxy = match &http.proxy {
        Proxy::Environment => None,
        Proxy::None => Some("none".to_owned()),
        Proxy::Server(url) => Some(url.to_string()),
    };
    object.text("proxy", proxy);
    let version = match http.version {
        HttpVersion::Any => None,
        HttpVersion::Http11 => Some("1.1"),
        HttpVersion::Http2 => Some("2"),
    };
    object.text("http", version);
    object.plain("login", http.login.as_deref().map(login_json));
    object.plain("verify", Some(http.verify));
    object.path("ca_file", http.ca_file.as_ref());
}

fn login_json(login: &Login) -> String {
    let mut object = Object::of(&LOGIN);
    object.secret("url", true);
    object.secret("page", login.page.is_some());
    object.plain("form", Some(names(&login.form)));
    let expect = login.expect.as_ref().map(|expect| match expect {
        LoginExpect::Status(codes) => codes.to_string(),
        LoginExpect::Text(text) => text.clone(),
    });
    object.text("expect", expect);
    object.finish(|_| true)
}

fn talk_keys(object: &mut Object, send_expect: &SendExpect) {
    object.secret("send", send_expect.send.is_some());
    object.text("expect", send_expect.expect.as_deref());
}

/// Lists the names of headers or fields.
fn names<T>(fields: &[(String, T)]) -> String {
    let field = |(name, _): &(String, T)| format!("{}:\"***\"", json_string(name));
    let fields: Vec<String> = fields.iter().map(field).collect();
    format!("{{{}}}", fields.join(","))
}

/// Lists values that are JSON already.
fn list<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
    format!("[{}]", values.join(","))
}

fn or_null(json: Option<String>) -> String {
    json.unwrap_or_else(|| "null".to_owned())
}

/// A JSON object in progress. Keys may be set in any order.
struct Object {
    section: &'static Section,
    members: Vec<(&'static str, String)>,
}

impl Object {
    fn of(section: &'static Section) -> Object {
        let members = Vec::new();
        Object { section, members }
    }

    /// Sets a value that is JSON already.
    fn plain(&mut self, key: &'static str, json: Option<impl Display>) {
        self.members
            .extend(json.map(|json| (key, json.to_string())));
    }

    fn text(&mut self, key: &'static str, text: Option<impl AsRef<str>>) {
        self.plain(key, text.map(|text| json_string(text.as_ref())));
    }

    fn time(&mut self, key: &'static str, time: Option<Duration>) {
        self.text(key, time.map(format_duration));
    }

    fn path(&mut self, key: &'static str, path: Option<&PathBuf>) {
        self.text(key, path.map(|path| path.to_string_lossy()));
    }

    /// Sets a secret: shows whether there is a value.
    fn secret(&mut self, key: &'static str, given: bool) {
        self.plain(key, given.then_some(""));
    }

    /// Writes the keys that are `there`, in the order of the table of keys.
    fn finish(self, there: impl Fn(&Key) -> bool) -> String {
        let member = |key: &Key| {
            let value = self.members.iter().find(|(name, _)| *name == key.name);
            let is_table = matches!(key.takes, ValueType::Table(_));
            let json = match value {
                None => "null",
                Some(_) if key.shown == Visibility::Nothing && !is_table => "\"***\"",
                Some((_, json)) => json,
            };
            format!("\"{}\":{json}", key.name)
        };
        let keys = self.section.keys.iter().filter(|key| there(key));
        let members: Vec<String> = keys.map(member).collect();
        format!("{{{}}}", members.join(","))
    }
}

/// Formats `text` as a JSON string with quotes.
pub fn json_string(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            // JSON allows DEL and C1 control characters, but they could control the terminal.
            c if c.is_control() => {
                // Writing to a String cannot fail.
                let _ = write!(json, "\\u{:04x}", u32::from(c));
            }
            c => json.push(c),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use nanoserde::DeJson;
    use proptest::prelude::*;

    #[test]
    fn quotes_backslashes_and_control_characters_are_escaped() {
        assert_eq!(
            json_string("a\"\\\n\u{1b}\u{7f}\u{85}ä"),
            r#""a\"\\\n\u001b\u007f\u0085ä""#
        );
    }

    proptest! {
        #[test]
        fn a_json_reader_gets_the_text_back(text in any::<String>()) {
            let json = json_string(&text);
            prop_assert_eq!(String::deserialize_json(&json).ok(), Some(text));
        }
    }
}
