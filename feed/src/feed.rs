//! The feed itself: opening and closing, and every question a reader may ask.

use crate::{
    BuildQuery, CatchUp, Consumer, ConsumerError, ConsumerOptions, ConsumerStatus, Counts,
    Follower, Ingest, LogError, LogWatch, LossKind, Metrics, OpenError, Options, Parked, ReadError,
    ReaderStatus, Report, Snapshot, SnapshotLimits, StoreError, User,
    clock::Clock,
    consumer,
    logs::LogCache,
    publish::Publisher,
    query,
    report::Reports,
    shared::Shared,
    store, users,
    writer::{ConsumerJob, Granted, Job, Wish, Writer},
};
use master::{LogChunk, LogSource, MasterState, StateKind};
use model::{Build, BuildId, Change, ChangeId, LogId, Position};
use std::{
    collections::BTreeSet,
    fmt,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicU64},
        mpsc,
    },
    thread::JoinHandle,
};
use tokio::sync::{oneshot, watch};

/// Most changes in one answer.
const CHANGES_AT_ONCE: usize = 1000;
/// Most dead letters in one answer.
const LETTERS_AT_ONCE: usize = 1000;

/// The journal of one master; clones share it. It closes when the last clone, ingest, follower
/// and consumer are gone, or by [`Feed::close`].
#[derive(Clone, Debug)]
pub struct Feed {
    inner: Arc<Inner>,
}

/// What keeps a feed open.
pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    logs: LogCache,
    window: usize,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("head", &self.shared.head()).finish_non_exhaustive()
    }
}

impl Inner {
    /// Asks the writer.
    pub(crate) fn send(&self, job: Job) -> Result<(), StoreError> {
        let jobs = self.jobs.lock().unwrap_or_else(|e| e.into_inner());
        jobs.as_ref().ok_or(StoreError::Closed)?.send(job).map_err(|_| StoreError::Closed)
    }

    /// Asks the writer on behalf of a consumer and waits for the answer.
    pub(crate) async fn wish(&self, name: &str, wish: Wish) -> Result<Granted, ConsumerError> {
        let job = ConsumerJob { name: name.to_owned(), wishes: vec![wish] };
        let granted = self.wishes(job).await?.pop();
        granted.unwrap_or(Err(StoreError::Closed.into()))
    }

    /// The same for many wishes of one consumer: each has an answer of its own, in order.
    pub(crate) async fn wishes(
        &self,
        job: ConsumerJob,
    ) -> Result<Vec<Result<Granted, ConsumerError>>, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Consumer(job, reply))?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Without its sender the writer finishes what is pending and closes the file.
        self.jobs.get_mut().unwrap_or_else(|e| e.into_inner()).take();
        if let Some(thread) = self.thread.get_mut().unwrap_or_else(|e| e.into_inner()).take()
            && thread.join().is_err()
        {
            tracing::error!("the journal's writer panicked");
        }
    }
}

impl Feed {
    /// What its parts share.
    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    /// Opens or makes the journal in `dir`. Reads a few rows, whatever the journal's size.
    ///
    /// # Errors
    /// [`OpenError`]; a damaged journal is moved aside and is no error, see
    /// [`Feed::journal_lost`].
    pub fn open(dir: &Path, options: Options) -> Result<Self, OpenError> {
        let uid = options.master_uid.as_deref();
        let expected = options.expected_epoch;
        let opened = store::open(dir, uid, expected, options.cache_bytes, options.min_free_bytes)?;
        let store::Opened { store, journal, lost } = opened;
        let failed = |error: StoreError| OpenError::Database {
            dir: dir.to_owned(),
            text: error.to_string(),
        };
        let consumers = store.read(consumer::load::all).map_err(failed)?;
        let newest_ms = store.read(query::newest_ms).map_err(failed)?;
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            store,
            epoch: journal.epoch,
            master: journal.master.clone(),
            database: AtomicU32::new(journal.database),
            bytes: AtomicU64::new(journal.bytes),
            publisher: Publisher::new(journal.head, options.follower_buffer, options.tail_bytes),
            state: watch::Sender::new(MasterState::default()),
            consumers: Mutex::new(consumers),
            metrics: options.metrics.clone(),
            clock: Clock::new(newest_ms),
            ingest: AtomicU64::new(0),
            reports: Reports::default(),
            lost,
        });
        options.metrics.state(StateKind::Connecting);
        let (jobs, queue) = mpsc::channel();
        let (window, log_cache_bytes) = (options.window, options.log_cache_bytes);
        let writer = Writer::new(Arc::clone(&shared), queue, journal, options);
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| OpenError::Io { dir: dir.to_owned(), source })?;
        let inner = Inner {
            logs: LogCache::new(Arc::clone(&shared), log_cache_bytes),
            shared,
            jobs: Mutex::new(Some(jobs)),
            thread: Mutex::new(Some(thread)),
            window,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Where the client of the master hands in its batches. Only the newest is heard.
    pub fn ingest(&self) -> Ingest {
        Ingest::new(Arc::clone(&self.inner))
    }

    /// Gives the feed somebody to ask for the text of logs.
    pub fn set_log_source(&self, source: Arc<dyn LogSource>) {
        self.inner.logs.set_source(source);
    }

    /// How the connection to the master stands.
    pub fn state(&self) -> watch::Receiver<MasterState> {
        self.inner.shared.state.subscribe()
    }

    /// The position of the newest record.
    pub fn head(&self) -> Position {
        self.inner.shared.head()
    }

    /// The master's UID, as in every [`model::Identity`].
    pub fn master_uid(&self) -> &str {
        &self.inner.shared.master
    }

    /// What is so now, with the newest of the past.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn snapshot(&self, limits: SnapshotLimits) -> Result<Snapshot, ReadError> {
        self.inner.shared.read(move |t| query::snapshot(t, limits)).await
    }

    /// Reads on from a position. History of the past comes from this call on, so a reader that
    /// wants all of it uses [`Feed::subscribe`].
    pub fn follow(&self, from: Position) -> Follower {
        Follower::new(Arc::clone(&self.inner), from)
    }

    /// A snapshot, and a follower that misses nothing after it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn subscribe(
        &self,
        limits: SnapshotLimits,
    ) -> Result<(Snapshot, Follower), ReadError> {
        let mut follower = self.follow(self.head());
        let snapshot = self.snapshot(limits).await?;
        follower.skip_to(snapshot.position.seq);
        Ok((snapshot, follower))
    }

    /// A finished build.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn build(&self, id: BuildId) -> Result<Option<Build>, ReadError> {
        let found = self.inner.shared.read(move |t| query::builds_by_key(t, &[id.0])).await?;
        Ok(found.into_iter().next())
    }

    /// Finished builds, newest first.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn builds(&self, query: BuildQuery) -> Result<Vec<Build>, ReadError> {
        self.inner.shared.read(move |t| query::builds(t, query)).await
    }

    /// A change.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn change(&self, id: ChangeId) -> Result<Option<Change>, ReadError> {
        let found = self.inner.shared.read(move |t| query::changes_by_key(t, &[id.0])).await?;
        Ok(found.into_iter().next())
    }

    /// At most `limit` changes below `below`, newest first.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn changes(
        &self,
        below: Option<ChangeId>,
        limit: usize,
    ) -> Result<Vec<Change>, ReadError> {
        let limit = limit.min(CHANGES_AT_ONCE);
        self.inner.shared.read(move |t| query::changes(t, below.map(|id| id.0), limit)).await
    }

    /// At most `limit` lines of a log from line `first` on, from the cache on disk or from the
    /// master. Fewer at the end of the log, after 10 000 lines and after about 4 MB (at least one,
    /// if there is one; of one that is longer the end is left out).
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn log(&self, log: LogId, first: u64, limit: u64) -> Result<LogChunk, LogError> {
        self.inner.logs.lines(log, first, limit).await
    }

    /// Has the master tell of each growth of a log, by [`model::Live::LogAppended`] to all followers,
    /// for as long as somebody holds a watch.
    pub fn watch_log(&self, log: LogId) -> LogWatch {
        self.inner.logs.watch(log)
    }

    /// Opens a durable consumer. A new one starts at the head.
    ///
    /// # Errors
    /// [`ConsumerError::Bounds`] for a name that is empty or longer than 256 bytes;
    /// [`ConsumerError::Store`].
    pub async fn consumer(
        &self,
        name: &str,
        options: ConsumerOptions,
    ) -> Result<Consumer, ConsumerError> {
        let window = options.window.unwrap_or(self.inner.window);
        Consumer::open(Arc::clone(&self.inner), name, window, options).await
    }

    /// Figures of all consumers, by name.
    pub fn consumers(&self) -> Vec<ConsumerStatus> {
        self.inner.shared.statuses()
    }

    /// Keeps in memory what the process of `name`, a resource of this kind, says of itself: with
    /// the consumer's figures, or among [`Feed::readers`] if it has none. Said again within ten
    /// minutes, or forgotten.
    ///
    /// # Errors
    /// [`ConsumerError::Bounds`] for a reason that is no word.
    pub fn report(&self, name: &str, kind: &str, report: Report) -> Result<(), ConsumerError> {
        consumer::words::bounded("a reporter's name", name)?;
        self.inner.shared.reports.put(name, kind, report)
    }

    /// Those who reported lately and have no consumer, by name.
    pub fn readers(&self) -> Vec<ReaderStatus> {
        let shared = &self.inner.shared;
        let known: BTreeSet<String> = shared.consumers().keys().cloned().collect();
        shared.reports.others(|name| known.contains(name))
    }

    /// How many builders the master has, and how many builds run.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn counts(&self) -> Result<Counts, ReadError> {
        self.inner.shared.read(query::counts).await
    }

    /// Forgets a consumer with its state, dead letters and report.
    ///
    /// # Errors
    /// [`ConsumerError::Store`].
    pub async fn forget(&self, name: &str) -> Result<(), ConsumerError> {
        self.inner.shared.reports.remove(name);
        match self.inner.wish(name, Wish::Forget).await {
            Ok(_) | Err(ConsumerError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Records that a consumer gave up, by position: at most `limit` (and at most 1000), after
    /// `after`. A position of another journal is before all.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn dead_letters(
        &self,
        name: &str,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<Parked>, ReadError> {
        let name = name.to_owned();
        let after = after.filter(|at| at.epoch == self.inner.shared.epoch).unwrap_or_default().seq;
        let limit = limit.min(LETTERS_AT_ONCE);
        self.inner.shared.read(move |t| query::dead_letters(t, &name, after, limit)).await
    }

    /// One record that a consumer gave up.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn dead_letter(
        &self,
        name: &str,
        position: Position,
    ) -> Result<Option<Parked>, ReadError> {
        if position.epoch != self.inner.shared.epoch {
            return Ok(None);
        }
        let name = name.to_owned();
        self.inner.shared.read(move |t| query::dead_letter(t, &name, position.seq)).await
    }

    /// Throws a consumer's dead letter away. An attempt in progress to deliver it goes on.
    ///
    /// # Errors
    /// [`ConsumerError::NotFound`], [`ConsumerError::OtherJournal`], [`ConsumerError::Store`].
    pub async fn drop_letter(&self, name: &str, position: Position) -> Result<(), ConsumerError> {
        self.inner.wish(name, Wish::DropLetter { position }).await.map(|_| ())
    }

    /// Hands finished builds of the history out to a consumer once more, or for the first time
    /// after the journal was lost: the newest [`CatchUp::max_builds`], and of them those within
    /// [`CatchUp::max_age_ms`], oldest first. Builds that wait for the consumer anyway are left as
    /// they are; dead letters among them are replayed. How many there are.
    ///
    /// # Errors
    /// [`ConsumerError::NotFound`], [`ConsumerError::Store`].
    pub async fn replay_history(
        &self,
        name: &str,
        catch_up: CatchUp,
    ) -> Result<u64, ConsumerError> {
        match self.inner.wish(name, Wish::ReplayHistory { catch_up }).await? {
            Granted::Replayed { builds } => Ok(builds),
            _ => Ok(0),
        }
    }

    /// People whom changes and builds name, by name: at most `limit` (and at most 1000), after
    /// `after`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn users(&self, after: Option<&str>, limit: usize) -> Result<Vec<User>, ReadError> {
        let after = after.map(str::to_owned);
        self.inner.shared.read(move |t| users::list(t, after.as_deref(), limit)).await
    }

    /// Has a consumer's dead letter handed out again.
    ///
    /// # Errors
    /// [`ConsumerError::NotFound`], [`ConsumerError::Store`].
    pub async fn replay(&self, name: &str, position: Position) -> Result<(), ConsumerError> {
        self.inner.wish(name, Wish::Replay { position }).await.map(|_| ())
    }

    /// Plain words, if there was a journal here that was lost or damaged, so that this one began.
    pub fn journal_lost(&self) -> Option<&str> {
        self.inner.shared.lost.as_ref().map(|lost| lost.text.as_str())
    }

    /// How that journal was lost; see [`Feed::journal_lost`].
    pub fn loss(&self) -> Option<LossKind> {
        self.inner.shared.lost.as_ref().map(|lost| lost.kind)
    }

    /// Drops now what has outlived its time, as happens now and then by itself.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn maintain(&self) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.inner.send(Job::Maintain(reply))?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Brings figures up to date that are not counted as they change: call it before they are
    /// gathered.
    pub async fn refresh_metrics(&self) {
        let shared = Arc::clone(&self.inner.shared);
        // A panic in there would be one of the database's, and is caught by the store.
        let _ = tokio::task::spawn_blocking(move || shared.refresh_metrics()).await;
    }

    /// Where the newest records begin, which all readers find in memory.
    pub(crate) fn tail_begins(&self) -> Position {
        let shared = &self.inner.shared;
        shared.position(shared.publisher.tail_begins())
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.inner.shared.metrics
    }

    /// Writes what is pending and closes the file; everything after that is `Closed`.
    pub async fn close(&self) {
        let (reply, answer) = oneshot::channel();
        if self.inner.send(Job::Close(reply)).is_ok() {
            // No answer: it is closed already.
            let _ = answer.await;
        }
    }
}
