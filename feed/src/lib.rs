//! The journal of one master: positions, consumers, snapshot, history, logs.

mod consumer;
mod error;
mod feed;
mod follower;
mod ingest;
mod logs;
pub mod metrics;
mod options;
mod publish;
mod query;
mod shared;
mod store;
mod writer;

pub use consumer::{
    Consumer, ConsumerHandle, ConsumerStatus, DeadLetter, JournalLost, Parked, StateChange,
};
pub use error::{ConsumerError, LogError, OpenError, ReadError, StoreError};
pub use feed::Feed;
pub use follower::{Follower, Item};
pub use ingest::Ingest;
pub use metrics::Metrics;
pub use options::{ConsumerOptions, History, Options, Retention};
pub use query::{BuildQuery, Snapshot, SnapshotLimits};
