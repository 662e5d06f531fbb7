//! Tests of routes, the clock, and requests on the wire.

use super::*;
use crate::http::Limits;
use crate::timer;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn message() -> Message {
    Message {
        chat: -1001234567890,
        html: "<b>blog</b> is down".into(),
        ..Message::default()
    }
}

#[test]
fn the_poll_and_the_commands_are_asked_for_as_the_bot_api_wants_them() {
    assert_eq!(
        get_updates(Some(5), 1, Duration::from_secs(50)),
        r#"{"offset":5,"limit":1,"timeout":50,"allowed_updates":["message","callback_query"]}"#
    );
    assert_eq!(
        set_my_commands(&[("status", "counts and what is not up")]),
        r#"{"commands":[{"command":"status","description":"counts and what is not up"}]}"#
    );
}

#[test]
fn every_second_attempt_after_a_failure_is_ipv4_alone_and_what_works_is_kept() {
    let route = Route::default();
    assert!(!route.ipv4_only());
    route.failed(false);
    assert!(route.ipv4_only());
    route.failed(false);
    assert!(
        route.ipv4_only(),
        "a second call that failed the same way changes nothing"
    );
    route.failed(true);
    assert!(!route.ipv4_only());
}

#[test]
fn a_topic_that_was_closed_is_tried_again_after_an_hour() {
    let (without, now) = (WithoutTopic::default(), Instant::now());
    assert!(!without.has(-5, now));
    without.note(-5, now);
    let after = |minutes: u64| now + Duration::from_secs(minutes * 60);
    assert!(without.has(-5, after(59)) && !without.has(-6, after(59)));
    assert!(!without.has(-5, after(60)));
    // The topic is still closed at that time.
    without.note(-5, after(60));
    assert!(without.has(-5, after(119)) && !without.has(-5, after(120)));
}

/// Returns a clock that shows 1970 for the first `unset` reads.
fn clock_set_after(unset: usize) -> (Clock, Arc<AtomicUsize>) {
    let looks = Arc::new(AtomicUsize::new(0));
    let counted = looks.clone();
    let clock = Clock::showing(move || match counted.fetch_add(1, Ordering::Relaxed) {
        look if look < unset => 60,
        _ => crate::clock::BUILT + 60,
    });
    (clock, looks)
}

fn telegram_at(scheme: &str, server: &TcpListener, clock: Clock) -> Telegram {
    let client = Client::new(&Limits::of_tests());
    let address = server.local_addr().expect("an address");
    let settings = Settings {
        token: Secret::new("1:a"),
        api: format!("{scheme}://{address}"),
        routes: Vec::new(),
        poll: Duration::ZERO,
        topic: Some(42),
    };
    Telegram::new(client.expect("a client"), settings, clock)
}

#[test]
fn nothing_is_sent_over_https_before_the_clock_is_set() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a server");
    server.set_nonblocking(true).expect("not blocking");
    let (clock, _) = clock_set_after(usize::MAX);
    let telegram = telegram_at("https", &server, clock);
    let delivery = timer::block_on(telegram.send(&message(), None));
    let later = Delivery::Later {
        after: Some(Duration::from_secs(5)),
        everywhere: true,
        reason: "clock not set".into(),
    };
    assert_eq!(delivery, later);
    let me = timer::block_on(telegram.get_me()).map_err(|error| error.to_string());
    assert_eq!(me.err().as_deref(), Some("clock not set"));
    let touched = server.accept().map_err(|error| error.kind());
    assert_eq!(touched.err(), Some(std::io::ErrorKind::WouldBlock));
}

#[test]
fn a_server_without_tls_is_spoken_to_with_any_clock() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a server");
    let (clock, _) = clock_set_after(usize::MAX);
    let telegram = telegram_at("http", &server, clock);
    let hang_up = std::thread::spawn(move || drop(server.accept()));
    let delivery = timer::block_on(telegram.send(&message(), None));
    let Delivery::Later { reason, .. } = delivery else {
        panic!("{delivery:?}");
    };
    assert_ne!(reason, "clock not set");
    hang_up.join().expect("a connection was made");
}

#[test]
fn the_poll_over_https_begins_when_the_clock_is_set() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a server");
    let (clock, looks) = clock_set_after(1);
    let telegram = telegram_at("https", &server, clock);
    let (contact, contacted) = async_channel::bounded(1);
    std::thread::spawn(move || {
        let came = server.accept().is_ok();
        let _ = contact.try_send((came, looks.load(Ordering::Relaxed)));
    });
    let (events, _incoming) = async_channel::bounded(1);
    let seen = timer::block_on(futures_lite::future::or(
        async {
            telegram.poll(None, &[], &events).await;
            None
        },
        async { contacted.recv().await.ok() },
    ));
    assert_eq!(seen, Some((true, 2)), "connected at the second look");
}
