//! `host:` sites, with the real binary: disks that are full, read-only or not mounted, files that
//! get old, processes that end, and file systems that hang.

use crate::support::agent::Sitemon;
use crate::support::bot_api::BotApi;
use crate::support::clock_shim::{ClockShim, Kernel};
use crate::support::dead::Dead;
use crate::support::listener::until;
use crate::support::namespace::in_own_network;
use crate::support::scene::{Scene, site};
use crate::support::web::Behaviour;
use crate::support::write_program;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, SystemTime};

#[track_caller]
fn run(command: &str, arguments: &[&str]) {
    let status = Command::new(command).args(arguments).status();
    assert!(status.is_ok_and(|s| s.success()), "{command} {arguments:?}");
}

/// A scene with one more directory, and the site `name` for it. `url` are the parts before and
/// after its path.
fn scene_with(name: &str, url: (&str, &str), keys: &str) -> (Scene, PathBuf) {
    let scene = Scene::new();
    let at = scene.sitemon.dir().join(name);
    fs::create_dir(&at).expect("made");
    let url = format!("{}{}{}", url.0, at.display(), url.1);
    let more = site(name, &url) + keys;
    scene.sitemon.rewrite(&scene.config_with(&more));
    (scene, at)
}

/// Mounts a tmpfs of 4 MB in the place of a disk.
#[track_caller]
fn mount(at: &Path) {
    let at = at.to_str().expect("text");
    run("mount", &["-t", "tmpfs", "-o", "size=4m", "tmpfs", at]);
}

#[test]
fn a_disk_that_fills_up_is_degraded_then_down_and_comes_back() {
    in_own_network(|_| {
        let (scene, at) = scene_with("disk", ("host:disk", "?free=25%&warn=60%"), "");
        mount(&at);
        let running = scene.start();
        scene.ask("/check disk", "✅ disk");
        scene.ask("/site disk", "100 % free (4 MB of 4 MB)");
        fs::write(at.join("a"), vec![1; 2 << 20]).expect("room");
        let shown = at.display();
        scene.wait_text(&format!(
            "🟡 disk is degraded: disk {shown} has 50 % free (2 MB of 4 MB), wanted 60 %"
        ));
        fs::remove_file(at.join("a")).expect("is there");
        scene.wait_text("🟢 disk is well again after ");
        fs::write(at.join("b"), vec![1; 7 << 19]).expect("room");
        scene.wait_text(&format!(
            "🔴 disk is down: disk {shown} has 12 % free (512 KB of 4 MB), wanted 25 % (#1)"
        ));
        fs::remove_file(at.join("b")).expect("is there");
        scene.wait_text("🟢 disk is up again after ");
        scene.ask("/stats", " free on disk, ");
        scene.end(running);
    });
}

#[test]
fn a_disk_that_is_read_only_or_away_is_down_by_that() {
    in_own_network(|_| {
        let (scene, at) = scene_with("disk", ("host:disk", "?free=1%"), "");
        mount(&at);
        let (path, shown) = (at.to_str().expect("text"), at.display());
        let running = scene.start();
        scene.ask("/check disk", "✅ disk");
        // A read-only bind mount, as by the unit's ProtectSystem=, is no fault of the disk.
        run("mount", &["-o", "remount,bind,ro", path]);
        scene.ask("/check disk", "✅ disk");
        run("mount", &["-o", "remount,ro", path]);
        scene.wait_text(&format!(
            "🔴 disk is down: disk {shown} is read-only (tmpfs on tmpfs) (#1)"
        ));
        run("mount", &["-o", "remount,rw", path]);
        scene.wait_text("🟢 disk is up again after ");
        run("umount", &[path]);
        scene.wait_text(&format!(
            "🔴 disk is down: disk {shown} is not mounted (#2)"
        ));
        mount(&at);
        until("it is up again", || scene.count("disk is up again") == 2);
        scene.end(running);
    });
}

#[test]
fn a_machine_without_a_sensor_is_told_once_and_a_hot_one_is_down() {
    in_own_network(|_| {
        run("mount", &["-t", "tmpfs", "tmpfs", "/sys/class/thermal"]);
        let scene = Scene::new();
        let more = site("heat", "host:temperature?max=80&warn=70");
        scene.sitemon.rewrite(&scene.config_with(&more));
        let lacks = "site `heat`: this machine has no thermal zone";
        let out = scene.sitemon.command(&["config"]);
        assert_eq!(out.code, Some(0), "{out:?}");
        assert!(out.stderr.contains(lacks), "{}", out.stderr);
        let running = scene.start();
        running.wait_stderr(lacks);
        scene.wait_text("This machine has no thermal zone, so some checks could not be made");
        scene.ask("/site heat", "heat has not been checked yet");
        let zone = Path::new("/sys/class/thermal/thermal_zone0");
        fs::create_dir(zone).expect("made");
        fs::write(zone.join("type"), "cpu-thermal\n").expect("written");
        let measures = |millis: &str| fs::write(zone.join("temp"), millis).expect("written");
        measures("84123\n");
        scene.wait_text("🔴 heat is down: cpu-thermal 84 °C, limit 80 °C (#1)");
        measures("71000\n");
        scene.wait_text("🟡 heat is degraded: cpu-thermal 71 °C, limit 70 °C");
        measures("42000\n");
        scene.wait_text("🟢 heat is well again after ");
        scene.ask("/site heat", "cpu-thermal 42 °C");
        scene.ask("/stats", ", 42 °C");
        assert_eq!(scene.count("no thermal zone"), 1);
        scene.end(running);
    });
}

#[test]
fn a_file_system_that_hangs_holds_up_nothing_else() {
    let memory = site("memory", "host:memory?available=1%");
    let keys = format!("timeout = \"1s\"\n{memory}");
    let (scene, at) = scene_with("nas", ("host:disk", "?free=1%"), &keys);
    let dead = Dead::over(&at);
    let running = scene.start();
    scene.wait_text(&format!(
        "🔴 nas is down: disk {} does not answer (a network file system whose server is gone?) (#1)",
        at.display()
    ));
    let asked = scene.web.requests();
    scene.web.wait_requests(asked + 5);
    scene.ask("/check memory", "✅ memory");
    scene.ask("/site memory", " % available (");
    scene.ask("/check nas", "❌ nas");
    assert!(running.threads() <= 12, "{}", running.threads());
    drop(dead);
    scene.wait_text("🟢 nas is up again after ");
    scene.end(running);
}

#[test]
fn a_look_at_this_machine_waits_for_no_connection() {
    let scene = Scene::new();
    scene
        .web
        .set("/", Behaviour::ok().after(Duration::from_secs(600)));
    let more =
        site("load", "host:load?max=100000") + "[agent]\nstate = \"state\"\nmax_connections = 4\n";
    let config = scene.config_with(&more).replacen(
        "interval = \"1s\"",
        "interval = \"1s\"\ntimeout = \"5m\"",
        1,
    );
    scene.sitemon.rewrite(&config);
    let running = scene.start();
    scene.web.wait_requests(1);
    for _ in 0..3 {
        scene.ask("/check load", "✅ load");
    }
    scene.ask("/site load", "load ");
    assert_eq!(scene.web.requests(), 1);
    drop(running);
}

/// A program that waits, under a name that no other has.
fn sleeper(at: &Path) -> Child {
    let program = at.join("sitemon-test-sleeper");
    let sleep = ["/usr/bin/sleep", "/bin/sleep"]
        .iter()
        .find(|p| Path::new(p).exists());
    write_program(&program, fs::read(sleep.expect("sleep(1)")).expect("read"));
    Command::new(&program).arg("1000").spawn().expect("starts")
}

#[test]
fn a_process_that_ends_is_down_though_its_parent_does_not_look() {
    let scene = Scene::new();
    let more = site("sleeper", "host:process/sitemon-test-sleeper");
    scene.sitemon.rewrite(&scene.config_with(&more));
    let at = tempfile::tempdir().expect("a directory");
    let mut child = sleeper(at.path());
    let running = scene.start();
    scene.ask("/check sleeper", "✅ sleeper");
    scene.ask("/site sleeper", &format!("process {}", child.id()));
    child.kill().expect("it runs");
    scene.wait_text("🔴 sleeper is down: no process sitemon-test-sleeper (#1)");
    child.wait().expect("it has ended");
    let at = tempfile::tempdir().expect("a directory");
    let mut child = sleeper(at.path());
    scene.wait_text("🟢 sleeper is up again after ");
    child.kill().expect("it runs");
    child.wait().expect("it has ended");
    scene.end(running);
}

#[track_caller]
fn make_old(path: &Path, hours: u64) {
    let file = fs::OpenOptions::new().append(true).create(true).open(path);
    let then = SystemTime::now() - Duration::from_secs(hours * 3600 + 5);
    let set = file.and_then(|file| file.set_modified(then));
    set.expect("it can be set");
}

#[test]
fn a_file_that_gets_old_or_is_missing_is_down_once_the_clock_is_set() {
    let (scene, at) = scene_with("backup", ("host:file", "/last?age=26h&size=1K"), "");
    let (sitemon, clock) = ClockShim::before(scene.sitemon);
    let scene = Scene { sitemon, ..scene };
    let last = at.join("last");
    make_old(&last, 51);
    clock.set(-20 * 365 * 86_400, Kernel::NotSynchronised);
    let running = scene.start();
    let asked = scene.web.requests();
    scene.web.wait_requests(asked + 4);
    scene.ask("/site backup", "backup has not been checked yet");
    clock.set(0, Kernel::Synchronised);
    let shown = last.display();
    scene.wait_text(&format!(
        "🔴 backup is down: file {shown} is 2 d 3 h old, limit 26 h (#1)"
    ));
    fs::write(&last, "short").expect("written");
    until("it is too small", || {
        scene.api.say(
            crate::support::bot_api::CHAT,
            crate::support::bot_api::CHAT,
            "/site backup",
        );
        scene.count(&format!("file {shown} has 5 bytes, wanted 1 KB")) > 0
    });
    fs::write(&last, "x".repeat(2048)).expect("written");
    scene.wait_text("🟢 backup is up again after ");
    fs::remove_file(&last).expect("is there");
    scene.wait_text(&format!(
        "🔴 backup is down: file {shown} does not exist (#2)"
    ));
    scene.end(running);
}

#[test]
fn check_shows_figures_and_mistakes_have_their_place() {
    let sitemon = Sitemon::new(&format!(
        "{}{}[agent]\nstate = \"state\"\n",
        site("root", "host:disk/?free=100%"),
        site("memory", "host:memory?available=1%"),
    ));
    let out = sitemon.command(&["check"]);
    assert_eq!(out.code, Some(1), "{out:?}");
    assert!(out.stdout.contains("wanted 100 %"), "{}", out.stdout);
    assert!(out.stdout.contains(" % available ("), "{}", out.stdout);
    sitemon.rewrite("[[site]]\nname = \"a\"\nurl = \"host:disk?free=10%\"\ncert = \"1d\"\n");
    let out = sitemon.command(&["config"]);
    assert_eq!(out.code, Some(2), "{out:?}");
    let shown = sitemon.config_path();
    let shown = shown.display();
    for said in [
        format!(
            "{shown}:3:8: `url` must be \"host:disk/PATH?free=10%\": the `/` before the path is missing\n    3 | url = \"host:disk?free=10%\"\n"
        ),
        format!("{shown}:4:1: `cert` is for https and tls sites, this one is host\n"),
    ] {
        assert!(out.stderr.contains(&said), "{said}\n{}", out.stderr);
    }
}

#[test]
fn none_is_added_from_the_chat() {
    let scene = Scene::with(BotApi::config);
    let running = scene.start();
    scene.ask(
        "/add host:disk/?free=10%",
        "Not added: what is on this machine is watched by sites of sitemon.conf alone.",
    );
    scene.end(running);
}
