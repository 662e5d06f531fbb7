//! Trusted roots: files that are valid in part, and roots that have expired.

use super::site;
use crate::support::agent::Sitemon;
use crate::support::bot_api::{BotApi, TOKEN};
use crate::support::scene::Scene;
use crate::support::tls::{DAY, TestCa};
use crate::support::web::Web;
use std::time::SystemTime;

const CUT_OFF: &str = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUJ0rJ\n";

#[test]
fn a_root_of_the_machine_that_has_ended_is_one_message_and_no_site_is_degraded() {
    let ca = TestCa::until(SystemTime::now() - 3 * DAY);
    let (shop, mail) = (
        Web::tls(&ca.good_for_days(90)),
        Web::tls(&ca.good_for_days(90)),
    );
    let mut scene = Scene::new();
    let pem = scene.sitemon.dir().join("bundle.pem");
    std::fs::write(&pem, ca.pem() + CUT_OFF).expect("written");
    scene.sitemon = scene
        .sitemon
        .env("SSL_CERT_FILE", &pem.display().to_string());
    let interval = "interval = \"1s\"\n";
    let more = site("shop", &shop.url("/"), interval)
        + &site("mail", &format!("tls://{}", mail.address()), interval);
    scene.sitemon.rewrite(&scene.config_with(&more));
    let ended = "The root certificate sitemon test CA in this machine's bundle ended 3 d ";
    for restarted in [false, true] {
        let mut running = scene.start();
        running.wait_stderr("bundle.pem: 1 of 2 certificates cannot be used (line ");
        if !restarted {
            let told = scene.wait_text(ended);
            let sites = told.text.split(". ").nth(1).expect("a sentence");
            assert!(sites.starts_with("2 sites rely on it: "), "{}", told.text);
            assert!(sites.contains("shop") && sites.contains("mail"), "{sites}");
        }
        let asked = shop.requests();
        shop.wait_requests(asked + 3);
        scene.ask("/status", "3 up");
        let warnings = running
            .wait_stderr("cannot be used")
            .matches("cannot be used")
            .count();
        assert_eq!(warnings, 1, "{}", running.stderr());
        running.terminate();
    }
    assert_eq!(scene.count("The root certificate"), 1);
    let out = scene.sitemon.command(&["check", "shop"]);
    assert_eq!(out.code, Some(0), "{out:?}");
    let root = "root sitemon test CA of this machine's bundle ended 3 d ago";
    assert!(out.stdout.contains(root), "{}", out.stdout);
}

#[test]
fn a_ca_file_that_is_sound_in_part_is_used_and_named() {
    let ca = TestCa::new();
    let secure = Web::tls(&ca.good_for_days(90));
    let sitemon = Sitemon::new("");
    let file = |name: &str, pem: String| {
        let path = sitemon.dir().join(name);
        std::fs::write(&path, pem).expect("written");
        format!("ca_file = \"{}\"", path.display())
    };
    let part = file("part.pem", ca.pem() + CUT_OFF);
    let marked = file("marked.pem", format!("\u{feff}{}", ca.pem()));
    let none = file("none.pem", CUT_OFF.to_owned());
    let tls = format!("tls://{}", secure.address());
    let sites = [
        site("https", &secure.url("/"), &part),
        site("tls", &tls, &part),
        site("marked", &secure.url("/"), &marked),
        site("none", &secure.url("/"), &none),
    ];
    sitemon.rewrite(&format!("[agent]\nstate = \"state\"\n{}", sites.concat()));
    let out = sitemon.command(&["check"]);
    for (name, state) in [
        ("https", "up"),
        ("tls", "up"),
        ("marked", "up"),
        ("none", "down"),
    ] {
        let mut lines = out.stdout.lines();
        let line = lines.find(|line| line.starts_with(&format!("{name} ")));
        let line = line.unwrap_or_else(|| panic!("no {name} in {}", out.stdout));
        assert!(line.contains(&format!("  {state} ")), "{line}");
    }
    let config = sitemon.command(&["config"]);
    let said = format!("{}{}", config.stdout, config.stderr);
    let lines: Vec<&str> = said.lines().filter(|l| l.contains(".pem")).collect();
    let begins = ca.pem().lines().count() + 1;
    assert_eq!(lines.len(), 2, "{said}");
    let unsound = format!("part.pem: 1 of 2 certificates cannot be used (line {begins}); ");
    assert!(lines[0].contains(&unsound), "{said}");
    let useless = "none.pem has no usable certificates; the checks of `none` fail until it has";
    assert!(lines[1].contains(useless), "{said}");
}

#[test]
fn telegram_is_reached_with_what_is_sound_in_the_machines_bundle() {
    let ca = TestCa::new();
    let api = Web::tls(&ca.good_for_days(90));
    for pem in [ca.pem() + CUT_OFF, CUT_OFF.to_owned() + &ca.pem()] {
        let config = BotApi::start().config().replace("http://", "https://");
        let (_, address) = config.split_once("https://").expect("an address");
        let address: String = address
            .chars()
            .take_while(|&c| c != '"' && c != '/')
            .collect();
        let blog = site("blog", "http://127.0.0.1:1/", "");
        let sitemon = Sitemon::new(&(config.replace(&address, &api.address()) + &blog));
        let bundle = sitemon.dir().join("bundle.pem");
        std::fs::write(&bundle, pem).expect("written");
        let sitemon = sitemon.env("SSL_CERT_FILE", &bundle.display().to_string());
        let asked = api.requests();
        let mut running = sitemon.run();
        running.wait_stderr("bundle.pem: 1 of 2 certificates cannot be used (line ");
        api.wait_requests(asked + 1);
        running.terminate();
        let seen = api.seen();
        assert!(seen.iter().all(|request| request.path().contains(TOKEN)));
    }
}

#[test]
fn an_ended_root_in_a_ca_file_degrades_its_site() {
    let ca = TestCa::until(SystemTime::now() - 3 * DAY);
    let secure = Web::tls(&ca.good_for_days(90));
    let sitemon = Sitemon::new("");
    let keys = format!("ca_file = \"{}\"", ca.write_pem(sitemon.dir()).display());
    let shop = site("shop", &secure.url("/"), &keys);
    sitemon.rewrite(&format!("[agent]\nstate = \"state\"\n{shop}"));
    let out = sitemon.command(&["check", "shop"]);
    assert!(out.stdout.contains("  degraded "), "{}", out.stdout);
    let root = "certificate ended 3 d ago";
    assert!(out.stdout.contains(root), "{}", out.stdout);
}
