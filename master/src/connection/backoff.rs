//! How long to wait before trying again: exponential with full jitter.

use std::time::Duration;

/// The longest wait of the first try, and of any.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// Counts failed tries.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    tries: u32,
}

impl Backoff {
    /// After a success.
    pub(super) fn reset(&mut self) {
        self.tries = 0;
    }

    /// The bound of the next wait.
    fn bound(&self) -> Duration {
        FIRST.saturating_mul(1 << self.tries.min(6)).min(LONGEST)
    }

    /// The next wait: anything up to the bound, so that many clients don't come at once.
    pub(super) fn next(&mut self) -> Duration {
        let bound = self.bound();
        self.tries = self.tries.saturating_add(1);
        bound.mul_f64(rand::random_range(0.1..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::{Backoff, LONGEST};
    use std::time::Duration;

    #[test]
    fn waits_grow_to_a_minute_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::default();
        let bounds: Vec<u64> = (0..8)
            .map(|_| {
                let bound = backoff.bound();
                assert!(backoff.next() <= bound);
                bound.as_secs()
            })
            .collect();
        assert_eq!(bounds, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff.bound(), LONGEST);
        backoff.reset();
        assert_eq!(backoff.bound(), Duration::from_secs(1));
    }
}
