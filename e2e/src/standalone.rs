//! The program under test.

use crate::{Process, free_port, wait_until};
use rustix::process::Signal;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

/// `buildbot-status standalone` with its data folder.
#[derive(Debug)]
pub struct Standalone {
    data: PathBuf,
    manifests: PathBuf,
    metrics: u16,
    process: Option<Process>,
}

/// The built program: `BUILDBOT_STATUS`, else the one beside this test, built if need be.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = env::var_os("BUILDBOT_STATUS") {
            return path.into();
        }
        // target/debug/deps/TEST -> target/debug
        let test = env::current_exe().unwrap();
        let folder = test.parent().and_then(Path::parent).unwrap();
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args([
            "build",
            "--quiet",
            "--package",
            "buildbot-status",
        ]);
        cargo.env("CARGO_TARGET_DIR", folder.parent().unwrap());
        assert!(cargo.status().unwrap().success(), "buildbot-status does not build");
        folder.join("buildbot-status")
    })
}

/// The sum of a metric's values, from `/metrics` at this port; with `NAME{TEXT`, of those whose labels
/// hold the text.
pub async fn figure(port: u16, name: &str) -> Option<f64> {
    let (name, label) = name.split_once('{').unwrap_or((name, ""));
    let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
    let url = format!("http://127.0.0.1:{port}/metrics");
    let text = http.get(url).send().await.ok()?.text().await.ok()?;
    let mut values = text
        .lines()
        .filter_map(|line| line.strip_prefix(name).filter(|rest| rest.starts_with([' ', '{'])))
        .filter(|rest| rest.contains(label))
        .filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok())
        .peekable();
    values.peek().is_some().then(|| values.sum())
}

impl Standalone {
    /// Writes the manifests and starts the program with the data folder `name` below `parent`.
    pub fn start(parent: &Path, name: &str, manifests: &str) -> Self {
        let (data, file) = (parent.join(name), parent.join(format!("{name}.yaml")));
        fs::write(&file, manifests).unwrap();
        let metrics = free_port();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut standalone = Self { data, manifests: file, metrics, process: None };
        standalone.run();
        standalone
    }

    fn run(&mut self) {
        let mut command = Command::new(binary());
        command
            .args(["--log", "info", "standalone", "-f"])
            .arg(&self.manifests)
            .arg("--data")
            .arg(&self.data);
        command.args(["--metrics", &format!("127.0.0.1:{}", self.metrics)]);
        self.process = Some(Process::start(&mut command, &self.data.with_extension("out")));
    }

    /// kill -9, and a new start at once.
    pub fn crash(&mut self) {
        self.process = None; // dropping kills
        self.run();
    }

    /// SIGTERM; must end well within ten seconds.
    pub async fn end(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal(Signal::TERM);
            let status = process.end(Duration::from_secs(10)).await;
            assert!(status.success(), "{status}\n{}", process.printed());
        }
    }

    /// Waits until it follows its master.
    pub async fn connected(&mut self) {
        wait_until("standalone follows its master", Duration::from_secs(60), async || {
            if let Some(status) = self.process.as_mut().and_then(Process::ended) {
                panic!("standalone ended: {status}\n{}", self.printed());
            }
            (self.figure("buildbot_status_master_connected").await? > 0.0).then_some(())
        })
        .await;
    }

    /// See [`figure`].
    pub async fn figure(&self, name: &str) -> Option<f64> {
        figure(self.metrics, name).await
    }

    /// The port of its figures.
    pub fn metrics(&self) -> u16 {
        self.metrics
    }

    /// Seconds of processor time that it took since its last start.
    pub fn processor_seconds(&self) -> f64 {
        self.process.as_ref().map_or(0.0, Process::processor_seconds)
    }

    /// The journal's folder.
    pub fn journal(&self) -> PathBuf {
        self.data.join("default/main")
    }

    /// What it printed.
    pub fn printed(&self) -> String {
        fs::read_to_string(self.data.with_extension("out")).unwrap_or_default()
    }
}
