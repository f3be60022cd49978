//! The text of logs, as a page and as plain text (P13, P14).
//!
//! A log may have hundreds of megabytes. So nothing here ever holds one whole: lines come in
//! chunks, each is rendered and sent before the next is asked for, and a page shows a
//! [`Window`] of lines with links to the others. Only the page of a log that is still written
//! has all its lines read before it begins, since it says there where it ends.

mod follow;
pub(crate) mod lines;
mod stream;
mod window;

pub use follow::{Progress, follow};
pub use lines::{Lines, is_error, plain};
pub use stream::{Aside, html, text};
pub use window::{BadWindow, PAGE, Window};

use feed::{AnyFeed, LogError, LogWatch};
use futures_util::{FutureExt, future::BoxFuture};
use master::LogChunk;
use model::LogId;

/// Lines asked for at once.
pub const CHUNK: u64 = 1_000;

/// Where the text of logs comes from. A feed in earnest.
pub trait LogText: std::fmt::Debug + Send + Sync {
    /// At most `limit` lines from line `first` (from 0) on; none past the end.
    ///
    /// # Errors
    /// [`LogError`] when neither cache nor master has them.
    fn lines(
        &self,
        log: LogId,
        first: u64,
        limit: u64,
    ) -> BoxFuture<'_, Result<LogChunk, LogError>>;

    /// Has growth of a log told for as long as the watch is held; `None` where nobody tells.
    fn watch(&self, log: LogId) -> Option<LogWatch> {
        let _ = log;
        None
    }
}

impl LogText for AnyFeed {
    fn lines(
        &self,
        log: LogId,
        first: u64,
        limit: u64,
    ) -> BoxFuture<'_, Result<LogChunk, LogError>> {
        self.log(log, first, limit).boxed()
    }

    fn watch(&self, log: LogId) -> Option<LogWatch> {
        Some(self.watch_log(log))
    }
}
