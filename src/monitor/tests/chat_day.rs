//! A day of real messages in the chat, which becomes `docs/chat.md`.

use super::messages::{press_button, seen};
use super::world::*;
use crate::monitor::outbox::message::Message;
use crate::monitor::render::picture::Picture;
use crate::monitor::site::Site;
use crate::monitor::site::outcome::{Expiry, FailureKind};
use crate::monitor::{Monitor, Settings};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

/// 2026-11-25 00:00 UTC, a Wednesday.
const MIDNIGHT: i64 = 1_795_564_800;
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

struct Day {
    world: World,
    text: String,
    /// Number of messages that are written to the page.
    told: usize,
    /// The first chart of one site.
    chart: Option<Arc<Picture>>,
}

impl Day {
    fn part(&mut self, title: &str, words: &str) {
        self.write_down();
        let fence = if self.text.contains("## ") {
            "```\n"
        } else {
            ""
        };
        let _ = write!(
            self.text,
            "{fence}\n## {title}\n\n{words}\n\n<!-- not run: a transcript -->\n```text\n"
        );
    }

    /// Lets time pass until a time of day, in hours and minutes.
    fn until(&mut self, hours: u64, minutes: u64) {
        let at = (MIDNIGHT - self.world.wall) as u64 + 24 * HOUR + hours * HOUR + minutes * MINUTE;
        self.world.pass(at - self.world.clock as u64 / 1000);
        self.write_down();
    }

    fn pass(&mut self, secs: u64) {
        self.world.pass(secs);
        self.write_down();
    }

    fn ask(&mut self, line: &str) {
        self.say(&format!("> {line}"));
        self.world.ask_by("Ann", line);
        self.pass(3);
    }

    fn press(&mut self, label: &str) {
        let answer = press_button(&mut self.world, label);
        self.say(&format!("> [{label}] {}", answer.unwrap_or_default()));
        self.pass(3);
    }

    fn say(&mut self, line: &str) {
        let at = self.time(self.world.clock / 1000);
        let _ = writeln!(self.text, "{at} {}", line.trim_end());
    }

    fn time(&self, secs: i64) -> String {
        let minutes = (self.world.wall + secs).rem_euclid(86_400) / 60;
        format!("{:02}:{:02}", minutes / 60, minutes % 60)
    }

    fn write_down(&mut self) {
        let new: Vec<(i64, Message)> = self.world.sent[self.told..].to_vec();
        self.told = self.world.sent.len();
        for (secs, message) in new {
            let at = self.time(secs);
            let silent = if message.silent { "(silent) " } else { "" };
            let edit = if message.edit.is_some() {
                "(edit) "
            } else {
                ""
            };
            if message.html.contains("📈") && self.chart.is_none() {
                self.chart = message.picture.clone();
            }
            let picture = if message.picture.is_some() {
                "(picture)\n"
            } else {
                ""
            };
            let mut lines = format!("{edit}{silent}{picture}{}", seen(&message.html));
            for row in &message.buttons {
                let row: Vec<String> = row.iter().map(|b| format!("[{}]", b.label)).collect();
                let _ = write!(lines, "\n{}", row.join(" "));
            }
            let lines = lines.replace('\n', "\n      ");
            let _ = writeln!(self.text, "{at} {lines}");
        }
    }

    fn fates(&mut self, names: &[&str], outcome: crate::monitor::site::outcome::Outcome) {
        all(&mut self.world, names, outcome);
    }
}

const NAMES: [&str; 14] = [
    "blog", "wiki", "shop", "books", "mail", "nas", "git", "cam", "door", "forum", "maps", "radio",
    "docs", "api",
];
const REFUSED: &str = "connection refused";

/// Returns the page, and the first chart of one site.
pub(crate) fn page() -> (String, Option<Arc<Picture>>) {
    let site = |name: &str| Site {
        group: ["shop", "books"]
            .contains(&name)
            .then(|| "shops".to_owned()),
        slow: (name == "shop").then(|| Duration::from_millis(500)),
        note: (name == "blog").then(|| "It hangs: restart the box in the cellar.".to_owned()),
        cert: (name == "mail").then(|| Duration::from_secs(14 * 86_400)),
        after: (name == "wiki").then(|| "blog".to_owned()),
        ..site(name)
    };
    let names = NAMES;
    let sites = names.map(site).to_vec();
    let mut world = World::new(sites.clone());
    (world.wall, world.links) = (MIDNIGHT, true);
    let settings = Settings {
        uplink: true,
        digest: Some(9 * 60),
        ..settings(access())
    };
    world.monitor = Monitor::new(sites.clone(), settings, world.now(), 42);
    let fine = from(THERE, good(40));
    all(&mut world, &names, fine.clone());
    let ends = MIDNIGHT + (15 * 24 + 13) * HOUR as i64;
    world
        .expiries
        .push_back(Ok(Expiry::new(ends, "mail.example", "R11", "RSA 2048")));
    // The day before.
    world.pass(14 * HOUR);
    world.fate_for("books", from(THERE, hang()), 10 * MINUTE);
    world.fate_for("books", fine.clone(), 10 * HOUR - 10 * MINUTE);
    world.received();
    let mut day = Day {
        world,
        text: String::from(
            "# A day in the chat\n\n\
             Every message here is a real one: a test lets a day pass and writes this page, and fails when the page no longer\n\
             says what the chat does (`WRITE_MESSAGES=1 cargo test --lib messages` writes it anew). `>` is what a user writes or\n\
             presses, `(silent)` a message without sound, `(edit)` an earlier message as it reads from then on, `[…]` its\n\
             buttons. The day is 26 November; all times are local ones. What each alert means is in [alerts.md](alerts.md).\n",
        ),
        told: 0,
        chart: None,
    };
    night(&mut day, &fine);
    morning(&mut day, &fine);
    afternoon(&mut day, &fine);
    evening(&mut day, &fine);
    // A power cut: the snapshot is not the last one of an orderly stop.
    day.part(
        "The power comes back",
        "What was sent while sitemon was off is not carried out.",
    );
    let snapshot = day.world.monitor.snapshot(day.world.now());
    let (wall, told) = (
        day.world.now().wall + 900,
        std::mem::take(&mut day.world.sent),
    );
    drop(told);
    day.told = 0;
    day.world.restart_showing(sites, &snapshot, wall);
    day.world.links = true;
    day.pass(2 * MINUTE);
    let long_ago = day.world.now().wall - 600;
    day.say("> /pause nas (ten minutes before it arrives)");
    day.world.write(CHAT, Some(1), "/pause nas", long_ago);
    day.pass(3);
    day.text.push_str("```\n");
    (day.text, day.chart)
}

fn night(day: &mut Day, fine: &crate::monitor::site::outcome::Outcome) {
    day.part(
        "The night",
        "A site goes down and takes another one with it; later our own line is cut.",
    );
    day.until(2, 10);
    day.fates(&["blog", "wiki"], from(THERE, bad()));
    day.until(2, 13);
    day.press("Acknowledge");
    day.press("Check now");
    day.ask("/status");
    day.until(2, 40);
    day.fates(&["blog", "wiki"], fine.clone());
    day.until(2, 45);
    day.ask("/incidents");
    day.until(4, 0);
    day.world.line = LINE_DOWN;
    day.fates(&NAMES, failed(FailureKind::NoRoute));
    day.until(4, 10);
    day.world.line = LINE_UP;
    day.fates(&NAMES, fine.clone());
    day.until(4, 30);
}

fn morning(day: &mut Day, fine: &crate::monitor::site::outcome::Outcome) {
    day.part(
        "The morning",
        "A slow answer, the daily summary, and a provider that drops many sites at once.",
    );
    day.until(8, 0);
    day.world.fate("shop", from(THERE, good(1200)));
    day.until(8, 5);
    day.ask("/history shop");
    day.world.fate("shop", fine.clone());
    day.until(9, 5);
    day.until(10, 0);
    let many = &NAMES[2..];
    let refused = crate::monitor::site::outcome::Outcome::failed(FailureKind::Connect, REFUSED);
    day.fates(many, from(THERE, refused));
    day.until(10, 5);
    day.press("Mute 1 h");
    day.ask("/ack");
    day.fates(many, fine.clone());
    day.until(10, 10);
    day.ask("/unmute");
}

fn afternoon(day: &mut Day, fine: &crate::monitor::site::outcome::Outcome) {
    day.part(
        "The afternoon",
        "A site that comes and goes, a certificate that runs out, and what one may ask.",
    );
    day.until(12, 0);
    for _ in 0..3 {
        day.world.fate("git", from(THERE, hang()));
        day.pass(3 * MINUTE);
        day.world.fate("git", fine.clone());
        day.pass(2 * MINUTE);
    }
    day.ask("/status");
    day.until(12, 40);
    day.until(14, 0);
    let ends = MIDNIGHT + 90 * 24 * HOUR as i64;
    day.world.expiries = [Ok(Expiry::new(ends, "mail.example", "R11", "RSA 2048"))].into();
    for line in [
        "/list",
        "/site blog",
        "/check",
        "/check shops",
        "/chart blog 24h",
        "/chart shops 7d",
        "/mute shops 2h",
        "/unmute shops",
        "/pause cam",
        "/resume cam",
        "/add https://new.example/",
        "/remove new.example",
        "/site s",
        "/chek",
        "is it up?",
        "/stats",
        "/help",
    ] {
        day.ask(line);
    }
}

fn evening(day: &mut Day, fine: &crate::monitor::site::outcome::Outcome) {
    day.part("The evening", "The resolver is gone, this machine has no descriptors left, and an outage is not acknowledged.");
    day.until(15, 30);
    day.world.fate("door", from(THERE, bad()));
    day.until(16, 0);
    day.world.line.names = Some(false);
    day.fates(&NAMES, failed(FailureKind::Dns));
    day.until(16, 20);
    day.world.line = LINE_UP;
    day.fates(&NAMES, fine.clone());
    day.world.fate("door", from(THERE, bad()));
    day.until(17, 0);
    let lack = crate::monitor::site::outcome::Failure::local(
        crate::monitor::site::outcome::LocalFault::Descriptors,
    );
    day.world.fate(
        "cam",
        crate::monitor::site::outcome::Outcome {
            verdict: Err(lack),
            ..good(1)
        },
    );
    day.until(17, 5);
    day.world.fate("cam", fine.clone());
    day.until(21, 45);
}
