//! A log of 200 MB, through the journal's cache to plain text, without ever being in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use feed::{Feed, Options};
use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use master::{ClientError, LogChunk, LogSource};
use model::{LogId, LogKind};
use std::{pin::pin, sync::Arc};
use webui::logs;

/// 200 bytes each, the channel's letter included.
const LINES: u64 = 1_000_000;
const MIB: u64 = 1 << 20;

/// Gives every line when asked for it. A real master would have to be fed 200 MB first.
#[derive(Debug)]
struct Invented;

impl LogSource for Invented {
    fn lines(
        &self,
        _: LogId,
        first: u64,
        limit: u64,
    ) -> BoxFuture<'_, Result<LogChunk, ClientError>> {
        let last = LINES.min(first + limit);
        let text = (first..last).map(|n| format!("o{n:0>198}\n")).collect();
        async move { Ok(LogChunk { first, text }) }.boxed()
    }
}

/// Most memory that this process has had, in bytes.
fn most() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[tokio::test]
async fn p14_a_log_of_200_mb_is_streamed_whole_and_never_held() {
    let folder = tempfile::tempdir().unwrap();
    let feed = Feed::open(folder.path(), Options::default()).unwrap();
    feed.set_log_source(Arc::new(Invented));
    let source: Arc<dyn logs::LogText> = Arc::new(feed::AnyFeed::from(feed));
    let before = most();
    let log = LogId(1);
    let begun = source.lines(log, 0, logs::CHUNK).await.unwrap();
    let mut stream = pin!(logs::text(source, (log, LogKind::Stdio), begun));
    let (mut bytes, mut last) = (0u64, Vec::new());
    while let Some(piece) = stream.next().await {
        let piece = piece.unwrap();
        bytes += piece.len() as u64;
        last = piece.to_vec();
    }
    // The channel's letter is not part of the text.
    assert_eq!(bytes, LINES * 199);
    assert!(last.ends_with(format!("{:0>198}\n", LINES - 1).as_bytes()));
    let grown = most() - before;
    assert!(grown < 64 * MIB, "{} MiB more", grown / MIB);
}
