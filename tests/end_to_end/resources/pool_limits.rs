//! The limits of the connection pool. That an idle connection is closed within two minutes is
//! tested in `src/http/idle_connections.rs` with a virtual clock, since this suite can't wait for
//! it.

use super::common::{client, never_more_than, site, site_table, sites, wait_for};
use crate::support::agent::Sitemon;
use crate::support::bot_api::BotApi;
use crate::support::listener::LIMIT;
use crate::support::web::{Behaviour, Web};
use sitemon::check;
use std::thread;
use std::time::Duration;

const CHECKS: usize = 7;
const ALL: usize = 10;
const IDLE: usize = 5;

fn slow_web() -> Web {
    Web::start(|_| Behaviour::ok().after(Duration::from_millis(400)))
}

#[test]
fn one_round_of_60_slow_sites_has_7_connections_open_at_most() {
    let web = slow_web();
    let config = format!(
        "{}[agent]\nstate = \"state\"\nmax_connections = 10\n",
        sites(&web, 60, "")
    );
    let sitemon = Sitemon::new(&config);
    let mut running = sitemon.spawn(&["check"]);
    never_more_than(CHECKS, || web.open(), LIMIT, || !running.is_running());
    assert_eq!(running.wait_exit().code(), Some(0), "{}", running.stdout());
    assert_eq!(web.requests(), 60);
    assert!(web.max_open() >= CHECKS, "all permits are used");
    web.wait_open(0);
}

#[test]
fn running_checks_and_telegram_stay_below_max_connections_and_few_stay_idle() {
    let (web, api) = (slow_web(), BotApi::start());
    let agent = "[agent]\nstate = \"state\"\nmax_connections = 10\nidle_connections = 5\n";
    let config = |keys| format!("{}{agent}{}", api.config(), sites(&web, 60, keys));
    // 7 connections can make 17 checks a second.
    let sitemon = Sitemon::new(&config("interval = \"2s\""));
    let mut running = sitemon.run();
    let asked = |n| web.requests() >= n;
    never_more_than(CHECKS, || web.open(), LIMIT, || asked(60));
    let all = || web.open() + api.open_connections();
    never_more_than(ALL, all, LIMIT, || asked(120));
    assert!(web.max_open() > IDLE, "more were open than may stay idle");

    sitemon.rewrite(&config("interval = \"2s\"\npaused = true"));
    running.hup();
    running.wait_stderr("was read again");
    let look = || (web.open(), web.idle_open(), api.open_connections());
    let rest = |&(open, idle, telegram): &(usize, usize, usize)| {
        open == idle && open + telegram <= IDLE + 1 // The poll is not idle.
    };
    wait_for(LIMIT, "(open, idle, telegram) at rest", look, rest);
    assert_eq!(running.terminate().code(), Some(0));
    web.wait_open(0);
}

#[test]
fn of_7_connections_at_once_5_stay_open_when_idle() {
    let web = slow_web();
    let site = site(&web.url("/"), "interval = \"1s\"");
    let client = client(Duration::from_secs(30));
    let executor = smol::LocalExecutor::new();
    smol::block_on(executor.run(async {
        let check = async || check::run(&client, &site, false).await;
        let tasks: Vec<_> = (0..20).map(|_| executor.spawn(check())).collect();
        for task in tasks {
            assert_eq!(task.await.verdict, Ok(()));
        }
    }));
    assert!(web.max_open() >= CHECKS, "all permits are used");
    let look = || (web.open(), web.idle_open());
    let wanted = |seen: &(usize, usize)| seen.0 == seen.1 && (1..=IDLE).contains(&seen.0);
    wait_for(LIMIT, "(open, idle), at most 5", look, wanted);
    drop(executor);
    drop(client);
    web.wait_open(0);
}

#[test]
fn a_connection_is_reused_before_idle_timeout_and_not_after_it() {
    let web = Web::new();
    let site = site(&web.url("/"), "interval = \"1s\"");
    let client = client(Duration::from_secs(2));
    let check = || {
        let outcome = smol::block_on(check::run(&client, &site, false));
        assert_eq!(outcome.verdict, Ok(()));
    };
    check();
    check();
    assert_eq!((web.requests(), web.accepted()), (2, 1), "reused");
    // There is no event to wait for: the connection stays open, unused.
    thread::sleep(Duration::from_millis(3100));
    check();
    assert_eq!((web.requests(), web.accepted()), (3, 2), "not reused");
    web.wait_open(1);
}

#[test]
fn an_interval_below_idle_timeout_keeps_the_connection_from_check_to_check() {
    let web = Web::new();
    let table = site_table("a", &web.url("/"), "interval = \"1s\"");
    let agent = "[agent]\nstate = \"state\"\nidle_timeout = \"30s\"\n";
    let sitemon = Sitemon::new(&format!("{agent}{table}"));
    let running = sitemon.run();
    web.wait_requests(4);
    assert_eq!(web.accepted(), 1, "{}", running.stderr());
}

#[test]
fn an_interval_of_idle_timeout_or_more_closes_the_connection_after_each_check() {
    let web = Web::new();
    let table = site_table("a", &web.url("/"), "interval = \"1s\"");
    let agent = "[agent]\nstate = \"state\"\nidle_timeout = \"1s\"\n";
    let sitemon = Sitemon::new(&format!("{agent}{table}"));
    let _running = sitemon.run();
    for n in 1..=3 {
        web.wait_requests(n);
        web.wait_open(0);
    }
    assert_eq!(web.accepted(), web.requests() as u64);
    assert_eq!(web.max_open(), 1);
}

#[test]
fn fewer_than_4_connections_are_a_mistake_in_the_configuration() {
    let web = Web::new();
    let config = |n| {
        let table = site_table("a", &web.url("/"), "");
        format!("[agent]\nstate = \"state\"\nmax_connections = {n}\n{table}")
    };
    for command in ["run", "check", "config"] {
        let output = Sitemon::new(&config(3)).command(&[command]);
        assert_eq!(output.code, Some(2), "{command}: {output:?}");
        assert!(output.stderr.contains("sitemon.conf:3:"), "{output:?}");
        assert!(output.stderr.contains("max_connections"), "{output:?}");
    }
    assert_eq!(web.accepted(), 0, "nothing starts on a bad file");
    let output = Sitemon::new(&config(4)).command(&["check"]);
    assert_eq!(output.code, Some(0), "{output:?}");
}
