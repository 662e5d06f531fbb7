//! Tests how each response to a message is handled.

use super::*;
use crate::monitor::site::outcome::{Failure, FailureKind};
use std::time::Duration;

fn message() -> Message {
    Message {
        chat: -1001234567890,
        html: "<b>blog</b> is down".into(),
        reply_to: Some(4),
        ..Message::default()
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
    judge(message, first(message), outcome)
}

/// Returns the form of the first attempt, without topic and picture.
fn first(message: &Message) -> Form {
    Form::of(message, None, false)
}

#[track_caller]
fn json(form: Form, message: &Message) -> (&'static str, String) {
    match form.request(message, &[]) {
        (method, Body::Json(text)) => (method, text),
        (method, Body::Multipart(_)) => panic!("{method} with a file"),
    }
}

fn buttons() -> Vec<Vec<Button>> {
    let button = |label: &str, data: &str| Button {
        label: label.into(),
        data: data.into(),
        style: None,
    };
    vec![
        vec![button("Check now", "c 1"), button("Mute \"1 h\"", "m 1")],
        vec![button("é", "x")],
    ]
}

const KEYBOARD: &str = r#""reply_markup":{"inline_keyboard":[[{"text":"Check now","callback_data":"c 1"},{"text":"Mute \"1 h\"","callback_data":"m 1"}],[{"text":"é","callback_data":"x"}]]}"#;

#[test]
fn a_server_that_refuses_the_colour_of_a_button_gets_it_without() {
    let green = Button {
        label: "Acknowledge".into(),
        data: "!a1".into(),
        style: Some(ButtonStyle::Success),
    };
    let message = Message {
        buttons: vec![vec![green]],
        ..message()
    };
    let (_, text) = json(first(&message), &message);
    assert!(text.contains(r#""style":"success""#), "{text}");
    let refused = refusal(
        400,
        "Bad Request: can't parse inline keyboard button: unknown field style",
    );
    let Verdict::Again(simpler) = judged(&message, refused) else {
        panic!("given up");
    };
    let (_, text) = json(simpler, &message);
    assert!(!text.contains("style"), "{text}");
    assert!(text.contains(r#""callback_data":"!a1""#), "{text}");
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
        later(
            Some(300),
            true,
            "Unauthorized (401): check `token` in sitemon.conf with @BotFather"
        )
    );
    assert_eq!(
        delivery(refusal(404, "Not Found")),
        later(
            Some(300),
            true,
            "Not Found (404): check `token` in sitemon.conf with @BotFather"
        )
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
        (400, "chat not found"),
        (400, "Bad Request: message is too long"),
        (403, "Forbidden: bot was blocked by the user"),
        (403, "Forbidden: the group chat was deleted"),
        (
            400,
            "Bad Request: not enough rights to send text messages to the chat",
        ),
        (413, "Request Entity Too Large"),
    ] {
        assert_eq!(
            delivery(refusal(code, why)),
            Delivery::Refused { reason: why.into() }
        );
    }
}

#[test]
fn what_refuses_the_bot_is_for_later_everywhere() {
    for (code, why) in [
        (400, "Logged out"),
        (400, "Bad Request: bot is logged out"),
        (403, "Forbidden: logged out"),
        (409, "Conflict: terminated by other getUpdates request"),
        (408, "Request Timeout"),
        (420, "FLOOD_WAIT_3"),
        (500, "Internal Server Error: restart"),
    ] {
        let reason = format!("{why} ({code})");
        assert_eq!(delivery(refusal(code, why)), later(None, true, &reason));
        // The same applies to edits.
        let edited = judged(&edit(), refusal(code, why));
        assert_eq!(edited, Verdict::Done(later(None, true, &reason)));
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
        ..first(&message())
    };
    assert_eq!(judged(&message(), refusal(400, why)), Verdict::Again(plain));
    assert!(matches!(
        judge(&message(), plain, refusal(400, why)),
        Verdict::Done(Delivery::Refused { .. })
    ));
    assert_eq!(
        json(plain, &message()).1,
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
            ..first(&edit())
        };
        assert_eq!(judged(&edit(), refusal(400, why)), Verdict::Again(anew));
        assert_eq!(json(anew, &edit()).0, "sendMessage");
    }
}

#[test]
fn a_reply_into_a_vanished_topic_goes_without_reply() {
    let why = "Bad Request: message thread not found";
    let alone = Form {
        reply_to: None,
        ..first(&message())
    };
    assert_eq!(judged(&message(), refusal(400, why)), Verdict::Again(alone));
    assert_eq!(
        judge(&message(), alone, refusal(400, why)),
        Verdict::Done(Delivery::Refused { reason: why.into() })
    );
}

#[test]
fn requests_are_what_the_bot_api_wants() {
    let (method, body) = json(
        first(&message()),
        &Message {
            silent: true,
            ..message()
        },
    );
    assert_eq!(method, "sendMessage");
    assert_eq!(
        body,
        r#"{"chat_id":-1001234567890,"text":"<b>blog</b> is down","parse_mode":"HTML","disable_notification":true,"reply_parameters":{"message_id":4,"allow_sending_without_reply":true},"link_preview_options":{"is_disabled":true}}"#
    );
    let (method, body) = json(first(&edit()), &edit());
    assert_eq!(method, "editMessageText");
    assert_eq!(
        body,
        r#"{"chat_id":-1001234567890,"message_id":9,"text":"<b>blog</b> is down","parse_mode":"HTML","link_preview_options":{"is_disabled":true}}"#
    );
}

#[test]
fn buttons_go_with_a_message_and_with_an_edit() {
    let with = Message {
        buttons: buttons(),
        ..message()
    };
    let (_, body) = json(first(&with), &with);
    assert!(body.ends_with(&format!(",{KEYBOARD}}}")), "{body}");
    let with = Message {
        buttons: buttons(),
        ..edit()
    };
    let (_, body) = json(first(&with), &with);
    assert!(body.ends_with(&format!(",{KEYBOARD}}}")), "{body}");
}

#[test]
fn what_only_touches_up_a_message_is_not_said_again_when_that_is_gone() {
    let touch_up = Message {
        touch_up: true,
        ..edit()
    };
    let gone = refusal(400, "Bad Request: message to edit not found");
    assert_eq!(
        judged(&touch_up, gone),
        Verdict::Done(Delivery::Sent { message_id: 9 })
    );
}

#[test]
fn a_vanished_topic_is_left_out_before_the_reply_is() {
    let why = "Bad Request: message thread not found";
    let topic = Form::of(&message(), Some(42), false);
    let (_, body) = json(topic, &message());
    assert!(
        body.starts_with(r#"{"chat_id":-1001234567890,"message_thread_id":42,"#),
        "{body}"
    );
    for why in [why, "Bad Request: TOPIC_CLOSED"] {
        assert_eq!(
            judge(&message(), topic, refusal(400, why)),
            Verdict::Again(first(&message()))
        );
    }
}

/// Returns name, further header lines and content of each part.
fn parts(body: &Multipart) -> Vec<(String, String, Vec<u8>)> {
    let content_type = body.content_type();
    let content_type = content_type.to_str().unwrap();
    let boundary = content_type
        .strip_prefix("multipart/form-data; boundary=")
        .unwrap();
    let find = |bytes: &[u8], what: &str| {
        let at = bytes.windows(what.len()).position(|w| w == what.as_bytes());
        at.unwrap_or_else(|| panic!("{what:?} is missing"))
    };
    let mut rest = body.bytes();
    let mut parts = Vec::new();
    loop {
        rest = rest
            .strip_prefix(format!("--{boundary}").as_bytes())
            .unwrap();
        if rest == b"--\r\n" {
            return parts;
        }
        rest = &rest[2..];
        let head = find(rest, "\r\n\r\n");
        let text = String::from_utf8(rest[..head].to_vec()).unwrap();
        let text = text
            .strip_prefix("Content-Disposition: form-data; name=\"")
            .unwrap();
        let (name, more) = text.split_once('"').unwrap();
        rest = &rest[head + 4..];
        let end = find(rest, &format!("\r\n--{boundary}"));
        parts.push((name.into(), more.into(), rest[..end].to_vec()));
        rest = &rest[end + 2..];
    }
}

fn texts(body: &Body) -> Vec<(String, String)> {
    let Body::Multipart(body) = body else {
        panic!("no file");
    };
    let texts = parts(body).into_iter();
    texts
        .map(|(name, _, content)| (name, String::from_utf8_lossy(&content).into_owned()))
        .collect()
}

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n--\r\n\0\xff";

#[test]
fn a_picture_is_a_photo_with_its_text_below() {
    let with = Message {
        buttons: buttons(),
        silent: true,
        ..message()
    };
    let form = Form::of(&with, Some(42), true);
    let (method, body) = form.request(&with, PNG);
    assert_eq!(method, "sendPhoto");
    let Body::Multipart(written) = &body else {
        panic!("no file");
    };
    let last = parts(written).pop().unwrap();
    assert_eq!(
        last,
        (
            "photo".into(),
            "; filename=\"photo.png\"\r\nContent-Type: image/png".into(),
            PNG.to_vec()
        )
    );
    let keyboard = KEYBOARD.strip_prefix(r#""reply_markup":"#).unwrap();
    let mut texts = texts(&body);
    texts.pop();
    let wanted = [
        ("chat_id", "-1001234567890"),
        ("message_thread_id", "42"),
        ("caption", "<b>blog</b> is down"),
        ("parse_mode", "HTML"),
        ("disable_notification", "true"),
        (
            "reply_parameters",
            r#"{"message_id":4,"allow_sending_without_reply":true}"#,
        ),
        ("reply_markup", keyboard),
    ];
    let wanted = wanted.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(texts, wanted);
}

#[test]
fn a_picture_takes_the_place_of_another() {
    let form = Form::of(&edit(), None, true);
    let (method, body) = form.request(&edit(), PNG);
    assert_eq!(method, "editMessageMedia");
    let mut texts = texts(&body);
    texts.pop();
    let media = r#"{"type":"photo","media":"attach://photo","caption":"<b>blog</b> is down","parse_mode":"HTML"}"#;
    let wanted = [
        ("chat_id", "-1001234567890"),
        ("message_id", "9"),
        ("media", media),
    ];
    let wanted = wanted.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(texts, wanted);
}

#[test]
fn a_picture_that_is_refused_leaves_its_text() {
    let form = Form::of(&message(), None, true);
    for why in [
        "Bad Request: not enough rights to send photos to the chat",
        "Bad Request: IMAGE_PROCESS_FAILED",
        "Bad Request: message caption is too long",
    ] {
        assert_eq!(
            judge(&message(), form, refusal(400, why)),
            Verdict::Again(first(&message()))
        );
    }
    let strange = [
        refusal(404, "Not Found: method not found"),
        refusal(500, "Internal Server Error"),
        answer(500, "<html>"),
        answer(413, "<html>"),
    ];
    for outcome in strange {
        let verdict = judge(&message(), form, outcome);
        assert_eq!(verdict, Verdict::Again(first(&message())));
    }
    let edited = Form::of(&edit(), None, true);
    let anew = Form {
        edit: None,
        ..edited
    };
    let why = "Bad Request: there is no media in the message to edit";
    assert_eq!(
        judge(&edit(), edited, refusal(400, why)),
        Verdict::Again(anew)
    );
    let gone = "Bad Request: chat not found";
    assert_eq!(
        judge(&message(), form, refusal(400, gone)),
        Verdict::Done(Delivery::Refused {
            reason: gone.into()
        })
    );
}
