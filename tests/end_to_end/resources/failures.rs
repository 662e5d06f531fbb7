//! Many failed checks of all kinds leak nothing.

use super::common::{at_rest, never_more_than, site_table, wait_quiet};
use crate::support::agent::Sitemon;
use crate::support::listener::LIMIT;
use crate::support::web::{Behaviour, Web};
use std::time::Duration;

const SITES: usize = 40;

#[test]
fn after_hundreds_of_failed_checks_of_all_kinds_the_process_is_as_after_the_first_round() {
    let gone = Web::new();
    gone.stop();
    let web = Web::new()
        .on("/hang", Behaviour::Hang)
        .on("/drip", Behaviour::Drip(Duration::from_millis(20)))
        .on(
            "/garbage",
            Behaviour::Garbage(b"\x16\x03nonsense\r\n\r\n".to_vec()),
        )
        .on("/close", Behaviour::Close)
        .on("/short", Behaviour::Short(10))
        .on("/error", Behaviour::status(500))
        .on("/big", Behaviour::Big(50_000_000));
    let kinds = [
        "hang", "garbage", "close", "error", "big", "short", "drip", "refused",
    ];
    let config = |paused: bool| {
        let tables = (0..SITES).map(|i| {
            let kind = kinds[i % kinds.len()];
            let url = match kind {
                "refused" => gone.url("/"),
                kind => web.url(&format!("/{kind}")),
            };
            let keys = format!(
                "interval = \"1s\"\nretry = \"1s\"\ntimeout = \"1s\"\nbody = \"unheard of\"\n\
                 paused = {paused}"
            );
            site_table(&format!("{kind}-{i}"), &url, &keys)
        });
        // Connections aren't kept, so that one that is open at the end was leaked.
        let agent = "[agent]\nstate = \"state\"\nidle_timeout = \"1s\"\n";
        format!("{agent}{}", tables.collect::<String>())
    };
    let sitemon = Sitemon::new(&config(false));
    let mut running = sitemon.run();

    let asked = |requests: usize| {
        let target = web.requests() + requests;
        never_more_than(7, || web.open(), LIMIT, || web.requests() >= target);
    };
    let pause = |paused: bool| {
        sitemon.rewrite(&config(paused));
        running.hup();
        if paused {
            wait_quiet(&web, Duration::from_millis(1500));
        }
    };
    asked(SITES);
    pause(true);
    let first = at_rest(&running);
    for more in [100, 120] {
        pause(false);
        asked(more);
        pause(true);
        // No check is running: what isn't released by now was leaked.
        assert_eq!(at_rest(&running), first, "{more} checks later");
    }
    assert!(web.requests() >= 260);
    assert_eq!(running.terminate().code(), Some(0));
    web.wait_open(0);
}
