//! The semaphore of `/check`, and shutdown.

use super::common::{Tally, site_table, sites, wait_for};
use crate::support::agent::Sitemon;
use crate::support::listener::LIMIT;
use crate::support::web::{Behaviour, Web};

const GROUPS: usize = 5;

/// Returns a site in each group, `a` to `e`, that never answers.
fn hanging_groups(web: &Web, timeout: &str) -> String {
    let tables = groups().map(|g| {
        let keys =
            format!("group = \"{g}\"\ninterval = \"1h\"\nretry = \"1h\"\ntimeout = \"{timeout}\"");
        site_table(&format!("site-{g}"), &web.url(&format!("/{g}")), &keys)
    });
    // The first site is checked at once, and another every 5 s: the groups' sites are not due
    // during the test.
    let first = site_table("first", &web.url("/first"), "interval = \"1h\"");
    let rest =
        (0..6).map(|i| site_table(&format!("rest-{i}"), &web.url("/rest"), "interval = \"1h\""));
    let agent = "[agent]\nstate = \"state\"\ncommands = 2\n";
    format!(
        "{agent}{first}{}{}",
        rest.collect::<String>(),
        tables.collect::<String>()
    )
}

fn groups() -> impl Iterator<Item = char> {
    ('a'..='z').take(GROUPS)
}

fn web(tally: &Tally) -> Web {
    tally.web(|request| match request.path() {
        "/first" | "/rest" => Behaviour::ok(),
        _ => Behaviour::Hang,
    })
}

#[test]
fn of_five_check_commands_two_run_and_three_are_told_their_place_until_their_turn() {
    let tally = Tally::default();
    let web = web(&tally);
    let sitemon = Sitemon::new(&hanging_groups(&web, "3s"));
    let mut running = sitemon.run_console();
    web.wait_requests(1);
    for g in groups() {
        running.type_line(&format!("/check {g}"));
    }
    running.wait_stdout("3rd in the queue");
    let stdout = running.stdout();
    for text in ["1st in the queue", "2nd in the queue"] {
        assert!(stdout.contains(text), "{stdout}");
    }
    assert_eq!(stdout.matches("in the queue").count(), 3, "{stdout}");
    assert_eq!(stdout.matches("Checking").count(), 2, "{stdout}");
    let asked = || groups().map(|g| tally.of(&format!("/{g}")));
    let wait_asked = |n| {
        let count = || asked().collect::<Vec<_>>();
        wait_for(LIMIT, &format!("{n} checks"), count, |seen| {
            seen.iter().sum::<usize>() >= n
        })
    };
    assert_eq!(wait_asked(2), [1, 1, 0, 0, 0], "{stdout}");
    // The first two time out, and release their permits to the next two.
    assert_eq!(wait_asked(4), [1, 1, 1, 1, 0], "{}", running.stdout());
    assert_eq!(wait_asked(5), [1; GROUPS], "{}", running.stdout());
    assert_eq!(running.terminate().code(), Some(0));
    web.wait_open(0);
}

#[test]
fn the_semaphore_goes_with_shutdown_while_commands_run_and_wait() {
    let tally = Tally::default();
    let web = web(&tally);
    let running_two = || tally.of("/a") + tally.of("/b");
    let sitemon = Sitemon::new(&hanging_groups(&web, "60s"));
    let mut running = sitemon.run_console();
    web.wait_requests(1);
    for g in groups() {
        running.type_line(&format!("/check {g}"));
    }
    running.wait_stdout("3rd in the queue");
    wait_for(LIMIT, "two checks", running_two, |&n| n == 2);
    running.ends_in_time();
    web.wait_open(0);
    assert_eq!(tally.of("/c") + tally.of("/d") + tally.of("/e"), 0);
}

#[test]
fn sigterm_while_every_permit_hangs_ends_the_process_in_good_order() {
    let web = Web::start(|_| Behaviour::Hang);
    let sitemon = Sitemon::new(&sites(&web, 20, "interval = \"1s\"\ntimeout = \"60s\""));
    let mut running = sitemon.run();
    web.wait_requests(7);
    assert_eq!(web.open(), 7);
    running.ends_in_time();
    web.wait_open(0);
    assert_eq!(web.requests(), 7, "no check was started after the signal");
}
