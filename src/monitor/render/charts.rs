//! What `/chart` shows: the picture's data, and the words under it.

use crate::monitor::history::recording::Recorder;
use crate::monitor::history::{History, Share, Span};
use crate::monitor::render::picture::{Chart, Drawing, Picture, Strip, Strips, Tick, ticks};
use crate::monitor::render::state_counts::up_and_others;
use crate::monitor::render::text::{bold, count};
use crate::monitor::site::state::{SiteState, State};
use crate::monitor::time::Now;
use crate::monitor::time::text::{lasting, response};
use std::time::Duration;

/// Strips of one picture at most; the best are left out.
const STRIPS: usize = 20;

/// The response time of one site, and when it was down.
pub(crate) fn one(site: &str, history: &History, span: Span, now: Now) -> (String, Picture) {
    let (from, to, parts) = span.parts(now.wall);
    let share = history.uptime(span, now.wall);
    let mut summary = summary(share, span);
    if let Some((median, p95)) = history.paces(span, now.wall) {
        let (median, p95) = (response(median), response(p95));
        summary.push_str(&format!(", median {median}, 95th {p95}"));
    }
    let html = format!("📈 {}, {}: {summary}", bold(site), span.title());
    let picture = Picture {
        title: format!("{}, {}", site, span.title()),
        drawing: Drawing::Chart(Chart {
            name: site.to_owned(),
            span: span.title().to_owned(),
            summary,
            parts: history.parts(from, to, parts),
            ticks: local_ticks(span, from, to, now),
        }),
    };
    (html, picture)
}

/// A strip for each site, worst first.
pub(crate) fn many(
    sites: &[&SiteState],
    history: &Recorder,
    span: Span,
    now: Now,
) -> (String, Picture) {
    let (from, to, parts) = span.parts(now.wall);
    let mut shares: Vec<(Share, &SiteState)> = sites
        .iter()
        .map(|w| (history.of(w.name()).uptime(span, now.wall), *w))
        .collect();
    // What nothing is known of comes last.
    shares.sort_by_key(|(share, w)| (share.up_of_10000().unwrap_or(u32::MAX), !w.down()));
    let rows: Vec<Strip> = shares
        .iter()
        .take(STRIPS)
        .map(|(share, w)| Strip {
            name: w.name().to_owned(),
            percent: share.percent().unwrap_or_default(),
            parts: history.of(w.name()).parts(from, to, parts),
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
            span: span.title().to_owned(),
            summary: format!("Now {counts}"),
            left_out: shares.len().saturating_sub(rows.len()),
            rows,
            ticks: local_ticks(span, from, to, now),
        }),
    };
    (html, picture)
}

fn local_ticks(span: Span, from: i64, to: i64, now: Now) -> Vec<Tick> {
    ticks(span, from, to, |wall| now.zone.local(wall))
}

/// `99.95 % up`, and of how much, where that is not all of it.
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
