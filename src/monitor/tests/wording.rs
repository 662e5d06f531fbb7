//! The wording of every kind of notification, and of the replies to the most frequent commands, so
//! that every change of a text shows up as a change of this file.

use super::world::*;
use crate::monitor::alert::words::{compose, first_message};
use crate::monitor::alert::{Alert, Notification};
use crate::monitor::expiry::Subject;
use crate::monitor::render::text::{MESSAGE_UNITS, units};
use crate::monitor::site::outcome::Expiry;
use crate::monitor::time::{Moment, Now};
use crate::monitor::uplink::Period;
use proptest::prelude::*;
use std::time::Duration;

// 2026-11-25 08:00 UTC.
pub(super) const NOW: Now = Now::utc(Duration::from_secs(10), 1_795_593_600);
const DAY: i64 = 86_400;

pub(super) fn alert(site: &str, notification: Notification) -> Alert {
    Alert {
        id: 1,
        notification,
        site: site.to_owned(),
        incident: Some(12),
        at: Moment(10_000),
        chats: vec![CHAT],
        delivered: Vec::new(),
        edits: Vec::new(),
        stored: true,
        by_channels: Default::default(),
    }
}

pub(super) fn message(site: &str, notification: Notification) -> String {
    let alert = alert(site, notification);
    let ready = [&alert];
    first_message(&compose(&ready, NOW, &|_| true), &ready).0
}

pub(super) fn lasted(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn ends(days: i64) -> Expiry {
    Expiry {
        ends: NOW.wall + days * DAY,
        subject: "blog.example".into(),
        issuer: "R11".into(),
        key: "RSA 2048".into(),
    }
}

/// Returns every kind of notification about a site, with `cause` wherever a text comes from
/// outside.
pub(super) fn all_news(cause: &str) -> Vec<Notification> {
    let cause = || cause.to_owned();
    let certificate = |days| Notification::Expiring {
        subject: Subject::Certificate,
        expiry: Expiry {
            subject: cause(),
            ..ends(days)
        },
    };
    vec![
        Notification::Down {
            cause: cause(),
            common: None,
            behind: 0,
        },
        Notification::Down {
            cause: cause(),
            common: None,
            behind: 4,
        },
        Notification::StillDown {
            cause: cause(),
            lasted: lasted(6 * 3600),
        },
        Notification::Up {
            lasted: lasted(200),
        },
        Notification::Slow { cause: cause() },
        Notification::Fast {
            lasted: lasted(3600),
        },
        Notification::Degraded { cause: cause() },
        Notification::Well {
            lasted: lasted(3600),
        },
        Notification::Flapping {
            cause: Some(cause()),
        },
        Notification::Flapping { cause: None },
        Notification::Steady {
            cause: Some(cause()),
            lasted: lasted(900),
        },
        Notification::Steady {
            cause: None,
            lasted: lasted(900),
        },
        certificate(13),
        certificate(-1),
        Notification::Renewed {
            subject: Subject::Domain,
            expiry: ends(300),
        },
        Notification::Offline(Period {
            from: NOW.wall - 3600,
            until: NOW.wall - 2580,
            times: 1,
            total: lasted(1020),
            dated: true,
        }),
        Notification::Offline(Period {
            from: NOW.wall - 3600,
            until: NOW.wall - 600,
            times: 3,
            total: lasted(1020),
            dated: true,
        }),
        Notification::Notice { text: cause() },
    ]
}

#[test]
fn every_kind_of_news() {
    let said: Vec<String> = all_news("no answer within 10s")
        .into_iter()
        .map(|news| message("blog", news))
        .collect();
    assert_eq!(
        said,
        [
            "🔴 <b>blog</b> is down: no answer within 10s (#12)",
            "🔴 <b>blog</b> is down: no answer within 10s (#12); 4 sites behind it are unreachable",
            "🔴 <b>blog</b> is still down, for 6 h: no answer within 10s (#12)",
            "🟢 <b>blog</b> is up again after 3 min 20 s (#12)",
            "🟡 <b>blog</b> is slow: no answer within 10s",
            "🟢 <b>blog</b> is fast again after 1 h",
            "🟡 <b>blog</b> is degraded: no answer within 10s",
            "🟢 <b>blog</b> is well again after 1 h",
            "🟠 <b>blog</b> is flapping, down now: no answer within 10s (#12). Further changes are not told until it has been up for 15 min or down for 5 min without a break.",
            "🟠 <b>blog</b> is flapping, up now. Further changes are not told until it has been up for 15 min or down for 5 min without a break.",
            "🔴 <b>blog</b> has been down for 15 min without a break: no answer within 10s (#12)",
            "🟢 <b>blog</b> is steady again, up for 15 min",
            "🟡 <b>blog</b>: its certificate ends in 13 d, on 8 Dec 2026 (no answer within 10s, by R11)",
            "🔴 <b>blog</b>: its certificate ended 1 d ago, on 24 Nov 2026 (no answer within 10s, by R11)",
            "🟢 <b>blog</b>: its domain was renewed and ends in 300 d",
            "📡 I was offline 07:00–07:17 (17 min)",
            "📡 I was offline 3 times, 07:00–07:50 (17 min in all)",
            "ℹ️ no answer within 10s",
        ]
    );
}

#[test]
fn what_people_ask_most() {
    let mut world = World::of(&["blog", "shop"]).running_for(120);
    world.fate_for("shop", bad(), 300);
    world.received();
    for (command, answer) in [
        ("/ack", "👍 Acknowledged: #1 <b>shop</b>"),
        ("/ack 7", "There is no incident #7. /incidents lists them."),
        ("/mute 2h", "🔕 Everything is muted for 2 h."),
        ("/mute blog 1d", "🔕 <b>blog</b> is muted for 1 d."),
        (
            "/unmute blog",
            "🔔 Unmuted: blog\n🔕 Everything is still muted: /unmute",
        ),
        ("/unmute", "🔔 Unmuted: blog, shop"),
        ("/unmute", "🔔 Nothing is muted."),
        ("/unmute blog", "🔔 <b>blog</b> is not muted."),
        (
            "/pause blog",
            "⏸ <b>blog</b> is paused. /resume starts it again.",
        ),
        ("/pause blog", "⏸ <b>blog</b> is paused already."),
        ("/resume blog", "▶️ <b>blog</b> is checked again."),
        (
            "/site wiki",
            "There is no site <b>wiki</b>. /list shows all.",
        ),
        (
            "/check wiki",
            "There is neither a site nor a group <b>wiki</b>. /list shows all.",
        ),
        (
            "/mute blgo",
            "There is neither a site nor a group <b>blgo</b>. Did you mean <b>blog</b>?",
        ),
        ("/pause", "Which site? Write /pause NAME."),
        (
            "/frobnicate",
            "I do not know that command. /help lists mine.",
        ),
        (
            "/chart wiki",
            "There is neither a site nor a group <b>wiki</b>. /list shows all.",
        ),
        (
            "/add",
            "What shall I watch? Write /add URL, or /add URL NAME.",
        ),
        (
            "/remove blog",
            "<b>blog</b> is in sitemon.conf: take it out there and reload (SIGHUP). /pause stops its checks.",
        ),
    ] {
        assert_eq!(
            world.ask(command).last().map(String::as_str),
            Some(answer),
            "{command}"
        );
    }
}

/// Whether HTML has only tags that we write, all of them closed, and no unescaped character.
fn sound(html: &str) -> bool {
    let bare = html.replace("<b>", "").replace("</b>", "");
    let pairs = html.matches("<b>").count() == html.matches("</b>").count();
    let entity = |rest: &str| {
        ["amp;", "lt;", "gt;", "quot;"]
            .iter()
            .any(|e| rest.starts_with(e))
    };
    let ands = bare.split('&').skip(1).all(entity);
    pairs && ands && !bare.contains(['<', '>'])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_name_and_no_cause_breaks_a_message(
        name in "[<>&\"a-c \u{5d0}\u{202e}\u{1F600}\u{7}]{1,64}",
        cause in "[<>&\"a-c \u{5d0}\u{2067}\u{1F600}]{0,40}",
        times in 1usize..400,
    ) {
        for news in all_news(&cause.repeat(times)) {
            let html = message(&name, news);
            prop_assert!(units(&html) <= MESSAGE_UNITS);
            prop_assert!(sound(&html), "{}", html);
            let steers = html.contains(['\u{202e}', '\u{2067}', '\u{7}']);
            prop_assert!(!steers);
        }
    }
}
