//! Shares of time in which a site was up.

use super::{Bucket, DAY, DAYS, HOUR, HOURS, History, MINUTE, MINUTES, TICK, pace};
use std::time::Duration;

/// The periods of charts and percentages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    Hour,
    SixHours,
    Day,
    Week,
    Month,
    Quarter,
}

impl Span {
    pub const ALL: [Span; 6] = [
        Span::Hour,
        Span::SixHours,
        Span::Day,
        Span::Week,
        Span::Month,
        Span::Quarter,
    ];
    /// The spans with percentages.
    pub const UPTIME: [Span; 4] = [Span::Day, Span::Week, Span::Month, Span::Quarter];

    /// Returns the word in commands and in callback data.
    pub fn word(self) -> &'static str {
        match self {
            Span::Hour => "1h",
            Span::SixHours => "6h",
            Span::Day => "24h",
            Span::Week => "7d",
            Span::Month => "30d",
            Span::Quarter => "90d",
        }
    }

    pub fn from_word(word: &str) -> Option<Span> {
        let same = |span: &Span| span.word().eq_ignore_ascii_case(word);
        Span::ALL.into_iter().find(same)
    }

    /// Returns the title of a chart, e.g. `last 24 h`.
    pub fn title(self) -> &'static str {
        match self {
            Span::Hour => "last hour",
            Span::SixHours => "last 6 h",
            Span::Day => "last 24 h",
            Span::Week => "last 7 days",
            Span::Month => "last 30 days",
            Span::Quarter => "last 90 days",
        }
    }

    /// Returns the length of one part of the chart, in seconds.
    pub fn part(self) -> i64 {
        match self {
            Span::Hour => MINUTE,
            Span::SixHours => 5 * MINUTE,
            Span::Day => 10 * MINUTE,
            Span::Week => HOUR,
            Span::Month => DAY / 3,
            Span::Quarter => DAY,
        }
    }

    /// Returns begin, end and number of the parts of a chart at `now`; the last part still runs.
    pub fn parts(self, now: i64) -> (i64, i64, usize) {
        let part = self.part();
        let to = (now + part - 1).div_euclid(part) * part;
        let count = usize::try_from(self.seconds() / part).unwrap_or(1);
        (to - self.seconds(), to, count)
    }

    /// Like [`Span::parts`], for a history that begins at `first`: if it is shorter than the span,
    /// the chart covers only the history, in parts of the shortest span that covers it.
    pub fn parts_since(self, first: Option<i64>, now: i64) -> (i64, i64, usize) {
        /// Minimum number of parts of a chart.
        const LEAST: i64 = 12;
        let (from, to, count) = self.parts(now);
        let Some(first) = first.filter(|first| *first > from) else {
            return (from, to, count);
        };
        let enough = |span: &Span| span.seconds() >= now - first;
        let part = Span::ALL.into_iter().find(enough).unwrap_or(self).part();
        let to = (now + part - 1).div_euclid(part) * part;
        let parts = (to - first.div_euclid(part) * part) / part;
        let parts = parts.clamp(LEAST, self.seconds() / part);
        (to - parts * part, to, usize::try_from(parts).unwrap_or(1))
    }

    /// Returns the length of the span in seconds.
    pub fn seconds(self) -> i64 {
        match self {
            Span::Hour => HOUR,
            Span::SixHours => 6 * HOUR,
            Span::Day => DAY,
            Span::Week => 7 * DAY,
            Span::Month => 30 * DAY,
            Span::Quarter => 90 * DAY,
        }
    }
}

/// Division of a period into time up, down and unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    pub up: Duration,
    pub down: Duration,
    /// Paused, unreachable, offline, or sitemon did not run.
    pub unknown: Duration,
}

impl Share {
    pub fn watched(self) -> Duration {
        self.up + self.down
    }

    /// Returns the part up in hundredths of a percent, rounded, but 100 % and 0 % only if exact;
    /// `None` when nothing was watched.
    pub fn up_of_10000(self) -> Option<u32> {
        let (up, all) = (self.up.as_secs(), self.watched().as_secs());
        let rounded = (up * 10_000 + all / 2).checked_div(all)?;
        let least = u64::from(up > 0);
        let most = 10_000 - u64::from(up < all);
        u32::try_from(rounded.clamp(least, most)).ok()
    }

    /// Returns e.g. `99.95 %`.
    pub fn percent(self) -> Option<String> {
        let share = self.up_of_10000()?;
        Some(match share {
            10_000 => "100 %".to_owned(),
            share => format!("{}.{:02} %", share / 100, share % 100),
        })
    }
}

impl History {
    /// Returns the share of the last `span` until `now`.
    pub fn uptime(&self, span: Span, now: i64) -> Share {
        self.share(now - span.seconds(), now)
    }

    /// Returns when the site was first watched, as far as the history reaches: to the minute within
    /// the last day, to the hour within the last week, otherwise to the day.
    pub fn first_watched(&self, now: i64) -> Option<i64> {
        let watched = |(_, _, bucket): &(i64, i64, Bucket)| bucket.up + bucket.down > 0;
        let mut pieces = self.pieces(now - Span::Quarter.seconds(), now);
        pieces.find(watched).map(|(begin, _, _)| begin)
    }

    /// Returns the share from `from` to `to`, in Unix seconds: to the minute for the last day,
    /// before that to the hour, and more than a week ago to the day.
    pub fn share(&self, from: i64, to: i64) -> Share {
        let (mut up, mut down) = (0i64, 0i64);
        for (_, _, bucket) in self.pieces(from, to) {
            up += i64::from(bucket.up);
            down += i64::from(bucket.down);
        }
        let seconds = |ticks: i64| Duration::from_secs((ticks * TICK).unsigned_abs());
        let (up, down) = (seconds(up), seconds(down));
        let whole = Duration::from_secs((to - from).max(0).unsigned_abs());
        Share {
            up,
            down,
            unknown: whole.saturating_sub(up + down),
        }
    }

    /// Iterates over the finest kept buckets between `from` and `to`: begin, length, bucket.
    fn pieces(&self, from: i64, to: i64) -> impl Iterator<Item = (i64, i64, Bucket)> {
        let first = |unit: i64, at: i64| (at + unit - 1).div_euclid(unit);
        let kept = |unit: i64, count: usize| {
            let oldest = self.until.div_euclid(unit) - count as i64;
            oldest * unit
        };
        // Minutes begin at the start of an hour, and hours at that of a day, unless they reach back
        // to `from`.
        let minutes = first(HOUR, from.max(kept(MINUTE, MINUTES)));
        let fine = from >= kept(MINUTE, MINUTES);
        let minutes = if fine {
            from.div_euclid(MINUTE) * MINUTE
        } else {
            minutes * HOUR
        };
        let hours = if from >= kept(HOUR, HOURS) {
            first(HOUR, from) * HOUR
        } else {
            first(DAY, kept(HOUR, HOURS)) * DAY
        };
        let days = first(DAY, from.max(kept(DAY, DAYS)));
        let days = (days..hours.min(to).div_euclid(DAY)).map(|n| (n * DAY, DAY, self.day(n)));
        let hours = hours.div_euclid(HOUR)..minutes.min(to).div_euclid(HOUR);
        let hours = hours.map(|n| (n * HOUR, HOUR, self.hour(n)));
        let numbers = minutes.div_euclid(MINUTE)..first(MINUTE, to);
        let minutes = numbers
            .clone()
            .zip(self.minutes(numbers))
            .map(|(n, minute)| {
                let bucket = Bucket {
                    up: minute.up(),
                    down: minute.down(),
                    median: minute.took,
                    p95: minute.took,
                };
                (n * MINUTE, MINUTE, bucket)
            });
        days.chain(hours).chain(minutes)
    }

    /// Returns median and 95th percentile of the response times of the last `span`, computed from
    /// those of its minutes, hours and days.
    pub fn paces(&self, span: Span, now: i64) -> Option<(Duration, Duration)> {
        let pieces: Vec<Bucket> = self
            .pieces(now - span.seconds(), now)
            .map(|(_, _, bucket)| bucket)
            .collect();
        let (median, _) = pace::percentiles(pieces.iter().map(|b| b.median));
        let (_, p95) = pace::percentiles(pieces.iter().map(|b| b.p95));
        pace::took(median).zip(pace::took(p95))
    }

    /// Divides the time from `from` to `to` into `count` equal parts.
    pub fn parts(&self, from: i64, to: i64, count: usize) -> Vec<Part> {
        let mut parts = vec![Gathered::default(); count];
        let whole = (to - from).max(1);
        let parts_count = i64::try_from(count).unwrap_or(i64::MAX);
        let seconds = whole / parts_count.max(1);
        for (begin, length, bucket) in self.pieces(from, to) {
            // A long bucket is distributed over the parts it covers.
            let spread = (length / seconds.max(1)).max(1);
            for i in 0..spread {
                let at = begin + i * length / spread - from;
                let Ok(place) = usize::try_from((at.max(0) * parts_count).div_euclid(whole)) else {
                    continue;
                };
                if let Some(part) = parts.get_mut(place) {
                    part.take(bucket, spread);
                }
            }
        }
        (0..)
            .zip(parts)
            .map(|(i, part)| {
                let elapsed = (self.until - from - i * seconds).clamp(0, seconds);
                part.finish(seconds, elapsed)
            })
            .collect()
    }
}

/// One part of a chart.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Part {
    /// Share of its time, 0 to 1; what is missing to 1 is in the future.
    pub up: f32,
    pub down: f32,
    pub unknown: f32,
    /// Response times in ms.
    pub median: Option<f32>,
    pub p95: Option<f32>,
}

impl Part {
    /// Returns whether more than half of the response times exceed `slow` ms.
    pub fn is_slow(&self, slow: Option<f32>) -> bool {
        let over = |(slow, median)| median > slow;
        slow.zip(self.median).is_some_and(over)
    }

    /// Returns whether nothing of it was watched, and it is not all in the future.
    pub fn is_unwatched(&self) -> bool {
        self.up + self.down == 0.0 && self.unknown > 0.0
    }
}

#[derive(Clone, Default)]
struct Gathered {
    up: i64,
    down: i64,
    medians: Vec<u8>,
    tails: Vec<u8>,
}

impl Gathered {
    fn take(&mut self, bucket: Bucket, spread: i64) {
        self.up += i64::from(bucket.up) / spread;
        self.down += (i64::from(bucket.down) + spread - 1) / spread;
        self.medians.push(bucket.median);
        self.tails.push(bucket.p95);
    }

    /// Returns the part, which is `seconds` long, of which `elapsed` are over.
    fn finish(self, seconds: i64, elapsed: i64) -> Part {
        let millis = |code: u8| pace::took(code).map(|d| d.as_secs_f32() * 1000.0);
        let (_, p95) = pace::percentiles(self.tails.iter().copied());
        let share = |ticks: i64| ((ticks * TICK) as f32 / seconds.max(1) as f32).min(1.0);
        Part {
            up: share(self.up),
            down: share(self.down),
            unknown: share((elapsed / TICK - self.up - self.down).max(0)),
            median: pace::median(self.medians).map(|d| d.as_secs_f32() * 1000.0),
            p95: millis(p95),
        }
    }
}
