//! The one thread that writes. Jobs that wait together share a transaction; each gets its
//! answer when that is on disk, and only then do readers see what it brought.

mod agree;
mod batch;
mod change;
mod consumers;
mod forget;
mod letters;
mod refill;
mod retention;

pub(crate) use batch::Prepared;
pub(crate) use consumers::{ConsumerJob, Granted, Wish};

use crate::{
    ConsumerError, Gap, Options, StoreError,
    shared::Shared,
    store::{
        sidecar::{self, Sidecar, Stood},
        tables::{self, Journal},
    },
    trace,
};
use consumers::Changes;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant, SystemTime},
};
use tokio::sync::oneshot;

/// What the thread is asked to do.
pub(crate) enum Job {
    /// A batch of the master's.
    Ingest(Box<Prepared>, oneshot::Sender<Result<(), StoreError>>),
    /// A consumer's wishes.
    Consumer(ConsumerJob, oneshot::Sender<Answer>),
    /// Drop what has outlived its time, now.
    Maintain(oneshot::Sender<Result<(), StoreError>>),
    /// Write what is pending, then close the file.
    Close(oneshot::Sender<()>),
}

/// Most wishes that share a transaction, and what comes with the last of them.
const MOST_WISHES: usize = 1024;

/// The thread's state.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    jobs: Receiver<Job>,
    journal: Journal,
    options: Options,
    sidecar: Sidecar,
    /// By consumer: what it lost and how many builds stand for that, not yet told.
    gaps: BTreeMap<String, (Gap, u64)>,
    /// When it was last looked which consumers are there.
    looked: Instant,
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        jobs: Receiver<Job>,
        journal: Journal,
        options: Options,
    ) -> Self {
        Self {
            shared,
            jobs,
            journal,
            options,
            sidecar: Sidecar::default(),
            gaps: BTreeMap::new(),
            looked: Instant::now(),
        }
    }

    /// Works until it is told to close, or nobody is left to ask.
    pub(crate) fn run(mut self) {
        self.save_sidecar();
        let mut due = Instant::now() + self.options.maintenance;
        loop {
            if let Err(error) = self.agree() {
                tracing::warn!(%error, "what the last commit came to could not be read yet");
            }
            // Small steps, with jobs served in between; also while jobs never cease.
            if Instant::now() >= due || self.is_over() {
                let more = self.maintain().unwrap_or_else(|error| {
                    tracing::warn!(%error, "nothing could be dropped from the journal");
                    false
                });
                due = Instant::now() + if more { Duration::ZERO } else { self.options.maintenance };
            }
            match self.jobs.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(job) => {
                    if let Some(closed) = self.take(job) {
                        self.save_sidecar();
                        self.shared.store.close();
                        let _ = closed.send(());
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.save_sidecar();
        self.shared.store.close();
    }

    /// Whether there are more events than may ever be.
    fn is_over(&self) -> bool {
        self.journal.bytes > self.options.retention.max_backlog_bytes
    }

    /// Collects jobs that can share a transaction with this one, and does them.
    fn take(&mut self, first: Job) -> Option<oneshot::Sender<()>> {
        let deadline = Instant::now() + self.options.group_commit;
        let mut ingest = Vec::new();
        let mut wishes = Vec::new();
        let mut count = 0;
        let mut last = None;
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Ingest(batch, reply) => ingest.push((batch, reply)),
                Job::Consumer(job, reply) => {
                    count += job.wishes.len();
                    wishes.push((job, reply));
                }
                other => {
                    last = Some(other);
                    break;
                }
            }
            if count >= MOST_WISHES {
                break;
            }
            // Only acknowledgements wait for others.
            next = if ingest.is_empty() {
                self.jobs.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
            } else {
                self.jobs.try_recv().ok()
            };
        }
        self.perform(ingest, wishes);
        match last {
            Some(Job::Close(closed)) => return Some(closed),
            Some(Job::Maintain(reply)) => {
                let result = loop {
                    match self.maintain() {
                        Ok(true) => {}
                        Ok(false) => break Ok(()),
                        Err(error) => break Err(error),
                    }
                };
                let _ = reply.send(result);
            }
            _ => {}
        }
        None
    }

    fn perform(&mut self, mut ingest: Vec<Ingestion>, wishes: Vec<Wished>) {
        // Acknowledgements may use the reserve of disk space, the master's batches may not.
        if !ingest.is_empty()
            && let Err(error) = self.shared.store.check_room()
        {
            self.shared.metrics.failed(&error);
            for (_, reply) in ingest.drain(..) {
                let _ = reply.send(Err(error.clone()));
            }
        }
        if ingest.is_empty() && wishes.is_empty() {
            return;
        }
        if let Err(error) = self.agree() {
            self.shared.metrics.failed(&error);
            refuse(&error, ingest, wishes);
            return;
        }
        let mut journal = self.journal.clone();
        let mut numbered = Vec::with_capacity(ingest.len());
        for (mut batch, reply) in ingest {
            let before = journal.clone();
            match batch.number(&mut journal, self.shared.epoch, self.shared.clock.stamp_ms()) {
                Ok(()) => numbered.push((batch, reply)),
                Err(error) => {
                    journal = before;
                    let _ = reply.send(Err(error));
                }
            }
        }
        let ingest = numbered;
        let mut changes = Changes::default();
        let (began, began_at) = (Instant::now(), SystemTime::now());
        let result = self.shared.store.write(|transaction| {
            changes = Changes::default();
            for (batch, _) in &ingest {
                batch.write(transaction, &mut journal)?;
                if batch.is_new_database() {
                    changes.without_history(transaction, &self.shared)?;
                }
            }
            if !ingest.is_empty() {
                tables::put_journal(transaction, &journal)?;
            }
            let mut apply = |name: &str, wish: &Wish| {
                changes.apply(transaction, &self.shared, &journal, name, wish)
            };
            let granted = wishes
                .iter()
                .map(|(job, _)| job.wishes.iter().map(|wish| apply(&job.name, wish)).collect())
                .collect::<Result<Vec<Vec<_>>, StoreError>>()?;
            changes.write(transaction)?;
            Ok(granted)
        });
        match result {
            Ok(granted) => {
                let metrics = &self.shared.metrics;
                metrics.committed(began.elapsed());
                self.journal = journal;
                self.shared.database.store(self.journal.database, Ordering::Release);
                self.shared.bytes.store(self.journal.bytes, Ordering::Relaxed);
                let listed = changes.install(&self.shared);
                for (batch, reply) in ingest {
                    metrics.ingested(batch.events());
                    trace::journaled(batch.events(), batch.seen(), began_at);
                    let fresh = batch.into_fresh();
                    self.shared.publisher.publish(fresh);
                    let _ = reply.send(Ok(()));
                }
                if listed {
                    self.save_sidecar();
                }
                for ((_, reply), granted) in wishes.into_iter().zip(granted) {
                    let _ = reply.send(Ok(granted));
                }
            }
            Err(error) => {
                self.shared.metrics.failed(&error);
                tracing::warn!(%error, "a commit failed");
                if ingest.is_empty() {
                    refuse(&error, ingest, wishes);
                } else {
                    refuse(&error, ingest, Vec::new());
                    // A batch too large for the disk must not keep consumers from finishing.
                    self.perform(Vec::new(), wishes);
                }
            }
        }
    }

    /// Keeps beside the database what has to outlive it.
    fn save_sidecar(&mut self) {
        let head = self.shared.head();
        let stood = |(name, core): (&String, &Arc<crate::consumer::core::Core>)| {
            let status = core.status(head);
            let stood = Stood {
                floor: status.floor,
                backlog: status.backlog,
                generation: status.generation,
            };
            (name.clone(), stood)
        };
        let sidecar = Sidecar {
            epoch: self.shared.epoch,
            master: self.shared.master.clone(),
            consumers: self.shared.consumers().iter().map(stood).collect(),
        };
        if sidecar == self.sidecar {
            return;
        }
        match sidecar::save(&self.shared.dir, &sidecar) {
            Ok(()) => self.sidecar = sidecar,
            Err(error) => tracing::warn!(%error, "journal.json could not be written"),
        }
    }
}

fn refuse(error: &StoreError, ingest: Vec<Ingestion>, wishes: Vec<Wished>) {
    for (_, reply) in ingest {
        let _ = reply.send(Err(error.clone()));
    }
    for (_, reply) in wishes {
        let _ = reply.send(Err(error.clone()));
    }
}

type Ingestion = (Box<Prepared>, oneshot::Sender<Result<(), StoreError>>);
type Wished = (ConsumerJob, oneshot::Sender<Answer>);
/// What becomes of each of a job's wishes; the error is of all.
type Answer = Result<Vec<Result<Granted, ConsumerError>>, StoreError>;
