//! Buildbot's status targets as processes of their own, in Kubernetes or without it.
//!
//! `buildbot-status demo` shows all of it with nothing else installed;
//! `buildbot-status standalone -f FILE` runs manifests beside a real master.

mod asked;
mod check;
mod cli;
mod deliveries;
mod demo;
mod fail;
mod feed;
mod health;
mod operator;
mod plan;
mod running;
mod send_test;
mod standalone;
mod target;
mod telemetry;
mod token;

use clap::Parser as _;
use cli::{Cli, Command};
use fail::Failure;
use std::{io::Write as _, path::Path, process::ExitCode};

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Standard error may be closed; the exit code still says it.
            let _ = writeln!(std::io::stderr(), "{failure}");
            ExitCode::from(failure.code())
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Crds => return crds(),
        Command::Token(arguments) => return token::token(arguments),
        Command::Copy(arguments) => return copy(&arguments.to),
        _ => {}
    }
    // TLS is needed by the master's client, mail and pushes alike: one provider for all.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return Err(Failure::Other("TLS is already set up".to_owned()));
    }
    let service = format!("buildbot-status-{}", cli.command.name());
    let telemetry = telemetry::start(&service, cli.log_format, &cli.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Other(format!("no threads: {error}")))?;
    let result = runtime.block_on(async {
        match cli.command {
            Command::Standalone(arguments) => standalone::standalone(arguments).await,
            Command::Demo(arguments) => demo::demo(arguments).await,
            Command::Check(arguments) => check::check(arguments).await,
            Command::Test(arguments) => send_test::send_test(arguments).await,
            Command::Feed(arguments) => feed::feed(arguments).await,
            Command::Operator(arguments) => operator::operator(arguments).await,
            Command::Target(arguments) => target::target(arguments).await,
            Command::Deliveries(arguments) => deliveries::deliveries(arguments).await,
            Command::Crds | Command::Token(_) | Command::Copy(_) => Ok(()),
        }
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    telemetry.end();
    result
}

fn crds() -> Result<(), Failure> {
    let yaml = crds::yaml().map_err(|error| Failure::Other(error.to_string()))?;
    say(&yaml)
}

/// Copies this program, which keeps its mode.
fn copy(to: &Path) -> Result<(), Failure> {
    let copied = std::env::current_exe().and_then(|program| std::fs::copy(program, to));
    copied.map(drop).map_err(|error| Failure::Other(format!("{}: {error}", to.display())))
}

/// Writes to standard output. A reader that has seen enough is no failure.
fn say(text: &str) -> Result<(), Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Other(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}
