//! Requests along redirects, and which origin may get which part of the configuration.

use crate::monitor::site::outcome::{Failure, FailureKind};
use crate::monitor::site::{Auth, HttpCheck};
use isahc::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use url::{Position, Url};

/// Headers of a site that every origin gets: they describe the wanted response, not the client.
const CARRIED: [HeaderName; 4] = [
    header::ACCEPT,
    header::ACCEPT_LANGUAGE,
    header::CACHE_CONTROL,
    header::USER_AGENT,
];

/// One request of a check.
///
/// What the configuration adds to it belongs to one origin, the home of the check. It is sent whenever
/// redirects lead there, also after a hop to another origin, as curl does (`initial_origin` in http.c)
/// and browsers do with a user's password. Other origins get [`CARRIED`] only.
pub(super) struct Hop {
    /// Without user and password.
    pub(super) url: Url,
    pub(super) method: Method,
    pub(super) body: Option<Body>,
    /// The headers for `url` if it is home.
    headers: HeaderMap,
    home: Url,
    /// Credentials of the configuration.
    basic: Option<Basic>,
    /// Credentials in the `Location` that led here, for this hop only.
    passing: Option<Basic>,
    /// Names of headers for causes, as the configuration spells them.
    names: Vec<String>,
    /// What `auth` holds, for causes.
    auth: Option<&'static str>,
}

/// Body of a request.
pub(super) enum Body {
    /// The site's `send`.
    Send(String),
    /// A login form, and the page that a browser would name as its origin.
    Form {
        text: String,
        origin: HeaderValue,
        referer: HeaderValue,
    },
}

impl Body {
    pub(super) fn text(&self) -> &str {
        match self {
            Body::Send(text) | Body::Form { text, .. } => text,
        }
    }
}

/// Credentials for Basic authentication.
struct Basic {
    user: String,
    password: String,
    /// The address whose origin may get them.
    of: Url,
}

impl Hop {
    /// Builds the first request. The error is a text for the user that says what cannot be sent.
    pub(super) fn first(check: &HttpCheck) -> Result<Hop, String> {
        let mut url = check.url.clone();
        let method = Method::from_bytes(check.method.as_bytes())
            .map_err(|_| "the method is not one".to_owned())?;
        let mut headers = HeaderMap::new();
        for (name, value) in &check.headers {
            let key = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| format!("header {name} cannot be sent"))?;
            let value = HeaderValue::from_str(value)
                .map_err(|_| format!("the value of header {name} cannot be sent"))?;
            headers.append(key, value);
        }
        let mut basic = take_userinfo(&mut url);
        let mut auth = basic.as_ref().map(|_| "the password");
        match &check.auth {
            Some(Auth::Basic { user, password }) => {
                basic = Some(Basic {
                    user: user.clone(),
                    password: password.clone(),
                    of: url.clone(),
                });
                auth = Some("the password");
            }
            Some(Auth::Bearer(token)) => {
                let value = HeaderValue::from_str(&format!("Bearer {token}"))
                    .map_err(|_| "the token of auth cannot be sent".to_owned())?;
                headers.insert(header::AUTHORIZATION, value);
                basic = None;
                auth = Some("the bearer token");
            }
            None => {}
        }
        // A HEAD with a body would make the client wait for a response body.
        let body = check.send.clone().filter(|_| method != Method::HEAD);
        Ok(Hop {
            method,
            body: body.map(Body::Send),
            headers,
            basic,
            passing: None,
            names: check.headers.iter().map(|(name, _)| name.clone()).collect(),
            auth,
            home: url.clone(),
            url,
        })
    }

    /// Builds a GET of another address of the configuration. Secret headers of the site are included only if
    /// the address has the site's origin.
    pub(super) fn page(check: &HttpCheck, mut url: Url) -> Result<Hop, String> {
        let mut hop = Hop::first(check)?;
        if let Some(basic) = take_userinfo(&mut url) {
            hop.auth = Some("the password");
            hop.basic = Some(basic);
        }
        hop.method = Method::GET;
        hop.drop_body();
        hop.url = url;
        Ok(hop)
    }

    /// The headers for `url`, without the cookies of the check.
    pub(super) fn headers(&self) -> Cow<'_, HeaderMap> {
        let mut sent = match self.is_at_home() {
            true => Cow::Borrowed(&self.headers),
            false => {
                let all = self.headers.iter();
                let carried = all.filter(|(name, _)| CARRIED.contains(name));
                Cow::Owned(carried.map(|(n, v)| (n.clone(), v.clone())).collect())
            }
        };
        if let Some(Body::Form {
            origin, referer, ..
        }) = &self.body
        {
            let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
            let sent = sent.to_mut();
            sent.insert(header::CONTENT_TYPE, kind);
            for (name, value) in [(header::REFERER, referer), (header::ORIGIN, origin)] {
                sent.entry(name).or_insert_with(|| value.clone());
            }
        }
        sent
    }

    /// `url` with the host name of the site's `Host` header, if it has one: cookies belong to that name.
    pub(super) fn named(&self) -> Cow<'_, Url> {
        let host = self.headers.get(header::HOST).filter(|_| self.is_at_home());
        let named = host.and_then(|host| {
            let name = Url::parse(&format!("http://{}/", host.to_str().ok()?)).ok()?;
            let mut url = self.url.clone();
            url.set_host(name.host_str()).ok()?;
            Some(url)
        });
        named.map_or(Cow::Borrowed(&self.url), Cow::Owned)
    }

    /// The credentials for `url`.
    pub(super) fn basic(&self) -> Option<(&str, &str)> {
        let own = self.basic.as_ref();
        let own = own.filter(|own| leads_home(&own.of, &self.url));
        let sent = self.passing.as_ref().or(own)?;
        Some((&sent.user, &sent.password))
    }

    /// For causes: which parts of the configuration were withheld from `url`.
    pub(super) fn left_out(&self) -> Option<String> {
        if self.is_at_home() {
            return None;
        }
        let is_left = |name: &&str| {
            HeaderName::from_bytes(name.as_bytes())
                .is_ok_and(|key| self.headers.contains_key(&key) && !CARRIED.contains(&key))
        };
        let names = self.names.iter().map(String::as_str);
        let mut left: Vec<&str> = names.filter(is_left).collect();
        left.extend(self.auth.filter(|_| self.basic().is_none()));
        let what = match left.as_slice() {
            [] => return None,
            [one] => format!("{one} was"),
            [one, other] => format!("{one} and {other} were"),
            [one, other, more @ ..] => format!("{one}, {other} and {} more were", more.len()),
        };
        Some(format!(
            "{what} not sent on to {}",
            host_and_port(&self.url)
        ))
    }

    /// Returns why following `status` to `url` would send the body to a foreign origin.
    pub(super) fn leak(&self, status: u16, url: &Url) -> Option<Failure> {
        let kept = self.body.as_ref().filter(|_| matches!(status, 307 | 308))?;
        if kept.text().is_empty() || leads_home(&self.url, url) {
            return None;
        }
        let what = match kept {
            Body::Send(_) => "the body (`send`)",
            Body::Form { .. } => "the form",
        };
        let to = host_and_port(url);
        let detail = format!("redirect would take {what} to {}://{to}", url.scheme());
        Some(Failure::new(FailureKind::Redirected, detail))
    }

    /// Moves on to `url` as a browser does after `status` (RFC 9110, section 15.4).
    pub(super) fn follow(&mut self, status: u16, mut url: Url) {
        if matches!(status, 301..=303) {
            if self.method != Method::HEAD {
                self.method = Method::GET;
            }
            self.drop_body();
        }
        self.passing = take_userinfo(&mut url);
        self.url = url;
    }

    /// Also drops the headers that describe the body.
    fn drop_body(&mut self) {
        self.body = None;
        let names = self.headers.keys();
        let describing = names.filter(|name| name.as_str().starts_with("content-"));
        let describing: Vec<HeaderName> = describing.cloned().collect();
        for name in describing {
            self.headers.remove(name);
        }
    }

    fn is_at_home(&self) -> bool {
        leads_home(&self.home, &self.url)
    }
}

/// `host`, or `host:port` if the port is not the scheme's default.
fn host_and_port(url: &Url) -> &str {
    &url[Position::BeforeHost..Position::AfterPort]
}

/// Whether `to` may get what belongs to the origin of `home`: it has the same origin, or is the same host
/// with https in place of http, both with default ports.
fn leads_home(home: &Url, to: &Url) -> bool {
    // `Url::origin` would copy both of its parts.
    let scheme_and_port = |url| (Url::scheme(url), Url::port_or_known_default(url));
    let (from, end) = (scheme_and_port(home), scheme_and_port(to));
    home.host() == to.host()
        && (from == end || from == ("http", Some(80)) && end == ("https", Some(443)))
}

/// Removes `user:password@` from a URL and decodes it.
fn take_userinfo(url: &mut Url) -> Option<Basic> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let plain = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let (user, password) = (
        plain(url.username()),
        plain(url.password().unwrap_or_default()),
    );
    // Both succeed for any URL with a host.
    let _ = (url.set_username(""), url.set_password(None));
    let of = url.clone();
    Some(Basic { user, password, of })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::http_check;
    use proptest::prelude::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    /// A request with every kind of secret.
    fn hop_of(address: &str, method: &str) -> Hop {
        let mut check = http_check(address);
        check.method = method.to_owned();
        check.send = Some("{}".to_owned());
        check.auth = Some(Auth::Basic {
            user: "u".to_owned(),
            password: "p".to_owned(),
        });
        let headers = [
            ("Cookie", "a=b"),
            ("Content-Type", "application/json"),
            ("content-language", "de"),
            ("X-Key", "1"),
            ("Host", "other.example"),
            ("Authorization", "secret"),
            ("Proxy-Authorization", "secret"),
            ("Accept", "text/html"),
            ("accept-language", "de"),
            ("Cache-Control", "no-cache"),
            ("User-Agent", "me"),
        ];
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        check.headers = headers.map(owned).to_vec();
        Hop::first(&check).expect("a request")
    }

    fn hop(method: &str) -> Hop {
        hop_of("https://a.example/", method)
    }

    /// Returns whether all headers and credentials are sent; asserts that only [`CARRIED`] is if not.
    #[track_caller]
    fn is_whole(hop: &Hop) -> bool {
        let headers = hop.headers();
        let mut sent: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        sent.sort_unstable();
        let carried = ["accept", "accept-language", "cache-control", "user-agent"];
        if sent == carried {
            assert_eq!(hop.basic(), None);
            return false;
        }
        assert!(headers.len() >= 9, "{sent:?}");
        assert_eq!(hop.basic(), Some(("u", "p")));
        assert_eq!(hop.left_out(), None);
        true
    }

    #[test]
    fn a_post_becomes_a_get_after_303_and_stays_one_after_307() {
        let there = || url("https://a.example/there");
        let mut post = hop("POST");
        post.follow(307, there());
        assert_eq!(post.method, Method::POST);
        assert_eq!(post.body.as_ref().map(Body::text), Some("{}"));
        post.follow(303, there());
        assert_eq!(post.method, Method::GET);
        assert!(post.body.is_none());
        assert!(!post.headers().contains_key("content-type"));
        assert!(!post.headers().contains_key("content-language"));
        let mut head = hop("HEAD");
        assert!(head.body.is_none());
        head.follow(302, there());
        assert_eq!(head.method, Method::HEAD);
    }

    #[test]
    fn secrets_go_to_their_origin_and_to_its_https() {
        for (from, to, whole) in [
            ("https://a.example/", "https://a.example:443/x", true),
            ("https://a.example/", "https://A.EXAMPLE/x", true),
            ("http://a.example/", "https://a.example/", true),
            ("http://a.example:80/", "https://a.example:443/", true),
            ("http://a.example:8080/", "http://a.example:8080/x", true),
            ("https://a.example/", "https://b.example/", false),
            ("https://a.example/", "https://www.a.example/", false),
            ("https://a.example/", "https://a.example./", false),
            ("https://a.example/", "https://a.example:444/", false),
            ("http://a.example/", "https://a.example:8443/", false),
            ("http://a.example:8080/", "https://a.example/", false),
            ("http://a.example:443/", "https://a.example/", false),
            ("http://a.example/", "http://a.example:443/", false),
            ("http://a.example/", "https://www.a.example/", false),
            ("http://127.0.0.1/", "http://localhost/", false),
        ] {
            for status in [301, 302, 303, 307, 308] {
                let mut hop = hop_of(from, "GET");
                assert!(is_whole(&hop));
                let leaks = hop.leak(status, &url(to)).is_some();
                assert_eq!(leaks, !whole && status >= 307, "{from} to {to}");
                hop.follow(status, url(to));
                assert_eq!(is_whole(&hop), whole, "{from} to {to}");
            }
        }
    }

    #[test]
    fn on_the_way_back_home_the_site_gets_its_own_again() {
        let mut hop = hop_of("http://a.example/", "POST");
        for (to, whole) in [
            ("https://login.example/", false),
            ("https://a.example/in", true),
            ("https://login.example/", false),
            ("https://cdn.example/", false),
            ("https://a.example/", true),
        ] {
            hop.follow(302, url(to));
            assert_eq!(is_whole(&hop), whole, "{to}");
            assert!(hop.body.is_none() && hop.method == Method::GET);
        }
    }

    #[test]
    fn a_body_goes_to_no_other_origin() {
        let leak = |body, to: &str| {
            let mut hop = hop("POST");
            hop.body = body;
            hop.leak(307, &url(to)).map(|failure| failure.detail)
        };
        let send = || Some(Body::Send("x".to_owned()));
        let told = "redirect would take the body (`send`) to https://b.example".to_owned();
        assert_eq!(leak(send(), "https://b.example/"), Some(told.clone()));
        assert_eq!(leak(send(), "https://b.example:443/"), Some(told.clone()));
        assert_eq!(leak(send(), "https://b.example:1/"), Some(told + ":1"));
        assert_eq!(leak(send(), "https://a.example/x"), None);
        assert_eq!(
            leak(Some(Body::Send(String::new())), "https://b.example/"),
            None
        );
        assert_eq!(leak(None, "https://b.example/"), None);
        let form = Some(Body::Form {
            text: "password=p".to_owned(),
            origin: HeaderValue::from_static("https://a.example"),
            referer: HeaderValue::from_static("https://a.example/"),
        });
        let told = "redirect would take the form to http://b.example".to_owned();
        assert_eq!(leak(form, "http://b.example/"), Some(told));
    }

    #[test]
    fn what_was_left_out_is_named_as_the_configuration_has_it() {
        let mut check = http_check("https://a.example/");
        let mut left = |headers: &[&str], auth| {
            check.headers = headers
                .iter()
                .map(|&n| (n.to_owned(), "1".to_owned()))
                .collect();
            check.auth = auth;
            let mut hop = Hop::first(&check).expect("a request");
            hop.follow(302, url("https://b.example/x"));
            hop.left_out().unwrap_or_default()
        };
        let bearer = || Some(Auth::Bearer("t".to_owned()));
        assert_eq!(left(&[], None), "");
        assert_eq!(left(&["accept", "Content-Type"], None), "");
        assert_eq!(left(&["X-Key"], None), "X-Key was not sent on to b.example");
        assert_eq!(
            left(&["X-Key"], bearer()),
            "X-Key and the bearer token were not sent on to b.example"
        );
        assert_eq!(
            left(&["X-Key", "Cookie", "Host"], bearer()),
            "X-Key, Cookie and 2 more were not sent on to b.example"
        );
    }

    #[test]
    fn user_and_password_of_a_url_are_sent_decoded_and_to_its_origin() {
        let check = http_check("http://me:a%3Ab%zz@h.example/");
        let mut hop = Hop::first(&check).expect("a request");
        assert_eq!(hop.basic(), Some(("me", "a:b%zz")));
        assert_eq!(hop.url.as_str(), "http://h.example/");
        hop.follow(302, url("http://other.example:81/"));
        assert_eq!(hop.basic(), None);
        let told = "the password was not sent on to other.example:81";
        assert_eq!(hop.left_out().as_deref(), Some(told));
    }

    #[test]
    fn user_and_password_of_a_location_are_for_that_hop_alone() {
        let mut hop = hop("GET");
        for place in ["https://a.example/", "https://b.example/"] {
            hop.follow(302, url(&place.replace("://", "://you:q@")));
            assert_eq!(hop.basic(), Some(("you", "q")));
            assert_eq!(hop.url.as_str(), place);
            // Resolved against the previous URL.
            let next = hop.url.join("next").expect("a URL");
            hop.follow(302, next);
            let own = place.contains("a.example").then_some(("u", "p"));
            assert_eq!(hop.basic(), own);
        }
    }

    proptest! {
        #[test]
        fn whatever_the_redirects_no_other_origin_gets_a_secret(
            hops in proptest::collection::vec((0..5_usize, "(https?)://(a|b|a\\.b)(:(80|443|8080))?/"), 1..8),
            upgrade: bool,
        ) {
            let home = if upgrade { "http://a/" } else { "https://a/" };
            let mut hop = hop_of(home, "POST");
            for (status, to) in hops {
                let (status, to) = ([301, 302, 303, 307, 308][status], url(&to));
                if hop.leak(status, &to).is_some() {
                    return Ok(());
                }
                hop.follow(status, to);
                let is_home = hop.url.origin() == url(home).origin()
                    || hop.url.origin() == url("https://a/").origin();
                prop_assert_eq!(is_whole(&hop), is_home);
                prop_assert!(is_home || hop.body.is_none());
            }
        }
    }
}
