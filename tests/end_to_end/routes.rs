//! Telegram is blocked, but for other routes: real proxies, a real nginx as a relay, and the fake
//! Bot API behind TLS.

use crate::support::agent::{Running, Sitemon};
use crate::support::bot_api::{BotApi, CHAT, Fault, Sent};
use crate::support::listener::{Listener, until};
use crate::support::routes::{Gate, PASSWORD, PATH, Server, Straight, USER, recipe};
use crate::support::scene::{keeps_the_rules, site};
use crate::support::tls::TestCa;
use crate::support::web::{Behaviour, Web};
use std::collections::BTreeMap;

/// Terminates TLS, and forwards everything to the fake Bot API.
const FRONT: &str = "server { listen 127.0.0.1:PORT ssl; ssl_certificate CERT; ssl_certificate_key KEY; \
                     client_max_body_size 10m; location / { proxy_pass API; proxy_read_timeout 75s; } }";

/// The Bot API behind TLS, and a gate in front of it.
struct Blocked {
    api: BotApi,
    ca: TestCa,
    gate: Gate,
    web: Web,
    /// The `uplink` target.
    uplink: Listener,
    sitemon: Sitemon,
    front: Server,
}

impl Blocked {
    fn new() -> Blocked {
        let (api, ca) = (BotApi::start(), TestCa::new());
        let front = FRONT.replace("API", &api.url());
        let front = Server::nginx(&front, &ca.good_for_days(90));
        Blocked {
            gate: Gate::before(front.port()),
            web: Web::new(),
            uplink: Listener::start(|_, _| {}),
            sitemon: Sitemon::new(""),
            front,
            api,
            ca,
        }
    }

    /// Writes a configuration with these routes, and this many sites.
    fn configure(&self, routes: &[&str], sites: usize) {
        let roots = self.ca.write_pem(self.sitemon.dir());
        let sites = (0..sites).map(|n| site(&format!("s{n:02}"), &self.web.url(&format!("/{n}"))));
        let config = format!(
            "{}route = {routes:?}\n[agent]\nstate = \"state\"\nca_file = {roots:?}\nuplink = [\"tcp://{}\"]\n{}",
            self.api.config().replace(
                &self.api.url(),
                &format!("https://127.0.0.1:{}", self.gate.port())
            ),
            self.uplink.address(),
            sites.collect::<String>(),
        );
        self.sitemon.rewrite(&config);
    }

    /// Starts the relay of the documentation's recipe for nginx.
    fn relay(&self) -> (Server, String) {
        let roots = self.ca.write_pem(self.sitemon.dir());
        // nginx checks only names in a certificate, no addresses.
        let api = format!("https://localhost:{}/", self.front.port());
        let block = recipe(
            "nginx",
            &[
                ("listen 443 ssl", "listen 127.0.0.1:PORT ssl"),
                (
                    "/etc/letsencrypt/live/relay.example.com/fullchain.pem",
                    "CERT",
                ),
                ("/etc/letsencrypt/live/relay.example.com/privkey.pem", "KEY"),
                ("https://api.telegram.org/", &api),
                ("Host api.telegram.org", "Host localhost"),
                (
                    "/etc/ssl/certs/ca-certificates.crt",
                    roots.to_str().expect("a path of ASCII"),
                ),
            ],
        );
        let server = Server::nginx(&block, &self.ca.good_for_days(90));
        let route = format!("https://127.0.0.1:{}/{PATH}", server.port());
        (server, route)
    }

    /// Sends a command, and waits for its answer.
    #[track_caller]
    fn ask(&self, command: &str, part: &str) -> Sent {
        let before = self.api.messages().last().map_or(0, |m| m.message_id);
        self.api.say(CHAT, CHAT, command);
        self.api
            .wait_message(|m| m.message_id > before && m.latest().contains(part))
    }

    #[track_caller]
    fn wait_text(&self, part: &str) -> Sent {
        self.api.wait_message(|m| m.latest().contains(part))
    }

    fn count(&self, part: &str) -> usize {
        let messages = self.api.messages();
        messages.iter().map(|m| m.text.matches(part).count()).sum()
    }

    #[track_caller]
    fn end(&self, mut running: Running) {
        assert_eq!(running.terminate().code(), Some(0), "{}", running.stderr());
        keeps_the_rules(&self.api, &running);
        let told: String = self.api.messages().iter().map(|m| m.text.clone()).collect();
        for secret in [USER, PASSWORD, PATH] {
            assert!(!running.stderr().contains(secret), "{}", running.stderr());
            assert!(!told.contains(secret), "{told}");
        }
    }
}

/// Counts the mentions of each site.
fn downs(messages: &[Sent], sites: usize) -> BTreeMap<String, usize> {
    let count = |n| {
        let name = format!("s{n:02}");
        let told = messages.iter().map(|m| m.text.matches(&name).count()).sum();
        (name, told)
    };
    (0..sites).map(count).collect()
}

#[test]
fn a_route_that_is_cut_in_the_middle_of_a_storm_costs_no_alert_and_repeats_none() {
    const SITES: usize = 12;
    let world = Blocked::new();
    let proxy = Server::microsocks();
    let route = proxy.route("socks5h");
    world.configure(&["direct", &route], SITES);
    let running = world.sitemon.run();
    world.api.wait_calls("getUpdates", 2);
    // One site after the other, so that each gets a message of its own, and the cut comes between
    // them.
    for n in 0..SITES {
        world.web.set(&format!("/{n}"), Behaviour::status(503));
        if n == SITES / 2 {
            world.gate.set(Straight::Reset);
        }
        if n % 3 == 0 && n < SITES / 2 {
            world.wait_text(&format!("s{n:02} is down"));
        }
    }
    until("every outage is told", || {
        downs(&world.api.messages(), SITES).values().all(|n| *n > 0)
    });
    let shown = format!("socks5h://***@127.0.0.1:{}", proxy.port());
    world.wait_text(&format!("Telegram is reached through {shown} since "));
    world.ask("/status", "12 down");
    let stderr = running.wait_stderr("direct: connection reset after the TLS hello");
    assert!(
        stderr.contains(&format!(
            "direct: connection reset after the TLS hello: Telegram looks blocked here; your sites are fine. \
             Telegram is asked through {shown} from now on"
        )),
        "{stderr}"
    );
    assert_eq!(world.count("Telegram is reached"), 1);
    let before_status = |m: &&Sent| !m.text.contains("12 down");
    let alerts: Vec<Sent> = world
        .api
        .messages()
        .iter()
        .filter(before_status)
        .cloned()
        .collect();
    // The message that was being sent at the cut may be sent again.
    let told = downs(&alerts, SITES).into_iter();
    let twice: Vec<String> = told.filter(|(_, n)| *n > 1).map(|(name, _)| name).collect();
    let in_one = |m: &Sent| twice.iter().all(|name| m.text.contains(name));
    assert!(alerts.iter().any(in_one), "{twice:?}\n{alerts:#?}");
    assert!(
        downs(&alerts, SITES).values().all(|n| *n < 3),
        "{alerts:#?}"
    );
    world.end(running);

    // The next run uses the same route, without another notice.
    let running = world.sitemon.run();
    world.ask("/status", "12 down");
    assert_eq!(world.count("Telegram is reached"), 1);
    assert!(
        !running.stderr().contains("looks blocked"),
        "{}",
        running.stderr()
    );
    world.end(running);
}

/// Checks that the last of these routes is used. The others are blocked.
#[track_caller]
fn goes_by(world: &Blocked, routes: &[&str], shown: &str) {
    world.configure(routes, 1);
    world.web.set("/0", Behaviour::ok());
    let running = world.sitemon.run();
    world.wait_text(&format!("Telegram is reached through {shown} since "));
    world.ask("/status", "1 up");
    world.web.set("/0", Behaviour::status(503));
    world.wait_text("s00 is down");
    world.ask("/chart s00 1h", "s00");
    world.end(running);
}

#[test]
fn an_http_proxy_is_a_route() {
    let world = Blocked::new();
    let proxy = Server::tinyproxy();
    world.gate.set(Straight::Reset);
    let shown = format!("http://***@127.0.0.1:{}", proxy.port());
    goes_by(&world, &["direct", &proxy.route("http")], &shown);
}

#[test]
fn socks_without_names_is_a_route_and_say_finds_it_too() {
    let world = Blocked::new();
    let proxy = Server::microsocks();
    world.gate.set(Straight::Reset);
    let route = proxy.route("socks5");
    let shown = format!("socks5://***@127.0.0.1:{}", proxy.port());
    goes_by(&world, &["direct", &route], &shown);
    let said = world.sitemon.command(&["say", "hello there"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    world.wait_text("hello there");
}

#[test]
fn the_relay_of_the_recipe_for_nginx_is_a_route_and_one_that_shows_a_page_is_none() {
    let world = Blocked::new();
    let (relay, route) = world.relay();
    world.gate.set(Straight::Reset);
    let shown = format!("https://127.0.0.1:{}/***", relay.port());
    // For another path nginx returns a page of its own; nothing listens at port 1.
    let wrong = format!("https://127.0.0.1:{}/wrong", relay.port());
    let routes = [wrong.as_str(), "socks5h://127.0.0.1:1", "direct", &route];
    world.configure(&routes, 1);
    let running = world.sitemon.run();
    world.wait_text(&format!("Telegram is reached through {shown} since "));
    let log = running.stderr();
    for cause in [
        &format!("{shown}: HTTP 404 with an answer that is not the Bot API's. "),
        "socks5h://127.0.0.1:1: cannot connect to the proxy (connection refused). ",
        "direct: connection reset after the TLS hello: Telegram looks blocked here",
    ] {
        assert!(log.contains(cause), "{cause}\n{log}");
    }
    world.ask("/status", "1 up");
    world.end(running);
}

#[test]
fn a_reload_adds_a_route_and_takes_it_away() {
    let world = Blocked::new();
    let socks = Server::microsocks();
    world.gate.set(Straight::Reset);
    world.configure(&["direct"], 1);
    let running = world.sitemon.run();
    running.wait_stderr("Telegram can't be reached");
    world.web.set("/0", Behaviour::status(503));
    running.wait_stderr("s00 is down");
    world.configure(&["direct", &socks.route("socks5h")], 1);
    running.hup();
    world.wait_text("s00 is down");
    // The answer comes after the alert, whose arrival is then confirmed: it isn't sent again.
    world.ask("/status", "1 down");
    world.gate.set(Straight::Passes);
    world.configure(&["direct"], 1);
    running.hup();
    drop(socks);
    world.ask("/list", "s00");
    assert_eq!(world.count("s00 is down"), 1);
    world.end(running);
}

#[test]
fn errors_of_telegrams_own_are_no_fault_of_a_proxy() {
    let world = Blocked::new();
    let socks = Server::microsocks();
    world.configure(&[&socks.route("socks5h"), "direct"], 1);
    let running = world.sitemon.run();
    world.api.wait_calls("getUpdates", 2);
    world
        .api
        .fail_always("getUpdates", Some(Fault::Status(502)));
    world.api.say(CHAT, CHAT, "/status");
    let polls = world.api.calls("getUpdates");
    world.api.wait_calls("getUpdates", polls + 4);
    world.api.fail_always("getUpdates", None);
    world.wait_text("up");
    assert!(
        !running.stderr().contains("is asked through"),
        "{}",
        running.stderr()
    );
    world.end(running);
}

#[test]
fn a_captive_portal_is_no_bot_api() {
    let world = Blocked::new();
    let proxy = Server::microsocks();
    world.gate.set(Straight::Page);
    let shown = format!("socks5h://***@127.0.0.1:{}", proxy.port());
    goes_by(&world, &["direct", &proxy.route("socks5h")], &shown);
}

#[test]
fn a_route_that_takes_connections_and_hangs_is_left_when_its_time_is_over() {
    let world = Blocked::new();
    let proxy = Server::microsocks();
    world.gate.set(Straight::Hangs);
    let shown = format!("socks5h://***@127.0.0.1:{}", proxy.port());
    world.configure(&["direct", &proxy.route("socks5h")], 1);
    let running = world.sitemon.run();
    running.wait_stderr("direct: no answer to the TLS hello: Telegram looks blocked here");
    world.wait_text(&format!("Telegram is reached through {shown} since "));
    world.ask("/status", "1 up");
    world.end(running);
}

/// Runs a worker as its provider does: a request in, a response out.
const WORKER_SERVER: &str = r#"
import { createServer } from "node:https";
import { readFileSync } from "node:fs";
import worker from "./worker.mjs";
const tls = { cert: readFileSync("cert.pem"), key: readFileSync("key.pem") };
createServer(tls, async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const { method, headers } = request;
  const body = method === "POST" ? Buffer.concat(chunks) : undefined;
  const type = headers["content-type"] ?? "";
  const asked = new Request(`https://relay.example.com${request.url}`, { method, body, headers: { "content-type": type } });
  const answer = await worker.fetch(asked);
  response.writeHead(answer.status, { "content-type": answer.headers.get("content-type") ?? "text/plain" });
  response.end(Buffer.from(await answer.arrayBuffer()));
}).listen(Number(process.argv[2]), "127.0.0.1");
"#;

#[test]
fn the_recipe_for_a_worker_is_a_route() {
    let world = Blocked::new();
    let api = format!("{}/", world.api.url());
    let worker = recipe("js", &[("https://api.telegram.org/", &api)]);
    let certificate = world.ca.good_for_days(90);
    let (cert, key) = certificate.pem();
    let files = [
        ("worker.mjs", worker.as_str()),
        ("cert.pem", cert),
        ("key.pem", key),
    ];
    let server = Server::node(WORKER_SERVER, &files);
    world.gate.set(Straight::Reset);
    let route = format!("https://127.0.0.1:{}/{PATH}", server.port());
    let shown = format!("https://127.0.0.1:{}/***", server.port());
    goes_by(&world, &["direct", &route], &shown);
}

#[test]
fn a_site_has_a_proxy_of_its_own_and_a_dead_one_is_no_outage() {
    let (web, mut proxy, api) = (Web::new(), Server::microsocks(), BotApi::start());
    let environment = Server::microsocks();
    let port = web
        .url("/")
        .rsplit(':')
        .next()
        .and_then(|rest| rest.trim_end_matches('/').parse().ok());
    // Only connections through a proxy pass the gate.
    let gate = Gate::before(port.expect("a port"));
    gate.set(Straight::Reset);
    let url = format!("http://127.0.0.1:{}/", gate.port());
    let key = format!("proxy = \"{}\"\n", proxy.route("socks5h"));
    let config = api.config()
        + &site("proxied", &url)
        + &key
        + &site("straight", &url)
        + "proxy = \"none\"\n";
    let sitemon = Sitemon::new(&config).env("all_proxy", &environment.route("socks5h"));
    let mut running = sitemon.run();
    api.wait_message(|m| m.text.contains("straight is down"));
    proxy.stop();
    api.wait_message(|m| m.text.contains("A proxy for sites doesn't answer"));
    let messages = api.messages();
    assert!(
        messages.iter().all(|m| !m.text.contains("proxied is down")),
        "{messages:#?}"
    );
    assert_eq!(running.terminate().code(), Some(0), "{}", running.stderr());
    assert!(!running.stderr().contains(PASSWORD), "{}", running.stderr());
}

#[test]
fn certificates_are_looked_at_through_the_proxy_of_the_site() {
    let world = Blocked::new();
    let (socks, http) = (Server::microsocks(), Server::tinyproxy());
    world.gate.set(Straight::Reset);
    let roots = world.ca.write_pem(world.sitemon.dir());
    let url = format!("https://127.0.0.1:{}/", world.gate.port());
    let table = |name: &str, proxy: &str| {
        let keys = format!("status = \"404\"\ncert = \"200d\"\nproxy = \"{proxy}\"\n");
        site(name, &url) + &keys
    };
    let sites = [
        table("socks", &socks.route("socks5h")),
        table("names", &socks.route("socks5")),
        table("http", &http.route("http")),
        table("none", "none"),
    ];
    let agent = format!("[agent]\nstate = \"state\"\nca_file = {roots:?}\n");
    world.sitemon.rewrite(&(agent + &sites.concat()));
    let checked = world
        .sitemon
        .command(&["check", "socks", "names", "http", "none"]);
    let line = |name: &str| {
        let mut lines = checked.stdout.lines();
        lines
            .find(|line| line.starts_with(name))
            .unwrap_or_default()
            .to_owned()
    };
    for name in ["socks", "names", "http"] {
        let line = line(name);
        assert!(
            line.contains("degraded") && line.contains("certificate"),
            "{checked:#?}"
        );
    }
    assert!(line("none").contains("down"), "{checked:#?}");
    assert!(!format!("{checked:?}").contains(PASSWORD), "{checked:#?}");
}

#[test]
fn nothing_changes_while_our_own_line_is_down() {
    let world = Blocked::new();
    let proxy = Server::microsocks();
    world.configure(&["direct", &proxy.route("socks5h")], 1);
    let running = world.sitemon.run();
    world.api.wait_calls("getUpdates", 2);
    world.uplink.close();
    world.gate.set(Straight::Reset);
    running.wait_stderr("offline: none of the `uplink` targets answers");
    running.wait_stderr("Telegram can't be reached, trying again: ");
    world.gate.set(Straight::Passes);
    world.uplink.open_again();
    running.wait_stderr("online again after ");
    world.ask("/status", "1 up");
    assert!(
        !running.stderr().contains("from now on"),
        "{}",
        running.stderr()
    );
    assert_eq!(world.count("Telegram is reached"), 0);
    world.end(running);
}
