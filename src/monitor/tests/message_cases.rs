//! Rarer messages, for [`super::messages::transcript`].

use super::actions::action;
use super::jobs;
use super::messages::{asks, asks_from, comes, composed, press, seen, show, show_log, title};
use super::wording::{alert, lasted};
use super::world::*;
use crate::monitor::alert::{Alert, Notification};
use crate::monitor::bot::added_record::AddedRecord;
use crate::monitor::expiry::Subject;
use crate::monitor::outbox::Outbox;
use crate::monitor::outbox::message::{Content, Press, Update};
use crate::monitor::render::stats;
use crate::monitor::site::Site;
use crate::monitor::site::access::Access;
use crate::monitor::site::outcome::{Expiry, FailureKind, Outcome, Phases};
use crate::monitor::site::report::ReportKind;
use crate::monitor::time::Moment;
use crate::monitor::uplink::Period;
use crate::monitor::{Event, Monitor};
use std::fmt::Write;
use std::time::Duration;

const MINUTE: u64 = 60;
const DAY: i64 = 86_400;

fn both() -> Access {
    access_for(&[CHAT, GROUP])
}

pub(super) fn rarer_alerts(text: &mut String) {
    let changes = |cause: &str| Notification::Changes {
        times: 3,
        cause: Some(cause.to_owned()),
    };
    let undated = |times| {
        Notification::Offline(Period {
            from: 0,
            until: 0,
            times,
            total: lasted(1020),
            dated: false,
        })
    };
    let domain = Notification::Expiring {
        subject: Subject::Domain,
        expiry: Expiry::new(1_795_593_600 + 20 * DAY, "blog.example", "", ""),
    };
    for (news, incident) in [
        (changes("HTTP 503, wanted 200-299"), Some(12)),
        (changes("slow: 1.00 s, limit 500 ms"), None),
        (domain, None),
        (undated(1), None),
        (undated(3), None),
    ] {
        composed(
            text,
            &[Alert {
                incident,
                ..alert("blog", news)
            }],
        );
    }
    // More than a thousand alerts wait: the older half is merged into one.
    let mut outbox = Outbox::new(1);
    let down = || Notification::Down {
        cause: String::new(),
        common: None,
        behind: 0,
    };
    for n in 0..=1000 {
        let site = ["blog", "shop"][n % 2];
        outbox.push_alert(down(), site, None, vec![CHAT], Moment(10_000));
    }
    let merged = outbox.alerts().next().cloned();
    composed(text, &merged.into_iter().collect::<Vec<_>>());
}

pub(super) fn buttons(text: &mut String) {
    title(text, "Buttons");
    let mut world = World::of(&["blog", "shop"]).running_for(65);
    for name in ["blog", "shop"] {
        world.fate(name, bad());
    }
    world.ask("/check");
    world.received();
    comes(text, &mut world, 25);
    asks(text, &mut world, "/ack 1");
    press(text, &mut world, "Acknowledge");
    press(text, &mut world, "Mute 1 h");
    let mut odd = |world: &mut World, data: &str, what: &str, late: bool| {
        let answer = world.press(Press {
            chat: CHAT,
            user: Some(1),
            name: "Ann".into(),
            message_id: 1,
            date: world.now().wall - if late { 1200 } else { 0 },
            waited: if late { Duration::MAX } else { Duration::ZERO },
            data: data.to_owned(),
            ..Press::default()
        });
        let _ = writeln!(text, "! {what}: {}", answer.unwrap_or_default());
    };
    odd(&mut world, "!a1", "Acknowledge, by a second user", false);
    odd(
        &mut world,
        "!a1",
        "Acknowledge, 20 minutes before it arrives",
        true,
    );
    world.fate_for("blog", good(40), 120);
    odd(&mut world, "!a1", "Acknowledge, when it is over", false);
    odd(
        &mut world,
        "+/check ~0123456789abcdef",
        "Check now, of a site that is gone",
        false,
    );
    odd(
        &mut world,
        "from a newer version",
        "a button of another version",
        false,
    );
    text.push('\n');
    world.ask("/unmute");
    world.shown.clear();
    world.ask("/site blog");
    press(text, &mut world, "Mute");
    world.ask("/pause blog");
    world.ask("/site blog");
    press(text, &mut world, "Resume");
}

pub(super) fn actions(text: &mut String) {
    title(text, "Actions");
    let mut world = World::of(&["blog", "shop"]);
    let modem = action("restart modem", Some(10 * MINUTE));
    world.set_actions(vec![modem, action("wake nas", None)]);
    world.pass(130);
    for name in ["blog", "shop"] {
        world.fate(name, bad());
    }
    world.received();
    comes(text, &mut world, 90);
    asks(text, &mut world, "/run");
    asks(text, &mut world, "/run wake");
    press(text, &mut world, "No");
    world.run_result = Some("exit code 3\nno such device\ngiving up");
    press(text, &mut world, "restart modem");
    press(text, &mut world, "Yes");
    comes(text, &mut world, 5);
    world.run_result = None;
    press(text, &mut world, "wake nas");
    press(text, &mut world, "Yes");
    asks(text, &mut world, "/run wake");
    asks(text, &mut world, "/run router");
    let snapshot = world.monitor.snapshot(world.now());
    world.restart(vec![site("blog"), site("shop")], &snapshot, 30);
    comes(text, &mut world, 5);
    world.run_result = Some("HTTP 200");
    for name in ["blog", "shop"] {
        world.fate(name, good(40));
    }
    world.pass(120);
    world.fate_for("blog", bad(), 90);
    world.received();
    comes(text, &mut world, 10 * MINUTE);
    world.fate_for("blog", good(40), 120);
    world.set_actions(Vec::new());
    asks(text, &mut world, "/run");
}

pub(super) fn queue(text: &mut String) {
    title(text, "Checks that wait");
    let names: Vec<String> = (1..=24).map(|n| format!("site-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::of(&names).running_for(65);
    for name in &names {
        world.fate_lasting(name, hang(), Duration::from_secs(9));
    }
    for line in ["/check site-1", "/check site-2"] {
        world.ask(line);
    }
    world.received();
    for line in ["/check site-3", "/check site-3"] {
        asks(text, &mut world, line);
    }
    for n in 4..=22 {
        world.ask(&format!("/check site-{n}"));
    }
    world.received();
    asks(text, &mut world, "/check site-23");
    comes(text, &mut world, 10);
    let mut world = World::of(&names).running_for(65);
    for name in &names[..7] {
        world.fate(name, bad());
    }
    for name in &names[7..] {
        world.fate_lasting(name, good(40), Duration::from_secs(4));
    }
    world.ask("/check");
    world.received();
    comes(text, &mut world, 3);
    let mut world = World::new(Vec::new());
    asks(text, &mut world, "/check");
    asks(text, &mut world, "/list");
}

pub(super) fn jobs(text: &mut String) {
    title(text, "Jobs");
    let mut world = World::new(vec![jobs::job("backup"), jobs::at_nine("sync")]).running_for(5);
    asks(text, &mut world, "/site backup");
    asks(text, &mut world, "/history backup");
    asks(text, &mut world, "/status");
    let lines = "copying\nrsync: no space left on device (28)";
    jobs::report(&mut world, "backup", ReportKind::Bad, Some(11), 252, lines);
    comes(text, &mut world, 60);
    jobs::report(&mut world, "sync", ReportKind::Start, None, 0, "");
    for line in ["/site backup", "/site sync", "/check backup"] {
        asks(text, &mut world, line);
    }
    jobs::report(
        &mut world,
        "backup",
        ReportKind::Good,
        Some(0),
        192,
        "42 GB",
    );
    comes(text, &mut world, 60);
    for line in ["/history backup", "/chart backup", "/list"] {
        asks(text, &mut world, line);
    }
    comes(text, &mut world, 10 * 3600);
    jobs::report(&mut world, "backup", ReportKind::Bad, Some(-9), 5, "");
    comes(text, &mut world, 60);
    jobs::report(&mut world, "backup", ReportKind::Bad, None, 5, "disk full");
    comes(text, &mut world, 60);
    asks(text, &mut world, "/status");
}

pub(super) fn groups(text: &mut String) {
    title(text, "Groups, maintenance, flapping");
    let grouped = |name: &str| Site {
        group: Some("shops".into()),
        ..site(name)
    };
    let at_eight = window(7 * 60, 10 * 60);
    let nas = Site {
        maintenance: vec![at_eight],
        cert: Some(Duration::from_secs(14 * 86_400)),
        note: Some("in the cellar".into()),
        ..site("nas")
    };
    let mut world = World::new(vec![grouped("toys"), grouped("books"), site("blog"), nas]);
    let ending = Expiry::new(WALL + 9 * DAY, "nas.example", "R11", "RSA 2048");
    world.expiries.push_back(Ok(ending));
    world.pass(120);
    world.received();
    for line in [
        "/status shops",
        "/check shops",
        "/site shops",
        "/check shosp",
        "/mute shops 2h",
        "/status",
        "/unmute shops",
        "/mute toys",
        "/mute 1h",
        "/unmute toys",
        "/status",
        "/unmute",
        "/check nas",
        "/site nas",
    ] {
        asks(text, &mut world, line);
    }
    for _ in 0..2 {
        world.fate_for("blog", bad(), 3 * MINUTE);
        world.fate_for("blog", good(40), 2 * MINUTE);
    }
    world.received();
    world.fate("blog", bad());
    comes(text, &mut world, 3 * MINUTE);
    asks(text, &mut world, "/status");
    world.fate_for("blog", good(40), 2 * MINUTE);
    asks(text, &mut world, "/status");
    asks(text, &mut world, "/site blog");
    let refused = Outcome {
        took: Some(Duration::from_millis(31)),
        ..bad()
    };
    world.fate("toys", refused);
    world.ask("/check toys");
    world.pass(1);
    world.received();
    asks(text, &mut world, "/status");
    asks(text, &mut world, "/site toys");
    comes(text, &mut world, 20 * MINUTE);
    asks(text, &mut world, "/incidents toys");
    asks(text, &mut world, "/incidents nas");
    let mut world = World::of(&["blog", "shop"]).running_for(65);
    for name in ["blog", "shop"] {
        world.fate(name, bad());
    }
    world.pass(120);
    world.received();
    asks(text, &mut world, "/ack");
    asks(text, &mut world, "/ack");
    let private = Site {
        chats: Some(vec![CHAT]),
        ..site("safe")
    };
    let mut world = World::with(vec![private, site("blog")], both()).running_for(120);
    world.ask("/mute");
    asks_from(text, &mut world, GROUP, "/unmute");
    let late = window(22 * 60, 23 * 60);
    let lamp = Site {
        maintenance: vec![late],
        ..after("lamp", "blog")
    };
    let mut world = World::new(vec![site("blog"), lamp]).running_for(60);
    world.received();
    asks(text, &mut world, "/site lamp");
    world.ask("/pause lamp");
    world.received();
    asks(text, &mut world, "/check lamp");
    asks(text, &mut world, "/chart lamp 1h");
    let names: Vec<String> = (1..=22).map(|n| format!("site-{n}")).collect();
    let mut world = World::new(names.iter().map(|n| site(n)).collect());
    let said = world.ask("/status").concat();
    let end = said.lines().last().unwrap_or_default();
    let _ = writeln!(text, "> /status\n0 up, 22 unknown\n…\n{}\n", seen(end));
    asks(text, &mut world, "/site site-");
    let shop = Site {
        cert: Some(Duration::from_secs(14 * 86_400)),
        ..site("shop")
    };
    let mut world = World::new(vec![shop]);
    let ms = Duration::from_millis;
    let mut outcome = from(THERE, good(91));
    outcome.phases = Some(Phases {
        dns: ms(12),
        connect: ms(20),
        tls: ms(41),
        first_byte: ms(18),
        ..Phases::default()
    });
    world.fate("shop", outcome.clone());
    asks(text, &mut world, "/history shop");
    world.pass(60);
    world.received();
    asks(text, &mut world, "/site shop");
    outcome.phases = Some(Phases {
        first_byte: ms(18),
        reused: true,
        ..Phases::default()
    });
    world.fate("shop", outcome);
    world.expiries.push_back(Ok(Expiry::new(
        WALL + 80 * DAY,
        "shop.example",
        "R11",
        "RSA 2048",
    )));
    world.pass(86_400);
    world.expiries.clear();
    world.pass(86_400);
    world.received();
    asks(text, &mut world, "/site shop");
}

pub(super) fn added(text: &mut String) {
    title(text, "Sites of the chat");
    let mut world = World::of(&["blog"]).running_for(60);
    let record = |name: &str| AddedRecord {
        name: name.into(),
        url: format!("https://{name}.example/"),
    };
    world.feed(Event::Reloaded {
        sites: vec![site("blog").into(), site("shop").into()],
        added: vec![
            (record("shop"), Ok(site("shop"))),
            (record("wiki"), Err("`verify` is no key of http".into())),
        ],
        settings: settings(access()),
    });
    comes(text, &mut world, 2);
    let private = Site {
        chats: Some(vec![CHAT]),
        ..site("safe")
    };
    let mut world = World::with(vec![private, site("blog")], both());
    asks_from(text, &mut world, GROUP, "/add https://safe safe");
    for n in 1..=100 {
        world.ask(&format!("/add https://site-{n}/"));
        world.pass(1);
    }
    world.received();
    asks(text, &mut world, "/add https://site-101/");
    let mut world = World::of(&["blog"]);
    for n in 1..=5 {
        // Its validation is still under way.
        let content = written(CHAT, 1, &format!("/add https://site-{n}/"), WALL);
        let id = world.next_update;
        world.next_update += 1;
        drop(
            world
                .monitor
                .handle(world.now(), Event::Update(Update { id, content })),
        );
    }
    asks(text, &mut world, "/add https://site-6/");
    let mut world = World::with(vec![site("blog")], both());
    let content = written(GROUP, 1, "/add https://safe.example/", WALL);
    let id = world.next_update;
    world.next_update += 1;
    let update = Event::Update(Update { id, content });
    drop(world.monitor.handle(world.now(), update));
    // A site whose `chats` come from `[defaults]`.
    let safe = Site {
        chats: Some(vec![CHAT]),
        ..site("safe")
    };
    let result = Ok(Box::new(safe));
    world.feed(Event::Examined { id: 1, result });
    let _ = writeln!(text, "> /add https://safe.example/ (in another chat)");
    show(text, &world, 0);
    text.push('\n');
    let mut world = World::of(&["blog"]);
    world.wall = 0;
    world.monitor = Monitor::new(vec![site("blog")], settings(access()), world.now(), 42);
    asks(text, &mut world, "/add https://new.example/");
    asks(text, &mut world, "/check");
}

pub(super) fn of_the_agent(text: &mut String) {
    let mut world = elsewhere(&["blog", "shop"]);
    world.line = LINE_DOWN;
    world.fate("blog", failed(FailureKind::NoRoute));
    comes(text, &mut world, 30 * MINUTE);
    let mut world = World::of(&["blog"]);
    world.waits = Duration::from_secs(150);
    comes(text, &mut world, 30 * MINUTE);
    world.waits = Duration::ZERO;
    comes(text, &mut world, 30 * MINUTE);
    let mut world = World::of(&["blog"]).running_for(120);
    let snapshot = world.monitor.snapshot(world.now());
    let earlier = snapshot.written - 3600;
    world.restart_showing(vec![site("blog")], &snapshot, earlier);
    world.feed(Event::ClockConfirmed);
    world.pass(5 * MINUTE);
    show(text, &world, 0);
    let access = access_for(&[GROUP, -1_001]);
    let mut world = World::with(vec![site("blog")], access).running_for(60);
    let (id, content) = (
        world.next_update,
        Some(Content::Moved {
            from: GROUP,
            to: -1_001,
        }),
    );
    world.received();
    world.feed(Event::Update(Update { id, content }));
    show(text, &world, 0);
    text.push('\n');
    let (vitals, tally) = stats::tests::figures();
    let late = Some("1,240 checks/s wanted, 900 done");
    let stats = stats::render(&vitals, tally, late, &[]);
    let _ = writeln!(text, "> /stats\n{stats}");
    let mut world = World::with(vec![site("blog")], both()).running_for(60);
    title(text, "What the log says of chats that may not command");
    for (chat, user) in [(5, Some(6)), (-8, None), (-8, Some(9)), (11, Some(11))] {
        world.ask_from(chat, user, "/status");
    }
    world.pass(120);
    show_log(text, &world, "no answer for");
}
