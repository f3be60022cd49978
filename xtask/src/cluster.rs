//! `cluster` and `e2e`: a real Kubernetes on this machine, by the scripts of `e2e/cluster/`, and the tests on it.

use crate::{Failure, cache::Cache, cargo, image, root, succeed, tools};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// How much of a cluster is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// etcd, kube-apiserver and kube-controller-manager: resources are kept and ruled, no pod runs.
    Control,
    /// All of it: pods run, with DNS, an Ingress controller and the Gateway API.
    Node,
}

impl Tier {
    /// As the scripts call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Node => "node",
        }
    }
}

/// A script of `e2e/cluster/`.
fn script(cache: &Cache, name: &str) -> Command {
    let mut command = Command::new(folder().join(name));
    command.env("KCACHE", cache.cluster());
    command
}

fn folder() -> PathBuf {
    root().join("e2e/cluster")
}

/// What is still to be built, by name. `None` where the scripts can't say.
pub fn to_build(cache: &Cache, tier: Tier) -> Option<Vec<String>> {
    let mut command = script(cache, "install.sh");
    if tier == Tier::Control {
        command.arg("--control");
    }
    let output = command.arg("--check").stderr(Stdio::inherit()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.lines().map(str::to_owned).collect())
}

/// Builds what is missing. pip comes from the tests' own Python environment where the machine has none.
pub fn build(cache: &Cache, tier: Tier) -> Result<(), Failure> {
    let mut command = script(cache, "install.sh");
    if tier == Tier::Control {
        command.arg("--control");
    }
    let mut path = vec![cache.venv().join("bin")];
    path.extend(env::var_os("PATH").iter().flat_map(env::split_paths));
    let path = env::join_paths(path).map_err(|error| format!("PATH: {error}"))?;
    succeed(command.env("PATH", path), "building the cluster's programs")
}

/// `cluster up [--tier node|control] | down | status`
pub fn run(arguments: &[String]) -> Result<(), Failure> {
    let cache = Cache::open(&root())?;
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["up"] | ["up", "--tier", "node"] => up(&cache, Tier::Node),
        ["up", "--tier", "control"] => up(&cache, Tier::Control),
        ["down"] => succeed(&mut script(&cache, "down.sh"), "ending the cluster"),
        ["status"] => status(&cache),
        _ => Err("what is to be done? cluster up [--tier node|control] | down | status".to_owned()),
    }
}

fn up(cache: &Cache, tier: Tier) -> Result<(), Failure> {
    let state = cache.cluster_state();
    if let Some(running) = running(cache) {
        if running != tier.name() {
            return Err(format!(
                "a cluster of the tier {running} is up already; first: cargo xtask cluster down"
            ));
        }
        println!("It is up already.");
    } else {
        tools::install(cache, tools::Wanted::Cluster(tier))?;
        succeed(script(cache, "up.sh").env("TIER", tier.name()), "starting the cluster")?;
    }
    let kubeconfig = state.join("kubeconfig/admin-host");
    println!("\nFrom this machine, by a relay on loopback:");
    println!("  export KUBECONFIG={}", kubeconfig.display());
    println!(
        "kubectl of the cluster's version, and any program in the cluster's network (Services, pods):"
    );
    println!("  {}/k get pods -A", folder().display());
    println!("  {}/netexec curl http://10.89.0.1/", folder().display());
    if tier == Tier::Node {
        println!("Helm:\n  {}", cache.cluster().join("bin/helm").display());
        println!("An image from a file:");
        println!("  {}/netexec -n ctr -n k8s.io images import FILE.tar", folder().display());
    }
    println!("The end of it:\n  cargo xtask cluster down");
    Ok(())
}

/// The tier of the developer's cluster, if it is up.
fn running(cache: &Cache) -> Option<String> {
    let up = script(cache, "netexec").arg("true").stderr(Stdio::null()).status();
    let tier = fs::read_to_string(cache.cluster_state().join("tier")).ok()?;
    up.is_ok_and(|status| status.success()).then(|| tier.trim().to_owned())
}

fn status(cache: &Cache) -> Result<(), Failure> {
    let Some(tier) = running(cache) else {
        println!("No cluster is up. One is started by: cargo xtask cluster up");
        return Ok(());
    };
    println!("A cluster of the tier {tier} is up.");
    let state = cache.cluster_state();
    println!("KUBECONFIG={}", state.join("kubeconfig/admin-host").display());
    let mut k = script(cache, "k");
    if tier == "node" {
        k.args(["get", "nodes,pods", "--all-namespaces", "--output", "wide"]);
    } else {
        k.args(["get", "--raw", "/readyz?verbose"]);
    }
    succeed(&mut k, "asking the apiserver")
}

/// `e2e [CARGO TEST ARGUMENTS]`: on the cluster that `KUBECONFIG` names, else on the developer's if it is up, else on
/// one of its own.
pub fn e2e(arguments: &[String]) -> Result<(), Failure> {
    let cache = Cache::open(&root())?;
    tools::install(&cache, tools::Wanted::ClusterTests)?;
    let mut command = cargo(&cache);
    command.args(["test", "--package", "e2e", "--test", "control", "--test", "node"]);
    let state = cache.cluster_state();
    let given = env::var_os("KUBECONFIG").filter(|file| !file.is_empty()).map(PathBuf::from);
    match given {
        Some(file) if !file.starts_with(&state) => {
            println!("The tests run on the cluster of {}.", file.display());
            foreign(&cache, &mut command)?;
            command.env("E2E_KUBECONFIG", file);
        }
        _ if running(&cache).as_deref() == Some(Tier::Node.name()) => {
            println!("The tests run on the cluster that is up.");
            command.env("E2E_KSTATE", state);
        }
        _ => println!("The tests start clusters of their own."),
    }
    succeed(command.args(arguments), "the tests")
}

/// A cluster of somebody else's pulls no image from this machine: says what it is to have.
fn foreign(cache: &Cache, command: &mut Command) -> Result<(), Failure> {
    for (variable, file, made) in [
        ("E2E_IMAGE", "program.tar", image::debug as fn(&Cache, &Path) -> Result<String, Failure>),
        ("E2E_LAB_IMAGE", "lab.tar", image::lab),
    ] {
        if let Some(name) = env::var_os(variable) {
            println!("{variable}={}", Path::new(&name).display());
            continue;
        }
        let file = cache.target().join(file);
        let name = made(cache, &file)?;
        println!(
            "It is to have the image {name}, for example by: kind load image-archive {}",
            file.display()
        );
        command.env(variable, name);
    }
    Ok(())
}
