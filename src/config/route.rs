//! Parses `route`, the routes to Telegram, and the `proxy` of sites.

use super::Context;
use super::error::MistakeList;
use super::plaintext_secrets::{is_literal, is_secret_url};
use super::toml_table::{Entry, Table};
use super::value::{self, expand};
use super::variables::{filled, unfilled};
use crate::monitor::site::Proxy;
use crate::monitor::site::secret_url::SecretUrl;
use crate::monitor::uplink::route::Route;
use percent_encoding::percent_decode_str;
use toml_span::Span;
use url::{Host, Url};

const FORMS: &str =
    "takes \"direct\", a proxy (http://, socks5:// or socks5h://) or a relay (https://)";
const PROXY_FORM: &str = "must begin with http://, socks5:// or socks5h://";
/// Default port of a proxy in libcurl and RFC 1928.
const PROXY_PORT: u16 = 1080;

/// Reads the list and rejects duplicates.
pub fn read(
    table: &mut Table,
    ctx: &Context,
    warnings: &mut Vec<String>,
    log: &mut MistakeList,
) -> Entry<Vec<Route>> {
    let written: Entry<Vec<(Route, Option<Span>)>> = table.list("route", log, |element, before| {
        let text = element.as_str()?;
        let route = expand(text, ctx.env)
            .map_err(|bad| {
                bad.first()
                    .map_or(String::new(), |dollar| unfilled(dollar, true))
            })
            .and_then(|filled| route(&filled))
            .and_then(
                |route| match before.iter().any(|(other, _)| *other == route) {
                    true => Err(format!("has {route} twice")),
                    false => Ok(route),
                },
            );
        let secret = |route: &Route| {
            route.to_string().contains("***") && (is_literal(text) || is_secret_url(text))
        };
        Some(match route {
            Ok(route) => {
                let secret = secret(&route).then_some(element.span);
                Ok((route, secret))
            }
            Err(what) => Err((None, what)),
        })
    });
    written.then(|routes, _| {
        for (route, secret) in &routes {
            if let Some(span) = secret {
                log.add_secret(*span, "route");
            }
            if let Route::Relay(url) = route {
                warnings.push(format!(
                    "`route` has the relay {url}: what runs there sees the bot's token and every message; use \
                     none but your own"
                ));
            }
        }
        Some(routes.into_iter().map(|(route, _)| route).collect())
    })
}

/// Reads the `proxy` of a site.
pub fn site_proxy(
    table: &mut Table,
    key: &'static str,
    ctx: &Context,
    log: &mut MistakeList,
) -> Entry<Proxy> {
    let (_, filled) = filled(table, key, is_secret_url, ctx.env, log);
    filled.check(key, log, |text| match text.as_str() {
        "none" => Ok(Proxy::None),
        text => proxy(text).map(Proxy::Server),
    })
}

fn route(text: &str) -> Result<Route, String> {
    if text == "direct" {
        return Ok(Route::Direct);
    }
    match scheme(text).as_deref() {
        Some("https") => relay(text).map(Route::Relay),
        Some("http") if has_path(text) => Err(
            "has an http:// address with a path: a proxy has none, and a relay must begin with https://, for the \
             token travels to it"
                .to_owned(),
        ),
        Some("http" | "socks5" | "socks5h") => proxy(text).map(Route::Proxy),
        Some("socks" | "socks4" | "socks4a") => Err(format!("{FORMS}; of SOCKS it knows version 5: socks5h://")),
        Some(other) => Err(format!("{FORMS}; {}:// is none of them", value::brief(other))),
        None => Err(FORMS.to_owned()),
    }
}

fn proxy(text: &str) -> Result<SecretUrl, String> {
    let scheme = match scheme(text).as_deref() {
        Some(known @ ("http" | "socks5" | "socks5h")) => known.to_owned(),
        Some("socks" | "socks4" | "socks4a") => {
            return Err(format!("{PROXY_FORM}: of SOCKS version 5 alone is known"));
        }
        Some(other) => return Err(format!("{PROXY_FORM}, not with {}://", value::brief(other))),
        None => return Err(PROXY_FORM.to_owned()),
    };
    if has_path(text) {
        return Err(
            "has a proxy with a path, a `?` or a `#`; a proxy is scheme, host and port".to_owned(),
        );
    }
    let url = http_like(text)?;
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    // `Url` omits port 80 of an `http:` URL; parsed as `https:` it keeps it.
    let written = url
        .port()
        .or_else(|| Url::parse(&format!("https://{rest}")).ok()?.port());
    let host = host(&url)?;
    let port = written.unwrap_or(PROXY_PORT);
    let mut user = url.username().to_owned();
    if let Some(password) = url.password() {
        user.push(':');
        user.push_str(password);
    }
    let parts = match user.is_empty() {
        true => Vec::new(),
        false => parts([url.username(), url.password().unwrap_or_default()]),
    };
    let (user, hidden) = match user.is_empty() {
        true => (String::new(), ""),
        false => (format!("{user}@"), "***@"),
    };
    let shown = match written {
        Some(port) => format!("{scheme}://{hidden}{host}:{port}"),
        None => format!("{scheme}://{hidden}{host}"),
    };
    Ok(SecretUrl::new(
        format!("{scheme}://{user}{host}:{port}"),
        shown,
        parts,
    ))
}

fn relay(text: &str) -> Result<SecretUrl, String> {
    let url = http_like(text)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a relay with a user and a password, which it cannot have; its path may be the secret".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(
            "has a relay with a `?` or a `#`; /bot<token>/<method> is put behind its path"
                .to_owned(),
        );
    }
    let host = host(&url)?;
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    let path = url.path().trim_end_matches('/');
    let hidden = if path.is_empty() { "" } else { "/***" };
    Ok(SecretUrl::new(
        format!("https://{host}{port}{path}"),
        format!("https://{host}{port}{hidden}"),
        parts(path.split('/')),
    ))
}

/// Returns these texts as in the URL and decoded, without those that are part of other words by chance.
fn parts<'a>(parts: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    const SHORTEST: usize = 3;
    let parts = parts.into_iter().filter(|part| part.len() >= SHORTEST);
    parts
        .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
        .collect()
}

/// Returns the scheme in lower case.
fn scheme(text: &str) -> Option<String> {
    let (scheme, _) = text.split_once("://")?;
    let is_scheme = !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric());
    is_scheme.then(|| scheme.to_ascii_lowercase())
}

/// More than one slash follows the host.
fn has_path(text: &str) -> bool {
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    host.find(['/', '?', '#'])
        .is_some_and(|at| &host[at..] != "/")
}

/// Parses a URL of any scheme, with the rules of `http:` for its host.
fn http_like(text: &str) -> Result<Url, String> {
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("has a blank or a line break in an address; write a blank as `%20`".to_owned());
    }
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    if rest.is_empty() || rest.starts_with(['/', '\\', '?', '#']) {
        return Err("has no host name behind the `//`".to_owned());
    }
    // These characters end the host: a part of the password would be taken for it, and shown.
    if let Some((before, _)) = rest.rsplit_once('@')
        && before.contains(['/', '\\', '?', '#'])
    {
        return Err(
            "has `/`, `\\`, `?` or `#` before an `@`; write them in a user or a password as %2F, %5C, %3F and %23, and \
             an `@` of a path as %40"
                .to_owned(),
        );
    }
    let scheme = if scheme(text).as_deref() == Some("https") {
        "https"
    } else {
        "http"
    };
    Url::parse(&format!("{scheme}://{rest}"))
        .map_err(|error| format!("has an address that is no URL: {error}"))
}

fn host(url: &Url) -> Result<String, String> {
    match url.host() {
        Some(Host::Domain("")) | None => Err("has no host name behind the `//`".to_owned()),
        Some(host) => Ok(host.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_and_relays_show_neither_user_nor_path() {
        for (text, url, shown) in [
            (
                "socks5h://127.0.0.1",
                "socks5h://127.0.0.1:1080",
                "socks5h://127.0.0.1",
            ),
            (
                "SOCKS5://me:p%40ss@Proxy.lan:9/",
                "socks5://me:p%40ss@proxy.lan:9",
                "socks5://***@proxy.lan:9",
            ),
            ("http://[::1]:80", "http://[::1]:80", "http://[::1]:80"),
            ("http://me@h:443", "http://me@h:443", "http://***@h:443"),
            (
                "https://relay.example",
                "https://relay.example",
                "https://relay.example",
            ),
            (
                "https://relay.example:8443/s3cret/x/",
                "https://relay.example:8443/s3cret/x",
                "https://relay.example:8443/***",
            ),
        ] {
            let (Route::Proxy(read) | Route::Relay(read)) = route(text).expect(text) else {
                panic!("{text} is direct");
            };
            assert_eq!((read.expose(), read.to_string().as_str()), (url, shown));
        }
    }

    #[test]
    fn no_part_of_a_password_is_taken_for_a_host() {
        for sign in ["/", "\\", "?", "#"] {
            for password in [
                "1SIGNhunter2",
                "hunter2SIGN",
                "SIGNhunter2",
                "p@hunter2SIGNw",
            ] {
                let password = password.replace("SIGN", sign);
                for scheme in ["http", "socks5", "socks5h", "https"] {
                    let text = format!("{scheme}://me:{password}@h:1");
                    let what = route(&text).expect_err(&text);
                    assert!(!what.contains("hunter2"), "{what}");
                    assert!(scheme == "https" || proxy(&text).is_err(), "{text}");
                }
                let encoded = percent_encoding::utf8_percent_encode(
                    &password,
                    percent_encoding::NON_ALPHANUMERIC,
                );
                let text = format!("socks5h://me:{encoded}@h:1");
                let read = proxy(&text).expect(&text);
                assert_eq!(read.to_string(), "socks5h://***@h:1");
                assert!(read.parts().any(|part| part == password), "{text}");
            }
        }
        assert!(route("https://me:12/hunter2@h/x").is_err());
        assert!(route("https://h/%40me").is_ok());
    }

    #[test]
    fn the_parts_of_a_secret_are_those_that_others_may_say() {
        let parts = |text| {
            route(text)
                .expect("a route")
                .secrets()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(parts("socks5h://alice:p%40ss@h"), ["alice", "p@ss"]);
        assert_eq!(parts("https://h/s3cret/x"), ["s3cret"]);
        assert!(parts("direct").is_empty());
    }
}
