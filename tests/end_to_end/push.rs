//! `push:` sites and `sitemon push`, with the real binary: the job's output, signals and exit code,
//! reports without an agent and those in progress when it is killed, and the permissions to report.

use crate::support::agent::{Output, Running};
use crate::support::assert_has;
use crate::support::listener::until;
use crate::support::scene::Scene;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

const JOB: &str =
    "[[site]]\nname = \"backup\"\nurl = \"push:\"\nevery = \"1d\"\nnote = \"see the wiki\"\n";

fn scene() -> Scene {
    let scene = Scene::new();
    scene.sitemon.rewrite(&scene.config_with(JOB));
    scene
}

#[track_caller]
fn push(scene: &Scene, arguments: &[&str]) -> Output {
    scene
        .sitemon
        .command(&[&["push", "backup"], arguments].concat())
}

/// Runs a line of shell as the job.
#[track_caller]
fn job(scene: &Scene, line: &str) -> Output {
    push(scene, &["--", "sh", "-c", line])
}

/// Returns the output of `sitemon status`.
fn status(scene: &Scene) -> String {
    scene.sitemon.command(&["status"]).stdout
}

#[test]
fn a_job_that_fails_is_told_with_its_last_lines_and_its_next_success() {
    let scene = scene();
    let running = scene.start();
    scene.ask("/site backup", "⚪ backup has not reported yet");
    let out = job(&scene, "echo copying; echo '<no> space left' >&2; exit 3");
    assert_eq!(out.code, Some(3), "{out:?}");
    assert_eq!(
        (out.stdout.as_str(), out.stderr.as_str()),
        ("copying\n", "<no> space left\n")
    );
    let alert = scene.wait_text("🔴 backup is down: exit code 3 after ");
    let text = alert.latest();
    assert_has(
        &text,
        "ms: <no> space left (#1)\ncopying\n<no> space left\nsee the wiki",
    );
    assert_eq!(alert.labels(), ["Acknowledge", "Mute 1 h", "Mute 1 d"]);
    scene.ask("/site backup", "Last report: exit code 3 after ");
    scene.ask("/site backup", "Next report expected by ");
    scene.ask("/history backup", "The last reports of backup\n❌ ");
    scene.ask(
        "/check backup",
        "backup is not asked: it reports by itself.",
    );
    assert_eq!(job(&scene, "true").code, Some(0));
    scene.wait_text("🟢 backup is up again after ");
    assert_eq!(push(&scene, &["--start"]).code, Some(0));
    scene.ask("/site backup", "Started ");
    let out = push(&scene, &["--fail", "--message", "disk full"]);
    assert_eq!((out.code, out.stderr.as_str()), (Some(0), ""));
    scene.wait_text(": disk full (#2)");
    let out = scene.sitemon.command(&["push", "backap"]);
    assert_eq!(out.code, Some(2));
    assert_eq!(
        out.stderr,
        "there is no push: site `backap`; did you mean `backup`?\n"
    );
    scene.end(running);
}

#[test]
fn a_job_gets_its_signals_while_the_configuration_hangs() {
    /// `F_SETSIG` of most architectures, which the crate doesn't have.
    const SET_SIGNAL: i32 = 10;
    let scene = scene();
    // A lease blocks each open(2) of the file until it is released (fcntl(2)). Its holder is told by
    // a signal: one that does nothing.
    let config = File::options()
        .write(true)
        .open(scene.sitemon.config_path())
        .expect("there");
    // SAFETY: fcntl(2) on a descriptor that stays open, with plain numbers.
    let leased = unsafe {
        libc::fcntl(config.as_raw_fd(), SET_SIGNAL, libc::SIGURG);
        libc::fcntl(config.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK)
    };
    assert_eq!(leased, 0, "{}", std::io::Error::last_os_error());
    let dir = scene.sitemon.dir().display().to_string();
    let (socket, spool) = (format!("{dir}/none.sock"), format!("{dir}/spool"));
    let line = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    let mut running = scene.sitemon.spawn(&[
        "push", "backup", "--socket", &socket, "--spool", &spool, "--", "sh", "-c", line,
    ]);
    running.wait_stdout("ready\n");
    assert!(running.threads() > 1);
    running.signal("TERM");
    assert_eq!(running.wait_exit().code(), Some(7));
    drop(config);
}

#[test]
fn a_signal_after_the_end_of_a_job_does_not_replace_its_exit_code() {
    let scene = scene();
    let dir = scene.sitemon.dir().display().to_string();
    let (socket, spool) = (format!("{dir}/agent.sock"), format!("{dir}/spool"));
    let agent = UnixListener::bind(&socket).expect("bound");
    let mut running = scene.sitemon.spawn(&[
        "push",
        "backup",
        "--socket",
        &socket,
        "--spool",
        &spool,
        "--",
        "sh",
        "-c",
        "echo done; exit 3",
    ]);
    for kind in ["start", "bad"] {
        let (mut stream, _) = agent.accept().expect("a report");
        let mut report = String::new();
        stream.read_to_string(&mut report).expect("read");
        assert_has(&report, &format!("kind {kind}\n"));
        if kind == "bad" {
            running.signal("TERM");
        }
        stream.write_all(b"ok\n").expect("answered");
    }
    assert_eq!(running.wait_exit().code(), Some(3));
    assert_eq!(running.rest_of_stdout(), "done\n");
}

#[test]
fn a_missing_report_is_down_and_a_restart_gives_grace() {
    let scene = Scene::new();
    let job = "[[site]]\nname = \"backup\"\nurl = \"push:\"\nevery = \"1s\"\ngrace = \"1s\"\n";
    scene.sitemon.rewrite(&scene.config_with(job));
    let mut running = scene.start();
    scene.wait_text("🔴 backup is down: no report yet, expected by ");
    assert_eq!(push(&scene, &[]).code, Some(0));
    scene.wait_text("🟢 backup is up again after ");
    scene.wait_text("🔴 backup is down: no report since ");
    running.kill9();
    scene.sitemon.rewrite(&scene.config_with(JOB));
    let running = scene.start();
    assert!(status(&scene).contains("no report since "));
    assert_eq!(push(&scene, &[]).code, Some(0));
    assert!(!status(&scene).contains("no report since "));
    scene.end(running);
}

#[test]
fn a_job_ends_as_its_command_does_whatever_is_wrong_around_it() {
    let scene = scene();
    for (line, code) in [
        ("exit 0", 0),
        ("exit 42", 42),
        ("kill -9 $$", 137),
        ("kill -TERM $$", 143),
    ] {
        let out = job(&scene, line);
        assert_eq!(out.code, Some(code), "{line}: {out:?}");
        assert!(out.stderr.contains("No such file or directory"), "{out:?}");
    }
    let out = push(&scene, &["--", "/no/such/program", "--help"]);
    assert_eq!(out.code, Some(127));
    assert!(
        out.stderr
            .starts_with("/no/such/program cannot be run: No such file or directory\n")
    );
    let dir = scene.sitemon.dir().display().to_string();
    assert_eq!(push(&scene, &["--", &dir]).code, Some(126));
    // A configuration with mistakes, one that isn't TOML, and none.
    let broken = scene.config_with(JOB)
        + "[agent]\nstate = \"state\"\n[[site]]\nname = \"x\"\nurl = \"https://$UNSET/\"\nnonsense = 1\n";
    fs::write(scene.sitemon.config_path(), broken).expect("written");
    assert_eq!(job(&scene, "exit 5").code, Some(5));
    let at = |name: &str| format!("{dir}/{name}");
    let spool = at("other");
    let elsewhere = ["--socket", &at("x.sock"), "--spool", &spool, "--", "false"];
    fs::write(scene.sitemon.config_path(), "[agent\n").expect("written");
    assert_eq!(push(&scene, &elsewhere).code, Some(1));
    fs::remove_file(scene.sitemon.config_path()).expect("there");
    let spool = at("spool");
    let out = push(
        &scene,
        &[
            "--socket",
            &at("x.sock"),
            "--spool",
            &spool,
            "--",
            "sh",
            "-c",
            "exit 6",
        ],
    );
    assert_eq!(out.code, Some(6));
    assert!(fs::read_dir(&spool).expect("made").count() == 2, "{out:?}");
    let out = push(
        &scene,
        &["--socket", &at("x.sock"), "--spool", &at("no/spool")],
    );
    assert_eq!(out.code, Some(4));
    assert!(out.stderr.contains("cannot be kept in"), "{out:?}");
}

#[test]
fn a_job_has_its_stdin_its_signals_and_no_wait_for_what_it_leaves_behind() {
    let scene = scene();
    fs::create_dir(scene.sitemon.state_dir()).expect("made");
    let begun = Instant::now();
    let out = job(&scene, "sleep 60 & echo left; exit 1");
    assert_eq!((out.code, out.stdout.as_str()), (Some(1), "left\n"));
    assert!(begun.elapsed() < Duration::from_secs(30));
    let line = "read -r word; echo \"$word\"; trap 'echo caught; exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    let mut running = scene
        .sitemon
        .spawn(&["push", "backup", "--", "sh", "-c", line]);
    running.type_line("through");
    running.wait_stdout("through\nready\n");
    running.signal("TERM");
    let out = running.output();
    assert_eq!(
        (out.code, out.stdout.as_str()),
        (Some(7), "through\nready\ncaught\n")
    );
    // More output than pipes hold arrives in order.
    let out = job(
        &scene,
        "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo $i; done",
    );
    let numbers: Vec<usize> = out
        .stdout
        .lines()
        .map(|l| l.parse().expect("a number"))
        .collect();
    assert_eq!(numbers, (1..=20000).collect::<Vec<_>>());
    // With --no-output the job inherits our streams: there is no pipe between.
    let out = push(
        &scene,
        &[
            "--no-output",
            "--",
            "sh",
            "-c",
            "echo plain; [ ! -p /dev/fd/0 ]; exit 0",
        ],
    );
    assert_eq!(out.stdout, "plain\n");
    let kept = fs::read_dir(scene.sitemon.state_dir().join("spool"));
    let mut kept: Vec<_> = kept
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .collect();
    kept.sort();
    let last = fs::read_to_string(kept.last().expect("kept")).expect("read");
    assert!(
        last.contains("\ncode 0\n") && !last.contains("plain"),
        "{last}"
    );
}

#[test]
fn what_came_without_an_agent_is_read_at_its_start_and_a_hostile_spool_harms_nothing() {
    let scene = scene();
    fs::create_dir(scene.sitemon.state_dir()).expect("made");
    let out = push(&scene, &["--fail", "--message", "while away"]);
    assert_eq!(out.code, Some(0));
    assert!(out.stderr.contains("the report is kept in "), "{out:?}");
    let out = scene.sitemon.command(&["push", "nothing"]);
    assert_eq!(
        out.code,
        Some(2),
        "the configuration has no such site: {out:?}"
    );
    let spool = scene.sitemon.state_dir().join("spool");
    let at = |name: &str| spool.join(name);
    let text = |site: &str, printed: &str| {
        format!("sitemon push 1\nsite {site}\nkind bad\nat 5\n\n{printed}")
    };
    symlink("/dev/zero", at("a-link")).expect("made");
    let fifo = std::process::Command::new("mkfifo")
        .arg(at("a-fifo"))
        .status();
    assert!(fifo.is_ok_and(|s| s.success()));
    fs::create_dir(at("a-dir")).expect("made");
    let huge = fs::File::create(at("a-huge")).expect("made");
    huge.set_len(1 << 40).expect("sparse");
    fs::write(at("a-foreign"), text("backup", "forged")).expect("made");
    std::os::unix::fs::chown(at("a-foreign"), Some(4711), Some(4711)).expect("root");
    fs::write(at("b-unknown"), text("no\u{1b}[2Jsuch", "x")).expect("made");
    for n in 0..3000 {
        fs::write(at(&format!("c-{n}")), "garbage").expect("made");
    }
    let running = scene.start();
    scene.wait_text("🔴 backup is down: reported as failed: while away (#1)");
    let log = running.wait_stderr("others in the spool are passed over");
    assert!(log.contains("in the spool is passed over: "), "{log}");
    assert!(log.lines().count() < 40, "{log}");
    running.wait_stderr("for `no [2Jsuch`, which is no push: site: it is dropped");
    scene.ask("/site backup", "Cause: reported as failed: while away");
    assert!(!running.stderr().contains("forged"));
    until("it is removed", || kept(&scene) == 0);
    scene.end(running);
}

/// Kills the agent after it has received the report and before it can reply.
#[track_caller]
fn kill_between_report_and_reply(scene: &Scene, running: &mut Running, told: &[&str]) {
    // The agent listens before it writes this line.
    running.wait_stderr("Telegram knows us");
    running.signal("STOP");
    let pusher = scene.sitemon.spawn(told);
    let path = scene.sitemon.state_dir().join("push.sock");
    let connected = || {
        let sockets = fs::read_to_string("/proc/net/unix").unwrap_or_default();
        let lines = sockets.lines();
        let at_it = lines.filter(|line| line.ends_with(path.to_str().expect("text")));
        at_it.count() > 1
    };
    until("it has connected", connected);
    running.kill9();
    assert_eq!(pusher.output().code, Some(0));
}

#[test]
fn a_report_is_kept_through_kill_9_at_any_moment() {
    let scene = scene();
    let mut running = scene.start();
    // Creates the state.
    assert_eq!(push(&scene, &[]).code, Some(0));
    for n in 0..6 {
        let message = format!("number {n}.");
        let told = ["push", "backup", "--fail", "--message", &message];
        if n % 2 == 0 {
            kill_between_report_and_reply(&scene, &mut running, &told);
        } else {
            assert_eq!(scene.sitemon.command(&told).code, Some(0));
            running.kill9();
        }
        let after = scene.count("I was away");
        running = scene.start();
        until("the start is told", || scene.count("I was away") > after);
        let wanted = format!("reported as failed: {message}");
        until("it is known", || status(&scene).contains(&wanted));
        assert_eq!(
            scene.count(&format!("is down: {wanted}")),
            usize::from(n == 0),
            "told twice"
        );
    }
    scene.end(running);
}

#[test]
#[ignore = "200 kills: a minute"]
fn two_hundred_kills_lose_no_report_and_count_none_twice() {
    const KILLS: u32 = 200;
    let scene = scene();
    let mut running = scene.start();
    assert_eq!(push(&scene, &[]).code, Some(0));
    let begun = Instant::now();
    for n in 0..KILLS {
        // Bad and good in turn: a report that counted twice would open one more incident.
        let message = format!("number {n}.");
        let bad = ["push", "backup", "--fail", "--message", &message];
        let told = if n % 2 == 0 { &bad[..] } else { &bad[..2] };
        if n % 8 < 2 {
            kill_between_report_and_reply(&scene, &mut running, told);
        } else {
            // From before it connects to after the reply.
            let pusher = scene.sitemon.spawn(told);
            thread::sleep(Duration::from_micros(500) * (n * 7 % 50));
            running.kill9();
            assert_eq!(pusher.output().code, Some(0));
        }
        running = scene.sitemon.run();
        let known = || {
            let cause = format!("reported as failed: {message}");
            let status = scene.sitemon.command(&["status", "--json"]).stdout;
            match n % 2 {
                0 => status.contains(&cause),
                _ => {
                    status.contains("\"name\":\"backup\"") && !status.contains("reported as failed")
                }
            }
        };
        until(&format!("{message} is known"), known);
    }
    println!("{KILLS} kills in {:.0} s", begun.elapsed().as_secs_f64());
    assert_eq!(push(&scene, &["--fail"]).code, Some(0));
    // No chat is notified of this one, since the site is flapping.
    let last = format!("backup is down: reported as failed (#{})", KILLS / 2 + 1);
    running.wait_stderr(&last);
    scene.end(running);
}

/// Opens connections that wait at the socket of an agent that accepts none, until no more fit.
fn crowd(socket: &Path) -> Vec<OwnedFd> {
    let address = SocketAddrUnix::new(socket).expect("a path");
    let mut crowd = Vec::new();
    loop {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
        let fd = fd.expect("a socket");
        match connect(&fd, &address) {
            Ok(()) => crowd.push(fd),
            Err(Errno::AGAIN) => return crowd,
            Err(e) => panic!("after {}: {e}", crowd.len()),
        }
    }
}

/// Counts the reports in the spool.
fn kept(scene: &Scene) -> usize {
    let entries = fs::read_dir(scene.sitemon.state_dir().join("spool"));
    let names = entries.into_iter().flatten().flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".report")).count()
}

#[test]
fn an_agent_that_hung_takes_each_report_once_and_wants_no_restart() {
    let scene = scene();
    let running = scene.start();
    let socket = scene.sitemon.state_dir().join("push.sock");
    assert_eq!(push(&scene, &[]).code, Some(0));
    running.signal("STOP");
    let kept_by = |out: &Output| {
        assert!(
            out.stderr.ends_with(" until it reads it there\n")
                && out
                    .stderr
                    .contains("push.sock does not answer; the report is kept in "),
            "{out:?}"
        );
    };
    // These reports wait at the socket, and are kept in the spool as well.
    let begun = Instant::now();
    let out = job(&scene, "echo first; exit 3");
    assert!(begun.elapsed() < Duration::from_secs(15), "held up twice");
    assert_eq!(out.code, Some(3));
    kept_by(&out);
    let out = push(&scene, &[]);
    assert_eq!(out.code, Some(0));
    kept_by(&out);
    // There is no room for this one at the socket.
    let crowd = crowd(&socket);
    let out = push(&scene, &["--fail", "--message", "second"]);
    assert_eq!(out.code, Some(0));
    kept_by(&out);
    drop(crowd);
    running.signal("CONT");
    scene.wait_text("🔴 backup is down: reported as failed: second (#2)");
    until("the spool is empty", || kept(&scene) == 0);
    // All reports have been read.
    assert_eq!(push(&scene, &[]).code, Some(0));
    scene.wait_text("🟢 backup is up again after ");
    let history = scene.ask("/history backup", "The last reports of backup");
    let seen = (
        history.latest().matches('❌').count(),
        history.latest().matches('✅').count(),
    );
    assert_eq!(seen, (2, 3), "{}", history.latest());
    scene.end(running);
}

#[test]
fn what_comes_into_the_spool_is_read_at_once() {
    let scene = scene();
    let running = scene.start();
    let spool = scene.sitemon.state_dir().join("spool");
    until("it is there", || spool.is_dir());
    let away = scene.sitemon.dir().join("away.sock").display().to_string();
    let keep = |name: &str, arguments: &[&str]| {
        let out = scene
            .sitemon
            .command(&[&["push", name, "--socket", &away], arguments].concat());
        assert_eq!(out.code, Some(0), "{out:?}");
        assert!(out.stderr.contains("the report is kept in "), "{out:?}");
    };
    keep("backup", &["--fail", "--message", "one"]);
    scene.wait_text("🔴 backup is down: reported as failed: one (#1)");
    until("it is removed", || kept(&scene) == 0);
    // Another directory takes its place.
    fs::remove_dir_all(&spool).expect("removed");
    until("it is made again", || spool.is_dir());
    fs::write(spool.join("junk"), "junk").expect("written");
    keep("backup", &[]);
    scene.wait_text("🟢 backup is up again after ");
    // A new site.
    let more = JOB.replace("backup", "-x");
    scene
        .sitemon
        .rewrite(&scene.config_with(&format!("{JOB}{more}")));
    running.hup();
    running.wait_stderr("watching 3 sites");
    let out = scene.sitemon.command(&["push", "--fail", "--", "-x"]);
    assert_eq!((out.code, out.stderr.as_str()), (Some(0), ""));
    scene.wait_text("🔴 -x is down: reported as failed");
    let out = scene
        .sitemon
        .command(&["push", "--socket", &away, "--", "-x"]);
    assert_eq!(out.code, Some(0), "{out:?}");
    scene.wait_text("🟢 -x is up again after ");
    let named = running
        .stderr()
        .matches("junk in the spool is passed over")
        .count();
    assert_eq!(named, 1, "{}", running.stderr());
    scene.end(running);
}

/// Sends `text` and returns the answer.
fn hand_in(socket: &Path, text: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(text.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn good(at: usize) -> String {
    format!("sitemon push 1\nsite backup\nkind good\nat {at}\n\n")
}

/// Sends a good report from a thread that runs as another user.
fn as_user(user: u32, group: u32, more: &[u32], socket: &Path) -> std::io::Result<String> {
    let (socket, more) = (socket.to_owned(), more.to_vec());
    let work = move || {
        // SAFETY: numbers, and a list with its length; the raw system calls change this thread
        // only.
        let failed = unsafe {
            libc::syscall(libc::SYS_setgroups, more.len(), more.as_ptr()) != 0
                || libc::syscall(libc::SYS_setresgid, group, group, group) != 0
                || libc::syscall(libc::SYS_setresuid, user, user, user) != 0
        };
        assert!(!failed, "not root?");
        hand_in(&socket, &good(1))
    };
    thread::spawn(work).join().expect("no panic")
}

#[test]
fn root_and_the_group_of_the_socket_may_report_and_others_may_not() {
    let scene = Scene::new();
    let dir = tempfile::tempdir().expect("a directory");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("set");
    let socket = dir.path().join("run/push.sock");
    let agent = format!(
        "\n[agent]\nstate = \"state\"\nsocket = \"{}\"\n",
        socket.display()
    );
    scene.sitemon.rewrite(&(scene.config_with(JOB) + &agent));
    let mut running = scene.start();
    let mode = |path: &Path| fs::metadata(path).expect("there").mode() & 0o7777;
    assert_eq!(
        (mode(&socket), mode(socket.parent().expect("a directory"))),
        (0o660, 0o750)
    );
    fs::set_permissions(
        socket.parent().expect("there"),
        fs::Permissions::from_mode(0o755),
    )
    .expect("set");
    assert!(as_user(4711, 4711, &[], &socket).is_err(), "by its mode");
    running.kill9();
    // The socket gets the group of the agent, which is looked up at its start, and users in that
    // group may report.
    let script = "umask 077; exec setpriv --regid 4712 --clear-groups \"$@\"";
    let mut running = scene.sitemon.run_by_shell(false, script);
    until("it listens", || hand_in(&socket, &good(2)).is_ok());
    assert_eq!(mode(&socket), 0o660, "whatever the umask is");
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).expect("set");
    assert_eq!(hand_in(&socket, &good(3)).expect("root"), "ok\n");
    assert_eq!(as_user(4711, 4712, &[], &socket).expect("answered"), "ok\n");
    assert_eq!(
        as_user(4711, 100, &[101, 4712], &socket).expect("answered"),
        "ok\n"
    );
    let many: Vec<u32> = (4712..5000).collect();
    let answer = as_user(4711, 100, &many, &socket);
    assert_eq!(answer.expect("answered"), "ok\n");
    for (group, more) in [(4711, &[][..]), (0, &[0, 100])] {
        let answer = as_user(4711, group, more, &socket);
        assert!(
            answer.is_err() || answer.is_ok_and(|a| a == "refused\n"),
            "{group}"
        );
    }
    for text in [
        "",
        "nonsense",
        "sitemon push 1\nsite backup\n\n",
        &"x".repeat(100_000),
    ] {
        let answer = hand_in(&socket, text);
        assert!(answer.is_err() || answer.is_ok_and(|a| a == "refused\n"));
    }
    // Any number of silent clients: a report is read before `sitemon push` gives up.
    let silent: Vec<UnixStream> = (0..200)
        .map(|_| UnixStream::connect(&socket).expect("there"))
        .collect();
    let out = push(&scene, &[]);
    assert_eq!((out.code, out.stderr.as_str()), (Some(0), ""));
    drop(silent);
    assert_eq!(running.terminate().code(), Some(0), "{}", running.stderr());
}

#[test]
fn another_agents_socket_and_what_is_none_are_left_alone() {
    let scene = scene();
    fs::create_dir(scene.sitemon.state_dir()).expect("made");
    let socket = scene.sitemon.state_dir().join("push.sock");
    let other = UnixListener::bind(&socket).expect("bound");
    let running = scene.start();
    scene.wait_text(
        "push.sock: another agent listens there. Its reports are kept for the next start.",
    );
    scene.end(running);
    // An agent that hangs.
    let waiting = crowd(&socket);
    let running = scene.start();
    running.wait_stderr("push.sock: another agent listens there.");
    scene.end(running);
    drop((other, waiting));
    let running = scene.start();
    assert_eq!(push(&scene, &[]).code, Some(0));
    scene.end(running);
    fs::remove_file(&socket).expect("left behind");
    fs::write(&socket, "mine").expect("written");
    let running = scene.start();
    scene.wait_text("push.sock: what is there is no socket");
    assert_eq!(fs::read_to_string(&socket).expect("there"), "mine");
    scene.end(running);
}

#[test]
#[ignore = "20,000 reports: a minute"]
fn twenty_thousand_reports_leave_nothing_behind() {
    const REPORTS: usize = 20_000;
    const AT_ONCE: usize = 8;
    let scene = scene();
    let running = scene.start();
    let socket = scene.sitemon.state_dir().join("push.sock");
    let flood = |from: usize, count: usize| {
        thread::scope(|scope| {
            for thread in 0..AT_ONCE {
                let socket = &socket;
                scope.spawn(move || {
                    for n in (from..from + count).skip(thread).step_by(AT_ONCE) {
                        let answer = hand_in(socket, &good(n)).expect("answered");
                        assert_eq!(answer, "ok\n");
                    }
                });
            }
        });
    };
    flood(0, 1000);
    let figures = |running: &Running| (running.descriptors(), running.threads());
    let (before, memory) = (figures(&running), running.rss_kib());
    let begun = Instant::now();
    flood(1000, REPORTS);
    println!(
        "{REPORTS} reports in {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    until("descriptors and threads are as before", || {
        figures(&running) <= before
    });
    let grown = running.rss_kib().saturating_sub(memory);
    println!("{before:?} descriptors and threads, {memory} KiB, grown by {grown} KiB");
    assert!(grown < 1024, "grown by {grown} KiB");
    scene.ask("/site backup", "🟢 backup has been up for ");
    scene.end(running);
}
