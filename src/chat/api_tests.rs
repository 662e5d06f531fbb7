//! Tests how each kind of response is interpreted.

use super::*;
use crate::chat::api_types::{EditMessageText, GetUpdates, LinkPreviewOptions};
use nanoserde::SerJson;
use proptest::prelude::*;

fn answer(status: u16, body: &str) -> Result<Answer, CallError> {
    Ok(Answer {
        status,
        body: body.into(),
    })
}

fn refused(status: u16, body: &str) -> Refusal {
    match read_done(answer(status, body)) {
        Err(ApiError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

fn unread(body: &str) -> Unreadable {
    match read_updates(answer(200, body)) {
        Err(ApiError::Unreadable(unreadable)) => unreadable,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_text_message_becomes_an_update() {
    let body = r#"{"ok":true,"result":[{"update_id":10,"message":{"message_id":1,"from":{"id":7000000001,"is_bot":false,
        "first_name":"A"},"chat":{"id":-1001234567890,"type":"supergroup"},"date":1770000000,"text":"/status"}}]}"#;
    let message = Incoming {
        chat: -1001234567890,
        user: Some(7000000001),
        name: "A".into(),
        text: "/status".into(),
        date: 1770000000,
        waited: Duration::MAX,
        ..Incoming::default()
    };
    assert_eq!(
        read_updates(answer(200, body)),
        Ok(vec![Update {
            id: 10,
            content: Some(Content::Message(message))
        }])
    );
}

fn content(update: &str) -> Option<Content> {
    let body = format!(r#"{{"ok":true,"result":[{{"update_id":1,{update}}}]}}"#);
    let updates = read_updates(answer(200, &body)).unwrap();
    updates.into_iter().next().unwrap().content
}

#[test]
fn a_pressed_button_brings_its_message() {
    let press = content(
        r#""callback_query":{"id":"4382bfdwdsb323b2d9","from":{"id":7,"first_name":"Ann","last_name":"Lee"},
        "message":{"message_id":55,"from":{"id":1,"is_bot":true},"chat":{"id":-1001,"is_forum":true},"date":1770000000,
        "message_thread_id":42,"is_topic_message":true,
        "text":"🔴 a & b is down","entities":[{"offset":3,"length":5,"type":"bold"}],"reply_markup":{"inline_keyboard":[]}},
        "chat_instance":"1","data":"ack 12"}"#,
    );
    let wanted = Press {
        id: "4382bfdwdsb323b2d9".into(),
        chat: -1001,
        topic: Some(42),
        user: Some(7),
        name: "Ann Lee".into(),
        message_id: 55,
        html: Some("🔴 <b>a &amp; b</b> is down".into()),
        date: 1770000000,
        data: "ack 12".into(),
        waited: Duration::MAX,
    };
    assert_eq!(press, Some(Content::Press(wanted)));
}

#[test]
fn a_press_under_a_message_that_telegram_no_longer_shows_has_no_date() {
    let press = content(
        r#""callback_query":{"id":"1","from":{"id":7},"message":{"message_id":55,"chat":{"id":5},"date":0},"data":"x"}"#,
    );
    let wanted = Press {
        id: "1".into(),
        chat: 5,
        user: Some(7),
        message_id: 55,
        data: "x".into(),
        waited: Duration::MAX,
        ..Press::default()
    };
    assert_eq!(press, Some(Content::Press(wanted)));
    let game = r#""callback_query":{"id":"1","from":{"id":7},"inline_message_id":"z","game_short_name":"x"}"#;
    assert_eq!(content(game), None);
}

#[test]
fn a_topic_is_one_of_a_forum_and_its_general_one_is_the_first() {
    for (more, topic) in [
        (
            r#""chat":{"id":-5,"is_forum":true},"message_thread_id":42,"is_topic_message":true"#,
            Some(42),
        ),
        (r#""chat":{"id":-5,"is_forum":true}"#, Some(1)),
        (r#""chat":{"id":-5},"message_thread_id":42"#, None),
        (r#""chat":{"id":5}"#, None),
    ] {
        let message = content(&format!(
            r#""message":{{"message_id":1,"date":1,"text":"/status",{more}}}"#
        ));
        let Some(Content::Message(message)) = message else {
            panic!("{more}");
        };
        assert_eq!(message.topic, topic, "{more}");
    }
}

#[test]
fn an_update_that_is_not_ours_keeps_its_id() {
    let body = r#"{"ok":true,"result":[{"update_id":1,"poll":{"id":"x"}},{"update_id":2,"message":null},
        {"update_id":3,"message":{"chat":{"id":5},"date":1,"photo":[]}},{"update_id":4,"message":{"chat":{"id":5},"text":"no date"}},
        {"update_id":5,"message":{"date":1,"text":"no chat"}}]}"#;
    let wanted: Vec<Update> = (1..=5).map(|id| Update { id, content: None }).collect();
    assert_eq!(read_updates(answer(200, body)), Ok(wanted));
}

#[test]
fn a_channel_post_like_message_has_no_user() {
    let body =
        r#"{"ok":true,"result":[{"update_id":1,"message":{"chat":{"id":5},"date":1,"text":"x"}}]}"#;
    let updates = read_updates(answer(200, body)).unwrap();
    let Some(Content::Message(message)) = &updates[0].content else {
        panic!("{updates:?}");
    };
    assert_eq!(message.user, None);
}

#[test]
fn a_poisoned_update_makes_the_answer_unreadable_and_its_id_is_dug() {
    for poison in [
        r#""\ud800""#,
        "1e999",
        "99999999999999999999",
        "5",
        "{}",
        "[]",
    ] {
        let body = format!(
            r#"{{"ok":true,"result":[{{"update_id":77,"message":{{"message_id":3,"date":1,"chat":{{"id":5}},"text":{poison}}}}}]}}"#
        );
        let wanted = Unreadable {
            cut_off: false,
            ok: true,
            update_id: Some(77),
            message_id: Some(3),
        };
        assert_eq!(unread(&body), wanted, "{poison}");
    }
    for id in [
        "-1",
        "18446744073709551615",
        "9223372036854775808",
        "\"7\"",
        "1.5",
        "null",
    ] {
        let body = format!(r#"{{"ok":true,"result":[{{"update_id":{id}}}]}}"#);
        assert_eq!(unread(&body).update_id, None, "{id}");
    }
}

#[test]
fn an_answer_that_ends_early_is_cut_off() {
    let cut = unread(r#"{"ok":true,"result":[{"update_id":77,"message":{"te"#);
    assert_eq!(
        cut,
        Unreadable {
            cut_off: true,
            ok: true,
            update_id: Some(77),
            message_id: None
        }
    );
}

#[test]
fn an_answer_over_the_bound_is_unreadable_if_it_is_telegrams() {
    let start = br#"{"ok" : true,"result":[{"update_id":8,"message":{"text":"aaaa"#.to_vec();
    let wanted = Unreadable {
        cut_off: false,
        ok: true,
        update_id: Some(8),
        message_id: None,
    };
    assert_eq!(
        read_updates(Err(CallError::TooLarge(start))),
        Err(ApiError::Unreadable(wanted))
    );
    let portal = read_updates(Err(CallError::TooLarge(b"<html>".to_vec())));
    assert!(matches!(portal, Err(ApiError::Unreachable { .. })));
}

#[test]
fn a_refusal_carries_its_parameters() {
    let flood = refused(
        429,
        r#"{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 7","parameters":{"retry_after":7}}"#,
    );
    assert_eq!(
        (flood.code, flood.retry_after),
        (429, Some(Duration::from_secs(7)))
    );
    let moved = refused(
        400,
        r#"{"ok":false,"error_code":400,"description":"Bad Request: group chat was upgraded to a supergroup chat","parameters":{"migrate_to_chat_id":-1001234567890}}"#,
    );
    assert_eq!(moved.migrate_to, Some(-1001234567890));
    assert_eq!(refused(403, r#"{"ok":false}"#).code, 403);
    let absurd =
        r#"{"ok":false,"error_code":429,"parameters":{"retry_after":9000000000000000000}}"#;
    assert_eq!(refused(429, absurd).retry_after, Some(LONGEST_WAIT));
    assert_eq!(
        refused(429, &absurd.replace("90000", "-90000")).retry_after,
        None
    );
}

#[test]
fn what_is_not_the_bot_apis_is_unreachable() {
    for (status, body) in [
        (502, "<html>Bad Gateway</html>"),
        (200, "<html>Log in</html>"),
        (200, ""),
        (500, ""),
        (404, "{\"error\":1}"),
    ] {
        let text = format!("HTTP {status} with an answer that is not the Bot API's");
        assert_eq!(
            read_done(answer(status, body)),
            Err(ApiError::Unreachable { text }),
            "{body}"
        );
    }
}

#[test]
fn a_bad_token_is_told_by_401_and_404() {
    let error = |code: u16| {
        read_me(answer(
            code,
            &format!(r#"{{"ok":false,"error_code":{code},"description":"Unauthorized"}}"#),
        ))
        .unwrap_err()
    };
    assert!(
        error(401).is_unauthorised()
            && error(404).is_unauthorised()
            && !error(403).is_unauthorised()
    );
    assert_eq!(
        error(401).to_string(),
        "Unauthorized (401): check `token` in sitemon.conf with @BotFather"
    );
    assert_eq!(error(403).to_string(), "Unauthorized (403)");
}

#[test]
fn the_token_is_scrubbed_from_every_text() {
    let token = Secret::new("123:ABC");
    let unreachable = ApiError::Unreachable {
        text: "no route to /bot123:ABC/getMe".into(),
    };
    assert_eq!(
        unreachable.scrubbed(&token).to_string(),
        "no route to /bot***/getMe"
    );
    let refused = read_done(answer(
        400,
        r#"{"ok":false,"description":"bad path /bot123:ABC/x"}"#,
    ))
    .unwrap_err();
    assert_eq!(
        refused.scrubbed(&token).to_string(),
        "bad path /bot***/x (400)"
    );
}

#[test]
fn texts_of_updates_are_short_and_on_one_line() {
    let long = "x".repeat(900_000);
    let from = format!(r#"{{"id":7,"first_name":"A\n\u202eB","last_name":"\u001b[2J{long}"}}"#);
    let body = format!(
        r#"{{"ok":true,"result":[
            {{"update_id":1,"message":{{"message_id":1,"from":{from},"chat":{{"id":7}},"date":1,
              "text":"/site a\r\nb\u2066\u200bc"}}}},
            {{"update_id":2,"callback_query":{{"id":"1","from":{from},"data":"x\n{{",
              "message":{{"message_id":1,"chat":{{"id":7}},"date":1,"text":"a\n\u2068b\u2069\u001b"}}}}}}]}}"#
    );
    let updates = read_updates(answer(200, &body)).expect("updates");
    let name = format!("A B  [2J{}…", "x".repeat(55));
    let Some(Content::Message(message)) = &updates[0].content else {
        panic!("no message: {updates:?}");
    };
    assert_eq!(
        (&message.name, message.text.as_str()),
        (&name, "/site a  bc")
    );
    let Some(Content::Press(press)) = &updates[1].content else {
        panic!("no press: {updates:?}");
    };
    assert_eq!((&press.name, press.data.as_str()), (&name, "x {"));
    // Direction marks are kept, so that the offsets of entities after them stay valid.
    assert_eq!(press.html.as_deref(), Some("a\n\u{2068}b\u{2069} "));
}

#[test]
fn the_bots_name_and_a_messages_id_are_read() {
    let me = read_me(answer(
        200,
        r#"{"ok":true,"result":{"id":123456,"is_bot":true,"username":"our_bot"}}"#,
    ));
    assert_eq!(
        me,
        Ok(Me {
            id: 123456,
            username: "our_bot".into()
        })
    );
    let sent = read_message_id(answer(
        200,
        r#"{"ok":true,"result":{"message_id":5,"date":1}}"#,
    ));
    assert_eq!(sent, Ok(5));
    assert_eq!(
        read_done(answer(200, r#"{"ok":true,"result":true}"#)),
        Ok(())
    );
}

#[test]
fn requests_are_written_as_the_bot_api_wants_them() {
    let updates = GetUpdates {
        offset: None,
        limit: 100,
        timeout: 50,
        allowed_updates: vec!["message".into()],
    };
    assert_eq!(
        updates.serialize_json(),
        r#"{"limit":100,"timeout":50,"allowed_updates":["message"]}"#
    );
    let edit = EditMessageText {
        chat_id: -1001234567890,
        message_id: 4,
        text: "a\"b\\\n\u{1}é".into(),
        parse_mode: None,
        link_preview_options: LinkPreviewOptions { is_disabled: true },
        reply_markup: None,
    };
    assert_eq!(
        edit.serialize_json(),
        r#"{"chat_id":-1001234567890,"message_id":4,"text":"a\"b\\\n\u0001é","link_preview_options":{"is_disabled":true}}"#
    );
}

proptest! {
    #[test]
    fn arbitrary_answers_never_panic(status in any::<u16>(), body in prop::collection::vec(any::<u8>(), 0..200)) {
        let copy = |body: &[u8]| Ok(Answer { status, body: body.to_vec() });
        let _ = (read_updates(copy(&body)), read_me(copy(&body)), read_message_id(copy(&body)), read_done(copy(&body)));
        let framed = [br#"{"ok":true,"result":["#.as_slice(), &body, b"]}"].concat();
        let _ = read_updates(copy(&framed));
    }
}

#[test]
fn a_group_that_becomes_a_supergroup_says_so_in_both() {
    let read = |message: &str| {
        let body = format!(r#"{{"ok":true,"result":[{{"update_id":5,"message":{message}}}]}}"#);
        let answer = Answer {
            status: 200,
            body: body.into_bytes(),
        };
        read_updates(Ok(answer)).expect("updates").remove(0).content
    };
    let (from, to) = (-4242, -1001234567890);
    let moved = Some(Content::Moved { from, to });
    let old =
        r#"{"message_id":7,"date":1,"chat":{"id":-4242},"migrate_to_chat_id":-1001234567890}"#;
    let new =
        r#"{"message_id":1,"date":1,"chat":{"id":-1001234567890},"migrate_from_chat_id":-4242}"#;
    assert_eq!(read(old), moved);
    assert_eq!(read(new), moved);
    for odd in ["-4242", "42", "0"] {
        assert_eq!(read(&old.replace("-1001234567890", odd)), None, "{odd}");
    }
}
