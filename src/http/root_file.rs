//! Files of trusted roots: where the system has its own, what tells one version of a file from
//! another, and what of it can be used.
//!
//! rustls-ffi refuses a whole file for one bad block, after a connection was made. So what libcurl is
//! given of such a file is a copy of what is sound; a file without fault it reads itself.

use crate::files;
use crate::pem::{self, Review};
use isahc::tls::{TrustStore, TrustStoreBuilder};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// `SSL_CERT_FILE`, else where the distributions put it.
pub(super) fn system_bundle() -> Option<PathBuf> {
    std::env::var_os("SSL_CERT_FILE")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .or_else(|| openssl_probe::probe().cert_file)
}

/// `No such file or directory`, without the number.
pub(super) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((text, _)) => text.to_owned(),
        None => text,
    }
}

/// What tells one version of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) modified: SystemTime,
    /// In bytes.
    pub(super) size: u64,
}

/// What a file holds.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) stamp: Option<Stamp>,
    /// The certificates that can be used, when libcurl would refuse the file or read others.
    pub(super) picked: Option<TrustStore>,
    /// Of what can't be used.
    pub(super) warning: Option<String>,
}

impl Seen {
    /// Reads the file; `None` when it is the version that is known. Blocks.
    pub(super) fn of(path: &Path, known: Option<Stamp>) -> io::Result<Option<Seen>> {
        let (file, found) = files::open(path, files::LARGEST_BUNDLE)?;
        let (modified, size) = (found.modified()?, found.len());
        let stamp = Some(Stamp { modified, size });
        if stamp == known {
            return Ok(None);
        }
        let pem = files::bounded(file, files::LARGEST_BUNDLE)?;
        let review = Review::of(&pem);
        // With none at all libcurl is to say so.
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
