//! Consumers that do not come back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;
mod remote;
mod served;

use common::*;
use feed::{ConsumerOptions, DeadLetter, Feed, Options, StateChange};
use remote::{options as quick, reader};
use served::{NAME, limits, served_with};
use std::{
    path::Path,
    time::{Duration, Instant},
};

fn forgetting(dir: &Path, forget_after: Duration) -> Feed {
    Feed::open(dir, Options { forget_after, ..options() }).unwrap()
}

fn names(feed: &Feed) -> Vec<String> {
    feed.consumers().into_iter().map(|status| status.name).collect()
}

#[tokio::test]
async fn one_that_is_away_for_too_long_is_forgotten_and_one_that_is_open_never_is() {
    let dir = tempfile::tempdir().unwrap();
    let registry = prometheus::Registry::new();
    let metrics = feed::Metrics::register(&registry, "ci/main").unwrap();
    let options = Options { forget_after: Duration::ZERO, metrics, ..options() };
    let feed = Feed::open(dir.path(), options).unwrap();
    let idle = feed.consumer("idle", ConsumerOptions::default()).await.unwrap();
    let handle = feed.consumer("handle", ConsumerOptions::default()).await.unwrap().handle();
    let mut gone = feed.consumer("gone", ConsumerOptions::default()).await.unwrap();
    add(&feed, [1]).await;
    let at = soon(gone.next()).await.unwrap().position;
    gone.park(at, DeadLetter::default()).await.unwrap();
    gone.handle().save(StateChange::set("k", "v")).await.unwrap();
    feed.maintain().await.unwrap();
    assert_eq!(names(&feed), ["gone", "handle", "idle"]);
    drop(gone);
    feed.maintain().await.unwrap();
    assert_eq!(names(&feed), ["handle", "idle"]);
    assert!(feed.dead_letters("gone", None, 9).await.unwrap().is_empty());
    assert!(idle.status().last_seen_ms > 0);
    idle.handle().save(StateChange::set("k", "v")).await.expect("is there as before");
    let again = handle.clone();
    drop(handle);
    feed.maintain().await.unwrap();
    assert_eq!(names(&feed), ["handle", "idle"], "one handle of two is left");
    drop(again);
    feed.maintain().await.unwrap();
    assert_eq!(names(&feed), ["idle"]);
    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    assert!(text.contains("consumers_forgotten_total{master=\"ci/main\"} 2"), "{text}");

    // A name that comes back is a new consumer.
    let new = feed.consumer("gone", ConsumerOptions::default()).await.unwrap();
    assert_eq!((new.get_state("k"), new.backlog(), new.status().generation), (None, 0, 1));
}

#[tokio::test]
async fn only_time_while_the_journal_is_open_counts_and_it_adds_up_over_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let forget_after = Duration::from_secs(1);
    drop(forgetting(dir.path(), forget_after).consumer("bot", ConsumerOptions::default()).await);
    // The journal itself is away for longer.
    let closed = Instant::now();
    while closed.elapsed() <= forget_after {
        tokio::time::sleep(forget_after - closed.elapsed().min(forget_after)).await;
    }
    let mut restarts = 0;
    soon(async {
        loop {
            let feed = forgetting(dir.path(), forget_after);
            let began = Instant::now();
            feed.maintain().await.unwrap();
            if names(&feed).is_empty() {
                break;
            }
            restarts += 1;
            // Not long enough by itself.
            while began.elapsed() < forget_after / 4 {
                tokio::task::yield_now().await;
            }
            feed.maintain().await.unwrap();
        }
    })
    .await;
    assert!(restarts > 0, "a closed journal's time does not count");
}

#[tokio::test]
async fn a_reader_over_http_is_forgotten_once_its_consumer_was_closed_for_silence_and_never_before()
{
    let dir = tempfile::tempdir().unwrap();
    let feed = forgetting(&dir.path().join("data"), Duration::ZERO);
    let served = served_with(feed.clone(), limits()).await;
    let remote = reader(&dir.path().join("token"), &feed, served.address, quick());
    let mut consumer = remote.consumer(NAME, ConsumerOptions::default()).await.unwrap();
    consumer.handle().save(StateChange::set("k", "v")).await.unwrap();
    // Each waits for what comes next, as long as it lives.
    add(&feed, [1]).await;
    let first = soon(consumer.next()).await.unwrap().position;
    assert_eq!(served.state.close_idle(Duration::ZERO), 0, "its stream is open");
    feed.maintain().await.unwrap();
    consumer.handle().acknowledge(first, None).await.expect("is there as before");

    // Its process is gone; nobody told the feed.
    drop(consumer);
    remote.close().await;
    feed.maintain().await.unwrap();
    assert_eq!(names(&feed), [NAME], "its consumer is open here, in case it comes back");
    soon(async {
        // The end of the stream is seen a little later.
        while served.state.close_idle(Duration::ZERO) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    feed.maintain().await.unwrap();
    assert_eq!(names(&feed), [""; 0]);

    let again = remote.consumer(NAME, ConsumerOptions::default()).await.unwrap();
    assert_eq!(again.handle().get_state("k"), None, "a new consumer");
    assert_eq!(again.handle().status().generation, 1);
}
