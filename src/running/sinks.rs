//! Targets that send: each has a durable consumer and a loop that is started again when it fails.

#[cfg(test)]
mod tests;

use super::{
    Reading, Running, StartError,
    informed::Informed,
    make::{self, settings},
    reports::Reporter,
};
use crds::{CatchUp, manifest::Resource};
use delivery::{BatchTarget, RunError, Target, TargetState};
use feed::{AnyConsumer, AnyFeed, ConsumerError, ConsumerOptions, StoreError};
use model::Backoff;
use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The longest wait before a loop that failed is started again, the first time and ever.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How often a suspended target's consumer is opened.
const SEEN: Duration = Duration::from_secs(3600);

/// A target's place in the journal, and what it wants of it.
struct Sink<'a> {
    /// The kind's word.
    kind: &'static str,
    /// What the journal knows the target by.
    name: String,
    catch_up: Option<&'a CatchUp>,
    suspend: bool,
    reporter: &'a Reporter,
}

impl Running {
    /// Starts a target of any kind; pages are started elsewhere.
    pub(super) async fn start_target(
        &mut self,
        with: &Reading<'_>,
        resource: &Resource,
        reporter: &Reporter,
    ) -> Result<(), StartError> {
        let (name, kind) = (with.place(resource.metadata()), make::word(resource.kind()));
        let budgets = self.budgets.clone();
        match resource {
            Resource::MailNotifier(mail) => {
                let mut target = make::mail(
                    with.namespace_of(&mail.metadata),
                    mail,
                    with.secrets,
                    with.about.clone(),
                )?
                .reading(with.feed.clone())
                .counting(&name, with.metrics.clone());
                if let Some(folder) = &self.outbox {
                    target = target.into_folder(folder.clone());
                }
                let options = target.options(&name, &budgets);
                let (catch_up, suspend) = (mail.spec.catch_up.as_ref(), mail.spec.suspend);
                let sink = Sink { kind, name, catch_up, suspend, reporter };
                Box::pin(self.one_by_one(with, sink, target, options)).await
            }
            Resource::HttpPush(push) => {
                let namespace = with.namespace_of(&push.metadata);
                let target = make::http_push(namespace, push, with.secrets, with.about.clone())?;
                let options = target.options(&name, &budgets);
                let (catch_up, suspend) = (push.spec.catch_up.as_ref(), push.spec.suspend);
                let sink = Sink { kind, name, catch_up, suspend, reporter };
                Box::pin(self.in_batches(with, sink, target, options)).await
            }
            Resource::StatusPush(push) => {
                let target = make::status_push(push, with.about.clone())?;
                let options = target.options(&name);
                let (catch_up, suspend) = (push.spec.catch_up.as_ref(), push.spec.suspend);
                let sink = Sink { kind, name, catch_up, suspend, reporter };
                Box::pin(self.in_batches(with, sink, target, options)).await
            }
            Resource::GerritPush(push) => {
                let target = make::gerrit(push, with.secrets, with.about.clone())?;
                let target = target.with_past(with.feed.clone());
                let options = target.options(&name, &budgets);
                let (catch_up, suspend) = (push.spec.catch_up.as_ref(), push.spec.suspend);
                let sink = Sink { kind, name, catch_up, suspend, reporter };
                Box::pin(self.one_by_one(with, sink, target, options)).await
            }
            Resource::GitHubStatus(github) => {
                let target = make::github(github, with.secrets, with.about.clone())?;
                let options = target.options(&name, &budgets);
                let (catch_up, suspend) = (&github.spec.catch_up(), github.spec.suspend);
                let sink = Sink { kind, name, catch_up: Some(catch_up), suspend, reporter };
                Box::pin(self.one_by_one(with, sink, target, options)).await
            }
            Resource::Master(_) | Resource::WebStatus(_) => Ok(()),
        }
    }

    /// Runs a target that sends one message a record.
    async fn one_by_one<T: Target>(
        &mut self,
        with: &Reading<'_>,
        sink: Sink<'_>,
        target: T,
        options: delivery::Options,
    ) -> Result<(), StartError> {
        let state = options.watch();
        let in_flight = Some(options.in_flight());
        let (target, metrics) = (Arc::new(target), with.metrics.clone());
        self.run(with, sink, (state, in_flight), move |consumer, cancel| {
            delivery::run(consumer, Arc::clone(&target), options.clone(), metrics.clone(), cancel)
        })
        .await
    }

    /// Runs a target that sends many records in one request.
    async fn in_batches<T: BatchTarget>(
        &mut self,
        with: &Reading<'_>,
        sink: Sink<'_>,
        target: T,
        options: delivery::BatchOptions,
    ) -> Result<(), StartError> {
        let state = options.watch();
        let (target, metrics) = (Arc::new(target), with.metrics.clone());
        self.run(with, sink, (state, None), move |consumer, cancel| {
            delivery::run_batch(
                consumer,
                Arc::clone(&target),
                options.clone(),
                metrics.clone(),
                cancel,
            )
        })
        .await
    }

    async fn run<F, R>(
        &mut self,
        with: &Reading<'_>,
        sink: Sink<'_>,
        (state, in_flight): (watch::Receiver<TargetState>, Option<usize>),
        run: F,
    ) -> Result<(), StartError>
    where
        F: Fn(Informed, CancellationToken) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), RunError>> + Send,
    {
        let Sink { kind, name, catch_up, suspend, reporter } = sink;
        let wanted = wanted(catch_up, in_flight, suspend);
        let first = open(with.feed, kind, &name, &wanted).await?;
        if suspend {
            self.suspend(with.feed, (kind, name), (first, wanted));
        } else {
            self.follow_peer(reporter, state);
            let about = with.about.clone();
            self.supervise(with.feed, (kind, name), (first, wanted), move |consumer, cancel| {
                run(Informed::new(consumer, about.clone()), cancel)
            });
        }
        Ok(())
    }

    /// Keeps a suspended target's place in the journal: it is there, and sends nothing.
    fn suspend(
        &mut self,
        feed: &AnyFeed,
        (kind, name): (&'static str, String),
        (first, wanted): (AnyConsumer, ConsumerOptions),
    ) {
        tracing::info!(kind, name, "suspended: its place in the journal is kept");
        let (feed, cancel) = (feed.clone(), self.cancel.clone());
        self.tasks.spawn(async move {
            let mut kept = Some(first);
            let wait = async || tokio::time::sleep(SEEN).await;
            while cancel.run_until_cancelled(wait()).await.is_some() {
                // A consumer that acknowledges nothing is seen when it is opened.
                let opened = feed.consumer(&consumer_name(kind, &name), wanted.clone()).await;
                match opened {
                    Ok(consumer) => drop(kept.replace(consumer)),
                    Err(error) => {
                        tracing::warn!(kind, name, "suspended; its place is not seen: {error}");
                    }
                }
            }
        });
    }

    /// Runs a target's loop until the process ends. A loop that fails (the journal can't be
    /// written, say) is started again with a consumer opened anew: nothing is lost meanwhile.
    fn supervise<F, R>(
        &mut self,
        feed: &AnyFeed,
        (kind, name): (&'static str, String),
        (first, mut wanted): (AnyConsumer, ConsumerOptions),
        run: F,
    ) where
        F: Fn(AnyConsumer, CancellationToken) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), RunError>> + Send,
    {
        let (feed, cancel) = (feed.clone(), self.cancel.clone());
        self.tasks.spawn(async move {
            let mut consumer = Some(first);
            let mut again = Backoff::new(AGAIN.0, AGAIN.1);
            while !cancel.is_cancelled() {
                let opened = match consumer.take() {
                    Some(consumer) => Ok(consumer),
                    None => feed.consumer(&consumer_name(kind, &name), wanted.clone()).await,
                };
                let began = Instant::now();
                let (end, taken) = match opened {
                    Ok(consumer) => {
                        // Should the journal be lost, there may be nobody else who knows.
                        wanted.known = Some(consumer.handle().status().floor);
                        match run(consumer, cancel.clone()).await {
                            Ok(()) => return,
                            Err(error) if superseded(&error) => {
                                (format!("another process runs it as well: {error}"), true)
                            }
                            Err(error) => (format!("the target stopped: {error}"), false),
                        }
                    }
                    Err(error) => (format!("the journal can't be read: {error}"), false),
                };
                // One that ran for longer than any wait had come to work.
                if began.elapsed() > again.max() {
                    again.reset();
                }
                // The newer process is the one that is meant. Its place is taken back late, in
                // case it is gone: two that take it from each other send much twice.
                let wait = if taken { again.max() } else { again.next_wait() };
                tracing::error!(kind, name, again_in = ?wait, "{end}");
                tokio::select! {
                    () = cancel.cancelled() => return,
                    () = tokio::time::sleep(wait) => {}
                }
            }
        });
    }
}

/// Whether the loop ended because its consumer was opened elsewhere.
fn superseded(error: &RunError) -> bool {
    let RunError::Source { source, .. } = error else { return false };
    matches!(source.downcast_ref(), Some(ConsumerError::Superseded { .. }))
}

/// The name that the journal knows a target by.
pub fn consumer_name(kind: &str, name: &str) -> String {
    format!("{kind}/{name}")
}

/// Opens a target's consumer, suspended or not: one that exists keeps its place. A feed elsewhere
/// that is away, or refuses the token, is asked until it is not.
async fn open(
    feed: &AnyFeed,
    kind: &'static str,
    name: &str,
    wanted: &ConsumerOptions,
) -> Result<AnyConsumer, StartError> {
    let mut again = Backoff::new(AGAIN.0, AGAIN.1);
    loop {
        match feed.consumer(&consumer_name(kind, name), wanted.clone()).await {
            Ok(consumer) => return Ok(consumer),
            Err(ConsumerError::Store(error @ (StoreError::Away(_) | StoreError::Refused(_)))) => {
                let wait = again.next_wait();
                tracing::warn!(kind, name, again_in = ?wait, "{error}");
                tokio::time::sleep(wait).await;
            }
            Err(error) => return Err(settings(kind, name, &error)),
        }
    }
}

/// What a target asks of the journal.
fn wanted(catch_up: Option<&CatchUp>, in_flight: Option<usize>, suspend: bool) -> ConsumerOptions {
    let catch_up = catch_up.map(|spec| feed::CatchUp {
        max_age_ms: spec.max_age.and_then(|age| u64::try_from(age.get().as_millis()).ok()),
        max_builds: u64::from(spec.max_builds),
    });
    // Nothing is read ahead for one that is suspended.
    let window = if suspend { Some(1) } else { in_flight };
    ConsumerOptions { catch_up, window, ..ConsumerOptions::default() }
}
