//! Whether targets whose peers misbehave delay the others: 47 pushes alone, and the same 47 beside
//! one whose peer never answers, one whose peer always fails and one that is 10,000 events behind.
//!
//! `cargo xtask bench isolation [process|http] [PAIRS]`. Runs alone and beside the three take turns, and
//! a pair of neighbours is compared, since the machine changes from minute to minute. All are in one
//! process, as `standalone` runs them, or each reads the feed over HTTP as a process of its own does.
//! The three have receivers of their own.
#![allow(clippy::print_stdout, reason = "a terminal program")]

use bench::{
    Measured,
    figures::{self, ms, quantile},
    receiver::{Receivers, SLOW, mark},
    recorded,
    served::Served,
};
use crds::HttpPushSpec;
use delivery::{RunError, budget::Budgets};
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
const EVENTS: u64 = 60;
const PACE: Duration = Duration::from_millis(100);
/// Pairs of runs, if it is not said how many.
const PAIRS: usize = 12;

fn main() -> Measured {
    println!("{}", figures::machine());
    let mut arguments = std::env::args().skip(1);
    let ways = match arguments.next().as_deref() {
        None => vec![false, true],
        Some("process") => vec![false],
        Some("http") => vec![true],
        Some(other) => return Err(format!("{other:?}: it is process or http").into()),
    };
    let pairs = arguments.next().map_or(Ok(PAIRS), |pairs| pairs.parse())?;
    // Receivers have threads of their own, as other processes would.
    let outside = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("receivers")
        .enable_all()
        .build()?;
    for over_http in ways {
        println!("{}", if over_http { "over HTTP" } else { "in one process" });
        let mut tails: Vec<[Duration; 2]> = Vec::new();
        let mut middles: Vec<[Duration; 2]> = Vec::new();
        for pair in 0..pairs {
            let (mut tail, mut middle) = ([Duration::ZERO; 2], [Duration::ZERO; 2]);
            // The order alternates too, so that neither always runs on the warmer machine.
            for bad in [pair % 2 != 0, pair % 2 == 0] {
                let inside = Runtime::new()?;
                let peers = outside.block_on(Peers::start())?;
                let mut lags = inside.block_on(run(&peers, bad, over_http))?;
                inside.shutdown_timeout(Duration::from_secs(1));
                tail[usize::from(bad)] = quantile(&mut lags, 0.99);
                middle[usize::from(bad)] = quantile(&mut lags, 0.5);
            }
            println!(
                "pair {:2}: alone p50 {:6.1} p99 {:6.1} ms, beside p50 {:6.1} p99 {:6.1} ms",
                pair + 1,
                ms(middle[0]),
                ms(tail[0]),
                ms(middle[1]),
                ms(tail[1]),
            );
            tails.push(tail);
            middles.push(middle);
        }
        compare("p50", &middles);
        compare("p99", &tails);
    }
    Ok(())
}

/// The median of each side and the quarters around it, and what the pairs say.
fn compare(what: &str, pairs: &[[Duration; 2]]) {
    for (side, title) in ["47 alone", "47 beside the three"].iter().enumerate() {
        let mut all: Vec<Duration> = pairs.iter().map(|pair| pair[side]).collect();
        let mut at = |share| ms(quantile(&mut all, share));
        println!(
            "{what}, {title:<19}: median {:6.1} ms, half of the runs {:.1} to {:.1} ms",
            at(0.5),
            at(0.25),
            at(0.75)
        );
    }
    let mut more: Vec<f64> = pairs.iter().map(|[alone, beside]| ms(*beside) - ms(*alone)).collect();
    more.sort_by(f64::total_cmp);
    let at = |share: usize| more.get(more.len() * share / 4).copied().unwrap_or_default();
    println!(
        "{what}, beside minus alone : median {:+6.1} ms, half of the pairs {:+.1} to {:+.1} ms; \
         beside was slower in {} of {}",
        at(2),
        at(1),
        at(3),
        more.iter().filter(|more| **more > 0.0).count(),
        more.len(),
    );
}

/// Whom the targets talk to.
struct Peers {
    good: Receivers,
    /// Of the three; one of its paths fails, one is slow.
    others: Receivers,
    silent: String,
}

impl Peers {
    async fn start() -> Measured<Self> {
        let (good, others) = (Receivers::start(GOOD).await?, Receivers::start(0).await?);
        Ok(Self { good, others, silent: silent().await? })
    }
}

/// The lags, from an event's place on disk to its arrival, of all deliveries to the good ones.
async fn run(peers: &Peers, bad: bool, over_http: bool) -> Measured<Vec<Duration>> {
    let dir = tempfile::tempdir()?;
    let feed = Feed::open(dir.path(), Options::default())?;
    let served = if over_http { Some(Served::start(&feed).await?) } else { None };
    let consumer = async |name: &str| -> Measured<AnyConsumer> {
        let feed = match &served {
            Some(served) => AnyFeed::from(served.remote(name)?),
            None => AnyFeed::from(feed.clone()),
        };
        Ok(feed.consumer(name, ConsumerOptions::default()).await?)
    };
    let mut running = Targets::default();
    let behind = if bad { Some(consumer("behind").await?) } else { None };
    fill(&feed).await?;
    if let Some(behind) = behind {
        running.start(behind, "behind", &peers.others.url(SLOW))?;
        running.start(consumer("failing").await?, "failing", &peers.others.url("failing"))?;
        running.start(consumer("hanging").await?, "hanging", &peers.silent)?;
    }
    for n in 0..GOOD {
        let name = format!("good-{n}");
        running.start(consumer(&name).await?, &name, &peers.good.url(n))?;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;

    let build = build()?;
    let mut ingest = feed.ingest();
    let mut journaled = Vec::new();
    let mut pace = tokio::time::interval(PACE);
    for number in 0..EVENTS {
        pace.tick().await;
        let events = vec![event(&build, number)];
        ingest.commit(Batch { events, ..Batch::default() }, &World::default()).await?;
        journaled.push(Instant::now());
    }
    let patience = Instant::now() + Duration::from_secs(60);
    while peers.good.counts().iter().any(|count| *count < journaled.len()) {
        if Instant::now() > patience {
            return Err(format!("not everything arrived: {:?}", peers.good.counts()).into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    if bad {
        let left = |name: &str| {
            feed.consumers().into_iter().find(|c| c.name == name).map_or(0, |c| c.backlog)
        };
        let left = ["hanging", "failing", "behind"].map(left);
        if left.contains(&0) {
            return Err(format!("one of the three was done before the end: {left:?}").into());
        }
    }
    running.end().await?;
    feed.close().await;
    lags(&peers.good, &journaled)
}

fn lags(receivers: &Receivers, journaled: &[Instant]) -> Measured<Vec<Duration>> {
    let mut lags = Vec::new();
    for target in 0..GOOD {
        let arrivals = receivers.arrivals(target);
        if !arrivals.iter().map(|(number, _)| *number).eq(0..EVENTS) {
            return Err(format!("target {target}: not each once, in order").into());
        }
        for ((_, arrived), journaled) in arrivals.iter().zip(journaled) {
            // An event may arrive before its commit's answer reaches this program.
            lags.push(arrived.saturating_duration_since(*journaled));
        }
    }
    Ok(lags)
}

/// What one target is behind: builds without a mark.
async fn fill(feed: &Feed) -> Measured {
    let build = build()?;
    let mut ingest = feed.ingest();
    for first in (0..BEHIND).step_by(250) {
        let events = (first..first + 250)
            .map(|n| {
                let build = Build { id: BuildId(n + 1), number: n + 1, ..build.clone() };
                Event::BuildFinished { build: Box::new(build) }
            })
            .collect();
        ingest.commit(Batch { events, ..Batch::default() }, &World::default()).await?;
    }
    Ok(())
}

/// A real build.
fn build() -> Measured<Build> {
    let finished = recorded::events()?.into_iter().find_map(|event| match event {
        Event::BuildFinished { build } => Some(*build),
        _ => None,
    });
    Ok(finished.ok_or("no build ends in the recording")?)
}

fn event(build: &Build, number: u64) -> Event {
    let id = BEHIND + number + 1;
    let build = Build { id: BuildId(id), number: id, text: mark(number), ..build.clone() };
    Event::BuildFinished { build: Box::new(build) }
}

/// A peer that accepts and never answers.
async fn silent() -> Measured<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    Ok(format!("http://{address}/"))
}

/// Targets as `standalone` runs them.
#[derive(Default)]
struct Targets {
    tasks: JoinSet<Result<(), RunError>>,
    cancel: CancellationToken,
    budgets: Budgets,
}

impl Targets {
    fn start(&mut self, consumer: AnyConsumer, name: &str, url: &str) -> Measured {
        let spec: HttpPushSpec = serde_json::from_value(json!({
            "masterRef": { "name": "main" },
            "serverUrl": url,
            "allowPrivateAddresses": true,
            "bufferDelay": "1ms",
            "retryDelay": "1s",
        }))?;
        let push = HttpPush::new("ci/push", &spec, &Secrets::default(), About::default().fixed())?;
        let options = push.options(name, &self.budgets);
        let metrics = delivery::Metrics::register(&Registry::new(), "main")?;
        let run =
            delivery::run_batch(consumer, Arc::new(push), options, metrics, self.cancel.clone());
        self.tasks.spawn(run);
        Ok(())
    }

    async fn end(mut self) -> Measured {
        self.cancel.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(())
    }
}
