//! The details of a site that replies and the digest show besides its state.

use crate::monitor::expiry::Inspections;
use crate::monitor::history::recording::Recorder;
use crate::monitor::incident::Incidents;
use crate::monitor::time::Clock;

/// The components that hold such details.
#[derive(Clone, Copy)]
pub struct SiteDetails<'a> {
    pub incidents: &'a Incidents,
    pub expiry: &'a Inspections,
    pub history: &'a Recorder,
    /// Whether the wall clock is trusted, so that times of day may be shown.
    pub dated: bool,
}

impl<'a> SiteDetails<'a> {
    pub fn new(
        incidents: &'a Incidents,
        expiry: &'a Inspections,
        history: &'a Recorder,
        clock: &Clock,
    ) -> SiteDetails<'a> {
        SiteDetails {
            incidents,
            expiry,
            history,
            dated: clock.is_set(),
        }
    }
}
