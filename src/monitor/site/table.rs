//! All sites that are watched, in the order of the configuration, and where a name is among them.

use crate::monitor::site::state::SiteState;
use crate::monitor::site::suppression::Suppression;
use crate::monitor::time::Moment;
use std::collections::HashMap;
use std::ops::{Deref, DerefMut};

/// The watched sites. A site is known by its place inside the core and by its name outside of it;
/// places change at a reload only.
#[derive(Debug, Default)]
pub struct Sites {
    all: Vec<SiteState>,
    places: HashMap<String, usize>,
}

impl Sites {
    pub fn new(all: Vec<SiteState>) -> Sites {
        let names = all.iter().map(|w| w.name().to_owned());
        Sites {
            places: names.zip(0..).collect(),
            all,
        }
    }

    /// The place of the site with this very name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// The site with this very name.
    pub fn named(&self, name: &str) -> Option<&SiteState> {
        self.find(name).map(|at| &self.all[at])
    }

    /// The sites at these places.
    pub fn at(&self, places: &[usize]) -> Vec<&SiteState> {
        places.iter().map(|&at| &self.all[at]).collect()
    }

    /// Mutes the sites at these places until then; `None` = no longer.
    pub fn mute(&mut self, places: &[usize], until: Option<Moment>) {
        for &at in places {
            self.all[at].mute(until);
        }
    }

    /// The sites by their names, for a new configuration to take from.
    pub fn into_by_name(self) -> HashMap<String, SiteState> {
        let named = |w: SiteState| (w.name().to_owned(), w);
        self.all.into_iter().map(named).collect()
    }

    /// Judges again what was not judged for this reason, afresh: the places of those sites.
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

impl Deref for Sites {
    type Target = [SiteState];

    fn deref(&self) -> &[SiteState] {
        &self.all
    }
}

impl DerefMut for Sites {
    fn deref_mut(&mut self) -> &mut [SiteState] {
        &mut self.all
    }
}
