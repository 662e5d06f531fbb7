//! Texts of replies, and the data of pictures. Texts of alerts are in [`crate::monitor::alert`].

pub(crate) mod charts;
pub mod details;
pub mod metrics;
pub mod picture;
pub mod replies;
pub(crate) mod runs;
pub(crate) mod state_counts;
pub mod stats;
pub mod text;
