#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::*;
use crate::health::Health;
use feed::{Feed, Options};
use tokio::time::Instant;

/// The loop of a target that never gets anything.
async fn idle(mut consumer: AnyConsumer, cancel: CancellationToken) -> Result<(), RunError> {
    tokio::select! {
        () = cancel.cancelled() => Ok(()),
        next = consumer.next() => Err(RunError::Source {
            target: "push".to_owned(),
            source: Box::new(next.unwrap_err()),
        }),
    }
}

// The clock stands still while anything is under way, and leaps when all wait for it.
#[tokio::test(start_paused = true)]
async fn a_target_takes_its_place_back_a_minute_after_another_process_took_it() {
    let dir = tempfile::tempdir().unwrap();
    let feed = AnyFeed::from(Feed::open(dir.path(), Options::default()).unwrap());
    let wanted = ConsumerOptions::default();
    let mut running = Running::new(&Health::new().unwrap());
    let name = consumer_name("http_push", "push");
    let first = feed.consumer(&name, wanted.clone()).await.unwrap();
    running.supervise(&feed, ("http_push", "push".to_owned()), (first, wanted.clone()), idle);

    // Twice: it is as patient with every newer process.
    for generation in [2, 4] {
        // The clock may leap as soon as it is open, before this task hears of it.
        let before = Instant::now();
        let mut newer = feed.consumer(&name, wanted.clone()).await.unwrap();
        let end = newer.next().await.unwrap_err();
        let ConsumerError::Superseded { own, newer, .. } = end else { panic!("{end}") };
        assert_eq!((own, newer), (generation, generation + 1));
        let kept = before.elapsed();
        assert!((AGAIN.1..AGAIN.1 + Duration::from_secs(1)).contains(&kept), "{kept:?}");
    }
    running.cancel.cancel();
    running.tasks.join_next().await.unwrap().unwrap();
}
