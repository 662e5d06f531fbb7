//! Text and the data of pictures, for people.

pub(crate) mod charts;
pub mod picture;
pub mod replies;
pub mod stats;
pub mod text;
