//! A batch of the master's on its way to disk.

use crate::{
    StoreError,
    publish::Fresh,
    store::tables::{
        self, BUILDS, CHANGES, FINISHED, Journal, LOGS, NUMBERS, RECORDS, USERS, WORLD, WorldKind,
        WorldMeta, encode,
    },
    users,
};
use master::{Batch, Dirty, Fingerprint};
use model::{Build, Change, Event, Identity, Position, Record, World};
use redb::WriteTransaction;
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

/// A key of [`WORLD`].
type WorldKey = (u8, u64);

/// Rows of the world: to be written, or removed where there is no value.
#[derive(Default)]
struct Rows {
    meta: Option<WorldMeta>,
    rows: Vec<(WorldKey, Option<Vec<u8>>)>,
}

impl Rows {
    /// The rows that `dirty` names; all of them if `whole`.
    fn of(world: &World, dirty: &Dirty, whole: bool) -> Result<Self, StoreError> {
        use WorldKind::{Builder, Buildset, Open, Recent, Request, Worker};
        let mut rows =
            Self { meta: (dirty.meta || whole).then(|| WorldMeta::of(world)), rows: Vec::new() };
        let Dirty { meta: _, builders, workers, open, requests, buildsets, recent } = dirty;
        rows.table(Builder, &world.builders, builders, whole, |id| id.0)?;
        rows.table(Worker, &world.workers, workers, whole, |id| id.0)?;
        rows.table(Open, &world.open, open, whole, |id| id.0)?;
        rows.table(Request, &world.requests, requests, whole, |id| id.0)?;
        rows.table(Buildset, &world.buildsets, buildsets, whole, |id| id.0)?;
        rows.table(Recent, &world.recent, recent, whole, |id| id.0)?;
        Ok(rows)
    }

    fn table<K: Ord + Copy, V: Serialize>(
        &mut self,
        kind: WorldKind,
        table: &BTreeMap<K, V>,
        dirty: &std::collections::BTreeSet<K>,
        whole: bool,
        number: impl Fn(&K) -> u64,
    ) -> Result<(), StoreError> {
        let ids: Vec<&K> = if whole { table.keys().collect() } else { dirty.iter().collect() };
        for id in ids {
            let row = table.get(id).map(encode).transpose()?;
            self.rows.push(((kind as u8, number(id)), row));
        }
        Ok(())
    }
}

/// A batch, encoded as far as can be before it has its place.
pub(crate) struct Prepared {
    events: Vec<Event>,
    records: Vec<(Arc<Record>, Vec<u8>)>,
    history: Vec<Build>,
    history_changes: Vec<Change>,
    rows: Rows,
    fingerprints: Option<Vec<Fingerprint>>,
    new_database: bool,
    seen: Option<SystemTime>,
}

impl Prepared {
    pub(crate) fn new(batch: Batch, world: &World) -> Result<Self, StoreError> {
        let Batch { events, history, history_changes, dirty, new_database, fingerprints, seen } =
            batch;
        Ok(Self {
            events,
            records: Vec::new(),
            history,
            history_changes,
            rows: Rows::of(world, &dirty, new_database)?,
            fingerprints,
            new_database,
            seen,
        })
    }

    /// Gives every event its place, after what `journal` holds, and its time.
    pub(crate) fn number(
        &mut self,
        journal: &mut Journal,
        epoch: u32,
        journaled_ms: i64,
    ) -> Result<(), StoreError> {
        if self.new_database {
            journal.database += 1;
        }
        for event in self.events.drain(..) {
            journal.head += 1;
            let seq = journal.head;
            let record = Record {
                position: Position { epoch, seq },
                identity: Identity::of(&event, &journal.master, journal.database, seq),
                journaled_ms,
                event,
            };
            let bytes = encode(&record)?;
            self.records.push((Arc::new(record), bytes));
        }
        Ok(())
    }

    /// Writes everything, and accounts for it in `journal`.
    pub(crate) fn write(
        &self,
        transaction: &WriteTransaction,
        journal: &mut Journal,
    ) -> Result<(), StoreError> {
        journal.used = true;
        if self.new_database {
            transaction.delete_table(BUILDS)?;
            transaction.delete_table(NUMBERS)?;
            transaction.delete_table(FINISHED)?;
            transaction.delete_table(CHANGES)?;
            transaction.delete_table(USERS)?;
            transaction.delete_table(LOGS)?;
            transaction.delete_table(WORLD)?;
            tables::make(transaction)?;
        }
        let mut records = transaction.open_table(RECORDS)?;
        let mut finished = transaction.open_table(FINISHED)?;
        for (record, bytes) in &self.records {
            let sum = tables::checksum(bytes);
            records.insert(record.position.seq, (record.journaled_ms, sum, bytes.as_slice()))?;
            journal.bytes += bytes.len() as u64;
            match &record.event {
                Event::BuildFinished { build } => {
                    put_build(transaction, build)?;
                    finished.insert(build.id.0, record.position.seq)?;
                }
                Event::ChangeAdded { change } => put_change(transaction, change)?,
                _ => {}
            }
        }
        for build in &self.history {
            put_build(transaction, build)?;
        }
        for change in &self.history_changes {
            put_change(transaction, change)?;
        }
        let mut world = transaction.open_table(WORLD)?;
        for (key, row) in &self.rows.rows {
            match row {
                Some(row) => world.insert(key, row.as_slice())?,
                None => world.remove(key)?,
            };
        }
        if let Some(meta) = &self.rows.meta {
            tables::put_meta(transaction, "world", meta)?;
        }
        if let Some(fingerprints) = &self.fingerprints {
            tables::put_meta(transaction, "fingerprints", fingerprints)?;
        }
        Ok(())
    }

    /// Whether what was known of the master's database before is void.
    pub(crate) fn is_new_database(&self) -> bool {
        self.new_database
    }

    /// When the first of what it follows from was seen of the master.
    pub(crate) fn seen(&self) -> Option<SystemTime> {
        self.seen
    }

    /// The events, once they are numbered.
    pub(crate) fn events(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().map(|(record, _)| record.as_ref())
    }

    /// What readers are to be told.
    pub(crate) fn into_fresh(self) -> Fresh {
        Fresh {
            replaced: self.new_database,
            records: self
                .records
                .into_iter()
                .map(|(record, bytes)| (record, bytes.len()))
                .collect(),
            builds: self.history.iter().map(|build| build.id.0).collect(),
            changes: self.history_changes.iter().map(|change| change.id.0).collect(),
        }
    }
}

fn put_build(transaction: &WriteTransaction, build: &Build) -> Result<(), StoreError> {
    let id = build.id.0;
    transaction.open_table(BUILDS)?.insert(id, encode(build)?.as_slice())?;
    transaction.open_table(NUMBERS)?.insert((build.builder.id.0, build.number), id)?;
    let mut logs = transaction.open_table(LOGS)?;
    for log in build.steps.iter().flat_map(|step| &step.logs).filter(|log| log.complete) {
        logs.insert(log.id.0, log.lines)?;
    }
    users::of_build(transaction, build)
}

fn put_change(transaction: &WriteTransaction, change: &Change) -> Result<(), StoreError> {
    transaction.open_table(CHANGES)?.insert(change.id.0, encode(change)?.as_slice())?;
    users::of_change(transaction, change)
}
