//! Lost, damaged, newer and full: what is said, and what goes on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::print_stderr, reason = "says why a test did not run")]

mod common;

use common::*;
use feed::{ConsumerOptions, Feed, Item, LossKind, OpenError, Options, SnapshotLimits};
use master::{Batch, Sink as _, SinkError};
use model::{Position, World};
use redb::{Database, TableDefinition};
use std::{fs, path::Path};

async fn mail(feed: &Feed) -> feed::Consumer {
    feed.consumer("mail", ConsumerOptions::default()).await.unwrap()
}

/// A journal with `count` events, the first of which the consumer `mail` is done with.
async fn filled(dir: &Path, count: u64) -> Position {
    let feed = open(dir);
    let mut consumer = mail(&feed).await;
    for first in (1..=count).step_by(10) {
        add(&feed, first..=(first + 9).min(count)).await;
    }
    let first = soon(consumer.next()).await.unwrap().position;
    consumer.acknowledge(first, None).await.unwrap();
    let head = feed.head();
    feed.close().await;
    head
}

#[tokio::test]
async fn a_newer_format_is_refused_in_plain_words_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 3).await;
    let file = dir.path().join("journal.redb");
    {
        let meta: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
        let database = Database::open(&file).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction
            .open_table(meta)
            .unwrap()
            .insert("format", 7u32.to_le_bytes().as_slice())
            .unwrap();
        transaction.commit().unwrap();
    }
    let Err(error) = Feed::open(dir.path(), options()) else { panic!("opened") };
    assert!(matches!(error, OpenError::NewerFormat { found: 7, .. }));
    assert!(error.to_string().contains("start the release that wrote it"), "{error}");
    assert!(file.exists() && !dir.path().join("journal.redb.broken-1").exists());
}

#[tokio::test]
async fn after_the_journals_loss_consumers_start_at_the_head_and_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let before = filled(dir.path(), 20).await;
    let uid = open(dir.path()).master_uid().to_owned();
    fs::remove_file(dir.path().join("journal.redb")).unwrap();

    let feed = open(dir.path());
    assert!(feed.journal_lost().unwrap().contains("gone"));
    assert_eq!(feed.loss(), Some(LossKind::File));
    assert!(feed.head().epoch > before.epoch);
    assert_eq!(feed.master_uid(), uid, "identities stay the same");
    assert!(feed.ingest().known().fresh);
    assert!(matches!(soon(feed.follow(before).next()).await, Item::Resync));
    let consumer = mail(&feed).await;
    let lost = consumer.handle().journal_lost().unwrap();
    assert_eq!((lost.previous, lost.backlog), (Position { seq: 1, ..before }, 19));
    assert_eq!(lost.reason, LossKind::File);
    assert_eq!((consumer.backlog(), consumer.status().generation), (0, 2));
    let refused = consumer.acknowledge(before, None).await;
    assert!(matches!(refused, Err(feed::ConsumerError::OtherJournal { .. })));
}

#[tokio::test]
async fn the_loss_of_the_whole_directory_still_makes_a_higher_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).head().epoch;
    // By the clock, of which another second has to begin.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(now.as_secs() + 1) - now).await;
    let other = tempfile::tempdir().unwrap();
    assert!(open(other.path()).head().epoch > first);
}

/// Opens a journal that somebody knows by this epoch.
fn expecting(dir: &Path, epoch: u32) -> Feed {
    Feed::open(dir, Options { expected_epoch: Some(epoch), ..options() }).unwrap()
}

#[tokio::test]
async fn the_loss_of_the_whole_directory_is_said_where_the_epoch_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let before = filled(dir.path(), 3).await;
    let same = expecting(dir.path(), before.epoch);
    assert_eq!((same.journal_lost(), same.head()), (None, before));
    same.close().await;

    let other = tempfile::tempdir().unwrap();
    let feed = expecting(other.path(), before.epoch);
    assert!(feed.head().epoch > before.epoch, "within the same second, too");
    assert_eq!(feed.loss(), Some(LossKind::Volume));
    let text = feed.journal_lost().unwrap();
    assert!(text.contains(&before.epoch.to_string()) && text.contains("volume"), "{text}");
    let after = feed.head().epoch;
    feed.close().await;
    // Nobody has taken note of it yet.
    let again = expecting(other.path(), before.epoch);
    assert_eq!((again.loss(), again.head().epoch), (Some(LossKind::Volume), after));
    again.close().await;
    assert_eq!(expecting(other.path(), after).loss(), None);
}

#[tokio::test]
async fn a_file_that_is_no_journal_is_moved_aside_and_a_new_one_begins() {
    let dir = tempfile::tempdir().unwrap();
    let before = filled(dir.path(), 5).await;
    for number in 1..=2 {
        fs::write(dir.path().join("journal.redb"), b"not a database at all".repeat(1000)).unwrap();
        let feed = open(dir.path());
        assert!(feed.journal_lost().unwrap().contains("damaged"));
        assert_eq!(feed.loss(), Some(LossKind::Damaged));
        assert!(feed.head().epoch > before.epoch && feed.head().seq == 0);
        assert!(dir.path().join(format!("journal.redb.broken-{number}")).exists());
        add(&feed, [1]).await;
        feed.close().await;
    }
}

#[tokio::test]
async fn a_damaged_record_is_parked_and_does_not_hold_up_those_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 5).await;
    {
        let records: TableDefinition<'_, u64, (i64, u32, &[u8])> = TableDefinition::new("records");
        let database = Database::open(dir.path().join("journal.redb")).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(records).unwrap().insert(3, (0, 1, b"?".as_slice())).unwrap();
        transaction.commit().unwrap();
    }
    let feed = open(dir.path());
    let mut consumer = mail(&feed).await;
    let mut follower = feed.follow(Position { seq: 0, ..feed.head() });
    for id in [2, 4, 5] {
        let record = soon(consumer.next()).await.unwrap();
        assert_eq!(id_of(&record), id);
        consumer.acknowledge(record.position, None).await.unwrap();
    }
    for id in [1, 2, 4, 5] {
        assert_eq!(id_of(next_record(&mut follower).await), id);
    }
    let status = consumer.status();
    assert_eq!((status.dead_letters, status.backlog, status.floor.seq), (1, 0, 5));
    let at = Position { seq: 3, ..feed.head() };
    let refused = feed.replay("mail", at).await;
    assert!(matches!(refused, Err(feed::ConsumerError::NotFound(_))), "there is nothing to replay");
    let letters = feed.dead_letters("mail", None, 9).await.unwrap();
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!((letter.position, &letter.record), (at, &None));
    assert_eq!(letter.letter.class, "damaged");
    assert_eq!(feed.dead_letter("mail", at).await.unwrap().as_ref(), Some(letter));
    feed.drop_letter("mail", at).await.unwrap();
    assert_eq!(consumer.status().dead_letters, 0);
}

/// Opens a damaged copy and reads all there is: it may be whole, refused or new, but what comes
/// is right, and after a second start the journal takes events.
async fn survives(dir: &Path, what: &str) {
    for attempt in ["first", "second"] {
        let feed = open(dir);
        let head = feed.head();
        let mut follower = feed.follow(Position { seq: 0, ..head });
        let mut last = 0;
        while last < head.seq {
            // A damaged record is left out; a journal that can't be read at all makes us wait.
            match tokio::time::timeout(std::time::Duration::from_millis(300), follower.next()).await
            {
                Ok(Item::Record(record)) => {
                    assert!(record.position.seq > last, "{what}, {attempt}: order");
                    assert_eq!(record.event, added(record.position.seq), "{what}, {attempt}");
                    last = record.position.seq;
                }
                Ok(Item::Resync) | Err(_) => break,
                Ok(other) => panic!("{what}, {attempt}: {other:?}"),
            }
        }
        let _ = feed.snapshot(SnapshotLimits::default()).await;
        let _ = feed.ingest().known();
        feed.close().await;
    }
    // What only writing comes upon is found now, and healed by the start after that.
    let mut last = None;
    for _ in 0..2 {
        let feed = open(dir);
        let mut ingest = feed.ingest();
        let _ = ingest.known();
        match ingest.commit(batch(vec![added(999)]), &World::default()).await {
            Ok(()) => return,
            Err(error) => last = Some(error),
        }
    }
    panic!("{what}: {last:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torn_or_flipped_file_ends_no_process_and_gives_no_wrong_record() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 400).await;
    let whole = fs::read(dir.path().join("journal.redb")).unwrap();
    let length = whole.len();
    let mut copies: Vec<(String, Vec<u8>)> = Vec::new();
    for cut in [1, 4096, length / 2, length - 100] {
        copies.push((format!("cut by {cut}"), whole[..length - cut].to_vec()));
    }
    for part in 0..24 {
        let at = length * part / 24;
        let mut copy = whole.clone();
        for byte in copy.iter_mut().skip(at).take(64) {
            *byte ^= 0x5a;
        }
        copies.push((format!("64 bytes flipped at {at}"), copy));
    }
    for page in (1..length / 4096).step_by(9) {
        let mut copy = whole.clone();
        for byte in copy.iter_mut().skip(page * 4096).take(16) {
            *byte ^= 0xff;
        }
        copies.push((format!("the head of page {page} flipped"), copy));
    }
    let mut random = 4_u64;
    for _ in 0..6 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let keep = usize::try_from(random >> 33).unwrap() % length;
        copies.push((format!("only {keep} bytes"), whole[..keep].to_vec()));
        // A file that grew, but whose pages from some point on were never written.
        let mut copy = whole.clone();
        copy[keep / 4096 * 4096..].fill(0);
        copies.push((format!("zeros from page {}", keep / 4096), copy));
    }
    let mut copy = whole.clone();
    copy[length - 4096..].fill(0);
    copies.push(("the last page is zeros".to_owned(), copy));
    let (mut aside, all) = (0, copies.len());
    for (what, bytes) in copies {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("journal.redb"), bytes).unwrap();
        survives(dir.path(), &what).await;
        aside += usize::from(dir.path().join("journal.redb.broken-1").exists());
    }
    // Free pages and single records do no harm; torn files and pages of the trees do.
    assert!((5..all).contains(&aside), "{aside} of {all} moved aside");
}

/// A file system of 1 MB, unmounted at the end.
struct Tiny(tempfile::TempDir);

impl Tiny {
    /// `None` where that is not allowed.
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(dir.path())
            .stderr(std::process::Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(dir))
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

/// Fills the disk, checks that reading and acknowledging go on, makes room, and goes on.
async fn fill(options: Options, expect: &str) {
    let Some(tiny) = Tiny::mount() else {
        eprintln!("skipped: mounting a tmpfs is not allowed here");
        return;
    };
    let ballast = tiny.0.path().join("ballast");
    fs::write(&ballast, vec![1; 300_000]).unwrap();
    let feed = Feed::open(tiny.0.path(), options).unwrap();
    let mut consumer = mail(&feed).await;
    let mut ingest = feed.ingest();
    let mut written = 0;
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let reader = feed.clone();
    let readers = tokio::spawn(async move {
        let mut reads = 0;
        while stopped.try_recv().is_err() {
            let limits = SnapshotLimits { changes: 3, ..SnapshotLimits::default() };
            reader.snapshot(limits).await.expect("reading goes on all the while");
            reads += 1;
        }
        reads
    });
    let error = loop {
        let events = (written + 1..=written + 20).map(added).collect();
        match ingest.commit(batch(events), &World::default()).await {
            Ok(()) => written += 20,
            Err(error) => break error,
        }
        assert!(written < 100_000, "the disk is never full");
    };
    assert!(matches!(&error, SinkError::Write(text) if text.contains(expect)), "{error}");
    assert_eq!(feed.head().seq, written);
    for id in 1..=written {
        let record = soon(consumer.next()).await.unwrap();
        assert_eq!(id_of(&record), id, "reading goes on");
        if id < written {
            // There may be no room for this either, but then it says so.
            let _ = consumer.acknowledge(record.position, None).await;
        }
        if id == 200 {
            break;
        }
    }
    let snapshot = feed.snapshot(SnapshotLimits::default()).await.unwrap();
    assert_eq!(snapshot.position.seq, written);
    assert!(!ingest.known().fresh);

    for _ in 0..20 {
        let again = ingest.commit(batch(vec![added(written + 1); 300]), &World::default()).await;
        assert!(again.is_err());
    }
    stop.send(()).unwrap();
    assert!(soon(readers).await.unwrap() > 0);
    fs::remove_file(&ballast).unwrap();
    ingest.commit(batch(vec![added(written + 1)]), &World::default()).await.unwrap();
    assert_eq!(feed.head().seq, written + 1);
    let mut follower = feed.follow(Position { seq: 0, ..feed.head() });
    for id in 1..=written + 1 {
        assert_eq!(id_of(next_record(&mut follower).await), id);
    }
    drop((consumer, ingest, follower));
    feed.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_batches_but_not_readers_and_heals() {
    let options = Options { tail_bytes: 1, ..options() };
    fill(options, "full").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reserve_on_the_disk_is_left_to_acknowledgements() {
    let options = Options { tail_bytes: 1, min_free_bytes: 300_000, ..options() };
    fill(options, "are free").await;
}

#[tokio::test]
async fn an_empty_batch_costs_nothing_and_an_unreadable_directory_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let feed = open(dir.path());
    feed.ingest().commit(Batch::default(), &World::default()).await.unwrap();
    assert!(feed.ingest().known().fresh);
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(Feed::open(&file, options()), Err(OpenError::Io { .. })));
}
