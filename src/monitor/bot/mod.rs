//! The bot: an update becomes a command or a callback, and that a reply.

pub(crate) mod added_sites;
pub(crate) mod callback_data;
pub(crate) mod callbacks;
pub(crate) mod check_jobs;
pub(crate) mod checks;
pub mod command;
pub(crate) mod commands;
pub(crate) mod name_resolution;
pub mod nearest;
pub(crate) mod strangers;
pub(crate) mod updates;
pub(crate) mod visibility;
