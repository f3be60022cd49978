//! Records of which a part is put off. They wait outside of the window, so that newer ones are
//! tried, and there is an end to how many do.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// For how long at least a record waits, however many do: what is put off all at once, as by logs that
/// can't be read for a while, is not given up for its number.
pub const AT_LEAST: Duration = Duration::from_secs(3600);

/// Those of a target.
#[derive(Debug)]
pub struct PutOff {
    most: usize,
    waiting: Mutex<Waiting>,
    more: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// The one that has waited longest first.
    line: VecDeque<u64>,
    last: u64,
}

/// A record among them, until it is dropped.
#[derive(Debug)]
pub struct Place<'a> {
    all: &'a PutOff,
    number: u64,
    since: Instant,
}

impl PutOff {
    /// Room for `most`.
    pub fn new(most: usize) -> Self {
        Self { most, waiting: Mutex::default(), more: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait, as far as there is room for them.
    pub fn count(&self) -> usize {
        self.lock().line.len().min(self.most)
    }

    /// Until one more waits.
    pub async fn more(&self) {
        self.more.notified().await;
    }

    /// Takes a place behind the others.
    pub fn enter(&self) -> Place<'_> {
        let mut waiting = self.lock();
        waiting.last += 1;
        let number = waiting.last;
        waiting.line.push_back(number);
        self.more.notify_one();
        Place { all: self, number, since: Instant::now() }
    }
}

impl Place<'_> {
    /// Whether there are too many, and this is one of those that have waited longest.
    pub fn gives_way(&self) -> bool {
        let waiting = self.all.lock();
        let excess = waiting.line.len().saturating_sub(self.all.most);
        waiting.line.iter().take(excess).any(|number| *number == self.number)
            && self.since.elapsed() >= AT_LEAST
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.all.lock().line.retain(|number| *number != self.number);
    }
}
