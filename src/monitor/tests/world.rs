//! Simulates the environment of the monitor: sites with scripted outcomes, chats that answer, a
//! disk, and a clock.

use crate::monitor::history::Extent;
use crate::monitor::incident::remediation::{Remediation, RunRequest};
use crate::monitor::outbox::Outgoing;
use crate::monitor::outbox::channels::{Channel, ChannelSend};
use crate::monitor::outbox::message::{
    CallbackAnswer, Content, Delivery, Incoming, Message, Press, Update,
};
use crate::monitor::site::Site;
use crate::monitor::site::access::Access;
use crate::monitor::site::outcome::{Expiry, Failure, FailureKind, Inspection, Outcome};
use crate::monitor::site::report::ReportAnswer;
use crate::monitor::site::state::State;
use crate::monitor::time::zone::Zone;
use crate::monitor::time::{Moment, Now};
use crate::monitor::uplink::ProbeResult;
use crate::monitor::{Action, Event, Monitor, Settings};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

pub use super::builders::*;

pub const CHAT: i64 = 7;
pub const GROUP: i64 = -100;
/// 2027-01-15 08:00 UTC, an arbitrary time.
pub const WALL: i64 = 1_800_000_000;

pub const LINE_UP: ProbeResult = ProbeResult {
    up: true,
    ipv6: None,
    names: None,
    trusted: None,
};

pub const LINE_DOWN: ProbeResult = ProbeResult {
    up: false,
    ..LINE_UP
};

pub const LINE_NAMES: ProbeResult = ProbeResult {
    names: Some(true),
    ..LINE_UP
};

pub const LINE_NO_NAMES: ProbeResult = ProbeResult {
    names: Some(false),
    ..LINE_UP
};

pub const LINE_NO_IPV6: ProbeResult = ProbeResult {
    ipv6: Some(false),
    ..LINE_UP
};

pub struct World {
    pub monitor: Monitor,
    /// Milliseconds since the agent's start.
    pub clock: i64,
    /// What the wall clock showed at the agent's start.
    pub wall: i64,
    pub zone: Zone,
    /// The outcome of each site's checks from now on, and how long they take.
    pub fates: BTreeMap<String, Fate>,
    /// How long each check waits for a permit.
    pub waits: Duration,
    /// Checks under way: when they end, and the site.
    pub running: Vec<(i64, String)>,
    /// Every check that was started: when, the site, and whether on a new connection.
    pub started: Vec<(i64, String, bool)>,
    pub hanging_orders: usize,
    /// Messages that arrived, with the second in which they were sent.
    pub sent: Vec<(i64, Message)>,
    /// Every message with its id, in its current state.
    pub shown: Vec<(i64, Message)>,
    /// A message that was deleted in the chat: an edit of it arrives as a new message.
    pub deleted: Option<i64>,
    /// When only the buttons of a message were changed.
    pub retouched: Vec<i64>,
    /// Answers to pressed buttons.
    pub answered: Vec<CallbackAnswer>,
    /// The results of the next deliveries; later ones are `Sent`.
    pub deliveries: VecDeque<Delivery>,
    pub attempts: usize,
    /// The results of the next deliveries by channels; later ones are `Sent`.
    pub channel_deliveries: VecDeque<Delivery>,
    /// What channels accepted, with the second in which it was sent.
    pub by_channels: Vec<(i64, ChannelSend)>,
    pub channel_attempts: usize,
    /// See [`World::set_channels`].
    channels: Vec<Channel>,
    /// See [`World::set_actions`].
    actions: Vec<Remediation>,
    /// Runs of actions, with the second in which they were started.
    pub runs: Vec<(i64, RunRequest)>,
    /// The result of a run; `None`: runs do not end.
    pub run_result: Option<&'static str>,
    pub disk_full: bool,
    /// Whether messages keep the lines with the sites' URLs, which every down alert has.
    pub links: bool,
    /// The results of the next certificate inspections; the last one is repeated.
    pub expiries: VecDeque<Result<Expiry, Failure>>,
    /// The root certificate that every inspection finds.
    pub root: Option<Expiry>,
    pub inspected: usize,
    /// The result of an uplink probe, and the number of probes.
    pub line: ProbeResult,
    pub looks: usize,
    /// How long a probe takes; when the probe under way ends.
    pub look_lasts: Duration,
    looking: Option<i64>,
    pub beats: usize,
    /// The routes to Telegram that were used, and those that were tried, in order.
    pub routes: Vec<String>,
    pub route_trials: Vec<String>,
    pub saves: usize,
    pub history_saves: usize,
    /// The answers to reports, by their id.
    pub report_answers: Vec<(u64, ReportAnswer)>,
    pub logs: Vec<String>,
    pub admitted: usize,
    pub most_admitted: usize,
    max_jobs: usize,
    queue: VecDeque<u64>,
    pub next_update: i64,
    next_message: i64,
}

#[derive(Clone)]
pub struct Fate {
    pub outcome: Outcome,
    pub lasts: Duration,
}

/// An address beyond the uplink, and one in the local network.
pub const THERE: &str = "203.0.113.34";
pub const HERE: &str = "192.168.1.5";

/// Returns a world with an uplink to probe, whose sites are beyond the uplink and up.
pub fn elsewhere(names: &[&str]) -> World {
    let mut world = World::elsewhere(names.iter().map(|n| site(n)).collect());
    all(&mut world, names, from(THERE, good(40)));
    world.pass(120);
    world.received();
    world
}

/// Sets the outcome of all these sites from now on.
pub fn all(world: &mut World, names: &[&str], outcome: Outcome) {
    for name in names {
        world.fate(name, outcome.clone());
    }
}

pub fn reload(world: &mut World, sites: Vec<Site>, uplink: bool) {
    let settings = Settings {
        uplink,
        ..settings(access())
    };
    world.feed(reloaded(sites, settings));
}

impl World {
    pub fn new(sites: Vec<Site>) -> World {
        World::with(sites, access())
    }

    pub fn of(names: &[&str]) -> World {
        World::new(names.iter().map(|n| site(n)).collect())
    }

    /// Returns a world with sites beyond an uplink that can be probed.
    pub fn elsewhere(sites: Vec<Site>) -> World {
        let mut world = World::new(sites.clone());
        let settings = Settings {
            uplink: true,
            ..settings(access())
        };
        world.monitor = Monitor::new(sites, settings, world.now(), 42);
        world
    }

    pub fn with(sites: Vec<Site>, access: Access) -> World {
        let now = Now::utc(Duration::ZERO, WALL);
        World {
            monitor: Monitor::new(sites, settings(access), now, 42),
            clock: 0,
            wall: WALL,
            zone: Zone::UTC,
            fates: BTreeMap::new(),
            waits: Duration::ZERO,
            running: Vec::new(),
            started: Vec::new(),
            hanging_orders: 0,
            sent: Vec::new(),
            shown: Vec::new(),
            deleted: None,
            retouched: Vec::new(),
            answered: Vec::new(),
            deliveries: VecDeque::new(),
            attempts: 0,
            channel_deliveries: VecDeque::new(),
            by_channels: Vec::new(),
            channel_attempts: 0,
            channels: Vec::new(),
            actions: Vec::new(),
            runs: Vec::new(),
            run_result: Some("HTTP 200"),
            disk_full: false,
            links: false,
            expiries: VecDeque::new(),
            root: None,
            inspected: 0,
            line: LINE_UP,
            looks: 0,
            look_lasts: Duration::ZERO,
            looking: None,
            beats: 0,
            routes: Vec::new(),
            route_trials: Vec::new(),
            saves: 0,
            history_saves: 0,
            report_answers: Vec::new(),
            logs: Vec::new(),
            admitted: 0,
            most_admitted: 0,
            max_jobs: 2,
            queue: VecDeque::new(),
            next_update: 1,
            next_message: 100,
        }
    }

    /// Sets the channels, for later runs of the agent too.
    pub fn set_channels(&mut self, channels: Vec<Channel>) {
        self.monitor.outbox.reload_channels(channels.clone());
        self.channels = channels;
    }

    /// Sets the actions, for later runs of the agent too.
    pub fn set_actions(&mut self, actions: Vec<Remediation>) {
        let remediations = self.monitor.incidents.remediations_mut();
        remediations.reload(actions.clone());
        self.actions = actions;
    }

    pub fn now(&self) -> Now {
        Now {
            uptime: Duration::from_millis(self.clock as u64),
            wall: self.wall + self.clock / 1000,
            zone: self.zone,
        }
    }

    /// Sets the outcome of a site's checks from now on.
    pub fn fate(&mut self, name: &str, outcome: Outcome) {
        let lasts = outcome.took.unwrap_or(Duration::from_millis(20));
        self.fates.insert(name.to_owned(), Fate { outcome, lasts });
    }

    pub fn fate_lasting(&mut self, name: &str, outcome: Outcome, lasts: Duration) {
        self.fates.insert(name.to_owned(), Fate { outcome, lasts });
    }

    /// The same, then lets `secs` pass.
    pub fn fate_for(&mut self, name: &str, outcome: Outcome, secs: u64) {
        self.fate(name, outcome);
        self.pass(secs);
    }

    /// Returns this world after `secs`.
    pub fn running_for(mut self, secs: u64) -> World {
        self.pass(secs);
        self
    }

    /// Lets `secs` pass.
    pub fn pass(&mut self, secs: u64) {
        let until = self.clock + secs as i64 * 1000;
        self.feed(Event::Due);
        loop {
            let due = self.monitor.next_wakeup(self.now()).map(|Moment(ms)| ms);
            let checks = self.running.iter().map(|(at, _)| *at);
            let ends = checks.chain(self.looking).min();
            let Some(next) = [due, ends]
                .into_iter()
                .flatten()
                .min()
                .filter(|at| *at <= until)
            else {
                break;
            };
            assert!(
                due.is_none_or(|due| due > self.clock) || ends == Some(next) || next > self.clock,
                "the monitor wants to be woken for nothing at {next}"
            );
            self.clock = self.clock.max(next);
            let ended: Vec<_> = self.running.extract_if(.., |(at, _)| *at <= next).collect();
            if self.looking.take_if(|at| *at <= next).is_some() {
                self.feed(Event::Probed(self.line));
            } else if ended.is_empty() {
                self.feed(Event::Due);
            }
            for (_, site) in ended {
                let outcome = self.outcome_of(&site);
                self.checked(&site, outcome);
            }
        }
        self.clock = until;
        self.feed(Event::Due);
    }

    /// Reports the outcome of a check.
    pub fn checked(&mut self, name: &str, outcome: Outcome) {
        let site = site(name).into();
        self.feed(Event::Checked { site, outcome });
    }

    /// Lets time pass in whole seconds until a check has ended.
    pub fn pass_a_check(&mut self) {
        let ended = |world: &World| -> u64 { world.monitor.sites.iter().map(|w| w.checks()).sum() };
        let before = ended(self);
        while ended(self) == before {
            self.pass(1);
        }
    }

    /// Stops the process for `secs`: no event is handled, and the clock continues.
    pub fn stall(&mut self, secs: u64) {
        // As the agent does before it waits.
        self.monitor.next_wakeup(self.now());
        self.clock += secs as i64 * 1000;
    }

    pub fn feed(&mut self, event: Event) {
        let mut actions: VecDeque<Action> = self.monitor.handle(self.now(), event).into();
        while let Some(action) = actions.pop_front() {
            for event in self.perform(action) {
                actions.extend(self.monitor.handle(self.now(), event));
            }
        }
    }

    /// Sends a user's message to the bot and returns the texts of the immediate replies.
    pub fn ask(&mut self, text: &str) -> Vec<String> {
        self.ask_from(CHAT, Some(1), text)
    }

    pub fn ask_from(&mut self, chat: i64, user: Option<i64>, text: &str) -> Vec<String> {
        let before = self.sent.len();
        let date = self.now().wall;
        self.write(chat, user, text, date);
        self.sent[before..]
            .iter()
            .map(|(_, m)| m.html.clone())
            .collect()
    }

    /// The same as [`World::ask`], for a user of this name.
    pub fn ask_by(&mut self, name: &str, text: &str) -> Vec<String> {
        let before = self.sent.len();
        let id = self.next_update;
        self.next_update += 1;
        let content = Some(Content::Message(Incoming {
            chat: CHAT,
            user: Some(1),
            name: name.to_owned(),
            text: text.to_owned(),
            date: self.now().wall,
            ..Incoming::default()
        }));
        self.feed(Event::Update(Update { id, content }));
        let sent = self.sent[before..].iter();
        sent.map(|(_, m)| m.html.clone()).collect()
    }

    /// Delivers a message with the first poll after a start, so that its date is compared.
    pub fn write(&mut self, chat: i64, user: Option<i64>, text: &str, date: i64) {
        self.write_waiting(chat, user, text, date, Duration::MAX);
    }

    pub fn write_waiting(
        &mut self,
        chat: i64,
        user: Option<i64>,
        text: &str,
        date: i64,
        waited: Duration,
    ) {
        let id = self.next_update;
        self.next_update += 1;
        let content = Some(Content::Message(Incoming {
            chat,
            user,
            text: text.to_owned(),
            date,
            waited,
            ..Incoming::default()
        }));
        self.feed(Event::Update(Update { id, content }));
    }

    /// Delivers a press and returns the text that its user sees, if any.
    pub fn press(&mut self, press: Press) -> Option<String> {
        let id = self.next_update;
        self.next_update += 1;
        let before = self.answered.len();
        let press = Press {
            id: format!("press {id}"),
            ..press
        };
        let content = Some(Content::Press(press));
        self.feed(Event::Update(Update { id, content }));
        assert!(self.answered.len() <= before + 1, "answered twice");
        let answer = self.answered.get(before)?;
        assert_eq!(answer.id, format!("press {id}"));
        Some(answer.text.clone())
    }

    /// Returns the texts of all messages since the last call.
    pub fn received(&mut self) -> Vec<String> {
        let received = std::mem::take(&mut self.sent);
        received.into_iter().map(|(_, m)| m.html).collect()
    }

    pub fn state(&self, name: &str) -> State {
        self.monitor.sites.named(name).expect("a site").state()
    }

    /// Restarts with only what the disk has, after the agent was off for `off` seconds.
    pub fn restart(
        &mut self,
        sites: Vec<Site>,
        snapshot: &crate::monitor::persist::snapshot::Snapshot,
        off: u64,
    ) {
        let wall = self.now().wall + off as i64;
        self.restart_showing(sites, snapshot, wall);
    }

    /// The same, with a wall clock that shows `wall` at the start.
    pub fn restart_showing(
        &mut self,
        sites: Vec<Site>,
        snapshot: &crate::monitor::persist::snapshot::Snapshot,
        wall: i64,
    ) {
        self.restart_with(sites, snapshot, wall, access());
    }

    /// The same, with these chats and users.
    pub fn restart_with(
        &mut self,
        sites: Vec<Site>,
        snapshot: &crate::monitor::persist::snapshot::Snapshot,
        wall: i64,
        access: Access,
    ) {
        let mut next = World::with(sites, access);
        next.fates = self.fates.clone();
        next.next_update = self.next_update;
        next.next_message = self.next_message;
        next.set_channels(self.channels.clone());
        next.set_actions(self.actions.clone());
        let now = Now::utc(Duration::ZERO, wall);
        let added = snapshot.added.clone().unwrap_or_default().into_iter();
        let added = added.map(|r| (r.clone(), Ok(asked_for(&r.url, Some(r.name)))));
        next.monitor.adopt(added.collect(), now);
        next.monitor.restore(snapshot, now);
        next.wall = wall;
        *self = next;
    }

    fn outcome_of(&self, site: &str) -> Outcome {
        self.fates
            .get(site)
            .map_or_else(|| good(40), |f| f.outcome.clone())
    }

    fn perform(&mut self, action: Action) -> Vec<Event> {
        match action {
            Action::UseRoute(route) => {
                self.routes.push(route.to_string());
                Vec::new()
            }
            Action::TryRoute(route) => {
                self.route_trials.push(route.to_string());
                Vec::new()
            }
            Action::Check {
                site,
                fresh,
                hanging,
            } => {
                let name = site.name.clone();
                assert!(
                    self.running.iter().all(|(_, n)| *n != name),
                    "two checks of {name} at once"
                );
                self.hanging_orders += usize::from(hanging);
                let lasts = self
                    .fates
                    .get(&name)
                    .map_or(Duration::from_millis(40), |f| f.lasts);
                let ends = self.clock + (self.waits + lasts).as_millis() as i64;
                self.running.push((ends, name.clone()));
                self.started.push((self.clock, name, fresh));
                Vec::new()
            }
            Action::Examine { id, url, name } => {
                let result = match url.starts_with("https://") {
                    true => Ok(Box::new(asked_for(&url, name))),
                    false => Err("`url` is none".to_owned()),
                };
                vec![Event::Examined { id, result }]
            }
            Action::Try { id, site } => {
                let outcome = self.outcome_of(&site.name);
                vec![Event::Tried { id, outcome }]
            }
            Action::Inspect { site, subject } => {
                self.inspected += 1;
                let none = || Err(Failure::new(FailureKind::Connect, "connection refused"));
                let result = self.expiries.front().cloned().unwrap_or_else(none);
                if self.expiries.len() > 1 {
                    self.expiries.pop_front();
                }
                vec![Event::Inspected {
                    site: site.name.clone(),
                    subject,
                    result: result.map(|first| Inspection {
                        first,
                        root: self.root.clone(),
                    }),
                }]
            }
            Action::Send(outgoing) => vec![self.send(outgoing)],
            Action::SaveHistory => {
                self.history_saves += 1;
                let records = self.monitor.history_records(Extent::Pages, false);
                self.monitor.history_saved(&records);
                Vec::new()
            }
            Action::Save => {
                self.saves += 1;
                if self.disk_full {
                    let reason = "No space left on device".into();
                    vec![Event::SaveFailed { reason }]
                } else {
                    vec![Event::Saved { blocks: 1 }]
                }
            }
            Action::Admit { job } => {
                self.queue.push_back(job);
                self.admit()
            }
            Action::Dismiss { .. } => {
                self.admitted -= 1;
                self.admit()
            }
            Action::Probe { .. } => {
                self.looks += 1;
                if self.look_lasts > Duration::ZERO {
                    self.looking = Some(self.clock + self.look_lasts.as_millis() as i64);
                    return Vec::new();
                }
                vec![Event::Probed(self.line)]
            }
            Action::Heartbeat => {
                self.beats += 1;
                Vec::new()
            }
            Action::Measure { requester } => {
                let vitals = Box::default();
                vec![Event::Measured { requester, vitals }]
            }
            Action::AnswerPress(answer) => {
                self.answered.push(answer);
                Vec::new()
            }
            Action::AnswerReport { id, answer } => {
                self.report_answers.push((id, answer));
                Vec::new()
            }
            Action::SendByChannel(send) => {
                self.channel_attempts += 1;
                let delivery = self.channel_deliveries.pop_front();
                let delivery = delivery.unwrap_or(Delivery::Sent { message_id: 0 });
                let id = send.id;
                if matches!(delivery, Delivery::Sent { .. }) {
                    self.by_channels.push((self.clock / 1000, send));
                }
                vec![Event::DeliveredByChannel { id, delivery }]
            }
            Action::Run { id, request } => {
                self.runs.push((self.clock / 1000, request));
                let result = self.run_result.map(str::to_owned);
                let ended = result.map(|result| Event::Ran { id, result });
                ended.into_iter().collect()
            }
            Action::Log(_, text) => {
                self.logs.push(text);
                Vec::new()
            }
        }
    }

    fn send(&mut self, outgoing: Outgoing) -> Event {
        self.attempts += 1;
        let Outgoing {
            id, mut message, ..
        } = outgoing;
        if !self.links {
            let lines = message.html.lines().filter(|l| !l.starts_with("<a "));
            message.html = lines.collect::<Vec<_>>().join("\n");
        }
        let delivery = self.deliveries.pop_front().unwrap_or_else(|| {
            self.next_message += 1;
            let edit = message.edit.filter(|id| self.deleted != Some(*id));
            let message_id = edit.unwrap_or(self.next_message);
            Delivery::Sent { message_id }
        });
        if let Delivery::Sent { message_id } = delivery {
            if self.says_something(message_id, &message) {
                self.sent.push((self.clock / 1000, message.clone()));
            } else {
                self.retouched.push(self.clock / 1000);
            }
            self.show(message_id, message);
        }
        Event::Delivered { id, delivery }
    }

    /// Whether a message is new, or an edit changes more than its buttons.
    fn says_something(&self, id: i64, message: &Message) -> bool {
        let shown = self.shown.iter().find(|(at, _)| *at == id);
        shown.is_none_or(|(_, shown)| shown.html != message.html)
    }

    fn show(&mut self, id: i64, message: Message) {
        let Some((_, shown)) = self.shown.iter_mut().find(|(at, _)| *at == id) else {
            self.shown.push((id, message));
            return;
        };
        assert_eq!(message.edit, Some(id));
        shown.html = message.html;
        shown.buttons = message.buttons;
    }

    fn admit(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while self.admitted < self.max_jobs
            && let Some(job) = self.queue.pop_front()
        {
            self.admitted += 1;
            self.most_admitted = self.most_admitted.max(self.admitted);
            events.push(Event::Admitted { job });
        }
        events
    }
}
