//! How many requests of one token run at a time, streams included, and how many snapshots they keep.

use crate::http::api::{Code, Problem};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};
use tokio::sync::Semaphore;

/// Most requests of one token's consumer at a time.
const AT_ONCE: usize = 64;
/// Most snapshots of those that are in memory: each whole, until it is written.
const SNAPSHOTS: usize = 2;

type ByName = Arc<Mutex<HashMap<Arc<str>, Running>>>;

/// What runs, by name.
#[derive(Debug, Default)]
pub(super) struct Places {
    by_name: ByName,
}

/// What runs of one name.
#[derive(Debug)]
struct Running {
    requests: usize,
    snapshots: Arc<Semaphore>,
}

/// One request that runs.
#[derive(Debug)]
pub(super) struct Permit {
    by_name: ByName,
    name: Arc<str>,
    snapshots: Arc<Semaphore>,
}

impl Places {
    pub(super) fn enter(&self, name: &str) -> Result<Permit, Problem> {
        let mut by_name = self.by_name.lock().unwrap_or_else(|e| e.into_inner());
        let name = match by_name.get_key_value(name) {
            Some((name, _)) => Arc::clone(name),
            None => name.into(),
        };
        let none = || Running { requests: 0, snapshots: Arc::new(Semaphore::new(SNAPSHOTS)) };
        let running = by_name.entry(Arc::clone(&name)).or_insert_with(none);
        if running.requests >= AT_ONCE {
            let message = format!(
                "{AT_ONCE} requests with tokens of {name:?} run already: close some, or try later"
            );
            return Err(Problem::new(Code::TooMany, message));
        }
        running.requests += 1;
        let snapshots = Arc::clone(&running.snapshots);
        Ok(Permit { by_name: Arc::clone(&self.by_name), name, snapshots })
    }

    /// All that run.
    pub(super) fn count(&self) -> usize {
        let by_name = self.by_name.lock().unwrap_or_else(|e| e.into_inner());
        by_name.values().map(|running| running.requests).sum()
    }
}

impl Permit {
    /// Room for snapshots of this name.
    pub(super) fn snapshots(&self) -> &Arc<Semaphore> {
        &self.snapshots
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut by_name = self.by_name.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(running) = by_name.get_mut(&self.name) {
            running.requests -= 1;
            if running.requests == 0 {
                by_name.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::{AT_ONCE, Places};
    use crate::http::api::Code;

    #[test]
    fn one_token_has_so_many_requests_at_a_time_and_others_are_not_hindered() {
        let places = Places::default();
        let mut permits: Vec<_> = (0..AT_ONCE).map(|_| places.enter("a").unwrap()).collect();
        assert_eq!(places.enter("a").unwrap_err().code, Code::TooMany);
        drop(places.enter("b").unwrap());
        permits.pop();
        permits.push(places.enter("a").unwrap());
        drop(permits);
        assert!(places.by_name.lock().unwrap().is_empty(), "nothing stays of names that left");
    }
}
