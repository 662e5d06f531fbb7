//! Files of trusted roots: the system's location, how versions are told apart, and which certificates are
//! usable.
//!
//! rustls-ffi rejects a whole file for one bad block, after it has connected. So libcurl gets a copy of the
//! usable part of such a file; files without faults it reads itself.

use crate::files;
use crate::pem::{self, Review};
use isahc::tls::{TrustStore, TrustStoreBuilder};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Returns `SSL_CERT_FILE`, else the usual path of the distributions.
pub(super) fn system_bundle() -> Option<PathBuf> {
    std::env::var_os("SSL_CERT_FILE")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .or_else(|| openssl_probe::probe().cert_file)
}

/// Formats an error without its number: `No such file or directory`.
pub(super) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((text, _)) => text.to_owned(),
        None => text,
    }
}

/// Identifies a version of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) modified: SystemTime,
    /// In bytes.
    pub(super) size: u64,
}

/// The content of a file.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) stamp: Option<Stamp>,
    /// The usable certificates if libcurl would reject the file or read others.
    pub(super) picked: Option<TrustStore>,
    /// Describes the unusable part.
    pub(super) warning: Option<String>,
}

impl Seen {
    /// Reads the file; `None` if it is the known version. Blocks.
    pub(super) fn of(path: &Path, known: Option<Stamp>) -> io::Result<Option<Seen>> {
        let (file, found) = files::open(path, files::LARGEST_BUNDLE)?;
        let (modified, size) = (found.modified()?, found.len());
        let stamp = Some(Stamp { modified, size });
        if stamp == known {
            return Ok(None);
        }
        let pem = files::bounded(file, files::LARGEST_BUNDLE)?;
        let review = Review::of(&pem);
        // If no certificate is usable, libcurl reports the error.
        let pick = !review.plain && review.sound > 0;
        let picked = pick.then(|| {
            let add = |store: TrustStoreBuilder, root| store.certificate_from_der(root);
            pem::roots(&pem).fold(TrustStore::builder(), add).build()
        });
        Ok(Some(Seen {
            stamp,
            picked,
            warning: review.warning(),
        }))
    }
}
