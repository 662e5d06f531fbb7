//! Ten sites at 1 s that behave as badly as they can: the writes stay within the day's budget, and
//! the outage of another site is reported at once.

use super::day::*;
use sitemon::monitor::outbox::message::Delivery;
use sitemon::monitor::site::Site;
use sitemon::monitor::site::outcome::{Expiry, Outcome};
use sitemon::monitor::time::hours;
use std::time::Duration;

const SITES: usize = 10;
/// Budget of a day in KB.
const BUDGET: u64 = 500;

/// A site whose every failure and every success counts.
fn hasty(n: usize) -> Site {
    Site {
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        retry: Duration::from_secs(1),
        tries: 1,
        recover: 1,
        slow: Some(Duration::from_millis(100)),
        ..site(n)
    }
}

fn ten() -> Vec<Site> {
    (0..SITES).map(hasty).collect()
}

/// Maintenance for the whole day but a minute.
fn all_day() -> Vec<hours::Window> {
    let hours = hours::Hours {
        from: 0,
        until: 1439,
    };
    let days = hours::ALL_DAYS;
    vec![hours::Window { days, hours }]
}

/// Runs for a day, and checks the budget.
#[track_caller]
fn a_day_of(scene: Scene) -> Day {
    let mut day = Day::new(scene);
    let cost = day.run(DAY);
    println!(
        "{} writes, {:.1} KB of data, {} KB in 4 KB blocks, {} blocks of them for the history; {} messages",
        cost.saves,
        cost.bytes as f64 / 1024.0,
        cost.kilobytes(),
        cost.history,
        day.told.len()
    );
    assert!(cost.kilobytes() <= BUDGET, "{cost:?}");
    day
}

fn no(asked: Asked) -> Outcome {
    // A long cause that differs each time.
    bad(&format!(
        "HTTP {}, wanted 200-299: {}",
        400 + asked.nth % 200,
        "Internal Server Error ".repeat(5)
    ))
}

fn up_if(up: bool, asked: Asked) -> Outcome {
    if up { good(40) } else { no(asked) }
}

/// Several changes in 12 s, then down for long enough to be reported, again and again.
fn in_bouts(asked: Asked, calm: i64) -> Outcome {
    let shifted = asked.clock + i64::try_from(asked.site).unwrap_or(0) * 31 * SECOND;
    let part = shifted % (calm + 12 * SECOND);
    up_if(part < 12 * SECOND && asked.nth % 2 == 0, asked)
}

/// A change in every `span`.
fn every(span: i64, asked: Asked) -> Outcome {
    let shifted = asked.clock + i64::try_from(asked.site).unwrap_or(0) * 97 * SECOND;
    up_if(shifted / span % 2 == 0, asked)
}

#[test]
fn sites_that_change_at_every_check() {
    let day = a_day_of(Scene::of(ten(), |asked| up_if(asked.nth % 2 == 0, asked)));
    for n in 0..SITES {
        let flapping = day.told.iter().find(|(_, text)| {
            text.lines()
                .any(|line| line.contains(&name(n)) && line.contains("is flapping"))
        });
        let (when, _) = flapping.expect("each is told to be flapping");
        assert!(*when < MINUTE, "{} after {when} ms", name(n));
    }
    assert!(day.told.len() < 100, "then there is silence");
}

#[test]
fn sites_each_of_which_is_bad_in_its_own_way_and_a_good_one_that_fails() {
    let mut sites = ten();
    sites[7].maintenance = all_day();
    sites[8].chats = Some(Vec::new());
    sites.push(site(SITES));
    let day = a_day_of(Scene::of(sites, |asked| match asked.site {
        0 | 7 | 8 => up_if(asked.nth % 2 == 0, asked),
        1 => up_if(asked.nth % 5 < 2, asked),
        2 => every(16 * MINUTE, asked),
        3 => every(11 * MINUTE, asked),
        4 => in_bouts(asked, 6 * MINUTE),
        5 => good(if asked.nth % 2 == 0 { 40 } else { 400 }),
        6 => match asked.nth % 3 {
            0 => good(40),
            1 => good(400),
            _ => no(asked),
        },
        9 => up_if(asked.clock.wrapping_mul(2_654_435_761) % 7 < 4, asked),
        _ => up_if(
            !(20 * HOUR..20 * HOUR + 10 * MINUTE).contains(&asked.clock),
            asked,
        ),
    }));
    let told = |what: &str| {
        let line = format!("<b>{}</b> is {what}", name(SITES));
        day.told
            .iter()
            .find(|(_, text)| text.contains(&line))
            .map(|(when, _)| *when)
            .expect("the good site's outage is told")
    };
    let (down, up) = (told("down: HTTP"), told("up again"));
    assert!(
        (20 * HOUR..20 * HOUR + 2 * MINUTE).contains(&down),
        "{down}"
    );
    assert!(
        (20 * HOUR + 10 * MINUTE..20 * HOUR + 12 * MINUTE).contains(&up),
        "{up}"
    );
}

/// The most alerts that docs/alerts.md allows a site. Each must be on disk before it is sent.
#[test]
fn sites_that_flap_and_then_stay_down_for_five_minutes_over_and_over() {
    let day = a_day_of(Scene::of(ten(), |asked| {
        in_bouts(asked, 5 * MINUTE + 5 * SECOND)
    }));
    let last = day.told.last().expect("something was told").0;
    assert!(last > DAY - 8 * HOUR, "nothing since {last} ms");
}

#[test]
#[ignore = "minutes: with the simulation's profile, like the other days below"]
fn sites_just_under_the_threshold_of_flapping() {
    a_day_of(Scene::of(ten(), |asked| every(16 * MINUTE, asked)));
}

#[test]
#[ignore = "minutes"]
fn sites_just_over_the_threshold_of_flapping() {
    a_day_of(Scene::of(ten(), |asked| every(14 * MINUTE, asked)));
    a_day_of(Scene::of(ten(), |asked| every(11 * MINUTE, asked)));
    a_day_of(Scene::of(ten(), |asked| {
        every(4 * MINUTE + 50 * SECOND, asked)
    }));
}

#[test]
#[ignore = "minutes"]
fn sites_that_are_up_for_two_checks_and_down_for_three() {
    a_day_of(Scene::of(ten(), |asked| up_if(asked.nth % 5 < 2, asked)));
}

#[test]
#[ignore = "minutes"]
fn sites_that_wait_until_the_evening_and_then_do_their_worst() {
    a_day_of(Scene::of(ten(), |asked| match asked.site {
        5.. if asked.clock < 18 * HOUR => good(40),
        _ => in_bouts(asked, 5 * MINUTE + 5 * SECOND),
    }));
}

#[test]
#[ignore = "minutes"]
fn sites_that_are_slow_now_and_then() {
    a_day_of(Scene::of(ten(), |asked| {
        good(if asked.nth % 2 == 0 { 40 } else { 400 })
    }));
    a_day_of(Scene::of(ten(), |asked| {
        good(if asked.clock / (16 * MINUTE) % 2 == 0 {
            40
        } else {
            400
        })
    }));
}

#[test]
#[ignore = "minutes"]
fn sites_without_chats() {
    let mut muted = Scene::of(ten(), |asked| up_if(asked.nth % 2 == 0, asked));
    muted.first = Some("/mute all 2d");
    a_day_of(muted);
    let mut kept = ten();
    for site in &mut kept {
        site.maintenance = all_day();
    }
    a_day_of(Scene::of(kept, |asked| up_if(asked.nth % 2 == 0, asked)));
    let mut untold = ten();
    for site in &mut untold {
        site.chats = Some(Vec::new());
    }
    a_day_of(Scene::of(untold, |asked| every(16 * MINUTE, asked)));
}

#[test]
#[ignore = "minutes"]
fn telegram_refuses_for_hours_while_alerts_wait() {
    let mut scene = Scene::of(ten(), |asked| in_bouts(asked, 5 * MINUTE + 5 * SECOND));
    scene.delivery = |clock, _| match clock / HOUR {
        2..9 => Delivery::Later {
            after: None,
            everywhere: true,
            reason: "502".into(),
        },
        12..14 => Delivery::Refused {
            reason: "403".into(),
        },
        16..20 => Delivery::Later {
            after: Some(Duration::from_secs(60)),
            everywhere: false,
            reason: "429".into(),
        },
        _ => Delivery::Sent { message_id: 5 },
    };
    a_day_of(scene);
}

#[test]
#[ignore = "minutes"]
fn an_uplink_that_comes_and_goes() {
    fn each(clock: i64, minutes: i64) -> bool {
        clock / (minutes * MINUTE) % 2 == 0
    }
    let mut often = Scene::of(ten(), |asked| up_if(each(asked.clock, 1), asked));
    often.line = |clock| each(clock, 1);
    a_day_of(often);
    let mut seldom = Scene::of(ten(), |asked| up_if(each(asked.clock, 16), asked));
    seldom.line = |clock| each(clock, 16);
    a_day_of(seldom);
    // Only the targets fail: the sites answer all the time.
    let mut wrong = Scene::of(ten(), |asked| up_if(asked.nth % 30 < 20, asked));
    wrong.line = |clock| each(clock, 1);
    a_day_of(wrong);
}

/// Another certificate and another registrar at every look; users and strangers write all day.
#[test]
fn certificates_and_registrations_that_change_and_strangers_who_write() {
    let mut sites: Vec<Site> = (0..SITES).map(site).collect();
    for site in &mut sites {
        site.cert = Some(Duration::from_secs(14 * 86_400));
        site.domain = Some(Duration::from_secs(30 * 86_400));
    }
    let mut scene = Scene::of(sites, |asked| Outcome {
        address: format!("203.0.113.{}", asked.nth % 250).parse().ok(),
        ..good(40)
    });
    scene.expiry = |nth, clock| Expiry {
        ends: at(clock).wall + nth * 7919 % 40 * 86_400,
        subject: format!("{nth}.example"),
        issuer: format!("Registrar {nth} ").repeat(8),
        key: "RSA 2048".into(),
    };
    scene.writes = Some((7 * SECOND, 666, "/status"));
    a_day_of(scene);
}
