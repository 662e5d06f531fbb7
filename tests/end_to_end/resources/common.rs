//! Helpers of several groups of tests.

use crate::support::agent::Running;
use crate::support::bot_api::BotApi;
use crate::support::http::Request;
use crate::support::listener::{LIMIT, locked};
use crate::support::web::{Behaviour, Web};
use sitemon::http::{Client, Limits};
use sitemon::monitor::site::Site;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Creates the library's client with the defaults of `[agent]`.
pub fn client(idle_timeout: Duration) -> Client {
    let limits = Limits {
        max_connections: 10,
        idle_connections: 5,
        idle_timeout,
        user_agent: "sitemon/test".to_owned(),
        ca_file: None,
    };
    Client::new(&limits).expect("a client")
}

/// Reads the one site that `keys` describe, as the configuration does.
pub fn site(url: &str, keys: &str) -> Site {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("sitemon.conf");
    let text = format!(
        "[agent]\nstate = \"state\"\n{}",
        site_table("site", url, keys)
    );
    fs::write(&path, text).expect("the configuration can be written");
    let config = sitemon::config::load(&path, &|_| None);
    let mut sites = config.unwrap_or_else(|e| panic!("{e}")).sites;
    Arc::unwrap_or_clone(sites.pop().expect("a site"))
}

/// Returns a `[[site]]` table.
pub fn site_table(name: &str, url: &str, keys: &str) -> String {
    format!("[[site]]\nname = \"{name}\"\nurl = \"{url}\"\n{keys}\n")
}

/// Returns `count` sites `s0`, `s1`… on the paths `/s0`, `/s1`…
pub fn sites(web: &Web, count: usize, keys: &str) -> String {
    (0..count).fold(String::new(), |mut all, i| {
        let table = site_table(&format!("s{i}"), &web.url(&format!("/s{i}")), keys);
        let _ = write!(all, "{table}");
        all
    })
}

/// Polls until the value is `wanted`. Panics with the description and the last value otherwise.
#[track_caller]
pub fn wait_for<T: std::fmt::Debug>(
    limit: Duration,
    what: &str,
    mut look: impl FnMut() -> T,
    wanted: impl Fn(&T) -> bool,
) -> T {
    let give_up = Instant::now() + limit;
    loop {
        let seen = look();
        if wanted(&seen) {
            return seen;
        }
        assert!(
            Instant::now() < give_up,
            "waited in vain for {what}: {seen:?}"
        );
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until no request has come for `time` and no connection is open.
#[track_caller]
pub fn wait_quiet(web: &Web, time: Duration) {
    let mut last = (web.requests(), Instant::now());
    let look = || {
        if web.requests() != last.0 || web.open() > 0 {
            last = (web.requests(), Instant::now());
        }
        last.1.elapsed()
    };
    wait_for(LIMIT, "silence", look, |since| *since >= time);
}

/// Number of descriptors, and names of the permanent threads.
pub type Figures = (usize, Vec<String>);

/// Threads of the pool for blocking work, which are permanent too (blocking 1.7 ends none of them
/// as long as there are fewer than its limit): one writes the state, and another may be started
/// before that is idle.
const POOL: usize = 3;

fn figures(running: &Running) -> Figures {
    let tasks = fs::read_dir(format!("/proc/{}/task", running.pid())).expect("it runs");
    let names = tasks.flatten().map(|task| {
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        name.trim().to_owned()
    });
    let (pool, mut others): (Vec<_>, Vec<_>) = names.partition(|n| n.starts_with("blocking-"));
    assert!(pool.len() <= POOL, "{pool:?}");
    others.sort();
    (running.descriptors(), others)
}

/// Returns the figures of an idle process: those that don't change for a second.
#[track_caller]
pub fn at_rest(running: &Running) -> Figures {
    let mut last = (figures(running), Instant::now());
    let look = || {
        let now = figures(running);
        if now != last.0 {
            last = (now, Instant::now());
        }
        (last.0.clone(), last.1.elapsed())
    };
    let stands = |(_, since): &(Figures, Duration)| *since >= Duration::from_secs(1);
    wait_for(LIMIT, "the process at rest", look, stands).0
}

/// Connections to the Bot API of an idle agent: the poll, and idle ones of the two senders.
pub const OF_TELEGRAM: usize = 3;

#[track_caller]
pub fn wait_telegram_at_rest(api: &BotApi) {
    let open = || api.open_connections();
    wait_for(LIMIT, "few connections of the Bot API", open, |&n| {
        n <= OF_TELEGRAM
    });
}

/// Counts the requests of each path; [`Web::seen`] has only the last ones.
#[derive(Clone, Default)]
pub struct Tally(Arc<Mutex<HashMap<String, usize>>>);

impl Tally {
    /// Starts a server that counts and then does `behaviour`.
    pub fn web(&self, behaviour: impl Fn(&Request) -> Behaviour + Send + Sync + 'static) -> Web {
        let tally = self.clone();
        Web::start(move |request| {
            *locked(&tally.0)
                .entry(request.path().to_owned())
                .or_default() += 1;
            behaviour(request)
        })
    }

    pub fn of(&self, path: &str) -> usize {
        locked(&self.0).get(path).copied().unwrap_or(0)
    }
}

/// Checks until `done` that the count stays within `most`. It may be higher for the moment that a
/// server takes to notice a closed connection, when the next one may be open. That takes longer on
/// a busy machine; a leaked one stays.
#[track_caller]
pub fn never_more_than(
    most: usize,
    count: impl Fn() -> usize,
    limit: Duration,
    mut done: impl FnMut() -> bool,
) {
    const NOTICED: Duration = Duration::from_secs(2);
    let give_up = Instant::now() + limit;
    let mut within = Instant::now();
    while !done() {
        let now = count();
        if now <= most {
            within = Instant::now();
        }
        let since = within.elapsed();
        assert!(since < NOTICED, "{now} for {since:?}, {most} allowed");
        assert!(Instant::now() < give_up, "it was not done in time");
        thread::sleep(Duration::from_millis(2));
    }
}
