//! Why a request is refused: one body for every answer that is no success.

use crate::{ConsumerError, LogError, StoreError};
use master::ClientError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a request is refused: the body of every answer that is no success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// The class, for programs.
    pub code: Code,
    /// What is wrong and what to do about it, in plain words.
    pub message: String,
    /// With [`Code::Superseded`]: the generation that holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
}

/// Classes of [`Problem`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// 400: a parameter or body is malformed or too large.
    Bounds,
    /// 401: no token, or one that is forged, expired or of another master.
    Unauthorized,
    /// 403: the token's rights don't cover this.
    Forbidden,
    /// 404: there is no such thing.
    NotFound,
    /// 405: the path is right, the method is not.
    Method,
    /// 409: the consumer was opened anew by somebody else; leave it to them.
    Superseded,
    /// 409: the consumer is not open, since the feed was started anew or its reader was silent for
    /// long: open it, with what is held.
    NotOpen,
    /// 409: the position is of a journal that is lost.
    OtherJournal,
    /// 409: the position was not handed out in this generation.
    NotHandedOut,
    /// 429: too many connections or requests of one token.
    TooMany,
    /// 502: the master did not give a log's lines.
    Master,
    /// 503: no master is connected that could be asked.
    NoSource,
    /// 503: the journal does not answer, or is closing.
    Unavailable,
    /// 507: the disk is full.
    DiskFull,
    /// 500: the journal is damaged.
    Damaged,
    /// Of a later release.
    #[serde(other)]
    Unknown,
}

impl Code {
    /// The HTTP status that goes with it.
    pub fn status(self) -> u16 {
        match self {
            Self::Bounds => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Method => 405,
            Self::Superseded | Self::NotOpen | Self::OtherJournal | Self::NotHandedOut => 409,
            Self::TooMany => 429,
            Self::Master => 502,
            Self::NoSource | Self::Unavailable => 503,
            Self::DiskFull => 507,
            Self::Damaged | Self::Unknown => 500,
        }
    }
}

impl Problem {
    /// A problem without further data.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), generation: None }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::DiskFull(_) => Code::DiskFull,
            StoreError::Io(_)
            | StoreError::Closed
            | StoreError::Away(_)
            | StoreError::Refused(_) => Code::Unavailable,
            StoreError::Corrupted(_) => Code::Damaged,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ConsumerError> for Problem {
    fn from(error: ConsumerError) -> Self {
        let message = error.to_string();
        let (code, generation) = match error {
            ConsumerError::Store(error) => return error.into(),
            ConsumerError::Superseded { newer, .. } => (Code::Superseded, Some(newer)),
            ConsumerError::OtherJournal { .. } => (Code::OtherJournal, None),
            ConsumerError::NotHandedOut { .. } => (Code::NotHandedOut, None),
            ConsumerError::Bounds(_) => (Code::Bounds, None),
            ConsumerError::NotFound(_) => (Code::NotFound, None),
        };
        Self { code, message, generation }
    }
}

impl From<LogError> for Problem {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Store(error) => error.into(),
            LogError::NoSource => Self::new(Code::NoSource, error.to_string()),
            LogError::Master(ClientError::NotFound(_)) => {
                Self::new(Code::NotFound, error.to_string())
            }
            LogError::Master(_) => Self::new(Code::Master, error.to_string()),
        }
    }
}
