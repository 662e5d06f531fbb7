//! The cookies of one check (RFC 6265). They do not expire during the check, which takes minutes at most.
//!
//! isahc's own jar is unbounded, panics on a `Max-Age` near 2^64, and sees the placeholder host names of
//! retries.
//!
//! There is no public suffix list: a cookie for all of `com` or `co.uk` is refused, but one for all of
//! `github.io` is accepted, and sent to any host of `github.io` that this check is redirected to.

use super::cookie_date;
use isahc::http::{HeaderMap, HeaderValue, header};
use std::time::SystemTime;
use url::{Host, Url};

/// Maximum number of cookies; one more evicts the oldest.
const MAX_COOKIES: usize = 50;
/// Maximum bytes of a cookie's name and value.
const MAX_COOKIE: usize = 4096;
/// Maximum bytes of all names, values and paths: few servers accept a longer request head.
const MAX_JAR: usize = 16 * 1024;
/// Labels below a country code under which registries sell names, e.g. `co.uk`.
const SECOND_LEVELS: [&str; 7] = ["ac", "co", "com", "edu", "gov", "net", "org"];

/// Belongs to one check and is dropped with it. Holds secrets.
#[derive(Default)]
pub(super) struct Jar {
    /// Oldest first.
    cookies: Vec<Cookie>,
}

struct Cookie {
    name: String,
    value: String,
    /// Lower case.
    domain: String,
    /// Sent to `domain` alone, not to its subdomains.
    host_only: bool,
    path: String,
    secure: bool,
}

impl Jar {
    /// Stores the cookies that a response from `url` sets, if it may set them.
    pub(super) fn take(&mut self, url: &Url, headers: &HeaderMap) {
        let mut date = None;
        for value in headers.get_all(header::SET_COOKIE) {
            // Values that are not ASCII could not be sent back.
            if let Ok(line) = value.to_str() {
                let now = *date.get_or_insert_with(|| now(headers));
                self.set(url, line, now);
            }
        }
    }

    /// `now`: Unix seconds.
    fn set(&mut self, url: &Url, line: &str, now: i64) {
        let Some((cookie, ended)) = Cookie::parse(url, line, now) else {
            return;
        };
        let same = |other: &Cookie| {
            (&other.name, &other.domain, &other.path)
                == (&cookie.name, &cookie.domain, &cookie.path)
        };
        match self.cookies.iter().position(same) {
            Some(at) if ended => drop(self.cookies.remove(at)),
            // It keeps its creation time (section 5.3, step 11).
            Some(at) => self.cookies[at] = cookie,
            None if ended => {}
            None => self.cookies.push(cookie),
        }
        let size = |cookies: &[Cookie]| cookies.iter().map(Cookie::size).sum::<usize>();
        while self.cookies.len() > MAX_COOKIES || size(&self.cookies) > MAX_JAR {
            self.cookies.remove(0);
        }
    }

    /// Returns the `Cookie` header for `url`: the one in `headers`, if any, then the jar's. Of two cookies
    /// with the same name the last counts: the jar's. `None` if the jar has none for `url`.
    pub(super) fn header(&self, url: &Url, headers: &HeaderMap) -> Option<HeaderValue> {
        let mut fitting: Vec<&Cookie> = self.cookies.iter().filter(|c| c.fits(url)).collect();
        if fitting.is_empty() {
            return None;
        }
        // Longer paths first, then older cookies (section 5.4, step 2).
        fitting.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let is_replaced = |pair: &&[u8]| {
            let name = pair.split(|&byte| byte == b'=').next().unwrap_or_default();
            let name = name.trim_ascii();
            fitting.iter().any(|cookie| cookie.name.as_bytes() == name)
        };
        let own = headers.get_all(header::COOKIE).iter();
        let own = own.flat_map(|value| value.as_bytes().split(|&byte| byte == b';'));
        let own = own.map(<[u8]>::trim_ascii);
        let own = own.filter(|pair| !pair.is_empty() && !is_replaced(pair));
        let own = own.map(<[u8]>::to_vec);
        let pairs = fitting
            .iter()
            .map(|c| format!("{}={}", c.name, c.value).into_bytes());
        let all: Vec<Vec<u8>> = own.chain(pairs).collect();
        HeaderValue::from_bytes(&all.join(&b"; "[..])).ok()
    }
}

/// The server's clock, which its dates are based on; ours if there is no `Date`.
fn now(headers: &HeaderMap) -> i64 {
    let date = headers
        .get(header::DATE)
        .and_then(|date| date.to_str().ok());
    let ours = || {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| since.as_secs().cast_signed())
    };
    date.and_then(cookie_date::parse).unwrap_or_else(ours)
}

impl Cookie {
    /// Parses a `Set-Cookie` of `url`. The flag says that it deletes the cookie (sections 5.2, 5.3).
    fn parse(url: &Url, line: &str, now: i64) -> Option<(Cookie, bool)> {
        let host = url.host_str()?.to_ascii_lowercase();
        let mut parts = line.split(';');
        let (name, value) = parts.next()?.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || name.len() + value.len() > MAX_COOKIE || line.contains('\t') {
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
                "expires" => {
                    expired = cookie_date::parse(value).map_or(expired, |ends| ends <= now);
                }
                _ => {}
            }
        }
        (cookie.path.len() <= MAX_COOKIE).then_some((cookie, aged.unwrap_or(expired)))
    }

    /// Extends the cookie to `domain` and its subdomains; `None` if `url` may not set cookies for those.
    fn belong(&mut self, url: &Url, domain: &str) -> Option<()> {
        let domain = domain.strip_prefix('.').unwrap_or(domain);
        let domain = domain.to_ascii_lowercase();
        let host = url.host_str()?;
        if domain.is_empty() || domain == host {
            self.host_only = domain.is_empty() || is_suffix(&domain);
            self.domain = host.to_owned();
            return Some(());
        }
        if is_suffix(&domain) || !is_below(url, &domain) {
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
            && (!self.secure || is_trustworthy(url))
    }

    fn size(&self) -> usize {
        self.name.len() + self.value.len() + self.path.len()
    }
}

/// A registry's domain such as `com` or `co.uk`: its subdomains have different owners.
fn is_suffix(domain: &str) -> bool {
    match domain.split_once('.') {
        None => true,
        Some((second, country)) => country.len() == 2 && SECOND_LEVELS.contains(&second),
    }
}

/// The connection cannot be eavesdropped on: a potentially trustworthy origin (W3C, Secure Contexts).
fn is_trustworthy(url: &Url) -> bool {
    url.scheme() == "https"
        || match url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
}

/// The host is a subdomain of `domain`; an IP address never is.
fn is_below(url: &Url, domain: &str) -> bool {
    let Some(Host::Domain(host)) = url.host() else {
        return false;
    };
    host.strip_suffix(domain)
        .is_some_and(|above| above.ends_with('.'))
}

/// The directory of the path (section 5.1.4).
fn default_path(url: &Url) -> &str {
    match url.path().rsplit_once('/') {
        Some((directory, _)) if !directory.is_empty() => directory,
        _ => "/",
    }
}

/// Whether this `Max-Age` deletes the cookie: it is 0 or less. `None` if it is no number.
fn ended(seconds: &str) -> Option<bool> {
    let digits = seconds.strip_prefix('-').unwrap_or(seconds);
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    let is_zero = digits.bytes().all(|digit| digit == b'0');
    is_number.then_some(is_zero || seconds.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A time in 2026.
    const NOW: i64 = 1_790_000_000;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    /// The `Cookie` header for each address after `from` has set `lines`.
    #[track_caller]
    fn sent(from: &str, lines: &[&str], to: &str) -> String {
        let mut jar = Jar::default();
        lines.iter().for_each(|line| jar.set(&url(from), line, NOW));
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
            ("s=1; Expires=Sat, 01 Jan 2022 00:00:00 GMT", ""),
            ("s=1; Expires=Saturday, 01-Jan-22 00:00:00 GMT", ""),
            (
                "s=1; Expires=Sat, 01 Jan 2022 00:00:00 GMT; Max-Age=60",
                "s=1",
            ),
            ("s=1; Max-Age=0; Expires=Tue, 19 Jan 2038 03:14:07 GMT", ""),
            ("s=1; Expires=0", "s=1"),
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
    fn a_date_is_past_by_the_servers_clock() {
        let site = url("http://h.example/");
        let cookie = HeaderValue::from_static("s=1; Expires=Sat, 01 Jan 2022 00:00:00 GMT");
        for (date, wanted) in [
            (Some("Fri, 31 Dec 2021 23:59:59 GMT"), "s=1"),
            (Some("Sat, 01 Jan 2022 00:00:00 GMT"), ""),
            (None, ""),
        ] {
            let mut headers = HeaderMap::from_iter([(header::SET_COOKIE, cookie.clone())]);
            if let Some(date) = date {
                headers.insert(header::DATE, HeaderValue::from_static(date));
            }
            let mut jar = Jar::default();
            jar.take(&site, &headers);
            assert_eq!(jar_sends(&jar, site.as_str()), wanted, "{date:?}");
        }
    }

    #[test]
    fn a_secure_cookie_goes_to_trustworthy_origins_alone() {
        for (site, wanted) in [
            ("http://localhost:8080/", "s=1"),
            ("http://app.localhost/", "s=1"),
            ("http://127.0.0.1:8080/", "s=1"),
            ("http://[::1]/", "s=1"),
            ("https://h.example/", "s=1"),
            ("http://h.example/", ""),
            ("http://localhost.example/", ""),
            ("http://notlocalhost/", ""),
            ("http://192.168.1.1/", ""),
        ] {
            assert_eq!(sent(site, &["s=1; Secure"], site), wanted, "{site}");
        }
    }

    #[test]
    fn no_cookie_is_for_all_names_below_a_suffix() {
        for (domain, taken) in [
            ("co.uk", false),
            (".com.au", false),
            ("uk", false),
            ("shop.co.uk", true),
            ("t.co", true),
        ] {
            let from = format!("https://www.{}/", domain.trim_start_matches('.'));
            let there = from.replace("www", "other");
            let line = format!("s=1; Domain={domain}");
            let wanted = if taken { "s=1" } else { "" };
            assert_eq!(sent(&from, &[&line], &there), wanted, "{line}");
        }
        // A host whose own name is a suffix may set cookies for itself.
        let host = "https://co.uk/";
        assert_eq!(sent(host, &["s=1; Domain=co.uk"], host), "s=1");
        assert_eq!(sent(host, &["s=1; Domain=co.uk"], "https://a.co.uk/"), "");
    }

    #[test]
    fn the_sites_own_cookies_go_along() {
        let mut jar = Jar::default();
        jar.set(&url("http://h.example/"), "s=1", NOW);
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::from_static("own=x"));
        let sent = jar.header(&url("http://h.example/"), &headers);
        assert_eq!(sent.expect("cookies"), "own=x; s=1");
        assert_eq!(jar.header(&url("http://other.example/"), &headers), None);
        // The jar's cookie comes last.
        headers.insert(
            header::COOKIE,
            HeaderValue::from_bytes(b"s=old; own=\xc3\xa4;; s = x;lone").expect("a value"),
        );
        let sent = jar.header(&url("http://h.example/"), &headers);
        let sent = sent.expect("cookies");
        assert_eq!(sent.as_bytes(), b"own=\xc3\xa4; lone; s=1");
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
        let large: Vec<String> = (0..40)
            .map(|i| format!("c{i}={}", "x".repeat(4000)))
            .collect();
        let lines: Vec<&str> = large.iter().map(String::as_str).collect();
        let kept = sent(site, &lines, site);
        assert!(kept.len() <= MAX_JAR && kept.contains("c39=") && !kept.contains("c35="));
    }

    proptest! {
        #[test]
        fn no_line_panics_and_none_leaves_its_host(
            line in "([ -~]|Domain=|Path=/|; |Max-Age=|Expires=|example|\\.com|=){0,12}",
        ) {
            let mut jar = Jar::default();
            jar.set(&url("https://a.example.com/x/y"), &line, NOW);
            prop_assert_eq!(jar_sends(&jar, "https://other.com/x/y"), "");
            prop_assert_eq!(jar_sends(&jar, "https://a.other.com/x/y"), "");
        }
    }
}
