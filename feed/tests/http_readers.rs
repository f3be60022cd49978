//! Readers that keep no place, and questions about the present and the past, over HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;
mod served;

use common::*;
use feed::{
    Retention, Snapshot, SnapshotLimits,
    http::api::{Builds, Changes, Code, Info, Item, Lines, MSGPACK, Past, Place, Users},
};
use master::{Batch, MasterState, Sink as _, StateKind};
use model::{Build, Builder, BuilderId, Live, World};
use served::*;
use std::{collections::BTreeMap, io::Read as _, time::Duration};

fn item(event: &Event) -> Item {
    Item::parse(&event.name, &event.data).unwrap().unwrap()
}

async fn events(served: &Served, query: &str) -> Events {
    Events::of(served.get(&format!("events{query}"))).await
}

/// What comes after the event of this id.
async fn after(served: &Served, id: &str) -> Events {
    Events::of(served.get("events").header("last-event-id", id)).await
}

#[tokio::test]
async fn a_reader_hears_all_kinds_of_items_from_the_head_on() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path()).await;
    add(&served.feed, [1]).await;
    let mut events = events(&served, "").await;
    let first = events.next().await.unwrap();
    assert!(matches!(item(&first), Item::State(_)), "{first:?}");
    assert_eq!(first.position(), served.feed.head(), "there is an id from the start");

    add(&served.feed, [2]).await;
    assert_eq!(id_of(events.until("record").await.record()), 2);
    let mut ingest = served.feed.ingest();
    ingest.live(Live::BuildText { build: build(1, 1).id, text: "compiling".into() });
    let live = events.until("live").await;
    assert!(matches!(item(&live), Item::Live(live) if matches!(&*live,
        Live::BuildText { text, .. } if text == "compiling")));
    ingest.state(MasterState::now(StateKind::Live, "connected"));
    let state = events.until("state").await;
    assert!(matches!(item(&state), Item::State(s) if s.kind == StateKind::Live));

    let past =
        Batch { history: vec![build(9, 1)], history_changes: vec![change(8)], ..Batch::default() };
    ingest.commit(past, &World::default()).await.unwrap();
    let change = events.until("historyChange").await;
    assert!(matches!(item(&change), Item::HistoryChange(c) if c.id.0 == 8));
    let build = events.until("history").await;
    assert!(matches!(item(&build), Item::History(b) if b.id.0 == 9));
}

#[tokio::test]
async fn a_reader_that_connects_again_reads_on_after_the_last_event_it_had() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path()).await;
    let mut first = events(&served, "").await;
    add(&served.feed, 1..=3).await;
    first.until("record").await;
    let last = first.until("record").await.id.unwrap();
    drop(first);
    let request = served.get("events").header("last-event-id", &last);
    let mut again = Events::of(request).await;
    assert_eq!(id_of(again.until("record").await.record()), 3);
    // A plain position will do too, and the header goes before the query.
    let position = last.split('~').next().unwrap();
    let mut plain = events(&served, &format!("?from={position}")).await;
    assert_eq!(id_of(plain.until("record").await.record()), 3);
    let request = served.get("events?from=1.1").header("last-event-id", &last);
    let mut both = Events::of(request).await;
    assert_eq!(id_of(both.until("record").await.record()), 3);
}

#[tokio::test]
async fn a_reader_that_was_away_while_the_past_was_told_takes_a_new_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path()).await;
    let mut first = events(&served, "").await;
    let last = first.next().await.unwrap().id.unwrap();
    drop(first);
    let past = Batch { history: vec![build(9, 1)], ..Batch::default() };
    served.feed.ingest().commit(past, &World::default()).await.unwrap();
    let mut cut = after(&served, &last).await;
    let begins = cut.next().await.unwrap().id.unwrap();
    drop(cut);
    // Whoever is cut before it hears so hears it the next time.
    let resync = after(&served, &begins).await.until("resync").await;
    assert!(matches!(item(&resync), Item::Resync));
    // From then on it misses nothing.
    let mut third = after(&served, &resync.id.unwrap()).await;
    add(&served.feed, [1]).await;
    third.next().await.unwrap();
    assert_eq!(third.next().await.unwrap().name, "record");
    // A place of another process says nothing about what was told by this one.
    let place: Place = last.parse().unwrap();
    let past = place.past.map(|past| Past { process: past.process ^ 1, ..past });
    let other = Place { past, ..place }.to_string();
    after(&served, &other).await.until("resync").await;
}

#[tokio::test]
async fn a_reader_that_was_away_while_the_masters_database_was_replaced_takes_a_new_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path()).await;
    let last = events(&served, "").await.next().await.unwrap().id.unwrap();
    let replaced = Batch { new_database: true, ..batch(vec![added(1)]) };
    served.feed.ingest().commit(replaced, &World::default()).await.unwrap();
    after(&served, &last).await.until("resync").await;
}

#[tokio::test]
async fn a_reader_whose_events_were_dropped_or_are_of_another_journal_takes_a_new_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let retention = Retention { max_age: Duration::ZERO, ..Retention::default() };
    let options = feed::Options { retention, tail_bytes: 0, ..options() };
    let feed = feed::Feed::open(dir.path(), options).unwrap();
    let served = served_with(feed, limits()).await;
    add(&served.feed, 1..=3).await;
    let epoch = served.feed.head().epoch;
    served.feed.maintain().await.unwrap();
    events(&served, &format!("?from={epoch}.1")).await.until("resync").await;
    let begins = events(&served, "?from=7.1").await.next().await.unwrap().id.unwrap();
    after(&served, &begins).await.until("resync").await;
}

#[tokio::test]
async fn a_snapshot_is_the_same_in_json_and_in_message_pack_compressed_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path()).await;
    let world = World {
        title: "Ümlaut".into(),
        builders: BTreeMap::from([(
            BuilderId(3),
            Builder { id: BuilderId(3), ..Builder::default() },
        )]),
        ..World::default()
    };
    let history: Vec<Build> = (1..=40).map(|id| build(id, id % 3)).collect();
    let batch = Batch { history, dirty: all_of(&world), ..batch(vec![added(1)]) };
    served.feed.ingest().commit(batch, &world).await.unwrap();
    let expected = served.feed.snapshot(SnapshotLimits::default()).await.unwrap();
    assert_eq!((expected.builds.len(), expected.world.title.as_str()), (40, "Ümlaut"));

    let json: Snapshot = good(served.get("snapshot")).await;
    assert_eq!(json, expected);
    let packed = served.get("snapshot").header("accept", format!("{MSGPACK}, application/json"));
    let packed = soon(packed.send()).await.unwrap();
    assert_eq!(packed.headers()["content-type"], MSGPACK);
    let packed: Snapshot = rmp_serde::from_slice(&packed.bytes().await.unwrap()).unwrap();
    assert_eq!(packed, expected);
    let zipped = served.raw().get(served.url("snapshot")).bearer_auth(&served.token);
    let zipped = soon(zipped.header("accept-encoding", "gzip").send()).await.unwrap();
    assert_eq!(zipped.headers()["content-encoding"], "gzip");
    let mut text = String::new();
    let bytes = zipped.bytes().await.unwrap();
    flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    assert_eq!(serde_json::from_str::<Snapshot>(&text).unwrap(), expected);
    let few: Snapshot =
        good(served.get("snapshot?builds_per_builder=2&builds_total=4&changes=0")).await;
    assert_eq!((few.builds.len(), few.changes.len()), (4, 0));
}

#[tokio::test]
async fn the_past_is_read_in_pages_and_by_key() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path()).await;
    let history: Vec<Build> = (1..=9).map(|id| build(id, id % 2)).collect();
    let batch =
        Batch { history, history_changes: (1..=9).map(change).collect(), ..Batch::default() };
    served.feed.ingest().commit(batch, &World::default()).await.unwrap();
    let ids = |builds: Builds| builds.builds.iter().map(|b| b.id.0).collect::<Vec<_>>();
    assert_eq!(ids(good(served.get("builds?limit=3")).await), [9, 8, 7]);
    assert_eq!(ids(good(served.get("builds?limit=2&below=7")).await), [6, 5]);
    assert_eq!(ids(good(served.get("builds?builder=0&below=8")).await), [6, 4, 2]);
    let one: Build = good(served.get("builds/4")).await;
    assert_eq!(one.id.0, 4);
    assert_eq!(bad(served.get("builds/44")).await.code, Code::NotFound);
    let changes: Changes = good(served.get("changes?limit=2&below=9")).await;
    assert_eq!(changes.changes.iter().map(|c| c.id.0).collect::<Vec<_>>(), [8, 7]);
    let one: model::Change = good(served.get("changes/4")).await;
    assert_eq!((one.id.0, one.author.as_str()), (4, "ann"));
    assert_eq!(bad(served.get("changes/44")).await.code, Code::NotFound);
    let users: Users = good(served.get("users")).await;
    assert_eq!(users.users.iter().map(|u| u.name.as_str()).collect::<Vec<_>>(), ["ann"]);
    let users: Users = good(served.get("users?after=ann")).await;
    assert_eq!(users.users.len(), 0);
}

#[tokio::test]
async fn info_says_whose_feed_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path()).await;
    add(&served.feed, [1]).await;
    let info: Info = good(served.get("info")).await;
    assert_eq!((info.namespace.as_str(), info.name.as_str()), ("default", "main"));
    assert_eq!(
        (info.master_uid.as_str(), info.head),
        (served.feed.master_uid(), served.feed.head())
    );
    assert_eq!(info.state.kind, StateKind::Connecting);
}

#[tokio::test]
async fn lines_of_a_log_come_by_range_and_a_master_that_is_away_is_a_problem() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path()).await;
    assert_eq!(bad(served.get("logs/10")).await.code, Code::NoSource);
    served.feed.set_log_source(log_source());
    let lines: Lines = good(served.get("logs/10?first=1&limit=2")).await;
    assert_eq!((lines.first, lines.text.as_str()), (1, "oline 1\noline 2\n"));
    assert_eq!(bad(served.get("logs/11")).await.code, Code::NotFound);
    assert_eq!(bad(served.get("logs/12")).await.code, Code::Master);
}
