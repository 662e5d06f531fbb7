//! No alert is lost: the agent is killed at any moment, its files are damaged at any byte, and
//! users are still notified of every outage.

mod hook;
mod ledger;

use crate::support::agent::{Running, Sitemon};
use crate::support::bot_api::{BotApi, Fault};
use crate::support::listener::LIMIT;
use crate::support::routes::{Gate, Server, Straight};
use crate::support::scene::{Scene, no_token, site};
use crate::support::web::{Behaviour, Web};
use hook::Hook;
use ledger::Ledger;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// 4 lanes of 4 chapters of 13 kills: more than 200.
const LANES: usize = 4;
const CHAPTERS: usize = 4;
const KILLS: usize = 13;
/// Sites of a chapter, enough for a change in every life. Each has at most two outages, so that
/// none is flapping.
const SITES: usize = 6;
const CHANGES: usize = 4;

#[test]
fn however_often_it_is_killed_every_outage_is_told_and_its_end_too() {
    let seed = seed();
    println!("SITEMON_POWER_CUTS_SEED={seed}");
    thread::scope(|scope| {
        for lane in 0..LANES {
            let seed = seed.wrapping_add(lane as u64);
            scope.spawn(move || Lane::new(seed, lane % 2 == 1).run());
        }
    });
}

/// Seed of the moments and damages. CI uses another one for each commit.
fn seed() -> u64 {
    let given = std::env::var("SITEMON_POWER_CUTS_SEED").ok();
    given.map_or(1, |text| text.parse().expect("a number"))
}

/// xorshift64*. Its quality is more than enough here.
struct Random(u64);

impl Random {
    /// Returns a number in `0..n`.
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let product = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D);
        ((product >> 33) as usize) % n
    }

    fn within(&mut self, millis: usize) -> Duration {
        Duration::from_millis(self.below(millis) as u64)
    }
}

/// One agent that is killed again and again, with its sites and its Bot API.
struct Lane {
    random: Random,
    api: BotApi,
    web: Web,
    /// The server of a channel for all alerts.
    hook: Hook,
    sitemon: Sitemon,
    /// In half of the lanes the direct route to Telegram is cut at times, and there is another
    /// route.
    routes: Option<(Gate, Server)>,
    ledger: Ledger,
    /// Index of the site that was changed last.
    chosen: usize,
}

/// A site of a chapter in its present state.
struct Plan {
    name: String,
    works: bool,
    changes: usize,
}

impl Lane {
    fn new(seed: u64, routes: bool) -> Lane {
        let api = BotApi::start();
        Lane {
            routes: routes.then(|| (Gate::before(api.port()), Server::microsocks())),
            // A state of zero would stay zero.
            random: Random(seed.wrapping_mul(2).wrapping_add(1)),
            api,
            web: Web::new(),
            hook: Hook::new(),
            sitemon: Sitemon::new(""),
            ledger: Ledger::default(),
            chosen: 0,
        }
    }

    fn run(mut self) {
        for chapter in 0..CHAPTERS {
            let mut plans: Vec<Plan> = (0..SITES)
                .map(|n| Plan {
                    name: format!("c{chapter}s{n}"),
                    works: true,
                    changes: 0,
                })
                .collect();
            let tables = plans.iter().map(|plan| {
                let url = self.web.url(&format!("/{}", plan.name));
                site(&plan.name, &url)
            });
            let tables = tables.collect::<String>() + &self.hook.config();
            let config = self.telegram() + &tables;
            self.sitemon.rewrite(&config);
            for _ in 0..KILLS {
                self.live_and_die(&mut plans);
            }
            self.calm(&plans);
        }
        assert_eq!(self.api.violations(), [""; 0]);
        println!("{}", self.ledger.summary());
    }

    fn telegram(&self) -> String {
        let config = self.api.config();
        match &self.routes {
            None => config,
            Some((gate, proxy)) => {
                let api = format!("http://127.0.0.1:{}", gate.port());
                let routes = ["direct", &proxy.route("socks5h")];
                config.replace(&self.api.url(), &api) + &format!("route = {routes:?}\n")
            }
        }
    }

    /// Starts the agent, changes a site, and kills the agent at some moment around that.
    fn live_and_die(&mut self, plans: &mut [Plan]) {
        let mut ambiguous = self.disturb();
        let turn = self.random.below(4);
        // A message may have arrived on a connection that is cut.
        ambiguous |= self.routes.is_some() && turn == 0;
        self.ledger.life(ambiguous);
        let faults = [
            Behaviour::status(500),
            Behaviour::Close,
            Behaviour::Hang,
            Behaviour::status(429).with_header("Retry-After", "1"),
        ];
        self.hook.life(faults.get(self.random.below(8)).cloned());
        // In half of the lives the site of the last one: a change that a kill loses may then be
        // undone, too.
        if self.random.below(2) == 0 {
            self.chosen = self.random.below(plans.len());
        }
        while plans[self.chosen].changes == CHANGES {
            self.chosen = (self.chosen + 1) % plans.len();
        }
        let plan = &mut plans[self.chosen];
        plan.changes += 1;
        plan.works = !plan.works;
        let status = if plan.works { 200 } else { 503 };
        let path = format!("/{}", plan.name);
        self.web.set(&path, Behaviour::status(status));
        let (checks, sends) = (self.web.requests(), self.api.calls("sendMessage"));
        let mut running = self.sitemon.run();
        match self.random.below(4) {
            0 => {}
            1 => until(1_500, || self.web.requests() > checks),
            2 => until(1_500, || {
                let new = self.web.requests().saturating_sub(checks);
                let seen = self.web.seen();
                seen.iter().rev().take(new).any(|r| r.path() == path)
            }),
            _ => until(1_500, || self.api.calls("sendMessage") > sends),
        }
        if turn == 0 {
            self.turn_gate();
        }
        // At the event, mostly soon after it, and at times after the write of what was delivered.
        let most = [1, 150, 150, 1_300][self.random.below(4)];
        thread::sleep(self.random.within(most));
        self.look_over(&mut running);
        running.kill9();
        if turn == 1 {
            self.turn_gate();
        }
        self.api.fail_always("sendMessage", None);
        self.api.resume();
    }

    /// Cuts the direct route to Telegram, or mends it.
    fn turn_gate(&mut self) {
        if let Some((gate, _)) = &self.routes {
            let modes = [Straight::Passes, Straight::Reset, Straight::Page];
            gate.set(modes[self.random.below(modes.len())]);
        }
    }

    /// Chooses a fault of Telegram for the next life. Returns whether answers may get lost.
    fn disturb(&mut self) -> bool {
        let fault = match self.random.below(8) {
            0 => Fault::Status(500),
            1 => Fault::DropAfter,
            2 => Fault::Late(Duration::from_millis(100)),
            3 => {
                self.api.pause();
                return false;
            }
            4 => Fault::Drop,
            _ => return false,
        };
        let ambiguous = matches!(fault, Fault::DropAfter);
        self.api.fail_always("sendMessage", Some(fault));
        ambiguous
    }

    /// Runs without faults, apart from the sites that are down. Checks that the last state of each
    /// was reported, and that nothing was reported again.
    fn calm(&mut self, plans: &[Plan]) {
        self.ledger.life(false);
        self.hook.life(None);
        let mut running = self.sitemon.run();
        let checks = self.web.requests();
        self.web.wait_requests(checks + 2 * plans.len());
        let give_up = Instant::now() + LIMIT;
        loop {
            self.ledger.read(&self.api.messages());
            let open = plans
                .iter()
                .find_map(|plan| self.ledger.lacks(&plan.name, plan.works));
            match open.or_else(|| self.hook.lacks(&self.ledger)) {
                None => break,
                Some(what) if Instant::now() > give_up => {
                    let told = self.api.messages();
                    panic!("{what}\n{told:#?}\n{}", running.stderr())
                }
                Some(_) => thread::sleep(Duration::from_millis(10)),
            }
        }
        let checks = self.web.requests();
        self.web.wait_requests(checks + 2 * plans.len());
        self.look_over(&mut running);
        assert_eq!(running.terminate().code(), Some(0), "{}", running.stderr());
        let messages = self.api.messages();
        self.ledger.read(&messages);
        for plan in plans {
            assert_eq!(
                self.ledger.lacks(&plan.name, plan.works),
                None,
                "{messages:#?}"
            );
        }
        let repeated = self.ledger.repeated_without_cause();
        assert_eq!(repeated, None, "{messages:#?}\n{}", running.stderr());
        assert_eq!(self.hook.lacks(&self.ledger), None);
        assert_eq!(self.hook.close(), None, "{}", running.stderr());
        self.ledger.close();
        self.api.clear();
    }

    /// Checks that the agent still runs, and that none of its state files was found damaged.
    fn look_over(&mut self, running: &mut Running) {
        let stderr = running.stderr();
        assert!(running.is_running(), "it ended by itself\n{stderr}");
        assert!(!stderr.contains("amaged"), "{stderr}");
        let bad = set_aside(&self.sitemon.state_dir());
        assert!(bad.is_empty(), "{bad:?}");
        no_token(&self.api, &stderr);
    }
}

/// Waits until `happened`, or for `millis`: then another moment is chosen to kill at.
fn until(millis: u64, happened: impl Fn() -> bool) {
    let give_up = Instant::now() + Duration::from_millis(millis);
    while !happened() && Instant::now() < give_up {
        thread::sleep(Duration::from_micros(200));
    }
}

/// Returns the state files that were found damaged.
fn set_aside(state: &Path) -> Vec<PathBuf> {
    files(state)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "bad"))
        .collect()
}

/// Returns the files of a state directory, without the lock.
fn files(state: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(state).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| name != "lock"))
        .collect();
    files.sort();
    files
}

/// A damage of a file.
#[derive(Clone, Debug)]
enum Damage {
    CutAt(usize),
    FlippedAt(usize),
}

/// Most starts, to limit the duration. The unit tests of the state try every byte.
const STARTS: usize = 240;
const AT_ONCE: usize = 8;

#[test]
fn wherever_the_state_is_cut_or_flipped_no_waiting_alert_is_lost_in_silence() {
    let scene = Scene::new();
    let mut running = scene.start();
    scene.api.pause();
    scene.site_fails();
    running.wait_stderr("a message waits: ");
    running.kill9();
    scene.api.resume();

    let state: Vec<(PathBuf, Vec<u8>)> = files(&scene.sitemon.state_dir())
        .into_iter()
        .map(|path| {
            let bytes = fs::read(&path).expect("a file of the state");
            (path.file_name().expect("a name").into(), bytes)
        })
        .collect();
    let every: Vec<(PathBuf, Damage)> = state
        .iter()
        .flat_map(|(name, bytes)| {
            let cuts = (0..bytes.len()).map(Damage::CutAt);
            let flips = (0..bytes.len()).map(Damage::FlippedAt);
            cuts.chain(flips).map(|damage| (name.clone(), damage))
        })
        .collect();
    let step = every.len().div_ceil(STARTS);
    let first = seed() as usize % step;
    println!("every {step}th of {} damages, from {first}", every.len());
    let chosen: Vec<_> = every.into_iter().skip(first).step_by(step).collect();
    assert!(!chosen.is_empty());
    // For one URL the site is still down, for the other it works again: then only the state knows
    // of the outage.
    scene.web.set("/works", Behaviour::ok());
    let urls = [scene.web.url("/"), scene.web.url("/works")];
    thread::scope(|scope| {
        for lane in 0..AT_ONCE {
            let damages = chosen.iter().enumerate().skip(lane).step_by(AT_ONCE);
            let (state, urls) = (&state, &urls);
            scope.spawn(move || {
                for (n, (name, damage)) in damages {
                    let works = (n / AT_ONCE) % 2 == 1;
                    survives(state, name, damage, &urls[usize::from(works)], works);
                }
            });
        }
    });
}

/// Starts the agent on the damaged state, while Telegram works.
fn survives(state: &[(PathBuf, Vec<u8>)], damaged: &Path, damage: &Damage, url: &str, works: bool) {
    let api = BotApi::start();
    let sitemon = Sitemon::new(&(api.config() + &site("blog", url)));
    fs::create_dir(sitemon.state_dir()).expect("a directory");
    for (name, bytes) in state {
        let mut bytes = bytes.clone();
        match damage {
            Damage::CutAt(at) if name == damaged => bytes.truncate(*at),
            Damage::FlippedAt(at) if name == damaged => bytes[*at] ^= 0x20,
            _ => {}
        }
        fs::write(sitemon.state_dir().join(name), bytes).expect("a file of the state");
    }
    let mut running = sitemon.run();
    let count = |wanted: &dyn Fn(&str) -> bool| {
        let told = api.messages();
        told.iter().filter(|m| wanted(&m.text)).count()
    };
    let alerts = || count(&|text| text.contains(ALERT) || text.contains("blog was down for "));
    // A power cut may lose the last record; any other damage is reported.
    let known = || {
        let cut = matches!(damage, Damage::CutAt(_));
        let torn = cut && running.stderr().contains("half a record");
        works && (torn || count(&|text| text.contains("damaged")) > 0)
    };
    until(LIMIT.as_millis() as u64, || alerts() > 0 || known());
    let report = format!(
        "{damage:?} of {}\n{:#?}\n{}",
        damaged.display(),
        api.messages(),
        running.stderr()
    );
    assert!(alerts() > 0 && alerts() <= 2 || known(), "{report}");
    assert!(running.is_running(), "it ended by itself: {report}");
    assert_eq!(api.violations(), [""; 0]);
}

const ALERT: &str = "blog is down: HTTP 503, wanted 200-299";

/// Returns the notices like `I was away, last seen 14:03, back 14:20; still down: blog`.
fn away(scene: &Scene) -> Vec<String> {
    let messages = scene.api.messages();
    let away = messages.iter().filter(|m| m.text.contains("I was away"));
    away.map(|m| m.text.clone()).collect()
}

#[test]
fn after_a_power_cut_one_message_says_since_when_it_was_away_and_what_is_still_down() {
    let scene = Scene::new();
    let others = Web::new();
    scene
        .sitemon
        .rewrite(&scene.config_with(&site("shop", &others.url("/"))));
    let mut first = scene.start();
    scene.outage();
    let asked = scene.web.requests();
    scene.web.wait_requests(asked + 2);
    first.kill9();

    let second = scene.start();
    let told = scene.wait_text("I was away, last seen ");
    let form: String = told
        .text
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    let wanted = "I was away, last seen 00:00, back 00:00; still down: blog";
    assert!(form.contains(wanted), "{}", told.text);
    let asked = (scene.web.requests(), others.requests());
    scene.web.wait_requests(asked.0 + 3);
    others.wait_requests(asked.1 + 3);
    assert_eq!(away(&scene).len(), 1, "{:?}", away(&scene));
    assert_eq!(scene.count("blog is down"), 1);
    scene.site_works();
    scene.wait_text("🟢 blog is up again after ");
    scene.end(second);
}

#[test]
fn what_came_up_while_it_was_away_is_told_as_up_and_not_as_still_down() {
    let scene = Scene::new();
    let mut first = scene.start();
    let down = scene.outage();
    let asked = scene.web.requests();
    scene.web.wait_requests(asked + 2);
    first.kill9();
    scene.site_works();
    let second = scene.start();
    let up = scene.wait_text("blog is up again after ");
    assert_eq!(up.reply_to.unwrap_or(down.message_id), down.message_id);
    scene.wait_text("I was away, last seen ");
    let asked = scene.web.requests();
    scene.web.wait_requests(asked + 2);
    assert_eq!(away(&scene).len(), 1);
    assert!(
        !away(&scene)[0].contains("still down"),
        "{:?}",
        away(&scene)
    );
    scene.end(second);
}

#[test]
fn after_an_orderly_stop_nothing_is_said_of_an_absence() {
    let scene = Scene::new();
    let first = scene.start();
    scene.outage();
    scene.end(first);
    let second = scene.start();
    let asked = scene.web.requests();
    scene.web.wait_requests(asked + 3);
    assert_eq!(away(&scene), [""; 0]);
    assert_eq!(scene.count("blog is down"), 1);
    scene.end(second);
    let third = scene.start();
    let asked = scene.web.requests();
    scene.web.wait_requests(asked + 2);
    assert_eq!(away(&scene), [""; 0]);
    scene.end(third);
}

#[test]
fn each_power_cut_is_one_absence() {
    let scene = Scene::new();
    let first = scene.start();
    let asked = scene.web.requests();
    scene.web.wait_requests(asked + 2);
    scene.end(first);
    for cuts in 0..3 {
        let mut running = scene.start();
        let asked = scene.web.requests();
        scene.web.wait_requests(asked + 2);
        if cuts > 0 {
            scene.api.wait_messages(cuts);
        }
        assert_eq!(away(&scene).len(), cuts);
        running.kill9();
    }
    assert_eq!(scene.api.messages().len(), 2, "{:#?}", scene.api.messages());
}
