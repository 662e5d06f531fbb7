//! Selects the root certificates that verify a TLS server.
//!
//! libcurl's rustls backend parses its roots for every connection, and a system's bundle of some 140
//! costs half of an HTTPS check. So for a host that the whole bundle has verified, the one root that its
//! chain leads to is learnt, and only that is used from then on: always a subset of what is trusted. Our
//! own handshakes (`tls://` checks, inspections of certificates) learn and use the same roots.

use super::root_file::{Seen, Stamp, plain, system_bundle};
use crate::files;
use crate::lock::lock;
use crate::offload::offload;
use isahc::tls::TrustStore;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

/// A root that was removed from the bundle must not stay trusted.
const FORGET_AFTER: Duration = Duration::from_secs(12 * 3600);
/// After a failure nothing is learnt for the host for this long.
const AVOID_FOR: Duration = Duration::from_secs(3600);
/// Learning takes a handshake. A cancelled task does not block the host for longer than this.
const LEARN_WITHIN: Duration = Duration::from_secs(60);
const CHECK_EVERY: Duration = Duration::from_secs(60);
const MOST_HOSTS: usize = 4096;
/// Bytes of a file below which parsing is cheaper than a handshake, e.g. that of a private CA.
const WORTH_LEARNING: u64 = 16 * 1024;

/// The roots of the process.
pub(super) struct Roots {
    /// `ca_file` of `[agent]`.
    ca_file: Mutex<Option<PathBuf>>,
    system: Option<PathBuf>,
    table: Mutex<Table>,
}

impl Roots {
    pub(super) fn new(ca_file: Option<PathBuf>) -> Roots {
        Roots {
            ca_file: Mutex::new(ca_file),
            system: system_bundle(),
            table: Mutex::default(),
        }
    }

    /// Returns the file with the applicable roots, or a cause that says what to do.
    pub(super) fn bundle(&self, ca_file: Option<&Path>) -> Result<PathBuf, String> {
        ca_file
            .map(Path::to_owned)
            .or_else(|| lock(&self.ca_file).clone())
            .or_else(|| self.system.clone())
            // The bundle may have been installed since the start.
            .or_else(system_bundle)
            .ok_or_else(|| {
                "no trusted root certificates: install ca-certificates (OpenWrt: ca-bundle) \
                 or set ca_file"
                    .to_owned()
            })
    }

    /// Changes the `ca_file` of `[agent]`.
    pub(super) fn reconfigure(&self, ca_file: Option<PathBuf>) {
        *lock(&self.ca_file) = ca_file;
    }

    /// Describes why `bundle` is unusable: it cannot be read, or (`None`) has no certificates.
    pub(super) fn defect(&self, bundle: &Path, error: Option<&io::Error>) -> String {
        let name = self.named(bundle);
        match error {
            Some(error) => format!("cannot read {name}: {}", plain(error)),
            None => format!("no usable certificates in {name}"),
        }
    }

    fn named(&self, bundle: &Path) -> String {
        let what = match self.system.as_deref() == Some(bundle) {
            true => "root certificates",
            false => "ca_file",
        };
        format!("{what} {}", bundle.display())
    }

    /// Returns all usable roots of a file that was checked.
    pub(super) fn whole(&self, bundle: &Path) -> TrustStore {
        let table = self.table();
        let picked = table.bundles.get(bundle).and_then(|b| b.picked.clone());
        picked.unwrap_or_else(|| TrustStore::from_file(bundle))
    }

    /// Checks the file, unless it was checked within the last minute. To be awaited before other methods are
    /// called with `bundle`.
    ///
    /// # Errors
    ///
    /// The cause if it cannot be read.
    pub(super) async fn refresh(&self, bundle: &Path) -> Result<(), String> {
        if !self.table().is_due(bundle, Instant::now()) {
            return Ok(());
        }
        let known = self.stamp(bundle).is_some();
        match self.check(bundle).await {
            // The known version stays valid.
            Err(error) if error.kind() == io::ErrorKind::TimedOut && known => Ok(()),
            seen => seen.map_err(|error| self.defect(bundle, Some(&error))),
        }
    }

    /// Checks the file now: that it is a regular file, which version it is, and whether all of it is usable.
    /// Logs what is not, once per version.
    ///
    /// # Errors
    ///
    /// The cause if it cannot be read.
    pub(super) async fn refresh_now(&self, bundle: &Path) -> Result<(), String> {
        let seen = self.check(bundle).await;
        seen.map_err(|error| self.defect(bundle, Some(&error)))
    }

    async fn check(&self, bundle: &Path) -> io::Result<()> {
        let (path, known) = (bundle.to_owned(), self.stamp(bundle));
        let read = move || {
            let owned = path.clone();
            files::within(&path, files::READ_TIMEOUT, move || Seen::of(&owned, known))
        };
        let seen = match offload(read).await {
            Ok(seen) => seen,
            Err(error) => {
                if error.kind() != io::ErrorKind::TimedOut {
                    let none = Seen::default();
                    self.table().looked(bundle, Instant::now(), none);
                }
                return Err(error);
            }
        };
        let Some(seen) = seen else {
            self.table().unchanged(bundle, Instant::now());
            return Ok(());
        };
        let warning = seen.warning.clone();
        let is_new = self.table().looked(bundle, Instant::now(), seen);
        if let Some(warning) = warning.filter(|_| is_new) {
            log::warn!("{}: {warning}", self.named(bundle));
        }
        Ok(())
    }

    /// Returns the root that was learnt for `host`.
    pub(super) fn learnt(&self, bundle: &Path, host: &str) -> Option<Arc<Root>> {
        self.table().get(bundle, host, Instant::now())
    }

    /// Returns the known version of `bundle`, at most a minute old.
    pub(super) fn stamp(&self, bundle: &Path) -> Option<Stamp> {
        self.table().bundles.get(bundle)?.stamp
    }

    /// Learns the root that `host` led to when it was verified with the whole of `bundle`, read at version
    /// `stamp`.
    pub(super) fn note<R: AsRef<[u8]>>(
        &self,
        bundle: &Path,
        stamp: Option<Stamp>,
        host: &str,
        root: impl FnOnce() -> Option<R>,
    ) {
        let now = Instant::now();
        if self.table().wants(bundle, stamp, host, now)
            && let Some(root) = root()
        {
            self.table().note(bundle, stamp, host, root.as_ref(), now);
        }
    }

    /// Notes that `host` was verified. Returns true if the caller is to learn its root now.
    pub(super) fn verified(&self, bundle: &Path, host: &str) -> bool {
        self.table().verified(bundle, host, Instant::now())
    }

    /// Stores the result of learning; `None` if there is none, or a learnt root has failed.
    pub(super) fn learn(&self, bundle: &Path, host: &str, root: Option<&[u8]>) {
        self.table().learn(bundle, host, root, Instant::now());
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }
}

/// A root certificate for our own handshakes and libcurl's.
pub(super) struct Root {
    pub(super) der: Vec<u8>,
    pub(super) store: TrustStore,
}

enum Entry {
    /// Verified once: learnt when it is verified again.
    Seen,
    Known {
        root: Arc<Root>,
        until: Instant,
    },
    /// Being learnt, or failed: not tried again until then.
    Avoid {
        until: Instant,
    },
}

#[derive(Default)]
struct Table {
    bundles: HashMap<PathBuf, Hosts>,
    /// Roots in use, which many hosts share.
    roots: Vec<Weak<Root>>,
}

#[derive(Default)]
struct Hosts {
    stamp: Option<Stamp>,
    /// Of this version: see [`Seen`].
    picked: Option<TrustStore>,
    looked: Option<Instant>,
    hosts: HashMap<String, Entry>,
}

impl Table {
    fn is_due(&self, bundle: &Path, now: Instant) -> bool {
        let hosts = self.bundles.get(bundle);
        let known = hosts.filter(|hosts| hosts.stamp.is_some());
        known.is_none_or(|hosts| hosts.looked.is_none_or(|at| now >= at + CHECK_EVERY))
    }

    fn unchanged(&mut self, bundle: &Path, now: Instant) {
        if let Some(hosts) = self.bundles.get_mut(bundle) {
            hosts.looked = Some(now);
        }
    }

    /// Notes a look at the bundle. A change discards what was learnt from it. Returns true for a new version.
    fn looked(&mut self, bundle: &Path, now: Instant, found: Seen) -> bool {
        let hosts = self.bundles.entry(bundle.to_owned()).or_default();
        hosts.looked = Some(now);
        let is_new = hosts.stamp != found.stamp;
        if is_new {
            hosts.stamp = found.stamp;
            hosts.picked = found.picked;
            hosts.hosts.clear();
        }
        is_new
    }

    fn get(&mut self, bundle: &Path, host: &str, now: Instant) -> Option<Arc<Root>> {
        match self.bundles.get(bundle)?.hosts.get(host)? {
            Entry::Known { root, until } if now < *until => Some(root.clone()),
            _ => None,
        }
    }

    /// Whether a root for `host` that was verified with this version of `bundle` is to be kept. Also for small
    /// files: it costs nothing, and saves reading them on a thread.
    fn wants(&self, bundle: &Path, stamp: Option<Stamp>, host: &str, now: Instant) -> bool {
        let Some(hosts) = self.bundles.get(bundle) else {
            return false;
        };
        // Another version may lack the root.
        let fits = stamp.is_some() && hosts.stamp == stamp;
        fits && match hosts.hosts.get(host) {
            Some(Entry::Known { until, .. } | Entry::Avoid { until }) => now >= *until,
            Some(Entry::Seen) => true,
            None => self.count() < MOST_HOSTS,
        }
    }

    fn note(&mut self, bundle: &Path, stamp: Option<Stamp>, host: &str, der: &[u8], now: Instant) {
        if !self.wants(bundle, stamp, host, now) {
            return;
        }
        let root = self.root(der);
        let until = now + FORGET_AFTER;
        if let Some(Hosts { hosts, .. }) = self.bundles.get_mut(bundle) {
            hosts.insert(host.to_owned(), Entry::Known { root, until });
        }
    }

    fn count(&self) -> usize {
        self.bundles.values().map(|b| b.hosts.len()).sum()
    }

    fn verified(&mut self, bundle: &Path, host: &str, now: Instant) -> bool {
        let count = self.count();
        let Some(hosts) = self.bundles.get_mut(bundle) else {
            return false;
        };
        if hosts.stamp.is_none_or(|stamp| stamp.size < WORTH_LEARNING) {
            return false;
        }
        match hosts.hosts.get_mut(host) {
            Some(Entry::Known { until, .. } | Entry::Avoid { until }) if now < *until => false,
            Some(entry) => {
                *entry = Entry::Avoid {
                    until: now + LEARN_WITHIN,
                };
                true
            }
            None => {
                if count < MOST_HOSTS {
                    hosts.hosts.insert(host.to_owned(), Entry::Seen);
                }
                false
            }
        }
    }

    fn learn(&mut self, bundle: &Path, host: &str, der: Option<&[u8]>, now: Instant) {
        let root = der.map(|der| self.root(der));
        // Missing if the bundle has changed: the learnt root may not be in the new version.
        let hosts = self.bundles.get_mut(bundle).map(|bundle| &mut bundle.hosts);
        let Some(entry) = hosts.and_then(|hosts| hosts.get_mut(host)) else {
            return;
        };
        *entry = match (root, &entry) {
            (Some(_), Entry::Seen) => return,
            (Some(root), _) => Entry::Known {
                root,
                until: now + FORGET_AFTER,
            },
            (None, _) => Entry::Avoid {
                until: now + AVOID_FOR,
            },
        };
    }

    fn root(&mut self, der: &[u8]) -> Arc<Root> {
        self.roots.retain(|root| root.strong_count() > 0);
        let known = self.roots.iter().filter_map(Weak::upgrade);
        if let Some(root) = known.into_iter().find(|root| root.der == der) {
            return root;
        }
        let root = Arc::new(Root {
            der: der.to_owned(),
            store: TrustStore::builder().certificate_from_der(der).build(),
        });
        self.roots.push(Arc::downgrade(&root));
        root
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timer;
    use std::time::SystemTime;

    const BUNDLE: &str = "/etc/ssl/bundle.pem";

    fn stamp_of(size: u64) -> Option<Stamp> {
        Some(Stamp {
            modified: SystemTime::UNIX_EPOCH,
            size,
        })
    }

    fn bundle_of(size: u64) -> Seen {
        Seen {
            stamp: stamp_of(size),
            ..Seen::default()
        }
    }

    fn knowing(table: &mut Table, host: &str, der: &[u8], now: Instant) {
        let bundle = Path::new(BUNDLE);
        table.looked(bundle, now, bundle_of(200_000));
        assert!(
            !table.verified(bundle, host, now),
            "the first time is only noted"
        );
        assert!(table.verified(bundle, host, now));
        table.learn(bundle, host, Some(der), now);
    }

    #[test]
    fn a_root_is_learnt_the_second_time_once_and_shared() {
        let (mut table, now, bundle) = (Table::default(), Instant::now(), Path::new(BUNDLE));
        table.looked(bundle, now, bundle_of(200_000));
        assert!(!table.verified(bundle, "a:443", now));
        assert!(table.verified(bundle, "a:443", now));
        assert!(!table.verified(bundle, "a:443", now), "it is being learnt");
        table.learn(bundle, "a:443", Some(b"root"), now);
        assert!(!table.verified(bundle, "a:443", now), "it is known");
        knowing(&mut table, "b:443", b"root", now);
        assert_eq!(table.roots.len(), 1);
        let root = table.get(bundle, "a:443", now).map(|root| root.der.clone());
        assert_eq!(root.as_deref(), Some(&b"root"[..]));
    }

    #[test]
    fn a_learnt_root_is_forgotten_after_twelve_hours_and_learnt_again() {
        let (mut table, now, bundle) = (Table::default(), Instant::now(), Path::new(BUNDLE));
        knowing(&mut table, "a:443", b"root", now);
        let later = now + FORGET_AFTER;
        assert!(table.get(bundle, "a:443", later).is_none());
        assert!(table.verified(bundle, "a:443", later));
    }

    #[test]
    fn a_changed_bundle_ends_what_was_learnt_from_it_within_a_minute() {
        let (mut table, now, bundle) = (Table::default(), Instant::now(), Path::new(BUNDLE));
        knowing(&mut table, "a:443", b"root", now);
        assert!(!table.is_due(bundle, now + Duration::from_secs(59)));
        assert!(table.is_due(bundle, now + CHECK_EVERY));
        table.looked(bundle, now + CHECK_EVERY, bundle_of(200_000));
        assert!(table.get(bundle, "a:443", now).is_some());
        table.looked(bundle, now + 2 * CHECK_EVERY, bundle_of(300_000));
        assert!(table.get(bundle, "a:443", now).is_none());
        table.learn(bundle, "a:443", Some(b"old"), now);
        assert!(
            table.get(bundle, "a:443", now).is_none(),
            "learnt from the old one"
        );
    }

    #[test]
    fn a_root_that_failed_is_not_learnt_again_at_once() {
        let (mut table, now, bundle) = (Table::default(), Instant::now(), Path::new(BUNDLE));
        knowing(&mut table, "a:443", b"root", now);
        table.learn(bundle, "a:443", None, now);
        assert!(table.get(bundle, "a:443", now).is_none());
        assert!(!table.verified(bundle, "a:443", now));
        assert!(table.verified(bundle, "a:443", now + AVOID_FOR));
    }

    #[test]
    fn nothing_is_learnt_from_a_small_file_nor_for_too_many_hosts() {
        let (mut table, now, bundle) = (Table::default(), Instant::now(), Path::new(BUNDLE));
        table.looked(bundle, now, bundle_of(2_000));
        assert!(!table.verified(bundle, "a:443", now));
        assert!(!table.verified(bundle, "a:443", now));
        table.looked(bundle, now + CHECK_EVERY, bundle_of(200_000));
        for i in 0..5000 {
            table.verified(bundle, &format!("{i}:443"), now);
        }
        assert_eq!(table.bundles[bundle].hosts.len(), MOST_HOSTS);
    }

    #[test]
    fn what_a_handshake_of_our_own_led_to_is_known_at_once() {
        let (mut table, now, bundle) = (Table::default(), Instant::now(), Path::new(BUNDLE));
        table.looked(bundle, now, bundle_of(200_000));
        let stamp = stamp_of(200_000);
        table.note(bundle, stamp, "a:25", b"root", now);
        assert!(table.get(bundle, "a:25", now).is_some());
        assert!(!table.verified(bundle, "a:25", now), "it is known");
        table.learn(bundle, "a:25", None, now);
        table.note(bundle, stamp, "a:25", b"root", now);
        assert!(table.get(bundle, "a:25", now).is_none(), "hands off");
        table.note(bundle, stamp, "a:25", b"root", now + AVOID_FOR);
        assert!(table.get(bundle, "a:25", now + AVOID_FOR).is_some());
    }

    #[test]
    fn a_root_of_another_version_of_the_bundle_is_not_kept() {
        let (mut table, now, bundle) = (Table::default(), Instant::now(), Path::new(BUNDLE));
        table.looked(bundle, now, bundle_of(200_000));
        let old = stamp_of(100_000);
        table.note(bundle, old, "a:25", b"root", now);
        table.note(bundle, None, "a:25", b"root", now);
        assert!(table.get(bundle, "a:25", now).is_none());
    }

    #[test]
    fn a_ca_file_that_cannot_be_read_is_named_each_time() {
        let roots = Roots::new(None);
        let missing = Path::new("/nowhere/ca.pem");
        assert_eq!(roots.bundle(Some(missing)).as_deref(), Ok(missing));
        for _ in 0..2 {
            assert_eq!(
                timer::block_on(roots.refresh(missing)),
                Err("cannot read ca_file /nowhere/ca.pem: No such file or directory".to_owned())
            );
        }
        assert_eq!(
            timer::block_on(roots.refresh(Path::new("/dev/zero"))),
            Err("cannot read ca_file /dev/zero: it is a device, not a regular file".to_owned())
        );
    }
}
