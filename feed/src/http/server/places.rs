//! How many requests of one token run at a time, streams included.

use crate::http::api::{Code, Problem};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

/// Most requests of one token's consumer at a time.
const AT_ONCE: usize = 64;

type Counts = Arc<Mutex<HashMap<Arc<str>, usize>>>;

/// Counts by name.
#[derive(Debug, Default)]
pub(super) struct Places {
    counts: Counts,
}

/// One request that runs.
#[derive(Debug)]
pub(super) struct Permit {
    counts: Counts,
    name: Arc<str>,
}

impl Places {
    pub(super) fn enter(&self, name: &str) -> Result<Permit, Problem> {
        let mut counts = self.counts.lock().unwrap_or_else(|e| e.into_inner());
        let name = match counts.get_key_value(name) {
            Some((name, _)) => Arc::clone(name),
            None => name.into(),
        };
        let count = counts.entry(Arc::clone(&name)).or_default();
        if *count >= AT_ONCE {
            let message = format!(
                "{AT_ONCE} requests with tokens of {name:?} run already: close some, or try later"
            );
            return Err(Problem::new(Code::TooMany, message));
        }
        *count += 1;
        Ok(Permit { counts: Arc::clone(&self.counts), name })
    }

    /// All that run.
    pub(super) fn count(&self) -> usize {
        self.counts.lock().unwrap_or_else(|e| e.into_inner()).values().sum()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(count) = counts.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.name);
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
        assert!(places.counts.lock().unwrap().is_empty(), "nothing stays of names that left");
    }
}
