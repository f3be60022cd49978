//! What can go wrong between this process and a master.

use std::time::Duration;

/// Why a master did not answer as a Buildbot 4.x master does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens, the name does not resolve, TLS fails, the connection broke.
    #[error("the master cannot be reached: {0}")]
    Unreachable(String),
    /// No answer within the time allowed.
    #[error("the master did not answer within {} s: {path}", .after.as_secs())]
    Slow {
        /// What was asked.
        path: String,
        /// How long was waited.
        after: Duration,
    },
    /// 401 or 403, or the login was refused.
    #[error("the master denies access: {0}")]
    Denied(String),
    /// Something answers, but no Buildbot master.
    #[error("this is not a Buildbot master: {0}")]
    NotBuildbot(String),
    /// A Buildbot before 4.0 or without `/api/v2`.
    #[error("this master is too old: {0}; Buildbot 4.0 or newer is needed")]
    OldApi(String),
    /// 404: the thing asked for is not there (any more).
    #[error("the master has no {0}")]
    NotFound(String),
    /// 429 or 5xx.
    #[error("the master answered {status} to {path}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// What was asked.
        path: String,
    },
    /// The answer is larger than what is read.
    #[error("the answer to {path} has more than {limit} bytes")]
    TooLarge {
        /// What was asked.
        path: String,
        /// The most bytes that are read.
        limit: usize,
    },
    /// The answer is no JSON or not of the documented form.
    #[error("the master's answer cannot be understood: {0}")]
    Garbage(String),
    /// The settings cannot be used: a bad address or certificate.
    #[error("the settings of the master cannot be used: {0}")]
    Settings(String),
}
