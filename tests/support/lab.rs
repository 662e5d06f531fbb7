//! Sites on and beyond the local network, an `uplink` target, the fake Bot API, and the agent that
//! watches them, all in a network namespace of the test.

use super::agent::{Running, Sitemon};
use super::bot_api::{BotApi, CHAT, Sent};
use super::json::Json;
use super::listener::{LIMIT, Listener, until};
use super::namespace::Network;
use super::scene::keeps_the_rules;
use super::web::{Behaviour, Web};
use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Failures until a site is down; `retry` is a second.
pub const TRIES: usize = 2;

pub struct Lab {
    pub api: BotApi,
    /// Accepts connections and closes them. The only `uplink` target unless [`Lab::uplink`] sets
    /// others.
    pub target: Listener,
    uplink: Option<String>,
    sites: Vec<(String, Web)>,
    tables: String,
    sitemon: Sitemon,
}

impl Lab {
    pub fn new() -> Lab {
        let target = Listener::start_at(Network::uplink(1), None, |_, _| {});
        Lab {
            api: BotApi::start(),
            uplink: Some(format!("uplink = [\"tcp://{}\"]", target.address())),
            target,
            sites: Vec::new(),
            tables: String::new(),
            sitemon: Sitemon::new(""),
        }
    }

    /// Replaces the line of the key `uplink`, or removes it.
    pub fn uplink(mut self, line: Option<&str>) -> Lab {
        self.uplink = line.map(str::to_owned);
        self
    }

    /// Adds a site with a server at `ip`.
    pub fn site(self, name: &str, ip: Ipv4Addr) -> Lab {
        self.site_with(name, ip, "")
    }

    /// Adds such a site with further keys.
    pub fn site_with(mut self, name: &str, ip: Ipv4Addr, keys: &str) -> Lab {
        let web = Web::at(ip);
        self.add_table(name, &web.url("/"), keys);
        self.sites.push((name.to_owned(), web));
        self
    }

    /// Adds a site at `ip` that is configured by the host name `host`.
    pub fn named_site(mut self, name: &str, ip: Ipv4Addr, host: &str) -> Lab {
        let web = Web::at(ip);
        let url = web.url("/").replace(&ip.to_string(), host);
        self.add_table(name, &url, "");
        self.sites.push((name.to_owned(), web));
        self
    }

    /// Adds a site whose server the test provides.
    pub fn address(mut self, name: &str, url: &str, keys: &str) -> Lab {
        self.add_table(name, url, keys);
        self
    }

    /// Returns the directory of the configuration.
    pub fn dir(&self) -> &Path {
        self.sitemon.dir()
    }

    fn add_table(&mut self, name: &str, url: &str, keys: &str) {
        self.tables.push_str(&format!(
            "[[site]]\nname = \"{name}\"\nurl = \"{url}\"\n{keys}\n"
        ));
    }

    /// Starts the agent, and waits until it polls Telegram and has judged every site up: the second
    /// check of a site begins after the first was judged.
    #[track_caller]
    pub fn start(&self) -> Running {
        let running = self.launch();
        for (_, web) in &self.sites {
            web.wait_requests(2);
        }
        running
    }

    /// Starts the agent, for the first time or again, and waits until it polls Telegram.
    #[track_caller]
    pub fn launch(&self) -> Running {
        let uplink = self.uplink.as_deref().unwrap_or_default();
        let config = format!(
            "{}[agent]\nstate = \"state\"\n{uplink}\n[defaults]\ninterval = \"1s\"\n\
             timeout = \"1s\"\ntries = {TRIES}\nretry = \"1s\"\n{}",
            self.api.config(),
            self.tables
        );
        // `rewrite` would add an `uplink` where there is none.
        fs::write(self.sitemon.config_path(), config).expect("the configuration can be written");
        let polls = self.api.calls("getUpdates");
        let mut running = self.sitemon.run();
        until("it listens", || {
            assert!(running.is_running(), "{}", running.stderr());
            self.api.calls("getUpdates") > polls
        });
        running
    }

    #[track_caller]
    pub fn web(&self, name: &str) -> &Web {
        let site = self.sites.iter().find(|(n, _)| n == name);
        &site.unwrap_or_else(|| panic!("no site {name}")).1
    }

    /// Makes the site refuse connections from now on.
    #[track_caller]
    pub fn dies(&self, name: &str) {
        self.web(name).stop();
    }

    #[track_caller]
    pub fn lives_again(&self, name: &str) {
        self.web(name).start_again();
    }

    /// Makes the site answer 503 from now on, so that its failures can be counted.
    #[track_caller]
    pub fn fails(&self, name: &str) {
        self.web(name).set("/", Behaviour::status(503));
    }

    #[track_caller]
    pub fn works(&self, name: &str) {
        self.web(name).set("/", Behaviour::ok());
    }

    /// Counts the connections that the `uplink` target has accepted.
    pub fn asked(&self) -> u64 {
        self.target.counts().accepted
    }

    /// Waits for a message that has `part` in its present text.
    #[track_caller]
    pub fn wait_text(&self, part: &str) -> Sent {
        self.api.wait_message(|m| m.latest().contains(part))
    }

    /// Counts the messages that have `part` in their present text.
    pub fn count(&self, part: &str) -> usize {
        let messages = self.api.messages();
        messages
            .iter()
            .filter(|m| m.latest().contains(part))
            .count()
    }

    /// Sends a command and waits for its answer.
    #[track_caller]
    pub fn ask(&self, command: &str) -> String {
        let before = self.api.messages().last().map_or(0, |m| m.message_id);
        self.api.say(CHAT, CHAT, command);
        let answer = self.api.wait_message(|m| m.message_id > before);
        answer.latest().to_owned()
    }

    /// Waits until the states by name in `sitemon status --json` satisfy `wanted`.
    #[track_caller]
    pub fn wait_states(&self, wanted: impl Fn(&BTreeMap<String, String>) -> bool) {
        let give_up = Instant::now() + LIMIT;
        loop {
            let states = self.states();
            if !states.is_empty() && wanted(&states) {
                return;
            }
            if Instant::now() > give_up {
                panic!(
                    "waited in vain for other states than {states:?}; messages: {:#?}",
                    self.api.messages()
                );
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until the site is in `state`.
    #[track_caller]
    pub fn wait_state(&self, name: &str, state: &str) {
        self.wait_states(|states| states.get(name).is_some_and(|s| s == state));
    }

    /// Returns the states by name. Empty while there is no state to read.
    fn states(&self) -> BTreeMap<String, String> {
        let output = self.sitemon.command(&["status", "--json"]);
        let json = Json::parse(&output.stdout).unwrap_or(Json::Null);
        let sites = json.get("sites").and_then(Json::array).unwrap_or_default();
        let text = |site: &Json, key| site.get(key).and_then(Json::str).map(str::to_owned);
        let pairs = sites
            .iter()
            .filter_map(|s| Some((text(s, "name")?, text(s, "state")?)));
        pairs.collect()
    }

    /// Sends `/status` until all sites are up.
    #[track_caller]
    pub fn wait_all_up(&self) {
        self.wait_status(&format!("{} up", self.sites.len()));
    }

    /// Sends `/status` until the answer has `part` in it: the state on disk may be minutes older.
    #[track_caller]
    pub fn wait_status(&self, part: &str) {
        let give_up = Instant::now() + LIMIT;
        loop {
            let answer = self.ask("/status");
            if answer.contains(part) {
                return;
            }
            assert!(Instant::now() < give_up, "no {part} in {answer}");
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until each of these sites has received `n` requests from now on.
    #[track_caller]
    pub fn wait_checks(&self, names: &[&str], n: usize) {
        let before: Vec<usize> = names.iter().map(|name| self.web(name).requests()).collect();
        for (name, before) in names.iter().zip(before) {
            self.web(name).wait_requests(before + n);
        }
    }

    /// Ends the agent in good order and checks what holds for every test.
    #[track_caller]
    pub fn end(&self, mut running: Running) {
        assert_eq!(running.terminate().code(), Some(0), "{}", running.stderr());
        keeps_the_rules(&self.api, &running);
    }
}
