//! Consumers from outside, of any feed.

use super::AnyFeed;
use crate::{CatchUp, ConsumerError, ConsumerStatus, Parked, ReadError, ReaderStatus, Report};
use model::Position;

impl AnyFeed {
    /// See [`crate::Feed::consumers`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn consumers(&self) -> Result<Vec<ConsumerStatus>, ReadError> {
        match self {
            Self::Local(feed) => Ok(feed.consumers()),
            Self::Remote(feed) => feed.consumers().await,
        }
    }

    /// See [`crate::Feed::readers`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn readers(&self) -> Result<Vec<ReaderStatus>, ReadError> {
        match self {
            Self::Local(feed) => Ok(feed.readers()),
            Self::Remote(feed) => feed.readers().await,
        }
    }

    /// See [`crate::Feed::report`]. To a feed elsewhere, name and kind are those of the token.
    ///
    /// # Errors
    /// [`ConsumerError`].
    pub async fn report(
        &self,
        name: &str,
        kind: &str,
        report: &Report,
    ) -> Result<(), ConsumerError> {
        match self {
            Self::Local(feed) => feed.report(name, kind, report.clone()),
            Self::Remote(feed) => feed.report(report).await,
        }
    }

    /// Figures of one consumer.
    ///
    /// # Errors
    /// [`ConsumerError::NotFound`], [`ConsumerError::Store`].
    pub async fn status(&self, name: &str) -> Result<ConsumerStatus, ConsumerError> {
        match self {
            Self::Local(feed) => feed
                .consumers()
                .into_iter()
                .find(|status| status.name == name)
                .ok_or_else(|| ConsumerError::NotFound(format!("consumer {name}"))),
            Self::Remote(feed) => feed.status(name).await,
        }
    }

    /// See [`crate::Feed::forget`].
    ///
    /// # Errors
    /// [`ConsumerError`].
    pub async fn forget(&self, name: &str) -> Result<(), ConsumerError> {
        match self {
            Self::Local(feed) => feed.forget(name).await,
            Self::Remote(feed) => feed.forget(name).await,
        }
    }

    /// See [`crate::Feed::dead_letters`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn dead_letters(
        &self,
        name: &str,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<Parked>, ReadError> {
        match self {
            Self::Local(feed) => feed.dead_letters(name, after, limit).await,
            Self::Remote(feed) => feed.dead_letters(name, after, limit).await,
        }
    }

    /// See [`crate::Feed::replay`].
    ///
    /// # Errors
    /// [`ConsumerError`].
    pub async fn replay(&self, name: &str, position: Position) -> Result<(), ConsumerError> {
        match self {
            Self::Local(feed) => feed.replay(name, position).await,
            Self::Remote(feed) => feed.replay(name, position).await,
        }
    }

    /// See [`crate::Feed::drop_letter`].
    ///
    /// # Errors
    /// [`ConsumerError`].
    pub async fn drop_letter(&self, name: &str, position: Position) -> Result<(), ConsumerError> {
        match self {
            Self::Local(feed) => feed.drop_letter(name, position).await,
            Self::Remote(feed) => feed.drop_letter(name, position).await,
        }
    }

    /// See [`crate::Feed::replay_history`].
    ///
    /// # Errors
    /// [`ConsumerError`].
    pub async fn replay_history(
        &self,
        name: &str,
        catch_up: CatchUp,
    ) -> Result<u64, ConsumerError> {
        match self {
            Self::Local(feed) => feed.replay_history(name, catch_up).await,
            Self::Remote(feed) => feed.replay_history(name, catch_up).await,
        }
    }
}
