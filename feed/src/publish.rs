//! How readers learn of what is new: a shared tail of records, and notices of bounded number.

use master::MasterState;
use model::{Live, Record};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
};
use tokio::sync::{broadcast, watch};

/// What followers are told. Small: records, builds and changes are read from the journal.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// There are records up to this sequence.
    Records(u64),
    /// Builds of the past with these keys.
    Builds(Arc<[u64]>),
    /// Changes of the past with these keys.
    Changes(Arc<[u64]>),
    /// A passing sign of life.
    Live(Arc<Live>),
    /// The connection to the master.
    State(MasterState),
    /// The master has another database.
    Replaced,
}

impl News {
    /// Whether whoever missed it has to take a new snapshot: it is about the past, and is not in
    /// the journal to be read on.
    pub(crate) fn is_history(&self) -> bool {
        matches!(self, Self::Builds(_) | Self::Changes(_) | Self::Replaced)
    }
}

/// News with the number of history notices up to and with it, so that one that lagged knows
/// whether it missed any.
#[derive(Clone, Debug)]
pub(crate) struct Notice {
    pub(crate) history: u64,
    pub(crate) news: News,
}

/// What came of a commit.
#[derive(Debug, Default)]
pub(crate) struct Fresh {
    /// The master has another database.
    pub(crate) replaced: bool,
    /// Records with their sizes on disk.
    pub(crate) records: Vec<(Arc<Record>, usize)>,
    /// Keys of builds of the past.
    pub(crate) builds: Vec<u64>,
    /// Keys of changes of the past.
    pub(crate) changes: Vec<u64>,
}

/// Where a new follower begins.
pub(crate) struct Subscription {
    pub(crate) notices: broadcast::Receiver<Notice>,
    pub(crate) head: u64,
    pub(crate) history: u64,
}

/// Tells all readers, in the order of the commits.
#[derive(Debug)]
pub(crate) struct Publisher {
    inner: Mutex<Inner>,
    head: watch::Sender<u64>,
    notices: broadcast::Sender<Notice>,
}

#[derive(Debug)]
struct Inner {
    history: u64,
    tail: VecDeque<(Arc<Record>, usize)>,
    bytes: usize,
    max_bytes: usize,
}

impl Publisher {
    pub(crate) fn new(head: u64, buffer: usize, tail_bytes: usize) -> Self {
        Self {
            inner: Mutex::new(Inner {
                history: 0,
                tail: VecDeque::new(),
                bytes: 0,
                max_bytes: tail_bytes,
            }),
            head: watch::Sender::new(head),
            notices: broadcast::Sender::new(buffer.max(1)),
        }
    }

    /// Sequence of the newest record.
    pub(crate) fn head(&self) -> u64 {
        *self.head.borrow()
    }

    /// Sees every new head.
    pub(crate) fn watch_head(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    /// How many followers there are.
    pub(crate) fn followers(&self) -> usize {
        self.notices.receiver_count()
    }

    pub(crate) fn subscribe(&self) -> Subscription {
        let inner = self.lock();
        Subscription {
            notices: self.notices.subscribe(),
            head: self.head(),
            history: inner.history,
        }
    }

    /// Tells of a passing thing.
    pub(crate) fn pass(&self, news: News) {
        let inner = self.lock();
        // Nobody listens: nobody is told.
        let _ = self.notices.send(Notice { history: inner.history, news });
    }

    /// Tells of what a commit brought; it is on disk.
    pub(crate) fn publish(&self, fresh: Fresh) {
        let mut inner = self.lock();
        let last = fresh.records.last().map(|(record, _)| record.position.seq);
        for (record, size) in fresh.records {
            inner.bytes += size;
            inner.tail.push_back((record, size));
        }
        while inner.bytes > inner.max_bytes
            && let Some((_, size)) = inner.tail.pop_front()
        {
            inner.bytes -= size;
        }
        if let Some(last) = last {
            self.head.send_replace(last);
        }
        let send = |inner: &mut Inner, news: News| {
            inner.history += u64::from(news.is_history());
            let _ = self.notices.send(Notice { history: inner.history, news });
        };
        if fresh.replaced {
            send(&mut inner, News::Replaced);
        }
        if !fresh.changes.is_empty() {
            send(&mut inner, News::Changes(fresh.changes.into()));
        }
        if !fresh.builds.is_empty() {
            send(&mut inner, News::Builds(fresh.builds.into()));
        }
        if let Some(last) = last {
            send(&mut inner, News::Records(last));
        }
    }

    /// Goes on at `head`, though what led there was not published: it is read from disk, and followers
    /// take a new snapshot.
    pub(crate) fn renew(&self, head: u64) {
        let mut inner = self.lock();
        inner.tail.clear();
        inner.bytes = 0;
        // There may be builds and changes of the past that nobody was told of.
        inner.history += 1;
        self.head.send_replace(head);
        let _ = self.notices.send(Notice { history: inner.history, news: News::Replaced });
    }

    /// The first sequence that the tail holds; the one after the head, if it holds none.
    pub(crate) fn tail_begins(&self) -> u64 {
        let inner = self.lock();
        inner.tail.front().map_or_else(|| self.head() + 1, |(first, _)| first.position.seq)
    }

    /// Records from `from` on, if the tail holds it; at most `limit`.
    pub(crate) fn tail(&self, from: u64, limit: usize) -> Vec<Arc<Record>> {
        let inner = self.lock();
        let Some((first, _)) = inner.tail.front() else { return Vec::new() };
        let Some(skip) = from.checked_sub(first.position.seq) else { return Vec::new() };
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        inner.tail.iter().skip(skip).take(limit).map(|(record, _)| Arc::clone(record)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|e| e.into_inner())
    }
}
