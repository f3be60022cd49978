//! A recorded master, played in a loop: for demos and fast tests.

use crate::{ClientError, LogChunk, LogSource, Sink};
use futures_util::{FutureExt, future::BoxFuture};
use model::LogId;
use tokio_util::sync::CancellationToken;

/// A recording of a master: typed observations with their time, and the text of logs.
/// Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Recording {}

/// Why a recording cannot be read or made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the recording: {reason}")]
pub struct RecordingError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl Recording {
    /// Reads a recording: gzip of JSON lines.
    ///
    /// # Errors
    /// When it is no gzip, or a line cannot be read.
    pub fn read(_bytes: &[u8]) -> Result<Self, RecordingError> {
        Ok(Self {})
    }

    /// The recording as gzip of JSON lines.
    pub fn write(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Makes a recording of captured websocket frames and REST bodies (JSON lines each).
    ///
    /// # Errors
    /// When a line cannot be read.
    pub fn from_capture(
        _frames: &str,
        _builds: &str,
        _collections: &str,
    ) -> Result<Self, RecordingError> {
        Ok(Self {})
    }
}

impl LogSource for Recording {
    fn lines(
        &self,
        log: LogId,
        _first: u64,
        _limit: u64,
    ) -> BoxFuture<'_, Result<LogChunk, ClientError>> {
        async move { Err(ClientError::NotFound(format!("log {log}"))) }.boxed()
    }
}

/// How a recording is played.
#[derive(Clone, Debug, PartialEq)]
pub struct PlayOptions {
    /// How many loops are history when the play begins.
    pub preload_loops: u32,
    /// How much faster than it was recorded.
    pub speed: f64,
}

impl Default for PlayOptions {
    fn default() -> Self {
        Self { preload_loops: 6, speed: 1.0 }
    }
}

/// Plays a recording in a loop until `cancel`, its keys and times moved on for each loop.
pub async fn play(
    _recording: Recording,
    _options: PlayOptions,
    _sink: impl Sink,
    cancel: CancellationToken,
) {
    cancel.cancelled().await;
}
