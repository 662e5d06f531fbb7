//! Reads `[[site]]` into [`Site`].

use super::address::{self, Address};
use super::cause_secrets;
use super::error::MistakeList;
use super::plaintext_secrets::{is_literal, is_secret_url};
use super::scheme::Scheme;
use super::site_keys::{Keys, Scope};
use super::site_names::Names;
use super::toml_table::{Entry, Table};
use super::variables::filled;
use super::{endpoint, exec, times_of_day, value};
use crate::monitor::site::{
    Auth, Check, DnsCheck, Due, ExecCheck, HttpCheck, HttpVersion, IcmpCheck, IpVersion, PushCheck,
    SendExpect, Site, TcpCheck, TlsCheck, Token,
};
use crate::monitor::time::hours::Window;
use std::net::IpAddr;
use std::time::Duration;
use toml_span::Span;
use url::Url;

const ADVICE: exec::Advice = exec::Advice {
    example: "/usr/lib/nagios/plugins/check_disk",
    secret: "put it into `env`",
};
/// Interval and timeout of sites that are not checked.
const UNASKED: Duration = Duration::from_secs(10);
/// Minimum number of characters of a token.
const SHORTEST_TOKEN: usize = 16;

/// Reads one `[[site]]`. Returns `None` after a mistake, which is recorded.
pub fn read(
    mut table: Table,
    defaults: &Keys,
    names: &mut Names,
    scope: &Scope,
    log: &mut MistakeList,
) -> Option<Site> {
    let header = table.span;
    let name = table.text("name", log, value::label);
    let ((written, url), of_url) = cause_secrets::noting(scope, |scope| {
        filled(&mut table, "url", is_secret_url, scope.ctx.env, log)
    });
    let after = table.text("after", log, |text| Ok(text.to_owned()));
    let scheme = match (&url, &written) {
        (Entry::Given(url), _) | (_, Entry::Given(url)) => Scheme::of(&url.value),
        _ => None,
    };
    if let Some(scheme) = scheme {
        table.refuse(|key| scheme.refusal(key), log);
    }
    let every = table.time("every", log);
    let at = table.text("at", log, times_of_day::times);
    let (_, token) = filled(&mut table, "token", is_literal, scope.ctx.env, log);
    let token = token.check("token", log, sound_token);
    names.add_token(&token, log);
    let command = exec::command(&mut table, scope.state, &ADVICE, log);
    let (mut own, taken) = cause_secrets::noting(scope, |scope| Keys::read(&mut table, scope, log));
    own.taken = [of_url, taken].concat();
    table.finish(log);
    names.add(&name, after.clone(), log);
    if name.is_absent() {
        log.add(
            header,
            "this site has no `name`; give it one, e.g. name = \"blog\"",
        );
    }
    if written.is_absent() {
        log.add(
            header,
            "this site has no `url`; say what to watch, e.g. url = \"https://example.com/\"",
        );
    }
    if command.is_absent() && scheme == Some(Scheme::Exec) {
        log.add(
            header,
            "this site has no `command`; say what to run, e.g. command = \
             [\"/usr/lib/nagios/plugins/check_procs\"]",
        );
    }
    let keys = own.or(defaults, &|key| scheme.is_none_or(|scheme| scheme.has(key)));
    together(&own, &keys, log);

    let written = written.given()?;
    let address = url
        .check("url", log, |filled| address::site(&written.value, &filled))
        .value()?;
    let ip = family(&address, &own, &keys, log);
    let domain = registration(&address, &own, &keys, log);
    let check = match address {
        Address::Push => {
            let due = due(every, at, written.span, log)?;
            Check::Push(PushCheck {
                due,
                grace: keys.grace.get()?,
                longest: keys.longest.get(),
                token: token.value().map(Token::new),
            })
        }
        address => check(address, command, ip, &own, &keys, log)?,
    };
    // Sites that report lack the keys of those that are checked.
    let unasked = matches!(check, Check::Push(_));
    let time = |asked: Option<Duration>| asked.or(unasked.then_some(UNASKED));
    let number = |asked: Option<u32>| asked.or(unasked.then_some(1));
    let unless_zero = |time: &Duration| !time.is_zero();
    Some(Site {
        name: name.value()?,
        url: address::masked(&written.value),
        interval: time(keys.interval.get())?,
        timeout: time(keys.timeout.get())?,
        tries: number(keys.tries.get())?,
        retry: time(keys.retry.get())?,
        recover: number(keys.recover.get())?,
        remind: keys.remind.get().filter(unless_zero),
        slow: keys.slow.get(),
        after: after.value(),
        group: keys.group.get(),
        note: keys.note.get(),
        paused: keys.paused.get()?,
        chats: keys.chats.get(),
        topic: keys.topic.get().map(i64::from),
        maintenance: keys.maintenance.get().unwrap_or_default(),
        cert: keys.cert.get().filter(unless_zero),
        domain,
        secrets: cause_secrets::secrets(&check, keys.taken.clone()),
        check,
    })
}

/// Reads when reports are due: either `every` or `at`. `url`: span of the site's URL.
fn due(
    every: Entry<Duration>,
    at: Entry<Vec<Window>>,
    url: Span,
    log: &mut MistakeList,
) -> Option<Due> {
    match (every, at) {
        (Entry::Given(_), Entry::Given(at)) => {
            log.add(at.span, "`at` is given and `every` too; keep one of them");
            None
        }
        (Entry::Given(every), Entry::Absent) => Some(Due::Every(every.value)),
        (Entry::Absent, Entry::Given(at)) => Some(Due::At(at.value)),
        (Entry::Absent, Entry::Absent) => {
            log.add(
                url,
                "this site has neither `every` nor `at`; say when its reports are due, e.g. \
                 every = \"1d\" or at = \"Mon-Fri 03:00\"",
            );
            None
        }
        _ => None,
    }
}

fn sound_token(token: String) -> Result<String, String> {
    if token.chars().any(char::is_control) {
        return Err("has a line break or another control character in it".to_owned());
    }
    match token.chars().count() {
        ..SHORTEST_TOKEN => Err(format!(
            "must have at least {SHORTEST_TOKEN} characters, or it can be guessed; \
             `head -c 18 /dev/urandom | base64 | tr +/ -_` makes one"
        )),
        _ => Ok(token),
    }
}

fn check(
    address: Address,
    command: Entry<Vec<String>>,
    ip: IpVersion,
    own: &Keys,
    keys: &Keys,
    log: &mut MistakeList,
) -> Option<Check> {
    let send_expect = || SendExpect {
        send: keys.send.get(),
        expect: keys.expect.get(),
    };
    Some(match address {
        Address::Http { url, zone, auth } => Check::Http(HttpCheck {
            zone,
            ..http(url, auth, ip, own, keys, log)?
        }),
        Address::Tcp(target) => Check::Tcp(TcpCheck {
            host: target.host,
            port: target.port,
            ip,
            send_expect: send_expect(),
        }),
        Address::Tls(target, starttls) => Check::Tls(TlsCheck {
            host: target.host,
            port: target.port,
            ip,
            starttls,
            send_expect: send_expect(),
            verify: keys.verify.get()?,
            ca_file: keys.ca_file.get(),
        }),
        Address::Dns(question) => Check::Dns(DnsCheck {
            expect: keys
                .expect
                .clone()
                .check("expect", log, |text| endpoint::record(question.kind, &text))
                .value(),
            server: question.server,
            name: question.name,
            kind: question.kind,
            ip,
        }),
        Address::Icmp(host) => Check::Icmp(IcmpCheck {
            host,
            ip,
            loss: keys.loss.get(),
        }),
        Address::Host(check) => Check::Host(check),
        Address::Exec => Check::Exec(ExecCheck {
            command: command.value()?,
            env: keys.env.get().unwrap_or_default(),
            local: keys.local.get().unwrap_or(false),
        }),
        Address::Push => return None,
    })
}

fn http(
    url: Url,
    auth: Option<Auth>,
    ip: IpVersion,
    own: &Keys,
    keys: &Keys,
    log: &mut MistakeList,
) -> Option<HttpCheck> {
    // Credentials in the site's URL take precedence over those in `[defaults]`.
    if auth.is_some()
        && let Some(span) = own.auth.span()
    {
        log.add(
            span,
            "`auth` is given and `url` holds a user too; keep one of them",
        );
    }
    let login = keys
        .login
        .get()
        .map(|login| login.for_site(url.as_str(), log));
    let login = login.map(Box::new);
    Some(HttpCheck {
        url,
        proxy: keys.proxy.get().unwrap_or_default(),
        zone: None,
        method: keys.method.get()?,
        headers: keys.headers.get().unwrap_or_default(),
        send: keys.send.get(),
        auth: auth.or(keys.auth.get()),
        status: keys.status.get()?,
        body: keys.body.get(),
        body_not: keys.body_not.get(),
        json: keys.json.get().unwrap_or_default(),
        login,
        redirects: keys.redirects.get()?,
        private_redirects: keys.private_redirects.get()?,
        version: keys.http.get().unwrap_or(HttpVersion::Any),
        ip,
        // Sites with http:// lack the key.
        verify: keys.verify.get().unwrap_or(true),
        ca_file: keys.ca_file.get(),
    })
}

/// Reads the address family. For an IP address the default does not apply.
fn family(address: &Address, own: &Keys, keys: &Keys, log: &mut MistakeList) -> IpVersion {
    let wanted = keys.ip.get().unwrap_or(IpVersion::Any);
    let (other, is) = match (address.host().and_then(literal), wanted) {
        (Some(IpAddr::V4(_)), IpVersion::V6) => ("6", "an IPv4 address"),
        (Some(IpAddr::V6(_)), IpVersion::V4) => ("4", "an IPv6 address"),
        _ => return wanted,
    };
    if let Some(span) = own.ip.span() {
        log.add(span, format!("`ip` is \"{other}\", but `url` has {is}"));
    }
    IpVersion::Any
}

/// Reads how long before the domain's expiry the user is warned, if the site has a domain.
fn registration(
    address: &Address,
    own: &Keys,
    keys: &Keys,
    log: &mut MistakeList,
) -> Option<Duration> {
    let before = keys.domain.get().filter(|before| !before.is_zero())?;
    let name = match address {
        Address::Dns(question) => question.name.as_str(),
        _ => address.host().unwrap_or_default(),
    };
    if literal(name).is_none() && name.trim_end_matches('.').contains('.') {
        return Some(before);
    }
    if let Some(span) = own.domain.span() {
        log.add(
            span,
            "`domain` wants a registered name such as example.com in `url`",
        );
    }
    None
}

fn literal(host: &str) -> Option<IpAddr> {
    host.split('%').next()?.parse().ok()
}

/// Checks combinations of keys, some of which may come from `[defaults]`: mistakes are reported at the
/// site's own key if it has one.
fn together(own: &Keys, keys: &Keys, log: &mut MistakeList) {
    if let (Entry::Given(slow), Some(timeout)) = (&keys.slow, keys.timeout.get())
        && slow.value >= timeout
    {
        let (slower, limit) = (
            value::format_duration(slow.value),
            value::format_duration(timeout),
        );
        let at = own.slow.span().or(own.timeout.span()).unwrap_or(slow.span);
        log.add(
            at,
            format!("`slow` ({slower}) must be shorter than `timeout` ({limit})"),
        );
    }
    let bodies = [
        ("body", own.body.span(), keys.body.span()),
        ("body_not", own.body_not.span(), keys.body_not.span()),
        ("json", own.json.span(), keys.json.span()),
    ];
    for (key, own_span, span) in bodies {
        if let (Entry::Given(method), Some(span)) = (&keys.method, span)
            && method.value == "HEAD"
        {
            let at = own_span.or(own.method.span()).unwrap_or(span);
            log.add(
                at,
                format!("`{key}` cannot be met with method \"HEAD\": no body comes back"),
            );
        }
    }
}
