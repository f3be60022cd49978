//! How long to wait before trying again.

use std::time::Duration;

/// Exponential backoff with full jitter, counted from the last success: the wait after failure
/// *n* in a row is random up to `min(max, base · 2ⁿ⁻¹)`, so that many that failed together don't
/// come back together.
///
/// ```
/// use model::Backoff;
/// use std::time::Duration;
///
/// let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
/// assert!(backoff.next_wait() <= Duration::from_secs(1));
/// assert!(backoff.next_wait() <= Duration::from_secs(2));
/// backoff.reset();
/// assert!(backoff.next_wait() <= Duration::from_secs(1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// No failure yet. The first wait is at most `base`, every wait at most `max`.
    pub const fn new(base: Duration, max: Duration) -> Self {
        Self { base, max, failures: 0 }
    }

    /// After a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The longest wait of all.
    pub fn max(&self) -> Duration {
        self.max
    }

    /// The bound of the next wait.
    pub fn bound(&self) -> Duration {
        let factor = 2u32.saturating_pow(self.failures.min(31));
        self.base.saturating_mul(factor).min(self.max)
    }

    /// Counts a failure. The wait after it is between a tenth of its bound and the bound: never
    /// so short that a peer that is down is asked in a tight loop.
    pub fn next_wait(&mut self) -> Duration {
        let bound = self.bound();
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(rand::random_range(0.1..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::Backoff;
    use std::time::Duration;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        let bounds: Vec<u64> = (0..8)
            .map(|_| {
                let bound = backoff.bound();
                let wait = backoff.next_wait();
                assert!(wait <= bound && wait >= bound / 11, "{wait:?} of {bound:?}");
                bound.as_secs()
            })
            .collect();
        assert_eq!(bounds, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff.failures(), 8);
        backoff.reset();
        assert_eq!(backoff.bound(), Duration::from_secs(1));
    }

    #[test]
    fn no_number_of_failures_overflows() {
        let longest = Duration::MAX / 2;
        let mut backoff = Backoff { base: longest, max: longest, failures: u32::MAX };
        assert!(backoff.next_wait() <= longest);
        assert_eq!(backoff.failures(), u32::MAX);
    }
}
