//! Reconciles that failed in a row: when they are tried again, and when that is worth telling.

use crate::{error::Error, known::ResourceId};
use kube::runtime::controller::Action;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// The longest wait before a reconcile that failed is tried again.
const LONGEST: Duration = Duration::from_secs(60);
/// After so many in a row, some ten seconds, it may not pass by itself soon.
const TOLD: u32 = 3;

/// How often reconciles of resources failed in a row.
#[derive(Debug, Default)]
pub(crate) struct Failures(Mutex<HashMap<ResourceId, u32>>);

impl Failures {
    /// Whether people should hear of the failures by now.
    pub fn persist(&self, id: &ResourceId) -> bool {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.get(id).is_some_and(|times| *times >= TOLD)
    }

    /// One went well.
    pub fn forget(&self, id: &ResourceId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// When one that failed is tried again: exponential backoff, with jitter.
    pub fn again(&self, id: &ResourceId, error: &Error) -> Action {
        if matches!(error, Error::Unreadable(_) | Error::NotLeader) {
            return Action::await_change();
        }
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let times = failures.entry(id.clone()).or_default();
        *times = times.saturating_add(1);
        let most = LONGEST.min(Duration::from_secs(1).saturating_mul(1 << (*times).min(6)));
        Action::requeue(most.mul_f64(rand::random_range(0.5..1.0)))
    }
}
