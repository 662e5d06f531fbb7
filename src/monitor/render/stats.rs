//! The reply to `/stats`: figures of the agent itself.

use crate::monitor::render::text::{count, escape, size};
use crate::monitor::schedule::late_rounds::grouped;
use crate::monitor::time::text::lasting;
use std::time::Duration;

/// Figures that only the shell can measure. `None`: unknown, e.g. without `/proc`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vitals {
    pub uptime: Duration,
    /// Resident memory in KiB, now and the maximum since the start.
    pub resident_kib: Option<u64>,
    pub peak_kib: Option<u64>,
    pub descriptors: Option<usize>,
    pub threads: Option<usize>,
    /// Connected TCP sockets.
    pub connections: Option<usize>,
    pub max_connections: usize,
    /// Median and 99th percentile of the answer times of recent commands, from the arrival of the
    /// update to the request with the reply; `None` before the first.
    pub answers: Option<(Duration, Duration)>,
    /// Bytes written to the state directory since the start, in whole 4 KB blocks.
    pub bytes_written: u64,
    pub machine: MachineFigures,
}

/// Figures of the machine. `None`: unknown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MachineFigures {
    /// Free bytes on the file system of the state directory.
    pub disk_free: Option<u64>,
    /// Bytes of memory available to programs.
    pub memory_available: Option<u64>,
    /// Load average over 5 minutes.
    pub load: Option<f64>,
    /// Temperature of the hottest thermal zone in degrees Celsius.
    pub temperature: Option<i32>,
}

impl MachineFigures {
    fn line(&self) -> Option<String> {
        let figures = [
            self.disk_free
                .map(|free| format!("{} free on disk", size(free))),
            self.memory_available
                .map(|left| format!("{} of memory available", size(left))),
            self.load.map(|load| format!("load {load:.2}")),
            self.temperature.map(|degrees| format!("{degrees} °C")),
        ];
        let figures: Vec<String> = figures.into_iter().flatten().collect();
        (!figures.is_empty()).then(|| format!("This machine: {}", figures.join(", ")))
    }
}

/// Figures of the core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub sites: usize,
    pub checks: u64,
    /// Rounds that were late, and all rounds that were due.
    pub late: (u64, u64),
    pub internal_errors: u64,
    /// Failed checks that were not counted because of a fault of this machine.
    pub excused: u64,
    pub alerts_waiting: usize,
}

/// Returns the reply to `/stats`. `late`: requested and completed checks while rounds are late.
/// `channels`: a line for each channel besides the chats.
pub fn render(vitals: &Vitals, tally: Tally, late: Option<&str>, channels: &[String]) -> String {
    let unknown = || "unknown".to_owned();
    let mib = |kib: u64| format!("{:.1} MB", kib as f64 / 1024.0);
    let memory = match (vitals.resident_kib, vitals.peak_kib) {
        (Some(now), Some(peak)) => format!("{}, {} at most", mib(now), mib(peak)),
        (Some(now), None) => mib(now),
        _ => unknown(),
    };
    let number = |n: Option<usize>| n.map_or_else(unknown, |n| n.to_string());
    let answers = match vitals.answers {
        Some((median, worst)) => format!("{} median, {} 99th", fine(median), fine(worst)),
        None => "none yet".to_owned(),
    };
    let connections = number(vitals.connections);
    let sites = count(tally.sites, "site");
    let now = late.map_or(String::new(), |figures| format!(", now {figures}"));
    let (late, rounds) = (grouped(tally.late.0), grouped(tally.late.1));
    let mut lines = vec![
        format!("Up for {}", lasting(vitals.uptime)),
        format!("Memory: {memory}"),
        format!("Open files: {}", number(vitals.descriptors)),
        format!("Threads: {}", number(vitals.threads)),
        format!("Connections: {connections} of {}", vitals.max_connections),
        format!("Checks done: {}, of {sites}", tally.checks),
        format!("Late: {late} of {rounds} rounds{now}"),
        format!("Answer times: {answers}"),
        format!("Alerts waiting: {}", tally.alerts_waiting),
    ];
    lines.extend(channels.iter().map(|line| escape(line)));
    lines.push(format!(
        "Written to flash: {} KB",
        vitals.bytes_written / 1024
    ));
    lines.extend(vitals.machine.line());
    if let excused @ 1.. = tally.excused {
        lines.push(format!("Not counted, by faults of this machine: {excused}"));
    }
    if let errors @ 1.. = tally.internal_errors {
        lines.push(format!("Internal errors: {errors}"));
    }
    lines.join("\n")
}

/// Two decimals below 10 ms, as most answer times are below 1 ms.
fn fine(d: Duration) -> String {
    if d < Duration::from_millis(10) {
        format!("{:.2} ms", d.as_secs_f64() * 1000.0)
    } else {
        format!("{} ms", d.as_millis())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Returns figures that are all known.
    pub(crate) fn figures() -> (Vitals, Tally) {
        let vitals = Vitals {
            uptime: Duration::from_secs(90_000),
            resident_kib: Some(3174),
            peak_kib: Some(4096),
            descriptors: Some(14),
            threads: Some(3),
            connections: Some(2),
            max_connections: 10,
            answers: Some((Duration::from_micros(240), Duration::from_millis(31))),
            bytes_written: 12_345,
            machine: MachineFigures {
                disk_free: Some(4_400_000_000),
                memory_available: Some(560 << 20),
                load: Some(0.35),
                temperature: Some(52),
            },
        };
        let tally = Tally {
            sites: 2,
            checks: 3000,
            late: (1234, 56_789),
            internal_errors: 1,
            excused: 4,
            alerts_waiting: 0,
        };
        (vitals, tally)
    }

    #[test]
    fn the_figures_are_one_a_line() {
        let (vitals, tally) = figures();
        assert_eq!(
            render(&vitals, tally, None, &[]),
            "Up for 1 d 1 h\n\
             Memory: 3.1 MB, 4.0 MB at most\n\
             Open files: 14\n\
             Threads: 3\n\
             Connections: 2 of 10\n\
             Checks done: 3000, of 2 sites\n\
             Late: 1,234 of 56,789 rounds\n\
             Answer times: 0.24 ms median, 31 ms 99th\n\
             Alerts waiting: 0\n\
             Written to flash: 12 KB\n\
             This machine: 4 GB free on disk, 560 MB of memory available, load 0.35, 52 °C\n\
             Not counted, by faults of this machine: 4\n\
             Internal errors: 1"
        );
    }

    #[test]
    fn what_proc_does_not_tell_is_unknown() {
        let text = render(&Vitals::default(), Tally::default(), None, &[]);
        assert!(text.contains("Threads: unknown"));
        assert!(!text.contains("This machine"));
        assert!(text.contains("Answer times: none yet"));
    }
}
