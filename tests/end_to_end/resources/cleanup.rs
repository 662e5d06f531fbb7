//! Every kind of end of a check releases everything. Each is tested twice, since a leak or a double
//! release shows in the second check.

use super::common::{client, never_more_than, site, wait_for};
use crate::support::listener::LIMIT;
use crate::support::web::{Behaviour, Web};
use async_io::Timer;
use futures_lite::FutureExt as _;
use sitemon::check;
use sitemon::http::Client;
use sitemon::monitor::site::Site;
use sitemon::monitor::site::outcome::{FailureKind, Outcome};
use std::cell::Cell;
use std::pin::pin;
use std::time::Duration;

const REUSE: Duration = Duration::from_secs(30);
const CHECKS: usize = 7;

/// Checks that no permit is in use, and that the server has `idle` connections, all of them idle.
#[track_caller]
fn everything_is_back(client: &Client, web: &Web, idle: usize) {
    let look = || (web.open(), web.idle_open(), client.permits_in_use());
    let wanted = (idle, idle, 0);
    wait_for(
        LIMIT,
        &format!("(open, idle, permits) to be {wanted:?}"),
        look,
        |seen| *seen == wanted,
    );
    // All permits are available, and no more than at the start.
    let mut permits = Vec::new();
    smol::block_on(async {
        for _ in 0..CHECKS {
            permits.push(client.check_permit().await);
        }
        let one_more = async { Some(client.check_permit().await) };
        let none = async {
            Timer::after(Duration::from_millis(20)).await;
            None
        };
        assert!(
            one_more.or(none).await.is_none(),
            "more than {CHECKS} permits"
        );
    });
}

fn kind(outcome: Outcome) -> Option<FailureKind> {
    outcome.verdict.err().map(|failure| failure.kind)
}

/// Checks the site twice. Each check must end as `wanted` and leave `idle` connections.
#[track_caller]
fn twice(web: &Web, site: &Site, wanted: Option<FailureKind>, idle: usize) {
    let client = client(REUSE);
    for _ in 0..2 {
        let outcome = smol::block_on(check::run(&client, site, false));
        assert_eq!(kind(outcome), wanted);
        everything_is_back(&client, web, idle);
    }
}

/// Waits until the server has seen `requests` requests, while the check goes on.
async fn until_asked(web: &Web, requests: usize) {
    while web.requests() < requests {
        Timer::after(Duration::from_millis(2)).await;
    }
}

#[test]
fn a_success_gives_its_permit_back_and_leaves_one_idle_connection() {
    let web = Web::new();
    twice(&web, &site(&web.url("/"), "interval = \"1s\""), None, 1);
    assert_eq!((web.requests(), web.accepted()), (2, 1), "it was reused");
}

#[test]
fn a_success_that_cannot_be_reused_leaves_no_connection() {
    let web = Web::new();
    twice(&web, &site(&web.url("/"), "interval = \"60s\""), None, 0);
}

#[test]
fn an_error_status_gives_its_permit_back_and_leaves_one_idle_connection() {
    let web = Web::new().on("/", Behaviour::status(503));
    let site = site(&web.url("/"), "interval = \"1s\"");
    twice(&web, &site, Some(FailureKind::Status), 1);
}

#[test]
fn a_refused_connection_gives_its_permit_back() {
    let web = Web::new();
    web.stop();
    let site = site(&web.url("/"), "interval = \"1s\"");
    twice(&web, &site, Some(FailureKind::Connect), 0);
}

#[test]
fn a_timeout_gives_its_permit_back_and_closes_its_connection() {
    for behaviour in [Behaviour::Hang, Behaviour::Drip(Duration::from_millis(50))] {
        let web = Web::new().on("/", behaviour);
        let site = site(&web.url("/"), "interval = \"1s\"\ntimeout = \"500ms\"");
        twice(&web, &site, Some(FailureKind::Timeout), 0);
    }
}

#[test]
fn a_cancelled_check_gives_its_permit_back_and_closes_its_connection() {
    let web = Web::new().on("/", Behaviour::Hang);
    let site = site(&web.url("/"), "interval = \"1s\"\ntimeout = \"2s\"");
    let client = client(REUSE);
    for round in 1..=2 {
        let run = async { Some(check::run(&client, &site, false).await) };
        let cancel = async {
            until_asked(&web, round).await;
            None
        };
        let ended = smol::block_on(run.or(cancel));
        assert!(ended.is_none(), "it was cancelled, not {ended:?}");
        everything_is_back(&client, &web, 0);
    }
}

#[test]
fn a_check_cancelled_while_it_waits_for_a_permit_takes_none() {
    let web = Web::new();
    let site = site(&web.url("/"), "interval = \"1s\"");
    let client = client(REUSE);
    for _ in 0..2 {
        smol::block_on(async {
            let mut held = Vec::new();
            for _ in 0..CHECKS {
                held.push(client.check_permit().await);
            }
            let mut run = pin!(check::run(&client, &site, false));
            assert!(futures_lite::future::poll_once(&mut run).await.is_none());
        });
        everything_is_back(&client, &web, 0);
    }
    assert_eq!(web.requests(), 0);
}

#[test]
fn connections_of_cancelled_checks_still_count_until_they_are_closed() {
    let web = Web::new().on("/", Behaviour::Hang);
    let site = site(&web.url("/"), "interval = \"1s\"\ntimeout = \"2s\"");
    let client = client(REUSE);
    let cancelled = Cell::new(0);
    let cancel_all = async {
        for round in 1..=CHECKS + 3 {
            let run = async { drop(check::run(&client, &site, false).await) };
            run.or(until_asked(&web, round)).await;
            cancelled.set(round);
        }
    };
    let executor = smol::LocalExecutor::new();
    let task = executor.spawn(cancel_all);
    never_more_than(
        CHECKS,
        || web.open(),
        LIMIT,
        || {
            while executor.try_tick() {}
            task.is_finished()
        },
    );
    assert_eq!(cancelled.get(), CHECKS + 3);
    drop(task);
    everything_is_back(&client, &web, 0);
}

#[test]
fn a_panic_fails_its_check_alone_and_gives_its_permit_back() {
    let web = Web::new().on("/hang", Behaviour::Hang);
    let hanging = site(&web.url("/hang"), "interval = \"1s\"\ntimeout = \"2s\"");
    let client = client(REUSE);
    for round in 1..=2 {
        let outcome = smol::block_on(check::guarded(async {
            let mut run = pin!(check::run(&client, &hanging, false));
            let asked = async {
                until_asked(&web, round).await;
                Outcome::failed(FailureKind::Internal, "asked")
            };
            let outcome = (&mut run).or(asked).await;
            assert!(
                client.permits_in_use() == 1,
                "the check is under way: {outcome:?}"
            );
            panic!("wanted by the test");
        }));
        let failure = outcome.verdict.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Internal);
        assert!(failure.detail.contains("wanted by the test"), "{failure:?}");
        everything_is_back(&client, &web, 0);
    }
    // The client still works.
    let healthy = site(&web.url("/"), "interval = \"1s\"");
    assert_eq!(
        kind(smol::block_on(check::run(&client, &healthy, false))),
        None
    );
    everything_is_back(&client, &web, 1);
}
