//! Draws the same pictures with block characters, for a terminal.

use crate::monitor::history::Part;
use crate::monitor::render::picture::{Chart, Drawing, Picture, Strips};

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const UP: char = '▂';
const SLOW: char = '▆';
const DOWN: char = '×';
const COLUMNS: usize = 48;
/// Maximum length of a name in characters; a longer one gets a line of its own.
const NAME: usize = 17;

/// Returns lines of plain text, or an empty string if there is nothing to show.
pub fn sparkline(picture: &Picture) -> String {
    match &picture.drawing {
        Drawing::Nothing => String::new(),
        Drawing::Chart(chart) => chart_lines(chart),
        Drawing::Strips(strips) => strip_lines(strips),
    }
}

fn chart_lines(chart: &Chart) -> String {
    let columns = columns(&chart.parts);
    let slowest = columns.iter().filter_map(|p| p.median).fold(0.0, f32::max);
    let line: String = columns
        .iter()
        .map(|part| match part.median {
            _ if part.down > 0.0 => DOWN,
            Some(median) => {
                let step = (median / slowest.max(0.001) * 7.0).round();
                BLOCKS[(step as usize).min(7)]
            }
            None => ' ',
        })
        .collect();
    let mut legend = Vec::new();
    if slowest > 0.0 {
        legend.push(match slowest {
            ..600_000.0 => format!("█ {slowest:.0} ms"),
            _ => format!("█ {:.1} min", slowest / 60_000.0),
        });
    }
    if line.contains(DOWN) {
        legend.push("× down".to_owned());
    }
    let legend = legend.join(", ");
    format!("{line}\n{}\n{legend}", axis(chart.ticks.iter()))
}

fn strip_lines(strips: &Strips) -> String {
    let indent = " ".repeat(NAME + 1);
    let mut lines: Vec<String> = Vec::new();
    let mut marks = String::new();
    for row in &strips.rows {
        let line: String = columns(&row.parts)
            .iter()
            .map(|part| mark(part, row.slow))
            .collect();
        let wide = row.name.chars().count();
        if wide > NAME {
            lines.push(row.name.clone());
            lines.push(format!("{indent}{line} {}", row.percent));
        } else {
            let gap = " ".repeat(NAME - wide);
            lines.push(format!("{}{gap} {line} {}", row.name, row.percent));
        }
        marks.push_str(&line);
    }
    lines.push(format!("{indent}{}", axis(strips.ticks.iter())));
    if strips.left_out > 0 {
        lines.push(format!("and {} more, none of them worse", strips.left_out));
    }
    let legend = [(UP, "up"), (SLOW, "slow"), (DOWN, "down")]
        .into_iter()
        .filter(|(mark, _)| marks.contains(*mark))
        .map(|(mark, word)| format!("{mark} {word}"));
    lines.push(legend.collect::<Vec<_>>().join(", "));
    lines.join("\n")
}

fn mark(part: &Part, slow: Option<f32>) -> char {
    match part {
        _ if part.down > 0.0 => DOWN,
        _ if part.is_slow(slow) => SLOW,
        _ if part.up > 0.0 => UP,
        _ => ' ',
    }
}

/// Returns the line of time labels under the columns, without those for which there is no room.
fn axis<'a>(ticks: impl Iterator<Item = &'a crate::monitor::render::picture::Tick>) -> String {
    let mut line = String::new();
    let mut wide = 0;
    for tick in ticks {
        let at = (tick.at.clamp(0.0, 1.0) * COLUMNS as f32) as usize;
        let length = tick.label.chars().count();
        if (wide > 0 && at <= wide) || at + length > COLUMNS + 4 {
            continue;
        }
        line.push_str(&" ".repeat(at - wide));
        line.push_str(&tick.label);
        wide = at + length;
    }
    line
}

/// Merges parts into one per column. A column is down if any of its parts is.
fn columns(parts: &[Part]) -> Vec<Part> {
    let place = |column: usize| column * parts.len() / COLUMNS;
    (0..COLUMNS)
        .map(|column| {
            let parts = parts.get(place(column)..place(column + 1).max(place(column) + 1));
            let parts = parts.unwrap_or_default();
            let most = |value: fn(&Part) -> f32| parts.iter().map(value).fold(0.0, f32::max);
            Part {
                up: most(|p| p.up),
                down: most(|p| p.down),
                unknown: 0.0,
                median: parts.iter().filter_map(|p| p.median).reduce(f32::max),
                p95: None,
            }
        })
        .collect()
}
