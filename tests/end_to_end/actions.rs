//! `[[action]]`: a fake smart plug, programs and a magic packet, run by buttons and commands of
//! users with and without access, and through `kill -9`.

use crate::support::agent::Running;
use crate::support::assert_has;
use crate::support::bot_api::{BotApi, CHAT, Sent, TOKEN};
use crate::support::namespace::{Network, in_own_network};
use crate::support::scene::{Scene, site};
use crate::support::web::{Behaviour, Web};
use crate::support::write_program;
use std::fs;
use std::io::Read;
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::time::Duration;

const GROUP: i64 = -1_001_234_567_890;
const SECOND_USER: i64 = 555_002;
const STRANGER: i64 = 555_001;

/// The table of a relay that switches the power.
fn plug_table(plug: &Web) -> String {
    let url = plug.url("/relay/5ecret?turn=off");
    format!(
        "[[action]]\nname = \"restart modem\"\nsites = [\"blog\"]\nrequest = {{ url = \"{url}\", method = \"POST\", \
         headers = {{ X-Key = \"$KEY\" }}, body = \"key=$KEY\" }}\n"
    )
}

fn scene_with(table: &str) -> Scene {
    let scene = Scene::new();
    scene.sitemon.rewrite(&scene.config_with(table));
    Scene {
        sitemon: scene.sitemon.env("KEY", "5ecret-key"),
        ..scene
    }
}

/// Presses a button of a message. Returns the text that the user is shown.
#[track_caller]
fn press(api: &BotApi, user: i64, sent: &Sent, label: &str) -> String {
    let update = api.press(sent.chat, user, sent.message_id, &sent.data(label));
    api.wait_answer(update)
}

/// Waits until the message has `part` in it.
#[track_caller]
fn reads(api: &BotApi, sent: &Sent, part: &str) -> Sent {
    let it = |m: &Sent| m.chat == sent.chat && m.message_id == sent.message_id;
    api.wait_message(|m| it(m) && m.latest().contains(part))
}

/// Ends the agent, and checks that the log has no secret and that every request kept to the Bot
/// API.
#[track_caller]
pub fn end(scene: &Scene, running: Running) {
    assert!(!running.stderr().contains("5ecret"), "{}", running.stderr());
    scene.end(running);
}

#[test]
fn a_plug_gets_one_request_and_the_alert_says_what_came_of_it() {
    let plug = Web::new();
    let scene = scene_with(&plug_table(&plug));
    let running = scene.start();
    let alert = scene.outage();
    assert_eq!(press(&scene.api, CHAT, &alert, "restart modem"), "");
    let question = scene.wait_text("Run restart modem?");
    assert_eq!(question.labels(), ["Yes", "No"]);
    assert_eq!(plug.requests(), 0, "it asks first");
    assert_eq!(press(&scene.api, CHAT, &question, "Yes"), "");
    reads(&scene.api, &question, " for blog (#1): HTTP 200");
    let edited = reads(&scene.api, &alert, "\n⚙️ restart modem");
    assert_has(&edited.latest(), ": HTTP 200");
    let seen = plug.seen();
    let [request] = seen.as_slice() else {
        panic!("{seen:?}")
    };
    assert_eq!(request.method, "POST");
    assert_eq!(request.target, "/relay/5ecret?turn=off");
    assert_eq!(request.header("x-key"), Some("5ecret-key"));
    assert_eq!(request.body, b"key=5ecret-key");
    // The same press again, and forged ones.
    for data in [
        question.data("Yes").as_str(),
        "y1",
        "n1",
        ">~0 1",
        "y99999999999999999999",
    ] {
        let update = scene.api.press(CHAT, CHAT, question.message_id, data);
        let answer = scene.api.wait_answer(update);
        assert!(answer.starts_with("That is too old: "), "{data}: {answer}");
    }
    // A failed run is reported, too.
    plug.set("/relay/5ecret", Behaviour::status(500));
    let question = scene.ask("/run modem", "Run restart modem?");
    press(&scene.api, CHAT, &question, "Yes");
    reads(&scene.api, &question, ": HTTP 500");
    let question = scene.ask("/run restart modem", "Run restart modem?");
    press(&scene.api, CHAT, &question, "No");
    reads(&scene.api, &question, "restart modem: not run");
    // After the incident its button is outdated.
    scene.site_works();
    scene.wait_text("blog is up again");
    let over = press(&scene.api, CHAT, &alert, "restart modem");
    assert_eq!(over, "That is too old: #1 is over.");
    assert_eq!(plug.requests(), 2);
    end(&scene, running);
}

#[test]
fn in_a_group_the_user_who_asked_confirms_and_strangers_get_nothing() {
    let plug = Web::new();
    let scene = scene_with("");
    scene.api.add_chat(GROUP);
    let config = format!(
        "[telegram]\ntoken = \"{TOKEN}\"\napi = \"{}\"\nchats = [{GROUP}]\nusers = [{CHAT}, {SECOND_USER}]\n{}{}",
        scene.api.url(),
        site("blog", &scene.web.url("/")),
        plug_table(&plug)
    );
    scene.sitemon.rewrite(&config);
    let running = scene.start();
    scene.api.say(GROUP, STRANGER, "/run restart modem");
    running.wait_stderr(&format!("user {STRANGER}"));
    scene.api.say(GROUP, CHAT, "/run restart modem");
    let question = scene.wait_text("Run restart modem?");
    let before = scene.api.callback_answers().len();
    let yes = question.data("Yes");
    scene.api.press(GROUP, STRANGER, question.message_id, &yes);
    let other = press(&scene.api, SECOND_USER, &question, "Yes");
    assert_eq!(other, "Only the user who asked for it can answer.");
    assert_eq!(scene.api.callback_answers().len(), before + 1);
    assert_eq!(plug.requests(), 0);
    press(&scene.api, CHAT, &question, "Yes");
    reads(&scene.api, &question, ": HTTP 200");
    assert_eq!(plug.requests(), 1);
    end(&scene, running);
}

#[test]
fn kill_9_at_any_time_makes_no_run_twice() {
    let plug = Web::start(|_| Behaviour::ok().after(Duration::from_millis(100)));
    let scene = scene_with(&plug_table(&plug));
    let (mut made, mut unmade) = (0, 0);
    for round in 0..20 {
        let before = plug.requests();
        let mut running = scene.start();
        assert_eq!(plug.requests(), before, "a start makes no run");
        let question = scene.ask("/run restart modem", "Run restart modem?");
        press(&scene.api, CHAT, &question, "Yes");
        // From before the run is on disk until after the answer.
        std::thread::sleep(Duration::from_millis(round * 8));
        running.kill9();
        // A request sent just before may not be accepted yet. This connection is behind it in the queue.
        let mut behind = TcpStream::connect(plug.address()).expect("the plug listens");
        behind.shutdown(Shutdown::Write).expect("connected");
        behind.read_to_end(&mut Vec::new()).expect("closed");
        plug.wait_open(0);
        match plug.requests() - before {
            0 => unmade += 1,
            1 => made += 1,
            more => panic!("round {round}: {more} runs"),
        }
    }
    let total = plug.requests();
    let running = scene.start();
    let question = scene.ask("/run restart modem", "Run restart modem?");
    press(&scene.api, CHAT, &question, "No");
    reads(&scene.api, &question, "not run");
    assert_eq!(plug.requests(), total);
    println!("{made} runs were made, {unmade} were not");
    assert!(made > 0);
    let unknown = scene.count("result unknown, as sitemon ended meanwhile");
    assert!(unknown > 0, "no kill hit a run");
    end(&scene, running);
}

#[test]
fn no_text_of_a_name_or_a_chat_is_seen_by_a_shell() {
    let scene = scene_with("");
    let dir = scene.sitemon.dir().to_owned();
    let (program, out, owned) = (dir.join("show"), dir.join("out"), dir.join("owned"));
    let script = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$#\" \"$@\" \"$SITEMON_ACTION\" \"$SITEMON_SITE\" \"$SITEMON_STATE\" \
         \"$SITEMON_CAUSE\" \"$SITEMON_INCIDENT\" > '{}'\nenv | cut -d= -f1 | sort >> '{}'\n\
         echo first; echo 'second <b>line</b>'; echo third >&2; exit 3\n",
        out.display(),
        out.display()
    );
    write_program(&program, script);
    let touch = format!("$(touch {})", owned.display());
    let name = format!("'a\"; {touch} &");
    let hostile = format!("--b `id` {touch}")
        .chars()
        .take(64)
        .collect::<String>();
    let table = format!(
        "[[site]]\nname = '''{hostile}'''\nurl = \"{}\"\ninterval = \"1s\"\ntries = 1\n\
         [[action]]\nname = '''{}'''\nsites = ['''{hostile}''']\n\
         command = [\"{}\", '''$${}''', \"a b\", \"-n\", \"'\", ';']\n",
        scene.web.url("/other"),
        name.chars().take(64).collect::<String>(),
        program.display(),
        &touch[1..],
    );
    scene.sitemon.rewrite(&scene.config_with(&table));
    let running = scene.start();
    for text in [
        "/run $(id > /tmp/owned)".to_owned(),
        format!("/run x; touch {}", owned.display()),
        format!("/run x\ntouch {}", owned.display()),
        "/run --help".to_owned(),
        "/run '".to_owned() + &"x".repeat(3000),
    ] {
        scene.ask(&text, "There is no action ");
    }
    scene.web.set("/other", Behaviour::status(503));
    let alert = scene.wait_text(" is down: HTTP 503");
    let label = alert.labels().last().map(|label| (*label).to_owned());
    press(&scene.api, CHAT, &alert, &label.expect("a button"));
    let question = scene.wait_text("⚙️ Run 'a\"; ");
    press(&scene.api, CHAT, &question, "Yes");
    let answer = reads(&scene.api, &question, ": exit code 3");
    let lines: Vec<&str> = answer.latest().lines().collect();
    assert_eq!(&lines[1..], ["first", "second <b>line</b>", "third"]);
    let seen = fs::read_to_string(&out).expect("it ran");
    let seen: Vec<&str> = seen.lines().collect();
    let name: String = name.chars().take(64).collect();
    let words = ["5", touch.as_str(), "a b", "-n", "'", ";", &name, &hostile];
    assert_eq!(&seen[..words.len()], words);
    let rest = &seen[words.len()..];
    assert_eq!(&rest[..3], ["down", "HTTP 503, wanted 200-299", "1"]);
    let known = ["LANG", "PATH", "PWD", "SHLVL", "TZ", "_", "OLDPWD"];
    let others = rest[3..].iter().filter(|name| !known.contains(name));
    let others: Vec<&str> = others.copied().collect();
    let own = ["ACTION", "CAUSE", "INCIDENT", "SITE", "STATE"].map(|n| format!("SITEMON_{n}"));
    assert_eq!(others, own);
    assert!(!owned.exists(), "a shell has seen it");
    end(&scene, running);
}

#[test]
fn a_magic_packet_goes_to_the_broadcast_addresses() {
    in_own_network(|_: &Network| {
        let socket = UdpSocket::bind("0.0.0.0:9").expect("port 9");
        socket
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("a time-out");
        let scene = scene_with(
            "[[action]]\nname = \"wake nas\"\nsites = [\"blog\"]\nwake = \"02:00:5e:10:00:fe\"\n",
        );
        let running = scene.start();
        let question = scene.ask("/run wake", "Run wake nas?");
        press(&scene.api, CHAT, &question, "Yes");
        let mut packet = [0; 200];
        let size = socket.recv(&mut packet).expect("a packet");
        let mut wanted = vec![0xff; 6];
        wanted.extend([0x02, 0x00, 0x5e, 0x10, 0x00, 0xfe].repeat(16));
        assert_eq!(&packet[..size], wanted);
        let told = reads(&scene.api, &question, "packet sent to ");
        assert!(told.latest().contains("10.7.0.255"), "{}", told.latest());
        end(&scene, running);
    });
}

#[test]
#[ignore = "two minutes and a half: nothing runs by itself sooner after a start"]
fn an_action_runs_by_itself_once_and_the_alert_says_so() {
    let plug = Web::new();
    let scene = scene_with(&(plug_table(&plug) + "auto = \"1s\"\n"));
    let running = scene.start();
    let alert = scene.outage();
    // Longer than the limit of other waits.
    for _ in 0..200 {
        if plug.requests() == 0 {
            std::thread::sleep(Duration::from_secs(1));
        }
    }
    plug.wait_requests(1);
    reads(&scene.api, &alert, "\n⚙️ restart modem by itself: HTTP 200");
    let polls = scene.api.calls("getUpdates");
    scene.ask("/status", "1 down");
    scene.api.wait_calls("getUpdates", polls + 1);
    assert_eq!(plug.requests(), 1);
    end(&scene, running);
}
