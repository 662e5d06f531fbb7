//! Pictures of plain data: a PNG for the chat, block characters for the terminal. No I/O. They are
//! drawn where messages are sent, outside of the agent's loop.

#[cfg(feature = "charts")]
mod canvas;
#[cfg(feature = "charts")]
mod deflate;
#[cfg(feature = "charts")]
mod draw;
#[cfg(feature = "charts")]
mod font;
mod lines;

#[cfg(feature = "charts")]
pub use draw::png;
pub use lines::sparkline;

#[cfg(all(test, feature = "charts"))]
mod tests;
