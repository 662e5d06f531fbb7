//! The request of each hop, and where a redirect leads.
//!
//! libcurl's own following isn't used: it would go on to any scheme, `file:` included, and give
//! each hop a timeout of its own.

use crate::monitor::outcome::{Failure, FailureKind};
use crate::monitor::site::{Auth, HttpCheck};
use isahc::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use url::Url;

/// One request of a check.
pub(super) struct Hop {
    pub(super) url: Url,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<String>,
    /// User and password.
    pub(super) basic: Option<(String, String)>,
    /// The body is a secret between us and this host and port.
    pub(super) private: bool,
}

impl Hop {
    /// The first request. An error is for the user: what can't be sent.
    pub(super) fn first(check: &HttpCheck) -> Result<Hop, String> {
        let url = Url::parse(&check.url).map_err(|_| "the address is not a URL".to_owned())?;
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
        let mut basic = None;
        match &check.auth {
            Some(Auth::Basic { user, password }) => basic = Some((user.clone(), password.clone())),
            Some(Auth::Bearer(token)) => {
                let value = HeaderValue::from_str(&format!("Bearer {token}"))
                    .map_err(|_| "the token of auth cannot be sent".to_owned())?;
                headers.insert(header::AUTHORIZATION, value);
            }
            None => basic = userinfo(&url),
        }
        // A HEAD with a body would wait for the body of its answer.
        let body = check.send.clone().filter(|_| method != Method::HEAD);
        Ok(Hop {
            url,
            method,
            headers,
            body,
            basic,
            private: false,
        })
    }

    /// Following `status` to `url` would hand a private body to somebody else.
    pub(super) fn would_leak(&self, status: u16, url: &Url) -> bool {
        let kept = self.private && self.body.is_some() && matches!(status, 307 | 308);
        kept && self.url.origin() != url.origin()
    }

    /// Goes on to `url` as a browser would after `status` (RFC 9110, 15.4).
    pub(super) fn follow(&mut self, status: u16, url: Url) {
        if matches!(status, 301..=303) {
            if self.method != Method::HEAD {
                self.method = Method::GET;
            }
            self.body = None;
            for name in [
                header::CONTENT_TYPE,
                header::CONTENT_LENGTH,
                header::CONTENT_ENCODING,
            ] {
                self.headers.remove(name);
            }
        }
        if self.url.origin() != url.origin() {
            self.basic = None;
            for name in [
                header::AUTHORIZATION,
                header::COOKIE,
                header::PROXY_AUTHORIZATION,
                header::HOST,
            ] {
                self.headers.remove(name);
            }
        }
        self.url = url;
    }
}

/// `user:password@` of a URL.
pub(super) fn userinfo(url: &Url) -> Option<(String, String)> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let plain = |text: &str| decoded(text.as_bytes());
    Some((
        plain(url.username()),
        plain(url.password().unwrap_or_default()),
    ))
}

/// Without percent-encoding (RFC 3986, 2.1).
fn decoded(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let hex = |at: usize| after.get(at).and_then(|&d| char::from(d).to_digit(16));
        match (byte, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = &after[2..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Where an answer would send a browser.
pub(super) fn location(status: u16, headers: &HeaderMap) -> Option<&HeaderValue> {
    let leads_on = matches!(status, 301 | 302 | 303 | 307 | 308);
    headers.get(header::LOCATION).filter(|_| leads_on)
}

/// Where an answer leads: `None` when it is to be judged itself. At most `most` are followed.
pub(super) fn target(
    most: u32,
    from: &Url,
    status: u16,
    headers: &HeaderMap,
    followed: u32,
) -> Result<Option<Url>, Failure> {
    let fail = |detail: String| Err(Failure::new(FailureKind::Redirected, detail));
    let Some(location) = location(status, headers).filter(|_| most > 0) else {
        return Ok(None);
    };
    if followed >= most {
        return fail(format!("more than {most} redirects"));
    }
    let Ok(to) = from.join(&String::from_utf8_lossy(location.as_bytes())) else {
        return fail("redirect to what is not an address".to_owned());
    };
    match (from.scheme(), to.scheme()) {
        ("https", "http") => fail(format!(
            "redirected from https to unencrypted http://{}",
            to.host_str().unwrap_or_default()
        )),
        (_, "http" | "https") => Ok(Some(to)),
        (_, scheme) => fail(format!("redirect to {scheme}: is not followed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::http_check;

    fn lead(from: &str, status: u16, location: &str, followed: u32) -> Result<String, String> {
        let from = Url::parse(from).expect("a URL");
        let location = HeaderValue::from_str(location).expect("a value");
        let headers = HeaderMap::from_iter([(header::LOCATION, location)]);
        match target(10, &from, status, &headers, followed) {
            Ok(Some(url)) => Ok(url.into()),
            Ok(None) => Ok("judged".to_owned()),
            Err(failure) => {
                assert_eq!(failure.kind, FailureKind::Redirected);
                Err(failure.detail)
            }
        }
    }

    #[test]
    fn only_http_and_https_are_followed_and_never_down_to_plain_http() {
        let from = "https://a.example/x/y";
        assert_eq!(
            lead(from, 302, "z?q", 0),
            Ok("https://a.example/x/z?q".into())
        );
        assert_eq!(
            lead(from, 308, "//b.example", 0),
            Ok("https://b.example/".into())
        );
        assert_eq!(
            lead(from, 302, "file:/etc/passwd", 0),
            Err("redirect to file: is not followed".into())
        );
        assert_eq!(
            lead(from, 302, "http://b.example:81/secret", 0),
            Err("redirected from https to unencrypted http://b.example".into())
        );
        assert_eq!(
            lead(from, 302, "http://[", 0),
            Err("redirect to what is not an address".into())
        );
    }

    #[test]
    fn a_ring_ends_and_other_3xx_are_judged() {
        let from = "http://a.example/";
        assert!(lead(from, 302, "/", 9).is_ok());
        assert_eq!(
            lead(from, 302, "/", 10),
            Err("more than 10 redirects".into())
        );
        assert_eq!(lead(from, 304, "/", 0), Ok("judged".into()));
        let from = Url::parse(from).expect("a URL");
        assert_eq!(target(10, &from, 302, &HeaderMap::new(), 0), Ok(None));
    }

    fn hop(method: &str) -> Hop {
        let mut check = http_check("https://a.example/");
        check.method = method.to_owned();
        check.send = Some("{}".to_owned());
        check.auth = Some(Auth::Basic {
            user: "u".to_owned(),
            password: "p".to_owned(),
        });
        check.headers = vec![
            ("Cookie".to_owned(), "a=b".to_owned()),
            ("Content-Type".to_owned(), "application/json".to_owned()),
            ("X-Other".to_owned(), "1".to_owned()),
        ];
        Hop::first(&check).expect("a request")
    }

    #[test]
    fn a_post_becomes_a_get_after_303_and_stays_one_after_307() {
        let there = || Url::parse("https://a.example/there").expect("a URL");
        let mut post = hop("POST");
        post.follow(307, there());
        assert_eq!(
            (&post.method, post.body.as_deref()),
            (&Method::POST, Some("{}"))
        );
        post.follow(303, there());
        assert_eq!((&post.method, post.body.as_deref()), (&Method::GET, None));
        assert!(!post.headers.contains_key("content-type"));
        let mut head = hop("HEAD");
        assert_eq!(head.body, None);
        head.follow(302, there());
        assert_eq!(head.method, Method::HEAD);
    }

    #[test]
    fn secrets_stay_with_the_host_and_port_they_are_for() {
        let mut same = hop("GET");
        same.follow(302, Url::parse("https://a.example:443/x").expect("a URL"));
        assert!(same.basic.is_some() && same.headers.contains_key("cookie"));
        for other in [
            "https://b.example/",
            "https://a.example:444/",
            "http://a.example/",
        ] {
            let mut hop = hop("GET");
            hop.follow(302, Url::parse(other).expect("a URL"));
            assert!(
                hop.basic.is_none() && !hop.headers.contains_key("cookie"),
                "{other}"
            );
            assert!(hop.headers.contains_key("x-other"));
        }
    }

    #[test]
    fn user_and_password_of_the_url_are_sent_decoded() {
        let check = http_check("http://me:a%3Ab%zz@h.example/");
        let hop = Hop::first(&check).expect("a request");
        assert_eq!(hop.basic, Some(("me".to_owned(), "a:b%zz".to_owned())));
    }
}
