//! Certificates and domains that run out: when they are looked at, and what is told once (SPEC 5).

pub(crate) mod root_certificates;

use crate::monitor::alert::Notification;
use crate::monitor::persist::snapshot::ExpiryRecord;
use crate::monitor::render::text;
use crate::monitor::site::outcome::{Expiry, Failure, Looked};
use crate::monitor::site::state::SiteState;
use crate::monitor::time::{Moment, Now};
use crate::monitor::{Action, Level, Monitor};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: i64 = 86_400;
/// Told again when this much is left, and when nothing is.
const STAGES: [i64; 4] = [7 * DAY, 3 * DAY, DAY, 0];
/// Dates that were told of and are remembered: servers behind one name may show several in turn.
const DATES: usize = 4;
/// The first looks are spread over this, or the site's interval if that is shorter.
const FIRST: Duration = Duration::from_secs(60);

/// What runs out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    /// After a look that found nothing out.
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
    pub found: Option<Expiry>,
    /// Why the last look found nothing out.
    pub trouble: Option<String>,
    /// When it was last looked at, in Unix seconds.
    pub looked: i64,
    /// When it is next looked at; `None` while that is under way or not wanted.
    pub due: Option<Moment>,
    /// Dates that were told of, and the stage: the seconds left that were passed.
    pub told: Vec<(i64, i64)>,
    pub running: bool,
    /// It ends within the time to warn, as of the last look.
    pub worried: bool,
}

impl Watch {
    pub fn record(&self, subject: Subject) -> Option<ExpiryRecord> {
        let found = self.found.as_ref()?;
        Some(ExpiryRecord {
            kind: subject.word().to_owned(),
            ends: found.ends,
            subject: found.subject.clone(),
            issuer: found.issuer.clone(),
            key: found.key.clone(),
            looked: self.looked,
            worried: self.worried,
            told: self.told.iter().flat_map(|&(e, s)| [e, s]).collect(),
        })
    }

    pub fn restore(record: &ExpiryRecord) -> Watch {
        Watch {
            found: Some(Expiry {
                ends: record.ends,
                subject: record.subject.clone(),
                issuer: record.issuer.clone(),
                key: record.key.clone(),
            }),
            looked: record.looked,
            worried: record.worried,
            told: record.told.chunks_exact(2).map(|p| (p[0], p[1])).collect(),
            ..Watch::default()
        }
    }

    /// Why the site is degraded by it.
    pub fn reason(&self, subject: Subject) -> Option<String> {
        let found = self.found.as_ref().filter(|_| self.worried)?;
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
            .told
            .iter_mut()
            .find(|(e, _)| (*e - ends).abs() < DAY / 2);
        match known {
            Some((_, told)) if *told <= stage => false,
            Some((_, told)) => {
                *told = stage;
                true
            }
            None => {
                if self.told.len() == DATES {
                    self.told.remove(0);
                }
                self.told.push((ends, stage));
                true
            }
        }
    }
}

impl Monitor {
    fn warn_of(&self, at: usize, subject: Subject) -> Option<Duration> {
        let site = &self.sites[at].site;
        match subject {
            Subject::Certificate => site.cert,
            Subject::Domain => site.domain,
        }
    }

    /// Plans the looks of a site that is new, or whose keys have changed.
    pub(crate) fn plan_looks(&mut self, now: Now, at: usize) {
        for subject in Subject::ALL {
            if self.warn_of(at, subject).is_none() {
                self.sites[at].forget_expiry(subject);
                continue;
            }
            let watch = self.sites[at].expiry_mut(subject);
            if watch.due.is_none() && !watch.running {
                // A stamp of a clock that was ahead must not put it off for as long.
                let looked = watch.looked.min(now.wall);
                let fresh = looked + i64::try_from(subject.every().as_secs()).unwrap_or(0);
                let first = self.sites[at].site.interval.min(FIRST);
                let soon = now.moment() + first.mul_f64(self.schedule.jitter().fraction());
                let due = now.coming_moment(fresh).max(soon);
                self.sites[at].expiry_mut(subject).due = Some(due);
            }
        }
        let wanted = |w: &SiteState| w.site.cert.is_some() || w.site.domain.is_some();
        self.inspects = self.sites.iter().any(wanted);
    }

    /// Somebody asked for a check of the site: its dates are looked at too.
    pub(crate) fn look_now(&mut self, now: Now, at: usize) {
        for subject in Subject::ALL {
            if self.warn_of(at, subject).is_none() {
                continue;
            }
            let watch = self.sites[at].expiry_mut(subject);
            // The registries are not ours to lean on.
            let lately = (0..DAY).contains(&now.wall.saturating_sub(watch.looked));
            let rested = subject == Subject::Certificate || !lately;
            if rested && !watch.running {
                watch.due = Some(now.moment());
            }
        }
    }

    pub(crate) fn next_look_due(&self) -> Option<Moment> {
        if self.schedule.stopping() || !self.inspects || !self.clock.is_set() {
            return None;
        }
        let judged = self
            .sites
            .iter()
            .filter(|w| !w.paused() && w.suppression.is_none());
        let due = judged.flat_map(|w| Subject::ALL.map(|s| w.expiry(s)?.due));
        due.flatten().min()
    }

    pub(crate) fn start_looks(&mut self, now: Now) {
        let moment = now.moment();
        if self.next_look_due().is_none_or(|at| at > moment) {
            return;
        }
        for at in 0..self.sites.len() {
            let watched = &mut self.sites[at];
            if watched.paused() || watched.suppression.is_some() {
                continue;
            }
            for subject in Subject::ALL {
                let due = watched.expiry(subject).and_then(|watch| watch.due);
                if due.is_none_or(|due| due > moment) {
                    continue;
                }
                let watch = watched.expiry_mut(subject);
                watch.due = None;
                watch.running = true;
                let site = watched.site.clone();
                self.actions.push(Action::Inspect { site, subject });
            }
        }
    }

    pub(crate) fn inspected(
        &mut self,
        now: Now,
        name: &str,
        subject: Subject,
        result: Result<Looked, Failure>,
    ) {
        let Some(at) = self.sites.find(name) else {
            return;
        };
        let moment = now.moment();
        let Some(warn) = self.warn_of(at, subject) else {
            self.sites[at].forget_expiry(subject);
            return;
        };
        let muted = self.muted(name, moment);
        let watch = self.sites[at].expiry_mut(subject);
        watch.running = false;
        watch.looked = now.wall;
        let Looked {
            first: expiry,
            root,
        } = match result {
            Ok(looked) => looked,
            Err(failure) => {
                watch.due = Some(moment + subject.again());
                let text = format!("{name}: its {} was not seen: {failure}", subject.word());
                watch.trouble = Some(failure.detail);
                self.log(Level::Debug, text);
                return;
            }
        };
        let worried = watch.worried;
        let ends = expiry.ends;
        watch.trouble = None;
        watch.found = Some(expiry.clone());
        let next = watch.next_stage(warn, now.wall);
        // A moment after the stage is passed.
        let next = next.map_or(subject.every(), |d| {
            (d + Duration::from_secs(1)).min(subject.every())
        });
        let root_left = match subject {
            Subject::Certificate => self.root_seen(now, name, root, warn),
            Subject::Domain => None,
        };
        let next = root_left.map_or(next, |left| next.min(left + Duration::from_secs(1)));
        let watch = self.sites[at].expiry_mut(subject);
        watch.due = Some(moment + next);
        let left = ends - now.wall;
        let stage = Watch::stage(left, warn);
        watch.worried = stage.is_some();
        let site = self.sites[at].site.clone();
        match stage {
            Some(stage) if muted => {
                // Told when the mute is over, by a look of then.
                self.log(Level::Info, format!("{name}: muted, stage {stage} s"));
                self.sites[at].expiry_mut(subject).due = Some(moment + HOUR);
            }
            Some(stage) => {
                if self.sites[at].expiry_mut(subject).is_news(ends, stage) {
                    self.log(
                        Level::Info,
                        format!("{name}: its {} ends soon", subject.word()),
                    );
                    let news = Notification::Expiring { subject, expiry };
                    self.tell(now, &site, news, None);
                }
            }
            None if worried => {
                let watch = self.sites[at].expiry_mut(subject);
                // Told once: the old one may be seen again on another server.
                let told = !watch.told.is_empty() && watch.is_news(ends, i64::MAX);
                self.log(
                    Level::Info,
                    format!("{name}: its {} is new", subject.word()),
                );
                if told {
                    let news = Notification::Renewed { subject, expiry };
                    self.tell(now, &site, news, None);
                }
                self.saving.later(moment);
            }
            None => self.saving.later(moment),
        }
    }
}

/// `5 d`, or what to say when nothing is left.
pub fn left_text(left: i64) -> String {
    match u64::try_from(left) {
        Ok(left) if left > 0 => format!("ends in {}", text::lasting(Duration::from_secs(left))),
        _ => format!(
            "ended {} ago",
            text::lasting(Duration::from_secs(left.unsigned_abs()))
        ),
    }
}
