//! Encodes response times in one byte: a logarithmic scale from 0.1 ms to 15 minutes.

use std::time::Duration;

/// Steps of the scale per doubling. One step is 6.5 %, so the error is at most 3.3 %.
const STEPS_PER_DOUBLING: f64 = 11.0;

/// Returns the code of a response time, from 1 on; 0 stands for none.
pub fn code(took: Duration) -> u8 {
    let tenths = took.as_secs_f64() * 10_000.0;
    let step = tenths.max(1.0).log2() * STEPS_PER_DOUBLING;
    // Casts from float saturate, and round down.
    ((step + 0.5) as u8).saturating_add(1)
}

/// Returns the response time of a code; `None` for 0.
pub fn took(code: u8) -> Option<Duration> {
    let step = f64::from(code.checked_sub(1)?);
    Some(Duration::from_secs_f64(
        (step / STEPS_PER_DOUBLING).exp2() / 10_000.0,
    ))
}

/// Returns median and 95th percentile of codes (nearest rank), ignoring zeros; 0 if there is
/// nothing else.
pub fn percentiles(codes: impl Iterator<Item = u8>) -> (u8, u8) {
    let mut counts = [0u32; 256];
    codes.for_each(|code| counts[usize::from(code)] += 1);
    counts[0] = 0;
    let total: u32 = counts.iter().sum();
    let rank = |percent: u32| {
        let wanted = (total * percent).div_ceil(100);
        let mut seen = 0;
        let mut reached = (0..=u8::MAX).zip(counts).filter(|(_, count)| {
            seen += count;
            seen >= wanted
        });
        reached.next().map_or(0, |(code, _)| code)
    };
    if total == 0 {
        return (0, 0);
    }
    (rank(50), rank(95))
}

/// Returns the median of codes with a resolution finer than the scale, assuming that the values of
/// each code are spread evenly over its step. Returns `None` if all codes are 0.
pub fn median(mut codes: Vec<u8>) -> Option<Duration> {
    codes.retain(|code| *code > 0);
    codes.sort_unstable();
    let middle = codes[codes.len().checked_sub(1)? / 2];
    let below = codes.partition_point(|code| *code < middle);
    let same = codes.partition_point(|code| *code <= middle) - below;
    let share = (codes.len() as f64 / 2.0 - below as f64) / same as f64;
    let step = f64::from(middle) - 1.5 + share;
    Some(Duration::from_secs_f64(
        (step / STEPS_PER_DOUBLING).exp2() / 10_000.0,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_time_comes_back_within_four_percent() {
        let mut millis = 0.1;
        while millis < 300_000.0 {
            let duration = Duration::from_secs_f64(millis / 1000.0);
            let back = took(code(duration)).expect("a time").as_secs_f64() * 1000.0;
            assert!((back / millis - 1.0).abs() < 0.04, "{millis} became {back}");
            millis *= 1.01;
        }
    }

    #[test]
    fn no_time_at_all_and_an_endless_one_stay_on_the_scale() {
        assert_eq!(code(Duration::ZERO), 1);
        assert_eq!(code(Duration::MAX), 255);
        assert_eq!(took(0), None);
    }

    #[test]
    fn the_median_of_many_is_finer_than_the_scale() {
        let times = |from: f64| (0..60).map(move |i| from * (0.97 + 0.001 * f64::from(i)));
        let mut before = 0.0;
        for from in [40.0, 40.5, 41.0, 41.5, 42.0, 42.5, 43.0] {
            let codes = times(from).map(|millis| code(Duration::from_secs_f64(millis / 1000.0)));
            let median = median(codes.collect()).expect("a time").as_secs_f64() * 1000.0;
            assert!((median / from - 1.0).abs() < 0.02, "{from} became {median}");
            assert!(median > before, "{from}");
            before = median;
        }
        assert_eq!(median(vec![0, 0]), None);
        assert_eq!(median(vec![0, 42]), took(42));
        assert_eq!(median(vec![42; 9]), took(42));
        let [low, high] = [median(vec![40, 90]), median(vec![40, 90, 90])];
        assert!(low < took(41) && high > took(89), "{low:?} {high:?}");
    }

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        assert_eq!(percentiles([0, 0].into_iter()), (0, 0));
        assert_eq!(percentiles([7].into_iter()), (7, 7));
        assert_eq!(percentiles(1..=100), (50, 95));
        assert_eq!(percentiles([9, 0, 3].into_iter()), (3, 9));
    }
}
