//! A journal in a directory of its own, and things to put in it.
#![allow(dead_code, reason = "each test file uses some")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use feed::{Feed, Follower, Item, Options};
use master::{Batch, Dirty, Sink as _};
use model::{
    Build, BuildId, BuilderId, BuilderRef, Change, ChangeId, Event, Log, LogId, Outcome, Record,
    Step, Timestamp, World,
};
use std::{path::Path, sync::Arc, time::Duration};

/// Long enough for anything that happens at all.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn options() -> Options {
    Options { min_free_bytes: 0, group_commit: Duration::from_millis(1), ..Options::default() }
}

pub fn open(dir: &Path) -> Feed {
    Feed::open(dir, options()).unwrap()
}

/// Build `id` of builder `builder`, number = `id`.
pub fn build(id: u64, builder: u64) -> Build {
    let log = Log { id: LogId(id * 10), lines: 3, complete: true, ..Log::default() };
    Build {
        id: BuildId(id),
        number: id,
        builder: BuilderRef {
            id: BuilderId(builder),
            name: format!("builder {builder}").as_str().into(),
            tags: vec![],
        },
        started_at: Timestamp(1_000),
        complete_at: Some(Timestamp::now()),
        outcome: Some(Outcome::Success),
        text: "build successful".into(),
        steps: vec![Step { name: "compile".into(), logs: vec![log], ..Step::default() }],
        ..Build::default()
    }
}

pub fn change(id: u64) -> Change {
    Change {
        id: ChangeId(id),
        author: "ann".into(),
        comments: "x".repeat(100),
        ..Change::default()
    }
}

pub fn added(id: u64) -> Event {
    Event::ChangeAdded { change: Box::new(change(id)) }
}

pub fn finished(id: u64, builder: u64) -> Event {
    Event::BuildFinished { build: Box::new(build(id, builder)) }
}

pub fn batch(events: Vec<Event>) -> Batch {
    Batch { events, ..Batch::default() }
}

/// Journals changes with these numbers.
pub async fn add(feed: &Feed, ids: impl IntoIterator<Item = u64>) {
    let events = ids.into_iter().map(added).collect();
    feed.ingest().commit(batch(events), &World::default()).await.unwrap();
}

/// Everything of a world.
pub fn all_of(world: &World) -> Dirty {
    Dirty {
        meta: true,
        builders: world.builders.keys().copied().collect(),
        workers: world.workers.keys().copied().collect(),
        open: world.open.keys().copied().collect(),
        requests: world.requests.keys().copied().collect(),
        buildsets: world.buildsets.keys().copied().collect(),
        recent: world.recent.keys().copied().collect(),
    }
}

/// The number of the change that a record tells of.
pub fn id_of(record: impl AsRef<Record>) -> u64 {
    record.as_ref().event.key().1
}

pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("nothing came")
}

/// Whether nothing comes, although other things had their turn.
pub async fn nothing<T>(what: impl Future<Output = T>) -> bool {
    tokio::time::timeout(Duration::from_millis(50), what).await.is_err()
}

pub async fn next_record(follower: &mut Follower) -> Arc<Record> {
    match soon(follower.next()).await {
        Item::Record(record) => record,
        other => panic!("not a record: {other:?}"),
    }
}
