//! What consumers say and hear, and how large it may be.

use crate::{ConsumerError, report::Report};
use model::{Position, Record};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Most bytes of a consumer's name, and of a key of its state.
const NAME_BYTES: usize = 256;
/// Most bytes of one value of a consumer's state, and most keys that one change names.
const VALUE_BYTES: usize = 64 << 10;
const KEYS: usize = 1024;
/// Most bytes of a consumer's state as a whole: all of it is in memory, and in each answer to who
/// opens it.
pub(crate) const STATE_BYTES: usize = 16 << 20;
/// What a key and its value cost beside their own bytes.
const ENTRY_BYTES: usize = 64;

/// Why a record was given up; kept with the record until it is replayed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

impl DeadLetter {
    /// With its texts cut to what is kept.
    pub(crate) fn cut(mut self) -> Self {
        truncate(&mut self.class, NAME_BYTES);
        truncate(&mut self.text, VALUE_BYTES);
        self
    }
}

/// A record that was given up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Parked {
    /// Of the record.
    pub position: Position,
    /// The record, whole; none if it can't be read, for which it was given up.
    pub record: Option<Arc<Record>>,
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

    pub(crate) fn check(&self) -> Result<(), ConsumerError> {
        let Self { set, remove } = self;
        for key in set.keys().chain(remove) {
            bounded("a state's key", key)?;
        }
        if set.len() + remove.len() > KEYS {
            return Err(ConsumerError::Bounds(format!(
                "a change of state names more than {KEYS} keys"
            )));
        }
        if let Some(value) = set.values().find(|value| value.len() > VALUE_BYTES) {
            return Err(ConsumerError::Bounds(format!(
                "a state's value has {} bytes; {VALUE_BYTES} are possible",
                value.len()
            )));
        }
        Ok(())
    }
}

/// How a record was done with: it was of no interest, unless something else is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// What changes of the consumer's state.
    pub change: Option<StateChange>,
    /// The record is given up, or a part of it: why.
    pub letter: Option<DeadLetter>,
    /// The peer took it, or a part of it.
    pub delivered: bool,
    /// How many attempts failed before.
    pub failed: u32,
}

impl Done {
    /// The peer took it after so many attempts that failed.
    pub fn delivered(failed: u32) -> Self {
        Self { delivered: true, failed, ..Self::default() }
    }

    /// It was of no interest, or too old.
    pub fn skipped() -> Self {
        Self::default()
    }

    /// It is given up after so many attempts that failed.
    pub fn given_up(letter: DeadLetter, failed: u32) -> Self {
        Self { letter: Some(letter), failed, ..Self::default() }
    }

    /// The same, with a change of the consumer's state.
    #[must_use]
    pub fn with(self, change: StateChange) -> Self {
        Self { change: Some(change), ..self }
    }

    /// As it is kept.
    pub(crate) fn checked(self) -> Result<Self, ConsumerError> {
        if let Some(change) = &self.change {
            change.check()?;
        }
        Ok(Self { letter: self.letter.map(DeadLetter::cut), ..self })
    }
}

/// How a journal was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum LossKind {
    /// Its file was damaged.
    #[default]
    Damaged,
    /// Its file was gone, while what is beside it was there.
    File,
    /// All was gone, or another journal was there than the one that was known.
    Volume,
}

/// The journal that a consumer had read was lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JournalLost {
    /// Where the consumer had stood.
    pub previous: Position,
    /// Records that were known to wait for it then.
    pub backlog: u64,
    /// When the loss was found: milliseconds since 1970 UTC.
    #[serde(default)]
    pub at_ms: i64,
    /// How it was lost.
    #[serde(default)]
    pub reason: LossKind,
}

/// Records that were dropped before a consumer was done with them: the latest such gap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Gap {
    /// The first record that was dropped.
    pub from: Position,
    /// The last one.
    pub to: Position,
    /// How many records between them were not done.
    pub records: u64,
    /// When the last of them was dropped: milliseconds since 1970 UTC.
    pub at_ms: i64,
}

/// Figures of one consumer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// Records of which the peer took all or a part, in all: since the consumer was made or the
    /// journal was lost.
    #[serde(default)]
    pub delivered: u64,
    /// Attempts that failed, in all, counted when their record is done.
    #[serde(default)]
    pub failed: u64,
    /// When the peer last took something: milliseconds since 1970 UTC.
    #[serde(default)]
    pub last_delivered_ms: Option<i64>,
    /// Records that were dropped before they were done, in all.
    pub expired: u64,
    /// Finished builds handed out from the history, in all: in place of expired records, or
    /// by [`crate::Feed::replay_history`].
    #[serde(default)]
    pub refilled: u64,
    /// The latest gap that expired records left.
    #[serde(default)]
    pub gap: Option<Gap>,
    /// Set if the journal was lost since the consumer was made.
    pub journal_lost: Option<JournalLost>,
    /// How often it was opened.
    pub generation: u64,
    /// When it was last open: milliseconds since 1970 UTC.
    #[serde(default)]
    pub last_seen_ms: i64,
    /// What the process that runs it said last, within the last ten minutes.
    #[serde(default)]
    pub report: Option<Report>,
}

/// What a key and its value count of [`STATE_BYTES`].
pub(crate) fn state_bytes(key: &str, value: &[u8]) -> usize {
    key.len() + value.len() + ENTRY_BYTES
}

pub(crate) fn bounded(what: &str, text: &str) -> Result<(), ConsumerError> {
    if text.is_empty() || text.len() > NAME_BYTES {
        return Err(ConsumerError::Bounds(format!(
            "{what} has {} bytes; 1 to {NAME_BYTES} are possible",
            text.len()
        )));
    }
    Ok(())
}

fn truncate(text: &mut String, bytes: usize) {
    if text.len() > bytes {
        let mut end = bytes;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
}
