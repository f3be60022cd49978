//! Memory and file say the same, also after a commit that failed at its very end.

use super::Writer;
use crate::{StoreError, consumer::load, store::tables};
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

impl Writer {
    /// Looks whether a commit that failed is in the file all the same. If so, all that is kept in memory
    /// is read anew from there: whoever asked for it was told that it failed, and asks again.
    pub(super) fn agree(&mut self) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let Some(number) = shared.store.doubt() else { return Ok(()) };
        let found = shared.store.read(|transaction| {
            if tables::last_commit(transaction)? != number {
                return Ok(None);
            }
            Ok(Some((tables::journal(transaction)?, load::all(transaction)?)))
        })?;
        shared.store.settle();
        let Some((journal, read)) = found else { return Ok(()) };
        tracing::warn!(head = journal.head, "a commit that failed is in the journal all the same");
        self.journal = journal;
        shared.database.store(self.journal.database, Ordering::Release);
        shared.bytes.store(self.journal.bytes, Ordering::Relaxed);
        {
            let mut consumers = shared.consumers();
            let mut known: BTreeMap<_, _> = std::mem::take(&mut consumers);
            for (name, read) in read {
                let core = match known.remove(&name) {
                    Some(core) => {
                        core.renew(&read);
                        core
                    }
                    None => read,
                };
                consumers.insert(name, core);
            }
            for (name, forgotten) in known {
                forgotten.lock().gone = true;
                forgotten.changed.notify_waiters();
                shared.metrics.forget(&name);
            }
        }
        shared.publisher.renew(self.journal.head);
        self.save_sidecar();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use crate::{ConsumerOptions, Feed, Item, Options};
    use master::{Batch, Sink as _};
    use model::{Change, ChangeId, Event, Position, World};
    use std::{collections::BTreeMap, path::Path, time::Duration};

    /// More than a commit has.
    const SYNCS: u32 = 9;

    fn open(dir: &Path) -> Feed {
        Feed::open(dir, Options { min_free_bytes: 0, ..Options::default() }).unwrap()
    }

    /// Journals a change; whether that is said to have succeeded.
    async fn add(feed: &Feed, id: u64) -> bool {
        let change = Box::new(Change { id: ChangeId(id), ..Change::default() });
        let batch = Batch { events: vec![Event::ChangeAdded { change }], ..Batch::default() };
        feed.ingest().commit(batch, &World::default()).await.is_ok()
    }

    async fn soon<T>(what: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(20), what).await.unwrap()
    }

    /// Sequence and change of all records.
    async fn records(feed: &Feed) -> BTreeMap<u64, u64> {
        let head = feed.head();
        let mut follower = feed.follow(Position { seq: 0, ..head });
        let mut records = BTreeMap::new();
        while (records.len() as u64) < head.seq {
            match soon(follower.next()).await {
                Item::Record(record) => {
                    records.insert(record.position.seq, record.event.key().1);
                }
                Item::State(_) => {}
                other => unreachable!("{other:?}"),
            }
        }
        records
    }

    #[tokio::test]
    async fn what_a_commit_wrote_that_failed_at_its_end_is_followed_and_not_overwritten() {
        let mut outcomes = Vec::new();
        for nth in 1..=SYNCS {
            let dir = tempfile::tempdir().unwrap();
            let feed = open(dir.path());
            assert!(add(&feed, 1).await);
            let mut follower = feed.follow(feed.head());
            feed.shared().store.fail_sync(nth);
            let said = add(&feed, 2).await;
            if said {
                // It has no more than those before.
                break;
            }
            // Whoever is told of a failure starts again from what is known.
            assert!(feed.ingest().known().world.open.is_empty());
            assert!(add(&feed, 3).await);
            let kept = records(&feed).await;
            let there = kept.values().any(|id| *id == 2);
            let expected: Vec<u64> = (1..=3).filter(|id| *id != 2 || there).collect();
            assert_eq!(kept.values().copied().collect::<Vec<_>>(), expected, "sync {nth}");
            assert!(kept.keys().copied().eq(1..=kept.len() as u64), "sync {nth}: {kept:?}");
            match soon(follower.next()).await {
                Item::Resync => assert!(there, "sync {nth}"),
                Item::Record(record) => {
                    assert_eq!((record.event.key().1, there), (3, false), "sync {nth}");
                }
                other => unreachable!("{other:?}"),
            }
            feed.close().await;
            let again = open(dir.path());
            assert_eq!(again.journal_lost(), None, "sync {nth}");
            assert_eq!(records(&again).await, kept, "sync {nth}");
            outcomes.push(there);
        }
        assert!(outcomes.contains(&false) && outcomes.contains(&true), "{outcomes:?}");
    }

    #[tokio::test]
    async fn an_acknowledgement_that_failed_at_its_end_counts_once() {
        let mut refused = 0;
        for nth in 1..=SYNCS {
            let dir = tempfile::tempdir().unwrap();
            let feed = open(dir.path());
            let mut consumer = feed.consumer("mail", ConsumerOptions::default()).await.unwrap();
            for id in 1..=2 {
                assert!(add(&feed, id).await);
            }
            let at = soon(consumer.next()).await.unwrap().position;
            let done = || crate::Done { delivered: true, ..crate::Done::default() };
            feed.shared().store.fail_sync(nth);
            if consumer.done(at, done()).await.is_ok() {
                break;
            }
            refused += 1;
            consumer.done(at, done()).await.unwrap();
            let status = consumer.status();
            assert_eq!((status.delivered, status.backlog, status.in_flight), (1, 1, 0), "{nth}");
            assert_eq!(soon(consumer.next()).await.unwrap().position.seq, 2, "{nth}");
            feed.close().await;
            let status = open(dir.path()).consumers().remove(0);
            assert_eq!((status.delivered, status.backlog), (1, 1), "{nth}");
        }
        assert!(refused >= 2, "{refused}");
    }
}
