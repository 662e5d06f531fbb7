//! Root certificates of this machine's bundle that end. They stay trusted (RFC 5280, section 6.1,
//! gives a trust anchor no time), and no site is at fault: so each is one message about the bundle,
//! when it is about to end and when it has ended, however many sites rely on it.

use crate::monitor::expiry::{Subject, left_text};
use crate::monitor::persist::snapshot::RootRecord;
use crate::monitor::render::text::{count, day_of};
use crate::monitor::site::access::may_see;
use crate::monitor::site::outcome::Expiry;
use crate::monitor::time::{Moment, Now};
use crate::monitor::{Level, Monitor};
use std::time::Duration;

/// Dates that differ by less are one: in seconds.
const SAME: i64 = 43_200;
/// A message waits for looks that come within this, to name all sites at once …
const GATHER: Duration = Duration::from_secs(60);
/// … but not longer than this.
const LONGEST: Duration = Duration::from_secs(120);
/// Roots that are remembered.
const MOST: usize = 32;
/// Sites that a message names.
const NAMED: usize = 5;

/// What a chat knows of a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Nothing,
    Ends,
    Ended,
}

/// A root that ends within the time to warn of a site that relies on it, or has ended.
#[derive(Debug)]
struct Ending {
    root: Expiry,
    sites: Vec<String>,
    told: Told,
    /// By a look of this run: the bundle may have been updated before it.
    seen: bool,
}

impl Ending {
    fn is(&self, root: &Expiry) -> bool {
        self.root.subject == root.subject && (self.root.ends - root.ends).abs() < SAME
    }

    /// What is to be told, if that is news.
    fn news(&self, wall: i64) -> Option<Told> {
        let now = match self.root.ends > wall {
            true => Told::Ends,
            false => Told::Ended,
        };
        let wanted = self.seen && !self.sites.is_empty();
        (wanted && now > self.told).then_some(now)
    }
}

/// All roots that end soon.
#[derive(Debug, Default)]
pub(crate) struct Roots {
    /// In the order in which they were seen.
    ending: Vec<Ending>,
    /// Since when there may be something to tell.
    since: Option<Moment>,
}

impl Roots {
    /// A look at the site's certificates has shown this root, if it ends soon. True when what is
    /// known has changed.
    fn on_look(&mut self, site: &str, root: Option<Expiry>, now: Now) -> bool {
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
                    self.ending.push(Ending {
                        root,
                        sites: Vec::new(),
                        told: Told::Nothing,
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
        if self.ending.len() >= MOST {
            let unused = self.ending.iter().position(|e| e.sites.is_empty());
            self.ending.remove(unused.unwrap_or(0));
        }
    }

    /// Sites that are gone rely on nothing.
    pub(crate) fn keep_sites(&mut self, is_there: impl Fn(&str) -> bool) {
        for ending in &mut self.ending {
            ending.sites.retain(|name| is_there(name));
        }
    }

    /// What is news now, and then no longer is.
    fn take_news(&mut self, wall: i64) -> Vec<(Expiry, Vec<String>)> {
        self.since = None;
        let mut news = Vec::new();
        for ending in &mut self.ending {
            if let Some(told) = ending.news(wall) {
                ending.told = told;
                news.push((ending.root.clone(), ending.sites.clone()));
            }
        }
        news
    }

    pub(crate) fn records(&self) -> Vec<RootRecord> {
        let records = self.ending.iter().map(|ending| RootRecord {
            subject: ending.root.subject.clone(),
            issuer: ending.root.issuer.clone(),
            key: ending.root.key.clone(),
            ends: ending.root.ends,
            told: ending.told as u32,
            sites: ending.sites.clone(),
        });
        records.collect()
    }

    pub(crate) fn restore(records: &[RootRecord]) -> Roots {
        let endings = records.iter().take(MOST).map(|record| Ending {
            root: Expiry::new(record.ends, &record.subject, &record.issuer, &record.key),
            sites: record.sites.clone(),
            told: match record.told {
                0 => Told::Nothing,
                1 => Told::Ends,
                _ => Told::Ended,
            },
            seen: false,
        });
        Roots {
            ending: endings.collect(),
            since: None,
        }
    }
}

impl Monitor {
    /// A look at the certificates of a site, which wants to be told so early, has ended. Until its
    /// root ends, if that is to be looked at then.
    pub(crate) fn root_seen(
        &mut self,
        now: Now,
        site: &str,
        root: Option<Expiry>,
        warn: Duration,
    ) -> Option<Duration> {
        let warn = i64::try_from(warn.as_secs()).unwrap_or(i64::MAX);
        let root = root.filter(|root| root.ends - now.wall <= warn);
        let left = root.as_ref().map(|root| root.ends - now.wall);
        if self.roots.on_look(site, root, now) {
            self.saving.soon(now.moment());
        }
        let left = u64::try_from(left?).ok().filter(|left| *left > 0);
        left.map(Duration::from_secs)
    }

    pub(crate) fn next_root_told(&self) -> Option<Moment> {
        let since = self.roots.since.filter(|_| self.tells_roots())?;
        let due = since + LONGEST;
        Some(self.alerts.after_mute(due))
    }

    fn tells_roots(&self) -> bool {
        !self.stopping && self.clock_set
    }

    pub(crate) fn tell_roots(&mut self, now: Now) {
        let moment = now.moment();
        let Some(since) = self.roots.since.filter(|_| self.tells_roots()) else {
            return;
        };
        if self.silenced(moment) || moment < since + LONGEST && self.looks_follow(moment) {
            return;
        }
        for (root, sites) in self.roots.take_news(now.wall) {
            self.saving.now();
            self.log(Level::Warn, told(&root, &sites, now));
            for (sites, chats) in self.by_chat(&sites) {
                self.notice_to(now, chats, told(&root, &sites, now));
            }
        }
    }

    /// A look at a certificate is under way, or comes in a moment.
    fn looks_follow(&self, now: Moment) -> bool {
        self.sites.iter().any(|watched| {
            let watch = watched.expiry(Subject::Certificate);
            let judged = !watched.paused() && watched.suppression.is_none();
            judged && watch.is_some_and(|w| w.running || w.due.is_some_and(|at| at <= now + GATHER))
        })
    }

    /// Which of the sites each chat may know of; a chat that knows of none is not among them.
    fn by_chat(&self, sites: &[String]) -> Vec<(Vec<String>, Vec<i64>)> {
        let mut told: Vec<(Vec<String>, Vec<i64>)> = Vec::new();
        for &chat in self.bot.chats() {
            let seen = |name: &&String| {
                let at = self.sites.find(name);
                at.is_some_and(|at| may_see(chat, &self.sites[at].site))
            };
            let seen: Vec<String> = sites.iter().filter(seen).cloned().collect();
            match told.iter_mut().find(|(sites, _)| *sites == seen) {
                Some((_, chats)) => chats.push(chat),
                None if seen.is_empty() => {}
                None => told.push((seen, vec![chat])),
            }
        }
        told
    }
}

fn told(root: &Expiry, sites: &[String], now: Now) -> String {
    let (named, more) = sites.split_at(sites.len().min(NAMED));
    let more = match more.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let rely = if sites.len() == 1 { "relies" } else { "rely" };
    format!(
        "The root certificate {} in this machine's bundle {}, on {}. {} {rely} on it: {}{more}. \
         Update ca-certificates (OpenWrt: ca-bundle), or the ca_file of [agent].",
        root.subject,
        left_text(root.ends - now.wall),
        day_of(root.ends, now),
        count(sites.len(), "site"),
        named.join(", "),
    )
}
