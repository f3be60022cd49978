//! Text of logs: asked of the master once, kept on disk once a log is complete.
//!
//! A complete log is cut into chunks of [`CHUNK`] lines, each a compressed file, so that a log
//! of any size costs memory for one chunk only. Logs of running builds are passed through.

mod disk;
mod watch;

pub use watch::LogWatch;

use crate::{LogError, shared::Shared, store::tables::LOGS};
use disk::{Disk, Key};
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared as SharedFuture, WeakShared},
};
use master::{LogChunk, LogSource};
use model::LogId;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, RwLock},
};
use tokio::sync::Semaphore;

/// Lines of a file in the cache.
const CHUNK: u64 = 1000;
/// Most lines of one answer.
const MOST_LINES: u64 = 10_000;
/// About the most bytes of one answer, the most of a chunk that is kept, and the most of a line.
const MOST_BYTES: usize = 4 << 20;
/// Most questions to the master at a time: it has one core, for its builds.
const AT_ONCE: usize = 4;

type Fetched = Result<Arc<str>, LogError>;
type Fetch = SharedFuture<BoxFuture<'static, Fetched>>;

/// See the module.
pub(crate) struct LogCache {
    shared: Arc<Shared>,
    source: RwLock<Option<Arc<dyn LogSource>>>,
    disk: Arc<Disk>,
    /// What is being asked for, so that it is asked for once.
    fetches: Mutex<HashMap<Range, WeakShared<BoxFuture<'static, Fetched>>>>,
    permits: Arc<Semaphore>,
}

/// Lines of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Range {
    database: u32,
    log: LogId,
    first: u64,
    limit: u64,
}

impl LogCache {
    pub(crate) fn new(shared: Arc<Shared>, max_bytes: u64) -> Self {
        let disk = Disk::new(shared.dir.join("logs"), max_bytes, shared.metrics.clone());
        Self {
            shared,
            source: RwLock::default(),
            disk: Arc::new(disk),
            fetches: Mutex::default(),
            permits: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    pub(crate) fn set_source(&self, source: Arc<dyn LogSource>) {
        *self.source.write().unwrap_or_else(|e| e.into_inner()) = Some(source);
    }

    /// See [`crate::Feed::watch_log`].
    pub(crate) fn watch(&self, log: LogId) -> LogWatch {
        let source = self.source.read().unwrap_or_else(|e| e.into_inner());
        source.as_ref().and_then(|source| source.watch(log)).into()
    }

    /// See [`crate::Feed::log`].
    pub(crate) async fn lines(
        &self,
        log: LogId,
        first: u64,
        limit: u64,
    ) -> Result<LogChunk, LogError> {
        let limit = limit.min(MOST_LINES);
        let database = self.shared.database();
        let range = Range { database, log, first, limit };
        let complete = self.shared.read(move |transaction| {
            Ok(transaction.open_table(LOGS)?.get(log.0)?.map(|lines| lines.value()))
        });
        let Some(total) = complete.await? else {
            return self.direct(range).await;
        };
        let end = first.saturating_add(limit).min(total);
        let mut text = String::new();
        let mut next = first;
        while next < end && (text.is_empty() || text.len() < MOST_BYTES) {
            let number = next / CHUNK;
            let Some(chunk) = self.chunk(database, log, number, total).await? else {
                // Too large to be kept: what was not collected yet is asked for as it is.
                return if text.is_empty() {
                    self.direct(range).await
                } else {
                    Ok(LogChunk { first, text })
                };
            };
            let offset = next - number * CHUNK;
            let wanted = (end - next).min(CHUNK - offset);
            let got = append(&mut text, &chunk, offset, wanted);
            if got < wanted {
                // The master has fewer lines than it had said.
                break;
            }
            next += got;
        }
        Ok(LogChunk { first, text })
    }

    /// Lines that are not kept.
    async fn direct(&self, range: Range) -> Result<LogChunk, LogError> {
        if range.limit == 0 {
            return Ok(LogChunk { first: range.first, text: String::new() });
        }
        let text = self.fetch(range, false).await?;
        Ok(LogChunk { first: range.first, text: text.as_ref().to_owned() })
    }

    /// A chunk of a complete log; `None` if it is too large to be kept.
    async fn chunk(
        &self,
        database: u32,
        log: LogId,
        number: u64,
        total: u64,
    ) -> Result<Option<Arc<str>>, LogError> {
        let first = number * CHUNK;
        let limit = CHUNK.min(total - first);
        let text = self.fetch(Range { database, log, first, limit }, true).await?;
        let whole = text.len() < MOST_BYTES || count(&text) >= limit;
        Ok(whole.then_some(text))
    }

    /// Looks on the disk (if such lines are kept) and asks the master, unless somebody is at it.
    async fn fetch(&self, range: Range, keep: bool) -> Fetched {
        let fetch = {
            let mut fetches = self.fetches.lock().unwrap_or_else(|e| e.into_inner());
            match fetches.get(&range).and_then(WeakShared::upgrade) {
                Some(fetch) => fetch,
                None => {
                    // Those whose askers are gone.
                    fetches.retain(|_, fetch| fetch.upgrade().is_some());
                    let fetch = self.start(range, keep);
                    fetches.extend(fetch.downgrade().map(|weak| (range, weak)));
                    fetch
                }
            }
        };
        fetch.await
    }

    fn start(&self, range: Range, keep: bool) -> Fetch {
        let source = self.source.read().unwrap_or_else(|e| e.into_inner()).clone();
        let permits = Arc::clone(&self.permits);
        let disk = Arc::clone(&self.disk);
        let shared = Arc::clone(&self.shared);
        let Range { database, log, first, limit } = range;
        let key = Key { database, log: log.0, chunk: first / CHUNK };
        async move {
            if keep {
                let disk = Arc::clone(&disk);
                let kept = tokio::task::spawn_blocking(move || disk.get(key)).await;
                if let Ok(Some(text)) = kept {
                    return Ok(text.into());
                }
            }
            let source = source.ok_or(LogError::NoSource)?;
            // Closed only with the feed.
            let _permit = permits.acquire().await.map_err(|_| LogError::NoSource)?;
            let text: Arc<str> = read(&*source, range).await?.into();
            let whole = count(&text) == limit && text.len() <= MOST_BYTES;
            // Another database may have come meanwhile, with other logs of the same keys.
            if keep && whole && shared.database() == database && shared.store.check_room().is_ok() {
                let text = Arc::clone(&text);
                // Whoever asks after this finds it on disk.
                let _ = tokio::task::spawn_blocking(move || disk.put(key, &text)).await;
            }
            Ok(text)
        }
        .boxed()
        .shared()
    }
}

/// As many of the lines as there are, until they are [`MOST_BYTES`]; however much the source gives at once.
async fn read(source: &dyn LogSource, range: Range) -> Result<String, LogError> {
    let mut text = String::new();
    let mut have = 0;
    while have < range.limit && text.len() < MOST_BYTES {
        let chunk = source.lines(range.log, range.first + have, range.limit - have).await?;
        let before = have;
        for line in chunk.lines() {
            if have == range.limit || text.len() >= MOST_BYTES {
                break;
            }
            push_line(&mut text, line);
            have += 1;
        }
        if have == before {
            break;
        }
    }
    Ok(text)
}

/// Appends a line, or the beginning of one that is too long.
fn push_line(text: &mut String, line: &str) {
    let kept = &line[..line.floor_char_boundary(MOST_BYTES)];
    text.push_str(kept);
    if kept.len() < line.len() {
        text.push_str(&format!(" ({} bytes left out)", line.len() - kept.len()));
    }
    text.push('\n');
}

fn count(text: &str) -> u64 {
    text.bytes().filter(|byte| *byte == b'\n').count() as u64
}

/// Appends lines of `chunk` from `offset` on; how many there were.
fn append(text: &mut String, chunk: &str, offset: u64, wanted: u64) -> u64 {
    let skip = usize::try_from(offset).unwrap_or(usize::MAX);
    let take = usize::try_from(wanted).unwrap_or(usize::MAX);
    let mut got = 0;
    for line in chunk.split_inclusive('\n').skip(skip).take(take) {
        text.push_str(line);
        got += 1;
    }
    got
}
