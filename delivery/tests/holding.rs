//! What keeps a record from being sent, or from being sent now: budgets and age; and what is told
//! of failures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use delivery::{
    BatchOptions, BatchTarget, ComposeError, Metrics, Options, SendError, Sent, Taken, Target,
    budget::{Budget, Limit},
    compliance::{Journal, records},
};
use model::{Event, Record, Timestamp};
use prometheus::{Registry, TextEncoder};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

type Answers = dyn Fn(u64) -> Result<(), SendError> + Send + Sync;

/// Both a target of single messages and one of batches: notes builds that were taken, and when.
#[derive(Clone)]
struct Noting {
    taken: Arc<Mutex<Vec<(u64, Instant)>>>,
    answers: Arc<Answers>,
}

impl Noting {
    fn new(answers: impl Fn(u64) -> Result<(), SendError> + Send + Sync + 'static) -> Self {
        Self { taken: Arc::default(), answers: Arc::new(answers) }
    }

    fn ids(&self) -> Vec<u64> {
        self.taken.lock().unwrap().iter().map(|(id, _)| *id).collect()
    }

    fn take(&self, ids: &[u64]) -> Result<(), SendError> {
        for id in ids {
            (self.answers)(*id)?;
        }
        self.taken.lock().unwrap().extend(ids.iter().map(|id| (*id, Instant::now())));
        Ok(())
    }
}

fn id(record: &Record) -> u64 {
    record.position.seq
}

impl Target for Noting {
    type Facts = ();
    type Message = u64;

    fn kind(&self) -> &'static str {
        "test"
    }

    fn decide(&self, _: &Record) -> bool {
        true
    }

    fn compose(&self, record: &Record, (): ()) -> Result<Option<u64>, ComposeError> {
        Ok(Some(id(record)))
    }

    fn secrets(&self) -> Vec<&str> {
        vec!["s3cret"]
    }

    async fn send(&self, message: &mut u64) -> Result<Sent, SendError> {
        self.take(&[*message]).map(|()| Sent::Whole)
    }
}

impl BatchTarget for Noting {
    type Item = u64;
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

    fn compose(&self, (): &mut (), record: &Record) -> Result<u64, ComposeError> {
        Ok(id(record))
    }

    fn size(&self, _: &u64) -> usize {
        1
    }

    fn secrets(&self) -> Vec<&str> {
        vec!["s3cret"]
    }

    async fn send(&self, items: &[&u64]) -> Result<Taken, SendError> {
        self.take(&items.iter().map(|id| **id).collect::<Vec<_>>())
            .map(|()| Taken::all(items.len()))
    }
}

/// Runs either loop until all is done; gives the metrics as they are served.
async fn run(target: &Noting, journal: &Journal, options: Options, batch: bool) -> String {
    let registry = Registry::new();
    let metrics = Metrics::register(&registry, "ns/m").unwrap();
    let (cancel, mut state) = (CancellationToken::new(), options.watch());
    let task = if batch {
        let options = BatchOptions {
            budget: options.budget.clone(),
            catch_up: options.catch_up,
            state: options.state.clone(),
            max_items: 1,
            ..BatchOptions::new(options.name)
        };
        let loop_ =
            delivery::run_batch(journal.open(), target.clone(), options, metrics, cancel.clone());
        tokio::spawn(loop_)
    } else {
        tokio::spawn(delivery::run(
            journal.open(),
            target.clone(),
            options,
            metrics,
            cancel.clone(),
        ))
    };
    let count = journal.open_positions().len() as u64;
    state.wait_for(|s| s.delivered + s.skipped + s.dead_letters == count).await.unwrap();
    cancel.cancel();
    task.await.unwrap().unwrap();
    assert!(journal.is_done());
    TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_budget_spreads_what_targets_of_one_credential_send() {
    let budget = Arc::new(Budget::new(&[Limit::rate("messages", 10, Duration::from_secs(60))]));
    let began = Instant::now();
    let mut taken = Vec::new();
    for batch in [false, true] {
        let target = Noting::new(|_| Ok(()));
        let options = Options { budget: Arc::clone(&budget), ..Options::new("spread") };
        let figures = run(&target, &Journal::new(records(3, 10)), options, batch).await;
        for expected in [
            "delivery_budget_wait_seconds_count{kind=\"test\",master=\"ns/m\",target=\"spread\"} 30",
            "delivery_budget_remaining{kind=\"test\",limit=\"messages\",master=\"ns/m\",target=\"spread\"} ",
        ] {
            assert!(figures.contains(expected), "{expected} in {figures}");
        }
        taken.extend(target.taken.lock().unwrap().iter().map(|(_, at)| *at - began));
    }
    assert_eq!(taken.len(), 60);
    for at in &taken {
        let next = taken.iter().filter(|t| *t >= at && **t < *at + Duration::from_secs(60));
        assert!(next.count() <= 10, "{taken:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_throttles_one_target_holds_its_credentials_other_targets_too() {
    let budget = Arc::new(Budget::default());
    let options = |name: &str| Options { budget: Arc::clone(&budget), ..Options::new(name) };
    let (began, refused) = (Instant::now(), Arc::new(Mutex::new(false)));
    let throttles = move |_| match std::mem::replace(&mut *refused.lock().unwrap(), true) {
        false => Err(SendError::Throttled {
            after: Some(Duration::from_secs(90)),
            text: "429".to_owned(),
        }),
        true => Ok(()),
    };
    run(&Noting::new(throttles), &Journal::new(records(1, 1)), options("first"), false).await;
    assert_eq!(began.elapsed().as_secs(), 90);
    budget.hold(Duration::from_secs(30));
    run(&Noting::new(|_| Ok(())), &Journal::new(records(1, 1)), options("second"), false).await;
    assert_eq!(began.elapsed().as_secs(), 120);
}

#[tokio::test(start_paused = true)]
async fn what_is_older_than_catch_up_allows_is_skipped_and_no_dead_letter() {
    for batch in [false, true] {
        let mut all = records(1, 4);
        for record in &mut all[..2] {
            if let Event::BuildFinished { build } = &mut record.event {
                build.complete_at = Some(Timestamp(Timestamp::now().0 - 7200));
            }
        }
        let (target, journal) = (Noting::new(|_| Ok(())), Journal::new(all));
        let options =
            Options { catch_up: Some(Duration::from_secs(3600)), ..Options::new("weekend") };
        let figures = run(&target, &journal, options, batch).await;
        assert_eq!(target.ids(), [3, 4], "batch: {batch}");
        assert!(journal.dead().is_empty());
        let skipped = "outcome=\"skipped\",reason=\"too-old\",target=\"weekend\"} 2";
        assert!(figures.contains(skipped), "{figures}");
    }
}

#[tokio::test(start_paused = true)]
async fn dead_letters_say_class_attempts_and_reason_without_secrets() {
    for batch in [false, true] {
        let target = Noting::new(|id| match id {
            2 => Err(SendError::Permanent(format!(
                "http://u:p@h/x?k=v says s3cret {}",
                "x".repeat(9000)
            ))),
            _ => Ok(()),
        });
        let (journal, options) = (Journal::new(records(1, 3)), Options::new("dead"));
        let state = options.watch();
        run(&target, &journal, options, batch).await;
        let dead = journal.dead();
        let (position, letter) = dead.iter().next().unwrap();
        assert_eq!((dead.len(), position.seq, letter.attempts), (1, 2, 1));
        assert_eq!(letter.class, "permanent");
        assert!(letter.text.starts_with("http://***@h/x?*** says *** xxx"), "{}", letter.text);
        assert!(letter.text.len() <= 2000 && letter.at_ms > 0);
        let shown = state.borrow().last_error.clone().unwrap();
        assert_eq!((shown.class, &shown.text), ("permanent", &letter.text));
        assert_eq!(target.ids(), [1, 3]);
    }
}
