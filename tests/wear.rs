//! What a day costs the flash: the whole core in virtual time, over a real state directory.

use sitemon::monitor::command::Access;
use sitemon::monitor::line::Report;
use sitemon::monitor::message::{Content, Delivery, Incoming, Update};
use sitemon::monitor::outcome::{FailureKind, Outcome};
use sitemon::monitor::site::{Check, HttpCheck, HttpVersion, IpVersion, Secrets, Site, StatusSet};
use sitemon::monitor::time::Now;
use sitemon::monitor::{Action, Event, Monitor, Settings};
use sitemon::state::{BLOCK, Past, State, Writer};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

const SITES: usize = 100;
const HOUR: i64 = 3_600_000;
/// One outage an hour, of another site each time.
const OUTAGE: i64 = 10 * 60_000;

#[test]
fn a_day_with_a_hundred_sites_and_an_outage_an_hour_writes_less_than_500_kb() {
    let dir = tempfile::tempdir().expect("a directory");
    let writer = State::open(dir.path()).expect("opens").load().writer;
    let (past, _) = Past::load(dir.path(), |_| {});
    let mut day = Day::new(writer, past);
    let mut days = Vec::new();
    for n in 1..=3 {
        day.run(n * 24 * HOUR);
        days.push(day.count());
    }
    println!(
        "of that {} KB in three days for the history",
        day.history_blocks * BLOCK / 1024
    );
    let most = days.iter().map(|(_, _, blocks)| *blocks).max();
    for (saves, bytes, blocks) in &days {
        println!(
            "{SITES} sites, 24 outages a day: {saves} writes, {:.1} KB of data, {} KB in {BLOCK}-byte blocks",
            *bytes as f64 / 1024.0,
            blocks * BLOCK / 1024
        );
    }
    let most = most.unwrap_or(0) * BLOCK;
    assert!(most <= 500 * 1024, "{most} bytes on the worst day");
}

struct Day {
    monitor: Monitor,
    writer: Writer,
    past: Past,
    clock: i64,
    running: BinaryHeap<Reverse<(i64, String)>>,
    commands: i64,
    saves: u64,
    bytes: u64,
    blocks: u64,
    history_blocks: u64,
}

impl Day {
    fn new(writer: Writer, past: Past) -> Day {
        let settings = Settings {
            access: Access {
                chats: vec![7, -100],
                users: None,
            },
            max_jobs: 2,
            uplink: true,
            heartbeat: true,
            quiet: None,
            digest: None,
            built: 1_700_000_000,
        };
        Day {
            monitor: Monitor::new((0..SITES).map(site), settings, at(0), 1),
            writer,
            past,
            clock: 0,
            running: BinaryHeap::new(),
            commands: 0,
            saves: 0,
            bytes: 0,
            blocks: 0,
            history_blocks: 0,
        }
    }

    fn run(&mut self, until: i64) {
        self.feed(Event::Due);
        while self.clock < until {
            let due = self.monitor.next_wakeup(at(self.clock)).map(|m| m.0);
            let ends = self.running.peek().map(|Reverse((at, _))| *at);
            // Somebody asks for the status now and then.
            let asks = (self.commands + 1) * 8 * HOUR;
            let next = due.into_iter().chain(ends).chain([asks]).min();
            self.clock = next.unwrap_or(until).max(self.clock);
            if asks <= self.clock {
                self.commands += 1;
                self.feed(ask(self.commands, self.clock));
            } else if ends.is_some_and(|ends| ends <= self.clock)
                && let Some(Reverse((_, site))) = self.running.pop()
            {
                let outcome = self.outcome(&site);
                self.feed(Event::Checked { site, outcome });
            } else {
                self.feed(Event::Due);
            }
        }
    }

    fn count(&mut self) -> (u64, u64, u64) {
        let count = (self.saves, self.bytes, self.blocks);
        (self.saves, self.bytes, self.blocks) = (0, 0, 0);
        count
    }

    fn outcome(&self, site: &str) -> Outcome {
        let hour = usize::try_from(self.clock / HOUR).unwrap_or(0);
        let down = self.clock % HOUR < OUTAGE && site == name(hour * 7 % SITES);
        let address = "203.0.113.34".parse().ok();
        if down {
            let detail = "HTTP 503, wanted 200-299";
            return Outcome {
                address,
                ..Outcome::failed(FailureKind::Status, detail)
            };
        }
        Outcome {
            verdict: Ok(()),
            took: Some(Duration::from_millis(
                40 + u64::try_from(self.clock % 17).unwrap_or(0),
            )),
            phases: None,
            address,
            detail: None,
        }
    }

    fn save_history(&mut self) {
        let hour = self.monitor.unwritten_hour().expect("there is a clock");
        let extent = self.past.need(self.monitor.site_names(), hour);
        let records = self.monitor.history_records(extent, false);
        let written = self.past.save(extent, &records).expect("there is room");
        self.monitor.history_saved(&records);
        self.history_blocks += written.blocks;
        self.saves += 1;
        self.bytes += written.bytes;
        self.blocks += written.blocks;
    }

    fn feed(&mut self, event: Event) {
        let mut actions: VecDeque<Action> = self.monitor.handle(at(self.clock), event).into();
        while let Some(action) = actions.pop_front() {
            let event = match action {
                Action::Check { site, .. } => {
                    let ends = self.clock + 40;
                    self.running.push(Reverse((ends, site.name.clone())));
                    continue;
                }
                Action::Send(outgoing) => Event::Delivered {
                    id: outgoing.id,
                    delivery: Delivery::Sent { message_id: 5 },
                },
                Action::Probe { .. } => Event::Probed(Report {
                    up: true,
                    ipv6: None,
                    names: None,
                    trusted: None,
                }),
                Action::Save => {
                    let snapshot = self.monitor.snapshot(at(self.clock));
                    let written = self.writer.save(snapshot).expect("there is room");
                    self.saves += 1;
                    self.bytes += written.bytes;
                    self.blocks += written.blocks;
                    Event::Saved
                }
                Action::SaveHistory => {
                    self.save_history();
                    continue;
                }
                _ => continue,
            };
            actions.extend(self.monitor.handle(at(self.clock), event));
        }
    }
}

fn ask(n: i64, clock: i64) -> Event {
    Event::Update(Update {
        id: n,
        content: Some(Content::Message(Incoming {
            chat: 7,
            user: Some(7),
            text: "/status".into(),
            date: at(clock).wall,
            ..Incoming::default()
        })),
    })
}

fn at(clock: i64) -> Now {
    Now {
        uptime: Duration::from_millis(u64::try_from(clock).unwrap_or(0)),
        wall: 1_800_000_000 + clock / 1000,
        zone: sitemon::monitor::zone::Zone::UTC,
    }
}

fn name(n: usize) -> String {
    format!("www.customer-{n:02}.example")
}

fn site(n: usize) -> Site {
    let url = format!("https://{}/health", name(n));
    Site {
        name: name(n),
        url: url.clone(),
        interval: Duration::from_secs(60),
        timeout: Duration::from_secs(10),
        tries: 3,
        retry: Duration::from_secs(10),
        after: None,
        cert: None,
        domain: None,
        recover: 1,
        remind: Some(Duration::from_secs(6 * 3600)),
        slow: None,
        group: None,
        paused: false,
        maintenance: Vec::new(),
        chats: None,
        secrets: Secrets::default(),
        check: Check::Http(HttpCheck {
            url,
            method: "GET".into(),
            headers: Vec::new(),
            send: None,
            auth: None,
            status: StatusSet {
                ranges: vec![(200, 299)],
            },
            body: None,
            body_not: None,
            json: Vec::new(),
            login: None,
            redirects: 10,
            private_redirects: false,
            version: HttpVersion::Any,
            ip: IpVersion::Any,
            verify: true,
            ca_file: None,
        }),
    }
}
