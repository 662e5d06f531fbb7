//! Pipes that are full and not read: the terminal of `run --console`, and the log.

use crate::support::agent::{Running, Sitemon};
use crate::support::listener::until;
use crate::support::scene::site;
use crate::support::web::{Behaviour, Web};
use std::fs;
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// A site that is checked every second, and the agent that writes to a pipe without a reader.
struct Scene {
    web: Web,
    sitemon: Sitemon,
    running: Running,
    pipe: PipeReader,
}

impl Scene {
    fn new() -> Scene {
        Scene::with("")
    }

    fn with(more: &str) -> Scene {
        let web = Web::new();
        let sitemon = Sitemon::new(&(site("blog", &web.url("/")) + more));
        let (pipe, stdout) = pipe().expect("a pipe");
        let running = sitemon.run_console_into(stdout);
        web.wait_requests(1);
        Scene {
            web,
            sitemon,
            running,
            pipe,
        }
    }

    /// Asks for more output than the pipe and the queue before it hold.
    #[track_caller]
    fn fill(&mut self) {
        until("lines are dropped", || {
            self.running.type_line("/help");
            self.running.stderr().contains(DROPPED)
        });
    }

    #[track_caller]
    fn checks_go_on(&self) {
        self.web.wait_requests(self.web.requests() + 3);
    }
}

const DROPPED: &str = "nobody reads the terminal: what is written to it is dropped";

#[test]
fn a_pipe_that_is_not_read_stops_neither_the_checks_nor_the_end() {
    let mut scene = Scene::new();
    for _ in 0..200 {
        scene.running.type_line("/help");
    }
    scene.checks_go_on();
    scene.fill();
    scene.checks_go_on();
    // The threads of the loop, the reactor and libcurl.
    until("three threads", || scene.running.threads() == 3);
    scene.running.ends_in_time();
}

#[test]
fn a_reader_that_reads_again_is_told_what_it_lost() {
    let mut scene = Scene::new();
    scene.fill();
    scene.running.read_stdout(scene.pipe);
    scene.running.wait_stdout(" lines were lost here: ");
    scene.running.type_line("/status");
    let said = scene.running.wait_stdout("1 up\n");
    assert!(said.starts_with("I watch your sites"), "{said}");
    assert_eq!(said.matches(" lost here: ").count(), 1, "{said}");
    assert_eq!(scene.running.terminate().code(), Some(0));
}

#[test]
fn an_alert_waits_until_the_pipe_is_read() {
    let mut scene = Scene::new();
    scene.fill();
    scene.web.set("/", Behaviour::status(503));
    scene.running.wait_stderr("a message waits: ");
    scene.running.read_stdout(scene.pipe);
    scene.running.wait_stdout("🔴 blog is down: ");
    assert_eq!(scene.running.terminate().code(), Some(0));
}

#[test]
fn an_alert_that_was_not_read_is_sent_by_the_next_run() {
    let mut scene = Scene::new();
    scene.fill();
    scene.web.set("/", Behaviour::status(503));
    scene.running.wait_stderr("blog is down: ");
    let ended = scene.running.terminate();
    assert_eq!(ended.code(), Some(0), "{}", scene.running.stderr());
    let mut next = scene.sitemon.run_console();
    next.wait_stdout("🔴 blog is down: ");
    assert_eq!(next.terminate().code(), Some(0));
}

#[test]
fn what_was_said_before_the_end_reaches_a_reader_that_is_late() {
    let sites = (0..SITES).map(|n| {
        let name = format!("{n:064}");
        site(&name, "http://127.0.0.1:9/") + "paused = true\n"
    });
    let mut scene = Scene::with(&sites.collect::<String>());
    for _ in 0..LISTS {
        scene.running.type_line("/list");
    }
    scene.running.type_line("/mute 3h");
    let state = scene.sitemon.state_dir();
    until("the mute is obeyed", || {
        ["snapshot", "journal"].iter().any(|file| {
            let text = fs::read_to_string(state.join(file)).unwrap_or_default();
            text.contains("\"muted_until\":1")
        })
    });
    scene.running.signal("TERM");
    scene.running.wait_stderr("stopping");
    scene.running.read_stdout(scene.pipe);
    assert_eq!(scene.running.wait_exit().code(), Some(0));
    let said = scene.running.rest_of_stdout();
    assert!(said.len() > PIPE, "{}", said.len());
    let last = format!("{:064} paused\n", SITES - 1);
    assert_eq!(said.matches(&last).count(), LISTS, "{said}");
    assert!(
        said.ends_with("🔕 Everything is muted for 3 h.\n"),
        "{said}"
    );
}

/// Capacity of a pipe in bytes (pipe(7)).
const PIPE: usize = 64 << 10;
/// More output than that, but not more than the queue holds in addition.
const LISTS: usize = 24;
const SITES: usize = 40;

/// Returns a full pipe, and the number of bytes in it.
fn full_pipe() -> (PipeReader, PipeWriter, usize) {
    let (reader, mut writer) = pipe().expect("a pipe");
    // Full pages, since the capacity is a whole number of them.
    writer.write_all(&[b'.'; PIPE]).expect("there is room");
    (reader, writer, PIPE)
}

/// Returns a configuration with this many mistakes, each of which is reported.
fn mistakes(count: usize) -> String {
    (0..count).map(|n| format!("mistake{n} = {n}\n")).collect()
}

#[test]
fn a_log_that_is_not_read_stops_neither_checks_nor_commands_nor_the_end() {
    let web = Web::new();
    let sitemon = Sitemon::new(&site("blog", &web.url("/")));
    let (_reader, stderr, _) = full_pipe();
    let mut running = sitemon.run_console_without_log(stderr);
    web.wait_requests(1);
    sitemon.rewrite(&mistakes(2_000));
    let before = running.rss_kib();
    for _ in 0..20 {
        running.hup();
        running.type_line("/status");
        web.wait_requests(web.requests() + 1);
    }
    running.wait_stdout("1 up");
    let grown = running.rss_kib().saturating_sub(before);
    assert!(grown < 8 << 10, "{grown} KiB");
    running.ends_in_time();
}

#[test]
fn a_log_that_is_read_again_says_once_how_much_was_lost() {
    let web = Web::new();
    let sitemon = Sitemon::new(&site("blog", &web.url("/")));
    let good = fs::read_to_string(sitemon.config_path()).expect("is there");
    let (reader, stderr, filled) = full_pipe();
    let mut running = sitemon.run_console_without_log(stderr);
    web.wait_requests(1);
    sitemon.rewrite(&mistakes(500));
    for told in 1..=5 {
        running.hup();
        until("the mistakes are in the chat", || {
            running.stdout().matches("has mistakes").count() == told
        });
    }
    running.read_stderr(reader);
    let log = running.wait_stderr(" of the log were lost: stderr was not read\n");
    assert!(log.len() - filled < 200 << 10, "{}", log.len());
    fs::write(sitemon.config_path(), good).expect("written");
    running.hup();
    let log = running.wait_stderr("sitemon.conf was read again\n");
    assert_eq!(log.matches("were lost").count(), 1, "{log}");
    assert_eq!(running.terminate().code(), Some(0));
    assert!(running.stderr().contains("stopping\n"));
}

#[test]
fn a_command_says_everything_however_late_it_is_read() {
    const MANY: usize = 3_000;
    let sitemon = Sitemon::new(&mistakes(MANY));
    let child = Command::new(env!("CARGO_BIN_EXE_sitemon"))
        .arg("-c")
        .arg(sitemon.config_path())
        .arg("config")
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("the binary starts");
    // Longer than the agent waits at its end.
    thread::sleep(Duration::from_secs(2));
    let mut said = String::new();
    let mut stderr = child.stderr.take().expect("it is piped");
    stderr.read_to_string(&mut said).expect("text");
    assert_eq!(said.matches(" | mistake").count(), MANY);
    assert_eq!(child.wait().expect("it ends").code(), Some(2));
}
