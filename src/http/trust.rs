//! Selects the roots of our own handshakes: the root that was learnt for the host, else the whole bundle
//! (see `roots.rs`).

use super::handshake::{Bundle, Root, Way};
use super::root_file::Stamp;
use super::{Client, name};
use crate::offload::offload;
use rustls::pki_types::CertificateDer;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The roots of one handshake.
pub struct Trust {
    pub bundle: Arc<Bundle>,
    /// Their file, with its version before it was read.
    file: PathBuf,
    stamp: Option<Stamp>,
    name: String,
    learnt: bool,
}

impl Trust {
    /// A single learnt root. If it does not verify the host, the whole bundle must be tried
    /// ([`Client::distrust`]) before a verdict.
    pub fn is_learnt(&self) -> bool {
        self.learnt
    }
}

impl Client {
    /// Returns the roots for `host` and `port`, or a cause if there are none.
    pub async fn trust(
        &self,
        host: &str,
        port: u16,
        ca_file: Option<&Path>,
    ) -> Result<Trust, String> {
        let roots = &self.shared.roots;
        let file = roots.bundle(ca_file)?;
        roots.refresh(&file).await?;
        let name = name(host, port);
        let learnt = roots.learnt(&file, &name);
        let learnt = learnt.map(|root| CertificateDer::from(root.der.clone()));
        if let Some(bundle) = learnt.and_then(Bundle::of_one) {
            return Ok(Trust {
                bundle: Arc::new(bundle),
                file,
                stamp: None,
                name,
                learnt: true,
            });
        }
        let stamp = roots.stamp(&file);
        Ok(Trust {
            bundle: self.read_bundle(&file).await?,
            file,
            stamp,
            name,
            learnt: false,
        })
    }

    /// Forgets a learnt root that did not verify the host, and returns the whole bundle.
    pub async fn distrust(&self, trust: Trust) -> Result<Trust, String> {
        let roots = &self.shared.roots;
        roots.learn(&trust.file, &trust.name, None);
        Ok(Trust {
            stamp: roots.stamp(&trust.file),
            bundle: self.read_bundle(&trust.file).await?,
            learnt: false,
            ..trust
        })
    }

    /// The file is the site's own, and not the one of the other sites.
    pub fn is_own(&self, ca_file: Option<&Path>) -> bool {
        ca_file.is_some_and(|file| self.shared.roots.bundle(None).as_deref() != Ok(file))
    }

    /// Notes that `trust` verified `chain`: its root suffices the next time.
    pub fn verified(&self, trust: &Trust, chain: &[CertificateDer<'static>]) {
        if trust.learnt {
            return;
        }
        let roots = &self.shared.roots;
        roots.note(&trust.file, trust.stamp, &trust.name, || {
            trust.bundle.anchor(chain)
        });
    }

    /// Finds the path from `chain`, leaf first, to a trusted root that is valid longest. `end_of`: expiry of a
    /// certificate in Unix seconds; `root_counts`: the root's expiry counts, too. Reads one file at a time.
    pub async fn longest_way(
        &self,
        ca_file: Option<&Path>,
        chain: &[CertificateDer<'static>],
        end_of: fn(&[u8]) -> Option<i64>,
        root_counts: bool,
    ) -> Option<Way> {
        let file = self.shared.roots.bundle(ca_file).ok()?;
        let chain = chain.to_vec();
        self.alone(move || Bundle::longest(&file, &chain, end_of, root_counts))
            .await
    }

    /// Finds the root in this file that `chain`, leaf first, leads to. Reads one file at a time.
    pub(super) async fn root_of(
        &self,
        file: &Path,
        chain: &[CertificateDer<'static>],
    ) -> Option<Root> {
        let (file, chain) = (file.to_owned(), chain.to_vec());
        self.alone(move || Bundle::find(&file, &chain)).await
    }

    /// Runs `read` on a file of roots while no other is read.
    async fn alone<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> io::Result<Option<T>> + Send + 'static,
    ) -> Option<T> {
        let turn = self.shared.bundle.clone().lock_arc().await;
        let found = offload(move || {
            // Held by the reading task, which continues if the caller is dropped.
            let _turn = turn;
            read()
        });
        found.await.ok().flatten()
    }
}
