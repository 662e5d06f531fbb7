//! Draws the two kinds of pictures: the response times of one site, and one strip per site.
//!
//! Phones show a picture 300 points wide, or narrower if it is much higher than wide. Sizes are
//! chosen so that text is at least eleven points high there.

use super::canvas::{Canvas, Ink, png as draw_png};
use super::font::LINE;
use crate::monitor::history::Part;
use crate::monitor::render::picture::{
    Chart, Drawing, MOST_STRIPS, Picture, Strip, Strips, Tick, is_legible,
};

/// Width of a picture. All lengths in this file are in pixels.
pub const WIDTH: i32 = 900;
const MARGIN: i32 = 20;
const RIGHT: i32 = WIDTH - MARGIN;
/// Minimum length of an outage, so that short ones are visible.
const MIN_LENGTH: i32 = 6;

/// Draws `picture` as PNG. Returns no bytes if there is nothing to draw.
pub fn png(picture: &Picture) -> Vec<u8> {
    match &picture.drawing {
        Drawing::Nothing => Vec::new(),
        Drawing::Chart(chart) => draw_png(WIDTH, |canvas| draw_chart(canvas, chart)),
        Drawing::Strips(strips) => draw_png(WIDTH, |canvas| draw_strips(canvas, strips)),
    }
}

/// Draws a chart and returns its height.
fn draw_chart(canvas: &mut Canvas, chart: &Chart) -> i32 {
    const PLOT: i32 = 330;
    const STATES: i32 = 34;
    let name = if is_legible(&chart.name) {
        &chart.name
    } else {
        "(name below)"
    };
    let top = head(canvas, name, &chart.span, &chart.summary) + 12;
    let slowest = chart.parts.iter().filter_map(|p| p.p95).fold(0.0, f32::max);
    // A limit far above all values would flatten the curve.
    let limit = chart.slow.filter(|slow| *slow < 2.5 * slowest);
    let (step, lines) = scale(slowest.max(limit.unwrap_or(0.0)));
    let labels: Vec<String> = (0..=lines).map(|n| millis(step * n as f32, step)).collect();
    let widest = labels.iter().map(|label| canvas.font.width(label)).max();
    let answered = slowest > 0.0;
    let mut plot = Plot {
        left: MARGIN,
        right: RIGHT,
        parts: chart.parts.len(),
    };
    let mut legend = Vec::new();
    let mut bottom = top;
    if answered {
        plot.left += widest.unwrap_or(0) + 10;
        bottom += PLOT;
        let height = |millis: f32| {
            let share = (millis / (step * lines as f32)).clamp(0.0, 1.0);
            bottom - 2 - (share * (PLOT - LINE / 2) as f32).round() as i32
        };
        for tick in &chart.ticks {
            let x = plot.at(tick.at);
            canvas.fill((x, top), (x + 2, bottom), Ink::Grid);
        }
        for (label, n) in labels.iter().zip(0..) {
            let y = height(step * n as f32);
            canvas.fill((plot.left, y), (RIGHT, y + 2), Ink::Grid);
            canvas.text_to((plot.left - 10, y - LINE / 2), label, Ink::Faint);
        }
        for (i, part) in chart.parts.iter().enumerate() {
            if let (Some(median), Some(p95)) = (part.median, part.p95) {
                let (from, to) = plot.part(i);
                canvas.fill((from, height(p95)), (to, height(median)), Ink::Tail);
            }
        }
        if let Some(limit) = limit {
            slow_line(canvas, (plot.left, RIGHT), height(limit));
        }
        median_line(canvas, &plot, &chart.parts, height);
        legend.push((Sample::Median, "median".to_owned()));
        if chart.parts.iter().any(|part| part.p95 > part.median) {
            legend.push((Sample::Tail, "95th percentile".to_owned()));
        }
        legend.extend(limit.map(|slow| (Sample::Limit, format!("limit {}", millis(slow, slow)))));
        bottom += 10;
    }
    let rows = (bottom, bottom + STATES);
    draw_states(canvas, &plot, rows, &chart.parts, chart.slow);
    legend.extend(states(chart.parts.iter().map(|part| (part, chart.slow))));
    let bottom = time_axis(canvas, &plot, &chart.ticks, bottom + STATES);
    draw_legend(canvas, bottom + 10, &legend) + 16
}

fn median_line(canvas: &mut Canvas, plot: &Plot, parts: &[Part], height: impl Fn(f32) -> i32) {
    let mut before = None;
    for (i, part) in parts.iter().enumerate() {
        let point = part.median.map(|median| {
            let (from, to) = plot.part(i);
            ((from + to) / 2, height(median))
        });
        // Draws a dot for a value without neighbours.
        if let Some(point) = point {
            canvas.line(before.unwrap_or(point), point, Ink::Median);
        }
        before = point;
    }
}

/// Draws a dashed line at the response time above which the site is degraded.
fn slow_line(canvas: &mut Canvas, (left, right): (i32, i32), y: i32) {
    for x in (left..right).step_by(22) {
        canvas.fill((x, y - 1), (right.min(x + 12), y + 2), Ink::Slow);
    }
}

fn draw_strips(canvas: &mut Canvas, strips: &Strips) -> i32 {
    const STRIP: i32 = 18;
    let mut y = head(canvas, &strips.name, &strips.span, &strips.summary) + 10;
    let shown = &strips.rows[..strips.rows.len().min(MOST_STRIPS)];
    for (strip, number) in shown.iter().zip(1..) {
        let ink = if strip.percent.starts_with("100") {
            Ink::Faint
        } else {
            Ink::Text
        };
        let end = canvas.text_to((RIGHT, y), &strip.percent, ink) - 20;
        // A name that can't be drawn is replaced by its number in the caption.
        let numbered = format!("#{number}");
        let name = if is_legible(&strip.name) {
            &strip.name
        } else {
            &numbered
        };
        canvas.text((MARGIN, y), end - MARGIN, name, Ink::Text);
        y += LINE;
        let plot = Plot::wide(strip.parts.len());
        draw_states(canvas, &plot, (y, y + STRIP), &strip.parts, strip.slow);
        y += STRIP + 2;
    }
    y = time_axis(canvas, &Plot::wide(1), &strips.ticks, y);
    let left_out = strips.left_out + strips.rows.len() - shown.len();
    if left_out > 0 {
        let more = format!("and {left_out} more, none of them worse");
        canvas.text((MARGIN, y), RIGHT - MARGIN, &more, Ink::Faint);
        y += LINE;
    }
    fn parts(strip: &Strip) -> impl Iterator<Item = (&Part, Option<f32>)> + Clone {
        strip.parts.iter().map(|part| (part, strip.slow))
    }
    let legend: Vec<_> = states(shown.iter().flat_map(parts)).collect();
    draw_legend(canvas, y + 10, &legend) + 16
}

/// Draws name, span and summary, and returns where they end.
fn head(canvas: &mut Canvas, name: &str, span: &str, summary: &str) -> i32 {
    let mut y = 14;
    let end = canvas.text_to((RIGHT, y), span, Ink::Faint) - 20;
    // Drawn twice, one pixel apart, because the font has no bold face.
    for x in [MARGIN, MARGIN + 1] {
        canvas.text((x, y), end - MARGIN, name, Ink::Text);
    }
    let mut line = String::new();
    for word in summary.split_inclusive(' ') {
        if canvas.font.width(&line) + canvas.font.width(word) > RIGHT - MARGIN {
            y += LINE;
            canvas.text((MARGIN, y), RIGHT - MARGIN, &line, Ink::Faint);
            line.clear();
        }
        line.push_str(word);
    }
    y += LINE;
    canvas.text((MARGIN, y), RIGHT - MARGIN, &line, Ink::Faint);
    y + LINE
}

/// The horizontal range of a plot and the number of parts that it is divided into.
struct Plot {
    left: i32,
    right: i32,
    parts: usize,
}

impl Plot {
    fn wide(parts: usize) -> Plot {
        Plot {
            left: MARGIN,
            right: RIGHT,
            parts,
        }
    }

    fn at(&self, share: f32) -> i32 {
        self.left + (share * (self.right - self.left) as f32).round() as i32
    }

    fn part(&self, i: usize) -> (i32, i32) {
        let parts = self.parts.max(1) as f32;
        (self.at(i as f32 / parts), self.at((i + 1) as f32 / parts))
    }
}

/// Draws the state of each part. The height of an outage is its share of the part.
fn draw_states(
    canvas: &mut Canvas,
    plot: &Plot,
    (top, bottom): (i32, i32),
    parts: &[Part],
    slow: Option<f32>,
) {
    for (i, part) in parts.iter().enumerate() {
        let (from, to) = plot.part(i);
        if part.up > 0.0 {
            canvas.fill((from, top), (to, bottom), Ink::Up);
        }
        if part.up > 0.0 && part.is_slow(slow) {
            canvas.hatch((from, top), (to, bottom), Ink::Slow);
        }
        if part.is_unwatched() {
            let middle = (top + bottom) / 2;
            canvas.fill((from, middle - 2), (to, middle + 2), Ink::Unwatched);
        }
    }
    // Outages are drawn last because they may be wider than their part.
    for (i, part) in parts.iter().enumerate() {
        if part.down > 0.0 {
            let (from, to) = plot.part(i);
            let height = (part.down * (bottom - top) as f32).round() as i32;
            let at = bottom - height.max(MIN_LENGTH);
            canvas.fill((from, at), (to.max(from + MIN_LENGTH), bottom), Ink::Down);
        }
    }
}

fn time_axis(canvas: &mut Canvas, plot: &Plot, ticks: &[Tick], y: i32) -> i32 {
    let mut free = 0;
    for tick in ticks {
        let x = plot.at(tick.at);
        canvas.fill((x, y), (x + 2, y + 8), Ink::Faint);
        let width = canvas.font.width(&tick.label);
        let from = (x - width / 2).min(WIDTH - 6 - width);
        if from >= free {
            canvas.text((from, y + 8), width, &tick.label, Ink::Faint);
            free = from + width + 16;
        }
    }
    y + 8 + LINE
}

/// The symbol of a legend entry.
enum Sample {
    Median,
    Tail,
    Limit,
    /// A strip with this part.
    State(Part),
}

/// Returns the legend entries of the states that occur in `parts`.
fn states<'a>(
    parts: impl Iterator<Item = (&'a Part, Option<f32>)> + Clone,
) -> impl Iterator<Item = (Sample, String)> {
    let up = Part {
        up: 1.0,
        ..Part::default()
    };
    let slow = Part {
        median: Some(f32::INFINITY),
        ..up
    };
    let down = Part {
        down: 0.6,
        ..Part::default()
    };
    let unwatched = Part {
        unknown: 1.0,
        ..Part::default()
    };
    [
        (
            "up",
            up,
            parts
                .clone()
                .any(|(p, slow)| p.up > 0.0 && !p.is_slow(slow)),
        ),
        ("slow", slow, parts.clone().any(|(p, slow)| p.is_slow(slow))),
        ("down", down, parts.clone().any(|(p, _)| p.down > 0.0)),
        (
            "not watched",
            unwatched,
            parts.clone().any(|(p, _)| p.is_unwatched()),
        ),
    ]
    .into_iter()
    .filter(|(_, _, shown)| *shown)
    .map(|(word, part, _)| (Sample::State(part), word.to_owned()))
}

fn draw_legend(canvas: &mut Canvas, mut y: i32, entries: &[(Sample, String)]) -> i32 {
    const SAMPLE: i32 = 36;
    let mut x = MARGIN;
    for (sample, word) in entries {
        if x + SAMPLE + 10 + canvas.font.width(word) > RIGHT && x > MARGIN {
            (x, y) = (MARGIN, y + LINE);
        }
        let (end, middle) = (x + SAMPLE, y + LINE / 2);
        let (top, bottom) = (middle - 11, middle + 11);
        match sample {
            Sample::Median => canvas.line((x + 2, middle), (end - 2, middle), Ink::Median),
            Sample::Tail => canvas.fill((x, top), (end, bottom), Ink::Tail),
            Sample::Limit => slow_line(canvas, (x, end), middle),
            Sample::State(part) => {
                let plot = Plot {
                    left: x,
                    right: end,
                    parts: 1,
                };
                draw_states(canvas, &plot, (top, bottom), &[*part], Some(f32::MAX));
            }
        }
        x = canvas.text((end + 10, y), RIGHT - end - 10, word, Ink::Faint) + 30;
    }
    y + LINE
}

/// Returns the distance and the number of grid lines: three to five, at round values.
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

/// Formats a label of the scale with the precision of `step`.
fn millis(value: f32, step: f32) -> String {
    match value {
        0.0 => "0".to_owned(),
        // Runs of jobs take minutes.
        _ if step >= 100_000.0 => format!("{:.1} min", value / 60_000.0),
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
