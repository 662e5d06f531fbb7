//! Ten histories as pictures, compared byte for byte with those beside them, which were
//! looked at. `SITEMON_PICTURES=1 cargo test --lib chart` draws them anew.

use super::{png, sparkline};
use crate::monitor::history::{History, Kind, Span};
use crate::monitor::render::picture::{Chart, Drawing, Picture, Strip, Strips, Tick};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Wednesday 25 November 2026, 00:00 UTC.
const NOW: i64 = 1_795_564_800;
const DAY: i64 = 86_400;
/// Sunday 29 March 2026, 01:00 UTC: Berlin's clocks go from 02:00 to 03:00.
const SPRING: i64 = 1_774_746_000;

fn berlin(wall: i64) -> i64 {
    let summer = (SPRING..SPRING + 210 * DAY).contains(&wall);
    wall + if summer { 7200 } else { 3600 }
}

/// A minute in the life of a site: what it is, and how long its check takes.
type Life = fn(i64) -> (Kind, f64);

fn noise(minute: i64) -> f64 {
    let bits = minute.unsigned_abs().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    bits as f64 / f64::from(1 << 24)
}

fn flat(minute: i64) -> (Kind, f64) {
    (Kind::Up, 40.0 + 6.0 * noise(minute))
}

fn lived(life: Life, from: i64, until: i64) -> History {
    let mut history = History::new(from);
    for minute in from / 60..until / 60 {
        let (kind, millis) = life(minute);
        history.note(minute * 60, kind);
        if kind == Kind::Up {
            history.add(Duration::from_secs_f64(millis / 1000.0));
        }
    }
    history.note(until, Kind::Unknown);
    history
}

fn ticks(span: Span, from: i64, to: i64) -> Vec<Tick> {
    crate::monitor::render::picture::ticks(span, from, to, berlin)
}

fn chart(name: &str, span: Span, history: &History, now: i64) -> Picture {
    let share = history.uptime(span, now);
    let (from, to, count) = span.parts(now);
    Picture {
        title: name.to_owned(),
        drawing: Drawing::Chart(Chart {
            name: name.to_owned(),
            span: span.title().to_owned(),
            summary: share
                .percent()
                .map_or("not watched".into(), |p| format!("{p} up")),
            parts: history.parts(from, to, count),
            ticks: ticks(span, from, to),
        }),
    }
}

fn pictures() -> Vec<(&'static str, Picture)> {
    let day = |name, life: Life| chart(name, Span::Day, &lived(life, NOW - 2 * DAY, NOW), NOW);
    let long = |name, span, life: Life| chart(name, span, &lived(life, NOW - 95 * DAY, NOW), NOW);
    let spiky: Life = |minute| {
        let spike = if noise(minute / 7) > 0.93 {
            900.0 * noise(minute)
        } else {
            0.0
        };
        (Kind::Up, 60.0 + 40.0 * noise(minute) + spike)
    };
    let outages: Life = |minute| {
        let of_day = minute % 1440;
        let kind = match of_day {
            300..304 | 900..975 => Kind::Down,
            500..620 => Kind::Unknown,
            _ => Kind::Up,
        };
        (
            kind,
            180.0 + 60.0 * (of_day as f64 / 229.0).sin() + 40.0 * noise(minute),
        )
    };
    let months: Life = |minute| {
        let day = minute / 1440;
        let kind = if day % 23 == 0 && minute % 1440 < 200 || day % 41 == 7 {
            Kind::Down
        } else {
            Kind::Up
        };
        (
            kind,
            120.0 + 80.0 * (day as f64 / 9.0).sin() + 30.0 * noise(minute),
        )
    };
    let young = lived(flat, NOW - 5 * 3600, NOW);
    let mut paused = History::new(0);
    paused.note(NOW, Kind::Unknown);
    let spring = SPRING + 20 * 3600;
    vec![
        ("flat", day("blog", flat)),
        ("spiky", day("api.example.com", spiky)),
        ("down", day("shop", |_| (Kind::Down, 0.0))),
        ("outages", day("Müllers Lädchen", outages)),
        ("young", chart("new.example.com", Span::Day, &young, NOW)),
        (
            "spring",
            chart(
                "blog",
                Span::Day,
                &lived(outages, spring - DAY, spring),
                spring,
            ),
        ),
        ("week", long("api", Span::Week, outages)),
        (
            "month",
            long(
                "a name of sixty-four characters, which is as long as one may be.",
                Span::Month,
                months,
            ),
        ),
        (
            "quarter",
            long(
                "\u{1F600} \u{645}\u{648}\u{642}\u{639}",
                Span::Quarter,
                months,
            ),
        ),
        ("never", chart("paused", Span::Day, &paused, NOW)),
        ("strips", strips(24)),
        ("few", strips(3)),
    ]
}

fn strips(sites: usize) -> Picture {
    let (from, to, count) = Span::Day.parts(NOW);
    let outages: Life = |minute| {
        let kind = match minute % 1440 {
            300..304 | 900..975 => Kind::Down,
            500..620 => Kind::Unknown,
            _ => Kind::Up,
        };
        (kind, 100.0)
    };
    let lives: [Life; 4] = [|_| (Kind::Down, 0.0), outages, flat, flat];
    let rows: Vec<Strip> = (0..sites.min(20))
        .map(|i| {
            let history = lived(lives[i.min(3)], NOW - 2 * DAY, NOW);
            Strip {
                name: format!("www.customer-{i:02}.example"),
                percent: history.uptime(Span::Day, NOW).percent().unwrap_or_default(),
                parts: history.parts(from, to, count),
            }
        })
        .collect();
    Picture {
        title: "All sites".into(),
        drawing: Drawing::Strips(Strips {
            span: Span::Day.title().to_owned(),
            summary: format!("{} up, 1 down", sites - 1),
            left_out: sites - rows.len(),
            rows,
            ticks: ticks(Span::Day, from, to),
        }),
    }
}

fn path(name: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/pictures").join(format!("{name}.png"))
}

#[test]
fn pictures_are_as_they_were_when_they_were_looked_at() {
    let anew = std::env::var_os("SITEMON_PICTURES").is_some();
    for (name, picture) in pictures() {
        let started = Instant::now();
        let drawn = png(&picture);
        let took = started.elapsed();
        println!(
            "{name:8} {:6} bytes, {:.1} ms",
            drawn.len(),
            took.as_secs_f64() * 1000.0
        );
        assert!(drawn.len() < 60_000, "{name}: {} bytes", drawn.len());
        if anew {
            std::fs::write(path(name), &drawn).expect("written");
        }
        let known = std::fs::read(path(name)).unwrap_or_default();
        assert!(known == drawn, "{name} looks different");
    }
}

#[test]
fn a_terminal_shows_the_same_in_block_characters() {
    for (name, picture) in pictures() {
        let lines = sparkline(&picture);
        println!("{name}\n{lines}\n");
        assert!(lines.lines().all(|l| l.chars().count() <= 80), "{lines}");
    }
    let (_, down) = &pictures()[2];
    assert!(sparkline(down).starts_with(&"×".repeat(48)));
}

#[test]
fn nothing_is_drawn_of_nothing() {
    assert!(png(&Picture::default()).is_empty());
    assert!(sparkline(&Picture::default()).is_empty());
    let empty = Picture {
        drawing: Drawing::Chart(Chart::default()),
        ..Picture::default()
    };
    assert!(png(&empty).starts_with(b"\x89PNG"));
}
