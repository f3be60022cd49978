//! What outlives its time goes; what somebody waits for stays, within limits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::*;
use feed::{BuildQuery, ConsumerOptions, Feed, History, Item, Options, Retention};
use master::{Batch, Sink as _};
use model::{BuildId, Position, Timestamp, World};
use redb::{Database, ReadableTable as _, TableDefinition};
use std::{
    path::Path,
    time::{Duration, Instant},
};

fn by_bytes(dir: &Path, max_bytes: u64) -> Feed {
    let retention = Retention { max_bytes, ..Retention::default() };
    Feed::open(dir, Options { retention, tail_bytes: 1, ..options() }).unwrap()
}

/// Returns in a later millisecond than it was called in.
async fn next_millisecond() {
    let now = Instant::now();
    while now.elapsed() < Duration::from_millis(2) {
        tokio::task::yield_now().await;
    }
}

/// The oldest record that can still be read.
async fn first_kept(feed: &Feed) -> Option<u64> {
    let head = feed.head();
    let (mut low, mut high) = (1, head.seq + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let mut follower = feed.follow(Position { seq: middle - 1, ..head });
        match soon(follower.next()).await {
            Item::Record(record) => high = record.position.seq,
            Item::Resync => low = middle + 1,
            other => panic!("{other:?}"),
        }
    }
    (low <= head.seq).then_some(low)
}

#[tokio::test]
async fn the_oldest_events_go_when_there_are_too_many_bytes_and_nobody_waits() {
    let dir = tempfile::tempdir().unwrap();
    let feed = by_bytes(dir.path(), 50_000);
    for first in (1..=1_000).step_by(100) {
        add(&feed, first..first + 100).await;
    }
    let mut slow = feed.follow(Position { seq: 5, ..feed.head() });
    feed.maintain().await.unwrap();
    let first = first_kept(&feed).await.unwrap();
    assert!(first > 700 && first < 1_000, "{first}");
    assert!(matches!(soon(slow.next()).await, Item::Resync), "what it missed is gone");
    add(&feed, [1_001]).await;
    assert_eq!(id_of(&next_record(&mut slow).await), 1_001);
    // The account of bytes holds over a restart, too.
    drop(slow);
    feed.close().await;
    drop(feed);
    let feed = by_bytes(dir.path(), 50_000);
    feed.maintain().await.unwrap();
    assert!(first_kept(&feed).await.unwrap() <= first + 1);
}

#[tokio::test]
async fn what_a_consumer_waits_for_stays_until_it_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let feed = by_bytes(dir.path(), 1);
    let mut consumer = feed.consumer("mail", ConsumerOptions::default()).await.unwrap();
    add(&feed, 1..=600).await;
    feed.maintain().await.unwrap();
    assert_eq!(first_kept(&feed).await, Some(1));
    let mut held = None;
    for id in 1..=20 {
        let record = soon(consumer.next()).await.unwrap();
        assert_eq!(id_of(&record), id);
        if id == 11 {
            held = Some(record.position);
        } else {
            consumer.acknowledge(record.position, None).await.unwrap();
        }
    }
    feed.maintain().await.unwrap();
    assert_eq!(first_kept(&feed).await, Some(11), "one that is not done holds those behind it");
    consumer.acknowledge(held.unwrap(), None).await.unwrap();
    feed.maintain().await.unwrap();
    assert_eq!(first_kept(&feed).await, Some(21));
    assert_eq!(consumer.status().expired, 0);
}

#[tokio::test]
async fn a_consumer_that_stays_away_too_long_loses_the_oldest_and_is_told_how_many() {
    let dir = tempfile::tempdir().unwrap();
    let feed = by_bytes(dir.path(), 1);
    let options = ConsumerOptions { max_backlog_age: Duration::ZERO, ..ConsumerOptions::default() };
    let mut consumer = feed.consumer("bot", options).await.unwrap();
    add(&feed, 1..=500).await;
    // Older than "no time at all".
    next_millisecond().await;
    feed.maintain().await.unwrap();
    add(&feed, [501]).await;
    let record = soon(consumer.next()).await.unwrap();
    assert_eq!(id_of(&record), 501);
    let status = consumer.status();
    assert_eq!((status.expired, status.backlog, status.floor.seq), (500, 1, 500));
}

#[tokio::test]
async fn events_go_by_age_and_a_parked_one_stays_with_its_letter() {
    let dir = tempfile::tempdir().unwrap();
    let retention = Retention { max_age: Duration::ZERO, ..Retention::default() };
    let feed = Feed::open(dir.path(), Options { retention, tail_bytes: 1, ..options() }).unwrap();
    let mut consumer = feed.consumer("mail", ConsumerOptions::default()).await.unwrap();
    add(&feed, [1]).await;
    let at = soon(consumer.next()).await.unwrap().position;
    consumer.park(at, feed::DeadLetter::default()).await.unwrap();
    next_millisecond().await;
    feed.maintain().await.unwrap();
    assert_eq!(first_kept(&feed).await, None);
    feed.replay("mail", at).await.unwrap();
    assert_eq!(id_of(soon(consumer.next()).await.unwrap()), 1);
}

#[tokio::test]
async fn builds_and_changes_go_by_count_lowest_first_with_their_index() {
    let dir = tempfile::tempdir().unwrap();
    let history = History { max_builds: 10, max_changes: 5, ..History::default() };
    let feed = Feed::open(dir.path(), Options { history, ..options() }).unwrap();
    let batch = Batch {
        history: (1..=700).map(|id| build(id, 1)).collect(),
        history_changes: (1..=700).map(change).collect(),
        ..Batch::default()
    };
    feed.ingest().commit(batch, &World::default()).await.unwrap();
    feed.maintain().await.unwrap();
    let all = BuildQuery { builder: Some(model::BuilderId(1)), ..BuildQuery::default() };
    let builds = feed.builds(all).await.unwrap();
    assert_eq!((builds.len(), builds[9].id), (10, BuildId(691)));
    assert_eq!(feed.changes(None, 100).await.unwrap().len(), 5);
}

#[tokio::test]
async fn builds_go_by_age() {
    let dir = tempfile::tempdir().unwrap();
    let history = History { max_age: Some(Duration::from_secs(3600)), ..History::default() };
    let feed = Feed::open(dir.path(), Options { history, ..options() }).unwrap();
    let mut old = build(1, 1);
    old.complete_at = Some(Timestamp(5));
    let batch = Batch { history: vec![old, build(2, 1)], ..Batch::default() };
    feed.ingest().commit(batch, &World::default()).await.unwrap();
    feed.maintain().await.unwrap();
    assert!(feed.build(BuildId(1)).await.unwrap().is_none());
    assert!(feed.build(BuildId(2)).await.unwrap().is_some());
}

#[tokio::test]
async fn maintenance_happens_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let retention = Retention { max_bytes: 1, ..Retention::default() };
    let maintenance = Duration::from_millis(10);
    let feed =
        Feed::open(dir.path(), Options { retention, maintenance, tail_bytes: 1, ..options() })
            .unwrap();
    add(&feed, 1..=600).await;
    soon(async {
        while first_kept(&feed).await.is_some() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_consumer_that_is_down_costs_no_more_disk_than_the_hard_bound() {
    let dir = tempfile::tempdir().unwrap();
    let retention =
        Retention { max_bytes: 100_000, max_backlog_bytes: 200_000, ..Retention::default() };
    let registry = prometheus::Registry::new();
    let metrics = feed::Metrics::register(&registry, "ci/main").unwrap();
    let history = History { max_changes: 100, ..History::default() };
    let options = Options { retention, history, metrics, tail_bytes: 1, ..options() };
    let feed = Feed::open(dir.path(), options).unwrap();
    drop(feed.consumer("down", ConsumerOptions::default()).await.unwrap());
    let figure = |name: &str| {
        let name = format!("buildbot_status_feed_{name}");
        let family = registry.gather().into_iter().find(|f| f.name() == name).unwrap();
        family.get_metric()[0].get_gauge().get_value()
    };
    let mut file_bytes = 0.0;
    for round in 0..40u64 {
        add(&feed, round * 100 + 1..=round * 100 + 100).await;
        // The writer drops before it takes the next batch, unasked.
        feed.refresh_metrics().await;
        let bytes = figure("journal_bytes");
        assert!(bytes < 200_000.0 + 50_000.0, "{bytes} bytes in round {round}");
        if round % 10 == 9 {
            feed.maintain().await.unwrap();
        }
        if round == 19 {
            file_bytes = figure("journal_file_bytes");
        }
    }
    // The file reuses what is free: it has come to its size long before.
    feed.maintain().await.unwrap();
    let end = figure("journal_file_bytes");
    assert!(end <= file_bytes * 1.5, "{file_bytes}, then {end} bytes");
    let bytes = figure("journal_bytes");
    assert!(bytes > 100_000.0 && bytes <= 200_000.0, "{bytes}: up to the bound it does wait");
    let status = feed.consumers().remove(0);
    let gap = status.gap.unwrap();
    assert_eq!((gap.from.seq, gap.to.seq), (1, status.floor.seq));
    assert_eq!(status.expired + status.backlog, 4000, "what is lost is told");
    assert!(status.expired > 2000, "{}", status.expired);
}

#[tokio::test]
async fn readers_that_keep_no_place_pin_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let feed = by_bytes(dir.path(), 1);
    let followers: Vec<_> = (0..3).map(|_| feed.follow(feed.head())).collect();
    let (_, subscriber) = feed.subscribe(feed::SnapshotLimits::default()).await.unwrap();
    add(&feed, 1..=600).await;
    feed.maintain().await.unwrap();
    assert_eq!(first_kept(&feed).await, None);
    for mut follower in followers.into_iter().chain([subscriber]) {
        assert!(matches!(soon(follower.next()).await, Item::Resync));
    }
}

#[tokio::test]
async fn a_consumer_within_its_own_time_loses_nothing_though_another_is_past_its() {
    let dir = tempfile::tempdir().unwrap();
    let retention = Retention { max_age: Duration::ZERO, ..Retention::default() };
    let feed = Feed::open(dir.path(), Options { retention, tail_bytes: 1, ..options() }).unwrap();
    let mut patient = feed.consumer("patient", ConsumerOptions::default()).await.unwrap();
    let options = ConsumerOptions { max_backlog_age: Duration::ZERO, ..ConsumerOptions::default() };
    let hasty = feed.consumer("hasty", options).await.unwrap();
    add(&feed, 1..=300).await;
    next_millisecond().await;
    feed.maintain().await.unwrap();
    assert_eq!((hasty.status().expired, hasty.backlog()), (0, 300), "what one holds, all have");
    for id in 1..=300 {
        let record = soon(patient.next()).await.unwrap();
        assert_eq!(id_of(&record), id);
        patient.acknowledge(record.position, None).await.unwrap();
    }
    feed.maintain().await.unwrap();
    assert_eq!((patient.status().expired, hasty.status().expired), (0, 300));
    assert_eq!(hasty.status().gap.unwrap().records, 300);
}

#[tokio::test]
async fn a_clock_that_is_days_ahead_when_the_feed_starts_drops_nothing_that_waits() {
    let dir = tempfile::tempdir().unwrap();
    let feed = open(dir.path());
    drop(feed.consumer("mail", ConsumerOptions::default()).await.unwrap());
    add(&feed, 1..=300).await;
    feed.close().await;
    // The same as a clock that is a month ahead by now.
    {
        type Row = (i64, u32, &'static [u8]);
        let records: TableDefinition<'_, u64, Row> = TableDefinition::new("records");
        let database = Database::open(dir.path().join("journal.redb")).unwrap();
        let transaction = database.begin_write().unwrap();
        {
            let mut records = transaction.open_table(records).unwrap();
            for seq in 1..=300 {
                let row = records.get(seq).unwrap().unwrap();
                let (at_ms, sum, bytes) = row.value();
                let (at_ms, bytes) = (at_ms - 30 * 24 * 3600 * 1000, bytes.to_vec());
                drop(row);
                records.insert(seq, (at_ms, sum, bytes.as_slice())).unwrap();
            }
        }
        transaction.commit().unwrap();
    }
    let feed = open(dir.path());
    feed.maintain().await.unwrap();
    let status = feed.consumers().remove(0);
    assert_eq!((status.expired, status.backlog), (0, 300));
    assert_eq!(first_kept(&feed).await, Some(1));
}
