//! The figures of `/metrics`, in Prometheus' text format 0.0.4 and in OpenMetrics 1.0.0
//! (docs/metrics.md).
//!
//! They are collected at once and written in parts, as the text of thousands of sites is megabytes
//! long.

use crate::monitor::site::Site;
use crate::monitor::site::outcome::{CheckResult, Phases};
use crate::monitor::site::state::State;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

/// Approximate size of a part in bytes. The lines of one site or the last line of a family may
/// exceed it.
const PART: usize = 16 * 1024;

/// Upper bounds of the answer time buckets: as OpenMetrics writes them, and in microseconds.
pub const BUCKETS: [(&str, u64); 10] = [
    ("0.001", 1_000),
    ("0.0025", 2_500),
    ("0.005", 5_000),
    ("0.01", 10_000),
    ("0.025", 25_000),
    ("0.05", 50_000),
    ("0.1", 100_000),
    ("0.5", 500_000),
    ("2.5", 2_500_000),
    ("10.0", 10_000_000),
];

/// The format that the request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    OpenMetrics,
}

impl Format {
    /// Returns the `Content-Type` of the response.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Histogram of the answer times of commands since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnswerHistogram {
    /// Answers per bucket, not cumulative. Those above the last bound are counted in `count` only.
    pub buckets: [u64; BUCKETS.len()],
    pub count: u64,
    pub sum: Duration,
}

/// Figures of the process, which only the shell can measure. `None`: unknown.
#[derive(Clone, Debug, Default)]
pub struct ProcessFigures {
    pub resident_bytes: Option<u64>,
    pub descriptors: Option<usize>,
    pub cpu: Option<Duration>,
    /// Start time in Unix seconds.
    pub started: Option<i64>,
    /// Whether the Bot API answered the last request and accepts the token.
    pub telegram_up: Option<bool>,
    pub answers: AnswerHistogram,
}

/// Figures of the agent that the core knows.
#[derive(Clone, Debug)]
pub struct AgentFigures {
    pub uplink_up: bool,
    pub alerts_waiting: usize,
    pub rounds_late: u64,
}

/// Figures of one site.
#[derive(Clone, Debug)]
pub struct SiteFigures {
    pub site: Arc<Site>,
    pub state: State,
    pub took: Option<Duration>,
    pub phases: Option<Phases>,
    /// Counts in the order of [`CheckResult::ALL`].
    pub results: [u64; 3],
    /// End of its certificate in Unix seconds.
    pub certificate_ends: Option<i64>,
    pub incident_open: bool,
}

/// All figures at one moment.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub sites: Vec<SiteFigures>,
    pub agent: AgentFigures,
    pub process: ProcessFigures,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gauge,
    Counter,
    Histogram,
}

/// The subject of a family: each site, or the agent.
#[derive(Clone, Copy)]
enum Series {
    Site(fn(&SiteFigures, &mut Lines)),
    Agent(fn(&Metrics, &mut Lines)),
}

struct Family {
    /// The name in samples, with `_total` for a counter.
    name: &'static str,
    kind: Kind,
    help: &'static str,
    series: Series,
}

/// All families, in the order of the output. docs/metrics.md has the same table.
#[rustfmt::skip]
const FAMILIES: &[Family] = &[
    site("sitemon_site_up", Kind::Gauge, "1: the site answers, be it degraded; 0: it is down. Without a series while it is not judged.", |site, lines| {
        match site.state {
            State::Up | State::Degraded => lines.sample(None, micros(1)),
            State::Down => lines.sample(None, 0),
            State::Unknown | State::Unreachable | State::Offline | State::Paused => {}
        }
    }),
    site("sitemon_site_state", Kind::Gauge, "1 for the state that the site is in, 0 for the others.", |site, lines| {
        for state in State::ALL {
            lines.sample(Some(("state", state.word())), micros(u64::from(state == site.state)));
        }
    }),
    site("sitemon_incident_open", Kind::Gauge, "1: the site has an open incident.", |site, lines| {
        lines.sample(None, micros(u64::from(site.incident_open)));
    }),
    site("sitemon_check_duration_seconds", Kind::Gauge, "How long the last check took; without a series if it got no answer.", |site, lines| {
        if let Some(took) = site.took {
            lines.sample(None, time(took));
        }
    }),
    site("sitemon_check_phase_seconds", Kind::Gauge, "How long each phase of the last check took, where that is known.", |site, lines| {
        let Some(Phases { dns, connect, tls, first_byte, total, .. }) = site.phases else {
            return;
        };
        let transfer = total.saturating_sub(dns + connect + tls + first_byte);
        let phases = [("dns", dns), ("connect", connect), ("tls", tls), ("first_byte", first_byte), ("transfer", transfer)];
        for (phase, took) in phases {
            lines.sample(Some(("phase", phase)), time(took));
        }
    }),
    site("sitemon_checks_total", Kind::Counter, "Checks that ended; excused: failed, and did not count.", |site, lines| {
        for (result, count) in CheckResult::ALL.into_iter().zip(site.results) {
            lines.sample(Some(("result", result.word())), micros(count));
        }
    }),
    site("sitemon_certificate_not_after_timestamp_seconds", Kind::Gauge, "When the first certificate of the site's chain ends.", |site, lines| {
        if let Some(ends) = site.certificate_ends {
            lines.sample(None, micros(u64::try_from(ends).unwrap_or(0)));
        }
    }),
    agent("sitemon_uplink_up", Kind::Gauge, "0: our own connection has a fault: line, DNS, IPv6, proxy or captive portal.", |all, lines| {
        lines.sample(None, micros(u64::from(all.agent.uplink_up)));
    }),
    agent("sitemon_telegram_up", Kind::Gauge, "1: Telegram answered the last request and takes the token.", |all, lines| {
        if let Some(up) = all.process.telegram_up {
            lines.sample(None, micros(u64::from(up)));
        }
    }),
    agent("sitemon_alerts_waiting", Kind::Gauge, "Alerts that are not delivered yet.", |all, lines| {
        lines.sample(None, micros(all.agent.alerts_waiting as u64));
    }),
    agent("sitemon_command_answer_seconds", Kind::Histogram, "From the arrival of a command to the request that answers it.", |all, lines| {
        lines.histogram(&all.process.answers);
    }),
    agent("sitemon_rounds_late_total", Kind::Counter, "Rounds that came late: turns that passed while a check waited for a permit or was under way.", |all, lines| {
        lines.sample(None, micros(all.agent.rounds_late));
    }),
    agent("sitemon_build_info", Kind::Gauge, "The version that runs.", |_, lines| {
        lines.sample(Some(("version", env!("CARGO_PKG_VERSION"))), micros(1));
    }),
    agent("process_cpu_seconds_total", Kind::Counter, "Processor time, user and system.", |all, lines| {
        if let Some(cpu) = all.process.cpu {
            lines.sample(None, time(cpu));
        }
    }),
    agent("process_open_fds", Kind::Gauge, "Open file descriptors.", |all, lines| {
        if let Some(count) = all.process.descriptors {
            lines.sample(None, micros(count as u64));
        }
    }),
    agent("process_resident_memory_bytes", Kind::Gauge, "Resident memory.", |all, lines| {
        if let Some(bytes) = all.process.resident_bytes {
            lines.sample(None, micros(bytes));
        }
    }),
    agent("process_start_time_seconds", Kind::Gauge, "When the process was started.", |all, lines| {
        if let Some(started) = all.process.started {
            lines.sample(None, micros(u64::try_from(started).unwrap_or(0)));
        }
    }),
];

const fn site(
    name: &'static str,
    kind: Kind,
    help: &'static str,
    series: fn(&SiteFigures, &mut Lines),
) -> Family {
    let series = Series::Site(series);
    Family {
        name,
        kind,
        help,
        series,
    }
}

const fn agent(
    name: &'static str,
    kind: Kind,
    help: &'static str,
    series: fn(&Metrics, &mut Lines),
) -> Family {
    let series = Series::Agent(series);
    Family {
        name,
        kind,
        help,
        series,
    }
}

/// Converts a whole number to millionths, the unit of values.
fn micros(whole: u64) -> u64 {
    whole.saturating_mul(1_000_000)
}

fn time(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Lines of samples of one family.
struct Lines {
    text: String,
    name: &'static str,
    /// Labels of the site, escaped, e.g. `site="blog",group="web"`; empty for the agent.
    labels: String,
}

impl Lines {
    /// Writes a sample, optionally with one more label. `value` is in millionths.
    fn sample(&mut self, label: Option<(&str, &str)>, value: u64) {
        self.line("", label, value);
    }

    fn line(&mut self, suffix: &str, label: Option<(&str, &str)>, value: u64) {
        let text = &mut self.text;
        text.push_str(self.name);
        text.push_str(suffix);
        if label.is_some() || !self.labels.is_empty() {
            text.push('{');
            text.push_str(&self.labels);
            if let Some((name, value)) = label {
                if !self.labels.is_empty() {
                    text.push(',');
                }
                push_label(text, name, value);
            }
            text.push('}');
        }
        let (whole, rest) = (value / 1_000_000, value % 1_000_000);
        // Writing to a String cannot fail.
        let _ = write!(text, " {whole}");
        if rest > 0 {
            let _ = write!(text, ".{rest:06}");
        }
        text.push('\n');
    }

    fn histogram(&mut self, answers: &AnswerHistogram) {
        let mut below = 0;
        for ((bound, _), count) in BUCKETS.iter().zip(answers.buckets) {
            below += count;
            self.line("_bucket", Some(("le", bound)), micros(below));
        }
        self.line("_bucket", Some(("le", "+Inf")), micros(answers.count));
        self.line("_sum", None, time(answers.sum));
        self.line("_count", None, micros(answers.count));
    }

    /// Writes `# HELP`, `# TYPE` and, in OpenMetrics, `# UNIT`. OpenMetrics names a counter's
    /// family without `_total`.
    fn head(&mut self, family: &Family, format: Format) {
        let open = format == Format::OpenMetrics;
        let name = match open {
            true => family.name.trim_end_matches("_total"),
            false => family.name,
        };
        let kind = match family.kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
        };
        let text = &mut self.text;
        for (what, words) in [("HELP", family.help), ("TYPE", kind)] {
            for part in ["# ", what, " ", name, " ", words, "\n"] {
                text.push_str(part);
            }
        }
        let unit = ["seconds", "bytes"].into_iter().find(|u| name.ends_with(u));
        if let Some(unit) = unit.filter(|_| open) {
            for part in ["# UNIT ", name, " ", unit, "\n"] {
                text.push_str(part);
            }
        }
    }
}

/// Writes `name="value"`, with backslashes, quotes and line feeds escaped as both formats require.
fn push_label(text: &mut String, name: &str, value: &str) {
    text.push_str(name);
    text.push_str("=\"");
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
    text.push('"');
}

/// Writes [`Metrics`] part by part.
#[derive(Debug)]
pub struct MetricsText {
    metrics: Metrics,
    format: Format,
    /// Indices of the next family, and of the next site in it.
    family: usize,
    site: usize,
}

impl MetricsText {
    pub fn new(metrics: Metrics, format: Format) -> MetricsText {
        MetricsText {
            metrics,
            format,
            family: 0,
            site: 0,
        }
    }
}

impl Iterator for MetricsText {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        if self.family > FAMILIES.len() {
            return None;
        }
        let mut lines = Lines {
            text: String::new(),
            name: "",
            labels: String::new(),
        };
        while let Some(family) = FAMILIES.get(self.family) {
            if self.site == 0 {
                lines.head(family, self.format);
            }
            lines.name = family.name;
            match family.series {
                Series::Agent(write) => write(&self.metrics, &mut lines),
                Series::Site(write) => {
                    while let Some(figures) = self.metrics.sites.get(self.site) {
                        self.site += 1;
                        lines.labels.clear();
                        push_label(&mut lines.labels, "site", &figures.site.name);
                        if let Some(group) = &figures.site.group {
                            lines.labels.push(',');
                            push_label(&mut lines.labels, "group", group);
                        }
                        write(figures, &mut lines);
                        if lines.text.len() >= PART {
                            return Some(lines.text);
                        }
                    }
                    lines.labels.clear();
                }
            }
            self.family += 1;
            self.site = 0;
        }
        self.family += 1;
        if self.format == Format::OpenMetrics {
            lines.text.push_str("# EOF\n");
        }
        Some(lines.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::tests::builders::site as site_named;

    fn figures(name: &str, group: Option<&str>, state: State) -> SiteFigures {
        let mut site = site_named(name);
        site.group = group.map(str::to_owned);
        SiteFigures {
            site: Arc::new(site),
            state,
            took: None,
            phases: None,
            results: [0; 3],
            certificate_ends: None,
            incident_open: false,
        }
    }

    fn metrics(sites: Vec<SiteFigures>) -> Metrics {
        Metrics {
            sites,
            agent: AgentFigures {
                uplink_up: true,
                alerts_waiting: 2,
                rounds_late: 7,
            },
            process: ProcessFigures::default(),
        }
    }

    fn text(metrics: Metrics, format: Format) -> String {
        MetricsText::new(metrics, format).collect()
    }

    fn full() -> Metrics {
        let blog = SiteFigures {
            took: Some(Duration::from_micros(42_500)),
            phases: Some(Phases {
                dns: Duration::from_millis(1),
                connect: Duration::from_millis(2),
                tls: Duration::ZERO,
                first_byte: Duration::from_millis(30),
                total: Duration::from_micros(42_500),
                reused: false,
            }),
            results: [10, 2, 1],
            certificate_ends: Some(1_800_000_000),
            ..figures("blog", Some("web"), State::Degraded)
        };
        let shop = SiteFigures {
            incident_open: true,
            ..figures("a \"b\" \\ c", None, State::Down)
        };
        let mut answers = AnswerHistogram {
            count: 4,
            sum: Duration::from_micros(12_003_500),
            ..AnswerHistogram::default()
        };
        (answers.buckets[0], answers.buckets[2]) = (2, 1);
        Metrics {
            process: ProcessFigures {
                resident_bytes: Some(4_096_000),
                descriptors: Some(14),
                cpu: Some(Duration::from_micros(1_234_567)),
                started: Some(1_790_000_000),
                telegram_up: Some(false),
                answers,
            },
            ..metrics(vec![blog, shop])
        }
    }

    #[test]
    fn open_metrics_has_families_units_and_an_end() {
        let text = text(full(), Format::OpenMetrics);
        let wanted = r#"# HELP sitemon_site_up 1: the site answers, be it degraded; 0: it is down. Without a series while it is not judged.
# TYPE sitemon_site_up gauge
sitemon_site_up{site="blog",group="web"} 1
sitemon_site_up{site="a \"b\" \\ c"} 0
# HELP sitemon_site_state 1 for the state that the site is in, 0 for the others.
# TYPE sitemon_site_state gauge
sitemon_site_state{site="blog",group="web",state="unknown"} 0
sitemon_site_state{site="blog",group="web",state="up"} 0
sitemon_site_state{site="blog",group="web",state="degraded"} 1
sitemon_site_state{site="blog",group="web",state="down"} 0
"#;
        assert!(text.starts_with(wanted), "{text}");
        for part in [
            "sitemon_incident_open{site=\"blog\",group=\"web\"} 0\nsitemon_incident_open{site=\"a \\\"b\\\" \\\\ c\"} 1\n",
            "# TYPE sitemon_check_duration_seconds gauge\n# UNIT sitemon_check_duration_seconds seconds\n\
             sitemon_check_duration_seconds{site=\"blog\",group=\"web\"} 0.042500\n# ",
            "sitemon_check_phase_seconds{site=\"blog\",group=\"web\",phase=\"tls\"} 0\n",
            "sitemon_check_phase_seconds{site=\"blog\",group=\"web\",phase=\"transfer\"} 0.009500\n# ",
            "# TYPE sitemon_checks counter\nsitemon_checks_total{site=\"blog\",group=\"web\",result=\"success\"} 10\n",
            "sitemon_checks_total{site=\"blog\",group=\"web\",result=\"excused\"} 1\n",
            "\nsitemon_certificate_not_after_timestamp_seconds{site=\"blog\",group=\"web\"} 1800000000\n# ",
            "\nsitemon_uplink_up 1\n",
            "\nsitemon_telegram_up 0\n",
            "\nsitemon_alerts_waiting 2\n",
            "# UNIT sitemon_command_answer_seconds seconds\n\
             sitemon_command_answer_seconds_bucket{le=\"0.001\"} 2\n\
             sitemon_command_answer_seconds_bucket{le=\"0.0025\"} 2\n\
             sitemon_command_answer_seconds_bucket{le=\"0.005\"} 3\n",
            "{le=\"10.0\"} 3\nsitemon_command_answer_seconds_bucket{le=\"+Inf\"} 4\n\
             sitemon_command_answer_seconds_sum 12.003500\nsitemon_command_answer_seconds_count 4\n",
            "# TYPE sitemon_rounds_late counter\nsitemon_rounds_late_total 7\n",
            "# TYPE process_cpu_seconds counter\n# UNIT process_cpu_seconds seconds\n\
             process_cpu_seconds_total 1.234567\n",
            "# UNIT process_resident_memory_bytes bytes\nprocess_resident_memory_bytes 4096000\n",
            "\nprocess_open_fds 14\n",
            "\nprocess_start_time_seconds 1790000000\n# EOF\n",
        ] {
            assert!(text.contains(part), "{part}\nis not in\n{text}");
        }
        assert!(text.ends_with("\n# EOF\n") && !text.contains("\n\n"));
    }

    #[test]
    fn the_older_format_names_counters_as_their_samples_and_has_no_units() {
        let text = text(full(), Format::Text);
        assert!(text.contains("\n# TYPE sitemon_checks_total counter\n"));
        assert!(!text.contains("# UNIT") && !text.contains("# EOF"));
        let open = self::text(full(), Format::OpenMetrics);
        let samples = |text: &str| -> Vec<String> {
            let samples = text.lines().filter(|line| !line.starts_with('#'));
            samples.map(str::to_owned).collect()
        };
        assert_eq!(samples(&text), samples(&open));
    }

    #[test]
    fn a_site_that_is_not_judged_is_neither_up_nor_down() {
        for state in State::ALL {
            let text = text(metrics(vec![figures("a", None, state)]), Format::Text);
            let up = text
                .lines()
                .find_map(|l| l.strip_prefix("sitemon_site_up{site=\"a\"} "));
            let wanted = match state {
                State::Up | State::Degraded => Some("1"),
                State::Down => Some("0"),
                _ => None,
            };
            assert_eq!(up, wanted, "{state}");
            let is = format!("sitemon_site_state{{site=\"a\",state=\"{state}\"}} 1\n");
            assert!(text.contains(&is));
            assert_eq!(text.matches("sitemon_site_state{").count(), 7);
            assert_eq!(
                text.matches("state=\"down\"} 1").count(),
                usize::from(state == State::Down)
            );
        }
    }

    #[test]
    fn many_sites_come_in_parts_that_are_the_same_text() {
        let sites: Vec<SiteFigures> = (0..2000)
            .map(|n| figures(&format!("s{n}"), Some("g"), State::Up))
            .collect();
        let parts: Vec<String> = MetricsText::new(metrics(sites), Format::OpenMetrics).collect();
        assert!(parts.len() > 20);
        assert!(parts.iter().all(|part| (1..2 * PART).contains(&part.len())));
        let whole = parts.concat();
        assert_eq!(whole.matches("# TYPE ").count(), FAMILIES.len());
        let ups = whole.matches("\nsitemon_site_up{").count();
        assert_eq!(ups, 2000);
        let mut seen = std::collections::HashSet::new();
        for line in whole.lines().filter(|line| !line.starts_with('#')) {
            let series = line.rsplit_once(' ').expect("a value").0;
            assert!(seen.insert(series), "{series} twice");
        }
    }

    #[test]
    fn labels_keep_what_is_in_them_and_escape_what_ends_them() {
        let mut text = String::new();
        push_label(&mut text, "site", "ä\\n\"x\"\n{},");
        assert_eq!(text, "site=\"ä\\\\n\\\"x\\\"\\n{},\"");
    }

    /// Compares the families with the table of docs/metrics.md.
    #[test]
    fn the_documentation_has_every_family() {
        let written = include_str!("../../../docs/metrics.md");
        for family in FAMILIES {
            let kind = match family.kind {
                Kind::Gauge => "gauge",
                Kind::Counter => "counter",
                Kind::Histogram => "histogram",
            };
            let row = format!("| `{}` | {kind} |", family.name);
            assert!(written.contains(&row), "{row} is not in docs/metrics.md");
        }
        let rows = written.matches("\n| `").count();
        assert_eq!(rows, FAMILIES.len());
    }
}
