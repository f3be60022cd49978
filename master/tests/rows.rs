//! Rows and answers of a master that are too large, odd, or never come: they do not hold up the others.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/fake.rs"]
mod fake;
mod support;

use fake::{Fake, Reply, Socket, settings};
use master::{Client, LogSource as _, StateKind};
use model::{Buildset, BuildsetId, Event, LogId, Outcome, Request, RequestId};
use serde_json::json;
use std::time::Duration;
use support::{Memory, Run};

#[tokio::test]
async fn one_row_that_cannot_be_read_does_not_hold_up_the_others() {
    one_row_is(Reply::Raw("500 Internal Server Error", "", "{}")).await;
}

#[tokio::test]
async fn one_row_that_never_comes_does_not_hold_up_the_others() {
    one_row_is(Reply::Hang).await;
}

#[tokio::test]
async fn one_row_that_is_no_json_does_not_hold_up_the_others() {
    one_row_is(Reply::Raw("200 OK", "", r#"{"changes": [NaN]}"#)).await;
}

/// A build of whose details one answer is as this; all others are as they should be.
async fn one_row_is(broken: Reply) {
    let fake = Fake::start(Socket::Good).await;
    let journal = Memory::default();
    let run = Run::of(settings(&fake), &journal);
    journal.until("live", support::Store::is_live).await;
    has_built(&fake);
    fake.reply("/api/v2/builds/1/changes", broken);
    fake.send("doubt");
    journal.until("the build", |s| s.finished().len() == 1).await;
    let completed = |e: &Event| matches!(e, Event::BuildsetCompleted { buildset } if buildset.outcome == Some(Outcome::Failure));
    journal.until("its buildset, left open", |s| s.events.iter().any(completed)).await;
    run.stop().await;
    assert_eq!(fake.times_asked("GET /ws"), 1, "the connection was kept");
}

/// A build that has ended, and what belongs to it.
fn has_built(fake: &Fake) {
    let row = json!({"buildid": 1, "number": 1, "builderid": 1, "buildrequestid": 1, "complete": true,
        "complete_at": 9, "started_at": 5, "results": 2, "properties": {}});
    let request = json!({"buildrequestid": 1, "buildsetid": 1, "builderid": 1, "complete": true,
        "results": 2, "complete_at": 9, "submitted_at": 4});
    let set = json!({"bsid": 1, "complete": false, "submitted_at": 4, "sourcestamps": []});
    for (path, list, rows) in [
        ("builds", "builds", json!([row])),
        ("builds/1", "builds", json!([row])),
        ("builds/1/steps", "steps", json!([])),
        ("builds/1/changes", "changes", json!([])),
        ("buildrequests", "buildrequests", json!([request])),
        ("buildrequests/1", "buildrequests", json!([request])),
        ("buildsets/1", "buildsets", json!([set])),
        ("buildsets/1/properties", "properties", json!([{}])),
    ] {
        fake.reply(&format!("/api/v2/{path}"), Reply::Json(json!({list: rows})));
    }
}

#[tokio::test]
async fn a_request_that_ended_while_nobody_listened_ends_after_its_build() {
    let fake = Fake::start(Socket::Good).await;
    has_built(&fake);
    let journal = used();
    {
        let mut store = journal.store();
        let (id, buildset) = (RequestId(1), BuildsetId(1));
        store.world.requests.insert(id, Request { id, buildset, ..Request::default() });
        store.world.buildsets.insert(buildset, Buildset { id: buildset, ..Buildset::default() });
        (store.world.highest.request, store.world.highest.seen_requests) = (id, 1);
        (store.world.highest.buildset, store.world.highest.seen_buildsets) = (buildset, 1);
    }
    let run = Run::of(settings(&fake), &journal);
    journal.until("live", support::Store::is_live).await;
    run.stop().await;
    let store = journal.store();
    let names: Vec<&str> = store.events.iter().map(Event::name).collect();
    assert_eq!(names, ["buildStarted", "buildFinished", "requestCompleted", "buildsetCompleted"]);
}

/// Goes on from a journal that has been used, so that all the master has is new to it.
fn used() -> Memory {
    let journal = Memory::default();
    journal.store().commits = 1;
    journal
}

fn changes(store: &support::Store) -> Vec<u64> {
    let id = |event: &Event| match event {
        Event::ChangeAdded { change } => Some(change.id.0),
        _ => None,
    };
    let mut changes: Vec<u64> = store.events.iter().filter_map(id).collect();
    changes.sort_unstable();
    changes
}

#[tokio::test]
async fn rows_too_large_for_one_answer_come_a_few_at_a_time_and_the_largest_is_left_out() {
    let fake = Fake::start(Socket::Good).await;
    let megabytes = |id| if id == 4 { 33 } else { 5 };
    let row = |id: u64| json!({"changeid": id, "comments": "x".repeat(megabytes(id) << 20)});
    let rows = (1..=10).map(row).collect();
    fake.reply("/api/v2/changes", Reply::Rows { field: "changes", key: "changeid", rows });
    let journal = used();
    let mut settings = settings(&fake);
    settings.timeout = Duration::from_secs(30);
    settings.ping = Duration::from_secs(30);
    let run = Run::of(settings, &journal);
    journal.until("live", support::Store::is_live).await;
    run.stop().await;
    assert_eq!(changes(&journal.store()), [1, 2, 3, 5, 6, 7, 8, 9, 10]);
    assert!(!journal.store().saw(StateKind::Slow), "{:?}", journal.store().states);
    let asked = fake.asked.lock().unwrap();
    let limit = |head: &String| head.contains("limit=200") || head.contains("limit=25");
    let large = asked.iter().filter(|head| head.starts_with("GET /api/v2/changes?") && limit(head));
    assert!(large.count() <= 3, "what was too large is not asked for over and over");
}

#[tokio::test]
async fn rows_that_are_not_as_documented_are_left_out_and_the_others_come() {
    let fake = Fake::start(Socket::Good).await;
    let rows = vec![
        json!({"changeid": 1}),
        json!({"changeid": 2, "files": 7}),
        json!("x"),
        json!({"changeid": "three"}),
        json!({"changeid": 5}),
    ];
    fake.reply("/api/v2/changes", Reply::Rows { field: "changes", key: "changeid", rows });
    let builders = json!([{"builderid": 1, "name": 5}, {"builderid": 2, "masterids": [1]}]);
    fake.reply("/api/v2/builders", Reply::Json(json!({"builders": builders})));
    let workers = json!([{"workerid": 1, "connected_to": [1]}, null]);
    fake.reply("/api/v2/workers", Reply::Json(json!({"workers": workers})));
    let journal = used();
    let run = Run::of(settings(&fake), &journal);
    journal.until("live", support::Store::is_live).await;
    run.stop().await;
    let store = journal.store();
    assert_eq!(changes(&store), [1, 5]);
    assert!(store.world.builders.keys().map(|id| id.0).eq([2]));
    assert!(store.world.workers.keys().map(|id| id.0).eq([1]));
}

#[tokio::test]
async fn an_answer_with_lines_of_a_log_is_bounded_however_long_they_are() {
    let fake = Fake::start(Socket::Good).await;
    let lines = (0..100).map(|n| format!("o{n} {}", "x".repeat(1 << 20))).collect();
    fake.reply("/api/v2/logs/7/contents", Reply::Lines(lines));
    let mut settings = settings(&fake);
    settings.timeout = Duration::from_secs(30);
    let client = Client::new(&settings).unwrap();
    let chunk = client.lines(LogId(7), 3, 100).await.unwrap();
    assert!(chunk.text.starts_with("o3 x") && chunk.text.len() <= 8 << 20, "{}", chunk.text.len());
}
