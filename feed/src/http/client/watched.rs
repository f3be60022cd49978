//! Logs that are followed here, each by one stream however many follow it.

use super::{Remote, failure::Failure};
use model::{Backoff, LogId};
use reqwest::Method;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
};
use tokio::{sync::Semaphore, task::AbortHandle};

/// Most streams at a time, of the 64 requests that a feed lets one token run. Who follows a log
/// beyond them has its lines later, when they are asked for anyway.
const STREAMS: usize = 24;

/// By log; a log that nobody follows any more stays until another is followed.
#[derive(Debug)]
pub(super) struct Watches {
    by_log: Mutex<HashMap<LogId, Weak<Stream>>>,
    places: Arc<Semaphore>,
}

impl Default for Watches {
    fn default() -> Self {
        Self { by_log: Mutex::default(), places: Arc::new(Semaphore::new(STREAMS)) }
    }
}

/// Somebody follows a log of a feed elsewhere.
#[derive(Clone, Debug)]
pub struct RemoteWatch {
    _stream: Arc<Stream>,
}

/// The task that keeps the stream open.
#[derive(Debug)]
struct Stream(AbortHandle);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Remote {
    /// As [`crate::Feed::watch_log`]. The feed is told in the background, again and again while it
    /// is away.
    pub fn watch_log(&self, log: LogId) -> RemoteWatch {
        let watches = &self.inner.watches;
        let mut by_log = watches.by_log.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(stream) = by_log.get(&log).and_then(Weak::upgrade) {
            return RemoteWatch { _stream: stream };
        }
        by_log.retain(|_, stream| stream.strong_count() > 0);
        let (remote, places) = (self.clone(), Arc::clone(&watches.places));
        let task = tokio::spawn(async move {
            // Closed never.
            let _place = places.acquire_owned().await;
            remote.keep_open(log).await;
        });
        let stream = Arc::new(Stream(task.abort_handle()));
        by_log.insert(log, Arc::downgrade(&stream));
        RemoteWatch { _stream: stream }
    }

    /// Keeps a stream open by which the feed knows that a log is followed.
    async fn keep_open(&self, log: LogId) {
        let (first, longest) = self.inner.options.retry;
        let mut backoff = Backoff::new(first, longest);
        loop {
            let id = log.0.to_string();
            let request = self.request(Method::GET, &["logs", &id, "watch"]);
            let failure = match self.stream(request).await {
                Ok(mut events) => {
                    backoff.reset();
                    loop {
                        // It says nothing but that it is there.
                        if let Err(failure) = events.next().await {
                            break failure;
                        }
                    }
                }
                Err(failure) => failure,
            };
            if let Failure::Refused(problem) = &failure {
                tracing::debug!(%log, code = ?problem.code, "a log is not watched for now");
            }
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }
}
