//! Holds a whole target back while its peer wants nothing from it.

use std::time::Duration;
use tokio::{
    sync::{Mutex, MutexGuard},
    time::Instant,
};

/// While it is shut, one delivery at a time probes the peer, after the time that the last
/// refusal set; the others wait in line. The first success opens it for all.
#[derive(Debug, Default)]
pub struct Gate {
    probe: Mutex<()>,
    shut: std::sync::Mutex<Option<Shut>>,
}

#[derive(Clone, Copy, Debug)]
struct Shut {
    until: Instant,
    failures: u32,
}

/// The right to make one attempt.
pub struct Pass<'a> {
    _alone: Option<MutexGuard<'a, ()>>,
}

impl Gate {
    fn state(&self) -> Option<Shut> {
        *self.shut.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn set(&self, shut: Option<Shut>) {
        *self.shut.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = shut;
    }

    /// Waits until an attempt may be made.
    pub async fn pass(&self) -> Pass<'_> {
        if self.state().is_none() {
            return Pass { _alone: None };
        }
        let alone = self.probe.lock().await;
        match self.state() {
            None => Pass { _alone: None },
            Some(shut) => {
                tokio::time::sleep_until(shut.until).await;
                Pass { _alone: Some(alone) }
            }
        }
    }

    /// Refusals in a row.
    pub fn failures(&self) -> u32 {
        self.state().map_or(0, |shut| shut.failures)
    }

    /// Shuts it for `delay`.
    pub fn shut(&self, delay: Duration) {
        let failures = self.failures().saturating_add(1);
        self.set(Some(Shut { until: Instant::now() + delay, failures }));
    }

    /// Opens it.
    pub fn open(&self) {
        self.set(None);
    }
}
