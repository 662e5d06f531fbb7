//! Messages leak nothing, whether they were sent or not.

use super::common::{OF_TELEGRAM, sites, wait_for, wait_telegram_at_rest};
use crate::support::agent::{Running, Sitemon};
use crate::support::bot_api::{BotApi, Fault};
use crate::support::listener::LIMIT;
use crate::support::web::{Behaviour, Web};

/// Enough sites for none to be flapping.
const SITES: usize = 2;

struct Scene {
    web: Web,
    api: BotApi,
    running: Running,
    changes: usize,
    _sitemon: Sitemon,
}

impl Scene {
    fn start() -> Scene {
        let (web, api) = (Web::new(), BotApi::start());
        // Every change is an alert.
        let keys = "interval = \"1s\"\ntries = 1\nretry = \"1s\"";
        // The sites' connections aren't kept, so that only Telegram's are left.
        let agent = "[agent]\nstate = \"state\"\nidle_timeout = \"1s\"\n";
        let tables = sites(&web, SITES, keys);
        let sitemon = Sitemon::new(&format!("{}{agent}{tables}", api.config()));
        let running = sitemon.run();
        web.wait_requests(SITES);
        api.wait_calls("getUpdates", 1);
        Scene {
            web,
            api,
            running,
            changes: 0,
            _sitemon: sitemon,
        }
    }

    /// Makes one site fail, or work again.
    fn change(&mut self) {
        let behaviour = if self.changes.is_multiple_of(2) {
            Behaviour::status(503)
        } else {
            Behaviour::ok()
        };
        let site = self.changes / 2 % SITES;
        self.web.set(&format!("/s{site}"), behaviour);
        self.changes += 1;
    }

    /// Triggers one alert, and waits until it arrives.
    #[track_caller]
    fn alert(&mut self) {
        let before = self.api.messages().len();
        self.change();
        self.api.wait_messages(before + 1);
    }

    /// Returns the fewest descriptors seen in two rounds of the sites, between checks, without
    /// connections to Telegram: how many of those are idle depends on how many messages were sent
    /// at once. They are found in the process itself, since the server notices a closed one later.
    fn descriptors(&self) -> usize {
        let until = self.web.requests() + 3 * SITES;
        let mut least = usize::MAX;
        wait_for(
            LIMIT,
            "two rounds",
            || {
                least = least.min(self.running.descriptors_but_to(self.api.port()));
                self.web.requests()
            },
            |&requests| requests >= until,
        );
        least
    }

    #[track_caller]
    fn holds_no_more_than(&self, before: usize) {
        wait_telegram_at_rest(&self.api);
        let most = self.api.max_connections_seen();
        assert!(most <= OF_TELEGRAM, "{most} connections at once");
        let after = self.descriptors();
        let open = self.api.open_connections();
        assert!(
            after <= before,
            "{after} descriptors, {before} before; {open} connections"
        );
    }

    #[track_caller]
    fn end(mut self) {
        assert_eq!(self.running.terminate().code(), Some(0));
        let open = || self.api.open_connections();
        wait_for(LIMIT, "no connection", open, |&n| n == 0);
        assert_eq!(self.api.violations(), [""; 0]);
    }
}

#[test]
fn delivered_alerts_leave_the_poll_and_idle_connections_and_no_descriptor() {
    let mut scene = Scene::start();
    scene.alert();
    scene.alert();
    let before = scene.descriptors();
    for _ in 0..4 {
        scene.alert();
    }
    scene.holds_no_more_than(before);
    scene.end();
}

#[test]
fn failed_alerts_leave_no_connection_and_no_descriptor() {
    let mut scene = Scene::start();
    scene.alert();
    scene.alert();
    let before = scene.descriptors();
    for fault in [
        Fault::Drop,
        Fault::Status(502),
        Fault::TooManyRequests { retry_after: 1 },
        Fault::Garbage(b"garbage\r\n\r\n"),
    ] {
        scene.api.fail_next("sendMessage", fault);
        let calls = scene.api.calls("sendMessage");
        scene.alert();
        // The message that failed was sent again.
        assert!(scene.api.calls("sendMessage") >= calls + 2);
        wait_telegram_at_rest(&scene.api);
    }
    scene.holds_no_more_than(before);
    scene.end();
}
