//! What all parts of an open feed share.

use crate::{
    ConsumerStatus, Metrics, StoreError,
    clock::Clock,
    consumer::core::Core,
    metrics::Reading,
    publish::Publisher,
    report::Reports,
    store::{Loss, Store, tables},
};
use master::MasterState;
use model::{Position, Record};
use redb::{ReadTransaction, ReadableTable as _, ReadableTableMetadata as _};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::watch;

/// Most records that a reader takes from memory at once, where all readers share them.
const TAIL_RECORDS: usize = 128;
/// Most records, and about the most bytes of them, that a reader takes from disk at once. They are
/// its own, and stay as long as it is slow; in memory they take several times the bytes.
const PAGE_RECORDS: usize = 64;
const PAGE_BYTES: usize = 64 << 10;

/// See the module.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) dir: PathBuf,
    pub(crate) store: Store,
    pub(crate) epoch: u32,
    pub(crate) master: String,
    pub(crate) database: AtomicU32,
    /// Bytes of all records.
    pub(crate) bytes: AtomicU64,
    pub(crate) publisher: Publisher,
    pub(crate) state: watch::Sender<MasterState>,
    pub(crate) consumers: Mutex<BTreeMap<String, Arc<Core>>>,
    pub(crate) metrics: Metrics,
    /// By which ages are told.
    pub(crate) clock: Clock,
    /// Number of the newest ingest; others are not heard.
    pub(crate) ingest: AtomicU64,
    /// What the processes of readers say of themselves.
    pub(crate) reports: Reports,
    /// If a journal was lost before this one.
    pub(crate) lost: Option<Loss>,
}

/// Records in order; `None` for one that can't be decoded.
pub(crate) type Page = Vec<(u64, Option<Arc<Record>>)>;

impl Shared {
    pub(crate) fn head(&self) -> Position {
        self.position(self.publisher.head())
    }

    pub(crate) fn position(&self, seq: u64) -> Position {
        Position { epoch: self.epoch, seq }
    }

    pub(crate) fn database(&self) -> u32 {
        self.database.load(Ordering::Acquire)
    }

    pub(crate) fn consumers(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Core>>> {
        self.consumers.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub(crate) fn statuses(&self) -> Vec<ConsumerStatus> {
        let consumers: Vec<Arc<Core>> = self.consumers().values().map(Arc::clone).collect();
        consumers.iter().map(|core| self.status(core)).collect()
    }

    pub(crate) fn status(&self, core: &Core) -> ConsumerStatus {
        let report = self.reports.get(&core.name);
        ConsumerStatus { report, ..core.status(self.head()) }
    }

    /// Brings up to date what metrics do not count as it happens.
    pub(crate) fn refresh_metrics(&self) {
        let head = self.head();
        let consumers: Vec<(ConsumerStatus, u64)> = self
            .consumers()
            .values()
            .map(|core| (core.status(head), core.lock().row.ledger.next_open(0)))
            .collect();
        // A few rows by their keys, however long the history is.
        let read = self.store.read(|transaction| {
            let records = transaction.open_table(tables::RECORDS)?;
            let oldest = records.first()?.map(|(_, row)| row.value().0);
            let waits = consumers.iter().map(|(_, open)| {
                Ok(records.range(*open..=head.seq.max(*open))?.next().transpose()?)
            });
            let waits = waits
                .map(|row: Result<_, StoreError>| Ok(row?.map(|(_, row)| row.value().0)))
                .collect::<Result<Vec<Option<i64>>, StoreError>>()?;
            Ok((records.len()?, oldest, waits))
        });
        // A journal that can't be read keeps the figures it had.
        let Ok((records, oldest_ms, waits)) = read else { return };
        let consumers: Vec<_> =
            consumers.into_iter().zip(waits).map(|((status, _), wait)| (status, wait)).collect();
        self.metrics.read(&Reading {
            journal_bytes: self.bytes.load(Ordering::Relaxed),
            file_bytes: self.store.file_bytes(),
            records,
            oldest_ms,
            disk_free_bytes: self.store.free_bytes(),
            lost: self.lost.is_some(),
            database: self.database(),
            now_ms: now_ms(),
            followers: self.publisher.followers(),
            consumers: &consumers,
        });
    }

    /// Reads off the async threads.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        body: impl Fn(&ReadTransaction) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(self);
        tokio::task::spawn_blocking(move || shared.store.read(body))
            .await
            .unwrap_or(Err(StoreError::Closed))
    }

    /// Records from `from` up to `to`, a page of them. Begins later than `from` if retention
    /// dropped that.
    pub(crate) async fn page(self: &Arc<Self>, from: u64, to: u64) -> Result<Page, StoreError> {
        let tail = self.publisher.tail(from, TAIL_RECORDS);
        if !tail.is_empty() {
            return Ok(tail
                .into_iter()
                .filter(|record| record.position.seq <= to)
                .map(|record| (record.position.seq, Some(record)))
                .collect());
        }
        self.read(move |transaction| {
            let records = transaction.open_table(tables::RECORDS)?;
            let mut page = Page::new();
            let mut bytes = 0;
            for row in records.range(from..=to)? {
                let (seq, value) = row?;
                bytes += value.value().2.len();
                let record = tables::record(value.value())
                    .inspect_err(|error| tracing::error!(seq = seq.value(), %error, "skipped"));
                page.push((seq.value(), record.ok().map(Arc::new)));
                if page.len() >= PAGE_RECORDS || bytes >= PAGE_BYTES {
                    break;
                }
            }
            Ok(page)
        })
        .await
    }
}

/// Milliseconds since 1970 UTC.
pub(crate) fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
