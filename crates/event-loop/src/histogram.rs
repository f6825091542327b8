//! Durations in a few fixed buckets.

use std::time::Duration;

/// The number of buckets that have a bound.
const BUCKETS: usize = 15;

/// The bounds of the buckets in nanoseconds.
const BOUNDS: [u64; BUCKETS] = [
    100_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// A histogram of durations, in buckets with fixed bounds from 0.1 ms to 10 s.
///
/// All histograms have the same bounds, so that the histograms of several loops can be added. Counts only grow.
///
/// # Examples
/// In the text format of Prometheus:
/// ```
/// use std::time::Duration;
/// use uptick_event_loop::Histogram;
///
/// let mut times = Histogram::new();
/// times.observe(Duration::from_millis(3));
/// for (bound, count) in times.cumulative() {
///     println!("time_seconds_bucket{{le=\"{bound}\"}} {count}");
/// }
/// println!("time_seconds_bucket{{le=\"+Inf\"}} {}", times.count());
/// println!("time_seconds_sum {}", times.sum().as_secs_f64());
/// println!("time_seconds_count {}", times.count());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// The number of durations in each bucket: up to its bound, and above the previous one. The last bucket has no bound.
    counts: [u64; BUCKETS + 1],
    /// The sum of the durations in nanoseconds.
    sum: u64,
}

impl Histogram {
    /// Creates an empty histogram.
    pub const fn new() -> Self {
        Histogram {
            counts: [0; BUCKETS + 1],
            sum: 0,
        }
    }

    /// Creates a histogram from the [`counts`](Histogram::counts) and the [`sum`](Histogram::sum) of another one, such as one of
    /// another process. Missing counts are zero, and surplus counts are ignored.
    pub fn from_parts(counts: &[u64], sum: Duration) -> Self {
        let mut histogram = Histogram::new();
        for (count, from) in histogram.counts.iter_mut().zip(counts) {
            *count = *from;
        }
        histogram.sum = u64::try_from(sum.as_nanos()).unwrap_or(u64::MAX);
        histogram
    }

    /// Adds a duration.
    pub fn observe(&mut self, time: Duration) {
        self.observe_nanoseconds(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    #[inline]
    pub(crate) fn observe_nanoseconds(&mut self, time: u64) {
        self.sum = self.sum.saturating_add(time);
        if time <= BOUNDS[0] {
            self.counts[0] += 1;
        } else {
            self.observe_long(time);
        }
    }

    fn observe_long(&mut self, time: u64) {
        let bucket = BOUNDS.iter().position(|bound| time <= *bound);
        self.counts[bucket.unwrap_or(BUCKETS)] += 1;
    }

    /// Adds the durations of another histogram.
    pub fn add(&mut self, other: &Histogram) {
        for (count, other) in self.counts.iter_mut().zip(other.counts) {
            *count = count.saturating_add(other);
        }
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// Returns the upper bounds of the buckets in seconds. The last bucket has none.
    pub fn bounds() -> impl Iterator<Item = f64> {
        BOUNDS.into_iter().map(|bound| bound as f64 / 1e9)
    }

    /// Returns the number of durations in each bucket, the last one without a bound.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Returns each bound in seconds with the number of durations up to it.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let counts = self.counts.iter().scan(0, |sum: &mut u64, count| {
            *sum = sum.saturating_add(*count);
            Some(*sum)
        });
        Histogram::bounds().zip(counts)
    }

    /// Returns the number of durations.
    pub fn count(&self) -> u64 {
        self.counts.iter().copied().fold(0, u64::saturating_add)
    }

    /// Returns the sum of the durations, 584 years at most.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_duration_is_counted_at_its_bound_and_all_higher_ones() {
        let mut times = Histogram::new();
        for time in [
            Duration::ZERO,
            MS,
            MS + Duration::from_nanos(1),
            20_000 * MS,
        ] {
            times.observe(time);
        }
        let counts: Vec<_> = times.cumulative().collect();
        assert_eq!(counts.len(), BUCKETS);
        assert_eq!(counts[0], (0.0001, 1));
        assert_eq!((counts[2], counts[3]), ((0.001, 2), (0.0025, 3)));
        assert_eq!(counts[BUCKETS - 1], (10.0, 3));
        assert_eq!((times.count(), times.sum().as_millis()), (4, 20_002));
    }

    #[test]
    fn histograms_add_up_including_those_of_other_processes() {
        let mut times = Histogram::new();
        times.observe(3 * MS);
        let copy = Histogram::from_parts(times.counts(), times.sum());
        assert_eq!(copy, times);
        times.add(&copy);
        assert_eq!((times.count(), times.sum()), (2, 6 * MS));
        let longer = Histogram::from_parts(&[1; 99], Duration::MAX);
        assert_eq!(longer.count(), BUCKETS as u64 + 1);
        times.add(&longer);
        assert_eq!(times.sum(), Duration::from_nanos(u64::MAX));
    }
}
