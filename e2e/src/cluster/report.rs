//! What is kept when a test on a cluster fails.
#![allow(clippy::print_stderr, reason = "a failed test says where to look")]

use super::{Cluster, cache};
use std::{fs, path::Path};

/// Writes events, resources and logs of these namespaces into a folder of the test's name, and says where.
pub(super) fn keep(cluster: &Cluster, test: &str, namespaces: &[String]) {
    let folder = cache().join("failures").join(test);
    let _ = fs::create_dir_all(&folder);
    let write = |name: &str, arguments: &[&str]| {
        let text = cluster.try_kubectl(arguments).unwrap_or_else(|said| said);
        // The test fails anyway; a log that can't be written is one log less.
        let _ = fs::write(folder.join(name), &text);
        text
    };
    write("nodes.yaml", &["get", "nodes", "--output", "yaml"]);
    for namespace in namespaces {
        let of = |more: &[&str]| -> Vec<String> {
            ["--namespace", namespace].iter().chain(more).map(|&word| word.to_owned()).collect()
        };
        let ask = |name: &str, more: &[&str]| {
            let arguments = of(more);
            let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
            write(&format!("{namespace}-{name}"), &words)
        };
        let events = ask("events.txt", &["get", "events", "--sort-by", ".lastTimestamp"]);
        eprintln!("events of {namespace}:\n{}", last_lines(&events, 25));
        let kinds = "pods,deployments,statefulsets,services,configmaps,jobs,ingresses,persistentvolumeclaims";
        ask("resources.yaml", &["get", kinds, "--output", "yaml"]);
        // Where the kinds are not installed, this file says so.
        ask("targets.yaml", &["get", "statustargets", "--output", "yaml"]);
        let pods =
            cluster.try_kubectl(&["--namespace", namespace, "get", "pods", "--output", "name"]);
        for pod in pods.unwrap_or_default().lines() {
            let name = pod.trim_start_matches("pod/");
            let text = ask(
                &format!("{name}.log"),
                &["logs", pod, "--all-containers", "--prefix", "--timestamps"],
            );
            eprintln!("last of {namespace}/{name}:\n{}", last_lines(&text, 15));
            ask(&format!("{name}-before.log"), &["logs", pod, "--all-containers", "--previous"]);
        }
    }
    if let Some(state) = &cluster.state {
        copy_logs(&state.join("log"), &folder);
    }
    eprintln!("Logs, events and resources are kept in {}", folder.display());
}

/// The components' logs.
fn copy_logs(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).into_iter().flatten().flatten() {
        let _ = fs::copy(entry.path(), to.join(entry.file_name()));
    }
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
