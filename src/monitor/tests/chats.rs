//! Real chats: groups that move, deleted messages, names as keyboards write them, and causes that
//! are similar.

use super::world::*;
use crate::monitor::Event;
use crate::monitor::outbox::message::{Content, Delivery, Press, Update};
use crate::monitor::site::outcome::{Failure, FailureKind, Outcome};
use std::time::Duration;

const SUPER: i64 = -1_001_234_567_890;

fn in_chats(chats: &[i64], names: &[&str]) -> World {
    let access = access_for(chats);
    World::with(names.iter().map(|n| site(n)).collect(), access)
}

fn moves(world: &mut World, from: i64, to: i64) {
    let content = Some(Content::Moved { from, to });
    let id = world.next_update;
    world.next_update += 1;
    world.feed(Event::Update(Update { id, content }));
}

/// Returns the sent messages as `chat: text`.
fn sent(world: &mut World) -> Vec<String> {
    let sent = std::mem::take(&mut world.sent);
    let sent = sent.into_iter();
    sent.map(|(_, m)| format!("{}: {}", m.chat, m.html))
        .collect()
}

#[test]
fn a_group_is_followed_by_its_service_message_commands_included() {
    let mut world = in_chats(&[GROUP], &["blog"]).running_for(70);
    // The service messages of the old chat and of the new one.
    moves(&mut world, GROUP, SUPER);
    moves(&mut world, GROUP, SUPER);
    let text = "Group -100 became -1001234567890: put the new id into `chats` of sitemon.conf.";
    assert_eq!(sent(&mut world), [format!("{SUPER}: ℹ️ {text}")]);
    let status = world.ask_from(SUPER, Some(1), "/status");
    assert_eq!(status.len(), 1);
    assert!(world.ask_from(GROUP, Some(1), "/status").is_empty());
    world.received();
    world.fate_for("blog", bad(), 120);
    let down = "🔴 <b>blog</b> is down: HTTP 503, wanted 200-299 (#1)";
    assert_eq!(sent(&mut world), [format!("{SUPER}: {down}")]);
    // The move is kept over a restart with the old configuration.
    let snapshot = world.monitor.snapshot(world.now());
    let mut next = in_chats(&[GROUP], &["blog"]);
    next.monitor.restore(&snapshot, next.now());
    next.next_update = world.next_update;
    assert_eq!(next.ask_from(SUPER, Some(1), "/status").len(), 1);
}

#[test]
fn a_group_that_is_not_ours_is_not_followed() {
    let mut world = in_chats(&[CHAT], &["blog"]);
    moves(&mut world, GROUP, SUPER);
    assert_eq!(sent(&mut world), [""; 0]);
    assert!(world.ask_from(SUPER, Some(1), "/status").is_empty());
}

#[test]
fn with_both_ids_in_the_file_everything_is_told_once() {
    for by_refusal in [false, true] {
        let mut world = in_chats(&[GROUP, SUPER], &["blog"]).running_for(70);
        if by_refusal {
            // The delivery to the new id succeeds before the one to the old id is refused.
            let sent = Delivery::Sent { message_id: 1 };
            world.deliveries = [sent, Delivery::Migrated { to: SUPER }].into();
        } else {
            moves(&mut world, GROUP, SUPER);
        }
        world.fate_for("blog", bad(), 120);
        let mut all = sent(&mut world);
        all.sort();
        let down = "🔴 <b>blog</b> is down: HTTP 503, wanted 200-299 (#1)";
        let notice =
            "ℹ️ Group -100 became -1001234567890: take -100 out of `chats` of sitemon.conf.";
        assert_eq!(
            all,
            [format!("{SUPER}: {notice}"), format!("{SUPER}: {down}")],
            "{by_refusal}"
        );
        world.fate_for("blog", good(40), 120);
        assert_eq!(sent(&mut world).len(), 1);
    }
}

/// Makes the deliveries to two chats fail for ten minutes.
fn unreachable(world: &mut World) {
    let later = telegram_fails(Some(600), "no answer");
    world.deliveries = [later.clone(), later].into();
}

#[test]
fn what_waits_for_both_ids_of_a_group_is_told_once_after_an_unclean_stop_too() {
    let mut first = in_chats(&[GROUP, SUPER], &["blog"]);
    first.fate_for("blog", bad(), 120);
    let snapshot = first.monitor.snapshot(first.now());
    for by_refusal in [false, true] {
        let mut world = in_chats(&[GROUP, SUPER], &["blog"]);
        world.wall = first.now().wall + 3600;
        world.next_update = first.next_update;
        world.monitor.restore(&snapshot, world.now());
        world.fate("blog", bad());
        unreachable(&mut world);
        world.pass(300);
        assert_eq!(sent(&mut world), [""; 0]);
        if by_refusal {
            // The delivery to the new id succeeds before the one to the old id is refused.
            let sent = Delivery::Sent { message_id: 1 };
            world.deliveries = [sent, Delivery::Migrated { to: SUPER }].into();
        } else {
            moves(&mut world, GROUP, SUPER);
        }
        world.pass(700);
        let all = sent(&mut world).join("\n");
        assert_eq!(all.matches("I was away").count(), 1, "{by_refusal}: {all}");
    }
}

#[test]
fn a_daily_summary_that_waits_for_both_ids_of_a_group_is_told_once() {
    let mut world = in_chats(&[GROUP, SUPER], &["blog"]);
    let access = world.monitor.bot.access().clone();
    let soon = (world.now().wall / 60 % 1440 + 2) as u16;
    let settings = crate::monitor::Settings {
        digest: Some(soon),
        ..settings(access.clone())
    };
    world.monitor = crate::monitor::Monitor::new(vec![site("blog")], settings, world.now(), 42);
    world.pass(70);
    unreachable(&mut world);
    world.pass(100);
    moves(&mut world, GROUP, SUPER);
    world.pass(700);
    let all = sent(&mut world).join("\n");
    assert_eq!(all.matches("📋").count(), 1, "{all}");
}

#[test]
fn an_outage_told_in_other_words_to_each_id_of_a_group_is_told_once_when_it_moves() {
    let mut behind = after("shop", "blog");
    behind.chats = Some(vec![SUPER]);
    let access = access_for(&[GROUP, SUPER]);
    let mut world = World::with(vec![site("blog"), behind], access).running_for(70);
    unreachable(&mut world);
    all(&mut world, &["blog", "shop"], bad());
    world.pass(300);
    assert_eq!(sent(&mut world), [""; 0]);
    moves(&mut world, GROUP, SUPER);
    world.pass(700);
    let all = sent(&mut world).join("\n");
    assert_eq!(all.matches("<b>blog</b> is down").count(), 1, "{all}");
    assert!(all.contains("1 site behind it"), "{all}");
}

#[test]
fn a_group_that_moved_twice_is_still_known_after_a_reload() {
    let mut world = in_chats(&[GROUP], &["blog"]);
    moves(&mut world, GROUP, SUPER);
    moves(&mut world, SUPER, SUPER - 1);
    reload_with(&mut world, &[GROUP]);
    world.received();
    assert_eq!(world.ask_from(SUPER - 1, Some(1), "/status").len(), 1);
    assert!(world.ask_from(SUPER, Some(1), "/status").is_empty());
}

/// Returns a world in which a refused alert reports the move before the updates do.
fn moved_by_refusal() -> World {
    let mut world = in_chats(&[GROUP], &["blog"]).running_for(70);
    world.deliveries = [Delivery::Migrated { to: SUPER }].into();
    world.fate_for("blog", bad(), 120);
    assert!(sent(&mut world).join("\n").contains("blog</b> is down"));
    world
}

#[test]
fn what_was_written_in_a_group_before_it_moved_is_answered_in_the_new_one() {
    for then in ["", "new id in the file", "restart"] {
        let mut world = moved_by_refusal();
        match then {
            "new id in the file" => reload_with(&mut world, &[SUPER]),
            "restart" => {
                let snapshot = world.monitor.snapshot(world.now());
                let (wall, next_update) = (world.now().wall, world.next_update);
                world = in_chats(&[GROUP], &["blog"]);
                (world.wall, world.next_update) = (wall, next_update);
                world.fate("blog", bad());
                world.monitor.restore(&snapshot, world.now());
            }
            _ => {}
        }
        sent(&mut world);
        let wall = world.now().wall;
        world.write(GROUP, Some(1), "/status", wall - 60);
        let fresh = sent(&mut world);
        let to_new = |t: &[String]| t.len() == 1 && t[0].starts_with(&format!("{SUPER}: "));
        assert!(to_new(&fresh), "{then}: {fresh:?}");
        world.write(GROUP, Some(1), "/ack", wall - 3000);
        moves(&mut world, GROUP, SUPER);
        world.pass(2);
        let mut stale = sent(&mut world);
        stale.retain(|text| !text.contains("last seen"));
        assert!(
            to_new(&stale) && stale[0].contains("Too old to carry out:\n/ack"),
            "{then}: {stale:?}"
        );
        assert!(world.ask_from(GROUP, Some(1), "/status").is_empty());
    }
}

#[test]
fn a_button_pressed_in_a_group_before_it_moved_changes_no_message_of_the_new_one() {
    let mut world = moved_by_refusal();
    let press = |data: &str| Press {
        chat: GROUP,
        user: Some(1),
        message_id: 5,
        html: Some("🔴 <b>blog</b> is down (#1)".into()),
        date: 0,
        data: data.into(),
        ..Press::default()
    };
    for (data, answer) in [
        ("!a1", "👍 acknowledged"),
        ("!a1", "#1 was acknowledged before."),
        ("!a77", "That is too old: #77 is over."),
        ("forged", "That is too old: I no longer know this button."),
    ] {
        assert_eq!(world.press(press(data)).as_deref(), Some(answer), "{data}");
    }
    world.pass(30);
    let edits = world.sent.iter().filter(|(_, m)| m.edit == Some(5));
    assert_eq!(edits.count(), 0);
    moves(&mut world, GROUP, SUPER);
    assert_eq!(world.press(press("!a1")), None);
}

#[test]
fn a_chat_that_was_never_ours_commands_nothing_when_it_moves() {
    let mut world = in_chats(&[CHAT, SUPER], &["blog"]);
    moves(&mut world, GROUP, SUPER);
    assert!(world.ask_from(GROUP, Some(1), "/status").is_empty());
}

#[test]
fn a_site_of_that_group_alone_moves_with_it() {
    let mut own = site("blog");
    own.chats = Some(vec![GROUP, SUPER]);
    let access = access_for(&[CHAT, GROUP]);
    let mut world = World::with(vec![own], access).running_for(70);
    moves(&mut world, GROUP, SUPER);
    world.received();
    world.fate_for("blog", bad(), 120);
    let all = sent(&mut world);
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(all[0].starts_with(&format!("{SUPER}: ")), "{all:?}");
}

#[test]
fn a_check_whose_message_is_deleted_goes_on_in_one_new_one() {
    let names: Vec<String> = (0..9).map(|n| format!("s{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::of(&names);
    for (n, name) in names.iter().enumerate() {
        world.fate_lasting(name, good(40), Duration::from_secs(2 * n as u64 + 1));
    }
    world.ask("/check");
    let first = world.shown.last().expect("a message").0;
    // The message is deleted: the next edit arrives as a new message, which later edits must
    // change.
    world.deleted = Some(first);
    world.pass(40);
    let ids: Vec<i64> = world.shown.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids.len(), 2, "{ids:?}");
    let (_, last) = world.shown.last().expect("a message");
    assert!(last.html.starts_with("<b>9 sites checked</b>"), "{last:?}");
}

#[test]
fn causes_are_grouped_as_values() {
    let names: Vec<String> = (0..40).map(|n| format!("s{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let all_down = |fate: &dyn Fn(usize) -> Outcome| {
        let mut world = World::of(&names).running_for(120);
        for (n, name) in names.iter().enumerate() {
            world.fate(name, fate(n));
        }
        world.pass(180);
        world.received().join("\n")
    };
    let text = "body lacks \"Powered by WordPress\"";
    let said = all_down(&|_| Outcome::failed(FailureKind::Body, text));
    let head = "🔴 <b>40 sites are down</b>: body lacks &quot;Powered by WordPress&quot;\n";
    assert!(said.starts_with(head), "{said}");
    // Texts with the same start are different causes.
    let said = all_down(&|n| {
        let text = format!("body lacks \"made by {n}\"");
        Outcome::failed(FailureKind::Body, text)
    });
    assert!(
        said.contains("made by 0") && said.contains("made by 5"),
        "{said}"
    );
    // A different address alone is no different cause.
    let said = all_down(&|n| Outcome {
        verdict: Err(Failure::of_server(
            FailureKind::Connect,
            "connection refused",
            format!("by 192.0.2.{n}:80"),
        )),
        ..good(1)
    });
    let head = "🔴 <b>40 sites are down</b>: connection refused\n";
    assert!(said.starts_with(head), "{said}");
}

#[test]
fn an_exact_name_wins_over_a_time_and_however_it_is_composed() {
    let mut world = World::of(&["backup", "backup 24h", "Caf\u{e9}", "Cafe\u{301} 2"]);
    let asks = [
        ("/mute backup 24h", "🔕 <b>backup 24h</b> is muted for 1 h."),
        ("/mute Backup 24H", "🔕 <b>backup 24h</b> is muted for 1 h."),
        (
            "/mute backup 24h 2h",
            "🔕 <b>backup 24h</b> is muted for 2 h.",
        ),
        ("/mute backup 23h", "🔕 <b>backup</b> is muted for 23 h."),
        ("/mute Cafe\u{301}", "🔕 <b>Caf\u{e9}</b> is muted for 1 h."),
        (
            "/mute CAFE\u{301} 2h",
            "🔕 <b>Caf\u{e9}</b> is muted for 2 h.",
        ),
        (
            "/mute Caf\u{e9} 2 3 h",
            "🔕 <b>Cafe\u{301} 2</b> is muted for 3 h.",
        ),
        (
            "/pause cafe\u{301}",
            "⏸ <b>Caf\u{e9}</b> is paused. /resume starts it again.",
        ),
        ("/mute all", "🔕 Everything is muted for 1 h."),
    ];
    for (asked, answer) in asks {
        let said = world.ask(asked);
        assert_eq!(said, [answer], "{asked}");
    }
}

#[test]
fn letters_with_two_marks_and_syllables_are_composed_too() {
    let mut world = World::of(&["Ti\u{1ebf}ng Vi\u{1ec7}t", "\u{d55c}"]);
    let viet = "Tie\u{302}\u{301}ng Vie\u{323}\u{302}t";
    let hangul = "\u{1112}\u{1161}\u{11ab}";
    for (typed, name) in [(viet, "Ti\u{1ebf}ng Vi\u{1ec7}t"), (hangul, "\u{d55c}")] {
        let said = world.ask(&format!("/mute {typed}"));
        assert_eq!(said, [format!("🔕 <b>{name}</b> is muted for 1 h.")]);
    }
}

#[test]
fn what_waited_before_the_file_had_both_ids_is_told_when_the_group_moves() {
    let mut world = in_chats(&[GROUP], &["blog"]).running_for(70);
    let later = telegram_fails(Some(600), "no answer");
    world.deliveries = [later].into();
    world.fate_for("blog", bad(), 120);
    sent(&mut world);
    reload_with(&mut world, &[GROUP, SUPER]);
    moves(&mut world, GROUP, SUPER);
    world.pass(700);
    let all = sent(&mut world).join("\n");
    assert_eq!(all.matches("<b>blog</b> is down").count(), 1, "{all}");
}

#[test]
fn the_end_of_an_outage_that_was_told_before_the_group_moved_is_told_as_such() {
    let mut world = in_chats(&[GROUP], &["blog"]).running_for(70);
    world.fate_for("blog", bad(), 120);
    moves(&mut world, GROUP, SUPER);
    sent(&mut world);
    world.fate_for("blog", good(40), 120);
    let all = sent(&mut world);
    let up = format!("{SUPER}: 🟢 <b>blog</b> is up again after ");
    assert!(all.len() == 1 && all[0].starts_with(&up), "{all:?}");
}

#[test]
fn an_outage_that_waits_for_the_old_id_of_a_group_does_not_end_for_the_new_one_first() {
    for by_refusal in [false, true] {
        let mut world = in_chats(&[GROUP], &["blog"]).running_for(70);
        let later = chat_waits(Some(600), "429");
        world.deliveries = [later].into();
        world.fate_for("blog", bad(), 120);
        reload_with(&mut world, &[GROUP, SUPER]);
        world.fate_for("blog", good(40), 120);
        assert_eq!(sent(&mut world), [""; 0], "the new id was never told of it");
        if by_refusal {
            world.deliveries = [Delivery::Migrated { to: SUPER }].into();
        } else {
            moves(&mut world, GROUP, SUPER);
        }
        world.pass(900);
        let all = sent(&mut world).join("\n");
        assert_eq!(all.matches("<b>blog</b>").count(), 1, "{all}");
        assert!(all.contains("<b>blog</b> was down for "), "{all}");
    }
}

#[test]
fn a_chat_that_was_told_of_an_outage_is_told_of_its_end_though_another_one_waits_for_both() {
    for message_id in [0, 50] {
        let mut world = in_chats(&[GROUP, CHAT], &["blog"]).running_for(70);
        let later = chat_waits(Some(600), "429");
        world.deliveries = [later, Delivery::Sent { message_id }].into();
        world.fate_for("blog", bad(), 120);
        let down = sent(&mut world);
        assert!(down[0].starts_with(&format!("{CHAT}: 🔴")), "{down:?}");
        world.fate_for("blog", good(40), 120);
        let up = sent(&mut world);
        assert!(up[0].starts_with(&format!("{CHAT}: 🟢")), "{up:?}");
    }
}

/// Reloads the configuration with these chats.
fn reload_with(world: &mut World, chats: &[i64]) {
    let sites = world.monitor.sites.iter().map(|w| w.config().clone());
    world.feed(reloaded(sites, settings(access_for(chats))));
}

#[test]
fn a_chat_gets_no_end_of_what_began_before_it_was_added() {
    for (begin, end) in [(bad(), "up again after"), (good(900), "fast again after")] {
        let mut blog = site("blog");
        blog.slow = Some(Duration::from_millis(500));
        let access = access_for(&[CHAT]);
        let mut world = World::with(vec![blog], access).running_for(70);
        world.fate_for("blog", begin, 600);
        assert_eq!(sent(&mut world).len(), 1);
        reload_with(&mut world, &[CHAT, GROUP]);
        let snapshot = world.monitor.snapshot(world.now());
        world.fate_for("blog", good(40), 600);
        let all = sent(&mut world);
        assert!(
            all.len() == 1 && all[0].starts_with(&format!("{CHAT}: ")),
            "{all:?}"
        );
        assert!(all[0].contains(end), "{all:?}");
        // Later alerts go to both.
        world.fate_for("blog", bad(), 120);
        assert_eq!(sent(&mut world).len(), 2);
        if end.starts_with("up") {
            let mut next = in_chats(&[CHAT, GROUP], &["blog"]);
            next.wall = world.now().wall;
            next.monitor.restore(&snapshot, next.now());
            next.fate_for("blog", good(40), 600);
            let all = sent(&mut next);
            let ends: Vec<_> = all.iter().filter(|t| t.contains(end)).collect();
            assert_eq!(ends.len(), 1, "{all:?}");
        }
    }
}

#[test]
fn a_chat_that_was_taken_out_before_it_got_the_alert_gets_no_end() {
    let mut world = in_chats(&[GROUP, CHAT], &["blog"]).running_for(70);
    let later = chat_waits(Some(600), "429");
    world.deliveries = [later].into();
    world.fate_for("blog", bad(), 120);
    let down = sent(&mut world);
    assert!(
        down.len() == 1 && down[0].starts_with(&format!("{CHAT}: 🔴")),
        "{down:?}"
    );
    reload_with(&mut world, &[CHAT]);
    reload_with(&mut world, &[CHAT, GROUP]);
    world.fate_for("blog", good(40), 900);
    let up = sent(&mut world);
    assert!(
        up.len() == 1 && up[0].starts_with(&format!("{CHAT}: 🟢")),
        "{up:?}"
    );
}

#[test]
fn a_chat_that_refused_the_alert_gets_its_end_over_a_restart_too() {
    for restart in [false, true] {
        let mut world = in_chats(&[GROUP, CHAT], &["blog"]).running_for(70);
        let reason = "no rights".to_owned();
        world.deliveries = [Delivery::Refused { reason }].into();
        world.fate_for("blog", bad(), 120);
        assert_eq!(sent(&mut world).len(), 1);
        if restart {
            let snapshot = world.monitor.snapshot(world.now());
            let wall = world.now().wall;
            world = in_chats(&[GROUP, CHAT], &["blog"]);
            world.wall = wall;
            world.monitor.restore(&snapshot, world.now());
        }
        world.fate_for("blog", good(40), 120);
        let up = sent(&mut world);
        let up = up.iter().filter(|t| t.contains("up again after"));
        assert_eq!(up.count(), 2, "{restart}");
    }
}

#[test]
fn what_the_new_id_of_a_group_refused_is_delivered_when_the_group_moves() {
    for restart in [false, true] {
        let mut world = in_chats(&[SUPER, GROUP], &["blog"]).running_for(70);
        let refused = Delivery::Refused {
            reason: "not there yet".into(),
        };
        let later = chat_waits(Some(600), "429");
        world.deliveries = [refused, later].into();
        world.fate_for("blog", bad(), 120);
        assert_eq!(sent(&mut world), [""; 0]);
        if restart {
            let snapshot = world.monitor.snapshot(world.now());
            let next_update = world.next_update;
            world = in_chats(&[SUPER, GROUP], &["blog"]);
            world.fate("blog", bad());
            world.monitor.restore(&snapshot, world.now());
            world.next_update = next_update;
        }
        moves(&mut world, GROUP, SUPER);
        world.pass(900);
        let all = sent(&mut world).join("\n");
        assert_eq!(all.matches("<b>blog</b> is down").count(), 1, "{all}");
        world.fate_for("blog", good(40), 120);
        let all = sent(&mut world).join("\n");
        assert_eq!(all.matches("<b>blog</b> is up again").count(), 1, "{all}");
    }
}

#[test]
fn what_the_new_id_of_a_group_has_is_not_delivered_again_after_a_restart() {
    let mut world = in_chats(&[SUPER, GROUP], &["blog"]).running_for(70);
    let later = chat_waits(Some(600), "429");
    world.deliveries = [Delivery::Sent { message_id: 5 }, later].into();
    world.fate_for("blog", bad(), 120);
    assert_eq!(sent(&mut world).len(), 1);
    let snapshot = world.monitor.snapshot(world.now());
    let mut next = in_chats(&[SUPER, GROUP], &["blog"]);
    next.fate("blog", bad());
    next.monitor.restore(&snapshot, next.now());
    next.next_update = world.next_update;
    moves(&mut next, GROUP, SUPER);
    next.pass(900);
    let all = sent(&mut next).join("\n");
    assert_eq!(all.matches("<b>blog</b> is down").count(), 0, "{all}");
}

#[test]
fn a_group_that_was_taken_out_and_moved_is_not_asked_again() {
    let mut world = in_chats(&[GROUP], &["blog"]).running_for(70);
    world.fate_for("blog", bad(), 120);
    assert_eq!(sent(&mut world).len(), 1);
    reload_with(&mut world, &[CHAT]);
    // The buttons of its message must be removed; Telegram reports the new id of the group each
    // time.
    world.deliveries = vec![Delivery::Migrated { to: SUPER }; 9].into();
    world.fate_for("blog", good(40), 120);
    assert_eq!(world.deliveries.len(), 8);
    assert_eq!(sent(&mut world), [""; 0]);
}

#[test]
fn a_chat_in_the_place_of_one_that_got_no_alert_gets_no_end_over_a_restart_too() {
    for restart in [false, true] {
        let mut world = in_chats(&[GROUP], &["blog"]).running_for(70);
        let later = chat_waits(Some(600), "429");
        world.deliveries = [later].into();
        world.fate_for("blog", bad(), 120);
        reload_with(&mut world, &[CHAT]);
        if restart {
            let snapshot = world.monitor.last_snapshot(world.now());
            let wall = world.now().wall;
            world = in_chats(&[CHAT], &["blog"]);
            world.wall = wall;
            world.monitor.restore(&snapshot, world.now());
        }
        world.fate_for("blog", good(40), 900);
        assert_eq!(sent(&mut world), [""; 0], "{restart}");
    }
}
