//! Two chats of which one may not see a site: by commands, buttons, alerts and a reload.

use super::{GROUP, Talk, end, telegram};
use crate::support::assert_has;
use crate::support::bot_api::{BotApi, CHAT, Sent};
use crate::support::scene::{Scene, site};

/// `blog` for both chats, and `safe` with these further keys.
fn config(scene: &Scene, keys: &str, safe: &str) -> String {
    let blog = site("blog", &scene.web.url("/"));
    let safe = site("safe", &scene.web.url("/safe")) + safe;
    telegram(&scene.api, keys) + &blog + &safe
}

fn talks(api: &BotApi) -> (Talk<'_>, Talk<'_>) {
    let talk = |chat| Talk { api, chat };
    (talk(CHAT), talk(GROUP))
}

fn here(sent: &Sent, chat: i64) -> bool {
    sent.chat == chat
}

#[test]
fn a_site_with_chats_of_its_own_exists_in_no_other() {
    let keys = format!("chats = [{CHAT}, {GROUP}]");
    let scene = Scene::new();
    scene.api.add_chat(GROUP);
    let open = config(&scene, &keys, "");
    let closed = config(&scene, &keys, &format!("chats = [{CHAT}]\n"));
    scene.sitemon.rewrite(&open);
    let running = scene.start();
    let (own, group) = talks(&scene.api);

    // As long as both see it, an outage is reported to both.
    scene.web.set("/safe", super::Behaviour::status(503));
    let told = |chat| {
        let down = |m: &Sent| here(m, chat) && m.latest().contains("🔴 safe is down");
        scene.api.wait_message(down)
    };
    let (alert, here_too) = (told(CHAT), told(GROUP));
    let view = group.ask("/site safe", "🔴 safe has been down for ");

    // Then a reload takes it from the group: the group's old messages give no access to it.
    scene.sitemon.rewrite(&closed);
    running.hup();
    running.wait_stderr("sitemon.conf was read again");
    let gone = "That is too old: I no longer watch that site.";
    for (message, label) in [(&here_too, "Acknowledge"), (&view, "Pause")] {
        assert_eq!(group.press(message, label), gone);
    }
    for (command, part) in [
        ("/status", "1 up"),
        ("/list", "🟢 blog"),
        ("/site safe", "There is no site safe. /list shows all."),
        ("/history saf", "There is no site saf. /list shows all."),
        ("/mute safe 1d", "There is neither a site nor a group safe."),
        ("/pause safe", "There is no site safe."),
        ("/remove safe", "There is no site safe."),
        ("/ack", "No incident is open."),
        ("/incidents", "No incident is known."),
        ("/check", "✅ blog "),
        ("/mute", "🔕 blog is muted for 1 h."),
        ("/stats", ", of 1 site\n"),
    ] {
        let said = group.ask(command, part);
        assert!(here(&said, GROUP), "{said:?}");
        let other = said.latest().replace(" safe. ", "").replace(" safe.", "");
        assert!(!other.contains("safe"), "{command}: {}", said.latest());
    }
    assert_eq!(own.press(&alert, "Acknowledge"), "👍 acknowledged");
    own.ask(
        "/status",
        "1 up, 1 down, 1 muted 🔕, 1 acknowledged 👍\n🔴 safe for ",
    );

    let before = scene.api.messages().len();
    scene.web.set("/safe", super::Behaviour::ok());
    scene
        .api
        .wait_message(|m| here(m, CHAT) && m.latest().contains("🟢 safe is up again"));
    own.ask("/help", "/status · ");
    let later = scene.api.messages().split_off(before);
    assert!(later.iter().all(|m| here(m, CHAT)), "{later:?}");

    // A mistake that names the site is reported only to chats that see it.
    let mistaken = format!("chats = [{CHAT}]\nafter = \"saef\"\n");
    scene.sitemon.rewrite(&config(&scene, &keys, &mistaken));
    running.hup();
    let said = |chat| {
        let bad =
            |m: &Sent| here(m, chat) && m.latest().contains("has mistakes; the old one goes on.");
        scene.api.wait_message(bad).latest().to_owned()
    };
    assert_has(&said(CHAT), "`after` names `saef`, ");
    assert!(
        said(GROUP).ends_with("goes on. `sitemon config` shows them."),
        "{}",
        said(GROUP)
    );
    end(&scene, running);
}
