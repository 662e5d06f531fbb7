//! Text and the data of pictures.

pub(crate) mod charts;
pub mod picture;
pub mod replies;
pub mod stats;
pub mod text;
