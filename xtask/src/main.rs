//! Chores of this repository: `cargo xtask test`, `tools`, `cluster`, `e2e`, `image`, `sbom`,
//! `generate`, `demo-recording`, `long`, `bench`.
//!
//! Standard library only, so that the first command on a new machine starts within seconds.
#![allow(clippy::print_stdout, clippy::print_stderr)] // a terminal program

mod bench;
mod cache;
mod cluster;
mod faults;
mod gerrit;
mod image;
mod long;
mod previous;
mod sbom;
mod suites;
mod tools;

use cache::Cache;
use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

const USAGE: &str = "\
cargo xtask COMMAND

  test [CARGO TEST ARGUMENTS]   install what the tests need (it says what first), run them all, print a table
  tools                         install what the tests need, and no more
  cluster up [--tier node|control] | down | status
                                a real Kubernetes on this machine, closed off (root; the first time it builds one)
  e2e [CARGO TEST ARGUMENTS]    the tests on a cluster: the one that KUBECONFIG names, else the one that is up,
                                else clusters of their own
  image [--release] [--name NAME] [--output FILE]
                                an image of the program as a file, without a daemon; --release: static, small
  generate                      write crds/yaml/, docs/reference/, docs/examples/, the charts' generated parts and the
                                API's description anew
  sbom [--target TARGET] [--output FILE]
                                what the program is linked from, as CycloneDX
  demo-recording [--seed N]     run the scenario against a real master (7 minutes) and write e2e/recording/
  long campaign|fuzz --minutes M [--seed N]
                                a long run, with one seed after another; taken up again where it ended
  long faults --minutes M --seed N [--runs R] [--real K] [--jobs J] [--only I] [--topology standalone|split]
                                a fault campaign: for some minutes, or R runs on the recorded master (8 s a run)
                                and K on a real one (a minute a run)
                                each leaves a report in docs/reports/
  bench [NAME]                  a measurement, or the usual two (minutes each); a wrong name lists them

Build output and tools are kept in $XDG_CACHE_HOME/buildbot-status-operator (~/.cache if unset).";

/// Why a chore failed: words for the terminal.
type Failure = String;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", &[][..]),
    };
    let outcome = match command {
        "test" => test(rest),
        "tools" => tools(),
        "cluster" => cluster::run(rest),
        "e2e" => cluster::e2e(rest),
        "image" => image::run(rest),
        "generate" => generate(),
        "sbom" => sbom::run(rest),
        "demo-recording" => demo_recording(rest),
        "long" => long::run(rest),
        "bench" => bench::run(rest),
        "help" | "-h" | "--help" => {
            println!("{USAGE}");
            Ok(())
        }
        other => Err(format!("there is no command {other:?}\n\n{USAGE}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Where all is said already, the last line stays the last.
            if !failure.is_empty() {
                eprintln!("{failure}");
            }
            ExitCode::FAILURE
        }
    }
}

/// The checkout: this crate's parent folder.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Cargo, with build output in the cache and the tools' places in the environment.
fn cargo(cache: &Cache) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).env("CARGO_TARGET_DIR", cache.target());
    for (name, value) in cache.variables() {
        command.env(name, value);
    }
    if let Some(folder) = previous::built(cache) {
        command.env("E2E_PREVIOUS", folder);
    }
    command
}

/// The commit that is checked out.
fn commit() -> String {
    let output =
        Command::new("git").current_dir(root()).args(["rev-parse", "--short=12", "HEAD"]).output();
    output
        .ok()
        .and_then(|o| String::from_utf8(o.stdout).ok())
        .map_or("unknown".to_owned(), |text| text.trim().to_owned())
}

fn succeed(command: &mut Command, what: &str) -> Result<(), Failure> {
    let status = command.status().map_err(|error| format!("{what}: can't be started: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{what} failed ({status})")) }
}

fn test(arguments: &[String]) -> Result<(), Failure> {
    let cache = Cache::open(&root())?;
    tools::install(&cache, tools::Wanted::Tests)?;
    suites::run(&cache, arguments)
}

fn tools() -> Result<(), Failure> {
    tools::install(&Cache::open(&root())?, tools::Wanted::Tests)
}

fn generate() -> Result<(), Failure> {
    let cache = Cache::open(&root())?;
    // The charts are made of the definitions.
    for packages in [&["crds", "render"][..], &["charts"]] {
        let mut command = cargo(&cache);
        command.args(["test", "--quiet"]).env("UPDATE_GENERATED", "1");
        command.args(packages.iter().flat_map(|package| ["--package", package]));
        succeed(&mut command, "writing generated files")?;
    }
    let mut api = cargo(&cache);
    api.args(["test", "--quiet", "--package", "feed", "--test", "http_openapi", "the_file_is"])
        .env("UPDATE_GENERATED", "1");
    succeed(&mut api, "writing the description of the feed's API")
}

fn demo_recording(arguments: &[String]) -> Result<(), Failure> {
    let cache = Cache::open(&root())?;
    tools::install(&cache, tools::Wanted::Master)?;
    let mut command = Command::new(cache.python());
    command
        .current_dir(root())
        .arg("e2e/buildbot/record.py")
        .args(["e2e/recording", "--pace", "1", "--gzip"])
        .args(arguments);
    succeed(&mut command, "recording")
}
