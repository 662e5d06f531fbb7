//! The transports of the chat: the Telegram Bot API and the terminal.
//!
//! Both convert input to [`Update`](crate::monitor::outbox::message::Update)s and send
//! [`Message`](crate::monitor::outbox::message::Message)s. Neither decides which chats may give
//! commands or which messages are sent.

mod api;
mod api_types;
pub mod console;
pub mod html;
mod message_request;
mod multipart;
pub(crate) mod poller;
pub mod stdio;
pub mod telegram;
pub mod terminal_output;
