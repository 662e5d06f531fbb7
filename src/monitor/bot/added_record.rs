//! The persistent record of a site that was added in a chat.

#![allow(clippy::question_mark)] // in what nanoserde derives

use nanoserde::{DeJson, SerJson};

/// A site that was added in a chat.
#[derive(Clone, Debug, Default, PartialEq, SerJson, DeJson)]
#[nserde(default)]
pub struct AddedRecord {
    pub name: String,
    /// The URL as the user typed it. May contain a password: must not be shown.
    pub url: String,
}
