//! What goes over the wire between a feed and those who read it; `docs/feed-api.md` tells it to
//! people, `docs/feed-api.openapi.yaml` to programs.
//!
//! Every request carries `Authorization: Bearer TOKEN`. All bodies are JSON, but for a snapshot,
//! which is MessagePack where the reader accepts that. Fields may be added; readers ignore those
//! they don't know. Names of fields are as in the records and in Buildbot's own API.
//!
//! | request | right | body | answer |
//! |---|---|---|---|
//! | `GET /v1/info` | read | | [`Info`] |
//! | `GET /v1/snapshot?…` | read | [`SnapshotQuery`] | [`crate::Snapshot`] |
//! | `GET /v1/events?from=` | read | [`EventsQuery`] | SSE of [`Item`] |
//! | `GET /v1/builds?…` | read | [`BuildsQuery`] | [`Builds`] |
//! | `GET /v1/builds/{id}` | read | | [`Build`] |
//! | `GET /v1/changes?…` | read | [`ChangesQuery`] | [`Changes`] |
//! | `GET /v1/changes/{id}` | read | | [`Change`] |
//! | `GET /v1/users?…` | read | [`UsersQuery`] | [`Users`] |
//! | `GET /v1/logs/{id}?…` | read | [`LinesQuery`] | [`Lines`] |
//! | `GET /v1/logs/{id}/watch` | read | | SSE without events |
//! | `GET /v1/consumers` | manage | | [`Consumers`] |
//! | `GET /v1/consumers/{name}` | consume (its own), manage | | [`ConsumerStatus`] |
//! | `DELETE /v1/consumers/{name}` | manage | | 204 |
//! | `PUT /v1/consumers/{name}/report` | consume or read (its own) | [`Report`] | 204 |
//! | `POST /v1/consumers/{name}/open` | consume (its own) | [`OpenRequest`] | [`Opened`] |
//! | `GET /v1/consumers/{name}/events?…` | consume (its own) | [`ConsumeQuery`] | SSE, or [`Records`] |
//! | `POST /v1/consumers/{name}/acks` | consume (its own) | [`AckRequest`] | [`AckResponse`] |
//! | `GET /v1/consumers/{name}/dead-letters?…` | consume (its own), manage | [`LettersQuery`] | [`Letters`] |
//! | `GET /v1/consumers/{name}/dead-letters/{position}` | consume (its own), manage | | [`Parked`] |
//! | `POST /v1/consumers/{name}/dead-letters/{position}/replay` | consume (its own), manage | | 204 |
//! | `DELETE /v1/consumers/{name}/dead-letters/{position}` | manage | | 204 |
//! | `POST /v1/consumers/{name}/replay` | consume (its own), manage | [`ReplayRequest`] | [`Replayed`] |
//!
//! A consumer's name is one segment of the path: `mail/main` is `mail%2Fmain`. Every answer that
//! is no success is a [`Problem`].

use super::words;
pub use super::{
    problem::{Code, Problem},
    words::{Base64, Past, Place},
};
pub use crate::Item;
use crate::{
    BuildQuery, CatchUp, ConsumerStatus, DeadLetter, Done, Fault, LossKind, Parked, ReaderStatus,
    SnapshotLimits, StateChange, User,
};
use master::MasterState;
use model::{Build, Change, Links, Position, Record};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// The first segment of every path.
pub const VERSION: &str = "v1";
/// Media type of a snapshot in MessagePack.
pub const MSGPACK: &str = "application/vnd.msgpack";

/// `GET /v1/info`: whose feed this is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// How it was lost.
    #[serde(default)]
    pub journal_lost_reason: Option<LossKind>,
    /// Settings that the feed can't use, and so waits for; the master is not read meanwhile.
    #[serde(default)]
    pub problem: Option<Fault>,
    /// Builders in the master's configuration.
    #[serde(default)]
    pub builders: u64,
    /// Builds that run.
    #[serde(default)]
    pub running: u64,
    /// The feed's release.
    pub release: String,
}

/// `GET /v1/snapshot?…`.
pub type SnapshotQuery = SnapshotLimits;

/// `GET /v1/builds?builder=&below=&limit=`: newest first.
pub type BuildsQuery = BuildQuery;

/// The answer to [`BuildsQuery`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Builds {
    /// Finished builds, newest first.
    pub builds: Vec<Build>,
}

/// `GET /v1/changes?below=&limit=`: newest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ChangesQuery {
    /// Only changes below this key.
    pub below: Option<u64>,
    /// Most changes in the answer.
    pub limit: Option<usize>,
}

/// The answer to [`ChangesQuery`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Changes {
    /// Changes, newest first.
    pub changes: Vec<Change>,
}

/// `GET /v1/users?after=&limit=`: by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct UsersQuery {
    /// Only users after this name.
    pub after: Option<String>,
    /// Most users in the answer.
    pub limit: Option<usize>,
}

/// The answer to [`UsersQuery`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Users {
    /// People whom changes and builds name, by name.
    pub users: Vec<User>,
}

/// `GET /v1/logs/{id}?first=&limit=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LinesQuery {
    /// The first line, from 0.
    pub first: u64,
    /// Most lines in the answer.
    pub limit: Option<u64>,
}

/// `GET /v1/logs/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lines {
    /// Number of the first line, from 0.
    pub first: u64,
    /// See [`master::LogChunk::text`].
    pub text: String,
}

/// `GET /v1/events?from=`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct EventsQuery {
    /// A position, or the id of an event of an earlier stream; the header `Last-Event-ID`, which
    /// reconnecting readers send, goes before.
    pub from: Option<Place>,
}

/// `POST /v1/consumers/{name}/open`: begins a generation; older ones are refused from then on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
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
    /// The floor that the consumer had when it was last heard of: in another journal than the
    /// present one it says that the journal was lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known: Option<Position>,
}

/// The answer to [`OpenRequest`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
/// [`Records`]. One request of a generation reads at a time: a later one ends the earlier.
///
/// What was on its way when a connection was cut is in flight, and is not handed out again in the
/// same generation: after any failure open anew, with `held`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ConsumeQuery {
    /// Of [`Opened`].
    pub generation: u64,
    /// Long poll: how long to wait for the first record, in seconds; at most 60.
    pub wait: Option<u64>,
    /// Long poll: most records in the answer.
    pub limit: Option<usize>,
}

/// The answer to a long poll.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// A [`super::Backlog`], after records that were sent together, and now and then.
    pub const BACKLOG: &str = "backlog";
    /// The stream ends: a [`super::Problem`].
    pub const END: &str = "end";
}

/// Data of [`consumed::BACKLOG`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Backlog {
    /// Records that are not done.
    pub backlog: u64,
}

/// `POST /v1/consumers/{name}/acks`: what is done, committed together where that is possible.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AckRequest {
    /// Of [`Opened`].
    pub generation: u64,
    /// In order.
    pub acks: Vec<Ack>,
}

/// One thing that is done. Without a position only the state changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
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
    /// The peer took it, or a part of it.
    #[serde(skip_serializing_if = "is_default")]
    pub delivered: bool,
    /// How many attempts failed before the record was done.
    #[serde(skip_serializing_if = "is_default")]
    pub failed: u32,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Ack {
    /// What is done of a record.
    pub fn done(&self) -> Done {
        let (letter, delivered) = (self.letter.clone(), self.delivered);
        Done { change: self.change(), letter, delivered, failed: self.failed }
    }

    /// The change of state; `None` if there is none.
    pub fn change(&self) -> Option<StateChange> {
        (!self.set.is_empty() || !self.remove.is_empty()).then(|| StateChange {
            set: self.set.iter().map(|(key, value)| (key.clone(), value.0.clone())).collect(),
            remove: self.remove.iter().cloned().collect(),
        })
    }
}

/// The answer to [`AckRequest`]: one result for each, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AckResponse {
    /// `null` for what is on disk.
    pub results: Vec<Option<Problem>>,
    /// Records that are not done.
    pub backlog: u64,
}

/// `PUT /v1/consumers/{name}/report`: what the process of a target or of pages says of itself.
pub use crate::Report;

/// The answer to `GET /v1/consumers`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Consumers {
    /// Figures of all consumers, by name.
    pub consumers: Vec<ConsumerStatus>,
    /// Those without a consumer who said something of themselves within the last ten minutes, by
    /// name.
    #[serde(default)]
    pub readers: Vec<ReaderStatus>,
}

/// `GET /v1/consumers/{name}/dead-letters?after=&limit=`: oldest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LettersQuery {
    /// Only letters after this position.
    #[serde(with = "words::position", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::position::schema")]
    pub after: Option<Position>,
    /// Most letters in the answer.
    pub limit: Option<usize>,
}

/// The answer to [`LettersQuery`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Letters {
    /// Records given up.
    pub letters: Vec<Parked>,
}

/// `POST /v1/consumers/{name}/replay`: hands finished builds of the history out to a consumer
/// once more (or for the first time: after the journal was lost).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReplayRequest {
    /// How far back, and how many.
    pub catch_up: CatchUp,
}

/// The answer to [`ReplayRequest`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Replayed {
    /// Builds that will be handed out.
    pub builds: u64,
}
