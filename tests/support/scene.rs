//! A site, the fake Bot API, and the agent that watches the site and is operated through Telegram.

use super::agent::{Running, Sitemon};
use super::bot_api::{BotApi, CHAT, Sent};
use super::web::{Behaviour, Web};

/// One site, `blog`, that is checked every second and is down at its first failure.
pub struct Scene {
    pub api: BotApi,
    pub web: Web,
    pub sitemon: Sitemon,
}

impl Scene {
    pub fn new() -> Scene {
        Scene::with(BotApi::config)
    }

    /// Starts with another `[telegram]` table.
    pub fn with(telegram: impl FnOnce(&BotApi) -> String) -> Scene {
        let (api, web) = (BotApi::start(), Web::new());
        let sitemon = Sitemon::new(&(telegram(&api) + &site("blog", &web.url("/"))));
        Scene { api, web, sitemon }
    }

    /// Returns the configuration with further sites or tables at its end.
    pub fn config_with(&self, more: &str) -> String {
        self.api.config() + &site("blog", &self.web.url("/")) + more
    }

    /// Starts the agent and waits until it polls Telegram: the first poll returns the pending
    /// updates, the second is parked.
    #[track_caller]
    pub fn start(&self) -> Running {
        let polls = self.api.calls("getUpdates");
        let running = self.sitemon.run();
        self.api.wait_calls("getUpdates", polls + 2);
        running
    }

    pub fn site_fails(&self) {
        self.web.set("/", Behaviour::status(503));
    }

    pub fn site_works(&self) {
        self.web.set("/", Behaviour::ok());
    }

    /// Makes the site fail and waits for the alert.
    #[track_caller]
    pub fn outage(&self) -> Sent {
        self.site_fails();
        self.wait_text("🔴 blog is down: HTTP 503, wanted 200-299 (#1)")
    }

    /// Waits for a message that has `part` in its present text.
    #[track_caller]
    pub fn wait_text(&self, part: &str) -> Sent {
        self.api.wait_message(|m| m.latest().contains(part))
    }

    /// Sends a command in the chat, and waits for a new message with `part` in its present text.
    #[track_caller]
    pub fn ask(&self, command: &str, part: &str) -> Sent {
        let before = self.api.messages().last().map_or(0, |m| m.message_id);
        self.api.say(CHAT, CHAT, command);
        self.api
            .wait_message(|m| m.message_id > before && m.latest().contains(part))
    }

    /// Counts the messages that have `part` in them.
    pub fn count(&self, part: &str) -> usize {
        let messages = self.api.messages();
        messages.iter().filter(|m| m.text.contains(part)).count()
    }

    /// Ends the agent in good order and checks what holds for every test.
    #[track_caller]
    pub fn end(&self, mut running: Running) {
        assert_eq!(running.terminate().code(), Some(0), "{}", running.stderr());
        keeps_the_rules(&self.api, &running);
    }
}

/// Checks that the token is nowhere in the output, and that every request kept to the Bot API.
#[track_caller]
pub fn keeps_the_rules(api: &BotApi, running: &Running) {
    no_token(api, &running.stdout());
    no_token(api, &running.stderr());
    assert_eq!(api.violations(), [""; 0]);
}

/// Checks that neither the token nor its secret part is in `text`.
#[track_caller]
pub fn no_token(api: &BotApi, text: &str) {
    let secret = api.token().split(':').next_back().unwrap_or_default();
    assert!(!secret.is_empty() && !text.contains(secret), "{text}");
}

/// Returns a `[[site]]` table.
pub fn site(name: &str, url: &str) -> String {
    format!(
        "[[site]]\nname = \"{name}\"\nurl = \"{url}\"\ninterval = \"1s\"\ntries = 1\nretry = \"1s\"\n"
    )
}
