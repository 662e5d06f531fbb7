//! State directories of earlier versions, which must always load.
//!
//! Each in `tests/fixtures/state-COMMIT` was written by the binary of that commit, over loopback:
//! two minutes of eight sites with an orderly end, then a few seconds without Telegram and a `kill
//! -9`.

use super::day::{good, site};
use sitemon::monitor::outbox::message::{Content, Delivery, Incoming, Update};
use sitemon::monitor::persist::snapshot::Snapshot;
use sitemon::monitor::site::Site;
use sitemon::monitor::site::access::Access;
use sitemon::monitor::site::outcome::Outcome;
use sitemon::monitor::time::Now;
use sitemon::monitor::{Action, Event, Monitor, Settings};
use sitemon::state::{HistoryFiles, State, Writer};
use std::fs;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

const VERSIONS: [&str; 2] = ["148e1a4", "cc2362a"];
const CHAT: i64 = -1_001_234_567_890;
/// 2026-11-29 10:10 UTC, about three minutes after the kill.
const NOW: i64 = 1_795_947_000;
const ADDED: &str = "added";

/// The core with a state directory, some time after its last run.
struct Next {
    monitor: Monitor,
    clock: u64,
    updates: i64,
    heard: Vec<String>,
    writer: Writer,
    dir: TempDir,
}

impl Next {
    fn of(version: &str) -> Next {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let dir = tempfile::tempdir().expect("a directory");
        let files = fs::read_dir(fixtures.join(format!("state-{version}"))).expect("is there");
        for file in files {
            let file = file.expect("a file");
            fs::copy(file.path(), dir.path().join(file.file_name())).expect("copies");
        }
        Next::open(dir)
    }

    fn open(dir: TempDir) -> Next {
        let loaded = State::open(dir.path()).expect("opens").load();
        assert_eq!(loaded.damage, None);
        let snapshot = loaded.snapshot.expect("is readable");
        let settings = Settings {
            access: Access {
                chats: vec![CHAT],
                users: None,
            },
            max_jobs: 2,
            permits: 7,
            built: 1_700_000_000,
            ..Settings::default()
        };
        let mut next = Next {
            monitor: Monitor::new(sites(), settings, now(0), 1),
            clock: 0,
            updates: snapshot.last_update.expect("there were commands"),
            heard: Vec::new(),
            writer: loaded.writer,
            dir,
        };
        let added = snapshot.added.clone().expect("a site was added");
        assert!(added[0].url.starts_with("http://127.0.0.1:"));
        let added = added.into_iter().map(|record| {
            let site = named(&record.name);
            (record, Ok(site))
        });
        next.monitor.adopt(added.collect(), now(0));
        next.monitor.restore(&snapshot, now(0));
        let path = next.dir.path().to_owned();
        let (_, damage) = HistoryFiles::load(&path, |record| next.monitor.restore_history(record));
        assert_eq!(damage, None);
        next
    }

    fn snapshot(&self) -> Snapshot {
        self.monitor.snapshot(now(self.clock))
    }

    fn feed(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for action in self.monitor.handle(now(self.clock), event) {
                match action {
                    Action::Send(outgoing) => {
                        // A touch-up changes only the buttons.
                        if !outgoing.message.touch_up {
                            self.heard.push(outgoing.message.html);
                        }
                        events.push(Event::Delivered {
                            id: outgoing.id,
                            delivery: Delivery::Sent { message_id: 900 },
                        });
                    }
                    Action::Save => {
                        let written = self.writer.save(self.snapshot()).expect("saves");
                        let blocks = written.blocks;
                        events.push(Event::Saved { blocks });
                    }
                    _ => {}
                }
            }
        }
    }

    fn pass(&mut self, seconds: u64) -> Vec<String> {
        for _ in 0..seconds {
            self.clock += 1;
            self.feed(Event::Due);
        }
        std::mem::take(&mut self.heard)
    }

    /// Reports a good check of the site.
    fn recovers(&mut self, name: &str) -> Vec<String> {
        let outcome: Outcome = good(10);
        let site = named(name).into();
        self.feed(Event::Checked { site, outcome });
        self.pass(3)
    }

    fn ask(&mut self, text: &str) -> String {
        self.updates += 1;
        let message = Incoming {
            chat: CHAT,
            user: Some(42),
            text: text.to_owned(),
            date: now(self.clock).wall,
            ..Incoming::default()
        };
        self.feed(Event::Update(Update {
            id: self.updates,
            content: Some(Content::Message(message)),
        }));
        self.pass(5).join("\n")
    }
}

fn now(clock: u64) -> Now {
    Now {
        uptime: Duration::from_secs(clock),
        wall: NOW + i64::try_from(clock).expect("small"),
        zone: sitemon::monitor::time::zone::Zone::UTC,
    }
}

fn named(name: &str) -> Site {
    let mut plain = site(0);
    plain.name = name.to_owned();
    plain.slow = (name == "slow").then_some(Duration::from_millis(50));
    plain
}

fn sites() -> Vec<Site> {
    let names = ["up", "blog", "shop", "slow", "wiki", "late", "flap"];
    names.map(named).into()
}

#[test]
fn what_an_earlier_version_wrote_is_known_to_this_one() {
    for version in VERSIONS {
        let mut next = Next::of(version);
        let heard = next.pass(2);
        let waited = "🔴 <b>late</b> is down: HTTP 404, wanted 200-299 (#6) · 3 min 6 s ago";
        let address = named("late").url;
        let link = format!("<a href=\"{address}\">{address}</a>");
        assert_eq!(heard, [format!("{waited}\n{link}")], "{version}");

        let incidents = next.ask("/incidents");
        for line in [
            "🔴 #6 <b>late</b> for 3 min ",
            "🔴 #5 <b>flap</b> for 5 min ",
            "🔴 #2 <b>shop</b> for 5 min ",
            "🔴 #1 <b>blog</b> for 5 min ",
            ", acknowledged by Ann 5 min ",
            "⚪ #4 <b>flap</b> lasted 2 s, ended 5 min ",
            "⚪ #3 <b>flap</b> lasted 2 s, ended 5 min ",
        ] {
            assert!(incidents.contains(line), "{version}: {line}: {incidents}");
        }
        let shop = next.ask("/site shop");
        for line in [
            "🔴 <b>shop</b> has been down for 5 min ",
            "% of 2 min watched (24 h, 7 d, 30 d, 90 d)",
            "🔕 muted for 6 d 23 h",
        ] {
            assert!(shop.contains(line), "{version}: {line}: {shop}");
        }
        for (site, line) in [
            ("up", "Uptime: 100 % of 2 min watched"),
            ("slow", "🟡 <b>slow</b> has been degraded for "),
            ("wiki", "⏸ <b>wiki</b> has been paused"),
            ("flap", "It is flapping."),
            (ADDED, "🟢 <b>added</b> has been up for "),
        ] {
            let said = next.ask(&format!("/site {site}"));
            assert!(said.contains(line), "{version}: {line}: {said}");
        }

        // The next incident has the next number.
        assert_eq!(next.snapshot().next_incident, 7);
    }
}

#[test]
fn what_began_under_an_earlier_version_ends_under_this_one() {
    for version in VERSIONS {
        let mut next = Next::of(version);
        next.pass(100);
        let blog = next.recovers("blog").join("\n");
        assert!(
            blog.contains("<b>blog</b> is up again after "),
            "{version}: {blog}"
        );
        assert!(blog.contains("(#1)"), "{version}: {blog}");
        assert_eq!(
            next.recovers("shop"),
            [""; 0],
            "{version}: it began in silence"
        );
        let slow = next.recovers("slow").join("\n");
        assert!(
            slow.contains("<b>slow</b> is fast again after "),
            "{version}: {slow}"
        );
        let late = next.recovers("late").join("\n");
        assert!(
            late.contains("<b>late</b> is up again after "),
            "{version}: {late}"
        );
        assert_eq!(next.recovers("flap"), [""; 0], "{version}: it flaps");
        let steady = next.pass(16 * 60).join("\n");
        assert!(
            steady.contains("<b>flap</b> is steady again, up for "),
            "{version}: {steady}"
        );
    }
}

#[test]
fn what_was_written_anew_says_the_same() {
    for version in VERSIONS {
        let mut next = Next::of(version);
        next.pass(10);
        let before = next.snapshot();
        next.writer.save(before.clone()).expect("saves");
        let dir = next.dir;
        drop((next.monitor, next.writer));
        let again = sitemon::state::read(dir.path()).expect("is readable");
        assert_eq!(again.incidents, before.incidents, "{version}");
        assert_eq!(again.sites, before.sites, "{version}");
        assert_eq!(again.added, before.added, "{version}");
        Next::open(dir);
    }
}
