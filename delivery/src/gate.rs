//! Holds a whole target back while its peer wants nothing from it.

use model::Backoff;
use std::time::Duration;
use tokio::{
    sync::{Mutex, MutexGuard},
    time::Instant,
};

/// While it is shut, one delivery at a time probes the peer, after the time that the last
/// refusal set; the others wait in line. The first success opens it for all.
#[derive(Debug)]
pub struct Gate {
    probe: Mutex<()>,
    state: std::sync::Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    /// When the next probe may go; open without one.
    until: Option<Instant>,
    hold: Backoff,
}

/// The right to make one attempt.
pub struct Pass<'a> {
    alone: Option<MutexGuard<'a, ()>>,
}

impl Gate {
    /// Open; `hold` says how long it is shut where the peer does not.
    pub fn new(hold: Backoff) -> Self {
        Self { probe: Mutex::default(), state: std::sync::Mutex::new(State { until: None, hold }) }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn until(&self) -> Option<Instant> {
        self.state().until
    }

    /// Waits until an attempt may be made.
    pub async fn pass(&self) -> Pass<'_> {
        if self.until().is_none() {
            return Pass { alone: None };
        }
        let alone = self.probe.lock().await;
        match self.until() {
            None => Pass { alone: None },
            Some(until) => {
                tokio::time::sleep_until(until).await;
                Pass { alone: Some(alone) }
            }
        }
    }

    /// Whether a pass that was given still holds.
    pub fn admits(&self, pass: &Pass<'_>) -> bool {
        pass.alone.is_some() || self.until().is_none()
    }

    /// Shuts it for as long as the peer asked, or for the next hold; says how long that is.
    pub fn shut(&self, asked: Option<Duration>) -> Duration {
        let mut state = self.state();
        let hold = state.hold.next_wait();
        let wait = asked.unwrap_or(hold);
        state.until = Some(Instant::now() + wait);
        wait
    }

    /// Opens it.
    pub fn open(&self) {
        let mut state = self.state();
        state.until = None;
        state.hold.reset();
    }
}
