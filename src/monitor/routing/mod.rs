//! Hands what one component returns to the next: nothing is decided here.

mod notifications;
mod outcomes;
pub(super) mod timers;
