//! A day of the whole core in virtual time, with a real state directory, whose writes are counted.

use super::plain_site::plain_site;
use sitemon::monitor::expiry::Subject;
use sitemon::monitor::outbox::message::{Content, Delivery, Incoming, Update};
use sitemon::monitor::site::Site;
use sitemon::monitor::site::access::Access;
use sitemon::monitor::site::outcome::{Expiry, FailureKind, Outcome};
use sitemon::monitor::time::Now;
use sitemon::monitor::uplink::ProbeResult;
use sitemon::monitor::{Action, Event, Monitor, Settings};
use sitemon::state::{BLOCK, HistoryFiles, State, Writer};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::Duration;
use tempfile::TempDir;

pub const SECOND: i64 = 1_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

/// The chat of the user who writes; a second one only receives.
pub const CHAT: i64 = 7;
const GROUP: i64 = -100;

/// A check: the index of its site, its number among the checks of the site, its time in ms.
#[derive(Clone, Copy)]
pub struct Asked {
    pub site: usize,
    pub nth: i64,
    pub clock: i64,
}

/// The world of the agent.
pub struct Scene {
    pub sites: Vec<Site>,
    pub outcome: fn(Asked) -> Outcome,
    /// Telegram's answer to the n-th message, at this time.
    pub delivery: fn(i64, i64) -> Delivery,
    /// Whether the uplink works at this time.
    pub line: fn(i64) -> bool,
    /// The n-th result of a look at a certificate or a domain.
    pub expiry: fn(i64, i64) -> Expiry,
    /// Messages of users: interval in ms, chat, and text.
    pub writes: Option<(i64, i64, &'static str)>,
    /// A message of the user at the start.
    pub first: Option<&'static str>,
}

impl Scene {
    pub fn of(sites: Vec<Site>, outcome: fn(Asked) -> Outcome) -> Scene {
        Scene {
            sites,
            outcome,
            delivery: |_, _| Delivery::Sent { message_id: 5 },
            line: |_| true,
            expiry: |_, clock| Expiry {
                ends: at(clock).wall + 90 * 86_400,
                subject: "www.example".into(),
                issuer: "R11".into(),
                key: "RSA 2048".into(),
            },
            writes: Some((8 * HOUR, CHAT, "/status")),
            first: None,
        }
    }
}

/// The writes of a day.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    pub saves: u64,
    pub bytes: u64,
    pub blocks: u64,
    /// Blocks that belong to the history.
    pub history: u64,
}

impl Cost {
    pub fn kilobytes(self) -> u64 {
        self.blocks * BLOCK / 1024
    }
}

pub struct Day {
    scene: Scene,
    index: HashMap<String, usize>,
    monitor: Monitor,
    writer: Writer,
    past: HistoryFiles,
    clock: i64,
    running: BinaryHeap<Reverse<(i64, String)>>,
    checks: Vec<i64>,
    updates: i64,
    sent: i64,
    looks: i64,
    /// Alerts that arrived in the user's chat, and when.
    pub told: Vec<(i64, String)>,
    cost: Cost,
    _dir: TempDir,
}

impl Day {
    pub fn new(scene: Scene) -> Day {
        // This thread computes all the time: tests that measure go first.
        let _ = rustix::process::setpriority_process(None, 10);
        let dir = tempfile::tempdir().expect("a directory");
        let writer = State::open(dir.path()).expect("opens").load().writer;
        let (past, _) = HistoryFiles::load(dir.path(), |_| {});
        let settings = Settings {
            access: Access {
                chats: vec![CHAT, GROUP],
                users: None,
            },
            max_jobs: 2,
            permits: 7,
            uplink: true,
            heartbeat: true,
            built: 1_700_000_000,
            ..Settings::default()
        };
        let names = scene.sites.iter().enumerate();
        let mut day = Day {
            index: names.map(|(n, s)| (s.name.clone(), n)).collect(),
            monitor: Monitor::new(scene.sites.clone(), settings, at(0), 1),
            writer,
            past,
            clock: 0,
            running: BinaryHeap::new(),
            checks: vec![0; scene.sites.len()],
            updates: 0,
            sent: 0,
            looks: 0,
            told: Vec::new(),
            cost: Cost::default(),
            scene,
            _dir: dir,
        };
        if let Some(text) = day.scene.first {
            day.write(CHAT, text);
        }
        day.feed(Event::Due);
        day
    }

    /// Runs until then, and returns the writes.
    pub fn run(&mut self, until: i64) -> Cost {
        let began = self.clock;
        while self.clock < until {
            let due = self.monitor.next_wakeup(at(self.clock)).map(|m| m.0);
            let ends = self.running.peek().map(|Reverse((at, _))| *at);
            let writes = self.scene.writes;
            let writes = writes.map(|(every, chat, text)| (self.clock / every, every, chat, text));
            let writes = writes.map(|(n, every, chat, text)| ((n + 1) * every, chat, text));
            let next = due.into_iter().chain(ends).chain(writes.map(|w| w.0)).min();
            let before = self.clock;
            self.clock = next.unwrap_or(until).max(self.clock);
            if ends.is_some_and(|ends| ends <= self.clock)
                && let Some(Reverse((_, site))) = self.running.pop()
            {
                self.ends(site);
            } else if let Some((when, chat, text)) = writes
                && when == self.clock
                && before < when
            {
                self.write(chat, text);
            } else {
                self.feed(Event::Due);
            }
        }
        assert!(self.clock > began);
        std::mem::take(&mut self.cost)
    }

    fn ends(&mut self, name: String) {
        let place = self.index[&name];
        self.checks[place] += 1;
        let outcome = (self.scene.outcome)(Asked {
            site: place,
            nth: self.checks[place],
            clock: self.clock,
        });
        let site = site(place).into();
        self.feed(Event::Checked { site, outcome });
    }

    fn write(&mut self, chat: i64, text: &str) {
        self.updates += 1;
        let content = Some(Content::Message(Incoming {
            chat,
            user: Some(chat),
            text: text.into(),
            date: at(self.clock).wall,
            ..Incoming::default()
        }));
        self.feed(Event::Update(Update {
            id: self.updates,
            content,
        }));
    }

    fn save_history(&mut self) {
        let hour = self.monitor.unwritten_hour().expect("there is a clock");
        let extent = self.past.need(self.monitor.site_names(), hour);
        let records = self.monitor.history_records(extent, false);
        let written = self.past.save(extent, &records).expect("there is room");
        self.monitor.history_saved(&records);
        self.cost.history += written.blocks;
        self.cost.saves += 1;
        self.cost.bytes += written.bytes;
        self.cost.blocks += written.blocks;
    }

    fn save(&mut self) -> Event {
        let snapshot = self.monitor.snapshot(at(self.clock));
        let written = self.writer.save(snapshot).expect("there is room");
        self.cost.saves += 1;
        self.cost.bytes += written.bytes;
        self.cost.blocks += written.blocks;
        Event::Saved {
            blocks: written.blocks,
        }
    }

    fn feed(&mut self, event: Event) {
        let mut actions: VecDeque<Action> = self.monitor.handle(at(self.clock), event).into();
        while let Some(action) = actions.pop_front() {
            if let Some(event) = self.perform(action) {
                actions.extend(self.monitor.handle(at(self.clock), event));
            }
        }
    }

    fn perform(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Check { site, .. } => {
                self.running
                    .push(Reverse((self.clock + 40, site.name.clone())));
                None
            }
            Action::Send(outgoing) => {
                self.sent += 1;
                let delivery = (self.scene.delivery)(self.clock, self.sent);
                let arrived = matches!(delivery, Delivery::Sent { .. });
                if arrived && outgoing.alert && outgoing.message.chat == CHAT {
                    self.told.push((self.clock, outgoing.message.html));
                }
                let id = outgoing.id;
                Some(Event::Delivered { id, delivery })
            }
            Action::Probe { .. } => Some(Event::Probed(ProbeResult {
                up: (self.scene.line)(self.clock),
                ipv6: None,
                names: None,
                trusted: None,
            })),
            Action::Inspect { site, subject } => {
                self.looks += 1;
                let expiry = (self.scene.expiry)(self.looks, self.clock);
                Some(Event::Inspected {
                    site: site.name.clone(),
                    subject,
                    result: Ok(named(expiry, subject).into()),
                })
            }
            Action::Save => Some(self.save()),
            Action::SaveHistory => {
                self.save_history();
                None
            }
            _ => None,
        }
    }
}

fn named(expiry: Expiry, subject: Subject) -> Expiry {
    match subject {
        Subject::Certificate => expiry,
        Subject::Domain => Expiry {
            key: String::new(),
            ..expiry
        },
    }
}

pub fn at(clock: i64) -> Now {
    Now {
        uptime: Duration::from_millis(u64::try_from(clock).unwrap_or(0)),
        wall: 1_800_000_000 + clock / 1000,
        zone: sitemon::monitor::time::zone::Zone::UTC,
    }
}

pub fn good(ms: i64) -> Outcome {
    Outcome {
        verdict: Ok(()),
        took: Some(Duration::from_millis(u64::try_from(ms).unwrap_or(0))),
        phases: None,
        address: "203.0.113.34".parse().ok(),
        detail: None,
        warning: None,
    }
}

pub fn bad(cause: &str) -> Outcome {
    Outcome {
        address: "203.0.113.34".parse().ok(),
        ..Outcome::failed(FailureKind::Status, cause)
    }
}

pub fn name(n: usize) -> String {
    format!("www.customer-{n:02}.example")
}

pub fn site(n: usize) -> Site {
    plain_site(&name(n), &format!("https://{}/health", name(n)))
}
