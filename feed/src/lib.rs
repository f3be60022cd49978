//! The journal of one master: positions, consumers, snapshot, history, logs.
//!
//! The client of a master hands in batches through [`Ingest`]; each is on disk, whole or not at
//! all, before anybody hears of it. Readers come in two kinds: a [`Follower`] is ephemeral and
//! reads on from a position (pages), a [`Consumer`] is durable and acknowledges (targets).
//!
//! ```
//! use feed::{ConsumerOptions, Feed, Options, SnapshotLimits};
//! use master::{Batch, Sink as _};
//! use model::{Change, Event, World};
//!
//! # async fn example(dir: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
//! let feed = Feed::open(dir, Options::default())?;
//! let mut mail = feed.consumer("mail", ConsumerOptions::default()).await?;
//!
//! let events = vec![Event::ChangeAdded { change: Box::new(Change::default()) }];
//! feed.ingest().commit(Batch { events, ..Batch::default() }, &World::default()).await?;
//!
//! let record = mail.next().await?;
//! // … send, and only then:
//! mail.acknowledge(record.position, None).await?;
//! assert_eq!(feed.snapshot(SnapshotLimits::default()).await?.position, record.position);
//! # Ok(())
//! # }
//! # let dir = tempfile::tempdir().unwrap();
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
//! # runtime.block_on(example(dir.path())).unwrap();
//! ```

mod any;
mod clock;
mod consumer;
mod error;
mod feed;
mod follower;
#[cfg(test)]
mod fuzz;
pub mod http;
mod ingest;
mod logs;
pub mod metrics;
mod options;
mod publish;
mod query;
mod report;
mod shared;
mod standing;
mod store;
pub mod trace;
mod users;
mod writer;

pub use any::{AnyConsumer, AnyFeed, AnyFollower, AnyHandle};
pub use consumer::{
    Consumer, ConsumerHandle, ConsumerStatus, DeadLetter, Done, Gap, JournalLost, LossKind, Parked,
    StateChange,
};
pub use error::{ConsumerError, LogError, OpenError, ReadError, StoreError};
pub use feed::Feed;
pub use follower::{Follower, Item};
pub use ingest::Ingest;
pub use logs::LogWatch;
pub use master::{ClientError, Figures, LogChunk};
pub use metrics::Metrics;
pub use options::{CatchUp, ConsumerOptions, History, Options, Retention};
pub use query::{BuildQuery, Counts, Snapshot, SnapshotLimits};
pub use report::{Fault, Peer, PeerState, ReaderStatus, Report};
pub use standing::Standing;
pub use users::User;
