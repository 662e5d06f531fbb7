//! Checks and alerts by the time of day, and sites that are added in the chat, with the real
//! binary.

use crate::support::scene::{Scene, site};
use crate::support::web::{Behaviour, Web};

#[test]
fn in_quiet_hours_an_alert_has_no_sound() {
    for (quiet, silent) in [("quiet = \"00:00-24:00\"\n", true), ("", false)] {
        let scene = Scene::with(|api| {
            api.config()
                + quiet
                + "[agent]\nstate = \"state\"\ntimezone = \"CET-1CEST,M3.5.0,M10.5.0/3\"\n"
        });
        let running = scene.start();
        assert_eq!(scene.outage().silent, silent);
        scene.end(running);
    }
}

#[test]
fn under_maintenance_a_site_is_recorded_without_alerts() {
    let scene = Scene::new();
    let always = site("blog", &scene.web.url("/")) + "maintenance = \"00:00-24:00\"\n";
    scene.sitemon.rewrite(&(scene.api.config() + &always));
    scene.site_fails();
    let running = scene.start();
    scene.web.wait_requests(3);
    let status = scene.ask("/status", "is under maintenance until");
    assert!(status.latest().contains("blog for"), "{}", status.latest());
    scene.ask("/incidents", "#1 blog");
    assert_eq!(scene.count("🔴 blog is down"), 0);
    scene.end(running);
}

#[test]
fn a_site_of_the_chat_is_watched_over_restart_and_reload_and_never_written_into_the_file() {
    let scene = Scene::new();
    let shop = Web::new();
    let before = std::fs::read_to_string(scene.sitemon.config_path()).unwrap();
    let mut running = scene.start();
    let url = shop.url("/health");
    scene.ask(&format!("/add {url} my shop"), "➕ my shop is watched");
    assert_eq!(running.terminate().code(), Some(0));

    let status = scene.sitemon.command(&["status", "--json"]);
    let status = status.stdout;
    assert!(status.contains(r#""name":"my shop""#), "{status}");
    let check = scene.sitemon.command(&["check", "my shop"]);
    assert_eq!(check.code, Some(0), "{}", check.stderr);

    let running = scene.start();
    scene.ask("/list", "my shop");
    running.hup();
    running.wait_stderr("was read again");
    scene.ask("/site my shop", "my shop has ");
    shop.set("/health", Behaviour::status(500));
    scene.ask("/check my shop", "❌ my shop");
    scene.ask("/remove my shop", "➖ my shop is not watched any more.");
    scene.ask("/remove blog", "is in sitemon.conf");
    let after = std::fs::read_to_string(scene.sitemon.config_path()).unwrap();
    assert_eq!(before, after);
    scene.end(running);
}

#[test]
fn what_is_added_takes_no_secret_with_it() {
    let scene = Scene::with(|api| {
        api.config() + "[defaults]\nauth = \"bearer hunter2\"\nheaders = { X-Key = \"hunter2\" }\n"
    });
    let other = Web::new();
    let running = scene.start();
    scene.ask(&format!("/add {} spy", other.url("/")), "➕ spy is watched");
    let seen = format!("{:?}", other.seen());
    assert!(!seen.contains("hunter2"), "{seen}");
    scene.ask(
        "/add https://h.example/$HOME",
        "nothing from the environment",
    );
    scene.ask("/add file:///etc/passwd", "Not added: `url`");
    scene.end(running);
}
