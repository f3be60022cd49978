//! Whether targets whose peers misbehave delay the others: 47 pushes alone, and the same 47 beside
//! one whose peer never answers, one whose peer always fails and one that is 10,000 events behind.
//!
//! `cargo xtask bench isolation`. Runs with and without the three alternate. First all are in one
//! process, as `standalone` runs them, then each reads the feed over HTTP as a process of its own does.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a program of measurements

use bench::{
    figures::{self, ms, quantile},
    receiver::{Receivers, SLOW, mark},
    recorded,
    served::Served,
};
use crds::HttpPushSpec;
use delivery::budget::Budgets;
use feed::{AnyConsumer, AnyFeed, ConsumerOptions, Feed, Options};
use master::{Batch, Sink as _};
use model::{Build, BuildId, Event, World};
use prometheus::Registry;
use serde_json::json;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use targets::{
    About,
    http_push::{HttpPush, Secrets},
};
use tokio::{net::TcpListener, runtime::Runtime, task::JoinSet};
use tokio_util::sync::CancellationToken;

const GOOD: usize = 47;
const BEHIND: u64 = 10_000;
/// Measured events of one run, and the time between two.
const EVENTS: u64 = 300;
const PACE: Duration = Duration::from_millis(100);
/// Pairs of runs.
const ROUNDS: usize = 4;

fn main() {
    println!("{}", figures::machine());
    // Receivers have threads of their own, as other processes would.
    let outside = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("receivers")
        .enable_all()
        .build()
        .unwrap();
    for over_http in [false, true] {
        println!("{}", if over_http { "over HTTP" } else { "in one process" });
        let (mut alone, mut beside) = (Vec::new(), Vec::new());
        for round in 1..=ROUNDS {
            // The order alternates too, so that neither always runs on the warmer machine.
            for bad in [round % 2 == 0, round % 2 != 0] {
                let inside = Runtime::new().unwrap();
                let receivers = outside.block_on(Receivers::start(GOOD));
                let silent = outside.block_on(silent());
                let mut lags = inside.block_on(run(receivers, &silent, bad, over_http));
                report(&format!("round {round}, {}", title(bad)), &mut lags);
                (if bad { &mut beside } else { &mut alone }).append(&mut lags);
                inside.shutdown_timeout(Duration::from_secs(1));
            }
        }
        report(&format!("all, {}", title(false)), &mut alone);
        report(&format!("all, {}", title(true)), &mut beside);
    }
}

fn title(bad: bool) -> &'static str {
    if bad { "47 beside the three" } else { "47 alone" }
}

fn report(what: &str, lags: &mut [Duration]) {
    println!(
        "{what:<28} p50 {:7.1} ms  p90 {:7.1} ms  p99 {:7.1} ms  most {:7.1} ms  ({} deliveries)",
        ms(quantile(lags, 0.5)),
        ms(quantile(lags, 0.9)),
        ms(quantile(lags, 0.99)),
        ms(quantile(lags, 1.0)),
        lags.len(),
    );
}

/// The lags, from an event's place on disk to its arrival, of all deliveries to the good ones.
async fn run(receivers: Receivers, silent: &str, bad: bool, over_http: bool) -> Vec<Duration> {
    let dir = tempfile::tempdir().unwrap();
    let feed = Feed::open(dir.path(), Options::default()).unwrap();
    let served = if over_http { Some(Served::start(&feed).await) } else { None };
    let consumer = async |name: &str| -> AnyConsumer {
        let feed = match &served {
            Some(served) => AnyFeed::from(served.remote(name)),
            None => AnyFeed::from(feed.clone()),
        };
        feed.consumer(name, ConsumerOptions::default()).await.unwrap()
    };
    let mut running = Targets::default();
    let behind = if bad { Some(consumer("behind").await) } else { None };
    fill(&feed).await;
    if let Some(behind) = behind {
        running.start(behind, "behind", &receivers.url(SLOW));
        running.start(consumer("failing").await, "failing", &receivers.url("failing"));
        running.start(consumer("hanging").await, "hanging", silent);
    }
    for n in 0..GOOD {
        let name = format!("good-{n}");
        running.start(consumer(&name).await, &name, &receivers.url(n));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;

    let build = build();
    let mut ingest = feed.ingest();
    let mut journaled = Vec::new();
    let mut pace = tokio::time::interval(PACE);
    for number in 0..EVENTS {
        pace.tick().await;
        let events = vec![event(&build, number)];
        ingest.commit(Batch { events, ..Batch::default() }, &World::default()).await.unwrap();
        journaled.push(Instant::now());
    }
    let patience = Instant::now() + Duration::from_secs(60);
    while receivers.counts().iter().any(|count| *count < journaled.len()) {
        assert!(Instant::now() < patience, "not everything arrived: {:?}", receivers.counts());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    if bad {
        let left = |name: &str| {
            feed.consumers().into_iter().find(|c| c.name == name).map_or(0, |c| c.backlog)
        };
        println!(
            "  left at the end: hanging {}, failing {}, behind {}",
            left("hanging"),
            left("failing"),
            left("behind")
        );
    }
    running.end().await;
    feed.close().await;
    lags(&receivers, &journaled)
}

fn lags(receivers: &Receivers, journaled: &[Instant]) -> Vec<Duration> {
    let mut lags = Vec::new();
    for target in 0..GOOD {
        let arrivals = receivers.arrivals(target);
        let numbers: Vec<u64> = arrivals.iter().map(|(number, _)| *number).collect();
        assert_eq!(
            numbers,
            (0..EVENTS).collect::<Vec<_>>(),
            "target {target}: each once, in order"
        );
        for ((_, arrived), journaled) in arrivals.iter().zip(journaled) {
            // An event may arrive before its commit's answer reaches this program.
            lags.push(arrived.saturating_duration_since(*journaled));
        }
    }
    lags
}

/// What one target is behind: builds without a mark.
async fn fill(feed: &Feed) {
    let build = build();
    let mut ingest = feed.ingest();
    for first in (0..BEHIND).step_by(250) {
        let events = (first..first + 250)
            .map(|n| {
                let build = Build { id: BuildId(n + 1), number: n + 1, ..build.clone() };
                Event::BuildFinished { build: Box::new(build) }
            })
            .collect();
        ingest.commit(Batch { events, ..Batch::default() }, &World::default()).await.unwrap();
    }
}

/// A real build.
fn build() -> Build {
    let finished = recorded::events().into_iter().find_map(|event| match event {
        Event::BuildFinished { build } => Some(*build),
        _ => None,
    });
    finished.unwrap()
}

fn event(build: &Build, number: u64) -> Event {
    let id = BEHIND + number + 1;
    let build = Build { id: BuildId(id), number: id, text: mark(number), ..build.clone() };
    Event::BuildFinished { build: Box::new(build) }
}

/// A peer that accepts and never answers.
async fn silent() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    format!("http://{address}/")
}

/// Targets as `standalone` runs them.
#[derive(Default)]
struct Targets {
    tasks: JoinSet<()>,
    cancel: CancellationToken,
    budgets: Budgets,
}

impl Targets {
    fn start(&mut self, consumer: AnyConsumer, name: &str, url: &str) {
        let spec: HttpPushSpec = serde_json::from_value(json!({
            "masterRef": { "name": "main" },
            "serverUrl": url,
            "bufferDelay": "1ms",
            "retryDelay": "1s",
        }))
        .unwrap();
        let push = HttpPush::new(&spec, &Secrets::default(), About::default().fixed()).unwrap();
        let options = push.options(name, &self.budgets);
        let metrics = delivery::Metrics::register(&Registry::new(), "main").unwrap();
        let run =
            delivery::run_batch(consumer, Arc::new(push), options, metrics, self.cancel.clone());
        self.tasks.spawn(async move { run.await.unwrap() });
    }

    async fn end(mut self) {
        self.cancel.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}
