//! Memory, descriptors, threads and sockets of this process, read from `/proc/self` (proc(5)).

#[cfg(feature = "host")]
use crate::host::Machine;
#[cfg(feature = "listen")]
use crate::monitor::render::metrics::ProcessFigures;
use crate::monitor::render::metrics::{AnswerHistogram, BUCKETS};
use crate::monitor::render::stats::{MachineFigures, Vitals};
#[cfg(feature = "host")]
use crate::offload::offload;
use std::collections::{HashSet, VecDeque};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// Number of answer times that are kept for the percentiles.
const MAX_ANSWER_TIMES: usize = 1000;

/// Reads the figures of this process. Figures that can't be read are `None`.
pub fn read() -> Vitals {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let sockets = sockets();
    Vitals {
        resident_kib: field(&status, "VmRSS:"),
        peak_kib: field(&status, "VmHWM:"),
        threads: field(&status, "Threads:").and_then(|n| usize::try_from(n).ok()),
        descriptors: descriptors(),
        connections: sockets.map(|own| connected(&own)),
        ..Vitals::default()
    }
}

/// Reads the figures of this process that `/metrics` shows.
#[cfg(feature = "listen")]
pub fn process() -> ProcessFigures {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    ProcessFigures {
        resident_bytes: field(&status, "VmRSS:").map(|kib| kib * 1024),
        descriptors: descriptors(),
        cpu: cpu.try_into().ok(),
        ..ProcessFigures::default()
    }
}

/// Counts the open descriptors, without the one that lists the directory.
fn descriptors() -> Option<usize> {
    let entries = fs::read_dir("/proc/self/fd").ok()?;
    Some(entries.count().saturating_sub(1))
}

/// Reads the figures of the machine; `state` is the state directory.
#[cfg(feature = "host")]
pub async fn machine(state: PathBuf) -> MachineFigures {
    let figures = offload(move || Ok(Machine::this().figures(&state))).await;
    figures.unwrap_or_default()
}

/// Returns no figures: this build lacks the cargo feature `host`.
#[cfg(not(feature = "host"))]
pub async fn machine(_: PathBuf) -> MachineFigures {
    MachineFigures::default()
}

/// Returns the number after `name` in `/proc/self/status`.
fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find(|l| l.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Returns the inode numbers of this process's sockets.
fn sockets() -> Option<HashSet<u64>> {
    let entries = fs::read_dir("/proc/self/fd").ok()?;
    Some(
        entries
            .flatten()
            .filter_map(|entry| fs::read_link(entry.path()).ok())
            .filter_map(|target| {
                let text = target.to_str()?;
                text.strip_prefix("socket:[")?
                    .strip_suffix(']')?
                    .parse()
                    .ok()
            })
            .collect(),
    )
}

/// Counts the established TCP connections among the sockets with these inodes.
fn connected(own: &HashSet<u64>) -> usize {
    ["/proc/self/net/tcp", "/proc/self/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .map(|table| established(&table, own))
        .sum()
}

/// Counts the rows of `/proc/net/tcp` in state 01 (ESTABLISHED) with one of these inodes.
fn established(table: &str, own: &HashSet<u64>) -> usize {
    let ours = |row: &&str| {
        let mut words = row.split_whitespace();
        let state = words.nth(3);
        let inode = words.nth(5).and_then(|w| w.parse().ok());
        state == Some("01") && inode.is_some_and(|i| own.contains(&i))
    };
    table.lines().skip(1).filter(ours).count()
}

/// The most recent answer times, and a histogram of all since the start.
#[derive(Debug, Default)]
pub struct AnswerTimes {
    last: VecDeque<Duration>,
    all: AnswerHistogram,
}

impl AnswerTimes {
    pub fn add(&mut self, took: Duration) {
        if self.last.len() == MAX_ANSWER_TIMES {
            self.last.pop_front();
        }
        self.last.push_back(took);
        let micros = took.as_micros();
        let bucket = BUCKETS
            .iter()
            .position(|(_, most)| micros <= u128::from(*most));
        if let Some(bucket) = bucket {
            self.all.buckets[bucket] += 1;
        }
        self.all.count += 1;
        self.all.sum += took;
    }

    pub fn histogram(&self) -> &AnswerHistogram {
        &self.all
    }

    /// Returns the median and the 99th percentile, or `None` before the first answer.
    pub fn percentiles(&self) -> Option<(Duration, Duration)> {
        let mut sorted: Vec<Duration> = self.last.iter().copied().collect();
        sorted.sort_unstable();
        let at = |percent: usize| sorted.get((sorted.len() * percent / 100).min(sorted.len() - 1));
        if sorted.is_empty() {
            return None;
        }
        Some((*at(50)?, *at(99)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_process_has_figures() {
        let vitals = read();
        assert!(vitals.resident_kib.is_some_and(|kib| kib > 100));
        assert!(vitals.threads.is_some_and(|n| n >= 1));
        assert!(vitals.descriptors.is_some_and(|n| n >= 3));
    }

    #[test]
    fn only_established_connections_of_ours_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1\n\
            1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 12 1\n\
            2: 0100007F:1F90 0100007F:C351 01 00000000:00000000 00:00000000 00000000     0        0 99 1\n";
        assert_eq!(established(table, &HashSet::from([11, 12])), 1);
    }

    #[test]
    fn percentiles_of_few_and_of_many() {
        let mut times = AnswerTimes::default();
        assert_eq!(times.percentiles(), None);
        times.add(Duration::from_millis(5));
        assert_eq!(
            times.percentiles(),
            Some((Duration::from_millis(5), Duration::from_millis(5)))
        );
        for ms in 0..5000 {
            times.add(Duration::from_millis(ms));
        }
        assert_eq!(
            times.percentiles(),
            Some((Duration::from_millis(4500), Duration::from_millis(4990)))
        );
    }
}
