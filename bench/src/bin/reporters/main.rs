//! A real master's own reporters, and the program beside it, into the same receivers in one run: how long after a
//! build's end each message is there, and what comes of it when the receivers are away for a minute. `cargo xtask
//! bench reporters` runs this; `BENCH_BUILDS` is the number of builds that are measured (100).
//!
//! A build ends when the master tells its own reporters of it, by its own clock: its database has whole seconds. A
//! message is there when the receiver has it: when a mail's file is written, when a request's body is read, when
//! Gerrit's stream of events tells of a review.
#![allow(clippy::print_stdout, reason = "a terminal program")]

mod receivers;
mod rows;

use bench::{Measured, figures};
use e2e::{Buildmaster, Standalone, wait_until};
use receivers::Receivers;
use rows::{Arrivals, Build, KINDS};
use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use tokio::time::{Instant, sleep_until};

/// What comes once (imports, caches, connections) is not measured.
const WARM_UP: usize = 12;
/// From one build to the next.
const EVERY: Duration = Duration::from_millis(900);
/// How long nobody can be reached, and how many builds end meanwhile.
const AWAY: Duration = Duration::from_secs(60);
const MEANWHILE: usize = 20;
const PATIENCE: Duration = Duration::from_secs(300);

struct Run {
    master: Buildmaster,
    moments: PathBuf,
    receivers: Receivers,
    builds: usize,
}

#[tokio::main]
async fn main() -> Measured {
    let measured: usize = env::var("BENCH_BUILDS").map_or(Ok(100), |n| n.parse())?;
    println!("{}\n", figures::machine());
    let folder = tempfile::tempdir()?;
    let receivers = Receivers::start(folder.path()).await?;
    let moments = folder.path().join("moments");
    let master = start_master(folder.path(), &moments, &receivers).await?;
    let text = receivers.manifests(master.port());
    let mut standalone = Standalone::start(folder.path(), "data", &text);
    standalone.connected().await;
    wait_until("the master is read to its end", PATIENCE, async || {
        let live = standalone.figure("buildbot_status_master_state{state=\"live\"").await?;
        (live == 1.0).then_some(())
    })
    .await;
    let mut run = Run { master, moments, receivers, builds: 0 };
    run.stream(WARM_UP, EVERY).await;
    run.settle().await;
    let warm = run.builds;
    run.stream(measured, EVERY).await;
    run.settle().await;
    let ends: BTreeMap<Build, SystemTime> = run.ends().into_iter().skip(warm).collect();
    let load = fs::read_to_string("/proc/loadavg")?;
    delays(&ends, &run.receivers.arrivals()?);
    println!("\nload then: {}", load.trim());

    let before = run.builds;
    run.receivers.close().await;
    let until = Instant::now() + AWAY;
    run.stream(MEANWHILE, AWAY.mul_f64(0.9 / MEANWHILE as f64)).await;
    sleep_until(until).await;
    run.receivers.open().await;
    let opened = SystemTime::now();
    run.settle().await;
    // One build more for all: what comes at all has come before it.
    run.stream(4, EVERY).await;
    run.settle().await;
    let ends: BTreeMap<Build, SystemTime> =
        run.ends().into_iter().skip(before).take(MEANWHILE).collect();
    kept(&ends, &run.receivers.arrivals()?, opened);
    standalone.end().await;
    run.master.end().await;
    run.receivers.end().await;
    Ok(())
}

async fn start_master(folder: &Path, moments: &Path, peers: &Receivers) -> Measured<Buildmaster> {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("reporters.cfg");
    // The master calls `ssh` as it finds it, with the settings of whoever runs this.
    let path = format!("{}:{}", peers.ssh_folder().display(), env::var("PATH")?);
    let mut environment: Vec<(&str, OsString)> = vec![
        ("MOMENTS", moments.into()),
        ("KEY", peers.key("theirs").into()),
        ("PATH", path.into()),
    ];
    environment.extend(peers.ports().map(|(name, port)| (name, port.to_string().into())));
    let environment: Vec<_> = environment.iter().map(|(n, v)| (*n, v.as_os_str())).collect();
    Ok(Buildmaster::start(folder, &config, &environment).await)
}

impl Run {
    /// Ends of builds, in their order.
    fn ends(&self) -> Vec<(Build, SystemTime)> {
        let text = fs::read_to_string(&self.moments).unwrap_or_default();
        let end = |line: &str| {
            let mut words = line.split(' ');
            let build = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            let at = Duration::try_from_secs_f64(words.next()?.parse().ok()?).ok()?;
            Some((build, SystemTime::UNIX_EPOCH + at))
        };
        text.lines().filter_map(end).collect()
    }

    /// Has so many builds run, one after the other, and waits for the end of the last.
    async fn stream(&mut self, count: usize, every: Duration) {
        let mut due = Instant::now();
        for _ in 0..count {
            sleep_until(due).await;
            due += every;
            let change = &self.receivers.changes[self.builds % self.receivers.changes.len()];
            let properties = serde_json::json!({
                "event.change.id": format!("I{}", change.number),
                "event.change.number": change.number,
                "event.change.project": change.project,
                "event.patchSet.revision": change.revision,
            });
            let fields = [
                ("author", "Ines Duarte <ines@example.org>"),
                ("comments", "A change"),
                ("project", "example/project"),
                ("branch", "main"),
                ("revision", &change.revision),
                ("category", &format!("quick-{}", self.builds % 4)),
                ("properties", &properties.to_string()),
            ];
            self.master.change(&fields).await;
            self.builds += 1;
        }
        wait_until("the builds end", PATIENCE, async || {
            (self.ends().len() == self.builds).then_some(())
        })
        .await;
    }

    /// Waits until ours have told of all builds. Theirs need less, or have given up.
    async fn settle(&self) {
        wait_until("ours arrive", PATIENCE, async || {
            (self.receivers.least_of_ours() >= self.builds).then_some(())
        })
        .await;
    }
}

/// From a build's end to each message about it.
fn delays(ends: &BTreeMap<Build, SystemTime>, arrivals: &Arrivals) {
    println!(
        "{} builds, one each {} ms: from a build's end to its message",
        ends.len(),
        EVERY.as_millis()
    );
    println!("\n| kind | whose | p50 | p99 | longest | messages |\n|---|---|---|---|---|---|");
    for (kind, side) in KINDS {
        let came = arrivals.get(&(kind, side));
        let delay = |(build, end): (&Build, &SystemTime)| {
            Some(came?.get(build)?.duration_since(*end).unwrap_or_default())
        };
        let mut all: Vec<Duration> = ends.iter().filter_map(delay).collect();
        let count = all.len();
        let mut at = |share| figures::quantile(&mut all, share).as_secs_f64() * 1e3;
        let (middle, late, last) = (at(0.5), at(0.99), at(1.0));
        println!("| {kind} | {side} | {middle:.0} ms | {late:.0} ms | {last:.0} ms | {count} |");
    }
}

/// What arrived in the end of builds that ended while nobody could be reached.
fn kept(ends: &BTreeMap<Build, SystemTime>, arrivals: &Arrivals, opened: SystemTime) {
    println!("\nreceivers away for {} s, {} builds ended meanwhile", AWAY.as_secs(), ends.len());
    println!("\n| kind | whose | arrived | of | the last, after the receivers were back |");
    println!("|---|---|---|---|---|");
    for (kind, side) in KINDS {
        let came = arrivals.get(&(kind, side));
        let came: Vec<SystemTime> =
            ends.keys().filter_map(|build| came?.get(build).copied()).collect();
        let last = came.iter().max().and_then(|at| at.duration_since(opened).ok());
        let last = last.map_or("–".to_owned(), |after| format!("{:.1} s", after.as_secs_f64()));
        println!("| {kind} | {side} | {} | {} | {last} |", came.len(), ends.len());
    }
}
