//! Collects the secrets of a site's configuration, which causes must not show if a server echoes them.

use super::Context;
use super::site_keys::Scope;
use crate::monitor::site::{Auth, Check, HostCheck, HttpCheck, Proxy, Secrets};
use crate::pem::base64;
use std::cell::RefCell;
use url::Position;

/// Minimum bytes of a secret: shorter ones occur in other texts by chance.
const SHORTEST_SECRET: usize = 4;

/// Headers whose values are not secret; those of all others may be.
const ORDINARY: [&str; 9] = [
    "accept",
    "accept-language",
    "accept-encoding",
    "cache-control",
    "content-type",
    "host",
    "origin",
    "referer",
    "user-agent",
];

/// Variables of programs whose values are not secret; those of all others may be.
const PUBLIC_VARIABLES: [&str; 4] = ["PATH", "HOME", "TZ", "LANG"];

/// Parts of the names of form fields that hold a secret.
const TELL_TALES: [&str; 7] = ["pass", "pwd", "secret", "token", "auth", "key", "pin"];

/// Runs `read`, and collects the variables that were replaced in it.
pub fn noting<T>(scope: &Scope, read: impl FnOnce(&Scope) -> T) -> (T, Vec<String>) {
    let taken = RefCell::new(Vec::new());
    let env = |name: &str| {
        let value = (scope.ctx.env)(name);
        taken.borrow_mut().extend(value.clone());
        value
    };
    let ctx = Context {
        env: &env,
        ..*scope.ctx
    };
    let read = read(&Scope {
        ctx: &ctx,
        chats: scope.chats.clone(),
        state: scope.state,
    });
    (read, taken.into_inner())
}

/// Returns the secrets of a site with this check: `taken`, the values from the environment, unless one is
/// the site's host; `auth`, headers, and the fields of `login` whose names suggest a secret.
pub fn secrets(check: &Check, taken: Vec<String>) -> Secrets {
    let mut secrets = taken;
    let asked = match check {
        Check::Http(check) => check.url[Position::BeforeUsername..Position::BeforePath].to_owned(),
        Check::Tcp(check) => format!("{}:{}", check.host, check.port),
        Check::Tls(check) => format!("{}:{}", check.host, check.port),
        Check::Dns(check) => format!("{} {:?}", check.name, check.server),
        Check::Icmp(check) => check.host.clone(),
        Check::Host(HostCheck::Disk { path, .. } | HostCheck::File { path, .. }) => {
            path.display().to_string()
        }
        Check::Host(HostCheck::Process { name }) => name.clone(),
        Check::Host(_) | Check::Exec(_) | Check::Push(_) => String::new(),
    };
    secrets.retain(|value| !contains(&asked, value));
    match check {
        Check::Http(check) => of_request(check, &mut secrets),
        Check::Push(check) => secrets.extend(check.token.iter().map(|t| t.expose().to_owned())),
        _ => {}
    }
    if let Check::Exec(check) = check {
        let public = |name: &str| PUBLIC_VARIABLES.contains(&name) || name.starts_with("LC_");
        let env = check.env.iter().filter(|(name, _)| !public(name));
        secrets.extend(env.map(|(_, value)| value.clone()));
    }
    secrets.retain(|secret| secret.len() >= SHORTEST_SECRET);
    // Longest first: replacing one must not split another that contains it.
    secrets.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    secrets.dedup();
    Secrets::new(secrets)
}

fn of_request(check: &HttpCheck, secrets: &mut Vec<String>) {
    if let Proxy::Server(url) = &check.proxy {
        secrets.extend(url.parts().map(str::to_owned));
    }
    match &check.auth {
        Some(Auth::Basic { user, password }) => {
            secrets.push(password.clone());
            secrets.push(base64(format!("{user}:{password}").as_bytes()));
        }
        Some(Auth::Bearer(token)) => secrets.push(token.clone()),
        None => {}
    }
    for (name, value) in &check.headers {
        if !ORDINARY.contains(&name.to_ascii_lowercase().as_str()) {
            // After `Basic` or `Bearer`.
            let last = value.rsplit(' ').next().unwrap_or_default();
            secrets.extend([value.clone(), last.to_owned()]);
        }
    }
    for (name, value) in check.login.iter().flat_map(|login| &login.form) {
        if TELL_TALES.iter().any(|part| contains(name, part)) {
            secrets.push(value.clone());
        }
    }
}

fn contains(all: &str, part: &str) -> bool {
    all.to_lowercase().contains(&part.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn of(text: &str) -> Vec<String> {
        let ctx = Context {
            file: "sitemon.conf",
            exposed: false,
            dir: Path::new("/etc"),
            zone: &|_| Ok(()),
            env: &|name| match name {
                "PORT" => Some("5432".to_owned()),
                name => Some(format!("value-of-{name}")),
            },
            read: &|_| Err(std::io::ErrorKind::NotFound.into()),
        };
        let config = crate::config::parse(text, &ctx).unwrap_or_else(|e| panic!("{e}"));
        let secrets = config.sites[0].secrets.iter();
        secrets.map(str::to_owned).collect()
    }

    #[test]
    fn what_comes_from_the_environment_is_hidden_wherever_it_stands() {
        let secrets = of("[defaults]\nheaders = { X-Key = 'k $D' }\n\
             [[site]]\nname = 'a'\nurl = 'https://$HOST/$U'\nsend = '{\"k\":\"$S\"}'\n\
             login = { url = 'https://h/', form = { user = '$L' } }");
        for secret in [
            "k value-of-D",
            "value-of-D",
            "value-of-U",
            "value-of-S",
            "value-of-L",
        ] {
            assert!(secrets.iter().any(|s| s == secret), "{secret}: {secrets:?}");
        }
        assert!(!secrets.iter().any(|s| s == "value-of-HOST"), "{secrets:?}");
        let tcp = of("[[site]]\nname = 'a'\nurl = 'tcp://$HOST:$PORT'\nsend = 'auth $S'");
        assert_eq!(tcp, ["value-of-S"]);
    }

    #[test]
    fn credentials_are_hidden_as_written_and_as_sent() {
        let secrets = of(
            "[[site]]\nname = 'a'\nurl = 'https://Aladdin:open%20sesame@h/'\n\
             headers = { Accept = 'text/html', X-Id = '123', Authorization = 'Token t0ps3cret' }\n\
             login = { url = 'https://h/', form = { user = 'admin', password = 'hunter22' } }",
        );
        assert_eq!(
            secrets,
            [
                // RFC 7617, section 2.
                "QWxhZGRpbjpvcGVuIHNlc2FtZQ",
                "Token t0ps3cret",
                "open sesame",
                "t0ps3cret",
                "hunter22",
            ]
        );
        let bearer = of("[[site]]\nname = 'a'\nurl = 'http://h/'\nauth = 'bearer abcdef'");
        assert_eq!(bearer, ["abcdef"]);
    }
}
