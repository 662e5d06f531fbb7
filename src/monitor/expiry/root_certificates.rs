//! Expiry of root certificates in this machine's bundle. Expired roots stay trusted (RFC 5280,
//! section 6.1, checks no validity of a trust anchor), and no site is at fault. So each root is
//! notified once for all sites that rely on it: before it expires, and when it has expired.

use crate::monitor::expiry::records::RootRecord;
use crate::monitor::expiry::{Inspections, Subject, Watch, inspects};
use crate::monitor::site::outcome;
use crate::monitor::site::table::Sites;
use crate::monitor::time::{Moment, Now};
use std::time::Duration;

/// Maximum difference between dates that count as the same, in seconds.
const SAME_DATE: i64 = 43_200;
/// A notification waits for inspections due within this, to name all sites at once …
const GATHER_WINDOW: Duration = Duration::from_secs(60);
/// … but not longer than this.
const MAX_GATHER: Duration = Duration::from_secs(120);
/// Maximum number of roots that are remembered.
const MAX_ROOTS: usize = 32;

/// What was notified about a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Notified {
    Nothing,
    Ends,
    Ended,
}

/// A root that expires within the warning time of a site that relies on it, or has expired.
#[derive(Debug)]
struct EndingRoot {
    root: outcome::Expiry,
    sites: Vec<String>,
    notified: Notified,
    /// Whether it was inspected in this run: the bundle may have been updated before.
    seen: bool,
}

impl EndingRoot {
    fn is(&self, root: &outcome::Expiry) -> bool {
        self.root.subject == root.subject && (self.root.ends - root.ends).abs() < SAME_DATE
    }

    /// Returns what must be notified, if it was not yet.
    fn news(&self, wall: i64) -> Option<Notified> {
        let now = match self.root.ends > wall {
            true => Notified::Ends,
            false => Notified::Ended,
        };
        let wanted = self.seen && !self.sites.is_empty();
        (wanted && now > self.notified).then_some(now)
    }
}

/// All roots that expire soon.
#[derive(Debug, Default)]
pub(super) struct Roots {
    /// In the order in which they were found.
    ending: Vec<EndingRoot>,
    /// Since when there may be something to notify.
    since: Option<Moment>,
}

impl Roots {
    /// Records the root that an inspection of a site's certificates found; `warn` is the site's
    /// warning time. Returns the time until the root expires, when the site must be inspected
    /// again, and whether the list of sites by root has changed.
    pub(super) fn on_inspected(
        &mut self,
        now: Now,
        site: &str,
        root: Option<outcome::Expiry>,
        warn: Duration,
    ) -> (Option<Duration>, bool) {
        let warn = i64::try_from(warn.as_secs()).unwrap_or(i64::MAX);
        let root = root.filter(|root| root.ends - now.wall <= warn);
        let left = root.as_ref().map(|root| root.ends - now.wall);
        let left = left.and_then(|left| u64::try_from(left).ok().filter(|left| *left > 0));
        (left.map(Duration::from_secs), self.note(site, root, now))
    }

    fn note(&mut self, site: &str, root: Option<outcome::Expiry>, now: Now) -> bool {
        let mut changed = false;
        for ending in &mut self.ending {
            let other = !root.as_ref().is_some_and(|root| ending.is(root));
            let before = ending.sites.len();
            ending.sites.retain(|name| !(other && name == site));
            changed |= ending.sites.len() < before;
        }
        if let Some(root) = root {
            let place = match self.ending.iter().position(|ending| ending.is(&root)) {
                Some(place) => place,
                None => {
                    self.make_room();
                    self.ending.push(EndingRoot {
                        root,
                        sites: Vec::new(),
                        notified: Notified::Nothing,
                        seen: true,
                    });
                    self.ending.len() - 1
                }
            };
            self.ending[place].seen = true;
            let sites = &mut self.ending[place].sites;
            if !sites.iter().any(|name| name == site) {
                sites.push(site.to_owned());
                changed = true;
            }
        }
        let news = self.ending.iter().any(|e| e.news(now.wall).is_some());
        self.since = self.since.or(Some(now.moment())).filter(|_| news);
        changed
    }

    fn make_room(&mut self) {
        if self.ending.len() >= MAX_ROOTS {
            let unused = self.ending.iter().position(|e| e.sites.is_empty());
            self.ending.remove(unused.unwrap_or(0));
        }
    }

    /// Keeps only the sites for which `is_there` holds.
    pub(super) fn keep_sites(&mut self, is_there: impl Fn(&str) -> bool) {
        for ending in &mut self.ending {
            ending.sites.retain(|name| is_there(name));
        }
    }

    /// Returns the roots to be notified now, and marks them as notified.
    fn take_news(&mut self, wall: i64) -> Vec<(outcome::Expiry, Vec<String>)> {
        self.since = None;
        let mut news = Vec::new();
        for ending in &mut self.ending {
            if let Some(notified) = ending.news(wall) {
                ending.notified = notified;
                news.push((ending.root.clone(), ending.sites.clone()));
            }
        }
        news
    }

    fn records(&self) -> Vec<RootRecord> {
        let records = self.ending.iter().map(|ending| RootRecord {
            subject: ending.root.subject.clone(),
            issuer: ending.root.issuer.clone(),
            key: ending.root.key.clone(),
            ends: ending.root.ends,
            told: ending.notified as u32,
            sites: ending.sites.clone(),
        });
        records.collect()
    }

    fn restore(records: &[RootRecord]) -> Roots {
        let endings = records.iter().take(MAX_ROOTS).map(|record| EndingRoot {
            root: outcome::Expiry::new(record.ends, &record.subject, &record.issuer, &record.key),
            sites: record.sites.clone(),
            notified: match record.told {
                0 => Notified::Nothing,
                1 => Notified::Ends,
                _ => Notified::Ended,
            },
            seen: false,
        });
        Roots {
            ending: endings.collect(),
            since: None,
        }
    }
}

impl Inspections {
    pub fn root_records(&self) -> Vec<RootRecord> {
        self.roots.records()
    }

    pub fn restore_roots(&mut self, records: &[RootRecord]) {
        self.roots = Roots::restore(records);
    }

    /// Returns when roots are notified at the latest.
    pub fn next_roots(&self) -> Option<Moment> {
        self.roots.since.map(|since| since + MAX_GATHER)
    }

    /// Returns the roots to be notified now, and for each the sites that rely on it.
    pub fn take_ending_roots(
        &mut self,
        now: Now,
        sites: &Sites,
    ) -> Vec<(outcome::Expiry, Vec<String>)> {
        let gathered =
            |at: Moment| now.moment() >= at || !self.inspections_follow(now.moment(), sites);
        match self.next_roots() {
            Some(at) if gathered(at) => self.roots.take_news(now.wall),
            _ => Vec::new(),
        }
    }

    /// Returns whether an inspection of a certificate is under way, or due soon.
    fn inspections_follow(&self, now: Moment, sites: &Sites) -> bool {
        let soon = |w: &Watch| w.running || w.due.is_some_and(|at| at <= now + GATHER_WINDOW);
        let mut inspected = sites.iter().filter(inspects);
        inspected.any(|site| self.of(site, Subject::Certificate).is_some_and(soon))
    }
}
