//! The fault campaign as a program: `cargo xtask long faults` builds and runs it.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a terminal program for tests")]

use clap::{Args, Parser, Subcommand};
use e2e::faults::{
    Broken, Plan, Topology,
    campaign::{Campaign, Sum},
    real, run, run_broken,
};
use std::{
    env, fs,
    future::Future,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

/// Most runs of a campaign whose minutes are told.
const MOST: u64 = 100_000;

/// Runs the program while faults happen, and looks for what was lost.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Many runs.
    All(All),
    /// One run; the last line of what it prints is its outcome as JSON.
    One(One),
    /// A target that breaks the promise, as part of a run.
    #[command(hide = true)]
    BrokenTarget { how: Broken, feed: String, token: PathBuf, receiver: String },
}

#[derive(Args)]
struct All {
    /// Everything is drawn from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many runs on the recorded master.
    #[arg(long, default_value_t = 12, conflicts_with = "minutes")]
    runs: u64,
    /// As many runs on the recorded master as begin in these minutes.
    #[arg(long)]
    minutes: Option<u64>,
    /// How many runs on a real master.
    #[arg(long, default_value_t = 0)]
    real: u64,
    /// Only this run.
    #[arg(long)]
    only: Option<u64>,
    /// Runs at the same time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Which processes run; without it, by turns.
    #[arg(long, value_enum)]
    topology: Option<Topology>,
    /// No faults, but a target that breaks the promise: shows that the verdict says so.
    #[arg(long, hide = true)]
    broken: Option<Broken>,
    /// Where the logs of runs that fail are kept.
    #[arg(long)]
    logs: PathBuf,
    /// Where the report is written.
    #[arg(long)]
    report: Option<PathBuf>,
    /// The commit, for the report.
    #[arg(long, default_value = "unknown")]
    commit: String,
}

#[derive(Args)]
struct One {
    #[arg(long)]
    seed: u64,
    #[arg(long)]
    index: u64,
    #[arg(long, value_enum)]
    topology: Topology,
    #[arg(long)]
    folder: PathBuf,
    #[arg(long)]
    real: bool,
    #[arg(long)]
    broken: Option<Broken>,
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::One(one) => {
            let One { seed, index, topology, folder, real, broken } = one;
            let one = async {
                if real {
                    real::run(seed, index, topology, &folder).await
                } else {
                    let plan = Plan::draw(seed, index, topology);
                    let plan = match broken {
                        Some(broken) => plan.with(broken),
                        None => plan,
                    };
                    run(&plan, &folder).await
                }
            };
            // What is dropped when it is interrupted kills its processes.
            let Some(outcome) = until_interrupted(one) else { return ExitCode::from(130) };
            println!("{}", outcome.json());
            ExitCode::from(u8::from(!outcome.is_good()))
        }
        Command::BrokenTarget { how, feed, token, receiver } => {
            until_interrupted(run_broken(how, &feed, &token, &receiver));
            ExitCode::SUCCESS
        }
        Command::All(all) => campaign(all),
    }
}

/// What comes of it; nothing if SIGINT or SIGTERM come before.
fn until_interrupted<T>(what: impl Future<Output = T>) -> Option<T> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::select! {
            done = what => Some(done),
            () = interrupted() => None,
        }
    })
}

/// SIGINT or SIGTERM.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate()).unwrap();
    let mut int = signal(SignalKind::interrupt()).unwrap();
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

fn campaign(all: All) -> ExitCode {
    let began = Instant::now();
    let numbers = |count: u64| match all.only {
        Some(only) if count > 0 => vec![only],
        _ => (0..count).collect(),
    };
    let only_real = all.only.is_some() && all.real > 0;
    let campaign = Campaign {
        seed: all.seed,
        runs: if only_real { Vec::new() } else { numbers(all.minutes.map_or(all.runs, |_| MOST)) },
        until: all.minutes.map(|minutes| began + Duration::from_secs(60 * minutes)),
        real: numbers(all.real),
        jobs: all.jobs,
        topology: all.topology,
        broken: all.broken,
        logs: all.logs,
        binary: env::var_os("BUILDBOT_STATUS").map_or_else(
            || env::current_exe().unwrap().with_file_name("buildbot-status"),
            PathBuf::from,
        ),
    };
    let total = campaign.runs.len() + campaign.real.len();
    let done = campaign.run(&env::current_exe().unwrap(), |campaign, done| {
        if done.is_good() {
            let said = done.said.clone().unwrap_or_default();
            println!(
                "{:>4} {:3}  {:5.1} s  {:3} due, {} repeated in {} kills, {} unclear, {} not due  {}",
                if done.real { "real" } else { "run" },
                done.index,
                said["seconds"].as_f64().unwrap_or(0.0),
                said["due"],
                said["repeated"],
                said["kills"],
                said["unclear"],
                said["excused"],
                done.faults.join("; ")
            );
        } else {
            println!("{}", campaign.words(done));
        }
    });
    assert!(done.len() == total || campaign.until.is_some());
    let report = campaign.report(&done, &all.commit, began);
    if let Some(file) = all.report {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, report).unwrap();
        println!("report: {}", file.display());
    }
    let sum = Sum::of(done.iter());
    println!("{}", sum.line());
    ExitCode::from(u8::from(sum.bad > 0 || sum.lost > 0 || sum.repeated > sum.kills))
}
