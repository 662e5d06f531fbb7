//! What is muted, and of which sites no alert is made for now.

use crate::monitor::alert::Alerts;
use crate::monitor::site::state::SiteState;
use crate::monitor::time::Moment;

impl Alerts {
    /// Everything is muted until then, if that is to come.
    pub fn muted_until(&self) -> Option<Moment> {
        self.muted_until
    }

    /// Everything is muted, or a site became slow under a mute or maintenance: the end may be due.
    pub fn any_silence(&self) -> bool {
        self.muted_until.is_some() || !self.slow_in_silence.is_empty()
    }

    /// Mutes everything until then; `None` = no longer.
    pub fn mute_all(&mut self, until: Option<Moment>) {
        self.muted_until = until;
    }

    /// Everything is muted.
    pub fn all_muted(&self, now: Moment) -> bool {
        self.muted_until.is_some_and(|until| until > now)
    }

    /// No new alert is made of the site: it or everything is muted, or it is under maintenance.
    pub fn muted(&self, site: &SiteState, now: Moment) -> bool {
        self.all_muted(now) || site.is_muted(now) || site.under_maintenance()
    }

    /// No alert is made of the site but the end of what had one: it is muted, under maintenance,
    /// flapping or not judged, or recovering.
    pub(super) fn is_held_back(&self, site: &SiteState, now: Moment) -> bool {
        let covered = site.is_suppressed() || site.flapping().is_flapping() || site.is_uncertain();
        covered || self.muted(site, now)
    }

    /// At this time, or when not everything is muted any more.
    pub fn after_mute(&self, at: Moment) -> Moment {
        self.muted_until.map_or(at, |until| until.max(at))
    }
}
