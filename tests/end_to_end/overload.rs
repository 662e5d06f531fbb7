//! More checks are due than can be made: late rounds are counted, and reported once with figures.

use crate::support::agent::Sitemon;
use crate::support::bot_api::{BotApi, CHAT};
use crate::support::scene::site;
use crate::support::web::{Behaviour, Web};
use std::time::Duration;

/// One check at a time, each of 200 ms, and forty sites at 1 s.
#[test]
fn forty_sites_a_second_of_which_five_can_be_asked_are_told_of() {
    let (api, web) = (BotApi::start(), Web::new());
    let answer = Behaviour::ok().after(Duration::from_millis(200));
    let mut config = api.config() + "[agent]\nmax_connections = 4\nuplink = []\n";
    for n in 0..40 {
        web.set(&format!("/{n}"), answer.clone());
        config += &site(&format!("site{n}"), &web.url(&format!("/{n}")));
    }
    let sitemon = Sitemon::new(&config);
    let running = sitemon.run();
    // The overload must last for a minute; each wait covers a part of it.
    for part in 1..=8 {
        web.wait_requests(part * 40);
    }
    let told = api.wait_message(|m| m.latest().contains("Rounds are late: "));
    let text = told.latest();
    assert!(
        text.contains(" checks/s wanted, ") && text.contains(" done. Raise `interval`"),
        "{text}"
    );
    api.say(CHAT, CHAT, "/stats");
    let stats = api.wait_message(|m| m.latest().contains("Late: "));
    let line = stats.latest().lines().find(|l| l.starts_with("Late: "));
    let figures: Vec<u64> = line
        .into_iter()
        .flat_map(|line| line.split(' '))
        .filter_map(|word| word.replace(',', "").parse().ok())
        .collect();
    let [late, due, _wanted, _done] = figures[..] else {
        panic!("{}", stats.latest());
    };
    assert!(late * 10 > due * 5, "{late} of {due}");
    let warnings = running.wait_stderr("Rounds are late");
    assert_eq!(warnings.matches("Rounds are late").count(), 1, "{warnings}");
}
