//! Pictures as the core knows them: what is to be seen, not how it is drawn.

use crate::monitor::history::{Part, Span};
use crate::monitor::time::text::date;

/// A picture to be drawn by the transport's side: plain data, no pixels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// One line of plain text that says what it shows; also its name where it can't be shown.
    pub title: String,
    pub drawing: Drawing,
}

/// What is drawn.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Drawing {
    #[default]
    Nothing,
    Chart(Chart),
    Strips(Strips),
}

/// The response time of one site, and when it was down.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chart {
    /// The site's name, as it is.
    pub name: String,
    /// `last 24 h`.
    pub span: String,
    /// `99.95 % up of 23 h 10 min watched`.
    pub summary: String,
    /// Equal parts of the time, oldest first.
    pub parts: Vec<Part>,
    pub ticks: Vec<Tick>,
}

/// One strip a site: up, down, not watched.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Strips {
    pub span: String,
    /// Counts of the states: `3 up, 1 down`.
    pub summary: String,
    /// Worst first.
    pub rows: Vec<Strip>,
    /// Sites that have no strip, all at least as well as those shown.
    pub left_out: usize,
    pub ticks: Vec<Tick>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Strip {
    pub name: String,
    /// `99.95 %`; empty when nothing is known.
    pub percent: String,
    pub parts: Vec<Part>,
}

/// A label on the time axis, in local time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tick {
    /// Where, from 0 (oldest) to 1.
    pub at: f32,
    pub label: String,
}

/// Labels of the time from `from` to `to` (Unix seconds) at round local times; `local` is what a
/// clock on the wall shows, as seconds since 1970 of its own reckoning.
pub fn ticks(span: Span, from: i64, to: i64, local: impl Fn(i64) -> i64) -> Vec<Tick> {
    const DAY: i64 = 86_400;
    let every = match span {
        Span::Day => 4 * 3600,
        Span::Week => DAY,
        Span::Month => 5 * DAY,
        Span::Quarter => 15 * DAY,
    };
    let mut ticks = Vec::new();
    let mut before = local(from).div_euclid(every);
    // Zones are ahead by quarters of an hour.
    let first = from.div_euclid(900) * 900 + 900;
    for at in (first..to).step_by(900) {
        let shown = local(at);
        let number = shown.div_euclid(every);
        // An hour that comes twice has one label.
        if number > before {
            before = number;
            let hour = shown.rem_euclid(DAY) / 3600;
            let label = match span {
                Span::Day if hour != 0 => format!("{hour:02}:{:02}", shown.rem_euclid(3600) / 60),
                _ => date(shown.div_euclid(DAY)),
            };
            ticks.push(Tick {
                at: (at - from) as f32 / (to - from) as f32,
                label,
            });
        }
    }
    ticks
}
