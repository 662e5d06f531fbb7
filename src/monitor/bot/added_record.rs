//! What is remembered of a site that was added in the chat.

#![allow(clippy::question_mark)] // in what nanoserde derives

use nanoserde::{DeJson, SerJson};

/// A site that was added in the chat.
#[derive(Clone, Debug, Default, PartialEq, SerJson, DeJson)]
#[nserde(default)]
pub struct AddedRecord {
    pub name: String,
    /// As it was written. May hold a password: never show it.
    pub url: String,
}
