//! What acknowledges.

use super::{
    core::{Present, State},
    words::{ConsumerStatus, DeadLetter, Done, JournalLost, StateChange},
};
use crate::{
    ConsumerError, StoreError,
    feed::Inner,
    writer::{ConsumerJob, Wish},
};
use model::Position;
use std::{collections::BTreeMap, sync::Arc};

/// Acknowledges from any task; clones share one consumer.
#[derive(Clone, Debug)]
pub struct ConsumerHandle {
    pub(super) feed: Arc<Inner>,
    pub(super) core: Present,
    pub(super) generation: u64,
}

impl ConsumerHandle {
    /// Marks a record as done that nothing was to be sent about, together with a change of state; returns when both are on disk.
    /// A position that is done already is no error, and then the state stays as it is.
    ///
    /// # Errors
    /// [`ConsumerError`], with nothing done.
    pub async fn acknowledge(
        &self,
        position: Position,
        state: Option<StateChange>,
    ) -> Result<(), ConsumerError> {
        self.done(position, Done { change: state, ..Done::default() }).await
    }

    /// Gives a record up: it counts as done and is kept with the reason, for replay.
    ///
    /// # Errors
    /// [`ConsumerError`], with nothing done.
    pub async fn park(&self, position: Position, letter: DeadLetter) -> Result<(), ConsumerError> {
        self.done(position, Done::given_up(letter, 0)).await
    }

    /// [`ConsumerHandle::park`] with a letter, [`ConsumerHandle::acknowledge`] without one; the
    /// consumer's figures change with it.
    ///
    /// # Errors
    /// [`ConsumerError`], with nothing done.
    pub async fn done(&self, position: Position, done: Done) -> Result<(), ConsumerError> {
        let done = done.checked()?;
        self.wish(Wish::Done { generation: self.generation, position, done }).await
    }

    /// Several at once, in this order: [`ConsumerHandle::done`] with a position,
    /// [`ConsumerHandle::save`] without one. Each has its own result; the error is of all.
    pub(crate) async fn all_done(
        &self,
        all: Vec<(Option<Position>, Done)>,
    ) -> Result<Vec<Result<(), ConsumerError>>, StoreError> {
        let generation = self.generation;
        let (mut wishes, mut results) = (Vec::with_capacity(all.len()), Vec::new());
        for (position, done) in all {
            let wish = done.checked().and_then(|done| match (position, done) {
                (Some(position), done) => Ok(Wish::Done { generation, position, done }),
                (None, Done { change: Some(change), .. }) => Ok(Wish::Save { generation, change }),
                (None, _) => Err(ConsumerError::Bounds(
                    "an acknowledgement has a position, or changes the state, or both".to_owned(),
                )),
            });
            results.push(wish.map(|wish| wishes.push(wish)));
        }
        if wishes.is_empty() {
            return Ok(results);
        }
        let job = ConsumerJob { name: self.core.name.clone(), wishes };
        let mut granted = self.feed.wishes(job).await?.into_iter();
        for result in results.iter_mut().filter(|result| result.is_ok()) {
            *result = granted.next().unwrap_or(Err(StoreError::Closed.into())).map(|_| ());
        }
        Ok(results)
    }

    /// Changes state without a record.
    ///
    /// # Errors
    /// [`ConsumerError`], with nothing done.
    pub async fn save(&self, change: StateChange) -> Result<(), ConsumerError> {
        change.check()?;
        self.wish(Wish::Save { generation: self.generation, change }).await
    }

    /// The value of a key of the consumer's state.
    pub fn get_state(&self, key: &str) -> Option<Vec<u8>> {
        self.core.lock().values.get(key).cloned()
    }

    /// All keys of the consumer's state with their values.
    pub(crate) fn state(&self) -> BTreeMap<String, Vec<u8>> {
        self.core.lock().values.clone()
    }

    /// The generation that this handle is of.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Records that are not done, those in flight and dead letters under replay included.
    pub fn backlog(&self) -> u64 {
        self.core.lock().backlog(self.feed.shared.publisher.head())
    }

    /// All figures.
    pub fn status(&self) -> ConsumerStatus {
        self.feed.shared.status(&self.core)
    }

    /// Set if the journal was lost since the consumer was made.
    pub fn journal_lost(&self) -> Option<JournalLost> {
        self.core.lock().row.lost.clone()
    }

    pub(super) async fn wish(&self, wish: Wish) -> Result<(), ConsumerError> {
        self.feed.wish(&self.core.name, wish).await.map(|_| ())
    }

    pub(super) fn check(&self, state: &State) -> Result<(), ConsumerError> {
        if state.gone {
            return Err(ConsumerError::NotFound(format!("consumer {}", self.core.name)));
        }
        let (own, newer) = (self.generation, state.row.generation);
        if own == newer {
            Ok(())
        } else {
            Err(ConsumerError::Superseded { name: self.core.name.clone(), own, newer })
        }
    }
}
