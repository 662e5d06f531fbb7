//! Registrations from registries on loopback.

use super::server::Server;
use super::{all_permits_back, client, site};
use crate::check::rdap::{Registries, inspect, inspect_within, lead};
use crate::monitor::persist::snapshot::RegistryRecord;
use crate::monitor::site::Site;
use crate::monitor::site::outcome::{Expiry, Failure, FailureKind};
use crate::timer::block_on;
use rustix::net::{Shutdown, shutdown};
use std::io::Write;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use url::Url;

const WEEK: i64 = 7 * 86_400;

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_secs() as i64
}

fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

fn domain(name: &str) -> String {
    let body = format!(
        r#"{{"objectClassName":"domain","ldhName":"{name}","events":[{{"eventAction":"expiration","eventDate":"2026-08-30T04:00:00Z"}}],"entities":[{{"roles":["registrar"],"vcardArray":["vcard",[["fn",{{}},"text","Example Registrar"]]]}}]}}"#
    );
    answer("200 OK", &body)
}

fn redirect(to: &str) -> String {
    format!(
        "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
}

/// A server, and the paths of its requests.
struct Registry {
    server: Server,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Registry {
    fn new(route: impl Fn(&str) -> String + Send + Sync + 'static) -> Registry {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let server = Server::routing(move |head| {
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let answer = route(&path);
            log.lock().expect("the log").push(path);
            answer
        });
        Registry { server, asked }
    }

    fn base(&self) -> String {
        format!("http://{}", self.server.address)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("the log").clone()
    }

    /// Looks up the domain of `host` at this registry.
    fn look(&self, host: &str) -> Result<Expiry, Failure> {
        let site = site(&format!("https://{host}/"), |_| {});
        let client = client();
        let found = block_on(inspect(
            &client,
            &site,
            Some(&self.base()),
            &Registries::new(Vec::new()),
        ));
        all_permits_back(&client);
        found
    }
}

fn expiry(name: &str) -> Expiry {
    Expiry {
        ends: 1_788_062_400,
        subject: name.to_owned(),
        issuer: "Example Registrar".to_owned(),
        key: String::new(),
    }
}

#[track_caller]
fn cause(found: Result<Expiry, Failure>) -> (FailureKind, String) {
    let failure = found.expect_err("a failure was expected");
    (failure.kind, failure.detail)
}

#[test]
fn the_end_and_the_registrar_are_found() {
    let registry = Registry::new(|_| domain("EXAMPLE.ORG"));
    assert_eq!(registry.look("www.example.org"), Ok(expiry("example.org")));
    assert_eq!(registry.asked(), ["/domain/example.org"]);
}

#[test]
fn a_registrar_has_a_short_name_on_one_line() {
    let name = format!("Eve\\r\\n\\u001b[2J\\u202e{}", "x".repeat(900_000));
    let registry = Registry::new(move |_| {
        let body = domain("example.org").replace("Example Registrar", &name);
        let body = body.split("\r\n\r\n").nth(1).unwrap_or_default();
        answer("200 OK", body)
    });
    let found = registry.look("example.org").expect("an end");
    let expected = format!("Eve   [2J{}…", "x".repeat(190));
    assert_eq!(found.issuer, expected);
}

#[test]
fn what_is_not_registered_is_passed_over_whatever_the_registry_says_of_it() {
    for other in [
        answer("404 Not Found", ""),
        answer("400 Bad Request", "{}"),
        answer("403 Forbidden", "no"),
        answer("500 Internal Server Error", ""),
        answer("200 OK", "<html>"),
        answer("200 OK", "{}"),
        answer("200 OK", r#"{"ldhName":"co.uk","events":[]}"#),
        domain("nic.uk"),
        redirect("ftp://nic.uk/"),
    ] {
        let answer = other.clone();
        let registry = Registry::new(move |path| match path {
            "/domain/example.co.uk" => domain("example.co.uk"),
            _ => answer.clone(),
        });
        for host in [
            "www.example.co.uk",
            "shop.example.co.uk",
            "a.b.example.co.uk",
        ] {
            assert_eq!(registry.look(host), Ok(expiry("example.co.uk")));
        }
        // A name that begins with `www` may itself be the registered one.
        let registry = Registry::new(move |path| match path {
            "/domain/www.co.uk" => domain("www.co.uk"),
            _ => other.clone(),
        });
        assert_eq!(registry.look("www.co.uk"), Ok(expiry("www.co.uk")));
    }
}

#[test]
fn of_two_registrations_the_one_below_counts() {
    let registry = Registry::new(|path| domain(path.trim_start_matches("/domain/")));
    for (host, wanted) in [
        ("www.shop.uk.com", "shop.uk.com"),
        ("shop.uk.com", "shop.uk.com"),
        ("www.example.eu.org", "example.eu.org"),
    ] {
        assert_eq!(registry.look(host), Ok(expiry(wanted)));
    }
    // The registry of com knows only uk.com, which is a third party's.
    let registry = Registry::new(|path| match path {
        "/domain/uk.com" => domain("uk.com"),
        _ => answer("404 Not Found", ""),
    });
    let (_, detail) = cause(registry.look("www.shop.uk.com"));
    assert_eq!(detail, "the registry does not know www.shop.uk.com");
    // The registered domain counts even if its end isn't given.
    let registry = Registry::new(|path| match path {
        "/domain/shop.example.net" => answer("200 OK", r#"{"ldhName":"shop.example.net"}"#),
        _ => domain("example.net"),
    });
    let (_, detail) = cause(registry.look("shop.example.net"));
    assert_eq!(
        detail,
        "the registry does not say when shop.example.net ends"
    );
}

#[test]
fn a_registry_that_has_enough_of_questions_is_asked_no_more() {
    let registry = Registry::new(|_| answer("429 Too Many Requests", ""));
    let (_, detail) = cause(registry.look("a.b.example.org"));
    assert_eq!(detail, "127.0.0.1: too many questions (429)");
    assert_eq!(registry.asked().len(), 1);
}

#[test]
fn at_most_four_names_are_asked_for() {
    let registry = Registry::new(|_| answer("404 Not Found", ""));
    let (kind, detail) = cause(registry.look("a.b.c.d.e.example"));
    assert_eq!(kind, FailureKind::Body);
    assert_eq!(detail, "the registry does not know a.b.c.d.e.example");
    assert_eq!(registry.asked().len(), 4);
}

#[test]
fn a_name_beyond_ascii_is_asked_for_as_resolvers_know_it() {
    let registry = Registry::new(|_| domain("bücher.example"));
    let found = registry.look("Bücher.example");
    assert_eq!(found, Ok(expiry("xn--bcher-kva.example")));
}

#[test]
fn what_the_registry_refuses_or_does_not_say_is_told() {
    let host = "127.0.0.1";
    for (answer, kind, wanted) in [
        (
            answer("429 Too Many Requests", ""),
            FailureKind::Status,
            format!("{host}: too many questions (429)"),
        ),
        (
            answer("503 Service Unavailable", "down"),
            FailureKind::Status,
            format!("{host} answered HTTP 503"),
        ),
        (
            answer("200 OK", "{}"),
            FailureKind::Body,
            "the registry does not say when example.org ends".to_owned(),
        ),
        (
            answer("200 OK", "<html>"),
            FailureKind::Body,
            format!("the answer of {host} is not RDAP"),
        ),
        (
            answer("200 OK", r#"{"events":,"a":["#),
            FailureKind::Body,
            format!("the answer of {host} is not RDAP"),
        ),
        (
            domain("other.org"),
            FailureKind::Body,
            "the registry does not know example.org".to_owned(),
        ),
        (
            answer("200 OK", &" ".repeat(1024 * 1024 + 1)),
            FailureKind::Body,
            format!("the answer of {host} is over 1 MiB"),
        ),
        (
            redirect("ftp://example.org/"),
            FailureKind::Redirected,
            format!("{host} redirects to ftp: is not followed"),
        ),
        (
            redirect("/again"),
            FailureKind::Redirected,
            "more than 3 redirects".to_owned(),
        ),
    ] {
        let registry = Registry::new(move |_| answer.clone());
        assert_eq!(cause(registry.look("example.org")), (kind, wanted));
    }
}

#[test]
fn a_registry_that_is_not_there_is_told_by_its_host() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let base = format!("http://{}/", listener.local_addr().expect("bound"));
    // The port stays taken.
    shutdown(&listener, Shutdown::Both).expect("shut down");
    let site = site("https://example.org/", |_| {});
    let cache = Registries::new(Vec::new());
    let told = cause(block_on(inspect(&client(), &site, Some(&base), &cache)));
    let wanted = "cannot connect to 127.0.0.1".to_owned();
    assert_eq!(told, (FailureKind::Connect, wanted));
}

#[test]
fn from_https_no_redirect_leads_to_anything_else() {
    let led = |from: &str, to: &str| {
        let from = Url::parse(from).expect("a URL");
        lead(&from, to)
            .map(|url| url.to_string())
            .map_err(|failure| failure.detail)
    };
    assert_eq!(
        led("https://rdap.org/domain/a.b", "https://other/a.b"),
        Ok("https://other/a.b".to_owned())
    );
    assert_eq!(
        led("https://rdap.org/domain/a.b", "http://other/a.b"),
        Err("rdap.org redirects to http: is not followed".to_owned())
    );
    assert_eq!(
        led("http://rdap.org/domain/a.b", "http://other/a.b"),
        Ok("http://other/a.b".to_owned())
    );
    assert_eq!(
        led("http://rdap.org/domain/a.b", "file:///etc/passwd"),
        Err("rdap.org redirects to file: is not followed".to_owned())
    );
    assert_eq!(
        led("https://rdap.org/", "https://["),
        Err("rdap.org redirects to what is not an address".to_owned())
    );
}

#[test]
fn three_redirects_are_followed() {
    let registry = Registry::new(|path| match path {
        "/domain/example.org" => redirect("/1"),
        "/1" => redirect("/2"),
        "/2" => redirect("/3"),
        _ => domain("example.org"),
    });
    assert_eq!(registry.look("example.org"), Ok(expiry("example.org")));
    assert_eq!(registry.asked().len(), 4);
}

#[test]
fn a_registry_that_stays_silent_costs_one_deadline() {
    for server in [
        // Holds the connection until the client closes it.
        Server::new(|mut stream| {
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }),
        Server::new(|mut stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            while stream.write_all(b" ").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        }),
    ] {
        let client = client();
        let base = server.url();
        let cache = Registries::new(Vec::new());
        let found = block_on(async {
            let permit = client.check_permit().await;
            let within = Duration::from_millis(300);
            inspect_within(&client, &permit, "example.org", Some(&base), &cache, within).await
        });
        let (kind, detail) = cause(found);
        assert_eq!(kind, FailureKind::Timeout, "{detail}");
        assert!(detail.ends_with("within 300ms"), "{detail}");
        all_permits_back(&client);
    }
}

#[test]
fn a_name_without_a_registry_is_not_asked_for() {
    let registry = Registry::new(|_| domain("example.org"));
    let told = |host: &str| cause(registry.look(host)).1;
    assert_eq!(told("192.0.2.1"), "an address has no registration");
    assert_eq!(told("[2001:db8::1]"), "an address has no registration");
    assert_eq!(told("nas"), "nas is no name that is registered");
    assert!(registry.asked().is_empty());
}

/// A registry that also serves IANA's list, in which it is responsible for `com` and `net`.
fn with_list() -> Registry {
    let base = Arc::new(Mutex::new(String::new()));
    let own = base.clone();
    let registry = Registry::new(move |path| match path {
        "/dns.json" => {
            let base = own.lock().expect("set");
            let list = format!(r#"{{"services":[[["com","net"],["{base}/v1/"]]]}}"#);
            answer("200 OK", &list)
        }
        name => domain(name.trim_start_matches("/v1/domain/")),
    });
    *base.lock().expect("unset") = registry.base();
    registry
}

fn record(domain: &str, url: &str, at: i64) -> RegistryRecord {
    RegistryRecord {
        domain: domain.to_owned(),
        url: url.to_owned(),
        at,
    }
}

fn look_with(cache: &Registries, host: &str) -> Result<Expiry, Failure> {
    let site = site(&format!("https://{host}/"), |_| {});
    block_on(inspect(&client(), &site, None, cache))
}

#[test]
fn the_list_is_asked_once_for_all_wanted_domains_and_kept() {
    let registry = with_list();
    let list = format!("{}/dns.json", registry.base());
    let cache = Registries::of(&list, Vec::new());
    let sites = ["https://www.example.net/", "https://192.0.2.1/"].map(|url| Site {
        domain: Some(std::time::Duration::from_secs(86_400)),
        ..site(url, |_| {})
    });
    cache.want(&sites);
    assert!(cache.learnt().is_empty(), "nothing is known yet");
    assert_eq!(
        look_with(&cache, "www.example.com"),
        Ok(expiry("example.com"))
    );
    assert_eq!(
        look_with(&cache, "www.example.net"),
        Ok(expiry("example.net"))
    );
    let paths = [
        "/dns.json",
        "/v1/domain/example.com",
        "/v1/domain/example.net",
    ];
    assert_eq!(registry.asked(), paths);

    let kept = Registries::of(&list, cache.learnt());
    assert_eq!(look_with(&kept, "example.com"), Ok(expiry("example.com")));
    assert_eq!(registry.asked().len(), 4, "the list isn't asked again");

    let (_, detail) = cause(look_with(&kept, "example.de"));
    assert_eq!(detail, "the registry of .de has no RDAP");
    let (_, detail) = cause(look_with(&kept, "example.de"));
    assert_eq!(detail, "the registry of .de has no RDAP");
    let lists = registry.asked();
    let lists = lists.iter().filter(|path| *path == "/dns.json").count();
    assert_eq!(lists, 2, "that there is none is kept too");
}

#[test]
fn after_a_week_the_list_is_asked_again_and_without_it_the_old_one_counts() {
    let registry = with_list();
    let learnt = |at| vec![record("com", &format!("{}/v1", registry.base()), at)];
    let lists = || {
        let asked = registry.asked();
        asked.iter().filter(|path| *path == "/dns.json").count()
    };
    let list = format!("{}/dns.json", registry.base());

    let young = Registries::of(&list, learnt(now() - WEEK + 60));
    assert_eq!(look_with(&young, "example.com"), Ok(expiry("example.com")));
    assert_eq!(lists(), 0);

    for at in [now() - WEEK - 60, now() + 3600] {
        let before = lists();
        let old = Registries::of(&list, learnt(at));
        assert_eq!(look_with(&old, "example.com"), Ok(expiry("example.com")));
        assert_eq!(lists(), before + 1);
        assert!((old.learnt()[0].at - now()).abs() < 60);
    }

    let broken = Registry::new(|_| answer("503 Service Unavailable", ""));
    let cache = Registries::of(&broken.base(), learnt(now() - 2 * WEEK));
    assert_eq!(look_with(&cache, "example.com"), Ok(expiry("example.com")));
    let told = cause(look_with(&cache, "example.org"));
    assert_eq!(
        told,
        (
            FailureKind::Status,
            "127.0.0.1 answered HTTP 503".to_owned()
        )
    );
    assert_eq!(broken.asked().len(), 1, "a failure isn't hammered");
}

#[test]
fn a_registry_without_encryption_is_not_asked_on_iana_s_word() {
    let learnt = vec![record("kg", "http://rdap.example/", now())];
    let (_, detail) = cause(look_with(&Registries::new(learnt), "example.kg"));
    assert_eq!(detail, "the registry of .kg speaks no https");
}
