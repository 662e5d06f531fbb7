//! Every kind of message once, in one text, which becomes `tests/messages.txt`.

use super::channels::channel;
use super::message_cases;
use super::routes::{proxy, set_routes, used};
use super::wording::{NOW, alert, all_news, lasted, message};
use super::world::*;
use crate::monitor::Settings;
use crate::monitor::alert::words::{compose, first_message};
use crate::monitor::alert::{Alert, Notification};
use crate::monitor::outbox::channels::When;
use crate::monitor::outbox::message::{Content, Delivery, Message, Press, Update};
use crate::monitor::site::Site;
use crate::monitor::site::outcome::{Expiry, Failure, FailureKind, LocalFault, Outcome};
use crate::monitor::time::Moment;
use crate::monitor::uplink::ProbeResult;
use crate::monitor::uplink::route::Route;
use crate::monitor::{Event, Monitor};
use std::fmt::Write;
use std::time::Duration;

const HOUR: u64 = 3600;
/// 2026-11-25 00:00 UTC.
const MIDNIGHT: i64 = 1_795_564_800;

/// Returns the whole text.
pub(crate) fn transcript() -> String {
    let mut text = String::from(
        "Every kind of message once, as the chat shows it, written by `WRITE_MESSAGES=1 cargo test --lib messages`.\n\
         `>` is what a user writes, `!` a button that a user presses and what is shown for a moment, `(silent)` a\n\
         message without sound, `(edit)` an earlier message as it reads now, `[…]` its buttons.\n",
    );
    alerts(&mut text);
    message_cases::rarer_alerts(&mut text);
    a_day(&mut text);
    commands(&mut text);
    message_cases::buttons(&mut text);
    message_cases::queue(&mut text);
    message_cases::actions(&mut text);
    message_cases::jobs(&mut text);
    message_cases::groups(&mut text);
    message_cases::added(&mut text);
    digests(&mut text);
    notices(&mut text);
    message_cases::of_the_agent(&mut text);
    text
}

/// Returns HTML as the chat shows it. A link shows the URL that it leads to.
pub(super) fn seen(html: &str) -> String {
    let mut parts = html.split('<');
    let mut bare = parts.next().unwrap_or_default().to_owned();
    // The text of the others follows their tag.
    bare.extend(parts.map(|part| part.split_once('>').map_or(part, |(_, text)| text)));
    let signs = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&amp;", "&"),
    ];
    signs
        .iter()
        .fold(bare, |t, (entity, sign)| t.replace(entity, sign))
}

pub(super) fn title(text: &mut String, title: &str) {
    let _ = writeln!(text, "\n# {title}\n");
}

/// Writes the messages after the first `before`.
pub(super) fn show(text: &mut String, world: &World, before: usize) {
    for (_, message) in &world.sent[before..] {
        show_one(text, message);
    }
}

fn show_one(text: &mut String, message: &Message) {
    for (edit, mark) in [
        (message.edit.is_some(), "(edit) "),
        (message.silent, "(silent) "),
    ] {
        text.push_str(if edit { mark } else { "" });
    }
    let _ = writeln!(text, "{}", seen(&message.html));
    for row in &message.buttons {
        let row: Vec<String> = row.iter().map(|b| format!("[{}]", b.label)).collect();
        let _ = writeln!(text, "{}", row.join(" "));
    }
}

pub(super) fn asks(text: &mut String, world: &mut World, line: &str) {
    let before = world.sent.len();
    world.ask_by("Ann", line);
    world.pass(2);
    let _ = writeln!(text, "> {line}");
    show(text, world, before);
    text.push('\n');
}

/// The same in another chat.
pub(super) fn asks_from(text: &mut String, world: &mut World, chat: i64, line: &str) {
    let before = world.sent.len();
    world.ask_from(chat, Some(2), line);
    world.pass(2);
    let _ = writeln!(text, "> {line} (in another chat)");
    show(text, world, before);
    text.push('\n');
}

/// Writes the log lines that start with `start`.
pub(super) fn show_log(text: &mut String, world: &World, start: &str) {
    for line in world.logs.iter().filter(|line| line.starts_with(start)) {
        let _ = writeln!(text, "{line}");
    }
    text.push('\n');
}

/// Writes the messages that arrive without a command within `secs`.
pub(super) fn comes(text: &mut String, world: &mut World, secs: u64) {
    let before = world.sent.len();
    world.pass(secs);
    show(text, world, before);
    text.push('\n');
}

pub(super) fn press(text: &mut String, world: &mut World, label: &str) {
    let before = world.sent.len();
    let answer = press_button(world, label);
    world.pass(2);
    let _ = writeln!(text, "! {label}: {}", answer.unwrap_or_default());
    show(text, world, before);
    text.push('\n');
}

/// Presses the newest button with this label. Returns the text that is shown for a moment.
pub(super) fn press_button(world: &mut World, label: &str) -> Option<String> {
    let newest = world.shown.iter().rev();
    let button = |m: &Message| {
        m.buttons
            .iter()
            .flatten()
            .find(|b| b.label == label)
            .cloned()
    };
    let (id, message, button) = newest
        .filter_map(|(id, m)| Some((*id, m.clone(), button(m)?)))
        .next()
        .unwrap_or_else(|| panic!("no button {label}"));
    world.press(Press {
        chat: CHAT,
        user: Some(1),
        name: "Ann".into(),
        message_id: id,
        html: Some(message.html),
        date: world.now().wall,
        data: button.data,
        ..Press::default()
    })
}

pub(super) fn composed(text: &mut String, alerts: &[Alert]) {
    let ready: Vec<&Alert> = alerts.iter().collect();
    let html = first_message(&compose(&ready, NOW, &|_| true), &ready).0;
    let _ = writeln!(text, "{}\n", seen(&html));
}

fn alerts(text: &mut String) {
    title(text, "Alerts");
    let changes = Notification::Changes {
        times: 7,
        cause: None,
    };
    for news in all_news("no answer within 10s")
        .into_iter()
        .chain([changes])
    {
        let silent = if news.silent() { "(silent) " } else { "" };
        let _ = writeln!(text, "{silent}{}\n", seen(&message("blog", news)));
    }
    let down = |cause: &str| Notification::Down {
        cause: cause.into(),
        common: None,
        behind: 0,
    };
    let up = Notification::Up {
        lasted: lasted(200),
    };
    let of = |id: u64, site: &str, news: &Notification| Alert {
        id,
        incident: Some(id as u32 % 50),
        ..alert(site, news.clone())
    };
    title(text, "Alerts that are one message");
    composed(
        text,
        &[
            of(1, "blog", &up),
            of(
                2,
                "wiki",
                &Notification::Slow {
                    cause: "slow: 1.00 s, limit 500 ms".into(),
                },
            ),
            of(3, "shop", &down("HTTP 503, wanted 200-299")),
            of(4, "mail", &down("connection refused")),
            of(54, "mail", &up),
        ],
    );
    let many = |news: &Notification| -> Vec<Alert> {
        let names = ["blog", "shop", "wiki", "mail", "nas", "git"];
        names
            .iter()
            .zip(1..)
            .map(|(name, id)| of(id, name, news))
            .collect()
    };
    composed(text, &many(&down("connection refused")));
    composed(text, &many(&up));
    let late = Alert {
        at: Moment(10_000 - 840_000),
        ..of(1, "blog", &down("connection refused"))
    };
    let mut by_channel = late.clone();
    by_channel.by_channels.delayed = true;
    by_channel.by_channels.sent.push("ntfy".to_owned());
    composed(text, &[late]);
    composed(text, &[by_channel]);
}

fn world_at(wall: i64, sites: Vec<Site>, digest: Option<u16>) -> World {
    let mut world = World::new(sites.clone());
    world.wall = wall;
    let settings = Settings {
        digest,
        ..settings(access())
    };
    world.monitor = Monitor::new(sites, settings, world.now(), 42);
    world
}

fn a_day(text: &mut String) {
    title(text, "A day in the chat");
    let shop = Site {
        slow: Some(Duration::from_millis(500)),
        group: Some("shops".into()),
        ..site("shop")
    };
    let sites = vec![
        shop,
        site("shop admin"),
        Site {
            note: Some("It hangs: restart the box in the cellar.".into()),
            ..site("blog")
        },
        after("lamp", "blog"),
    ];
    let mut world = world_at(MIDNIGHT + 3 * HOUR as i64, sites, None);
    world.links = true;
    asks(text, &mut world, "/status");
    world.pass(120);
    asks(text, &mut world, "/status");
    let refused = Outcome {
        took: Some(Duration::from_millis(31)),
        ..bad()
    };
    world.fate("blog", refused);
    comes(text, &mut world, 90);
    press(text, &mut world, "Acknowledge");
    press(text, &mut world, "Mute 1 h");
    press(text, &mut world, "Unmute");
    press(text, &mut world, "Check now");
    asks(text, &mut world, "/status");
    asks(text, &mut world, "/ack");
    asks(text, &mut world, "/ack 1");
    asks(text, &mut world, "/mute blog 2h");
    asks(text, &mut world, "/incidents");
    asks(text, &mut world, "/site blog");
    press(text, &mut world, "Unmute");
    world.fate("blog", good(40));
    comes(text, &mut world, 120);
    asks(text, &mut world, "/incidents");
    asks(text, &mut world, "/ack 1");
    press(text, &mut world, "Pause");
    world.fate("shop", good(1000));
    comes(text, &mut world, 120);
    asks(text, &mut world, "/list");
    asks(text, &mut world, "/check");
    asks(text, &mut world, "/check shop");
    asks(text, &mut world, "/history shop");
    world.fate("shop", good(40));
    comes(text, &mut world, 120);
    asks(text, &mut world, "/chart shop 6h");
    asks(text, &mut world, "/chart");
    asks(text, &mut world, "/stats");
}

fn commands(text: &mut String) {
    title(text, "Commands");
    let mut world = World::of(&["blog", "shop", "shop admin", "wiki"]).running_for(120);
    for line in [
        "/help",
        "/incidents",
        "/ack",
        "/ack 7",
        "/ack blog",
        "/site",
        "/site wikki",
        "/site xyz",
        "/check xyz",
        "/site sho",
        "/history wiki",
        "/mute",
        "/unmute blog",
        "/unmute",
        "/unmute",
        "/unmute blog",
        "/mute shop 30m",
        "/mute blog 2000d",
        "/unmute",
        "/pause wiki",
        "/pause wiki",
        "/status",
        "/resume wiki",
        "/resume wiki",
        "/check blog wiki",
        "/check blog nowhere",
        "/chart blog 5d",
        "/add",
        "/add https://new.example/",
        "/add https://blog.example/ blog",
        "/add ftp://x",
        "/remove new.example",
        "/remove blog",
        "/chek",
        "/frobnicate",
        "is it up?",
    ] {
        asks(text, &mut world, line);
    }
    world.fate("new.example", bad());
    asks(text, &mut world, "/add https://new.example/");
    asks(text, &mut world, "/add https://new.example/");
    let long_ago = world.now().wall - 1200;
    let before = world.sent.len();
    world.write(CHAT, Some(1), "/pause blog", long_ago);
    world.pass(2);
    let _ = writeln!(text, "> /pause blog (20 minutes before it arrives)");
    show(text, &world, before);
}

fn digests(text: &mut String) {
    title(text, "The daily summary");
    let sites = ["blog", "shop", "wiki"].map(site).to_vec();
    let mut world = world_at(MIDNIGHT, sites, Some(9 * 60)).running_for(10 * HOUR);
    world.fate_for("blog", bad(), 600);
    world.fate_for("blog", good(40), 14 * HOUR);
    world.received();
    comes(text, &mut world, 9 * HOUR);
    comes(text, &mut world, 24 * HOUR);
    world.received();
    for (name, lasts) in [("blog", 600), ("shop", 7_200), ("blog", 600)] {
        world.fate_for(name, hang(), lasts);
        world.fate_for(name, good(40), 600);
    }
    world.pass(24 * HOUR - 10_200);
    world.sent.retain(|(_, m)| m.html.starts_with("📋"));
    show(text, &world, 0);
    text.push('\n');
    for name in ["blog", "shop", "wiki"] {
        world.ask(&format!("/pause {name}"));
    }
    world.pass(24 * HOUR);
    world.received();
    comes(text, &mut world, 24 * HOUR);
}

fn notices(text: &mut String) {
    title(text, "Notices");
    let names = ["blog", "shop"];
    for probe in [
        LINE_DOWN,
        LINE_NO_NAMES,
        ProbeResult {
            trusted: Some(false),
            ..LINE_UP
        },
        LINE_NO_IPV6,
    ] {
        let mut world = elsewhere(&names);
        world.line = probe;
        let kind = match probe {
            ProbeResult {
                names: Some(false), ..
            } => FailureKind::Dns,
            ProbeResult {
                trusted: Some(false),
                ..
            } => FailureKind::Untrusted,
            _ => FailureKind::NoRoute,
        };
        all(&mut world, &names, failed(kind));
        let before = world.sent.len();
        world.pass(600);
        world.ask("/status");
        world.line = LINE_UP;
        all(&mut world, &names, from(THERE, good(40)));
        world.pass(600);
        show(text, &world, before);
        text.push('\n');
    }
    let mut world = elsewhere(&names);
    set_routes(&mut world, &names, vec![Route::Direct, proxy()]);
    all(&mut world, &names, failed(FailureKind::Proxy));
    world.received();
    let before = world.sent.len();
    for (from, to) in [(Route::Direct, proxy()), (proxy(), Route::Direct)] {
        for _ in 0..2 {
            used(&mut world, &from, Some("no answer"));
        }
        world.pass(120);
        used(&mut world, &to, None);
        world.pass(10);
    }
    all(&mut world, &names, from(THERE, good(40)));
    world.pass(120);
    show(text, &world, before);
    text.push('\n');
    for lack in [
        LocalFault::Descriptors,
        LocalFault::Memory,
        LocalFault::Ports,
        LocalFault::Address,
        LocalFault::Figure("this machine has no thermal zone"),
    ] {
        let mut world = World::of(&["blog"]).running_for(120);
        let outcome = Outcome {
            verdict: Err(Failure::local(lack)),
            ..good(1)
        };
        world.fate("blog", outcome);
        world.received();
        comes(text, &mut world, 6 * HOUR);
    }
    let mut world = World::of(&names);
    world.fate_for("blog", bad(), 120);
    let snapshot = world.monitor.snapshot(world.now());
    world.restart(names.map(site).to_vec(), &snapshot, 900);
    comes(text, &mut world, 120);
    world.disk_full = true;
    asks(text, &mut world, "/mute blog");
    let root = Expiry::new(WALL + 5 * 86_400, "Acme Root", "Acme", "RSA 2048");
    let cert = |name: &str| Site {
        cert: Some(Duration::from_secs(14 * 86_400)),
        ..site(name)
    };
    let mut world = World::with(names.map(cert).to_vec(), access());
    world.expiries.push_back(Ok(Expiry::new(
        WALL + 400 * 86_400,
        "leaf",
        "Acme",
        "RSA 2048",
    )));
    world.root = Some(root);
    comes(text, &mut world, 60);
    let access = access_for(&[CHAT, GROUP]);
    let mut world = World::with(vec![site("blog")], access).running_for(60);
    let (id, content) = (
        world.next_update,
        Some(Content::Moved {
            from: GROUP,
            to: -1_001,
        }),
    );
    world.feed(Event::Update(Update { id, content }));
    world.sent.retain(|(_, m)| m.chat == CHAT);
    show(text, &world, 0);
    let mut world = World::of(&names);
    world.set_channels(vec![channel("ntfy", When::Always)]);
    world.pass(120);
    let reason = "HTTP 404".to_owned();
    world
        .channel_deliveries
        .push_back(Delivery::Refused { reason });
    world.fate("blog", bad());
    world.received();
    comes(text, &mut world, 120);
}
