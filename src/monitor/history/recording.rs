//! Records the history of every site: its state over time, and when nothing was checked.

use crate::monitor::event::{Action, Actions};
use crate::monitor::history::{
    Extent, History, Kind, RUN_SCALE, Record, Scope, Share, Span, TOLERATED_STEP_BACK,
};
use crate::monitor::site::outcome::FailureKind;
use crate::monitor::site::state::SiteState;
use crate::monitor::site::table::{BySite, Origins, Sites};
use crate::monitor::time::text::lasting;
use crate::monitor::time::{Moment, Now};
use std::time::Duration;

/// Time after which a wall clock that went back is believed: until then it may be about to be
/// corrected, and the history ahead of it is kept.
const BELIEVED_AFTER: Duration = Duration::from_secs(600);

/// The histories of all sites, and which of their hours are on disk.
#[derive(Debug, Default)]
pub struct Recorder {
    histories: BySite<History>,
    /// Unix seconds up to which all histories are recorded; `None` before the clock is set.
    known_until: Option<i64>,
    /// Since when the clock has been behind the recorded history.
    behind: Option<Moment>,
    /// Hour (since 1970) of the last [`Recorder::record`]: the first call of another hour requests
    /// a save.
    asked: Option<i64>,
    /// Whether the files hold hours ahead of a clock that was set back, and must be written anew.
    afresh: bool,
    /// The hours before this one are on disk.
    written: Option<i64>,
    /// Checks since the start, and those of them that failed by an internal error.
    checks: u64,
    internal_errors: u64,
}

impl Recorder {
    /// Adapts to a new configuration: every site has a history.
    pub fn follow(&mut self, origins: &Origins) {
        self.histories.follow(origins);
    }

    pub fn of(&self, watched: &SiteState) -> &History {
        &self.histories[watched.place()]
    }

    /// Counts a check that has ended, with success or with this failure.
    pub fn count_check(&mut self, failure: Option<FailureKind>) {
        self.checks += 1;
        self.internal_errors += u64::from(failure == Some(FailureKind::Internal));
    }

    /// Returns the number of checks that failed by an internal error, since the start.
    pub fn internal_errors(&self) -> u64 {
        self.internal_errors
    }

    /// Adds the duration of a successful check.
    pub fn on_answer(&mut self, at: usize, took: Duration) {
        self.histories[at].add(took);
    }

    /// Adds the run time of a successful job.
    pub fn on_run(&mut self, at: usize, took: Duration) {
        self.histories[at].add(took / RUN_SCALE);
    }

    /// Returns the number of checks that have ended since the start.
    pub fn checks(&self) -> u64 {
        self.checks
    }

    /// Must be called first at each event. If the machine stood still until now, that time is
    /// unknown.
    pub fn on_wakeup(&mut self, now: Now, clock_set: bool, stood_still: bool, sites: &Sites) {
        if !clock_set {
            self.known_until = None;
            return;
        }
        match self.known_until {
            None => {
                let newest = self.histories.iter().map(History::until).max();
                if let Some(newest) =
                    newest.filter(|newest| now.wall + TOLERATED_STEP_BACK < *newest)
                {
                    self.known_until = Some(newest);
                    self.clock_behind(now);
                    return;
                }
                self.known_until = Some(now.wall);
                let histories = self.histories.iter_mut();
                histories.for_each(|history| history.miss(now.wall));
            }
            Some(known) if now.wall + TOLERATED_STEP_BACK < known => self.clock_behind(now),
            Some(known) => {
                self.behind = None;
                if stood_still {
                    self.note_all(known, sites);
                    let histories = self.histories.iter_mut();
                    histories.for_each(|history| history.miss(now.wall));
                }
            }
        }
    }

    /// Records the current state of the site.
    fn note(&mut self, wall: i64, watched: &SiteState) {
        self.histories[watched.place()].note(wall, Kind::of(watched.state()));
    }

    fn note_all(&mut self, wall: i64, sites: &Sites) {
        sites.iter().for_each(|watched| self.note(wall, watched));
    }

    fn clock_behind(&mut self, now: Now) {
        let moment = now.moment();
        let since = *self.behind.get_or_insert(moment);
        if moment.since(since) < BELIEVED_AFTER {
            return;
        }
        self.behind = None;
        self.known_until = Some(now.wall);
        self.afresh = true;
        let histories = self.histories.iter_mut();
        histories.for_each(|history| history.rewind(now.wall));
    }

    /// Must be called last at each event: records the states that the sites have from now on. Sites
    /// whose state has not changed are accounted for once a minute, at its first event.
    pub fn record(&mut self, now: Now, clock_set: bool, sites: &mut Sites, actions: &mut Actions) {
        let Some(known) = self.known_until.filter(|_| clock_set) else {
            return;
        };
        if self.behind.is_some() {
            return;
        }
        let changed = sites.take_changed();
        if now.wall.div_euclid(60) != known.div_euclid(60) {
            self.note_all(now.wall, sites);
        } else if let Some(changed) = changed {
            for at in changed {
                self.note(now.wall, &sites[at]);
            }
        }
        self.known_until = Some(known.max(now.wall));
        let hour = now.wall.div_euclid(3600);
        let asked = self.asked.replace(hour);
        if asked.is_some_and(|asked| asked != hour) {
            actions.push(Action::SaveHistory);
        }
    }

    /// Records the time until now, before the history is shown.
    pub fn bring_up_to_date(&mut self, now: Now, clock_set: bool, sites: &Sites) {
        if clock_set && self.known_until.is_some() && self.behind.is_none() {
            self.note_all(now.wall, sites);
        }
    }

    /// Returns the first hour that is not written yet.
    pub fn unwritten_hour(&self) -> Option<i64> {
        let hour = self.known_until?.div_euclid(3600);
        let oldest = hour - 24;
        Some(self.written.unwrap_or(oldest).clamp(oldest, hour))
    }

    /// Returns the part of the history to be written, without the current hour unless this is the
    /// `last` time. Call [`Recorder::on_saved`] when it is written.
    pub fn records(&self, sites: &Sites, extent: Extent, last: bool) -> Vec<Record> {
        let Some(hour) = self.known_until.map(|known| known.div_euclid(3600)) else {
            return Vec::new();
        };
        let first = match extent {
            Extent::Whole => hour - 24,
            Extent::Base | Extent::Pages => self.unwritten_hour().unwrap_or(hour),
        };
        let record = |scope: Scope, hour: i64| Record {
            scope,
            hour,
            length: (self.histories.iter().map(|h| h.length(hour)).min()).unwrap_or(0),
            sites: sites
                .iter()
                .map(|w| {
                    let history = self.of(w);
                    let bytes = match scope {
                        Scope::Base => history.base(hour),
                        Scope::Page => history.page(hour),
                    };
                    (w.name(), bytes)
                })
                .collect(),
        };
        let pages = (first..hour + i64::from(last)).map(|hour| record(Scope::Page, hour));
        match extent {
            Extent::Pages => pages.collect(),
            Extent::Base => [record(Scope::Base, first)]
                .into_iter()
                .chain(pages)
                .collect(),
            // The base is last: it replaces the sum of the first day, whose first minutes are not
            // in the pages.
            Extent::Whole => pages.chain([record(Scope::Base, hour)]).collect(),
        }
    }

    /// Records that the hours of these records are on disk.
    pub fn on_saved(&mut self, records: &[Record]) {
        let over = |r: &&Record| r.scope == Scope::Page && r.length == 60;
        if let Some(hour) = records.iter().filter(over).map(|r| r.hour + 1).max() {
            self.written = Some(hour);
            self.afresh = false;
        }
    }

    /// Returns whether the files must be written anew, as the clock was set back permanently.
    pub fn afresh(&self) -> bool {
        self.afresh
    }

    /// Restores what an earlier run wrote, in order of time. Sites that are no longer configured
    /// and corrupt data are skipped.
    pub fn restore(&mut self, record: &Record, sites: &Sites) {
        for (name, bytes) in record.sites.iter() {
            if let Some(at) = sites.find(name) {
                let history = &mut self.histories[at];
                let _ = match record.scope {
                    Scope::Base => history.restore_base(record.hour, bytes),
                    Scope::Page => history.restore_page(record.hour, record.length, bytes),
                };
            }
        }
        self.on_saved(std::slice::from_ref(record));
    }

    /// Moves the start of an outage back to the first failure.
    pub fn on_down(&mut self, now: Now, watched: &SiteState) {
        if self.known_until.is_none() || self.behind.is_some() {
            return;
        }
        let since = watched.failing_since().unwrap_or(now.moment());
        let history = &mut self.histories[watched.place()];
        history.note(now.wall, Kind::Down);
        history.was_down_since(now.wall_at(since));
    }
}

/// Returns e.g. `Uptime: 99.95 % (24 h), 99.99 % of 3 d 2 h watched (7 d, 30 d, 90 d)`. Spans that
/// exceed the recorded time have the same value and share one entry.
pub(crate) fn uptime_line(past: &History, now: Now) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut labels: Vec<&str> = Vec::new();
    let shares = Span::UPTIME.map(|span| past.uptime(span, now.wall));
    for (i, (span, share)) in Span::UPTIME.into_iter().zip(shares).enumerate() {
        labels.push(["24 h", "7 d", "30 d", "90 d"][i]);
        let same = |next: &Share| (next.up, next.down) == (share.up, share.down);
        if shares.get(i + 1).is_some_and(same) {
            continue;
        }
        // Seconds would be more precise than the data.
        let watched = Duration::from_secs(share.watched().as_secs() / 60 * 60);
        let whole = Duration::from_secs(span.seconds().unsigned_abs());
        let labels = std::mem::take(&mut labels).join(", ");
        parts.push(match share.percent() {
            _ if watched.is_zero() => "not known yet".to_owned(),
            None => "not known yet".to_owned(),
            // Up to 1 % of unwatched time is ignored.
            Some(percent) if watched + whole / 100 >= whole => format!("{percent} ({labels})"),
            Some(percent) => format!("{percent} of {} watched ({labels})", lasting(watched)),
        });
    }
    format!("Uptime: {}", parts.join(", "))
}
