//! Following a log while it is written.

use crate::http::client::RemoteWatch;
use master::WatchGuard;

/// Somebody follows a log: as long as this is there, growth of the log is told to all followers by
/// [`model::Live::LogAppended`]. The master tells nobody of lines that nobody waits for.
#[derive(Debug)]
#[must_use = "the log is watched for as long as this lives"]
pub struct LogWatch {
    _held: Held,
}

/// Ends the watching when it is dropped.
#[derive(Debug)]
#[expect(dead_code, reason = "held for its drop")]
enum Held {
    Here(Option<WatchGuard>),
    Elsewhere(RemoteWatch),
}

impl From<Option<WatchGuard>> for LogWatch {
    /// `None` where nobody can be asked, or growth is told anyway.
    fn from(guard: Option<WatchGuard>) -> Self {
        Self { _held: Held::Here(guard) }
    }
}

impl From<RemoteWatch> for LogWatch {
    fn from(watch: RemoteWatch) -> Self {
        Self { _held: Held::Elsewhere(watch) }
    }
}
