//! Flapping: five state changes within an hour are sent as one alert, and further ones are silent
//! until the site has been up for 15 minutes or down for 5 minutes (docs/alerts.md). Flapping that
//! began under a mute and was not sent ends as soon as the site changes less often.

use crate::monitor::time::Moment;
use crate::monitor::time::text::lasting;
use std::time::Duration;

const CHANGES: usize = 5;
const CHANGES_WITHIN: Duration = Duration::from_secs(3600);
/// Flapping ends when the site has been up, or down, for this long without a break.
const STEADY_UP: Duration = Duration::from_secs(15 * 60);
const STEADY_DOWN: Duration = Duration::from_secs(5 * 60);

/// Returns the text about the changes that are not notified while a site flaps.
pub fn silence_text() -> String {
    format!(
        "Further changes are not told until it has been up for {} or down for {} without a break.",
        lasting(STEADY_UP),
        lasting(STEADY_DOWN)
    )
}

/// The recent state changes of one site.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flapping {
    /// Changes within the last hour, oldest first; at most [`CHANGES`].
    changes: Vec<Moment>,
    /// `Some` while the site flaps: the start of its steady time.
    restless: Option<Moment>,
}

/// How a change is notified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeNotice {
    /// With its own alert.
    Normal,
    /// With the alert "is flapping", once.
    Flapping,
    /// Not at all.
    Silent,
}

impl Flapping {
    /// Restores an earlier run's state. Steady time starts now: that of the time between is
    /// unknown.
    pub fn restore(changes: Vec<Moment>, flapping: bool, now: Moment) -> Flapping {
        Flapping {
            restless: flapping.then_some(now),
            changes,
        }
    }

    /// Records a change of the site's state.
    pub fn on_change(&mut self, now: Moment) -> ChangeNotice {
        self.changes.retain(|at| now.since(*at) < CHANGES_WITHIN);
        if self.changes.len() == CHANGES {
            self.changes.remove(0);
        }
        self.changes.push(now);
        if self.restless.is_some() {
            self.restless = Some(now);
            return ChangeNotice::Silent;
        }
        let early = usize::from(mutated!("flapping after four changes"));
        if self.changes.len() + early < CHANGES {
            return ChangeNotice::Normal;
        }
        self.restless = Some(now);
        ChangeNotice::Flapping
    }

    pub fn is_flapping(&self) -> bool {
        self.restless.is_some()
    }

    /// Returns whether five changes lie within the last hour. A site that flaps can change less
    /// often without being steady, while it is not judged.
    pub fn changes_often(&self, now: Moment) -> bool {
        let lately = self.changes.iter();
        lately.filter(|at| now.since(**at) < CHANGES_WITHIN).count() >= CHANGES
    }

    pub fn changes(&self) -> &[Moment] {
        &self.changes
    }

    /// Returns when flapping ends if the site stays as it is.
    pub fn steady_at(&self, down: bool) -> Option<Moment> {
        let steady = if down { STEADY_DOWN } else { STEADY_UP };
        self.restless.map(|at| at + steady)
    }

    /// Restarts the steady time, which does not include time in which the site was not judged.
    pub fn restart_steady_time(&mut self, now: Moment) {
        if let Some(at) = &mut self.restless {
            *at = now;
        }
    }

    /// Excludes the time since `seen_until`, the last outcome, from the steady time, because the
    /// site could not be checked.
    pub fn exclude(&mut self, seen_until: Option<Moment>, now: Moment) {
        if let Some(at) = &mut self.restless {
            let unseen = now.since(seen_until.map_or(*at, |seen| seen.max(*at)));
            *at = *at + unseen;
        }
    }

    pub fn forget_changes(&mut self) {
        self.changes.clear();
    }

    /// Corrects the times of the changes after the clock was set.
    pub fn redate(&mut self, redate: impl Fn(&mut Moment)) {
        self.changes.iter_mut().for_each(redate);
    }

    /// Ends flapping.
    pub fn end(&mut self) {
        *self = Flapping::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(n: i64) -> Moment {
        Moment(n * 60_000)
    }

    #[test]
    fn the_fifth_change_within_an_hour_is_flapping_and_then_it_is_silent() {
        let mut flapping = Flapping::default();
        let manners: Vec<ChangeNotice> =
            (0..7).map(|n| flapping.on_change(minute(n * 10))).collect();
        use ChangeNotice::{Flapping as F, Normal as P, Silent as S};
        assert_eq!(manners, [P, P, P, P, F, S, S]);
        assert_eq!(flapping.steady_at(false), Some(minute(75)));
        assert_eq!(flapping.steady_at(true), Some(minute(65)));
    }

    #[test]
    fn five_changes_in_more_than_an_hour_are_five_changes() {
        let mut flapping = Flapping::default();
        for n in 0..50 {
            assert_eq!(flapping.on_change(minute(n * 15)), ChangeNotice::Normal);
        }
        assert!(flapping.changes().len() <= CHANGES);
    }

    #[test]
    fn time_in_the_dark_is_not_steady() {
        let mut flapping = Flapping::default();
        for n in 0..5 {
            flapping.on_change(minute(n));
        }
        flapping.restart_steady_time(minute(60));
        assert_eq!(flapping.steady_at(false), Some(minute(75)));
    }

    #[test]
    fn once_steady_it_starts_afresh() {
        let mut flapping = Flapping::default();
        for n in 0..5 {
            flapping.on_change(minute(n));
        }
        flapping.end();
        assert!(!flapping.is_flapping());
        assert_eq!(flapping.on_change(minute(20)), ChangeNotice::Normal);
    }
}
