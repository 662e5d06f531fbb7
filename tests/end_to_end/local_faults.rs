//! A fault of this machine is never reported as a site's: too few descriptors, late interfaces.

use crate::support::agent::Sitemon;
use crate::support::assert_has;
use crate::support::bot_api::BotApi;
use crate::support::namespace::{in_own_network, ip};
use crate::support::scene::site;
use crate::support::web::{Behaviour, Web};
use std::fmt::Write as _;
use std::time::Duration;

/// Runs the agent with this `ulimit -n`.
fn with_files(sitemon: &Sitemon, files: usize) -> crate::support::agent::Running {
    sitemon.run_by_shell(false, &format!("ulimit -n {files}; exec \"$@\""))
}

#[test]
fn healthy_sites_are_not_down_for_want_of_descriptors() {
    // With 22 there is one descriptor for the long poll, which comes first, and one for a check.
    for files in [27, 22] {
        let (api, web) = (BotApi::start(), Web::new());
        let mut config = api.config();
        for n in 0..18 {
            let path = format!("/{n}");
            // Long enough for all concurrent checks to overlap.
            web.set(&path, Behaviour::ok().after(Duration::from_millis(300)));
            config.push_str(&site(&format!("site {n}"), &web.url(&path)));
        }
        let sitemon = Sitemon::new(&config);
        let mut running = with_files(&sitemon, files);
        running.wait_stderr("raise the limit");
        web.wait_requests(36);
        let told = api.messages();
        let wrong = told.iter().filter(|m| m.text.contains("down")).count();
        assert_eq!(wrong, 0, "{files}: {told:?}");
        running.terminate();
    }
}

#[test]
fn a_soft_limit_is_raised_to_what_the_configuration_needs() {
    let (api, web) = (BotApi::start(), Web::new());
    let config = api.config() + &site("blog", &web.url("/"));
    let sitemon = Sitemon::new(&config);
    let mut running = sitemon.run_by_shell(false, "ulimit -S -n 20; exec \"$@\"");
    web.wait_requests(2);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", running.pid()));
    let limits = limits.expect("the agent runs");
    let line = limits.lines().find(|l| l.starts_with("Max open files"));
    let soft = line.and_then(|l| l.split_whitespace().nth(3)?.parse::<u64>().ok());
    assert!(soft.is_some_and(|soft| soft > 60), "{line:?}");
    assert!(!running.stderr().contains("raise the limit"));
    running.terminate();
}

#[test]
fn sites_on_the_network_are_not_down_before_the_network_is_up() {
    in_own_network(|_| {
        // Only 127.0.0.1 is left.
        ip("addr flush dev lo");
        ip("addr add 127.0.0.1/8 dev lo");
        let api = BotApi::start();
        let mut config = api.config();
        for (n, kind) in ["tcp://10.7.0.20:9", "http://10.7.0.21:9/"]
            .iter()
            .enumerate()
        {
            write!(config, "{}", site(&format!("lan {n}"), kind)).expect("a String takes it");
        }
        let sitemon = Sitemon::new(&config);
        let mut running = sitemon.run();
        running.wait_stderr("this machine has no network address");
        api.say(
            crate::support::bot_api::CHAT,
            crate::support::bot_api::CHAT,
            "/check",
        );
        api.wait_message(|m| m.latest().contains("2 sites checked"));
        api.clear();
        let state = || {
            api.say(
                crate::support::bot_api::CHAT,
                crate::support::bot_api::CHAT,
                "/status",
            );
            let told = api.wait_message(|m| m.latest().contains("unknown"));
            api.clear();
            told
        };
        state();
        // The interface comes up: one of the two sites answers, the other is really down.
        ip("addr add 10.7.0.1/24 dev lo");
        let down = api.wait_message(|m| m.latest().contains("is down"));
        assert_has(&down.text, "connection refused by 10.7.0.2");
        assert!(!running.stderr().contains("lan 0 is down: this machine"));
        running.terminate();
    });
}
