//! Every answer to a send and what becomes of the message.

use super::*;
use crate::http::Limits;
use crate::monitor::outcome::{Failure, FailureKind};
use std::net::TcpListener;
use std::sync::atomic::AtomicUsize;

fn message() -> Message {
    Message {
        chat: -1001234567890,
        html: "<b>blog</b> is down".into(),
        silent: false,
        reply_to: Some(4),
        edit: None,
    }
}

fn edit() -> Message {
    Message {
        edit: Some(9),
        reply_to: None,
        ..message()
    }
}

fn answer(status: u16, body: &str) -> Result<Answer, CallError> {
    Ok(Answer {
        status,
        body: body.into(),
    })
}

fn refusal(code: u16, description: &str) -> Result<Answer, CallError> {
    answer(
        code,
        &format!(r#"{{"ok":false,"error_code":{code},"description":"{description}"}}"#),
    )
}

fn judged(message: &Message, outcome: Result<Answer, CallError>) -> Verdict {
    judge(message, Form::of(message), outcome)
}

#[track_caller]
fn delivery(outcome: Result<Answer, CallError>) -> Delivery {
    match judged(&message(), outcome) {
        Verdict::Done(delivery) => delivery,
        again => panic!("{again:?}"),
    }
}

fn later(after: Option<u64>, everywhere: bool, reason: &str) -> Delivery {
    Delivery::Later {
        after: after.map(Duration::from_secs),
        everywhere,
        reason: reason.into(),
    }
}

#[test]
fn ok_is_sent() {
    assert_eq!(
        delivery(answer(200, r#"{"ok":true,"result":{"message_id":12}}"#)),
        Delivery::Sent { message_id: 12 }
    );
}

#[test]
fn ok_that_cannot_be_read_is_sent_all_the_same() {
    let poisoned = r#"{"ok":true,"result":{"message_id":12,"chat":{"title":"\ud800"}}}"#;
    assert_eq!(
        delivery(answer(200, poisoned)),
        Delivery::Sent { message_id: 12 }
    );
    assert_eq!(
        delivery(answer(200, r#"{"ok":true,"result":true}"#)),
        Delivery::Sent { message_id: 0 }
    );
    assert_eq!(
        delivery(answer(200, r#"{"ok":true,"res"#)),
        Delivery::Sent { message_id: 0 }
    );
}

#[test]
fn an_edit_that_changes_nothing_is_sent() {
    let same = "Bad Request: message is not modified: specified new message content and reply markup are exactly the same";
    assert_eq!(
        judged(&edit(), refusal(400, same)),
        Verdict::Done(Delivery::Sent { message_id: 9 })
    );
    let done = answer(200, r#"{"ok":true,"result":true}"#);
    assert_eq!(
        judged(&edit(), done),
        Verdict::Done(Delivery::Sent { message_id: 9 })
    );
}

#[test]
fn network_and_server_errors_are_for_later_everywhere() {
    let failed = Err(CallError::Failed(Failure::new(
        FailureKind::Connect,
        "timed out",
    )));
    assert_eq!(delivery(failed), later(None, true, "timed out"));
    let portal = "HTTP 502 with an answer that is not the Bot API's";
    assert_eq!(delivery(answer(502, "<html>")), later(None, true, portal));
    assert_eq!(
        delivery(refusal(500, "Internal Server Error: restart")),
        later(None, true, "Internal Server Error: restart (500)")
    );
    assert_eq!(
        delivery(answer(200, r#"{"o"#)),
        later(None, true, "Telegram's answer was cut off")
    );
}

#[test]
fn a_refused_token_is_for_later_everywhere() {
    assert_eq!(
        delivery(refusal(401, "Unauthorized")),
        later(Some(300), true, "Unauthorized (401)")
    );
    assert_eq!(
        delivery(refusal(404, "Not Found")),
        later(Some(300), true, "Not Found (404)")
    );
}

#[test]
fn a_flood_stops_that_chat_for_as_long_as_telegram_says() {
    let flood = r#"{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 7","parameters":{"retry_after":7}}"#;
    assert_eq!(
        delivery(answer(429, flood)),
        later(Some(7), false, "Too Many Requests: retry after 7 (429)")
    );
    assert_eq!(
        delivery(refusal(429, "Too Many Requests")),
        later(None, false, "Too Many Requests (429)")
    );
}

#[test]
fn a_chat_that_refuses_is_refused() {
    for (code, why) in [
        (400, "Bad Request: chat not found"),
        (400, "Bad Request: message is too long"),
        (403, "Forbidden: bot was blocked by the user"),
        (413, "Request Entity Too Large"),
    ] {
        assert_eq!(
            delivery(refusal(code, why)),
            Delivery::Refused { reason: why.into() }
        );
    }
}

#[test]
fn an_upgraded_group_has_migrated() {
    let body = |to: i64| {
        format!(
            r#"{{"ok":false,"error_code":400,"description":"Bad Request: group chat was upgraded to a supergroup chat","parameters":{{"migrate_to_chat_id":{to}}}}}"#
        )
    };
    assert_eq!(
        delivery(answer(400, &body(-1009999999999))),
        Delivery::Migrated { to: -1009999999999 }
    );
    let to_itself = delivery(answer(400, &body(message().chat)));
    assert!(
        matches!(to_itself, Delivery::Refused { .. }),
        "{to_itself:?}"
    );
}

#[test]
fn html_that_telegram_cannot_parse_goes_as_plain_text() {
    let why = "Bad Request: can't parse entities: Unsupported start tag \\\"x\\\" at byte offset 0";
    let plain = Form {
        html: false,
        ..Form::of(&message())
    };
    assert_eq!(judged(&message(), refusal(400, why)), Verdict::Again(plain));
    assert!(matches!(
        judge(&message(), plain, refusal(400, why)),
        Verdict::Done(Delivery::Refused { .. })
    ));
    assert_eq!(
        plain.request(&message()).1,
        r#"{"chat_id":-1001234567890,"text":"blog is down","disable_notification":false,"reply_parameters":{"message_id":4,"allow_sending_without_reply":true},"link_preview_options":{"is_disabled":true}}"#
    );
}

#[test]
fn a_message_that_cannot_be_edited_is_sent_anew() {
    for why in [
        "Bad Request: message to edit not found",
        "Bad Request: message can't be edited",
        "Bad Request: MESSAGE_ID_INVALID",
    ] {
        let anew = Form {
            edit: None,
            ..Form::of(&edit())
        };
        assert_eq!(judged(&edit(), refusal(400, why)), Verdict::Again(anew));
        assert_eq!(anew.request(&edit()).0, "sendMessage");
    }
}

#[test]
fn a_reply_into_a_vanished_topic_goes_without_reply() {
    let why = "Bad Request: message thread not found";
    let alone = Form {
        reply_to: None,
        ..Form::of(&message())
    };
    assert_eq!(judged(&message(), refusal(400, why)), Verdict::Again(alone));
    assert_eq!(
        judge(&message(), alone, refusal(400, why)),
        Verdict::Done(Delivery::Refused { reason: why.into() })
    );
}

#[test]
fn requests_are_what_the_bot_api_wants() {
    let (method, body) = Form::of(&message()).request(&Message {
        silent: true,
        ..message()
    });
    assert_eq!(method, "sendMessage");
    assert_eq!(
        body,
        r#"{"chat_id":-1001234567890,"text":"<b>blog</b> is down","parse_mode":"HTML","disable_notification":true,"reply_parameters":{"message_id":4,"allow_sending_without_reply":true},"link_preview_options":{"is_disabled":true}}"#
    );
    let (method, body) = Form::of(&edit()).request(&edit());
    assert_eq!(method, "editMessageText");
    assert_eq!(
        body,
        r#"{"chat_id":-1001234567890,"message_id":9,"text":"<b>blog</b> is down","parse_mode":"HTML","link_preview_options":{"is_disabled":true}}"#
    );
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

/// The first `unset` looks at this clock show 1970.
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
    let client = Client::new(&Limits {
        max_connections: 4,
        idle_connections: 1,
        idle_timeout: Duration::from_secs(1),
        user_agent: "test".into(),
        ca_file: None,
    });
    let address = server.local_addr().expect("an address");
    let settings = Settings {
        token: Secret::new("1:a"),
        api: format!("{scheme}://{address}"),
        poll: Duration::ZERO,
    };
    Telegram::new(client.expect("a client"), settings, clock)
}

#[test]
fn nothing_is_sent_over_https_before_the_clock_is_set() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a server");
    server.set_nonblocking(true).expect("not blocking");
    let (clock, _) = clock_set_after(usize::MAX);
    let telegram = telegram_at("https", &server, clock);
    let delivery = smol::block_on(telegram.send(&message()));
    assert_eq!(delivery, later(Some(5), true, "clock not set"));
    let me = smol::block_on(telegram.get_me()).map_err(|error| error.to_string());
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
    let delivery = smol::block_on(telegram.send(&message()));
    let Delivery::Later { reason, .. } = delivery else {
        panic!("{delivery:?}");
    };
    assert_ne!(reason, "clock not set");
    hang_up.join().expect("somebody came");
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
    let seen = smol::block_on(futures_lite::future::or(
        async {
            telegram.poll(None, &[], &events).await;
            None
        },
        async { contacted.recv().await.ok() },
    ));
    assert_eq!(seen, Some((true, 2)), "connected at the second look");
}
