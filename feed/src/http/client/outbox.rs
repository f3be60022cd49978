//! Acknowledgements that are not on the feed's disk yet, in the order of their making.

use crate::{
    ConsumerError,
    http::api::{Ack, Code},
};
use model::Position;
use std::collections::VecDeque;
use tokio::sync::oneshot;

/// Most acknowledgements that are kept here, and that go into one request.
const MOST: usize = 1024;
const AT_ONCE: usize = 256;
/// About the most bytes of state in one request of more than one acknowledgement.
const BYTES: usize = 1 << 20;

/// An acknowledgement, and who waits for it.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) ack: Ack,
    pub(super) reply: oneshot::Sender<Result<(), ConsumerError>>,
}

impl Wish {
    /// Tells who waits; nobody may be left.
    pub(super) fn answer(self, result: Result<(), ConsumerError>) {
        let _ = self.reply.send(result);
    }

    fn changes_state(&self) -> bool {
        !self.ack.set.is_empty() || !self.ack.remove.is_empty()
    }

    fn bytes(&self) -> usize {
        let set: usize = self.ack.set.iter().map(|(k, v)| k.len() + v.0.len() * 4 / 3).sum();
        let remove: usize = self.ack.remove.iter().map(String::len).sum();
        set + remove + self.ack.letter.as_ref().map_or(0, |l| l.text.len() + l.class.len())
    }
}

/// What a refusal means for what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It will never be done: tell who waits.
    Never,
    /// Nothing was done; it may be later.
    Later,
    /// The consumer has to be opened anew first.
    Reopen,
    /// Another process has the consumer now.
    Superseded,
    /// There is no such consumer any more.
    Forgotten,
}

/// See [`Verdict`].
pub(super) fn verdict(code: Code) -> Verdict {
    match code {
        Code::Bounds | Code::OtherJournal | Code::NotHandedOut | Code::Method => Verdict::Never,
        Code::Superseded => Verdict::Superseded,
        Code::NotOpen => Verdict::Reopen,
        Code::NotFound => Verdict::Forgotten,
        // A token or a disk that is mended, or a release that knows more.
        _ => Verdict::Later,
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Wish>,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < MOST
    }

    pub(super) fn push(&mut self, wish: Wish) {
        self.waiting.push_back(wish);
    }

    /// The acknowledgements of one request.
    pub(super) fn batch(&self) -> Vec<Ack> {
        let mut bytes = 0;
        let fits = self.waiting.iter().take(AT_ONCE).enumerate().take_while(|(at, wish)| {
            bytes += wish.bytes();
            *at == 0 || bytes <= BYTES
        });
        fits.map(|(_, wish)| wish.ack.clone()).collect()
    }

    /// Takes out the first `count`, which were asked for and answered.
    pub(super) fn take(&mut self, count: usize) -> Vec<Wish> {
        self.waiting.drain(..count.min(self.waiting.len())).collect()
    }

    /// Puts back, before all others, what is to be asked again; `done` are those of the same
    /// request that are on disk, `later` those that are not. False if that can't be: a state
    /// that is committed must not be overwritten by an older one.
    pub(super) fn put_back(&mut self, later: Vec<Wish>, done_with_state: bool) -> bool {
        let in_order = !done_with_state || !later.iter().any(Wish::changes_state);
        for wish in later.into_iter().rev() {
            self.waiting.push_front(wish);
        }
        in_order
    }

    /// Takes out the acknowledgement of a record.
    pub(super) fn remove(&mut self, position: Position) -> Option<Wish> {
        let at = self.waiting.iter().position(|wish| wish.ack.position == Some(position))?;
        self.waiting.remove(at)
    }

    pub(super) fn has(&self, position: Position) -> bool {
        self.waiting.iter().any(|wish| wish.ack.position == Some(position))
    }

    /// Tells all who wait that it is over.
    pub(super) fn end(&mut self, error: &ConsumerError) {
        for wish in self.waiting.drain(..) {
            wish.answer(Err(error.clone()));
        }
    }
}
