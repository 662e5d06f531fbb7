//! The reply to `/chart`: the picture's data, and the text below it.

use crate::monitor::history::recording::Recorder;
use crate::monitor::history::{History, RUN_SCALE, Share, Span};
use crate::monitor::render::picture::{
    Chart, Drawing, MOST_STRIPS, Picture, Strip, Strips, Tick, is_legible, ticks,
};
use crate::monitor::render::state_counts::up_and_others;
use crate::monitor::render::text::{bold, count, escape};
use crate::monitor::site::state::{SiteState, State};
use crate::monitor::time::Now;
use crate::monitor::time::text::{lasting, response, run_time};
use std::time::Duration;

/// Maximum number of strips in one picture; the best sites are left out. A terminal shows all
/// strips.
const STRIPS: usize = 20;

/// Returns the response times of one site, or the run times of its job, and when it was down.
pub(crate) fn one(
    watched: &SiteState,
    history: &History,
    span: Span,
    now: Now,
) -> (String, Picture) {
    let first = history.first_watched(now.wall);
    let (from, to, parts) = span.parts_since(first, now.wall);
    let share = history.uptime(span, now.wall);
    let mut summary = summary(share, span);
    if let Some((median, p95)) = history.paces(span, now.wall) {
        let text = |took: Duration| match watched.job() {
            Some(_) => run_time(took * RUN_SCALE),
            None => response(took),
        };
        let what = match watched.job() {
            Some(_) => "run time median",
            None => "median",
        };
        let (median, p95) = (text(median), text(p95));
        summary.push_str(&format!(", {what} {median}, 95th {p95}"));
    }
    let mut parts = history.parts(from, to, parts);
    if watched.job().is_some() {
        let paces = parts.iter_mut().flat_map(|p| [&mut p.median, &mut p.p95]);
        paces.flatten().for_each(|ms| *ms *= RUN_SCALE as f32);
    }
    let html = format!("📈 {}, {}: {summary}", bold(watched.name()), span.title());
    let picture = Picture {
        title: format!("{}, {}", watched.name(), span.title()),
        drawing: Drawing::Chart(Chart {
            name: watched.name().to_owned(),
            span: span.title().to_owned(),
            summary,
            slow: slow(watched),
            parts,
            ticks: local_ticks(from, to, now),
        }),
    };
    (html, picture)
}

/// Returns a strip for each site, worst first.
pub(crate) fn many(
    sites: &[&SiteState],
    history: &Recorder,
    span: Span,
    now: Now,
) -> (String, Picture) {
    let mut shares: Vec<(Share, &SiteState)> = sites
        .iter()
        .map(|w| (history.of(w).uptime(span, now.wall), *w))
        .collect();
    // Sites without data come last.
    shares.sort_by_key(|(share, w)| (share.up_of_10000().unwrap_or(u32::MAX), !w.is_down()));
    let shown = &shares[..shares.len().min(STRIPS)];
    // All strips share one axis.
    let first = shown
        .iter()
        .filter_map(|(_, w)| history.of(w).first_watched(now.wall))
        .min();
    let (from, to, parts) = span.parts_since(first, now.wall);
    let rows: Vec<Strip> = shown
        .iter()
        .map(|(share, w)| Strip {
            name: w.name().to_owned(),
            percent: share.percent().unwrap_or_default(),
            slow: slow(w),
            parts: history.of(w).parts(from, to, parts),
        })
        .collect();
    let counts = up_and_others(sites, &State::ALL).join(", ");
    let faultless = shares
        .iter()
        .filter(|(s, _)| s.down.is_zero() && !s.up.is_zero());
    let html = format!(
        "📊 <b>{}</b>, {}: {} without an outage. Now {counts}",
        count(shares.len(), "site"),
        span.title(),
        faultless.count()
    );
    let picture = Picture {
        title: format!("{}, {}", count(shares.len(), "site"), span.title()),
        drawing: Drawing::Strips(Strips {
            name: count(shares.len(), "site"),
            span: span.title().to_owned(),
            summary: format!("Now {counts}"),
            left_out: shares.len().saturating_sub(rows.len()),
            rows,
            ticks: local_ticks(from, to, now),
        }),
    };
    (html + &numbers(&picture), picture)
}

/// Returns a line for each strip whose name is not legible in the picture, which shows a number
/// instead. HTML of at most 500 bytes.
pub(crate) fn numbers(picture: &Picture) -> String {
    let Drawing::Strips(strips) = &picture.drawing else {
        return String::new();
    };
    let mut lines = String::new();
    for (strip, number) in strips.rows.iter().take(MOST_STRIPS).zip(1..) {
        let line = format!("\n#{number} {}", escape(&strip.name));
        if !is_legible(&strip.name) && lines.len() + line.len() <= 500 {
            lines.push_str(&line);
        }
    }
    lines
}

fn slow(watched: &SiteState) -> Option<f32> {
    let limit = watched.config().slow?;
    Some(limit.as_secs_f32() * 1000.0)
}

fn local_ticks(from: i64, to: i64, now: Now) -> Vec<Tick> {
    ticks(from, to, |wall| now.zone.local(wall))
}

/// Returns `99.95 % up`, and the watched time if it is not the whole span.
fn summary(share: Share, span: Span) -> String {
    let watched = Duration::from_secs(share.watched().as_secs() / 60 * 60);
    let whole = Duration::from_secs(span.seconds().unsigned_abs());
    match share.percent() {
        None => "not watched".to_owned(),
        Some(_) if watched.is_zero() => "not known yet".to_owned(),
        Some(percent) if watched + whole / 100 >= whole => format!("{percent} up"),
        Some(percent) => format!("{percent} up of {} watched", lasting(watched)),
    }
}
