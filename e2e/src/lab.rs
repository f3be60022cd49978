//! A real Buildbot master with two workers and two repositories: `e2e/buildbot/lab.py`.

use crate::{Process, python, wait_until};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(90);

/// The folder and the processes.
#[derive(Debug)]
pub struct Lab {
    folder: PathBuf,
    port: u16,
    processes: BTreeMap<&'static str, Process>,
    http: reqwest::Client,
}

/// What the master says of a build that has ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FinishedBuild {
    /// The key in the master's database.
    pub id: u64,
    /// The builder's name.
    pub builder: String,
    /// The number within the builder.
    pub number: u64,
    /// Buildbot's code: 0 success to 6 cancelled.
    pub results: u64,
    /// When it ended by the master's clock, in seconds.
    pub complete_at: i64,
}

impl FinishedBuild {
    /// Asks for them.
    pub(crate) const PATH: &str = "builds?complete=true&order=buildid&limit=5000";

    /// From what the master answers to `builders` and to `PATH`.
    pub(crate) fn of(builders: &Value, builds: &Value) -> Option<Vec<Self>> {
        let names: BTreeMap<u64, &str> = builders["builders"]
            .as_array()?
            .iter()
            .filter_map(|b| Some((b["builderid"].as_u64()?, b["name"].as_str()?)))
            .collect();
        let finished = builds["builds"].as_array()?.iter().filter_map(|b| {
            Some(Self {
                id: b["buildid"].as_u64()?,
                builder: (*names.get(&b["builderid"].as_u64()?)?).to_owned(),
                number: b["number"].as_u64()?,
                results: b["results"].as_u64()?,
                complete_at: b["complete_at"].as_i64()?,
            })
        });
        Some(finished.collect())
    }
}

impl Lab {
    /// Makes a lab below `parent` and starts it. `pace` 1 is the demo's speed, 0.1 is for tests.
    pub async fn start(parent: &Path, pace: f64, more: &[&str]) -> Self {
        let folder = parent.join("lab");
        let mut create = Command::new(python());
        create
            .arg(tool("lab.py"))
            .arg("create")
            .arg(&folder)
            .args(["--pace", &pace.to_string()])
            .args(more);
        let made = create.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let settings: Value =
            serde_json::from_slice(&fs::read(folder.join("lab.json")).unwrap()).unwrap();
        let port = settings["www"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap();
        // Only plain HTTP is spoken here; the client still wants to know who would do TLS.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
        let mut lab = Self { folder, port, processes: BTreeMap::new(), http };
        for name in ["master", "oak", "birch"] {
            lab.run(name);
        }
        lab.wait_for_workers().await;
        lab
    }

    fn run(&mut self, name: &'static str) {
        let place = self.folder.join(name);
        let _ = fs::remove_file(place.join("twistd.pid"));
        let mut twistd = Command::new(python().with_file_name("twistd"));
        twistd
            .args(["--no_save", "--nodaemon", "--python=buildbot.tac"])
            .current_dir(place)
            .env("LAB", &self.folder);
        let process = Process::start(&mut twistd, &self.folder.join(format!("{name}.out")));
        self.processes.insert(name, process);
    }

    async fn wait_for_workers(&self) {
        wait_until("master and workers are up", PATIENCE, async || {
            (self.connected().await? == 2).then_some(())
        })
        .await;
    }

    /// How many workers are connected.
    async fn connected(&self) -> Option<usize> {
        let workers = self.get("workers").await?;
        let connected = |w: &&Value| w["connected_to"].as_array().is_some_and(|to| !to.is_empty());
        Some(workers["workers"].as_array()?.iter().filter(connected).count())
    }

    /// kill -9 of the master, and a new start.
    pub async fn crash(&mut self) {
        self.processes.remove("master"); // dropping kills
        self.run("master");
        self.wait_for_workers().await;
    }

    /// SIGTERM to the master, and a new start.
    pub async fn restart(&mut self) {
        if let Some(mut master) = self.processes.remove("master") {
            master.end(PATIENCE).await;
        }
        self.run("master");
        self.wait_for_workers().await;
    }

    /// SIGTERM to a worker, and a new start.
    pub async fn restart_worker(&mut self, name: &'static str) {
        if let Some(mut worker) = self.processes.remove(name) {
            worker.end(PATIENCE).await;
        }
        wait_until("the master misses a worker", PATIENCE, async || {
            (self.connected().await? < 2).then_some(())
        })
        .await;
        self.run(name);
        self.wait_for_workers().await;
    }

    /// Ends the master, and starts it again with a new database that has seen nothing.
    pub async fn begin_anew(&mut self) {
        if let Some(mut master) = self.processes.remove("master") {
            master.end(PATIENCE).await;
        }
        let master = self.folder.join("master");
        fs::rename(master.join("state.sqlite"), master.join("state.sqlite.replaced")).unwrap();
        let mut upgrade = Command::new(python().with_file_name("buildbot"));
        upgrade.args(["upgrade-master", "-q"]).arg(&master).env("LAB", &self.folder);
        let upgraded = upgrade.output().unwrap();
        assert!(upgraded.status.success(), "{}", String::from_utf8_lossy(&upgraded.stderr));
        self.run("master");
        self.wait_for_workers().await;
    }

    /// Ends the master, writes finished builds into its database, and starts it again. `more` is for
    /// `old_builds.py`. Needs a lab with an extra builder.
    pub async fn grow_old(&mut self, builds: usize, more: &[&str]) {
        if let Some(mut master) = self.processes.remove("master") {
            master.end(PATIENCE).await;
        }
        let mut fill = Command::new(python());
        fill.arg(tool("old_builds.py")).arg(&self.folder).arg(builds.to_string()).args(more);
        let filled = fill.output().unwrap();
        assert!(filled.status.success(), "{}", String::from_utf8_lossy(&filled.stderr));
        self.run("master");
        self.wait_for_workers().await;
    }

    /// Forces a build of `builder` on the branch `main` as a person would.
    pub async fn force(&self, builder: &str) {
        self.call("force", builder, &json!({ "branch": "main" })).await;
    }

    /// Forces a build of two codebases, on no branch.
    pub async fn force_integration(&self) {
        self.call("force-integration", "integration", &json!({})).await;
    }

    async fn call(&self, scheduler: &str, builder: &str, more: &Value) {
        let builders = self.get("builders").await.unwrap();
        let found = builders["builders"].as_array().unwrap().iter().find(|b| b["name"] == builder);
        let mut params = json!({
            "builderid": found.unwrap()["builderid"],
            "username": "Ines Duarte <ines@kestrel.example.org>",
            "reason": "A new build",
        });
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "force", "params": params });
        let url = format!("http://127.0.0.1:{}/api/v2/forceschedulers/{scheduler}", self.port);
        let request = self.http.post(url).header("Content-Type", "application/json");
        let answer = request.body(call.to_string()).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{status}: {text}");
    }

    /// Has a build of the builder `dictation` (of a lab made with `--dictation`) print a line; the line
    /// `end` ends it.
    pub fn dictate(&self, line: &str) {
        let file = self.folder.join("dictation.txt");
        let mut file = fs::OpenOptions::new().append(true).open(file).unwrap();
        file.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// The port of the master's interface.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Seconds of processor time that the master took so far.
    pub fn processor_seconds(&self) -> f64 {
        self.processes.get("master").map_or(0.0, Process::processor_seconds)
    }

    /// Starts acts of the scenario (all but the worker's death if none are named).
    pub fn scenario(&self, seed: u64, acts: &str) -> Process {
        let mut command = Command::new(python());
        command.arg(tool("scenario.py")).arg(&self.folder).args(["--seed", &seed.to_string()]);
        if !acts.is_empty() {
            command.args(["--acts", acts]);
        }
        Process::start(&mut command, &self.folder.join("scenario.out"))
    }

    /// A REST answer; `None` when the master does not give one.
    pub async fn get(&self, path: &str) -> Option<Value> {
        let url = format!("http://127.0.0.1:{}/api/v2/{path}", self.port);
        let answer = self.http.get(url).header("Accept", "application/json").send().await.ok()?;
        answer.error_for_status().ok()?.json().await.ok()
    }

    /// Every build that has ended, by id; `None` while the master does not answer.
    pub async fn finished(&self) -> Option<Vec<FinishedBuild>> {
        let builders = self.get("builders").await?;
        FinishedBuild::of(&builders, &self.get(FinishedBuild::PATH).await?)
    }

    /// Ends everything in an orderly way.
    pub async fn end(mut self) {
        for process in self.processes.values_mut() {
            process.signal(Signal::TERM);
        }
        for process in self.processes.values_mut() {
            process.end(PATIENCE).await;
        }
    }
}

fn tool(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("buildbot").join(name)
}
