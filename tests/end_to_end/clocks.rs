//! Wrong wall clocks, with the real binary.

use crate::support::agent::Running;
use crate::support::bot_api::{BotApi, CHAT};
use crate::support::clock_shim::{ClockShim, Kernel};
use crate::support::listener::until;
use crate::support::namespace::{Network, in_own_network, ip};
use crate::support::scene::{Scene, site};
use crate::support::tls::TestCa;
use crate::support::web::{Behaviour, Web};
use std::time::{Duration, UNIX_EPOCH};

const DAY: i64 = 86_400;
const YEAR: i64 = 365 * DAY;

/// A plain site, one with a certificate, and the agent's clock.
struct Clocks {
    scene: Scene,
    secure: Web,
    clock: ClockShim,
}

impl Clocks {
    fn new() -> Clocks {
        Clocks::valid_in(-1)
    }

    /// The certificate becomes valid in `days` days.
    fn valid_in(days: i64) -> Clocks {
        let ca = TestCa::new();
        let at = |days: i64| {
            let seconds = jiff::Timestamp::now().as_second() + days * DAY;
            UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs())
        };
        let names = ["127.0.0.1", "localhost"];
        let secure = Web::tls(&ca.issue(&names, at(days), at(days + 90)));
        let scene = Scene::with(BotApi::config);
        let ca_file = ca.write_pem(scene.sitemon.dir());
        let (sitemon, clock) = ClockShim::before(scene.sitemon);
        let scene = Scene { sitemon, ..scene };
        let agent = format!("[agent]\nstate = \"state\"\nca_file = {ca_file:?}\n");
        let more = site("secure", &secure.url("/health")) + &agent;
        scene.sitemon.rewrite(&scene.config_with(&more));
        Clocks {
            scene,
            secure,
            clock,
        }
    }

    /// Starts the first run, with a clock that is `ahead` seconds ahead.
    fn start(&self, ahead: i64) -> Running {
        self.clock.set(ahead, Kernel::NotSynchronised);
        self.scene.start()
    }

    /// Waits for this many checks of the plain site: time passes and the agent works.
    fn rounds(&self, rounds: usize) {
        let before = self.scene.web.requests();
        self.scene.web.wait_requests(before + rounds);
    }

    /// Counts the GETs of the site with a certificate.
    fn secure_checks(&self) -> usize {
        let seen = self.secure.seen();
        seen.iter().filter(|r| r.target == "/health").count()
    }

    #[track_caller]
    fn wait_secure_checks(&self, more: usize) {
        let before = self.secure_checks();
        until("secure is checked", || {
            self.secure_checks() >= before + more
        });
    }

    #[track_caller]
    fn never_told(&self, part: &str) {
        let messages = self.scene.api.messages();
        assert!(
            messages.iter().all(|m| !m.text.contains(part)),
            "{messages:?}"
        );
    }
}

/// `truth`: seconds by which the right clock is ahead of this machine's.
fn behind_the_states_stamp(truth: i64, said: &str) {
    let clocks = Clocks::valid_in(truth / DAY - 1);
    let scene = &clocks.scene;
    let mut first = clocks.start(truth);
    clocks.wait_secure_checks(2);
    scene.ask("/mute blog 8s", "🔕 blog is muted for 8 s");
    assert_eq!(first.terminate().code(), Some(0));
    let checks = clocks.secure_checks();
    let second = clocks.start(truth - 10 * DAY);
    second.wait_stderr(said);
    clocks.rounds(4);
    assert_eq!(clocks.secure_checks(), checks, "no certificate is judged");
    // The time server's answer.
    clocks.clock.set(truth, Kernel::NotSynchronised);
    second.wait_stderr("the clock is set");
    clocks.wait_secure_checks(2);
    scene.site_fails();
    // At once, or at the end of the mute if time is left of it.
    scene.wait_text("🔴 blog is ");
    clocks.never_told("secure is down");
    scene.end(second);
}

#[test]
fn before_the_build_nothing_is_told_and_a_mute_ends_in_time() {
    behind_the_states_stamp(0, "clock not set");
}

#[test]
fn behind_the_states_stamp_nothing_is_told_and_a_mute_ends_in_time() {
    let said = "clock doubted, it is behind the newest stamp of the state";
    behind_the_states_stamp(20 * DAY, said);
}

#[test]
fn decades_ahead_at_the_start_there_is_silence() {
    let clocks = Clocks::new();
    let running = clocks.start(43 * YEAR);
    running.wait_stderr("clock doubted, it is more than 20 years after the build");
    clocks.rounds(4);
    assert_eq!(clocks.secure_checks(), 0);
    let told = clocks.scene.api.messages();
    assert!(told.is_empty(), "{told:?}");
    clocks.clock.set(0, Kernel::NotSynchronised);
    clocks.wait_secure_checks(2);
    let told = clocks.scene.api.messages();
    assert!(told.is_empty(), "{told:?}");
    clocks.scene.end(running);
}

/// The agent has written stamps of a clock that was a year ahead. The clock is right since.
fn after_a_year_ahead() -> (Clocks, Running) {
    let clocks = Clocks::new();
    let first = clocks.start(YEAR);
    clocks.rounds(2);
    clocks.scene.end(first);
    clocks.scene.api.clear();
    let second = clocks.start(0);
    second.wait_stderr("clock doubted, it is behind the newest stamp of the state");
    (clocks, second)
}

#[test]
fn stamps_of_a_year_ahead_are_refuted_by_the_kernel() {
    let (clocks, running) = after_a_year_ahead();
    clocks.clock.set(0, Kernel::Refuses);
    clocks.rounds(3);
    assert_eq!(clocks.secure_checks(), 0, "refused is not known");
    clocks.clock.set(0, Kernel::Synchronised);
    clocks.wait_secure_checks(2);
    clocks.scene.end(running);
    // The doubt doesn't come back.
    clocks.clock.set(0, Kernel::NotSynchronised);
    let checks = clocks.secure_checks();
    let third = clocks.scene.start();
    clocks.wait_secure_checks(1);
    assert!(clocks.secure_checks() > checks);
    assert!(!third.stderr().contains("clock doubted"));
    clocks.scene.end(third);
}

#[test]
fn stamps_of_a_year_ahead_are_refuted_by_a_verified_server() {
    let clocks = Clocks::new();
    let first = clocks.start(YEAR);
    clocks.rounds(2);
    clocks.scene.end(first);
    let date = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT");
    let dated = Behaviour::ok().with_header("Date", &date.to_string());
    clocks.secure.set("/", dated);
    let second = clocks.start(0);
    second.wait_stderr("clock doubted, it is behind the newest stamp of the state");
    second.wait_stderr("the clock is set");
    clocks.wait_secure_checks(2);
    let asked = clocks.secure.seen().into_iter().find(|r| r.target == "/");
    let asked = asked.expect("asked for the time");
    assert_eq!((asked.method.as_str(), &asked.body[..]), ("HEAD", &b""[..]));
    let secret = |(name, _): &&(String, String)| name == "authorization" || name == "cookie";
    assert_eq!(asked.headers.iter().find(secret), None);
    clocks.scene.end(second);
}

#[test]
fn a_server_with_another_time_refutes_nothing() {
    let clocks = Clocks::new();
    let hour_ago = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(3600);
    let date = hour_ago.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    clocks
        .secure
        .set("/", Behaviour::ok().with_header("Date", &date));
    let first = clocks.start(YEAR);
    clocks.rounds(2);
    clocks.scene.end(first);
    let second = clocks.start(0);
    second.wait_stderr("the clock is doubted: a verified server has another time");
    clocks.rounds(2);
    assert_eq!(clocks.secure_checks(), 0);
    clocks.scene.end(second);
}

#[test]
fn a_command_is_carried_out_though_the_clock_is_fast_or_slow() {
    for ahead in [400, -400, 3 * DAY] {
        let clocks = Clocks::new();
        let scene = &clocks.scene;
        let running = clocks.start(ahead);
        scene.api.wait_calls("getUpdates", 2);
        scene.ask("/status", "up");
        scene.ask("/pause secure", "⏸ secure is paused");
        assert_eq!(scene.count("Too old"), 0);
        scene.end(running);
    }
}

#[test]
fn what_waited_at_the_start_is_compared_by_its_date() {
    let clocks = Clocks::new();
    let scene = &clocks.scene;
    let now = jiff::Timestamp::now().as_second();
    scene.api.say_at(CHAT, CHAT, "/pause blog", now - 1200);
    let running = clocks.start(0);
    scene.wait_text("I was away. Too old to carry out:");
    scene.api.wait_calls("getUpdates", 2);
    // The age of a message doesn't matter while the agent polls.
    scene.api.say_at(CHAT, CHAT, "/help", now - 1200);
    scene.wait_text("/status · ");
    scene.end(running);
}

/// Time from the start until the local network is up.
const LATE: Duration = Duration::from_secs(40);

/// A Pi after a power cut: fake-hwclock has restored the time of an hour ago, the interface comes
/// up late, and the time server answers after that.
#[test]
fn a_power_cut_an_old_clock_and_a_late_interface_alert_nothing() {
    in_own_network(|_| {
        // After the build date, so that only the stamp of the state shows that the restored clock
        // is wrong.
        let truth = 20 * DAY;
        let clocks = Clocks::valid_in(truth / DAY - 1);
        let scene = &clocks.scene;
        let printer = Web::at(Network::lan(20));
        let more = site("secure", &clocks.secure.url("/health"))
            + &site("printer", &printer.url("/"))
            + &format!(
                "[agent]\nstate = \"state\"\ntimezone = \"UTC\"\nca_file = {:?}\n",
                scene.sitemon.dir().join("ca.pem")
            );
        scene.sitemon.rewrite(&scene.config_with(&more));
        let true_minutes = || {
            let now = jiff::Timestamp::now().as_second() + truth;
            now.rem_euclid(DAY) / 60
        };

        let mut first = clocks.start(truth);
        clocks.wait_secure_checks(2);
        printer.wait_requests(2);
        scene.ask("/status", "3 up");
        let seen = true_minutes();
        first.kill9();
        scene.api.clear();

        ip("addr flush dev lo");
        ip("addr add 127.0.0.1/8 dev lo");
        let (secure, printed, started) =
            (clocks.secure_checks(), printer.requests(), true_minutes());
        let second = clocks.start(truth - 3600);
        second.wait_stderr("clock doubted, it is behind the newest stamp of the state");
        second.wait_stderr("this machine has no network address");
        std::thread::sleep(LATE);
        assert_eq!(clocks.secure_checks(), secure, "no certificate is judged");
        assert_eq!(printer.requests(), printed);

        ip("addr add 10.7.0.1/24 dev lo");
        printer.wait_requests(printed + 2);
        clocks.clock.set(truth, Kernel::NotSynchronised);
        second.wait_stderr("the clock is set");
        clocks.wait_secure_checks(2);
        let back = scene.wait_text("I was away");
        scene.ask("/status", "3 up");

        // Both times are those of the right clock, to the minute.
        let times: Vec<i64> = back
            .text
            .split([' ', ','])
            .filter_map(|word| word.split_once(':'))
            .filter_map(|(h, m)| Some(h.parse::<i64>().ok()? * 60 + m.parse::<i64>().ok()?))
            .collect();
        let near = |told: i64, right: i64| {
            (told - right).rem_euclid(DAY / 60) <= 1 || (right - told).rem_euclid(DAY / 60) <= 1
        };
        assert!(
            matches!(times[..], [last, again] if near(last, seen) && near(again, started)),
            "{}: {seen} {started}",
            back.text
        );
        for wrong in [
            "down",
            "offline",
            "up again",
            "certificate",
            "network address",
        ] {
            clocks.never_told(wrong);
        }
        scene.end(second);
    });
}
