//! Any interleaving of what may happen to a consumer, against the journal on disk and a plain
//! model of it: nothing is lost, nothing that is done comes again, all comes in its order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::*;
use feed::{
    CatchUp, Consumer, ConsumerError, ConsumerHandle, ConsumerOptions, DeadLetter, Done, Feed,
    Options, Retention,
};
use master::Sink as _;
use model::{Position, World};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, Instant},
};

#[derive(Clone, Debug)]
enum Step {
    Ingest(u64),
    Next,
    /// Done with: whether the peer took it, and how many attempts failed.
    Acknowledge(usize, bool, u32),
    Park(usize, u32),
    /// Hand a dead letter out again.
    Replay(usize),
    /// Throw a dead letter away.
    DropLetter(usize),
    ReplayHistory,
    /// Retention drops all records.
    Expire,
    /// A second opener, without or with what the first one holds.
    Reopen {
        held: bool,
    },
    /// An acknowledgement by the opener before.
    Stale,
    /// The process ends, in order or not.
    Restart {
        close: bool,
        held: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (1..5u64).prop_map(Step::Ingest),
        10 => Just(Step::Next),
        7 => (0..8usize, any::<bool>(), 0..3u32)
            .prop_map(|(which, delivered, failed)| Step::Acknowledge(which, delivered, failed)),
        3 => (0..8usize, 0..3u32).prop_map(|(which, failed)| Step::Park(which, failed)),
        2 => (0..4usize).prop_map(Step::Replay),
        1 => (0..4usize).prop_map(Step::DropLetter),
        1 => Just(Step::ReplayHistory),
        2 => Just(Step::Expire),
        2 => any::<bool>().prop_map(|held| Step::Reopen { held }),
        1 => Just(Step::Stale),
        2 => any::<(bool, bool)>().prop_map(|(close, held)| Step::Restart { close, held }),
    ];
    prop::collection::vec(step, 1..60)
}

/// Every third event is a change, which can't be refilled; the others are builds.
fn is_build(seq: u64) -> bool {
    !seq.is_multiple_of(3)
}

fn open(dir: &Path) -> Feed {
    let retention = Retention { max_bytes: 1, ..Retention::default() };
    Feed::open(dir, Options { retention, tail_bytes: 500, ..options() }).unwrap()
}

async fn consumer(feed: &Feed, held: Vec<Position>) -> Consumer {
    let options = ConsumerOptions {
        max_backlog_age: Duration::ZERO,
        catch_up: Some(CatchUp::default()),
        held,
        ..ConsumerOptions::default()
    };
    feed.consumer("mail", options).await.unwrap()
}

#[derive(Default)]
struct Model {
    head: u64,
    /// Records up to here are dropped.
    dropped: u64,
    cursor: u64,
    generation: u64,
    done: BTreeSet<u64>,
    expired: u64,
    in_flight: BTreeSet<u64>,
    /// Letters, and whether they are to be handed out.
    letters: BTreeMap<u64, bool>,
    refills: BTreeSet<u64>,
    delivered: u64,
    failed: u64,
}

impl Model {
    fn next(&self) -> Option<u64> {
        let free = |seq: &u64| !self.in_flight.contains(seq);
        let letter = self.letters.iter().filter(|(_, replay)| **replay).map(|(seq, _)| *seq);
        let open = (self.cursor + 1..=self.head).filter(|seq| !self.done.contains(seq));
        let mut all = letter.chain(self.refills.iter().copied()).chain(open);
        all.find(free)
    }

    /// Takes the `which`th in flight.
    fn take(&mut self, which: usize) -> Option<u64> {
        let seq = *self.in_flight.iter().nth(which)?;
        self.in_flight.remove(&seq);
        Some(seq)
    }

    /// Whether nothing is known of what is in flight as `seq` any more.
    fn is_ghost(&self, seq: u64) -> bool {
        seq <= self.dropped && !self.letters.contains_key(&seq) && !self.refills.contains(&seq)
    }

    fn expire(&mut self) {
        for seq in self.dropped + 1..=self.head {
            if self.done.insert(seq) {
                self.expired += 1;
                if is_build(seq) {
                    self.refills.insert(seq);
                }
            }
        }
        self.dropped = self.head;
    }

    fn replay_history(&mut self) -> u64 {
        let builds: Vec<u64> = (1..=self.head).filter(|seq| is_build(*seq)).collect();
        let mut replayed = 0;
        for seq in builds {
            let waits = !self.done.contains(&seq)
                || self.refills.contains(&seq)
                || self.in_flight.contains(&seq)
                || self.letters.get(&seq) == Some(&true);
            if waits {
                continue;
            }
            replayed += 1;
            match self.letters.get_mut(&seq) {
                Some(replay) => *replay = true,
                None => drop(self.refills.insert(seq)),
            }
        }
        replayed
    }

    /// What the consumer says that it holds, and what it then has in flight.
    /// In the same process that is all of it, even what was dropped meanwhile.
    fn reopen(&mut self, held: bool, restarted: bool) -> Vec<u64> {
        self.cursor = 0;
        self.generation += 1;
        let before = std::mem::take(&mut self.in_flight);
        if !held {
            return Vec::new();
        }
        let known = |seq: &u64| {
            !restarted
                || !self.done.contains(seq)
                || self.refills.contains(seq)
                || self.letters.get(seq) == Some(&true)
        };
        self.in_flight = before.iter().copied().filter(known).collect();
        before.into_iter().collect()
    }
}

async fn run(dir: &Path, steps: &[Step]) {
    let mut feed = open(dir);
    let epoch = feed.head().epoch;
    let at = |seq| Position { epoch, seq };
    let mut consumer = consumer(&feed, Vec::new()).await;
    let mut stale: Option<ConsumerHandle> = None;
    let mut model = Model { generation: 1, ..Model::default() };
    let mut floor = 0;
    for step in steps {
        match *step {
            Step::Ingest(count) => {
                let seqs = model.head + 1..=model.head + count;
                let event = |n| if is_build(n) { finished(n, n % 2) } else { added(n) };
                let events = seqs.map(event).collect();
                feed.ingest().commit(batch(events), &World::default()).await.unwrap();
                model.head += count;
            }
            Step::Next => {
                let Some(expected) = model.next() else { continue };
                let record = soon(consumer.next()).await.unwrap();
                assert_eq!((record.position, id_of(&record)), (at(expected), expected));
                assert_eq!(
                    record.identity.kind,
                    if is_build(expected) { "build" } else { "change" }
                );
                model.in_flight.insert(expected);
                if !model.done.contains(&expected) {
                    model.cursor = expected;
                }
            }
            Step::Acknowledge(which, delivered, failed) => {
                let Some(seq) = model.take(which) else { continue };
                let done = Done { delivered, failed, ..Done::default() };
                consumer.done(at(seq), done.clone()).await.unwrap();
                consumer.done(at(seq), done).await.expect("counted once");
                model.delivered += u64::from(delivered);
                model.failed += u64::from(failed);
                model.letters.remove(&seq);
                model.refills.remove(&seq);
                model.done.insert(seq);
            }
            Step::Park(which, failed) => {
                let Some(seq) = model.take(which) else { continue };
                let done = Done::given_up(DeadLetter::default(), failed);
                consumer.done(at(seq), done).await.unwrap();
                model.failed += u64::from(failed);
                if !model.is_ghost(seq) {
                    model.letters.insert(seq, false);
                }
                model.refills.remove(&seq);
                model.done.insert(seq);
            }
            Step::Replay(which) => {
                let Some(&seq) = model.letters.keys().nth(which) else { continue };
                feed.replay("mail", at(seq)).await.unwrap();
                model.letters.insert(seq, true);
            }
            Step::DropLetter(which) => {
                let Some(&seq) = model.letters.keys().nth(which) else { continue };
                feed.drop_letter("mail", at(seq)).await.unwrap();
                model.letters.remove(&seq);
            }
            Step::ReplayHistory => {
                let replayed = feed.replay_history("mail", CatchUp::default()).await.unwrap();
                assert_eq!(replayed, model.replay_history());
            }
            Step::Expire => {
                // In a later millisecond than all that is to go.
                let now = Instant::now();
                while now.elapsed() < Duration::from_millis(2) {
                    tokio::task::yield_now().await;
                }
                feed.maintain().await.unwrap();
                model.expire();
            }
            Step::Reopen { held } => {
                stale = Some(consumer.handle());
                let held = model.reopen(held, false).into_iter().map(at).collect();
                consumer = self::consumer(&feed, held).await;
            }
            Step::Stale => {
                let Some(stale) = &stale else { continue };
                let refused = stale.acknowledge(at(1), None).await;
                assert!(matches!(refused, Err(ConsumerError::Superseded { .. })), "{refused:?}");
            }
            Step::Restart { close, held } => {
                stale = None;
                drop(consumer);
                if close {
                    feed.close().await;
                }
                drop(feed);
                feed = open(dir);
                let held = model.reopen(held, true).into_iter().map(at).collect();
                consumer = self::consumer(&feed, held).await;
            }
        }
        let status = consumer.status();
        assert!(status.floor.seq >= floor, "the floor is monotonic");
        floor = status.floor.seq;
        assert_eq!(status.generation, model.generation);
        assert_eq!((status.delivered, status.failed), (model.delivered, model.failed));
        assert_eq!(status.last_delivered_ms.is_some(), model.delivered > 0);
        assert_eq!(status.expired, model.expired);
        assert_eq!(status.dead_letters, model.letters.len() as u64);
        assert_eq!(status.in_flight, model.in_flight.len(), "after {step:?}");
    }
    // Nothing is lost: all that is not done still comes, once, in order; and then nothing more.
    model.reopen(false, false);
    let mut consumer = self::consumer(&feed, Vec::new()).await;
    while let Some(expected) = model.next() {
        let record = soon(consumer.next()).await.unwrap();
        assert_eq!(record.position, at(expected));
        consumer.acknowledge(record.position, None).await.unwrap();
        model.letters.remove(&expected);
        model.refills.remove(&expected);
        model.done.insert(expected);
    }
    // What a consumer before had in flight when it was dropped is looked at once, and is gone.
    tokio::select! {
        biased;
        more = consumer.next() => panic!("{more:?}"),
        () = async { while consumer_backlog(&feed) > 0 { tokio::task::yield_now().await } } => {}
    }
}

fn consumer_backlog(feed: &Feed) -> u64 {
    feed.consumers()[0].backlog
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]
    #[test]
    fn any_interleaving_agrees_with_a_plain_model(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(dir.path(), &steps));
    }
}
