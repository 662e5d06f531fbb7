//! Every timer is due, wakes the monitor, and is over after that.

use super::actions::action;
use super::channels::channel;
use super::jobs::job;
use super::world::*;
use crate::monitor::judge::flapping;
use crate::monitor::outbox::channels::When;
use crate::monitor::routing::timers::{Timer, for_each_timer};
use crate::monitor::site::Site;
use crate::monitor::site::secret_url::SecretUrl;
use crate::monitor::site::suppression::UplinkFault;
use crate::monitor::uplink::route::Route;
use crate::monitor::{Event, Monitor, Settings};
use std::time::Duration;

/// Returns a world in which this timer is running.
fn arrange(timer: Timer) -> World {
    let mut world = match timer {
        Timer::Maintenance => World::new(vec![Site {
            maintenance: vec![window(600, 660)],
            ..site("blog")
        }]),
        Timer::Inspection => World::new(vec![Site {
            cert: Some(Duration::from_secs(14 * 86_400)),
            ..site("blog")
        }]),
        Timer::Probe => World::elsewhere(vec![site("blog")]),
        Timer::Job => World::new(vec![job("backup")]),
        _ => World::of(&["blog"]),
    };
    if timer == Timer::Digest {
        let settings = Settings {
            digest: Some(480),
            ..settings(access())
        };
        world.monitor = Monitor::new([site("blog")], settings, world.now(), 42);
    }
    if timer == Timer::Heartbeat {
        world.monitor.schedule.reload(true);
    }
    world.pass(70);
    let now = world.now();
    let (moment, soon) = (now.moment(), now.moment() + Duration::from_secs(5));
    let monitor = &mut world.monitor;
    match timer {
        Timer::Maintenance | Timer::Check | Timer::Digest | Timer::Heartbeat => {}
        Timer::Inspection | Timer::Job => {}
        Timer::Probe => {
            monitor.uplink.request_probe(false);
            world.pass(1);
            world.monitor.uplink.request_probe(false);
        }
        Timer::Route => {
            let url = SecretUrl::new("socks5h://h:1080".into(), "socks5h://h".into(), Vec::new());
            let routes = vec![Route::Direct, Route::Proxy(url)];
            monitor.uplink.set_routes(routes, moment);
            // The proxy is used now, and the direct route is tried again in ten minutes.
            for _ in 0..2 {
                world.feed(Event::RouteUsed {
                    route: Route::Direct,
                    failure: Some("no answer".into()),
                });
            }
        }
        Timer::Flapping => {
            for _ in 0..5 {
                let (sites, actions) = (&mut monitor.sites, &mut monitor.actions);
                flapping::manner_of_change(moment, 0, sites, actions);
            }
        }
        Timer::Reminder => {
            world.fate_for("blog", bad(), 300);
        }
        Timer::Remediation => {
            world.set_actions(vec![action("restart", Some(600))]);
            world.fate_for("blog", bad(), 300);
        }
        Timer::Fault => monitor.alerts.on_fault(UplinkFault::Dns, soon),
        Timer::UncleanStop => {
            let down = ["blog".to_owned()].into();
            monitor.incidents.on_unclean_stop(now.wall, moment, down);
            // Its checks do not end.
            world.fate_lasting("blog", good(40), Duration::from_secs(3600));
        }
        Timer::Bot => {
            world.ask_from(99, Some(99), "/status");
        }
        Timer::Keyboard => {
            world.ask("/help");
            world.monitor.outbox.outdate_keyboard(CHAT, 5);
        }
        Timer::Channel => {
            world.set_channels(vec![channel("ntfy", When::Always)]);
            let refused = chat_waits(Some(5), "HTTP 429");
            world.channel_deliveries.push_back(refused);
            world
                .monitor
                .notifier(now)
                .notice_to_all("hello".to_owned());
            world.pass(1);
        }
        Timer::Save => monitor.save_schedule.within_5_min(moment),
        Timer::Send => {
            for _ in 0..2 {
                monitor.notifier(now).notice_to_all("hello".to_owned());
            }
            monitor.outbox.mark_stored(u64::MAX);
        }
    }
    world
}

#[test]
fn every_timer_is_in_the_minimum_and_is_seen_to() {
    for_each_timer!(|timer| {
        let mut world = arrange(timer);
        let now = world.now();
        let wakeup = world.monitor.next_wakeup(now).expect("a timer runs");
        let due = world.monitor.next_timeout(timer, &now, now.moment());
        let due = due.unwrap_or_else(|| panic!("{timer:?} does not run"));
        assert!(due > now.moment(), "{timer:?} is due already");
        assert!(wakeup <= due, "{timer:?} wakes nothing up");
        let left = due.since(now.moment());
        world.pass(left.as_secs() + 1);
        world.monitor.sites.recount();
        let now = world.now();
        let next = world.monitor.next_timeout(timer, &now, now.moment());
        assert!(
            next.is_none_or(|next| next > due),
            "{timer:?} was not seen to"
        );
    });
}

#[test]
fn the_list_of_timers_has_each_once() {
    let mut count = 0;
    for_each_timer!(|timer| {
        assert_eq!(timer as usize, count, "{timer:?}");
        count += 1;
    });
    assert_eq!(Timer::Send as usize + 1, count);
}
