//! The loop of a target that sends one message a record.

use crate::{
    Acks, Metrics, RunError, SendError, Sent, Source, Target, TargetState, gate::Gate,
    state::Health, tally::Tally,
};
use feed::DeadLetter;
use model::{Backoff, BuilderId, Record, Timestamp};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, SemaphorePermit, oneshot, watch},
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// How a target is driven.
#[derive(Clone, Debug)]
pub struct Options {
    /// The resource's name, for metrics and logs.
    pub name: String,
    /// Records at work at once, those that wait for a retry included.
    pub window: usize,
    /// Attempts at once, each until its acknowledgement is on disk: so this is also the most
    /// messages that a kill repeats.
    pub parallel: usize,
    /// The deadline of one attempt.
    pub attempt_timeout: Duration,
    /// Waits between attempts after a transient failure.
    pub backoff: Backoff,
    /// Waits of the whole target while it is misconfigured, or throttled without a time.
    pub hold: Backoff,
    /// A record that is this much older than its event is given up at its next transient
    /// failure (SMTP's usual five days, RFC 5321 §4.5.4.1); before that it is tried for ever.
    pub max_age: Duration,
    /// Where the present state goes.
    pub state: watch::Sender<TargetState>,
}

impl Options {
    /// The defaults, under a resource's name.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            window: 256,
            parallel: 4,
            attempt_timeout: Duration::from_secs(60),
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(120)),
            hold: Backoff::new(Duration::from_secs(15), Duration::from_secs(300)),
            max_age: Duration::from_secs(5 * 24 * 3600),
            state: watch::Sender::default(),
        }
    }

    /// Follows the state.
    pub fn watch(&self) -> watch::Receiver<TargetState> {
        self.state.subscribe()
    }
}

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
        let free = tasks.len() < options.window.max(1);
        tokio::select! {
            () = cancel.cancelled() => break Ok(()),
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
                        tasks.spawn(async move { line.skip(&record, "not-selected").await });
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
    options: Options,
}

impl<T: Target, A: Acks> Line<T, A> {
    async fn skip(&self, record: &Record, reason: &str) -> Result<(), A::Error> {
        self.acks.acknowledge(record.position, None).await?;
        self.tally.skipped(reason);
        Ok(())
    }

    async fn bury(
        &self,
        record: &Record,
        class: &'static str,
        text: String,
        attempts: u32,
    ) -> Result<(), A::Error> {
        tracing::warn!(class, text, attempts, "given up, kept as a dead letter");
        self.acks.park(record.position, letter(class, &text, attempts)).await?;
        self.tally.dead(class, text);
        Ok(())
    }

    async fn deliver(&self, record: &Record, mut turn: Turn) -> Result<(), A::Error> {
        if let Some(before) = turn.before.take() {
            // An error means that the one before dropped its end: it is done.
            let _ = before.await;
        }
        let mut message = match self.target.compose(record) {
            Ok(Some(message)) => message,
            Ok(None) => return self.skip(record, "nobody").await,
            Err(error) => return self.bury(record, "compose", error.to_string(), 0).await,
        };
        let mut attempts = 0;
        let mut backoff = self.options.backoff;
        loop {
            attempts += 1;
            // Held until the acknowledgement is on disk: a kill repeats at most as many messages
            // as may be attempted at once.
            let (result, permit) = self.attempt(&mut message).await;
            match result {
                Ok(Sent::Whole) => {
                    self.acks.acknowledge(record.position, None).await?;
                    self.tally.delivered(record, "delivered");
                    tracing::info!(attempts, "delivered");
                    return Ok(());
                }
                Ok(Sent::Partly(text)) => {
                    tracing::warn!(text, "delivered in part; the rest is kept as a dead letter");
                    self.acks.park(record.position, letter("partly", &text, attempts)).await?;
                    self.tally.delivered(record, "partly");
                    self.tally.dead("partly", text);
                    return Ok(());
                }
                Err(SendError::Permanent(text)) => {
                    return self.bury(record, "permanent", text, attempts).await;
                }
                Err(error @ (SendError::Transient(_) | SendError::PutOff(_))) => {
                    if age(record) > self.options.max_age {
                        return self.bury(record, "expired", error.to_string(), attempts).await;
                    }
                    if matches!(error, SendError::PutOff(_)) {
                        turn.done = None;
                    }
                    let delay = backoff.next_wait();
                    tracing::info!(%error, attempts, ?delay, "tried again later");
                    self.tally.retry(&error);
                    drop(permit);
                    tokio::time::sleep(delay).await;
                }
                // The gate holds everybody back.
                Err(error @ (SendError::Throttled { .. } | SendError::Misconfigured(_))) => {
                    self.tally.retry(&error);
                }
            }
        }
    }

    /// One attempt, when there is room for it.
    async fn attempt(
        &self,
        message: &mut T::Message,
    ) -> (Result<Sent, SendError>, Option<SemaphorePermit<'_>>) {
        let pass = self.gate.pass().await;
        let Ok(permit) = self.attempts.acquire().await else {
            // Only a closed semaphore fails, and nobody closes it.
            return (Err(SendError::Transient("the target stops".into())), None);
        };
        let limit = self.options.attempt_timeout;
        let began = Instant::now();
        let result = timeout(limit, self.target.send(message)).await.unwrap_or_else(|_| {
            Err(SendError::Transient(format!("no answer within {} s", limit.as_secs_f32())))
        });
        self.tally.attempt(&result);
        match &result {
            Ok(_) => self.gate.open(),
            Err(error @ SendError::Throttled { after, .. }) => {
                let least = self.options.backoff.bound();
                let wait = self.gate.shut(after.map(|after| after.max(least)));
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
        tracing::debug!(elapsed = ?began.elapsed(), ok = result.is_ok(), "attempt");
        drop(pass);
        (result, Some(permit))
    }
}

/// How old the event is. An event without a time counts from its journaling.
pub(crate) fn age(record: &Record) -> Duration {
    let happened = record.happened_at().unwrap_or(Timestamp(record.journaled_ms / 1000));
    Duration::from_secs(Timestamp::now().seconds_since(happened))
}

/// Most characters of a reason that are kept: a peer's answer may be long.
const REASON: usize = 2000;

pub(crate) fn letter(class: &str, text: &str, attempts: u32) -> DeadLetter {
    DeadLetter {
        class: class.to_owned(),
        text: text.chars().take(REASON).collect(),
        attempts,
        at_ms: Timestamp::now().0.saturating_mul(1000),
    }
}
