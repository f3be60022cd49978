//! A push that reads the real journal: what is done and where the numbers go on is on disk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use axum::{Form, Router, routing::post};
use delivery::{budget::Budgets, compliance, run_batch};
use feed::{ConsumerOptions, Feed, Options};
use master::{Batch, Sink};
use model::World;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
};
use support::{about, metrics, push_spec};
use targets::http_push::{HttpPush, Secrets};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Opens the journal, adds builds and pushes all that is not done.
async fn live(dir: &Path, url: &str, builds: std::ops::Range<usize>) {
    let feed = Feed::open(dir, Options::default()).unwrap();
    let consumer = feed.consumer("push", ConsumerOptions::default()).await.unwrap();
    let events = compliance::records(2, 5).into_iter().map(|r| r.event);
    let events: Vec<_> = events.skip(builds.start).take(builds.len()).collect();
    let count = events.len() as u64;
    let batch = Batch { events, ..Batch::default() };
    feed.ingest().commit(batch, &World::default()).await.unwrap();

    let spec = push_spec(url, &json!({ "bufferDelay": "1ms", "retryDelay": "5ms" }));
    let push = HttpPush::new("ci/push", &spec, &Secrets::default(), about().fixed()).unwrap();
    let options = push.options("push", &Budgets::default());
    let mut state = options.watch();
    let cancel = CancellationToken::new();
    let run = tokio::spawn(run_batch(consumer, push, options, metrics(), cancel.clone()));
    state.wait_for(|s| s.delivered == count).await.unwrap();
    cancel.cancel();
    run.await.unwrap().unwrap();
    feed.close().await;
}

/// A receiver on a free port: its address, and the packets that it took.
async fn receiver() -> (String, Arc<Mutex<Vec<Value>>>) {
    let taken: Arc<Mutex<Vec<Value>>> = Arc::default();
    let took = Arc::clone(&taken);
    let take = move |Form(form): Form<BTreeMap<String, String>>| {
        let packets: Vec<Value> = serde_json::from_str(&form["packets"]).unwrap();
        took.lock().unwrap().extend(packets);
        async {}
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let _ = axum::serve(listener, Router::new().route("/", post(take))).await;
    });
    (url, taken)
}

#[tokio::test]
async fn g07_numbers_go_on_over_a_restart_and_nothing_is_pushed_twice() {
    let (url, taken) = receiver().await;
    let dir = tempfile::tempdir().unwrap();
    live(dir.path(), &url, 0..4).await;
    live(dir.path(), &url, 4..10).await;
    let taken: Vec<(u64, String)> = taken
        .lock()
        .unwrap()
        .iter()
        .map(|p| (p["id"].as_u64().unwrap(), p["event"].as_str().unwrap().to_owned()))
        .collect();
    let mut expected = vec![(1, "start".to_owned())];
    expected.extend((2..=11).map(|id| (id, "buildFinished".to_owned())));
    assert_eq!(taken, expected);
}

#[tokio::test]
async fn c02_two_pushes_of_one_journal_have_settings_and_places_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let feed = Feed::open(dir.path(), Options::default()).unwrap();
    let cancel = CancellationToken::new();
    let metrics = metrics();
    let mut pushes = Vec::new();
    for (name, builder) in [("one", "b1"), ("two", "b2")] {
        let (url, taken) = receiver().await;
        let consumer = feed.consumer(name, ConsumerOptions::default()).await.unwrap();
        let more = json!({ "bufferDelay": "1ms", "retryDelay": "5ms", "builders": [builder] });
        let spec = push_spec(&url, &more);
        let push = HttpPush::new("ci/push", &spec, &Secrets::default(), about().fixed()).unwrap();
        let options = push.options(name, &Budgets::default());
        let state = options.watch();
        let run = run_batch(consumer, push, options, metrics.clone(), cancel.clone());
        pushes.push((builder, taken, state, tokio::spawn(run)));
    }
    let events = compliance::records(2, 5).into_iter().map(|r| r.event).collect();
    let batch = Batch { events, ..Batch::default() };
    feed.ingest().commit(batch, &World::default()).await.unwrap();
    let mut runs = Vec::new();
    for (builder, taken, mut state, run) in pushes {
        state.wait_for(|s| s.delivered == 5 && s.backlog == 0).await.unwrap();
        let taken = taken.lock().unwrap().clone();
        assert_eq!((&taken[0]["event"], &taken[5]["id"]), (&json!("start"), &json!(6)));
        let of: Vec<_> = taken.iter().skip(1).map(|p| &p["payload"]["build"]).collect();
        assert_eq!(of.len(), 5, "{taken:?}");
        assert!(of.iter().all(|build| build["builderName"] == builder), "{of:?}");
        runs.push(run);
    }
    cancel.cancel();
    for run in runs {
        run.await.unwrap().unwrap();
    }
    feed.close().await;
}

#[tokio::test]
async fn a_suspended_push_keeps_its_place_and_sends_all_in_order_once_resumed() {
    let (url, taken) = receiver().await;
    let dir = tempfile::tempdir().unwrap();
    let feed = Feed::open(dir.path(), Options::default()).unwrap();
    // Suspended: its consumer is opened, and nobody reads from it.
    let suspended = feed.consumer("push", ConsumerOptions::default()).await.unwrap().handle();
    let mut events = compliance::records(2, 10).into_iter().map(|r| r.event);
    for round in 1..=2_u64 {
        let events = events.by_ref().take(10).collect();
        let batch = Batch { events, ..Batch::default() };
        feed.ingest().commit(batch, &World::default()).await.unwrap();
        assert_eq!(suspended.backlog(), round * 10);
    }
    assert!(taken.lock().unwrap().is_empty());

    let resumed = feed.consumer("push", ConsumerOptions::default()).await.unwrap();
    let more = json!({
        "bufferDelay": "1ms", "retryDelay": "5ms",
        "rateLimit": { "messages": 50, "period": "1h" }, "catchUp": { "maxAge": "1h" },
    });
    let spec = push_spec(&url, &more);
    let push = HttpPush::new("ci/push", &spec, &Secrets::default(), about().fixed()).unwrap();
    let options = push.options("push", &Budgets::default());
    assert_eq!(options.catch_up, Some(std::time::Duration::from_secs(3600)));
    let (mut state, budget) = (options.watch(), Arc::clone(&options.budget));
    let cancel = CancellationToken::new();
    let run = tokio::spawn(run_batch(resumed, push, options, metrics(), cancel.clone()));
    state.wait_for(|s| s.delivered == 20 && s.backlog == 0).await.unwrap();
    cancel.cancel();
    run.await.unwrap().unwrap();
    let ids: Vec<u64> = taken.lock().unwrap().iter().map(|p| p["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, (1..=21).collect::<Vec<u64>>());
    assert!(budget.left()[delivery::MESSAGES] < 50, "posts are counted");
    feed.close().await;
}
