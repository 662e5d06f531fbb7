//! Replies to commands that only read the state.

use crate::monitor::expiry::{Subject, Watch, left_text};
use crate::monitor::history::recording::uptime_line;
use crate::monitor::incident::Incident;
use crate::monitor::render::details::SiteDetails;
use crate::monitor::render::state_counts::{WORST_FIRST, up_and_others};
use crate::monitor::render::text::{bold, count, escape};
use crate::monitor::site::outcome::Phases;
use crate::monitor::site::state::{SiteState, State};
use crate::monitor::site::suppression::{UplinkFault, behind};
use crate::monitor::site::{Check, flapping};
use crate::monitor::time::hours;
use crate::monitor::time::text::{
    clock_times, lasting, left, past_time, past_times, response, run_time,
};
use crate::monitor::time::{Moment, Now};
use std::time::Duration;

/// Maximum number of sites that `/status` lists: one screen.
const STATUS_LINES: usize = 20;
const INCIDENT_LINES: usize = 15;

/// Returns the sites that are not up, that fail without being judged yet, or that flap; worst
/// first.
pub(crate) fn worst_first<'a>(sites: &[&'a SiteState]) -> Vec<&'a SiteState> {
    let mut troubled: Vec<&SiteState> = sites
        .iter()
        .copied()
        .filter(|w| w.state() != State::Up || w.is_suspect() || w.flapping().is_flapping())
        .collect();
    troubled.sort_by_key(|w| {
        let rank = WORST_FIRST.iter().position(|s| *s == w.state());
        (rank.unwrap_or(1), w.since())
    });
    troubled
}

/// Returns the counts of all sites, then the `troubled` ones. `acknowledged`: whether the outage of
/// a site is acknowledged. `seen`: whether the chat may see a site. Both take a name.
pub(crate) fn status(
    sites: &[&SiteState],
    troubled: &[&SiteState],
    troubles: &[(UplinkFault, Moment)],
    muted_until: Option<Moment>,
    acknowledged: &dyn Fn(&str) -> bool,
    seen: &dyn Fn(&str) -> bool,
    now: Now,
) -> String {
    let mut parts = up_and_others(sites, &WORST_FIRST);
    let count = |what: &dyn Fn(&SiteState) -> bool| sites.iter().filter(|w| what(w)).count();
    if let n @ 1.. = count(&|w| w.flapping().is_flapping()) {
        parts.push(format!("{n} flapping"));
    }
    let mut counts = format!("<b>{}</b>", parts.join(", "));
    for (n, what) in [
        (count(&|w| w.is_muted(now.moment())), "muted 🔕"),
        (count(&|w| acknowledged(w.name())), "acknowledged 👍"),
    ] {
        if n > 0 {
            counts.push_str(&format!(", {n} {what}"));
        }
    }
    let mut lines = vec![counts];
    for (trouble, since) in troubles {
        let lasted = lasting(now.since(*since));
        lines.push(format!("📡 {}, for {lasted}", trouble.reason()));
    }
    if let Some(left) = remaining(muted_until, now) {
        lines.push(format!("🔕 everything is muted for {left}"));
    }
    lines.extend(maintenance_line(sites, now));
    for watched in troubled.iter().take(STATUS_LINES) {
        let mut line = status_line(watched, seen, now);
        if acknowledged(watched.name()) {
            line.push_str(" 👍");
        }
        lines.push(line);
    }
    if let more @ 1.. = troubled.len().saturating_sub(STATUS_LINES) {
        lines.push(format!("… and {more} more: /list"));
    }
    lines.join("\n")
}

fn maintenance_line(sites: &[&SiteState], now: Now) -> Option<String> {
    let under = sites.iter().filter(|w| w.under_maintenance());
    let under: Vec<&&SiteState> = under.collect();
    let first = under.iter().filter_map(|w| w.maintenance_until()).min()?;
    let until = until_text(first, now);
    Some(match under.as_slice() {
        [one] => format!("🔧 {} is under maintenance until {until}", bold(one.name())),
        several => {
            let sites = count(several.len(), "site");
            format!("🔧 {sites} are under maintenance, until {until} at least")
        }
    })
}

/// Returns `04:00`, with the day if it is not today.
fn until_text(until: i64, now: Now) -> String {
    clock_times(now.wall, until, now).1
}

fn status_line(watched: &SiteState, seen: &dyn Fn(&str) -> bool, now: Now) -> String {
    let name = bold(watched.name());
    let mark = mark(watched);
    let cause = suffix(": ", reason(watched, seen).as_deref());
    let mute = silence(watched, now);
    let age = lasting(now.since(watched.since()));
    match watched.state() {
        State::Down | State::Degraded => {
            let flapping = if watched.flapping().is_flapping() {
                ", flapping"
            } else {
                ""
            };
            format!("{mark} {name} for {age}{flapping}{cause}{mute}")
        }
        state @ (State::Unreachable | State::Offline) => {
            format!("{mark} {name} is {state}{cause}{mute}")
        }
        State::Paused => format!("{mark} {name} is paused"),
        _ if watched.flapping().is_flapping() => format!("{mark} {name} is flapping{mute}"),
        _ if watched.is_suspect() => format!("{mark} {name} is failing{cause}{mute}"),
        _ if watched.job().is_some() => format!("{mark} {name} has not reported yet{mute}"),
        _ => format!("{mark} {name} is not checked yet{mute}"),
    }
}

/// Returns every site with its state and last response time.
pub(crate) fn list(sites: &[&SiteState], now: Now) -> String {
    if sites.is_empty() {
        return "No site is configured.".to_owned();
    }
    let line = |watched: &&SiteState| {
        let took = match (watched.state(), watched.took()) {
            (State::Up | State::Degraded, Some(took)) => format!(" {}", took_text(watched, took)),
            (State::Up, None) => String::new(),
            (state, _) => format!(" {state}"),
        };
        let mute = silence(watched, now);
        format!("{} {}{took}{mute}", mark(watched), bold(watched.name()))
    };
    sites.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Returns why a site is not up, unless the reason names a site that the chat may not see.
fn reason(watched: &SiteState, seen: &dyn Fn(&str) -> bool) -> Option<String> {
    let parent = watched.config().after.as_deref().filter(|name| !seen(name));
    let hidden = parent.map(behind);
    watched
        .reason()
        .filter(|cause| hidden.as_ref() != Some(cause))
}

/// Returns one site in detail.
pub(crate) fn site(
    watched: &SiteState,
    due: Option<Moment>,
    details: SiteDetails,
    seen: &dyn Fn(&str) -> bool,
    now: Now,
) -> String {
    let state = watched.state();
    let age = lasting(now.since(watched.since()));
    let been = match state {
        State::Unknown if watched.job().is_some() => "has not reported yet".to_owned(),
        State::Unknown => "has not been checked yet".to_owned(),
        state => format!("has been {state} for {age}"),
    };
    let mut lines = vec![
        format!("{} {} {been}", mark(watched), bold(watched.name())),
        escape(&watched.config().url),
    ];
    if let Some(group) = &watched.config().group {
        lines.push(format!("Group: {}", escape(group)));
    }
    if let Some(note) = &watched.config().note {
        lines.push(format!("Note: {}", escape(note)));
    }
    if let Some(parent) = watched.config().after.as_ref().filter(|name| seen(name)) {
        lines.push(format!("Depends on: {}", bold(parent)));
    }
    if watched.flapping().is_flapping() {
        lines.push(format!("It is flapping. {}", flapping::silence_text()));
    }
    if let Some(cause) = reason(watched, seen) {
        lines.push(format!("Cause: {}", escape(&cause)));
    }
    if let Some(job) = watched.job() {
        let (state, printed) = job.lines(details.dated, now);
        lines.extend(state);
        lines.extend(printed_lines(printed));
    } else if let Some((at, outcome)) = watched.last() {
        let took = answer_time(outcome.took);
        let from = outcome.address.map(|a| format!(" from {a}"));
        let (from, ago) = (from.unwrap_or_default(), lasting(now.since(*at)));
        lines.push(format!("Last check: {took}{from}, {ago} ago"));
        if let Some(detail) = &outcome.detail {
            lines.push(escape(detail));
        }
        if let Some(phases) = outcome.phases {
            lines.push(phases_line(&phases, watched));
        }
    }
    lines.push(uptime_line(details.history.of(watched), now));
    for subject in Subject::ALL {
        let watch = details.expiry.of(watched, subject);
        lines.extend(watch.and_then(|watch| expiry_line(watch, subject, now)));
    }
    match due {
        _ if watched.check_under_way() => lines.push("A check is under way".to_owned()),
        Some(due) => lines.push(format!(
            "Next check in {}, every {}",
            left(due.since(now.moment())),
            lasting(watched.config().interval)
        )),
        None => {}
    }
    if let Some(left) = remaining(watched.muted_until(), now) {
        lines.push(format!("🔕 muted for {left}"));
    }
    match watched.maintenance_until() {
        Some(until) => {
            let until = until_text(until, now);
            lines.push(format!("🔧 under maintenance until {until}"));
        }
        None if watched.config().maintenance.is_empty() => {}
        None => {
            let windows = hours::list(&watched.config().maintenance);
            lines.push(format!("Maintenance: {windows}"));
        }
    }
    let name = watched.name();
    let of_it = details.incidents.iter().rev();
    let of_it = of_it.filter(|i| i.site() == name);
    let last: Vec<&Incident> = of_it.take(3).collect();
    if !last.is_empty() {
        lines.push("Incidents:".to_owned());
        lines.extend(
            last.iter()
                .map(|i| incident_line(i, "", details.dated, now)),
        );
    }
    lines.join("\n")
}

/// Returns the last lines that a job printed.
pub(crate) fn printed_lines(printed: &str) -> Option<String> {
    (!printed.is_empty()).then(|| format!("<pre>{}</pre>", escape(printed)))
}

/// An HTTP check shows all four phases; other checks show those that took time.
fn phases_line(phases: &Phases, watched: &SiteState) -> String {
    if phases.reused {
        let first_byte = response(phases.first_byte);
        return format!("Phases: connection was open, first byte {first_byte}");
    }
    let all = matches!(watched.config().check, Check::Http(_));
    let named = [
        ("dns", phases.dns),
        ("connect", phases.connect),
        ("tls", phases.tls),
        ("first byte", phases.first_byte),
    ];
    let shown = named.iter().filter(|(_, took)| all || !took.is_zero());
    let words: Vec<String> = shown
        .map(|(name, took)| format!("{name} {}", response(*took)))
        .collect();
    format!("Phases: {}", words.join(", "))
}

fn expiry_line(watch: &Watch, subject: Subject, now: Now) -> Option<String> {
    let mut words = match subject {
        Subject::Certificate => "Certificate: ".to_owned(),
        Subject::Domain => "Domain: ".to_owned(),
    };
    if let Some(found) = watch.found() {
        let left = left_text(found.ends - now.wall);
        words.push_str(&format!("{left}, {}", escape(&found.subject)));
        for (word, what) in [(" by ", &found.issuer), (", ", &found.key)] {
            if !what.is_empty() {
                words.push_str(&format!("{word}{}", escape(what)));
            }
        }
    }
    match (watch.found(), watch.last_failure()) {
        (Some(_), None) => Some(words),
        (Some(_), Some(trouble)) => Some(format!("{words} (last look: {})", escape(trouble))),
        (None, Some(trouble)) => Some(format!("{words}unknown: {}", escape(trouble))),
        (None, None) => None,
    }
}

/// Returns the last checks, newest first.
pub(crate) fn history(watched: &SiteState, now: Now) -> String {
    if watched.recent().next().is_none() {
        let what = match watched.job() {
            Some(_) => "reported",
            None => "been checked",
        };
        return format!("{} has not {what} yet.", bold(watched.name()));
    }
    let what = match watched.job() {
        Some(_) => "reports",
        None => "checks",
    };
    let mut lines = vec![format!("The last {what} of {}", bold(watched.name()))];
    for checked in watched.recent().rev() {
        let took = match checked.took() {
            Some(took) => format!(" · {}", took_text(watched, took)),
            None if watched.job().is_some() => String::new(),
            None => " · no answer".to_owned(),
        };
        let cause = suffix(" · ", checked.cause.as_deref());
        let mark = match (&checked.cause, checked.failed) {
            (None, _) => "✅",
            (Some(_), false) => "🟡",
            (Some(_), true) => "❌",
        };
        lines.push(format!(
            "{mark} {} ago · {}{took}{cause}",
            lasting(now.since(checked.at)),
            checked.state
        ));
    }
    lines.join("\n")
}

/// Returns the last of these incidents, which are sorted by age, with open ones first. `site`: the
/// site that all of them are about.
pub(crate) fn incidents(
    mut list: Vec<&Incident>,
    site: Option<&str>,
    dated: bool,
    now: Now,
) -> String {
    list.reverse();
    list.sort_by_key(|i| !i.is_open());
    if list.is_empty() {
        return match site {
            Some(site) => format!("No incident of {} is known.", bold(site)),
            None => "No incident is known.".to_owned(),
        };
    }
    let line = |i: &&Incident| incident_line(i, &format!(" {}", bold(i.site())), dated, now);
    let lines: Vec<String> = list.iter().take(INCIDENT_LINES).map(line).collect();
    lines.join("\n")
}

/// `name`: the site's name with a space in front; empty if all lines are about the same site.
fn incident_line(incident: &Incident, name: &str, dated: bool, now: Now) -> String {
    let (n, cause) = (incident.number(), escape(incident.cause()));
    let (length, ago) = (lasting(incident.length(now)), |at| lasting(now.since(at)));
    let start = now.wall_at(incident.start());
    let times = match incident.end() {
        _ if !dated => String::new(),
        Some(end) => format!(" ({})", past_times(start, now.wall_at(end), now)),
        None => format!(" (since {})", past_time(start, now)),
    };
    match (incident.end(), incident.acknowledged()) {
        (None, None) => format!("🔴 #{n}{name} for {length}{times}: {cause}"),
        (None, Some(ack)) => {
            let (by, ago) = (by(&ack.name), ago(ack.at));
            format!("🔴 #{n}{name} for {length}{times}, acknowledged{by} {ago} ago: {cause}")
        }
        (Some(end), _) => format!(
            "⚪ #{n}{name} lasted {length}, ended {} ago{times}: {cause}",
            ago(end)
        ),
    }
}

/// Returns how long a check took, or how long a job ran.
fn took_text(watched: &SiteState, took: Duration) -> String {
    match watched.job() {
        Some(_) => run_time(took),
        None => response(took),
    }
}

fn answer_time(took: Option<Duration>) -> String {
    took.map_or_else(|| "no answer".to_owned(), response)
}

/// Returns the text after a separator; empty without a text.
fn suffix(separator: &str, text: Option<&str>) -> String {
    text.map_or_else(String::new, |text| format!("{separator}{}", escape(text)))
}

/// Returns ` by Ann`; empty if the name is unknown.
pub(crate) fn by(name: &str) -> String {
    const LONGEST: usize = 32;
    if name.is_empty() {
        return String::new();
    }
    let short: String = name.chars().take(LONGEST).collect();
    let cut = if short.len() < name.len() { "…" } else { "" };
    format!(" by {}{cut}", escape(&short))
}

/// Returns the mark of a site that is muted or under maintenance, to be appended to its line.
fn silence(watched: &SiteState, now: Now) -> &'static str {
    if watched.is_muted(now.moment()) {
        " 🔕"
    } else if watched.under_maintenance() {
        " 🔧"
    } else {
        ""
    }
}

fn mark(watched: &SiteState) -> &'static str {
    match watched.state() {
        State::Paused => "⏸",
        State::Down => "🔴",
        State::Degraded => "🟡",
        State::Unreachable | State::Offline => "⚫",
        _ if watched.is_suspect() || watched.flapping().is_flapping() => "🟠",
        State::Up => "🟢",
        State::Unknown => "⚪",
    }
}

fn remaining(until: Option<Moment>, now: Now) -> Option<String> {
    let until = until?.since(now.moment());
    (until > Duration::ZERO).then(|| left(until))
}
