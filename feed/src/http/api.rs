//! What goes over the wire between a feed and those who read it; `docs/feed-api.md` tells it to
//! people, `docs/feed-api.openapi.yaml` to programs.
//!
//! All bodies are JSON, but for a snapshot, which is MessagePack where the reader accepts that.
//! Fields may be added; readers ignore those they don't know.

use crate::{
    BuildQuery, CatchUp, ConsumerError, ConsumerStatus, DeadLetter, LogError, Parked,
    SnapshotLimits, StateChange, StoreError,
};
use master::MasterState;
use model::{Build, Change, Links, Live, Position, Record};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// The first segment of every path.
pub const VERSION: &str = "v1";
/// Media type of a snapshot in MessagePack.
pub const MSGPACK: &str = "application/vnd.msgpack";

/// `GET /v1/info`: whose feed this is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Info {
    /// The master's UID, as in every [`model::Identity`].
    pub master_uid: String,
    /// The `Master` resource's namespace.
    pub namespace: String,
    /// The `Master` resource's name.
    pub name: String,
    /// Where messages link to.
    pub links: Links,
    /// The position of the newest record.
    pub head: Position,
    /// How the connection to the master stands.
    pub state: MasterState,
    /// Plain words, if there was a journal before this one that was lost.
    pub journal_lost: Option<String>,
    /// The feed's release.
    pub release: String,
}

/// `GET /v1/snapshot?…`.
pub type SnapshotQuery = SnapshotLimits;

/// `GET /v1/builds?builder=&below=&limit=`: newest first.
pub type BuildsQuery = BuildQuery;

/// `GET /v1/changes?below=&limit=`: newest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ChangesQuery {
    /// Only changes below this key.
    pub below: Option<u64>,
    /// Most changes in the answer.
    pub limit: Option<usize>,
}

/// `GET /v1/users?after=&limit=`: by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UsersQuery {
    /// Only users after this name.
    pub after: Option<String>,
    /// Most users in the answer.
    pub limit: Option<usize>,
}

/// `GET /v1/logs/{id}?first=&limit=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LinesQuery {
    /// The first line, from 0.
    pub first: u64,
    /// Most lines in the answer.
    pub limit: Option<u64>,
}

/// `GET /v1/logs/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lines {
    /// Number of the first line, from 0.
    pub first: u64,
    /// See [`master::LogChunk::text`].
    pub text: String,
}

/// `GET /v1/events` as server-sent events, for readers that keep no place: one item each, under
/// the SSE event name that is its `type`. The SSE id is the reader's position, for
/// `Last-Event-ID` (or `?from=`); without either the reader starts at the head.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "camelCase")]
pub enum EphemeralItem {
    /// A journaled event.
    Record(Arc<Record>),
    /// A passing sign of life.
    Live(Arc<Live>),
    /// A finished build of the past.
    History(Arc<Build>),
    /// A change of the past.
    HistoryChange(Arc<Change>),
    /// The connection to the master changed.
    State(MasterState),
    /// Something was missed that can't be read on: take a new snapshot.
    Resync,
}

/// `POST /v1/consumers/{name}/open`: begins a generation; older ones are refused from then on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OpenRequest {
    /// Most records handed out and not yet done with.
    pub window: Option<usize>,
    /// How long events wait for this consumer, in milliseconds.
    pub max_backlog_ms: Option<u64>,
    /// What to do about events that were dropped before they were done.
    pub catch_up: Option<CatchUp>,
    /// Records that the consumer had been handed under an earlier generation and still works on:
    /// they are in flight from the start, and are not handed out again.
    pub held: Vec<Position>,
}

/// The answer to [`OpenRequest`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Opened {
    /// For every later request.
    pub generation: u64,
    /// The consumer's figures.
    pub status: ConsumerStatus,
    /// Its small state; values in Base64.
    pub state: BTreeMap<String, Base64>,
}

/// `GET /v1/consumers/{name}/events?generation=`: with `Accept: text/event-stream` records as
/// they come, until the connection or the generation ends; else a long poll that answers
/// [`Records`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumeQuery {
    /// Of [`Opened`].
    pub generation: u64,
    /// Long poll: how long to wait for the first record, in seconds; at most 60.
    pub wait: Option<u64>,
    /// Long poll: most records in the answer.
    pub limit: Option<usize>,
}

/// The answer to a long poll.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Records {
    /// Records, in order; none if there was none in time.
    pub records: Vec<Arc<Record>>,
    /// Records that are not done.
    pub backlog: u64,
}

/// SSE event names of a consumer's stream.
pub mod consumed {
    /// A [`model::Record`]; the SSE id is its position.
    pub const RECORD: &str = "record";
    /// A [`super::Backlog`], after each record and now and then.
    pub const BACKLOG: &str = "backlog";
    /// The stream ends: a [`super::Problem`].
    pub const END: &str = "end";
}

/// Data of [`consumed::BACKLOG`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backlog {
    /// Records that are not done.
    pub backlog: u64,
}

/// `POST /v1/consumers/{name}/acks`: what is done, committed together where that is possible.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AckRequest {
    /// Of [`Opened`].
    pub generation: u64,
    /// In order.
    pub acks: Vec<Ack>,
}

/// One thing that is done. Without a position only the state changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Ack {
    /// The record.
    pub position: Option<Position>,
    /// Keys of the small state to set.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, Base64>,
    /// Keys of the small state to remove, before others are set.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    /// The record is given up: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub letter: Option<DeadLetter>,
}

impl Ack {
    /// The change of state; `None` if there is none.
    pub fn change(&self) -> Option<StateChange> {
        (!self.set.is_empty() || !self.remove.is_empty()).then(|| StateChange {
            set: self.set.iter().map(|(key, value)| (key.clone(), value.0.clone())).collect(),
            remove: self.remove.iter().cloned().collect(),
        })
    }
}

/// The answer to [`AckRequest`]: one result for each, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AckResponse {
    /// `null` for what is on disk.
    pub results: Vec<Option<Problem>>,
    /// Records that are not done.
    pub backlog: u64,
}

/// `GET /v1/consumers/{name}/dead-letters?after=&limit=`: oldest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LettersQuery {
    /// Only letters after this position.
    pub after: Option<Position>,
    /// Most letters in the answer.
    pub limit: Option<usize>,
}

/// The answer to [`LettersQuery`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Letters {
    /// Records given up.
    pub letters: Vec<Parked>,
}

/// `POST /v1/consumers/{name}/replay`: hands finished builds of the history out to a consumer
/// once more (or for the first time: after the journal was lost).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayRequest {
    /// How far back, and how many.
    pub catch_up: CatchUp,
}

/// The answer to [`ReplayRequest`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replayed {
    /// Builds that will be handed out.
    pub builds: u64,
}

/// Bytes in standard Base64.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base64(pub Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use base64::Engine as _;
        serializer.serialize_str(&base64::engine::general_purpose::STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use base64::Engine as _;
        let text = String::deserialize(deserializer)?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text);
        bytes.map(Self).map_err(serde::de::Error::custom)
    }
}

/// Why a request is refused: the body of every answer that is no success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// 409: the consumer was opened anew.
    Superseded,
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
            Self::Superseded | Self::OtherJournal | Self::NotHandedOut => 409,
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
            StoreError::Io(_) | StoreError::Closed => Code::Unavailable,
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
            LogError::Master(_) => Self::new(Code::Master, error.to_string()),
        }
    }
}
