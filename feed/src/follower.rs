//! Ephemeral readers: pages and live updates.

use crate::{
    feed::Inner,
    publish::{News, Notice},
    query,
};
use master::MasterState;
use model::{Build, Change, Live, Position, Record};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::sync::broadcast::{self, error::RecvError};

/// Builds or changes of the past that are read at once.
const PAGE: usize = 32;

/// What a follower sees.
///
/// Over HTTP (`GET /v1/events`) it is a server-sent event: the event's name is the item's type, its
/// data the item's content ([`Item::parse`]), and its id a [`Place`], for `Last-Event-ID` (or
/// `?from=`); without either the reader starts at the head. The first event tells the present state
/// of the connection to the master, so that there is an id from the start.
///
/// [`Place`]: crate::http::api::Place
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "data", rename_all = "camelCase")]
pub enum Item {
    /// A journaled event, in order, each once.
    Record(Arc<Record>),
    /// A passing sign of life.
    Live(Arc<Live>),
    /// A finished build of the past.
    History(Arc<Build>),
    /// A change of the past.
    HistoryChange(Arc<Change>),
    /// The connection to the master changed.
    State(MasterState),
    /// Something was missed that cannot be read on (or the master has a new database): forget
    /// everything and take a new snapshot. This follower goes on from before that snapshot, so
    /// nothing is lost between; records at or below its position may be skipped.
    Resync,
}

impl Item {
    /// Reads an SSE event of this name; `None` for one of a later release, to be ignored.
    ///
    /// # Errors
    /// The data is not what the name says.
    pub fn parse(event: &str, data: &str) -> Option<Result<Self, serde_json::Error>> {
        Some(match event {
            "record" => serde_json::from_str(data).map(Self::Record),
            "live" => serde_json::from_str(data).map(Self::Live),
            "history" => serde_json::from_str(data).map(Self::History),
            "historyChange" => serde_json::from_str(data).map(Self::HistoryChange),
            "state" => serde_json::from_str(data).map(Self::State),
            "resync" => Ok(Self::Resync),
            _ => return None,
        })
    }
}

/// Reads on from a position; see [`crate::Feed::follow`]. One that is slow costs no memory: it
/// reads on from the journal.
#[derive(Debug)]
pub struct Follower {
    feed: Arc<Inner>,
    notices: broadcast::Receiver<Notice>,
    /// Number of the last history notice seen.
    history: u64,
    /// The last sequence read.
    cursor: u64,
    /// There are records up to here.
    target: u64,
    resync: bool,
    builds: Keys,
    changes: Keys,
    /// Read and not yet handed out.
    ready: VecDeque<Item>,
}

#[derive(Debug, Default)]
struct Keys {
    keys: Arc<[u64]>,
    next: usize,
}

impl Keys {
    fn page(&self) -> Vec<u64> {
        self.keys.iter().skip(self.next).take(PAGE).copied().collect()
    }

    fn is_empty(&self) -> bool {
        self.next >= self.keys.len()
    }
}

impl Follower {
    pub(crate) fn new(feed: Arc<Inner>, from: Position) -> Self {
        let subscription = feed.shared.publisher.subscribe();
        let known = from.epoch == feed.shared.epoch && from.seq <= subscription.head;
        Self {
            notices: subscription.notices,
            history: subscription.history,
            cursor: if known { from.seq } else { subscription.head },
            target: subscription.head,
            resync: !known,
            builds: Keys::default(),
            changes: Keys::default(),
            ready: VecDeque::new(),
            feed,
        }
    }

    /// Skips records up to `seq`, which a snapshot holds.
    pub(crate) fn skip_to(&mut self, seq: u64) {
        self.cursor = self.cursor.max(seq);
        self.target = self.target.max(seq);
    }

    /// How many notices about the past were handed out whole.
    pub(crate) fn told(&self) -> u64 {
        let waits = |item: &Item| matches!(item, Item::History(_) | Item::HistoryChange(_));
        let under_way = self.resync
            || !self.builds.is_empty()
            || !self.changes.is_empty()
            || self.ready.iter().any(waits);
        self.history.saturating_sub(u64::from(under_way))
    }

    /// Has [`Item::Resync`] handed out next.
    pub(crate) fn resync(&mut self) {
        self.resync = true;
    }

    /// Where it stands: all records up to here were handed out or are about to be.
    pub fn position(&self) -> Position {
        self.feed.shared.position(self.cursor)
    }

    /// The next item; waits for it, for ever once the feed is closed. Safe to cancel.
    pub async fn next(&mut self) -> Item {
        // A reader that is far behind always finds something: it lets others have a turn too.
        tokio::task::coop::consume_budget().await;
        loop {
            if let Some(item) = self.ready.pop_front() {
                return item;
            }
            if self.resync {
                self.begin_anew();
                return Item::Resync;
            }
            if self.cursor < self.target {
                self.read_records().await;
            } else if !self.changes.is_empty() {
                self.read_changes().await;
            } else if !self.builds.is_empty() {
                self.read_builds().await;
            } else {
                match self.notices.recv().await {
                    Ok(notice) => self.take(notice),
                    Err(RecvError::Lagged(_)) => self.catch_up(),
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        }
    }

    fn take(&mut self, Notice { history, news }: Notice) {
        if history != self.history + u64::from(news.is_history()) {
            // Lagged, and history was among what was missed.
            self.resync = true;
            return;
        }
        self.history = history;
        match news {
            News::Records(up_to) => self.target = self.target.max(up_to),
            News::Builds(keys) => self.builds = Keys { keys, next: 0 },
            News::Changes(keys) => self.changes = Keys { keys, next: 0 },
            News::Live(live) => self.ready.push_back(Item::Live(live)),
            News::State(state) => self.ready.push_back(Item::State(state)),
            News::Replaced => self.resync = true,
        }
    }

    /// After a lag, records are read on and the state is told again; passing things are gone.
    fn catch_up(&mut self) {
        self.target = self.feed.shared.publisher.head();
        self.ready.push_back(Item::State(self.feed.shared.state.borrow().clone()));
    }

    fn begin_anew(&mut self) {
        let subscription = self.feed.shared.publisher.subscribe();
        self.notices = subscription.notices;
        self.history = subscription.history;
        self.cursor = subscription.head;
        self.target = subscription.head;
        self.builds = Keys::default();
        self.changes = Keys::default();
        self.ready.clear();
        self.resync = false;
    }

    async fn read_records(&mut self) {
        let from = self.cursor + 1;
        match self.feed.shared.page(from, self.target).await {
            Ok(page) if page.first().is_some_and(|(seq, _)| *seq == from) => {
                for (seq, record) in page {
                    self.cursor = seq;
                    self.ready.extend(record.map(Item::Record));
                }
            }
            // Retention dropped what comes next.
            Ok(_) => self.resync = true,
            Err(error) => self.fail(&error).await,
        }
    }

    async fn read_builds(&mut self) {
        let keys = self.builds.page();
        let count = keys.len();
        match self.feed.shared.read(move |t| query::builds_by_key(t, &keys)).await {
            Ok(builds) => {
                self.builds.next += count;
                self.ready.extend(builds.into_iter().map(|b| Item::History(Arc::new(b))));
            }
            Err(error) => self.fail(&error).await,
        }
    }

    async fn read_changes(&mut self) {
        let keys = self.changes.page();
        let count = keys.len();
        match self.feed.shared.read(move |t| query::changes_by_key(t, &keys)).await {
            Ok(changes) => {
                self.changes.next += count;
                self.ready.extend(changes.into_iter().map(|c| Item::HistoryChange(Arc::new(c))));
            }
            Err(error) => self.fail(&error).await,
        }
    }

    /// A journal that can't be read now may be again in a while.
    async fn fail(&self, error: &crate::StoreError) {
        if matches!(error, crate::StoreError::Closed) {
            std::future::pending::<()>().await;
        }
        tracing::warn!(%error, "a follower waits for the journal");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
