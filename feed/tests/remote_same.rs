//! What a reader can rely on is the same in the feed's process and over HTTP: each behaviour is
//! run in both places.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;
mod remote;
mod served;

use common::*;
use feed::{
    AnyConsumer, AnyFollower, BuildQuery, ConsumerError, ConsumerOptions, DeadLetter, Done, Fault,
    Item, LogError, LossKind, PeerState, Report, SnapshotLimits, StateChange, User,
};
use futures_util::{FutureExt as _, future::BoxFuture};
use master::{Batch, ClientError, LogChunk, LogSource, Sink as _, Watch, WatchGuard};
use model::{BuildId, BuilderId, Change, ChangeId, Event, LogId, Position, Record, World};
use remote::Stage;
use served::NAME;
use std::{collections::BTreeMap, sync::Arc};

/// Runs each behaviour in process and over HTTP.
macro_rules! the_same {
    ($($behaviour:ident),* $(,)?) => {
        mod in_process {
            $(#[tokio::test]
            async fn $behaviour() {
                super::$behaviour(super::Stage::local().await).await;
            })*
        }
        mod over_http {
            $(#[tokio::test]
            async fn $behaviour() {
                super::$behaviour(super::Stage::remote().await).await;
            })*
        }
    };
}

the_same!(
    a_new_consumer_starts_at_the_head_and_an_old_one_where_it_was,
    acknowledged_out_of_order_the_rest_comes_again_in_order,
    the_window_bounds_what_is_in_flight,
    a_newer_open_ends_the_older,
    positions_that_were_not_handed_out_are_refused,
    state_is_committed_with_its_acknowledgement,
    a_parked_record_is_kept_until_it_is_replayed_or_dropped,
    a_forgotten_consumer_ends,
    what_came_of_records_is_counted_with_their_acknowledgements,
    what_a_process_says_of_itself_is_told_with_its_consumer,
    a_consumer_that_stood_in_another_journal_says_that_it_was_lost,
    what_is_held_is_not_handed_out_again,
    a_subscriber_misses_nothing_after_its_snapshot,
    a_follower_reads_on_from_a_position_and_resyncs_from_an_unknown_one,
    builds_and_changes_are_found,
    people_are_listed_by_name_a_page_at_a_time,
    the_text_of_logs_is_read_or_the_reason_told,
    a_log_is_watched_as_long_as_anybody_follows_it,
);

async fn consumer(stage: &Stage) -> AnyConsumer {
    soon(stage.feed.consumer(NAME, ConsumerOptions::default())).await.unwrap()
}

async fn next(consumer: &mut AnyConsumer) -> (u64, Position) {
    let record = soon(consumer.next()).await.unwrap();
    (id_of(&record), record.position)
}

async fn record_of(follower: &mut AnyFollower) -> Arc<Record> {
    loop {
        match soon(follower.next()).await {
            Item::Record(record) => return record,
            Item::State(_) => {}
            other => panic!("not a record: {other:?}"),
        }
    }
}

fn letter() -> DeadLetter {
    DeadLetter { class: "permanent".into(), text: "550 no such user".into(), attempts: 2, at_ms: 7 }
}

async fn a_new_consumer_starts_at_the_head_and_an_old_one_where_it_was(stage: Stage) {
    add(&stage.journal, 1..=3).await;
    let mut first = consumer(&stage).await;
    assert_eq!(first.handle().backlog(), 0);
    assert!(nothing(first.next()).await);
    add(&stage.journal, 4..=5).await;
    assert_eq!(next(&mut first).await.0, 4);
    assert_eq!(next(&mut first).await.0, 5);
    drop(first);
    let mut again = consumer(&stage).await;
    assert_eq!(again.handle().backlog(), 2);
    assert_eq!(next(&mut again).await.0, 4, "not acknowledged");
}

async fn acknowledged_out_of_order_the_rest_comes_again_in_order(stage: Stage) {
    let mut first = consumer(&stage).await;
    add(&stage.journal, 1..=6).await;
    let mut at = Vec::new();
    for _ in 1..=6 {
        at.push(next(&mut first).await.1);
    }
    for id in [5, 2, 4] {
        soon(first.handle().acknowledge(at[id - 1], None)).await.unwrap();
    }
    assert_eq!(first.handle().backlog(), 3);
    drop(first);
    let mut again = consumer(&stage).await;
    for id in [1, 3, 6] {
        assert_eq!(next(&mut again).await.0, id);
    }
    assert!(nothing(again.next()).await);
}

async fn the_window_bounds_what_is_in_flight(stage: Stage) {
    let options = ConsumerOptions { window: Some(2), ..ConsumerOptions::default() };
    let mut consumer = stage.feed.consumer(NAME, options).await.unwrap();
    add(&stage.journal, 1..=5).await;
    let (_, first) = next(&mut consumer).await;
    next(&mut consumer).await;
    assert!(nothing(consumer.next()).await);
    assert_eq!(consumer.handle().status().in_flight, 2);
    soon(consumer.handle().acknowledge(first, None)).await.unwrap();
    assert_eq!(next(&mut consumer).await.0, 3);
    assert!(nothing(consumer.next()).await);
}

async fn a_newer_open_ends_the_older(stage: Stage) {
    let mut older = consumer(&stage).await;
    add(&stage.journal, [1]).await;
    let (_, at) = next(&mut older).await;
    let handle = older.handle();
    let waiting = tokio::spawn(async move { older.next().await });
    let mut newer = consumer(&stage).await;
    let ended = soon(waiting).await.unwrap().unwrap_err();
    assert!(matches!(ended, ConsumerError::Superseded { .. }), "{ended}");
    let refused = soon(handle.acknowledge(at, None)).await;
    let superseded = ConsumerError::Superseded { name: NAME.into(), own: 1, newer: 2 };
    assert_eq!(refused, Err(superseded));
    assert_eq!(next(&mut newer).await.1, at);
    soon(newer.handle().acknowledge(at, None)).await.unwrap();
    soon(newer.handle().acknowledge(at, None)).await.expect("done already is no error");
}

async fn positions_that_were_not_handed_out_are_refused(stage: Stage) {
    add(&stage.journal, [1]).await;
    let consumer = consumer(&stage).await;
    let head = stage.journal.head();
    let given = Position { seq: head.seq + 1, ..head };
    let refused = soon(consumer.handle().acknowledge(given, None)).await;
    assert_eq!(refused, Err(ConsumerError::NotHandedOut { given }));
    let given = Position { epoch: head.epoch + 1, seq: 1 };
    let refused = soon(consumer.handle().acknowledge(given, None)).await;
    assert_eq!(refused, Err(ConsumerError::OtherJournal { given, epoch: head.epoch }));
    let refused = stage.feed.consumer("", ConsumerOptions::default()).await;
    assert!(matches!(refused, Err(ConsumerError::Bounds(_))));
}

async fn state_is_committed_with_its_acknowledgement(stage: Stage) {
    {
        let mut consumer = consumer(&stage).await;
        add(&stage.journal, [1]).await;
        let (_, at) = next(&mut consumer).await;
        let handle = consumer.handle();
        soon(handle.acknowledge(at, Some(StateChange::set("notify", [0, 255])))).await.unwrap();
        assert_eq!(handle.get_state("notify").unwrap(), [0, 255]);
        soon(handle.save(StateChange::set("other", "x"))).await.unwrap();
        let gone = StateChange { remove: ["other".into()].into(), ..StateChange::default() };
        soon(handle.save(gone)).await.unwrap();
        assert_eq!(handle.get_state("other"), None);
        let refused = handle.save(StateChange::set("k", vec![0; 100_000])).await;
        assert!(matches!(refused, Err(ConsumerError::Bounds(_))));
    }
    let again = consumer(&stage).await;
    assert_eq!(again.handle().get_state("notify").unwrap(), [0, 255]);
    assert_eq!(again.handle().get_state("other"), None);
    assert_eq!(again.handle().backlog(), 0);
}

async fn a_parked_record_is_kept_until_it_is_replayed_or_dropped(stage: Stage) {
    let mut consumer = consumer(&stage).await;
    add(&stage.journal, 1..=3).await;
    let handle = consumer.handle();
    let mut at = Vec::new();
    for _ in 1..=3 {
        let (_, position) = next(&mut consumer).await;
        soon(handle.park(position, letter())).await.unwrap();
        at.push(position);
    }
    let letters = stage.feed.dead_letters(NAME, Some(at[0]), 1).await.unwrap();
    assert_eq!((letters.len(), letters[0].position), (1, at[1]));
    assert_eq!(letters[0].letter, letter());
    stage.feed.drop_letter(NAME, at[2]).await.unwrap();
    let unknown = stage.feed.replay(NAME, at[2]).await.unwrap_err();
    assert!(matches!(unknown, ConsumerError::NotFound(_)), "{unknown:?}");
    assert!(!unknown.to_string().contains("there is no there is no"), "{unknown}");

    stage.feed.replay(NAME, at[0]).await.unwrap();
    assert_eq!(next(&mut consumer).await.1, at[0]);
    soon(handle.park(at[0], letter())).await.unwrap();
    assert_eq!(stage.feed.consumers().await.unwrap()[0].dead_letters, 2, "parked again, once");
    stage.feed.replay(NAME, at[0]).await.unwrap();
    assert_eq!(next(&mut consumer).await.1, at[0]);
    soon(handle.acknowledge(at[0], None)).await.unwrap();
    let letters = stage.feed.dead_letters(NAME, None, 10).await.unwrap();
    assert_eq!(letters.iter().map(|l| l.position).collect::<Vec<_>>(), [at[1]]);
}

async fn a_forgotten_consumer_ends(stage: Stage) {
    let mut consumer = consumer(&stage).await;
    add(&stage.journal, [1]).await;
    let (_, at) = next(&mut consumer).await;
    stage.feed.forget(NAME).await.unwrap();
    stage.feed.forget(NAME).await.expect("forgetting twice is no error");
    let ended = soon(consumer.next()).await.unwrap_err();
    assert!(matches!(ended, ConsumerError::NotFound(_)), "{ended}");
    let refused = soon(consumer.handle().acknowledge(at, None)).await.unwrap_err();
    assert!(matches!(refused, ConsumerError::NotFound(_)), "{refused}");
    assert!(stage.feed.consumers().await.unwrap().is_empty());
}

async fn what_came_of_records_is_counted_with_their_acknowledgements(stage: Stage) {
    let mut consumer = consumer(&stage).await;
    add(&stage.journal, 1..=5).await;
    let handle = consumer.handle();
    let partly = Done { letter: Some(letter()), ..Done::delivered(1) };
    let state = StateChange::set("k", "v");
    let all = [
        Done::delivered(3).with(state),
        Done::skipped(),
        partly,
        Done::given_up(letter(), 2),
        Done::delivered(0),
    ];
    for done in all {
        let (_, at) = next(&mut consumer).await;
        soon(handle.done(at, done.clone())).await.unwrap();
        soon(handle.done(at, done)).await.expect("done already is no error");
    }
    let status = stage.feed.status(NAME).await.unwrap();
    assert_eq!((status.delivered, status.failed, status.dead_letters), (3, 6, 2));
    assert!(status.last_delivered_ms.unwrap() > 1_700_000_000_000);
    assert_eq!(handle.get_state("k").unwrap(), b"v");
}

async fn what_a_process_says_of_itself_is_told_with_its_consumer(stage: Stage) {
    let mut report = Report::default();
    report.peer.attempted(Some(("Transient", "no connection")));
    report.problem = Some(Fault::new("SecretMissing", "there is no Secret \"smtp\""));
    let say = |report: Report| {
        let feed = stage.feed.clone();
        async move { soon(feed.report(NAME, "MailNotifier", &report)).await }
    };
    say(report.clone()).await.unwrap();
    let readers = stage.feed.readers().await.unwrap();
    let [reader] = &readers[..] else { panic!("{readers:?}") };
    assert_eq!((reader.name.as_str(), reader.kind.as_str()), (NAME, "MailNotifier"));
    assert!(reader.last_seen_ms > 1_700_000_000_000);
    assert_eq!(reader.report, Report { at_ms: reader.last_seen_ms, ..report.clone() });

    let consumer = consumer(&stage).await;
    assert!(stage.feed.readers().await.unwrap().is_empty(), "it has a consumer now");
    let told = stage.feed.status(NAME).await.unwrap().report.unwrap();
    assert_eq!((told.peer, told.problem), (report.peer.clone(), report.problem.clone()));
    report.peer.attempted(None);
    report.problem = None;
    say(report.clone()).await.unwrap();
    let told = stage.feed.status(NAME).await.unwrap().report.unwrap();
    assert_eq!((told.peer.state, told.problem), (PeerState::Reachable, None));
    report.problem = Some(Fault::new("no word", ""));
    let refused = say(report).await;
    assert!(matches!(refused, Err(ConsumerError::Bounds(_))), "{refused:?}");
    drop(consumer);
    stage.feed.forget(NAME).await.unwrap();
    assert!(stage.feed.readers().await.unwrap().is_empty(), "forgotten with its consumer");
}

async fn a_consumer_that_stood_in_another_journal_says_that_it_was_lost(stage: Stage) {
    let head = stage.journal.head();
    let known = Position { epoch: head.epoch - 1, seq: 41 };
    let held = vec![Position { seq: 43, ..known }, Position { seq: 44, ..known }];
    let options = ConsumerOptions { known: Some(known), held, ..ConsumerOptions::default() };
    let consumer = soon(stage.feed.consumer(NAME, options)).await.unwrap();
    let lost = consumer.handle().status().journal_lost.unwrap();
    assert_eq!((lost.previous, lost.backlog, lost.reason), (known, 2, LossKind::Volume));
    drop(consumer);
    let here = ConsumerOptions { known: Some(head), ..ConsumerOptions::default() };
    let consumer = soon(stage.feed.consumer(NAME, here)).await.unwrap();
    assert_eq!(consumer.handle().status().journal_lost, Some(lost), "it stays said");
}

async fn what_is_held_is_not_handed_out_again(stage: Stage) {
    let mut first = consumer(&stage).await;
    add(&stage.journal, 1..=3).await;
    let (_, at) = next(&mut first).await;
    let held = ConsumerOptions { held: vec![at], ..ConsumerOptions::default() };
    let mut again = stage.feed.consumer(NAME, held).await.unwrap();
    assert_eq!(next(&mut again).await.0, 2);
    assert_eq!(next(&mut again).await.0, 3);
    soon(again.handle().acknowledge(at, None)).await.unwrap();
    assert!(nothing(again.next()).await);
}

async fn a_subscriber_misses_nothing_after_its_snapshot(stage: Stage) {
    add(&stage.journal, 1..=3).await;
    let (snapshot, mut follower) = stage.feed.subscribe(SnapshotLimits::default()).await.unwrap();
    assert_eq!(snapshot.changes.len(), 3);
    assert_eq!(snapshot, stage.journal.snapshot(SnapshotLimits::default()).await.unwrap());
    assert_eq!(follower.position(), snapshot.position);
    add(&stage.journal, 4..=5).await;
    assert_eq!(id_of(record_of(&mut follower).await), 4);
    assert_eq!(id_of(record_of(&mut follower).await), 5);
    assert_eq!(follower.position(), stage.journal.head());
    let past = Batch { history: vec![build(9, 1)], ..Batch::default() };
    stage.journal.ingest().commit(past, &World::default()).await.unwrap();
    loop {
        match soon(follower.next()).await {
            Item::History(build) => break assert_eq!(build.id, BuildId(9)),
            Item::State(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn a_follower_reads_on_from_a_position_and_resyncs_from_an_unknown_one(stage: Stage) {
    add(&stage.journal, 1..=3).await;
    let head = stage.journal.head();
    let mut follower = stage.feed.follow(Position { seq: head.seq - 1, ..head });
    assert_eq!(id_of(record_of(&mut follower).await), 3);
    let mut lost = stage.feed.follow(Position { epoch: head.epoch + 7, seq: 1 });
    loop {
        match soon(lost.next()).await {
            Item::Resync => break,
            Item::State(_) => {}
            other => panic!("{other:?}"),
        }
    }
    add(&stage.journal, [4]).await;
    assert_eq!(id_of(record_of(&mut lost).await), 4);
}

async fn builds_and_changes_are_found(stage: Stage) {
    let events = (1..=4).map(|id| finished(id, 1 + id % 2)).chain([added(8), added(9)]);
    let events = batch(events.collect());
    stage.journal.ingest().commit(events, &World::default()).await.unwrap();
    let feed = &stage.feed;
    let found = feed.build(BuildId(3)).await.unwrap().unwrap();
    assert_eq!(Some(found), stage.journal.build(BuildId(3)).await.unwrap());
    assert_eq!(feed.build(BuildId(77)).await.unwrap(), None);
    let query = BuildQuery { builder: Some(BuilderId(1)), below: Some(4), limit: 10 };
    let ids = |builds: Vec<model::Build>| builds.iter().map(|b| b.id.0).collect::<Vec<_>>();
    assert_eq!(ids(feed.builds(query).await.unwrap()), [2]);
    assert_eq!(ids(feed.builds(BuildQuery::default()).await.unwrap()), [4, 3, 2, 1]);
    assert_eq!(feed.change(ChangeId(8)).await.unwrap().unwrap(), change(8));
    assert_eq!(feed.change(ChangeId(7)).await.unwrap(), None);
    let changes = feed.changes(Some(ChangeId(9)), 5).await.unwrap();
    assert_eq!(changes, [change(8)]);
}

async fn people_are_listed_by_name_a_page_at_a_time(stage: Stage) {
    let by = |id: u64, author: &str| Event::ChangeAdded {
        change: Box::new(Change { author: author.into(), ..change(id) }),
    };
    let authors = ["dora", "Ann <ann@example.org>", "bob & co", "Ann <ann@example.org>"];
    let events = (1..).zip(authors).map(|(id, author)| by(id, author)).collect();
    stage.journal.ingest().commit(batch(events), &World::default()).await.unwrap();
    let names = |users: &[User]| users.iter().map(|u| u.name.clone()).collect::<Vec<_>>();
    let all = stage.feed.users(None, 1000).await.unwrap();
    assert_eq!(names(&all), ["Ann", "bob & co", "dora"]);
    assert_eq!(all[0].address.as_deref(), Some("ann@example.org"));
    assert_eq!(all, stage.journal.users(None, 1000).await.unwrap());
    let page = stage.feed.users(Some("Ann"), 1).await.unwrap();
    assert_eq!(names(&page), ["bob & co"], "a name is one part of the query");
    assert_eq!(stage.feed.users(Some("dora"), 10).await.unwrap(), []);
    assert_eq!(stage.feed.users(None, 0).await.unwrap(), []);
}

/// A master with one log of five lines, and the logs whose growth it is asked to tell of.
#[derive(Default)]
struct Lines(Watch);

impl LogSource for Lines {
    fn lines(
        &self,
        log: LogId,
        first: u64,
        limit: u64,
    ) -> BoxFuture<'_, Result<LogChunk, ClientError>> {
        let text = (first..5.min(first.saturating_add(limit))).map(|n| format!("oline {n}\n"));
        let chunk = LogChunk { first, text: text.collect() };
        let gone = ClientError::NotFound(format!("log {log}"));
        async move { if log == LogId(10) { Ok(chunk) } else { Err(gone) } }.boxed()
    }

    fn watch(&self, log: LogId) -> Option<WatchGuard> {
        Some(self.0.log(log))
    }
}

async fn the_text_of_logs_is_read_or_the_reason_told(stage: Stage) {
    let feed = &stage.feed;
    assert_eq!(feed.log(LogId(10), 0, 10).await, Err(LogError::NoSource));
    stage.journal.set_log_source(Arc::new(Lines::default()));
    let chunk = feed.log(LogId(10), 3, 10).await.unwrap();
    assert_eq!(chunk, LogChunk { first: 3, text: "oline 3\noline 4\n".into() });
    let gone = feed.log(LogId(11), 0, 10).await;
    assert_eq!(gone, Err(LogError::Master(ClientError::NotFound("log 11".into()))));
}

async fn a_log_is_watched_as_long_as_anybody_follows_it(stage: Stage) {
    let watch = Watch::default();
    stage.journal.set_log_source(Arc::new(Lines(watch.clone())));
    let mut watched = watch.subscribe();
    let first = stage.feed.watch_log(LogId(10));
    let second = stage.feed.watch_log(LogId(10));
    let other = stage.feed.watch_log(LogId(20));
    let are = |logs: &BTreeMap<LogId, usize>, ids: &[u64]| {
        logs.keys().map(|log| log.0).eq(ids.iter().copied())
    };
    soon(watched.wait_for(|logs| are(logs, &[10, 20]))).await.unwrap();
    drop((first, other));
    soon(watched.wait_for(|logs| are(logs, &[10]))).await.unwrap();
    drop(second);
    soon(watched.wait_for(|logs| are(logs, &[]))).await.unwrap();
}
