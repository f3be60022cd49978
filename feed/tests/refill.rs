//! Builds from the history in place of records that were dropped, and once more.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::*;
use feed::{CatchUp, Consumer, ConsumerOptions, DeadLetter, Feed, History, Options, Retention};
use master::{Batch, Sink as _};
use model::{BuilderId, Event, Position, Record, Timestamp, World};
use std::{path::Path, time::Duration};

/// A journal that drops at once what nobody waits for any more.
fn forgetful(dir: &Path) -> Feed {
    let retention = Retention { max_bytes: 1, ..Retention::default() };
    Feed::open(dir, Options { retention, tail_bytes: 1, ..options() }).unwrap()
}

fn catching_up(max_builds: u64) -> ConsumerOptions {
    let catch_up = CatchUp { max_builds, ..CatchUp::default() };
    ConsumerOptions {
        max_backlog_age: Duration::ZERO,
        catch_up: Some(catch_up),
        ..ConsumerOptions::default()
    }
}

async fn commit(feed: &Feed, events: Vec<Event>) {
    feed.ingest().commit(batch(events), &World::default()).await.unwrap();
}

/// Drops all records that may go: all that are older than this millisecond.
async fn drop_all(feed: &Feed) {
    let now = std::time::SystemTime::now();
    while now.elapsed().unwrap() < Duration::from_millis(2) {
        tokio::task::yield_now().await;
    }
    feed.maintain().await.unwrap();
}

async fn next(consumer: &mut Consumer) -> std::sync::Arc<Record> {
    soon(consumer.next()).await.unwrap()
}

fn ids(records: &[std::sync::Arc<Record>]) -> Vec<u64> {
    records.iter().map(id_of).collect()
}

async fn take(consumer: &mut Consumer, count: usize) -> Vec<std::sync::Arc<Record>> {
    let mut taken = Vec::new();
    for _ in 0..count {
        taken.push(next(consumer).await);
    }
    taken
}

#[tokio::test]
async fn finished_builds_among_dropped_records_come_from_the_history_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let feed = forgetful(dir.path());
    let mut consumer = feed.consumer("mail", catching_up(100)).await.unwrap();
    let mut seen = feed.follow(feed.head());
    commit(&feed, vec![added(1), finished(1, 7), added(2), finished(2, 8), finished(3, 7)]).await;
    let mut originals = Vec::new();
    for _ in 0..5 {
        let record = next_record(&mut seen).await;
        if matches!(record.event, Event::BuildFinished { .. }) {
            originals.push(record);
        }
    }
    drop_all(&feed).await;
    commit(&feed, vec![added(3)]).await;
    let status = consumer.status();
    assert_eq!((status.expired, status.refilled, status.backlog), (5, 3, 4));
    let gap = status.gap.unwrap();
    assert_eq!((gap.from.seq, gap.to.seq, gap.records), (1, 5, 5));
    assert!(gap.at_ms > 0);

    let came = take(&mut consumer, 4).await;
    assert_eq!(came[..3], originals, "oldest first, the same in all they carry");
    assert_eq!(came[3].event, added(3), "before what is newer");
    assert!(nothing(consumer.next()).await, "and nothing twice");
    for record in &came {
        consumer.acknowledge(record.position, None).await.unwrap();
    }
    assert_eq!(consumer.backlog(), 0);
    consumer.acknowledge(came[0].position, None).await.expect("done already is no error");
}

#[tokio::test]
async fn what_is_refilled_and_not_acknowledged_comes_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    {
        let feed = forgetful(dir.path());
        let mut consumer = feed.consumer("mail", catching_up(100)).await.unwrap();
        commit(&feed, (1..=4).map(|id| finished(id, 1)).collect()).await;
        drop_all(&feed).await;
        let came = take(&mut consumer, 3).await;
        consumer.acknowledge(came[1].position, None).await.unwrap();
    }
    let feed = forgetful(dir.path());
    let mut consumer = feed.consumer("mail", catching_up(100)).await.unwrap();
    assert_eq!(ids(&take(&mut consumer, 3).await), [1, 3, 4]);
    assert_eq!((consumer.backlog(), consumer.status().refilled), (3, 4));

    // One that reconnects keeps what it holds.
    let held = vec![Position { seq: 3, ..feed.head() }];
    let options = ConsumerOptions { held, ..catching_up(100) };
    let mut consumer = feed.consumer("mail", options).await.unwrap();
    assert_eq!(ids(&take(&mut consumer, 2).await), [1, 4]);
    let not_handed_out = Position { seq: 2, ..feed.head() };
    consumer.acknowledge(not_handed_out, None).await.expect("was done before");
    consumer.acknowledge(Position { seq: 3, ..feed.head() }, None).await.unwrap();
    assert_eq!(consumer.backlog(), 2);
}

#[tokio::test]
async fn records_in_flight_when_they_are_dropped_are_not_handed_out_twice_but_survive_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    {
        let feed = forgetful(dir.path());
        let mut consumer = feed.consumer("mail", catching_up(100)).await.unwrap();
        commit(&feed, (1..=3).map(|id| finished(id, 1)).collect()).await;
        let first = take(&mut consumer, 2).await;
        drop_all(&feed).await;
        assert_eq!(ids(&take(&mut consumer, 1).await), [3]);
        assert!(nothing(consumer.next()).await);
        assert_eq!((consumer.backlog(), consumer.status().in_flight), (3, 3));
        consumer.acknowledge(first[0].position, None).await.unwrap();
        assert_eq!(consumer.backlog(), 2);
    }
    let feed = forgetful(dir.path());
    let mut consumer = feed.consumer("mail", catching_up(100)).await.unwrap();
    assert_eq!(ids(&take(&mut consumer, 2).await), [2, 3]);
}

#[tokio::test]
async fn at_most_so_many_builds_are_refilled_the_newest_and_none_that_are_too_old() {
    let dir = tempfile::tempdir().unwrap();
    let feed = forgetful(dir.path());
    let mut few = feed.consumer("few", catching_up(2)).await.unwrap();
    let young = CatchUp { max_age_ms: Some(3_600_000), ..CatchUp::default() };
    let options = ConsumerOptions { catch_up: Some(young), ..catching_up(1) };
    let mut young = feed.consumer("young", options).await.unwrap();
    let options = ConsumerOptions { catch_up: None, ..catching_up(1) };
    let none = feed.consumer("none", options).await.unwrap();
    let mut old = build(1, 1);
    old.complete_at = Some(Timestamp(Timestamp::now().0 - 7200));
    commit(&feed, vec![Event::BuildFinished { build: Box::new(old) }]).await;
    // More than one step of the maintenance drops at once.
    commit(&feed, (2..=600).map(|id| finished(id, 1)).collect()).await;
    drop_all(&feed).await;
    assert_eq!(ids(&take(&mut few, 2).await), [599, 600]);
    assert_eq!((few.status().expired, few.status().refilled, few.backlog()), (600, 2, 2));
    assert_eq!(id_of(next(&mut young).await), 2);
    assert_eq!((young.status().refilled, young.backlog()), (599, 599));
    assert_eq!((none.status().expired, none.status().refilled, none.backlog()), (600, 0, 0));
    let gap = none.status().gap.unwrap();
    assert_eq!((gap.from.seq, gap.to.seq, gap.records), (1, 600, 600), "one gap, in many steps");
}

#[tokio::test]
async fn a_refilled_build_that_is_given_up_is_kept_whole_and_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let feed = forgetful(dir.path());
    let mut consumer = feed.consumer("mail", catching_up(9)).await.unwrap();
    commit(&feed, vec![finished(1, 1)]).await;
    drop_all(&feed).await;
    let record = next(&mut consumer).await;
    consumer.park(record.position, DeadLetter::default()).await.unwrap();
    assert_eq!((consumer.backlog(), consumer.status().dead_letters), (0, 1));
    assert_eq!(feed.dead_letters("mail", None, 9).await.unwrap()[0].record.as_ref(), Some(&record));
    feed.replay("mail", record.position).await.unwrap();
    assert_eq!(next(&mut consumer).await, record);
    consumer.acknowledge(record.position, None).await.unwrap();
    assert_eq!((consumer.backlog(), consumer.status().dead_letters), (0, 0));
}

#[tokio::test]
async fn a_build_that_the_history_drops_first_is_no_longer_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let retention = Retention { max_bytes: 1, ..Retention::default() };
    let history = History { max_builds: 3, ..History::default() };
    let options = Options { retention, history, tail_bytes: 1, ..options() };
    let feed = Feed::open(dir.path(), options).unwrap();
    let mut consumer = feed.consumer("mail", catching_up(9)).await.unwrap();
    commit(&feed, vec![finished(1, 1), finished(2, 1)]).await;
    drop_all(&feed).await;
    commit(&feed, (3..=4).map(|id| finished(id, 1)).collect()).await;
    drop_all(&feed).await;
    assert_eq!(consumer.status().refilled, 4);
    assert_eq!(ids(&take(&mut consumer, 3).await), [2, 3, 4]);
    assert_eq!((consumer.status().refilled, consumer.backlog()), (3, 3));
}

#[tokio::test]
async fn the_history_is_replayed_once_more_but_for_what_waits_anyway() {
    let dir = tempfile::tempdir().unwrap();
    let feed = open(dir.path());
    let mut consumer = feed.consumer("mail", ConsumerOptions::default()).await.unwrap();
    commit(&feed, (1..=4).map(|id| finished(id, 1)).collect()).await;
    let came = take(&mut consumer, 2).await;
    consumer.acknowledge(came[0].position, None).await.unwrap();
    consumer.park(came[1].position, DeadLetter::default()).await.unwrap();
    // 1 is done, 2 is given up, 3 and 4 wait.
    let all = CatchUp::default();
    assert_eq!(feed.replay_history("mail", all).await.unwrap(), 2);
    assert_eq!(feed.replay_history("mail", all).await.unwrap(), 0, "they wait already");
    assert_eq!(consumer.backlog(), 4);
    let again = take(&mut consumer, 4).await;
    let mut got = ids(&again);
    got.sort_unstable();
    assert_eq!(got, [1, 2, 3, 4]);
    let first = again.iter().find(|record| id_of(record) == 1).unwrap();
    assert_eq!((&first.identity, first.position), (&came[0].identity, came[0].position));
    assert_eq!(feed.replay_history("mail", all).await.unwrap(), 0, "they are in flight");
    for record in again {
        consumer.acknowledge(record.position, None).await.unwrap();
    }
    let status = consumer.status();
    assert_eq!((status.backlog, status.dead_letters, status.refilled), (0, 0, 1));
    let two = CatchUp { max_builds: 2, ..all };
    assert_eq!(feed.replay_history("mail", two).await.unwrap(), 2);
    assert_eq!(ids(&take(&mut consumer, 2).await), [3, 4]);
    let unknown = feed.replay_history("nobody", all).await;
    assert!(matches!(unknown, Err(feed::ConsumerError::NotFound(_))));
}

#[tokio::test]
async fn after_a_lost_journal_the_past_is_replayed_with_its_identities_and_before_what_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let mut identities = Vec::new();
    {
        let feed = open(dir.path());
        let mut consumer = feed.consumer("mail", ConsumerOptions::default()).await.unwrap();
        commit(&feed, (1..=3).map(|id| finished(id, 1)).collect()).await;
        for record in take(&mut consumer, 3).await {
            identities.push(record.identity.clone());
        }
        feed.close().await;
    }
    std::fs::remove_file(dir.path().join("journal.redb")).unwrap();
    let feed = open(dir.path());
    let history = (1..=3).map(|id| build(id, 1)).collect();
    let batch = Batch { history, ..Batch::default() };
    feed.ingest().commit(batch, &World::default()).await.unwrap();
    commit(&feed, vec![finished(4, 1)]).await;
    assert_eq!(feed.replay_history("mail", CatchUp::default()).await.unwrap(), 3);
    {
        let mut consumer = feed.consumer("mail", ConsumerOptions::default()).await.unwrap();
        let came = take(&mut consumer, 4).await;
        assert_eq!(ids(&came), [1, 2, 3, 4]);
        assert!(
            came.iter().zip(&identities).all(|(record, identity)| record.identity == *identity)
        );
        assert!(came.iter().all(|record| record.event.builder() == Some(BuilderId(1))));
        consumer.acknowledge(came[1].position, None).await.unwrap();
        consumer.park(came[2].position, DeadLetter::default()).await.unwrap();
    }
    feed.close().await;
    drop(feed);
    let feed = open(dir.path());
    let mut consumer = feed.consumer("mail", ConsumerOptions::default()).await.unwrap();
    let came = take(&mut consumer, 2).await;
    assert_eq!(ids(&came), [1, 4]);
    let held = came.iter().map(|record| record.position).collect();
    let options = ConsumerOptions { held, ..ConsumerOptions::default() };
    let mut consumer = feed.consumer("mail", options).await.unwrap();
    assert!(nothing(consumer.next()).await, "both are held");
    for record in came {
        consumer.acknowledge(record.position, None).await.unwrap();
    }
    let letters = feed.dead_letters("mail", None, 9).await.unwrap();
    assert_eq!((letters.len(), id_of(letters[0].record.as_ref().unwrap())), (1, 3));
    feed.replay("mail", letters[0].position).await.unwrap();
    let record = next(&mut consumer).await;
    consumer.acknowledge(record.position, None).await.unwrap();
    let status = consumer.status();
    assert_eq!((status.backlog, status.dead_letters, status.floor), (0, 0, feed.head()));
}

#[tokio::test]
async fn another_database_of_the_master_takes_what_was_to_be_refilled_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let feed = forgetful(dir.path());
    let mut consumer = feed.consumer("mail", catching_up(9)).await.unwrap();
    commit(&feed, vec![finished(1, 1)]).await;
    drop_all(&feed).await;
    assert_eq!(consumer.backlog(), 1);
    let events = vec![finished(1, 1)];
    let batch = Batch { events, new_database: true, ..Batch::default() };
    feed.ingest().commit(batch, &World::default()).await.unwrap();
    let record = next(&mut consumer).await;
    assert_eq!((record.identity.database, record.position.seq), (1, 2));
    assert_eq!((consumer.backlog(), consumer.status().refilled), (1, 0));
}
