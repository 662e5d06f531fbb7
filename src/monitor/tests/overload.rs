//! Three times as many checks are due as can be made: no site is judged by that, all sites get
//! equal shares, and one alert reports it.

use super::builders::{access, bad, good, settings, site};
use crate::monitor::outbox::message::{Content, Delivery, Incoming, Update};
use crate::monitor::render::metrics::ProcessFigures;
use crate::monitor::render::stats::Vitals;
use crate::monitor::site::Site;
use crate::monitor::site::outcome::Outcome;
use crate::monitor::time::zone::Zone;
use crate::monitor::time::{Moment, Now};
use crate::monitor::uplink::ProbeResult;
use crate::monitor::{Action, Event, Monitor};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

const CHAT: i64 = 7;
/// Checks under way at once, and duration of each in ms: 30 checks per second.
const PERMITS: usize = 3;
const LASTS: i64 = 100;

/// Simulates how the agent queues checks: one queue, and a permit for each check under way.
struct Machine {
    monitor: Monitor,
    clock: i64,
    waiting: VecDeque<(i64, Arc<Site>)>,
    /// When each check ends, and its site.
    running: Vec<(i64, Arc<Site>)>,
    /// For each site, when its checks began and how long they waited before.
    begun: BTreeMap<String, Vec<(i64, Duration)>>,
    down: Option<&'static str>,
    sent: Vec<String>,
    logs: Vec<String>,
    updates: i64,
}

impl Machine {
    fn new(sites: Vec<Site>) -> Machine {
        let now = Now {
            uptime: Duration::ZERO,
            wall: 1_800_000_000,
            zone: Zone::UTC,
        };
        Machine {
            monitor: Monitor::new(sites, settings(access()), now, 42),
            clock: 0,
            waiting: VecDeque::new(),
            running: Vec::new(),
            begun: BTreeMap::new(),
            down: None,
            sent: Vec::new(),
            logs: Vec::new(),
            updates: 0,
        }
    }

    fn now(&self) -> Now {
        Now {
            uptime: Duration::from_millis(self.clock as u64),
            wall: 1_800_000_000 + self.clock / 1000,
            zone: Zone::UTC,
        }
    }

    fn pass(&mut self, seconds: i64) {
        let until = self.clock + 1000 * seconds;
        self.feed(Event::Due);
        loop {
            let due = self.monitor.next_wakeup(self.now()).map(|Moment(at)| at);
            let ends = self.running.iter().map(|(at, ..)| *at);
            let Some(next) = ends.chain(due).min().filter(|at| *at <= until) else {
                break;
            };
            self.clock = self.clock.max(next);
            let ended: Vec<_> = self
                .running
                .extract_if(.., |(at, ..)| *at <= next)
                .collect();
            for (_, site) in ended {
                let outcome: Outcome = match self.down == Some(site.name.as_str()) {
                    true => bad(),
                    false => good(LASTS as u64),
                };
                self.feed(Event::Checked { site, outcome });
            }
            self.feed(Event::Due);
            while self.running.len() < PERMITS {
                let Some((since, site)) = self.waiting.pop_front() else {
                    break;
                };
                let waited = Duration::from_millis((self.clock - since) as u64);
                let begun = self.begun.entry(site.name.clone()).or_default();
                begun.push((self.clock, waited));
                self.running.push((self.clock + LASTS, site));
            }
        }
        self.clock = until;
    }

    fn feed(&mut self, event: Event) {
        for action in self.monitor.handle(self.now(), event) {
            let event = match action {
                Action::Check { site, .. } => {
                    self.waiting.push_back((self.clock, site));
                    continue;
                }
                Action::Send(outgoing) => {
                    if outgoing.message.edit.is_none() {
                        self.sent.push(outgoing.message.html);
                    }
                    let delivery = Delivery::Sent { message_id: 1 };
                    Event::Delivered {
                        id: outgoing.id,
                        delivery,
                    }
                }
                Action::Save => Event::Saved { blocks: 1 },
                Action::Measure { requester } => Event::Measured {
                    requester,
                    vitals: Box::new(Vitals::default()),
                },
                Action::Probe { .. } => Event::Probed(ProbeResult {
                    up: true,
                    ipv6: None,
                    names: None,
                    trusted: None,
                }),
                Action::Log(_, line) => {
                    self.logs.push(line);
                    continue;
                }
                _ => continue,
            };
            self.feed(event);
        }
    }

    /// Sends a command and returns the immediate reply.
    fn ask(&mut self, text: &str) -> String {
        let before = self.sent.len();
        let content = Some(Content::Message(Incoming {
            chat: CHAT,
            user: Some(1),
            text: text.to_owned(),
            date: self.now().wall,
            ..Incoming::default()
        }));
        self.updates += 1;
        let id = self.updates;
        self.feed(Event::Update(Update { id, content }));
        self.sent.split_off(before).concat()
    }
}

fn every(name: &str, seconds: u64) -> Site {
    Site {
        interval: Duration::from_secs(seconds),
        ..site(name)
    }
}

#[test]
fn three_times_the_checks_are_shared_fairly_and_told_once() {
    let sites = (0..90).map(|n| every(&format!("s{n}"), 1)).collect();
    let mut machine = Machine::new(sites);
    machine.pass(1800);
    assert_eq!(machine.sent.len(), 1, "{:?}", machine.sent);
    let told = &machine.sent[0];
    let figures =
        ["88", "89", "90", "91"].map(|wanted| format!(": {wanted} checks/s wanted, 30 done."));
    assert!(
        told.contains("Rounds are late") && figures.iter().any(|figures| told.contains(figures)),
        "{told}"
    );
    let lines = machine.logs.iter();
    assert_eq!(lines.filter(|l| l.contains("Rounds are")).count(), 1);
    // 600 checks of each site in 1,800 s; no site waits longer than the others.
    for (name, begun) in &machine.begun {
        assert!(
            (560..=640).contains(&begun.len()),
            "{name}: {}",
            begun.len()
        );
        for pair in begun.windows(2).skip(60) {
            let gap = pair[1].0 - pair[0].0;
            assert!((2_000..=4_200).contains(&gap), "{name} after {gap} ms");
        }
    }
    let status = machine.ask("/status");
    assert!(status.contains("90 up"), "{status}");
    let stats = machine.ask("/stats");
    assert!(
        stats.contains(" rounds, now ") && stats.contains(" checks/s wanted, 30 done"),
        "{stats}"
    );
    let metrics = machine.monitor.metrics(ProcessFigures::default());
    let late = metrics.agent.rounds_late;
    assert!((80_000..=130_000).contains(&late), "{late}");
    let all_good = |counts: [u64; 3]| counts[0] > 500 && counts[1] + counts[2] == 0;
    assert!(metrics.sites.iter().all(|site| all_good(site.results)));
}

#[test]
fn sites_of_every_interval_wait_alike() {
    let names = |seconds: u64, count: usize| {
        (0..count).map(move |n| every(&format!("{seconds}-{n}"), seconds))
    };
    let sites = names(1, 80).chain(names(5, 40)).chain(names(60, 120));
    let mut machine = Machine::new(sites.collect());
    machine.pass(1800);
    let mean = |seconds: u64| {
        let begin = format!("{seconds}-");
        let of = machine
            .begun
            .iter()
            .filter(|(name, _)| name.starts_with(&begin));
        let waits: Vec<u128> = of
            .flat_map(|(_, begun)| begun.iter().map(|(_, waited)| waited.as_millis()))
            .collect();
        waits.iter().sum::<u128>() / waits.len() as u128
    };
    let waits = [mean(1), mean(5), mean(60)];
    let (least, most) = (waits.iter().min(), waits.iter().max());
    assert!(
        most.zip(least)
            .is_some_and(|(most, least)| *most < 2 * least),
        "{waits:?}"
    );
    assert_eq!(machine.sent.len(), 1, "{:?}", machine.sent);
}

#[test]
fn an_outage_is_still_found_and_no_other_site_is_blamed() {
    let sites = (0..90).map(|n| every(&format!("s{n}"), 1)).collect();
    let mut machine = Machine::new(sites);
    machine.pass(300);
    machine.sent.clear();
    machine.down = Some("s50");
    machine.pass(300);
    let told = |machine: &mut Machine, word: &str| {
        let sent: Vec<String> = machine.sent.drain(..).collect();
        assert!(
            sent.len() == 1 && sent[0].contains("s50") && sent[0].contains(word),
            "{sent:?}"
        );
    };
    told(&mut machine, " is down");
    machine.down = None;
    machine.pass(60);
    told(&mut machine, " is up again");
}
