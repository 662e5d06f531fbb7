//! The daily summary: yesterday in about five lines, sent once a day at a local time to each chat
//! that gets the alerts of a site.

use crate::monitor::alert::audience::{Audience, NewAlert, by_words};
use crate::monitor::alert::{Alerts, Notification};
use crate::monitor::expiry::{Subject, Watch, left_text};
use crate::monitor::history::Share;
use crate::monitor::incident::Incident;
use crate::monitor::render::details::SiteDetails;
use crate::monitor::render::state_counts::{WORST_LAST, state_counts};
use crate::monitor::render::text::{bold, count, escape};
use crate::monitor::site::access::may_see;
use crate::monitor::site::state::{SiteState, State};
use crate::monitor::time::text::{day_of, lasting, response};
use crate::monitor::time::zone::DAY;
use crate::monitor::time::{Moment, Now};
use std::time::Duration;

/// Expiry dates within this many seconds get a line.
const ENDS_SOON: i64 = 30 * DAY;
/// Maximum length of a cause in characters: one or two lines on a phone.
const CAUSE: usize = 60;

/// Schedule of the daily summary.
#[derive(Debug, Default)]
pub struct Digest {
    /// Due time in minutes since local midnight; `None` = never.
    pub at: Option<u16>,
    /// Local day, in days since 1970, on which the last summary was sent.
    pub sent: Option<i64>,
}

impl Digest {
    /// Returns when today's summary is due, in Unix seconds, and today in days since 1970.
    fn today(&self, now: Now) -> Option<(i64, i64)> {
        let at = i64::from(self.at?);
        let today = now.zone.day(now.wall);
        Some((now.zone.first(today * DAY + at * 60), today))
    }

    /// Returns whether to send the summary now, and records that. One that was due while the agent
    /// was off is sent late, on the same day. The first one waits for the next due time.
    fn take(&mut self, now: Now) -> bool {
        let Some((due, today)) = self.today(now) else {
            self.sent = None;
            return false;
        };
        let past = now.wall >= due;
        // After the clock was set back, a future date counts as today, so that tomorrow's is sent.
        let sent = match self.sent {
            Some(sent) => sent.min(today),
            None => today - i64::from(!past),
        };
        let send = past && sent < today;
        self.sent = Some(if send { today } else { sent });
        send
    }

    fn next(&self, now: Now) -> Option<i64> {
        let (due, today) = self.today(now)?;
        if now.wall < due {
            return Some(due);
        }
        let tomorrow = (today + 1) * DAY + i64::from(self.at?) * 60;
        Some(now.zone.first(tomorrow))
    }
}

impl Alerts {
    /// Returns when the daily summary is due; the clock must be trusted.
    pub fn next_digest(&self, now: Now) -> Option<Moment> {
        Some(now.coming_moment(self.digest.next(now)?))
    }

    /// Returns whether to send the daily summary now, and records that.
    pub fn take_digest(&mut self, now: Now) -> bool {
        self.digest.take(now)
    }

    /// Returns the daily summary, for each chat that gets the alerts of a site.
    pub(crate) fn digest_alerts(audience: Audience, details: SiteDetails) -> Vec<NewAlert> {
        let texts = by_words(&audience.access.chats, |chat| {
            let seen = |w: &&SiteState| may_see(chat, w.config());
            let sites: Vec<&SiteState> = audience.sites.iter().filter(seen).collect();
            (!sites.is_empty()).then(|| digest_of(&sites, details, audience.now))
        });
        let alerts = texts.into_iter().filter_map(|(html, chats)| {
            let notification = Notification::Digest { html: html? };
            Some(NewAlert::general(notification, chats))
        });
        alerts.collect()
    }
}

fn digest_of(sites: &[&SiteState], details: SiteDetails, now: Now) -> String {
    let incidents = details.incidents;
    let today = now.zone.day(now.wall);
    let from = now.zone.first((today - 1) * DAY);
    let until = now.zone.first(today * DAY);
    let span = (now.past_moment(from), now.past_moment(until));
    let outages: Vec<(&Incident, Duration)> = incidents
        .iter()
        .filter_map(|i| {
            let site = sites.iter().find(|w| w.name() == i.site())?;
            let down = details.history.of(site).share(from, until).down;
            Some((i, i.length_within(span, down, now.moment())?))
        })
        .collect();
    let day = day_of(from, now);
    let hit = sites
        .iter()
        .filter(|w| outages.iter().any(|(i, _)| i.site() == w.name()))
        .count();
    let watched = count(sites.len(), "site");
    let mut share = Share::default();
    for watched in sites {
        let of_it = details.history.of(watched).share(from, until);
        share.up += of_it.up;
        share.down += of_it.down;
    }
    let head = match hit {
        0 if share.watched().is_zero() => "not watched yesterday".to_owned(),
        0 => "no outage".to_owned(),
        n => format!("{n} with outages"),
    };
    let head = match share.percent() {
        Some(percent) if hit > 0 => format!("{head}, {percent} up"),
        _ => head,
    };
    let mut lines = vec![format!("📋 <b>{day}: {watched}, {head}</b>")];
    if let Some((longest, lasted)) = outages.iter().max_by_key(|(_, lasted)| *lasted) {
        let total: Duration = outages.iter().map(|(_, lasted)| *lasted).sum();
        // The oldest ended incidents may have been dropped.
        let forgotten = incidents.forgotten_until().is_some_and(|at| at > span.0);
        let longest = format!(
            "{} {}, {}",
            bold(longest.site()),
            lasting(*lasted),
            escape(&short(longest.cause()))
        );
        let at_least = if forgotten { "at least " } else { "" };
        lines.push(match outages.len() {
            1 if !forgotten => format!("1 outage: {longest}"),
            n => format!(
                "{at_least}{}, {} in all; the longest: {longest}",
                count(n, "outage"),
                lasting(total)
            ),
        });
    }
    // The run time of a job does not show how healthy it is.
    let serving =
        |w: &&&SiteState| matches!(w.state(), State::Up | State::Degraded) && w.job().is_none();
    let slowest = sites.iter().filter(serving);
    let slowest = slowest.filter_map(|w| Some((w.took()?, w)));
    if let Some((took, watched)) = slowest.max_by_key(|(took, _)| *took) {
        let name = bold(watched.name());
        lines.push(format!("Slowest now: {name} {}", response(took)));
    }
    let ends = sites.iter().flat_map(|w| {
        let found = Subject::ALL.map(|s| (s, details.expiry.of(w, s).and_then(Watch::found)));
        found.into_iter().filter_map(move |(s, found)| {
            let left = found?.ends - now.wall;
            (left < ENDS_SOON).then_some((left, s, *w))
        })
    });
    if let Some((left, subject, watched)) = ends.min_by_key(|(left, ..)| *left) {
        let name = bold(watched.name());
        lines.push(format!(
            "{name}: its {} {}",
            subject.word(),
            left_text(left)
        ));
    }
    let counts = state_counts(sites, &WORST_LAST);
    lines.push(format!("Now: {}", counts.join(", ")));
    lines.join("\n")
}

fn short(cause: &str) -> String {
    let mut short: String = cause.chars().take(CAUSE).collect();
    if short.len() < cause.len() {
        short.push('…');
    }
    short
}
