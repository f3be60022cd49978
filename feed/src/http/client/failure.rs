//! Why a request has no answer, and what readers hear of it.

use crate::{
    ConsumerError, LogError, StoreError,
    http::api::{Code, Problem},
};
use master::ClientError;
use std::error::Error as _;

/// Why a request has no answer.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// No answer came. The feed has not heard the request if `unheard`; else it may have.
    Away { text: String, unheard: bool },
    /// The feed says no.
    Refused(Problem),
}

impl Failure {
    /// An answer that does not come in time, breaks off or can't be understood.
    pub(super) fn lost(text: impl Into<String>) -> Self {
        Self::Away { text: text.into(), unheard: false }
    }

    /// A request that can't be made.
    pub(super) fn unheard(text: impl Into<String>) -> Self {
        Self::Away { text: text.into(), unheard: true }
    }

    /// Whether the feed may have done what was asked although it did not say so.
    pub(super) fn may_be_done(&self) -> bool {
        matches!(self, Self::Away { unheard: false, .. })
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Away { text, .. } => write!(f, "the feed does not answer: {text}"),
            Self::Refused(problem) => write!(f, "the feed refuses: {problem}"),
        }
    }
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        let unheard = error.is_connect() || error.is_builder();
        // The causes say why; the address is known and may hold what is secret.
        let error = error.without_url();
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            text = format!("{text}: {inner}");
            cause = inner.source();
        }
        Self::Away { text, unheard }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Away { text, .. } => Self::Away(text),
            Failure::Refused(problem) => Self::Refused(problem.message),
        }
    }
}

impl From<Failure> for LogError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(Problem { code: Code::NotFound, message, .. }) => {
                let what = message.strip_prefix("the master has no ").unwrap_or(&message);
                Self::Master(ClientError::NotFound(what.to_owned()))
            }
            Failure::Refused(Problem { code: Code::NoSource, .. }) => Self::NoSource,
            other => Self::Store(other.into()),
        }
    }
}

impl Failure {
    /// As a consumer's error.
    pub(super) fn of_consumer(self, name: &str, own: u64) -> ConsumerError {
        let Self::Refused(Problem { code, message, generation }) = self else {
            return ConsumerError::Store(self.into());
        };
        match code {
            Code::Superseded => {
                let newer = generation.unwrap_or_default();
                ConsumerError::Superseded { name: name.to_owned(), own, newer }
            }
            Code::NotFound => {
                let what = message.strip_prefix("there is no ").unwrap_or(&message);
                ConsumerError::NotFound(what.to_owned())
            }
            Code::Bounds => ConsumerError::Bounds(message),
            _ => ConsumerError::Store(StoreError::Refused(message)),
        }
    }
}
