//! A real Buildbot master without workers of their own processes: one configuration, one process.

use crate::{Process, free_port, python, wait_until};
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use url::form_urlencoded;

/// So much of the log is told of a master that is not well.
const LOG: usize = 4000;
const PATIENCE: Duration = Duration::from_secs(120);

/// The master's folder and its process.
#[derive(Debug)]
pub struct Buildmaster {
    home: PathBuf,
    port: u16,
    environment: Vec<(OsString, OsString)>,
    process: Process,
    http: reqwest::Client,
}

impl Buildmaster {
    /// Makes a master below `parent` and starts it. The configuration finds the port of its pages in
    /// `MASTER_WWW`, beside what else is in its environment.
    pub async fn start(parent: &Path, config: &Path, environment: &[(&str, &OsStr)]) -> Self {
        let (home, port) = (parent.join("master"), free_port());
        let mut create = Command::new(python().with_file_name("buildbot"));
        create.args(["create-master", "--quiet", "--relocatable", "--config"]);
        let made = create.arg(config).arg(&home).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut environment: Vec<(OsString, OsString)> =
            environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
        environment.push(("MASTER_WWW".into(), port.to_string().into()));
        // Only plain HTTP is spoken here; the client still wants to know who would do TLS.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
        let process = run(&home, &environment);
        let mut master = Self { home, port, environment, process, http };
        master.workers_are_there().await;
        master
    }

    async fn workers_are_there(&mut self) {
        wait_until("the master has its workers", PATIENCE, async || {
            assert!(self.process.ended().is_none(), "the master ended:\n{}", self.log());
            let workers = self.list("workers", "workers").await?;
            let there = |w: &Value| w["connected_to"].as_array().is_some_and(|to| !to.is_empty());
            workers.iter().all(there).then_some(())
        })
        .await;
    }

    /// SIGTERM, and a new start.
    pub async fn restart(&mut self) {
        self.process.end(PATIENCE).await;
        let _ = fs::remove_file(self.home.join("twistd.pid"));
        self.process = run(&self.home, &self.environment);
        self.workers_are_there().await;
    }

    /// The port of its pages.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The last lines that it logged.
    pub fn log(&self) -> String {
        let log = fs::read(self.home.join("twistd.log")).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(LOG)..]).into_owned()
    }

    /// The rows of a REST answer; `None` when the master does not give one.
    pub async fn list(&self, path: &str, kind: &str) -> Option<Vec<Value>> {
        let url = format!("http://127.0.0.1:{}/api/v2/{path}", self.port);
        let answer = self.http.get(url).header("Accept", "application/json").send().await.ok()?;
        let mut answer: Value = answer.error_for_status().ok()?.json().await.ok()?;
        match answer[kind].take() {
            Value::Array(rows) => Some(rows),
            _ => None,
        }
    }

    /// Has the master do something to a thing; false if it does not answer, or not well.
    pub async fn act(&self, path: &str, method: &str, params: Value) -> bool {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let url = format!("http://127.0.0.1:{}/api/v2/{path}", self.port);
        let request = self.http.post(url).json(&call);
        request.send().await.is_ok_and(|answer| answer.status().is_success())
    }

    /// Tells it of a change, by its hook `base`.
    pub async fn change(&self, fields: &[(&str, &str)]) {
        let url = format!("http://127.0.0.1:{}/change_hook/base", self.port);
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.http.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let answer = request.body(form).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{status}: {text}");
    }

    /// Ends it in an orderly way.
    pub async fn end(mut self) {
        self.process.end(PATIENCE).await;
    }
}

fn run(home: &Path, environment: &[(OsString, OsString)]) -> Process {
    let mut twistd = Command::new(python().with_file_name("twistd"));
    twistd.args(["--no_save", "--nodaemon", "--python=buildbot.tac"]).current_dir(home);
    twistd.envs(environment.iter().map(|(name, value)| (name, value)));
    Process::start(&mut twistd, &home.with_extension("out"))
}
