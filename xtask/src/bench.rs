//! Measurements: the programs of `bench/`.

use crate::{Failure, cache::Cache, cargo, cluster, root, succeed, tools};
use std::process::Command;

/// A name, and what is measured.
const PROGRAMS: [(&str, &str); 8] = [
    ("process", "the whole process with a journal of 4000 builds"),
    ("beside", "the same pages from a real master and from the program beside it"),
    ("reporters", "a real master's own reporters and the program, into the same receivers"),
    ("feed", "events taken in, and handed out to 100 consumers, a second"),
    ("isolation", "delays of 47 targets beside three whose peers misbehave"),
    ("memory", "memory of the feed with readers that are slow or do not read at all"),
    ("master-load", "processor time of a real master by who listens to it (half an hour)"),
    (
        "scale",
        "the operator with 5000 targets, beside the plain speed of the cluster (half an hour)",
    ),
];

/// What is run if none is named.
const USUAL: [&str; 2] = ["process", "beside"];

/// `bench [NAME [ARGUMENTS]]`
pub fn run(arguments: &[String]) -> Result<(), Failure> {
    match arguments.split_first() {
        Some((name, more)) => measure(name, more),
        None => USUAL.iter().try_for_each(|name| measure(name, &[])),
    }
}

fn measure(name: &str, more: &[String]) -> Result<(), Failure> {
    if !PROGRAMS.iter().any(|(known, _)| *known == name) {
        let all: Vec<String> =
            PROGRAMS.iter().map(|(name, what)| format!("  {name:<12}  {what}")).collect();
        return Err(format!("there is no measurement {name:?}; there are:\n{}", all.join("\n")));
    }
    let cache = Cache::open(&root())?;
    let wanted = match name {
        "scale" => tools::Wanted::Cluster(cluster::Tier::Node),
        "reporters" => tools::Wanted::Reviews,
        _ => tools::Wanted::Master,
    };
    tools::install(&cache, wanted)?;
    let mut build = cargo(&cache);
    // Both in one command: alone, each would have its own features of the same dependencies.
    build.args([
        "build",
        "--release",
        "--package",
        "buildbot-status",
        "--package",
        "bench",
        "--bins",
    ]);
    succeed(&mut build, "building the release")?;
    println!("== {name}");
    let release = cache.target().join("release");
    let program = release.join("buildbot-status");
    let mut command = if name == "master-load" {
        let mut command = Command::new(cache.python());
        command.arg(root().join("bench/master_load.py")).arg(&program);
        command
    } else {
        let mut command = Command::new(release.join(name));
        command.current_dir(root()).env("BUILDBOT_STATUS", &program);
        for (variable, value) in cache.variables() {
            command.env(variable, value);
        }
        command
    };
    succeed(command.args(more), "the measurement")
}
