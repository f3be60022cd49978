//! The loop of a target that sends many records in one request.

use crate::{
    Acks, BatchOptions, BatchTarget, Metrics, RunError, SendError, Sent, Source, Taken,
    attempt::{self, age, letter},
    redact::redact,
    state::Health,
    tally::Tally,
};
use feed::{Done, StateChange};
use model::{Backoff, Position, Record};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::{
    task::{JoinError, JoinSet},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// The key of a target's state in the journal.
const STATE: &str = "batch";

/// A record that waits for its request.
struct Waiting<T: BatchTarget> {
    record: Arc<Record>,
    item: Arc<T::Item>,
    /// The state once this record is done.
    after: T::State,
    attempts: u32,
}

/// Drives `target` with the records of `source` until `cancel`, in the journal's order.
///
/// A record's item and the state after it are fixed when it is read, and the state is committed
/// with the record's acknowledgement: so a record that is handed out again becomes the same item.
/// After a failure, one record at a time is tried until one is taken; nothing is overtaken and
/// nothing is dropped for being late.
///
/// # Errors
/// [`RunError`] if the journal fails, a newer consumer took over or the state is unreadable.
pub async fn run_batch<S: Source, T: BatchTarget>(
    mut source: S,
    target: T,
    options: BatchOptions,
    metrics: Metrics,
    cancel: CancellationToken,
) -> Result<(), RunError> {
    let acks = source.acks();
    let tally = Tally::new(target.kind(), &options.name, metrics, options.state.clone());
    let state = target
        .load(acks.get_state(STATE).as_deref())
        .map_err(|text| RunError::State { target: options.name.clone(), text })?;
    let hold = options.hold;
    let mut batch = Batch {
        target,
        acks,
        tally,
        options,
        state,
        queue: VecDeque::new(),
        skipping: JoinSet::new(),
        hold,
    };
    let mut due = Instant::now();
    let end = loop {
        batch.tally.in_flight(batch.queue.len(), batch.acks.backlog());
        let free = batch.queue.len() + batch.skipping.len() < batch.options.window.max(1);
        tokio::select! {
            biased;
            () = cancel.cancelled() => break Ok(()),
            Some(skipped) = batch.skipping.join_next(), if !batch.skipping.is_empty() => {
                if let Err(error) = batch.skipped(skipped) { break Err(error) }
            }
            record = source.next(), if free => match record {
                Ok(record) => {
                    // What can't be composed is acknowledged, and a feed that is away takes no
                    // acknowledgement: an end must not wait for that either.
                    let taken = tokio::select! {
                        () = cancel.cancelled() => break Ok(()),
                        taken = batch.take(record) => taken,
                    };
                    if let Err(error) = taken { break Err(error) }
                }
                Err(error) => break Err(batch.fail(error)),
            },
            () = sleep_until(due), if !batch.queue.is_empty() => {
                // A request may hang for its whole deadline, so an end must not wait for it.
                let wait = tokio::select! {
                    () = cancel.cancelled() => break Ok(()),
                    wait = batch.push() => wait,
                };
                match wait {
                    Ok(wait) => due = Instant::now() + wait,
                    Err(error) => break Err(error),
                }
            }
        }
    };
    batch.tally.health(Health::Stopped);
    end
}

struct Batch<T: BatchTarget, A: Acks> {
    target: T,
    acks: A,
    tally: Tally,
    options: BatchOptions,
    /// After the last record of the queue.
    state: T::State,
    queue: VecDeque<Waiting<T>>,
    /// Acknowledgements of what is not sent. The loop does not wait for each: most records may be
    /// of no interest, and then every one would cost it a transaction.
    skipping: JoinSet<Result<(), A::Error>>,
    /// Counts failures in a row.
    hold: Backoff,
}

impl<T: BatchTarget, A: Acks> Batch<T, A> {
    fn fail(&self, error: A::Error) -> RunError {
        RunError::Source { target: self.options.name.clone(), source: Box::new(error) }
    }

    async fn take(&mut self, record: Arc<Record>) -> Result<(), RunError> {
        if !self.target.decide(&record) {
            self.skip(&record, "not-selected");
            return Ok(());
        }
        if attempt::too_old(&record, self.options.catch_up) {
            self.skip(&record, "too-old");
            return Ok(());
        }
        match self.target.compose(&mut self.state, &record) {
            Ok(item) => {
                let after = self.state.clone();
                self.queue.push_back(Waiting { record, item: Arc::new(item), after, attempts: 0 });
                // Composing takes a while, and one that is far behind has much to compose: others,
                // whose peers wait for a single message, have a turn in between.
                tokio::task::yield_now().await;
                Ok(())
            }
            Err(error) => self.bury(&record, "compose", &error.0, 0).await,
        }
    }

    fn skip(&mut self, record: &Record, reason: &'static str) {
        self.tally.skipped(reason);
        let (acks, position) = (self.acks.clone(), record.position);
        self.skipping.spawn(async move { acks.done(position, Done::skipped()).await });
    }

    fn skipped(&self, ended: Result<Result<(), A::Error>, JoinError>) -> Result<(), RunError> {
        match ended {
            Ok(result) => result.map_err(|error| self.fail(error)),
            Err(panic) => {
                Err(RunError::Source { target: self.options.name.clone(), source: Box::new(panic) })
            }
        }
    }

    async fn finish(&self, position: Position, done: Done) -> Result<(), RunError> {
        self.acks.done(position, done).await.map_err(|error| self.fail(error))
    }

    async fn bury(
        &self,
        record: &Record,
        class: &'static str,
        text: &str,
        attempts: u32,
    ) -> Result<(), RunError> {
        let text = redact(text, &self.target.secrets());
        tracing::warn!(position = %record.position, identity = %record.identity, class, text, "given up, kept as a dead letter");
        let letter = letter(class, &text, attempts);
        self.finish(record.position, Done::given_up(letter, attempts)).await?;
        self.tally.dead(class, text);
        Ok(())
    }

    /// How many of the queue go into the next request: all that `max_items` lets, halved until
    /// they fit; one after a failure. `None` if a single one does not fit.
    fn chunk(&self) -> Option<usize> {
        let mut room = self.options.max_items;
        let fits = self.queue.iter().take_while(|waiting| {
            let count = self.target.count(&waiting.item);
            let fits = count <= room;
            room = room.saturating_sub(count);
            fits
        });
        let mut chunk = if self.hold.failures() > 0 { 1 } else { fits.count().max(1) };
        loop {
            // A comma after each but the last, and the brackets.
            let bytes: usize =
                self.queue.iter().take(chunk).map(|w| self.target.size(&w.item) + 1).sum();
            if bytes < self.options.max_bytes {
                return Some(chunk);
            }
            if chunk == 1 {
                return None;
            }
            chunk /= 2;
        }
    }

    /// Makes one request; says how long to wait for the next.
    async fn push(&mut self) -> Result<Duration, RunError> {
        self.skip_too_old().await?;
        if self.queue.is_empty() {
            return Ok(Duration::ZERO);
        }
        let Some(chunk) = self.chunk() else {
            return self
                .drop_first("too-large", format!("larger than {} bytes", self.options.max_bytes))
                .await;
        };
        let items: Vec<Arc<T::Item>> =
            self.queue.iter().take(chunk).map(|w| Arc::clone(&w.item)).collect();
        let items: Vec<&T::Item> = items.iter().map(AsRef::as_ref).collect();
        let span = tracing::info_span!("deliver", target_name = %self.options.name, kind = self.target.kind(), records = chunk);
        for (at, waiting) in self.queue.iter().take(chunk).enumerate() {
            let identity = &waiting.record.identity;
            if at == 0 {
                feed::trace::join(&span, identity);
            } else {
                feed::trace::link(&span, identity);
            }
        }
        let cost = self.target.cost(&items);
        let (limit, secrets) = (self.options.attempt_timeout, self.target.secrets());
        let afford = attempt::afford(&self.options.budget, &cost, &self.tally);
        let result = match afford.instrument(span.clone()).await {
            Ok(()) => {
                let send = attempt::within(limit, &secrets, self.target.send(&items));
                let sent = match send.instrument(span).await {
                    Ok(Taken { items: 0, .. }) => {
                        Err(SendError::Transient("nothing was taken".to_owned()))
                    }
                    Ok(taken) => Ok(taken),
                    Err(error) => Err(error),
                };
                self.tally.attempt(&sent.as_ref().map(|_| Sent::Whole).map_err(Clone::clone));
                for waiting in self.queue.iter_mut().take(chunk) {
                    waiting.attempts += 1;
                }
                sent
            }
            Err(error) => Err(error),
        };
        match result {
            Ok(taken) => {
                self.hold.reset();
                self.done(&taken).await?;
                // The rest is with the peer already.
                Ok(if taken.items < chunk { Duration::ZERO } else { self.options.delay })
            }
            Err(SendError::Permanent(text)) if chunk == 1 => {
                self.drop_first("permanent", text).await
            }
            Err(error) => {
                let hold = self.hold.next_wait();
                self.tally.retry(&error);
                let wait = match &error {
                    SendError::Throttled { after, .. } => {
                        let wait = after.unwrap_or(hold).max(self.options.retry);
                        self.options.budget.hold(wait);
                        wait
                    }
                    SendError::Misconfigured(_) => hold.max(self.options.retry),
                    // Refused as a whole: which one it is, single tries will tell, at once.
                    SendError::Permanent(_) => Duration::ZERO,
                    SendError::Transient(_) | SendError::PutOff(_) => self.options.retry,
                };
                tracing::warn!(target_name = %self.options.name, %error, class = error.class(), ?wait, "tried again, one record at a time");
                Ok(wait)
            }
        }
    }

    /// Drops what grew too old while the receiver could not be reached.
    async fn skip_too_old(&mut self) -> Result<(), RunError> {
        while let Some(first) = self.queue.front() {
            if !attempt::too_old(&first.record, self.options.catch_up) {
                return Ok(());
            }
            // Its number is used up.
            let state = StateChange::set(STATE, self.target.save(&first.after));
            let done = Done { failed: first.attempts, ..Done::skipped() };
            self.finish(first.record.position, done.with(state)).await?;
            self.tally.skipped("too-old");
            self.queue.pop_front();
        }
        Ok(())
    }

    async fn drop_first(
        &mut self,
        class: &'static str,
        text: String,
    ) -> Result<Duration, RunError> {
        if let Some(first) = self.queue.pop_front() {
            // Its number is used up, whatever comes of it.
            let state = StateChange::set(STATE, self.target.save(&first.after));
            self.acks.save(state).await.map_err(|error| self.fail(error))?;
            self.bury(&first.record, class, &text, first.attempts).await?;
        }
        Ok(Duration::ZERO)
    }

    /// Acknowledges the records that were taken in their order, each with the state after it.
    async fn done(&mut self, taken: &Taken) -> Result<(), RunError> {
        let chunk = taken.items.min(self.queue.len());
        let done: Vec<Waiting<T>> = self.queue.drain(..chunk).collect();
        let secrets = self.target.secrets();
        let refused = |at: usize| taken.refused.get(&at).map(|text| redact(text, &secrets));
        let all = done.iter().enumerate().map(|(at, waiting)| {
            let state = StateChange::set(STATE, self.target.save(&waiting.after));
            let done = match refused(at) {
                Some(text) => {
                    let letter = letter("permanent", &text, waiting.attempts);
                    Done::given_up(letter, waiting.attempts)
                }
                None => Done::delivered(waiting.attempts - 1),
            };
            self.acks.done(waiting.record.position, done.with(state))
        });
        for result in futures_util::future::join_all(all).await {
            result.map_err(|error| self.fail(error))?;
        }
        for (at, waiting) in done.iter().enumerate() {
            let identity = &waiting.record.identity;
            match refused(at) {
                Some(text) => {
                    tracing::warn!(%identity, text, "refused, kept as a dead letter");
                    self.tally.dead("permanent", text);
                }
                None => {
                    self.tally.delivered(&waiting.record, "delivered");
                    tracing::debug!(%identity, age = ?age(&waiting.record), "delivered");
                }
            }
        }
        Ok(())
    }
}
