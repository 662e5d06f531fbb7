//! Computes and applies the difference between two snapshots.

#![allow(clippy::question_mark)] // in what nanoserde derives

use crate::monitor::incident::record::IncidentRecord;
use crate::monitor::persist::snapshot::{AlertRecord, SiteRecord, Snapshot};
use nanoserde::{DeJson, SerJson};
use std::collections::{HashMap, HashSet};
use std::hash::Hash;

/// Moments come from two clocks and vary by a second: differences up to this many seconds are no change.
const WAVER: u64 = 2;

/// The difference between two saved states.
///
/// Contains complete records, never patches: if an earlier delta is missing, a delta still leaves each record
/// as it was at some moment, and those in it as they are now.
#[derive(Clone, Debug, Default, PartialEq, SerJson, DeJson)]
#[nserde(default)]
pub struct Delta {
    /// Number of the state after it.
    pub seq: u64,
    /// All plain fields; sites, incidents and alerts only if new or changed.
    pub state: Snapshot,
    pub gone_sites: Vec<String>,
    pub gone_incidents: Vec<u32>,
    pub gone_alerts: Vec<u64>,
}

impl Delta {
    /// `None` if two records of a list share a name or number: only a complete snapshot can represent them.
    pub fn between(old: &Snapshot, new: &Snapshot, seq: u64) -> Option<Delta> {
        let (sites, gone_sites) = changes(&old.sites, &new.sites, site)?;
        let (incidents, gone_incidents) = changes(&old.incidents, &new.incidents, incident)?;
        let (alerts, gone_alerts) = changes(&old.alerts, &new.alerts, alert)?;
        let state = Snapshot {
            sites,
            incidents,
            alerts,
            ..plain(new)
        };
        Some(Delta {
            seq,
            state,
            gone_sites,
            gone_incidents,
            gone_alerts,
        })
    }

    /// Nothing would change in `old` but the time of writing.
    pub fn is_empty(&self, old: &Snapshot) -> bool {
        let nothing = Delta {
            seq: self.seq,
            state: Snapshot {
                written: self.state.written,
                ..plain(old)
            },
            ..Delta::default()
        };
        *self == nothing
    }

    /// Sorts incidents and alerts by number, the order in which they were created.
    pub fn apply(self, to: &mut Snapshot) {
        let mut lists = std::mem::replace(to, self.state);
        merge(&mut lists.sites, &mut to.sites, &self.gone_sites, site);
        merge(
            &mut lists.incidents,
            &mut to.incidents,
            &self.gone_incidents,
            incident,
        );
        merge(&mut lists.alerts, &mut to.alerts, &self.gone_alerts, alert);
        to.incidents.sort_by_key(incident);
        to.alerts.sort_by_key(alert);
    }
}

/// Returns `new`, with the values of `old` wherever the difference is not worth a write.
pub fn settle(old: &Snapshot, mut new: Snapshot) -> Snapshot {
    coming(old.offline_since, &mut new.offline_since);
    coming(old.muted_until, &mut new.muted_until);
    moments(&old.troubles_since, &mut new.troubles_since);
    pairs(&old.sites, &mut new.sites, site, |old, new| {
        moment(old.since, &mut new.since);
        coming(old.muted_until, &mut new.muted_until);
        moments(&old.changes, &mut new.changes);
        // A site that is down may fail differently at every check.
        let ms = std::mem::replace(&mut new.ms, old.ms);
        let cause = std::mem::replace(&mut new.cause, old.cause.clone());
        if old != new {
            (new.ms, new.cause) = (ms, cause);
        }
    });
    pairs(&old.incidents, &mut new.incidents, incident, |old, new| {
        moment(old.start, &mut new.start);
        coming(old.end, &mut new.end);
        coming(old.acknowledged_at, &mut new.acknowledged_at);
        moment(old.reminded, &mut new.reminded);
    });
    pairs(&old.alerts, &mut new.alerts, alert, |old, new| {
        moment(old.at, &mut new.at);
    });
    let runs = old.runs.iter().flatten().zip(new.runs.iter_mut().flatten());
    for (old, new) in runs.filter(|(old, new)| old.action == new.action) {
        moment(old.at, &mut new.at);
    }
    new
}

fn moment(old: i64, new: &mut i64) {
    if old.abs_diff(*new) <= WAVER {
        *new = old;
    }
}

fn coming(old: Option<i64>, new: &mut Option<i64>) {
    if let (Some(old), Some(new)) = (old, new) {
        moment(old, new);
    }
}

fn moments(old: &[i64], new: &mut [i64]) {
    if old.len() == new.len() {
        for (old, new) in old.iter().zip(new) {
            moment(*old, new);
        }
    }
}

/// All fields but the lists of records.
fn plain(snapshot: &Snapshot) -> Snapshot {
    Snapshot {
        sites: Vec::new(),
        incidents: Vec::new(),
        alerts: Vec::new(),
        troubles: snapshot.troubles.clone(),
        route: snapshot.route.clone(),
        registries: snapshot.registries.clone(),
        roots: snapshot.roots.clone(),
        moved: snapshot.moved.clone(),
        added: snapshot.added.clone(),
        runs: snapshot.runs.clone(),
        troubles_since: snapshot.troubles_since.clone(),
        troubles_chats: snapshot.troubles_chats.clone(),
        ..*snapshot
    }
}

fn site(record: &SiteRecord) -> String {
    record.name.clone()
}

fn incident(record: &IncidentRecord) -> u32 {
    record.number
}

fn alert(record: &AlertRecord) -> u64 {
    record.id
}

/// Pairs each record of `new` with the one of the same key in `old`.
fn pairs<T, K: Eq + Hash>(
    old: &[T],
    new: &mut [T],
    key: impl Fn(&T) -> K,
    each: impl Fn(&T, &mut T),
) {
    let old: HashMap<K, &T> = old.iter().map(|record| (key(record), record)).collect();
    for record in new {
        if let Some(old) = old.get(&key(record)) {
            each(old, record);
        }
    }
}

/// Returns new and changed records, and the keys of removed ones.
fn changes<T: Clone + PartialEq, K: Clone + Eq + Hash>(
    old: &[T],
    new: &[T],
    key: impl Fn(&T) -> K,
) -> Option<(Vec<T>, Vec<K>)> {
    let known: HashMap<K, &T> = old.iter().map(|record| (key(record), record)).collect();
    let kept: HashSet<K> = new.iter().map(&key).collect();
    if known.len() < old.len() || kept.len() < new.len() {
        return None;
    }
    let changed = new
        .iter()
        .filter(|record| known.get(&key(record)) != Some(record))
        .cloned()
        .collect();
    let gone = old.iter().map(&key).filter(|k| !kept.contains(k)).collect();
    Some((changed, gone))
}

/// Inserts into `changed` the unchanged records of `list`, in the order of `list`.
fn merge<T, K: Eq + Hash>(
    list: &mut Vec<T>,
    changed: &mut Vec<T>,
    gone: &[K],
    key: impl Fn(&T) -> K,
) {
    list.retain(|record| !gone.contains(&key(record)));
    let places: HashMap<K, usize> = list.iter().enumerate().map(|(i, r)| (key(r), i)).collect();
    for record in changed.drain(..) {
        match places.get(&key(&record)) {
            Some(&place) => list[place] = record,
            None => list.push(record),
        }
    }
    std::mem::swap(list, changed);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> Snapshot {
        let site = |name: &str| SiteRecord {
            name: name.into(),
            since: 1000,
            muted_until: Some(5000),
            changes: vec![900, 1000],
            ms: Some(40),
            ..SiteRecord::default()
        };
        Snapshot {
            written: 2000,
            offline_since: Some(1000),
            troubles: vec!["dns".into()],
            troubles_since: vec![1000],
            muted_until: Some(9000),
            sites: vec![site("a"), site("b")],
            incidents: vec![IncidentRecord {
                number: 4,
                start: 1000,
                end: Some(1500),
                acknowledged_at: Some(1200),
                reminded: 1000,
                ..IncidentRecord::default()
            }],
            alerts: vec![AlertRecord {
                id: 8,
                at: 1000,
                ..AlertRecord::default()
            }],
            ..Snapshot::default()
        }
    }

    /// Shifts every moment of `state`.
    fn moved(by: i64) -> Snapshot {
        let mut new = state();
        let coming = |moment: &mut Option<i64>| *moment = moment.map(|m| m + by);
        new.written += 60;
        coming(&mut new.offline_since);
        coming(&mut new.muted_until);
        new.troubles_since[0] += by;
        for site in &mut new.sites {
            site.since += by;
            coming(&mut site.muted_until);
            site.changes.iter_mut().for_each(|m| *m += by);
            site.ms = Some(41);
        }
        let incident = &mut new.incidents[0];
        incident.start += by;
        incident.reminded += by;
        coming(&mut incident.end);
        coming(&mut incident.acknowledged_at);
        new.alerts[0].at += by;
        new
    }

    #[test]
    fn wavering_clocks_and_response_times_are_no_change() {
        for by in -2..=2 {
            let settled = settle(&state(), moved(by));
            let delta = Delta::between(&state(), &settled, 1).expect("unique keys");
            assert!(delta.is_empty(&state()), "{by}: {delta:?}");
        }
    }

    #[test]
    fn moments_that_moved_further_are_kept_and_the_response_time_with_them() {
        let settled = settle(&state(), moved(3));
        assert_eq!(settled, moved(3));
        let delta = Delta::between(&state(), &settled, 1).expect("unique keys");
        assert_eq!(delta.state, moved(3));
    }

    #[test]
    fn a_site_that_changed_goes_alone_and_one_that_is_gone_by_its_name() {
        let mut new = state();
        new.sites[1].state = "down".into();
        new.sites.remove(0);
        let delta = Delta::between(&state(), &new, 1).expect("unique keys");
        assert_eq!(delta.state.sites, new.sites);
        assert_eq!(delta.gone_sites, ["a"]);
        assert!(delta.state.incidents.is_empty() && delta.state.alerts.is_empty());
    }

    #[test]
    fn a_clean_end_and_a_handled_update_are_changes() {
        let clean = Snapshot {
            clean: true,
            ..state()
        };
        let handled = Snapshot {
            last_update: Some(5),
            ..state()
        };
        for new in [clean, handled] {
            let delta = Delta::between(&state(), &new, 1).expect("unique keys");
            assert!(!delta.is_empty(&state()));
        }
    }

    #[test]
    fn records_that_share_a_number_want_the_whole() {
        let mut twice = state();
        twice.alerts.push(twice.alerts[0].clone());
        assert_eq!(Delta::between(&twice, &state(), 1), None);
        assert_eq!(Delta::between(&state(), &twice, 1), None);
    }
}
