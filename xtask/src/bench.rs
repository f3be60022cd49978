//! Measurements: the programs of `bench/`.

use crate::{Failure, cache::Cache, cargo, root, succeed, tools};
use std::process::Command;

/// A name, and what is measured.
const PROGRAMS: [(&str, &str); 6] = [
    ("process", "the whole process with a journal of 4000 builds"),
    ("beside", "the same pages from a real master and from the program beside it"),
    ("feed", "events taken in, and handed out to 100 consumers, a second"),
    ("isolation", "delays of 47 targets beside three whose peers misbehave"),
    ("memory", "memory of the feed with readers that are slow or do not read at all"),
    ("master-load", "processor time of a real master by who listens to it (half an hour)"),
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
    tools::install(&cache, tools::Wanted::Master)?;
    if USUAL.contains(&name) || name == "master-load" {
        let mut build = cargo(&cache);
        build.args(["build", "--release", "--package", "buildbot-status"]);
        succeed(&mut build, "building the release")?;
    }
    println!("== {name}");
    let program = cache.target().join("release/buildbot-status");
    let mut command = if name == "master-load" {
        let mut command = Command::new(cache.python());
        command.arg(root().join("bench/master_load.py")).arg(&program);
        command
    } else {
        let mut command = cargo(&cache);
        command.args(["run", "--release", "--quiet", "--package", "bench", "--bin", name, "--"]);
        command.env("BUILDBOT_STATUS", &program);
        command
    };
    succeed(command.args(more), "the measurement")
}
