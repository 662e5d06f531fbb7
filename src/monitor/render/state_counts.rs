//! How many sites are in which state, and the orders in which states are named.

use crate::monitor::site::state::{SiteState, State};

/// The order in which sites that are not up are named.
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

/// `4 up`, `1 down`: the states that sites are in, in this order.
pub fn state_counts(sites: &[&SiteState], order: &[State]) -> Vec<String> {
    let of = |state: State| sites.iter().filter(|w| w.state() == state).count();
    let counts = order.iter().map(|&state| (of(state), state));
    let counts = counts.filter(|(n, _)| *n > 0);
    counts.map(|(n, state)| format!("{n} {state}")).collect()
}

/// The same, and first how many are up, be it none.
pub fn up_and_others(sites: &[&SiteState], order: &[State]) -> Vec<String> {
    let up = sites.iter().filter(|w| w.state() == State::Up).count();
    let others: Vec<State> = order.iter().copied().filter(|s| *s != State::Up).collect();
    let mut counts = vec![format!("{up} up")];
    counts.extend(state_counts(sites, &others));
    counts
}
