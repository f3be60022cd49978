//! Durable consumers: what is done is never handed out again, what is not, always.

pub(crate) mod core;
mod handle;
pub(crate) mod ledger;
pub(crate) mod load;
pub(crate) mod words;

pub use handle::ConsumerHandle;
pub use words::{
    ConsumerStatus, DeadLetter, Done, Gap, JournalLost, LossKind, Parked, StateChange,
};

use self::{core::Present, words::bounded};
use crate::{
    ConsumerError, ConsumerOptions, StoreError,
    feed::Inner,
    query,
    shared::now_ms,
    writer::{Granted, Wish},
};
use model::{Position, Record};
use std::{collections::VecDeque, sync::Arc};
use tokio::sync::watch;

/// A durable reader; see [`crate::Feed::consumer`]. One that is slow costs no memory: it reads
/// on from the journal.
#[derive(Debug)]
pub struct Consumer {
    handle: ConsumerHandle,
    head: watch::Receiver<u64>,
    window: usize,
    /// Read from the journal and not yet looked at.
    page: VecDeque<(u64, Option<Arc<Record>>)>,
}

/// What to do next.
enum Step {
    /// Read this sequence.
    Record(u64),
    /// Read this dead letter.
    Letter(u64),
    /// Read this build of the history.
    Refill(u64),
    /// Nothing until something changes.
    Wait,
}

impl Consumer {
    pub(crate) async fn open(
        feed: Arc<Inner>,
        name: &str,
        window: usize,
        options: ConsumerOptions,
    ) -> Result<Self, ConsumerError> {
        bounded("a consumer's name", name)?;
        let ConsumerOptions { window: _, max_backlog_age, catch_up, held, known } = options;
        let max_backlog_ms = i64::try_from(max_backlog_age.as_millis()).unwrap_or(i64::MAX);
        // Of a journal that is lost, they can't be acknowledged.
        let (held, lost): (Vec<_>, Vec<_>) =
            held.into_iter().partition(|position| position.epoch == feed.shared.epoch);
        let known = known.into_iter().chain(lost.iter().copied());
        let known = known.filter(|position| position.epoch != feed.shared.epoch).min();
        let known = known.map(|position| (position, lost.len() as u64));
        let held = held.into_iter().map(|position| position.seq).collect();
        let wish = Wish::Open { max_backlog_ms, catch_up, held, known };
        let Granted::Opened { generation } = feed.wish(name, wish).await? else {
            return Err(StoreError::Closed.into());
        };
        let core = feed.shared.consumers().get(name).map(Arc::clone);
        let core = core.ok_or_else(|| ConsumerError::NotFound(format!("consumer {name}")))?;
        let head = feed.shared.publisher.watch_head();
        let handle = ConsumerHandle { feed, core: Present::new(core), generation };
        Ok(Self { handle, head, window: window.max(1), page: VecDeque::new() })
    }

    /// The next record that is not done, in order; each once until the consumer is opened anew.
    /// Dead letters that are to be replayed come first, then builds of the history that stand for
    /// records that were dropped. Waits while there is none, or while
    /// as many are in flight as the window holds. Safe to cancel.
    ///
    /// # Errors
    /// [`ConsumerError::Superseded`] once it was opened anew, [`ConsumerError::NotFound`] once
    /// it was forgotten; [`ConsumerError::Store`].
    pub async fn next(&mut self) -> Result<Arc<Record>, ConsumerError> {
        // A reader that is far behind always finds something: it lets others have a turn too.
        tokio::task::coop::consume_budget().await;
        let core = self.handle.core.core();
        loop {
            // Listening begins before looking, so that nothing is missed in between.
            let mut changed = std::pin::pin!(core.changed.notified());
            changed.as_mut().enable();
            let head = *self.head.borrow_and_update();
            match self.step(head)? {
                Step::Record(seq) => match self.record(seq, head).await? {
                    Some(record) => {
                        if self.hand_out(seq, false)? {
                            return Ok(record);
                        }
                    }
                    None => self.skip(seq).await?,
                },
                Step::Letter(seq) => {
                    if let Some(record) = self.letter(seq).await?
                        && self.hand_out(seq, true)?
                    {
                        return Ok(record);
                    }
                }
                Step::Refill(seq) => match self.refill(seq).await? {
                    Some(record) => {
                        if self.hand_out_refill(seq)? {
                            return Ok(record);
                        }
                    }
                    None => self.unreadable(seq).await?,
                },
                Step::Wait => tokio::select! {
                    () = changed => {}
                    // The sender lives as long as the feed, which the handle holds.
                    _ = self.head.changed() => {}
                },
            }
        }
    }

    /// The next record as by [`Consumer::next`], and with it those that follow and are in memory
    /// already: at most `most` together. Safe to cancel.
    pub(crate) async fn next_few(
        &mut self,
        most: usize,
    ) -> Result<Vec<Arc<Record>>, ConsumerError> {
        let mut records = vec![self.next().await?];
        let mut state = self.handle.core.lock();
        // Whatever is out of the ordinary is for the next call.
        if self.handle.check(&state).is_err()
            || !state.replays.is_empty()
            || state.next_refill().is_some()
        {
            return Ok(records);
        }
        while records.len() < most && state.in_flight.len() < self.window {
            let seq = state.row.ledger.next_open(state.cursor);
            let follows = |(at, record): &mut (u64, Option<_>)| *at == seq && record.is_some();
            if state.in_flight.contains(&seq) {
                break;
            }
            let Some((_, Some(record))) = self.page.pop_front_if(follows) else { break };
            state.cursor = seq;
            state.in_flight.insert(seq);
            records.push(record);
        }
        Ok(records)
    }

    fn step(&self, head: u64) -> Result<Step, ConsumerError> {
        let state = self.handle.core.lock();
        self.handle.check(&state)?;
        if state.in_flight.len() >= self.window {
            return Ok(Step::Wait);
        }
        if let Some(&seq) = state.replays.first() {
            return Ok(Step::Letter(seq));
        }
        if let Some(seq) = state.next_refill() {
            return Ok(Step::Refill(seq));
        }
        let mut seq = state.row.ledger.next_open(state.cursor);
        // Held since an earlier generation.
        while state.in_flight.contains(&seq) {
            seq = state.row.ledger.next_open(seq);
        }
        Ok(if seq <= head { Step::Record(seq) } else { Step::Wait })
    }

    /// Notes that `seq` is in flight; false if it was done with meanwhile.
    fn hand_out(&self, seq: u64, again: bool) -> Result<bool, ConsumerError> {
        let mut state = self.handle.core.lock();
        self.handle.check(&state)?;
        if again {
            if !state.replays.remove(&seq) {
                return Ok(false);
            }
        } else if state.row.ledger.is_done(seq) || state.cursor >= seq {
            return Ok(false);
        } else {
            state.cursor = seq;
        }
        state.in_flight.insert(seq);
        Ok(true)
    }

    /// Reads a record; `None` if it is damaged or gone.
    async fn record(&mut self, seq: u64, head: u64) -> Result<Option<Arc<Record>>, StoreError> {
        while self.page.pop_front_if(|(at, _)| *at < seq).is_some() {}
        if self.page.front().is_none_or(|(at, _)| *at != seq) {
            self.page = self.handle.feed.shared.page(seq, head).await?.into();
        }
        Ok(self.page.pop_front_if(|(at, _)| *at == seq).and_then(|(_, record)| record))
    }

    /// Gets past a record that is not to be read: it was dropped a moment ago, or it is damaged
    /// and is given up.
    async fn skip(&self, seq: u64) -> Result<(), ConsumerError> {
        if self.hand_out(seq, false)? { self.unreadable(seq).await } else { Ok(()) }
    }

    async fn unreadable(&self, seq: u64) -> Result<(), ConsumerError> {
        let letter = DeadLetter {
            class: "damaged".to_owned(),
            text: "the journal's record cannot be read".to_owned(),
            attempts: 0,
            at_ms: now_ms(),
        };
        let generation = self.handle.generation;
        self.handle.wish(Wish::Unreadable { generation, seq, letter }).await
    }

    /// Notes that a build of the history is in flight; false if that changed meanwhile.
    fn hand_out_refill(&self, seq: u64) -> Result<bool, ConsumerError> {
        let mut state = self.handle.core.lock();
        self.handle.check(&state)?;
        Ok(state.refills.contains(&seq) && state.in_flight.insert(seq))
    }

    async fn refill(&self, seq: u64) -> Result<Option<Arc<Record>>, StoreError> {
        let shared = Arc::clone(&self.handle.feed.shared);
        let name = self.handle.core.name.clone();
        let read = move |t: &_| query::refill(t, &shared, &name, seq);
        Ok(self.handle.feed.shared.read(read).await?.map(Arc::new))
    }

    async fn letter(&self, seq: u64) -> Result<Option<Arc<Record>>, ConsumerError> {
        let name = self.handle.core.name.clone();
        let read = move |t: &_| query::dead_letter(t, &name, seq);
        let letter = self.handle.feed.shared.read(read).await?;
        let record = letter.and_then(|letter| letter.record);
        if record.is_none() {
            self.handle.core.lock().replays.remove(&seq);
        }
        Ok(record)
    }

    /// A handle for other tasks.
    pub fn handle(&self) -> ConsumerHandle {
        self.handle.clone()
    }

    /// See [`ConsumerHandle::acknowledge`].
    ///
    /// # Errors
    /// As there.
    pub async fn acknowledge(
        &self,
        position: Position,
        state: Option<StateChange>,
    ) -> Result<(), ConsumerError> {
        self.handle.acknowledge(position, state).await
    }

    /// See [`ConsumerHandle::park`].
    ///
    /// # Errors
    /// As there.
    pub async fn park(&self, position: Position, letter: DeadLetter) -> Result<(), ConsumerError> {
        self.handle.park(position, letter).await
    }

    /// See [`ConsumerHandle::done`].
    ///
    /// # Errors
    /// As there.
    pub async fn done(&self, position: Position, done: Done) -> Result<(), ConsumerError> {
        self.handle.done(position, done).await
    }

    /// See [`ConsumerHandle::get_state`].
    pub fn get_state(&self, key: &str) -> Option<Vec<u8>> {
        self.handle.get_state(key)
    }

    /// See [`ConsumerHandle::backlog`].
    pub fn backlog(&self) -> u64 {
        self.handle.backlog()
    }

    /// See [`ConsumerHandle::status`].
    pub fn status(&self) -> ConsumerStatus {
        self.handle.status()
    }
}
