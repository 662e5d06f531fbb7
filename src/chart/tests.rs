//! Draws histories and compares the pictures byte for byte with those in `docs/pictures` and
//! `tests/pictures`, which were reviewed by eye at a phone's size, on light and dark backgrounds
//! and with simulated colour blindness. `SITEMON_PICTURES=1 cargo test --lib chart` redraws them;
//! `cargo test --release --lib chart -- --nocapture` prints their size, time and memory.

use super::canvas::Ink;
use super::{draw, png, sparkline};
use crate::monitor::history::{History, Kind, Part, Span};
use crate::monitor::render::picture::{Chart, Drawing, Picture, Strip, Strips, Tick};
use crate::monitor::time::text::response;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Wednesday 25 November 2026, 00:00 UTC.
const NOW: i64 = 1_795_564_800;
const DAY: i64 = 86_400;
/// Sunday 29 March 2026, 01:00 UTC: in Berlin, clocks go from 02:00 to 03:00.
const SPRING: i64 = 1_774_746_000;

fn berlin(wall: i64) -> i64 {
    let summer = (SPRING..SPRING + 210 * DAY).contains(&wall);
    wall + if summer { 7200 } else { 3600 }
}

/// Maps a minute to the state of a site and the duration of its check in milliseconds.
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

fn ticks(from: i64, to: i64) -> Vec<Tick> {
    crate::monitor::render::picture::ticks(from, to, berlin)
}

fn chart(name: &str, span: Span, history: &History, now: i64) -> Picture {
    let mut summary = history
        .uptime(span, now)
        .percent()
        .map_or("not watched".into(), |p| format!("{p} up"));
    if let Some((median, p95)) = history.paces(span, now) {
        summary += &format!(", median {}, 95th {}", response(median), response(p95));
    }
    let (from, to, count) = span.parts_since(history.first_watched(now), now);
    Picture {
        title: name.to_owned(),
        drawing: Drawing::Chart(Chart {
            name: name.to_owned(),
            span: span.title().to_owned(),
            summary,
            slow: None,
            parts: history.parts(from, to, count),
            ticks: ticks(from, to),
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
    let evenings: Life = |minute| match minute % 1440 {
        of_day @ 1080..1380 => (
            Kind::Up,
            250.0 + (of_day - 1080) as f64 + 90.0 * noise(minute),
        ),
        700..712 => (Kind::Down, 0.0),
        _ => (Kind::Up, 210.0 + 60.0 * noise(minute)),
    };
    let mut slow = day("shop.example.com", evenings);
    if let Drawing::Chart(chart) = &mut slow.drawing {
        chart.slow = Some(500.0);
    }
    let young = lived(flat, NOW - 5 * 3600, NOW);
    let mut paused = History::new(0);
    paused.note(NOW, Kind::Unknown);
    let spring = SPRING + 20 * 3600;
    vec![
        ("flat", day("blog", flat)),
        ("spiky", day("api.example.com", spiky)),
        ("down", day("shop", |_| (Kind::Down, 0.0))),
        ("outages", day("Müllers Lädchen", outages)),
        ("slow", slow),
        ("young", chart("new.example.com", Span::Day, &young, NOW)),
        (
            "hour",
            chart(
                "blog",
                Span::Hour,
                &lived(outages, NOW - DAY, NOW - 440 * 60),
                NOW - 440 * 60,
            ),
        ),
        (
            "spring",
            chart(
                "blog",
                Span::Day,
                &lived(outages, spring - DAY, spring),
                spring,
            ),
        ),
        ("week", long("Żółw і кіт", Span::Week, outages)),
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
        (
            "strips",
            strips(
                24,
                &[
                    ("mail.example.com", |_| (Kind::Down, 0.0), None),
                    ("www.example.com", outages, None),
                    ("shop.example.com", evenings, None),
                    ("customer.example", flat, None),
                ],
            ),
        ),
        (
            "few",
            strips(
                6,
                &[
                    ("nextcloud.example.org", |_| (Kind::Down, 0.0), None),
                    (
                        "Müllers Lädchen, Bestellungen und Rechnungen",
                        outages,
                        None,
                    ),
                    ("shop.example.com", evenings, Some(500.0)),
                    ("\u{7F51}\u{7AD9}", flat, None),
                    ("router", flat, None),
                    ("backup NAS", flat, None),
                ],
            ),
        ),
    ]
}

/// Builds strips of `sites` sites; the last of `known` is repeated.
fn strips(sites: usize, known: &[(&str, Life, Option<f32>)]) -> Picture {
    let (from, to, count) = Span::Day.parts(NOW);
    let rows: Vec<Strip> = (0..sites.min(20))
        .map(|i| {
            let (name, life, slow) = known[i.min(known.len() - 1)];
            let history = lived(life, NOW - 2 * DAY, NOW);
            Strip {
                name: match i < known.len() {
                    true => name.to_owned(),
                    false => format!("{i}.{name}"),
                },
                percent: history.uptime(Span::Day, NOW).percent().unwrap_or_default(),
                slow,
                parts: history.parts(from, to, count),
            }
        })
        .collect();
    Picture {
        title: "All sites".into(),
        drawing: Drawing::Strips(Strips {
            name: format!("{sites} sites"),
            span: Span::Day.title().to_owned(),
            summary: format!("Now {} up, 1 down", sites - 1),
            left_out: sites - rows.len(),
            rows,
            ticks: ticks(from, to),
        }),
    }
}

/// Returns the path of a picture. Those shown in the documentation are in `docs/pictures`.
fn path(name: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let folder = match name {
        "slow" | "few" => "docs/pictures",
        _ => "tests/pictures",
    };
    root.join(folder).join(format!("{name}.png"))
}

#[test]
fn pictures_are_as_they_were_when_they_were_looked_at() {
    let anew = std::env::var_os("SITEMON_PICTURES").is_some();
    for (name, picture) in pictures() {
        let started = Instant::now();
        let (drawn, heap) = heap::peak(|| png(&picture));
        let took = started.elapsed();
        println!(
            "{name:8} {:6} bytes, {:.1} ms, heap {:3} KB",
            drawn.len(),
            took.as_secs_f64() * 1000.0,
            heap / 1000
        );
        assert!(drawn.len() < 60_000, "{name}: {} bytes", drawn.len());
        assert!(heap < 128_000, "{name}: {heap} bytes of heap");
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

/// Measures the heap memory that a picture takes.
mod heap {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::cell::Cell;

    thread_local! {
        /// Bytes in use since the last [`peak`] began, and their maximum.
        static USED: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
    }

    struct Counting;

    #[global_allocator]
    static COUNTING: Counting = Counting;

    fn count(bytes: usize, sign: isize) {
        // Fails in a thread that is ending.
        let _ = USED.try_with(|cell| {
            let (used, most) = cell.get();
            let used = used + sign * isize::try_from(bytes).unwrap_or(0);
            cell.set((used, most.max(used)));
        });
    }

    // SAFETY: forwards to the system allocator; `count` doesn't allocate.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            count(layout.size(), 1);
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            count(layout.size(), -1);
            unsafe { System.dealloc(block, layout) }
        }

        unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            // The old and the new block may exist at the same time.
            count(size, 1);
            count(layout.size(), -1);
            unsafe { System.realloc(block, layout, size) }
        }
    }

    /// Returns the result of `work` and the maximum of heap bytes in use during it.
    pub fn peak<T>(work: impl FnOnce() -> T) -> (T, isize) {
        USED.set((0, 0));
        let done = work();
        (done, USED.get().1)
    }
}

/// Decodes a picture with another decoder: width, and the palette index of each pixel.
fn pixels(png: &[u8]) -> (usize, Vec<u8>) {
    let number = |at: usize| {
        let bytes: [u8; 4] = png[at..at + 4].try_into().expect("four");
        u32::from_be_bytes(bytes) as usize
    };
    let width = number(16);
    let data = png
        .windows(4)
        .position(|kind| kind == b"IDAT")
        .expect("data");
    let packed = &png[data + 4..][..number(data - 4)];
    let mut rows = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::ZlibDecoder::new(packed), &mut rows)
        .expect("a sound stream");
    let row = |row: &[u8]| -> Vec<u8> {
        row[1..]
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .take(width)
            .collect()
    };
    (
        width,
        rows.chunks(1 + width.div_ceil(2)).flat_map(row).collect(),
    )
}

fn count(picture: &Picture, ink: Ink) -> usize {
    let (_, pixels) = pixels(&png(picture));
    pixels.iter().filter(|pixel| **pixel == ink as u8).count()
}

fn named(name: &str) -> Picture {
    let all = pictures().into_iter();
    all.filter(|(known, _)| *known == name)
        .map(|(_, picture)| picture)
        .next()
        .expect(name)
}

/// Returns the relative luminance (WCAG 2.1) of a colour, for normal vision or without cones for
/// red or for green (Machado, Oliveira and Fernandes 2009, severity 1).
fn luminance(color: [u8; 3], seen: [[f64; 3]; 3]) -> f64 {
    let linear = color.map(|part| match f64::from(part) / 255.0 {
        part if part <= 0.04045 => part / 12.92,
        part => ((part + 0.055) / 1.055).powf(2.4),
    });
    let dot = |row: [f64; 3]| row.iter().zip(linear).map(|(a, b)| a * b).sum::<f64>();
    let [red, green, blue] = seen.map(|row| dot(row).clamp(0.0, 1.0));
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

#[test]
fn up_and_down_differ_in_lightness_three_to_one_for_every_eye() {
    let eyes = [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ],
    ];
    let png = png(&named("few"));
    let palette = png
        .windows(4)
        .position(|kind| kind == b"PLTE")
        .expect("a palette")
        + 4;
    let color = |ink: u8| -> [u8; 3] {
        let at = palette + 3 * usize::from(ink);
        png[at..at + 3].try_into().expect("three")
    };
    const GROUND: u8 = 0;
    for eye in eyes {
        let contrast = |a: u8, b: u8| {
            let [a, b] = [a, b].map(|ink| luminance(color(ink), eye) + 0.05);
            a.max(b) / a.min(b)
        };
        for (a, b, least) in [
            (Ink::Down as u8, Ink::Up as u8, 3.0),
            (Ink::Up as u8, GROUND, 2.5),
            (Ink::Down as u8, GROUND, 7.0),
            (Ink::Slow as u8, Ink::Up as u8, 3.0),
            (Ink::Unwatched as u8, GROUND, 3.0),
            (Ink::Median as u8, Ink::Tail as u8, 3.0),
            (Ink::Faint as u8, GROUND, 7.0),
            (Ink::Text as u8, GROUND, 7.0),
        ] {
            assert!(contrast(a, b) >= least, "{a} {b}: {}", contrast(a, b));
        }
    }
}

#[test]
fn an_outage_takes_its_share_of_the_height() {
    let drawn = |down: f32| {
        let part = Part {
            up: 1.0 - down,
            down,
            ..Part::default()
        };
        let strip = Strip {
            parts: vec![part],
            ..Strip::default()
        };
        let picture = Picture {
            drawing: Drawing::Strips(Strips {
                rows: vec![strip],
                ..Strips::default()
            }),
            ..Picture::default()
        };
        count(&picture, Ink::Down) as f32
    };
    // The legend always contains a sample.
    let (half, whole) = (drawn(0.5), drawn(1.0));
    let legend = 2.0 * half - whole;
    for share in [0.4, 0.6, 0.8] {
        let drawn = (drawn(share) - legend) / (whole - legend);
        assert!((drawn - share).abs() < 0.05, "{share}: {drawn}");
    }
    assert!(drawn(1e-5) > legend);
    assert!(count(&named("slow"), Ink::Down) * 10 < count(&named("slow"), Ink::Up));
}

#[test]
fn what_is_not_there_is_in_no_legend() {
    for (name, inks) in [
        ("flat", [true, false, false, false]),
        ("down", [false, false, true, false]),
        ("outages", [true, false, true, true]),
        ("slow", [true, true, true, false]),
        ("young", [true, false, false, false]),
        ("never", [false, false, false, true]),
        ("few", [true, true, true, true]),
    ] {
        let picture = named(name);
        let there =
            [Ink::Up, Ink::Slow, Ink::Down, Ink::Unwatched].map(|ink| count(&picture, ink) > 0);
        assert_eq!(there, inks, "{name}");
    }
    // A part of an hour has one response time, so its median and 95th percentile are the same.
    assert_eq!(count(&named("hour"), Ink::Tail), 0);
    assert!(count(&named("flat"), Ink::Tail) > 0);
}

#[test]
fn pictures_are_not_much_higher_than_wide() {
    for (name, picture) in pictures() {
        let (width, pixels) = pixels(&png(&picture));
        let height = pixels.len() / width;
        assert!(
            width == draw::WIDTH as usize && height * 3 <= width * 4,
            "{name}: {height}"
        );
    }
}
