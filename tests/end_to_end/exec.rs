//! `exec:` sites, with the real binary: plugins that report a result, and programs that misbehave
//! in ways no plugin should.

use crate::resources::common::at_rest;

use crate::support::assert_has;
use crate::support::listener::until;
use crate::support::scene::Scene;
use crate::support::write_program;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Writes a script that every user may run.
fn script(at: &Path, name: &str, text: &str) -> PathBuf {
    write_program(&at.join(name), format!("#!/bin/sh\n{text}\n"))
}

fn exec_site(name: &str, program: &Path, keys: &str) -> String {
    format!(
        "[[site]]\nname = \"{name}\"\nurl = \"exec:\"\ncommand = [\"{}\"]\n\
         interval = \"1s\"\nretry = \"1s\"\ntries = 1\ntimeout = \"1s\"\n{keys}\n",
        program.display()
    )
}

/// Returns the processes whose parent is `pid`, zombies too.
fn children(pid: u32) -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("is there").flatten();
    let stats = entries.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    let ours = |stat: &String| {
        let behind = stat.rsplit(')').next().unwrap_or_default();
        behind.split(' ').nth(2) == Some(&pid.to_string())
    };
    stats.filter(ours).collect()
}

/// Returns the beginning of this test's sleep commands, which no test beside it uses.
fn sleep() -> String {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or_default().len();
    format!("sleep {}{name}7", std::process::id())
}

/// Returns whether a process of any parent has `part` in its command line.
fn runs(part: &str) -> bool {
    let entries = fs::read_dir("/proc").expect("is there").flatten();
    let mut lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.any(|line| {
        String::from_utf8_lossy(&line)
            .replace('\0', " ")
            .contains(part)
    })
}

#[test]
fn a_plugin_is_judged_by_its_exit_code_and_its_first_line() {
    let mut scene = Scene::new();
    scene.sitemon = scene.sitemon.env("DB", "hunter22");
    let dir = scene.sitemon.dir().to_owned();
    let says = |text: &str| script(&dir, "check", text);
    let program = says("echo \"OK - $SITEMON_SITE|a=1\"");
    let more = exec_site("disk", &program, "env = { PGPASSWORD = \"$DB\" }");
    scene.sitemon.rewrite(&scene.config_with(&more));
    let running = scene.start();
    scene.ask("/check disk", "✅ disk");
    scene.ask("/site disk", "OK - disk");
    says("echo \"WARNING - \\033[1mnearly\\033[0m full | a=1\"; echo more; exit 1");
    scene.wait_text("🟡 disk is degraded: WARNING - nearly full");
    says("echo \"CRITICAL - password $PGPASSWORD of <db>\"; exit 2");
    scene.wait_text("🔴 disk is down: CRITICAL - password *** of <db> (#1)");
    scene.ask("/history disk", "CRITICAL - password ***");
    let out = scene.sitemon.command(&["check", "disk"]);
    assert_eq!(out.code, Some(1), "{out:?}");
    assert_has(&out.stdout, "CRITICAL - password *** of <db>");
    says("sleep 60");
    scene.ask("/check disk", "❌ disk plugin not done within 1s");
    says("echo 'what?' >&2; exit 77");
    scene.ask(
        "/check disk",
        "❌ disk plugin says unknown (exit code 77): what?",
    );
    says("exit 0");
    scene.wait_text("🟢 disk is up again after ");
    assert!(!running.stderr().contains("hunter22"));
    scene.end(running);
}

#[test]
fn a_program_that_is_missing_is_told_once_and_judged_when_it_is_there() {
    let scene = Scene::new();
    let dir = scene.sitemon.dir().to_owned();
    let program = dir.join("check");
    let more = exec_site("disk", &program, "");
    scene.sitemon.rewrite(&scene.config_with(&more));
    let lacks = format!("site `disk`: {} does not exist", program.display());
    let out = scene.sitemon.command(&["config"]);
    assert_eq!(out.code, Some(0), "{out:?}");
    assert!(out.stderr.contains(&lacks), "{}", out.stderr);
    let out = scene.sitemon.command(&["check", "disk"]);
    assert_eq!(out.code, Some(0), "{out:?}");
    assert!(out.stdout.contains("unknown"), "{}", out.stdout);
    let running = scene.start();
    running.wait_stderr(&lacks);
    scene.wait_text("A program to run does not exist, so some checks could not be made");
    scene.ask("/site disk", "disk has not been checked yet");
    script(&dir, "check", "echo fine");
    scene.ask("/check disk", "✅ disk");
    // A program that other users may replace is not run.
    let all = fs::Permissions::from_mode(0o777);
    fs::set_permissions(&program, all).expect("a mode");
    scene.wait_text("A program to run can be replaced by other users, so some checks");
    let out = scene.sitemon.command(&["config"]);
    assert_eq!(out.code, Some(2), "{out:?}");
    let what = format!("{} is theirs to write", program.display());
    assert!(out.stderr.contains(&what), "{}", out.stderr);
    assert_eq!(scene.count("does not exist"), 1);
    assert_eq!(scene.count("is down"), 0);
    scene.end(running);
}

#[test]
fn no_program_comes_from_a_chat() {
    let scene = Scene::new();
    let running = scene.start();
    for url in ["exec:", "exec:/bin/true", "EXEC:x"] {
        let add = format!("/add {url} disk");
        scene.ask(&add, "programs are run by sites of sitemon.conf alone");
    }
    scene.ask("/add exec:///bin/true disk", "`exec:` stands alone");
    scene.end(running);
}

#[test]
fn hostile_programs_leave_nothing_behind() {
    let scene = Scene::new();
    let dir = scene.sitemon.dir().to_owned();
    let zoo = [
        ("deaf", "trap '' TERM HUP INT; sleep 7001 & sleep 7002"),
        ("flood", "exec yes"),
        ("closed", "exec >&- 2>&- <&-; exit 2"),
        (
            "daemon",
            "setsid sh -c 'setsid sleep 7003 & setsid sleep 7004' & exit 0",
        ),
        ("holder", "sleep 7005 & echo up"),
        ("killed", "kill -SEGV $$"),
        ("colours", "printf '\\033]0;x\\007\\033[31mred\\n'; exit 2"),
        (
            "writer",
            "for fd in 3 4 5 6 7 8 9; do echo x >&$fd; done 2>/dev/null; exit 2",
        ),
        ("binary", "head -c 100000 /dev/urandom; exit 2"),
    ];
    let mut more = "[agent]\nstate = \"state\"\nmax_commands = 3\n".to_owned();
    for (name, text) in zoo {
        let text = text.replace("sleep 7", &sleep());
        more += &exec_site(name, &script(&dir, name, &text), "");
    }
    let shebang = write_program(&dir.join("no line"), "exit 0\n");
    more += &exec_site("plain", &shebang, "");
    more += &exec_site("directory", &dir, "");
    scene.sitemon.rewrite(&scene.config_with(&more));
    let running = scene.start();
    for (name, said) in [
        ("deaf", "❌ deaf plugin not done within 1s"),
        ("flood", "❌ flood plugin not done within 1s: y"),
        ("closed", "❌ closed plugin says critical"),
        ("daemon", "✅ daemon"),
        ("holder", "✅ holder"),
        ("killed", "❌ killed plugin ended by signal 11"),
        ("colours", "❌ colours red"),
        ("writer", "❌ writer plugin says critical"),
        ("binary", "❌ binary"),
    ] {
        scene.ask(&format!("/check {name}"), said);
    }
    scene.wait_text("A program to run cannot be executed");
    // Only the site of every scene is left.
    scene.sitemon.rewrite(&scene.config_with(""));
    running.hup();
    until("nothing is left", || children(running.pid()).is_empty());
    assert!(!runs(&sleep()));
    let (_, threads) = at_rest(&running);
    assert!(!threads.iter().any(|name| name == "command"), "{threads:?}");
    scene.end(running);
}

#[test]
fn a_program_ends_with_the_agent_and_has_none_of_its_descriptors() {
    let scene = Scene::new();
    let dir = scene.sitemon.dir().to_owned();
    let list = script(&dir, "list", "echo $(ls /proc/self/fd)");
    let long = script(&dir, "long", &format!("setsid {0}1 & {0}2", sleep()));
    let more = exec_site("list", &list, "") + &exec_site("long", &long, "").replace("1s", "60s");
    scene.sitemon.rewrite(&scene.config_with(&more));
    let running = scene.start();
    // The last descriptor is the directory that ls reads.
    scene.ask("/check list", "✅ list");
    scene.ask("/site list", "0 1 2 3\n");
    until("the long one runs", || runs(&format!("{}2", sleep())));
    scene.end(running);
    until("it has ended", || !runs(&sleep()));
}

#[test]
fn a_check_that_is_interrupted_leaves_no_program() {
    let scene = Scene::new();
    let dir = scene.sitemon.dir().to_owned();
    let long = script(&dir, "long", &format!("setsid {0}1 & {0}2", sleep()));
    let site = exec_site("long", &long, "").replace("\"1s\"", "\"60s\"");
    scene.sitemon.rewrite(&scene.config_with(&site));
    for signal in [Signal::INT, Signal::TERM] {
        let mut check = Command::new(env!("CARGO_BIN_EXE_sitemon"))
            .arg("-c")
            .arg(scene.sitemon.config_path())
            .args(["check", "long"])
            .spawn()
            .expect("starts");
        until("it runs", || runs(&format!("{}2", sleep())));
        kill_process(Pid::from_child(&check), signal).expect("runs");
        assert_eq!(check.wait().expect("ends").code(), Some(130));
        until("it has ended", || !runs(&sleep()));
    }
}

/// Runs the test again in a process of its own, since the runner ends all children of its process.
fn alone(test: impl FnOnce()) {
    const ALONE: &str = "SITEMON_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return test();
    }
    let thread = std::thread::current();
    let name = thread.name().expect("the test's name");
    let output = Command::new(std::env::current_exe().expect("this test binary"))
        .args(["--exact", name, "--nocapture", "--include-ignored"])
        .env(ALONE, "1")
        .output()
        .expect("this test binary starts");
    let stdout = String::from_utf8_lossy(&output.stdout);
    print!("{stdout}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains("1 passed"), "{stdout}");
}

fn check_many(warm_up: usize, all: usize) {
    use crate::resources::common::{client, site};
    use sitemon::check;
    let client = client(Duration::from_secs(1));
    let site = site("exec:", "command = [\"/bin/true\"]");
    let run = |count: usize| {
        let work = async || {
            for _ in 0..count / 4 {
                let outcome = check::guarded(check::run(&client, &site, false)).await;
                assert_eq!(outcome.verdict, Ok(()));
            }
        };
        let executor = smol::LocalExecutor::new();
        smol::block_on(executor.run(async {
            let tasks: Vec<_> = (0..4).map(|_| executor.spawn(work())).collect();
            for task in tasks {
                task.await;
            }
        }));
        assert_eq!(children(std::process::id()), [""; 0]);
        let count = |what: &str| {
            let entries = fs::read_dir(format!("/proc/self/{what}")).expect("is there");
            entries.count()
        };
        let status = fs::read_to_string("/proc/self/status").expect("is there");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let line = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        let kib: usize = line.expect("a number");
        (count("fd"), count("task"), kib)
    };
    let before = run(warm_up);
    let began = std::time::Instant::now();
    let after = run(all);
    println!("{all} in {:?}: {before:?}, {after:?}", began.elapsed());
    assert_eq!((before.0, before.1), (after.0, after.1));
    assert!(
        after.2 <= before.2 + 64 + all * 16 / 1024,
        "{before:?} {after:?}"
    );
}

#[test]
fn a_thousand_programs_leave_nothing_behind() {
    alone(|| check_many(200, 1_000));
}

#[test]
#[ignore = "takes a minute"]
fn twenty_thousand_programs_leave_nothing_behind() {
    alone(|| check_many(1_000, 20_000));
}
