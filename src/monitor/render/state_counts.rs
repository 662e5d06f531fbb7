//! Counts of sites by state, and the orders in which states are listed.

use crate::monitor::site::state::{SiteState, State};

/// The order in which replies list sites that are not up.
pub const WORST_FIRST: [State; 6] = [
    State::Down,
    State::Degraded,
    State::Unreachable,
    State::Offline,
    State::Unknown,
    State::Paused,
];

/// The order of the daily summary.
pub const WORST_LAST: [State; 7] = [
    State::Up,
    State::Unknown,
    State::Paused,
    State::Offline,
    State::Unreachable,
    State::Degraded,
    State::Down,
];

/// Returns the counts of the states that occur, in this order: `4 up`, `1 down`.
pub fn state_counts(sites: &[&SiteState], order: &[State]) -> Vec<String> {
    let of = |state: State| sites.iter().filter(|w| w.state() == state).count();
    let counts = order.iter().map(|&state| (of(state), state));
    let counts = counts.filter(|(n, _)| *n > 0);
    counts.map(|(n, state)| format!("{n} {state}")).collect()
}

/// Returns the same with the count of up sites first, even if it is zero.
pub fn up_and_others(sites: &[&SiteState], order: &[State]) -> Vec<String> {
    let up = sites.iter().filter(|w| w.state() == State::Up).count();
    let others: Vec<State> = order.iter().copied().filter(|s| *s != State::Up).collect();
    let mut counts = vec![format!("{up} up")];
    counts.extend(state_counts(sites, &others));
    counts
}
