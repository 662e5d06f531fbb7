//! Commands and their replies.

use super::world::*;
use crate::monitor::Event;
use crate::monitor::outbox::message::Update;
use crate::monitor::render::text;
use crate::monitor::site::outcome::{Expiry, Phases};
use crate::monitor::site::state::State;
use std::time::Duration;

fn three() -> World {
    let mut sites: Vec<_> = ["blog", "blog-api", "shop"]
        .iter()
        .map(|n| site(n))
        .collect();
    sites[2].group = Some("money".into());
    World::new(sites)
}

#[test]
fn status_counts_and_names_what_is_not_up_worst_first() {
    let mut world = three().running_for(70);
    assert_eq!(world.ask("/status"), ["<b>3 up</b>"]);
    world.fate_for("shop", bad(), 120);
    world.ask("/pause blog-api");
    assert_eq!(
        world.ask("/status"),
        ["<b>1 up, 1 down, 1 paused</b>\n\
          🔴 <b>shop</b> for 1 min 5 s: HTTP 503, wanted 200-299\n\
          ⏸ <b>blog-api</b> is paused"]
    );
    assert_eq!(
        world.ask("/status money"),
        ["<b>0 up, 1 down</b>\n🔴 <b>shop</b> for 1 min 5 s: HTTP 503, wanted 200-299"]
    );
    assert_eq!(
        world.ask("/status nonsense"),
        ["There is neither a site nor a group <b>nonsense</b>. /list shows all."]
    );
}

#[test]
fn status_of_hundreds_of_troubled_sites_is_one_screen() {
    let sites = (0..500).map(|i| site(&format!("s{i}"))).collect();
    let mut world = World::new(sites);
    let answer = world.ask("/status").remove(0);
    assert_eq!(answer.lines().count(), 22);
    assert!(answer.ends_with("… and 480 more: /list"));
}

#[test]
fn list_shows_state_and_response_time() {
    let mut world = three().running_for(70);
    world.fate_for("shop", bad(), 90);
    let expected = "🟢 <b>blog</b> 40 ms\n🟢 <b>blog-api</b> 40 ms\n🔴 <b>shop</b> down";
    assert_eq!(world.ask("/list"), [expected]);
    assert_eq!(world.ask("/sites money"), ["🔴 <b>shop</b> down"]);
}

#[test]
fn a_long_list_comes_in_several_messages() {
    let sites = (0..1000)
        .map(|i| site(&format!("a-rather-long-name-{i}")))
        .collect();
    let mut world = World::new(sites);
    let answers = world.ask("/list");
    assert!(answers.len() > 5);
    assert!(
        answers
            .iter()
            .all(|a| text::units(a) <= text::MESSAGE_UNITS)
    );
}

#[test]
fn site_tells_all_about_one() {
    let mut world = three();
    let mut outcome = good(42);
    outcome.address = Some([203, 0, 113, 5].into());
    outcome.phases = Some(Phases {
        dns: Duration::from_millis(3),
        connect: Duration::from_millis(9),
        tls: Duration::from_millis(18),
        first_byte: Duration::from_millis(11),
        total: Duration::from_millis(42),
        reused: false,
    });
    world.fate_for("shop", outcome, 70);
    assert_eq!(
        world.ask("/site shop"),
        ["🟢 <b>shop</b> has been up for 25 s\n\
          https://shop.example/\n\
          Group: money\n\
          Last check: 42 ms from 203.0.113.5, 25 s ago\n\
          Phases: dns 3 ms, connect 9 ms, tls 18 ms, first byte 11 ms\n\
          Uptime: not known yet\n\
          Next check in 35 s, every 1 min"]
    );
}

#[test]
fn history_shows_the_last_ten_newest_first() {
    let mut world = World::of(&["blog"]);
    assert_eq!(
        world.ask("/history blog"),
        ["<b>blog</b> has not been checked yet."]
    );
    world.pass(650);
    world.fate_for("blog", bad(), 20);
    let answer = world.ask("/history blog").remove(0);
    let lines: Vec<&str> = answer.lines().collect();
    assert_eq!(lines.len(), 11);
    assert_eq!(
        lines[1],
        "❌ 10 s ago · up · no answer · HTTP 503, wanted 200-299"
    );
    assert_eq!(lines[2], "✅ 1 min 10 s ago · up · 40 ms");
}

#[test]
fn incidents_are_listed_open_ones_first() {
    let mut world = three();
    assert_eq!(world.ask("/incidents"), ["No incident is known."]);
    world.fate_for("blog", bad(), 60);
    world.fate("shop", bad());
    world.fate_for("blog", good(40), 120);
    let answer = world.ask("/incidents").remove(0);
    let lines: Vec<&str> = answer.lines().collect();
    assert!(lines[0].starts_with("🔴 #2 <b>shop</b> for "), "{answer}");
    assert!(
        lines[1].starts_with("⚪ #1 <b>blog</b> lasted "),
        "{answer}"
    );
    // The world starts at 08:00.
    assert!(lines[0].contains(" (since 08:0"), "{answer}");
    assert!(lines[1].contains(" ago (08:0"), "{answer}");
    assert!(lines[1].contains("–08:0"), "{answer}");
    assert_eq!(
        world.ask("/incidents blog-api"),
        ["No incident of <b>blog-api</b> is known."]
    );
}

#[test]
fn an_exact_name_wins_then_a_group_then_a_unique_part() {
    let mut world = three().running_for(70);
    assert!(world.ask("/site blog")[0].contains("<b>blog</b> has been up"));
    assert!(world.ask("/site SHO")[0].contains("<b>shop</b> has been up"));
    assert_eq!(
        world.ask("/site blo"),
        ["<b>blo</b> fits 2 sites. Which one?"]
    );
    assert_eq!(
        world.ask("/pause x<y"),
        ["There is no site <b>x&lt;y</b>. /list shows all."]
    );
    for (command, wrong) in [
        ("/pause x", "There is no site <b>x</b>. /list shows all."),
        (
            "/check x",
            "There is neither a site nor a group <b>x</b>. /list shows all.",
        ),
        (
            "/pause shpo",
            "There is no site <b>shpo</b>. Did you mean <b>shop</b>?",
        ),
        (
            "/check shpo",
            "There is neither a site nor a group <b>shpo</b>. Did you mean <b>shop</b>?",
        ),
        (
            "/check mony",
            "There is neither a site nor a group <b>mony</b>. Did you mean the group <b>money</b>?",
        ),
        (
            "/pause mony",
            "There is no site <b>mony</b>. /list shows all.",
        ),
    ] {
        assert_eq!(world.ask(command), [wrong]);
    }
    assert_eq!(
        world.ask("/pause money"),
        ["<b>money</b> is a group, and this takes one site. Which one?"]
    );
    assert_eq!(
        world.ask("/mute money 2h"),
        ["🔕 <b>shop</b> is muted for 2 h."]
    );
}

#[test]
fn check_reports_every_site_in_one_message() {
    let mut world = three().running_for(70);
    world.fate("blog-api", bad());
    assert_eq!(
        world.ask("/check"),
        ["Checking 3 sites …\n<code>░░░░░░░░░░</code> 0 of 3"]
    );
    world.pass(3);
    let (_, last) = world.sent.last().cloned().expect("an edit");
    assert_eq!(last.edit, Some(101));
    assert_eq!(
        last.html,
        "<b>3 sites checked</b> in 40 ms: 2 fine, 1 failed\n\
         ❌ <b>blog-api</b> HTTP 503, wanted 200-299\n\
         ✅ <b>blog</b> 40 ms\n\
         ✅ <b>shop</b> 40 ms"
    );
    assert_eq!(world.admitted, 0);
}

#[test]
fn a_check_counts_towards_down() {
    let mut world = World::of(&["blog"]).running_for(5);
    world.fate("blog", bad());
    for _ in 0..3 {
        world.ask("/check blog");
        world.pass(1);
    }
    assert_eq!(world.state("blog"), State::Down);
}

#[test]
fn at_most_two_checks_run_and_the_others_are_told_their_place() {
    let names = ["a", "b", "c", "d", "e"];
    let mut world = World::of(&names);
    for name in names {
        world.fate_lasting(name, hang(), Duration::from_secs(10));
    }
    world.pass(1);
    let mut said = Vec::new();
    for name in names {
        said.extend(world.ask(&format!("/check {name}")));
    }
    assert_eq!(
        said,
        [
            "Checking <b>a</b> …",
            "Checking <b>b</b> …",
            "1st in the queue: <b>c</b>",
            "2nd in the queue: <b>d</b>",
            "3rd in the queue: <b>e</b>",
        ]
    );
    world.pass(60);
    assert_eq!(world.most_admitted, 2);
    assert_eq!(world.admitted, 0);
    let done = world
        .sent
        .iter()
        .filter(|(_, m)| m.html.starts_with("❌"))
        .count();
    assert_eq!(done, 5);
}

#[test]
fn the_same_check_asked_twice_is_joined() {
    let mut world = World::of(&["blog"]);
    world.fate_lasting("blog", good(5000), Duration::from_secs(5));
    world.ask("/check blog");
    let second = world.ask("/check");
    assert!(
        second[0].starts_with("Joined the check that is under way."),
        "{second:?}"
    );
    world.pass(10);
    assert_eq!(world.started.len(), 1);
    let results = world
        .sent
        .iter()
        .filter(|(_, m)| m.html == "✅ <b>blog</b> 5.00 s")
        .count();
    assert_eq!(results, 2);
}

#[test]
fn check_of_a_paused_site_says_so_and_ends() {
    let mut world = World::of(&["blog"]);
    world.ask("/pause blog");
    world.ask("/check blog");
    world.pass(1);
    assert_eq!(
        world.sent.last().map(|(_, m)| m.html.as_str()),
        Some("⏸ <b>blog</b> is paused")
    );
    assert_eq!(world.admitted, 0);
}

#[test]
fn a_flood_of_checks_is_bounded() {
    let names: Vec<String> = (0..60).map(|i| format!("site{i:02}")).collect();
    let mut world = World::new(names.iter().map(|n| site(n)).collect());
    for name in &names {
        world.fate_lasting(name, hang(), Duration::from_secs(10));
    }
    let mut refused = 0;
    for name in &names {
        let said = world.ask(&format!("/check {name}"));
        refused += usize::from(said[0].contains("wait already"));
    }
    assert_eq!(refused, 60 - 2 - 20);
}

#[test]
fn ack_of_a_number_that_is_over_or_unknown_says_so() {
    let mut world = World::of(&["blog"]);
    assert_eq!(world.ask("/ack"), ["No incident is open."]);
    assert_eq!(
        world.ask("/ack 9"),
        ["There is no incident #9. /incidents lists them."]
    );
    world.fate_for("blog", bad(), 60);
    world.fate_for("blog", good(40), 60);
    assert_eq!(world.ask("/ack 1"), ["#1 is over already."]);
}

#[test]
fn strangers_get_nothing_and_the_log_names_them_once_a_minute() {
    let access = access_for_users(&[CHAT], &[1]);
    let mut world = World::with(vec![site("blog")], access);
    for _ in 0..3 {
        assert!(world.ask_from(666, Some(6), "/status").is_empty());
        assert!(world.ask_from(CHAT, Some(2), "/pause blog").is_empty());
        assert!(world.ask_from(CHAT, None, "/pause blog").is_empty());
    }
    assert_ne!(world.state("blog"), State::Paused);
    world.pass(300);
    let named = world.logs.iter().filter(|l| l.contains("no answer for"));
    let named: Vec<&String> = named.collect();
    assert_eq!(named.len(), 2, "{named:?}");
    assert!(named[0].contains("user 6 in chat 666"), "{named:?}");
    assert!(named[1].contains(&format!("no user in chat {CHAT}")));
    assert!(named[1].contains("within a minute 7 more messages, of 2 chats in all"));
    assert!(!world.ask("/status").is_empty());
}

#[test]
fn commands_from_before_a_long_absence_are_listed_and_not_done() {
    let mut world = World::of(&["blog"]);
    let old = world.now().wall - 720;
    world.write(CHAT, Some(1), "/pause blog", old);
    world.write(CHAT, Some(1), "/mute <b>", old);
    world.pass(2);
    assert_eq!(
        world.received(),
        [
            "I was away. Too old to carry out:\n/pause blog · 12 min ago\n/mute &lt;b&gt; · 12 min ago"
        ]
    );
    assert_ne!(world.state("blog"), State::Paused);
}

#[test]
fn an_update_that_comes_twice_is_obeyed_once() {
    let mut world = World::of(&["blog"]);
    world.ask("/pause blog");
    world.ask("/resume blog");
    let again = Update {
        id: 1,
        content: written(CHAT, 1, "/pause blog", world.now().wall),
    };
    world.feed(Event::Update(again));
    assert_ne!(world.state("blog"), State::Paused);
}

#[test]
fn malformed_updates_only_move_the_offset() {
    let mut world = World::of(&["blog"]);
    world.feed(Event::Update(Update {
        id: 77,
        content: None,
    }));
    assert_eq!(world.monitor.last_update(), Some(77));
    assert_eq!(world.received(), Vec::<String>::new());
}

#[test]
fn in_a_group_other_bots_commands_are_left_alone() {
    let access = access_for(&[GROUP]);
    let mut world = World::with(vec![site("blog")], access);
    world.feed(Event::Bot {
        username: "site_bot".into(),
    });
    assert!(world.ask_from(GROUP, Some(1), "/frobnicate").is_empty());
    assert!(
        world
            .ask_from(GROUP, Some(1), "/status@other_bot")
            .is_empty()
    );
    assert!(world.ask_from(GROUP, Some(1), "good morning").is_empty());
    assert_eq!(world.ask_from(GROUP, Some(1), "/status@site_bot").len(), 1);
}

#[test]
fn help_and_start_list_the_commands() {
    let mut world = World::of(&["blog"]);
    let help = world.ask("/help");
    assert_eq!(world.ask("/start"), help);
    assert!(help[0].contains("/mute · no alerts for a while: [name] [30m 1h 2d]"));
    assert_eq!(
        world.ask("/frob"),
        ["I do not know that command. /help lists mine."]
    );
    assert_eq!(world.ask("/pause"), ["Which site? Write /pause NAME."]);
}

#[test]
fn stats_are_measured_and_answered() {
    let mut world = World::of(&["blog"]).running_for(130);
    let stats = world.ask("/stats").remove(0);
    assert!(stats.contains("Checks done: 3, of 1 site"), "{stats}");
}

#[test]
fn the_bar_of_a_check_moves_within_the_limits_of_the_chat() {
    for (chat, pause) in [(CHAT, 1), (GROUP, 4)] {
        let names: Vec<String> = (0..30).map(|i| format!("s{i:02}")).collect();
        let access = access_for(&[chat]);
        let mut world = World::with(names.iter().map(|n| site(n)).collect(), access);
        for (i, name) in (1..).zip(&names) {
            world.fate_lasting(name, bad(), Duration::from_millis(i * 400));
        }
        let asked = world.clock / 1000;
        world.ask_from(chat, Some(1), "/check");
        world.pass(13);
        let edits: Vec<&(i64, crate::monitor::outbox::message::Message)> = world
            .sent
            .iter()
            .filter(|(_, m)| m.edit.is_some())
            .collect();
        let (result, bars) = edits.split_last().expect("edits");
        let mut last = asked;
        for (at, bar) in bars {
            assert!(at - last >= pause, "{at} after {last}: {}", bar.html);
            assert!(
                bar.html.contains("<code>") && bar.html.contains(" failed"),
                "{}",
                bar.html
            );
            last = *at;
        }
        assert_eq!(bars.len() as i64, 11 / pause, "as often as may be");
        assert!(
            result
                .1
                .html
                .starts_with("<b>30 sites checked</b> in 12.00 s: 0 fine, 30 failed")
        );
        assert_eq!(world.shown.len(), 1, "all in one message");
    }
}

#[test]
fn a_check_whose_site_goes_while_it_waits_gives_its_permit_back() {
    let mut world = World::of(&["a", "b", "c"]).running_for(70);
    for name in ["a", "b"] {
        world.fate_lasting(name, good(40), Duration::from_secs(90));
        world.ask(&format!("/check {name}"));
    }
    world.ask("/check c");
    reload(&mut world, vec![site("a"), site("b")], false);
    world.pass(300);
    assert_eq!((world.admitted, world.most_admitted), (0, 2));
}

#[test]
fn status_shows_what_is_muted_acknowledged_and_flapping() {
    let mut world = World::of(&["blog", "shop", "wiki"]).running_for(60);
    world.fate_for("blog", bad(), 120);
    world.ask("/ack 1");
    world.ask("/mute shop");
    let status = world.ask("/status").concat();
    let counts = "<b>2 up, 1 down</b>, 1 muted 🔕, 1 acknowledged 👍\n🔴 <b>blog</b> for ";
    assert!(status.starts_with(counts), "{status}");
    assert!(status.ends_with("HTTP 503, wanted 200-299 👍"), "{status}");
    for _ in 0..4 {
        world.fate_for("wiki", bad(), 120);
        world.fate_for("wiki", good(40), 120);
    }
    let status = world.ask("/status").concat();
    assert!(
        status.starts_with("<b>2 up, 1 down, 1 flapping</b>"),
        "{status}"
    );
    assert!(status.contains("\n🟠 <b>wiki</b> is flapping"), "{status}");
    world.fate_for("wiki", bad(), 120);
    let status = world.ask("/status").concat();
    let line = status
        .lines()
        .find(|l| l.contains("wiki"))
        .unwrap_or_default();
    assert!(line.contains(", flapping: HTTP 503"), "{status}");
}

#[test]
fn what_is_no_command_gets_a_short_answer_in_private() {
    let mut world = World::with(vec![site("blog")], access_for(&[CHAT, GROUP])).running_for(60);
    let unknown = "I do not know that command. ";
    for (text, answer) in [
        ("/chek blog", format!("{unknown}Did you mean /check?")),
        ("/Satus", format!("{unknown}Did you mean /status?")),
        ("/frobnicate", format!("{unknown}/help lists mine.")),
        (
            "hello?",
            "I only understand commands. /help lists them.".into(),
        ),
        (
            "status please",
            "I only understand commands. Did you mean /status? /help lists them.".into(),
        ),
    ] {
        assert_eq!(world.ask(text), [answer], "{text}");
        assert!(world.ask_from(GROUP, Some(1), text).is_empty(), "{text}");
        world.pass(5);
    }
    for silent in ["/check@other_bot", " "] {
        assert!(world.ask(silent).is_empty(), "{silent}");
    }
    // Messages of a chat without access, and of the time before a long absence.
    assert!(world.ask_from(8, Some(8), "hello?").is_empty());
    world.received();
    let long_ago = world.now().wall - 3600;
    world.write(CHAT, Some(1), "hello?", long_ago);
    world.pass(5);
    assert_eq!(world.received(), [""; 0]);
}

#[test]
fn check_takes_several_names_and_a_name_with_blanks_wins() {
    let mut sites: Vec<_> = ["blog", "wiki", "my shop", "shop", "shop wiki blog"]
        .map(site)
        .into();
    sites[1].group = Some("docs".into());
    let mut world = World::new(sites).running_for(120);
    let mut checked = |line: &str| {
        world.received();
        world.ask(line);
        world.pass(2);
        let said = world.received().pop().unwrap_or_default();
        let names = said.lines().filter_map(|l| l.strip_prefix("✅ <b>"));
        let names = names.filter_map(|l| Some(l.split_once("</b>")?.0.to_owned()));
        (names.collect::<Vec<_>>().join(", "), said)
    };
    for (line, names) in [
        ("/check blog wiki", "blog, wiki"),
        ("/check WIKI blog  wiki", "blog, wiki"),
        ("/check my shop blog", "blog, my shop"),
        ("/check shop docs", "wiki, shop"),
        ("/check shop wiki blog", "shop wiki blog"),
        ("/check blog my", "blog, my shop"),
        ("/check my shop", "my shop"),
    ] {
        let (found, said) = checked(line);
        assert_eq!(found, names, "{line}: {said}");
    }
    for (line, part) in [
        (
            "/check blog nowhere",
            "neither a site nor a group <b>nowhere</b>",
        ),
        (
            "/check nowhere blog",
            "neither a site nor a group <b>nowhere blog</b>",
        ),
        ("/check my shpo", "Did you mean <b>my shop</b>?"),
    ] {
        let (_, said) = checked(line);
        assert!(said.contains(part), "{line}: {said}");
    }
}

#[test]
fn check_shows_what_is_degraded_between_what_failed_and_what_is_fine() {
    let slow = |name| crate::monitor::site::Site {
        slow: Some(Duration::from_millis(500)),
        ..site(name)
    };
    let mut ends = site("ends");
    ends.cert = Some(Duration::from_secs(14 * 86_400));
    let mut world = World::new(vec![site("blog"), slow("slow"), ends, site("shop")]);
    let expiry = Expiry::new(WALL + 5 * 86_400, "ends.example", "Acme", "RSA 2048");
    world.expiries.push_back(Ok(expiry));
    world.fate("slow", good(900));
    world.fate_for("shop", bad(), 120);
    world.received();
    world.ask("/check");
    world.pass(2);
    let said = world.received().pop().unwrap_or_default();
    assert_eq!(
        said,
        "<b>4 sites checked</b> in 900 ms: 1 fine, 2 degraded, 1 failed\n\
         ❌ <b>shop</b> HTTP 503, wanted 200-299\n\
         🟡 <b>slow</b> slow: 900 ms, limit 500 ms\n\
         🟡 <b>ends</b> certificate ends on 20 Jan 2027\n\
         ✅ <b>blog</b> 40 ms"
    );
}
