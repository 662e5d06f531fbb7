//! Redirects: which secrets and cookies are sent to which server, and the verdicts.

use super::server::{Server, request};
use super::*;
use crate::monitor::site::Auth;
use std::io::Write;
use std::sync::{Arc, Mutex};

/// The head of every request, in lower case.
type Seen = Arc<Mutex<Vec<String>>>;

fn answer(status: &str, headers: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: 0\r\n\r\n")
}

fn found(to: &str) -> String {
    answer("302 Found", &format!("Location: {to}\r\n"))
}

/// Answers each request with the result of `route`, and records it.
fn recording(route: impl Fn(&str) -> String + Send + Sync + 'static) -> (Server, Seen) {
    let seen = Seen::default();
    let log = seen.clone();
    let server = Server::routing(move |head| {
        log.lock().expect("sound").push(head.to_owned());
        route(head)
    });
    (server, seen)
}

fn has(head: &str, part: &str) -> bool {
    head.contains(part)
}

/// Adds headers, credentials and a body. All values are secret but those of the headers from
/// `Accept` on.
fn guarded(check: &mut HttpCheck) {
    let headers = [
        ("X-Key", "key-1"),
        ("Cookie", "own=key-2"),
        ("Host", "key-3.example"),
        ("Content-Type", "application/key-4"),
        ("Accept", "text/plain"),
        ("Accept-Language", "de"),
        ("Cache-Control", "no-cache"),
        ("User-Agent", "browser"),
    ];
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    check.headers = headers.map(owned).to_vec();
    check.send = Some("key-5".to_owned());
    check.method = "POST".to_owned();
    check.auth = Some(Auth::Bearer("key-6".to_owned()));
}

#[test]
fn another_origin_gets_nothing_secret_and_the_cause_names_it() {
    let (there, seen) = recording(|head| match head {
        _ if has(head, "/401") => answer("401 Unauthorized", ""),
        _ if has(head, "/403") => answer("403 Forbidden", ""),
        _ if has(head, "/503") => answer("503 Busy", ""),
        _ => answer("200 OK", ""),
    });
    let base = there.url();
    let (here, home) = recording(move |head| {
        let path = head.split(' ').nth(1).unwrap_or_default();
        found(&format!("{base}{}", path.trim_start_matches('/')))
    });
    let left = format!(
        "X-Key, Cookie and 2 more were not sent on to {}",
        there.address
    );
    for (path, cause) in [
        ("", None),
        ("503", Some("HTTP 503, wanted 200-299".to_owned())),
        ("401", Some(format!("HTTP 401, wanted 200-299; {left}"))),
        ("403", Some(format!("HTTP 403, wanted 200-299; {left}"))),
    ] {
        let outcome = outcome(&format!("{}{path}", here.url()), guarded);
        match &cause {
            None => assert_eq!(outcome.verdict, Ok(())),
            Some(cause) => assert_eq!(failure(&outcome), (FailureKind::Status, cause.as_str())),
        }
    }
    for head in home.lock().expect("sound").iter() {
        assert!((1..=6).all(|n| has(head, &format!("key-{n}"))), "{head}");
    }
    for head in seen.lock().expect("sound").iter() {
        assert!(!has(head, "key-") && head.starts_with("get "), "{head}");
        for part in [
            "accept: text/plain\r\n",
            "accept-language: de\r\n",
            "cache-control: no-cache\r\n",
            "user-agent: browser\r\n",
        ] {
            assert!(has(head, part), "{part} in {head}");
        }
    }
}

#[test]
fn a_body_is_not_taken_to_another_origin() {
    let (there, seen) = recording(|_| answer("200 OK", ""));
    for (status, send) in [(307, "x=1"), (308, "x=1"), (307, "")] {
        let to = there.url();
        let here = Server::routing(move |_| {
            answer(&format!("{status} Go"), &format!("Location: {to}\r\n"))
        });
        let outcome = outcome(&here.url(), |check| {
            check.method = "POST".to_owned();
            check.send = Some(send.to_owned());
        });
        if send.is_empty() {
            assert_eq!(outcome.verdict, Ok(()));
            continue;
        }
        let cause = format!(
            "redirect would take the body (`send`) to http://{}",
            there.address
        );
        assert_eq!(failure(&outcome), (FailureKind::Redirected, cause.as_str()));
    }
    assert_eq!(seen.lock().expect("sound").len(), 1);
    let within = Server::routing(|head| match head {
        _ if head.starts_with("post /new") && has(head, "x=1") => answer("200 OK", ""),
        _ if head.starts_with("post / ") => answer("308 Moved", "Location: /new\r\n"),
        _ => answer("400 Bad Request", ""),
    });
    let outcome = outcome(&within.url(), |check| {
        check.method = "POST".to_owned();
        check.send = Some("x=1".to_owned());
    });
    assert_eq!(outcome.verdict, Ok(()));
}

#[test]
fn a_site_that_sets_a_cookie_and_waits_for_it_is_up() {
    let site = Server::routing(|head| match head {
        _ if has(head, "cookie: seen=1\r\n") => answer("200 OK", ""),
        _ => answer("302 Found", "Set-Cookie: seen=1\r\nLocation: /\r\n"),
    });
    assert_eq!(outcome(&site.url(), |_| {}).verdict, Ok(()));
    // A cookie of the configuration is replaced by one of the same name from the answer.
    let stale = |check: &mut HttpCheck| {
        let own = "seen=0; own=2".to_owned();
        check.headers = vec![("Cookie".to_owned(), own)];
    };
    let site = Server::routing(|head| match head {
        _ if has(head, "cookie: own=2; seen=1\r\n") => answer("200 OK", ""),
        _ => answer("302 Found", "Set-Cookie: seen=1\r\nLocation: /\r\n"),
    });
    assert_eq!(outcome(&site.url(), stale).verdict, Ok(()));
    // The domain is compared with the Host header.
    let site = Server::routing(|head| match head {
        _ if has(head, "cookie: seen=1\r\n") => answer("200 OK", ""),
        _ => {
            let cookie = "Set-Cookie: seen=1; Domain=example.org\r\nLocation: /\r\n";
            answer("302 Found", cookie)
        }
    });
    let outcome_as = |host: &str| {
        outcome(&site.url(), |check| {
            check.headers = vec![("Host".to_owned(), host.to_owned())];
        })
    };
    for host in ["example.org", "shop.example.org:8080"] {
        assert_eq!(outcome_as(host).verdict, Ok(()), "{host}");
    }
    assert_eq!(
        failure(&outcome_as("example.com")).1,
        "more than 10 redirects"
    );
    // A cookie is deleted by a time before the answer's Date, as in browsers.
    let site = Server::routing(|head| match head {
        _ if head.starts_with("get / ") => {
            answer("302 Found", "Set-Cookie: a=1\r\nLocation: /b\r\n")
        }
        _ if head.starts_with("get /b") && has(head, "cookie: a=1\r\n") => answer(
            "302 Found",
            "Date: Mon, 02 Feb 2026 10:00:00 GMT\r\n\
             Set-Cookie: a=; Path=/; Expires=Mon, 02 Feb 2026 09:59:59 GMT\r\n\
             Set-Cookie: s=1; Secure; Expires=Mon, 02 Feb 2026 10:00:09 GMT\r\nLocation: /c\r\n",
        ),
        _ if head.starts_with("get /c") && has(head, "cookie: s=1\r\n") => answer("200 OK", ""),
        _ => answer("400 Bad Request", ""),
    });
    assert_eq!(outcome(&site.url(), |_| {}).verdict, Ok(()));
    let next = outcome(&site.url(), |_| {});
    assert_eq!(next.verdict, Ok(()), "each check begins without any");
}

/// The site redirects to a login at another host, which requires its own cookie and redirects
/// back. The site then requires its own cookie and that of the configuration.
#[test]
fn a_login_by_way_of_another_host_works_and_each_gets_its_own() {
    let ports: Arc<Mutex<(u16, u16)>> = Arc::default();
    let known = ports.clone();
    let (login, at_login) = recording(move |head| {
        let back = known.lock().expect("sound").0;
        match head {
            _ if head.starts_with("get /ask") => {
                answer("302 Found", "Set-Cookie: sso=7\r\nLocation: /grant\r\n")
            }
            _ if has(head, "cookie: sso=7\r\n") => {
                found(&format!("http://127.0.0.1:{back}/in?code=5"))
            }
            _ => answer("400 Bad Request", ""),
        }
    });
    let known = ports.clone();
    let (home, at_home) = recording(move |head| {
        let login = known.lock().expect("sound").1;
        match head {
            _ if has(head, "cookie: own=1; state=3; session=9\r\n") => answer("200 OK", ""),
            _ if head.starts_with("get /in?code=5") && has(head, "state=3") => answer(
                "302 Found",
                "Set-Cookie: session=9; Path=/; HttpOnly\r\nLocation: /\r\n",
            ),
            _ => answer(
                "302 Found",
                &format!("Set-Cookie: state=3\r\nLocation: http://localhost:{login}/ask\r\n"),
            ),
        }
    });
    *ports.lock().expect("sound") = (home.address.port(), login.address.port());
    let outcome = outcome(&home.url(), |check| {
        check.ip = IpVersion::V4;
        check.headers = vec![
            ("Cookie".to_owned(), "own=1".to_owned()),
            ("X-Key".to_owned(), "key".to_owned()),
        ];
        check.auth = Some(Auth::Basic {
            user: "me".to_owned(),
            password: "pw".to_owned(),
        });
    });
    assert_eq!(outcome.verdict, Ok(()));
    let at_home = at_home.lock().expect("sound");
    assert_eq!(at_home.len(), 3);
    for head in at_home.iter() {
        assert!(has(head, "x-key: key\r\n") && has(head, "authorization: basic "));
    }
    let at_login = at_login.lock().expect("sound");
    assert_eq!(at_login.len(), 2);
    for head in at_login.iter() {
        assert!(!has(head, "key") && !has(head, "authorization") && !has(head, "own="));
        assert!(!has(head, "state=") && !has(head, "session="), "{head}");
    }
}

#[test]
fn a_location_is_taken_byte_by_byte_and_its_password_once() {
    let seen = Seen::default();
    let log = seen.clone();
    let server = Server::new(move |mut stream| {
        while let Some(head) = request(&mut stream) {
            let authority = head.split("host: ").nth(1).unwrap_or_default();
            let authority = authority.lines().next().unwrap_or_default().to_owned();
            let (status, location) = match head.split(' ').nth(1).unwrap_or_default() {
                "/" => ("302 Found", b"/caf\xe9".to_vec()),
                "/caf%e9" => (
                    "302 Found",
                    format!("http://you:p%26w@{authority}/secret").into(),
                ),
                "/secret" => ("302 Found", b"open".to_vec()),
                _ => ("200 OK", Vec::new()),
            };
            log.lock().expect("sound").push(head);
            let mut bytes =
                format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nLocation: ").into_bytes();
            bytes.extend(location);
            bytes.extend(b"\r\n\r\n");
            if stream.write_all(&bytes).is_err() {
                break;
            }
        }
    });
    assert_eq!(outcome(&server.url(), |_| {}).verdict, Ok(()));
    let seen = seen.lock().expect("sound");
    let line = |head: &String| head.lines().next().unwrap_or_default().to_owned();
    let lines: Vec<String> = seen.iter().map(line).collect();
    assert_eq!(
        lines,
        ["/", "/caf%e9", "/secret", "/open"].map(|path| format!("get {path} http/1.1"))
    );
    // In lower case, like all recorded heads.
    let sent: Vec<bool> = seen
        .iter()
        .map(|head| has(head, "authorization: basic "))
        .collect();
    assert_eq!(sent, [false, false, true, false]);
}

#[test]
fn an_empty_location_is_judged_by_its_status() {
    for location in ["Location:\r\n", "Location: \r\n", "Location:  \t \r\n"] {
        let server = Server::routing(move |_| answer("302 Found", location));
        let judged = outcome(&server.url(), |_| {});
        let cause = "HTTP 302, wanted 200-299";
        assert_eq!(failure(&judged), (FailureKind::Status, cause));
        let wanted = outcome(&server.url(), |check| {
            check.status.ranges = vec![(302, 302)]
        });
        assert_eq!(wanted.verdict, Ok(()));
    }
}

/// All of loopback is private: a site there may redirect within it.
#[test]
fn a_private_site_may_redirect_to_private_addresses() {
    let there = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let to = format!("http://{host}:{}/", there.address.port());
        let here = Server::routing(move |_| found(&to));
        let outcome = outcome(&here.url(), |_| {});
        assert_eq!(outcome.verdict, Ok(()), "{host}");
    }
}

/// libcurl counts the handshake as connecting: no request was sent, and the next address is tried.
#[test]
fn a_handshake_that_does_not_end_is_no_connection() {
    use crate::http::{TransferErrorKind, TransferRequest};
    use crate::monitor::site::Proxy;
    use isahc::http::{HeaderMap, Method};
    let silent = Server::new(|mut stream| while request(&mut stream).is_some() {});
    for scheme in ["http", "https"] {
        let url = format!("{scheme}://name.example:{}/", silent.address.port());
        let url = url::Url::parse(&url).expect("a URL");
        let ask = TransferRequest {
            url: &url,
            method: Method::GET,
            headers: &HeaderMap::new(),
            body: None,
            basic: None,
            version: HttpVersion::Any,
            ip: IpVersion::Any,
            verify: false,
            ca_file: None,
            dial: Some(silent.address),
            proxy: &Proxy::Environment,
            connect_within: Some(Duration::from_millis(200)),
            fresh: false,
            close: true,
            deadline: Instant::now() + Duration::from_secs(1),
            permit: None,
        };
        let start = Instant::now();
        let fault = block_on(client().send(&ask)).expect_err("no answer");
        let (what, least) = match scheme {
            "https" => (TransferErrorKind::ConnectTimeout, 0),
            _ => (TransferErrorKind::AnswerTimeout, 900),
        };
        assert_eq!(fault.what, what, "{scheme}");
        assert!(start.elapsed() >= Duration::from_millis(least), "{scheme}");
    }
}
