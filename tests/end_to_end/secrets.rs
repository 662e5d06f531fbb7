//! Secrets that other processes could see: the environment and core dumps.

use crate::support::agent::Running;
use crate::support::bot_api::BotApi;
use crate::support::scene::{Scene, site};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

fn environ(running: &Running) -> String {
    let bytes = fs::read(format!("/proc/{}/environ", running.pid())).expect("root may");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn secrets_of_the_environment_are_wiped_once_read_and_known_to_a_reload_all_the_same() {
    let mut scene = Scene::with(|api| {
        let config = BotApi::config(api);
        let lines = config.lines().filter(|line| !line.starts_with("token"));
        lines.map(|line| format!("{line}\n")).collect()
    });
    let token = scene.api.token().to_owned();
    scene.sitemon = scene
        .sitemon
        .env("SITEMON_TELEGRAM_TOKEN", &token)
        .env("KEY", "s3cret-of-the-start")
        .env("LATER", "s3cret-of-the-reload")
        .env("KEYRING", "stays")
        .env("no_proxy", "127.0.0.1,s3cret-free");
    let head = |name: &str| {
        fs::read_to_string(scene.sitemon.config_path()).expect("is there")
            + &site(name, &scene.web.url("/secret"))
            + &format!("headers = {{ X-Key = \"${name}\", X-No = \"$no_proxy\" }}\n")
    };
    let (first, second) = (
        head("KEY"),
        head("KEY") + &site("b", "http://127.0.0.1:9/$LATER"),
    );
    scene.sitemon.rewrite(&first);
    let running = scene.start();
    let shown = environ(&running);
    assert!(!shown.contains(&token), "{shown}");
    assert!(!shown.contains("s3cret-of-the-start"), "{shown}");
    assert!(shown.contains("LATER=s3cret-of-the-reload"), "{shown}");
    assert!(
        shown.contains("no_proxy=127.0.0.1,s3cret-free"),
        "libcurl's"
    );
    assert!(shown.contains("KEYRING=stays"), "another name");
    for _ in 0..2 {
        scene.sitemon.rewrite(&second);
        let said = running.stderr().matches("was read again").count();
        running.hup();
        scene.api.wait_calls("getUpdates", 1);
        while running.stderr().matches("was read again").count() == said {
            assert!(
                !running.stderr().contains("mistakes"),
                "{}",
                running.stderr()
            );
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
    let shown = environ(&running);
    assert!(!shown.contains("s3cret-of"), "{shown}");
    scene.ask("/list", "KEY");
    scene.end(running);
}

#[test]
fn no_core_dump_is_left_behind() {
    let scene = Scene::new();
    let running = scene.start();
    let limits = fs::read_to_string(format!("/proc/{}/limits", running.pid())).expect("root may");
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let words: Vec<&str> = core.expect("it has one").split_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"], "{limits}");
    scene.end(running);
}

/// The /proc files of a process that can't be dumped belong to root, but the process may still read
/// its own.
#[test]
fn a_user_who_is_not_root_has_its_figures_all_the_same() {
    let scene = Scene::new();
    let chown = Command::new("chown")
        .args(["-R", "65534"])
        .arg(scene.sitemon.dir())
        .status();
    assert!(chown.is_ok_and(|done| done.success()));
    // The user may have no access to the directory of the program itself.
    let script = "cp \"$1\" program; chmod 755 . program; shift
        exec setpriv --reuid 65534 --clear-groups ./program \"$@\"";
    let running = scene.sitemon.run_by_shell(false, script);
    scene.api.wait_calls("getUpdates", 1);
    let shown = fs::metadata(format!("/proc/{}/environ", running.pid()));
    assert_eq!(shown.expect("it runs").uid(), 0, "it can be dumped");
    let stats = scene.ask("/stats", "Open files: ").text;
    for figure in ["Memory: ", "Open files: ", "Threads: ", "Connections: "] {
        assert!(stats.contains(figure), "{stats}");
    }
    scene.outage();
    scene.end(running);
}
