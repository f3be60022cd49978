//! Long runs: a test repeated with one seed after another for some minutes.
//!
//! A run can be taken up again: the seeds that are done stand in the cache folder, and the report of a run
//! counts all of them.

use crate::{Failure, cache::Cache, cargo, commit, faults, root, tools};
use std::{
    fs,
    time::{Duration, Instant},
};

/// A test that is repeated.
struct Run {
    name: &'static str,
    /// What it does, for the report.
    what: &'static str,
    /// Which tests, as arguments of `cargo test --workspace`.
    tests: &'static [&'static str],
    /// What it is told by, the seed beside it.
    variables: &'static [(&'static str, &'static str)],
    seed: &'static str,
    wanted: tools::Wanted,
}

/// What can be run long, beside `faults`, whose runs are a program of their own.
const RUNS: &[Run] = &[
    Run {
        name: "campaign",
        what: "a real master's scenario while connections are cut and processes killed",
        tests: &[
            "--test",
            "campaign",
            "--",
            "--exact",
            "k09_none_is_lost_over_cuts_and_kills",
            "--nocapture",
        ],
        variables: &[],
        seed: "LONG_SEED",
        wanted: tools::Wanted::Master,
    },
    Run {
        name: "fuzz",
        what: "what comes from outside, changed: `src/fuzz.rs` of each room says what, and what has to hold",
        tests: &["--lib", "--", "fuzz::"],
        variables: &[("FUZZ_TIMES", "10")],
        seed: "FUZZ_SEED",
        wanted: tools::Wanted::Nothing,
    },
];

/// `long NAME --minutes M [--seed N]`; `long faults` has options of its own.
pub fn run(arguments: &[String]) -> Result<(), Failure> {
    let name = arguments.first().map_or("", String::as_str);
    if name == "faults" {
        return faults::run(&arguments[1..]);
    }
    let Some(Run { what, tests, variables, seed: variable, wanted, .. }) =
        RUNS.iter().find(|run| run.name == name)
    else {
        let names: Vec<&str> = RUNS.iter().map(|run| run.name).chain(["faults"]).collect();
        return Err(format!("there is no long run {name:?}; there are: {}", names.join(", ")));
    };
    let minutes: u64 = option(arguments, "--minutes")?.ok_or("how long? --minutes M")?;
    let first: u64 = option(arguments, "--seed")?.unwrap_or(1);
    let cache = Cache::open(&root())?;
    tools::install(&cache, *wanted)?;
    let commit = commit();
    let state = cache.target().join(format!("long-{name}-{commit}-{first}"));
    let mut done: u64 =
        fs::read_to_string(&state).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let taken_up = done;
    let begin = Instant::now();
    let limit = Duration::from_secs(minutes * 60);
    let mut failed = None;
    while begin.elapsed() < limit && failed.is_none() {
        let seed = first + done;
        println!("== {name}, seed {seed}");
        let mut command = cargo(&cache);
        // Of the workspace: so what `cargo xtask test` has built is used.
        // One room's failure does not hide another's.
        command
            .args(["test", "--workspace", "--no-fail-fast"])
            .args(*tests)
            .envs(variables.iter().copied());
        if command.env(variable, seed.to_string()).status().is_ok_and(|status| status.success()) {
            done += 1;
            fs::write(&state, done.to_string())
                .map_err(|error| format!("{}: {error}", state.display()))?;
        } else {
            failed = Some(seed);
        }
    }
    let minutes = begin.elapsed().as_secs_f64() / 60.0;
    let outcome = failed.map_or("no failure".to_owned(), |seed| format!("seed {seed} failed"));
    let text = format!(
        "# {name}\n\n{what}.\n\n| | |\n|---|---|\n| commit | {commit} |\n| seeds | {first} to {} ({taken_up} of them in earlier runs) |\n\
         | minutes of this run | {minutes:.1} |\n| outcome | {outcome} |\n\nAgain: `cargo xtask long {name} --minutes {} --seed {first}`\n",
        first + done.saturating_sub(1),
        limit.as_secs() / 60,
    );
    let folder = root().join("docs/reports");
    let file = folder.join(format!("{name}-{first}.md"));
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&file, text))
        .map_err(|error| format!("{}: {error}", file.display()))?;
    println!("{outcome}; the report is {}", file.display());
    failed.map_or(Ok(()), |seed| Err(format!("{name}: seed {seed} failed")))
}

fn option(arguments: &[String], name: &str) -> Result<Option<u64>, Failure> {
    let Some(at) = arguments.iter().position(|a| a == name) else { return Ok(None) };
    let value = arguments.get(at + 1).ok_or_else(|| format!("{name} needs a number"))?;
    value.parse().map(Some).map_err(|_| format!("{name}: {value:?} is no number"))
}
