//! The monitor stepped like a protocol core: virtual time, scripted outcomes, transcripts.

mod added;
mod alerts;
mod behind;
mod buttons;
mod channels;
mod chats;
mod clock;
mod commands;
mod digest;
mod endings;
mod history;
mod hours;
mod lacks;
pub(crate) mod make;
pub(crate) mod messages;
mod restarts;
mod roots;
mod rounds;
mod survival;
mod timers;
mod uplink_faults;
mod uplink_periods;
mod visible;
mod words;
mod world;
