//! Every query of the dashboards is put to a real Prometheus, which scrapes processes that run. So figures and labels
//! are there under the names that the panels use.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::Value;
use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(120);
/// How often Prometheus asks; a rate needs two answers.
const INTERVAL: &str = "1s";

/// Panels about what this test's processes do not do: a limit, a feed that others ask, a disk that fails. The operator
/// is not among the processes, so all panels of its own are such.
const SILENT: [&str; 3] = ["Left of limits", "Requests to the feed", "Transactions that failed"];

/// A process that is killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the program; the address of its metrics.
fn start(folder: &Path, arguments: &[&str]) -> (Running, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_buildbot-status"))
        .args(arguments)
        .args(["--metrics", "127.0.0.1:0", "--data"])
        .arg(folder.join(arguments[0]))
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.map(Result::unwrap).find(|line| line.starts_with("metrics")).unwrap();
    let address = line.split("//").nth(1).unwrap().split('/').next().unwrap().to_owned();
    (Running(child), address)
}

struct Prometheus {
    _process: Running,
    address: String,
}

impl Prometheus {
    fn start(folder: &Path, targets: &[String]) -> Self {
        let config = format!(
            "global: {{scrape_interval: {INTERVAL}}}\nscrape_configs:\n- job_name: test\n  static_configs:\n  \
             - targets: {targets:?}\n"
        );
        let file = folder.join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        // Prometheus does not tell which port it took, so one is found for it.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus");
        Self { _process: Running(process), address }
    }

    /// The answer to a query: its series, or Prometheus' words against it. `None` while it does not listen.
    fn query(&self, query: &str) -> Option<Result<Vec<Value>, String>> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        let escaped: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let body = format!("query={escaped}");
        write!(
            stream,
            "POST /api/v1/query HTTP/1.0\r\nHost: test\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let answer: Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
        Some(match answer["status"].as_str()? {
            "success" => Ok(answer["data"]["result"].as_array()?.clone()),
            _ => Err(answer["error"].to_string()),
        })
    }
}

/// A query of a panel, and the labels that its legend shows.
struct Asked {
    panel: String,
    query: String,
    labels: Vec<String>,
    silent: bool,
}

fn asked() -> Vec<Asked> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/buildbot-status-operator/dashboards");
    let files: BTreeSet<PathBuf> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    let mut asked = Vec::new();
    for file in files {
        let dashboard: Value =
            serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let title = panel["title"].as_str().unwrap();
                let query = target["expr"].as_str().unwrap();
                let legend = target["legendFormat"].as_str().unwrap();
                asked.push(Asked {
                    panel: format!("{}: {title}", file.file_stem().unwrap().to_string_lossy()),
                    // As Grafana fills them in.
                    query: query.replace("$__rate_interval", "1m").replace("$master", ".*"),
                    labels: legend
                        .split("{{")
                        .skip(1)
                        .map(|l| l.split("}}").next().unwrap().to_owned())
                        .collect(),
                    silent: SILENT.contains(&title) || query.contains("buildbot_status_operator_"),
                });
            }
        }
    }
    asked
}

#[test]
fn k06_every_query_of_the_dashboards_finds_figures_with_the_labels_that_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (_demo, demo) = start(folder.path(), &["demo", "--port", "0", "--speed", "50"]);
    // Nobody listens on the discard port, so that there are requests and connections that fail.
    let manifest = include_str!("cli/all.yaml").replace("MASTER", "http://127.0.0.1:9/");
    std::fs::write(folder.path().join("all.yaml"), manifest).unwrap();
    std::fs::create_dir_all(folder.path().join("secrets/smtp")).unwrap();
    std::fs::write(folder.path().join("secrets/smtp/password"), "secret").unwrap();
    let (_alone, alone) =
        start(folder.path(), &["standalone", "-f", "all.yaml", "--secrets", "secrets"]);
    let prometheus = Prometheus::start(folder.path(), &[demo, alone]);
    let asked = asked();
    assert!(asked.len() > 40, "{}", asked.len());
    let begin = Instant::now();
    for Asked { panel, query, labels, silent } in asked {
        let series = loop {
            match prometheus.query(&query) {
                Some(Err(error)) => panic!("{panel}: {query}: {error}"),
                Some(Ok(series)) if silent || !series.is_empty() => break series,
                Some(Ok(_)) | None => {}
            }
            assert!(begin.elapsed() < PATIENCE, "{panel}: nothing is found by {query}");
            std::thread::yield_now();
        };
        for one in series {
            for label in &labels {
                assert!(one["metric"][label].is_string(), "{panel}: {label} is not in {one}");
            }
        }
    }
}
