//! The cookies of one check (RFC 6265), without expiry: a check is over in minutes. isahc's own jar
//! has no bound, panics on a `Max-Age` near 2^64, and knows a retry by its stand-in host name.
//!
//! There is no list of public suffixes: a cookie for all of `co.uk` would be taken, and sent to
//! whatever host of `co.uk` this same check is led to.

use isahc::http::{HeaderMap, HeaderValue, header};
use url::{Host, Url};

/// Cookies kept; the oldest goes when one more comes.
const MOST: usize = 50;
/// Name and value of one.
const LONGEST: usize = 4096;

/// Belongs to one check and dies with it. Holds secrets.
#[derive(Default)]
pub(super) struct Jar {
    /// Oldest first.
    cookies: Vec<Cookie>,
}

struct Cookie {
    name: String,
    value: String,
    /// In lower case.
    domain: String,
    /// For `domain` alone, not for the hosts below it.
    host_only: bool,
    path: String,
    secure: bool,
}

impl Jar {
    /// Takes the cookies that an answer of `url` sets, as far as they are its to set.
    pub(super) fn take(&mut self, url: &Url, headers: &HeaderMap) {
        for value in headers.get_all(header::SET_COOKIE) {
            // Beyond ASCII it couldn't be sent back.
            if let Ok(line) = value.to_str() {
                self.set(url, line);
            }
        }
    }

    fn set(&mut self, url: &Url, line: &str) {
        let Some((cookie, ended)) = Cookie::parse(url, line) else {
            return;
        };
        let same = |other: &Cookie| {
            (&other.name, &other.domain, &other.path)
                == (&cookie.name, &cookie.domain, &cookie.path)
        };
        let place = self.cookies.iter().position(same);
        match place {
            Some(at) if ended => {
                self.cookies.remove(at);
            }
            // It keeps its age (5.3, step 11).
            Some(at) => {
                if let Some(place) = self.cookies.get_mut(at) {
                    *place = cookie;
                }
            }
            None if ended => {}
            None => {
                if self.cookies.len() >= MOST {
                    self.cookies.remove(0);
                }
                self.cookies.push(cookie);
            }
        }
    }

    /// The `Cookie` header for `url`, behind the one that is among `headers` already. `None`: there
    /// is nothing to add.
    pub(super) fn header(&self, url: &Url, headers: &HeaderMap) -> Option<HeaderValue> {
        let mut fitting: Vec<&Cookie> = self.cookies.iter().filter(|c| c.fits(url)).collect();
        if fitting.is_empty() {
            return None;
        }
        // Longer paths first, then the older one (5.4, step 2).
        fitting.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let own = headers.get_all(header::COOKIE).iter();
        let own = own.filter_map(|value| value.to_str().ok().map(str::to_owned));
        let pairs = fitting.iter().map(|c| format!("{}={}", c.name, c.value));
        let all: Vec<String> = own.chain(pairs).collect();
        HeaderValue::from_str(&all.join("; ")).ok()
    }
}

impl Cookie {
    /// A `Set-Cookie` of `url`, and whether it takes the cookie away (5.2, 5.3).
    fn parse(url: &Url, line: &str) -> Option<(Cookie, bool)> {
        let host = url.host_str()?.to_ascii_lowercase();
        let mut parts = line.split(';');
        let (name, value) = parts.next()?.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || name.len() + value.len() > LONGEST || line.contains('\t') {
            return None;
        }
        let mut cookie = Cookie {
            name: name.to_owned(),
            value: value.to_owned(),
            domain: host,
            host_only: true,
            path: default_path(url).to_owned(),
            secure: false,
        };
        let (mut aged, mut expired) = (None, false);
        for part in parts {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let value = value.trim();
            match key.trim().to_ascii_lowercase().as_str() {
                "domain" => cookie.belong(url, value)?,
                "path" if value.starts_with('/') => cookie.path = value.to_owned(),
                "path" => cookie.path = default_path(url).to_owned(),
                "secure" => cookie.secure = true,
                "max-age" => aged = ended(value).or(aged),
                "expires" => expired = is_long_past(value),
                _ => {}
            }
        }
        (cookie.path.len() <= LONGEST).then_some((cookie, aged.unwrap_or(expired)))
    }

    /// To `domain` and the hosts below it. `None`: that isn't `url`'s to say.
    fn belong(&mut self, url: &Url, domain: &str) -> Option<()> {
        let domain = domain.strip_prefix('.').unwrap_or(domain);
        let domain = domain.to_ascii_lowercase();
        let host = url.host_str()?;
        if domain.is_empty() || domain == host {
            self.host_only = domain.is_empty() || !domain.contains('.');
            self.domain = host.to_owned();
            return Some(());
        }
        // Not all of `com`.
        if !domain.contains('.') || !is_below(url, &domain) {
            return None;
        }
        self.host_only = false;
        self.domain = domain;
        Some(())
    }

    fn fits(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let path = url.path().strip_prefix(&self.path);
        let at_home = host == self.domain || !self.host_only && is_below(url, &self.domain);
        at_home
            && path.is_some_and(|rest| {
                rest.is_empty() || self.path.ends_with('/') || rest.starts_with('/')
            })
            && (!self.secure || url.scheme() == "https")
    }
}

/// A host name under `domain`; an address is under nothing.
fn is_below(url: &Url, domain: &str) -> bool {
    let Some(Host::Domain(host)) = url.host() else {
        return false;
    };
    host.strip_suffix(domain)
        .is_some_and(|above| above.ends_with('.'))
}

/// The directory of the path (5.1.4).
fn default_path(url: &Url) -> &str {
    match url.path().rsplit_once('/') {
        Some((directory, _)) if !directory.is_empty() => directory,
        _ => "/",
    }
}

/// `Max-Age`: 0 or less takes it away. `None`: not a number.
fn ended(seconds: &str) -> Option<bool> {
    let digits = seconds.strip_prefix('-').unwrap_or(seconds);
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    let is_zero = digits.bytes().all(|digit| digit == b'0');
    is_number.then_some(is_zero || seconds.starts_with('-'))
}

/// `Expires` in the last century, as servers take cookies away. Other dates would need a clock that
/// is set.
fn is_long_past(date: &str) -> bool {
    let mut words = date.split([' ', '-', ',']);
    words.any(|word| word.len() == 4 && word.starts_with("19") && word.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    /// What is sent to each address after `lines` were set by `from`.
    #[track_caller]
    fn sent(from: &str, lines: &[&str], to: &str) -> String {
        let mut jar = Jar::default();
        lines.iter().for_each(|line| jar.set(&url(from), line));
        jar_sends(&jar, to)
    }

    fn jar_sends(jar: &Jar, to: &str) -> String {
        let value = jar.header(&url(to), &HeaderMap::new());
        value.map_or(String::new(), |v| v.to_str().expect("ASCII").to_owned())
    }

    #[test]
    fn a_cookie_goes_back_where_it_came_from_and_nowhere_else() {
        let from = "https://a.example.com/app/login";
        for (line, to, wanted) in [
            ("s=1", "https://a.example.com/app/", "s=1"),
            ("s=1", "https://a.example.com:8443/app", "s=1"),
            ("s=1", "http://a.example.com/app/x", "s=1"),
            ("s=1", "https://a.example.com/apple", ""),
            ("s=1", "https://a.example.com/", ""),
            ("s=1; Path=/", "https://a.example.com/", "s=1"),
            ("s=1; path=x", "https://a.example.com/app", "s=1"),
            ("s=1; Path=/", "https://b.example.com/", ""),
            ("s=1; Path=/", "https://x.a.example.com/", ""),
            (
                "s=1; Path=/; Domain=.Example.com",
                "https://b.example.com/",
                "s=1",
            ),
            (
                "s=1; Path=/; Domain=example.com",
                "https://badexample.com/",
                "",
            ),
            ("s=1; Path=/; Domain=other.com", "https://other.com/", ""),
            (
                "s=1; Path=/; Domain=other.com",
                "https://a.example.com/",
                "",
            ),
            ("s=1; Path=/; Domain=com", "https://a.example.com/", ""),
            (
                "s=1; Path=/; Domain=x.a.example.com",
                "https://x.a.example.com/",
                "",
            ),
            ("s=1; Path=/; Domain=", "https://a.example.com/", "s=1"),
            ("s=1; Path=/; Secure", "http://a.example.com/", ""),
            (
                "s=1; Path=/; secure; HttpOnly; SameSite=Lax",
                "https://a.example.com/",
                "s=1",
            ),
        ] {
            assert_eq!(sent(from, &[line], to), wanted, "{line} to {to}");
        }
        let address = "http://127.0.0.1/";
        assert_eq!(sent(address, &["s=1; Domain=127.0.0.1"], address), "s=1");
        assert_eq!(sent(address, &["s=1; Domain=0.0.1"], address), "");
        let local = "http://localhost/";
        assert_eq!(sent(local, &["s=1; Domain=localhost"], local), "s=1");
    }

    #[test]
    fn values_are_kept_as_they_are_and_what_is_no_cookie_is_not() {
        let site = "http://h.example/";
        for (line, wanted) in [
            ("s = a b, {\"c\"} ; x", "s=a b, {\"c\"}"),
            ("s=a=b==", "s=a=b=="),
            ("s=", "s="),
            ("s=\"q\"", "s=\"q\""),
            ("=1", ""),
            ("s", ""),
            ("", ""),
            ("; s=1", ""),
            ("s=1; Max-Age=18446744073709551615", "s=1"),
            ("s=1; Max-Age=soon", "s=1"),
            ("s=1; Max-Age=0", ""),
            ("s=1; Max-Age=-1", ""),
            ("s=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", ""),
            (
                "s=1; Expires=Thu, 01-Jan-1970 00:00:01 GMT; Max-Age=60",
                "s=1",
            ),
            ("s=1; Expires=Tue, 19 Jan 2038 03:14:07 GMT", "s=1"),
        ] {
            assert_eq!(sent(site, &[line], site), wanted, "{line}");
        }
    }

    #[test]
    fn a_new_value_replaces_the_old_and_an_ended_one_takes_it_away() {
        let site = "http://h.example/a/b";
        let set = ["a=1; Path=/", "b=2; Path=/", "a=3; Path=/", "c=4"];
        assert_eq!(sent(site, &set, site), "c=4; a=3; b=2");
        let ended = ["a=1", "b=2", "a=; Max-Age=0"];
        assert_eq!(sent(site, &ended, site), "b=2");
    }

    #[test]
    fn the_sites_own_cookies_go_along() {
        let mut jar = Jar::default();
        jar.set(&url("http://h.example/"), "s=1");
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::from_static("own=x"));
        let sent = jar.header(&url("http://h.example/"), &headers);
        assert_eq!(sent.expect("cookies"), "own=x; s=1");
        assert_eq!(jar.header(&url("http://other.example/"), &headers), None);
    }

    #[test]
    fn a_flood_keeps_the_last_fifty_and_none_that_is_huge() {
        let site = "http://h.example/";
        let flood: Vec<String> = (0..5000).map(|i| format!("c{i}=v")).collect();
        let lines: Vec<&str> = flood.iter().map(String::as_str).collect();
        let kept = sent(site, &lines, site);
        assert_eq!(kept.split("; ").count(), 50);
        assert!(kept.ends_with("c4999=v"));
        let huge = format!("s={}", "x".repeat(4096));
        assert_eq!(sent(site, &[&huge], site), "");
    }

    proptest! {
        #[test]
        fn no_line_panics_and_none_leaves_its_host(
            line in "([ -~]|Domain=|Path=/|; |Max-Age=|Expires=|example|\\.com|=){0,12}",
        ) {
            let mut jar = Jar::default();
            jar.set(&url("https://a.example.com/x/y"), &line);
            prop_assert_eq!(jar_sends(&jar, "https://other.com/x/y"), "");
            prop_assert_eq!(jar_sends(&jar, "https://a.other.com/x/y"), "");
        }
    }
}
