//! Durable consumers: what is done is never handed out again, what is not, always.

use crate::ConsumerError;
use model::{Position, Record};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Why a record was given up; kept with the record until it is replayed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeadLetter {
    /// The class of the failure: `permanent`, `misconfigured`, `expired` …
    pub class: String,
    /// What happened, in plain words.
    pub text: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was given up: milliseconds since 1970 UTC.
    pub at_ms: i64,
}

/// A record that was given up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parked {
    /// The record, whole.
    pub record: Arc<Record>,
    /// Why.
    pub letter: DeadLetter,
    /// Whether it is to be handed out again.
    pub replay: bool,
}

/// What to change of a consumer's small state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StateChange {
    /// Keys to set.
    pub set: BTreeMap<String, Vec<u8>>,
    /// Keys to remove, before others are set.
    pub remove: BTreeSet<String>,
}

impl StateChange {
    /// Sets one key.
    pub fn set(key: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        Self { set: [(key.into(), value.into())].into(), remove: BTreeSet::new() }
    }
}

/// The journal that a consumer had read was lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalLost {
    /// Where the consumer had stood.
    pub previous: Position,
    /// Records that were known to wait for it then.
    pub backlog: u64,
}

/// Figures of one consumer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerStatus {
    /// Its name.
    pub name: String,
    /// Everything up to here is done.
    pub floor: Position,
    /// Records that wait, those in flight included.
    pub backlog: u64,
    /// Records handed out and not done.
    pub in_flight: usize,
    /// Records given up.
    pub dead_letters: u64,
    /// Records that were dropped before they were done.
    pub expired: u64,
    /// Set if the journal was lost since the consumer was made.
    pub journal_lost: Option<JournalLost>,
    /// How often it was opened.
    pub generation: u64,
}

/// A durable reader; see [`crate::Feed::consumer`].
#[derive(Debug)]
pub struct Consumer {
    handle: ConsumerHandle,
}

/// Acknowledges from any task; clones share one consumer.
#[derive(Clone, Debug)]
pub struct ConsumerHandle {}

impl Consumer {
    /// The next record that is not done, in order; each once until the consumer is opened anew.
    /// Waits while there is none, or while the window is full. Safe to cancel.
    ///
    /// # Errors
    /// [`ConsumerError::Superseded`] once it was opened anew; [`ConsumerError::Store`].
    pub async fn next(&mut self) -> Result<Arc<Record>, ConsumerError> {
        std::future::pending().await
    }

    /// A handle for other tasks.
    pub fn handle(&self) -> ConsumerHandle {
        self.handle.clone()
    }

    /// See [`ConsumerHandle::acknowledge`].
    ///
    /// # Errors
    /// As there.
    pub async fn acknowledge(
        &self,
        position: Position,
        state: Option<StateChange>,
    ) -> Result<(), ConsumerError> {
        self.handle.acknowledge(position, state).await
    }

    /// See [`ConsumerHandle::park`].
    ///
    /// # Errors
    /// As there.
    pub async fn park(&self, position: Position, letter: DeadLetter) -> Result<(), ConsumerError> {
        self.handle.park(position, letter).await
    }

    /// See [`ConsumerHandle::get_state`].
    pub fn get_state(&self, key: &str) -> Option<Vec<u8>> {
        self.handle.get_state(key)
    }

    /// See [`ConsumerHandle::backlog`].
    pub fn backlog(&self) -> u64 {
        self.handle.backlog()
    }
}

impl ConsumerHandle {
    /// Marks a record as done, together with a change of state; returns when both are on disk.
    /// A position that is done already is no error.
    ///
    /// # Errors
    /// [`ConsumerError`], with nothing done.
    pub async fn acknowledge(
        &self,
        _position: Position,
        _state: Option<StateChange>,
    ) -> Result<(), ConsumerError> {
        Ok(())
    }

    /// Gives a record up: it counts as done and is kept with the reason, for replay.
    ///
    /// # Errors
    /// [`ConsumerError`], with nothing done.
    pub async fn park(
        &self,
        _position: Position,
        _letter: DeadLetter,
    ) -> Result<(), ConsumerError> {
        Ok(())
    }

    /// Changes state without a record.
    ///
    /// # Errors
    /// [`ConsumerError`], with nothing done.
    pub async fn save(&self, _change: StateChange) -> Result<(), ConsumerError> {
        Ok(())
    }

    /// The value of a key of the consumer's state.
    pub fn get_state(&self, _key: &str) -> Option<Vec<u8>> {
        None
    }

    /// Records that are not done, those in flight included.
    pub fn backlog(&self) -> u64 {
        0
    }

    /// Set if the journal was lost since the consumer was made.
    pub fn journal_lost(&self) -> Option<JournalLost> {
        None
    }
}
