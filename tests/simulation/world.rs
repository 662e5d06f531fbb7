//! Runs the agent through a plan: the machine, its clocks, the process and its end. The process's
//! requests to the world are served in `hands`.

use crate::actions;
use crate::channels;
use crate::dice::{Dice, Span, any_at};
use crate::hands::routes;
use crate::plan::*;
use crate::record::{CheckRun, Life, ProbeRun, Record, Why};
use nanoserde::DeJson;
use sitemon::monitor::outbox::message::Delivery;
use sitemon::monitor::persist::snapshot::Snapshot;
use sitemon::monitor::site::Site;
use sitemon::monitor::site::access::Access;
use sitemon::monitor::site::outcome::Outcome;
use sitemon::monitor::uplink::ProbeResult;
use sitemon::monitor::{Action, Event, Monitor, Settings};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Time that running checks and sends get at an orderly end, in ms.
const GRACE: i64 = 4500;
/// Limit of wake-ups for timers alone, in one simulated minute.
const WAKINGS: u32 = 1500;

/// An event of the world.
pub enum Occurrence {
    Boot {
        unset: Option<Unset>,
    },
    End(usize),
    /// The time for an orderly end is over.
    Grace,
    Reload,
    Jump(i64),
    SetClock,
    /// The doubted clock is confirmed.
    Confirm,
    /// The poll of this number, unless another route has begun a new one.
    Poll(u32),
    Checked {
        place: usize,
        site: Arc<Site>,
        from: i64,
        outcome: Outcome,
        why: Why,
    },
    Probed {
        probe: ProbeRun,
        report: ProbeResult,
    },
    Arrive {
        attempt: usize,
        edit: Option<i64>,
    },
    Answered {
        id: u64,
        attempt: usize,
        delivery: Delivery,
    },
    /// An alert has reached the server of a channel.
    ArriveByChannel(usize),
    AnsweredByChannel {
        id: u64,
        attempt: usize,
        delivery: Delivery,
    },
    Written {
        image: Image,
    },
    Feed(Event),
}

/// A snapshot on disk, or being written.
#[derive(Clone)]
pub struct Image {
    pub json: String,
    pub clean: bool,
    /// Number of updates that had been handed over.
    pub fed: usize,
    pub highest: Option<i64>,
    /// Incidents below this number are in it.
    pub next_incident: u32,
    /// Its date comes from a clock that was right.
    pub dated: bool,
}

pub struct World<'p> {
    pub plan: &'p Plan,
    pub dice: Dice,
    /// Separate dice, so that channels don't change the rest of a day.
    pub channel_dice: Dice,
    /// Separate dice for actions.
    pub action_dice: Dice,
    /// Channels with a send in progress.
    pub channels_busy: Vec<String>,
    pub now: i64,
    pub monitor: Option<Monitor>,
    /// Number of the present life. Events that an earlier life scheduled are dropped.
    pub life: u32,
    /// When this life began, by the monotonic clock.
    pub began: i64,
    seq: u64,
    /// Boxed, since a map moves its values.
    coming: BTreeMap<(i64, u64), (Option<u32>, Box<Occurrence>)>,
    /// Seconds by which the wall clock is ahead.
    pub clock_off: i64,
    /// The clock is not set: its time must not be trusted.
    pub clock_unset: bool,
    /// The confirmation of a doubted clock is scheduled.
    pub confirming: bool,
    /// When the agent first learnt that the group has moved.
    pub followed: Option<i64>,
    /// Number of the route to Telegram in use, and of the present poll.
    pub route: usize,
    pub polls: u32,
    /// When a poll of this life last returned all updates.
    pub polled: Option<i64>,
    actions: u64,
    stopping: bool,
    pub disk: Option<Image>,
    pub saving: bool,
    /// The last write failed: alerts are sent all the same.
    pub unwritable: bool,
    pub running: Vec<bool>,
    /// By site: the present minute, and the checks in it.
    pub hurry: Vec<(i64, u32)>,
    pub probing: bool,
    /// When the last uplink probe began.
    pub looked: i64,
    /// By chat: until when it is rate-limited.
    pub hushed: BTreeMap<i64, i64>,
    pub under_way: usize,
    pub confirmed: i64,
    pub next_message: i64,
    pub permits: usize,
    pub admission: VecDeque<u64>,
    pub highest: Option<i64>,
    minute: (i64, u32),
    pub record: Record,
}

/// Simulates the whole run, from the first start to the end of the plan.
pub fn live(plan: &Plan) -> Record {
    let mut world = World {
        plan,
        dice: Dice::new(plan.seed.rotate_left(17)),
        channel_dice: Dice::new(plan.seed.rotate_left(29)),
        action_dice: Dice::new(plan.seed.rotate_left(41)),
        channels_busy: Vec::new(),
        now: 0,
        monitor: None,
        life: 0,
        began: 0,
        seq: 0,
        coming: BTreeMap::new(),
        clock_off: 0,
        clock_unset: false,
        confirming: false,
        followed: None,
        route: 0,
        polls: 0,
        polled: None,
        actions: 0,
        stopping: false,
        disk: None,
        saving: false,
        unwritable: false,
        running: vec![false; plan.sites.len()],
        hurry: vec![(0, 0); plan.sites.len()],
        probing: false,
        looked: -HOUR,
        hushed: BTreeMap::new(),
        under_way: 0,
        confirmed: 0,
        next_message: 100,
        permits: 2,
        admission: VecDeque::new(),
        highest: None,
        minute: (0, 0),
        record: Record {
            checks: vec![Vec::new(); plan.sites.len()],
            ..Record::default()
        },
    };
    world.live();
    world.record
}

impl World<'_> {
    fn live(&mut self) {
        self.plan_ahead();
        loop {
            let next = self.coming.keys().next().map(|(at, _)| *at);
            let wake = self.wakeup();
            let at = next.unwrap_or(i64::MAX).min(wake.unwrap_or(i64::MAX));
            let at = self.thawed(at.max(self.now));
            if at > self.plan.end {
                break;
            }
            self.now = at;
            match self.coming.first_entry() {
                Some(entry) if entry.key().0 <= at => {
                    let (life, occurrence) = entry.remove();
                    if life.is_none_or(|l| l == self.life && self.monitor.is_some()) {
                        self.happen(occurrence);
                    }
                }
                _ => self.wake(),
            }
            self.end_if_idle();
        }
        self.now = self.plan.end;
        let now = self.clocks();
        if let Some(monitor) = &self.monitor {
            self.record.alerts_left = monitor.snapshot(now).alerts.len();
        }
        self.close_life(false);
    }

    fn plan_ahead(&mut self) {
        self.at(0, Occurrence::Boot { unset: None });
        for (index, end) in self.plan.ends.iter().enumerate() {
            if let When::At(at) = end.when {
                self.at(at, Occurrence::End(index));
            }
        }
        for &at in &self.plan.reloads {
            self.at(at, Occurrence::Reload);
        }
        for &(at, by) in &self.plan.jumps {
            self.at(at, Occurrence::Jump(by));
        }
    }

    /// Schedules an event that happens whether or not the process still runs.
    pub fn at(&mut self, at: i64, occurrence: Occurrence) {
        self.seq += 1;
        self.coming
            .insert((at, self.seq), (None, Box::new(occurrence)));
    }

    /// Schedules an event that happens only in this life of the process.
    pub fn mine(&mut self, at: i64, occurrence: Occurrence) {
        self.seq += 1;
        self.coming
            .insert((at, self.seq), (Some(self.life), Box::new(occurrence)));
    }

    fn happen(&mut self, occurrence: Box<Occurrence>) {
        match *occurrence {
            Occurrence::Boot { unset } => self.boot(unset),
            Occurrence::End(index) => self.end(index),
            Occurrence::Grace => self.stop(),
            Occurrence::Reload => self.reload(),
            Occurrence::Jump(by) if !self.clock_unset => self.clock_off += by,
            Occurrence::Jump(_) => {}
            Occurrence::SetClock => {
                self.clock_off = 0;
                self.clock_unset = false;
                // The shell reads the clock once a second.
                self.mine(self.now + SECOND, Occurrence::Feed(Event::Due));
            }
            Occurrence::Confirm => {
                self.confirming = false;
                if self.clock_unset {
                    return;
                }
                self.feed(Event::ClockConfirmed);
                if self.monitor.as_ref().is_some_and(Monitor::doubts_clock) {
                    self.record.wrong(self.now, "a confirmed clock is doubted");
                }
            }
            Occurrence::Poll(number) if number == self.polls => self.poll(),
            Occurrence::Poll(_) => {}
            Occurrence::Checked {
                place,
                site,
                from,
                outcome,
                why,
            } => {
                self.running[place] = false;
                let to = self.now;
                let checks = &mut self.record.checks[place];
                let last = checks.last().map(|c| c.why);
                if !self.plan.frugal || why != Why::Fine || last != Some(Why::Fine) {
                    checks.push(CheckRun { from, to, why });
                }
                self.feed(Event::Checked { site, outcome });
            }
            Occurrence::Probed { mut probe, report } => {
                self.probing = false;
                probe.to = self.now;
                self.record.probes.push(probe);
                self.feed(Event::Probed(report));
            }
            Occurrence::Arrive { attempt, edit } => self.arrive(attempt, edit),
            Occurrence::Answered {
                id,
                attempt,
                delivery,
            } => {
                self.under_way -= 1;
                self.record.attempts[attempt].refused =
                    matches!(delivery, Delivery::Refused { .. });
                if matches!(delivery, Delivery::Sent { .. }) {
                    self.record.attempts[attempt].confirmed = Some(self.now);
                }
                if let Delivery::Later {
                    after: Some(after),
                    everywhere,
                    ..
                } = &delivery
                {
                    let until = self.now + millis(*after);
                    let chat = self.record.attempts[attempt].chat;
                    let chats = self
                        .plan
                        .chats
                        .iter()
                        .filter(|c| *everywhere || **c == chat);
                    self.hushed.extend(chats.map(|c| (*c, until)));
                }
                if matches!(delivery, Delivery::Migrated { .. }) {
                    self.followed.get_or_insert(self.now);
                }
                self.feed(Event::Delivered { id, delivery });
            }
            Occurrence::ArriveByChannel(attempt) => {
                self.record.by_channels[attempt].arrived = Some(self.now);
            }
            Occurrence::AnsweredByChannel {
                id,
                attempt,
                delivery,
            } => self.answered_by_channel(id, attempt, delivery),
            Occurrence::Written { image } => self.written(image),
            Occurrence::Feed(event) => self.feed(event),
        }
    }

    /// Hands an event to the core and performs its actions. Power may be cut before each of them.
    pub fn feed(&mut self, event: Event) {
        let now = self.clocks();
        let Some(monitor) = &mut self.monitor else {
            return;
        };
        self.record.events += 1;
        let actions = monitor.handle(now, event);
        self.follow_doubt();
        for action in actions {
            let number = self.actions;
            self.actions += 1;
            let ends = self
                .plan
                .ends
                .iter()
                .position(|e| matches!(e.when, When::Action(n) if n == number));
            if let Some(index) = ends
                && self.now < self.plan.calm_from - MINUTE
            {
                self.end(index);
                return;
            }
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Check { site, .. } => self.check(site),
            // No site here has a certificate or a domain that expires.
            Action::Inspect { .. } | Action::Examine { .. } | Action::Try { .. } => {}
            Action::Send(outgoing) => self.send(outgoing),
            Action::Save => self.save(),
            Action::SaveHistory => {}
            Action::Probe { deep } => self.probe(deep),
            Action::Admit { job } => {
                self.admission.push_back(job);
                self.admit();
            }
            Action::Dismiss { .. } => {
                self.permits += 1;
                self.admit();
            }
            Action::Measure { requester } => {
                let vitals = Box::default();
                self.mine(
                    self.now,
                    Occurrence::Feed(Event::Measured { requester, vitals }),
                );
            }
            Action::UseRoute(route) => self.use_route(&route),
            Action::TryRoute(route) => self.try_route(route),
            Action::SendByChannel(send) => self.send_by_channel(send),
            // Jobs have a simulation of their own.
            Action::AnswerReport { .. } => {}
            Action::Run { id, request } => self.run_action(id, request),
            Action::Heartbeat | Action::AnswerPress(_) | Action::Log(..) => {}
        }
    }

    fn wake(&mut self) {
        let minute = self.now / MINUTE;
        self.minute = if self.minute.0 == minute {
            (minute, self.minute.1 + 1)
        } else {
            (minute, 1)
        };
        if self.minute.1 == WAKINGS {
            self.record
                .wrong(self.now, "woken again and again for nothing");
        }
        if self.minute.1 >= WAKINGS {
            // Otherwise the run would never end.
            self.now += SECOND;
        }
        self.feed(Event::Due);
    }

    fn sites(&self) -> Vec<Site> {
        let sites: Vec<Site> = self
            .plan
            .sites
            .iter()
            .filter_map(|s| s.site_at(self.now))
            .map(|mut site| {
                let chats = site.chats.take();
                site.chats = chats.map(|chats| self.configured(&chats));
                site
            })
            .collect();
        let names: Vec<String> = sites.iter().map(|s| s.name.clone()).collect();
        let known = |site: &Site| site.after.as_ref().is_none_or(|a| names.contains(a));
        assert!(sites.iter().all(known), "the plan's own mistake");
        sites
    }

    /// Returns these chats as configured now.
    pub fn configured(&self, chats: &[i64]) -> Vec<i64> {
        let known = |at: i64| at + 10 * SECOND <= self.now;
        self.plan
            .chats_at(self.now, self.followed.is_some_and(known), chats)
    }

    fn settings(&self) -> Settings {
        Settings {
            access: Access {
                chats: self.configured(&self.plan.chats),
                users: None,
            },
            max_jobs: 2,
            permits: 7,
            uplink: self.plan.uplink,
            routes: routes(self.plan.routes),
            channels: channels::configured(self.plan),
            remediations: actions::configured(self.plan),
            built: BUILT,
            ..Settings::default()
        }
    }

    fn boot(&mut self, unset: Option<Unset>) {
        self.life += 1;
        self.began = self.monotonic(self.now);
        if let Some(unset) = unset {
            self.unset_clock(unset);
        }
        (self.saving, self.probing, self.stopping, self.under_way) = (false, false, false, 0);
        self.running.fill(false);
        self.channels_busy.clear();
        (self.looked, self.hushed) = (-HOUR, BTreeMap::new());
        (self.permits, self.admission) = (2, VecDeque::new());
        (self.confirming, self.polled) = (false, None);
        let now = self.clocks();
        let seed = self.plan.seed.wrapping_add(u64::from(self.life));
        let mut monitor = Monitor::new(self.sites(), self.settings(), now, seed);
        let mut found = None;
        self.highest = None;
        if let Some(image) = &self.disk {
            found = Some(image.clean);
            self.highest = image.highest;
            match Snapshot::deserialize_json(&image.json) {
                Ok(snapshot) => monitor.restore(&snapshot, now),
                Err(e) => self
                    .record
                    .wrong(self.now, format!("the snapshot does not load: {e:?}")),
            }
        }
        if monitor.last_update() != self.highest {
            let text = format!(
                "after the restart the last update is {:?}, on disk was {:?}",
                monitor.last_update(),
                self.highest
            );
            self.record.wrong(self.now, text);
        }
        let doubted = self.clock_unset || monitor.doubts_clock();
        self.monitor = Some(monitor);
        let unset_until = if doubted { i64::MAX } else { self.now };
        let span = Span::new(self.now, self.plan.end);
        self.record.lives.push(Life {
            span,
            orderly: false,
            found,
            unset_until,
        });
        self.route = 0;
        self.poll_at(self.now + SECOND);
        self.feed(Event::Bot {
            username: "site_bot".into(),
        });
        self.feed(Event::Due);
    }

    fn end(&mut self, index: usize) {
        let end = self.plan.ends[index];
        if self.stopping {
            return;
        }
        let Some(monitor) = &mut self.monitor else {
            return;
        };
        let back = (self.now + end.off.max(2 * GRACE)).min(self.plan.calm_from);
        let boot = Occurrence::Boot { unset: end.unset };
        if end.orderly {
            monitor.stop();
            self.stopping = true;
            self.mine(self.now + GRACE, Occurrence::Grace);
        } else {
            self.close_life(false);
        }
        self.at(back.max(self.now + 2 * GRACE), boot);
    }

    fn end_if_idle(&mut self) {
        if self.stopping && self.under_way == 0 && !self.running.contains(&true) {
            self.stop();
        }
    }

    /// Ends in good order: the last snapshot is written.
    fn stop(&mut self) {
        let now = self.clocks();
        let Some(monitor) = &self.monitor else { return };
        let snapshot = monitor.last_snapshot(now);
        if !snapshot.clean {
            self.record
                .wrong(self.now, "the last snapshot does not say so");
        }
        let image = self.image(&snapshot);
        if any_at(&self.plan.disk_full, self.now) {
            self.record.failed_writes.push(self.now);
        } else {
            self.keep(image);
        }
        self.close_life(true);
    }

    fn close_life(&mut self, orderly: bool) {
        self.monitor = None;
        self.stopping = false;
        self.follow_doubt();
        if let Some(life) = self.record.lives.last_mut() {
            life.span.to = life.span.to.min(self.now);
            life.orderly = orderly;
        }
    }

    fn reload(&mut self) {
        if self.monitor.is_some() && !self.stopping {
            let (sites, settings) = (self.sites(), self.settings());
            self.record.reloads.push(self.now);
            self.feed(Event::Reloaded {
                sites: sites.into_iter().map(Into::into).collect(),
                added: Vec::new(),
                settings,
            });
        }
    }
}
