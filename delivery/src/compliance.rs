//! The test that every target passes: order, retries, dead letters, and nothing lost over a kill
//! at any point. Needs the feature `compliance`.
//!
//! A target's test gives a [`Peer`] that can be told how to answer, and a way to start its loop;
//! [`Kit::check`] does the rest with a journal in memory.
#![allow(clippy::panic, clippy::expect_used, reason = "a failure is a failed test")]

use crate::{Acks, Metrics, RunError, Source};
use feed::{DeadLetter, StateChange};
use model::{
    Build, BuildId, BuilderId, BuilderRef, Change, Event, Identity, Outcome, Position, Record,
    Timestamp,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How a peer answers a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It takes the message.
    Take,
    /// It refuses it this time.
    Later,
    /// It refuses it for good.
    Never,
    /// It takes the message and does not say so.
    TakeAndHang,
    /// It neither takes it nor answers.
    Hang,
}

/// A message as the peer saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The builder's name.
    pub builder: String,
    /// The build's number.
    pub number: u64,
    /// What tells a repetition: a Message-ID, a packet's number.
    pub identity: String,
}

/// Decides about the `n`th attempt (from 1) of a message.
pub type Script = Arc<dyn Fn(&Seen, u32) -> Answer + Send + Sync>;

/// A peer that does as it is told. Cheap to clone.
#[derive(Clone, Default)]
pub struct Peer(Arc<PeerState>);

#[derive(Default)]
struct PeerState {
    script: Mutex<Option<Script>>,
    attempts: Mutex<BTreeMap<(String, u64), u32>>,
    taken: Mutex<Vec<Seen>>,
    changed: Notify,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Peer {
    /// What the peer's server answers to messages that came together. They are taken all or none:
    /// the first answer that is no [`Answer::Take`] holds for all.
    pub fn answer(&self, seen: &[Seen]) -> Answer {
        let script = lock(&self.0.script).clone();
        let mut answer = Answer::Take;
        for seen in seen {
            let attempt = {
                let mut attempts = lock(&self.0.attempts);
                let n = attempts.entry((seen.builder.clone(), seen.number)).or_default();
                *n += 1;
                *n
            };
            if answer == Answer::Take {
                answer = script.as_ref().map_or(Answer::Take, |script| script(seen, attempt));
            }
        }
        if matches!(answer, Answer::Take | Answer::TakeAndHang) {
            lock(&self.0.taken).extend_from_slice(seen);
        }
        self.0.changed.notify_waiters();
        answer
    }

    fn reset(&self, script: impl Fn(&Seen, u32) -> Answer + Send + Sync + 'static) {
        self.script(script);
        lock(&self.0.attempts).clear();
        lock(&self.0.taken).clear();
    }

    fn script(&self, script: impl Fn(&Seen, u32) -> Answer + Send + Sync + 'static) {
        *lock(&self.0.script) = Some(Arc::new(script));
    }

    fn taken(&self) -> Vec<Seen> {
        lock(&self.0.taken).clone()
    }

    fn attempted(&self) -> u32 {
        lock(&self.0.attempts).values().sum()
    }
}

/// A journal in memory with one durable consumer. Clones share it.
#[derive(Clone, Default)]
pub struct Journal(Arc<JournalState>);

#[derive(Default)]
struct JournalState {
    records: Vec<Arc<Record>>,
    rows: Mutex<Rows>,
    changed: Notify,
}

#[derive(Clone, Default)]
struct Rows {
    done: BTreeSet<Position>,
    dead: BTreeMap<Position, DeadLetter>,
    values: BTreeMap<String, Vec<u8>>,
    /// Acknowledgements that still get through; `None` is all.
    acknowledgements: Option<usize>,
}

/// One reading of a [`Journal`]: hands out what is not done, from the start.
pub struct Reader {
    journal: Journal,
    next: usize,
}

impl Journal {
    /// A journal that holds `records`.
    pub fn new(records: Vec<Record>) -> Self {
        let records = records.into_iter().map(Arc::new).collect();
        Self(Arc::new(JournalState { records, ..JournalState::default() }))
    }

    /// Opens the consumer.
    pub fn open(&self) -> Reader {
        Reader { journal: self.clone(), next: 0 }
    }

    /// What was given up.
    pub fn dead(&self) -> BTreeMap<Position, DeadLetter> {
        lock(&self.0.rows).dead.clone()
    }

    /// Whether nothing is left to do.
    pub fn is_done(&self) -> bool {
        let rows = lock(&self.0.rows);
        self.0.records.iter().all(|r| rows.done.contains(&r.position))
    }

    /// Positions of what is left to do.
    pub fn open_positions(&self) -> Vec<Position> {
        let rows = lock(&self.0.rows);
        let all = self.0.records.iter().map(|r| r.position);
        all.filter(|p| !rows.done.contains(p)).collect()
    }

    /// After `n` more acknowledgements, none returns: the disk hangs. `None` mends it.
    pub fn hang_after(&self, n: Option<usize>) {
        lock(&self.0.rows).acknowledgements = n;
    }

    async fn write(&self, change: impl FnOnce(&mut Rows)) {
        let hangs = {
            let mut rows = lock(&self.0.rows);
            match &mut rows.acknowledgements {
                Some(0) => true,
                left => {
                    if let Some(n) = left {
                        *n -= 1;
                    }
                    change(&mut rows);
                    false
                }
            }
        };
        self.0.changed.notify_waiters();
        if hangs {
            std::future::pending::<()>().await;
        }
    }
}

impl Source for Reader {
    type Acks = Journal;

    async fn next(&mut self) -> Result<Arc<Record>, Infallible> {
        while let Some(record) = self.journal.0.records.get(self.next) {
            self.next += 1;
            if !lock(&self.journal.0.rows).done.contains(&record.position) {
                return Ok(Arc::clone(record));
            }
        }
        std::future::pending().await
    }

    fn acks(&self) -> Journal {
        self.journal.clone()
    }
}

fn apply(rows: &mut Rows, state: Option<StateChange>) {
    for (key, value) in state.into_iter().flat_map(|state| state.set) {
        rows.values.insert(key, value);
    }
}

impl Acks for Journal {
    type Error = Infallible;

    async fn acknowledge(
        &self,
        position: Position,
        state: Option<StateChange>,
    ) -> Result<(), Infallible> {
        self.write(|rows| {
            rows.done.insert(position);
            apply(rows, state);
        })
        .await;
        Ok(())
    }

    async fn park(&self, position: Position, letter: DeadLetter) -> Result<(), Infallible> {
        self.write(|rows| {
            rows.done.insert(position);
            rows.dead.insert(position, letter);
        })
        .await;
        Ok(())
    }

    async fn save(&self, state: StateChange) -> Result<(), Infallible> {
        self.write(|rows| apply(rows, Some(state))).await;
        Ok(())
    }

    fn get_state(&self, key: &str) -> Option<Vec<u8>> {
        lock(&self.0.rows).values.get(key).cloned()
    }

    fn backlog(&self) -> u64 {
        self.open_positions().len() as u64
    }
}

/// Failed builds by one author: `each` on each of `builders` builders, in turn.
pub fn records(builders: u64, each: u64) -> Vec<Record> {
    let mut records = Vec::new();
    for number in 1..=each {
        for builder in 1..=builders {
            let id = records.len() as u64 + 1;
            let now = Timestamp::now();
            let event = Event::BuildFinished {
                build: Box::new(Build {
                    id: BuildId(id),
                    number,
                    builder: BuilderRef {
                        id: BuilderId(builder),
                        name: format!("b{builder}").into(),
                        tags: Vec::new(),
                    },
                    started_at: now,
                    complete_at: Some(now),
                    outcome: Some(Outcome::Failure),
                    changes: vec![Change {
                        author: "Ann <ann@example.org>".into(),
                        ..Change::default()
                    }],
                    ..Build::default()
                }),
            };
            let identity = Identity::of(&event, "master", 1, id);
            let position = Position { epoch: 1, seq: id };
            records.push(Record { position, identity, journaled_ms: now.0 * 1000, event });
        }
    }
    records
}

/// A loop that runs until it is cancelled.
pub type Running = Pin<Box<dyn Future<Output = Result<(), RunError>> + Send>>;

/// What a target's test provides.
pub struct Kit {
    /// Told how to answer; the test's server asks it.
    pub peer: Peer,
    /// Starts the target's loop, with waits of milliseconds. Called once for each life of the
    /// process.
    pub start: Box<dyn Fn(Reader, Metrics, CancellationToken) -> Running + Send + Sync>,
    /// Whether builders wait for each other, as in a target that sends batches.
    pub one_line: bool,
}

/// Longest that anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

impl Kit {
    /// Runs every test.
    ///
    /// # Panics
    /// If one fails.
    pub async fn check(&self) {
        self.keeps_order_and_delivers_once().await;
        self.tries_again_after_a_transient_failure().await;
        self.buries_what_is_refused_for_good().await;
        self.loses_nothing_over_a_kill_before_or_after_the_peer_took_it().await;
        self.loses_nothing_over_a_kill_before_the_acknowledgement().await;
        if !self.one_line {
            self.a_slow_message_holds_its_own_builder_only().await;
        }
    }

    fn live(&self, journal: &Journal) -> (tokio::task::JoinHandle<()>, CancellationToken) {
        let metrics = Metrics::default();
        let cancel = CancellationToken::new();
        let run = (self.start)(journal.open(), metrics, cancel.clone());
        let task = tokio::spawn(async move {
            if let Err(error) = run.await {
                panic!("the loop ended: {error}");
            }
        });
        (task, cancel)
    }

    async fn run_until(&self, journal: &Journal, what: &str, until: impl Fn() -> bool) {
        let (task, cancel) = self.live(journal);
        self.wait(journal, what, until).await;
        cancel.cancel();
        task.await.expect("the loop ends well");
    }

    /// Ends the process without a word.
    async fn run_and_kill(&self, journal: &Journal, what: &str, at: impl Fn() -> bool) {
        let (task, _cancel) = self.live(journal);
        self.wait(journal, what, at).await;
        task.abort();
        let _ = task.await;
    }

    async fn wait(&self, journal: &Journal, what: &str, until: impl Fn() -> bool) {
        let wait = async {
            loop {
                let (taken, written) =
                    (self.peer.0.changed.notified(), journal.0.changed.notified());
                tokio::pin!(taken, written);
                taken.as_mut().enable();
                written.as_mut().enable();
                if until() {
                    return;
                }
                tokio::select! { () = taken => {}, () = written => {} }
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            let (open, taken) = (journal.open_positions(), self.peer.taken());
            panic!("{what}: not reached; open {open:?}; taken {taken:?}");
        }
    }

    /// Each builder's numbers in the order of their first arrival are 1, 2, 3 …
    fn assert_order(&self, what: &str) {
        let mut firsts: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for seen in self.peer.taken() {
            let numbers = firsts.entry(seen.builder).or_default();
            if !numbers.contains(&seen.number) {
                numbers.push(seen.number);
            }
        }
        for (builder, numbers) in firsts {
            assert!(numbers.is_sorted(), "{what}: out of order on {builder}: {numbers:?}");
        }
    }

    fn copies(&self) -> BTreeMap<(String, u64), Vec<String>> {
        let mut copies: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for seen in self.peer.taken() {
            copies.entry((seen.builder, seen.number)).or_default().push(seen.identity);
        }
        copies
    }

    /// All are there, in at most `most` copies, each with the same identity.
    fn assert_all(&self, what: &str, count: usize, most: usize) {
        let copies = self.copies();
        assert_eq!(copies.len(), count, "{what}: lost: {copies:?}");
        let mut identities = BTreeSet::new();
        for (build, all) in copies {
            assert!(all.len() <= most, "{what}: {build:?} came {} times", all.len());
            assert!(all.windows(2).all(|w| w[0] == w[1]), "{what}: {build:?} changed: {all:?}");
            assert!(identities.insert(all[0].clone()), "{what}: two builds as {}", all[0]);
        }
    }

    async fn keeps_order_and_delivers_once(&self) {
        let what = "order";
        let journal = Journal::new(records(3, 5));
        self.peer.reset(|_, _| Answer::Take);
        self.run_until(&journal, what, || journal.is_done()).await;
        self.assert_order(what);
        self.assert_all(what, 15, 1);
    }

    async fn tries_again_after_a_transient_failure(&self) {
        let what = "transient failure";
        let journal = Journal::new(records(2, 3));
        self.peer.reset(|_, attempt| if attempt < 3 { Answer::Later } else { Answer::Take });
        self.run_until(&journal, what, || journal.is_done()).await;
        self.assert_order(what);
        self.assert_all(what, 6, 1);
        assert!(journal.dead().is_empty(), "{what}: {:?}", journal.dead());
    }

    async fn buries_what_is_refused_for_good(&self) {
        let what = "permanent failure";
        let journal = Journal::new(records(2, 3));
        let bad = |seen: &Seen| seen.builder == "b1" && seen.number == 2;
        self.peer.reset(move |seen, _| if bad(seen) { Answer::Never } else { Answer::Take });
        self.run_until(&journal, what, || journal.is_done()).await;
        self.assert_order(what);
        let dead = journal.dead();
        let positions: Vec<u64> = dead.keys().map(|position| position.seq).collect();
        assert_eq!(positions, [3], "{what}");
        assert!(dead.values().all(|l| l.class == "permanent" && !l.text.is_empty()), "{dead:?}");
        self.assert_all(what, 5, 1);
    }

    async fn loses_nothing_over_a_kill_before_or_after_the_peer_took_it(&self) {
        for (answer, most) in [(Answer::Hang, 1), (Answer::TakeAndHang, 2)] {
            for at in 1..=4_u64 {
                let what = format!("kill while build {at} waits for its answer ({answer:?})");
                let journal = Journal::new(records(1, 4));
                self.peer.reset(
                    move |seen, _| {
                        if seen.number == at { answer } else { Answer::Take }
                    },
                );
                let begun = self.peer.clone();
                let reached = move || {
                    lock(&begun.0.attempts).get(&("b1".to_owned(), at)).is_some_and(|n| *n > 0)
                };
                self.run_and_kill(&journal, &what, reached).await;
                self.peer.script(|_, _| Answer::Take);
                self.run_until(&journal, &what, || journal.is_done()).await;
                self.assert_order(&what);
                self.assert_all(&what, 4, most);
            }
        }
    }

    async fn loses_nothing_over_a_kill_before_the_acknowledgement(&self) {
        for acknowledged in 0..4_usize {
            let what = format!("kill when {acknowledged} are acknowledged");
            let journal = Journal::new(records(1, 4));
            self.peer.reset(|_, _| Answer::Take);
            journal.hang_after(Some(acknowledged));
            let peer = self.peer.clone();
            let reached = || {
                journal.open_positions().len() == 4 - acknowledged
                    && peer.attempted() as usize > acknowledged
            };
            self.run_and_kill(&journal, &what, reached).await;
            journal.hang_after(None);
            self.run_until(&journal, &what, || journal.is_done()).await;
            self.assert_order(&what);
            self.assert_all(&what, 4, 2);
        }
    }

    async fn a_slow_message_holds_its_own_builder_only(&self) {
        let what = "slow message";
        let journal = Journal::new(records(3, 4));
        let slow = |seen: &Seen| seen.builder == "b1" && seen.number == 1;
        self.peer.reset(move |seen, _| if slow(seen) { Answer::Hang } else { Answer::Take });
        // The eight of the others are through while the first of b1 still waits.
        self.run_and_kill(&journal, what, || journal.open_positions().len() == 4).await;
        assert!(self.peer.taken().iter().all(|seen| seen.builder != "b1"), "{what}: overtaken");
    }
}
