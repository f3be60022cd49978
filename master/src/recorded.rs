//! A recorded master, played in a loop: for demos and fast tests.
//!
//! A recording is what the assembler saw of a real master, with its time, and the text of
//! logs. It is played through the same assembler and into the same sink as a real one.

mod play;
mod shift;
mod tape;

pub use play::{PlayOptions, play};

use crate::{ClientError, LogChunk, LogSource, Observation};
use futures_util::{FutureExt, future::BoxFuture};
use model::LogId;
use std::sync::Arc;
use tape::Tape;

/// A recording of a master: what was seen of it, with its time, and the text of logs.
/// Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Recording(Arc<Tape>);

/// Why a recording cannot be read or made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the recording: {reason}")]
pub struct RecordingError {
    /// Line, from 1; 0 where the whole is meant.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl Recording {
    /// Reads a recording: gzip of JSON lines, as [`Recording::write`] makes it.
    ///
    /// # Errors
    /// When it is no gzip, or a line cannot be read.
    pub fn read(bytes: &[u8]) -> Result<Self, RecordingError> {
        Tape::read(bytes).map(|tape| Self(Arc::new(tape)))
    }

    /// The recording as gzip of JSON lines.
    ///
    /// # Errors
    /// When an observation cannot be put into JSON.
    pub fn write(&self) -> Result<Vec<u8>, RecordingError> {
        self.0.write()
    }

    /// Makes a recording of captured websocket frames (`{"k", "m", "t"}` a line) and REST
    /// bodies: of builds (`{"buildid", "build", "changes", "steps", "logs", "buildset",
    /// "buildset_properties"}`) and of collections (`{"path", "status", "body"}`).
    ///
    /// # Errors
    /// When a line cannot be read.
    pub fn from_capture(
        frames: &str,
        builds: &str,
        collections: &str,
    ) -> Result<Self, RecordingError> {
        let capture = crate::capture::Capture::read(frames, builds, collections)?;
        Ok(Self(Arc::new(Tape::of(capture))))
    }

    /// How long one loop of it takes.
    pub fn length(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0.length())
    }

    /// What was seen, in order, the answers of REST among the frames.
    pub fn observations(&self) -> impl Iterator<Item = &Observation> {
        self.0.setup.iter().chain(self.0.entries.iter().map(|(_, seen)| seen))
    }

    /// How many builds one loop of it has.
    pub fn builds(&self) -> usize {
        self.0.builds()
    }
}

impl LogSource for Recording {
    fn lines(
        &self,
        log: LogId,
        first: u64,
        limit: u64,
    ) -> BoxFuture<'_, Result<LogChunk, ClientError>> {
        let found = self.0.text(log).map(|text| {
            let skip = usize::try_from(first).unwrap_or(usize::MAX);
            let take = usize::try_from(limit).unwrap_or(usize::MAX);
            let text = text.split_inclusive('\n').skip(skip).take(take).collect();
            LogChunk { first, text }
        });
        let result = found.ok_or_else(|| ClientError::NotFound(format!("log {log}")));
        async move { result }.boxed()
    }
}

#[cfg(test)]
mod tests;
