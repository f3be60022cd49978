//! A journal of format 1 opens with all it had. `data/journal-v1.redb.gz` was written by the last
//! release of that format: one build and one change of the past, then changes and builds in turns.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::*;
use feed::{BuildQuery, CatchUp, ConsumerOptions, Feed, Options, Retention};
use model::{Event, Position};
use std::{fs, io::Read as _, path::Path, time::Duration};

/// Keeps what was journaled long before the test runs.
fn keeping(dir: &Path) -> Feed {
    let century = Duration::from_secs(100 * 365 * 86_400);
    let retention = Retention { max_age: century, ..Retention::default() };
    Feed::open(dir, Options { retention, ..options() }).unwrap()
}

#[tokio::test]
async fn a_journal_of_the_release_before_opens_with_all_it_had() {
    let dir = tempfile::tempdir().unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/journal-v1.redb.gz");
    let mut bytes = Vec::new();
    let mut file = flate2::read::GzDecoder::new(fs::File::open(path).unwrap());
    file.read_to_end(&mut bytes).unwrap();
    fs::write(dir.path().join("journal.redb"), bytes).unwrap();

    for start in ["first", "second"] {
        let feed = keeping(dir.path());
        assert_eq!(feed.journal_lost(), None, "{start}");
        assert_eq!((feed.master_uid(), feed.head().seq), ("uid-of-v1", 8));
        let consumers = feed.consumers();
        let [push, mail] = &consumers[..] else { panic!("{consumers:?}") };
        assert_eq!((push.name.as_str(), push.floor.seq, push.backlog), ("http_push/main", 0, 8));
        assert_eq!((mail.name.as_str(), mail.floor.seq, mail.backlog), ("mail/main", 2, 4));
        assert_eq!((mail.dead_letters, mail.generation, mail.refilled), (2, 1, 0));
        assert_eq!((mail.delivered, mail.failed, mail.last_delivered_ms), (0, 0, None));
        assert!(mail.last_seen_ms > 0, "was seen just now, since nobody noted when");

        let mut follower = feed.follow(Position { seq: 0, ..feed.head() });
        for seq in 1..=8 {
            let record = next_record(&mut follower).await;
            assert_eq!(record.position.seq, seq);
            let change = matches!(record.event, Event::ChangeAdded { .. });
            assert_eq!(
                (change, id_of(&record)),
                (seq % 2 == 1, (seq + 21) / 2 - 9 * ((seq + 1) % 2))
            );
        }
        let builds = feed.builds(BuildQuery::default()).await.unwrap();
        let ids: Vec<u64> = builds.iter().map(|build| build.id.0).collect();
        assert_eq!(ids, [5, 4, 3, 2, 1]);
        assert_eq!(feed.changes(None, 9).await.unwrap().len(), 5);
        let known = master::Sink::known(&feed.ingest());
        assert_eq!((known.world.title.as_str(), known.fresh), ("Version 1", false));
        let letters = feed.dead_letters("mail/main", None, 9).await.unwrap();
        let texts: Vec<_> =
            letters.iter().map(|l| (l.position.seq, l.letter.text.as_str(), l.replay)).collect();
        assert_eq!(texts, [(2, "550 no such user", false), (7, "554 refused", true)]);
        // What this format has beside.
        let users = feed.users(None, 9).await.unwrap();
        let users: Vec<_> = users.iter().map(|u| (u.name.as_str(), u.address.as_deref())).collect();
        assert_eq!(users.len(), 5);
        assert_eq!(users[0], ("Ann 0", Some("ann0@example.org")));
        feed.close().await;
    }

    let feed = keeping(dir.path());
    let mut mail = feed.consumer("mail/main", ConsumerOptions::default()).await.unwrap();
    assert_eq!((mail.status().generation, mail.get_state("k")), (2, Some(b"v".to_vec())));
    for seq in [7, 3, 6, 8] {
        let record = soon(mail.next()).await.unwrap();
        assert_eq!(record.position.seq, seq, "what was done does not come again");
    }
    // Builds 1 and 3 once more and 2 from its letter; 4 and 5 are in flight.
    assert_eq!(feed.replay_history("mail/main", CatchUp::default()).await.unwrap(), 3);
    let mut again = Vec::new();
    for _ in 0..3 {
        again.push(id_of(soon(mail.next()).await.unwrap()));
    }
    assert_eq!(again, [2, 1, 3]);
    let push = feed.consumer("http_push/main", ConsumerOptions::default()).await.unwrap();
    assert_eq!((push.get_state("packet"), push.backlog()), (Some(b"17".to_vec()), 8));
    add(&feed, [20]).await;
    assert_eq!(feed.head().seq, 9);
}
