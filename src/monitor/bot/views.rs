//! Replies with buttons. Their texts come from [`crate::monitor::render`].

use crate::monitor::bot::ReplyContent;
use crate::monitor::bot::command::COMMANDS;
use crate::monitor::bot::commands::View;
use crate::monitor::bot::name_resolution::VisibleSites;
use crate::monitor::history::Span;
use crate::monitor::history::recording::Recorder;
use crate::monitor::incident::Incidents;
use crate::monitor::outbox::Outbox;
use crate::monitor::outbox::callback_data::{self, CallbackData, MOST_SITES, key};
use crate::monitor::render::details::SiteDetails;
use crate::monitor::render::stats::{self, Tally, Vitals};
use crate::monitor::render::text::escape;
use crate::monitor::render::{charts, replies};
use crate::monitor::site::state::SiteState;
use crate::monitor::site::suppression::UplinkFault;
use crate::monitor::time::{Moment, Now};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Returns the states of these sites, with a button for each one that is named and not up.
pub fn status(
    visible: VisibleSites,
    places: &[usize],
    faults: &[(UplinkFault, Moment)],
    muted_until: Option<Moment>,
    incidents: &Incidents,
    now: Now,
) -> ReplyContent {
    let sites = visible.sites.at(places);
    let troubled = replies::worst_first(&sites);
    let seen = |name: &str| visible.sees(name);
    let seen_by_a_user = incidents.iter_open().filter(|i| i.acknowledged().is_some());
    let names: BTreeSet<&str> = seen_by_a_user.map(|i| i.site()).collect();
    let acknowledged = |name: &str| names.contains(name);
    let html = replies::status(
        &sites,
        &troubled,
        faults,
        muted_until,
        &acknowledged,
        &seen,
        now,
    );
    let button = |site: &&SiteState| {
        let line = format!("/site {}", key(site.name()));
        CallbackData::Open(line).button(site.name())
    };
    let mut buttons = callback_data::rows(troubled.iter().take(MOST_SITES).map(button));
    if !sites.is_empty() {
        buttons.push(vec![CallbackData::Open("/chart".into()).button("Chart")]);
    }
    ReplyContent {
        html,
        buttons,
        picture: None,
    }
}

/// Returns one site in detail, with buttons for its commands. `due`: its next check.
pub fn site(
    visible: VisibleSites,
    place: usize,
    due: Option<Moment>,
    details: SiteDetails,
    now: Now,
) -> ReplyContent {
    let site = &visible.sites[place];
    let key = key(site.name());
    let open = |label: &str, verb: &str| CallbackData::Open(format!("/{verb} {key}")).button(label);
    let refresh = |label: &str, line: String| CallbackData::Refresh(line).button(label);
    let mut buttons = Vec::new();
    if site.is_paused() {
        buttons.push(refresh("Resume", format!("/resume {key}")));
    } else {
        buttons.extend(site.job().is_none().then(|| open("Check now", "check")));
        buttons.push(if site.is_muted(now.moment()) {
            refresh("Unmute", format!("/unmute {key}"))
        } else {
            refresh("Mute", format!("/mute {key} 1h"))
        });
        buttons.push(refresh("Pause", format!("/pause {key}")));
    }
    buttons.push(open("Chart", "chart"));
    let seen = |name: &str| visible.sees(name);
    ReplyContent {
        html: replies::site(site, due, details, &seen, now),
        buttons: callback_data::rows(buttons),
        picture: None,
    }
}

/// Returns the response times of one site, with buttons for the other spans.
pub fn chart(site: &SiteState, history: &Recorder, span: Span, now: Now) -> ReplyContent {
    let (html, picture) = charts::one(site, history.of(site), span, now);
    let key = key(site.name());
    let others = Span::ALL.into_iter().filter(|other| *other != span);
    let others = others.map(|other| {
        let line = format!("/chart {key} {}", other.word());
        CallbackData::Choose(line).button(other.word())
    });
    ReplyContent {
        html,
        buttons: callback_data::rows(others),
        picture: Some(Arc::new(picture)),
    }
}

/// Returns a strip of states for each of these sites.
pub fn chart_of_many(
    sites: &[&SiteState],
    history: &Recorder,
    span: Span,
    now: Now,
) -> ReplyContent {
    let (html, picture) = charts::many(sites, history, span, now);
    ReplyContent {
        html,
        buttons: Vec::new(),
        picture: Some(Arc::new(picture)),
    }
}

/// Returns the reply to `/stats`, limited to what the chat may see.
pub fn stats(view: View, outbox: &Outbox, chat: i64, vitals: &Vitals) -> String {
    let visible = view.sites.visible(chat);
    let all = visible.len() == view.sites.len();
    let history = view.details.history;
    let checks = visible.iter().map(|&at| view.sites[at].checks());
    let waiting = outbox.alerts().filter(|a| a.chats.contains(&chat));
    let tally = Tally {
        sites: visible.len(),
        checks: if all { history.checks() } else { checks.sum() },
        late: view.schedule.round_counts(),
        internal_errors: history.internal_errors(),
        excused: view.uplink.excused_checks(),
        alerts_waiting: match all {
            true => outbox.waiting_alerts(),
            false => waiting.count(),
        },
    };
    let channels = if all {
        outbox.channel_lines()
    } else {
        Vec::new()
    };
    let late = view.schedule.late_figures();
    stats::render(vitals, tally, late.as_deref(), &channels)
}

/// Returns the commands, one a line.
pub fn help() -> String {
    let lines: Vec<String> = COMMANDS
        .iter()
        .map(|(name, text)| format!("/{name} · {}", escape(text)))
        .collect();
    format!(
        "I watch your sites and tell you when one breaks.\n{}",
        lines.join("\n")
    )
}
