//! Text of logs, and which logs are being watched.

use crate::ClientError;
use futures_util::future::BoxFuture;
use model::LogId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tokio::sync::watch;

/// Consecutive lines of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogChunk {
    /// Number of the first line, from 0.
    pub first: u64,
    /// Lines, each ended by a line feed. Those of a [`model::LogKind::Stdio`] log begin with
    /// their channel: `o` stdout, `e` stderr, `h` header. Empty past the end of the log.
    pub text: String,
}

impl LogChunk {
    /// How many lines these are.
    pub fn count(&self) -> u64 {
        self.lines().count() as u64
    }

    /// The lines without their line feeds.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.split_terminator('\n')
    }
}

/// Where the text of logs comes from: a master, or a recording of one.
pub trait LogSource: Send + Sync {
    /// At most `limit` lines of a log from line `first` on; fewer at the end of the log, or
    /// where so many lines would be too large for one answer (at least one, if there is one).
    /// Source: `/api/v2/logs/N/contents`.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] when there is no such log, others as they occur.
    fn lines(
        &self,
        log: LogId,
        first: u64,
        limit: u64,
    ) -> BoxFuture<'_, Result<LogChunk, ClientError>>;

    /// Has each growth of a log told by [`model::Live::LogAppended`] until the guard is dropped.
    /// `None` where growth is told of all logs, or of none.
    fn watch(&self, log: LogId) -> Option<WatchGuard> {
        let _ = log;
        None
    }
}

/// The logs whose growth somebody watches: only their `append` frames are asked for.
/// Clones share one set.
#[derive(Clone, Debug)]
pub struct Watch(watch::Sender<BTreeMap<LogId, usize>>);

impl Default for Watch {
    fn default() -> Self {
        Self(watch::Sender::new(BTreeMap::new()))
    }
}

impl Watch {
    /// Watches a log until the guard is dropped; several may watch the same.
    pub fn log(&self, log: LogId) -> WatchGuard {
        self.0.send_modify(|logs| *logs.entry(log).or_default() += 1);
        WatchGuard { watch: self.clone(), log }
    }

    /// The logs watched now, and every change of them.
    pub fn subscribe(&self) -> watch::Receiver<BTreeMap<LogId, usize>> {
        self.0.subscribe()
    }
}

/// Ends the watching of a log when it is dropped.
#[derive(Debug)]
#[must_use = "the log is watched for as long as the guard lives"]
pub struct WatchGuard {
    watch: Watch,
    log: LogId,
}

impl Drop for WatchGuard {
    fn drop(&mut self) {
        self.watch.0.send_modify(|logs| {
            if let Some(count) = logs.get_mut(&self.log) {
                *count -= 1;
                if *count == 0 {
                    logs.remove(&self.log);
                }
            }
        });
    }
}
