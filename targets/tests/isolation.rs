//! Peers that hang, fail or are far behind cost their own target only.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use axum::{Form, Router, http::StatusCode, routing::post};
use delivery::{TargetState, budget::Budgets, compliance, run_batch};
use feed::{Consumer, ConsumerOptions, Feed, Options};
use master::{Batch, Sink};
use model::World;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use support::{about, metrics, push_spec};
use targets::http_push::{HttpPush, Secrets};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Journaled before the others begin: what one target is behind.
const BEHIND: usize = 600;
/// Journaled one by one.
const EVENTS: usize = 12;
const GOOD: usize = 12;
/// Long enough for anything that happens at all.
const PATIENCE: Duration = Duration::from_secs(120);

/// Numbers of the builds that a peer took, in their order.
type Taken = Arc<Mutex<Vec<u64>>>;

/// Peers: `/good/N` takes everything, `/failing` nothing, `/slow` what it has a permit for.
async fn peers(slow: Arc<Semaphore>) -> (String, BTreeMap<String, Taken>) {
    let mut app = Router::new()
        .route("/failing", post(|_: String| async { StatusCode::INTERNAL_SERVER_ERROR }));
    let mut all = BTreeMap::new();
    for name in (0..GOOD).map(|n| format!("/good/{n}")).chain(["/slow".to_owned()]) {
        let taken = Taken::default();
        all.insert(name.clone(), Arc::clone(&taken));
        let gate = (name == "/slow").then(|| Arc::clone(&slow));
        let take = move |Form(form): Form<BTreeMap<String, String>>| {
            let (gate, taken) = (gate.clone(), Arc::clone(&taken));
            async move {
                if let Some(gate) = gate {
                    gate.acquire().await.unwrap().forget();
                }
                let packets: Vec<Value> = serde_json::from_str(&form["packets"]).unwrap();
                let numbers =
                    packets.iter().filter_map(|p| p["payload"]["build"]["number"].as_u64());
                taken.lock().unwrap().extend(numbers);
            }
        };
        app = app.route(&name, post(take));
    }
    let app = app.layer(axum::extract::DefaultBodyLimit::disable());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, all)
}

/// A peer that accepts connections and never answers; counts them.
async fn silent() -> (String, watch::Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (count, counted) = watch::channel(0);
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
            count.send_replace(held.len());
        }
    });
    (url, counted)
}

struct Targets {
    feed: Feed,
    tasks: JoinSet<()>,
    cancel: CancellationToken,
    budgets: Budgets,
}

impl Targets {
    async fn consumer(&self, name: &str) -> Consumer {
        self.feed.consumer(name, ConsumerOptions::default()).await.unwrap()
    }

    async fn start(&mut self, name: &str, url: &str) -> watch::Receiver<TargetState> {
        let consumer = self.consumer(name).await;
        let spec = push_spec(url, &json!({ "bufferDelay": "1ms", "retryDelay": "5ms" }));
        let push = HttpPush::new("ci/push", &spec, &Secrets::default(), about().fixed()).unwrap();
        let options = push.options(name, &self.budgets);
        let state = options.watch();
        let run = run_batch(consumer, push, options, metrics(), self.cancel.clone());
        self.tasks.spawn(async move { run.await.unwrap() });
        state
    }

    fn backlog(&self, name: &str) -> u64 {
        self.feed.consumers().into_iter().find(|c| c.name == name).unwrap().backlog
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_that_hang_fail_or_are_behind_hold_nobody_else_up() {
    timeout(PATIENCE, three_bad_peers()).await.expect("somebody was held up");
}

async fn three_bad_peers() {
    let dir = tempfile::tempdir().unwrap();
    let feed = Feed::open(dir.path(), Options::default()).unwrap();
    let slow = Arc::new(Semaphore::new(0));
    let (url, taken) = peers(Arc::clone(&slow)).await;
    let (silent, mut connections) = silent().await;
    let (tasks, cancel) = (JoinSet::new(), CancellationToken::new());
    let mut targets = Targets { feed, tasks, cancel, budgets: Budgets::default() };

    let builds = compliance::records(1, (BEHIND + EVENTS) as u64).into_iter().map(|r| r.event);
    let mut builds: Vec<_> = builds.collect();
    let fresh = builds.split_off(BEHIND);
    drop(targets.consumer("behind").await); // its place is before all of them
    let mut ingest = targets.feed.ingest();
    let batch = Batch { events: builds, ..Batch::default() };
    ingest.commit(batch, &World::default()).await.unwrap();

    let mut behind = targets.start("behind", &format!("{url}/slow")).await;
    targets.start("hanging", &silent).await;
    let mut failing = targets.start("failing", &format!("{url}/failing")).await;
    let mut good = Vec::new();
    for n in 0..GOOD {
        good.push(targets.start(&format!("good-{n}"), &format!("{url}/good/{n}")).await);
    }

    // Each is journaled only once every good peer has the one before it, while the others stand
    // as they stood: so no delivery waits for any of them.
    for (event, at) in fresh.into_iter().zip(1u64..) {
        let batch = Batch { events: vec![event], ..Batch::default() };
        ingest.commit(batch, &World::default()).await.unwrap();
        for state in &mut good {
            state.wait_for(|state| state.delivered == at).await.unwrap();
        }
        connections.wait_for(|count| *count > 0).await.unwrap();
        failing.wait_for(|state| state.retried > 0).await.unwrap();
    }
    let (all, new) = ((BEHIND + EVENTS) as u64, EVENTS as u64);
    assert_eq!(targets.backlog("hanging"), new);
    assert_eq!(targets.backlog("failing"), new);
    assert_eq!(targets.backlog("behind"), all);
    let numbers = |from: u64| (from..=all).collect::<Vec<_>>();
    for n in 0..GOOD {
        let taken = taken[&format!("/good/{n}")].lock().unwrap().clone();
        assert_eq!(taken, numbers(BEHIND as u64 + 1), "good peer {n}: each once, in order");
    }

    // The one that was behind has lost nothing by it.
    slow.add_permits(Semaphore::MAX_PERMITS / 2);
    behind.wait_for(|state| state.delivered == all).await.unwrap();
    assert_eq!(*taken["/slow"].lock().unwrap(), numbers(1));
    targets.cancel.cancel();
    while let Some(ended) = targets.tasks.join_next().await {
        ended.unwrap();
    }
    targets.feed.close().await;
}
