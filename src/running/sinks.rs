//! Targets that send: each has a durable consumer and a loop that is started again when it fails.

#[cfg(test)]
mod tests;

use super::{Reading, Running, StartError, as_bytes, as_text, reports::Reporter, secret};
use crds::{CatchUp, HttpPush, MailNotifier, secrets::SecretSource};
use delivery::RunError;
use feed::{AnyConsumer, AnyFeed, ConsumerError, ConsumerOptions, StoreError};
use model::Backoff;
use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};
use targets::{About, http_push, mail};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The longest wait before a loop that failed is started again, the first time and ever.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How often a suspended target's consumer is opened.
const SEEN: Duration = Duration::from_secs(3600);

impl Running {
    pub(super) async fn start_mail(
        &mut self,
        with: &Reading<'_>,
        resource: &MailNotifier,
        reporter: &Reporter,
    ) -> Result<(), StartError> {
        let (name, spec) = (with.place(&resource.metadata), &resource.spec);
        let namespace = with.namespace_of(&resource.metadata);
        let mut target = mail(namespace, resource, with.secrets, with.about.clone())?;
        if let Some(folder) = &self.outbox {
            target = target.into_folder(folder.clone());
        }
        let target = Arc::new(target);
        let mut options = target.options(&name, &self.budgets);
        options.catch_up = oldest(spec.catch_up.as_ref());
        let metrics = with.metrics.clone();
        let wanted = wanted(spec.catch_up.as_ref(), spec.suspend);
        let first = open(with.feed, "mail", &name, &wanted).await?;
        if spec.suspend {
            self.suspend(with.feed, ("mail", name), (first, wanted));
            return Ok(());
        }
        self.follow_peer(reporter, options.watch());
        self.supervise(with.feed, ("mail", name), (first, wanted), move |consumer, cancel| {
            delivery::run(consumer, Arc::clone(&target), options.clone(), metrics.clone(), cancel)
        });
        Ok(())
    }

    pub(super) async fn start_push(
        &mut self,
        with: &Reading<'_>,
        resource: &HttpPush,
        reporter: &Reporter,
    ) -> Result<(), StartError> {
        let (name, spec) = (with.place(&resource.metadata), &resource.spec);
        let target = push(resource, with.secrets, with.about.clone())?;
        let target = Arc::new(target);
        let mut options = target.options(&name, &self.budgets);
        options.catch_up = oldest(spec.catch_up.as_ref());
        let metrics = with.metrics.clone();
        let wanted = wanted(spec.catch_up.as_ref(), spec.suspend);
        let first = open(with.feed, "http_push", &name, &wanted).await?;
        if spec.suspend {
            self.suspend(with.feed, ("http_push", name), (first, wanted));
            return Ok(());
        }
        self.follow_peer(reporter, options.watch());
        self.supervise(with.feed, ("http_push", name), (first, wanted), move |consumer, cancel| {
            delivery::run_batch(
                consumer,
                Arc::clone(&target),
                options.clone(),
                metrics.clone(),
                cancel,
            )
        });
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

/// Makes the target of a `MailNotifier`.
pub fn mail(
    namespace: &str,
    resource: &MailNotifier,
    secrets: &SecretSource,
    about: watch::Receiver<About>,
) -> Result<mail::Mail, StartError> {
    let kind = "MailNotifier";
    let name = resource.metadata.name.as_deref().unwrap_or_default();
    let spec = &resource.spec;
    let password = spec.smtp_password_secret_ref.as_ref();
    let of = |field| (kind, name, field);
    let given = mail::Secrets {
        password: password
            .map(|r| secret(of("smtpPasswordSecretRef"), r, secrets, as_text))
            .transpose()?,
        ca: spec
            .ca_secret_ref
            .as_ref()
            .map(|r| secret(of("caSecretRef"), r, secrets, as_bytes))
            .transpose()?,
    };
    let full = format!("{namespace}/{name}");
    mail::Mail::new(&full, spec, &given, about).map_err(|error| settings(kind, name, &error))
}

/// Makes the target of an `HttpPush`.
pub fn push(
    resource: &HttpPush,
    secrets: &SecretSource,
    about: watch::Receiver<About>,
) -> Result<http_push::HttpPush, StartError> {
    let kind = "HttpPush";
    let name = resource.metadata.name.as_deref().unwrap_or_default();
    let spec = &resource.spec;
    let authorization = spec.authorization_secret_ref.as_ref();
    let of = |field| (kind, name, field);
    let given = http_push::Secrets {
        authorization: authorization
            .map(|r| secret(of("authorizationSecretRef"), r, secrets, as_text))
            .transpose()?,
        ca: spec
            .ca_secret_ref
            .as_ref()
            .map(|r| secret(of("caSecretRef"), r, secrets, as_bytes))
            .transpose()?,
    };
    http_push::HttpPush::new(spec, &given, about).map_err(|error| settings(kind, name, &error))
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

/// How old what a target tells of may be.
fn oldest(catch_up: Option<&CatchUp>) -> Option<Duration> {
    catch_up.and_then(|spec| spec.max_age).map(crds::Duration::get)
}

/// What a target asks of the journal.
fn wanted(catch_up: Option<&CatchUp>, suspend: bool) -> ConsumerOptions {
    let catch_up = catch_up.map(|spec| feed::CatchUp {
        max_age_ms: oldest(catch_up).and_then(|age| u64::try_from(age.as_millis()).ok()),
        max_builds: u64::from(spec.max_builds),
    });
    // Nothing is read ahead for one that is suspended.
    ConsumerOptions { catch_up, window: suspend.then_some(1), ..ConsumerOptions::default() }
}

fn settings(kind: &'static str, name: &str, reason: &impl ToString) -> StartError {
    StartError::Settings { kind, name: name.to_owned(), reason: reason.to_string() }
}
