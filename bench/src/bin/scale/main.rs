//! Thousands of targets on a real control plane: how long the operator takes to bring the cluster to them, beside the plain
//! speed of applying the same objects and status writes; its memory, and what it writes afterwards.
//! `cargo xtask bench scale [TARGETS [NAMESPACES]]`; 5000 in 50 unless said otherwise. `SCALE_IDLE_MINUTES` (10) is how
//! long nothing happens.
//!
//! etcd, kube-apiserver, kube-controller-manager and kube-scheduler are real. Nodes and pods are simulated by KWOK. Feeds
//! are fakes that only serve figures ([`feeds`]). Each of the two has a cluster of its own, with the same settings.
#![allow(clippy::print_stdout, reason = "a terminal program")]

mod cluster;
mod feeds;
mod fleet;
mod operated;
mod plain;

use bench::{Measured, figures};
use fleet::Fleet;
use std::{
    env,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

/// The controllers' limits are far above what two cores can do; their defaults (20 and 50 requests a second) would be all
/// that is measured.
const CONTROLLERS: &str = "--kube-api-qps=5000 --kube-api-burst=10000 --concurrent-deployment-syncs=32 \
                           --concurrent-replicaset-syncs=32 --concurrent-statefulset-syncs=32";
const SCHEDULER: &str = "--kube-api-qps=5000 --kube-api-burst=10000";
/// What a line with the result begins with.
const CONVERGED: &str = "converged after ";

#[tokio::main]
async fn main() -> Measured {
    let mut arguments = env::args().skip(1).peekable();
    let half = arguments.next_if(|word| word == "operator" || word == "plain");
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |word| word.parse());
    let fleet = Fleet { targets: number(5000)?, namespaces: number(50)? };
    match half.as_deref() {
        Some("operator") => operated::run(&fleet).await,
        Some(_) => plain::run(&fleet).await,
        None => both(&fleet),
    }
}

/// Both halves, each in a process with a cluster of its own.
fn both(fleet: &Fleet) -> Measured {
    println!("{}", figures::machine());
    println!("controller-manager: {CONTROLLERS}\nscheduler: {SCHEDULER}\n");
    let plain = half("plain", fleet)?;
    let operated = half("operator", fleet)?;
    println!("\noperator / plain: {:.2}", operated / plain);
    Ok(())
}

fn half(name: &str, fleet: &Fleet) -> Measured<f64> {
    println!("== {name}");
    let mut command = Command::new(env::current_exe()?);
    command.arg(name).args([fleet.targets.to_string(), fleet.namespaces.to_string()]);
    command.env("KCM_ARGS", CONTROLLERS).env("KWOK_SCHEDULER_ARGS", SCHEDULER);
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut seconds = None;
    for line in BufReader::new(child.stdout.take().ok_or("no output")?).lines() {
        let line = line?;
        if let Some(said) = line.strip_prefix(CONVERGED) {
            seconds = said.split(' ').next().and_then(|number| number.parse().ok());
        }
        println!("{line}");
    }
    let status = child.wait()?;
    if !status.success() {
        return Err(format!("{name} ended with {status}").into());
    }
    Ok(seconds.ok_or("it did not say how long it took")?)
}
