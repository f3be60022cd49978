//! What happened on a master, and where it stands in the journal.

use crate::{
    Build, BuildId, Builder, BuilderId, BuilderName, Buildset, Change, Log, Request, Step,
    Timestamp, Worker,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A durable event: journaled once, delivered at least once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "camelCase")]
#[allow(missing_docs, reason = "each variant carries what its name says, whole")]
pub enum Event {
    BuildStarted { build: Box<Build> },
    BuildFinished { build: Box<Build> },
    StepStarted { build: BuildId, builder: BuilderName, number: u64, step: Step },
    StepFinished { build: BuildId, builder: BuilderName, number: u64, step: Step },
    RequestSubmitted { request: Request },
    RequestCancelled { request: Request },
    RequestCompleted { request: Request },
    BuildsetSubmitted { buildset: Box<Buildset> },
    BuildsetCompleted { buildset: Box<Buildset> },
    ChangeAdded { change: Box<Change> },
    WorkerConnected { worker: Worker },
    WorkerDisconnected { worker: Worker },
    WorkerChanged { worker: Worker },
    BuilderAdded { builder: Builder },
    BuilderChanged { builder: Builder },
    BuilderRemoved { builder: Builder },
}

impl Event {
    /// The kind, key and phase that make the event one of its own within a database.
    pub fn key(&self) -> (&'static str, u64, Phase) {
        use Phase::{Changed, Finished, Started};
        match self {
            Self::BuildStarted { build } => ("build", build.id.0, Started),
            Self::BuildFinished { build } => ("build", build.id.0, Finished),
            Self::StepStarted { step, .. } => ("step", step.id.0, Started),
            Self::StepFinished { step, .. } => ("step", step.id.0, Finished),
            Self::RequestSubmitted { request } => ("request", request.id.0, Started),
            Self::RequestCancelled { request } => ("request", request.id.0, Phase::Cancelled),
            Self::RequestCompleted { request } => ("request", request.id.0, Finished),
            Self::BuildsetSubmitted { buildset } => ("buildset", buildset.id.0, Started),
            Self::BuildsetCompleted { buildset } => ("buildset", buildset.id.0, Finished),
            Self::ChangeAdded { change } => ("change", change.id.0, Started),
            Self::WorkerConnected { worker } => ("worker", worker.id.0, Started),
            Self::WorkerDisconnected { worker } => ("worker", worker.id.0, Finished),
            Self::WorkerChanged { worker } => ("worker", worker.id.0, Changed),
            Self::BuilderAdded { builder } => ("builder", builder.id.0, Started),
            Self::BuilderChanged { builder } => ("builder", builder.id.0, Changed),
            Self::BuilderRemoved { builder } => ("builder", builder.id.0, Finished),
        }
    }

    /// The name of the variant, as metrics and logs give it: `buildFinished`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::BuildStarted { .. } => "buildStarted",
            Self::BuildFinished { .. } => "buildFinished",
            Self::StepStarted { .. } => "stepStarted",
            Self::StepFinished { .. } => "stepFinished",
            Self::RequestSubmitted { .. } => "requestSubmitted",
            Self::RequestCancelled { .. } => "requestCancelled",
            Self::RequestCompleted { .. } => "requestCompleted",
            Self::BuildsetSubmitted { .. } => "buildsetSubmitted",
            Self::BuildsetCompleted { .. } => "buildsetCompleted",
            Self::ChangeAdded { .. } => "changeAdded",
            Self::WorkerConnected { .. } => "workerConnected",
            Self::WorkerDisconnected { .. } => "workerDisconnected",
            Self::WorkerChanged { .. } => "workerChanged",
            Self::BuilderAdded { .. } => "builderAdded",
            Self::BuilderChanged { .. } => "builderChanged",
            Self::BuilderRemoved { .. } => "builderRemoved",
        }
    }

    /// When it happened by the master's clock, if it says so.
    pub fn happened_at(&self) -> Option<Timestamp> {
        match self {
            Event::BuildStarted { build } => Some(build.started_at),
            Event::BuildFinished { build } => build.complete_at,
            Event::StepStarted { step, .. } => step.started_at,
            Event::StepFinished { step, .. } => step.complete_at,
            Event::RequestSubmitted { request } => Some(request.submitted_at),
            Event::RequestCancelled { request } | Event::RequestCompleted { request } => {
                request.complete_at
            }
            Event::BuildsetSubmitted { buildset } => Some(buildset.submitted_at),
            Event::BuildsetCompleted { buildset } => buildset.complete_at,
            Event::ChangeAdded { change } => Some(change.when),
            _ => None,
        }
    }

    /// The builder within which delivery keeps this event's order; `None` for events
    /// of no one builder, which are kept in order among themselves.
    pub fn builder(&self) -> Option<BuilderId> {
        match self {
            Self::BuildStarted { build } | Self::BuildFinished { build } => Some(build.builder.id),
            Self::RequestSubmitted { request }
            | Self::RequestCancelled { request }
            | Self::RequestCompleted { request } => Some(request.builder),
            Self::BuilderAdded { builder }
            | Self::BuilderChanged { builder }
            | Self::BuilderRemoved { builder } => Some(builder.id),
            _ => None,
        }
    }
}

/// Which moment of a thing's life an event tells.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Phase {
    Started,
    Changed,
    Cancelled,
    Finished,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Started => "started",
            Self::Changed => "changed",
            Self::Cancelled => "cancelled",
            Self::Finished => "finished",
        })
    }
}

/// Where a record stands in a journal: for reading on, never for telling things apart.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
pub struct Position {
    /// Which journal: a new one after a loss has a higher epoch.
    pub epoch: u32,
    /// The record's number in it, from 1; 0 is before the first.
    pub seq: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.seq)
    }
}

impl FromStr for Position {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (epoch, seq) = text.split_once('.')?;
            Some(Self { epoch: epoch.parse().ok()?, seq: seq.parse().ok()? })
        };
        parse().ok_or("a position is EPOCH.NUMBER, such as 1.42")
    }
}

/// What an event is the same by, whoever saw it how often: for not doing a thing twice.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Identity {
    /// UID of the `Master` resource; outside a cluster made once and kept with the journal.
    pub master: String,
    /// Which database of that master: a new one has a higher epoch.
    pub database: u32,
    /// `build`, `step`, `change` …
    pub kind: String,
    /// The key in the master's database.
    pub id: u64,
    /// The moment of its life.
    pub phase: Phase,
    /// Tells events apart that may come again with one key and phase (workers, builders):
    /// their journal sequence. 0 for all others.
    #[serde(default)]
    pub nth: u64,
}

impl Identity {
    /// The identity of `event`, journaled as number `seq`.
    pub fn of(event: &Event, master: &str, database: u32, seq: u64) -> Self {
        let (kind, id, phase) = event.key();
        let recurs = matches!(kind, "worker" | "builder");
        Self {
            master: master.to_owned(),
            database,
            kind: kind.to_owned(),
            id,
            phase,
            nth: if recurs { seq } else { 0 },
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { master, database, kind, id, phase, nth } = self;
        write!(f, "{master}/{database}/{kind}/{id}/{phase}")?;
        if *nth > 0 { write!(f, "/{nth}") } else { Ok(()) }
    }
}

/// An event in its place in the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// Where it stands.
    pub position: Position,
    /// What it is the same by.
    pub identity: Identity,
    /// When it was journaled: milliseconds since 1970 UTC.
    pub journaled_ms: i64,
    /// What happened.
    pub event: Event,
}

/// A passing sign of life of something that runs: never journaled, lost without harm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "camelCase")]
#[allow(missing_docs, reason = "each variant carries what its name says, whole")]
pub enum Live {
    BuildText {
        build: BuildId,
        text: String,
    },
    StepChanged {
        build: BuildId,
        step: Step,
    },
    LogAppended {
        build: BuildId,
        log: Log,
    },
    /// The connection to the master came or went; the text says why, in plain words.
    Master {
        connected: bool,
        text: String,
    },
}

impl Record {
    /// When the thing happened by the master's clock, if the event says so.
    pub fn happened_at(&self) -> Option<Timestamp> {
        self.event.happened_at()
    }
}
