use std::time::Duration;

/// Bits of a value that are kept: values within a bucket differ by less than 1 in 128.
const PRECISION: u32 = 7;
const SUB_BUCKETS: usize = 1 << PRECISION;
/// Enough for any number of microseconds in 64 bits.
const BUCKETS: usize = SUB_BUCKETS * (65 - PRECISION as usize);

/// Durations counted in buckets whose width grows with the value, so that every quantile is right
/// to within one percent, from a microsecond to days.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    count: u64,
    sum_micros: u128,
    max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], count: 0, sum_micros: 0, max: Duration::ZERO }
    }
}

impl Histogram {
    /// Counts a duration.
    pub fn record(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.counts.get_mut(bucket_of(micros)) {
            *bucket += 1;
        }
        self.count += 1;
        self.sum_micros += u128::from(micros);
        self.max = self.max.max(duration);
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum_micros += other.sum_micros;
        self.max = self.max.max(other.max);
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The duration that this share (0 to 1) of all does not exceed; zero when nothing was counted.
    pub fn quantile(&self, share: f64) -> Duration {
        // Counts are far below 2^52, so nothing is lost.
        let rank = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_micros(highest_of(bucket)).min(self.max);
            }
        }
        self.max
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        self.max
    }

    /// The mean; zero when nothing was counted.
    pub fn mean(&self) -> Duration {
        let mean = self.sum_micros.checked_div(u128::from(self.count)).unwrap_or(0);
        Duration::from_micros(u64::try_from(mean).unwrap_or(u64::MAX))
    }
}

/// Values below two rows of sub-buckets have one each; above, each doubling has one row.
fn bucket_of(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(PRECISION + 1);
    // The shifted value is below 256.
    let kept = usize::try_from(value >> shift).unwrap_or(0);
    shift as usize * SUB_BUCKETS + kept
}

/// The largest value of a bucket.
fn highest_of(bucket: usize) -> u64 {
    if bucket < 2 * SUB_BUCKETS {
        return bucket as u64;
    }
    let shift = bucket / SUB_BUCKETS - 1;
    let kept = (bucket - shift * SUB_BUCKETS) as u128;
    u64::try_from(((kept + 1) << shift) - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_their_values_closely() {
        let values = (0..64).flat_map(|bit| {
            let power = 1_u64 << bit;
            [power - 1, power, power + 1, power.saturating_mul(3) / 2]
        });
        for value in values.chain([u64::MAX]) {
            let bucket = bucket_of(value);
            assert!(bucket < BUCKETS, "{value}");
            let highest = highest_of(bucket);
            assert!(highest >= value && highest - value <= value / 100, "{value} {highest}");
        }
        assert!((0..100_000).all(|value| bucket_of(value) <= bucket_of(value + 1)));
    }

    #[test]
    fn quantiles_are_those_of_the_values() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), Duration::ZERO);
        for millis in 1..=1000 {
            histogram.record(Duration::from_millis(millis));
        }
        let close = |share, millis: u64| {
            let found = histogram.quantile(share).as_micros();
            let wanted = u128::from(millis) * 1000;
            assert!(found >= wanted && found <= wanted * 101 / 100, "{share}: {found}");
        };
        close(0.5, 500);
        close(0.99, 990);
        close(0.999, 999);
        assert_eq!(histogram.quantile(1.0), Duration::from_secs(1));
        assert_eq!(histogram.mean(), Duration::from_micros(500_500));
        let mut twice = histogram.clone();
        twice.merge(&histogram);
        assert_eq!((twice.count(), twice.quantile(0.5)), (2000, histogram.quantile(0.5)));
    }
}
