//! The view that pages read while the feed writes it.

use super::View;
use feed::{AnyFeed, AnyFollower, BuildQuery, Item, SnapshotLimits};
use std::{
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How much of the past stays in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Finished builds of all builders together.
    pub builds: usize,
    /// Changes.
    pub changes: usize,
    /// Events that are no builds.
    pub happenings: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { builds: 4000, changes: 1000, happenings: 1000 }
    }
}

/// How many items are taken over at once at most, so that readers are not kept waiting.
const AT_ONCE: usize = 64;
/// How many older builds are read from the journal at once.
const PAGE: usize = 100;
/// How long a failing journal is left alone.
const AGAIN: Duration = Duration::from_secs(2);

/// A view that many read and one writes.
#[derive(Clone, Debug)]
pub struct Shared {
    view: Arc<RwLock<View>>,
    changed: Arc<watch::Sender<u64>>,
}

impl Default for Shared {
    fn default() -> Self {
        Self::new(View::default())
    }
}

impl Shared {
    /// Shares a view.
    pub fn new(view: View) -> Self {
        let changed = Arc::new(watch::Sender::new(view.generation()));
        Self { view: Arc::new(RwLock::new(view)), changed }
    }

    /// Reads it. Hold it briefly, never across an await.
    pub fn read(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes it and tells those who wait for changes.
    pub fn update<T>(&self, change: impl FnOnce(&mut View) -> T) -> T {
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut view);
        let generation = view.generation();
        drop(view);
        self.changed.send_replace(generation);
        result
    }

    /// Sees each new generation.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

/// Keeps `shared` up to date with the feed until `cancel`: first a snapshot with the newest
/// builds, then what happens, with the older builds read in between.
pub async fn follow(shared: Shared, feed: AnyFeed, limits: Limits, cancel: CancellationToken) {
    let whole = async {
        loop {
            let failed = match feed.subscribe(SnapshotLimits::default()).await {
                Ok((snapshot, follower)) => {
                    let state = feed.state().borrow().clone();
                    let mut view = View::new(snapshot, state, limits);
                    shared.update(|shared| {
                        // A generation never comes twice, so that no page of before is taken
                        // for one of after.
                        view.generation += shared.generation;
                        *shared = view;
                    });
                    run(&shared, &feed, follower, limits).await;
                    continue;
                }
                Err(error) => error,
            };
            tracing::warn!(error = %failed, "the pages cannot read the journal");
            tokio::time::sleep(AGAIN).await;
        }
    };
    tokio::select! {
        () = whole => {}
        () = cancel.cancelled() => {}
    }
}

/// Follows until a new snapshot is needed.
async fn run(shared: &Shared, feed: &AnyFeed, mut follower: AnyFollower, limits: Limits) {
    let (older, mut arrived) = tokio::sync::mpsc::channel(1);
    let page = |query| feed.builds(query);
    let backfill = async {
        // From the newest on: the snapshot has gaps where a builder built more than its share. One
        // page more than there is room for shows whether the journal has older ones.
        let (mut below, mut count) = (None, 0);
        while count <= limits.builds {
            let query = BuildQuery { builder: None, below, limit: PAGE };
            let builds = match page(query).await {
                Ok(builds) => builds,
                Err(error) => {
                    tracing::warn!(%error, "older builds cannot be read now");
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
            };
            count += builds.len();
            below = builds.last().map(|b| b.id.0);
            if builds.is_empty() || older.send(builds).await.is_err() {
                break;
            }
        }
        drop(older);
        std::future::pending::<()>().await;
    };
    let read = async {
        loop {
            tokio::select! {
                biased;
                item = follower.next() => {
                    let mut items = vec![item];
                    while items.len() < AT_ONCE
                        && let Some(item) = now(follower.next())
                    {
                        items.push(item);
                    }
                    if !shared.update(|view| items.iter().all(|item| view.apply(item))) {
                        return;
                    }
                }
                Some(builds) = arrived.recv() => {
                    shared.update(|view| {
                        for build in builds {
                            view.apply(&Item::History(Arc::new(build)));
                        }
                    });
                }
            }
        }
    };
    tokio::select! {
        () = backfill => {}
        () = read => {}
    }
}

/// The future's result if it is there already. Follower::next may be dropped.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    futures_util::FutureExt::now_or_never(future)
}
