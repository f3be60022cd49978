//! A peer that does as it is told.

use super::lock;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tokio::sync::Notify;

/// How a peer answers a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It takes the message.
    Take,
    /// It refuses it this time.
    Later,
    /// It refuses it for good.
    Never,
    /// It takes the message and does not say so.
    TakeAndHang,
    /// It neither takes it nor answers.
    Hang,
}

/// A message as the peer saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The builder's name.
    pub builder: String,
    /// The build's number.
    pub number: u64,
    /// What tells a repetition: a Message-ID, a packet's number.
    pub identity: String,
}

/// Decides about the `n`th attempt (from 1) of a message.
pub type Script = Arc<dyn Fn(&Seen, u32) -> Answer + Send + Sync>;

/// A peer that does as it is told. Cheap to clone.
#[derive(Clone, Default)]
pub struct Peer(Arc<PeerState>);

#[derive(Default)]
struct PeerState {
    script: Mutex<Option<Script>>,
    attempts: Mutex<BTreeMap<(String, u64), u32>>,
    taken: Mutex<Vec<Seen>>,
    changed: Notify,
}

impl Peer {
    /// What the peer's server answers to messages that came together. They are taken all or none:
    /// the first answer that is no [`Answer::Take`] holds for all.
    pub fn answer(&self, seen: &[Seen]) -> Answer {
        let script = lock(&self.0.script).clone();
        let mut answer = Answer::Take;
        for seen in seen {
            let attempt = {
                let mut attempts = lock(&self.0.attempts);
                let n = attempts.entry((seen.builder.clone(), seen.number)).or_default();
                *n += 1;
                *n
            };
            if answer == Answer::Take {
                answer = script.as_ref().map_or(Answer::Take, |script| script(seen, attempt));
            }
        }
        if matches!(answer, Answer::Take | Answer::TakeAndHang) {
            lock(&self.0.taken).extend_from_slice(seen);
        }
        self.0.changed.notify_waiters();
        answer
    }

    pub(super) fn reset(&self, script: impl Fn(&Seen, u32) -> Answer + Send + Sync + 'static) {
        self.script(script);
        lock(&self.0.attempts).clear();
        lock(&self.0.taken).clear();
    }

    pub(super) fn script(&self, script: impl Fn(&Seen, u32) -> Answer + Send + Sync + 'static) {
        *lock(&self.0.script) = Some(Arc::new(script));
    }

    pub(super) fn taken(&self) -> Vec<Seen> {
        lock(&self.0.taken).clone()
    }

    /// Attempts of one message.
    pub(super) fn attempts_of(&self, builder: &str, number: u64) -> u32 {
        lock(&self.0.attempts).get(&(builder.to_owned(), number)).copied().unwrap_or_default()
    }

    /// Told of each answer.
    pub(super) fn changed(&self) -> &Notify {
        &self.0.changed
    }

    pub(super) fn attempted(&self) -> u32 {
        lock(&self.0.attempts).values().sum()
    }
}
