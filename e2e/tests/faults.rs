//! A dozen runs of the fault campaign on the recorded master: none lost, at most one repeat a kill.
//! And that a target that breaks this is found.
#![allow(clippy::unwrap_used, clippy::panic)]

use e2e::{
    binary,
    faults::campaign::{Campaign, Sum},
};
use std::{env, path::Path, process::Command};

/// Runs whose faults by turns are kills, cuts, half-open connections, lost frames, a full disk, a
/// torn page, receivers that fail, and another database.
const RUNS: [u64; 12] = [0, 1, 3, 5, 7, 10, 12, 13, 15, 17, 19, 21];

#[test]
fn k09_a_dozen_runs_with_faults_lose_nothing() {
    let seed = env::var("FAULTS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let logs = tempfile::tempdir().unwrap();
    let logs = logs.keep();
    let campaign = Campaign {
        seed,
        runs: RUNS.to_vec(),
        until: None,
        real: Vec::new(),
        jobs: 3,
        topology: None,
        broken: None,
        logs: logs.clone(),
        binary: binary().to_owned(),
    };
    let done = campaign.run(Path::new(env!("CARGO_BIN_EXE_faults")), |_, _| {});
    let failed: Vec<String> =
        done.iter().filter(|run| !run.is_good()).map(|run| campaign.words(run)).collect();
    assert!(failed.is_empty(), "seed {seed}\n{}", failed.join("\n"));
    let sum = Sum::of(done.iter());
    assert!(sum.due > 500, "{} are too few to show anything", sum.due);
    assert_eq!(sum.lost, 0);
    assert!(sum.repeated <= sum.kills, "{}", sum.line());
    std::fs::remove_dir_all(logs).unwrap();
}

/// The exit code of a campaign of one run without faults, in which a target breaks the promise, and
/// what it prints.
fn with_a_target_that(breaks: &str) -> (Option<i32>, String) {
    let logs = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_faults"));
    command.args(["all", "--runs", "1", "--broken", breaks, "--logs"]).arg(logs.path());
    let output = command.env("BUILDBOT_STATUS", binary()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn k09_a_target_that_acknowledges_what_it_has_not_sent_is_found_to_lose() {
    let (code, said) = with_a_target_that("forgets");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.ends_with(" events due, 1 lost, 0 repeated in 0 kills\n"), "{said}");
    assert_eq!(said.matches("  lost: push of ").count(), 1, "{said}");
}

#[test]
fn k09_a_target_that_sends_again_what_was_answered_is_found_to_repeat() {
    let (code, said) = with_a_target_that("repeats");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.ends_with(" events due, 0 lost, 1 repeated in 0 kills\n"), "{said}");
    assert!(said.contains("  1 repeated in 0 kills\n"), "{said}");
}
