//! Runs the poller against scripted responses, in virtual time.

use super::*;
use crate::monitor::site::outcome::{Failure, FailureKind};
use proptest::prelude::*;

const EMPTY: &str = r#"{"ok":true,"result":[]}"#;
const OTHER_POLLER: &str = r#"{"ok":false,"error_code":409,"description":"Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"}"#;
const WEBHOOK: &str = r#"{"ok":false,"error_code":409,"description":"Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"}"#;

/// Drives a [`Poller`]: a response takes `took`, and waits pass at once.
struct Driver {
    poller: Poller,
    now: Duration,
    took: Duration,
}

impl Driver {
    fn new() -> Driver {
        let poller = Poller::new(Some(100), true, Duration::from_secs(50), 7);
        Driver {
            poller,
            now: Duration::ZERO,
            took: Duration::from_millis(10),
        }
    }

    /// Returns a driver that is past `getMe` and `setMyCommands`.
    fn starting() -> Driver {
        let mut driver = Driver::new();
        driver.answer(200, r#"{"ok":true,"result":{"id":1,"username":"our_bot"}}"#);
        driver.answer(200, r#"{"ok":true,"result":true}"#);
        driver
    }

    /// Returns a driver that is past the poll for the initial backlog.
    fn polling() -> Driver {
        let mut driver = Driver::starting();
        driver.drains(100, 100);
        driver.answer(200, EMPTY);
        driver
    }

    fn request(&mut self) -> Request {
        self.poller.next(self.now)
    }

    fn answer(&mut self, status: u16, body: &str) -> Step {
        self.outcome(Ok(Answer {
            status,
            body: body.into(),
        }))
    }

    fn outcome(&mut self, outcome: Result<Answer, CallError>) -> Step {
        self.poller.next(self.now);
        self.now += self.took;
        let step = self.poller.on_answer(self.now, outcome);
        self.now += step.wait;
        step
    }

    fn unreachable(&mut self) -> Step {
        self.outcome(Err(CallError::Failed(Failure::new(
            FailureKind::Connect,
            "no route to host",
        ))))
    }

    #[track_caller]
    fn polls(&mut self, offset: i64, limit: u32) {
        self.polls_for(offset, limit, Duration::from_secs(50));
    }

    /// Asserts that the next poll asks for the backlog and doesn't wait.
    #[track_caller]
    fn drains(&mut self, offset: i64, limit: u32) {
        self.polls_for(offset, limit, Duration::ZERO);
    }

    #[track_caller]
    fn polls_for(&mut self, offset: i64, limit: u32, timeout: Duration) {
        assert_eq!(
            self.request(),
            Request::GetUpdates {
                offset: Some(offset),
                limit,
                timeout
            }
        );
    }
}

fn good(id: i64) -> String {
    format!(r#"{{"update_id":{id},"message":{{"chat":{{"id":5}},"date":1,"text":"/status"}}}}"#)
}

fn poison(id: i64) -> String {
    format!(r#"{{"update_id":{id},"message":{{"chat":{{"id":5}},"date":1,"text":"\ud800"}}}}"#)
}

fn result(updates: &[String]) -> String {
    format!(r#"{{"ok":true,"result":[{}]}}"#, updates.join(","))
}

fn ids(step: &Step) -> Vec<i64> {
    let updates = step.events.iter().filter_map(|event| match event {
        PollEvent::Updates(updates) => Some(updates),
        _ => None,
    });
    updates.flatten().map(|update| update.id).collect()
}

fn logged(step: &Step) -> String {
    step.log
        .iter()
        .map(|(_, text)| text.as_str())
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn it_learns_its_name_registers_the_commands_once_and_polls() {
    let mut driver = Driver::new();
    assert_eq!(driver.request(), Request::GetMe);
    let step = driver.answer(200, r#"{"ok":true,"result":{"id":1,"username":"our_bot"}}"#);
    assert_eq!(
        step.events,
        [PollEvent::Bot {
            username: "our_bot".into()
        }]
    );
    assert_eq!(driver.request(), Request::SetMyCommands);
    let step = driver.answer(500, "Unknown method");
    assert!(logged(&step).contains("list of commands"));
    driver.drains(100, 100);
    driver.answer(200, EMPTY);
    driver.polls(100, 100);
}

#[test]
fn without_commands_none_are_registered() {
    let mut poller = Poller::new(None, false, Duration::from_secs(90), 1);
    poller.next(Duration::ZERO);
    let me = br#"{"ok":true,"result":{"id":1,"username":"our_bot"}}"#.to_vec();
    poller.on_answer(
        Duration::ZERO,
        Ok(Answer {
            status: 200,
            body: me,
        }),
    );
    for timeout in [Duration::ZERO, Duration::from_secs(50)] {
        let wanted = Request::GetUpdates {
            offset: None,
            limit: 100,
            timeout,
        };
        assert_eq!(poller.next(Duration::ZERO), wanted);
        let nothing = Answer {
            status: 200,
            body: EMPTY.into(),
        };
        poller.on_answer(Duration::ZERO, Ok(nothing));
    }
}

#[test]
fn updates_are_confirmed_by_the_next_poll_at_once() {
    let mut driver = Driver::polling();
    let step = driver.answer(200, &result(&[good(100), good(101)]));
    assert_eq!((ids(&step), step.wait), (vec![100, 101], Duration::ZERO));
    driver.polls(102, 100);
}

#[test]
fn a_new_count_of_ids_is_followed() {
    let mut driver = Driver::polling();
    let step = driver.answer(200, &result(&[good(7)]));
    assert_eq!(ids(&step), [7]);
    driver.polls(8, 100);
}

/// As with a relay's cache, or a server that ignores `offset`.
#[test]
fn an_old_answer_hands_nothing_over_again_and_moves_no_offset_back() {
    let mut driver = Driver::polling();
    driver.answer(200, &result(&[good(100), good(101)]));
    for old in [
        &[good(100), good(101)][..],
        &[good(100)],
        &[good(99)],
        &[poison(100)],
    ] {
        let step = driver.answer(200, &result(old));
        assert_eq!(ids(&step), [0; 0]);
        assert_eq!(step.wait, Duration::from_millis(490));
        if let Request::GetUpdates { offset, .. } = driver.request() {
            assert_eq!(offset, Some(102));
        }
    }
    let step = driver.answer(200, &result(&[good(101), good(102)]));
    assert_eq!(ids(&step), [102], "what is new in it counts");
    driver.polls(103, 2);
}

#[test]
fn after_another_route_a_back_off_begins_anew() {
    let mut driver = Driver::polling();
    for _ in 0..5 {
        driver.answer(502, "<html>");
    }
    driver.poller.on_other_route();
    let step = driver.answer(502, "<html>");
    assert!(step.wait < Duration::from_secs(3), "{:?}", step.wait);
    assert_eq!(step.log.len(), 1, "it has a cause of its own");
}

#[test]
fn polls_that_bring_nothing_new_are_half_a_second_apart() {
    let mut driver = Driver::polling();
    assert_eq!(driver.answer(200, EMPTY).wait, Duration::from_millis(490));
    driver.answer(200, &result(&[good(100)]));
    assert_eq!(
        driver.answer(200, &result(&[good(100)])).wait,
        Duration::from_millis(490),
        "the server ignores `offset`"
    );
    driver.took = Duration::from_secs(50);
    assert_eq!(driver.answer(200, EMPTY).wait, Duration::ZERO);
}

#[test]
fn a_poisoned_update_is_skipped_and_no_other() {
    let queue: Vec<String> = (100..110)
        .map(|id| if id == 103 { poison(id) } else { good(id) })
        .collect();
    let mut driver = Driver::polling();
    let mut handed = Vec::new();
    for _ in 0..20 {
        let Request::GetUpdates {
            offset: Some(offset),
            limit,
            ..
        } = driver.request()
        else {
            panic!()
        };
        let rest = queue
            .iter()
            .skip((offset - 100) as usize)
            .take(limit as usize);
        let step = driver.answer(200, &result(&rest.cloned().collect::<Vec<_>>()));
        assert!(step.wait <= LEAST_INTERVAL);
        handed.extend(ids(&step));
    }
    assert_eq!(handed, (100..110).collect::<Vec<_>>());
    driver.polls(110, 100);
}

#[test]
fn a_skipped_update_is_logged_and_comes_without_a_message() {
    let mut driver = Driver::polling();
    let step = driver.answer(200, &result(&[poison(100)]));
    assert_eq!(step.events, []);
    driver.polls(100, 1);
    let step = driver.answer(200, &result(&[poison(100)]));
    assert_eq!(
        step.events,
        [PollEvent::Updates(vec![Update {
            id: 100,
            content: None
        }])]
    );
    assert_eq!(logged(&step), "update 100 can't be read: skipped");
    driver.polls(101, 1);
}

#[test]
fn a_huge_update_is_skipped_and_a_huge_batch_is_not() {
    let huge = |id: i64| {
        Err(CallError::TooLarge(
            format!(r#"{{"ok":true,"result":[{{"update_id":{id},"message":{{"#).into(),
        ))
    };
    let mut driver = Driver::polling();
    driver.outcome(huge(100));
    driver.polls(100, 1);
    assert_eq!(ids(&driver.answer(200, &result(&[good(100)]))), [100]);
    driver.polls(101, 2);
    driver.outcome(huge(101));
    driver.polls(101, 1);
    assert_eq!(ids(&driver.outcome(huge(101))), [101]);
    driver.polls(102, 1);
}

#[test]
fn without_an_id_there_is_no_step_but_a_back_off() {
    let mut driver = Driver::polling();
    let nameless = r#"{"ok":true,"result":[{"message":"\ud800"}]}"#;
    driver.answer(200, nameless);
    for _ in 0..5 {
        let step = driver.answer(200, nameless);
        assert_eq!(step.events, []);
        assert!(step.wait >= Duration::from_secs(1));
        driver.polls(100, 1);
    }
}

#[test]
fn a_lone_update_whose_answer_was_cut_off_is_asked_for_again() {
    let mut driver = Driver::polling();
    let whole = result(&[good(100)]);
    let cut = &whole[..whole.len() - 10];
    driver.answer(200, cut);
    driver.answer(200, cut);
    driver.polls(100, 1);
    assert_eq!(ids(&driver.answer(200, &whole)), [100]);

    for _ in 0..3 {
        assert_eq!(
            ids(&driver.answer(200, &cut.replace("100", "101"))),
            [] as [i64; 0]
        );
    }
    assert_eq!(
        ids(&driver.answer(200, &cut.replace("100", "101"))),
        [101],
        "it never comes whole"
    );
}

#[test]
fn an_outage_is_logged_once_and_its_end() {
    let mut driver = Driver::new();
    let first = driver.unreachable();
    assert_eq!(
        logged(&first),
        "Telegram can't be reached, trying again: no route to host"
    );
    assert!((1000..=2000).contains(&first.wait.as_millis()));
    let mut last = first.wait;
    for _ in 0..10 {
        let step = driver.unreachable();
        assert_eq!(step.log, []);
        assert!(step.wait * 2 >= last && step.wait <= Duration::from_secs(60));
        last = step.wait;
    }
    assert!(last >= Duration::from_secs(30));
    let step = driver.answer(502, "<html>Bad Gateway</html>");
    assert_eq!(step.log, []);
    let step = driver.answer(200, r#"{"ok":true,"result":{"id":1,"username":"our_bot"}}"#);
    assert!(
        logged(&step).contains("Telegram can be reached again, after"),
        "{}",
        logged(&step)
    );
    driver.answer(200, r#"{"ok":true,"result":true}"#);
    assert!(
        driver.unreachable().wait <= Duration::from_secs(2),
        "a new outage begins afresh"
    );
}

#[test]
fn a_refused_token_is_told_once_and_tried_every_five_minutes() {
    let refusal =
        |code: u16| format!(r#"{{"ok":false,"error_code":{code},"description":"Unauthorized"}}"#);
    for code in [401, 404] {
        let mut driver = Driver::new();
        let step = driver.answer(code, &refusal(code));
        assert_eq!(
            logged(&step),
            format!(
                "Telegram refuses the token ({code}): check `token` in sitemon.conf with @BotFather; trying again every 5 minutes"
            )
        );
        assert_eq!(
            (step.events.len(), step.wait),
            (0, Duration::from_secs(300))
        );
        let step = driver.answer(code, &refusal(code));
        assert_eq!(
            (step.log.len(), step.events.len(), step.wait),
            (0, 0, Duration::from_secs(300))
        );
        assert_eq!(driver.request(), Request::GetMe);
    }
}

#[test]
fn retry_after_is_obeyed() {
    let mut driver = Driver::polling();
    let flood = r#"{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 17","parameters":{"retry_after":17}}"#;
    let step = driver.answer(429, flood);
    assert_eq!(
        (logged(&step).as_str(), step.wait),
        ("Telegram wants 17 s of rest (429)", Duration::from_secs(17))
    );
    assert_eq!(driver.answer(429, flood).log, []);
    driver.polls(100, 100);
}

#[test]
fn another_poller_is_told_once_a_minute_and_outlasted() {
    let mut driver = Driver::polling();
    let told: usize = (0..40)
        .map(|_| driver.answer(409, OTHER_POLLER))
        .map(|step| {
            assert_eq!(step.wait, Duration::from_secs(3));
            step.log.len()
        })
        .sum();
    assert_eq!(told, 2, "40 conflicts in two minutes");
    driver.drains(100, 100);
}

#[test]
fn a_webhook_in_the_way_is_deleted_and_told() {
    let mut driver = Driver::polling();
    let step = driver.answer(409, WEBHOOK);
    assert_eq!((step.log.len(), step.wait), (0, Duration::ZERO));
    assert_eq!(driver.request(), Request::DeleteWebhook);
    let step = driver.answer(200, r#"{"ok":true,"result":true}"#);
    assert!(
        matches!(&step.events[..], [PollEvent::Notice(text)] if text.contains("it was deleted"))
    );
    driver.polls(100, 100);
}

#[test]
fn a_webhook_that_comes_back_is_deleted_once_a_minute() {
    let mut driver = Driver::polling();
    driver.answer(409, WEBHOOK);
    driver.answer(200, r#"{"ok":true,"result":true}"#);
    let step = driver.answer(409, WEBHOOK);
    assert!(step.wait > Duration::from_secs(58), "{:?}", step.wait);
    driver.drains(100, 100);
    driver.answer(409, WEBHOOK);
    assert_eq!(driver.request(), Request::DeleteWebhook);
    assert!(driver.unreachable().wait >= Duration::from_secs(1));
    driver.drains(100, 100);
}

proptest! {
    #[test]
    fn nothing_makes_it_panic_hammer_or_step_blindly(
        answers in prop::collection::vec((any::<u16>(), 0..8usize, 0..2000u64), 1..60),
    ) {
        let mut driver = Driver::polling();
        for (status, kind, took) in answers {
            driver.took = Duration::from_millis(took);
            let Request::GetUpdates { offset: before, .. } = driver.request() else {
                driver.answer(200, r#"{"ok":true,"result":true}"#);
                continue;
            };
            let next = before.unwrap_or(1);
            let began = driver.now;
            let step = match kind {
                0 => driver.answer(200, EMPTY),
                1 => driver.answer(200, &result(&[good(next)])),
                2 => driver.answer(200, &result(&[poison(next)])),
                3 => driver.answer(409, WEBHOOK),
                4 => driver.answer(409, OTHER_POLLER),
                5 => driver.answer(200, &result(&[good(next)])[..40]),
                6 => driver.answer(status, "?"),
                _ => driver.unreachable(),
            };
            let Request::GetUpdates { offset: after, .. } = driver.request() else { continue };
            prop_assert_eq!(after != before, !ids(&step).is_empty());
            prop_assert!(after != before || driver.now - began >= LEAST_INTERVAL);
        }
    }
}

#[test]
fn an_update_knows_how_long_it_may_have_waited() {
    let press = |id: i64| {
        format!(
            r#"{{"update_id":{id},"callback_query":{{"id":"q","from":{{"id":7}},"message":{{"message_id":1,"chat":{{"id":7}},"date":1}},"data":"x"}}}}"#
        )
    };
    let waited = |step: &Step| match &step.events[..] {
        [PollEvent::Updates(updates)] => match &updates[0].content {
            Some(Content::Press(press)) => press.waited,
            Some(Content::Message(message)) => message.waited,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    for update in [press, good] {
        let mut driver = Driver::starting();
        driver.drains(100, 100);
        // A slow response must not make the updates look newer.
        driver.took = Duration::from_secs(8);
        let first = driver.answer(200, &result(&[update(100)]));
        assert_eq!(waited(&first), Duration::MAX, "it was there at the start");
        driver.polls(101, 100);
        driver.took = Duration::from_secs(40);
        let second = driver.answer(200, &result(&[update(101)]));
        assert_eq!(waited(&second), Duration::from_secs(40), "the poll's time");
        driver.polls(102, 100);
        driver.took = Duration::from_millis(10);
        let third = driver.answer(200, &result(&[update(102)]));
        assert_eq!(waited(&third), Duration::from_millis(10));
        // After an outage, updates may be as old as its start.
        driver.now += Duration::from_secs(1200);
        driver.drains(103, 100);
        let fourth = driver.answer(200, &result(&[update(103)]));
        assert_eq!(waited(&fourth), Duration::from_millis(1_200_010));
        driver.polls(104, 100);
        let fifth = driver.answer(200, &result(&[update(104)]));
        assert_eq!(waited(&fifth), Duration::from_millis(10));
    }
}

#[test]
fn a_full_batch_of_the_backlog_says_nothing_of_the_next_one() {
    let mut driver = Driver::starting();
    let batch: Vec<String> = (100..200).map(good).collect();
    driver.answer(200, &result(&batch));
    driver.drains(200, 100);
    let step = driver.answer(200, &result(&[good(200)]));
    let PollEvent::Updates(updates) = &step.events[0] else {
        panic!("{step:?}")
    };
    let Some(Content::Message(message)) = &updates[0].content else {
        panic!("{updates:?}")
    };
    assert_eq!(message.waited, Duration::MAX);
    driver.polls(201, 100);
}

#[test]
fn no_more_updates_are_taken_than_were_asked_for() {
    let updates = |ids: std::ops::Range<i64>| {
        let each: Vec<String> = ids.map(|id| format!(r#"{{"update_id":{id}}}"#)).collect();
        format!(r#"{{"ok":true,"result":[{}]}}"#, each.join(","))
    };
    let taken = |step: Step| match step.events.as_slice() {
        [PollEvent::Updates(updates)] => updates.iter().map(|update| update.id).collect(),
        _ => Vec::new(),
    };
    let mut driver = Driver::polling();
    // A server that ignores `limit`, but not `offset`.
    for from in [1000, 1100, 1200] {
        let step = driver.answer(200, &updates(from..6000));
        assert_eq!(taken(step), (from..from + 100).collect::<Vec<_>>());
        driver.polls(from + 100, 100);
    }
    // After an unreadable response, the poller asks for one update at a time.
    driver.answer(200, r#"{"ok":true,"result":[{"update_id":1300,"#);
    driver.polls(1300, 1);
    let step = driver.answer(200, &updates(1300..6000));
    assert_eq!(taken(step), [1300]);
}
