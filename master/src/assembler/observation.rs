//! What can be seen of a master, what follows from it, and what must be asked for.

use crate::Dirty;
use model::{
    Build, BuildId, Builder, BuilderId, Buildset, BuildsetId, Change, Event, Live, Log, Outcome,
    Properties, Request, RequestId, SourceStampId, Step, StepId, Worker,
};
use serde::{Deserialize, Serialize};

/// One thing seen of the master, in a frame or a REST answer. Any may come repeatedly, late,
/// or never; what is older than what is known changes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Observation {
    /// Frames may have been lost from here on: what they would have told must be read.
    Disconnected,
    /// A frame could not be understood: what it told must be read, as after a gap.
    Doubt,
    /// What was missed has been read; frames are complete from here on.
    CaughtUp,
    /// The keys that a master has when an empty journal meets it: all up to these are history,
    /// but for what is open.
    #[allow(missing_docs, reason = "the names say it")]
    Baseline {
        build: u64,
        change: u64,
        buildset: u64,
        request: u64,
        open_builds: Vec<BuildId>,
        open_requests: Vec<RequestId>,
    },
    /// What the master says of itself.
    #[allow(missing_docs, reason = "fields of `World`")]
    Meta { title: String, title_url: String, buildbot_url: String, version: String },
    /// All builders.
    Builders(Vec<Builder>),
    /// All workers.
    Workers(Vec<Worker>),
    /// One worker.
    Worker(Worker),
    /// A change.
    Change(Box<Change>),
    /// A buildset; `whole` if its properties are in it.
    Buildset {
        /// The buildset.
        buildset: Box<Buildset>,
        /// Whether its properties are known.
        whole: bool,
        /// Whether a frame told it.
        frame: bool,
    },
    /// A buildset's properties.
    BuildsetProperties(BuildsetId, Properties),
    /// A request.
    Request(Request),
    /// Something became of a request; the frame does not say what.
    RequestHint(RequestId),
    /// Whether a request has a build.
    RequestBuilt(RequestId, bool),
    /// All requests of a buildset.
    Requests(BuildsetId, Vec<Request>),
    /// A build's own row, without steps.
    Build {
        /// The build.
        build: Box<Build>,
        /// Whether a frame told it.
        frame: bool,
    },
    /// Something became of a build; the frame does not say what.
    BuildHint(BuildId),
    /// Properties that were set.
    Properties(BuildId, Properties),
    /// A step, without logs.
    Step(BuildId, Box<Step>),
    /// A log of a step; the flag tells that only lines were appended.
    Log(StepId, Log, bool),
    /// A build with all of its own: properties, steps, logs.
    Whole(Box<Build>),
    /// Changes of a build back to the last success, in any order.
    Changes(BuildId, Vec<Change>),
    /// The changes of a build's source stamps alone.
    StampChanges(BuildId, Vec<Change>),
    /// Outcome of the build before.
    Previous(BuildId, Option<Outcome>),
    /// A need that cannot be met: what it asked for is not there.
    Absent(Need),
    /// A need that cannot be met at present, after some tries: what waits for it goes on.
    Unreadable(Need),
    /// Finished builds of the past, complete; `below` is where their loading goes on.
    History {
        /// The builds.
        builds: Vec<Build>,
        /// Builds below this are still to be loaded; 0 when none are.
        below: BuildId,
    },
    /// Changes of the past.
    HistoryChanges(Vec<Change>),
}

/// A REST read that the assembler needs. It is asked for once, until an observation or
/// [`Observation::Absent`] answers it, or the connection is lost.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Need {
    /// All builders.
    Builders,
    /// All workers.
    Workers,
    /// A buildset with its properties.
    Buildset(BuildsetId),
    /// A buildset's properties.
    BuildsetProperties(BuildsetId),
    /// A request.
    Request(RequestId),
    /// Whether a request has a build.
    RequestBuilt(RequestId),
    /// All requests of a buildset.
    Requests(BuildsetId),
    /// A build with steps, logs and properties.
    Build(BuildId),
    /// A build's changes.
    Changes(BuildId),
    /// The changes of these source stamps.
    StampChanges(BuildId, Vec<SourceStampId>),
    /// The highest finished build of the builder below the number.
    Previous(BuildId, BuilderId, u64),
}

/// What follows from observations.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// Events to journal.
    pub events: Vec<Event>,
    /// Passing signs of life.
    pub live: Vec<Live>,
    /// Finished builds of the past.
    pub history: Vec<Build>,
    /// Changes of the past.
    pub history_changes: Vec<Change>,
    /// REST reads to make.
    pub needs: Vec<Need>,
    /// Rows of the world that changed.
    pub dirty: Dirty,
}
