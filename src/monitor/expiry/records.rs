//! The state of certificates and domains that survives a restart, as plain data.

#![allow(clippy::question_mark)] // in what nanoserde derives

use nanoserde::{DeJson, SerJson};

/// A root certificate that expires soon or has expired.
#[derive(Clone, Debug, Default, PartialEq, SerJson, DeJson)]
#[nserde(default)]
pub struct RootRecord {
    pub subject: String,
    pub issuer: String,
    pub key: String,
    pub ends: i64,
    /// What was notified: 0 nothing, 1 that it expires, 2 that it has expired.
    pub told: u32,
    /// The sites that rely on it.
    pub sites: Vec<String>,
}

/// State of a certificate or a domain.
#[derive(Clone, Debug, Default, PartialEq, SerJson, DeJson)]
#[nserde(default)]
pub struct ExpiryRecord {
    /// The word of a [`crate::monitor::expiry::Subject`].
    pub kind: String,
    pub ends: i64,
    pub subject: String,
    pub issuer: String,
    pub key: String,
    pub looked: i64,
    pub worried: bool,
    /// What was notified: date, stage, date, stage, …
    pub told: Vec<i64>,
}
