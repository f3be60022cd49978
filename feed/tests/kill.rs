//! A process that commits and acknowledges is killed at random moments; then the journal must
//! hold every committed event once, in order, and every acknowledgement.
//!
//! This program is both: without arguments of its own it is the test, which starts itself as
//! the process to be killed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::print_stdout, reason = "what the child reports, and the test's name")]

mod common;

use common::*;
use feed::{Consumer, ConsumerOptions, Feed, Item, Options};
use master::{Batch, Dirty, Sink as _};
use model::{ChangeId, Position};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

const CHILD: &str = "FEED_KILL_CHILD";
const ROUNDS: u64 = 25;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if let Ok(dir) = std::env::var(CHILD) {
        runtime.block_on(child(Path::new(&dir)));
        return;
    }
    let name = "a_kill_at_any_moment_loses_nothing_and_repeats_nothing";
    if std::env::args().any(|arg| arg == "--list") {
        println!("{name}: test");
        return;
    }
    runtime.block_on(test());
    println!("test {name} ... ok");
}

fn small() -> Options {
    Options { tail_bytes: 10_000, ..options() }
}

async fn mail(feed: &Feed) -> Consumer {
    let options = ConsumerOptions { window: Some(64), ..ConsumerOptions::default() };
    feed.consumer("mail", options).await.unwrap()
}

fn say(word: &str, number: u64) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{word} {number}").unwrap();
    out.flush().unwrap();
}

/// Commits changes with rising numbers, and acknowledges in no particular order, until killed.
/// Says what is promised: `C n` a change is committed, `A n` a sequence is acknowledged, after
/// `T n` that this is tried.
async fn child(dir: &Path) {
    let feed = Feed::open(dir, small()).unwrap();
    let mut consumer = mail(&feed).await;
    say("O", feed.head().seq);
    let handle = consumer.handle();
    tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            let record = consumer.next().await.unwrap();
            held.push(record.position);
            // A few stay behind, so that there are gaps.
            if held.len() > 5 {
                let at = held.swap_remove((record.position.seq % 5) as usize);
                let handle = handle.clone();
                tokio::spawn(async move {
                    say("T", at.seq);
                    handle.acknowledge(at, None).await.unwrap();
                    say("A", at.seq);
                });
            }
        }
    });
    let mut ingest = feed.ingest();
    let mut world = ingest.known().world;
    loop {
        let first = world.highest.change.0 + 1;
        let events: Vec<_> = (first..=first + first % 4).map(added).collect();
        let last = first + first % 4;
        world.highest.change = ChangeId(last);
        let dirty = Dirty { meta: true, ..Dirty::default() };
        ingest.commit(Batch { events, dirty, ..Batch::default() }, &world).await.unwrap();
        say("C", last);
    }
}

/// What the children had told.
#[derive(Default)]
struct Told {
    committed: u64,
    tried: BTreeSet<u64>,
    acknowledged: BTreeSet<u64>,
}

/// Adds what a child had told before it was killed after some milliseconds.
fn run_and_kill(dir: &Path, after: Duration, told: &mut Told) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .env(CHILD, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let opened = lines.next().unwrap().unwrap();
    assert!(opened.starts_with('O'), "{opened}");
    let reader = std::thread::spawn(move || {
        // The last line may be cut.
        lines.map_while(Result::ok).collect::<Vec<_>>()
    });
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    for line in reader.join().unwrap() {
        let Some((word, number)) = line.split_once(' ') else { continue };
        let Ok(number) = number.parse() else { continue };
        match word {
            "C" => told.committed = told.committed.max(number),
            "T" => drop(told.tried.insert(number)),
            "A" => drop(told.acknowledged.insert(number)),
            _ => panic!("{line}"),
        }
    }
}

async fn test() {
    let dir = tempfile::tempdir().unwrap();
    {
        let feed = Feed::open(dir.path(), small()).unwrap();
        mail(&feed).await;
    }
    let mut told = Told::default();
    let mut floor = 0;
    for round in 0..ROUNDS {
        let after = Duration::from_micros(round * round * 7_919 % 120_000);
        run_and_kill(dir.path(), after, &mut told);

        let feed = Feed::open(dir.path(), small()).unwrap();
        assert_eq!(feed.journal_lost(), None, "round {round}");
        let known = feed.ingest().known().world.highest.change.0;
        assert!(known >= told.committed, "round {round}: {known} of {}", told.committed);
        let records = all_records(&feed).await;
        let ids: Vec<u64> = records.values().copied().collect();
        assert_eq!(ids, (1..=known).collect::<Vec<_>>(), "round {round}: once, in order");

        let mut consumer = mail(&feed).await;
        let status = consumer.status();
        assert!(status.floor.seq >= floor, "round {round}: the floor went back");
        floor = status.floor.seq;
        let mut last = 0;
        let mut came = BTreeSet::new();
        for _ in 0..status.backlog.min(64) {
            let seq = soon(consumer.next()).await.unwrap().position.seq;
            assert!(seq > last, "round {round}: out of order");
            assert!(!told.acknowledged.contains(&seq), "round {round}: {seq} came again");
            last = seq;
            came.insert(seq);
        }
        // What does not come is done; only what was tried can be.
        let end = if status.backlog <= 64 { feed.head().seq } else { last };
        for seq in (1..=end).filter(|seq| !came.contains(seq)) {
            assert!(told.tried.contains(&seq), "round {round}: {seq} is lost");
        }
        feed.close().await;
    }
    let (committed, acknowledged) = (told.committed, told.acknowledged.len());
    assert!(committed > 50 && acknowledged > 50, "{committed}, {acknowledged}");
}

/// Sequence and change's number of all records.
async fn all_records(feed: &Feed) -> BTreeMap<u64, u64> {
    let head = feed.head();
    let mut follower = feed.follow(Position { seq: 0, ..head });
    let mut records = BTreeMap::new();
    while (records.len() as u64) < head.seq {
        match soon(follower.next()).await {
            Item::Record(record) => {
                assert_eq!(records.insert(record.position.seq, id_of(&record)), None);
            }
            other => panic!("{other:?}"),
        }
    }
    records
}
