//! State directories that sitemon didn't make so: of another user, with links and pipes in them,
//! written by a newer version.

use crate::support::agent::Running;
use crate::support::assert_has;
use crate::support::scene::Scene;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::Path;
use std::process::Command;

const NOBODY: u32 = 65_534;
const PRECIOUS: &str = "of value";

/// A scene whose agent has run once, with an outage.
fn lived() -> Scene {
    let scene = Scene::new();
    let first = scene.start();
    scene.outage();
    scene.end(first);
    scene.api.clear();
    scene
}

/// Starts the agent as another user who may read the configuration.
fn start_unprivileged(scene: &Scene) -> Running {
    for path in [scene.sitemon.dir(), &scene.sitemon.config_path()] {
        chown(path, Some(NOBODY), None).expect("has to run as root");
    }
    // The user may have no access to the directory of the program itself.
    let script = "cp \"$1\" program; chmod 755 program; shift
        exec setpriv --reuid 65534 --clear-groups ./program \"$@\"";
    scene.sitemon.run_by_shell(false, script)
}

#[test]
fn what_root_left_behind_is_refused_with_the_remedy_which_helps() {
    let scene = lived();
    let dir = scene.sitemon.state_dir();
    let running = start_unprivileged(&scene);
    let told = scene.wait_text("The state cannot be written (");
    let remedy = format!(
        "{0} belongs to root, but sitemon runs as nobody: chown -R nobody {0}",
        dir.display()
    );
    assert!(told.text.contains(&remedy), "{}", told.text);
    scene.ask("/status", "blog");
    scene.end(running);

    chown(&dir, Some(NOBODY), None).expect("root may");
    let running = start_unprivileged(&scene);
    scene.wait_text("/lock belongs to root, but sitemon runs as nobody: chown -R nobody ");
    scene.end(running);

    let (_, command) = remedy.split_once(": ").expect("it has both");
    let done = Command::new("sh").args(["-c", command]).status();
    assert!(done.is_ok_and(|done| done.success()));
    let running = start_unprivileged(&scene);
    scene.ask("/incidents", "🔴 #1 blog for ");
    scene.end(running);
    let status = scene.sitemon.command(&["status"]);
    assert!(
        status.stdout.contains("blog  down "),
        "root may read it: {status:?}"
    );
}

#[test]
fn a_directory_of_another_user_is_not_written_to_by_root_either() {
    let scene = lived();
    let dir = scene.sitemon.state_dir();
    let before = fs::read(dir.join("snapshot")).expect("it was written");
    chown(&dir, Some(NOBODY), None).expect("has to run as root");
    let running = scene.start();
    scene.wait_text("belongs to nobody, but sitemon runs as root: chown -R root ");
    scene.end(running);
    assert_eq!(fs::read(dir.join("snapshot")).expect("is there"), before);
}

#[test]
fn pair_is_kept_off_a_state_in_use_and_makes_nothing_in_another_users() {
    let scene = Scene::new();
    let dir = scene.sitemon.state_dir();
    let running = start_unprivileged(&scene);
    scene.api.wait_calls("getUpdates", 1);
    let pair = scene.sitemon.command(&["pair"]);
    assert_eq!(pair.code, Some(2), "{}", pair.stderr);
    assert_has(&pair.stderr, "another sitemon uses ");
    scene.end(running);
    fs::remove_file(dir.join("lock")).expect("is there");
    let mut pair = scene.sitemon.spawn(&["pair"]);
    pair.wait_stdout("Send this code");
    assert!(!dir.join("lock").exists());
    pair.kill9();
}

#[test]
fn nothing_is_written_through_links_nor_waited_for_in_pipes() {
    type Make = fn(&Path, &Path);
    let symbolic: Make = |to, at| symlink(to, at).expect("links");
    let hard: Make = |to, at| fs::hard_link(to, at).expect("links");
    let fifo: Make = |_, at| {
        let made = Command::new("mkfifo").arg(at).status();
        assert!(made.is_ok_and(|made| made.success()));
    };
    for make in [symbolic, hard, fifo] {
        let scene = lived();
        let precious = scene.sitemon.dir().join("precious");
        fs::write(&precious, PRECIOUS).expect("written");
        let state = scene.sitemon.state_dir();
        for file in [
            "snapshot",
            "snapshot.new",
            "journal",
            "history",
            "history.new",
        ] {
            let path = state.join(file);
            let _ = fs::remove_file(&path);
            make(&precious, &path);
        }
        let running = scene.start();
        scene.wait_text("The state was damaged (");
        scene.ask("/incidents", "🔴 #1 blog for ");
        scene.ask("/ack", "👍 Acknowledged: #1 blog");
        scene.end(running);
        let running = scene.start();
        let incidents = scene.ask("/incidents", "🔴 #1 blog for ");
        assert!(incidents.text.contains(", acknowledged "), "{incidents:?}");
        scene.end(running);
        assert_eq!(fs::read_to_string(&precious).expect("is there"), PRECIOUS);
        for file in ["snapshot", "snapshot.old", "history"] {
            let found = fs::symlink_metadata(state.join(file)).expect("is there");
            assert!(found.is_file() && found.nlink() == 1, "{file}");
        }
    }
}

#[test]
fn a_state_of_a_newer_sitemon_is_kept_and_not_called_damaged() {
    let scene = lived();
    let state = scene.sitemon.state_dir();
    let mut kept = Vec::new();
    for (file, old, new) in [
        ("snapshot", "sitemon-state 2 ", "sitemon-state 3 "),
        ("snapshot.old", "sitemon-state 2 ", "sitemon-state 3 "),
        ("history", "sHr1", "sHr2"),
    ] {
        let mut bytes = fs::read(state.join(file)).expect("it was written");
        assert!(bytes.starts_with(old.as_bytes()));
        bytes.splice(..old.len(), new.bytes());
        fs::write(state.join(file), &bytes).expect("written");
        kept.push((format!("{file}.newer"), bytes));
    }
    let status = scene.sitemon.command(&["status"]);
    assert_eq!(status.code, Some(2));
    assert_has(&status.stderr, "was written by a newer sitemon");
    let running = scene.start();
    let told = scene
        .wait_text("The state was written by a newer sitemon")
        .text;
    scene.wait_text("The history was written by a newer sitemon");
    assert_has(&told, "snapshot.old.newer. Starting afresh.");
    assert_eq!(scene.count("damaged"), 0);
    scene.end(running);
    for (file, bytes) in kept {
        assert_eq!(
            fs::read(state.join(&file)).expect("is kept"),
            bytes,
            "{file}"
        );
    }
}
