//! All sites in the order of the configuration, an index of their names, and the sets of sites
//! whose states are needed at every event.

use crate::monitor::site::state::{SiteState, State};
use crate::monitor::site::suppression::Suppression;
use crate::monitor::time::Moment;
use std::collections::{BTreeSet, HashMap};
use std::ops::{Deref, DerefMut, Index, IndexMut};

/// The sites. Inside the core a site is identified by its place, outside by its name. Places change
/// only at a reload.
///
/// Mutable access to a site marks it for [`Sites::recount`], but for [`Sites::for_check`]: no change
/// is missed, and no event has to iterate over all sites.
#[derive(Debug, Default)]
pub struct Sites {
    all: Vec<SiteState>,
    places: HashMap<String, usize>,
    /// Places of the sites that depend on another one, or did.
    dependents: Vec<usize>,
    /// Places of the sites that may have changed since the last recount, unless `all_touched`.
    touched: Vec<usize>,
    all_touched: bool,
    /// State of each site, as of the last recount.
    states: Vec<State>,
    /// Places of the sites whose state has changed since [`Sites::take_changed`].
    changed: BTreeSet<usize>,
    /// See [`Sites::take_touched_not_up`].
    touched_not_up: bool,
    census: Census,
}

/// Places of the sites in the states that are needed at every event.
#[derive(Debug, Default)]
pub struct Census {
    /// Sites that fail but are not judged down yet.
    pub failing: BTreeSet<usize>,
    /// Down sites whose last check succeeded.
    pub recovering: BTreeSet<usize>,
    /// Sites with a pending down.
    pub pending: BTreeSet<usize>,
    pub flapping: BTreeSet<usize>,
    /// Number of sites that are not judged yet.
    pub unknown: usize,
    /// Number of sites that are down.
    pub down: usize,
}

/// Data of a component about each site, by the site's place.
#[derive(Debug)]
pub struct BySite<T>(Vec<T>);

/// For each site of a new configuration, its place in the previous one; `None` if it is new.
#[derive(Debug)]
pub struct Origins(pub Vec<Option<usize>>);

impl<T> Default for BySite<T> {
    fn default() -> BySite<T> {
        BySite(Vec::new())
    }
}

impl<T: Default> BySite<T> {
    /// Reorders the data for a new configuration.
    pub fn follow(&mut self, origins: &Origins) {
        let mut before = std::mem::take(&mut self.0);
        let kept = |at: &Option<usize>| Some(std::mem::take(before.get_mut((*at)?)?));
        let kept = origins.0.iter().map(kept).map(Option::unwrap_or_default);
        self.0 = kept.collect();
    }
}

impl<T> Deref for BySite<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> DerefMut for BySite<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl Sites {
    pub fn new(mut all: Vec<SiteState>) -> Sites {
        for (place, site) in all.iter_mut().enumerate() {
            site.set_place(place);
        }
        let names = all.iter().map(|w| w.name().to_owned());
        let depends = |w: &SiteState| w.config().after.is_some() || w.is_unreachable();
        Sites {
            places: names.zip(0..).collect(),
            dependents: (0..all.len()).filter(|&at| depends(&all[at])).collect(),
            all_touched: true,
            states: vec![State::Unknown; all.len()],
            changed: (0..all.len()).collect(),
            touched_not_up: true,
            census: Census {
                unknown: all.len(),
                ..Census::default()
            },
            touched: Vec::new(),
            all,
        }
    }

    /// Iterates over all sites mutably.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, SiteState> {
        self.all_touched = true;
        self.all.iter_mut()
    }

    /// Returns a site whose check is to begin, which changes nothing that [`Sites::recount`] looks
    /// at.
    pub fn for_check(&mut self, at: usize) -> &mut SiteState {
        &mut self.all[at]
    }

    /// Updates the census for the sites that may have changed.
    pub fn recount(&mut self) -> &Census {
        if std::mem::take(&mut self.all_touched) {
            self.touched.clear();
            (0..self.all.len()).for_each(|at| self.recount_one(at));
        }
        while let Some(at) = self.touched.pop() {
            self.recount_one(at);
        }
        &self.census
    }

    /// Returns the census of the last [`Sites::recount`], after which no site may have been
    /// changed.
    pub fn census(&self) -> &Census {
        debug_assert!(
            self.touched.is_empty() && !self.all_touched,
            "not recounted"
        );
        debug_assert!(
            (0..self.all.len()).all(|at| self.is_counted(at)),
            "a site was changed that was not touched"
        );
        &self.census
    }

    /// Returns whether the census has the site in the sets in which it belongs.
    fn is_counted(&self, at: usize) -> bool {
        let census = &self.census;
        let sets = [
            &census.failing,
            &census.recovering,
            &census.pending,
            &census.flapping,
        ];
        sets.map(|set| set.contains(&at)) == sets_of(&self.all[at])
            && self.states[at] == self.all[at].state()
    }

    fn recount_one(&mut self, at: usize) {
        let (watched, census) = (&self.all[at], &mut self.census);
        let state = watched.state();
        let sets = [
            &mut census.failing,
            &mut census.recovering,
            &mut census.pending,
            &mut census.flapping,
        ];
        for (set, is) in sets.into_iter().zip(sets_of(watched)) {
            if is {
                set.insert(at);
            } else {
                set.remove(&at);
            }
        }
        let before = std::mem::replace(&mut self.states[at], state);
        self.touched_not_up |= (before, state) != (State::Up, State::Up);
        if before != state {
            self.changed.insert(at);
            census.unknown += usize::from(state == State::Unknown);
            census.unknown -= usize::from(before == State::Unknown);
            census.down += usize::from(state == State::Down);
            census.down -= usize::from(before == State::Down);
        }
    }

    /// Returns the places of the sites whose state has changed since the last call, if any.
    pub fn take_changed(&mut self) -> Option<BTreeSet<usize>> {
        self.recount();
        (!self.changed.is_empty()).then(|| std::mem::take(&mut self.changed))
    }

    /// Returns whether a site that is not up, or was not, may have changed since the last call.
    pub fn take_touched_not_up(&mut self) -> bool {
        self.recount();
        std::mem::take(&mut self.touched_not_up)
    }

    /// Returns the places of the sites that depend on another one, or did.
    pub(super) fn dependents(&self) -> &[usize] {
        &self.dependents
    }

    /// Returns the place of the site with exactly this name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// Returns the site with exactly this name.
    pub fn named(&self, name: &str) -> Option<&SiteState> {
        self.find(name).map(|at| &self.all[at])
    }

    /// Returns the sites at these places.
    pub fn at(&self, places: &[usize]) -> Vec<&SiteState> {
        places.iter().map(|&at| &self.all[at]).collect()
    }

    /// Mutes the sites at these places until `until`; `None` = unmutes them.
    pub fn mute(&mut self, places: &[usize], until: Option<Moment>) {
        for &at in places {
            self[at].mute(until);
        }
    }

    /// Returns the sites by name, to be moved into a new configuration.
    pub fn into_by_name(self) -> HashMap<String, SiteState> {
        let named = |w: SiteState| (w.name().to_owned(), w);
        self.all.into_iter().map(named).collect()
    }

    /// Ends this suppression of all sites that have it, and returns their places.
    pub fn end_suppression(&mut self, suppression: Suppression, now: Moment) -> Vec<usize> {
        let suppressed = |at: &usize| self[*at].suppression() == Some(suppression);
        let places: Vec<usize> = (0..self.len()).filter(suppressed).collect();
        for &at in &places {
            self[at].end_suppression(now);
        }
        places
    }

    pub fn contains(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }
}

/// Returns in which sets of the [`Census`] the site belongs, in the order of its fields.
fn sets_of(watched: &SiteState) -> [bool; 4] {
    let judged = !watched.is_paused();
    [
        judged && watched.is_suspect(),
        judged && watched.is_down() && watched.needs_retry(),
        watched.pending_down().is_some(),
        watched.flapping().is_flapping(),
    ]
}

impl Deref for Sites {
    type Target = [SiteState];

    fn deref(&self) -> &[SiteState] {
        &self.all
    }
}

impl Index<usize> for Sites {
    type Output = SiteState;

    fn index(&self, at: usize) -> &SiteState {
        &self.all[at]
    }
}

impl IndexMut<usize> for Sites {
    fn index_mut(&mut self, at: usize) -> &mut SiteState {
        if self.touched.last() != Some(&at) {
            self.touched.push(at);
        }
        &mut self.all[at]
    }
}
