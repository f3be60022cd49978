//! What a target is.

use crate::{ComposeError, SendError, budget::Cost};
use model::Record;
use std::{collections::BTreeMap, sync::Arc};

/// How a send ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// All of it was taken.
    Whole,
    /// What could be taken was; the rest is refused for good. The record is kept as a dead letter
    /// with this text, and is not sent again.
    Partly(String),
}

/// What a peer has taken of a request's items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// How many, from the first on, are done with.
    pub items: usize,
    /// Those among them that it refuses for good, by their place in the request, with the reason:
    /// they are kept as dead letters.
    pub refused: BTreeMap<usize, String>,
}

impl Taken {
    /// That many, and none is refused.
    pub fn all(items: usize) -> Self {
        Self { items, refused: BTreeMap::new() }
    }
}

/// The limit of a budget that each message or request counts for, unless its target says otherwise.
pub const MESSAGES: &str = "messages";

/// A sink that sends one message a record.
///
/// `decide` and `compose` depend on nothing but the record, the settings and what was gathered: no
/// clock, no random numbers, no counters. That is what makes a message after a crash the same
/// message.
pub trait Target: Send + Sync + 'static {
    /// What a message needs beside its record: log texts, the builds of a buildset. `()` where the
    /// record is enough.
    type Facts: Default + Send + 'static;
    /// What is sent. Kept over the attempts, so `send` may note in it what is done already.
    type Message: Send + 'static;

    /// The kind's word in metrics and logs: `mail`.
    fn kind(&self) -> &'static str;

    /// Whether the record is of interest.
    fn decide(&self, record: &Record) -> bool;

    /// Asks the feed's bounded past for what [`Self::compose`] needs.
    ///
    /// # Errors
    /// [`SendError::Permanent`] makes the record a dead letter; after any other it is asked again.
    fn gather(
        &self,
        _record: &Record,
    ) -> impl Future<Output = Result<Self::Facts, SendError>> + Send {
        async { Ok(Self::Facts::default()) }
    }

    /// What to say of it; `None` if it turns out that there is nobody to say it to.
    ///
    /// # Errors
    /// [`ComposeError`] makes the record a dead letter.
    fn compose(
        &self,
        record: &Record,
        facts: Self::Facts,
    ) -> Result<Option<Self::Message>, ComposeError>;

    /// What an attempt takes from the budget of the target's credential.
    fn cost(&self, _message: &Self::Message) -> Cost {
        Cost::of_one(MESSAGES)
    }

    /// What must not be told in errors: passwords and tokens, as the peer sees them.
    fn secrets(&self) -> Vec<&str> {
        Vec::new()
    }

    /// Hands the message over. Returns only when the peer has taken it. Dropped at the deadline
    /// of an attempt and when the process stops.
    ///
    /// # Errors
    /// A [`SendError`] that says whether to try again.
    fn send(
        &self,
        message: &mut Self::Message,
    ) -> impl Future<Output = Result<Sent, SendError>> + Send;
}

/// A sink that sends many records in one request, in the order of the journal.
pub trait BatchTarget: Send + Sync + 'static {
    /// What one record becomes.
    type Item: Send + Sync + 'static;
    /// What is kept from record to record, committed with each acknowledgement.
    type State: Clone + Send + Sync + 'static;

    /// The kind's word in metrics and logs: `http_push`.
    fn kind(&self) -> &'static str;

    /// Whether the record is of interest.
    fn decide(&self, record: &Record) -> bool;

    /// The state that [`Self::save`] made; `None` for a new target.
    ///
    /// # Errors
    /// The reason, if the bytes are not a state.
    fn load(&self, bytes: Option<&[u8]>) -> Result<Self::State, String>;

    /// The state as bytes.
    fn save(&self, state: &Self::State) -> Vec<u8>;

    /// Makes a record's item and carries the state on. Depends on record, state and settings only.
    ///
    /// # Errors
    /// [`ComposeError`] makes the record a dead letter; the state must be as before.
    fn compose(&self, state: &mut Self::State, record: &Record)
    -> Result<Self::Item, ComposeError>;

    /// Bytes that an item takes in a request.
    fn size(&self, item: &Self::Item) -> usize;

    /// How many of [`crate::BatchOptions::max_items`] an item is.
    fn count(&self, _item: &Self::Item) -> usize {
        1
    }

    /// What a request takes from the budget of the target's credential.
    fn cost(&self, _items: &[&Self::Item]) -> Cost {
        Cost::of_one(MESSAGES)
    }

    /// What must not be told in errors: passwords and tokens, as the peer sees them.
    fn secrets(&self) -> Vec<&str> {
        Vec::new()
    }

    /// Hands the items over in one request. Returns what of them the peer has taken; the others are
    /// sent again.
    ///
    /// # Errors
    /// A [`SendError`] that says whether to try again; none of them was taken then.
    fn send(&self, items: &[&Self::Item]) -> impl Future<Output = Result<Taken, SendError>> + Send;
}

/// A target that outlives one run of its loop.
impl<T: Target> Target for Arc<T> {
    type Facts = T::Facts;
    type Message = T::Message;

    fn kind(&self) -> &'static str {
        T::kind(self)
    }

    fn decide(&self, record: &Record) -> bool {
        T::decide(self, record)
    }

    async fn gather(&self, record: &Record) -> Result<Self::Facts, SendError> {
        T::gather(self, record).await
    }

    fn compose(
        &self,
        record: &Record,
        facts: Self::Facts,
    ) -> Result<Option<Self::Message>, ComposeError> {
        T::compose(self, record, facts)
    }

    fn cost(&self, message: &Self::Message) -> Cost {
        T::cost(self, message)
    }

    fn secrets(&self) -> Vec<&str> {
        T::secrets(self)
    }

    async fn send(&self, message: &mut Self::Message) -> Result<Sent, SendError> {
        T::send(self, message).await
    }
}

/// A target that outlives one run of its loop.
impl<T: BatchTarget> BatchTarget for Arc<T> {
    type Item = T::Item;
    type State = T::State;

    fn kind(&self) -> &'static str {
        T::kind(self)
    }

    fn decide(&self, record: &Record) -> bool {
        T::decide(self, record)
    }

    fn load(&self, bytes: Option<&[u8]>) -> Result<Self::State, String> {
        T::load(self, bytes)
    }

    fn save(&self, state: &Self::State) -> Vec<u8> {
        T::save(self, state)
    }

    fn compose(
        &self,
        state: &mut Self::State,
        record: &Record,
    ) -> Result<Self::Item, ComposeError> {
        T::compose(self, state, record)
    }

    fn size(&self, item: &Self::Item) -> usize {
        T::size(self, item)
    }

    fn count(&self, item: &Self::Item) -> usize {
        T::count(self, item)
    }

    fn cost(&self, items: &[&Self::Item]) -> Cost {
        T::cost(self, items)
    }

    fn secrets(&self) -> Vec<&str> {
        T::secrets(self)
    }

    async fn send(&self, items: &[&Self::Item]) -> Result<Taken, SendError> {
        T::send(self, items).await
    }
}
