//! The monitor stepped like a protocol core: virtual time, scripted outcomes, transcripts.

mod access;
mod added;
mod alerts;
pub(crate) mod builders;
mod buttons;
mod chats;
mod clock;
mod commands;
mod dependencies;
mod digest;
mod expiry;
mod history;
mod late_rounds;
mod local_faults;
pub(crate) mod messages;
mod persistence;
mod quiet_and_maintenance;
mod restarts;
mod roots;
mod this_machine;
mod timers;
mod uplink_faults;
mod uplink_periods;
mod wording;
mod world;
