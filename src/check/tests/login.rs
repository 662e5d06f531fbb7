//! Logging in before a check.

use super::server::{Server, request};
use super::*;
use crate::monitor::site::{Auth, Login, LoginExpect};
use rustix::net::{Shutdown, shutdown};
use std::io::Write;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// The head of every request, in lower case.
type Seen = Arc<Mutex<Vec<String>>>;

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
}

/// A small site: `/login` has the form, `/session` receives it, `/home` needs the session.
fn application() -> (Server, Seen) {
    let seen = Seen::default();
    let (log, tokens) = (seen.clone(), AtomicUsize::new(0));
    let server = Server::routing(move |head| {
        log.lock().expect("sound").push(head.to_owned());
        let is = |start: &str| head.starts_with(start);
        let has = |part: &str| head.contains(part);
        if is("get /login") {
            let token = tokens.fetch_add(1, Ordering::SeqCst) + 1;
            let page = format!(
                "<form action=/search><input type=hidden name=where value=all></form>\
                 <form method=post action=\"/session\"><input name=user><input name=password>\
                 <input type=hidden name=csrf value=\"a&amp;{token}\">\
                 <input type=hidden name=realm value=home></form>"
            );
            return answer("200 OK", "Set-Cookie: pre=1\r\n", &page);
        }
        if is("post /session") {
            let token = format!("csrf=a%26{}&", tokens.load(Ordering::SeqCst));
            if !has(&token) || !has("cookie: pre=1") {
                return answer("419 Page Expired", "", "");
            }
            if !has("user=me") || !has("password=p%26+w") {
                return answer("200 OK", "", "wrong password");
            }
            let headers = "Set-Cookie: first=1\r\nLocation: /welcome\r\n";
            return answer("302 Found", headers, "");
        }
        if is("get /welcome") && has("first=1") {
            let headers = "Set-Cookie: session=2; Path=/; HttpOnly\r\n\
                           Set-Cookie: pre=; Max-Age=0\r\n";
            return answer("200 OK", headers, "Welcome back");
        }
        if is("get /home") && has("session=2") && !has("pre=") && !has("third=3") {
            let headers = "Set-Cookie: third=3\r\nLocation: /home\r\n";
            return answer("302 Found", headers, "");
        }
        if is("get /home") && has("session=2") && !has("pre=") {
            return answer("200 OK", "", "your account");
        }
        answer("302 Found", "Location: /login\r\n", "")
    });
    (server, seen)
}

fn login(server: &Server) -> Login {
    Login {
        url: format!("{}session", server.url()),
        page: Some(format!("{}login", server.url())),
        form: vec![
            ("user".to_owned(), "me".to_owned()),
            ("password".to_owned(), "p& w".to_owned()),
            ("realm".to_owned(), "office".to_owned()),
        ],
        expect: None,
    }
}

fn behind(server: &Server, change: impl FnOnce(&mut Login)) -> Site {
    let mut login = login(server);
    change(&mut login);
    site(&format!("{}home", server.url()), |check| {
        check.body = Some("your account".to_owned());
        check.login = Some(Box::new(login));
    })
}

fn text(text: &str) -> Option<LoginExpect> {
    Some(LoginExpect::Text(text.to_owned()))
}

fn status(from: u16, to: u16) -> Option<LoginExpect> {
    let ranges = vec![(from, to)];
    Some(LoginExpect::Status(StatusSet { ranges }))
}

/// Returns the cause, after checking that it doesn't contain the password.
#[track_caller]
fn told(site: &Site) -> (FailureKind, String) {
    let client = client();
    let outcome = block_on(run(&client, site, false));
    all_permits_back(&client);
    let (kind, detail) = failure(&outcome);
    assert!(!detail.contains("p&") && !detail.contains("p%26"));
    assert_eq!(outcome.address, Some([127, 0, 0, 1].into()), "{detail}");
    (kind, detail.to_owned())
}

#[test]
fn a_login_with_a_token_gets_to_what_is_behind_it() {
    let (server, seen) = application();
    for expect in [None, text("Welcome"), status(302, 302), status(200, 200)] {
        let site = behind(&server, |login| login.expect = expect);
        let client = client();
        for fresh in [false, true] {
            let outcome = block_on(run(&client, &site, fresh));
            assert_eq!(outcome.verdict, Ok(()));
            assert!(outcome.took.is_some() && outcome.phases.is_some());
        }
    }
    let seen = seen.lock().expect("sound");
    let [page, form, welcome, home] = &seen[..4] else {
        panic!("four requests");
    };
    let origin = format!("http://{}", server.address);
    assert!(!page.contains("cookie:"), "{page}");
    for part in [
        "content-type: application/x-www-form-urlencoded\r\n",
        &format!("origin: {origin}\r\n"),
        &format!("referer: {origin}/\r\n"),
        "\r\n\r\ncsrf=a%261&user=me&password=p%26+w&realm=office",
    ] {
        assert!(form.contains(part), "{part} in {form}");
    }
    assert!(welcome.contains("cookie: pre=1; first=1\r\n"), "{welcome}");
    assert!(!welcome.contains("p%26") && !welcome.contains("content-type:"));
    assert!(home.contains("cookie: first=1; session=2\r\n"), "{home}");
    assert!(!seen[5].contains("cookie:"), "a check begins without any");
}

#[test]
fn a_form_is_sent_as_a_browser_sends_it() {
    let page = "<!--><form id=f method=post action=/session><input name=user>\
                <input type=password name=password><!-- <input name=no> -->\
                <select name=realm2><option value=a>A<option value=b selected>B</select>\
                <input name=lang value=en><button name=go value=1>Log in</button></form>\
                <form><input type=hidden name=other value=1>\
                <input type=hidden name=csrf value=7 form=f></form>";
    let wanted = "realm2=b&lang=en&go=1&csrf=7&user=me&password=p%26+w&realm=office";
    let server = Server::routing(move |head| {
        let end = format!("\r\n\r\n{wanted}");
        match head {
            head if head.starts_with("get /login") => answer("200 OK", "", page),
            head if head.starts_with("post /session") && head.ends_with(&end) => {
                answer("200 OK", "", "your account")
            }
            head if head.starts_with("get /home") => answer("200 OK", "", "your account"),
            _ => answer("400 Bad Request", "", ""),
        }
    });
    let outcome = block_on(run(&client(), &behind(&server, |_| {}), false));
    assert_eq!(outcome.verdict, Ok(()));
}

#[test]
fn the_steps_of_a_login_share_a_connection_unless_it_is_a_retry() {
    let (server, _) = application();
    let mut site = behind(&server, |_| {});
    site.interval = Duration::from_secs(3600);
    let client = client();
    assert_eq!(block_on(run(&client, &site, false)).verdict, Ok(()));
    // The site's own request, whose redirect closes its connection, makes one connection more.
    assert_eq!(server.accepted(), 2);
    assert_eq!(block_on(run(&client, &site, true)).verdict, Ok(()));
    assert_eq!(server.accepted(), 7);
}

#[test]
fn a_login_that_fails_is_told_as_one() {
    use FailureKind::{Body, Status};
    let (server, _) = application();
    let wrong = |login: &mut Login| login.form[1].1 = "wrong".to_owned();
    for (expect, kind, cause) in [
        (text("Welcome"), Body, "login: answer lacks \"Welcome\""),
        (status(302, 302), Status, "login: HTTP 200, wanted 302"),
    ] {
        let site = behind(&server, |login| {
            wrong(login);
            login.expect = expect;
        });
        assert_eq!(told(&site), (kind, cause.to_owned()));
    }
    // Without `expect` only the site's own conditions are checked.
    let site = behind(&server, wrong);
    let cause = "body lacks \"your account\"".to_owned();
    assert_eq!(told(&site), (Body, cause));
    let stale = behind(&server, |login| {
        login.form.push(("csrf".to_owned(), "a&0".to_owned()));
    });
    let cause = "login: HTTP 419".to_owned();
    assert_eq!(told(&stale), (Status, cause));
    let none = behind(&server, |login| login.page = None);
    assert_eq!(told(&none), (Status, "login: HTTP 419".to_owned()));
}

#[test]
fn a_page_that_is_no_use_is_told() {
    use FailureKind::{Body, Status, TooLarge};
    let (server, seen) = application();
    let fields = "<input type=hidden name=a value=b>".repeat(201);
    for (page, kind, cause) in [
        (
            answer("200 OK", "", &format!("<form>{fields}</form>")),
            TooLarge,
            "login: the form has more than 200 fields",
        ),
        (
            answer("200 OK", "", "maintenance"),
            Body,
            "login: the page has no form",
        ),
        (
            answer("503 Busy", "", "<form></form>"),
            Status,
            "login: the page with the form is HTTP 503",
        ),
        (
            answer("200 OK", "", &"x".repeat(10_000_000)),
            Body,
            "login: the page has no form in its first 1 MiB",
        ),
    ] {
        let other = Server::routing(move |_| page.clone());
        let site = behind(&server, |login| login.page = Some(other.url()));
        assert_eq!(told(&site), (kind, cause.to_owned()));
    }
    assert!(seen.lock().expect("sound").is_empty(), "nothing was sent");
}

#[test]
fn faults_on_the_way_to_the_login_are_told_as_its_own() {
    use FailureKind::{Connect, Protocol, Redirected, Timeout};
    let free = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let refusing = free.local_addr().expect("bound");
    // The port stays taken.
    shutdown(&free, Shutdown::Both).expect("shut down");
    let ring = Server::routing(|_| answer("302 Found", "Location: /\r\n", ""));
    let silent = Server::new(|mut stream| while request(&mut stream).is_some() {});
    let closing = Server::closing(b"");
    let file = Server::routing(|_| answer("302 Found", "Location: file:/etc/passwd\r\n", ""));
    for (url, kind, cause) in [
        (
            format!("http://{refusing}/"),
            Connect,
            format!("login: connection refused by {refusing}"),
        ),
        (
            ring.url(),
            Redirected,
            "login: more than 10 redirects".to_owned(),
        ),
        (
            silent.url(),
            Timeout,
            "login: no answer within 400ms".to_owned(),
        ),
        (
            closing.url(),
            Protocol,
            "login: server closed the connection without an answer".to_owned(),
        ),
        (
            file.url(),
            Redirected,
            "login: redirect to file: is not followed".to_owned(),
        ),
    ] {
        let (server, _) = application();
        let as_page = behind(&server, |login| login.page = Some(url.clone()));
        let as_form = behind(&server, |login| {
            login.url = url.clone();
            login.page = None;
        });
        for mut site in [as_page, as_form] {
            if kind == Timeout {
                site.timeout = Duration::from_millis(400);
            }
            assert_eq!(told(&site), (kind, cause.clone()));
        }
    }
}

#[test]
fn the_whole_chain_has_one_deadline() {
    let slow = Server::new(|mut stream| {
        while let Some(head) = request(&mut stream) {
            if head.starts_with("post /session") {
                std::thread::sleep(Duration::from_millis(1500));
                let _ = stream.write_all(answer("200 OK", "", "").as_bytes());
            }
        }
    });
    let mut site = behind(&slow, |login| login.page = None);
    site.timeout = Duration::from_secs(2);
    let start = Instant::now();
    let (kind, cause) = told(&site);
    assert!(start.elapsed() < Duration::from_secs(3));
    assert_eq!(kind, FailureKind::Timeout);
    assert!(cause.ends_with("no answer within 2s"), "{cause}");
}

/// Adds secrets to the site's own requests.
fn guard(site: &mut Site) {
    let Check::Http(check) = &mut site.check else {
        panic!("an HTTP check");
    };
    check.ip = IpVersion::V4;
    check.headers = vec![("Cookie".to_owned(), "own=x".to_owned())];
    check.auth = Some(Auth::Bearer("token".to_owned()));
}

#[test]
fn another_host_gets_neither_cookies_nor_the_form_nor_what_is_secret() {
    let seen = Seen::default();
    let log = seen.clone();
    let other = Server::routing(move |head| {
        log.lock().expect("sound").push(head.to_owned());
        answer(
            "200 OK",
            "Set-Cookie: alien=1; Path=/; Domain=127.0.0.1\r\n",
            "your account",
        )
    });
    let there = format!("http://localhost:{}/", other.address.port());
    let refused = format!(
        "login: redirect would take the form to {}",
        there.trim_end_matches('/')
    );
    for (status, cause) in [
        ("302 Found", None),
        ("307 Temporary Redirect", Some(refused.as_str())),
        ("308 Permanent Redirect", Some(refused.as_str())),
    ] {
        let to = there.clone();
        let here = Server::routing(move |head| {
            if head.starts_with("get /home") {
                let mine = head.contains("cookie: own=x; s=1\r\n");
                let theirs = head.contains("alien");
                let body = if mine && !theirs { "your account" } else { "" };
                return answer("200 OK", "", body);
            }
            answer(
                status,
                &format!("Set-Cookie: s=1\r\nLocation: {to}\r\n"),
                "",
            )
        });
        let mut site = behind(&here, |login| login.page = None);
        guard(&mut site);
        match cause {
            None => assert_eq!(block_on(run(&client(), &site, false)).verdict, Ok(())),
            Some(cause) => {
                let told = told(&site);
                assert_eq!(told, (FailureKind::Redirected, cause.to_owned()));
            }
        }
    }
    let (home, _) = application();
    let mut site = behind(&home, |login| login.page = Some(there));
    guard(&mut site);
    let cause = "login: the page has no form".to_owned();
    assert_eq!(told(&site), (FailureKind::Body, cause));
    let seen = seen.lock().expect("sound");
    assert_eq!(seen.len(), 2);
    for head in seen.iter() {
        for secret in ["cookie", "p%26", "token", "own"] {
            assert!(!head.contains(secret), "{secret} in {head}");
        }
    }
}

#[test]
fn a_form_may_be_moved_within_its_host() {
    let moved = Server::routing(|head| match head {
        _ if head.starts_with("post /session") => {
            answer("307 Temporary Redirect", "Location: /new\r\n", "")
        }
        _ if head.starts_with("post /new") && head.contains("p%26+w") => {
            answer("200 OK", "", "Welcome")
        }
        _ if head.starts_with("get /home") => answer("200 OK", "", "your account"),
        _ => answer("404 Not Found", "", ""),
    });
    let site = behind(&moved, |login| {
        login.page = None;
        login.expect = text("Welcome");
    });
    assert_eq!(block_on(run(&client(), &site, false)).verdict, Ok(()));
}

#[test]
fn a_flood_of_cookies_is_cut_and_a_poisoned_one_left_out() {
    let flooding = |line: &'static str| {
        Server::new(move |mut stream| {
            while let Some(head) = request(&mut stream) {
                let mut cookies = String::new();
                if head.starts_with("post") {
                    cookies = (0..2000)
                        .map(|i| line.replace('#', &i.to_string()))
                        .collect();
                }
                let count = head.matches("c1").count();
                let body = format!("your account {count}");
                let _ = stream.write_all(answer("200 OK", &cookies, &body).as_bytes());
            }
        })
    };
    let flood = flooding("Set-Cookie: c1#=1; Max-Age=18446744073709551615\r\n");
    let poisoned = flooding("Set-Cookie: c1#=\u{e4}\r\n");
    for (server, wanted) in [(flood, "your account 50"), (poisoned, "your account 0")] {
        let mut site = behind(&server, |login| login.page = None);
        let Check::Http(check) = &mut site.check else {
            panic!("an HTTP check");
        };
        check.body = Some(wanted.to_owned());
        assert_eq!(block_on(run(&client(), &site, false)).verdict, Ok(()));
    }
    let endless = Server::new(|mut stream| {
        request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(b"Set-Cookie: a=b\r\n").is_ok() {}
    });
    let site = behind(&endless, |login| login.page = None);
    let cause = "login: answer's headers are too large".to_owned();
    assert_eq!(told(&site), (FailureKind::TooLarge, cause));
}
