//! Text and the data of pictures.

pub(crate) mod charts;
pub mod details;
pub mod picture;
pub mod replies;
pub(crate) mod state_counts;
pub mod stats;
pub mod text;
