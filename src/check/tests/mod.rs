//! Checks against real sockets on the loopback.

mod bodies;
mod cert;
mod connect;
#[cfg(feature = "dns")]
mod dns;
mod floods;
#[cfg(feature = "http2")]
#[path = "../../../tests/support/h2.rs"]
mod h2;
mod header_lines;
mod hostile;
mod http;
#[cfg(feature = "http2")]
mod http2;
mod https;
#[cfg(feature = "icmp")]
mod icmp;
mod json;
mod learnt_roots;
mod login;
mod rdap;
mod redirects;
mod roots;
mod server;
mod starttls;
mod tcp;
mod tls;
mod tls_cause;

use super::run;
use crate::http::{Client, Limits};
use crate::monitor::site::outcome::{FailureKind, Outcome};
use crate::monitor::site::{Check, HttpCheck, HttpVersion, IpVersion, Site, StatusSet};
use crate::plain_site::plain_site;
use crate::timer::block_on;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

fn client() -> Client {
    client_with(|_| {})
}

fn client_with(change: impl FnOnce(&mut Limits)) -> Client {
    let mut limits = Limits {
        max_connections: 10,
        idle_connections: 5,
        idle_timeout: Duration::from_secs(30),
        user_agent: "sitemon/test".to_owned(),
        ca_file: None,
    };
    change(&mut limits);
    Client::new(&limits).expect("a client")
}

pub(super) fn http_check(url: &str) -> HttpCheck {
    match plain_site("site", url).check {
        Check::Http(check) => check,
        other => unreachable!("{other:?}"),
    }
}

/// A site whose connections are kept, since its interval is shorter than their idle timeout.
fn site(url: &str, change: impl FnOnce(&mut HttpCheck)) -> Site {
    let mut check = http_check(url);
    change(&mut check);
    Site {
        interval: Duration::from_secs(10),
        timeout: Duration::from_secs(5),
        remind: None,
        check: Check::Http(check),
        ..plain_site("site", url)
    }
}

/// A site of another kind with this timeout.
fn site_of(check: Check, timeout: Duration) -> Site {
    Site {
        timeout,
        check,
        ..site("http://h/", |_| {})
    }
}

/// A port where connecting hangs, since the accept queue is full.
fn unconnectable() -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    // SAFETY: a second listen() only changes the length of the queue.
    let listening = unsafe { libc::listen(listener.as_raw_fd(), 0) };
    assert_eq!(listening, 0);
    let moment = Duration::from_millis(200);
    let mut queue = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, moment) {
        queue.push(stream);
    }
    (listener, queue)
}

/// A port without a listener.
fn refusing() -> std::net::SocketAddr {
    let free = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    free.local_addr().expect("bound")
}

/// Checks the URL once with a new client.
fn outcome(url: &str, change: impl FnOnce(&mut HttpCheck)) -> Outcome {
    block_on(run(&client(), &site(url, change), false))
}

#[track_caller]
fn failure(outcome: &Outcome) -> (FailureKind, &str) {
    match &outcome.verdict {
        Ok(()) => panic!("a failure was expected"),
        Err(failure) => (failure.kind, &failure.detail),
    }
}

/// Waits until `client` has no permit in use. A transfer releases its permit a moment after the
/// answer.
#[track_caller]
fn all_permits_back(client: &Client) {
    let start = Instant::now();
    while client.permits_in_use() > 0 {
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "a permit is missing"
        );
        std::thread::yield_now();
    }
}
