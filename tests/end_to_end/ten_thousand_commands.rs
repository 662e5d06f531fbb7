//! Ten thousand commands and presses of all kinds: memory, descriptors and threads don't
//! grow, and answers stay quick.
//!
//! ```text
//! cargo test --release --test end_to_end ten_thousand -- --ignored --nocapture
//! ```

use crate::support::bot_api::CHAT;
use crate::support::scene::{Scene, site};
use crate::support::web::Web;

#[test]
#[ignore = "takes a minute"]
fn after_ten_thousand_commands_it_is_as_it_was() {
    let web = Web::new();
    let scene = Scene::with(|api| {
        let slow = |text: String| text.replace("interval = \"1s\"", "interval = \"1h\"");
        api.config()
            + &slow(site("shop", &web.url("/shop")) + &site("shop admin", &web.url("/admin")))
    });
    let running = scene.start();
    let alert = scene.outage();
    let status = scene.ask("/status", "1 down");
    let open = status.data("blog");
    let commands = [
        "/status",
        "/list",
        "/site blog",
        "/check shop",
        "/incidents",
        "/history shop",
        "/ack",
        "/mute shop 1h",
        "/unmute shop",
        "/site sho",
        "/pause shop admin",
        "/resume shop admin",
        "/stats",
        "/help",
        "/site nowhere",
        "/frobnicate",
        "/check",
    ];
    let presses = [open.as_str(), "!h1", "!u1", "!a1", "forged"];
    let mut n = 0;
    // One after the other, as a user sends them.
    let mut talk = |count: usize| {
        for _ in 0..count {
            scene.api.clear();
            let kind = n % (commands.len() + presses.len());
            match commands.get(kind) {
                Some(command) => {
                    scene.api.say(CHAT, CHAT, command);
                    scene.api.wait_messages(1);
                }
                None => {
                    let data = presses[kind - commands.len()];
                    let press = scene.api.press(CHAT, CHAT, alert.message_id, data);
                    scene.api.wait_answer(press);
                }
            }
            n += 1;
        }
        (running.rss_kib(), running.descriptors(), running.threads())
    };
    let before = talk(1000);
    let early = slowest(&scene);
    let after = talk(9000);
    let late = slowest(&scene);
    for (n, (kib, descriptors, threads), ms) in [("1,000", before, early), ("10,000", after, late)]
    {
        println!(
            "after {n:>6} commands: {kib} KiB, {descriptors} descriptors, {threads} threads, 99 of 100 \
             answers within {ms} ms"
        );
    }
    assert!(after.0 <= before.0 + before.0 / 10, "memory grew");
    assert!(
        after.1 <= before.1 + 2 && after.2 <= before.2 + 1,
        "{before:?} {after:?}"
    );
    // A busy machine delays early and late answers alike.
    assert!(late <= (4.0 * early).max(50.0), "{early} ms, then {late}");
    scene.end(running);
}

/// Returns the 99th percentile of the answer times, in ms.
fn slowest(scene: &Scene) -> f64 {
    let stats = scene.ask("/stats", "Up for ").text;
    let answers = stats
        .lines()
        .find(|line| line.starts_with("Answer times: "));
    let ms = answers.and_then(|line| {
        line.split("median, ")
            .nth(1)?
            .strip_suffix(" ms 99th")?
            .parse()
            .ok()
    });
    ms.unwrap_or_else(|| panic!("no answer times in ms: {stats}"))
}
