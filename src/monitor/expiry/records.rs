//! What must survive a restart of what runs out, as plain data.

#![allow(clippy::question_mark)] // in what nanoserde derives

use nanoserde::{DeJson, SerJson};

/// A root certificate that ends soon or has ended.
#[derive(Clone, Debug, Default, PartialEq, SerJson, DeJson)]
#[nserde(default)]
pub struct RootRecord {
    pub subject: String,
    pub issuer: String,
    pub key: String,
    pub ends: i64,
    /// 0: nothing was notified, 1: that it will end, 2: that it has ended.
    pub told: u32,
    /// Those that rely on it.
    pub sites: Vec<String>,
}

/// What is known of a certificate or a domain.
#[derive(Clone, Debug, Default, PartialEq, SerJson, DeJson)]
#[nserde(default)]
pub struct ExpiryRecord {
    /// A word of [`crate::monitor::expiry::Subject`].
    pub kind: String,
    pub ends: i64,
    pub subject: String,
    pub issuer: String,
    pub key: String,
    pub looked: i64,
    pub worried: bool,
    /// Date, stage, date, stage, …
    pub told: Vec<i64>,
}
