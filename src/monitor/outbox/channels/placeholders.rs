//! Values of the placeholders in a channel's request.

use crate::monitor::alert::words::{line_of, when};
use crate::monitor::alert::{Alert, Notification};
use crate::monitor::expiry::left_text;
use crate::monitor::outbox::send_context::SendContext;
use crate::monitor::render::text::masked;
use crate::monitor::time::Now;
use crate::monitor::time::text::{clock_times, day_of};
use std::time::Duration;

/// Value of `{site}` for alerts about the agent itself.
const AGENT: &str = "sitemon";

/// A placeholder of a channel's request: `{text}`, `{site}` …
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// The alert's text as in a chat, but plain text; may have several lines.
    Text,
    /// Name of the site.
    Site,
    /// `down`, `up`, `degraded`, `flapping`, `renewed` or `notice`.
    State,
    /// The cause; empty if nothing is wrong.
    Cause,
    /// The site's URL as configured, without user and query.
    Url,
    /// Number of the incident; empty if there is none.
    Number,
    /// Start of the state in local time: `29 Nov 2026 14:03`; empty while the clock is not trusted.
    Since,
    /// The site's `note`; empty if there is none.
    Note,
}

impl Placeholder {
    pub const ALL: [Placeholder; 8] = [
        Placeholder::Text,
        Placeholder::Site,
        Placeholder::State,
        Placeholder::Cause,
        Placeholder::Url,
        Placeholder::Number,
        Placeholder::Since,
        Placeholder::Note,
    ];

    /// Returns the name in the configuration, without the braces.
    pub fn word(self) -> &'static str {
        match self {
            Placeholder::Text => "text",
            Placeholder::Site => "site",
            Placeholder::State => "state",
            Placeholder::Cause => "cause",
            Placeholder::Url => "url",
            Placeholder::Number => "number",
            Placeholder::Since => "since",
            Placeholder::Note => "note",
        }
    }
}

/// A value for each placeholder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values([String; 8]);

impl Values {
    pub fn new(value: impl FnMut(Placeholder) -> String) -> Values {
        Values(Placeholder::ALL.map(value))
    }

    pub fn get(&self, placeholder: Placeholder) -> &str {
        // The order of the variants is that of `ALL`.
        &self.0[placeholder as usize]
    }

    /// `dated`: the wall clock is trusted.
    pub(super) fn of(alert: &Alert, context: &SendContext, now: Now, dated: bool) -> Values {
        let site = context.sites.named(&alert.site).map(|site| site.config());
        let note = site.and_then(|site| site.note.clone()).unwrap_or_default();
        let notification = &alert.notification;
        let noted = notification.wants_note() && !note.is_empty();
        Values::new(|placeholder| match placeholder {
            Placeholder::Text => {
                let mut text = plain(&(line_of(alert, now) + &when(alert, now)));
                if noted {
                    text.push('\n');
                    text.push_str(&note);
                }
                text
            }
            Placeholder::Site if alert.site.is_empty() => AGENT.to_owned(),
            Placeholder::Site => alert.site.clone(),
            Placeholder::State => state(alert).to_owned(),
            Placeholder::Cause => match notification {
                Notification::Expiring { subject, expiry } => {
                    format!("{} {}", subject.word(), left_text(expiry.ends - now.wall))
                }
                _ => notification
                    .state_now()
                    .flatten()
                    .unwrap_or_default()
                    .to_owned(),
            },
            Placeholder::Url => site.map(|site| masked(&site.url)).unwrap_or_default(),
            Placeholder::Number => alert.incident.map(|n| n.to_string()).unwrap_or_default(),
            Placeholder::Since if dated => {
                let lasted = match notification {
                    Notification::StillDown { lasted, .. }
                    | Notification::Steady { lasted, .. } => *lasted,
                    _ => Duration::ZERO,
                };
                let seconds = i64::try_from(lasted.as_secs()).unwrap_or(0);
                let wall = now.wall_at(alert.at) - seconds;
                format!("{} {}", day_of(wall, now), clock_times(wall, wall, now).0)
            }
            Placeholder::Since => String::new(),
            Placeholder::Note => note.clone(),
        })
    }
}

fn state(alert: &Alert) -> &'static str {
    match &alert.notification {
        Notification::Flapping { .. } => "flapping",
        Notification::Slow { .. } | Notification::Expiring { .. } => "degraded",
        Notification::Renewed { .. } => "renewed",
        other => match other.state_now() {
            Some(Some(_)) if alert.incident.is_none() => "degraded",
            Some(Some(_)) => "down",
            Some(None) => "up",
            None => "notice",
        },
    }
}

/// Removes the tags and entities of our own HTML (see
/// [`crate::monitor::outbox::message::Message`]).
fn plain(html: &str) -> String {
    let mut text = html.to_owned();
    for tag in ["<b>", "</b>", "<i>", "</i>", "<code>", "</code>"] {
        text = text.replace(tag, "");
    }
    // The ampersand last, so that text such as `&amp;lt;` is unescaped only once.
    for (entity, c) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&amp;", "&"),
    ] {
        text = text.replace(entity, c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_stand_in_the_order_of_their_values() {
        let values = Values::new(|placeholder| placeholder.word().to_owned());
        for placeholder in Placeholder::ALL {
            assert_eq!(values.get(placeholder), placeholder.word());
        }
    }

    #[test]
    fn what_was_escaped_comes_back_as_it_was() {
        let outside = "a <b> & \"&lt;\"";
        let html = format!("<b>x</b> {}", crate::monitor::render::text::escape(outside));
        assert_eq!(plain(&html), format!("x {outside}"));
    }
}
