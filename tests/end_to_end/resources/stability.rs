//! Nothing grows, nothing is late, and no site is reported down that isn't.

use super::common::{Tally, client, never_more_than, site, site_table, sites, wait_for};
use crate::support::agent::Sitemon;
use crate::support::json::Json;
use crate::support::web::{Behaviour, Web};
use sitemon::check;
use std::cell::Cell;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

const TARGET: &str = "SITEMON_TEST_TARGET";
const WARM_UP: usize = 1_000;
const ALL: usize = 20_000;
/// Half of malloc's smallest block on 64 bits, so that one leaked block per check fails the test.
/// The heap itself settles within about 200 KiB, in 20,000 checks as in 120,000.
const BYTES_A_CHECK: u64 = 16;

/// Runs the checks in a process of their own, by starting this test again, so that the figures
/// include neither the server nor other tests.
#[test]
fn descriptors_threads_and_memory_after_20_000_checks_are_those_after_the_first_1_000() {
    if let Ok(url) = env::var(TARGET) {
        return check_20_000_times(&url);
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    thread::spawn(move || listener.incoming().flatten().for_each(answer_and_close));
    let name = thread::current()
        .name()
        .expect("the test's name")
        .to_owned();
    let output = Command::new(env::current_exe().expect("this test binary"))
        .args(["--exact", &name, "--nocapture"])
        .env(TARGET, url)
        .output()
        .expect("this test binary starts");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    print!("{stdout}");
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains("1 passed"), "{stdout}");
}

/// One thread is enough, and much faster than one per connection.
fn answer_and_close(mut stream: TcpStream) {
    let mut request = Vec::new();
    let mut buffer = [0; 2048];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(n @ 1..) => request.extend_from_slice(&buffer[..n]),
            _ => return,
        }
    }
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    // An error fails the check, which the other process counts.
    let _ = stream.write_all(answer);
}

fn check_20_000_times(url: &str) {
    let client = client(Duration::from_secs(1));
    let site = site(url, "interval = \"60s\"");
    let check_up_to = |from: usize, to: usize| {
        let next = Cell::new(from);
        let failed = Cell::new(0);
        let work = async || {
            while next.get() < to {
                next.set(next.get() + 1);
                let outcome = check::guarded(check::run(&client, &site, false)).await;
                if let Err(failure) = outcome.verdict {
                    failed.set(failed.get() + 1);
                    println!("{failure:?}");
                }
            }
        };
        let executor = smol::LocalExecutor::new();
        smol::block_on(executor.run(async {
            let tasks: Vec<_> = (0..7).map(|_| executor.spawn(work())).collect();
            for task in tasks {
                task.await;
            }
        }));
        assert_eq!(failed.get(), 0, "failed checks");
        assert_eq!(next.get(), to);
    };
    check_up_to(0, WARM_UP);
    let before = Figures::at_rest(&client);
    check_up_to(WARM_UP, ALL);
    let after = Figures::at_rest(&client);
    println!("after {WARM_UP}: {before:?}, after {ALL}: {after:?}");
    assert_eq!(after.descriptors, before.descriptors, "descriptors");
    assert_eq!(after.threads, before.threads, "threads");
    let limit = before.heap_kib + (ALL - WARM_UP) as u64 * BYTES_A_CHECK / 1024;
    assert!(
        after.heap_kib <= limit,
        "KiB of memory of its own: {after:?}, before {before:?}"
    );
}

#[derive(Debug)]
struct Figures {
    descriptors: usize,
    threads: usize,
    /// Anonymous pages in KiB. Pages of the binary don't count: they come as code first runs and go
    /// as the kernel reclaims them.
    heap_kib: u64,
}

impl Figures {
    /// Returns the figures of this process, once it is idle.
    fn at_rest(client: &sitemon::http::Client) -> Figures {
        let limit = Duration::from_secs(10);
        wait_for(
            limit,
            "all permits back",
            || client.permits_in_use(),
            |&n| n == 0,
        );
        let sockets = || count("fd", |link| link.starts_with("socket:"));
        // The client's own sockets (a pair that wakes libcurl) stay.
        let mut last = (sockets(), 0);
        let look = || {
            let now = sockets();
            last = if now == last.0 {
                (now, last.1 + 1)
            } else {
                (now, 0)
            };
            last.1
        };
        wait_for(limit, "sockets that stay", look, |&same| same >= 100);
        Figures {
            descriptors: count("fd", |_| true),
            threads: count("task", |_| true),
            heap_kib: heap_kib(),
        }
    }
}

fn count(of: &str, wanted: impl Fn(&str) -> bool) -> usize {
    let entries = fs::read_dir(format!("/proc/self/{of}")).expect("/proc is mounted");
    let targets = entries.flatten().map(|entry| {
        let target = fs::read_link(entry.path()).unwrap_or_default();
        target.to_string_lossy().into_owned()
    });
    targets.filter(|target| wanted(target)).count()
}

fn heap_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.expect("a RssAnon line")
}

#[test]
fn sixty_sites_that_take_half_their_timeout_on_ten_connections_are_all_up() {
    let web = Web::start(|_| Behaviour::ok().after(Duration::from_secs(1)));
    let config = sites(&web, 60, "timeout = \"2s\"");
    let output = Sitemon::new(&config).command(&["check", "--json"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    let json = Json::parse(output.stdout.trim()).expect("JSON");
    let rows = json.get("sites").and_then(Json::array).expect("sites");
    assert_eq!(rows.len(), 60);
    for row in rows {
        assert_eq!(row.get("state").and_then(Json::str), Some("up"), "{row:?}");
    }
}

#[test]
fn twenty_healthy_sites_stay_on_time_beside_a_hundred_that_hang() {
    const HANGING: usize = 100;
    const HEALTHY: usize = 20;
    let tally = Tally::default();
    let web = tally.web(|request| match request.path().starts_with("/hang") {
        true => Behaviour::Hang,
        false => Behaviour::ok(),
    });
    let mut config = "[agent]\nstate = \"state\"\nmax_connections = 10\n".to_owned();
    for i in 0..HANGING + HEALTHY {
        // Mixed, as in a real configuration.
        let kind = if i % 6 == 5 { "healthy" } else { "hang" };
        let keys = "interval = \"2s\"\ntimeout = \"2s\"";
        let url = web.url(&format!("/{kind}-{i}"));
        let _ = write!(config, "{}", site_table(&format!("{kind}-{i}"), &url, keys));
    }
    let sitemon = Sitemon::new(&config);
    let mut running = sitemon.run();
    let paths = |kind: &'static str| {
        let all = (0..HANGING + HEALTHY).map(move |i| format!("/{kind}-{i}"));
        all.filter(move |path| {
            let i: usize = path
                .rsplit('-')
                .next()
                .and_then(|n| n.parse().ok())
                .unwrap_or(0);
            (i % 6 == 5) == (kind == "healthy")
        })
    };
    let hung = || paths("hang").filter(|path| tally.of(path) > 0).count();
    let limit = Duration::from_secs(60);
    wait_for(limit, "the first round", hung, |&n| n == HANGING);
    // The last hanging sites stay in the queue of the healthy ones until they time out.
    let asked = web.requests();
    web.wait_requests(asked + HEALTHY);

    let before: Vec<usize> = paths("healthy").map(|path| tally.of(&path)).collect();
    let start = Instant::now();
    let window = || start.elapsed() >= Duration::from_secs(10);
    never_more_than(7, || web.open(), limit, window);
    for (path, before) in paths("healthy").zip(before) {
        let times = tally.of(&path) - before;
        assert!(times >= 4, "{path} was asked for {times} times in 10 s");
    }
    assert_eq!(running.terminate().code(), Some(0));
}
