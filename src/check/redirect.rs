//! Targets of redirects.
//!
//! libcurl does not follow redirects here: it would follow any scheme, `file:` included, and give each
//! hop a timeout of its own.

use crate::monitor::site::outcome::{Failure, FailureKind};
use isahc::http::{HeaderMap, header};
use percent_encoding::{AsciiSet, percent_encode};
use url::Url;

/// Returns the `Location` of a redirect; `None` if it is empty. Bytes that are not ASCII are
/// percent-encoded, whatever their charset.
pub(super) fn location(status: u16, headers: &HeaderMap) -> Option<String> {
    let leads_on = matches!(status, 301 | 302 | 303 | 307 | 308);
    let value = headers.get(header::LOCATION).filter(|_| leads_on)?;
    let text = percent_encode(value.as_bytes(), &AsciiSet::EMPTY).to_string();
    Some(text).filter(|text| !text.trim().is_empty())
}

/// Returns the URL to follow, or `None` if the response is to be judged. Follows `most` redirects at most.
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
    let Ok(to) = from.join(&location) else {
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
    use isahc::http::HeaderValue;

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

    #[test]
    fn an_empty_location_leads_nowhere_and_raw_bytes_are_encoded() {
        let to = |value: &[u8]| {
            let from = Url::parse("http://a.example/x/").expect("a URL");
            let value = HeaderValue::from_bytes(value).expect("a value");
            let headers = HeaderMap::from_iter([(header::LOCATION, value)]);
            let to = target(10, &from, 302, &headers, 0).expect("sound");
            to.map(String::from)
        };
        assert_eq!(to(b""), None);
        assert_eq!(to(b" \t "), None);
        let latin = "http://a.example/caf%E9?q=%FC";
        assert_eq!(to(b"/caf\xe9?q=\xfc").as_deref(), Some(latin));
        let utf8 = "http://a.example/x/caf%C3%A9";
        assert_eq!(to("caf\u{e9}".as_bytes()).as_deref(), Some(utf8));
        assert_eq!(to(b"/caf%E9").as_deref(), Some("http://a.example/caf%E9"));
        let name = Some("http://xn--bcher-kva.example/");
        assert_eq!(to("//b\u{fc}cher.example".as_bytes()).as_deref(), name);
    }
}
