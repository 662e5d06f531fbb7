//! Random numbers from a seed, and spans of time. All times of the simulation are in milliseconds.

/// splitmix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed ^ 0x9E37_79B9_7F4A_7C15)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Returns a number from `low` to `high`, both included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low + 1).max(1) as u64) as i64
    }

    /// Returns a number that is uniform in the logarithm: short times are as likely as long ones.
    pub fn scale(&mut self, low: i64, high: i64) -> i64 {
        let fraction = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        let (low, high) = ((low as f64).ln(), (high as f64).ln());
        (low + (high - low) * fraction).exp() as i64
    }

    pub fn chance(&mut self, percent: i64) -> bool {
        self.between(0, 99) < percent
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.between(0, from.len() as i64 - 1) as usize]
    }
}

/// A half-open span of time: `to` isn't in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub from: i64,
    pub to: i64,
}

impl Span {
    pub fn new(from: i64, to: i64) -> Span {
        Span { from, to }
    }

    pub fn has(&self, at: i64) -> bool {
        self.from <= at && at < self.to
    }

    pub fn meets(&self, other: Span) -> bool {
        self.from < other.to && other.from < self.to
    }

    pub fn wider(&self, before: i64, after: i64) -> Span {
        Span::new(self.from - before, self.to + after)
    }

    pub fn len(&self) -> i64 {
        (self.to - self.from).max(0)
    }
}

pub fn any_at(spans: &[Span], at: i64) -> bool {
    spans.iter().any(|s| s.has(at))
}

pub fn any_in(spans: &[Span], span: Span) -> bool {
    spans.iter().any(|s| s.meets(span))
}

/// Sorts the spans, and joins those that are at most `gap` apart.
pub fn joined(mut spans: Vec<Span>, gap: i64) -> Vec<Span> {
    spans.sort_by_key(|s| s.from);
    let mut out: Vec<Span> = Vec::new();
    for span in spans {
        match out.last_mut() {
            Some(last) if span.from <= last.to + gap => last.to = last.to.max(span.to),
            _ => out.push(span),
        }
    }
    out
}

/// Returns the parts of `span` that are not in `holes`.
pub fn without(span: Span, holes: Vec<Span>) -> Vec<Span> {
    let mut left = Vec::new();
    let mut from = span.from;
    for hole in joined(holes, 0) {
        if hole.from > from {
            left.push(Span::new(from, hole.from.min(span.to)));
        }
        from = from.max(hole.to);
        if from >= span.to {
            return left;
        }
    }
    left.push(Span::new(from, span.to));
    left
}
