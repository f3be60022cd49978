//! The loop of a target that sends one message a record.

use crate::{
    Acks, Metrics, Options, RunError, SendError, Sent, Source, Target,
    attempt::{self, age, letter},
    budget::Cost,
    gate::{Gate, Pass},
    put_off::{Place, PutOff},
    redact::redact,
    state::Health,
    tally::Tally,
};
use feed::Done;
use model::{BuilderId, Record};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, SemaphorePermit, oneshot},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// For how long at least a record is tried that was old already when it came, as one that is
/// replayed or waited for this process: its first failure says nothing of its peer.
const AT_LEAST: Duration = Duration::from_secs(3600);

/// Drives `target` with the records of `source` until `cancel`; then attempts in progress are
/// dropped, and their records are handed out again by the next run.
///
/// Records of one builder are attempted in their order, each after the one before it is done
/// with (or put off in part); builders don't wait for each other.
///
/// # Errors
/// [`RunError::Source`] if the journal fails or a newer consumer took over.
pub async fn run<S: Source, T: Target>(
    mut source: S,
    target: T,
    options: Options,
    metrics: Metrics,
    cancel: CancellationToken,
) -> Result<(), RunError> {
    let acks = source.acks();
    let tally = Tally::new(target.kind(), &options.name, metrics, options.state.clone());
    let line = Arc::new(Line {
        target,
        acks: acks.clone(),
        tally: tally.clone(),
        gate: Gate::new(options.hold),
        attempts: Semaphore::new(options.parallel.max(1)),
        put_off: PutOff::new(options.put_off),
        options: options.clone(),
    });
    let failed = |error: <S::Acks as Acks>::Error| RunError::Source {
        target: options.name.clone(),
        source: Box::new(error),
    };
    let mut lanes: HashMap<Option<BuilderId>, oneshot::Receiver<()>> = HashMap::new();
    let mut tasks = JoinSet::new();
    let end = loop {
        tally.in_flight(tasks.len(), acks.backlog());
        let free = tasks.len().saturating_sub(line.put_off.count()) < options.window.max(1);
        tokio::select! {
            () = cancel.cancelled() => break Ok(()),
            // Its place in the window is free.
            () = line.put_off.more() => {}
            Some(done) = tasks.join_next(), if !tasks.is_empty() => match done {
                Ok(Ok(())) => {}
                Ok(Err(error)) => break Err(failed(error)),
                // A panic in a target is a fault of the target: better to stop than to lose a record.
                Err(panic) => break Err(RunError::Source {
                    target: options.name.clone(),
                    source: Box::new(panic),
                }),
            },
            record = source.next(), if free => match record {
                Err(error) => break Err(failed(error)),
                Ok(record) => {
                    let line = Arc::clone(&line);
                    if line.target.decide(&record) {
                        let (done, after) = oneshot::channel();
                        let before = lanes.insert(record.event.builder(), after);
                        let span = tracing::info_span!(
                            "deliver",
                            target_name = %options.name,
                            kind = line.target.kind(),
                            position = %record.position,
                            identity = %record.identity,
                        );
                        feed::trace::join(&span, &record.identity);
                        tasks.spawn(
                            async move { line.deliver(&record, Turn { before, done: Some(done) }).await }
                                .instrument(span),
                        );
                    } else {
                        tasks.spawn(async move { line.skip(&record, "not-selected", 0).await });
                    }
                    lanes.retain(|_, after| after.is_terminated_or_open());
                }
            },
        }
    };
    tasks.shutdown().await;
    tally.health(Health::Stopped);
    end
}

/// Whether a lane's last turn is still being waited for.
trait Open {
    fn is_terminated_or_open(&mut self) -> bool;
}

impl Open for oneshot::Receiver<()> {
    fn is_terminated_or_open(&mut self) -> bool {
        matches!(self.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }
}

/// A record's place behind the one before it on its builder.
struct Turn {
    before: Option<oneshot::Receiver<()>>,
    /// Dropped when the next one may go.
    done: Option<oneshot::Sender<()>>,
}

struct Line<T, A> {
    target: T,
    acks: A,
    tally: Tally,
    gate: Gate,
    attempts: Semaphore,
    put_off: PutOff,
    options: Options,
}

impl<T: Target, A: Acks> Line<T, A> {
    async fn skip(&self, record: &Record, reason: &str, failed: u32) -> Result<(), A::Error> {
        self.acks.done(record.position, Done { failed, ..Done::skipped() }).await?;
        self.tally.skipped(reason);
        Ok(())
    }

    async fn bury(
        &self,
        record: &Record,
        class: &'static str,
        text: &str,
        attempts: u32,
    ) -> Result<(), A::Error> {
        let text = redact(text, &self.target.secrets());
        tracing::warn!(class, text, attempts, "given up, kept as a dead letter");
        let done = Done::given_up(letter(class, &text, attempts), attempts);
        self.acks.done(record.position, done).await?;
        self.tally.dead(class, text);
        Ok(())
    }

    async fn deliver(&self, record: &Record, mut turn: Turn) -> Result<(), A::Error> {
        if let Some(before) = turn.before.take() {
            // An error means that the one before dropped its end: it is done.
            let _ = before.await;
        }
        let (begin, limit) = (Instant::now(), self.options.max_age);
        let late = || age(record) > limit && begin.elapsed() > limit.min(AT_LEAST);
        let mut backoff = self.options.backoff;
        let facts = loop {
            let gather = self.target.gather(record);
            let limit = self.options.attempt_timeout;
            match attempt::within(limit, &self.target.secrets(), gather).await {
                Ok(facts) => break facts,
                Err(SendError::Permanent(text)) => {
                    return self.bury(record, "gather", &text, 0).await;
                }
                Err(error) if late() => {
                    return self.bury(record, "expired", &error.to_string(), 0).await;
                }
                Err(error) => {
                    let delay = backoff.next_wait();
                    tracing::info!(%error, ?delay, "what the message needs is asked for again later");
                    tokio::time::sleep(delay).await;
                }
            }
        };
        let mut message = match self.target.compose(record, facts) {
            Ok(Some(message)) => message,
            Ok(None) => return self.skip(record, "nobody", 0).await,
            Err(error) => return self.bury(record, "compose", &error.0, 0).await,
        };
        let mut attempts = 0;
        let mut backoff = self.options.backoff;
        let mut begun = false;
        let mut place: Option<Place<'_>> = None;
        loop {
            // Held until the acknowledgement is on disk: a kill repeats at most as many messages
            // as may be attempted at once.
            let turn_of_all = self.turn(&self.target.cost(&message)).await;
            // Some may have it already; then the others get it too.
            if !begun && attempt::too_old(record, self.options.catch_up) {
                return self.skip(record, "too-old", attempts).await;
            }
            let result = match &turn_of_all {
                Ok((_, pass)) => {
                    attempts += 1;
                    self.attempt(&mut message, pass).await
                }
                Err(error) => Err(error.clone()),
            };
            match result {
                Ok(Sent::Whole) => {
                    self.acks.done(record.position, Done::delivered(attempts - 1)).await?;
                    self.tally.delivered(record, "delivered");
                    tracing::info!(attempts, "delivered");
                    return Ok(());
                }
                Ok(Sent::Partly(text)) => {
                    let text = redact(&text, &self.target.secrets());
                    tracing::warn!(text, "delivered in part; the rest is kept as a dead letter");
                    let letter = Some(letter("partly", &text, attempts));
                    let done = Done { letter, ..Done::delivered(attempts - 1) };
                    self.acks.done(record.position, done).await?;
                    self.tally.delivered(record, "partly");
                    self.tally.dead("partly", text);
                    return Ok(());
                }
                Err(SendError::Permanent(text)) => {
                    return self.bury(record, "permanent", &text, attempts).await;
                }
                Err(error @ (SendError::Transient(_) | SendError::PutOff(_))) => {
                    if late() {
                        let text = error.to_string();
                        return self.bury(record, "expired", &text, attempts).await;
                    }
                    if matches!(error, SendError::PutOff(_)) {
                        begun = true;
                        turn.done = None;
                        let place = place.get_or_insert_with(|| self.put_off.enter());
                        if place.gives_way() {
                            let most = self.options.put_off;
                            let text = format!(
                                "{error}; {most} later messages are put off too, and more are not kept"
                            );
                            return self.bury(record, "put-off", &text, attempts).await;
                        }
                    }
                    let delay = backoff.next_wait();
                    tracing::info!(%error, attempts, ?delay, "tried again later");
                    self.tally.retry(&error);
                    drop(turn_of_all);
                    tokio::time::sleep(delay).await;
                }
                // The gate holds everybody back.
                Err(error @ (SendError::Throttled { .. } | SendError::Misconfigured(_))) => {
                    self.tally.retry(&error);
                }
            }
        }
    }

    /// Waits until an attempt may be made: for room, then until the peer wants something, then
    /// for the budget. Those that wait for room have not passed the gate, so a refusal of the
    /// whole target stops them all.
    async fn turn(&self, cost: &Cost) -> Result<(SemaphorePermit<'_>, Pass<'_>), SendError> {
        let permit = self.attempts.acquire().await;
        // Only a closed semaphore fails, and nobody closes it.
        let permit = permit.map_err(|_| SendError::Transient("the target stops".to_owned()))?;
        loop {
            let pass = self.gate.pass().await;
            attempt::afford(&self.options.budget, cost, &self.tally).await?;
            if self.gate.admits(&pass) {
                return Ok((permit, pass));
            }
        }
    }

    /// One attempt.
    async fn attempt(&self, message: &mut T::Message, _: &Pass<'_>) -> Result<Sent, SendError> {
        let (limit, secrets) = (self.options.attempt_timeout, self.target.secrets());
        let result = attempt::within(limit, &secrets, self.target.send(message)).await;
        self.tally.attempt(&result);
        match &result {
            Ok(_) => self.gate.open(),
            Err(error @ SendError::Throttled { after, .. }) => {
                let least = self.options.backoff.bound();
                let wait = self.gate.shut(after.map(|after| after.max(least)));
                self.options.budget.hold(wait);
                tracing::warn!(%error, ?wait, "the peer asks for patience; the target waits");
            }
            Err(error @ SendError::Misconfigured(_)) => {
                let wait = self.gate.shut(None);
                tracing::error!(%error, ?wait, "nothing can be sent until this is mended; records wait");
            }
            // The peer does talk to us.
            Err(SendError::Permanent(_) | SendError::PutOff(_)) => self.gate.open(),
            Err(SendError::Transient(_)) => {}
        }
        result
    }
}
