//! Durable consumers: nothing lost, nothing that is done comes again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::*;
use feed::{Consumer, ConsumerError, ConsumerOptions, DeadLetter, Feed, Options, StateChange};
use model::Position;
use std::collections::BTreeMap;

async fn consumer(feed: &Feed) -> Consumer {
    feed.consumer("mail", ConsumerOptions::default()).await.unwrap()
}

async fn next(consumer: &mut Consumer) -> (u64, Position) {
    let record = soon(consumer.next()).await.unwrap();
    (id_of(&record), record.position)
}

fn letter() -> DeadLetter {
    DeadLetter {
        class: "permanent".into(),
        text: "550 no such user".into(),
        ..DeadLetter::default()
    }
}

#[tokio::test]
async fn a_new_consumer_starts_at_the_head_and_an_old_one_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let feed = open(dir.path());
    add(&feed, 1..=3).await;
    let mut first = consumer(&feed).await;
    assert_eq!(first.backlog(), 0);
    assert!(nothing(first.next()).await);
    add(&feed, 4..=5).await;
    assert_eq!(first.backlog(), 2);
    assert_eq!(next(&mut first).await.0, 4);
    drop(first);
    let mut again = consumer(&feed).await;
    assert_eq!(next(&mut again).await.0, 4, "not acknowledged");
}

#[tokio::test]
async fn acknowledged_out_of_order_the_rest_comes_again_in_order_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    {
        let feed = open(dir.path());
        let mut consumer = consumer(&feed).await;
        add(&feed, 1..=6).await;
        let mut at = Vec::new();
        for _ in 1..=6 {
            at.push(next(&mut consumer).await.1);
        }
        for id in [2, 4, 5] {
            consumer.acknowledge(at[id - 1], None).await.unwrap();
        }
        assert_eq!(consumer.backlog(), 3);
    }
    let feed = open(dir.path());
    let mut consumer = consumer(&feed).await;
    for id in [1, 3, 6] {
        assert_eq!(next(&mut consumer).await.0, id);
    }
    assert!(nothing(consumer.next()).await);
}

#[tokio::test]
async fn the_window_bounds_what_is_in_flight() {
    let dir = tempfile::tempdir().unwrap();
    let feed = open(dir.path());
    let options = ConsumerOptions { window: Some(2), ..ConsumerOptions::default() };
    let mut consumer = feed.consumer("irc", options).await.unwrap();
    add(&feed, 1..=5).await;
    let (_, first) = next(&mut consumer).await;
    next(&mut consumer).await;
    assert!(nothing(consumer.next()).await);
    let handle = consumer.handle();
    let waiting = tokio::spawn(async move { next(&mut consumer).await.0 });
    handle.acknowledge(first, None).await.unwrap();
    assert_eq!(soon(waiting).await.unwrap(), 3);
}

#[tokio::test]
async fn a_newer_open_refuses_the_older_ones_reads_and_acknowledgements() {
    let dir = tempfile::tempdir().unwrap();
    let feed = open(dir.path());
    let mut older = consumer(&feed).await;
    add(&feed, [1]).await;
    let (_, at) = next(&mut older).await;
    let handle = older.handle();
    let waiting = tokio::spawn(async move { older.next().await });
    let mut newer = consumer(&feed).await;
    assert!(matches!(soon(waiting).await.unwrap(), Err(ConsumerError::Superseded { .. })));
    let refused = handle.acknowledge(at, None).await;
    assert_eq!(refused, Err(ConsumerError::Superseded { name: "mail".into(), own: 1, newer: 2 }));
    assert_eq!(next(&mut newer).await.1, at);
    newer.acknowledge(at, None).await.unwrap();
    newer.acknowledge(at, None).await.expect("done already is no error");
}

#[tokio::test]
async fn positions_that_were_not_handed_out_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let feed = open(dir.path());
    let consumer = consumer(&feed).await;
    add(&feed, [1]).await;
    let given = feed.head();
    let refused = consumer.acknowledge(given, None).await;
    assert_eq!(refused, Err(ConsumerError::NotHandedOut { given }));
    let given = Position { epoch: 1, seq: 1 };
    let refused = consumer.acknowledge(given, None).await;
    assert_eq!(refused, Err(ConsumerError::OtherJournal { given, epoch: feed.head().epoch }));
    let refused = feed.consumer("", ConsumerOptions::default()).await;
    assert!(matches!(refused, Err(ConsumerError::Bounds(_))));
}

#[tokio::test]
async fn state_is_committed_with_its_acknowledgement_and_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    {
        let feed = open(dir.path());
        let mut consumer = consumer(&feed).await;
        add(&feed, [1]).await;
        let (_, at) = next(&mut consumer).await;
        consumer.acknowledge(at, Some(StateChange::set("notify", "ann"))).await.unwrap();
        assert_eq!(consumer.get_state("notify").unwrap(), b"ann");
        consumer.handle().save(StateChange::set("other", "x")).await.unwrap();
        let gone = StateChange { remove: ["other".into()].into(), ..StateChange::default() };
        consumer.handle().save(gone).await.unwrap();
        let huge = StateChange::set("k", vec![0; 100_000]);
        let refused = consumer.handle().save(huge).await;
        assert!(matches!(refused, Err(ConsumerError::Bounds(_))));
    }
    let feed = open(dir.path());
    let consumer = consumer(&feed).await;
    assert_eq!(consumer.get_state("notify").unwrap(), b"ann");
    assert_eq!(consumer.get_state("other"), None);
    let other = feed.consumer("mail2", ConsumerOptions::default()).await.unwrap();
    assert_eq!(other.get_state("notify"), None);
}

#[tokio::test]
async fn a_parked_record_counts_as_done_and_is_kept_until_its_replay_is_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let at;
    {
        let feed = open(dir.path());
        let mut consumer = consumer(&feed).await;
        add(&feed, 1..=2).await;
        at = next(&mut consumer).await.1;
        consumer.park(at, letter()).await.unwrap();
        let (_, second) = next(&mut consumer).await;
        consumer.acknowledge(second, None).await.unwrap();
        assert_eq!(consumer.status().floor, second);
        let letters = feed.dead_letters("mail", None, 10).await.unwrap();
        assert_eq!((letters.len(), letters[0].position), (1, at));
        assert_eq!(letters[0].letter, letter());
        let unknown = feed.replay("mail", second).await;
        assert!(matches!(unknown, Err(ConsumerError::NotFound(_))));
        feed.replay("mail", at).await.unwrap();
    }
    let feed = open(dir.path());
    let mut consumer = consumer(&feed).await;
    assert_eq!(consumer.backlog(), 1);
    assert_eq!(next(&mut consumer).await.1, at, "the replay outlives a restart");
    consumer.park(at, letter()).await.unwrap();
    assert_eq!(consumer.status().dead_letters, 1, "parked again, once");
    feed.replay("mail", at).await.unwrap();
    assert_eq!(next(&mut consumer).await.1, at);
    consumer.acknowledge(at, None).await.unwrap();
    assert!(feed.dead_letters("mail", None, 10).await.unwrap().is_empty());
    assert_eq!((consumer.status().dead_letters, consumer.backlog()), (0, 0));
}

#[tokio::test]
async fn a_forgotten_consumer_is_gone_with_all_it_had() {
    let dir = tempfile::tempdir().unwrap();
    let feed = open(dir.path());
    let mut old = consumer(&feed).await;
    add(&feed, [1]).await;
    let (_, at) = next(&mut old).await;
    old.park(at, letter()).await.unwrap();
    old.handle().save(StateChange::set("k", "v")).await.unwrap();
    feed.forget("mail").await.unwrap();
    feed.forget("mail").await.expect("forgetting twice is no error");
    assert!(matches!(old.next().await, Err(ConsumerError::NotFound(_))));
    assert!(feed.consumers().is_empty());
    let new = consumer(&feed).await;
    assert_eq!((new.get_state("k"), new.backlog()), (None, 0));
    assert!(feed.dead_letters("mail", None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_slow_consumer_reads_on_from_disk_what_memory_no_longer_holds() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { tail_bytes: 1, ..options() };
    let feed = Feed::open(dir.path(), options).unwrap();
    let mut consumer = consumer(&feed).await;
    for first in (1..=300).step_by(100) {
        add(&feed, first..first + 100).await;
    }
    for id in 1..=300 {
        let (got, at) = next(&mut consumer).await;
        assert_eq!(got, id);
        consumer.acknowledge(at, None).await.unwrap();
    }
    assert_eq!(consumer.backlog(), 0);
}

#[tokio::test]
async fn acknowledgements_that_wait_together_share_a_commit() {
    let dir = tempfile::tempdir().unwrap();
    let registry = prometheus::Registry::new();
    let metrics = feed::Metrics::register(&registry, "default/main").unwrap();
    let group_commit = std::time::Duration::from_millis(200);
    let feed = Feed::open(dir.path(), Options { metrics, group_commit, ..options() }).unwrap();
    let mut consumer = consumer(&feed).await;
    add(&feed, 1..=50).await;
    let mut acks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (_, at) = next(&mut consumer).await;
        let handle = consumer.handle();
        acks.spawn(async move { handle.acknowledge(at, None).await.unwrap() });
    }
    while soon(acks.join_next()).await.is_some() {}
    let commits = registry.gather().into_iter().find(|f| f.name().ends_with("commits_total"));
    let commits = commits.unwrap().get_metric()[0].get_counter().get_value();
    assert!(commits < 20.0, "{commits} commits");
    assert_eq!(consumer.backlog(), 0);
}

#[tokio::test]
async fn figures_of_consumers_and_journal_are_there_and_go_with_the_consumer() {
    let dir = tempfile::tempdir().unwrap();
    let registry = prometheus::Registry::new();
    let metrics = feed::Metrics::register(&registry, "default/main").unwrap();
    let feed = Feed::open(dir.path(), Options { metrics, ..options() }).unwrap();
    let mut reader = consumer(&feed).await;
    let _follower = feed.follow(feed.head());
    add(&feed, 1..=7).await;
    // Ages are by milliseconds: one has to pass.
    let written = std::time::Instant::now();
    while written.elapsed().as_millis() < 2 {
        tokio::task::yield_now().await;
    }
    let text = || prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    feed.refresh_metrics().await;
    let before = text();
    for line in [
        "buildbot_status_feed_consumer_backlog{consumer=\"mail\",master=\"default/main\"} 7",
        "buildbot_status_feed_events_total{master=\"default/main\",type=\"changeAdded\"} 7",
        "buildbot_status_feed_journal_records{master=\"default/main\"} 7",
        "buildbot_status_feed_database_epoch{master=\"default/main\"} 0",
        "buildbot_status_feed_journal_lost{master=\"default/main\"} 0",
        "buildbot_status_feed_followers{master=\"default/main\"} 1",
        "buildbot_status_master_connected{master=\"default/main\"} 0",
    ] {
        assert!(before.contains(line), "{line} in {before}");
    }
    assert!(!before.contains("buildbot_status_feed_journal_bytes{master=\"default/main\"} 0"));
    let figure = |text: &str, name: &str| {
        let line =
            text.lines().find(|line| line.starts_with(&format!("buildbot_status_feed_{name}{{")));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap()
    };
    for name in ["journal_oldest_age_seconds", "consumer_backlog_age_seconds", "disk_free_bytes"] {
        assert!(figure(&before, name) > 0.0, "{name} in {before}");
    }
    for _ in 0..7 {
        let (_, at) = next(&mut reader).await;
        reader.acknowledge(at, None).await.unwrap();
    }
    feed.refresh_metrics().await;
    assert!(figure(&text(), "consumer_backlog_age_seconds") == 0.0);
    feed.forget("mail").await.unwrap();
    feed.refresh_metrics().await;
    assert!(!text().contains("consumer=\"mail\""));
}

#[tokio::test]
async fn what_a_consumer_still_holds_is_not_handed_out_again_and_can_be_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let feed = open(dir.path());
    let mut before = consumer(&feed).await;
    add(&feed, 1..=4).await;
    let mut at = Vec::new();
    for _ in 1..=3 {
        at.push(next(&mut before).await.1);
    }
    before.acknowledge(at[0], None).await.unwrap();

    // Of what is held, one is done already and one was never written.
    let never = Position { seq: 99, ..at[0] };
    let held = vec![at[0], at[1], never];
    let options = ConsumerOptions { held, ..ConsumerOptions::default() };
    let mut after = feed.consumer("mail", options).await.unwrap();
    assert_eq!(after.status().in_flight, 1);
    assert_eq!(next(&mut after).await.0, 3, "was handed out, and is not held");
    after.acknowledge(at[1], None).await.unwrap();
    assert_eq!(next(&mut after).await.0, 4);
    assert_eq!(after.backlog(), 2);
}

#[tokio::test]
async fn a_state_is_bounded_as_a_whole_and_a_change_beyond_that_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let feed = open(dir.path());
    let mut before = consumer(&feed).await;
    add(&feed, [1]).await;
    let at = next(&mut before).await.1;
    let value = || vec![7; 64 << 10];
    // 16 MiB but for what the keys cost.
    let set: BTreeMap<_, _> = (0..255).map(|n| (format!("{n:03}"), value())).collect();
    let full = StateChange { set, ..StateChange::default() };
    before.handle().save(full.clone()).await.unwrap();
    before.handle().save(full).await.expect("what is set again counts once");
    let more = StateChange::set("more", value());
    let refused = before.acknowledge(at, Some(more.clone())).await.unwrap_err();
    let said = refused.to_string();
    assert!(matches!(refused, ConsumerError::Bounds(_)) && said.contains("16777216"), "{said}");
    assert_eq!((before.backlog(), before.get_state("more")), (1, None));
    let instead = StateChange { remove: ["000".to_owned()].into(), ..more.clone() };
    before.acknowledge(at, Some(instead)).await.unwrap();
    drop(before);
    feed.close().await;

    let feed = open(dir.path());
    let after = consumer(&feed).await.handle();
    assert_eq!((after.get_state("000"), after.get_state("more")), (None, Some(value())));
    let again = StateChange::set("again", value());
    assert!(matches!(after.save(again.clone()).await, Err(ConsumerError::Bounds(_))));
    feed.forget("mail").await.unwrap();
    let anew = consumer(&feed).await.handle();
    anew.save(again).await.expect("nothing is there any more");
}

#[tokio::test]
async fn dead_letters_are_listed_page_by_page_and_can_be_thrown_away() {
    let dir = tempfile::tempdir().unwrap();
    let feed = open(dir.path());
    let mut consumer = consumer(&feed).await;
    add(&feed, 1..=5).await;
    let mut at = Vec::new();
    for _ in 1..=5 {
        at.push(next(&mut consumer).await.1);
        consumer.park(*at.last().unwrap(), letter()).await.unwrap();
    }
    let positions = |letters: &[feed::Parked]| -> Vec<u64> {
        letters.iter().map(|parked| parked.position.seq).collect()
    };
    let first = feed.dead_letters("mail", None, 2).await.unwrap();
    assert_eq!(positions(&first), [1, 2]);
    let rest = feed.dead_letters("mail", Some(first[1].position), 9).await.unwrap();
    assert_eq!(positions(&rest), [3, 4, 5]);
    let other = Position { epoch: 1, seq: 4 };
    assert_eq!(feed.dead_letters("mail", Some(other), 9).await.unwrap().len(), 5);
    assert_eq!(feed.dead_letter("mail", at[2]).await.unwrap().as_ref(), Some(&rest[0]));
    assert_eq!(feed.dead_letter("mail", other).await.unwrap(), None);

    feed.replay("mail", at[0]).await.unwrap();
    feed.drop_letter("mail", at[0]).await.unwrap();
    assert!(nothing(consumer.next()).await, "what is thrown away is not handed out");
    feed.replay("mail", at[1]).await.unwrap();
    assert_eq!(next(&mut consumer).await.1, at[1]);
    feed.drop_letter("mail", at[1]).await.unwrap();
    consumer.acknowledge(at[1], None).await.expect("the attempt in progress ended well");
    let again = feed.drop_letter("mail", at[1]).await;
    assert!(matches!(again, Err(ConsumerError::NotFound(_))));
    assert_eq!((consumer.status().dead_letters, consumer.backlog()), (3, 0));
}
