//! Expiry of certificates and domains: when they are inspected, and what is notified once
//! (docs/alerts.md).

pub mod records;
pub(crate) mod root_certificates;

use crate::monitor::event::{Action, Actions, Level};
use crate::monitor::expiry::records::ExpiryRecord;
use crate::monitor::expiry::root_certificates::Roots;
use crate::monitor::site::Site;
use crate::monitor::site::outcome::{self, Failure, Inspection};
use crate::monitor::site::state::SiteState;
use crate::monitor::site::table::{BySite, Origins, Sites};
use crate::monitor::time::{Jitter, Moment, Now, text};
use std::collections::BTreeSet;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: i64 = 86_400;
/// Remaining times, in seconds, at which a notification is repeated.
const STAGES: [i64; 4] = [7 * DAY, 3 * DAY, DAY, 0];
/// Maximum number of notified dates that are remembered: servers behind one name may show several.
const DATES: usize = 4;
/// The first inspections are spread over this, or over the site's interval if that is shorter.
const FIRST: Duration = Duration::from_secs(60);

/// What expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A certificate of the chain that the server sends.
    Certificate,
    /// The registration of the site's domain.
    Domain,
}

impl Subject {
    pub const ALL: [Subject; 2] = [Subject::Certificate, Subject::Domain];

    pub fn word(self) -> &'static str {
        match self {
            Subject::Certificate => "certificate",
            Subject::Domain => "domain",
        }
    }

    fn every(self) -> Duration {
        match self {
            Subject::Certificate => 12 * HOUR,
            Subject::Domain => 24 * HOUR,
        }
    }

    /// Returns the time until the next inspection after a failed one.
    fn again(self) -> Duration {
        match self {
            Subject::Certificate => HOUR,
            Subject::Domain => 24 * HOUR,
        }
    }
}

/// State of the inspections of one subject.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    found: Option<outcome::Expiry>,
    /// Why the last inspection failed; `None` if it succeeded.
    last_failure: Option<String>,
    /// When it was last inspected, in Unix seconds.
    inspected: i64,
    /// When it is inspected next; `None` while that is under way or not wanted. Kept in step with
    /// the index `Inspections::due`.
    due: Option<Moment>,
    /// Dates that were notified, with their stages: the remaining seconds that were reached.
    notified: Vec<(i64, i64)>,
    running: bool,
    /// Whether it expires within the warning time, as of the last inspection.
    ends_soon: bool,
}

impl Watch {
    fn record(&self, subject: Subject) -> Option<ExpiryRecord> {
        let found = self.found.as_ref()?;
        Some(ExpiryRecord {
            kind: subject.word().to_owned(),
            ends: found.ends,
            subject: found.subject.clone(),
            issuer: found.issuer.clone(),
            key: found.key.clone(),
            looked: self.inspected,
            worried: self.ends_soon,
            told: self.notified.iter().flat_map(|&(e, s)| [e, s]).collect(),
        })
    }

    fn restore(record: &ExpiryRecord) -> Watch {
        Watch {
            found: Some(outcome::Expiry {
                ends: record.ends,
                subject: record.subject.clone(),
                issuer: record.issuer.clone(),
                key: record.key.clone(),
            }),
            inspected: record.looked,
            ends_soon: record.worried,
            notified: record.told.chunks_exact(2).map(|p| (p[0], p[1])).collect(),
            ..Watch::default()
        }
    }

    /// Returns what the inspections have found.
    pub fn found(&self) -> Option<&outcome::Expiry> {
        self.found.as_ref()
    }

    /// Returns why the last inspection failed.
    pub fn last_failure(&self) -> Option<&str> {
        self.last_failure.as_deref()
    }

    /// Returns why the site is degraded by it, if it is.
    fn reason(&self, subject: Subject) -> Option<String> {
        let found = self.found.as_ref().filter(|_| self.ends_soon)?;
        let utc = Now {
            uptime: Duration::ZERO,
            wall: 0,
            zone: crate::monitor::time::zone::Zone::UTC,
        };
        Some(format!(
            "{} ends on {}",
            subject.word(),
            text::day_of(found.ends, utc)
        ))
    }

    /// Returns the narrowest stage that is reached with `left` seconds remaining.
    fn stage(left: i64, warn: Duration) -> Option<i64> {
        let warn = i64::try_from(warn.as_secs()).unwrap_or(i64::MAX);
        let stages = STAGES.into_iter().filter(|s| *s < warn);
        stages.chain([warn]).filter(|s| left <= *s).min()
    }

    /// Returns the time until the next stage is reached.
    fn next_stage(&self, warn: Duration, wall: i64) -> Option<Duration> {
        let left = self.found.as_ref()?.ends - wall;
        let warn = i64::try_from(warn.as_secs()).unwrap_or(i64::MAX);
        let stages = STAGES.into_iter().chain([warn]);
        let next = stages.filter(|s| *s <= warn && *s < left).max()?;
        u64::try_from(left - next).ok().map(Duration::from_secs)
    }

    /// Records the stage for this date. Returns whether it was not notified yet.
    fn is_news(&mut self, ends: i64, stage: i64) -> bool {
        // Certificates of one batch may differ slightly.
        let known = self
            .notified
            .iter_mut()
            .find(|(e, _)| (*e - ends).abs() < DAY / 2);
        match known {
            Some((_, notified)) if *notified <= stage => false,
            Some((_, notified)) => {
                *notified = stage;
                true
            }
            None => {
                if self.notified.len() == DATES {
                    self.notified.remove(0);
                }
                self.notified.push((ends, stage));
                true
            }
        }
    }
}

/// What an inspection has changed.
#[derive(Clone, Debug, PartialEq)]
pub enum ExpiryEvent {
    EndsSoon(outcome::Expiry),
    Renewed(outcome::Expiry),
    /// The state must be saved, without urgency.
    Changed,
    /// The list of sites that rely on an expiring root certificate has changed.
    RootsChanged,
}

/// Schedules the inspections and judges their results.
#[derive(Debug, Default)]
pub struct Inspections {
    /// By [`Subject`]. Boxed, as few sites have both inspected.
    watches: [BySite<Option<Box<Watch>>>; 2],
    /// When the inspections are due, with the site's place and the subject.
    due: BTreeSet<(Moment, usize, Subject)>,
    roots: Roots,
}

/// Returns how long before the end the site gets an alert; `None` = never.
fn warn_of(site: &Site, subject: Subject) -> Option<Duration> {
    match subject {
        Subject::Certificate => site.cert,
        Subject::Domain => site.domain,
    }
}

/// Returns whether the site is inspected: it is neither paused nor suppressed.
fn inspects(watched: &&SiteState) -> bool {
    !watched.is_paused() && !watched.is_suppressed()
}

impl Inspections {
    /// Returns the state of a site's certificate or domain, if it is inspected.
    pub fn of(&self, watched: &SiteState, subject: Subject) -> Option<&Watch> {
        self.watches[subject as usize][watched.place()].as_deref()
    }

    fn of_mut(&mut self, at: usize, subject: Subject) -> &mut Watch {
        self.watches[subject as usize][at].get_or_insert_default()
    }

    /// Adapts to a new configuration. Call [`Inspections::plan`] afterwards.
    pub fn follow(&mut self, origins: &Origins) {
        for watches in &mut self.watches {
            watches.follow(origins);
        }
    }

    /// Discards the results: another host has another certificate and another domain.
    pub fn on_host_changed(&mut self, at: usize) {
        for watches in &mut self.watches {
            watches[at] = None;
        }
    }

    pub fn records(&self, watched: &SiteState) -> Vec<ExpiryRecord> {
        let records = Subject::ALL.map(|subject| self.of(watched, subject)?.record(subject));
        let mut records: Vec<ExpiryRecord> = records.into_iter().flatten().collect();
        // The last snapshot is kept for comparison, and a `Vec` starts with a capacity of four.
        records.shrink_to_fit();
        records
    }

    /// Restores an earlier run's state. Call [`Inspections::plan`] afterwards.
    pub fn restore(&mut self, at: usize, records: &[ExpiryRecord]) {
        for record in records {
            let known = Subject::ALL.into_iter().find(|s| s.word() == record.kind);
            if let Some(subject) = known {
                *self.of_mut(at, subject) = Watch::restore(record);
            }
        }
    }

    /// Sets why the site is degraded by an expiry, if it is.
    fn degrade(&self, watched: &mut SiteState) {
        let reason = |s: Subject| self.of(watched, s)?.reason(s);
        watched.set_ends_soon(Subject::ALL.into_iter().find_map(reason));
    }

    /// Schedules the inspections of sites that are new, restored, or whose keys have changed.
    pub fn plan(&mut self, now: Now, sites: &mut Sites, jitter: &mut Jitter) {
        for (at, watched) in sites.iter_mut().enumerate() {
            for subject in Subject::ALL {
                if warn_of(watched.config(), subject).is_none() {
                    self.watches[subject as usize][at] = None;
                    continue;
                }
                let first = watched.config().interval.min(FIRST);
                let watch = self.of_mut(at, subject);
                if watch.due.is_none() && !watch.running {
                    // A time from a clock that was ahead must not delay the inspection.
                    let inspected = watch.inspected.min(now.wall);
                    let fresh = inspected + i64::try_from(subject.every().as_secs()).unwrap_or(0);
                    let soon = now.moment() + first.mul_f64(jitter.fraction());
                    watch.due = Some(now.coming_moment(fresh).max(soon));
                }
            }
            self.degrade(watched);
        }
        let watches = self.watches.iter().zip(Subject::ALL);
        let due = watches.flat_map(|(watches, subject)| {
            let due =
                move |(at, w): (usize, &Option<Box<Watch>>)| Some((w.as_ref()?.due?, at, subject));
            watches.iter().enumerate().filter_map(due)
        });
        self.due = due.collect();
        // Roots matter only to sites whose certificates are inspected.
        let inspected = |w: &SiteState| w.config().cert.is_some();
        self.roots
            .keep_sites(|name| sites.named(name).is_some_and(inspected));
    }

    /// Inspects the site now too, as a user requested a check.
    pub fn inspect_now(&mut self, now: Now, watched: &SiteState) {
        for subject in Subject::ALL {
            if warn_of(watched.config(), subject).is_none() {
                continue;
            }
            let watch = self.of_mut(watched.place(), subject);
            // Registries are queried at most once a day, to limit their load.
            let lately = (0..DAY).contains(&now.wall.saturating_sub(watch.inspected));
            let rested = subject == Subject::Certificate || !lately;
            if rested && !watch.running {
                self.set_due(watched.place(), subject, Some(now.moment()));
            }
        }
    }

    fn set_due(&mut self, at: usize, subject: Subject, due: Option<Moment>) {
        let before = std::mem::replace(&mut self.of_mut(at, subject).due, due);
        if let Some(before) = before {
            self.due.remove(&(before, at, subject));
        }
        self.due.extend(due.map(|due| (due, at, subject)));
    }

    /// Returns when the next inspection is due. A due one that cannot be made is skipped.
    pub fn next_timeout(&self, now: Moment, sites: &Sites) -> Option<Moment> {
        let mut due = self.due.iter();
        let next = due.find(|(due, at, _)| *due > now || inspects(&&sites[*at]));
        next.map(|(due, ..)| *due)
    }

    /// Returns whether an inspection, or a notification about root certificates, may be due.
    pub fn is_due(&self, now: Moment) -> bool {
        self.next_roots().is_some() || self.due.first().is_some_and(|(due, ..)| *due <= now)
    }

    /// Starts the inspections that are due.
    pub fn on_timeout(&mut self, now: Moment, sites: &Sites, actions: &mut Actions) {
        let due = self.due.iter().take_while(|(due, ..)| *due <= now);
        let due = due.filter(|(_, at, _)| inspects(&&sites[*at]));
        // Sorted by site.
        let due: BTreeSet<(usize, Subject)> = due.map(|(_, at, subject)| (*at, *subject)).collect();
        for (at, subject) in due {
            self.set_due(at, subject, None);
            self.of_mut(at, subject).running = true;
            let site = sites[at].config().clone();
            actions.push(Action::Inspect { site, subject });
        }
    }

    /// Handles the result of an inspection. `muted`: no alert of the site can be sent now.
    pub fn on_inspected(
        &mut self,
        now: Now,
        watched: &mut SiteState,
        (subject, result): (Subject, Result<Inspection, Failure>),
        muted: bool,
        actions: &mut Actions,
    ) -> Vec<ExpiryEvent> {
        let (moment, mut events) = (now.moment(), Vec::new());
        let site = watched.config().clone();
        let (name, what) = (&site.name, subject.word());
        let Some(warn) = warn_of(&site, subject) else {
            return events;
        };
        let at = watched.place();
        let watch = self.watches[subject as usize][at].get_or_insert_default();
        watch.running = false;
        watch.inspected = now.wall;
        let Inspection {
            first: expiry,
            root,
        } = match result {
            Ok(looked) => looked,
            Err(failure) => {
                let text = format!("{name}: its {what} was not seen: {failure}");
                watch.last_failure = Some(failure.detail);
                actions.log(Level::Debug, text);
                self.set_due(at, subject, Some(moment + subject.again()));
                return events;
            }
        };
        let before = watch.ends_soon;
        watch.last_failure = None;
        watch.found = Some(expiry.clone());
        // One second after the stage is reached.
        let after = |left: Duration| left + Duration::from_secs(1);
        let next = watch.next_stage(warn, now.wall).map(after);
        let mut next = next.map_or(subject.every(), |next| next.min(subject.every()));
        if subject == Subject::Certificate {
            let (left, changed) = self.roots.on_inspected(now, name, root, warn);
            events.extend(changed.then_some(ExpiryEvent::RootsChanged));
            next = left.map_or(next, |left| next.min(after(left)));
        }
        let mut due = moment + next;
        let stage = Watch::stage(expiry.ends - now.wall, warn);
        watch.ends_soon = stage.is_some();
        match stage {
            Some(stage) if muted => {
                // The first inspection after the mute notifies it.
                actions.log(Level::Info, format!("{name}: muted, stage {stage} s"));
                due = moment + HOUR;
            }
            Some(stage) => {
                if watch.is_news(expiry.ends, stage) {
                    actions.log(Level::Info, format!("{name}: its {what} ends soon"));
                    events.push(ExpiryEvent::EndsSoon(expiry));
                }
            }
            None if before => {
                // Notified only once: another server may still show the old one.
                let notified = !watch.notified.is_empty() && watch.is_news(expiry.ends, i64::MAX);
                actions.log(Level::Info, format!("{name}: its {what} is new"));
                events.extend(notified.then_some(ExpiryEvent::Renewed(expiry)));
                events.push(ExpiryEvent::Changed);
            }
            None => events.push(ExpiryEvent::Changed),
        }
        self.set_due(at, subject, Some(due));
        self.degrade(watched);
        events
    }
}

/// Returns e.g. `ends in 5 d`, `ended 3 h ago`.
pub fn left_text(left: i64) -> String {
    match u64::try_from(left) {
        Ok(left) if left > 0 => format!("ends in {}", text::left(Duration::from_secs(left))),
        _ => format!(
            "ended {} ago",
            text::lasting(Duration::from_secs(left.unsigned_abs()))
        ),
    }
}
