//! The data of pictures; `chart` draws them.

use crate::monitor::history::Part;
use crate::monitor::time::text::date;

/// Maximum number of strips that are drawn: more would make the picture too high for its width.
pub const MOST_STRIPS: usize = 15;

/// A picture to be drawn by the transport: plain data, no pixels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// One line of plain text that describes the picture. It replaces the picture where that cannot
    /// be shown.
    pub title: String,
    pub drawing: Drawing,
}

/// The content of a picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Drawing {
    #[default]
    Nothing,
    Chart(Chart),
    Strips(Strips),
}

/// Whether the font of pictures has this character: Latin and Cyrillic (U+0020 to U+017F, U+0400 to
/// U+045F), and the ellipsis of a truncated text.
pub fn has_letter(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{A0}'..='\u{17F}' | '\u{400}'..='\u{45F}' | '…')
}

/// Whether a name is legible in a picture: at least one of its letters or digits can be drawn.
pub fn is_legible(name: &str) -> bool {
    name.chars().any(|c| has_letter(c) && c.is_alphanumeric())
}

/// The response times of one site, and when it was down.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chart {
    /// The site's name, not escaped.
    pub name: String,
    /// `last 24 h`.
    pub span: String,
    /// `99.95 % up of 23 h 10 min watched`.
    pub summary: String,
    /// Response time in ms above which the site is degraded.
    pub slow: Option<f32>,
    /// Equal parts of the span, oldest first.
    pub parts: Vec<Part>,
    pub ticks: Vec<Tick>,
}

/// One strip per site: up, down or not watched.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Strips {
    /// The number of sites: `24 sites`.
    pub name: String,
    pub span: String,
    /// The counts of the states: `3 up, 1 down`.
    pub summary: String,
    /// Worst first.
    pub rows: Vec<Strip>,
    /// Number of sites without a strip. None of them is worse than those shown.
    pub left_out: usize,
    pub ticks: Vec<Tick>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Strip {
    pub name: String,
    /// `99.95 %`; empty if it is unknown.
    pub percent: String,
    /// Response time in ms above which the site is degraded.
    pub slow: Option<f32>,
    pub parts: Vec<Part>,
}

/// A label on the time axis, in local time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tick {
    /// Position on the axis, from 0 (oldest) to 1.
    pub at: f32,
    pub label: String,
}

/// Returns two to eight labels at round local times between `from` and `to` (Unix seconds). `local`
/// converts Unix seconds to local time, in seconds since 1970-01-01 00:00 local time.
pub fn ticks(from: i64, to: i64, local: impl Fn(i64) -> i64) -> Vec<Tick> {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 3600;
    const DAY: i64 = 86_400;
    const MOST: i64 = 7;
    let every = [2, 5, 10, 20, 30]
        .map(|n| n * MINUTE)
        .into_iter()
        .chain([1, 2, 4, 12].map(|n| n * HOUR))
        .chain([1, 2, 5].map(|n| n * DAY))
        .find(|every| (to - from) / every <= MOST)
        .unwrap_or(15 * DAY);
    let mut ticks = Vec::new();
    let mut before = local(from).div_euclid(every);
    // Offsets of time zones are multiples of 15 minutes.
    let step = every.min(15 * MINUTE);
    let first = from.div_euclid(step) * step + step;
    for at in (first..to).step_by(usize::try_from(step).unwrap_or(900)) {
        let shown = local(at);
        let number = shown.div_euclid(every);
        // An hour that occurs twice has one label.
        if number > before {
            before = number;
            let minute = shown.rem_euclid(DAY) / MINUTE;
            let label = if every < DAY && minute != 0 {
                format!("{:02}:{:02}", minute / 60, minute % 60)
            } else {
                date(shown.div_euclid(DAY))
            };
            ticks.push(Tick {
                at: (at - from) as f32 / (to - from) as f32,
                label,
            });
        }
    }
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_any_length_has_a_few_labels_in_order() {
        for minutes in (12..=90 * 1440).step_by(7) {
            let to = 1_795_564_800;
            let from = to - minutes * 60;
            let ticks = ticks(from, to, |wall| wall + 20_700);
            assert!((2..=8).contains(&ticks.len()), "{minutes}: {ticks:?}");
            assert!(ticks.is_sorted_by(|a, b| a.at < b.at && a.label != b.label));
        }
    }
}
