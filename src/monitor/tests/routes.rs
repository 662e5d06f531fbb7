//! Routes to Telegram in the whole core: probes, notices to chats, and sending after a change.

use super::world::*;
use crate::monitor::render::metrics::ProcessFigures;
use crate::monitor::site::outcome::FailureKind;
use crate::monitor::site::secret_url::SecretUrl;
use crate::monitor::site::state::State;
use crate::monitor::uplink::route::Route;
use crate::monitor::{Event, Settings};

pub fn proxy() -> Route {
    let (url, shown) = ("socks5h://u:p@h:1080", "socks5h://***@h:1080");
    Route::Proxy(SecretUrl::new(url.into(), shown.into(), Vec::new()))
}

/// Reloads the configuration with these routes.
pub fn set_routes(world: &mut World, names: &[&str], routes: Vec<Route>) {
    let settings = Settings {
        uplink: true,
        routes,
        ..settings(access())
    };
    world.feed(reloaded(names.iter().map(|n| site(n)), settings));
}

pub fn used(world: &mut World, route: &Route, failure: Option<&str>) {
    world.feed(Event::RouteUsed {
        route: route.clone(),
        failure: failure.map(str::to_owned),
    });
}

fn blocked_world() -> World {
    let mut world = elsewhere(&["blog"]);
    set_routes(&mut world, &["blog"], vec![Route::Direct, proxy()]);
    world.pass(70);
    world.received();
    world.routes.clear();
    world
}

#[test]
fn the_uplink_is_asked_before_a_route_is_left() {
    let mut world = blocked_world();
    let looks = world.looks;
    used(&mut world, &Route::Direct, Some("connection reset"));
    used(&mut world, &Route::Direct, Some("connection reset"));
    world.pass(6);
    assert!(world.looks > looks);
    assert_eq!(world.routes, ["socks5h://***@h:1080"]);
    used(&mut world, &proxy(), None);
    world.pass(5);
    let heard = world.received();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].starts_with("ℹ️ Telegram is reached through socks5h://***@h:1080 since 08:0"));
    world.pass(700);
    assert_eq!(world.route_trials, ["direct"]);
}

#[test]
fn while_the_line_is_down_no_route_is_left() {
    let mut world = blocked_world();
    world.line = LINE_DOWN;
    world.fate("blog", failed(FailureKind::Timeout));
    for _ in 0..20 {
        used(&mut world, &Route::Direct, Some("no connection"));
        world.pass(30);
    }
    assert!(world.routes.is_empty() && world.route_trials.is_empty());
    world.line = LINE_UP;
    world.fate("blog", from(THERE, good(40)));
    used(&mut world, &Route::Direct, None);
    world.pass(60);
    assert!(world.routes.is_empty());
    assert!(
        world
            .received()
            .iter()
            .all(|text| !text.contains("reached"))
    );
}

#[test]
fn what_waits_goes_at_once_by_another_route() {
    let mut world = blocked_world();
    let later = |_| telegram_fails(None, "no answer");
    world.deliveries.extend((0..8).map(later));
    world.fate("blog", from(THERE, bad()));
    while world.deliveries.len() > 1 {
        world.pass(1);
    }
    let attempts = world.attempts;
    // The next attempt would come after at least half a minute.
    world.deliveries.clear();
    used(&mut world, &Route::Direct, Some("no answer"));
    used(&mut world, &Route::Direct, Some("no answer"));
    world.pass(7);
    assert_eq!(world.attempts, attempts + 1);
    assert!(world.received()[0].contains("blog"), "at last");
}

#[test]
fn a_proxy_that_is_dead_is_told_once_and_takes_no_site_down() {
    let mut world = elsewhere(&["blog", "shop", "wiki"]);
    world.fate("blog", failed(FailureKind::Proxy));
    // The proxy's address is in the local network.
    world.fate("shop", from(HERE, failed(FailureKind::Proxy)));
    world.fate_for("wiki", from(THERE, bad()), 600);
    for name in ["blog", "shop"] {
        assert_eq!(world.state(name), State::Offline);
    }
    assert_eq!(world.state("wiki"), State::Down);
    let metrics = world.monitor.metrics(ProcessFigures::default());
    assert!(!metrics.agent.uplink_up);
    let heard = world.received();
    let told = |heard: &[String], part: &str| heard.iter().filter(|t| t.contains(part)).count();
    let notice = "A proxy for sites doesn't answer: sites behind it are not judged.";
    assert_eq!(told(&heard, notice), 1, "{heard:?}");
    assert_eq!(told(&heard, "blog"), 0, "{heard:?}");
    // Another proxy answers: the one of the first site still fails.
    world.fate_for("shop", from(THERE, good(40)), 120);
    assert_eq!(world.state("shop"), State::Up);
    assert_eq!(world.state("blog"), State::Offline);
    world.fate_for("blog", from(THERE, bad()), 300);
    assert_eq!(world.state("blog"), State::Down, "the site itself is");
    let heard = world.received();
    assert_eq!(
        told(&heard, "The proxy for sites answers again, after 1"),
        1,
        "{heard:?}"
    );
    assert_eq!(told(&heard, notice), 0, "{heard:?}");
}
