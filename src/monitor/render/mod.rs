//! Text and the data of pictures.

pub(crate) mod charts;
pub mod picture;
pub mod replies;
pub(crate) mod state_counts;
pub mod stats;
pub mod text;
