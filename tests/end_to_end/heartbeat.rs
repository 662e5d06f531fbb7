//! Signs of life for others: the heartbeat, and systemd.

use crate::support::agent::Sitemon;
use crate::support::listener::LIMIT;
use crate::support::scene::{Scene, keeps_the_rules, site};
use crate::support::web::{Behaviour, Web};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// The path is a secret.
const PATH: &str = "/ping/5ecret-uuid";

fn with_heartbeat(sites: &Web, heartbeat: &str) -> Sitemon {
    Sitemon::new(&format!(
        "[agent]\nstate = \"state\"\nheartbeat = \"{heartbeat}\"\n\n{}",
        site("blog", &sites.url("/"))
    ))
}

#[test]
fn the_first_heartbeat_comes_with_the_first_check() {
    let (sites, ping) = (Web::new(), Web::new());
    let sitemon = with_heartbeat(&sites, &ping.url(PATH));
    let mut running = sitemon.run();
    ping.wait_requests(1);
    // At one request a minute the connection isn't kept.
    ping.wait_open(0);
    let seen = ping.seen();
    assert_eq!((seen[0].method.as_str(), seen[0].path()), ("GET", PATH));
    assert_eq!(running.terminate().code(), Some(0), "{}", running.stderr());
    assert!(!running.stderr().contains(PATH), "{}", running.stderr());
}

#[test]
fn a_heartbeat_that_is_not_taken_is_a_warning_without_the_url() {
    let (sites, ping) = (Web::new(), Web::new().on(PATH, Behaviour::status(404)));
    let sitemon = with_heartbeat(&sites, &ping.url(PATH));
    let mut running = sitemon.run();
    running.wait_stderr("the heartbeat was not taken: HTTP 404");
    assert_eq!(running.terminate().code(), Some(0), "{}", running.stderr());
    assert!(!running.stderr().contains("5ecret"), "{}", running.stderr());
}

/// systemd's end of the notify socket.
struct Systemd {
    socket: UnixDatagram,
}

impl Systemd {
    fn at(path: &Path) -> Systemd {
        let socket = UnixDatagram::bind(path).expect("a socket");
        socket.set_read_timeout(Some(LIMIT)).expect("a time limit");
        Systemd { socket }
    }

    /// Waits for the next notification.
    #[track_caller]
    fn hears(&self) -> String {
        let mut buffer = [0; 64];
        let length = self.socket.recv(&mut buffer).expect("a datagram");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }
}

#[test]
fn systemd_hears_of_the_start_of_life_and_of_the_end() {
    let scene = Scene::new();
    let path = scene.sitemon.dir().join("notify");
    let systemd = Systemd::at(&path);
    let Scene { api, web, sitemon } = scene;
    let sitemon = sitemon
        .env("NOTIFY_SOCKET", path.to_str().expect("text"))
        .env("WATCHDOG_USEC", "200000");
    let scene = Scene { api, web, sitemon };
    let mut running = scene.start();
    assert_eq!(systemd.hears(), "READY=1");
    for _ in 0..3 {
        assert_eq!(systemd.hears(), "WATCHDOG=1");
    }
    running.signal("TERM");
    let last = std::iter::repeat_with(|| systemd.hears()).find(|said| said != "WATCHDOG=1");
    assert_eq!(last.as_deref(), Some("STOPPING=1"));
    assert_eq!(running.wait_exit().code(), Some(0), "{}", running.stderr());
    keeps_the_rules(&scene.api, &running);
}
