//! Files that hang, paths that lead to no file, resolvers that do not answer: what they cost, and
//! that the agent still ends in time.

use crate::support::agent::{ENDS_WITHIN, Sitemon};
use crate::support::assert_has;
use crate::support::dead::Dead;
use crate::support::listener::until;
use crate::support::scene::{Scene, site};
use crate::support::web::{Behaviour, Web};
use std::fs;
use std::io::pipe;
use std::net::UdpSocket;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Duration of an end after one signal when the flash hangs (`src/agent/shutdown.rs`).
const ONE_SIGNAL: Duration = Duration::from_secs(4);
/// Two attempts of five seconds at a server that doesn't answer (resolv.conf(5)).
const RESOLVER_GIVES_UP: Duration = Duration::from_secs(10);

fn fifo(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status();
    assert!(made.is_ok_and(|made| made.success()));
}

#[test]
fn a_configuration_that_is_no_file_is_a_sentence_for_every_command() {
    let sitemon = Sitemon::new("");
    let path = sitemon.config_path();
    let shown = path.display();
    fs::remove_file(&path).expect("is there");
    fifo(&path);
    let through = sitemon.dir().join("link");
    symlink(&path, &through).expect("links");
    for (path, what) in [
        (&*path, "a named pipe"),
        (&*through, "a named pipe"),
        (Path::new("/dev/zero"), "a device"),
    ] {
        let path = path.to_str().expect("text");
        for command in ["config", "check", "status", "run"] {
            let done = sitemon.bare_command(&["-c", path, command]);
            assert_eq!(done.code, Some(2), "{command}: {}", done.stderr);
            let said = format!("cannot read {path}: it is {what}, not a regular file\n");
            assert_eq!(done.stderr, said, "{command}");
        }
    }
    fs::remove_file(&path).expect("is there");
    fs::write(&path, "[telegram]\ntoken_file = \"token\"\nchats = [1]\n").expect("written");
    fifo(&sitemon.dir().join("token"));
    let done = sitemon.command(&["config"]);
    assert_eq!(done.code, Some(2), "{}", done.stderr);
    let said = format!(
        "{shown}:2:15: `token_file` names {}, which cannot be read: it is a named pipe, not a \
         regular file",
        sitemon.dir().join("token").display()
    );
    assert!(done.stderr.starts_with(&said), "{}", done.stderr);
}

#[test]
fn a_configuration_on_a_dead_server_is_a_sentence() {
    let sitemon = Sitemon::new("");
    let at = sitemon.dir().join("mount");
    fs::create_dir(&at).expect("made");
    let _dead = Dead::over(&at);
    let path = at.join("sitemon.conf");
    let done = sitemon.bare_command(&["-c", path.to_str().expect("text"), "run"]);
    assert_eq!(done.code, Some(2), "{}", done.stderr);
    let said = format!("cannot read {}: it does not answer", path.display());
    assert!(done.stderr.starts_with(&said), "{}", done.stderr);
}

#[test]
fn a_configuration_may_come_by_a_pipe_that_the_command_was_started_with() {
    let web = Web::new();
    let text = site("blog", &web.url("/"));
    for line in [
        "printf %s \"$TEXT\" | \"$0\" -c /dev/stdin check --json",
        "bash -c '\"$0\" -c <(sleep 3; printf %s \"$TEXT\") check --json' \"$0\"",
    ] {
        let done = Command::new("sh")
            .args(["-c", line, env!("CARGO_BIN_EXE_sitemon")])
            .env("TEXT", &text)
            .stdin(Stdio::null())
            .output()
            .expect("sh runs");
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(said.contains("\"state\":\"up\""), "{said} {done:?}");
    }
}

#[test]
fn a_file_that_hangs_at_a_reload_costs_that_reload() {
    let scene = Scene::new();
    let conf = scene.sitemon.config_path();
    let text = fs::read_to_string(&conf).expect("is there");
    let mount = scene.sitemon.dir().join("mount");
    fs::create_dir(&mount).expect("made");
    let mut running = scene.start();
    let dead = Dead::over(&mount);
    let replace = |make: &dyn Fn(&Path)| {
        fs::remove_file(&conf).expect("is there");
        make(&conf);
    };
    for (make, said) in [
        (
            &fifo as &dyn Fn(&Path),
            "it is a named pipe, not a regular file",
        ),
        (
            &|conf: &Path| symlink(mount.join("conf"), conf).expect("links"),
            "it does not answer",
        ),
    ] {
        replace(make);
        let asked = scene.web.requests();
        for _ in 0..20 {
            running.hup();
        }
        scene.wait_text(said);
        scene.ask("/list", "blog");
        scene.web.wait_requests(asked + 2);
    }
    // A read that hangs is not started a second time.
    until("one helper is left", || running.threads() <= 4);
    running.hup();
    until("it is said again", || {
        running.stderr().matches("it does not answer").count() > 1
    });
    until("one helper is left again", || running.threads() <= 4);
    // Until the path leads to a file that can be read.
    replace(&|conf| fs::write(conf, &text).expect("written"));
    until("it is read again", || {
        running.hup();
        running.stderr().contains("sitemon.conf was read again\n")
    });
    running.ends_in_time();
    drop(dead);
}

/// An https site whose certificate is never verified.
fn tls_site(name: &str, ca_file: &Path) -> String {
    let web = Web::new();
    let url = web.url("/").replace("http:", "https:");
    // Its connections are accepted as long as it exists.
    std::mem::forget(web);
    format!("{}ca_file = \"{}\"\n", site(name, &url), ca_file.display())
}

#[test]
fn an_unreadable_ca_file_is_the_failure_of_its_site_alone() {
    let scene = Scene::new();
    let path = |name: &str| scene.sitemon.dir().join(name);
    fifo(&path("fifo.pem"));
    fs::create_dir(path("mount")).expect("made");
    let _dead = Dead::over(&path("mount"));
    let files: [(&str, PathBuf, &str); 5] = [
        ("none", path("none.pem"), "No such file or directory"),
        (
            "fifo",
            path("fifo.pem"),
            "it is a named pipe, not a regular file",
        ),
        (
            "device",
            "/dev/zero".into(),
            "it is a device, not a regular file",
        ),
        ("directory", path("."), "Is a directory"),
        ("dead", path("mount/ca.pem"), "it does not answer"),
    ];
    let mut more = String::new();
    for (name, file, _) in &files {
        more += &tls_site(name, file);
        more += &tls_site(&format!("{name} too"), file);
    }
    scene.sitemon.rewrite(&scene.config_with(&more));
    let config = scene.sitemon.command(&["config"]);
    assert_eq!(config.code, Some(0), "{}", config.stderr);
    for (name, file, why) in &files {
        let warning = format!("ca_file {} cannot be read: {why}", file.display());
        assert_eq!(
            config.stderr.matches(&warning).count(),
            1,
            "{name}: {}",
            config.stderr
        );
        assert!(
            config
                .stderr
                .contains("; the checks of 2 sites fail until it can")
        );
    }
    let mut running = scene.start();
    for (name, file, why) in &files {
        let cause = format!(
            "🔴 {name} is down: cannot read ca_file {}: {why}",
            file.display()
        );
        if *name != "dead" {
            scene.wait_text(&cause);
        }
    }
    // The first check may report its timeout instead, if that is shorter.
    let cause = format!(
        "cannot read ca_file {}: it does not answer",
        path("mount/ca.pem").display()
    );
    until("the dead one is named", || {
        scene.ask("/site dead", "dead").text.contains(&cause)
    });
    let asked = scene.web.requests();
    scene.web.wait_requests(asked + 3);
    assert_eq!(scene.count("🔴 blog"), 0);
    // The threads of the loop, the reactor and libcurl, and the one that hangs.
    until("one helper hangs", || running.threads() <= 4);
    running.ends_in_time();
}

#[test]
fn a_ca_file_that_becomes_a_fifo_stops_nothing_else() {
    let scene = Scene::new();
    let file = scene.sitemon.dir().join("ca.pem");
    fs::write(&file, "no certificate").expect("written");
    scene
        .sitemon
        .rewrite(&scene.config_with(&tls_site("shop", &file)));
    let mut running = scene.start();
    scene.wait_text("🔴 shop is down: no usable certificates in ca_file ");
    fs::remove_file(&file).expect("is there");
    fifo(&file);
    until("the cause is another", || {
        scene
            .ask("/site shop", "shop")
            .text
            .contains("it is a named pipe")
    });
    let asked = scene.web.requests();
    scene.web.wait_requests(asked + 3);
    running.ends_in_time();
}

/// A resolver that receives queries and never answers.
struct Silent {
    _socket: UdpSocket,
    resolv_conf: tempfile::NamedTempFile,
}

impl Silent {
    fn new() -> Silent {
        // Each resolver needs an address of its own in 127.0.0.0/8.
        let bind = |n| UdpSocket::bind(format!("127.53.{}.{n}:53", std::process::id() % 250));
        let socket = (1..250)
            .find_map(|n| bind(n).ok())
            .expect("port 53, as root");
        let resolv_conf = tempfile::NamedTempFile::new().expect("a file");
        let ip = socket.local_addr().expect("bound").ip();
        fs::write(resolv_conf.path(), format!("nameserver {ip}\n")).expect("written");
        Silent {
            _socket: socket,
            resolv_conf,
        }
    }

    /// The shell's commands before the start of the agent, in its own mount namespace.
    fn script(&self) -> String {
        let file = self.resolv_conf.path().display();
        format!("mount --bind {file} /etc/resolv.conf; exec \"$@\"")
    }
}

/// Sites whose names hang, one for each way in which names are resolved.
fn nameless() -> String {
    let urls = [
        "http://h.example/",
        "https://h.example/",
        "tcp://h.example:1",
        "icmp://h.example",
    ];
    let sites = urls.iter().enumerate();
    sites
        .map(|(n, url)| site(&format!("nameless {n}"), url))
        .collect()
}

#[test]
fn names_that_hang_do_not_hold_up_the_end_and_the_state_is_saved() {
    for signals in [1, 2] {
        let silent = Silent::new();
        let web = Web::new();
        let sitemon = Sitemon::new(&(site("blog", &web.url("/")) + &nameless()));
        let mut running = sitemon.run_by_shell(true, &silent.script());
        web.wait_requests(3);
        running.signal("TERM");
        running.wait_stderr("stopping");
        let before = Instant::now();
        for _ in 1..signals {
            running.signal("TERM");
        }
        assert_eq!(running.wait_exit().code(), Some(0), "{}", running.stderr());
        let took = before.elapsed();
        assert!(took < ENDS_WITHIN, "{took:?}");
        let saved = fs::read_to_string(sitemon.state_dir().join("snapshot"));
        assert!(saved.is_ok_and(|text| text.contains("\"clean\":true")));
    }
}

#[test]
fn a_check_by_hand_does_not_wait_for_names_after_its_timeout() {
    let silent = Silent::new();
    let sitemon = Sitemon::new(&(nameless().replace("interval", "timeout = \"1s\"\ninterval")));
    let script = format!(
        "mount --bind {} /etc/resolv.conf; exec {} -c {} check --json",
        silent.resolv_conf.path().display(),
        env!("CARGO_BIN_EXE_sitemon"),
        sitemon.config_path().display()
    );
    let before = Instant::now();
    let done = Command::new("unshare")
        .args(["-rm", "sh", "-ec", &script])
        .output();
    let done = done.expect("unshare runs");
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    let took = before.elapsed();
    assert!(took < RESOLVER_GIVES_UP, "{took:?}");
}

#[test]
fn a_second_signal_does_not_wait_for_a_flash_that_hangs() {
    let web = Web::new();
    let sitemon = Sitemon::new(&site("blog", &web.url("/")));
    let mut running = sitemon.run();
    web.wait_requests(2);
    let _dead = Dead::over(&sitemon.state_dir());
    running.signal("TERM");
    running.wait_stderr("stopping");
    let before = Instant::now();
    running.signal("TERM");
    assert_eq!(running.wait_exit().code(), Some(0));
    let took = before.elapsed();
    assert!(took < ONE_SIGNAL, "{took:?}");
}

#[test]
fn everything_that_hangs_at_once_does_not_hold_up_the_end() {
    let silent = Silent::new();
    let web = Web::new().on("/hangs", Behaviour::Hang);
    let config = site("blog", &web.url("/")) + &site("hangs", &web.url("/hangs")) + &nameless();
    let sitemon = Sitemon::new(&config);
    let (_unread, stderr) = pipe().expect("a pipe");
    let (_unread_too, stdout) = pipe().expect("a pipe");
    let script = format!(
        "mount --make-rprivate / && {}",
        silent.script().replace("\"$@\"", "\"$@\" --console")
    );
    let mut running = sitemon.run_by_shell_into(&script, stdout, stderr);
    web.wait_requests(3);
    for _ in 0..3_000 {
        running.type_line("/help");
    }
    let state = sitemon.state_dir();
    let _dead = Dead::over(&state);
    running.ends_in_time();
}

#[test]
fn a_state_directory_that_hangs_is_said_and_all_else_works() {
    let scene = Scene::new();
    let at = scene.sitemon.state_dir();
    fs::create_dir(&at).expect("made");
    let _dead = Dead::over(&at);
    let mut running = scene.start();
    scene.wait_text("it does not answer");
    scene.outage();
    running.ends_in_time();
    let status = scene.sitemon.command(&["status"]);
    assert_eq!(status.code, Some(2), "{}", status.stderr);
    assert_has(&status.stderr, "it does not answer");
}
