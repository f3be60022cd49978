//! A consumer as all its handles and the writer see it.

use super::ledger::BEYOND;
use crate::{ConsumerStatus, shared::now_ms, store::tables::ConsumerRow};
use model::Position;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::Notify;

/// Shared by the handles (which hand out) and the writer (which installs what is on disk).
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) name: String,
    /// Rung when anything below changed.
    pub(crate) changed: Notify,
    /// Handles that there are.
    present: AtomicUsize,
    state: Mutex<State>,
}

/// See [`Core`].
#[derive(Debug, Default)]
pub(crate) struct State {
    /// As on disk.
    pub(crate) row: ConsumerRow,
    /// As on disk.
    pub(crate) values: BTreeMap<String, Vec<u8>>,
    /// What the values count, see [`super::words::STATE_BYTES`].
    pub(crate) state_bytes: usize,
    /// Dead letters to be handed out again.
    pub(crate) replays: BTreeSet<u64>,
    /// Builds to be handed out from the history, those in flight included. As on disk.
    pub(crate) refills: BTreeSet<u64>,
    /// The last sequence handed out since the consumer was opened.
    pub(crate) cursor: u64,
    /// Handed out and not done.
    pub(crate) in_flight: BTreeSet<u64>,
    /// How long no handle was there; at least what is on disk.
    pub(crate) away_ms: u64,
    /// Forgotten: no handle works any more.
    pub(crate) gone: bool,
}

impl Core {
    pub(crate) fn new(name: &str, row: ConsumerRow) -> Self {
        let (cursor, away_ms) = (row.ledger.floor(), row.away_ms);
        let state = State { cursor, away_ms, row, ..State::default() };
        Self {
            name: name.to_owned(),
            changed: Notify::new(),
            present: AtomicUsize::new(0),
            state: Mutex::new(state),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Takes over what is on disk, as `read` has it.
    pub(crate) fn renew(&self, read: &Self) {
        {
            let read = read.lock();
            let mut state = self.lock();
            state.row = read.row.clone();
            state.values.clone_from(&read.values);
            state.refills.clone_from(&read.refills);
            state.state_bytes = read.state_bytes;
            let mut in_flight = std::mem::take(&mut state.in_flight);
            in_flight.retain(|seq| {
                !read.row.ledger.is_done(*seq)
                    || read.refills.contains(seq)
                    || read.replays.contains(seq)
            });
            state.replays = read.replays.difference(&in_flight).copied().collect();
            state.in_flight = in_flight;
        }
        self.changed.notify_waiters();
    }

    /// Whether somebody has it open.
    pub(crate) fn is_present(&self) -> bool {
        self.present.load(Ordering::Acquire) > 0
    }

    /// All but the report.
    pub(crate) fn status(&self, head: Position) -> ConsumerStatus {
        let state = self.lock();
        ConsumerStatus {
            name: self.name.clone(),
            floor: Position { epoch: head.epoch, seq: state.row.ledger.floor() },
            backlog: state.backlog(head.seq),
            in_flight: state.in_flight.len(),
            dead_letters: state.row.letters,
            delivered: state.row.delivered,
            failed: state.row.failed,
            last_delivered_ms: state.row.last_delivered_ms,
            expired: state.row.expired,
            refilled: state.row.refilled,
            gap: state.row.gap.clone(),
            journal_lost: state.row.lost.clone(),
            generation: state.row.generation,
            last_seen_ms: if self.is_present() { now_ms() } else { state.row.last_seen_ms },
            report: None,
        }
    }
}

/// A consumer that is there as long as this is.
#[derive(Debug)]
pub(crate) struct Present(Arc<Core>);

impl Present {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        core.present.fetch_add(1, Ordering::AcqRel);
        Self(core)
    }

    pub(crate) fn core(&self) -> Arc<Core> {
        Arc::clone(&self.0)
    }
}

impl Clone for Present {
    fn clone(&self) -> Self {
        Self::new(self.core())
    }
}

impl Deref for Present {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.0
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        {
            let mut state = self.0.lock();
            state.away_ms = 0;
            state.row.last_seen_ms = now_ms();
        }
        self.0.present.fetch_sub(1, Ordering::AcqRel);
    }
}

impl State {
    /// Records that are not done, those from the history and dead letters that are to be tried
    /// again.
    pub(crate) fn backlog(&self, head: u64) -> u64 {
        let again = |seq: &&u64| self.row.ledger.is_done(**seq) && !self.refills.contains(seq);
        let again = self.in_flight.iter().filter(again).count();
        let waiting = self.replays.len() + self.refills.len() + again;
        self.row.ledger.open_up_to(head) + waiting as u64
    }

    /// The next build to hand out from the history; those from before this journal come first.
    pub(crate) fn next_refill(&self) -> Option<u64> {
        in_order(&self.refills).find(|seq| !self.in_flight.contains(seq))
    }
}

/// Sequences of builds from the history in the order in which they are handed out: those from before
/// this journal come first.
pub(crate) fn in_order(refills: &BTreeSet<u64>) -> impl Iterator<Item = u64> {
    refills.range(BEYOND..).chain(refills.range(..BEYOND)).copied()
}
