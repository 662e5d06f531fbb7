//! The monitor stepped like a protocol core: virtual time, scripted outcomes, transcripts.

mod access;
mod added;
mod alerts;
pub(crate) mod builders;
mod buttons;
pub(crate) mod chat_day;
mod chats;
mod clock;
mod commands;
mod dependencies;
mod digest;
mod expiry;
mod history;
mod late_rounds;
mod local_faults;
mod message_cases;
pub(crate) mod messages;
mod persistence;
mod quiet_and_maintenance;
mod restarts;
mod roots;
pub(crate) mod routes;
mod timers;
mod uplink_faults;
mod uplink_periods;
mod wording;
mod world;
