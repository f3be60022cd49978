//! A message of which a part is put off keeps no other from being tried, and there is an end to how
//! many wait.
#![allow(clippy::unwrap_used, reason = "tests")]

use delivery::{
    ComposeError, Metrics, Options, RunError, SendError, Sent, Target, TargetState,
    compliance::{Journal, records},
};
use model::Record;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{sync::watch::Receiver, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

/// Far longer than any wait, by a clock that stands still while anything is
/// under way.
const PATIENCE: Duration = Duration::from_secs(5 * 3600);

/// One of the recipients of all messages of builder 1 has a full mailbox.
struct Mailboxes {
    full: Arc<AtomicBool>,
}

impl Target for Mailboxes {
    type Facts = ();
    type Message = bool;

    fn kind(&self) -> &'static str {
        "test"
    }

    fn decide(&self, _: &Record) -> bool {
        true
    }

    fn compose(&self, record: &Record, (): ()) -> Result<Option<bool>, ComposeError> {
        Ok(Some(record.event.builder().is_some_and(|builder| builder.0 == 1)))
    }

    async fn send(&self, to_the_full_one: &mut bool) -> Result<Sent, SendError> {
        if *to_the_full_one && self.full.load(Ordering::SeqCst) {
            return Err(SendError::PutOff("ann@example.org: 452 mailbox full".to_owned()));
        }
        Ok(Sent::Whole)
    }
}

/// A notifier that runs, with the mailbox full at first.
struct Notifier {
    full: Arc<AtomicBool>,
    journal: Journal,
    state: Receiver<TargetState>,
    cancel: CancellationToken,
    run: JoinHandle<Result<(), RunError>>,
}

fn start(records: Vec<Record>, options: Options) -> Notifier {
    let full = Arc::new(AtomicBool::new(true));
    let journal = Journal::new(records);
    let state = options.watch();
    let cancel = CancellationToken::new();
    let target = Mailboxes { full: Arc::clone(&full) };
    let run = delivery::run(journal.open(), target, options, Metrics::default(), cancel.clone());
    Notifier { full, journal, state, cancel, run: tokio::spawn(run) }
}

async fn until(state: &mut Receiver<TargetState>, what: impl FnMut(&TargetState) -> bool) {
    let came = timeout(PATIENCE, state.wait_for(what)).await.is_ok();
    assert!(came, "{:?}", state.borrow());
}

#[tokio::test(start_paused = true)]
async fn messages_that_are_put_off_keep_newer_ones_from_nothing_and_go_once_they_can() {
    let Notifier { full, journal, mut state, cancel, run } =
        start(records(2, 300), Options::new("mail"));
    until(&mut state, |state| state.delivered == 300).await;
    assert_eq!(journal.open_positions().len(), 300, "those of builder 1 wait");
    full.store(false, Ordering::SeqCst);
    until(&mut state, |state| state.delivered == 600).await;
    assert!(journal.is_done() && journal.dead().is_empty());
    cancel.cancel();
    run.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_put_off_all_at_once_is_not_given_up_for_its_number() {
    let Notifier { full, journal, mut state, cancel, run } =
        start(records(1, 20), Options { window: 4, put_off: 8, ..Options::new("mail") });
    tokio::time::sleep(Duration::from_secs(50 * 60)).await;
    assert!(state.borrow().retried > 100 && state.borrow().in_flight == 12, "{:?}", state.borrow());
    full.store(false, Ordering::SeqCst);
    until(&mut state, |state| state.delivered == 20).await;
    assert!(journal.is_done() && journal.dead().is_empty());
    cancel.cancel();
    run.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn of_too_many_that_are_put_off_those_that_waited_longest_become_dead_letters() {
    let Notifier { full, journal, mut state, cancel, run } =
        start(records(1, 20), Options { window: 4, put_off: 8, ..Options::new("mail") });
    until(&mut state, |state| state.dead_letters == 12).await;
    full.store(false, Ordering::SeqCst);
    until(&mut state, |state| state.delivered == 8).await;
    assert!(journal.is_done());
    let dead = journal.dead();
    assert_eq!(
        dead.keys().map(|position| position.seq).collect::<Vec<_>>(),
        Vec::from_iter(1..=12)
    );
    for letter in dead.values() {
        assert_eq!(letter.class, "put-off");
        assert_eq!(
            letter.text,
            "ann@example.org: 452 mailbox full; 8 later messages are put off too, and more are not \
             kept"
        );
    }
    cancel.cancel();
    run.await.unwrap().unwrap();
}
