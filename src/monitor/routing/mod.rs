//! Hands what one component returns to the next. Of its own it decides which checks count at all (those
//! that this machine or its clock made fail do not), and how loud a line of the log is.

pub(super) mod action_runs;
mod agent_notices;
mod channels;
mod chats;
pub(super) mod notifier;
mod outcomes;
mod reminders;
pub(super) mod timers;
mod transitions;
