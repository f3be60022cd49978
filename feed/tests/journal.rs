//! What goes in comes out: records, history, state, in order and whole.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::*;
use feed::{BuildQuery, Feed, Item, OpenError, Options, SnapshotLimits};
use master::{Batch, Fingerprint, MasterState, Sink as _, SinkError, StateKind};
use model::{
    BuildId, Builder, BuilderId, ChangeId, Finished, Live, Outcome, Phase, Position, Request,
    RequestId, Timestamp, World,
};

fn world() -> World {
    let mut world = World { title: "Acme".into(), version: "4.3.0".into(), ..World::default() };
    let builder = Builder { id: BuilderId(2), name: "unit win/32".into(), ..Builder::default() };
    world.builders.insert(builder.id, builder);
    world.open.insert(BuildId(9), build(9, 2));
    world.requests.insert(RequestId(4), Request { id: RequestId(4), ..Request::default() });
    let heads = [(String::new(), ChangeId(3))].into();
    world.remember(BuilderId(2), Finished { number: 8, outcome: Outcome::Failure, heads });
    world.highest.build = BuildId(9);
    world
}

#[tokio::test]
async fn a_reopened_journal_knows_the_world_that_the_last_batch_left() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = world();
    world.waiting.builds.insert(BuildId(5));
    let prints =
        vec![Fingerprint { build: BuildId(8), request: RequestId(1), started_at: Timestamp(5) }];
    {
        let feed = open(dir.path());
        let mut ingest = feed.ingest();
        assert!(ingest.known().fresh);
        let batch =
            Batch { dirty: all_of(&world), fingerprints: Some(prints.clone()), ..Batch::default() };
        ingest.commit(batch, &world).await.unwrap();
        // A row that is gone from the world is deleted.
        let mut dirty = master::Dirty::default();
        dirty.open.insert(BuildId(9));
        world.open.clear();
        ingest.commit(Batch { dirty, ..batch_of_nothing() }, &world).await.unwrap();
    }
    let known = open(dir.path()).ingest().known();
    assert_eq!(known.world, world);
    assert_eq!(known.fingerprints, prints);
    assert!(!known.fresh);
}

fn batch_of_nothing() -> Batch {
    Batch::default()
}

#[tokio::test]
async fn events_reach_followers_in_order_with_identity_and_position() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { master_uid: Some("uid-1".into()), ..options() };
    let feed = Feed::open(dir.path(), options).unwrap();
    let mut follower = feed.follow(feed.head());
    feed.ingest().commit(batch(vec![added(7), finished(3, 1)]), &World::default()).await.unwrap();
    let first = next_record(&mut follower).await;
    let second = next_record(&mut follower).await;
    assert_eq!((first.position.seq, second.position.seq), (1, 2));
    assert_eq!(first.identity.to_string(), "uid-1/0/change/7/started");
    assert_eq!((second.identity.id, second.identity.phase), (3, Phase::Finished));
    assert_eq!(feed.head(), second.position);
    assert_eq!(feed.build(BuildId(3)).await.unwrap().unwrap().builder.id, BuilderId(1));
    assert_eq!(feed.change(ChangeId(7)).await.unwrap().unwrap().author, "ann");
}

#[tokio::test]
async fn history_fills_views_and_is_no_event() {
    let dir = tempfile::tempdir().unwrap();
    let feed = open(dir.path());
    let mut follower = feed.follow(feed.head());
    let batch = Batch {
        history: (1..=40).map(|id| build(id, 1)).collect(),
        history_changes: vec![change(5)],
        ..Batch::default()
    };
    feed.ingest().commit(batch, &World::default()).await.unwrap();
    add(&feed, [6]).await;
    assert!(matches!(soon(follower.next()).await, Item::HistoryChange(c) if c.id.0 == 5));
    for id in 1..=40 {
        assert!(matches!(soon(follower.next()).await, Item::History(b) if b.id.0 == id));
    }
    assert_eq!(next_record(&mut follower).await.position.seq, 1);
}

#[tokio::test]
async fn a_snapshot_holds_the_newest_within_its_limits() {
    let dir = tempfile::tempdir().unwrap();
    let feed = open(dir.path());
    // Made once: it holds the present second.
    let world = world();
    let mut history: Vec<_> = (1..=50).map(|id| build(id, id % 5)).collect();
    history.push(build(200, u64::MAX));
    let batch = Batch {
        history,
        history_changes: (1..=9).map(change).collect(),
        dirty: all_of(&world),
        ..Batch::default()
    };
    feed.ingest().commit(batch, &world).await.unwrap();
    let limits = SnapshotLimits { builds_per_builder: 3, builds_total: 8, changes: 2 };
    let snapshot = feed.snapshot(limits).await.unwrap();
    let ids: Vec<u64> = snapshot.builds.iter().map(|b| b.id.0).collect();
    assert_eq!(ids, [200, 50, 49, 48, 47, 46, 45, 44]);
    assert_eq!(snapshot.changes.iter().map(|c| c.id.0).collect::<Vec<_>>(), [9, 8]);
    assert_eq!(snapshot.world, world);
    assert_eq!(snapshot.position, feed.head());

    let query = BuildQuery { builder: Some(BuilderId(3)), below: Some(43), limit: 3 };
    let ids: Vec<u64> = feed.builds(query).await.unwrap().iter().map(|b| b.id.0).collect();
    assert_eq!(ids, [38, 33, 28]);
    let query = BuildQuery { below: Some(50), limit: 2, ..BuildQuery::default() };
    let ids: Vec<u64> = feed.builds(query).await.unwrap().iter().map(|b| b.id.0).collect();
    assert_eq!(ids, [49, 48]);
    assert_eq!(feed.changes(Some(ChangeId(3)), 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_subscriber_misses_nothing_between_snapshot_and_following() {
    let dir = tempfile::tempdir().unwrap();
    let feed = open(dir.path());
    add(&feed, 1..=10).await;
    let (snapshot, mut follower) = feed.subscribe(SnapshotLimits::default()).await.unwrap();
    assert_eq!(snapshot.changes.len(), 10);
    add(&feed, [11]).await;
    assert_eq!(id_of(next_record(&mut follower).await), 11);
}

#[tokio::test]
async fn a_position_of_another_journal_or_beyond_the_head_asks_for_a_new_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let feed = open(dir.path());
    add(&feed, 1..=3).await;
    let beyond = Position { seq: 99, ..feed.head() };
    for from in [Position::default(), beyond, Position { epoch: 1, seq: 2 }] {
        let mut follower = feed.follow(from);
        assert!(matches!(soon(follower.next()).await, Item::Resync));
        assert!(nothing(follower.next()).await, "reads on from the head");
    }
    let mut follower = feed.follow(Position { seq: 0, ..feed.head() });
    assert_eq!(id_of(next_record(&mut follower).await), 1);
}

#[tokio::test]
async fn signs_of_life_and_states_pass_by() {
    let dir = tempfile::tempdir().unwrap();
    let feed = open(dir.path());
    let mut follower = feed.follow(feed.head());
    let ingest = feed.ingest();
    ingest.live(Live::BuildText { build: BuildId(1), text: "compiling".into() });
    ingest.state(MasterState::now(StateKind::Live, "up to date"));
    assert!(matches!(soon(follower.next()).await, Item::Live(_)));
    assert!(matches!(soon(follower.next()).await, Item::State(s) if s.kind == StateKind::Live));
    assert_eq!(feed.state().borrow().kind, StateKind::Live);
}

#[tokio::test]
async fn a_follower_that_lags_reads_on_from_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { follower_buffer: 2, tail_bytes: 1, ..options() };
    let feed = Feed::open(dir.path(), options).unwrap();
    let mut follower = feed.follow(feed.head());
    for id in 1..=300 {
        add(&feed, [id]).await;
    }
    assert!(matches!(soon(follower.next()).await, Item::State(_)), "what passed by is told anew");
    for id in 1..=300 {
        assert_eq!(id_of(next_record(&mut follower).await), id);
    }
}

#[tokio::test]
async fn a_follower_that_lags_behind_history_takes_a_new_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let feed = Feed::open(dir.path(), Options { follower_buffer: 2, ..options() }).unwrap();
    let mut follower = feed.follow(feed.head());
    let history = Batch { history: vec![build(1, 1)], ..Batch::default() };
    feed.ingest().commit(history, &World::default()).await.unwrap();
    for id in 1..=5 {
        add(&feed, [id]).await;
    }
    loop {
        match soon(follower.next()).await {
            Item::Resync => break,
            Item::History(_) => panic!("the notice was overwritten"),
            _ => {}
        }
    }
    add(&feed, [6]).await;
    assert_eq!(id_of(next_record(&mut follower).await), 6);
}

#[tokio::test]
async fn a_new_database_replaces_history_and_starts_an_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let feed = open(dir.path());
    let old = Batch {
        events: vec![finished(1, 1)],
        history: vec![build(7, 1)],
        dirty: all_of(&world()),
        ..Batch::default()
    };
    let mut ingest = feed.ingest();
    ingest.commit(old, &world()).await.unwrap();
    let mut follower = feed.follow(feed.head());
    let new = World { title: "Anew".into(), ..World::default() };
    let batch = Batch { events: vec![finished(1, 1)], new_database: true, ..Batch::default() };
    ingest.commit(batch, &new).await.unwrap();
    assert!(matches!(soon(follower.next()).await, Item::Resync));
    let known = ingest.known();
    assert_eq!((known.database, known.world), (1, new));
    assert!(feed.build(BuildId(7)).await.unwrap().is_none());
    let mut all = feed.follow(Position { seq: 0, ..feed.head() });
    let (first, second) = (next_record(&mut all).await, next_record(&mut all).await);
    assert_eq!((first.identity.database, second.identity.database), (0, 1));
    assert_ne!(first.identity, second.identity);
}

#[tokio::test]
async fn only_the_newest_ingest_is_heard() {
    let dir = tempfile::tempdir().unwrap();
    let feed = open(dir.path());
    let mut older = feed.ingest();
    let _newer = feed.ingest();
    let refused = older.commit(batch(vec![added(1)]), &World::default()).await;
    assert_eq!(refused, Err(SinkError::Closed));
    assert_eq!(feed.head().seq, 0);
}

#[tokio::test]
async fn the_uid_is_made_once_and_another_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let made = open(dir.path()).master_uid().to_owned();
    assert_eq!(made.len(), 36);
    assert_eq!(open(dir.path()).master_uid(), made);
    let other = Options { master_uid: Some("other".into()), ..options() };
    assert!(matches!(Feed::open(dir.path(), other), Err(OpenError::OtherMaster { .. })));
    let same = Options { master_uid: Some(made), ..options() };
    Feed::open(dir.path(), same).unwrap();
}

#[tokio::test]
async fn a_second_opener_is_refused_and_a_closed_feed_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let feed = open(dir.path());
    assert!(matches!(Feed::open(dir.path(), options()), Err(OpenError::InUse { .. })));
    feed.close().await;
    assert_eq!(feed.snapshot(SnapshotLimits::default()).await, Err(feed::StoreError::Closed));
    let late = feed.ingest().commit(batch(vec![added(1)]), &World::default()).await;
    assert!(matches!(late, Err(SinkError::Closed | SinkError::Write(_))));
    open(dir.path());
}
