//! What a process waits for before it is ready.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What is waited for. Says nothing of peers: a dead SMTP server or master must not take the
/// pages away.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<Waits>>);

#[derive(Debug, Default)]
struct Waits {
    next: u64,
    open: BTreeMap<u64, String>,
}

/// A wait that ends when this is dropped.
#[derive(Debug)]
pub struct Waiting {
    of: Readiness,
    number: u64,
}

impl Readiness {
    /// Begins a wait; `until` says what ends it.
    pub fn wait(&self, until: impl Into<String>) -> Waiting {
        let mut waits = self.lock();
        let number = waits.next;
        waits.next += 1;
        waits.open.insert(number, until.into());
        drop(waits);
        Waiting { of: self.clone(), number }
    }

    /// What is waited for, the longest first; nothing when the process is ready.
    pub fn waits(&self) -> Vec<String> {
        self.lock().open.values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Waits> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.of.lock().open.remove(&self.number);
    }
}
