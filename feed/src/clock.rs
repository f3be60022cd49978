//! The time by which ages are told. The machine's own may leap by days, for half a minute or for good.

use crate::shared::now_ms;
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How far the machine's clock may be from where it should be and still be followed at once.
const TOLERANCE_MS: i64 = 10_000;
/// How long it has to stay where it leapt to until it is followed. Ages are told in days.
const STEADY: Duration = Duration::from_secs(3600);

/// A clock that goes on as before when the machine's leaps, and follows it once it has stayed there.
///
/// Which of the two is right is not known until then. So what is new takes the later time, and how old
/// it is by now is told by the earlier one: nothing is taken for older than it is.
#[derive(Debug)]
pub(crate) struct Clock {
    began: Instant,
    steady: Mutex<Steady>,
}

impl Clock {
    /// A clock for a journal whose newest record is of this time. The machine's may be wrong from the
    /// start, so the first hour after an outage counts from that record on.
    pub(crate) fn new(newest_ms: Option<i64>) -> Self {
        let steady = Steady::at(newest_ms.unwrap_or_else(now_ms));
        Self { began: Instant::now(), steady: Mutex::new(steady) }
    }

    /// The time for what happens now.
    pub(crate) fn stamp_ms(&self) -> i64 {
        let wall_ms = now_ms();
        self.look(wall_ms).max(wall_ms)
    }

    /// The time from which ages count back.
    pub(crate) fn age_ms(&self) -> i64 {
        let wall_ms = now_ms();
        self.look(wall_ms).min(wall_ms)
    }

    fn look(&self, wall_ms: i64) -> i64 {
        let mut steady = self.steady.lock().unwrap_or_else(PoisonError::into_inner);
        steady.look(wall_ms, self.began.elapsed())
    }
}

/// What the clock shows, and since when the machine's has been elsewhere. Pure.
#[derive(Debug)]
struct Steady {
    shown_ms: i64,
    /// When it was looked at, by a clock that never leaps.
    looked: Duration,
    /// By how much the machine's is ahead of that clock since it leapt, and when that was seen.
    leapt: Option<(i64, Duration)>,
}

impl Steady {
    fn at(shown_ms: i64) -> Self {
        Self { shown_ms, looked: Duration::ZERO, leapt: None }
    }

    fn look(&mut self, wall_ms: i64, now: Duration) -> i64 {
        let ahead = wall_ms.saturating_sub(millis(now));
        let passed = millis(now.saturating_sub(self.looked));
        let expected = self.shown_ms.saturating_add(passed);
        self.looked = now;
        if wall_ms.abs_diff(expected) <= TOLERANCE_MS.unsigned_abs() {
            self.leapt = None;
            self.shown_ms = wall_ms;
            return wall_ms;
        }
        let since = match self.leapt {
            Some((to, since)) if to.abs_diff(ahead) <= TOLERANCE_MS.unsigned_abs() => since,
            _ => now,
        };
        self.leapt = Some((ahead, since));
        self.shown_ms = expected;
        if now.saturating_sub(since) >= STEADY {
            self.leapt = None;
            self.shown_ms = wall_ms;
        }
        self.shown_ms
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Clock, Steady};
    use crate::shared::now_ms;
    use std::time::Duration;

    const DAY_MS: i64 = 24 * 3600 * 1000;

    /// What is shown every half minute, where the machine's clock is off by so much then.
    fn shown(off: impl IntoIterator<Item = i64>) -> Vec<i64> {
        let mut steady = Steady::at(0);
        let look = |(nth, off): (u64, i64)| {
            let now = Duration::from_secs(30 * nth);
            let real = 30_000 * i64::try_from(nth).unwrap_or(0);
            steady.look(real + off, now) - real
        };
        (1..).zip(off).map(look).collect()
    }

    #[test]
    fn a_leap_that_does_not_last_is_not_followed() {
        for leap in [30 * DAY_MS, -30 * DAY_MS, i64::MAX / 2] {
            assert_eq!(shown([0, leap, leap, 0, 0]), [0; 5]);
        }
        // Nor are many of them.
        assert!(shown((0..1000).map(|nth| nth % 3 * DAY_MS)).iter().all(|off| *off == 0));
    }

    #[test]
    fn a_leap_that_lasts_is_followed_after_an_hour() {
        let off = shown([DAY_MS; 130]);
        assert_eq!(off.iter().position(|off| *off == DAY_MS), Some(120));
        assert!(off[120..].iter().all(|off| *off == DAY_MS));
    }

    #[test]
    fn a_clock_that_is_slowly_put_right_is_followed_at_once() {
        let slow: Vec<i64> = (0..1000).map(|nth| nth * 9_000).collect();
        assert_eq!(shown(slow.clone()), slow);
    }

    #[test]
    fn after_an_outage_nothing_is_old_at_once_and_what_comes_is_new() {
        let outage = Clock::new(Some(now_ms() - 30 * DAY_MS));
        assert!(outage.age_ms() < now_ms() - 29 * DAY_MS);
        assert!(outage.stamp_ms() > now_ms() - 60_000);
        // One that was written while the clock was ahead.
        let ahead = Clock::new(Some(now_ms() + 30 * DAY_MS));
        assert!(ahead.age_ms() <= now_ms());
        assert!(ahead.stamp_ms() > now_ms() + 29 * DAY_MS);
    }
}
