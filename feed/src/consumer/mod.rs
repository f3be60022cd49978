//! Durable consumers: what is done is never handed out again, what is not, always.

pub(crate) mod core;
pub(crate) mod ledger;
pub(crate) mod load;
pub(crate) mod words;

pub use words::{
    ConsumerStatus, DeadLetter, Done, Gap, JournalLost, LossKind, Parked, StateChange,
};

use self::{
    core::{Present, State},
    words::bounded,
};
use crate::{
    ConsumerError, ConsumerOptions, StoreError,
    feed::Inner,
    query,
    shared::now_ms,
    writer::{ConsumerJob, Granted, Wish},
};
use model::{Position, Record};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
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

/// Acknowledges from any task; clones share one consumer.
#[derive(Clone, Debug)]
pub struct ConsumerHandle {
    feed: Arc<Inner>,
    core: Present,
    generation: u64,
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
        if letter.is_none() {
            self.handle.core.lock().replays.remove(&seq);
        }
        Ok(letter.map(|letter| letter.record))
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

    async fn wish(&self, wish: Wish) -> Result<(), ConsumerError> {
        self.feed.wish(&self.core.name, wish).await.map(|_| ())
    }

    fn check(&self, state: &State) -> Result<(), ConsumerError> {
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
