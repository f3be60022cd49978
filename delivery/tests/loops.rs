//! Both loops pass the compliance test, and hold a target back when its peer says so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use delivery::{
    BatchOptions, BatchTarget, ComposeError, Health, Metrics, Options, SendError, Sent, Taken,
    Target,
    compliance::{Answer, Journal, Kit, Peer, Running, SECRET, Seen, Setup, records},
};
use model::{Backoff, Event, Record};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio_util::sync::CancellationToken;

fn seen(record: &Record) -> Seen {
    let Event::BuildFinished { build } = &record.event else { panic!("a finished build") };
    Seen {
        builder: build.builder.name.to_string(),
        number: build.number,
        identity: record.identity.to_string(),
    }
}

fn metrics() -> Metrics {
    Metrics::default()
}

fn quick(name: &str) -> Options {
    let backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(5));
    Options { backoff, hold: backoff, ..Options::new(name) }
}

struct Single(Peer);

async fn answer(peer: &Peer, seen: &[Seen]) -> Result<(), SendError> {
    match peer.answer(seen) {
        Answer::Take => Ok(()),
        Answer::Later => Err(SendError::Transient("later".into())),
        Answer::Never => Err(SendError::Permanent(format!("never with {SECRET}"))),
        Answer::Hang | Answer::TakeAndHang => std::future::pending().await,
    }
}

impl Target for Single {
    type Facts = ();
    type Message = Seen;

    fn kind(&self) -> &'static str {
        "test"
    }

    fn secrets(&self) -> Vec<&str> {
        vec![SECRET]
    }

    fn decide(&self, _: &Record) -> bool {
        true
    }

    fn compose(&self, record: &Record, (): ()) -> Result<Option<Seen>, ComposeError> {
        Ok(Some(seen(record)))
    }

    async fn send(&self, message: &mut Seen) -> Result<Sent, SendError> {
        answer(&self.0, std::slice::from_ref(message)).await.map(|()| Sent::Whole)
    }
}

#[tokio::test]
async fn a_target_that_sends_one_by_one_complies() {
    let peer = Peer::default();
    let target = peer.clone();
    let start = move |setup: Setup| {
        let Setup { reader, metrics, budget, catch_up, state, cancel } = setup;
        let options = Options { budget, catch_up, state, ..quick("test") };
        Box::pin(delivery::run(reader, Single(target.clone()), options, metrics, cancel)) as Running
    };
    Kit { peer, start: Box::new(start), one_line: false, repeats: 4, secret: true }.check().await;
}

struct Batches(Peer);

impl BatchTarget for Batches {
    type Item = Seen;
    type State = u64;

    fn kind(&self) -> &'static str {
        "test"
    }

    fn secrets(&self) -> Vec<&str> {
        vec![SECRET]
    }

    fn decide(&self, _: &Record) -> bool {
        true
    }

    fn load(&self, bytes: Option<&[u8]>) -> Result<u64, String> {
        let Some(bytes) = bytes else { return Ok(1) };
        String::from_utf8_lossy(bytes).parse().map_err(|error| format!("{error}"))
    }

    fn save(&self, state: &u64) -> Vec<u8> {
        state.to_string().into_bytes()
    }

    fn compose(&self, state: &mut u64, record: &Record) -> Result<Seen, ComposeError> {
        let identity = state.to_string();
        *state += 1;
        Ok(Seen { identity, ..seen(record) })
    }

    fn size(&self, _: &Seen) -> usize {
        100
    }

    async fn send(&self, items: &[&Seen]) -> Result<Taken, SendError> {
        let items: Vec<Seen> = items.iter().map(|item| (*item).clone()).collect();
        answer(&self.0, &items).await.map(|()| Taken::all(items.len()))
    }
}

fn quick_batches() -> BatchOptions {
    let quick = Duration::from_millis(2);
    BatchOptions { delay: quick, retry: quick, max_items: 3, ..BatchOptions::new("many") }
}

#[tokio::test]
async fn a_target_that_sends_batches_complies_and_its_numbers_stay_the_same_over_kills() {
    let peer = Peer::default();
    let target = peer.clone();
    let start = move |setup: Setup| {
        let Setup { reader, metrics, budget, catch_up, state, cancel } = setup;
        let name = "test".to_owned();
        let options = BatchOptions { name, budget, catch_up, state, ..quick_batches() };
        let target = Batches(target.clone());
        Box::pin(delivery::run_batch(reader, target, options, metrics, cancel)) as Running
    };
    Kit { peer, start: Box::new(start), one_line: true, repeats: 3, secret: true }.check().await;
}

/// Refuses with an error until told otherwise, and counts who comes at the same time.
struct Refusing {
    refusals: AtomicUsize,
    error: SendError,
    attempts: Arc<AtomicUsize>,
}

impl Target for Refusing {
    type Facts = ();
    type Message = ();

    fn kind(&self) -> &'static str {
        "test"
    }

    fn decide(&self, _: &Record) -> bool {
        true
    }

    fn compose(&self, _: &Record, (): ()) -> Result<Option<()>, ComposeError> {
        Ok(Some(()))
    }

    async fn send(&self, (): &mut ()) -> Result<Sent, SendError> {
        self.attempts.fetch_add(1, Ordering::SeqCst);
        let left =
            self.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if left.is_ok() { Err(self.error.clone()) } else { Ok(Sent::Whole) }
    }
}

#[tokio::test(start_paused = true)]
async fn a_misconfigured_target_waits_as_a_whole_says_so_and_loses_nothing() {
    let attempts = Arc::new(AtomicUsize::new(0));
    let target = Refusing {
        refusals: AtomicUsize::new(5),
        error: SendError::Misconfigured("535 wrong password".into()),
        attempts: Arc::clone(&attempts),
    };
    let journal = Journal::new(records(10, 10));
    let options = Options { parallel: 1, ..Options::new("held") };
    let mut state = options.watch();
    let cancel = CancellationToken::new();
    let run = delivery::run(journal.open(), target, options, metrics(), cancel.clone());
    let run = tokio::spawn(run);
    let held = state.wait_for(|s| s.health == Health::Misconfigured).await.unwrap().clone();
    assert_eq!(held.last_error.unwrap().text, "535 wrong password");
    assert_eq!((held.delivered, held.dead_letters), (0, 0));
    // Nine more builders have a record, and nobody tries before the shortest hold is over.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(attempts.load(Ordering::SeqCst), 1);
    state.wait_for(|s| s.delivered == 100).await.unwrap();
    assert_eq!(state.borrow().health, Health::Delivering);
    // One probe at a time: 100 that were taken and no more refusals than the peer gave.
    assert_eq!(attempts.load(Ordering::SeqCst), 105);
    cancel.cancel();
    run.await.unwrap().unwrap();
    assert!(journal.is_done() && journal.dead().is_empty());
    assert_eq!(state.borrow_and_update().health, Health::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_target_waits_as_long_as_the_peer_asks() {
    let target = Refusing {
        refusals: AtomicUsize::new(1),
        error: SendError::Throttled { after: Some(Duration::from_secs(77)), text: "429".into() },
        attempts: Arc::default(),
    };
    let journal = Journal::new(records(1, 1));
    let options = Options::new("slow");
    let mut state = options.watch();
    let began = tokio::time::Instant::now();
    let cancel = CancellationToken::new();
    let run =
        tokio::spawn(delivery::run(journal.open(), target, options, metrics(), cancel.clone()));
    state.wait_for(|s| s.delivered == 1).await.unwrap();
    let waited = began.elapsed();
    assert!(waited >= Duration::from_secs(77) && waited < Duration::from_secs(80), "{waited:?}");
    cancel.cancel();
    run.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_record_that_stays_refused_for_longer_than_its_time_is_given_up_but_not_at_its_first_try()
{
    let target = Refusing {
        refusals: AtomicUsize::new(usize::MAX),
        error: SendError::Transient("no route".into()),
        attempts: Arc::default(),
    };
    let mut old = records(1, 1);
    if let Event::BuildFinished { build } = &mut old[0].event {
        build.complete_at = build.complete_at.map(|t| model::Timestamp(t.0 - 3600));
    }
    let journal = Journal::new(old);
    let options = Options { max_age: Duration::from_secs(1800), ..Options::new("old") };
    let mut state = options.watch();
    let cancel = CancellationToken::new();
    let begin = tokio::time::Instant::now();
    let run =
        tokio::spawn(delivery::run(journal.open(), target, options, metrics(), cancel.clone()));
    state.wait_for(|s| s.dead_letters == 1).await.unwrap();
    // It was too old when it came, as one that is replayed; its peer has that time again.
    assert!(begin.elapsed() >= Duration::from_secs(1800), "{:?}", begin.elapsed());
    cancel.cancel();
    run.await.unwrap().unwrap();
    let dead = journal.dead();
    let letter = dead.values().next().unwrap();
    assert_eq!((letter.class.as_str(), letter.text.as_str()), ("expired", "no route"));
    assert!(letter.attempts > 1, "{}", letter.attempts);
}

#[tokio::test]
async fn a_record_too_large_for_a_request_is_a_dead_letter_and_others_go_in_halves() {
    struct Sized(Peer);
    impl BatchTarget for Sized {
        type Item = Seen;
        type State = ();
        fn kind(&self) -> &'static str {
            "test"
        }
        fn decide(&self, _: &Record) -> bool {
            true
        }
        fn load(&self, _: Option<&[u8]>) -> Result<(), String> {
            Ok(())
        }
        fn save(&self, (): &()) -> Vec<u8> {
            Vec::new()
        }
        fn compose(&self, (): &mut (), record: &Record) -> Result<Seen, ComposeError> {
            Ok(seen(record))
        }
        fn size(&self, item: &Seen) -> usize {
            if item.number == 3 { 1000 } else { 100 }
        }
        async fn send(&self, items: &[&Seen]) -> Result<Taken, SendError> {
            assert!(items.len() <= 2, "{} records are larger than 300 bytes", items.len());
            let items: Vec<Seen> = items.iter().map(|item| (*item).clone()).collect();
            answer(&self.0, &items).await.map(|()| Taken::all(items.len()))
        }
    }
    let journal = Journal::new(records(1, 8));
    let options = BatchOptions { max_items: 200, max_bytes: 300, ..quick_batches() };
    let mut state = options.watch();
    let cancel = CancellationToken::new();
    let target = Sized(Peer::default());
    let run = delivery::run_batch(journal.open(), target, options, metrics(), cancel.clone());
    let run = tokio::spawn(run);
    state.wait_for(|s| s.delivered + s.dead_letters == 8).await.unwrap();
    cancel.cancel();
    run.await.unwrap().unwrap();
    let dead: Vec<u64> = journal.dead().keys().map(|p| p.seq).collect();
    assert_eq!(dead, [3]);
}
