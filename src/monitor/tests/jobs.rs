//! Jobs that report by themselves: missing reports, texts of reports, and what does not count
//! against a job.

use super::world::*;
use crate::monitor::Event;
use crate::monitor::outbox::message::Message;
use crate::monitor::site::report::{Report, ReportAnswer, ReportKind, Way};
use crate::monitor::site::state::State;
use crate::monitor::site::{Check, Due, PushCheck, Site, Token};
use crate::monitor::time::hours::{ALL_DAYS, Hours, Window};
use crate::monitor::time::zone::Zone;
use crate::monitor::time::zone::tests::{AUTUMN, BERLIN, SPRING};
use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 86_400;

/// Returns a job that is due every day, with a grace of one hour.
pub fn job(name: &str) -> Site {
    of(name, Due::Every(Duration::from_secs(DAY)))
}

fn of(name: &str, due: Due) -> Site {
    Site {
        url: "push:".into(),
        tries: 1,
        check: Check::Push(PushCheck {
            due,
            grace: Duration::from_secs(HOUR),
            longest: None,
            token: None,
        }),
        ..site(name)
    }
}

fn at(days: u8, minute: u16) -> Due {
    let hours = Hours {
        from: minute,
        until: minute + 1,
    };
    Due::At(vec![Window { days, hours }])
}

fn within(longest: u64, mut site: Site) -> Site {
    if let Check::Push(check) = &mut site.check {
        check.longest = Some(Duration::from_secs(longest));
    }
    site
}

/// Returns a job that is due every day at 09:00 and may run for two hours.
pub fn at_nine(name: &str) -> Site {
    within(2 * HOUR, of(name, at(ALL_DAYS, 540)))
}

/// Sends a report. `secs`: the run time of the job.
pub fn report(
    world: &mut World,
    name: &str,
    kind: ReportKind,
    code: Option<i32>,
    secs: u64,
    lines: &str,
) {
    let report = Report {
        site: name.into(),
        code,
        took: Some(Duration::from_secs(secs)).filter(|_| code.is_some()),
        lines: lines.into(),
        ..plain(world, kind)
    };
    tell(world, report);
}

fn plain(world: &World, kind: ReportKind) -> Report {
    Report {
        site: "backup".into(),
        kind,
        at: world.now().wall * 1000,
        code: None,
        took: None,
        lines: String::new(),
        way: Way::Socket,
    }
}

fn tell(world: &mut World, report: Report) -> ReportAnswer {
    let id = world.report_answers.len() as u64 + 1;
    world.feed(Event::Reported { id, report });
    let (answered, answer) = *world.report_answers.last().expect("answered");
    assert_eq!(answered, id);
    answer
}

fn well(world: &mut World) {
    let report = plain(world, ReportKind::Good);
    assert_eq!(tell(world, report), ReportAnswer::Saved);
}

fn start(world: &mut World) {
    let report = plain(world, ReportKind::Start);
    assert_eq!(tell(world, report), ReportAnswer::Saved);
}

fn badly(world: &mut World, code: Option<i32>, lines: &str) {
    let report = Report {
        code,
        lines: lines.into(),
        ..plain(world, ReportKind::Bad)
    };
    tell(world, report);
    world.pass(5);
}

/// Restarts after a power cut of `off` seconds, with this configuration.
fn restart(world: &mut World, site: Site, off: u64) {
    let snapshot = world.monitor.last_snapshot(world.now());
    world.restart(vec![site], &snapshot, off);
}

#[test]
fn a_report_that_is_missing_is_told_with_the_time_of_the_last() {
    // The world starts on a Friday at 08:00.
    let mut world = World::new(vec![of("backup", at(ALL_DAYS, 180))]);
    world.pass(19 * HOUR + 4 * MINUTE);
    well(&mut world);
    assert_eq!(world.state("backup"), State::Up);
    world.pass(24 * HOUR + 55 * MINUTE);
    assert_eq!(
        (world.state("backup"), world.received().len()),
        (State::Up, 0)
    );
    world.pass(2 * MINUTE);
    assert_eq!(
        world.received(),
        ["🔴 <b>backup</b> is down: no report since yesterday 03:04, expected by 04:00 (#1)"]
    );
    world.pass(6 * HOUR);
    assert_eq!(
        world.received(),
        [
            "🔴 <b>backup</b> is still down, for 6 h: no report since yesterday 03:04, expected by 04:00 (#1)"
        ]
    );
    well(&mut world);
    world.pass(5);
    let up = world.received();
    assert!(
        up[0].starts_with("🟢 <b>backup</b> is up again after 6 h"),
        "{up:?}"
    );
}

#[test]
fn one_that_never_reported_is_unknown_and_then_down() {
    let mut world = World::new(vec![job("backup")]).running_for(25 * HOUR - 1);
    assert_eq!(world.state("backup"), State::Unknown);
    assert!(world.received().is_empty() && world.started.is_empty());
    world.pass(2);
    assert_eq!(
        world.received(),
        ["🔴 <b>backup</b> is down: no report yet, expected by 09:00 (#1)"]
    );
}

#[test]
fn a_bad_report_is_down_with_code_and_last_lines() {
    let mut world = World::new(vec![job("backup")]);
    well(&mut world);
    world.pass(HOUR);
    start(&mut world);
    assert_eq!(world.state("backup"), State::Up);
    world.pass(4 * MINUTE);
    badly(&mut world, Some(3), "copying\nno space <left>");
    assert_eq!(
        world.received(),
        [
            "🔴 <b>backup</b> is down: exit code 3 after 4 min: no space &lt;left&gt; (#1)\n\
             <pre>copying\nno space &lt;left&gt;</pre>"
        ]
    );
    let shown = &world.ask("/site backup")[0];
    for line in [
        "push:",
        "Cause: exit code 3 after 4 min: no space &lt;left&gt;",
        "Last report: exit code 3 after 4 min, 5 s ago",
        "<pre>copying\nno space &lt;left&gt;</pre>",
        "Next report expected by 16 Jan 10:04 (every 1 d)",
    ] {
        assert!(
            shown.lines().any(|l| line.starts_with(l)),
            "{line}: {shown}"
        );
    }
    assert!(!shown.contains("Next check"), "{shown}");
    let history = world.ask("/history backup");
    assert_eq!(
        history,
        ["The last reports of <b>backup</b>\n\
          ❌ 5 s ago · down · 4 min · exit code 3 after 4 min: no space &lt;left&gt;\n\
          ✅ 1 h 4 min ago · up"]
    );
}

#[test]
fn the_next_good_report_ends_the_outage() {
    let mut world = World::new(vec![job("backup")]);
    badly(&mut world, Some(-9), "");
    assert_eq!(
        world.received(),
        ["🔴 <b>backup</b> is down: killed by signal 9 (#1)"]
    );
    world.pass(MINUTE);
    well(&mut world);
    world.pass(5);
    assert_eq!(world.state("backup"), State::Up);
    assert_eq!(world.received().len(), 1);
    badly(&mut world, None, "disk full");
    assert_eq!(
        world.received(),
        ["🔴 <b>backup</b> is down: reported as failed: disk full (#2)"]
    );
}

#[test]
fn a_job_that_runs_too_long_is_down() {
    let mut world = World::new(vec![within(2 * HOUR, of("backup", at(ALL_DAYS, 540)))]);
    world.pass(HOUR + MINUTE);
    start(&mut world);
    // The job runs, so no report is missing.
    world.pass(HOUR + 58 * MINUTE);
    assert!(world.received().is_empty());
    world.pass(2 * MINUTE);
    assert_eq!(
        world.received(),
        ["🔴 <b>backup</b> is down: started 09:01, not ended within 2 h (#1)"]
    );
    world.pass(MINUTE);
    well(&mut world);
    world.pass(5);
    assert!(world.received()[0].contains("is up again"));
    let history = &world.ask("/history backup")[0];
    assert_has(&history, "✅ 5 s ago · up · 2 h 1 min\n");
}

#[test]
fn a_start_alone_is_no_report_of_an_end() {
    let mut world = World::new(vec![of("backup", at(ALL_DAYS, 540))]).running_for(HOUR + MINUTE);
    start(&mut world);
    world.pass(HOUR);
    assert_eq!(
        world.received(),
        ["🔴 <b>backup</b> is down: no report yet, expected by 10:00 (#1)"]
    );
}

#[test]
fn after_a_start_of_ours_a_job_has_at_least_grace() {
    let site = || job("backup");
    let mut world = World::new(vec![site()]);
    well(&mut world);
    world.pass(HOUR);
    restart(&mut world, site(), 3 * DAY);
    world.pass(HOUR - 1);
    assert!(world.received().is_empty());
    world.pass(2);
    assert_eq!(
        world.received(),
        ["🔴 <b>backup</b> is down: no report since Fri 08:00, expected by Sat 09:00 (#1)"]
    );
}

#[test]
fn a_report_that_was_kept_counts_by_its_time_and_once() {
    let site = || job("backup");
    let mut world = World::new(vec![site()]);
    well(&mut world);
    let first = plain(&world, ReportKind::Good);
    world.pass(HOUR);
    restart(&mut world, site(), DAY);
    let kept = |report: Report, later: i64| Report {
        at: report.at + later * 1000,
        way: Way::Spool,
        ..report
    };
    // The agent was killed before it answered, so the report arrives again.
    tell(
        &mut world,
        kept(
            Report {
                kind: ReportKind::Bad,
                ..first.clone()
            },
            0,
        ),
    );
    assert_eq!(world.state("backup"), State::Up);
    // A report of 23 hours ago.
    tell(&mut world, kept(first, 2 * HOUR as i64));
    world.pass(2 * HOUR - 10);
    let shown = &world.ask("/site backup")[0];
    assert!(
        shown.contains("Last report: ended well, 1 d 0 h ago")
            || shown.contains("Last report: ended well, 1 d"),
        "{shown}"
    );
    assert_eq!(world.state("backup"), State::Up);
    world.received();
    world.pass(20);
    assert_eq!(world.received().len(), 1, "an hour late now");
}

#[test]
fn a_report_that_waited_at_the_socket_until_it_was_read_in_the_spool_counts_once() {
    let mut world = World::new(vec![job("backup")]);
    let report = |world: &World, kind, at, way| Report {
        at,
        way,
        ..plain(world, kind)
    };
    let at = world.now().wall * 1000 + 500;
    world.pass(1);
    for way in [Way::Spool, Way::Socket] {
        for (kind, later) in [(ReportKind::Bad, 0), (ReportKind::Good, 1)] {
            let report = report(&world, kind, at + later, way);
            assert_eq!(tell(&mut world, report), ReportAnswer::Saved);
        }
    }
    assert_eq!(world.state("backup"), State::Up);
    let told = world.received().join("\n");
    assert_eq!(told.matches(" is down").count(), 1, "{told}");
    assert_eq!(world.ask("/history backup")[0].matches("❌").count(), 1);
    // A report in the same second as the newest one does not mean that the clock was set back.
    let again = report(&world, ReportKind::Bad, at + 1, Way::Spool);
    tell(&mut world, again);
    assert_eq!(world.state("backup"), State::Up);
    // A new report, and one after the clock was set back.
    let new = report(&world, ReportKind::Bad, at + 2, Way::Socket);
    tell(&mut world, new);
    assert_eq!(world.state("backup"), State::Down);
    world.wall -= HOUR as i64;
    well(&mut world);
    assert_eq!(world.state("backup"), State::Up);
}

#[test]
fn what_is_known_of_a_job_survives_a_restart() {
    let site = || within(2 * HOUR, job("backup"));
    let mut world = World::new(vec![site()]);
    badly(&mut world, Some(1), "one\ntwo");
    start(&mut world);
    world.pass(90 * MINUTE);
    restart(&mut world, site(), MINUTE);
    let shown = &world.ask("/site backup")[0];
    for part in [
        "has been down for 1 h 31 min",
        "Last report: exit code 1, 1 h 31 min ago",
        "<pre>one\ntwo</pre>",
        "Started 1 h 31 min ago, not ended yet",
        "Must end by 10:3",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn another_schedule_makes_nothing_late_that_was_due_before() {
    // Due at 03:00; at 08:00 the schedule changes to 07:00.
    let mut world = World::new(vec![of("backup", at(ALL_DAYS, 180))]).running_for(19 * HOUR);
    well(&mut world);
    world.pass(5 * HOUR);
    let other = || of("backup", at(ALL_DAYS, 420));
    reload(&mut world, vec![other()], false);
    world.pass(22 * HOUR);
    assert_eq!(world.received().len(), 0);
    let mut again = World::new(vec![of("backup", at(ALL_DAYS, 180))]).running_for(19 * HOUR);
    well(&mut again);
    again.pass(5 * HOUR);
    restart(&mut again, other(), 10);
    again.pass(22 * HOUR);
    assert_eq!(again.received().len(), 0);
}

#[test]
fn a_clock_that_jumps_makes_no_job_late() {
    for (from, to) in [(0, 6), (4, 2), (2, 30), (4, -48)] {
        let mut world = World::new(vec![of("backup", at(ALL_DAYS, 180))]).running_for(16 * HOUR);
        well(&mut world);
        match from {
            4 => {
                world.pass(3 * HOUR);
                well(&mut world);
                world.pass(HOUR);
            }
            other => world.pass(other * HOUR),
        }
        world.wall += (to - from as i64) * HOUR as i64;
        world.pass(HOUR / 2);
        assert_eq!(world.received(), Vec::<String>::new(), "{from} became {to}");
        world.pass(2 * HOUR);
        assert_eq!(world.received(), Vec::<String>::new(), "{from} became {to}");
    }
}

#[test]
fn a_report_that_was_late_before_the_clock_was_set_stays_late() {
    let mut world = World::new(vec![of("backup", at(ALL_DAYS, 180))]);
    world.pass(19 * HOUR + 30 * MINUTE);
    world.wall += 10 * MINUTE as i64;
    world.pass(HOUR - 1);
    assert!(world.received().is_empty());
    world.pass(2);
    assert_eq!(world.received().len(), 1);
}

#[test]
fn without_a_clock_nothing_is_late() {
    let site = || of("backup", at(ALL_DAYS, 180));
    let mut world = World::new(vec![site()]);
    well(&mut world);
    let snapshot = world.monitor.last_snapshot(world.now());
    let wall = world.now().wall;
    world.restart_showing(vec![site()], &snapshot, 1000);
    world.pass(3 * DAY);
    assert!(world.received().is_empty());
    // The clock is set to the next morning, after 03:00.
    world.wall = wall + 20 * HOUR as i64 - world.clock / 1000;
    world.pass(HOUR - 1);
    assert!(world.received().is_empty());
    world.pass(2);
    assert_eq!(
        world.received(),
        ["🔴 <b>backup</b> is down: no report since yesterday 08:00, expected by 04:00 (#1)"]
    );
}

#[test]
fn what_was_reported_without_a_clock_is_not_late_after_a_restart() {
    let site = || job("backup");
    let mut world = World::new(vec![site()]);
    let wall = world.now().wall;
    let snapshot = world.monitor.last_snapshot(world.now());
    world.restart_showing(vec![site()], &snapshot, 1000);
    well(&mut world);
    world.pass(MINUTE);
    let snapshot = world.monitor.last_snapshot(world.now());
    world.restart_showing(vec![site()], &snapshot, wall + 3 * DAY as i64);
    let shown = &world.ask("/site backup")[0];
    assert_has(&shown, "Last report: ended well, 0 s ago");
    world.received();
    world.pass(DAY + HOUR - MINUTE);
    assert_eq!(world.received(), Vec::<String>::new());
    world.pass(2 * MINUTE);
    assert_eq!(
        world.received(),
        ["🔴 <b>backup</b> is down: no report since yesterday 08:00, expected by 09:00 (#1)"]
    );
}

#[test]
fn both_sides_of_daylight_saving_are_due_once() {
    for (change, first, last) in [
        // 02:30 does not exist: due from 03:00, by 03:30.
        (SPRING, SPRING, SPRING + 1800),
        // 02:30 occurs twice.
        (AUTUMN, AUTUMN - 1800, AUTUMN + 1800),
    ] {
        for reported in [first, last] {
            let mut world = World::new(vec![of("backup", at(1 << 6, 150))]);
            world.zone = BERLIN;
            // The program must have been built before this time.
            world.wall = change - 2 * HOUR as i64;
            let settings = crate::monitor::Settings {
                built: 1_700_000_000,
                ..settings(access())
            };
            world.monitor = crate::monitor::Monitor::new(
                vec![of("backup", at(1 << 6, 150))],
                settings,
                world.now(),
                42,
            );
            let wait = |world: &mut World, until: i64| {
                let secs = until - world.now().wall;
                world.pass(secs as u64);
            };
            let mut missed = 0;
            if reported == first {
                wait(&mut world, last + HOUR as i64 - 5);
                missed = world.received().len();
                wait(&mut world, last + HOUR as i64 + 5);
                assert_eq!(world.received().len(), 1, "late now");
            } else {
                wait(&mut world, reported + 10);
                well(&mut world);
                wait(&mut world, reported + 6 * DAY as i64);
                missed += world.received().len();
            }
            assert_eq!(missed, 0);
        }
    }
    assert_eq!(Zone::UTC.offset, 0);
}

#[test]
fn maintenance_mute_pause_and_acknowledgement_are_as_of_other_sites() {
    let mut world = World::new(vec![job("backup")]);
    world.ask("/mute backup 2h");
    badly(&mut world, Some(1), "x");
    assert!(world.received().iter().all(|m| !m.contains("is down")));
    world.pass(2 * HOUR);
    assert!(world.received().iter().any(|m| m.contains("is still down")));
    world.ask("/ack");
    assert!(world.ask("/incidents")[0].contains("acknowledged"));
    world.ask("/pause backup");
    assert_eq!(world.state("backup"), State::Paused);
    world.pass(3 * DAY);
    well(&mut world);
    assert_eq!(world.state("backup"), State::Paused);
    world.received();
    world.ask("/resume backup");
    world.received();
    world.pass(HOUR - 10);
    assert!(world.received().is_empty());
    well(&mut world);
    assert_eq!(world.state("backup"), State::Up);
}

#[test]
fn a_paused_job_that_is_resumed_has_grace() {
    let mut world = World::new(vec![job("backup")]);
    well(&mut world);
    world.ask("/pause backup");
    world.pass(3 * DAY);
    world.ask("/resume backup");
    world.received();
    world.pass(HOUR - 10);
    assert!(world.received().is_empty());
    world.pass(20);
    assert_eq!(world.received().len(), 1);
}

#[test]
fn behind_a_parent_that_is_down_a_job_is_unreachable_and_has_grace_after() {
    let child = Site {
        after: Some("nas".into()),
        ..job("backup")
    };
    let mut world = World::new(vec![site("nas"), child]);
    well(&mut world);
    world.fate_for("nas", bad(), 2 * DAY);
    assert_eq!(world.state("backup"), State::Unreachable);
    let told = world.received();
    assert!(
        told.iter().all(|m| !m.contains("<b>backup</b> is down")),
        "{told:?}"
    );
    world.fate_for("nas", good(40), HOUR - 120);
    let told = world.received();
    assert!(told.iter().all(|m| !m.contains("backup")), "{told:?}");
    world.pass(240);
    assert!(world.received()[0].contains("<b>backup</b> is down: no report since"));
}

#[test]
fn a_bad_report_while_unreachable_is_judged_when_that_is_over() {
    let child = Site {
        after: Some("nas".into()),
        ..job("backup")
    };
    let mut world = World::new(vec![site("nas"), child]);
    well(&mut world);
    world.fate_for("nas", bad(), 2 * HOUR);
    badly(&mut world, Some(2), "no nas");
    assert_eq!(world.state("backup"), State::Unreachable);
    world.fate("nas", good(40));
    world.received();
    world.pass(5 * MINUTE);
    let told = world.received();
    assert!(
        told.iter()
            .any(|m| m.contains("<b>backup</b> is down: exit code 2: no nas")),
        "{told:?}"
    );
}

#[test]
fn offline_time_is_added_for_jobs_that_report_by_http_alone() {
    for way in [Way::Http, Way::Socket] {
        let mut world = World::elsewhere(vec![job("backup"), site("blog")]);
        world.fate_for("blog", from(THERE, good(40)), MINUTE);
        let report = Report {
            way,
            ..plain(&world, ReportKind::Good)
        };
        tell(&mut world, report);
        world.pass(HOUR);
        world.line = LINE_DOWN;
        world.fate_for("blog", bad(), 10 * HOUR);
        world.line = LINE_UP;
        world.fate_for("blog", from(THERE, good(40)), MINUTE);
        world.received();
        world.pass(14 * HOUR);
        let late = world.received().iter().any(|m| m.contains("backup"));
        assert_eq!(late, way == Way::Socket, "{way:?}");
        world.pass(10 * HOUR);
        assert_eq!(world.state("backup"), State::Down);
    }
}

#[test]
fn a_report_for_no_site_and_one_that_cannot_be_saved_are_told_so() {
    let mut world = World::new(vec![site("blog"), job("backup")]);
    for name in ["blog", "nothing"] {
        let report = Report {
            site: name.into(),
            ..plain(&world, ReportKind::Good)
        };
        assert_eq!(tell(&mut world, report), ReportAnswer::Unknown);
    }
    world.disk_full = true;
    let good = plain(&world, ReportKind::Good);
    assert_eq!(tell(&mut world, good), ReportAnswer::Unsaved);
    assert_eq!(world.state("backup"), State::Up);
}

#[test]
fn there_is_nothing_to_press_to_check_a_job() {
    let mut world = World::new(vec![job("backup")]);
    badly(&mut world, Some(1), "");
    let labels = |message: &Message| -> Vec<String> {
        let buttons = message.buttons.iter().flatten();
        buttons.map(|b| b.label.clone()).collect()
    };
    assert_eq!(
        labels(&world.shown[0].1),
        ["Acknowledge", "Mute 1 h", "Mute 1 d"]
    );
    world.ask("/site backup");
    let (_, shown) = world.shown.last().expect("shown");
    assert_eq!(labels(shown), ["Mute", "Pause", "Chart"]);
    assert_eq!(
        world.ask("/check backup"),
        ["<b>backup</b> is not asked: it reports by itself."]
    );
    assert!(world.started.is_empty());
}

#[test]
fn the_chart_shows_how_long_the_job_ran() {
    let mut world = World::new(vec![job("backup")]);
    for _ in 0..5 {
        let report = Report {
            took: Some(Duration::from_secs(2 * HOUR)),
            ..plain(&world, ReportKind::Good)
        };
        tell(&mut world, report);
        world.pass(10 * MINUTE);
    }
    let chart = &world.ask("/chart backup 24h")[0];
    assert!(chart.contains("run time median 1 h 59 min"), "{chart}");
    assert!(world.ask("/list")[0].contains("<b>backup</b> 2 h"));
    assert!(world.ask("/history backup")[0].contains("✅ 10 min ago · up · 2 h\n"));
}

#[test]
fn a_job_a_minute_does_not_use_up_what_alerts_may_write() {
    let mut world = World::new(vec![
        of("backup", Due::Every(Duration::from_secs(MINUTE))),
        site("blog"),
    ]);
    for _ in 0..200 {
        well(&mut world);
        world.pass(MINUTE);
    }
    assert_eq!(world.monitor.save_schedule.least_interval(), Duration::ZERO);
}

#[test]
fn a_token_is_not_printed() {
    assert_eq!(
        format!("{:?}", Token::new("0123456789abcdef".into())),
        "***"
    );
}
