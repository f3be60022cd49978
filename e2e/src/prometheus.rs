//! A real Prometheus, which scrapes processes of the test.

use crate::{Process, free_port, wait_until};
use serde_json::Value;
use std::{fs, path::Path, process::Command, time::Duration};

const PATIENCE: Duration = Duration::from_secs(60);

/// Prometheus with its data in a folder of the test.
#[derive(Debug)]
pub struct Prometheus {
    _process: Process,
    url: String,
    http: reqwest::Client,
}

impl Prometheus {
    /// Starts one that scrapes these ports of loopback every second, and evaluates these files of rules as often.
    /// It answers when this returns.
    pub async fn start(folder: &Path, ports: &[u16], rules: &[&Path]) -> Self {
        let targets: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        // reqwest wants to know who does TLS.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: {rules:?}\nscrape_configs:\n\
             - job_name: test\n  honor_labels: true\n  static_configs:\n  - targets: {targets:?}\n"
        );
        let file = folder.join("prometheus.yml");
        fs::write(&file, config).unwrap();
        // It does not tell which port it took, so one is found for it.
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()));
        command.arg(format!("--web.listen-address={address}"));
        let mut process = Process::start(&mut command, &folder.join("prometheus.out"));
        let (url, http) = (format!("http://{address}"), reqwest::Client::new());
        wait_until("Prometheus answers", PATIENCE, async || {
            assert!(process.ended().is_none(), "{}", process.printed());
            let answer = http.get(format!("{url}/-/ready")).send().await.ok()?;
            answer.error_for_status().ok().map(drop)
        })
        .await;
        Self { _process: process, url, http }
    }

    /// The answer to a query: its series, or Prometheus' words against it.
    pub async fn query(&self, query: &str) -> Result<Vec<Value>, String> {
        self.ask("query", &[("query", query)]).await.map(|data| list(&data["result"]))
    }

    /// All rules, each with its `name`, `health` and `lastError`.
    pub async fn rules(&self) -> Vec<Value> {
        let data = self.ask("rules", &[]).await.unwrap();
        list(&data["groups"]).iter().flat_map(|group| list(&group["rules"])).collect()
    }

    /// The names and labels of the alerts that fire.
    pub async fn firing(&self) -> Vec<Value> {
        let mut alerts = list(&self.ask("alerts", &[]).await.unwrap()["alerts"]);
        alerts.retain(|alert| alert["state"] == "firing");
        alerts.into_iter().map(|mut alert| alert["labels"].take()).collect()
    }

    async fn ask(&self, what: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let request = self.http.get(format!("{}/api/v1/{what}", self.url)).query(parameters);
        let mut answer: Value = request.send().await.unwrap().json().await.unwrap();
        match answer["status"].as_str() {
            Some("success") => Ok(answer["data"].take()),
            _ => Err(answer["error"].to_string()),
        }
    }
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}
