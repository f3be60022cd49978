//! What one transaction changes of one consumer.

use crate::{
    ConsumerError, Done, StateChange, StoreError,
    consumer::{
        core::Core,
        words::{STATE_BYTES, state_bytes},
    },
    shared::now_ms,
    store::tables::{ConsumerRow, LETTERS, REFILLS, STATE},
};
use redb::{ReadableTable as _, WriteTransaction};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What a transaction changes of one consumer.
pub(super) struct Change {
    pub(super) core: Arc<Core>,
    pub(super) row: ConsumerRow,
    /// Opened anew, with these records in flight.
    pub(super) opened: Option<BTreeSet<u64>>,
    pub(super) forgotten: bool,
    /// No longer in flight.
    pub(super) done: BTreeSet<u64>,
    /// Letters that are now to be handed out, or no longer.
    pub(super) replays: BTreeMap<u64, bool>,
    /// Rows of [`REFILLS`] that are new, or gone.
    pub(super) refills: BTreeMap<u64, bool>,
    pub(super) values: Vec<StateChange>,
    /// What all values count, these included.
    pub(super) state_bytes: usize,
}

impl Change {
    pub(super) fn of(core: Arc<Core>) -> Self {
        let (row, state_bytes) = {
            let state = core.lock();
            (ConsumerRow { away_ms: state.away_ms, ..state.row.clone() }, state.state_bytes)
        };
        Self {
            core,
            row,
            opened: None,
            forgotten: false,
            done: BTreeSet::new(),
            replays: BTreeMap::new(),
            refills: BTreeMap::new(),
            values: Vec::new(),
            state_bytes,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.core.name
    }

    /// Whether `seq` is handed out and not done.
    pub(super) fn in_flight(&self, seq: u64) -> bool {
        self.core.lock().in_flight.contains(&seq) && !self.done.contains(&seq)
    }

    /// Whether the letter about `seq` is to be handed out.
    pub(super) fn has_replay(&self, seq: u64) -> bool {
        self.replays.get(&seq).copied().unwrap_or_else(|| self.core.lock().replays.contains(&seq))
    }

    pub(super) fn seen(&mut self) {
        self.row.last_seen_ms = now_ms();
        self.row.away_ms = 0;
    }

    /// Counts what came of a record.
    pub(super) fn count(&mut self, done: &Done) {
        self.row.failed += u64::from(done.failed);
        if done.delivered {
            self.row.delivered += 1;
            self.row.last_delivered_ms = Some(now_ms());
        }
    }

    pub(super) fn check(&self, own: u64) -> Result<(), ConsumerError> {
        if self.forgotten {
            return Err(ConsumerError::NotFound(format!("consumer {}", self.core.name)));
        }
        let newer = self.row.generation;
        if own == newer {
            Ok(())
        } else {
            Err(ConsumerError::Superseded { name: self.core.name.clone(), own, newer })
        }
    }

    /// Writes the consumer's own values; none of them, if there would be more than may be. What
    /// makes them fewer is never refused.
    pub(super) fn put_state(
        &mut self,
        transaction: &WriteTransaction,
        state: &StateChange,
    ) -> Result<Result<(), ConsumerError>, StoreError> {
        let mut table = transaction.open_table(STATE)?;
        let name = self.core.name.as_str();
        let mut bytes = self.state_bytes;
        let gone = state.remove.iter().filter(|key| !state.set.contains_key(*key));
        for key in gone.chain(state.set.keys()) {
            if let Some(value) = table.get((name, key.as_str()))? {
                bytes = bytes.saturating_sub(state_bytes(key, value.value()));
            }
        }
        bytes += state.set.iter().map(|(key, value)| state_bytes(key, value)).sum::<usize>();
        if bytes > STATE_BYTES && bytes > self.state_bytes {
            return Ok(Err(ConsumerError::Bounds(format!(
                "the state of consumer {name} would have {bytes} bytes; {STATE_BYTES} are \
                 possible: remove keys"
            ))));
        }
        for key in &state.remove {
            table.remove((name, key.as_str()))?;
        }
        for (key, value) in &state.set {
            table.insert((name, key.as_str()), value.as_slice())?;
        }
        self.values.push(state.clone());
        self.state_bytes = bytes;
        Ok(Ok(()))
    }

    /// Removes all that the consumer has.
    pub(super) fn forget(&mut self, transaction: &WriteTransaction) -> Result<(), StoreError> {
        let name = self.core.name.as_str();
        transaction.open_table(STATE)?.retain(|(owner, _), _| owner != name)?;
        for table in [LETTERS, REFILLS] {
            let mut table = transaction.open_table(table)?;
            table.retain_in((name, 0)..=(name, u64::MAX), |_, _| false)?;
        }
        self.forgotten = true;
        Ok(())
    }
}
