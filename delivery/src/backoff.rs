//! How long to wait before the next attempt.

use rand::Rng;
use std::time::Duration;

/// Exponential backoff with full jitter: before attempt *n* a random time up to
/// `min(max, base · 2ⁿ)`, so that many that failed together don't come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first bound.
    pub base: Duration,
    /// The largest bound.
    pub max: Duration,
}

impl Backoff {
    /// The bound after `failures` failures in a row.
    pub fn bound(self, failures: u32) -> Duration {
        let factor = 2u32.saturating_pow(failures.saturating_sub(1).min(31));
        self.base.saturating_mul(factor).min(self.max)
    }

    /// A random time between a tenth of the bound and the bound: never so short that
    /// a peer that is down is asked in a tight loop.
    pub fn delay(self, failures: u32) -> Duration {
        self.bound(failures).mul_f64(rand::rng().random_range(0.1..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::Backoff;
    use std::time::Duration;

    #[test]
    fn the_bound_doubles_up_to_its_maximum_and_never_overflows() {
        let backoff = Backoff { base: Duration::from_secs(1), max: Duration::from_secs(60) };
        let bounds: Vec<u64> = [1, 2, 3, 7, u32::MAX].map(|n| backoff.bound(n).as_secs()).into();
        assert_eq!(bounds, [1, 2, 4, 60, 60]);
        for failures in 1..100 {
            let delay = backoff.delay(failures);
            let bound = backoff.bound(failures);
            assert!(delay <= bound && delay >= bound / 11, "{failures}: {delay:?} of {bound:?}");
        }
    }
}
