//! Connections that break, hang and lose answers: nothing is lost by that, and nothing is handed
//! to the loop twice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;
mod remote;
mod served;

use common::*;
use feed::{
    AnyFeed, ConsumerError, ConsumerOptions, DeadLetter, Feed, Item, LossKind, Options,
    SnapshotLimits, StateChange,
    http::client::{RemoteConsumer, RemoteFollower, RemoteHandle, RemoteOptions},
};
use futures_util::future::join_all;
use master::StateKind;
use model::Position;
use proptest::prelude::*;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use remote::{
    options,
    proxy::{Fate, Proxy},
    reader,
    relay::{Harm, Relay},
};
use served::{NAME, Served, limits, served_with};
use std::{collections::BTreeSet, time::Duration};

/// Records of one run.
const RECORDS: u64 = 150;

/// Impatient, so that a run is short: even a connection that is well is cut now and then.
fn impatient() -> RemoteOptions {
    RemoteOptions {
        timeout: Duration::from_millis(300),
        silence: Duration::from_millis(200),
        ..options()
    }
}

struct Lab {
    journal: Feed,
    served: Served,
    proxy: Proxy,
    dir: tempfile::TempDir,
}

async fn lab() -> Lab {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(&dir.path().join("data"));
    let served = served_with(journal.clone(), limits()).await;
    let proxy = Proxy::start(served.address).await;
    Lab { journal, served, proxy, dir }
}

impl Lab {
    /// A consumer behind the proxy.
    async fn consumer(&self, options: RemoteOptions, window: usize) -> RemoteConsumer {
        let file = self.dir.path().join("token");
        let remote = reader(&file, &self.journal, self.proxy.address, options);
        let options = ConsumerOptions { window: Some(window), ..ConsumerOptions::default() };
        soon(remote.consumer(NAME, options)).await.unwrap()
    }
}

fn letter() -> DeadLetter {
    DeadLetter { class: "permanent".into(), ..DeadLetter::default() }
}

/// Reads and acknowledges until all `RECORDS` are done, a few at a time as targets do. The state
/// is the number of the last record.
async fn work(mut consumer: RemoteConsumer, mut dice: StdRng) -> Result<(), ConsumerError> {
    let mut seen = BTreeSet::new();
    while seen.len() < usize::try_from(RECORDS).unwrap() {
        let mut chunk = vec![consumer.next().await?];
        while chunk.len() < dice.random_range(1..6)
            && let Ok(record) =
                tokio::time::timeout(Duration::from_millis(1), consumer.next()).await
        {
            chunk.push(record?);
        }
        for record in &chunk {
            assert!(seen.insert(record.position), "{} was handed out twice", record.position);
        }
        tokio::time::sleep(Duration::from_millis(dice.random_range(0..5))).await;
        let handle = consumer.handle();
        let done = chunk.iter().map(|record| settle(&handle, id_of(record), record.position));
        for result in join_all(done).await {
            result?;
        }
    }
    Ok(())
}

async fn settle(handle: &RemoteHandle, id: u64, position: Position) -> Result<(), ConsumerError> {
    if id.is_multiple_of(10) {
        handle.park(position, letter()).await
    } else {
        let state = StateChange::set("last", id.to_string());
        handle.acknowledge(position, Some(state)).await
    }
}

/// Does harm until it is dropped; ever more slowly, so that a machine that is busy with other things
/// comes to something in between.
async fn harm(proxy: &Proxy, mut dice: StdRng) {
    for done in 0.. {
        tokio::time::sleep(Duration::from_millis(dice.random_range(1..40) + done / 4)).await;
        match dice.random_range(0..4) {
            0 => proxy.set(Fate::Stall),
            1 => proxy.set(Fate::Swallow),
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(dice.random_range(0..30))).await;
        proxy.cut();
    }
}

async fn survives(seed: u64, window: usize) {
    let lab = lab().await;
    let consumer = lab.consumer(impatient(), window).await;
    let feed = lab.journal.clone();
    let mut dice = StdRng::seed_from_u64(seed);
    let fill = async {
        let mut next = 1;
        while next <= RECORDS {
            let last = (next + dice.random_range(0..20)).min(RECORDS);
            add(&feed, next..=last).await;
            next = last + 1;
            tokio::time::sleep(Duration::from_millis(dice.random_range(0..8))).await;
        }
        std::future::pending::<()>().await;
    };
    let worked = async {
        tokio::select! {
            done = work(consumer, StdRng::seed_from_u64(seed + 1)) => done,
            () = harm(&lab.proxy, StdRng::seed_from_u64(seed + 2)) => Ok(()),
            () = fill => Ok(()),
        }
    };
    soon(worked).await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let status = lab.journal.consumers().remove(0);
    assert_eq!((status.floor, status.backlog), (lab.journal.head(), 0), "seed {seed}");
    assert_eq!(status.dead_letters, RECORDS / 10, "seed {seed}");
    let state = lab.journal.consumer(NAME, ConsumerOptions::default()).await.unwrap();
    assert_eq!(state.get_state("last").unwrap(), (RECORDS - 1).to_string().as_bytes());
    lab.served.cancel.cancel();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 0, ..ProptestConfig::default() })]
    #[test]
    fn a_consumer_behind_a_bad_network_loses_nothing_and_repeats_nothing(
        seed in any::<u32>(),
        window in 1..40usize,
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(survives(u64::from(seed), window));
    }
}

#[tokio::test]
async fn an_acknowledgement_whose_answer_is_lost_is_told_once_it_is_on_disk() {
    let lab = lab().await;
    let mut consumer = lab.consumer(options(), 8).await;
    add(&lab.journal, 1..=2).await;
    let first = soon(consumer.next()).await.unwrap();
    lab.proxy.set(Fate::Swallow);
    let handle = consumer.handle();
    let state = Some(StateChange::set("k", "v"));
    let position = first.position;
    let told = tokio::spawn(async move { handle.acknowledge(position, state).await });
    // The feed has it; the answer is on its way to nowhere.
    soon(async {
        while lab.journal.consumers()[0].floor != position {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!told.is_finished());
    lab.proxy.cut();
    soon(told).await.unwrap().unwrap();
    assert_eq!(consumer.handle().get_state("k").unwrap(), b"v");
    let second = soon(consumer.next()).await.unwrap();
    assert_eq!(id_of(&second), 2);
    assert!(nothing(consumer.next()).await);
}

#[tokio::test]
async fn a_connection_on_which_nothing_comes_is_made_anew() {
    let lab = lab().await;
    let short = RemoteOptions { silence: Duration::from_millis(300), ..options() };
    let mut consumer = lab.consumer(short.clone(), 8).await;
    let file = lab.dir.path().join("token");
    let remote = reader(&file, &lab.journal, lab.proxy.address, short);
    let (_, mut follower) = remote.subscribe(SnapshotLimits::default()).await.unwrap();
    // Packets are dropped; nobody is told.
    lab.proxy.set(Fate::Stall);
    add(&lab.journal, [1]).await;
    assert!(nothing(consumer.next()).await);
    // New connections get through.
    lab.proxy.let_new_ones_through();
    assert_eq!(id_of(soon(consumer.next()).await.unwrap()), 1);
    assert_eq!(record(&mut follower).await, 1);
}

/// The next record, whatever else comes before it.
async fn record(follower: &mut RemoteFollower) -> u64 {
    loop {
        if let Item::Record(record) = soon(follower.next()).await {
            return id_of(&record);
        }
    }
}

#[tokio::test]
async fn a_reader_misses_nothing_though_its_first_connection_is_cut_before_it_said_anything() {
    let lab = lab().await;
    let relay = Relay::start(lab.served.address).await;
    let file = lab.dir.path().join("token");
    let remote = reader(&file, &lab.journal, relay.address, options());
    relay.spoil(Harm::HeadOnly);
    // As pages do.
    let mut follower = loop {
        if let Ok((_, follower)) = soon(remote.subscribe(SnapshotLimits::default())).await {
            break follower;
        }
    };
    assert!(relay.is_done());
    add(&lab.journal, 1..=2).await;
    assert_eq!([record(&mut follower).await, record(&mut follower).await], [1, 2]);
}

#[tokio::test]
async fn a_reader_whose_place_is_refused_misses_nothing_after_its_new_snapshot() {
    let lab = lab().await;
    let relay = Relay::start(lab.proxy.address).await;
    let file = lab.dir.path().join("token");
    let remote = reader(&file, &lab.journal, relay.address, options());
    let (_, mut follower) = remote.subscribe(SnapshotLimits::default()).await.unwrap();
    add(&lab.journal, [1]).await;
    assert_eq!(record(&mut follower).await, 1);
    relay.spoil(Harm::OddPlace);
    lab.proxy.cut();
    while !matches!(soon(follower.next()).await, Item::Resync) {}
    assert!(relay.is_done());
    let snapshot = remote.snapshot(SnapshotLimits::default()).await.unwrap();
    assert_eq!(snapshot.position, lab.journal.head());
    add(&lab.journal, [2]).await;
    assert_eq!(record(&mut follower).await, 2);
}

#[tokio::test]
async fn a_reader_of_a_feed_that_is_away_says_so_and_reads_on_once_it_is_back() {
    let Lab { journal, served, proxy, dir } = lab().await;
    let file = dir.path().join("token");
    let remote = reader(&file, &journal, proxy.address, options());
    let (_, mut follower) = remote.subscribe(SnapshotLimits::default()).await.unwrap();
    let mut consumer = soon(remote.consumer(NAME, ConsumerOptions::default())).await.unwrap();
    add(&journal, [1]).await;
    let first = soon(consumer.next()).await.unwrap();
    served.end().await;
    proxy.cut();
    let away = loop {
        if let Item::State(state) = soon(follower.next()).await
            && state.kind == StateKind::FeedAway
        {
            break state;
        }
    };
    assert!(away.text.starts_with("the feed does not answer: "), "{}", away.text);
    let refused = AnyFeed::from(remote.clone()).head().await.unwrap_err();
    assert!(refused.to_string().starts_with("the feed does not answer"), "{refused}");
    let handle = consumer.handle();
    let told = tokio::spawn(async move { handle.acknowledge(first.position, None).await });
    drop(journal);

    let journal = open(&dir.path().join("data"));
    let served = served_with(journal.clone(), limits()).await;
    proxy.lead_to(served.address);
    soon(told).await.unwrap().unwrap();
    // What was told of the past meanwhile can't be known.
    while !matches!(soon(follower.next()).await, Item::Resync) {}
    add(&journal, [2]).await;
    assert_eq!(id_of(soon(consumer.next()).await.unwrap()), 2);
    assert_eq!(record(&mut follower).await, 2);
    drop(served);
}

#[tokio::test]
async fn a_consumer_that_outlives_the_feeds_volume_has_the_new_journal_say_what_is_lost() {
    let Lab { journal, served, proxy, dir } = lab().await;
    let remote = reader(&dir.path().join("token"), &journal, proxy.address, options());
    let mut consumer = soon(remote.consumer(NAME, ConsumerOptions::default())).await.unwrap();
    add(&journal, 1..=2).await;
    let first = soon(consumer.next()).await.unwrap().position;
    soon(consumer.next()).await.unwrap();
    let (head, uid) = (journal.head(), journal.master_uid().to_owned());
    soon(consumer.handle().acknowledge(first, None)).await.unwrap();
    served.end().await;
    proxy.cut();
    drop(journal);

    // By the clock the epoch may be the same within a second.
    let later = Some(head.epoch);
    let options = Options { master_uid: Some(uid), expected_epoch: later, ..common::options() };
    let journal = Feed::open(&dir.path().join("another volume"), options).unwrap();
    let served = served_with(journal.clone(), limits()).await;
    proxy.lead_to(served.address);
    let ended = soon(consumer.next()).await.unwrap_err();
    assert!(matches!(ended, ConsumerError::OtherJournal { .. }), "{ended}");
    let lost = journal.consumers()[0].journal_lost.clone().unwrap();
    assert_eq!((lost.previous.epoch, lost.backlog), (head.epoch, 1));
    assert_eq!(lost.reason, LossKind::Volume);
}

#[tokio::test]
async fn a_token_that_is_replaced_is_used_by_the_next_request() {
    let lab = lab().await;
    let file = lab.dir.path().join("token");
    let remote = reader(&file, &lab.journal, lab.served.address, options());
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, "not-a-token").unwrap();
    let refused = remote.head().await.unwrap_err().to_string();
    assert!(refused.starts_with("the feed refuses: ") && !refused.contains("not-a-token"));
    std::fs::write(&file, good).unwrap();
    assert_eq!(remote.head().await.unwrap(), lab.journal.head());
}

#[tokio::test]
async fn acknowledgements_that_are_refused_together_are_one_failure() {
    let dir = tempfile::tempdir().unwrap();
    let registry = prometheus::Registry::new();
    let metrics = feed::Metrics::register(&registry, "ci/main").unwrap();
    let journal = Feed::open(&dir.path().join("data"), Options { metrics, ..common::options() });
    let served = served_with(journal.unwrap(), limits()).await;
    let file = dir.path().join("token");
    // Each failure doubles the wait: as many of them as there are records would come to an hour.
    let hour = RemoteOptions {
        retry: (Duration::from_millis(1), Duration::from_secs(3600)),
        ..RemoteOptions::default()
    };
    let remote = reader(&file, &served.feed, served.address, hour);
    let mut consumer = remote.consumer(NAME, ConsumerOptions::default()).await.unwrap();
    add(&served.feed, 1..=30).await;
    let mut positions = Vec::new();
    for _ in 1..=30 {
        positions.push(soon(consumer.next()).await.unwrap().position);
    }
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, "not-a-token").unwrap();
    let handle = consumer.handle();
    let done = tokio::spawn(async move {
        join_all(positions.into_iter().map(|at| handle.acknowledge(at, None))).await
    });
    let refusals = || {
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let (_, after) =
            text.split_once(r#"route="post /v1/consumers/{name}/acks",status="401"} "#)?;
        after.lines().next()?.parse::<u32>().ok()
    };
    // The second one says that the first was heard.
    soon(async {
        while refusals().is_none_or(|count| count < 2) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    std::fs::write(&file, good).unwrap();
    for result in soon(done).await.unwrap() {
        result.unwrap();
    }
    assert_eq!(served.feed.consumers()[0].backlog, 0);
}

#[tokio::test]
async fn what_was_acknowledged_before_the_end_is_on_disk_after_it() {
    let lab = lab().await;
    let file = lab.dir.path().join("token");
    let remote = reader(&file, &lab.journal, lab.served.address, options());
    let mut consumer = remote.consumer(NAME, ConsumerOptions::default()).await.unwrap();
    add(&lab.journal, [1]).await;
    let at = soon(consumer.next()).await.unwrap().position;
    let handle = consumer.handle();
    {
        // Asked for, and not waited for: the process is told to end.
        let asked = handle.acknowledge(at, None);
        let mut asked = std::pin::pin!(asked);
        assert!(futures_util::poll!(&mut asked).is_pending());
    }
    drop((consumer, handle));
    soon(remote.close()).await;
    assert_eq!(lab.journal.consumers()[0].floor, at);
}
