//! How fast a journal takes events in, and hands them out to a hundred durable consumers that
//! acknowledge every one, with the journal on disk; in process and over HTTP.
//!
//! `cargo xtask bench feed`. Events are those of the recording in `e2e/`. Over HTTP, the feed with
//! its server and the hundred clients share the machine, each with threads of their own.
#![allow(clippy::print_stdout, reason = "a terminal program")]

use bench::{Measured, figures, recorded, served::Served};
use delivery::{BatchOptions, BatchTarget, ComposeError, SendError, Taken};
use feed::{AnyConsumer, AnyFeed, ConsumerOptions, Feed, Ingest, Metrics, Options};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use master::{Batch, Known, MasterState, PlayOptions, Sink, SinkError};
use model::{Event, Live, Record, World};
use prometheus::Registry;
use std::{
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

/// Loops of the recording that are played in.
const LOOPS: usize = 4;
/// Events of each run with batches of one size.
const EVENTS: usize = 4096;
const CONSUMERS: usize = 100;
/// Events that each consumer gets in one run.
const FANNED: usize = 2000;
const RUNS: usize = 3;

fn main() -> Measured {
    println!("{}", figures::machine());
    println!("fdatasync of 4 KiB: {:.2} ms (median)", figures::ms(figures::disk()?));
    let runtime = named("feed")?;
    let clients = named("clients")?;
    let only = std::env::args().nth(1);
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    if wanted("ingestion") {
        runtime.block_on(played())?;
        for size in [1, 16, 64, 256, 1024] {
            runtime.block_on(batches(size))?;
        }
    }
    for run in 1..=RUNS {
        for (name, how, drain) in WAYS {
            for over_http in [false, true] {
                if wanted(&format!("{name}{}", if over_http { "-http" } else { "" })) {
                    fan_out(&runtime, &clients, &format!("run {run}, {how}"), over_http, drain)?;
                }
            }
        }
    }
    Ok(())
}

/// How consumers read: bare, or as targets.
const WAYS: [(&str, &str, Drain); 2] = [
    ("consumers", "consumers alone", |consumer, count, _| Box::pin(drain(consumer, count))),
    ("targets", "delivery's loop", |consumer, count, name| {
        Box::pin(deliver(consumer, count, name))
    }),
];

fn named(threads: &str) -> Measured<Runtime> {
    Ok(Builder::new_multi_thread().thread_name(threads).enable_all().build()?)
}

/// A feed in a folder, and its metrics.
struct Opened {
    feed: Feed,
    registry: Registry,
}

fn open(dir: &Path) -> Measured<Opened> {
    let registry = Registry::new();
    let metrics = Metrics::register(&registry, "main")?;
    let feed = Feed::open(dir, Options { metrics, ..Options::default() })?;
    Ok(Opened { feed, registry })
}

impl Opened {
    /// How many transactions were committed, and the seconds that they took in all.
    fn commits(&self) -> Measured<(u64, f64)> {
        let families = self.registry.gather();
        let found = families.iter().find(|family| family.name().ends_with("feed_commit_seconds"));
        let histogram = found.ok_or("commits are not counted")?.get_metric()[0].get_histogram();
        Ok((histogram.get_sample_count(), histogram.get_sample_sum()))
    }
}

/// The recording as fast as it goes: assembled, in batches as the client of a master makes them.
async fn played() -> Measured {
    let dir = tempfile::tempdir()?;
    let opened = open(dir.path())?;
    let commits = Arc::new(Mutex::new(Vec::new()));
    let sink = Timed { ingest: opened.feed.ingest(), commits: Arc::clone(&commits) };
    let cancel = CancellationToken::new();
    let options = PlayOptions { preload_loops: 0, speed: 1e9 };
    let recording = recorded::recording()?;
    let seen = recording.observations().count();
    let playing = tokio::spawn(master::play(recording, options, sink, cancel.clone()));
    // Between two loops the player rests for seconds, which are not counted.
    let loops = loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let loops = by_loop(&commits.lock().unwrap_or_else(PoisonError::into_inner));
        if loops.len() > LOOPS {
            break loops;
        }
    };
    cancel.cancel();
    playing.await?;
    opened.feed.close().await;
    let loops = &loops[..LOOPS];
    let (events, busy): (usize, f64) =
        loops.iter().fold((0, 0.0), |(e, b), l| (e + l.0, b + l.1.as_secs_f64()));
    println!(
        "ingested, played: {:8.0} observations/s, {:8.0} events/s ({events} events in {LOOPS} loops)",
        (seen * LOOPS) as f64 / busy,
        events as f64 / busy,
    );
    Ok(())
}

/// Events and time of each loop: commits between which less than a second passed.
fn by_loop(commits: &[(Instant, Instant, usize)]) -> Vec<(usize, Duration)> {
    let mut loops: Vec<(Instant, Instant, usize)> = Vec::new();
    for &(begin, end, events) in commits {
        match loops.last_mut() {
            Some(last) if begin.duration_since(last.1) < Duration::from_secs(1) => {
                (last.1, last.2) = (end, last.2 + events);
            }
            _ => loops.push((begin, end, events)),
        }
    }
    loops.into_iter().map(|(begin, end, events)| (events, end - begin)).collect()
}

/// Notes when each batch was handed in and when it was on disk, and its events.
struct Timed {
    ingest: Ingest,
    commits: Arc<Mutex<Vec<(Instant, Instant, usize)>>>,
}

impl Sink for Timed {
    fn known(&self) -> Known {
        self.ingest.known()
    }

    async fn commit(&mut self, batch: Batch, world: &World) -> Result<(), SinkError> {
        let (begin, events) = (Instant::now(), batch.events.len());
        self.ingest.commit(batch, world).await?;
        let mut commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        commits.push((begin, Instant::now(), events));
        Ok(())
    }

    fn live(&self, live: Live) {
        self.ingest.live(live);
    }

    fn state(&self, state: MasterState) {
        self.ingest.state(state);
    }
}

/// Events in batches of one size, one batch at a time.
async fn batches(size: usize) -> Measured {
    let dir = tempfile::tempdir()?;
    let opened = open(dir.path())?;
    let mut ingest = opened.feed.ingest();
    let count = if size == 1 { EVENTS / 16 } else { EVENTS };
    let batches = batched(count, size)?;
    let begin = Instant::now();
    for events in batches {
        ingest.commit(Batch { events, ..Batch::default() }, &World::default()).await?;
    }
    let took = begin.elapsed().as_secs_f64();
    let (commits, seconds) = opened.commits()?;
    println!(
        "ingested, {size:4} a batch: {:8.0} events/s, {:.1} ms a commit",
        count as f64 / took,
        seconds / commits as f64 * 1e3,
    );
    opened.feed.close().await;
    Ok(())
}

/// Events of the recording, over and over, in batches.
fn batched(count: usize, size: usize) -> Measured<Vec<Vec<Event>>> {
    let events: Vec<Event> = recorded::events()?.into_iter().cycle().take(count).collect();
    Ok(events.chunks(size).map(<[Event]>::to_vec).collect())
}

type Draining = Pin<Box<dyn Future<Output = Measured> + Send>>;
type Drain = fn(AnyConsumer, usize, String) -> Draining;

/// Time from the first event handed in to the last acknowledgement of the last consumer on disk.
fn fan_out(
    runtime: &Runtime,
    clients: &Runtime,
    what: &str,
    over_http: bool,
    drain: Drain,
) -> Measured {
    let dir = tempfile::tempdir()?;
    let opened = open(dir.path())?;
    let served = over_http.then(|| runtime.block_on(Served::start(&opened.feed))).transpose()?;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..CONSUMERS {
        let name = format!("consumer-{n}");
        let feed = match &served {
            Some(served) => AnyFeed::from(served.remote(&name)?),
            None => AnyFeed::from(opened.feed.clone()),
        };
        let consumer = clients.block_on(feed.consumer(&name, ConsumerOptions::default()))?;
        tasks.spawn_on(drain(consumer, FANNED, name), clients.handle());
    }
    let batches = batched(FANNED, 50)?;
    let (before, seconds) = opened.commits()?;
    let (begin, threads) = (Instant::now(), figures::threads());
    let mut ingest = opened.feed.ingest();
    let ingested = runtime.block_on(async {
        for events in batches {
            ingest.commit(Batch { events, ..Batch::default() }, &World::default()).await?;
        }
        Ok::<_, SinkError>(begin.elapsed())
    })?;
    while let Some(ended) = clients.block_on(tasks.join_next()) {
        ended??;
    }
    let took = begin.elapsed().as_secs_f64();
    let after = figures::threads();
    let used = |name: &str| {
        let of = |threads: &[(String, f64)]| {
            threads.iter().find(|(known, _)| known == name).map_or(0.0, |(_, cpu)| *cpu)
        };
        of(&after) - of(&threads)
    };
    let (commits, all) = opened.commits()?;
    let (commits, seconds) = (commits - before, all - seconds);
    let all = (CONSUMERS * FANNED) as f64;
    println!(
        "{what}, {}: {:8.0} events/s in all; {took:.2} s, until all were in {:.2} s; processor, µs \
         an event: writer {:.2}, feed {:.2}, consumers {:.2}; {commits} commits of {:.1} ms",
        if over_http { "over HTTP" } else { "in process" },
        all / took,
        ingested.as_secs_f64(),
        used("journal") / all * 1e6,
        used("feed") / all * 1e6,
        used("clients") / all * 1e6,
        seconds / commits as f64 * 1e3,
    );
    for status in opened.feed.consumers() {
        if (status.backlog, status.dead_letters) != (0, 0) {
            return Err(format!("not all was handed out: {status:?}").into());
        }
    }
    drop(served);
    runtime.block_on(opened.feed.close());
    Ok(())
}

/// Acknowledges what it is handed, as many at a time as the window lets.
async fn drain(mut consumer: AnyConsumer, count: usize) -> Measured {
    let handle = consumer.handle();
    let mut acknowledging = FuturesUnordered::new();
    let (mut handed, mut done) = (0, 0);
    while done < count {
        tokio::select! {
            record = consumer.next(), if handed < count => {
                let position = record?.position;
                let handle = handle.clone();
                acknowledging.push(async move { handle.acknowledge(position, None).await });
                handed += 1;
            }
            Some(result) = acknowledging.next() => {
                result?;
                done += 1;
            }
        }
    }
    Ok(())
}

/// The loop of a target that sends many records in one request, to nobody.
async fn deliver(consumer: AnyConsumer, count: usize, name: String) -> Measured {
    let options = BatchOptions { delay: Duration::ZERO, ..BatchOptions::new(name) };
    let mut state = options.watch();
    let cancel = CancellationToken::new();
    let metrics = delivery::Metrics::register(&Registry::new(), "main")?;
    let run = delivery::run_batch(consumer, Nobody, options, metrics, cancel.clone());
    let all = async {
        let all = state.wait_for(|state| state.delivered == count as u64).await.map(|_| ());
        cancel.cancel();
        all
    };
    let (run, all) = tokio::join!(run, all);
    run?;
    Ok(all?)
}

/// A target whose peer is always there and takes everything at once.
struct Nobody;

impl BatchTarget for Nobody {
    type Item = ();
    type State = u64;

    fn kind(&self) -> &'static str {
        "nobody"
    }

    fn decide(&self, _: &Record) -> bool {
        true
    }

    fn load(&self, _: Option<&[u8]>) -> Result<u64, String> {
        Ok(0)
    }

    fn save(&self, state: &u64) -> Vec<u8> {
        state.to_string().into_bytes()
    }

    fn compose(&self, state: &mut u64, _: &Record) -> Result<(), ComposeError> {
        *state += 1;
        Ok(())
    }

    fn size(&self, _: &()) -> usize {
        100
    }

    async fn send(&self, items: &[&()]) -> Result<Taken, SendError> {
        Ok(Taken::all(items.len()))
    }
}
