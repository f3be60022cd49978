//! Finished builds that are handed out from the history: in place of records that were dropped
//! before a consumer was done with them, or once more because somebody asks for it.
//!
//! A row takes the place of a record until it is acknowledged. The build itself stays in the
//! history alone, so a row costs a few bytes; if the build leaves the history first, so does the
//! row.

use super::{
    change::Change,
    consumers::{Changes, put_all},
    letters::{self, Replay},
};
use crate::{
    CatchUp, StoreError,
    consumer::{core::in_order, ledger::BEYOND},
    query,
    shared::Shared,
    store::tables::{self, BUILDS, FINISHED, RECORDS, REFILLS, RefillRow, decode, encode},
};
use model::{Build, Event, Record, Timestamp};
use redb::{ReadableTable as _, WriteTransaction};

/// Most rows of one consumer, whatever it asks for.
const MOST: u64 = 100_000;

/// A finished build among the records to be dropped.
pub(super) struct Dropped {
    seq: u64,
    journaled_ms: i64,
    build: u64,
    complete_at: Timestamp,
}

/// The finished builds among the records up to `last` that the history still has, in order.
pub(super) fn dropped(
    transaction: &WriteTransaction,
    last: u64,
) -> Result<Vec<Dropped>, StoreError> {
    let records = transaction.open_table(RECORDS)?;
    let builds = transaction.open_table(BUILDS)?;
    let mut dropped = Vec::new();
    for row in records.range(..=last)? {
        let (seq, value) = row?;
        let Ok(record) = tables::record(value.value()) else { continue };
        let Event::BuildFinished { build } = record.event else { continue };
        if builds.get(build.id.0)?.is_some() {
            dropped.push(Dropped {
                seq: seq.value(),
                journaled_ms: record.journaled_ms,
                build: build.id.0,
                complete_at: build.complete_at.unwrap_or(build.started_at),
            });
        }
    }
    Ok(dropped)
}

/// Puts those of `dropped` in the place of their records that the consumer is not done with and
/// that `catch_up` covers: call it before they are marked as done.
pub(super) fn replace(
    transaction: &WriteTransaction,
    change: &mut Change,
    dropped: &[Dropped],
    catch_up: CatchUp,
    now_ms: i64,
) -> Result<u64, StoreError> {
    let wanted =
        |d: &&Dropped| !change.row.ledger.is_done(d.seq) && young(d.complete_at, catch_up, now_ms);
    let wanted: Vec<&Dropped> = dropped.iter().filter(wanted).collect();
    let before = change.row.refilled;
    for Dropped { seq, journaled_ms, build, .. } in wanted {
        let row = RefillRow { build: *build, journaled_ms: *journaled_ms };
        change.put_refill(transaction, *seq, &row)?;
    }
    let most = usize::try_from(catch_up.max_builds.min(MOST)).unwrap_or(usize::MAX);
    let waiting = change.all_refills();
    let excess = waiting.len().saturating_sub(most);
    let idle = waiting.into_iter().filter(|seq| !change.in_flight(*seq));
    for seq in idle.take(excess).collect::<Vec<_>>() {
        change.remove_refill(transaction, seq)?;
        change.row.refilled = change.row.refilled.saturating_sub(1);
    }
    Ok(change.row.refilled.saturating_sub(before))
}

/// Has the newest builds of the history handed out, but for those that wait for the consumer
/// anyway; how many.
pub(super) fn replay_history(
    transaction: &WriteTransaction,
    change: &mut Change,
    catch_up: CatchUp,
    now_ms: i64,
) -> Result<u64, StoreError> {
    let builds = transaction.open_table(BUILDS)?;
    let finished = transaction.open_table(FINISHED)?;
    let room = MOST.saturating_sub(change.all_refills().len() as u64);
    let most = usize::try_from(catch_up.max_builds.min(room)).unwrap_or(usize::MAX);
    let mut replayed = 0;
    for row in builds.iter()?.rev().take(most) {
        let (key, value) = row?;
        let key = key.value();
        if catch_up.max_age_ms.is_some() {
            let Ok(build) = decode::<Build>("a build", value.value()) else { continue };
            if !young(build.complete_at.unwrap_or(build.started_at), catch_up, now_ms) {
                continue;
            }
        }
        let seq = match finished.get(key)? {
            Some(seq) => seq.value(),
            None if key < BEYOND => BEYOND + key,
            None => continue,
        };
        let waits = !change.row.ledger.is_done(seq);
        if waits || change.has_refill(seq) || change.in_flight(seq) || change.has_replay(seq) {
            continue;
        }
        // One that was given up is replayed from its letter, which is whole.
        if letters::replay(transaction, change, seq)? != Replay::Done {
            change.put_refill(transaction, seq, &RefillRow { build: key, journaled_ms: 0 })?;
        }
        replayed += 1;
    }
    Ok(replayed)
}

fn young(complete_at: Timestamp, catch_up: CatchUp, now_ms: i64) -> bool {
    let age = now_ms.saturating_sub(complete_at.0.saturating_mul(1000));
    catch_up.max_age_ms.is_none_or(|most| u64::try_from(age).unwrap_or(0) <= most)
}

impl Change {
    /// Whether there is a row of `seq`.
    pub(super) fn has_refill(&self, seq: u64) -> bool {
        self.refills.get(&seq).copied().unwrap_or_else(|| self.core.lock().refills.contains(&seq))
    }

    /// All rows, in the order in which they are handed out.
    fn all_refills(&self) -> Vec<u64> {
        let mut all = self.core.lock().refills.clone();
        put_all(&mut all, &self.refills);
        in_order(&all).collect()
    }

    /// The record that the row of `seq` stands for; `None` if there is none, or the build is gone.
    pub(super) fn refill(
        &self,
        transaction: &WriteTransaction,
        shared: &Shared,
        seq: u64,
    ) -> Result<Option<Record>, StoreError> {
        if !self.has_refill(seq) {
            return Ok(None);
        }
        let refills = transaction.open_table(REFILLS)?;
        let builds = transaction.open_table(BUILDS)?;
        let Some(row) = refills.get((self.name(), seq))? else { return Ok(None) };
        let row: RefillRow = decode("a refill", row.value())?;
        let Some(build) = builds.get(row.build)? else { return Ok(None) };
        Ok(query::refilled(shared, shared.database(), seq, &row, build.value()))
    }

    pub(super) fn put_refill(
        &mut self,
        transaction: &WriteTransaction,
        seq: u64,
        row: &RefillRow,
    ) -> Result<(), StoreError> {
        let mut refills = transaction.open_table(REFILLS)?;
        if refills.insert((self.name(), seq), encode(row)?.as_slice())?.is_none() {
            self.row.refilled += 1;
        }
        self.refills.insert(seq, true);
        Ok(())
    }

    /// Removes the row of `seq`; false if there is none.
    pub(super) fn remove_refill(
        &mut self,
        transaction: &WriteTransaction,
        seq: u64,
    ) -> Result<bool, StoreError> {
        if !self.has_refill(seq) {
            return Ok(false);
        }
        transaction.open_table(REFILLS)?.remove((self.name(), seq))?;
        self.refills.insert(seq, false);
        Ok(true)
    }
}

impl Changes {
    /// The master has another database: what was to be handed out from the history is gone with it.
    pub(super) fn without_history(
        &mut self,
        transaction: &WriteTransaction,
        shared: &Shared,
    ) -> Result<(), StoreError> {
        let names: Vec<String> = shared.consumers().keys().cloned().collect();
        for name in names {
            let Some(change) = self.change(shared, &name) else { continue };
            let gone = change.all_refills();
            for seq in &gone {
                change.remove_refill(transaction, *seq)?;
            }
            if !gone.is_empty() {
                change.row.refilled = change.row.refilled.saturating_sub(gone.len() as u64);
                tracing::warn!(
                    consumer = name,
                    builds = gone.len(),
                    "the master has another database; builds of the one before are not handed out"
                );
            }
        }
        Ok(())
    }
}
