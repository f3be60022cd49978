//! Logs: asked for once, kept within bounds, never whole in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::*;
use feed::{Feed, LogError, Options};
use futures_util::{FutureExt as _, future::BoxFuture};
use master::{Batch, ClientError, LogChunk, LogSource, Sink as _};
use model::{Build, LogId, World};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};
use tokio::sync::Semaphore;

/// A master whose logs have `lines` lines, that gives at most `most` at once.
struct Source {
    lines: u64,
    most: u64,
    line_bytes: usize,
    asked: Mutex<Vec<(u64, u64)>>,
    largest: AtomicU64,
    gate: Semaphore,
}

impl Source {
    fn new(lines: u64) -> Arc<Self> {
        Arc::new(Self {
            lines,
            most: 700,
            line_bytes: 0,
            asked: Mutex::default(),
            largest: AtomicU64::new(0),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        })
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl LogSource for Source {
    fn lines(
        &self,
        log: LogId,
        first: u64,
        limit: u64,
    ) -> BoxFuture<'_, Result<LogChunk, ClientError>> {
        async move {
            self.asked.lock().unwrap().push((first, limit));
            self.largest.fetch_max(limit, Ordering::Relaxed);
            let _permit = self.gate.acquire().await.unwrap();
            if log != LogId(10) {
                return Err(ClientError::NotFound(format!("log {log}")));
            }
            let last = self.lines.min(first + limit.min(self.most));
            let pad = "x".repeat(self.line_bytes);
            let text = (first..last).map(|line| format!("oline {line}{pad}\n")).collect();
            Ok(LogChunk { first, text })
        }
        .boxed()
    }
}

/// A feed that knows of a finished build whose log 10 has `lines` lines.
async fn feed_with_log(options: Options, dir: &std::path::Path, lines: u64) -> Feed {
    let feed = Feed::open(dir, options).unwrap();
    let mut build: Build = build(1, 1);
    build.steps[0].logs[0].lines = lines;
    let batch = Batch { history: vec![build], ..Batch::default() };
    feed.ingest().commit(batch, &World::default()).await.unwrap();
    feed
}

fn numbers(chunk: &LogChunk) -> Vec<u64> {
    chunk.lines().map(|line| line.strip_prefix("oline ").unwrap().parse().unwrap()).collect()
}

/// Bytes of each file that is kept.
fn kept(dir: &std::path::Path) -> Vec<u64> {
    let files = std::fs::read_dir(dir.join("logs")).unwrap().flatten();
    files.map(|file| file.metadata().unwrap().len()).collect()
}

#[tokio::test]
async fn a_complete_log_is_asked_for_once_and_then_comes_from_disk() {
    let dir = tempfile::tempdir().unwrap();
    let source = Source::new(2_500);
    {
        let feed = feed_with_log(options(), dir.path(), 2_500).await;
        assert_eq!(feed.log(LogId(10), 0, 10).await, Err(LogError::NoSource));
        feed.set_log_source(Arc::clone(&source) as Arc<dyn LogSource>);
        let chunk = feed.log(LogId(10), 900, 300).await.unwrap();
        assert_eq!(chunk.first, 900);
        assert_eq!(numbers(&chunk), (900..1200).collect::<Vec<_>>());
        let all = feed.log(LogId(10), 0, u64::MAX).await.unwrap();
        assert_eq!(numbers(&all), (0..2_500).collect::<Vec<_>>());
        assert!(source.largest.load(Ordering::Relaxed) <= 1000);
        assert_eq!(kept(dir.path()).len(), 3);
        assert!(feed.log(LogId(10), 2_500, 10).await.unwrap().text.is_empty());
        assert!(feed.log(LogId(10), u64::MAX, 10).await.unwrap().text.is_empty());
    }
    let asked = source.asked();
    let feed = open(dir.path());
    let all = feed.log(LogId(10), 0, 5_000).await.unwrap();
    assert_eq!(numbers(&all).len(), 2_500);
    assert_eq!(source.asked(), asked, "no source is needed any more");
}

#[tokio::test]
async fn a_log_that_may_grow_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let feed = open(dir.path());
    let source = Source::new(5);
    feed.set_log_source(Arc::clone(&source) as Arc<dyn LogSource>);
    assert_eq!(numbers(&feed.log(LogId(10), 2, 100).await.unwrap()), [2, 3, 4]);
    let asked = source.asked();
    feed.log(LogId(10), 2, 100).await.unwrap();
    assert_eq!(source.asked(), asked * 2);
    assert!(!dir.path().join("logs").exists());
    let missing = feed.log(LogId(99), 0, 1).await;
    assert!(matches!(missing, Err(LogError::Master(ClientError::NotFound(_)))));
}

#[tokio::test]
async fn askers_of_the_same_lines_share_one_question() {
    let dir = tempfile::tempdir().unwrap();
    let feed = feed_with_log(options(), dir.path(), 500).await;
    let mut source = Source::new(500);
    Arc::get_mut(&mut source).unwrap().gate = Semaphore::new(0);
    feed.set_log_source(Arc::clone(&source) as Arc<dyn LogSource>);
    let mut askers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let feed = feed.clone();
        askers.spawn(async move { feed.log(LogId(10), 0, 500).await.unwrap().count() });
    }
    soon(async {
        while source.asked() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // The one who began it goes; the others still get their answer.
    source.gate.add_permits(1);
    while let Some(count) = soon(askers.join_next()).await {
        assert_eq!(count.unwrap(), 500);
    }
    assert_eq!(source.asked(), 1);
}

#[tokio::test]
async fn the_cache_keeps_within_its_bound() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { log_cache_bytes: 5 * 8192, ..options() };
    let feed = feed_with_log(options, dir.path(), 30_000).await;
    let source = Source::new(30_000);
    feed.set_log_source(Arc::clone(&source) as Arc<dyn LogSource>);
    for first in (0..30_000).step_by(10_000) {
        let chunk = feed.log(LogId(10), first, 10_000).await.unwrap();
        assert_eq!(numbers(&chunk), (first..first + 10_000).collect::<Vec<_>>());
    }
    let sizes = kept(dir.path());
    assert!(sizes.iter().sum::<u64>() <= 5 * 8192, "{sizes:?}");
    assert!(!sizes.is_empty());
}

#[tokio::test]
async fn very_long_lines_come_a_few_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let feed = feed_with_log(options(), dir.path(), 100).await;
    let mut source = Source::new(100);
    let own = Arc::get_mut(&mut source).unwrap();
    (own.line_bytes, own.most) = (1 << 20, 1);
    feed.set_log_source(Arc::clone(&source) as Arc<dyn LogSource>);
    let mut next = 0;
    while next < 20 {
        let chunk = feed.log(LogId(10), next, 1000).await.unwrap();
        assert!(chunk.text.len() < 6 << 20);
        assert!(chunk.text.starts_with(&format!("oline {next}x")));
        next += chunk.count();
    }
}

#[tokio::test]
async fn one_answer_of_the_master_adds_no_more_than_its_part_however_much_it_holds() {
    let dir = tempfile::tempdir().unwrap();
    let feed = feed_with_log(options(), dir.path(), 1000).await;
    let mut source = Source::new(1000);
    let own = Arc::get_mut(&mut source).unwrap();
    // 30 MB in the first answer.
    (own.line_bytes, own.most) = (300_000, 100);
    feed.set_log_source(Arc::clone(&source) as Arc<dyn LogSource>);
    let mut next = 0;
    while next < 50 {
        let chunk = feed.log(LogId(10), next, 1000).await.unwrap();
        assert!(chunk.text.len() < 5 << 20, "{} bytes", chunk.text.len());
        assert!(chunk.text.starts_with(&format!("oline {next}x")));
        assert!(chunk.count() > 1);
        next += chunk.count();
    }
}

#[tokio::test]
async fn a_line_that_is_longer_than_an_answer_loses_its_end_and_those_after_it_come() {
    let dir = tempfile::tempdir().unwrap();
    let feed = feed_with_log(options(), dir.path(), 3).await;
    let mut source = Source::new(3);
    Arc::get_mut(&mut source).unwrap().line_bytes = 10 << 20;
    feed.set_log_source(Arc::clone(&source) as Arc<dyn LogSource>);
    for line in 0..3 {
        let chunk = feed.log(LogId(10), line, 10).await.unwrap();
        assert!(chunk.text.starts_with(&format!("oline {line}x")));
        assert!(chunk.text.ends_with(" bytes left out)\n"));
        assert!(chunk.count() == 1 && chunk.text.len() < 5 << 20, "{} bytes", chunk.text.len());
    }
}
