//! Tests of the fakes: a test that passes against a lenient fake proves nothing.

mod sites;

use crate::support::agent::Sitemon;
use crate::support::bot_api::{BotApi, CHAT, Fault};
use crate::support::json::Json;
use crate::support::listener::until;
use crate::support::raw_client::{
    api_message, call, connect, description, read_answer, send_html, text_body, updates_in,
    write_call,
};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

// The Bot API.

#[test]
fn a_long_poll_returns_when_an_update_comes_and_the_offset_confirms_it() {
    let api = BotApi::start();
    thread::scope(|scope| {
        let poll = scope.spawn(|| call(&api, "getUpdates", r#"{"timeout":20}"#));
        api.wait_calls("getUpdates", 1);
        let id = api.say(CHAT, CHAT, "/status");
        let (status, answer) = poll.join().unwrap();
        assert_eq!(status, 200);
        let update = &answer.get("result").unwrap().array().unwrap()[0];
        assert_eq!(update.get("update_id"), Some(&Json::Int(id)));
        let text = update.get("message").unwrap().get("text").unwrap();
        assert_eq!(text.str(), Some("/status"));

        let again = call(&api, "getUpdates", "{}").1;
        assert_eq!(updates_in(&again), 1, "not confirmed yet");
        let confirm = format!("{{\"offset\":{}}}", id + 1);
        assert_eq!(updates_in(&call(&api, "getUpdates", &confirm).1), 0);
        api.wait_confirmed();
    });
    assert_eq!(api.violations(), [""; 0]);
}

#[test]
fn a_second_poller_ends_the_older_poll_with_409() {
    let api = BotApi::start();
    thread::scope(|scope| {
        let older = scope.spawn(|| call(&api, "getUpdates", r#"{"timeout":20}"#));
        api.wait_calls("getUpdates", 1);
        // A counted request may not be polling yet: either of the two may be the newer one, and
        // ends the other.
        let newer = scope.spawn(|| call(&api, "getUpdates", r#"{"timeout":20}"#));
        api.wait_calls("getUpdates", 2);
        let patience = Instant::now() + crate::support::listener::LIMIT;
        while !older.is_finished() && !newer.is_finished() && Instant::now() < patience {
            thread::yield_now();
        }
        api.say(CHAT, CHAT, "hello");
        let mut codes = [older.join().unwrap().0, newer.join().unwrap().0];
        codes.sort_unstable();
        assert_eq!(codes, [200, 409]);
    });
}

#[test]
fn a_poller_that_hangs_up_leaves_no_connection_behind() {
    let api = BotApi::start();
    let mut stream = connect(&api.url());
    write_call(&mut stream, &api, "getUpdates", r#"{"timeout":50}"#);
    api.wait_calls("getUpdates", 1);
    assert_eq!(api.open_connections(), 1);
    drop(stream);
    until("no connection", || api.open_connections() == 0);
}

#[test]
fn updates_that_the_bot_did_not_ask_for_are_not_queued() {
    let api = BotApi::start();
    call(&api, "getUpdates", r#"{"allowed_updates":["message"]}"#);
    let sent = api_message(&api);
    api.press(CHAT, CHAT, sent, "mute");
    api.say(CHAT, CHAT, "hello");
    assert_eq!(updates_in(&call(&api, "getUpdates", "{}").1), 1);
    call(
        &api,
        "getUpdates",
        r#"{"allowed_updates":["message","callback_query"]}"#,
    );
    api.press(CHAT, CHAT, sent, "mute");
    assert_eq!(updates_in(&call(&api, "getUpdates", "{}").1), 2);
    assert_eq!(
        updates_in(&call(&api, "getUpdates", r#"{"limit":1}"#).1),
        1,
        "limit"
    );
}

#[test]
fn a_malformed_update_goes_out_as_it_is() {
    let api = BotApi::start();
    let id = api.push_raw(r#"{"update_id":UPDATE_ID,"message":{"text":"\ud800"}}"#);
    let mut stream = connect(&api.url());
    write_call(&mut stream, &api, "getUpdates", "{}");
    let (_, body) = read_answer(&mut stream);
    let wanted = format!(r#"{{"update_id":{id},"message":{{"text":"\ud800"}}}}"#);
    assert!(body.contains(&wanted), "{body}");
}

#[test]
fn html_is_read_as_strictly_as_telegram_does() {
    let api = BotApi::start();
    let good = [
        ("<b>blog</b> is down", "blog is down"),
        (
            "a &lt; b &amp;&amp; &quot;c&quot; &gt; &#39;",
            "a < b && \"c\" > '",
        ),
        ("<i>a <code>b</code></i>", "a b"),
        ("5 > 4", "5 > 4"),
    ];
    for (html, text) in good {
        assert_eq!(send_html(&api, html).0, 200, "{html}");
        assert_eq!(api.messages().last().unwrap().text, text);
    }
    let bad = [
        "<b>never closed",
        "a < b",
        "<p>not Telegram's</p>",
        "<b>crossed <i>tags</b></i>",
        "</b>",
        "R&D",
        "&nbsp;",
        "&lt",
        "<b class=\"x\">no</b>",
    ];
    for html in bad {
        let (status, answer) = send_html(&api, html);
        assert_eq!(status, 400, "{html}");
        assert!(description(&answer).contains("can't parse entities"));
    }
    assert_eq!(api.violations(), [""; 0]);
}

#[test]
fn length_counts_utf_16_units_after_the_entities() {
    let api = BotApi::start();
    let longest = format!("<b>{}</b>&amp;", "\u{1f525}".repeat(2047));
    assert_eq!(send_html(&api, &format!("{longest}x")).0, 200);
    let (status, answer) = send_html(&api, &format!("{longest}xx"));
    assert_eq!(status, 400);
    assert!(description(&answer).contains("too long"));
    assert_eq!(send_html(&api, "<b> </b>").0, 400, "nothing to see");
}

#[test]
fn what_the_bot_api_does_not_know_is_refused_and_remembered() {
    let api = BotApi::start();
    let bad = [
        ("sendMessage", r#"{"chat_id":"123456789","text":"a"}"#),
        (
            "sendMessage",
            r#"{"chat_id":123456789,"text":"a","silent":true}"#,
        ),
        (
            "sendMessage",
            r#"{"chat_id":123456789,"text":"a","parse_mode":"html"}"#,
        ),
        ("getUpdates", r#"{"timeout":"50"}"#),
        ("getUpdates", r#"{"limit":101}"#),
        (
            "setMyCommands",
            r#"{"commands":[{"command":"Status","description":"x"}]}"#,
        ),
    ];
    for (n, (method, body)) in bad.into_iter().enumerate() {
        assert_eq!(call(&api, method, body).0, 400, "{body}");
        assert_eq!(api.violations().len(), n + 1, "{body}");
    }
    assert_eq!(call(&api, "sendMesage", "{}").0, 404);
    let refused = api.violations().len();
    // Requests that are correct in form are refused here, but are no violation.
    let unknown_chat = call(&api, "sendMessage", r#"{"chat_id":-5,"text":"a"}"#).1;
    assert_eq!(description(&unknown_chat), "Bad Request: chat not found");
    assert_eq!(api.violations().len(), refused);
    assert!(api.messages().is_empty());
}

#[test]
fn a_wrong_token_is_unauthorized() {
    let api = BotApi::start();
    let mut stream = connect(&api.url());
    stream
        .write_all(b"GET /bot1:wrong/getMe HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let (status, body) = read_answer(&mut stream);
    assert_eq!(status, 401);
    assert_eq!(
        body,
        r#"{"ok":false,"error_code":401,"description":"Unauthorized"}"#
    );
}

#[test]
fn an_edit_must_change_a_message_that_is_ours() {
    let api = BotApi::start();
    let id = api_message(&api);
    let edit = |id: i64, text: &str| {
        let body = format!(r#"{{"chat_id":{CHAT},"message_id":{id},"text":"{text}"}}"#);
        call(&api, "editMessageText", &body)
    };
    assert!(description(&edit(id, "hello").1).contains("message is not modified"));
    assert!(description(&edit(id + 1, "x").1).contains("message to edit not found"));
    assert_eq!(edit(id, "done").0, 200);
    let message = api.wait_message(|m| m.latest() == "done");
    assert_eq!((message.message_id, message.text.as_str()), (id, "hello"));
}

#[test]
fn the_limiter_answers_429_with_the_time_to_wait() {
    let api = BotApi::start();
    api.limit_rate(true);
    for text in ["one", "two", "three"] {
        assert_eq!(send_html(&api, text).0, 200, "a short burst");
    }
    let (status, answer) = send_html(&api, "four");
    assert_eq!(status, 429);
    let parameters = answer.get("parameters").unwrap();
    assert_eq!(parameters.get("retry_after"), Some(&Json::Int(1)));
    assert_eq!((api.messages().len(), api.floods()), (3, 1));
    api.let_pass(Duration::from_secs(1));
    assert_eq!(send_html(&api, "four").0, 200);
    let edit = format!(r#"{{"chat_id":{CHAT},"message_id":101,"text":"x"}}"#);
    assert_eq!(call(&api, "editMessageText", &edit).0, 429, "edits count");
}

/// Sends a form with this photo. `named` is the boundary in the header.
fn photo_call(api: &BotApi, photo: &[u8], caption: &str, named: &str) -> (u16, String) {
    let part = |head: &str| format!("--xyz\r\nContent-Disposition: form-data; name={head}\r\n\r\n");
    let mut body = part("\"chat_id\"") + &format!("{CHAT}\r\n");
    body += &(part("\"caption\"") + caption + "\r\n" + &part("\"parse_mode\"") + "HTML\r\n");
    body += &part("\"photo\"; filename=\"a.png\"\r\nContent-Type: image/png");
    let mut body = body.into_bytes();
    body.extend_from_slice(photo);
    body.extend_from_slice(b"\r\n--xyz--\r\n");
    let mut stream = connect(&api.url());
    let head = format!(
        "POST /bot{}/sendPhoto HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; \
         boundary={named}\r\nContent-Length: {}\r\n\r\n",
        api.token(),
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body).unwrap();
    read_answer(&mut stream)
}

/// Returns the parts of a PNG that the fake reads.
fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    bytes.extend_from_slice(&width.to_be_bytes());
    bytes.extend_from_slice(&height.to_be_bytes());
    bytes.extend_from_slice(b"....IEND\xae\x42\x60\x82");
    bytes
}

#[test]
fn a_photo_is_a_png_in_a_form_and_its_caption_is_short() {
    let api = BotApi::start();
    assert_eq!(
        photo_call(&api, &png(800, 400), "<b>blog</b>", "xyz").0,
        200
    );
    let sent = api.wait_message(|m| m.text == "blog");
    let photo = sent.photo.expect("a photo");
    assert_eq!((photo.width, photo.height), (800, 400));
    assert_eq!(api.violations(), [""; 0]);
    let long = "x".repeat(1025);
    let (status, answer) = photo_call(&api, &png(800, 400), &long, "xyz");
    assert!(
        status == 400 && answer.contains("caption is too long"),
        "{answer}"
    );
    for (photo, named) in [
        (png(9_000, 2_000), "xyz"),
        (png(2_100, 100), "xyz"),
        (b"GIF89a".to_vec(), "xyz"),
        (png(800, 400)[..30].to_vec(), "xyz"),
        (png(800, 400), "abc"),
    ] {
        assert_eq!(photo_call(&api, &photo, "x", named).0, 400, "{named}");
    }
    assert_eq!(api.violations().len(), 5);
}

#[test]
fn a_group_takes_20_messages_a_minute() {
    const GROUP: i64 = -100_777;
    let api = BotApi::start();
    api.add_chat(GROUP);
    api.limit_rate(true);
    let body = format!(r#"{{"chat_id":{GROUP},"text":"x"}}"#);
    for n in 0..20 {
        assert_eq!(call(&api, "sendMessage", &body).0, 200, "{n}");
        api.let_pass(Duration::from_secs(2));
    }
    let (status, answer) = call(&api, "sendMessage", &body);
    assert_eq!(status, 429);
    let parameters = answer.get("parameters").unwrap();
    assert_eq!(parameters.get("retry_after"), Some(&Json::Int(20)));
}

#[test]
fn faults_come_once_or_until_they_are_ended() {
    let api = BotApi::start();
    api.fail_next("sendMessage", Fault::Status(502));
    api.fail_next("sendMessage", Fault::MigrateTo(-100_777));
    api.fail_always("sendMessage", Some(Fault::Forbidden));
    let mut stream = connect(&api.url());
    write_call(&mut stream, &api, "sendMessage", &text_body("a"));
    let (status, body) = read_answer(&mut stream);
    assert!(status == 502 && body.starts_with("<html>"), "{body}");
    let migrated = send_html(&api, "a").1;
    let to = migrated
        .get("parameters")
        .unwrap()
        .get("migrate_to_chat_id");
    assert_eq!(to, Some(&Json::Int(-100_777)));
    assert_eq!(send_html(&api, "a").0, 403);
    assert_eq!(send_html(&api, "a").0, 403);
    api.fail_always("sendMessage", None);
    assert_eq!(send_html(&api, "a").0, 200);
    assert_eq!(api.calls("sendMessage"), 5);
}

#[test]
fn an_ambiguous_send_is_carried_out_and_not_answered() {
    let api = BotApi::start();
    api.fail_next("sendMessage", Fault::DropAfter);
    api.fail_next("sendMessage", Fault::Drop);
    for _ in 0..2 {
        let mut stream = connect(&api.url());
        write_call(&mut stream, &api, "sendMessage", &text_body("hello"));
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty());
    }
    assert_eq!(api.messages().len(), 1);
}

#[test]
fn a_stalled_request_stays_open_until_the_bot_gives_up() {
    let api = BotApi::start();
    api.fail_next("sendMessage", Fault::Stall);
    let mut stream = connect(&api.url());
    write_call(&mut stream, &api, "sendMessage", &text_body("hello"));
    api.wait_calls("sendMessage", 1);
    let briefly = Some(Duration::from_millis(100));
    stream.set_read_timeout(briefly).unwrap();
    assert!(stream.read(&mut [0]).is_err(), "nothing comes");
    assert_eq!(api.open_connections(), 1);
    drop(stream);
    until("no connection", || api.open_connections() == 0);
}

#[test]
fn an_outage_cuts_connections_and_refuses_new_ones_until_it_is_over() {
    let api = BotApi::start();
    let mut polling = connect(&api.url());
    write_call(&mut polling, &api, "getUpdates", r#"{"timeout":50}"#);
    api.wait_calls("getUpdates", 1);
    api.pause();
    assert_eq!(polling.read(&mut [0]).unwrap_or(0), 0, "cut");
    let address = api.url().replace("http://", "");
    assert!(TcpStream::connect(&address).is_err(), "refused");
    api.say(CHAT, CHAT, "meanwhile");
    api.resume();
    assert_eq!(updates_in(&call(&api, "getUpdates", "{}").1), 1);
}

#[test]
fn a_webhook_is_in_the_way_until_it_is_deleted() {
    let api = BotApi::start();
    api.set_webhook();
    let (status, answer) = call(&api, "getUpdates", r#"{"timeout":50}"#);
    assert_eq!(status, 409);
    assert!(description(&answer).contains("webhook is active"));
    assert_eq!(call(&api, "deleteWebhook", "{}").0, 200);
    assert_eq!(call(&api, "getUpdates", "{}").0, 200);
}

#[test]
fn parameters_may_come_as_a_query() {
    let api = BotApi::start();
    let mut stream = connect(&api.url());
    let token = api.token();
    write!(
        stream,
        "GET /bot{token}/sendMessage?chat_id={CHAT}&text=42&disable_notification=true HTTP/1.1\r\n\
         Host: x\r\n\r\n"
    )
    .unwrap();
    assert_eq!(read_answer(&mut stream).0, 200);
    let message = &api.messages()[0];
    assert!(message.silent && message.text == "42");
}

// The binary.

#[test]
fn a_one_shot_command_ends_with_its_output() {
    let output = Sitemon::new("").command(&["version"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stdout.contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_running_process_is_seen_from_outside_and_killed_at_the_end_of_scope() {
    let site = "[[site]]\nname = \"a\"\nurl = \"http://127.0.0.1:9/\"\npaused = true\n";
    let running = Sitemon::new(site).spawn(&["run", "--console"]);
    assert!(running.rss_kib() > 0 && running.threads() >= 1 && running.descriptors() >= 3);
    let pid = running.pid();
    drop(running);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn json_is_read_strictly_and_written_as_telegram_does() {
    for wrong in [r#"{"a":1,"a":2}"#, r#"{"a":01}"#, r#""\ud83d""#, "1 2", ""] {
        assert!(Json::parse(wrong).is_err(), "{wrong}");
    }
    let text = r#"{"b":"\ud83d\udd34 a\/b","a":[9223372036854775807,1.5,null,true]}"#;
    let json = Json::parse(text).unwrap();
    assert_eq!(json.get("b").and_then(Json::str), Some("🔴 a/b"));
    assert_eq!(json.to_string(), text);
}
