//! Questions that readers ask, and what they get.

use crate::{
    Parked, StoreError,
    shared::Shared,
    store::tables::{
        self, BUILDS, CHANGES, LETTERS, LetterRow, META, NUMBERS, REFILLS, RefillRow, WORLD,
        WorldKind, WorldMeta, decode,
    },
};
use master::Known;
use model::{
    Build, BuildId, Builder, BuilderId, BuildsetId, Change, Event, Identity, Position, Record,
    RequestId, Waiting, WorkerId, World,
};
use redb::{ReadTransaction, ReadableTable as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::sync::Arc;

/// How much of the past a snapshot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SnapshotLimits {
    /// Newest finished builds of each builder.
    pub builds_per_builder: usize,
    /// Newest finished builds of all builders together.
    pub builds_total: usize,
    /// Newest changes.
    pub changes: usize,
}

impl Default for SnapshotLimits {
    fn default() -> Self {
        Self { builds_per_builder: 25, builds_total: 2_000, changes: 500 }
    }
}

/// What is so at one position of the journal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshot {
    /// The last record that is part of it: follow from here.
    pub position: Position,
    /// The database epoch of the master.
    pub database: u32,
    /// The present state.
    pub world: World,
    /// Finished builds, highest key first.
    pub builds: Vec<Build>,
    /// Changes, highest key first.
    pub changes: Vec<Change>,
}

/// Which finished builds to read: highest number (of one builder) or key (of all) first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct BuildQuery {
    /// Only builds of this builder.
    pub builder: Option<BuilderId>,
    /// Only builds below this number of the builder; below this key where no builder is given.
    pub below: Option<u64>,
    /// Most builds in the answer; 0 and anything above [`BuildQuery::MAX`] mean that bound.
    pub limit: usize,
}

impl BuildQuery {
    /// Most builds in one answer.
    pub const MAX: usize = 500;
}

/// How much a master has to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Builders in the master's configuration.
    pub builders: u64,
    /// Builds that run.
    pub running: u64,
}

/// See [`crate::Feed::counts`].
pub(crate) fn counts(transaction: &ReadTransaction) -> Result<Counts, StoreError> {
    let world = transaction.open_table(WORLD)?;
    let of = |kind: WorldKind| world.range((kind as u8, 0)..=(kind as u8, u64::MAX));
    let mut counts = Counts::default();
    for row in of(WorldKind::Builder)? {
        let builder: Builder = decode("a builder", row?.1.value())?;
        counts.builders += u64::from(builder.configured);
    }
    for row in of(WorldKind::Open)? {
        row?;
        counts.running += 1;
    }
    Ok(counts)
}

/// What the master's client starts from.
pub(crate) fn known(transaction: &ReadTransaction) -> Result<Known, StoreError> {
    let journal = tables::journal(transaction)?;
    let meta = transaction.open_table(META)?;
    let fingerprints = match meta.get("fingerprints")? {
        Some(row) => decode("the fingerprints", row.value())?,
        None => Vec::new(),
    };
    Ok(Known {
        world: world(transaction)?,
        database: journal.database,
        fingerprints,
        fresh: !journal.used,
    })
}

/// The present state, of its rows.
fn world(transaction: &ReadTransaction) -> Result<World, StoreError> {
    let mut world = World::default();
    if let Some(row) = transaction.open_table(META)?.get("world")? {
        let meta: WorldMeta = decode("the world", row.value())?;
        let WorldMeta { title, title_url, buildbot_url, version, highest, waiting } = meta;
        world = World { title, title_url, buildbot_url, version, highest, waiting, ..world };
    }
    for row in transaction.open_table(WORLD)?.iter()? {
        let (key, value) = row?;
        let ((kind, id), value) = (key.value(), value.value());
        match WorldKind::from_number(kind) {
            Some(WorldKind::Builder) => {
                world.builders.insert(BuilderId(id), decode("a builder", value)?);
            }
            Some(WorldKind::Worker) => {
                world.workers.insert(WorkerId(id), decode("a worker", value)?);
            }
            Some(WorldKind::Open) => {
                world.open.insert(BuildId(id), decode("a running build", value)?);
            }
            Some(WorldKind::Request) => {
                world.requests.insert(RequestId(id), decode("a request", value)?);
            }
            Some(WorldKind::Buildset) => {
                world.buildsets.insert(BuildsetId(id), decode("a buildset", value)?);
            }
            Some(WorldKind::Recent) => {
                world.recent.insert(BuilderId(id), decode("recent builds", value)?);
            }
            // Of a later release that added a part.
            None => {}
        }
    }
    Ok(world)
}

/// When the newest record was journaled.
pub(crate) fn newest_ms(transaction: &ReadTransaction) -> Result<Option<i64>, StoreError> {
    Ok(transaction.open_table(tables::RECORDS)?.last()?.map(|(_, row)| row.value().0))
}

/// See [`crate::Feed::snapshot`].
pub(crate) fn snapshot(
    transaction: &ReadTransaction,
    limits: SnapshotLimits,
) -> Result<Snapshot, StoreError> {
    let journal = tables::journal(transaction)?;
    let keys = newest_keys(transaction, limits)?;
    Ok(Snapshot {
        position: Position { epoch: journal.epoch, seq: journal.head },
        database: journal.database,
        // The same as over HTTP.
        world: World { waiting: Waiting::default(), ..world(transaction)? },
        builds: builds_by_key(transaction, &keys)?,
        changes: changes(transaction, None, limits.changes)?,
    })
}

/// Keys of the newest builds, highest first. Reads the index only: as many rows as there are
/// builders times builds of each that are wanted.
fn newest_keys(
    transaction: &ReadTransaction,
    limits: SnapshotLimits,
) -> Result<Vec<u64>, StoreError> {
    let numbers = transaction.open_table(NUMBERS)?;
    let mut keys = Vec::new();
    let mut from = 0;
    // From the first row of one builder right to the first of the next.
    while let Some(first) = numbers.range((from, 0)..)?.next().transpose()? {
        let builder = first.0.value().0;
        let own = numbers.range((builder, 0)..=(builder, u64::MAX))?.rev();
        for row in own.take(limits.builds_per_builder) {
            keys.push(row?.1.value());
        }
        let Some(next) = builder.checked_add(1) else { break };
        from = next;
    }
    keys.sort_unstable_by(|a, b| b.cmp(a));
    keys.truncate(limits.builds_total);
    Ok(keys)
}

/// Builds of these keys, in their order; those that are gone are left out.
pub(crate) fn builds_by_key(
    transaction: &ReadTransaction,
    keys: &[u64],
) -> Result<Vec<Build>, StoreError> {
    let table = transaction.open_table(BUILDS)?;
    let mut builds = Vec::with_capacity(keys.len());
    for key in keys {
        if let Some(row) = table.get(key)? {
            builds.extend(readable("a build", row.value()));
        }
    }
    Ok(builds)
}

/// Changes of these keys, in their order; those that are gone are left out.
pub(crate) fn changes_by_key(
    transaction: &ReadTransaction,
    keys: &[u64],
) -> Result<Vec<Change>, StoreError> {
    let table = transaction.open_table(CHANGES)?;
    let mut changes = Vec::with_capacity(keys.len());
    for key in keys {
        if let Some(row) = table.get(key)? {
            changes.extend(readable("a change", row.value()));
        }
    }
    Ok(changes)
}

/// See [`crate::Feed::builds`].
pub(crate) fn builds(
    transaction: &ReadTransaction,
    query: BuildQuery,
) -> Result<Vec<Build>, StoreError> {
    let limit = if query.limit == 0 { BuildQuery::MAX } else { query.limit.min(BuildQuery::MAX) };
    let below = query.below.unwrap_or(u64::MAX);
    if let Some(BuilderId(builder)) = query.builder {
        let numbers = transaction.open_table(NUMBERS)?;
        let keys = numbers
            .range((builder, 0)..(builder, below))?
            .rev()
            .take(limit)
            .map(|row| Ok(row?.1.value()))
            .collect::<Result<Vec<_>, StoreError>>()?;
        return builds_by_key(transaction, &keys);
    }
    let table = transaction.open_table(BUILDS)?;
    let rows = table.range(..below)?.rev().take(limit);
    rows.filter_map(|row| row.map(|row| readable("a build", row.1.value())).transpose())
        .map(|build| Ok(build?))
        .collect()
}

/// See [`crate::Feed::changes`].
pub(crate) fn changes(
    transaction: &ReadTransaction,
    below: Option<u64>,
    limit: usize,
) -> Result<Vec<Change>, StoreError> {
    let table = transaction.open_table(CHANGES)?;
    let rows = table.range(..below.unwrap_or(u64::MAX))?.rev().take(limit);
    rows.filter_map(|row| row.map(|row| readable("a change", row.1.value())).transpose())
        .map(|change| Ok(change?))
        .collect()
}

/// A row of history; one that is damaged is left out, so that it hides no others.
fn readable<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Option<T> {
    decode(what, bytes).inspect_err(|error| tracing::error!(%error, "left out")).ok()
}

/// The record that a row of [`REFILLS`] stands for; `None` if there is no such row or no such build.
pub(crate) fn refill(
    transaction: &ReadTransaction,
    shared: &Shared,
    name: &str,
    seq: u64,
) -> Result<Option<Record>, StoreError> {
    let refills = transaction.open_table(REFILLS)?;
    let Some(row) = refills.get((name, seq))? else { return Ok(None) };
    let row: RefillRow = decode("a refill", row.value())?;
    let builds = transaction.open_table(BUILDS)?;
    let Some(build) = builds.get(row.build)? else { return Ok(None) };
    let database = tables::journal(transaction)?.database;
    Ok(refilled(shared, database, seq, &row, build.value()))
}

/// A build of the history as the record that it is or was.
pub(crate) fn refilled(
    shared: &Shared,
    database: u32,
    seq: u64,
    row: &RefillRow,
    build: &[u8],
) -> Option<Record> {
    let build: Build = readable("a build", build)?;
    let finished_ms = build.complete_at.unwrap_or(build.started_at).0.saturating_mul(1000);
    let event = Event::BuildFinished { build: Box::new(build) };
    Some(Record {
        position: shared.position(seq),
        identity: Identity::of(&event, &shared.master, database, seq),
        journaled_ms: if row.journaled_ms > 0 { row.journaled_ms } else { finished_ms },
        event,
    })
}

/// See [`crate::Feed::dead_letters`].
pub(crate) fn dead_letters(
    transaction: &ReadTransaction,
    name: &str,
    after: u64,
    limit: usize,
) -> Result<Vec<Parked>, StoreError> {
    let epoch = tables::journal(transaction)?.epoch;
    let table = transaction.open_table(LETTERS)?;
    let rows = table.range((name, after.saturating_add(1))..=(name, u64::MAX))?;
    rows.take(limit)
        .map(|row| {
            let (key, row) = row?;
            parked(Position { epoch, seq: key.value().1 }, row.value())
        })
        .collect()
}

/// See [`crate::Feed::dead_letter`].
pub(crate) fn dead_letter(
    transaction: &ReadTransaction,
    name: &str,
    seq: u64,
) -> Result<Option<Parked>, StoreError> {
    let epoch = tables::journal(transaction)?.epoch;
    let table = transaction.open_table(LETTERS)?;
    let Some(row) = table.get((name, seq))? else { return Ok(None) };
    parked(Position { epoch, seq }, row.value()).map(Some)
}

fn parked(position: Position, row: &[u8]) -> Result<Parked, StoreError> {
    let LetterRow { record, letter, replay } = decode("a dead letter", row)?;
    Ok(Parked { position, record: record.map(Arc::new), letter, replay })
}
