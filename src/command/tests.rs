//! Hostile programs. Each test is a process of its own, as the runner kills all children of its process,
//! those of other tests included.

use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// Set in the process of a single test.
const ALONE: &str = "SITEMON_TEST_ALONE";
const LONG: Duration = Duration::from_secs(60);

/// Runs `test`, whose name this is, in a process of its own.
#[track_caller]
fn alone(name: &str, test: impl Future<Output = ()>) {
    if std::env::var_os(ALONE).is_some() {
        return timer::block_on(test);
    }
    let own = std::env::current_exe().expect("a program");
    let mut run = std::process::Command::new(own);
    let name = format!("command::tests::{name}");
    let output = run
        .args([&name, "--exact", "--nocapture"])
        .env(ALONE, "1")
        .output()
        .expect("a process");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

fn command(words: &[&str], timeout: Duration) -> Command {
    Command {
        command: words.iter().map(|&word| word.to_owned()).collect(),
        env: vec![("SITEMON_SITE".to_owned(), "blog".to_owned())],
        timeout,
        keep: Keep::First,
    }
}

async fn shell(script: &str, timeout: Duration) -> Report {
    run(command(&["/bin/sh", "-c", script], timeout)).await
}

/// Our children, including zombies.
fn children() -> Vec<String> {
    let own = std::process::id().to_string();
    let entries = fs::read_dir("/proc").expect("is there").flatten();
    let stats = entries.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    let ours = |stat: &String| {
        let behind = stat.rsplit(')').next().unwrap_or_default();
        behind.split(' ').nth(2) == Some(&own)
    };
    stats.filter(ours).collect()
}

#[track_caller]
fn nothing_is_left() {
    assert_eq!(children(), [""; 0]);
}

#[test]
fn it_gets_an_empty_stdin_and_no_descriptor_of_ours() {
    alone("it_gets_an_empty_stdin_and_no_descriptor_of_ours", async {
        // Init systems may leave descriptors open.
        // SAFETY: duplicates a descriptor (fcntl(2)).
        let inherited = unsafe { libc::fcntl(1, libc::F_DUPFD, 50) };
        assert!(inherited >= 50);
        let _file = fs::File::open("/etc/passwd").expect("is there");
        let _socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let report = shell("ls /proc/self/fd; cat", LONG).await;
        assert_eq!(report.end, End::Exited(0));
        // The last one is the directory that ls reads.
        assert_eq!(String::from_utf8_lossy(&report.stdout), "0\n1\n2\n3\n");
        nothing_is_left();
    });
}

#[test]
fn its_environment_is_made_for_it() {
    alone("its_environment_is_made_for_it", async {
        let report = run(command(&["/usr/bin/env"], LONG)).await;
        let text = String::from_utf8_lossy(&report.stdout).into_owned();
        let names = text.lines().filter_map(|line| line.split('=').next());
        let names: Vec<&str> = names
            .filter(|name| !["TZ", "LANG"].contains(name))
            .collect();
        assert_eq!(names, ["PATH", "SITEMON_SITE"], "{text}");
        assert!(text.contains("SITEMON_SITE=blog\n"));
        assert_eq!(shell("test $PWD = /", LONG).await.end, End::Exited(0));
    });
}

#[test]
fn of_a_flood_the_beginning_is_kept() {
    alone("of_a_flood_the_beginning_is_kept", async {
        let script = "yes | head -c 300000; head -c 5000 /dev/zero >&2; exit 3";
        let report = shell(script, LONG).await;
        assert_eq!(report.end, End::Exited(3));
        assert!(report.stdout.starts_with(b"y\ny\n"));
        assert_eq!((report.stdout.len(), report.stderr.len()), (KEPT, KEPT));
        // Endless output.
        let report = shell("yes", Duration::from_millis(300)).await;
        assert_eq!((report.end, report.stdout.len()), (End::TimedOut, KEPT));
        nothing_is_left();
    });
}

#[test]
fn of_a_flood_the_end_is_kept_where_that_is_wanted() {
    alone("of_a_flood_the_end_is_kept_where_that_is_wanted", async {
        let script = "yes | head -c 300000; echo; echo done; echo failed >&2";
        let words = command(&["/bin/sh", "-c", script], LONG);
        let report = run(Command {
            keep: Keep::Last,
            ..words
        });
        let report = report.await;
        assert!(report.stdout.ends_with(b"y\ny\n\ndone\n"));
        assert_eq!(report.stdout.len(), KEPT);
        assert_eq!(report.stderr, b"failed\n");
    });
}

#[test]
fn at_the_timeout_the_whole_group_ends() {
    alone("at_the_timeout_the_whole_group_ends", async {
        let short = Duration::from_millis(300);
        let deaf = "trap '' TERM; echo first; sleep 60 & sleep 60";
        let report = shell(deaf, short).await;
        assert_eq!(report.end, End::TimedOut);
        assert_eq!(report.stdout, b"first\n");
        assert!(report.took >= short && report.took < LONG);
        nothing_is_left();
        // With time to clean up.
        let tidy = "trap 'echo last; exit 0' TERM; sleep 60 & wait";
        let report = shell(tidy, short).await;
        assert_eq!(
            (report.end, report.stdout),
            (End::TimedOut, b"last\n".to_vec())
        );
        // Stopped, and in another group.
        let report = shell("kill -STOP $$; sleep 60", short).await;
        assert_eq!(report.end, End::TimedOut);
        nothing_is_left();
    });
}

#[test]
fn what_it_leaves_behind_ends_with_it() {
    alone("what_it_leaves_behind_ends_with_it", async {
        for script in [
            // In its group, holding its pipes.
            "sleep 61 & echo up",
            // A daemon: another session, and a parent that has ended.
            "setsid sh -c 'setsid sleep 62 >/dev/null 2>&1 & setsid sleep 63 &'; echo up",
            // Processes that end from parent to child.
            "setsid sh -c 'sh -c \"sleep 64; true\"; true' & echo up",
        ] {
            let report = shell(script, LONG).await;
            assert_eq!(report.end, End::Exited(0), "{script}");
            assert_eq!(report.stdout, b"up\n", "{script}");
            assert!(report.took < LONG / 2, "{script}");
            nothing_is_left();
        }
    });
}

#[test]
fn a_daemon_of_one_program_ends_when_those_beside_it_have_ended() {
    let name = "a_daemon_of_one_program_ends_when_those_beside_it_have_ended";
    alone(name, async {
        allow(2);
        let short = shell("setsid sleep 65 & sleep 0.1; echo up", LONG);
        let long = shell("setsid sleep 66 & sleep 1", LONG);
        let (short, long) = future::zip(short, long).await;
        assert_eq!((short.end, long.end), (End::Exited(0), End::Exited(0)));
        nothing_is_left();
    });
}

#[test]
fn children_that_were_there_before_stay() {
    alone("children_that_were_there_before_stay", async {
        let mut sleep = std::process::Command::new("/bin/sleep")
            .arg("67")
            .spawn()
            .expect("a process");
        // Start times have a resolution of 10 ms.
        Timer::after(Duration::from_millis(30)).await;
        assert_eq!(shell("sleep 68 &", LONG).await.end, End::Exited(0));
        assert_eq!(children().len(), 1);
        assert!(sleep.try_wait().expect("a child").is_none());
        sleep.kill().expect("a child");
        let status = sleep.wait().expect("a child");
        assert_eq!(status.signal(), Some(libc::SIGKILL));
    });
}

#[test]
fn each_end_is_told_from_the_others() {
    alone("each_end_is_told_from_the_others", async {
        for (script, end) in [
            ("exit 2", End::Exited(2)),
            ("exec >&- 2>&-; exit 5", End::Exited(5)),
            ("kill -KILL $$", End::Signal(libc::SIGKILL)),
            ("kill -SEGV $$", End::Signal(libc::SIGSEGV)),
        ] {
            assert_eq!(shell(script, LONG).await.end, end, "{script}");
        }
    });
}

#[test]
fn what_cannot_be_run_says_why() {
    alone("what_cannot_be_run_says_why", async {
        let dir = tempfile::tempdir().expect("a directory");
        let file = |name: &str, text: &[u8], mode: u32| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
            fs::write(&path, text).expect("a file");
            let mode = fs::Permissions::from_mode(mode);
            fs::set_permissions(&path, mode).expect("a mode");
            path
        };
        let script = b"#!/bin/sh\nexit 0\n";
        // An ELF file for an unknown machine (elf(5)).
        let mut foreign = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xff\xff".to_vec();
        foreign.resize(4096, 0);
        let good = file("good", script, 0o755);
        let open = file("open/inside/good", script, 0o755);
        let mode = |mode| fs::Permissions::from_mode(mode);
        let exposed = dir.path().join("open");
        fs::set_permissions(&exposed, mode(0o777)).expect("a mode");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&open, &link).expect("a link");
        let foreigners = file("foreigners", script, 0o755);
        std::os::unix::fs::chown(&foreigners, Some(12345), None).expect("root");
        let writable = file("writable", script, 0o757);
        let end = async |path: &PathBuf| {
            let path = path.to_str().expect("text");
            run(command(&[path], LONG)).await.end
        };
        assert_eq!(end(&good).await, End::Exited(0));
        let is_exposed = |path: &PathBuf| NotStarted::Exposed(path.clone());
        for (path, why) in [
            (dir.path().join("none"), NotStarted::Missing),
            (good.join("below"), NotStarted::Missing),
            (dir.path().to_owned(), NotStarted::NotExecutable),
            (file("plain", script, 0o644), NotStarted::NotExecutable),
            (
                file("no line", b"exit 0\n", 0o755),
                NotStarted::NotExecutable,
            ),
            (file("foreign", &foreign, 0o755), NotStarted::NotExecutable),
            (
                file("no shell", b"#!/nowhere/sh\n", 0o755),
                NotStarted::NotExecutable,
            ),
            (foreigners.clone(), is_exposed(&foreigners)),
            (writable.clone(), is_exposed(&writable)),
            (open.clone(), is_exposed(&exposed)),
            (link.clone(), is_exposed(&exposed)),
        ] {
            assert_eq!(end(&path).await, End::NotStarted(why), "{}", path.display());
        }
        // In a directory like /tmp only the owner can replace a file.
        fs::set_permissions(&exposed, mode(0o1777)).expect("a mode");
        assert_eq!(end(&link).await, End::Exited(0));
        nothing_is_left();
    });
}

#[test]
fn what_is_not_waited_for_ends() {
    alone("what_is_not_waited_for_ends", async {
        let cut = before(
            Instant::now() + Duration::from_millis(500),
            shell("sleep 69 & sleep 70", LONG),
        );
        assert!(cut.await.is_none());
        // The next run kills what is left.
        assert_eq!(shell("exit 0", LONG).await.end, End::Exited(0));
        nothing_is_left();
    });
}

#[test]
fn so_many_run_at_once_as_are_allowed() {
    alone("so_many_run_at_once_as_are_allowed", async {
        allow(1);
        let dir = tempfile::tempdir().expect("a directory");
        let lock = dir.path().join("lock").display().to_string();
        let script = format!("mkdir {lock} && sleep 0.1 && rmdir {lock}");
        let runs: Vec<_> = (0..4).map(|_| shell(&script, LONG)).collect();
        let executor = smol::LocalExecutor::new();
        let runs: Vec<_> = runs.into_iter().map(|run| executor.spawn(run)).collect();
        let all = async {
            for run in runs {
                assert_eq!(run.await.end, End::Exited(0));
            }
        };
        executor.run(all).await;
    });
}
