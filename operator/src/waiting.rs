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
    sync::{Arc, Mutex, PoisonError},
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

/// A resource is either waiting or handed on.
#[derive(Debug, Default)]
struct Inner {
    waiting: HashMap<Key, Turn>,
    first: VecDeque<Key>,
    /// May hold some that went first since.
    later: VecDeque<Key>,
    handed: HashMap<Key, Handed>,
}

/// What is known of one that was handed on and is not done.
#[derive(Debug, Default)]
struct Handed {
    begun: bool,
    /// It is asked for again, and may have been looked at already.
    again: Option<Turn>,
}

impl Inner {
    fn ask(&mut self, key: Key, turn: Turn) {
        if let Some(handed) = self.handed.get_mut(&key) {
            handed.again =
                if turn == Turn::First { Some(turn) } else { handed.again.or(Some(turn)) };
            return;
        }
        match (self.waiting.get(&key), turn) {
            (Some(Turn::First), _) | (Some(Turn::Later), Turn::Later) => return,
            (_, Turn::First) => self.first.push_back(key.clone()),
            (None, Turn::Later) => self.later.push_back(key.clone()),
        }
        self.waiting.insert(key, turn);
    }

    /// The next that is handed on, if one may be: with `room` on their way, none of the later.
    fn take(&mut self, room: usize) -> Option<Key> {
        let key = if let Some(key) = self.first.pop_front() {
            key
        } else {
            if self.handed.len() >= room {
                return None;
            }
            loop {
                let key = self.later.pop_front()?;
                if self.waiting.get(&key) == Some(&Turn::Later) {
                    break key;
                }
            }
        };
        self.waiting.remove(&key);
        self.handed.insert(key.clone(), Handed::default());
        Some(key)
    }

    fn depth(&self) -> usize {
        let waits = |handed: &&Handed| !handed.begun || handed.again.is_some();
        self.waiting.len() + self.handed.values().filter(waits).count()
    }
}

impl Waiting {
    /// For so many reconciles at a time; as many again may be on their way. `depth` tells how many
    /// wait: asked for, and not begun since.
    pub fn new(concurrency: u16, depth: IntGauge) -> Self {
        let room = usize::from(concurrency).saturating_mul(2).max(2);
        Self { inner: Mutex::default(), more: Notify::new(), room, depth }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut inner);
        self.depth.set(i64::try_from(inner.depth()).unwrap_or(i64::MAX));
        changed
    }

    /// Asks for a resource to be reconciled.
    pub fn ask(&self, key: Key, turn: Turn) {
        self.change(|inner| inner.ask(key, turn));
        self.more.notify_one();
    }

    /// Hands resources on, as there is room for them.
    pub fn hand_on(self: Arc<Self>) -> impl Stream<Item = Key> + Send {
        stream::unfold(self, |waiting| async move {
            loop {
                let more = waiting.more.notified();
                if let Some(key) = waiting.change(|inner| inner.take(waiting.room)) {
                    return Some((key, Arc::clone(&waiting)));
                }
                more.await;
            }
        })
    }

    /// A reconcile begins.
    pub fn begun(&self, key: &Key) {
        self.change(|inner| {
            if let Some(handed) = inner.handed.get_mut(key) {
                handed.begun = true;
            }
        });
    }

    /// A reconcile ended, or its resource was gone when its turn came.
    pub fn done(&self, key: &Key) {
        self.change(|inner| {
            if let Some(turn) = inner.handed.remove(key).and_then(|handed| handed.again) {
                inner.ask(key.clone(), turn);
            }
        });
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
        assert_eq!(depth.get(), 2);
        for name in ["a", "b", "d", "new"] {
            waiting.done(&key(name));
        }
        assert_eq!((next(), next(), next()), (Some("c".into()), Some("d".into()), None));
    }
}
