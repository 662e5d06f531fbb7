//! Mutes, and which sites get no alerts at present.

use crate::monitor::alert::Alerts;
use crate::monitor::site::state::SiteState;
use crate::monitor::time::Moment;

impl Alerts {
    /// Returns the end of the mute of everything; may be in the past.
    pub fn muted_until(&self) -> Option<Moment> {
        self.muted_until
    }

    /// Returns whether a mute of everything is over, or a deferred alert about a slow or flapping
    /// site may be due.
    pub(super) fn any_silence(&self, now: Moment) -> bool {
        self.muted_until.is_some_and(|until| until <= now) || !self.in_silence.is_empty()
    }

    /// Mutes everything until then; `None` ends the mute.
    pub fn mute_all(&mut self, until: Option<Moment>) {
        self.muted_until = until;
    }

    pub fn all_muted(&self, now: Moment) -> bool {
        self.muted_until.is_some_and(|until| until > now)
    }

    /// Returns whether a mute or maintenance prevents new alerts of the site.
    pub fn muted(&self, site: &SiteState, now: Moment) -> bool {
        self.all_muted(now) || site.is_muted(now) || site.under_maintenance()
    }

    /// Returns whether the site gets no alerts except about the end of what was notified: it is
    /// muted, under maintenance, flapping or suppressed, or its last check is out of date or
    /// contradicts its state.
    pub(super) fn is_held_back(&self, site: &SiteState, now: Moment) -> bool {
        site.flapping().is_flapping() || self.is_silenced(site, now)
    }

    /// Like [`Alerts::is_held_back`], but for reasons other than flapping.
    pub(super) fn is_silenced(&self, site: &SiteState, now: Moment) -> bool {
        site.is_suppressed() || site.is_uncertain() || self.muted(site, now)
    }

    /// Returns `at`, or the end of the mute of everything if that is later.
    pub fn after_mute(&self, at: Moment) -> Moment {
        self.muted_until.map_or(at, |until| until.max(at))
    }
}
