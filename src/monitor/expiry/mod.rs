//! Certificates and domains that run out: when they are inspected, and what is notified once (docs/alerts.md).

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
/// Notified again when this much is left, and when nothing is.
const STAGES: [i64; 4] = [7 * DAY, 3 * DAY, DAY, 0];
/// Dates that were notified and are remembered: servers behind one name may show several in turn.
const DATES: usize = 4;
/// The first inspections are spread over this, or the site's interval if that is shorter.
const FIRST: Duration = Duration::from_secs(60);

/// What runs out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// Of the chain that the server shows.
    Certificate,
    /// The registration of its domain.
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

    /// After an inspection that found nothing out.
    fn again(self) -> Duration {
        match self {
            Subject::Certificate => HOUR,
            Subject::Domain => 24 * HOUR,
        }
    }
}

/// What is known of one thing that runs out.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    found: Option<outcome::Expiry>,
    /// Why the last inspection found nothing out.
    last_failure: Option<String>,
    /// When it was last inspected, in Unix seconds.
    inspected: i64,
    /// When it is next inspected; `None` while that is under way or not wanted. Set by
    /// [`Inspections::set_due`].
    due: Option<Moment>,
    /// Dates that were notified, and the stage: the seconds left that were passed.
    notified: Vec<(i64, i64)>,
    running: bool,
    /// It ends within the time to warn, as of the last inspection.
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

    /// What the inspections have found out.
    pub fn found(&self) -> Option<&outcome::Expiry> {
        self.found.as_ref()
    }

    /// Why the last inspection found nothing out.
    pub fn last_failure(&self) -> Option<&str> {
        self.last_failure.as_deref()
    }

    /// Why the site is degraded by it.
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

    /// The stage that is passed with `left` seconds to go; the narrowest counts.
    fn stage(left: i64, warn: Duration) -> Option<i64> {
        let warn = i64::try_from(warn.as_secs()).unwrap_or(i64::MAX);
        let stages = STAGES.into_iter().filter(|s| *s < warn);
        stages.chain([warn]).filter(|s| left <= *s).min()
    }

    /// How long until the next stage is passed.
    fn next_stage(&self, warn: Duration, wall: i64) -> Option<Duration> {
        let left = self.found.as_ref()?.ends - wall;
        let warn = i64::try_from(warn.as_secs()).unwrap_or(i64::MAX);
        let stages = STAGES.into_iter().chain([warn]);
        let next = stages.filter(|s| *s <= warn && *s < left).max()?;
        u64::try_from(left - next).ok().map(Duration::from_secs)
    }

    /// Whether the stage of this date is news, which it then no longer is.
    fn is_news(&mut self, ends: i64, stage: i64) -> bool {
        // Another certificate of the same batch may differ by a little.
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
    /// To be saved, some time.
    Changed,
    /// Which sites rely on a root certificate that ends.
    RootsChanged,
}

/// Plans inspections of all that runs out, and judges what they find.
#[derive(Debug, Default)]
pub struct Inspections {
    /// Of each [`Subject`]. Boxed, as of most sites not both are inspected.
    watches: [BySite<Option<Box<Watch>>>; 2],
    /// When what of the site at which place is next inspected.
    due: BTreeSet<(Moment, usize, Subject)>,
    roots: Roots,
}

/// How long before the end the site has an alert; `None`: it has none.
fn warn_of(site: &Site, subject: Subject) -> Option<Duration> {
    match subject {
        Subject::Certificate => site.cert,
        Subject::Domain => site.domain,
    }
}

/// Its inspections are made: it is neither paused nor suppressed.
fn inspects(watched: &&SiteState) -> bool {
    !watched.is_paused() && !watched.is_suppressed()
}

impl Inspections {
    /// What is known of a site's certificate or its domain; `None` = nothing.
    pub fn of(&self, watched: &SiteState, subject: Subject) -> Option<&Watch> {
        self.watches[subject as usize][watched.place()].as_deref()
    }

    fn of_mut(&mut self, at: usize, subject: Subject) -> &mut Watch {
        self.watches[subject as usize][at].get_or_insert_default()
    }

    /// There is a new configuration; [`Inspections::plan`] is to follow.
    pub fn follow(&mut self, origins: &Origins) {
        for watches in &mut self.watches {
            watches.follow(origins);
        }
    }

    /// Another host has another certificate and another domain.
    pub fn on_host_changed(&mut self, at: usize) {
        for watches in &mut self.watches {
            watches[at] = None;
        }
    }

    pub fn records(&self, watched: &SiteState) -> Vec<ExpiryRecord> {
        let records = Subject::ALL.map(|subject| self.of(watched, subject)?.record(subject));
        let mut records: Vec<ExpiryRecord> = records.into_iter().flatten().collect();
        // The last snapshot is kept to compare the next one with, and a `Vec` begins with room for four.
        records.shrink_to_fit();
        records
    }

    /// Goes on where an earlier run stopped, with the next [`Inspections::plan`].
    pub fn restore(&mut self, at: usize, records: &[ExpiryRecord]) {
        for record in records {
            let known = Subject::ALL.into_iter().find(|s| s.word() == record.kind);
            if let Some(subject) = known {
                *self.of_mut(at, subject) = Watch::restore(record);
            }
        }
    }

    /// Whether the site is degraded by what runs out.
    fn degrade(&self, watched: &mut SiteState) {
        let reason = |s: Subject| self.of(watched, s)?.reason(s);
        watched.set_ends_soon(Subject::ALL.into_iter().find_map(reason));
    }

    /// Plans the inspections of sites that are new, restored, or whose keys have changed.
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
                    // A stamp of a clock that was ahead must not put it off for as long.
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
        // Roots matter to sites whose certificates are inspected.
        let inspected = |w: &SiteState| w.config().cert.is_some();
        self.roots
            .keep_sites(|name| sites.named(name).is_some_and(inspected));
    }

    /// A check of the site was asked for: its dates are inspected too.
    pub fn inspect_now(&mut self, now: Now, watched: &SiteState) {
        for subject in Subject::ALL {
            if warn_of(watched.config(), subject).is_none() {
                continue;
            }
            let watch = self.of_mut(watched.place(), subject);
            // The registries are not ours to lean on.
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

    /// When the next inspection is due. One that cannot be made then waits until it can.
    pub fn next_timeout(&self, now: Moment, sites: &Sites) -> Option<Moment> {
        let mut due = self.due.iter();
        let next = due.find(|(due, at, _)| *due > now || inspects(&&sites[*at]));
        next.map(|(due, ..)| *due)
    }

    /// An inspection may be due, or the end of root certificates to be notified.
    pub fn is_due(&self, now: Moment) -> bool {
        self.next_roots().is_some() || self.due.first().is_some_and(|(due, ..)| *due <= now)
    }

    /// Starts the inspections that are due.
    pub fn on_timeout(&mut self, now: Moment, sites: &Sites, actions: &mut Actions) {
        let due = self.due.iter().take_while(|(due, ..)| *due <= now);
        let due = due.filter(|(_, at, _)| inspects(&&sites[*at]));
        // In the order of the sites.
        let due: BTreeSet<(usize, Subject)> = due.map(|(_, at, subject)| (*at, *subject)).collect();
        for (at, subject) in due {
            self.set_due(at, subject, None);
            self.of_mut(at, subject).running = true;
            let site = sites[at].config().clone();
            actions.push(Action::Inspect { site, subject });
        }
    }

    /// An inspection has ended. `muted`: no alert of the site can be made now.
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
        // A moment after the stage is passed.
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
                // Notified when the mute is over, by an inspection of then.
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
                // Notified once: the old one may be seen again on another server.
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

/// `5 d`, or what to say when nothing is left.
pub fn left_text(left: i64) -> String {
    match u64::try_from(left) {
        Ok(left) if left > 0 => format!("ends in {}", text::left(Duration::from_secs(left))),
        _ => format!(
            "ended {} ago",
            text::lasting(Duration::from_secs(left.unsigned_abs()))
        ),
    }
}
