//! A feed in another process, read over HTTP as if it were in this one.
//!
//! Nothing here fails for good because the feed is away: readers say so and connect again.

mod connection;
mod consumer;
mod driver;
mod failure;
mod follower;
mod manage;
mod outbox;
mod read;
mod sse;
mod token_file;
mod watched;

pub use consumer::{RemoteConsumer, RemoteHandle};
pub use follower::RemoteFollower;
pub use watched::RemoteWatch;

use master::MasterState;
use reqwest::Url;
use std::{path::Path, sync::Arc, time::Duration};
use token_file::TokenFile;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use watched::Watches;

/// How long the last acknowledgements are tried at the end: well within the half minute that Kubernetes gives
/// a pod.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// How long a connection waits for another request.
const POOLED: Duration = Duration::from_secs(5);

/// How a feed elsewhere is asked.
#[derive(Clone, Debug)]
pub struct RemoteOptions {
    /// How long an answer may take.
    pub timeout: Duration,
    /// How long a stream may be silent before it is cut: the feed writes something every 15 s.
    pub silence: Duration,
    /// The longest wait before a connection is made anew, the first time and ever.
    pub retry: (Duration, Duration),
}

impl Default for RemoteOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            silence: Duration::from_secs(50),
            retry: (Duration::from_millis(500), Duration::from_secs(30)),
        }
    }
}

/// Why a feed can't be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// No address of a feed.
    #[error("{url:?} is no address of a feed: {reason}")]
    Address {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No token.
    #[error("{0}")]
    Token(String),
    /// No client of HTTP.
    #[error("HTTP can't be used: {0}")]
    Http(String),
}

/// A feed at an address; clones share it. Reads like a [`crate::Feed`].
#[derive(Clone, Debug)]
pub struct Remote {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    http: reqwest::Client,
    url: Url,
    token: TokenFile,
    options: RemoteOptions,
    /// As heard last.
    state: watch::Sender<MasterState>,
    /// What drives consumers.
    tasks: TaskTracker,
    /// Logs that are followed.
    watches: Watches,
}

impl Remote {
    /// A feed at `url`, asked with the token in the file `token`, which is read again when it
    /// changes. Nothing is asked yet.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub fn new(url: &str, token: &Path, options: RemoteOptions) -> Result<Self, RemoteError> {
        let refused = |reason: String| RemoteError::Address { url: url.to_owned(), reason };
        let parsed: Url = url.parse().map_err(|error| refused(format!("{error}")))?;
        if !matches!(parsed.scheme(), "http" | "https") || parsed.cannot_be_a_base() {
            return Err(refused("it must begin with http:// or https://".to_owned()));
        }
        let token = TokenFile::new(token);
        token.header().map_err(RemoteError::Token)?;
        // reqwest panics without one. An error only says that the process has one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // In a pod of somebody's own image there may be no authorities, and none are needed.
        let tls = master::tls(None).map_err(|error| RemoteError::Http(error.to_string()))?;
        let builder = reqwest::Client::builder()
            .tls_backend_preconfigured((*tls).clone())
            .user_agent(concat!("buildbot-status/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(options.timeout.min(Duration::from_secs(10)))
            .tcp_keepalive(Duration::from_secs(15))
            // After a silence no connection is used again that may be as dead as the stream's.
            .pool_idle_timeout(POOLED.min(options.silence / 2))
            .no_proxy();
        // A connection whose packets are dropped is given up even while it is only written to.
        #[cfg(target_os = "linux")]
        let builder = builder.tcp_user_timeout(options.timeout);
        let http = builder.build().map_err(|error| RemoteError::Http(error.to_string()))?;
        Ok(Self {
            inner: Arc::new(Inner {
                http,
                url: parsed,
                token,
                options,
                state: watch::Sender::new(MasterState::default()),
                tasks: TaskTracker::new(),
                watches: Watches::default(),
            }),
        })
    }

    /// How the connection to the master stood when the feed was heard last.
    pub fn state(&self) -> watch::Receiver<MasterState> {
        self.inner.state.subscribe()
    }

    /// Waits until what was acknowledged is on the feed's disk, for ten seconds at most.
    /// Consumers and their handles must be gone.
    pub async fn close(&self) {
        self.inner.tasks.close();
        let patience = self.inner.options.timeout.min(LAST_WORDS);
        if tokio::time::timeout(patience, self.inner.tasks.wait()).await.is_err() {
            tracing::warn!("the feed did not take the last acknowledgements in time");
        }
    }
}
