//! Many tasks at once. Loom and shuttle can't see into tokio's `Notify` and `watch`, nor into the
//! writer's thread and its disk, and what is subtle lies between these. So real threads run, with
//! yields at random points, and a wake-up that is lost shows as a test that waits in vain.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::*;
use feed::{ConsumerOptions, Item, SnapshotLimits};
use std::collections::BTreeSet;

const EVENTS: u64 = 500;

/// Numbers that look random, the same for a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    async fn yields(&mut self) {
        for _ in 0..self.below(4) {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_wake_up_is_lost_between_writer_consumers_and_followers() {
    let dir = tempfile::tempdir().unwrap();
    let feed = open(dir.path());
    let mut tasks = tokio::task::JoinSet::new();
    for (number, window) in [1, 2, 7, 64].into_iter().enumerate() {
        let options = ConsumerOptions { window: Some(window), ..ConsumerOptions::default() };
        let mut consumer = feed.consumer(&format!("c{number}"), options).await.unwrap();
        let mut chance = Chance(number as u64);
        tasks.spawn(async move {
            let mut acks = tokio::task::JoinSet::new();
            for id in 1..=EVENTS {
                let record = soon(consumer.next()).await.unwrap();
                assert_eq!(id_of(&record), id, "consumer {number}");
                chance.yields().await;
                let (handle, mut chance) = (consumer.handle(), Chance(id));
                acks.spawn(async move {
                    chance.yields().await;
                    handle.acknowledge(record.position, None).await.unwrap();
                });
                while acks.try_join_next().is_some() {}
            }
            while soon(acks.join_next()).await.is_some() {}
            assert_eq!(consumer.backlog(), 0);
        });
    }
    for number in 0..3 {
        let (feed, mut chance) = (feed.clone(), Chance(100 + number));
        tasks.spawn(async move {
            chance.yields().await;
            let limits = SnapshotLimits { changes: 5000, ..SnapshotLimits::default() };
            let (snapshot, mut follower) = feed.subscribe(limits).await.unwrap();
            let mut seen: BTreeSet<u64> = snapshot.changes.iter().map(|c| c.id.0).collect();
            while (seen.len() as u64) < EVENTS {
                match soon(follower.next()).await {
                    Item::Record(record) => {
                        assert!(seen.insert(id_of(&record)), "follower {number}: twice");
                    }
                    other => panic!("{other:?}"),
                }
                chance.yields().await;
            }
        });
    }
    let mut chance = Chance(7);
    let mut last = 0;
    while last < EVENTS {
        let next = (last + 1 + chance.below(5)).min(EVENTS);
        add(&feed, last + 1..=next).await;
        last = next;
        chance.yields().await;
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
}
