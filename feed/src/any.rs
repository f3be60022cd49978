//! A feed wherever it is, so that pages and targets are the same code in one process and in many.

mod manage;

use crate::{
    BuildQuery, Consumer, ConsumerError, ConsumerHandle, ConsumerOptions, ConsumerStatus,
    DeadLetter, Done, Feed, Follower, Item, LogError, LogWatch, ReadError, Snapshot,
    SnapshotLimits, StateChange, User,
    http::client::{Remote, RemoteConsumer, RemoteFollower, RemoteHandle},
};
use master::{LogChunk, MasterState};
use model::{Build, BuildId, Change, ChangeId, LogId, Position, Record};
use std::sync::Arc;
use tokio::sync::watch;

/// A feed to read; clones share it.
#[derive(Clone, Debug)]
pub enum AnyFeed {
    /// In this process.
    Local(Feed),
    /// In another.
    Remote(Remote),
}

/// A [`Follower`] of any feed.
#[derive(Debug)]
pub enum AnyFollower {
    /// In this process.
    Local(Follower),
    /// In another.
    Remote(Box<RemoteFollower>),
}

/// A [`Consumer`] of any feed.
#[derive(Debug)]
pub enum AnyConsumer {
    /// In this process.
    Local(Consumer),
    /// In another.
    Remote(RemoteConsumer),
}

/// A [`ConsumerHandle`] of any feed.
#[derive(Clone, Debug)]
pub enum AnyHandle {
    /// In this process.
    Local(ConsumerHandle),
    /// In another.
    Remote(RemoteHandle),
}

impl From<Feed> for AnyFeed {
    fn from(feed: Feed) -> Self {
        Self::Local(feed)
    }
}

impl From<Remote> for AnyFeed {
    fn from(feed: Remote) -> Self {
        Self::Remote(feed)
    }
}

impl AnyFeed {
    /// How the connection to the master stands.
    pub fn state(&self) -> watch::Receiver<MasterState> {
        match self {
            Self::Local(feed) => feed.state(),
            Self::Remote(feed) => feed.state(),
        }
    }

    /// See [`Feed::head`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn head(&self) -> Result<Position, ReadError> {
        match self {
            Self::Local(feed) => Ok(feed.head()),
            Self::Remote(feed) => feed.head().await,
        }
    }

    /// See [`Feed::snapshot`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn snapshot(&self, limits: SnapshotLimits) -> Result<Snapshot, ReadError> {
        match self {
            Self::Local(feed) => feed.snapshot(limits).await,
            Self::Remote(feed) => feed.snapshot(limits).await,
        }
    }

    /// See [`Feed::subscribe`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn subscribe(
        &self,
        limits: SnapshotLimits,
    ) -> Result<(Snapshot, AnyFollower), ReadError> {
        match self {
            Self::Local(feed) => feed
                .subscribe(limits)
                .await
                .map(|(snapshot, follower)| (snapshot, AnyFollower::Local(follower))),
            Self::Remote(feed) => feed
                .subscribe(limits)
                .await
                .map(|(snapshot, follower)| (snapshot, AnyFollower::Remote(Box::new(follower)))),
        }
    }

    /// See [`Feed::follow`].
    pub fn follow(&self, from: Position) -> AnyFollower {
        match self {
            Self::Local(feed) => AnyFollower::Local(feed.follow(from)),
            Self::Remote(feed) => AnyFollower::Remote(Box::new(feed.follow(from))),
        }
    }

    /// See [`Feed::build`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn build(&self, id: BuildId) -> Result<Option<Build>, ReadError> {
        match self {
            Self::Local(feed) => feed.build(id).await,
            Self::Remote(feed) => feed.build(id).await,
        }
    }

    /// See [`Feed::builds`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn builds(&self, query: BuildQuery) -> Result<Vec<Build>, ReadError> {
        match self {
            Self::Local(feed) => feed.builds(query).await,
            Self::Remote(feed) => feed.builds(query).await,
        }
    }

    /// See [`Feed::change`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn change(&self, id: ChangeId) -> Result<Option<Change>, ReadError> {
        match self {
            Self::Local(feed) => feed.change(id).await,
            Self::Remote(feed) => feed.change(id).await,
        }
    }

    /// See [`Feed::changes`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn changes(
        &self,
        below: Option<ChangeId>,
        limit: usize,
    ) -> Result<Vec<Change>, ReadError> {
        match self {
            Self::Local(feed) => feed.changes(below, limit).await,
            Self::Remote(feed) => feed.changes(below, limit).await,
        }
    }

    /// See [`Feed::users`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn users(&self, after: Option<&str>, limit: usize) -> Result<Vec<User>, ReadError> {
        match self {
            Self::Local(feed) => feed.users(after, limit).await,
            Self::Remote(feed) => feed.users(after, limit).await,
        }
    }

    /// See [`Feed::log`].
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn log(&self, log: LogId, first: u64, limit: u64) -> Result<LogChunk, LogError> {
        match self {
            Self::Local(feed) => feed.log(log, first, limit).await,
            Self::Remote(feed) => feed.log(log, first, limit).await,
        }
    }

    /// See [`Feed::watch_log`]; of a feed elsewhere, [`Remote::watch_log`].
    pub fn watch_log(&self, log: LogId) -> LogWatch {
        match self {
            Self::Local(feed) => feed.watch_log(log),
            Self::Remote(feed) => feed.watch_log(log).into(),
        }
    }

    /// See [`Feed::consumer`].
    ///
    /// # Errors
    /// [`ConsumerError`].
    pub async fn consumer(
        &self,
        name: &str,
        options: ConsumerOptions,
    ) -> Result<AnyConsumer, ConsumerError> {
        match self {
            Self::Local(feed) => feed.consumer(name, options).await.map(AnyConsumer::Local),
            Self::Remote(feed) => feed.consumer(name, options).await.map(AnyConsumer::Remote),
        }
    }

    /// See [`Feed::close`]; of a feed elsewhere, [`Remote::close`].
    pub async fn close(&self) {
        match self {
            Self::Local(feed) => feed.close().await,
            Self::Remote(feed) => feed.close().await,
        }
    }
}

impl AnyFollower {
    /// See [`Follower::next`].
    pub async fn next(&mut self) -> Item {
        match self {
            Self::Local(follower) => follower.next().await,
            Self::Remote(follower) => follower.next().await,
        }
    }

    /// See [`Follower::position`].
    pub fn position(&self) -> Position {
        match self {
            Self::Local(follower) => follower.position(),
            Self::Remote(follower) => follower.position(),
        }
    }
}

impl AnyConsumer {
    /// See [`Consumer::next`].
    ///
    /// # Errors
    /// [`ConsumerError`].
    pub async fn next(&mut self) -> Result<Arc<Record>, ConsumerError> {
        match self {
            Self::Local(consumer) => consumer.next().await,
            Self::Remote(consumer) => consumer.next().await,
        }
    }

    /// A handle for other tasks.
    pub fn handle(&self) -> AnyHandle {
        match self {
            Self::Local(consumer) => AnyHandle::Local(consumer.handle()),
            Self::Remote(consumer) => AnyHandle::Remote(consumer.handle()),
        }
    }
}

impl AnyHandle {
    /// See [`ConsumerHandle::acknowledge`].
    ///
    /// # Errors
    /// [`ConsumerError`].
    pub async fn acknowledge(
        &self,
        position: Position,
        state: Option<StateChange>,
    ) -> Result<(), ConsumerError> {
        match self {
            Self::Local(handle) => handle.acknowledge(position, state).await,
            Self::Remote(handle) => handle.acknowledge(position, state).await,
        }
    }

    /// See [`ConsumerHandle::park`].
    ///
    /// # Errors
    /// [`ConsumerError`].
    pub async fn park(&self, position: Position, letter: DeadLetter) -> Result<(), ConsumerError> {
        match self {
            Self::Local(handle) => handle.park(position, letter).await,
            Self::Remote(handle) => handle.park(position, letter).await,
        }
    }

    /// See [`ConsumerHandle::done`].
    ///
    /// # Errors
    /// [`ConsumerError`].
    pub async fn done(&self, position: Position, done: Done) -> Result<(), ConsumerError> {
        match self {
            Self::Local(handle) => handle.done(position, done).await,
            Self::Remote(handle) => handle.done(position, done).await,
        }
    }

    /// See [`ConsumerHandle::save`].
    ///
    /// # Errors
    /// [`ConsumerError`].
    pub async fn save(&self, change: StateChange) -> Result<(), ConsumerError> {
        match self {
            Self::Local(handle) => handle.save(change).await,
            Self::Remote(handle) => handle.save(change).await,
        }
    }

    /// See [`ConsumerHandle::get_state`].
    pub fn get_state(&self, key: &str) -> Option<Vec<u8>> {
        match self {
            Self::Local(handle) => handle.get_state(key),
            Self::Remote(handle) => handle.get_state(key),
        }
    }

    /// See [`ConsumerHandle::backlog`].
    pub fn backlog(&self) -> u64 {
        match self {
            Self::Local(handle) => handle.backlog(),
            Self::Remote(handle) => handle.backlog(),
        }
    }

    /// See [`ConsumerHandle::status`].
    pub fn status(&self) -> ConsumerStatus {
        match self {
            Self::Local(handle) => handle.status(),
            Self::Remote(handle) => handle.status(),
        }
    }
}
