//! Resources that wait to be reconciled, each once; what somebody changed goes first.
//!
//! The scheduler of reconciles takes whatever it is given, in no order. Given all at once, it would
//! have somebody's new resource wait behind thousands whose pods came up meanwhile. So it is given
//! no more than it soon works on.

use crate::kinds::Key;
use futures_util::{Stream, stream};
use prometheus::IntGauge;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// When a resource has its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Before those that nobody waits for.
    First,
    /// After those that wait already.
    Later,
}

/// Those of a kind that wait.
#[derive(Debug)]
pub(crate) struct Waiting {
    inner: Mutex<Inner>,
    more: Notify,
    room: usize,
    depth: IntGauge,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: HashMap<Key, Turn>,
    first: VecDeque<Key>,
    /// May hold some that went first since, or were handed on.
    later: VecDeque<Key>,
    /// Handed on and not done, and whether they are begun.
    handed: HashMap<Key, bool>,
}

impl Waiting {
    /// For so many reconciles at a time; as many again may be on their way. `depth` tells how many
    /// wait.
    pub fn new(concurrency: u16, depth: IntGauge) -> Self {
        let room = usize::from(concurrency).saturating_mul(2).max(2);
        Self { inner: Mutex::default(), more: Notify::new(), room, depth }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, inner: &Inner) {
        let all = inner.waiting.len() + inner.handed.values().filter(|begun| !**begun).count();
        self.depth.set(i64::try_from(all).unwrap_or(i64::MAX));
    }

    /// Asks for a resource to be reconciled.
    pub fn ask(&self, key: Key, turn: Turn) {
        let mut inner = self.lock();
        match (inner.waiting.get(&key), turn) {
            (Some(Turn::First), _) | (Some(Turn::Later), Turn::Later) => return,
            (_, Turn::First) => inner.first.push_back(key.clone()),
            (None, Turn::Later) => inner.later.push_back(key.clone()),
        }
        inner.waiting.insert(key, turn);
        self.tell(&inner);
        drop(inner);
        self.more.notify_one();
    }

    /// The next that is handed on, if one may be.
    fn take(&self) -> Option<Key> {
        let mut inner = self.lock();
        let key = if let Some(key) = inner.first.pop_front() {
            key
        } else {
            if inner.handed.len() >= self.room {
                return None;
            }
            loop {
                let key = inner.later.pop_front()?;
                if inner.waiting.get(&key) == Some(&Turn::Later) {
                    break key;
                }
            }
        };
        inner.waiting.remove(&key);
        inner.handed.insert(key.clone(), false);
        self.tell(&inner);
        Some(key)
    }

    /// Hands resources on, as there is room for them.
    pub fn hand_on(self: Arc<Self>) -> impl Stream<Item = Key> + Send {
        stream::unfold(self, |waiting| async move {
            loop {
                let more = waiting.more.notified();
                if let Some(key) = waiting.take() {
                    return Some((key, Arc::clone(&waiting)));
                }
                more.await;
            }
        })
    }

    /// A reconcile begins.
    pub fn begun(&self, key: &Key) {
        let mut inner = self.lock();
        if let Some(begun) = inner.handed.get_mut(key) {
            *begun = true;
        }
        self.tell(&inner);
    }

    /// A reconcile ended, or its resource was gone when its turn came.
    pub fn done(&self, key: &Key) {
        let mut inner = self.lock();
        inner.handed.remove(key);
        self.tell(&inner);
        drop(inner);
        self.more.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt as _, StreamExt as _};

    fn key(name: &str) -> Key {
        ("ci".to_owned(), name.to_owned())
    }

    #[test]
    fn what_somebody_changed_goes_first_and_no_more_is_handed_on_than_is_worked_on() {
        let depth = IntGauge::new("depth", "depth").unwrap_or_else(|_| unreachable!());
        let waiting = Arc::new(Waiting::new(1, depth.clone()));
        for name in ["a", "b", "c", "d", "b"] {
            waiting.ask(key(name), Turn::Later);
        }
        assert_eq!(depth.get(), 4);
        let mut stream = Box::pin(Arc::clone(&waiting).hand_on());
        let mut next = || stream.next().now_or_never().flatten().map(|(_, name)| name);
        assert_eq!((next(), next(), next()), (Some("a".into()), Some("b".into()), None));
        waiting.ask(key("d"), Turn::First);
        waiting.ask(key("new"), Turn::First);
        assert_eq!((next(), next(), next()), (Some("d".into()), Some("new".into()), None));
        for name in ["a", "b", "d", "new"] {
            waiting.begun(&key(name));
        }
        assert_eq!(depth.get(), 1);
        // It changed while it was reconciled.
        waiting.ask(key("d"), Turn::Later);
        for name in ["a", "b", "d", "new"] {
            waiting.done(&key(name));
        }
        assert_eq!((next(), next(), next()), (Some("c".into()), Some("d".into()), None));
    }
}
