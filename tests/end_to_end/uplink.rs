//! No false alerts: faults of the uplink, of DNS and of parents, in a network of each test's own.

use crate::support::bot_api::Sent;
use crate::support::lab::{Lab, TRIES};
use crate::support::listener::Listener;
use crate::support::namespace::{Cut, Network, in_own_network};
use std::time::{Duration, Instant};

/// Shortest time between two uplink probes.
const SHARED: Duration = Duration::from_secs(5);

fn two_elsewhere_one_here() -> Lab {
    Lab::new()
        .site("blog", Network::elsewhere(10))
        .site("shop", Network::elsewhere(11))
        .site("printer", Network::lan(20))
}

/// Waits for a notice like `📡 I was offline 14:03–14:20 (17 min)`.
#[track_caller]
fn wait_offline_message(lab: &Lab) -> Sent {
    let told = lab.wait_text("I was offline ");
    let (_, period) = told
        .latest()
        .split_once("I was offline ")
        .expect("as waited for");
    let form: String = period
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    assert!(form.starts_with("00:00–00:00 (0"), "{}", told.latest());
    assert!(period.trim_end().ends_with(')'), "{}", told.latest());
    told
}

/// The uplink fails, a local site fails, the uplink comes back, and a site beyond it really fails.
#[track_caller]
fn a_cut_line_is_told_as_such(network: &Network, cut: Cut) {
    let lab = two_elsewhere_one_here();
    let running = lab.start();
    network.cut(cut);
    lab.dies("printer");
    lab.wait_text("printer is down");
    lab.wait_states(|s| s["blog"] == "offline" && s["shop"] == "offline");
    lab.wait_state("printer", "down");
    let status = lab.ask("/status");
    assert!(status.contains("offline"), "{status}");
    network.mend();
    wait_offline_message(&lab);
    lab.wait_states(|s| s["blog"] == "up" && s["shop"] == "up");

    let asked = lab.web("shop").requests();
    lab.fails("shop");
    lab.wait_text("shop is down: HTTP 503");
    assert!(lab.web("shop").requests() >= asked + TRIES, "judged afresh");
    lab.wait_checks(&["blog", "shop"], 2);
    assert_eq!(lab.count("blog is down"), 0);
    assert_eq!(lab.count("shop is down"), 1);
    assert_eq!(lab.count("I was offline"), 1);
    lab.end(running);
}

#[test]
fn a_line_on_which_packets_vanish_is_not_the_sites_fault() {
    in_own_network(|network| a_cut_line_is_told_as_such(network, Cut::Silent));
}

#[test]
fn a_line_without_a_route_is_not_the_sites_fault() {
    in_own_network(|network| a_cut_line_is_told_as_such(network, Cut::Unreachable));
}

#[test]
fn an_outage_goes_on_over_a_cut_and_its_end_is_told_after() {
    in_own_network(|network| {
        // Only a failure of a site that was up starts an uplink probe.
        let lab = two_elsewhere_one_here().site("news", Network::elsewhere(12));
        let running = lab.start();
        lab.fails("blog");
        lab.fails("shop");
        lab.wait_states(|s| s["blog"] == "down" && s["shop"] == "down");
        network.cut(Cut::Silent);
        lab.wait_states(|s| s["blog"] == "offline" && s["shop"] == "offline");
        assert_eq!(lab.count("again"), 0);
        lab.works("shop");
        network.mend();
        wait_offline_message(&lab);
        lab.wait_text("shop is up again");
        lab.wait_states(|s| s["blog"] == "down" && s["shop"] == "up");
        lab.wait_checks(&["blog", "shop"], 2);
        let of_blog = |m: &Sent| m.latest().contains("blog is down");
        let told = lab.api.messages().into_iter().filter(of_blog).count();
        assert_eq!((told, lab.count("blog is up")), (1, 0));
        lab.end(running);
    });
}

#[test]
fn the_period_is_told_when_telegram_is_back_too() {
    in_own_network(|network| {
        let lab = two_elsewhere_one_here();
        let running = lab.start();
        lab.api.pause();
        network.cut(Cut::Unreachable);
        lab.dies("printer");
        lab.wait_states(|s| s["blog"] == "offline" && s["printer"] == "down");
        network.mend();
        lab.wait_states(|s| s["blog"] == "up" && s["shop"] == "up");
        lab.api.resume();
        wait_offline_message(&lab);
        lab.wait_text("printer is down");
        lab.wait_checks(&["blog", "shop"], 2);
        assert_eq!(lab.count("blog is down") + lab.count("shop is down"), 0);
        lab.end(running);
    });
}

#[test]
fn an_offline_period_is_remembered_over_a_power_cut() {
    in_own_network(|network| {
        let lab = two_elsewhere_one_here();
        let mut first = lab.start();
        network.cut(Cut::Unreachable);
        lab.wait_states(|s| s["blog"] == "offline" && s["shop"] == "offline");
        first.kill9();
        let second = lab.launch();
        network.mend();
        lab.wait_states(|s| s["blog"] == "up" && s["shop"] == "up");
        wait_offline_message(&lab);
        lab.wait_checks(&["blog", "shop"], 2);
        assert_eq!(lab.count("is down"), 0);
        lab.end(second);
    });
}

#[test]
fn a_site_that_dies_while_the_line_is_up_is_told_after_a_look_at_the_line() {
    in_own_network(|_| {
        let lab = two_elsewhere_one_here();
        let running = lab.start();
        assert_eq!(lab.asked(), 0, "nothing has failed yet");
        let died = Instant::now();
        lab.fails("blog");
        lab.wait_text("blog is down: HTTP 503");
        let (asked, looks) = (lab.asked(), most_looks(died));
        assert!((1..=looks).contains(&asked), "{asked} of at most {looks}");
        lab.wait_checks(&["blog"], 5);
        assert_eq!(lab.asked(), asked, "a site that is down asks no more");
        lab.works("blog");
        lab.wait_text("blog is up again");
        lab.end(running);
    });
}

/// Returns the unsolicited messages: all but the answers to `/status`.
fn unasked(lab: &Lab) -> Vec<String> {
    let messages = lab.api.messages();
    let texts = messages.iter().map(|m| m.latest().to_owned());
    texts.filter(|text| !text.contains(" up")).collect()
}

/// Returns the most probes that may have begun since, one of them at once.
fn most_looks(since: Instant) -> u64 {
    since.elapsed().as_secs() / SHARED.as_secs() + 1
}

#[test]
fn twenty_sites_that_die_with_the_line_ask_it_together() {
    in_own_network(|network| {
        let sites = 2..22;
        let lab = sites.clone().fold(Lab::new(), |lab, n| {
            lab.site(&format!("s{n}"), Network::elsewhere(n))
        });
        let running = lab.start();
        // Without a route no packet leaves for the sites. The target refuses, which the kernel
        // counts.
        network.cut(Cut::Unreachable);
        network.add(Network::uplink(1));
        lab.target.close();
        let (before, cut) = (Network::failed_connects(), Instant::now());
        lab.wait_states(|states| states.values().all(|s| s == "offline"));
        while cut.elapsed() < 3 * SHARED {
            // The test counts the probes of this time.
            std::thread::sleep(Duration::from_millis(100));
        }
        let (asked, looks) = (Network::failed_connects() - before, most_looks(cut));
        // The first probe may have come before the target refused.
        assert!((1..=looks).contains(&asked), "{asked} of at most {looks}");
        assert_eq!(lab.count("down"), 0);
        network.remove(Network::uplink(1));
        network.mend();
        lab.target.open_again();
        wait_offline_message(&lab);
        lab.wait_states(|states| states.values().all(|s| s == "up"));
        assert_eq!(lab.count("down"), 0);
        assert_eq!(lab.api.messages().len(), 1);
        lab.end(running);
    });
}

#[test]
fn without_uplink_the_line_is_never_asked_and_the_site_goes_down() {
    in_own_network(|network| {
        let lab = two_elsewhere_one_here().uplink(Some("uplink = []"));
        let defaults = default_targets();
        let running = lab.start();
        network.cut(Cut::Unreachable);
        lab.wait_text("blog is down");
        lab.wait_text("shop is down");
        lab.wait_states(|s| s["blog"] == "down" && s["shop"] == "down");
        network.mend();
        lab.wait_states(|s| s["blog"] == "up" && s["shop"] == "up");
        assert_eq!(defaults.counts().accepted + lab.asked(), 0);
        assert_eq!(lab.count("offline"), 0);
        lab.end(running);
    });
}

/// Listens on both default targets.
fn default_targets() -> Listener {
    Listener::start_at([1, 1, 1, 1].into(), Some(443), |_, _| {})
}

#[test]
fn without_the_key_two_well_known_addresses_are_asked() {
    in_own_network(|_| {
        let lab = two_elsewhere_one_here().uplink(None);
        let defaults = default_targets();
        let running = lab.start();
        lab.fails("blog");
        lab.wait_text("blog is down");
        assert!((1..=4).contains(&defaults.counts().accepted));
        lab.end(running);
    });
}

#[test]
fn sites_on_this_network_are_judged_without_a_look_at_the_line() {
    in_own_network(|network| {
        let lab = Lab::new()
            .site("here", [127, 0, 0, 1].into())
            .site("printer", Network::lan(20));
        let running = lab.start();
        let failed = Network::failed_connects();
        network.cut(Cut::Silent);
        lab.fails("here");
        lab.fails("printer");
        lab.wait_text("here is down");
        lab.wait_text("printer is down");
        lab.wait_checks(&["here", "printer"], 3);
        assert_eq!((lab.asked(), Network::failed_connects()), (0, failed));
        network.mend();
        lab.end(running);
    });
}

#[test]
fn a_line_that_comes_and_goes_is_one_message() {
    in_own_network(|network| {
        let lab = two_elsewhere_one_here();
        let running = lab.start();
        let sends = lab.api.calls("sendMessage");
        for edits in 0..3 {
            network.cut(Cut::Unreachable);
            lab.wait_states(|s| s["blog"] == "offline" && s["shop"] == "offline");
            network.mend();
            lab.api
                .wait_message(|m| m.latest().contains("I was offline ") && m.edits.len() >= edits);
        }
        lab.wait_states(|s| s["blog"] == "up" && s["shop"] == "up");
        lab.wait_checks(&["blog", "shop"], 2);
        assert_eq!(lab.api.calls("sendMessage"), sends + 1);
        assert_eq!(lab.api.messages()[0].edits.len(), 2);
        lab.end(running);
    });
}

#[test]
fn a_line_that_flickers_is_at_most_one_message_and_no_outage() {
    in_own_network(|network| {
        // All tries of a site would take four seconds and more.
        let retry = "retry = \"3s\"";
        let lab = Lab::new()
            .site_with("blog", Network::elsewhere(10), retry)
            .site_with("shop", Network::elsewhere(11), retry);
        let running = lab.start();
        for _ in 0..4 {
            network.cut(Cut::Silent);
            // The flicker itself: some of the cuts go unseen, so there is no event to wait for.
            std::thread::sleep(Duration::from_secs(2));
            network.mend();
            // The second check begins when the first has ended the streak.
            lab.wait_checks(&["blog", "shop"], 2);
        }
        lab.wait_all_up();
        lab.wait_checks(&["blog", "shop"], 2);
        let told = unasked(&lab);
        assert_eq!(lab.count("is down"), 0);
        assert!(told.len() <= 1, "{told:#?}");
        lab.end(running);
    });
}

fn a_router_and_what_lies_behind() -> Lab {
    let behind = |lab: Lab, name: &str, n, after: &str| {
        lab.site_with(name, Network::elsewhere(n), &format!("after = \"{after}\""))
    };
    let lab = Lab::new().site("router", Network::lan(1));
    let lab = behind(lab, "blog", 10, "router");
    let lab = behind(lab, "shop", 11, "router");
    behind(lab, "till", 12, "shop")
}

#[test]
fn what_lies_behind_a_dead_router_is_unreachable_and_silent() {
    in_own_network(|_| {
        let lab = a_router_and_what_lies_behind();
        let running = lab.start();
        let all = ["router", "blog", "shop", "till"];
        for name in all {
            lab.fails(name);
        }
        let told = lab.wait_text("router is down: HTTP 503");
        assert!(told.latest().contains("3 sites"), "{}", told.latest());
        let behind = ["blog", "shop", "till"];
        lab.wait_states(|s| behind.iter().all(|name| s[*name] == "unreachable"));
        lab.wait_state("router", "down");
        lab.wait_checks(&["router"], 3);
        assert_eq!(lab.api.messages().len(), 1);

        // Of the sites behind the router, only `blog` is really down.
        for name in ["router", "shop", "till"] {
            lab.works(name);
        }
        lab.wait_text("router is up again");
        let asked = lab.web("blog").requests();
        lab.wait_text("blog is down: HTTP 503");
        assert!(lab.web("blog").requests() >= asked, "judged afresh");
        lab.wait_states(|s| s["shop"] == "up" && s["till"] == "up");
        lab.wait_checks(&all, 2);
        let of_the_living = |m: &Sent| m.latest().contains("shop") || m.latest().contains("till");
        assert!(!lab.api.messages().iter().any(of_the_living));
        lab.end(running);
    });
}

#[test]
fn a_router_that_dies_and_takes_the_line_with_it_is_the_one_outage() {
    in_own_network(|network| {
        let lab = a_router_and_what_lies_behind().site("news", Network::elsewhere(13));
        let running = lab.start();
        network.cut(Cut::Silent);
        lab.dies("router");
        let told = lab.wait_text("router is down");
        assert!(told.latest().contains("3 sites"), "{}", told.latest());
        let behind = ["blog", "shop", "till"];
        lab.wait_states(|s| behind.iter().all(|name| s[*name] == "unreachable"));
        lab.wait_state("news", "offline");
        network.mend();
        lab.lives_again("router");
        lab.wait_text("router is up again");
        wait_offline_message(&lab);
        lab.wait_states(|states| states.values().all(|s| s == "up"));
        lab.wait_checks(&["blog", "shop", "till", "news"], 2);
        assert_eq!(lab.count("is down"), 1);
        assert_eq!(lab.api.messages().len(), 3, "{:#?}", lab.api.messages());
        lab.end(running);
    });
}

#[test]
fn a_site_that_dies_alone_behind_a_living_router_is_told() {
    in_own_network(|_| {
        let lab = a_router_and_what_lies_behind();
        let running = lab.start();
        lab.fails("shop");
        lab.fails("till");
        let told = lab.wait_text("shop is down: HTTP 503");
        assert!(told.latest().contains("1 site"), "{}", told.latest());
        lab.wait_states(|s| s["till"] == "unreachable" && s["blog"] == "up");
        lab.works("till");
        lab.works("shop");
        lab.wait_text("shop is up again");
        lab.wait_states(|states| states.values().all(|s| s == "up"));
        assert_eq!((lab.count("till is"), lab.count("blog is")), (0, 0));
        lab.end(running);
    });
}

#[test]
fn names_that_no_server_resolves_are_one_message_and_no_outage() {
    in_own_network(|network| {
        let lab = Lab::new()
            .named_site("blog", Network::elsewhere(10), "blog.example.net")
            .named_site("shop", Network::elsewhere(11), "shop.example.net")
            .site("news", Network::elsewhere(12));
        let running = lab.launch();
        lab.wait_text("DNS on this network doesn't answer");
        lab.wait_states(|s| s["blog"] == "offline" && s["shop"] == "offline");
        lab.wait_state("news", "up");
        lab.wait_checks(&["news"], 3);
        assert_eq!(lab.count("DNS on this network doesn't answer"), 1);
        assert!(lab.asked() >= 1);

        network.resolve("blog.example.net", 10);
        network.resolve("shop.example.net", 11);
        lab.wait_states(|states| states.values().all(|s| s == "up"));
        lab.wait_checks(&["blog", "shop", "news"], 2);
        assert_eq!(lab.count("is down"), 0);
        lab.end(running);
    });
}

#[test]
fn names_that_are_back_are_said_to_be_and_nothing_else() {
    in_own_network(|network| {
        let lab = Lab::new()
            .named_site("blog", Network::elsewhere(10), "blog.example.net")
            .site("news", Network::elsewhere(12));
        let running = lab.launch();
        lab.wait_status("1 offline");
        network.resolve("blog.example.net", 10);
        lab.wait_all_up();
        lab.wait_text("DNS on this network answers again, after ");
        let told = unasked(&lab);
        let of_names = |text: &String| text.contains("DNS on this network ");
        assert!(told.len() == 2 && told.iter().all(of_names), "{told:#?}");
        lab.end(running);
    });
}

#[test]
fn a_start_without_any_network_is_one_message_when_it_is_there() {
    in_own_network(|network| {
        let lab = Lab::new()
            .named_site("blog", Network::elsewhere(10), "blog.example.net")
            .site("news", Network::elsewhere(12));
        network.cut(Cut::Unreachable);
        let running = lab.launch();
        lab.wait_states(|states| states.values().all(|s| s == "offline"));
        network.resolve("blog.example.net", 10);
        network.mend();
        wait_offline_message(&lab);
        lab.wait_all_up();
        lab.wait_checks(&["blog", "news"], 2);
        let told = unasked(&lab);
        assert_eq!(told.len(), 1, "{told:#?}");
        lab.end(running);
    });
}
