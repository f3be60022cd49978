//! Long runs: a test repeated with one seed after another for some minutes.
//!
//! A run can be taken up again: the seeds that are done stand in the cache folder, and the report of a run
//! counts all of them.

use crate::{Failure, cache::Cache, cargo, commit, root, tools};
use std::{
    fs,
    time::{Duration, Instant},
};

/// What can be run long: a name, the test that is repeated, and what it does.
const RUNS: [(&str, [&str; 3], &str); 1] = [(
    "campaign",
    [
        "campaign",
        "k09_none_is_lost_over_cuts_and_kills",
        "a real master's scenario while connections are cut and processes killed",
    ],
    "LONG_SEED",
)];

/// `long NAME --minutes M [--seed N]`
pub fn run(arguments: &[String]) -> Result<(), Failure> {
    let name = arguments.first().map_or("", String::as_str);
    let Some((_, [test, case, what], variable)) = RUNS.iter().find(|(known, ..)| *known == name)
    else {
        return Err(format!(
            "there is no long run {name:?}; there are: {}",
            RUNS.map(|(name, ..)| name).join(", ")
        ));
    };
    let minutes: u64 = option(arguments, "--minutes")?.ok_or("how long? --minutes M")?;
    let first: u64 = option(arguments, "--seed")?.unwrap_or(1);
    let cache = Cache::open(&root())?;
    tools::install(&cache, tools::Wanted::Master)?;
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
        command.args(["test", "--workspace", "--test", test, "--", "--exact", case, "--nocapture"]);
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
