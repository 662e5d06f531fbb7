use super::*;
use crate::monitor::alert::batching::Unsettled;
use crate::monitor::incident::Incidents;
use crate::monitor::outbox::send_context::SendContext;
use crate::monitor::render::text::{MESSAGE_UNITS, units};
use crate::monitor::site::table::Sites;
use proptest::prelude::*;
use std::sync::LazyLock;

fn at(ms: u64) -> Now {
    Now::utc(Duration::from_millis(ms), 0)
}

fn no_context() -> SendContext<'static> {
    static NONE: LazyLock<(Incidents, Sites)> = LazyLock::new(Default::default);
    SendContext {
        incidents: &NONE.0,
        sites: &NONE.1,
        now: Moment(0),
    }
}

fn cause() -> Notification {
    let cause = "HTTP 503".into();
    Notification::Down {
        cause,
        common: None,
        behind: 0,
    }
}

fn reply(chat: i64, html: &str, edit: Option<i64>) -> Reply {
    Reply {
        edit,
        ..Reply::new(chat, html.into(), Moment(0))
    }
}

fn stored(chats: Vec<i64>) -> Outbox {
    let mut outbox = Outbox::new(1);
    outbox.push_alert(cause(), "blog", Some(1), chats, Moment(0));
    outbox.mark_stored(outbox.last_alert_id());
    outbox
}

#[test]
fn alerts_of_a_site_are_merged_by_chat_though_a_change_has_one_for_each() {
    let up = Notification::Up {
        lasted: Duration::from_secs(60),
    };
    let mut outbox = Outbox::new(1);
    let mut push = |notification: Notification, incident, chats: &[i64]| {
        let chats = chats.to_vec();
        outbox.push_alert(notification, "blog", Some(incident), chats, Moment(0));
        let merged = outbox.condense("blog");
        let waiting = |chat| -> Vec<String> {
            let of_chat = outbox.alerts().filter(|a| a.chats.contains(&chat));
            of_chat
                .map(|a| match &a.notification {
                    Notification::Changes { times, cause } => {
                        format!("{times} changes, {cause:?}")
                    }
                    other => other.heading().to_owned(),
                })
                .collect()
        };
        (merged, waiting(7), waiting(8))
    };
    push(cause(), 1, &[7]);
    push(cause(), 1, &[8]);
    push(up, 1, &[7, 8]);
    let (merged, seven, eight) = push(cause(), 2, &[7]);
    assert_eq!(merged, [0; 0], "8 has alerts of it");
    assert_eq!(seven, ["3 changes, Some(\"HTTP 503\")"]);
    assert_eq!(eight.len(), 2);
    let (merged, seven, eight) = push(cause(), 2, &[8]);
    assert_eq!(merged, [1, 1]);
    assert_eq!(seven, eight);
}

#[test]
fn what_the_server_asked_for_is_kept_though_a_message_that_was_under_way_is_taken() {
    let calm = Unsettled::default();
    for everywhere in [false, true] {
        for asked in [None, Some(Duration::from_secs(300))] {
            let mut outbox = stored(vec![7]);
            outbox.push_reply(reply(7, "one", None));
            let mut next = || outbox.next_send(at(0), calm, &no_context());
            let (first, second) = (next().expect("the reply"), next().expect("the alert"));
            let later = Delivery::Later {
                after: asked,
                everywhere,
                reason: String::new(),
            };
            outbox.delivered(second.id, later, at(0));
            let sent = Delivery::Sent { message_id: 1 };
            outbox.delivered(first.id, sent, at(100));
            let mut due = |ms| outbox.next_send(at(ms), calm, &no_context()).is_some();
            assert!(!asked.is_some_and(|_| due(299_000)), "{everywhere}");
            assert!(due(if asked.is_some() { 300_000 } else { 100 }));
        }
    }
}

#[test]
fn an_alert_is_not_sent_before_it_is_on_disk() {
    let mut outbox = Outbox::new(1);
    outbox.push_alert(cause(), "blog", Some(1), vec![7], Moment(0));
    let calm = Unsettled::default();
    assert_eq!(outbox.next_send(at(0), calm, &no_context()), None);
    outbox.mark_stored(outbox.last_alert_id());
    assert!(outbox.next_send(at(0), calm, &no_context()).is_some());
}

#[test]
fn an_alert_leaves_only_when_every_chat_has_it() {
    let mut outbox = stored(vec![7, 8]);
    let calm = Unsettled::default();
    let first = outbox.next_send(at(0), calm, &no_context()).expect("to 7");
    let second = outbox.next_send(at(0), calm, &no_context()).expect("to 8");
    outbox.delivered(first.id, Delivery::Sent { message_id: 1 }, at(0));
    assert_eq!(outbox.waiting_alerts(), 1);
    outbox.delivered(second.id, Delivery::Sent { message_id: 2 }, at(0));
    assert_eq!(outbox.waiting_alerts(), 0);
}

#[test]
fn what_is_in_flight_to_both_ids_of_a_group_holds_up_the_next_until_both_are_back() {
    let calm = Unsettled::default();
    for old_first in [true, false] {
        let mut outbox = stored(vec![-7, -8]);
        outbox.push_reply(reply(-7, "a", None));
        outbox.push_reply(reply(-8, "b", None));
        let mut sent: Vec<Outgoing> =
            std::iter::from_fn(|| outbox.next_send(at(0), calm, &no_context())).collect();
        assert_eq!(sent.len(), 4);
        outbox.rename_chat(-7, -8);
        outbox.push_alert(cause(), "shop", Some(2), vec![-8], Moment(0));
        outbox.mark_stored(outbox.last_alert_id());
        outbox.push_reply(reply(-8, "c", None));
        sent.sort_by_key(|o| (o.message.chat == -7) != old_first);
        for outgoing in &sent[..2] {
            outbox.delivered(outgoing.id, Delivery::Sent { message_id: 1 }, at(100));
            assert_eq!(outbox.next_send(at(5000), calm, &no_context()), None);
        }
        for outgoing in &sent[2..] {
            outbox.delivered(outgoing.id, Delivery::Sent { message_id: 2 }, at(100));
            assert!(outbox.next_send(at(5000), calm, &no_context()).is_some());
        }
    }
}

#[test]
fn one_alert_message_a_chat_is_under_way_at_most() {
    let mut outbox = stored(vec![7]);
    let calm = Unsettled::default();
    assert!(outbox.next_send(at(0), calm, &no_context()).is_some());
    outbox.push_alert(cause(), "shop", Some(2), vec![7], Moment(0));
    outbox.mark_stored(outbox.last_alert_id());
    assert_eq!(outbox.next_send(at(5000), calm, &no_context()), None);
}

#[test]
fn answers_go_before_alerts_and_do_not_wait_for_them() {
    let mut outbox = stored(vec![7]);
    outbox.push_reply(reply(7, "3 up", None));
    let calm = Unsettled::default();
    let first = outbox
        .next_send(at(0), calm, &no_context())
        .expect("the answer");
    assert!(!first.alert);
    assert!(
        outbox
            .next_send(at(0), calm, &no_context())
            .is_some_and(|o| o.alert)
    );
}

#[test]
fn the_newest_text_of_an_edit_replaces_the_one_that_waits() {
    let mut outbox = Outbox::new(1);
    outbox.push_reply(reply(7, "1 of 3", Some(5)));
    outbox.push_reply(reply(7, "2 of 3", Some(5)));
    let calm = Unsettled::default();
    let sent = outbox
        .next_send(at(0), calm, &no_context())
        .expect("the edit");
    assert_eq!(sent.message.html, "2 of 3");
    assert_eq!(outbox.next_send(at(0), calm, &no_context()), None);
}

#[test]
fn an_answer_does_not_wait_for_an_edit_nor_an_edit_for_an_answer() {
    let mut outbox = Outbox::new(1);
    let calm = Unsettled::default();
    outbox.push_reply(reply(7, "1 of 3", Some(5)));
    let edit = outbox
        .next_send(at(0), calm, &no_context())
        .expect("the edit");
    outbox.push_reply(reply(7, "2 of 3", Some(5)));
    outbox.push_reply(reply(7, "3 up", None));
    let answer = outbox.next_send(at(0), calm, &no_context());
    assert_eq!(answer.expect("the answer").message.html, "3 up");
    assert_eq!(outbox.next_send(at(0), calm, &no_context()), None);
    outbox.delivered(edit.id, Delivery::Sent { message_id: 5 }, at(0));
    let edit = outbox.next_send(at(0), calm, &no_context());
    assert_eq!(edit.expect("the next edit").message.html, "2 of 3");
}

#[test]
fn an_answer_too_old_to_answer_anything_is_dropped() {
    let mut outbox = Outbox::new(1);
    outbox.push_reply(reply(7, "3 up", None));
    assert_eq!(
        outbox.next_send(at(300_000), Unsettled::default(), &no_context()),
        None
    );
}

#[test]
fn back_off_doubles_to_a_minute_and_ends_with_success() {
    let mut outbox = stored(vec![7]);
    let calm = Unsettled::default();
    let mut clock = 0;
    let mut waits = Vec::new();
    for _ in 0..10 {
        let sent = outbox
            .next_send(at(clock), calm, &no_context())
            .expect("another try");
        let later = Delivery::Later {
            after: None,
            everywhere: true,
            reason: "x".into(),
        };
        outbox.delivered(sent.id, later, at(clock));
        let due = outbox.next_due(at(clock), calm).expect("tried again");
        let wait = due.0 - clock as i64;
        waits.push(wait);
        assert_eq!(
            outbox.next_send(at(clock + wait as u64 - 1), calm, &no_context()),
            None
        );
        clock += wait as u64;
    }
    assert!((750..=1000).contains(&waits[0]), "{waits:?}");
    assert!((1500..=2000).contains(&waits[1]), "{waits:?}");
    assert!(
        waits[6..].iter().all(|w| (45_000..=60_000).contains(w)),
        "{waits:?}"
    );
    let sent = outbox
        .next_send(at(clock), calm, &no_context())
        .expect("another try");
    outbox.delivered(sent.id, Delivery::Sent { message_id: 1 }, at(clock));
    assert_eq!(outbox.next_due(at(clock), calm), None);
}

#[test]
fn many_waiting_lines_are_split_and_all_arrive() {
    let mut outbox = Outbox::new(1);
    for i in 0..300 {
        outbox.push_alert(
            cause(),
            &format!("a-site-with-a-name-{i:03}"),
            Some(i),
            vec![7],
            Moment(0),
        );
    }
    outbox.mark_stored(outbox.last_alert_id());
    let mut seen = String::new();
    let mut messages = 0;
    while let Some(sent) = outbox.next_send(at(5000), Unsettled::default(), &no_context()) {
        assert!(units(&sent.message.html) <= MESSAGE_UNITS);
        seen.push_str(&sent.message.html);
        messages += 1;
        outbox.delivered(
            sent.id,
            Delivery::Sent {
                message_id: messages,
            },
            at(5000),
        );
    }
    assert_eq!(outbox.waiting_alerts(), 0);
    assert!((0..300).all(|i| seen.contains(&format!("name-{i:03}"))));
    assert!(messages < 10);
}

#[test]
fn ten_thousand_alerts_are_bounded_and_counted() {
    let mut outbox = Outbox::new(1);
    for i in 0..10_001 {
        outbox.push_alert(cause(), "blog", Some(i), vec![7], Moment(0));
    }
    assert!(outbox.waiting_alerts() <= 1000);
    let first = outbox.alerts().next().expect("a summary");
    assert!(
        matches!(&first.notification, Notification::Notice { text } if text.contains("blog went down"))
    );
}

proptest! {
    /// Whatever Telegram answers, an alert is removed only after `ok` or a refusal, and is never
    /// repeated within one message.
    #[test]
    fn nothing_is_lost_whatever_happens(fates in proptest::collection::vec(0..4u8, 1..60), alerts in 1..30u32) {
        let mut outbox = Outbox::new(9);
        for i in 0..alerts {
            outbox.push_alert(cause(), &format!("s{i:02}"), Some(i), vec![7], Moment(0));
        }
        outbox.mark_stored(outbox.last_alert_id());
        let mut clock = 2000;
        let mut arrived = String::new();
        let mut refused = 0;
        for fate in fates.into_iter().chain(std::iter::repeat_n(0, 5)) {
            clock += 61_000;
            let Some(sent) = outbox.next_send(at(clock), Unsettled::default(), &no_context()) else { break };
            let delivery = match fate {
                0 => { arrived.push_str(&sent.message.html); Delivery::Sent { message_id: 1 } }
                1 => Delivery::Later { after: None, everywhere: true, reason: String::new() },
                2 => Delivery::Later { after: Some(Duration::from_secs(60)), everywhere: false, reason: String::new() },
                _ => { refused += sent.message.html.matches("(#").count(); Delivery::Refused { reason: String::new() } }
            };
            outbox.delivered(sent.id, delivery, at(clock));
        }
        prop_assert_eq!(outbox.waiting_alerts(), 0);
        prop_assert_eq!(arrived.matches("(#").count() + refused, alerts as usize);
    }
}
