use super::*;
use proptest::prelude::*;

/// Midnight UTC.
const START: i64 = 20_000 * DAY;

fn percent(history: &History, span: Span) -> Option<String> {
    history.uptime(span, history.until()).percent()
}

#[test]
fn a_site_has_its_size_from_the_first_minute_on() {
    assert!(std::mem::size_of::<Rings>() <= 1_728);
    assert!(std::mem::size_of::<History>() <= 56);
}

#[test]
fn an_outage_counts_and_time_without_checks_does_not() {
    let mut history = History::new(START);
    history.note(START + 7, Kind::Up);
    history.note(START + HOUR, Kind::Down);
    history.note(START + HOUR + 100, Kind::Up);
    history.note(START + 2 * HOUR, Kind::Unknown);
    history.note(START + 12 * HOUR, Kind::Up);
    history.miss(START + 20 * HOUR);
    let share = history.uptime(Span::Day, START + 20 * HOUR);
    assert_eq!(share.down, Duration::from_secs(100));
    assert_eq!(share.watched(), Duration::from_secs(7192));
    assert_eq!(share.percent().as_deref(), Some("98.61 %"));
}

#[test]
fn nothing_is_rounded_to_a_whole_that_it_is_not() {
    let share = |up, down| Share {
        up: Duration::from_secs(up),
        down: Duration::from_secs(down),
        unknown: Duration::ZERO,
    };
    assert_eq!(share(0, 0).percent(), None);
    assert_eq!(share(5, 0).percent().as_deref(), Some("100 %"));
    assert_eq!(share(7_000_000, 4).percent().as_deref(), Some("99.99 %"));
    assert_eq!(share(4, 7_000_000).percent().as_deref(), Some("0.01 %"));
    assert_eq!(share(0, 5).percent().as_deref(), Some("0.00 %"));
}

#[test]
fn weeks_and_months_are_summed_from_hours_and_days() {
    let mut history = History::new(START);
    history.note(START, Kind::Up);
    for day in 0..100 {
        let noon = START + day * DAY + 12 * HOUR;
        history.note(noon, Kind::Down);
        history.note(noon + 864, Kind::Up);
    }
    history.note(START + 100 * DAY, Kind::Up);
    for span in Span::UPTIME {
        let share = history.uptime(span, START + 100 * DAY);
        assert_eq!(share.unknown, Duration::ZERO, "{span:?}");
        assert_eq!(
            percent(&history, span).as_deref(),
            Some("99.00 %"),
            "{span:?}"
        );
    }
}

#[test]
fn an_absence_of_any_length_is_unknown_and_leaves_what_was_before() {
    for away in [30, 3 * HOUR, 2 * DAY + 5, 20 * DAY, 89 * DAY] {
        let mut history = History::new(START);
        history.note(START, Kind::Up);
        history.note(START + 30 * HOUR, Kind::Up);
        history.miss(START + 30 * HOUR + away);
        let share = history.uptime(Span::Quarter, START + 30 * HOUR + away);
        let watched = i64::try_from(share.watched().as_secs()).expect("small");
        // The day in which the 90 days begin is left out, unless it is covered completely.
        let expected = if away > 88 * DAY { 6 * HOUR } else { 30 * HOUR };
        assert_eq!(watched, expected, "{away}");
    }
}

#[test]
fn an_outage_is_dated_back_to_its_first_failure() {
    let mut history = History::new(START);
    history.note(START, Kind::Up);
    history.note(START + HOUR + 20, Kind::Down);
    history.was_down_since(START + HOUR - 40);
    history.note(START + HOUR + 40, Kind::Down);
    assert_eq!(history.hour(START / HOUR).down, 10);
    assert_eq!(history.hour(START / HOUR).up, 890);
    assert_eq!(history.hour(START / HOUR + 1).down, 10);
}

#[test]
fn a_clock_that_is_set_back_is_waited_for_and_one_that_stays_so_is_believed() {
    let mut history = History::new(START);
    history.note(START, Kind::Up);
    history.note(START + DAY, Kind::Up);
    history.note(START + DAY - 60, Kind::Up);
    assert_eq!(history.until(), START + DAY);
    history.rewind(START + DAY - 60);
    assert_eq!(history.until(), START + DAY);
    history.rewind(START + 12 * HOUR);
    history.note(START + 13 * HOUR, Kind::Down);
    let share = history.uptime(Span::Day, START + 13 * HOUR);
    assert_eq!(share.up, Duration::from_secs(13 * 3600));
    // After a setback of a day and more, too, the following minutes are recorded.
    history.note(START + 5 * DAY, Kind::Up);
    history.rewind(START + DAY + 30 * MINUTE);
    history.note(START + DAY + 30 * MINUTE, Kind::Down);
    history.note(START + DAY + 2 * HOUR, Kind::Up);
    let share = history.uptime(Span::SixHours, START + DAY + 2 * HOUR);
    assert_eq!(share.down, Duration::from_secs(90 * 60));
}

#[test]
fn a_minute_keeps_one_of_its_checks_each_as_likely() {
    let mut history = History::new(START);
    history.note(START, Kind::Up);
    let mut slow = 0;
    for minute in 0..1440 {
        for check in 0..6 {
            let took = if check == 5 { 900 } else { 100 };
            history.note(START + minute * MINUTE + check * 10, Kind::Up);
            history.add(Duration::from_millis(took));
        }
        history.note(START + (minute + 1) * MINUTE, Kind::Up);
        let over = START / MINUTE + minute;
        let kept = history.minutes(over..over + 1).next().expect("a minute");
        slow += i32::from(kept.took > 140);
    }
    assert!((160..320).contains(&slow), "{slow} of 1440, expected 240");
    let day = history.day(START / DAY);
    assert!(day.median < 120 && day.p95 > 140, "{day:?}");
}

#[test]
fn parts_tell_when_it_was_down_and_how_fast_it_was() {
    let mut history = History::new(START);
    history.note(START, Kind::Up);
    for minute in 0..1440 {
        let down = (600..630).contains(&minute);
        history.note(
            START + minute * MINUTE,
            if down { Kind::Down } else { Kind::Up },
        );
        if !down {
            history.add(Duration::from_millis(if minute % 10 == 0 {
                400
            } else {
                100
            }));
        }
    }
    history.note(START + DAY, Kind::Up);
    let parts = history.parts(START, START + DAY, 144);
    let median = parts[0].median.expect("a time");
    let p95 = parts[0].p95.expect("a time");
    assert!((96.0..104.0).contains(&median) && (385.0..415.0).contains(&p95));
    assert_eq!(parts[60].down, 1.0);
    assert_eq!(parts[60].median, None);
    assert_eq!((parts[59].down, parts[63].down), (0.0, 0.0));
    assert_eq!(parts[59].up, 1.0);
}

#[test]
fn a_chart_begins_with_the_first_check_in_parts_as_fine_as_its_time_is_short() {
    let begun = |ago: i64| {
        let mut history = History::new(START - ago);
        for hours in 0..=ago / HOUR {
            history.note(START - ago + hours * HOUR, Kind::Up);
        }
        history.note(START, Kind::Up);
        history
    };
    for (ago, span, whole, length) in [
        (3 * MINUTE, Span::Hour, 12 * MINUTE, MINUTE),
        (3 * MINUTE, Span::Quarter, 12 * MINUTE, MINUTE),
        (40 * MINUTE, Span::Day, 40 * MINUTE, MINUTE),
        (130 * MINUTE, Span::Day, 130 * MINUTE, 5 * MINUTE),
        (130 * MINUTE, Span::Hour, HOUR, MINUTE),
        (20 * HOUR, Span::Day, 20 * HOUR, 10 * MINUTE),
        (2 * DAY, Span::Day, DAY, 10 * MINUTE),
        (2 * DAY, Span::Week, 2 * DAY, HOUR),
        (40 * DAY, Span::Quarter, 40 * DAY, DAY),
        (89 * DAY, Span::Week, 7 * DAY, HOUR),
    ] {
        let history = begun(ago);
        let first = history.first_watched(START);
        let (from, to, count) = span.parts_since(first, START);
        assert_eq!((to - from, to), (whole, START), "{ago} {span:?}");
        assert_eq!(whole / count as i64, length, "{ago} {span:?}");
        let parts = history.parts(from, to, count);
        let watched = parts.iter().map(|part| part.up).sum::<f32>() * length as f32;
        let share = watched / whole.min(ago) as f32;
        assert!((0.99..1.01).contains(&share), "{ago} {span:?}: {share}");
    }
    // The chart of a site that is older than the span includes a pause at its begin.
    let mut paused = History::new(START - 3 * DAY);
    paused.note(START - 3 * DAY, Kind::Up);
    paused.note(START - 2 * DAY, Kind::Unknown);
    paused.note(START - HOUR, Kind::Up);
    paused.note(START, Kind::Up);
    let first = paused.first_watched(START);
    assert_eq!(Span::Day.parts_since(first, START), Span::Day.parts(START));
    assert_eq!(Span::Day.parts_since(None, START), Span::Day.parts(START));
}

proptest! {
    #[test]
    fn no_course_of_time_makes_more_of_it_than_there_was(
        steps in proptest::collection::vec((-4000i64..400_000, 0u8..5, 0u64..5000), 0..60)
    ) {
        let mut history = History::new(START);
        let mut now = START;
        for (step, what, took) in steps {
            now += step;
            match what {
                0 => history.note(now, Kind::Up),
                1 => history.note(now, Kind::Down),
                2 => history.miss(now),
                3 => history.rewind(now),
                _ => history.was_down_since(now),
            }
            history.add(Duration::from_millis(took));
        }
        for span in Span::ALL {
            let until = history.until();
            let share = history.uptime(span, until);
            // The minute in which the span begins counts as a whole.
            let most = u64::try_from(span.seconds() + 60).expect("positive");
            prop_assert!(share.watched().as_secs() <= most, "{span:?} {share:?}");
            prop_assert_eq!(history.parts(until - span.seconds(), until, 90).len(), 90);
        }
    }
}
