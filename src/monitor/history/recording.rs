//! The history of every site goes on with the time: what it was, and when nobody watched.

use crate::monitor::history::{Extent, History, Kind, Record, Scope, Share, Span};
use crate::monitor::render::text::lasting;
use crate::monitor::site::state::SiteState;
use crate::monitor::time::{Moment, Now};
use crate::monitor::{Action, Monitor};
use std::time::Duration;

/// A wall clock that went back is believed after this: until then it may be one that is about to be
/// set right, and what is known of the time ahead of it is kept.
const BELIEVED: Duration = Duration::from_secs(600);
/// Seconds that a clock may go back without being asked about.
const SLACK: i64 = 120;

#[derive(Debug, Default)]
pub struct Recording {
    /// Up to when, in Unix seconds, all histories are known to go; `None` before there was a clock.
    heard: Option<i64>,
    /// A site may have changed its state.
    stirred: bool,
    /// Since when the clock has been behind what is recorded.
    behind: Option<Moment>,
    /// The hour (since 1970) in which writing was last asked for, or would have been.
    asked: Option<i64>,
    /// What is written has hours that never were.
    afresh: bool,
    /// The hours before this one are written.
    written: Option<i64>,
}

impl Recording {
    /// A site may have changed its state: that is recorded at once, and not with the next minute.
    pub fn stir(&mut self) {
        self.stirred = true;
    }
}

impl Monitor {
    /// Before anything else: whether we stood still until now. Then nobody knows what was.
    pub(crate) fn record_absence(&mut self, now: Now, stood_still: bool) {
        if !self.clock.is_set() {
            self.recording.heard = None;
            return;
        }
        match self.recording.heard {
            None => {
                let newest = self.sites.iter().map(|w| w.past.until()).max();
                if let Some(newest) = newest.filter(|newest| now.wall + SLACK < *newest) {
                    self.recording.heard = Some(newest);
                    self.clock_behind(now);
                    return;
                }
                self.recording.heard = Some(now.wall);
                for watched in self.sites.iter_mut() {
                    watched.past.miss(now.wall);
                }
            }
            Some(heard) if now.wall + SLACK < heard => self.clock_behind(now),
            Some(heard) => {
                self.recording.behind = None;
                if stood_still {
                    for watched in self.sites.iter_mut() {
                        let kind = Kind::of(watched.state());
                        watched.past.note(heard, kind);
                        watched.past.miss(now.wall);
                    }
                }
            }
        }
    }

    fn clock_behind(&mut self, now: Now) {
        let moment = now.moment();
        let since = *self.recording.behind.get_or_insert(moment);
        if moment.since(since) < BELIEVED {
            return;
        }
        self.recording.behind = None;
        self.recording.heard = Some(now.wall);
        self.recording.afresh = true;
        for watched in self.sites.iter_mut() {
            watched.past.rewind(now.wall);
        }
    }

    /// After everything else: what the sites are from now on. Sites that stay as they are are
    /// accounted for once a minute, when something happens anyway.
    pub(crate) fn record(&mut self, now: Now) {
        let Some(heard) = self.recording.heard.filter(|_| self.clock.is_set()) else {
            return;
        };
        if self.recording.behind.is_some() {
            return;
        }
        let stirred = std::mem::take(&mut self.recording.stirred);
        if stirred || now.wall.div_euclid(60) != heard.div_euclid(60) {
            for watched in self.sites.iter_mut() {
                let kind = Kind::of(watched.state());
                watched.past.note(now.wall, kind);
            }
        }
        self.recording.heard = Some(heard.max(now.wall));
        let hour = now.wall.div_euclid(3600);
        let asked = self.recording.asked.replace(hour);
        if asked.is_some_and(|asked| asked != hour) {
            self.actions.push(Action::SaveHistory);
        }
    }

    /// The first hour that is still to be written.
    pub fn unwritten_hour(&self) -> Option<i64> {
        let hour = self.recording.heard?.div_euclid(3600);
        let oldest = hour - 24;
        Some(self.recording.written.unwrap_or(oldest).clamp(oldest, hour))
    }

    /// What is to be written of the history. The hour that runs is left out, unless this is the `last`
    /// time. [`Monitor::history_saved`] says that it was.
    pub fn history_records(&self, extent: Extent, last: bool) -> Vec<Record> {
        let Some(hour) = self.recording.heard.map(|heard| heard.div_euclid(3600)) else {
            return Vec::new();
        };
        let first = match extent {
            Extent::Whole => hour - 24,
            Extent::Base | Extent::Pages => self.unwritten_hour().unwrap_or(hour),
        };
        let record = |scope: Scope, hour: i64| Record {
            scope,
            hour,
            length: (self.sites.iter().map(|w| w.past.length(hour)).min()).unwrap_or(0),
            sites: self
                .sites
                .iter()
                .map(|w| {
                    let bytes = match scope {
                        Scope::Base => w.past.base(hour),
                        Scope::Page => w.past.page(hour),
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
            // The base last: what the first minutes lack of their day is in it.
            Extent::Whole => pages.chain([record(Scope::Base, hour)]).collect(),
        }
    }

    /// The hours of these records are on disk.
    pub fn history_saved(&mut self, records: &[Record]) {
        let over = |r: &&Record| r.scope == Scope::Page && r.length == 60;
        if let Some(hour) = records.iter().filter(over).map(|r| r.hour + 1).max() {
            self.recording.written = Some(hour);
            self.recording.afresh = false;
        }
    }

    /// What is written must not stay, as the clock was set back for good.
    pub fn history_afresh(&self) -> bool {
        self.recording.afresh
    }

    /// Takes back what an earlier run wrote. To be called after [`Monitor::restore`], in the order
    /// of time. Sites that are no longer configured, and what is not sound, are passed over.
    pub fn restore_history(&mut self, record: &Record) {
        for (name, bytes) in record.sites.iter() {
            let Some(at) = self.sites.find(name) else {
                continue;
            };
            let past = &mut self.sites[at].past;
            let _ = match record.scope {
                Scope::Base => past.restore_base(record.hour, bytes),
                Scope::Page => past.restore_page(record.hour, record.length, bytes),
            };
        }
        self.history_saved(std::slice::from_ref(record));
    }

    /// The sites that the history is of.
    pub fn site_names(&self) -> impl Iterator<Item = &str> {
        self.sites.iter().map(SiteState::name)
    }

    /// It went down: its first failure was before that was judged.
    pub(crate) fn record_outage(&mut self, now: Now, at: usize) {
        if self.recording.heard.is_none() || self.recording.behind.is_some() {
            return;
        }
        let watched = &mut self.sites[at];
        let since = watched.failing_since.unwrap_or(now.moment());
        watched.past.note(now.wall, Kind::Down);
        watched.past.was_down_since(now.wall_at(since));
    }
}

/// `Uptime: 99.95 % (24 h), 99.99 % of 3 d 2 h watched (7 d, 30 d, 90 d)`. Spans that go back
/// further than what is known all say the same, so they say it together.
pub(crate) fn uptime_line(past: &History, now: Now) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut labels: Vec<&str> = Vec::new();
    let shares = Span::ALL.map(|span| past.uptime(span, now.wall));
    for (i, (span, share)) in Span::ALL.into_iter().zip(shares).enumerate() {
        labels.push(match span {
            Span::Day => "24 h",
            Span::Week => "7 d",
            Span::Month => "30 d",
            Span::Quarter => "90 d",
        });
        let same = |next: &Share| (next.up, next.down) == (share.up, share.down);
        if shares.get(i + 1).is_some_and(same) {
            continue;
        }
        // Ticks of seconds would be more than is known.
        let watched = Duration::from_secs(share.watched().as_secs() / 60 * 60);
        let whole = Duration::from_secs(span.seconds().unsigned_abs());
        let labels = std::mem::take(&mut labels).join(", ");
        parts.push(match share.percent() {
            _ if watched.is_zero() => "not known yet".to_owned(),
            None => "not known yet".to_owned(),
            // A few minutes of the first hour do not matter.
            Some(percent) if watched + whole / 100 >= whole => format!("{percent} ({labels})"),
            Some(percent) => format!("{percent} of {} watched ({labels})", lasting(watched)),
        });
    }
    format!("Uptime: {}", parts.join(", "))
}
