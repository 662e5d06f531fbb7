//! The texts of alerts: one line each, and messages of several lines.

use crate::monitor::alert::grouping::{group_key, grouped};
use crate::monitor::alert::{Alert, Notification};
use crate::monitor::expiry::{Subject, left_text};
use crate::monitor::render::text::{MESSAGE_UNITS, bold, count, escape, pack, units};
use crate::monitor::site::flapping;
use crate::monitor::site::outcome::Expiry;
use crate::monitor::time::Now;
use crate::monitor::time::text::{SLOW, clock_times, day_of, lasting};
use crate::monitor::uplink::Period;
use std::collections::HashMap;
use std::time::Duration;

/// An alert sent later than this says when it happened.
const LATE_AFTER: Duration = Duration::from_secs(90);
/// Room for `<b>100 down, 100 up again, …</b>`.
const HEADLINE_UNITS: usize = 100;

/// Alerts for one chat as lines of text.
#[derive(Clone, Debug, PartialEq)]
pub struct ComposedAlert {
    /// Lines of Telegram HTML, one for each alert, merged pair or group, with the alerts it covers.
    pub lines: Vec<(String, Vec<u64>)>,
    pub silent: bool,
    /// The incident that ended, if the message is about nothing else.
    pub recovery_of: Option<u32>,
}

/// Writes the lines for the alerts that wait for one chat, as many as one message may hold. If the
/// down and the up of an incident both still wait, they become one line, and its reminders are
/// dropped. `notified`: whether the chat already has a message about an incident; if not, a
/// reminder is its first alert, as after a mute.
pub fn compose(waiting: &[&Alert], now: Now, notified: &dyn Fn(u32) -> bool) -> ComposedAlert {
    let ended = ended_here(waiting);
    let mut groups = grouped(waiting, &ended, now);
    let mut lines: Vec<(String, Vec<u64>)> = Vec::new();
    let mut used = 0;
    for alert in waiting {
        if used > MESSAGE_UNITS {
            // One message holds no more; the rest is left for the next one.
            break;
        }
        let key = group_key(alert, &ended, now);
        if let Some(group) = key.and_then(|key| groups.get_mut(&key)) {
            // All lines of a group are inserted at its first alert.
            used += group.iter().map(|(line, _)| units(line)).sum::<usize>();
            lines.append(group);
            continue;
        }
        match (&alert.notification, alert.incident) {
            (Notification::Up { lasted }, Some(n)) => {
                let earlier = ended.get(&n).map_or(&[][..], Vec::as_slice);
                let cause = earlier.iter().find_map(|a| match &a.notification {
                    Notification::Down { cause, .. } => Some(cause),
                    Notification::StillDown { cause, .. } if !notified(n) => Some(cause),
                    _ => None,
                });
                let line = match cause {
                    Some(cause) => format!(
                        "🟢 {} was down for {} and is up again: {} (#{n})",
                        bold(&alert.site),
                        lasting(*lasted),
                        escape(cause)
                    ),
                    None => line_of(alert, now),
                };
                let covers = earlier.iter().map(|a| a.id).chain([alert.id]).collect();
                let line = line + &when(alert, now);
                used += units(&line);
                lines.push((line, covers));
            }
            // Included in the line of the recovery.
            _ if merged(alert, &ended) => {}
            _ => {
                let line = line_of(alert, now) + &when(alert, now);
                used += units(&line);
                lines.push((line, vec![alert.id]));
            }
        }
    }
    worst_first(&mut lines, waiting);
    let only = match waiting {
        [one] => Some(*one),
        _ => None,
    };
    ComposedAlert {
        lines,
        silent: waiting.iter().all(|a| a.notification.silent()),
        recovery_of: only
            .filter(|a| matches!(a.notification, Notification::Up { .. }))
            .and_then(|a| a.incident),
    }
}

/// Sorts lines by the current state of their sites, worst first; lines of one site keep their
/// order.
fn worst_first(lines: &mut [(String, Vec<u64>)], waiting: &[&Alert]) {
    let rank = |a: &Alert| HEADINGS.iter().position(|h| *h == a.notification.heading());
    let newest = waiting.iter().map(|a| (a.site.as_str(), rank(a)));
    let newest: HashMap<&str, Option<usize>> = newest.collect();
    let ranks: HashMap<u64, Option<usize>> = waiting
        .iter()
        .map(|a| match a.site.as_str() {
            "" => (a.id, rank(a)),
            site => (a.id, newest.get(site).copied().flatten()),
        })
        .collect();
    let of_line = |ids: &[u64]| ids.iter().filter_map(|id| ranks.get(id)?.as_ref()).min();
    lines.sort_by_key(|(_, ids)| of_line(ids));
}

/// Returns the incidents whose end is among the waiting alerts, with their other waiting alerts.
fn ended_here<'a>(waiting: &[&'a Alert]) -> HashMap<u32, Vec<&'a Alert>> {
    let mut ended: HashMap<u32, Vec<&Alert>> = waiting
        .iter()
        .filter(|a| matches!(a.notification, Notification::Up { .. }))
        .filter_map(|a| Some((a.incident?, Vec::new())))
        .collect();
    for alert in waiting {
        if matches!(
            alert.notification,
            Notification::Down { .. } | Notification::StillDown { .. }
        ) && let Some(earlier) = alert.incident.and_then(|n| ended.get_mut(&n))
        {
            earlier.push(alert);
        }
    }
    ended
}

pub(crate) fn merged(alert: &Alert, ended: &HashMap<u32, Vec<&Alert>>) -> bool {
    matches!(
        alert.notification,
        Notification::Down { .. } | Notification::StillDown { .. }
    ) && alert.incident.is_some_and(|n| ended.contains_key(&n))
}

pub(crate) fn line_of(alert: &Alert, now: Now) -> String {
    let name = bold(&alert.site);
    let number = alert
        .incident
        .map(|n| format!(" (#{n})"))
        .unwrap_or_default();
    match &alert.notification {
        Notification::Down { cause, behind, .. } => {
            let behind = match behind {
                0 => String::new(),
                1 => "; 1 site behind it is unreachable".to_owned(),
                n => format!("; {} behind it are unreachable", count(*n, "site")),
            };
            format!("🔴 {name} is down: {}{number}{behind}", escape(cause))
        }
        Notification::Flapping { cause } => {
            let state = match cause {
                Some(cause) => format!("down now: {}{number}", escape(cause)),
                None => "up now".to_owned(),
            };
            format!(
                "🟠 {name} is flapping, {state}. {}",
                flapping::silence_text()
            )
        }
        Notification::Changes { times, cause } => {
            let times = count(usize::try_from(*times).unwrap_or(0), "time");
            let state = match (cause, alert.incident) {
                (Some(cause), Some(_)) => format!("down now: {}{number}", escape(cause)),
                (Some(cause), None) => match cause.strip_prefix(SLOW) {
                    Some(figures) => format!("slow now: {}", escape(figures)),
                    None => format!("degraded now: {}", escape(cause)),
                },
                (None, _) => "up now".to_owned(),
            };
            format!("🟠 {name} changed {times}, {state}")
        }
        Notification::Steady {
            cause: Some(cause),
            lasted,
        } => format!(
            "🔴 {name} has been down for {} without a break: {}{number}",
            lasting(*lasted),
            escape(cause)
        ),
        Notification::Steady {
            cause: None,
            lasted,
        } => format!("🟢 {name} is steady again, up for {}", lasting(*lasted)),
        Notification::StillDown { cause, lasted } => format!(
            "🔴 {name} is still down, for {}: {}{number}",
            lasting(*lasted),
            escape(cause)
        ),
        Notification::Up { lasted } => {
            format!("🟢 {name} is up again after {}{number}", lasting(*lasted))
        }
        Notification::Slow { cause } => {
            // Earlier versions stored the figures without the prefix.
            let figures = cause.strip_prefix(SLOW).unwrap_or(cause);
            format!("🟡 {name} is slow: {}", escape(figures))
        }
        Notification::Degraded { cause } => {
            format!("🟡 {name} is degraded: {}", escape(cause))
        }
        Notification::Well { lasted } => {
            format!("🟢 {name} is well again after {}", lasting(*lasted))
        }
        Notification::Fast { lasted } => {
            format!("🟢 {name} is fast again after {}", lasting(*lasted))
        }
        Notification::Expiring { subject, expiry } => expiring_line(&name, *subject, expiry, now),
        Notification::Renewed { subject, expiry } => {
            let ends = left_text(expiry.ends - now.wall);
            match subject {
                Subject::Certificate => format!("🟢 {name} has a new certificate, it {ends}"),
                Subject::Domain => format!("🟢 {name}: its domain was renewed and {ends}"),
            }
        }
        Notification::Offline(period) => offline_line(period, now),
        Notification::Digest { html } => html.clone(),
        Notification::Notice { text } => format!("ℹ️ {}", escape(text)),
    }
}

fn expiring_line(name: &str, subject: Subject, expiry: &Expiry, now: Now) -> String {
    let left = expiry.ends - now.wall;
    let mark = if left > 0 { "🟡" } else { "🔴" };
    let by = match expiry.issuer.as_str() {
        "" => String::new(),
        issuer => format!(", by {}", escape(issuer)),
    };
    format!(
        "{mark} {name}: its {} {}, on {} ({}{by})",
        subject.word(),
        left_text(left),
        day_of(expiry.ends, now),
        escape(&expiry.subject)
    )
}

fn offline_line(period: &Period, now: Now) -> String {
    let (from, until) = clock_times(period.from, period.until, now);
    let total = lasting(period.total);
    match period.times {
        0 | 1 if !period.dated => format!("📡 I was offline for {total}"),
        n if !period.dated => format!("📡 I was offline {n} times, for {total} in all"),
        0 | 1 => format!("📡 I was offline {from}–{until} ({total})"),
        n => format!("📡 I was offline {n} times, {from}–{until} ({total} in all)"),
    }
}

pub(crate) fn when(alert: &Alert, now: Now) -> String {
    let age = now.since(alert.at);
    // The text has a date of its own.
    let dated = match &alert.notification {
        Notification::Offline(period) => period.dated,
        Notification::Digest { .. } => true,
        _ => false,
    };
    let mut text = match age > LATE_AFTER && !dated {
        true => format!(" · {} ago", lasting(age)),
        false => String::new(),
    };
    let by = &alert.by_channels;
    if by.delayed && !by.sent.is_empty() {
        text.push_str(&format!(" · also sent by {}", escape(&by.sent.join(", "))));
    }
    text
}

/// Returns as many lines as fit in one message under a headline, and the alerts they cover.
pub fn first_message(composed: &ComposedAlert, ready: &[&Alert]) -> (String, Vec<u64>) {
    let mut ids: Vec<u64> = Vec::new();
    let mut lines: Vec<&str> = Vec::new();
    let mut used = HEADLINE_UNITS;
    for (line, covers) in &composed.lines {
        used += units(line) + 1;
        if !lines.is_empty() && used > MESSAGE_UNITS {
            break;
        }
        lines.push(line);
        ids.extend(covers);
    }
    let covered: Vec<&Alert> = ready
        .iter()
        .copied()
        .filter(|a| ids.contains(&a.id))
        .collect();
    let head = headline(&covered);
    if lines.len() > 1 {
        lines.insert(0, &head);
    }
    let html = pack(lines).into_iter().next().unwrap_or_default();
    (html, ids)
}

/// The words that a headline counts, in this order.
const HEADINGS: [&str; 7] = [
    "down",
    "still down",
    "flapping",
    "slow",
    "degraded",
    "up again",
    "notice",
];

/// Returns the first line of a message about several sites: `3 down, 1 up`.
fn headline(alerts: &[&Alert]) -> String {
    let ended = ended_here(alerts);
    let counted = alerts.iter().filter(|a| !merged(a, &ended));
    let counted: Vec<&str> = counted.map(|a| a.notification.heading()).collect();
    let part = |what: &&str| match (counted.iter().filter(|h| *h == what).count(), *what) {
        (0, _) => None,
        (n, "notice") => Some(count(n, "notice")),
        (n, state) => Some(format!("{n} {state}")),
    };
    let parts: Vec<String> = HEADINGS.iter().filter_map(part).collect();
    format!("<b>{}</b>", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::alert::ByChannels;
    use crate::monitor::time::Moment;

    fn alert(id: u64, site: &str, incident: u32, notification: Notification) -> Alert {
        Alert {
            id,
            notification,
            site: site.into(),
            incident: Some(incident),
            at: Moment(0),
            chats: vec![1],
            delivered: Vec::new(),
            edits: Vec::new(),
            stored: true,
            by_channels: ByChannels::default(),
        }
    }

    fn down_by(cause: String) -> Notification {
        Notification::Down {
            cause,
            common: None,
            behind: 0,
        }
    }

    fn down(id: u64, site: &str, incident: u32) -> Alert {
        let cause = "HTTP 503, wanted 200-299".into();
        alert(id, site, incident, down_by(cause))
    }

    fn up(id: u64, site: &str, incident: u32) -> Alert {
        let lasted = Duration::from_secs(200);
        alert(id, site, incident, Notification::Up { lasted })
    }

    fn at(secs: u64) -> Now {
        Now::utc(Duration::from_secs(secs), 0)
    }

    fn texts(composed: &ComposedAlert) -> Vec<&str> {
        composed.lines.iter().map(|(l, _)| l.as_str()).collect()
    }

    #[test]
    fn a_down_alert_says_what_and_why() {
        let composed = compose(&[&down(1, "blog", 12)], at(1), &|_| true);
        assert_eq!(
            texts(&composed),
            ["🔴 <b>blog</b> is down: HTTP 503, wanted 200-299 (#12)"]
        );
        assert!(!composed.silent);
    }

    #[test]
    fn a_recovery_is_quiet_and_answers_its_down_message() {
        let composed = compose(&[&up(2, "blog", 12)], at(1), &|_| true);
        assert_eq!(
            texts(&composed),
            ["🟢 <b>blog</b> is up again after 3 min 20 s (#12)"]
        );
        assert!(composed.silent);
        assert_eq!(composed.recovery_of, Some(12));
    }

    #[test]
    fn down_and_up_that_both_wait_become_one_line() {
        let reminder = Notification::StillDown {
            cause: "x".into(),
            lasted: Duration::from_secs(60),
        };
        let (d, r, u) = (
            down(1, "blog", 12),
            alert(2, "blog", 12, reminder),
            up(3, "blog", 12),
        );
        let composed = compose(&[&d, &r, &u], at(1), &|_| true);
        assert_eq!(
            texts(&composed),
            [
                "🟢 <b>blog</b> was down for 3 min 20 s and is up again: HTTP 503, wanted 200-299 (#12)"
            ]
        );
        let mut covered = composed.lines[0].1.clone();
        covered.sort_unstable();
        assert_eq!(covered, [1, 2, 3]);
        assert!(!composed.silent, "it holds bad notification");
    }

    #[test]
    fn an_outage_first_told_as_going_on_is_not_told_by_its_end_alone() {
        let still = Notification::StillDown {
            cause: "HTTP 503".into(),
            lasted: Duration::from_secs(60),
        };
        let (r, u) = (alert(2, "blog", 12, still), up(3, "blog", 12));
        assert_eq!(
            texts(&compose(&[&r, &u], at(1), &|_| false)),
            ["🟢 <b>blog</b> was down for 3 min 20 s and is up again: HTTP 503 (#12)"]
        );
        assert_eq!(
            texts(&compose(&[&r, &u], at(1), &|_| true)),
            ["🟢 <b>blog</b> is up again after 3 min 20 s (#12)"],
            "it was a reminder"
        );
    }

    #[test]
    fn two_outages_of_one_site_stay_two_lines() {
        let composed = compose(
            &[
                &down(1, "blog", 12),
                &up(2, "blog", 12),
                &down(3, "blog", 13),
            ],
            at(1),
            &|_| true,
        );
        assert_eq!(composed.lines.len(), 2);
    }

    #[test]
    fn the_worst_comes_first_and_the_lines_of_one_site_stay_in_order() {
        let slow = Notification::Slow {
            cause: "slow: 1.00 s, limit 500 ms".into(),
        };
        let alerts = [
            up(1, "blog", 11),
            alert(2, "wiki", 0, slow),
            up(3, "mail", 12),
            down(4, "shop", 13),
            down(5, "mail", 14),
        ];
        let composed = compose(&alerts.each_ref(), at(1), &|_| true);
        let ids: Vec<u64> = composed
            .lines
            .iter()
            .flat_map(|(_, ids)| ids.clone())
            .collect();
        assert_eq!(ids, [3, 4, 5, 2, 1]);
    }

    #[test]
    fn a_late_one_says_when_it_happened() {
        let composed = compose(&[&down(1, "blog", 12)], at(840), &|_| true);
        assert_eq!(
            texts(&composed),
            ["🔴 <b>blog</b> is down: HTTP 503, wanted 200-299 (#12) · 14 min ago"]
        );
    }

    #[test]
    fn what_comes_from_outside_is_escaped() {
        let cause = "body lacks \"<ok>\" & more".into();
        let composed = compose(&[&alert(1, "a<b", 1, down_by(cause))], at(1), &|_| true);
        assert_eq!(
            texts(&composed),
            ["🔴 <b>a&lt;b</b> is down: body lacks &quot;&lt;ok&gt;&quot; &amp; more (#1)"]
        );
    }

    #[test]
    fn the_headline_counts_each_outage_once() {
        let (d, u, other) = (down(1, "a", 1), up(2, "a", 1), down(3, "b", 2));
        assert_eq!(headline(&[&d, &u, &other]), "<b>1 down, 1 up again</b>");
    }
}
