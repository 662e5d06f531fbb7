//! The two pictures: the response time of one site, and a strip for each of many.

use super::canvas::{Canvas, GLYPH, Ink};
use crate::monitor::history::Part;
use crate::monitor::render::picture::{Chart, Drawing, Picture, Strips, Tick};

const WIDTH: i32 = 800;
const MARGIN: i32 = 16;
const RIGHT: i32 = WIDTH - MARGIN;
/// Below the two lines at the top.
const TOP: i32 = 82;

/// Draws it; empty when there is nothing to draw.
pub fn png(picture: &Picture) -> Vec<u8> {
    match &picture.drawing {
        Drawing::Nothing => Vec::new(),
        Drawing::Chart(chart) => draw_chart(chart).png(),
        Drawing::Strips(strips) => draw_strips(strips).png(),
    }
}

fn draw_chart(chart: &Chart) -> Canvas {
    const LEFT: i32 = MARGIN + 7 * GLYPH.0 + 6;
    const BOTTOM: i32 = 382;
    let mut canvas = Canvas::new(WIDTH, BOTTOM + 70);
    head(&mut canvas, &chart.name, &chart.span, &chart.summary);
    canvas.fill((LEFT, TOP), (RIGHT, BOTTOM), Ink::Plot);
    let plot = Plot::new(LEFT, RIGHT, chart.parts.len());
    let sides = (TOP, BOTTOM);
    bands(&mut canvas, &plot, &chart.parts, sides, Ink::DownBand);
    let slowest = chart.parts.iter().filter_map(|p| p.p95).fold(0.0, f32::max);
    let (step, count) = scale(slowest);
    let height = |millis: f32| {
        let share = (millis / (step * count as f32)).clamp(0.0, 1.0);
        BOTTOM - 1 - (share * (BOTTOM - TOP - 2) as f32).round() as i32
    };
    for line in 0..=count {
        let y = height(step * line as f32);
        if line > 0 && slowest > 0.0 {
            canvas.fill((LEFT, y), (RIGHT, y + 1), Ink::Grid);
        }
        if slowest > 0.0 || line == 0 {
            let label = millis(step * line as f32, step);
            let at = (y - GLYPH.1 / 2).min(BOTTOM - GLYPH.1 + 4);
            canvas.text_to((LEFT - 8, at), &label, Ink::Faint);
        }
    }
    time_axis(&mut canvas, &plot, &chart.ticks, (TOP, BOTTOM));
    for (i, part) in chart.parts.iter().enumerate() {
        if let (Some(median), Some(p95)) = (part.median, part.p95) {
            let (from, to) = plot.part(i);
            canvas.fill((from, height(p95)), (to, height(median) + 1), Ink::Tail);
        }
    }
    median_line(&mut canvas, &plot, &chart.parts, height);
    let kinds = [
        (Ink::Median, "median"),
        (Ink::Tail, "to 95th percentile"),
        (Ink::Down, "down"),
        (Ink::Unknown, "not watched"),
    ];
    legend(&mut canvas, (LEFT, BOTTOM + 40), &kinds);
    canvas
}

fn median_line(canvas: &mut Canvas, plot: &Plot, parts: &[Part], height: impl Fn(f32) -> i32) {
    let mut before = None;
    for (i, part) in parts.iter().enumerate() {
        let point = part.median.map(|median| {
            let (from, to) = plot.part(i);
            ((from + to) / 2, height(median))
        });
        match (before, point) {
            (Some(before), Some(point)) => canvas.line(before, point, Ink::Median),
            // One alone must be seen too.
            (None, Some((x, y))) => canvas.fill((x - 1, y - 1), (x + 2, y + 2), Ink::Median),
            _ => {}
        }
        before = point;
    }
}

fn draw_strips(strips: &Strips) -> Canvas {
    const NAMES: i32 = 17 * GLYPH.0;
    const PERCENT: i32 = 8 * GLYPH.0;
    const STEP: i32 = 28;
    let rows = i32::try_from(strips.rows.len()).unwrap_or(0);
    let bottom = TOP + rows * STEP;
    let left_out = i32::from(strips.left_out > 0) * 28;
    let mut canvas = Canvas::new(WIDTH, bottom + 70 + left_out);
    head(&mut canvas, "All sites", &strips.span, &strips.summary);
    let (left, right) = (MARGIN + NAMES + 6, RIGHT - PERCENT - 4);
    for (i, strip) in strips.rows.iter().enumerate() {
        let y = TOP + i32::try_from(i).unwrap_or(0) * STEP;
        canvas.text((MARGIN, y + 2), NAMES, &strip.name, Ink::Text);
        canvas.fill((left, y), (right, y + STEP - 5), Ink::Plot);
        let plot = Plot::new(left, right, strip.parts.len());
        for (n, part) in strip.parts.iter().enumerate() {
            if part.up > 0.0 {
                let (from, to) = plot.part(n);
                canvas.fill((from, y), (to, y + STEP - 5), Ink::Up);
            }
        }
        let sides = (y, y + STEP - 5);
        bands(&mut canvas, &plot, &strip.parts, sides, Ink::Down);
        let ink = if strip.percent.starts_with("100") {
            Ink::Faint
        } else {
            Ink::Text
        };
        canvas.text_to((RIGHT, y + 2), &strip.percent, ink);
    }
    let plot = Plot::new(left, right, 1);
    time_axis(&mut canvas, &plot, &strips.ticks, (bottom, bottom));
    let kinds = [
        (Ink::Up, "up"),
        (Ink::Down, "down"),
        (Ink::Unknown, "not watched"),
    ];
    if strips.left_out > 0 {
        let more = format!("and {} more, none of them worse", strips.left_out);
        canvas.text((MARGIN, bottom + 30), RIGHT - MARGIN, &more, Ink::Faint);
    }
    legend(&mut canvas, (left, bottom + 40 + left_out), &kinds);
    canvas
}

fn head(canvas: &mut Canvas, name: &str, span: &str, summary: &str) {
    let wide = i32::try_from(span.chars().count()).unwrap_or(0) * GLYPH.0;
    let name = if name.chars().any(|c| c <= '\u{FF}' && c.is_alphanumeric()) {
        name
    } else {
        "(name below)"
    };
    // Twice, a pixel apart: there is no bold face.
    for x in [MARGIN, MARGIN + 1] {
        canvas.text((x, 14), RIGHT - MARGIN - wide - 20, name, Ink::Text);
    }
    canvas.text_to((RIGHT, 14), span, Ink::Faint);
    canvas.text((MARGIN, 40), RIGHT - MARGIN, summary, Ink::Faint);
}

/// Where the parts of the time lie.
struct Plot {
    left: i32,
    right: i32,
    parts: usize,
}

impl Plot {
    fn new(left: i32, right: i32, parts: usize) -> Plot {
        Plot { left, right, parts }
    }

    fn at(&self, share: f32) -> i32 {
        self.left + (share * (self.right - self.left) as f32).round() as i32
    }

    fn part(&self, i: usize) -> (i32, i32) {
        let parts = self.parts.max(1) as f32;
        (self.at(i as f32 / parts), self.at((i + 1) as f32 / parts))
    }
}

/// Outages, and time without checks.
fn bands(canvas: &mut Canvas, plot: &Plot, parts: &[Part], (top, bottom): (i32, i32), down: Ink) {
    for (i, part) in parts.iter().enumerate() {
        let (from, to) = plot.part(i);
        if part.down > 0.0 {
            canvas.fill((from, top), (to.max(from + 2), bottom), down);
            if down == Ink::DownBand {
                canvas.fill((from, top), (to.max(from + 2), top + 6), Ink::Down);
            }
        } else if part.unknown > 0.5 {
            canvas.fill((from, top), (to, bottom), Ink::Unknown);
        }
    }
}

fn time_axis(canvas: &mut Canvas, plot: &Plot, ticks: &[Tick], (top, bottom): (i32, i32)) {
    let mut free = plot.left - GLYPH.0 * 2;
    for tick in ticks {
        let x = plot.at(tick.at);
        canvas.dotted(x, (top, bottom), Ink::Grid);
        canvas.fill((x, bottom), (x + 1, bottom + 5), Ink::Faint);
        let wide = i32::try_from(tick.label.chars().count()).unwrap_or(0) * GLYPH.0;
        let from = x - wide / 2;
        if from >= free && from + wide <= RIGHT + MARGIN - 4 {
            canvas.text((from, bottom + 8), wide, &tick.label, Ink::Faint);
            free = from + wide + GLYPH.0;
        }
    }
}

fn legend(canvas: &mut Canvas, (mut x, y): (i32, i32), kinds: &[(Ink, &str)]) {
    for (ink, word) in kinds {
        let thin = *ink == Ink::Median;
        let (top, bottom) = if thin {
            (y + 8, y + 11)
        } else {
            (y + 3, y + 17)
        };
        canvas.fill((x, top), (x + 14, bottom), *ink);
        x = canvas.text((x + 20, y), RIGHT, word, Ink::Faint) + 24;
    }
}

/// Distance and number of the lines of the scale: three to five, at round numbers.
fn scale(slowest: f32) -> (f32, i32) {
    let least = slowest.max(1.0) * 1.05 / 5.0;
    let ten = 10f32.powi(least.log10().floor() as i32);
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .map(|m| m * ten)
        .into_iter()
        .find(|step| *step >= least)
        .unwrap_or(10.0 * ten);
    (step, (slowest.max(1.0) * 1.05 / step).ceil() as i32)
}

/// A label of the scale, as exact as its lines are apart.
fn millis(value: f32, step: f32) -> String {
    match value {
        0.0 => "0".to_owned(),
        _ if value >= 1000.0 && step >= 1000.0 && step % 1000.0 == 0.0 => {
            format!("{:.0} s", value / 1000.0)
        }
        _ if value >= 1000.0 && step >= 100.0 && step % 100.0 == 0.0 => {
            format!("{:.1} s", value / 1000.0)
        }
        _ if value >= 1000.0 => format!("{:.2} s", value / 1000.0),
        _ if step < 1.0 => format!("{value:.1} ms"),
        _ => format!("{value:.0} ms"),
    }
}
