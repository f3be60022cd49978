//! `long faults`: the fault campaign of `e2e/src/faults`, with the program as it is.

use crate::{Failure, cache::Cache, cargo, commit, root, succeed, tools};
use std::time::{SystemTime, UNIX_EPOCH};

/// `--seed N [--minutes M] [--runs R] [--real K] [--jobs J] [--only I] [--topology standalone|split]`
pub fn run(arguments: &[String]) -> Result<(), Failure> {
    let cache = Cache::open(&root())?;
    tools::install(&cache, tools::Wanted::Faults)?;
    succeed(
        cargo(&cache).args(["build", "--quiet", "--package", "buildbot-status"]),
        "building the program",
    )?;
    succeed(
        cargo(&cache).args(["build", "--quiet", "--package", "e2e", "--bin", "faults"]),
        "building the campaign",
    )?;
    // A campaign takes long: it goes on with what it began with, whatever is built meanwhile.
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let folder = cache.target().join("faults").join(seconds.to_string());
    let io = |error: std::io::Error| format!("{}: {error}", folder.display());
    std::fs::create_dir_all(&folder).map_err(io)?;
    for name in ["faults", "buildbot-status"] {
        std::fs::copy(cache.target().join("debug").join(name), folder.join(name)).map_err(io)?;
    }
    let mut command = std::process::Command::new(folder.join("faults"));
    command.current_dir(root()).env("BUILDBOT_STATUS", folder.join("buildbot-status"));
    for (name, value) in cache.variables() {
        command.env(name, value);
    }
    command.arg("all").args(arguments).arg("--logs").arg(folder.join("logs"));
    command.args(["--commit", &commit()]);
    // A single run is looked into, not reported.
    if !arguments.iter().any(|a| a == "--only" || a == "--report") {
        let seed =
            arguments.iter().position(|a| a == "--seed").and_then(|at| arguments.get(at + 1));
        let seed = seed.map_or("1", String::as_str);
        command.arg("--report").arg(root().join(format!("docs/reports/faults-{seed}.md")));
    }
    let status = command.status().map_err(|error| format!("faults: {error}"))?;
    if status.success() {
        // Nothing is left to look into.
        let _ = std::fs::remove_dir_all(&folder);
        Ok(())
    } else {
        // The campaign has said what failed and where its logs are.
        Err(Failure::new())
    }
}
