//! Merges many alerts of one kind into one line.

use crate::monitor::alert::words::{merged, when};
use crate::monitor::alert::{Alert, Notification};
use crate::monitor::render::text::{escape, units};
use crate::monitor::time::Now;
use crate::monitor::time::text::lasting;
use std::collections::{BTreeMap, HashMap};

/// Minimum number of sites with the same notification that are merged into one line.
const GROUP: usize = 6;
/// Maximum length of the names and the cause in a group's line, in UTF-16 units: it must fit a
/// message.
const GROUP_UNITS: usize = 3500;

/// What the alerts of a group have in common: whether the sites are down, the cause, and when.
type Key<'a> = (bool, &'a str, String);

/// Returns the group of an alert; `None` for alerts that are never grouped.
pub fn group_key<'a>(
    alert: &'a Alert,
    ended: &HashMap<u32, Vec<&Alert>>,
    now: Now,
) -> Option<Key<'a>> {
    match (&alert.notification, alert.incident) {
        (
            Notification::Down {
                cause,
                common,
                behind: 0,
            },
            Some(_),
        ) if !merged(alert, ended) => {
            let common = common.as_deref().unwrap_or(cause);
            Some((true, common, when(alert, now)))
        }
        (Notification::Up { .. }, Some(n)) if ended.get(&n).is_none_or(Vec::is_empty) => {
            Some((false, "", when(alert, now)))
        }
        _ => None,
    }
}

/// Returns the groups that are large enough, split into lines that fit a message, with the alerts
/// of each line.
pub fn grouped<'a>(
    waiting: &[&'a Alert],
    ended: &HashMap<u32, Vec<&Alert>>,
    now: Now,
) -> BTreeMap<Key<'a>, Vec<(String, Vec<u64>)>> {
    let mut sorted: BTreeMap<Key, Vec<&Alert>> = BTreeMap::new();
    if waiting.len() >= GROUP {
        for alert in waiting {
            if let Some(key) = group_key(alert, ended, now) {
                sorted.entry(key).or_default().push(alert);
            }
        }
    }
    sorted.retain(|_, alerts| alerts.len() >= GROUP);
    let groups = sorted.into_iter().map(|(key, alerts)| {
        let mut chunks: Vec<Vec<(String, u64)>> = vec![Vec::new()];
        let mut used = 0;
        let room = GROUP_UNITS.saturating_sub(units(&escape(key.1)));
        for alert in alerts {
            let name = group_member(alert);
            let size = units(&name) + 2;
            if used + size > room && used > 0 {
                chunks.push(Vec::new());
                used = 0;
            }
            used += size;
            if let Some(last) = chunks.last_mut() {
                last.push((name, alert.id));
            }
        }
        let lines = chunks.iter().map(|chunk| {
            let (down, cause, when) = &key;
            let names: Vec<&str> = chunk.iter().map(|(name, _)| name.as_str()).collect();
            let head = if *down {
                format!(
                    "🔴 <b>{} sites are down</b>: {}",
                    chunk.len(),
                    escape(cause)
                )
            } else {
                format!("🟢 <b>{} sites are up again</b>", chunk.len())
            };
            let line = format!("{head}{when}\n{}", names.join(", "));
            (line, chunk.iter().map(|(_, id)| *id).collect())
        });
        let lines = lines.collect();
        (key, lines)
    });
    groups.collect()
}

fn group_member(alert: &Alert) -> String {
    let name = escape(&alert.site);
    let number = alert.incident.unwrap_or(0);
    match &alert.notification {
        Notification::Up { lasted } => format!("{name} after {} (#{number})", lasting(*lasted)),
        _ => format!("{name} (#{number})"),
    }
}
