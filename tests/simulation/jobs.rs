//! Jobs that report by themselves, on days of their own: the agent is off over due times, its clock
//! is not set or jumps, power is cut at any moment. The model knows when the agent ran with a
//! steady clock; it checks that no job was called late because of the agent's own absence, that no
//! missing or bad report went unnoticed, and that no report was lost.
//!
//! The job runs by the clock of its machine, as cron does, and succeeds or fails at random.

use crate::dice::Dice;
use crate::plain_site::plain_site;
use crate::plan::{BUILT, WALL};
use nanoserde::{DeJson, SerJson};
use sitemon::monitor::outbox::message::Delivery;
use sitemon::monitor::persist::snapshot::Snapshot;
use sitemon::monitor::site::access::Access;
use sitemon::monitor::site::report::{Report, ReportAnswer, ReportKind, Way};
use sitemon::monitor::site::{Check, Due, PushCheck, Site};
use sitemon::monitor::time::hours::{ALL_DAYS, Hours, Window};
use sitemon::monitor::time::zone::Zone;
use sitemon::monitor::time::{Moment, Now};
use sitemon::monitor::{Action, Event, Monitor, Settings};
use std::collections::VecDeque;
use std::time::Duration;

const DAYS: i64 = 4;
/// All times here are in seconds since the start of the simulation.
const MINUTE: i64 = 60;
const HOUR: i64 = 3600;
const DAY: i64 = 86_400;
/// Time within which a change of state must be seen, in seconds.
const SOON: i64 = 2 * MINUTE;

struct World {
    dice: Dice,
    now: i64,
    site: Site,
    every: Option<i64>,
    grace: i64,
    /// Minute of the day at which cron starts the job.
    at: i64,
    monitor: Option<Monitor>,
    began: i64,
    /// Seconds by which the wall clock is ahead, and whether it is set.
    offset: i64,
    set: bool,
    disk: Option<String>,
    /// Reports in the spool, and reports that wait for the agent's answer.
    spool: VecDeque<Report>,
    asked: Vec<(u64, Report)>,
    next: u64,
    /// State of the model: since when the agent has run with a steady clock.
    calm_since: i64,
    /// Reported ends: the true time, the wall clock's time, and whether the run succeeded.
    ends: Vec<(i64, i64, bool)>,
    first: i64,
    was_down: bool,
    faults: Vec<String>,
}

impl World {
    fn wall(&self) -> i64 {
        match self.set {
            true => WALL + self.now + self.offset,
            false => 1000 + self.now - self.began,
        }
    }

    fn clocks(&self) -> Now {
        Now {
            uptime: Duration::from_secs((self.now - self.began).unsigned_abs()),
            wall: self.wall(),
            zone: Zone::UTC,
        }
    }

    fn settings() -> Settings {
        Settings {
            access: Access {
                chats: vec![7],
                users: None,
            },
            max_jobs: 2,
            permits: 7,
            built: BUILT,
            ..Settings::default()
        }
    }

    fn boot(&mut self) {
        (self.began, self.calm_since) = (self.now, self.now);
        if self.disk.is_none() {
            // The cut came within the first hour, in which nothing had to be written.
            self.first = self.now;
        }
        let now = self.clocks();
        let mut monitor = Monitor::new([self.site.clone()], World::settings(), now, 1);
        if let Some(json) = &self.disk {
            let snapshot = Snapshot::deserialize_json(json).expect("own JSON");
            monitor.restore(&snapshot, now);
            // The site may have gone down in the minute of the cut.
            self.was_down |= snapshot.sites[0].state == "down";
        }
        self.monitor = Some(monitor);
        self.feed(Event::Due);
        let mut kept: Vec<Report> = self.spool.drain(..).collect();
        kept.sort_by_key(|report| report.at);
        for report in kept {
            let way = Way::Spool;
            self.hand_over(Report { way, ..report });
        }
    }

    /// Cuts the power. The reporting programs spool the reports that were not answered.
    fn cut(&mut self) {
        self.monitor = None;
        let unanswered = std::mem::take(&mut self.asked);
        self.spool
            .extend(unanswered.into_iter().map(|(_, report)| report));
    }

    fn feed(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let now = self.clocks();
            let Some(monitor) = &mut self.monitor else {
                return;
            };
            for action in monitor.handle(now, event) {
                match action {
                    Action::Save => {
                        let snapshot = self.monitor.as_ref().map(|m| m.snapshot(now));
                        if self.dice.chance(1) {
                            // The cut comes before the write, or before the agent knows of it.
                            if self.dice.chance(50) {
                                self.disk = snapshot.map(|s| s.serialize_json());
                            }
                            return self.cut();
                        }
                        self.disk = snapshot.map(|s| s.serialize_json());
                        events.push_back(Event::Saved { blocks: 1 });
                    }
                    Action::Send(outgoing) => events.push_back(Event::Delivered {
                        id: outgoing.id,
                        delivery: Delivery::Sent { message_id: 1 },
                    }),
                    Action::AnswerReport { id, answer } => {
                        assert_eq!(answer, ReportAnswer::Saved);
                        self.asked.retain(|(asked, _)| *asked != id);
                    }
                    Action::Check { .. } => self.fault("it was checked"),
                    _ => {}
                }
            }
        }
    }

    fn hand_over(&mut self, report: Report) {
        if self.monitor.is_none() {
            return self.spool.push_back(report);
        }
        self.next += 1;
        self.asked.push((self.next, report.clone()));
        let id = self.next;
        self.feed(Event::Reported { id, report });
    }

    fn report(&mut self, kind: ReportKind) {
        // The end of a run is dated later than its start.
        let at = self.wall() * 1000 + i64::from(kind != ReportKind::Start);
        if kind != ReportKind::Start {
            let good = kind == ReportKind::Good;
            self.ends.push((self.now, self.wall(), good));
        }
        self.hand_over(Report {
            site: self.site.name.clone(),
            kind,
            at,
            code: None,
            took: None,
            lines: String::new(),
            way: Way::Socket,
        });
    }

    /// Advances to the next minute, with every wake-up of the agent before it.
    fn pass_a_minute(&mut self) {
        let until = self.now + MINUTE;
        while self.monitor.is_some() {
            let now = self.clocks();
            let wake = self.monitor.as_mut().and_then(|m| m.next_wakeup(now));
            let Some(Moment(wake)) = wake else { break };
            let wake = (self.began + (wake + 999).div_euclid(1000)).max(self.now + 1);
            if wake > until {
                break;
            }
            self.now = wake;
            self.feed(Event::Due);
        }
        self.now = until;
    }

    fn fault(&mut self, what: &str) {
        let (day, rest) = (self.now / DAY, self.now % DAY);
        let (hour, minute) = (rest / HOUR, rest % HOUR / MINUTE);
        self.faults
            .push(format!("day {day}, {hour:02}:{minute:02}: {what}"));
    }

    fn is_calm_for(&self, time: i64) -> bool {
        self.monitor.is_some() && self.set && self.now - self.calm_since >= time
    }

    /// Compares the state of the site with the true one.
    fn compare(&mut self) {
        let now = self.clocks();
        let Some(monitor) = &self.monitor else { return };
        let snapshot = monitor.snapshot(now);
        let site = snapshot.sites[0].clone();
        let down = site.state == "down";
        let before = std::mem::replace(&mut self.was_down, down);
        let cause = site.cause.clone().unwrap_or_default();
        let last = self.ends.last().copied();
        let bad = last.is_some_and(|(.., good)| !good);
        let since = last.map_or(self.first, |(at, ..)| at);
        let waited = self.now - since;
        if down && cause.starts_with("no report") {
            if !self.is_calm_for(self.grace - SOON) && !before {
                self.fault(&format!("late for our own absence: {cause}"));
            }
            // Across a restart only the wall clock shows the time that has passed, and it may have
            // jumped.
            let shown = self.wall() - last.map_or(WALL, |(_, wall, _)| wall);
            let waited = match self.began > since {
                true => waited.max(shown),
                false => waited,
            };
            let early = |every| waited < every + self.grace - SOON;
            // The state from before a cut is restored.
            if !before && self.every.is_some_and(early) {
                let (began, wall) = (self.began, self.wall());
                self.fault(&format!("late too early: {cause}; since {since}, {shown} s by the clock, which shows {wall}, began {began}, last {last:?} now {} every {:?} grace {}", self.now, self.every, self.grace));
            }
        } else if down && !bad {
            self.fault(&format!("down, and it ended well: {cause}"));
        }
        if bad && waited > SOON && !down && self.monitor.is_some() {
            self.fault("a bad report went unnoticed");
        }
        let overdue = match self.every {
            Some(every) => {
                waited > every + self.grace + SOON && self.is_calm_for(self.grace + SOON)
            }
            // A time of the day that passed while the agent ran with a steady clock.
            None => {
                let wall = self.wall() - self.grace - SOON;
                let due = (wall - self.at * MINUTE).div_euclid(DAY) * DAY + self.at * MINUTE;
                let ago = self.wall() - due;
                let reported = last.is_some_and(|(at, ..)| self.now - at <= ago + MINUTE);
                self.is_calm_for(ago + 2 * MINUTE) && !reported
            }
        };
        if overdue && !down && self.monitor.is_some() {
            self.fault(&format!(
                "a missing report went unnoticed: last {last:?}, now {} ({} by the clock), began {}, calm since {}, every {:?} or at {} s, grace {}",
                self.now,
                self.wall(),
                self.began,
                self.calm_since,
                self.every,
                self.at * MINUTE,
                self.grace
            ));
        }
    }
}

fn live(seed: u64) -> Vec<String> {
    let mut dice = Dice::new(seed);
    let grace = dice.pick(&[10 * MINUTE, 30 * MINUTE, HOUR]);
    let at = dice.between(0, 1440);
    let every = dice.chance(50).then(|| dice.between(1, 7) * HOUR);
    let minute = u16::try_from(at).expect("of a day");
    let hours = Hours {
        from: minute,
        until: minute + 1,
    };
    let due = match every {
        Some(every) => Due::Every(Duration::from_secs(every.unsigned_abs())),
        None => Due::At(vec![Window {
            days: ALL_DAYS,
            hours,
        }]),
    };
    let site = Site {
        tries: 1,
        check: Check::Push(PushCheck {
            due,
            grace: Duration::from_secs(grace.unsigned_abs()),
            longest: None,
            token: None,
        }),
        ..plain_site("backup", "push:")
    };
    let mut world = World {
        now: 0,
        site,
        every,
        grace,
        at,
        monitor: None,
        began: 0,
        offset: 0,
        set: true,
        disk: None,
        spool: VecDeque::new(),
        asked: Vec::new(),
        next: 0,
        calm_since: 0,
        ends: Vec::new(),
        first: 0,
        was_down: false,
        faults: Vec::new(),
        dice,
    };
    world.boot();
    // Minutes at which the agent comes back, the clock is set, and the present run ends.
    let (mut back, mut clock, mut ending) = (None, None, None::<(i64, ReportKind)>);
    while world.now < DAYS * DAY {
        world.pass_a_minute();
        let minute = world.now / MINUTE;
        if world.monitor.is_none() && back.is_none() {
            let off = world.dice.scale(1, 600);
            back = Some(minute + off);
        }
        if back.is_some_and(|at| minute >= at) {
            back = None;
            if world.dice.chance(25) {
                world.set = false;
                clock = Some(minute + world.dice.between(1, 90));
            }
            world.boot();
        }
        if clock.is_some_and(|at| minute >= at) {
            clock = None;
            (world.set, world.calm_since) = (true, world.now);
            world.feed(Event::Due);
        }
        if world.monitor.is_some() && world.dice.between(0, 1000) == 0 {
            world.cut();
        }
        if world.set && world.dice.between(0, 1500) == 0 {
            let jump = world.dice.between(1, 300) * MINUTE;
            // Never behind the stored state: the agent would doubt such a clock.
            world.offset += jump;
            world.calm_since = world.now;
            world.feed(Event::Due);
        }
        // The machine, its clock and its jobs go on while the agent is off.
        let shown = world.wall().div_euclid(MINUTE);
        let starts = match world.every {
            Some(every) => minute.rem_euclid(every / MINUTE) == 0,
            None => world.set && shown.rem_euclid(1440) == world.at,
        };
        if starts && ending.is_none() && !world.dice.chance(15) {
            let kind = match world.dice.chance(20) {
                true => ReportKind::Bad,
                false => ReportKind::Good,
            };
            let runs = world.dice.between(0, world.grace / MINUTE - 2);
            ending = Some((minute + runs, kind));
            if world.dice.chance(50) {
                world.report(ReportKind::Start);
            }
        }
        // Reports wait for a clock that is set, since they are dated by it.
        if let Some((_, kind)) = ending.take_if(|(at, _)| minute >= *at && world.set) {
            world.report(kind);
        }
        world.compare();
    }
    world.faults
}

#[track_caller]
fn all_are_kept(seeds: std::ops::Range<u64>) {
    let only = std::env::var("SITEMON_SIM_SEED").ok();
    let only: Option<u64> = only.and_then(|seed| seed.parse().ok());
    for seed in seeds.filter(|seed| only.is_none_or(|only| only == *seed)) {
        let faults = live(seed);
        assert!(faults.is_empty(), "seed {seed}: {:#?}", &faults[..1]);
    }
}

#[test]
fn no_job_is_late_for_our_own_absence_and_no_report_is_lost() {
    all_are_kept(1..40);
}

#[test]
#[ignore = "a thousand jobs; wants --profile sim"]
fn many_jobs_keep_the_promises() {
    all_are_kept(1000..2000);
}
