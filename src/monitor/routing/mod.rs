//! Passes the results of one component to the next. Decides itself only which checks count (not
//! those that failed because of this machine or its clock), and the levels of log lines.

pub(super) mod action_runs;
mod agent_notices;
mod channels;
mod chats;
pub(super) mod notifier;
mod reminders;
mod results;
pub(super) mod timers;
mod transitions;
