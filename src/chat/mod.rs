//! The transports of the chat: the Telegram Bot API and the terminal.
//!
//! Both turn what comes in into [`Update`](crate::monitor::outbox::message::Update)s
//! and send [`Message`](crate::monitor::outbox::message::Message)s; neither decides
//! who may command or what is worth saying.

mod api;
pub mod console;
mod form;
pub mod html;
mod multipart;
pub mod output;
mod poller;
mod shapes;
mod stream;
pub mod telegram;
