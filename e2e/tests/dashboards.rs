//! Every query of the dashboard of feeds and targets is put to a real Prometheus, which scrapes processes that run.
//! So figures and labels are there under the names that the panels use. The operator's dashboard has its test beside
//! a cluster, in `tests/operator/`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::{Asked, Process, Prometheus, binary, free_port, panels, wait_until};
use std::{fs, path::Path, process::Command, time::Duration};

const PATIENCE: Duration = Duration::from_secs(120);

/// Panels about what this test's processes do not do: a limit, a feed that others ask, a disk that fails.
const SILENT: [&str; 3] = ["Left of limits", "Requests to the feed", "Transactions that failed"];

/// A master at MASTER, and a target of each kind with a password.
const ALL: &str = include_str!("../../tests/cli/all.yaml");

/// Starts the program; its process, and the port of its figures.
fn start(folder: &Path, arguments: &[&str]) -> (Process, u16) {
    let port = free_port();
    let mut command = Command::new(binary());
    command.args(arguments).args(["--metrics", &format!("127.0.0.1:{port}"), "--data"]);
    command.arg(folder.join(arguments[0])).current_dir(folder);
    (Process::start(&mut command, &folder.join(format!("{}.out", arguments[0]))), port)
}

#[tokio::test]
async fn k06_every_query_of_the_dashboards_finds_figures_with_the_labels_that_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (_demo, demo) = start(at, &["demo", "--port", "0", "--speed", "50"]);
    // Nobody listens on the discard port, so that there are requests and connections that fail.
    fs::write(at.join("all.yaml"), ALL.replace("MASTER", "http://127.0.0.1:9/")).unwrap();
    fs::create_dir_all(at.join("secrets/smtp")).unwrap();
    fs::write(at.join("secrets/smtp/password"), "secret").unwrap();
    let (_alone, alone) = start(at, &["standalone", "-f", "all.yaml", "--secrets", "secrets"]);
    let prometheus = Prometheus::start(at, &[demo, alone], &[]).await;
    let asked = panels("targets");
    assert!(asked.len() > 25, "{}", asked.len());
    for one in asked {
        let Asked { panel, query, .. } = &one;
        let silent = SILENT.contains(&panel.as_str());
        let series =
            wait_until(&format!("{panel}: {query} finds something"), PATIENCE, async || {
                let series =
                    prometheus.query(query).await.unwrap_or_else(|e| panic!("{query}: {e}"));
                (silent || !series.is_empty()).then_some(series)
            })
            .await;
        one.check(&series);
    }
}
