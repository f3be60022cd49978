//! Which resources wait for a reconcile: asked for, and not begun yet.
//!
//! kube's scheduler does not tell what it holds, so what goes in and what comes out is noted here.
//! A resource that is asked for again while it waits is there once, as in the scheduler. What is
//! not seen is a retry or a regular look whose time has come and which has no room yet: the
//! scheduler has those of its own.

use crate::Metrics;
use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

/// The resources of one kind that wait; the figure follows them.
#[derive(Debug)]
pub(crate) struct Waiting {
    kind: &'static str,
    metrics: Metrics,
    /// By namespace and name.
    resources: Mutex<HashSet<(String, String)>>,
}

impl Waiting {
    /// None wait.
    pub fn new(kind: &'static str, metrics: Metrics) -> Self {
        Self { kind, metrics, resources: Mutex::default() }
    }

    /// A reconcile is asked for.
    pub fn asked(&self, namespace: Option<&str>, name: &str) {
        self.change(namespace, name, HashSet::insert);
    }

    /// Its reconcile begins, or there will be none.
    pub fn begun(&self, namespace: Option<&str>, name: &str) {
        self.change(namespace, name, |resources, key| resources.remove(&key));
    }

    fn change(
        &self,
        namespace: Option<&str>,
        name: &str,
        change: impl FnOnce(&mut HashSet<(String, String)>, (String, String)) -> bool,
    ) {
        let key = (namespace.unwrap_or_default().to_owned(), name.to_owned());
        let mut resources = self.resources.lock().unwrap_or_else(PoisonError::into_inner);
        if change(&mut resources, key) {
            self.metrics.queued(self.kind, resources.len());
        }
    }
}
