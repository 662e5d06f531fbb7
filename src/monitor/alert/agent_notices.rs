//! Notices about the agent itself: mistakes in the configuration file, an unclean stop.

use crate::monitor::alert::Alerts;
use crate::monitor::alert::audience::{Audience, NewAlert, by_words};
use crate::monitor::incident::unclean_stop::UncleanStop;
use crate::monitor::site::access::may_see;
use crate::monitor::site::state::SiteState;
use crate::monitor::time::text::clock_times;

/// Seconds by which the clock may have been ahead when the state was last written.
const CLOCK_TOLERANCE: i64 = 60;

impl Alerts {
    /// Notices about mistakes in the configuration file. These may name sites, so only chats that
    /// see all sites get `what`; the others get `safe`.
    pub fn mistakes(audience: Audience, what: &str, safe: &str) -> [NewAlert; 2] {
        let chats = audience.access.chats.iter();
        let (all, some) = chats.partition(|&&chat| audience.sites.all_visible(chat));
        [
            NewAlert::notice(all, what.to_owned()),
            NewAlert::notice(some, safe.to_owned()),
        ]
    }

    /// Returns the log line and the alerts about an unclean stop. A chat may only learn of the
    /// sites whose alerts it gets.
    pub fn unclean_stop(audience: Audience, stop: &UncleanStop) -> (String, Vec<NewAlert>) {
        let now = audience.now;
        let back = now.wall_at(stop.back());
        // If the state was dated by a clock that was ahead, the start of the gap is not known.
        let known = stop.seen() <= back.saturating_add(CLOCK_TOLERANCE);
        let (seen, back) = clock_times(stop.seen().min(back), back, now);
        let text = match known {
            true => format!("I was away, last seen {seen}, back {back}"),
            false => format!("I was away, back {back}"),
        };
        let still = audience.sites.iter().filter(|w| {
            let down = w.is_down() && !w.is_paused() && !w.under_maintenance();
            down && w.last_failure().is_some() && stop.is_checked(w.name())
        });
        let still: Vec<&SiteState> = still.collect();
        let texts = by_words(&audience.access.chats, |chat| {
            let seen = still.iter().filter(|w| may_see(chat, w.config()));
            let names: Vec<&str> = seen.map(|w| w.name()).collect();
            let down = match names.is_empty() {
                true => String::new(),
                false => format!("; still down: {}", names.join(", ")),
            };
            text.clone() + &down
        });
        let alerts = texts.into_iter();
        let alerts = alerts.map(|(text, chats)| NewAlert::notice(chats, text));
        let alerts = alerts.collect();
        (text, alerts)
    }
}
