//! `multipart/form-data` (RFC 7578): how a file is sent.

use crate::http::HeaderValue;
use nanoserde::SerJson;
use std::hash::{BuildHasher, RandomState};

/// A body that is being written; [`Multipart::end`] makes it whole.
pub struct Multipart {
    boundary: String,
    bytes: Vec<u8>,
}

impl Multipart {
    pub fn new() -> Multipart {
        let random = RandomState::new();
        Multipart {
            // What is between may come from a site: not to be guessed.
            boundary: format!("{:016x}{:016x}", random.hash_one(0), random.hash_one(1)),
            bytes: Vec::new(),
        }
    }

    pub fn text(&mut self, name: &str, value: &str) {
        self.part(name, "", value.as_bytes());
    }

    /// Nothing for `None`.
    pub fn json(&mut self, name: &str, value: Option<&impl SerJson>) {
        if let Some(value) = value {
            self.text(name, &value.serialize_json());
        }
    }

    /// A PNG.
    pub fn file(&mut self, name: &str, bytes: &[u8]) {
        let more = format!("; filename=\"{name}.png\"\r\nContent-Type: image/png");
        self.part(name, &more, bytes);
    }

    pub fn end(mut self) -> Multipart {
        let end = format!("--{}--\r\n", self.boundary);
        self.bytes.extend_from_slice(end.as_bytes());
        self
    }

    pub fn content_type(&self) -> HeaderValue {
        let text = format!("multipart/form-data; boundary={}", self.boundary);
        HeaderValue::from_str(&text)
            .unwrap_or_else(|_| HeaderValue::from_static("multipart/form-data"))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn part(&mut self, name: &str, more: &str, content: &[u8]) {
        let head = format!(
            "--{}\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n",
            self.boundary
        );
        self.bytes.extend_from_slice(head.as_bytes());
        self.bytes.extend_from_slice(content);
        self.bytes.extend_from_slice(b"\r\n");
    }
}
