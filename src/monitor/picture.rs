//! Pictures as the core knows them: what is to be seen, not how it is drawn.

/// A picture to be drawn by the transport's side: plain data, no pixels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// One line of plain text that says what it shows; also its name where it can't be shown.
    pub title: String,
}
