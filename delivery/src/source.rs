//! Where records come from: a durable consumer of the feed, or a test's own.

use feed::{Done, StateChange};
use model::{Position, Record};
use std::sync::Arc;

/// Hands out records that are not done.
pub trait Source: Send {
    /// What acknowledges them.
    type Acks: Acks;

    /// The next record, each once until the source is opened anew. Safe to cancel.
    fn next(
        &mut self,
    ) -> impl Future<Output = Result<Arc<Record>, <Self::Acks as Acks>::Error>> + Send;

    /// A handle for other tasks.
    fn acks(&self) -> Self::Acks;
}

/// Says what is done with a record.
pub trait Acks: Clone + Send + Sync + 'static {
    /// Why it can't be said.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The record is done, and what was given up of it is kept, the state changes and figures are
    /// counted with it; returns when all that is on disk.
    fn done(
        &self,
        position: Position,
        done: Done,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Changes the state without a record; returns when that is on disk.
    fn save(&self, state: StateChange) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// A value of the state.
    fn get_state(&self, key: &str) -> Option<Vec<u8>>;

    /// Records that are not done.
    fn backlog(&self) -> u64;
}

/// The feed's consumers, in this process or elsewhere.
macro_rules! consumers {
    ($consumer:ty, $handle:ty) => {
        impl Source for $consumer {
            type Acks = $handle;

            async fn next(&mut self) -> Result<Arc<Record>, feed::ConsumerError> {
                Self::next(self).await
            }

            fn acks(&self) -> $handle {
                self.handle()
            }
        }

        impl Acks for $handle {
            type Error = feed::ConsumerError;

            async fn done(&self, position: Position, done: Done) -> Result<(), Self::Error> {
                Self::done(self, position, done).await
            }

            async fn save(&self, state: StateChange) -> Result<(), Self::Error> {
                Self::save(self, state).await
            }

            fn get_state(&self, key: &str) -> Option<Vec<u8>> {
                Self::get_state(self, key)
            }

            fn backlog(&self) -> u64 {
                Self::backlog(self)
            }
        }
    };
}

consumers!(feed::Consumer, feed::ConsumerHandle);
consumers!(feed::AnyConsumer, feed::AnyHandle);
