//! `sitemon config`: prints the configuration as a table, without secrets.

use super::action::{limit_text, task_text};
use super::notify::when_text;
use super::value::format_duration;
use super::{Action, Config, Notify, Telegram};
use crate::monitor::incident::remediation::When;
use crate::monitor::render::text::count;
use crate::monitor::site::{Check, Due, HttpCheck, PushCheck, SendExpect, Site};
use crate::monitor::time::hours;
use crate::monitor::uplink::route::Route;

/// Maximum width of a column: a longer cell shifts the rest of its row.
const WIDEST: usize = 64;

/// Formats the configuration as a table, including line breaks.
pub fn summary(config: &Config) -> String {
    let mut rows = vec![["NAME", "URL", "EVERY", "TIMEOUT", "EXPECTED"].map(str::to_owned)];
    rows.extend(config.sites.iter().map(|site| {
        let (every, timeout) = match &site.check {
            Check::Push(push) => (due(push), String::new()),
            _ => (
                format_duration(site.interval),
                format_duration(site.timeout),
            ),
        };
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
    text.extend(config.channels.iter().map(notify_line));
    text.extend(config.actions.iter().map(action_line));
    if let Some(listen) = &config.listen {
        let token = listen.token.as_ref();
        let token = token.map_or(String::new(), |token| format!(", token {token}"));
        text.push_str(&format!("listen    {}{token}\n", listen.address));
    }
    text
}

fn notify_line(notify: &Notify) -> String {
    let channel = &notify.channel;
    let of = match &channel.sites {
        Some(sites) => format!(", alerts of {}", sites.join(", ")),
        None => String::new(),
    };
    let (name, method, origin) = (&channel.name, &notify.method, &notify.origin);
    format!(
        "notify    {name}: {method} {origin}/***, {}{of}\n",
        when_text(channel.when)
    )
}

fn due(push: &PushCheck) -> String {
    match &push.due {
        Due::Every(every) => format_duration(*every),
        Due::At(times) => hours::beginnings(times),
    }
}

fn action_line(action: &Action) -> String {
    let remediation = &action.remediation;
    let when = match remediation.when {
        When::Down => format!("{} down", remediation.sites.join(", ")),
        When::Offline => "offline".to_owned(),
    };
    let auto = remediation.auto.map(|auto| {
        let (auto, limit) = (format_duration(auto), limit_text(remediation.limit));
        format!(", by itself after {auto}, {limit}")
    });
    let (name, auto) = (&remediation.name, auto.unwrap_or_default());
    format!(
        "action    {name}: {}, when {when}{auto}\n",
        shown(&task_text(&action.task))
    )
}

fn expectation(site: &Site) -> String {
    let mut wanted = match &site.check {
        Check::Http(http) => http_expectation(http),
        Check::Tcp(tcp) => talk_expectation(&tcp.send_expect),
        Check::Tls(tls) => {
            let mut wanted = talk_expectation(&tls.send_expect);
            wanted.extend(unverified(tls.verify));
            wanted
        }
        Check::Dns(dns) => vec![match &dns.expect {
            Some(value) => format!("{} {}", dns.kind.word(), shown(value)),
            None => format!("any {}", dns.kind.word()),
        }],
        Check::Icmp(icmp) => {
            let loss = icmp.loss.map(|loss| format!("loss {loss}%"));
            std::iter::once("echo".to_owned()).chain(loss).collect()
        }
        // Its URL has everything.
        Check::Host(_) => Vec::new(),
        Check::Exec(exec) => exec
            .command
            .first()
            .map(|program| shown(program))
            .into_iter()
            .collect(),
        Check::Push(push) => {
            let longest = push.longest.map(|longest| ("ends within", longest));
            let times = [("grace", push.grace)].into_iter().chain(longest);
            times
                .map(|(what, time)| format!("{what} {}", format_duration(time)))
                .collect()
        }
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
    // `{:?}` escapes control characters, which could control the terminal.
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

fn talk_expectation(send_expect: &SendExpect) -> Vec<String> {
    vec![match (&send_expect.send, &send_expect.expect) {
        (None, Some(text)) => format!("banner {text:?}"),
        (Some(_), Some(text)) => format!("answer {text:?}"),
        (_, None) => "connection".to_owned(),
    }]
}

fn unverified(verify: bool) -> Option<String> {
    (!verify).then(|| "certificate not verified".to_owned())
}

/// Puts a text on one line without control characters.
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
        None => "every member of them may give commands".to_owned(),
    };
    let topic = telegram.topic;
    let topic = topic.map_or_else(String::new, |topic| format!("topic {topic}, "));
    let quiet = telegram.quiet;
    let quiet = quiet.map_or_else(String::new, |quiet| format!("quiet {quiet}, "));
    let route: Vec<String> = telegram.route.iter().map(ToString::to_string).collect();
    let route = match telegram.route.as_slice() {
        [Route::Direct] => String::new(),
        _ => format!(", route {}", route.join(", ")),
    };
    let poll = format_duration(telegram.poll);
    format!(
        "telegram  token {}, {chats}, {users}, {topic}{quiet}api {}{route}, poll {poll}\n",
        telegram.token, telegram.api
    )
}

/// Aligns columns by their widest cells up to [`WIDEST`], separated by two blanks.
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
        // `format!` panics for widths over 65,535.
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
