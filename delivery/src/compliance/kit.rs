//! Starts a target's loop, kills it, and looks at what the peer got.

use super::{Journal, Peer, Reader, rules::RULES};
use crate::{Metrics, RunError, TargetState, budget::Budget};
use prometheus::{Registry, TextEncoder};
use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::Arc,
    time::Duration,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A loop that runs until it is cancelled.
pub type Running = Pin<Box<dyn Future<Output = Result<(), RunError>> + Send>>;

/// What a loop is started with; its options take these as they are.
pub struct Setup {
    /// The records.
    pub reader: Reader,
    /// The figures.
    pub metrics: Metrics,
    /// [`crate::Options::budget`].
    pub budget: Arc<Budget>,
    /// [`crate::Options::catch_up`].
    pub catch_up: Option<Duration>,
    /// [`crate::Options::state`].
    pub state: watch::Sender<TargetState>,
    /// Ends it.
    pub cancel: CancellationToken,
}

/// What a target's test provides.
pub struct Kit {
    /// Told how to answer; the test's server asks it.
    pub peer: Peer,
    /// Starts the target's loop under the name `test`, with waits of milliseconds and the secret
    /// [`super::SECRET`]. Called once for each life of the process.
    pub start: Box<dyn Fn(Setup) -> Running + Send + Sync>,
    /// Whether builders wait for each other, as in a target that sends batches.
    pub one_line: bool,
    /// The most messages that a kill may repeat: those that are attempted at once.
    pub repeats: usize,
    /// Whether it is given [`SECRET`] as a credential, which its peer may repeat.
    pub secret: bool,
}

/// Longest that anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// One life of the process.
pub(super) struct Life {
    pub task: tokio::task::JoinHandle<()>,
    pub cancel: CancellationToken,
    pub state: watch::Receiver<TargetState>,
    registry: Registry,
}

impl Life {
    /// The figures as they are served.
    pub fn figures(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).expect("figures")
    }

    pub async fn end(self) {
        self.cancel.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.task).await;
        ended.expect("the loop ends when it is told to").expect("the loop ends well");
    }

    /// Ends the process without a word.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

impl Kit {
    /// Checks every rule.
    ///
    /// # Panics
    /// If the target breaks one.
    pub async fn check(&self) {
        for rule in RULES {
            self.check_rule(rule.0).await;
        }
    }

    pub(super) fn live(&self, journal: &Journal) -> Life {
        self.live_with(journal, Arc::default(), None)
    }

    pub(super) fn live_with(
        &self,
        journal: &Journal,
        budget: Arc<Budget>,
        catch_up: Option<Duration>,
    ) -> Life {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry, "ns/main").expect("a fresh registry");
        let cancel = CancellationToken::new();
        let state = watch::Sender::default();
        let seen = state.subscribe();
        let reader = journal.open();
        let setup = Setup { reader, metrics, budget, catch_up, state, cancel: cancel.clone() };
        let run = (self.start)(setup);
        let task = tokio::spawn(async move {
            if let Err(error) = run.await {
                panic!("the loop ended: {error}");
            }
        });
        Life { task, cancel, state: seen, registry }
    }

    pub(super) async fn run_until(&self, journal: &Journal, what: &str, until: impl Fn() -> bool) {
        let life = self.live(journal);
        self.wait(journal, what, until).await;
        life.end().await;
    }

    pub(super) async fn run_and_kill(&self, journal: &Journal, what: &str, at: impl Fn() -> bool) {
        let life = self.live(journal);
        self.wait(journal, what, at).await;
        life.kill().await;
    }

    pub(super) async fn wait(&self, journal: &Journal, what: &str, until: impl Fn() -> bool) {
        let wait = async {
            loop {
                let (taken, written) =
                    (self.peer.changed().notified(), journal.changed().notified());
                tokio::pin!(taken, written);
                taken.as_mut().enable();
                written.as_mut().enable();
                if until() {
                    return;
                }
                tokio::select! { () = taken => {}, () = written => {} }
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            let (open, taken) = (journal.open_positions(), self.peer.taken());
            panic!("{what}: not reached; open {open:?}; taken {taken:?}");
        }
    }

    /// Waits for the target's own state.
    pub(super) async fn wait_for(
        &self,
        life: &mut Life,
        what: &str,
        until: impl FnMut(&TargetState) -> bool,
    ) -> TargetState {
        let wait = async { life.state.wait_for(until).await.map(|state| state.clone()) };
        let reached = tokio::time::timeout(PATIENCE, wait).await;
        match reached {
            Ok(Ok(state)) => state,
            _ => panic!("{what}: not reached: {:?}", life.state.borrow()),
        }
    }

    /// Each builder's numbers in the order of their first arrival are 1, 2, 3 …
    pub(super) fn assert_order(&self, what: &str) {
        let mut firsts: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for seen in self.peer.taken() {
            let numbers = firsts.entry(seen.builder).or_default();
            if !numbers.contains(&seen.number) {
                numbers.push(seen.number);
            }
        }
        for (builder, numbers) in firsts {
            assert!(numbers.is_sorted(), "{what}: out of order on {builder}: {numbers:?}");
        }
    }

    /// All `count` are there, with at most `repeats` more in all, each with the same identity.
    pub(super) fn assert_all(&self, what: &str, count: usize, repeats: usize) {
        let mut copies: BTreeMap<_, Vec<String>> = BTreeMap::new();
        let taken = self.peer.taken();
        let came = taken.len();
        for seen in taken {
            copies.entry((seen.builder, seen.number)).or_default().push(seen.identity);
        }
        assert_eq!(copies.len(), count, "{what}: lost: {copies:?}");
        assert!(came <= count + repeats, "{what}: {} repeated: {copies:?}", came - count);
        let mut identities = BTreeSet::new();
        for (build, all) in copies {
            assert!(all.windows(2).all(|w| w[0] == w[1]), "{what}: {build:?} changed: {all:?}");
            assert!(identities.insert(all[0].clone()), "{what}: two builds as {}", all[0]);
        }
    }
}
