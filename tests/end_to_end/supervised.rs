//! The agent under an init system, and on a router's read-only root.

use crate::support::agent::{Running, Sitemon};
use crate::support::listener::until;
use crate::support::scene::{Scene, site};
use crate::support::web::Web;
use std::fs;
use std::process::Command;

/// Returns whether the lines of the log begin with a time.
#[track_caller]
fn has_times(running: &Running) -> bool {
    let log = running.wait_stderr("watches 1 site;");
    let times = log.lines().filter(|line| line.starts_with("20")).count();
    assert!(times == 0 || times == log.lines().count(), "{log}");
    times > 0
}

#[test]
fn only_the_log_of_an_agent_without_a_supervisor_has_times() {
    let web = Web::new();
    let config = site("blog", &web.url("/"));
    let alone = Sitemon::new(&config);
    assert!(has_times(&alone.run()));
    let journal = Sitemon::new(&config).env("JOURNAL_STREAM", "8:1");
    assert!(!has_times(&journal.run()));
}

#[test]
fn a_child_of_process_1_as_under_procd_logs_no_times() {
    assert!(
        allowed(&["-rmpf", "--mount-proc", "true"]),
        "this test needs user namespaces (`unshare -rmpf --mount-proc true`)"
    );
    let web = Web::new();
    let sitemon = Sitemon::new(&site("blog", &web.url("/")));
    // The shell that `unshare -p` starts is process 1 there.
    let script = "exec unshare -pf --kill-child --mount-proc sh -c '\"$@\" & wait' sh \"$@\"";
    assert!(!has_times(&sitemon.run_by_shell(true, script)));
}

#[test]
fn an_agent_that_still_starts_can_be_stopped_and_reloaded() {
    let web = Web::new();
    let sitemon = Sitemon::new("");
    let state = sitemon.state_dir().display().to_string();
    let config = format!("[agent]\nstate = \"{state}\"\nuplink = []\n");
    let config = config + &site("blog", &web.url("/"));
    // Its configuration is a pipe, so that it waits for it.
    let start = || {
        let line = ["-c", "exec \"$0\" -c /dev/stdin run"];
        let running = sitemon.run_program("sh", &line);
        until("it reads", || has_thread(&running, "file"));
        running
    };
    for signal in ["TERM", "INT"] {
        let mut running = start();
        running.signal(signal);
        assert_eq!(running.wait_exit().code(), Some(0), "{signal}");
    }
    let mut running = start();
    running.signal("HUP");
    running.type_line(&config);
    running.close_stdin();
    running.wait_stderr("watches 1 site;");
    // A pipe cannot be read again.
    running.wait_stderr("; the old one goes on.");
    assert_eq!(running.terminate().code(), Some(0));
}

fn has_thread(running: &Running, name: &str) -> bool {
    let tasks = fs::read_dir(format!("/proc/{}/task", running.pid())).expect("it runs");
    let names = tasks
        .flatten()
        .map(|task| fs::read_to_string(task.path().join("comm")));
    names.flatten().any(|found| found.trim_end() == name)
}

#[test]
fn a_reader_of_the_log_that_dies_costs_no_check_and_no_alert() {
    let scene = Scene::new();
    let script = "mkfifo log; true <log & exec \"$@\" 2>log";
    let mut running = scene.sitemon.run_by_shell(false, script);
    scene.web.wait_requests(3);
    scene.outage();
    scene.site_works();
    scene.wait_text("🟢 blog is up again after ");
    assert_eq!(scene.api.messages().len(), 2, "{:?}", scene.api.messages());
    assert_eq!(running.terminate().code(), Some(0));
}

/// A read-only root, with the state on it or in memory.
const READ_ONLY: &str = "mount -o remount,bind,ro /; exec \"$@\"";
const STATE_IN_MEMORY: &str =
    "mkdir state; mount -t tmpfs tmpfs state; mount -o remount,bind,ro /; exec \"$@\"";

#[test]
fn a_read_only_root_is_said_once_and_alerts_still_go_out() {
    let scene = read_only_scene();
    let running = scene.sitemon.run_by_shell(true, READ_ONLY);
    scene.wait_text("The state cannot be written (");
    scene.outage();
    scene.site_works();
    scene.wait_text("🟢 blog is up again after ");
    assert_eq!(scene.count("cannot be written"), 1);
    scene.end(running);
    let left: Vec<_> = fs::read_dir(scene.sitemon.dir())
        .expect("a directory")
        .collect();
    assert_eq!(left.len(), 1, "sitemon.conf alone: {left:?}");
}

#[test]
fn a_read_only_root_is_enough_when_the_state_is_in_memory() {
    let scene = read_only_scene();
    let running = scene.sitemon.run_by_shell(true, STATE_IN_MEMORY);
    scene.outage();
    scene.ask("/stats", "Written to flash: ");
    scene.end(running);
    assert_eq!(scene.count("cannot be written"), 0);
}

/// Its files are on the root, which the test makes read-only for the agent.
#[track_caller]
fn read_only_scene() -> Scene {
    let scene = Scene::new();
    let dir = scene.sitemon.dir().display().to_string();
    let script = format!("mount -o remount,bind,ro / && ! touch {dir}/x 2>/dev/null");
    assert!(
        allowed(&["-rm", "sh", "-c", &script]),
        "this test needs user namespaces (`unshare -rm true`), and temporary files on /: set TMPDIR"
    );
    scene
}

fn allowed(unshare: &[&str]) -> bool {
    let output = Command::new("unshare").args(unshare).output();
    output.is_ok_and(|output| output.status.success())
}
