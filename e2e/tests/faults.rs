//! A dozen runs of the fault campaign on the recorded master: none lost, at most one repeat a kill.
#![allow(clippy::unwrap_used, clippy::panic)]

use e2e::{
    binary,
    faults::campaign::{Campaign, Sum},
};
use std::{env, path::Path};

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
        real: Vec::new(),
        jobs: 3,
        topology: None,
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
