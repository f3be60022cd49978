//! Consumers that are open here, each with the one request that reads.

use crate::{
    Consumer, ConsumerHandle,
    http::api::{Code, Problem},
};
use std::{
    collections::HashMap,
    ops::Deref,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// By name.
#[derive(Debug, Default)]
pub(super) struct Slots {
    by_name: Mutex<HashMap<String, Arc<Slot>>>,
}

/// One generation of a consumer.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) handle: ConsumerHandle,
    pub(super) generation: u64,
    /// Locked while a request waits for the next record.
    pub(super) consumer: tokio::sync::Mutex<Consumer>,
    /// The number of the request that reads: a later one ends the earlier.
    turn: watch::Sender<u64>,
    /// When the last request ended that was about it.
    used: Mutex<Instant>,
}

/// A slot that a request or stream is about: it is not closed meanwhile.
#[derive(Debug)]
pub(super) struct InUse(Arc<Slot>);

impl Slots {
    /// Keeps a consumer that was opened just now, unless a later generation is here already.
    pub(super) fn put(&self, name: &str, consumer: Consumer) -> InUse {
        let handle = consumer.handle();
        let generation = handle.generation();
        let slot = Arc::new(Slot {
            handle,
            generation,
            consumer: tokio::sync::Mutex::new(consumer),
            turn: watch::Sender::new(0),
            used: Mutex::new(Instant::now()),
        });
        let mut by_name = self.by_name.lock().unwrap_or_else(|e| e.into_inner());
        if by_name.get(name).is_none_or(|other| other.generation < generation) {
            by_name.insert(name.to_owned(), Arc::clone(&slot));
        }
        InUse(slot)
    }

    pub(super) fn remove(&self, name: &str) {
        self.by_name.lock().unwrap_or_else(|e| e.into_inner()).remove(name);
    }

    /// Closes those that no request was about for this long, and tells how many they were.
    pub(super) fn close_idle(&self, idle: Duration) -> usize {
        let closed: Vec<_> = {
            let mut by_name = self.by_name.lock().unwrap_or_else(|e| e.into_inner());
            // A request takes its share under this lock, so that one share means no request.
            let unused = |slot: &Arc<Slot>| Arc::strong_count(slot) == 1 && slot.idle() >= idle;
            by_name.extract_if(|_, slot| unused(slot)).collect()
        };
        for (consumer, slot) in &closed {
            let generation = slot.generation;
            tracing::info!(consumer, generation, "closed: its reader is silent for {idle:?}");
        }
        closed.len()
    }

    /// The consumer under this generation.
    pub(super) fn get(&self, name: &str, generation: u64) -> Result<InUse, Problem> {
        let found = {
            let by_name = self.by_name.lock().unwrap_or_else(|e| e.into_inner());
            by_name.get(name).map(Arc::clone)
        };
        match found {
            Some(slot) if slot.generation == generation => Ok(InUse(slot)),
            Some(slot) if slot.generation > generation => {
                let newer = slot.generation;
                let message = format!(
                    "consumer {name} was opened anew (generation {newer}); generation \
                     {generation} is refused"
                );
                Err(Problem { code: Code::Superseded, message, generation: Some(newer) })
            }
            _ => {
                let message = format!(
                    "consumer {name} is not open under generation {generation}: the feed was \
                     started anew, or its reader was silent for long, or it was never opened; \
                     open it, with what is held"
                );
                Err(Problem::new(Code::NotOpen, message))
            }
        }
    }
}

impl Slot {
    fn idle(&self) -> Duration {
        self.used.lock().unwrap_or_else(|e| e.into_inner()).elapsed()
    }

    /// Makes the caller the one that reads, and tells it when it is no more.
    pub(super) fn take_turn(&self) -> watch::Receiver<u64> {
        let mut turn = self.turn.subscribe();
        self.turn.send_modify(|turn| *turn += 1);
        turn.mark_unchanged();
        turn
    }

    /// What a reader is told that is not the one that reads any more.
    pub(super) fn replaced(&self) -> Problem {
        let message = "another request of this generation reads now".to_owned();
        Problem { code: Code::Superseded, message, generation: Some(self.generation) }
    }
}

impl InUse {
    /// For another part of the same request.
    pub(super) fn share(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl Deref for InUse {
    type Target = Slot;

    fn deref(&self) -> &Slot {
        &self.0
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        *self.0.used.lock().unwrap_or_else(|e| e.into_inner()) = Instant::now();
    }
}
