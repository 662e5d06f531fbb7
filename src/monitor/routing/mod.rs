//! Hands what one component returns to the next. Of its own it decides which checks count at all (those
//! that this machine or its clock made fail do not), and how loud a line of the log is.

mod notifications;
mod outcomes;
pub(super) mod timers;
