//! The status model: what a Buildbot master knows, in types.
//!
//! Nothing here does I/O. The client of a master fills these types, the feed journals
//! them, targets and pages read them. [`Event`] is what happened; [`World`] is what is so.
//!
//! ```
//! use model::{Outcome, Timestamp};
//! assert_eq!(Outcome::from_code(2), Some(Outcome::Failure));
//! assert_eq!(Timestamp(61).seconds_since(Timestamp(1)), 60);
//! ```

mod backoff;
mod build;
mod builder;
mod event;
mod filter;
mod ids;
mod links;
mod outcome;
mod properties;
mod request;
mod source;
mod time;
mod worker;
mod world;

pub use backoff::Backoff;
pub use build::{Build, BuilderRef, Log, LogKind, Step, StepUrl, WorkerRef};
pub use builder::{Builder, natural_cmp};
pub use event::{Event, Identity, Live, Phase, Position, Record};
pub use filter::{Selection, TRUNK};
pub use ids::{
    BuildId, BuilderId, BuilderName, BuildsetId, ChangeId, LogId, RequestId, SourceStampId, StepId,
    WorkerId,
};
pub use links::{Links, name_of, name_segment, segment};
pub use outcome::Outcome;
pub use properties::{Properties, Property};
pub use request::{Buildset, Request};
pub use source::{Change, Patch, SourceStamp, short_name};
pub use time::Timestamp;
pub use worker::Worker;
pub use world::{Finished, Highest, RECENT, Waiting, World};
