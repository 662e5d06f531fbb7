//! Checks that fail, of all kinds and many times, leave nothing behind.

use crate::common::{at_rest, site_table, wait_quiet};
use crate::support::agent::Sitemon;
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
        // No connection is kept, so that those that are open at the end were left behind.
        let agent = "[agent]\nstate = \"state\"\nidle_timeout = \"1s\"\n";
        format!("{agent}{}", tables.collect::<String>())
    };
    let sitemon = Sitemon::new(&config(false));
    let mut running = sitemon.run();

    let rest_after = |requests: usize| {
        let target = web.requests() + requests;
        web.wait_requests(target);
        sitemon.rewrite(&config(true));
        running.hup();
        wait_quiet(&web, Duration::from_millis(1500));
        let rest = at_rest(&running);
        sitemon.rewrite(&config(false));
        running.hup();
        rest
    };
    let first = rest_after(SITES);
    let second = rest_after(100);
    let third = rest_after(120);
    assert!(web.requests() >= 260);
    assert_eq!(
        second, first,
        "(descriptors, threads) after 100 more checks"
    );
    assert_eq!(third, first, "(descriptors, threads) after 220 more checks");
    assert!(web.max_open() <= 7, "{} connections", web.max_open());
    assert_eq!(running.terminate().code(), Some(0));
    web.wait_open(0);
}
