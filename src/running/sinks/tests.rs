#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::*;
use crate::health::Health;
use crds::secrets::SecretSource;
use delivery::{ComposeError, SendError, Sent};
use feed::{Feed, Options};
use master::{Batch, Sink as _};
use model::{Build, BuildId, Event, Record, World};
use targets::About;
use tokio::time::{Instant, timeout};

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

/// Puts all off but the last.
struct LastOnly(watch::Sender<Vec<u64>>);

const RECORDS: u64 = 300;

impl Target for LastOnly {
    type Facts = ();
    type Message = u64;

    fn kind(&self) -> &'static str {
        "mail"
    }

    fn decide(&self, _: &Record) -> bool {
        true
    }

    fn compose(&self, record: &Record, (): ()) -> Result<Option<u64>, ComposeError> {
        Ok(Some(record.position.seq))
    }

    async fn send(&self, seq: &mut u64) -> Result<Sent, SendError> {
        if *seq < RECORDS {
            return Err(SendError::PutOff("452 mailbox full".to_owned()));
        }
        self.0.send_modify(|sent| sent.push(*seq));
        Ok(Sent::Whole)
    }
}

#[tokio::test]
async fn the_journal_hands_out_newer_records_while_many_are_put_off() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Feed::open(dir.path(), Options::default()).unwrap();
    let feed = AnyFeed::from(journal.clone());
    let mut running = Running::new(&Health::new().unwrap());
    let (_keep, about) = watch::channel(About::default());
    let reading = Reading {
        feed: &feed,
        namespace: "default",
        secrets: &SecretSource::default(),
        about: &about,
        metrics: &delivery::Metrics::default(),
    };
    let reporter = running.reporter_of(&feed, "MailNotifier", "mail");
    let name = "mail".to_owned();
    let sink = Sink { kind: "mail", name, catch_up: None, suspend: false, reporter: &reporter };
    let (sent, mut seen) = watch::channel(Vec::new());
    let options = delivery::Options::new("mail");
    running.one_by_one(&reading, sink, LastOnly(sent), options).await.unwrap();
    let events = (1..=RECORDS).map(|id| Event::BuildFinished {
        build: Box::new(Build { id: BuildId(id), ..Build::default() }),
    });
    let batch = Batch { events: events.collect(), ..Batch::default() };
    journal.ingest().commit(batch, &World::default()).await.unwrap();
    let all = timeout(Duration::from_secs(60), seen.wait_for(|sent| !sent.is_empty())).await;
    assert_eq!(*all.unwrap().unwrap(), [RECORDS]);
    running.end(Duration::from_secs(8)).await;
    journal.close().await;
}
