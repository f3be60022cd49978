//! What can go wrong between a record and its delivery.

use std::time::Duration;

/// Why a message was not taken, and so what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The peer may take it later: no connection, a time-out, SMTP 4xx, HTTP 5xx.
    /// Tried again until the record is older than [`crate::Options::max_age`].
    #[error("{0}")]
    Transient(String),
    /// As [`Self::Transient`], but only a part of the message waits, and the peer itself works:
    /// one mailbox is full. Later records of the builder don't wait for it.
    #[error("{0}")]
    PutOff(String),
    /// The peer asks for fewer messages. The whole target waits.
    #[error("{text}")]
    Throttled {
        /// How long to wait, where the peer said.
        after: Option<Duration>,
        /// What it said.
        text: String,
    },
    /// The peer will never take this message. It becomes a dead letter.
    #[error("{0}")]
    Permanent(String),
    /// The peer will take nothing until somebody changes a setting: wrong password, TLS refused.
    /// The whole target waits, nothing is given up.
    #[error("{0}")]
    Misconfigured(String),
}

impl SendError {
    /// The class's name in metrics, logs and dead letters.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Transient(_) => "transient",
            Self::PutOff(_) => "put-off",
            Self::Throttled { .. } => "throttled",
            Self::Permanent(_) => "permanent",
            Self::Misconfigured(_) => "misconfigured",
        }
    }

    /// Why the peer counts as one that can't be reached, in one word; `None` if it talks to us.
    pub(crate) fn unreached(&self) -> Option<&'static str> {
        match self {
            Self::Transient(_) => Some("Transient"),
            Self::Throttled { .. } => Some("Throttled"),
            Self::Misconfigured(_) => Some("Misconfigured"),
            Self::PutOff(_) | Self::Permanent(_) => None,
        }
    }
}

/// A message that could not be made: a template failed, a value is too large.
/// The record becomes a dead letter with class `compose`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ComposeError(pub String);

/// Why a target's loop ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The journal did not give records or take acknowledgements.
    #[error("target {target}: {source}")]
    Source {
        /// The target's name.
        target: String,
        /// What the journal said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The state that the target kept in the journal can't be read.
    #[error("target {target}: the state kept in the journal is unreadable: {text}")]
    State {
        /// The target's name.
        target: String,
        /// What is wrong with it.
        text: String,
    },
}
