//! Writes bodies of type `multipart/form-data` (RFC 7578), for uploading files.

use crate::http::HeaderValue;
use nanoserde::SerJson;
use std::hash::{BuildHasher, RandomState};

/// An unfinished body; [`Multipart::end`] completes it.
pub struct Multipart {
    boundary: String,
    bytes: Vec<u8>,
}

impl Multipart {
    pub fn new() -> Multipart {
        let random = RandomState::new();
        Multipart {
            // Random, because the parts may contain text from a site, which must not forge a
            // boundary.
            boundary: format!("{:016x}{:016x}", random.hash_one(0), random.hash_one(1)),
            bytes: Vec::new(),
        }
    }

    pub fn text(&mut self, name: &str, value: &str) {
        self.part(name, "", value.as_bytes());
    }

    /// Adds no part if `value` is `None`.
    pub fn json(&mut self, name: &str, value: Option<&impl SerJson>) {
        if let Some(value) = value {
            self.text(name, &value.serialize_json());
        }
    }

    /// Adds a PNG file.
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
