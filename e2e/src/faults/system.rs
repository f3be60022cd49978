//! The program under test: real processes, in one or in several.

use super::{
    manifests,
    plan::{Topology, Victim},
};
use crate::{Link, Process, binary, free_port, wait_until};
use rustix::process::Signal;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// More resident memory than this above the beginning is growth: a journal's page cache alone may
/// take 64 MiB (`feed::Options::cache_bytes`), and is full only after long.
pub const GROWTH: u64 = 64 << 20;

/// Where everything is that the processes talk to.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// The master, by its link.
    pub master: u16,
    /// The receiver of mail.
    pub smtp: u16,
    /// The receiver of pushes.
    pub http: u16,
}

/// The wall clock of the processes: libfaketime with a file that says by how much it is off.
#[derive(Clone, Debug)]
pub struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// A clock that is right; `None` where libfaketime is not installed.
    pub fn new(folder: &Path) -> Option<Self> {
        let name = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
        let others = [
            "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
            "/usr/lib64/faketime/libfaketimeMT.so.1",
        ];
        let library =
            std::iter::once(name).chain(others).map(PathBuf::from).find(|p| p.exists())?;
        let clock = Self { library, file: folder.join("clock") };
        clock.off_by(0);
        Some(clock)
    }

    /// Sets how many seconds it is off.
    pub fn off_by(&self, seconds: i64) {
        let fresh = self.file.with_extension("new");
        fs::write(&fresh, format!("{seconds:+}")).unwrap();
        fs::rename(fresh, &self.file).unwrap();
    }

    fn apply(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", &self.file)
            .env("FAKETIME_CACHE_DURATION", "1")
            // Timers go on: only what the clock says is wrong.
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1");
    }
}

/// Resident memory of a process in bytes; 0 if it is gone.
fn resident(process: &Process) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}

struct Unit {
    arguments: Vec<String>,
    process: Option<Process>,
    started: Instant,
    /// Memory at the beginning, once it was taken.
    baseline: Option<u64>,
    grown: u64,
}

/// The processes.
pub struct System {
    folder: PathBuf,
    topology: Topology,
    ports: Ports,
    clock: Option<Clock>,
    units: BTreeMap<&'static str, Unit>,
    /// Between targets and feed, where there is a way.
    pub feed_link: Option<Link>,
    pages: u16,
    feed_port: u16,
    metrics: u16,
    /// kill -9 of processes, once for each target in them.
    pub kills: u64,
    /// Journals that were lost so far.
    broken: usize,
}

impl System {
    /// Writes the documents and starts the processes.
    pub async fn start(
        folder: &Path,
        topology: Topology,
        ports: Ports,
        clock: Option<Clock>,
    ) -> Self {
        let mut system = Self {
            folder: folder.to_owned(),
            topology,
            ports,
            clock,
            units: BTreeMap::new(),
            feed_link: None,
            pages: free_port(),
            feed_port: free_port(),
            metrics: free_port(),
            kills: 0,
            broken: 0,
        };
        match topology {
            Topology::Standalone => system.standalone(),
            Topology::Split => system.split().await,
        }
        system
    }

    fn standalone(&mut self) {
        let file = self.folder.join("standalone.yaml");
        fs::write(&file, manifests::all(self.ports, self.pages)).unwrap();
        let (data, metrics) = (self.data(), self.metrics());
        let arguments =
            ["standalone", "-f", text(&file), "--data", text(&data), "--metrics", &metrics];
        self.unit("feed", &arguments);
    }

    async fn split(&mut self) {
        let keys = self.folder.join("keys");
        fs::create_dir_all(&keys).unwrap();
        fs::write(keys.join("1"), "a signing key of the campaign, 32 bytes or more").unwrap();
        let listen = format!("127.0.0.1:{}", self.feed_port);
        let link = Link::start(self.feed_port).await;
        let url = format!("http://127.0.0.1:{}/", link.port());
        self.feed_link = Some(link);
        let master = self.folder.join("master.yaml");
        fs::write(&master, manifests::master(self.ports.master)).unwrap();
        let (data, metrics) = (self.data(), self.metrics());
        let feed = [
            "feed",
            "-f",
            text(&master),
            "--data",
            text(&data),
            "--listen",
            &listen,
            "--keys",
            text(&keys),
            "--metrics",
            &metrics,
        ];
        self.unit("feed", &feed);
        let uid = manifests::UID;
        for (name, kind, consumer, document) in [
            ("mail", "MailNotifier", "mail/mail", manifests::mail(self.ports.smtp)),
            ("push", "HttpPush", "http_push/push", manifests::push(self.ports.http)),
        ] {
            let token = self.token(&keys, uid, consumer, kind, &["read", "consume"]);
            let token_file = self.folder.join(format!("{name}.token"));
            fs::write(&token_file, token).unwrap();
            let file = self.folder.join(format!("{name}.yaml"));
            fs::write(&file, document).unwrap();
            let target = [
                "target",
                "-f",
                text(&file),
                "--feed",
                &url,
                "--token-file",
                text(&token_file),
                "--metrics",
                "127.0.0.1:0",
            ];
            self.unit(name, &target);
        }
    }

    fn token(&self, keys: &Path, uid: &str, consumer: &str, kind: &str, rights: &[&str]) -> String {
        let mut command = Command::new(binary());
        command.args([
            "token",
            "--keys",
            text(keys),
            "--master-uid",
            uid,
            "--consumer",
            consumer,
            "--kind",
            kind,
        ]);
        for right in rights {
            command.args(["--right", right]);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn unit(&mut self, name: &'static str, arguments: &[&str]) {
        let mut all = vec!["--log".to_owned(), "info".to_owned()];
        all.extend(arguments.iter().map(|a| (*a).to_owned()));
        let unit = Unit {
            arguments: all,
            process: None,
            started: Instant::now(),
            baseline: None,
            grown: 0,
        };
        self.units.insert(name, unit);
        self.run(name);
    }

    fn run(&mut self, name: &'static str) {
        let output = self.folder.join(format!("{name}.log"));
        let unit = self.units.get_mut(name).unwrap();
        let mut command = Command::new(binary());
        // A backtrace of a program with its symbols takes some 90 MiB, which would count as growth.
        command.args(&unit.arguments).env_remove("RUST_BACKTRACE");
        if let Some(clock) = &self.clock {
            clock.apply(&mut command);
        }
        (unit.process, unit.started, unit.baseline) =
            (Some(Process::start(&mut command, &output)), Instant::now(), None);
    }

    fn metrics(&self) -> String {
        format!("127.0.0.1:{}", self.metrics)
    }

    /// Whether the mail and the push have their places in the journal, by the feed's figures.
    pub async fn consumers(&self) -> [bool; 2] {
        let text = self.figures().await;
        ["mail/mail", "http_push/push"]
            .map(|consumer| text.contains(&format!("consumer=\"{consumer}\"")))
    }

    /// Whether the master is read at present.
    pub async fn is_connected(&self) -> bool {
        let text = self.figures().await;
        let mut lines =
            text.lines().filter(|line| line.starts_with("buildbot_status_master_connected"));
        lines.any(|line| line.ends_with(" 1"))
    }

    /// Dead letters of the mail's consumer and of the push's.
    pub async fn dead_letters(&self) -> [u64; 2] {
        let text = self.figures().await;
        ["mail/mail", "http_push/push"].map(|consumer| {
            let label = format!("consumer=\"{consumer}\"");
            let name = "buildbot_status_feed_consumer_dead_letters{";
            let line = text.lines().find(|line| line.starts_with(name) && line.contains(&label));
            line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
        })
    }

    /// Whether the journal has every one of these builds, which are all that the master's database
    /// has finished.
    pub async fn knows(&self, builds: &BTreeSet<u64>) -> bool {
        match self.topology {
            Topology::Standalone => {
                let url =
                    format!("http://127.0.0.1:{}/one_line_per_build?numbuilds=1000", self.pages);
                let page = self.get(&url, "").await;
                page.contains(&format!("the last {} to finish", builds.len()))
            }
            Topology::Split => {
                let token = self.token(
                    &self.folder.join("keys"),
                    manifests::UID,
                    "look",
                    "WebStatus",
                    &["read"],
                );
                let url = format!("http://127.0.0.1:{}/v1/builds", self.feed_port);
                let answer: serde_json::Value =
                    serde_json::from_str(&self.get(&url, &token).await).unwrap_or_default();
                let known = answer["builds"].as_array().into_iter().flatten();
                let known: BTreeSet<u64> = known.filter_map(|build| build["id"].as_u64()).collect();
                builds.is_subset(&known)
            }
        }
    }

    /// The body of an answer; empty if there is none.
    async fn get(&self, url: &str, token: &str) -> String {
        let request = reqwest::Client::new().get(url).bearer_auth(token);
        match request.timeout(Duration::from_secs(5)).send().await {
            Ok(answer) => answer.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// What the process with the journal says at `/metrics`; empty while it does not answer.
    async fn figures(&self) -> String {
        self.get(&format!("http://{}/metrics", self.metrics()), "").await
    }

    fn name(&self, victim: Victim) -> &'static str {
        match (self.topology, victim) {
            (Topology::Split, Victim::Mail) => "mail",
            (Topology::Split, Victim::Push) => "push",
            _ => "feed",
        }
    }

    /// Whether it is the process with the journal.
    pub fn is_feed(&self, victim: Victim) -> bool {
        self.name(victim) == "feed"
    }

    /// kill -9. What it sends may be repeated once by each target in it.
    pub fn kill(&mut self, victim: Victim) {
        let name = self.name(victim);
        self.watch_memory();
        self.units.get_mut(name).unwrap().process = None; // dropping kills
        self.kills += match (self.topology, name) {
            (Topology::Standalone, _) => 2,
            (Topology::Split, "feed") => 0,
            (Topology::Split, _) => 1,
        };
    }

    /// Starts a process that was killed.
    pub fn restart(&mut self, victim: Victim) {
        let name = self.name(victim);
        if self.units[name].process.is_none() {
            self.run(name);
        }
    }

    /// Where journals are kept.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The journal's file.
    pub fn journal(&self) -> PathBuf {
        let below = |folder: &Path| folder.join("journal.redb");
        let split = below(&self.data());
        if split.exists() { split } else { below(&self.data().join("default/main")) }
    }

    /// Whether a journal was put aside as damaged since this was asked last.
    pub fn lost_a_journal(&mut self) -> bool {
        let folder = self.journal();
        let folder = folder.parent().unwrap();
        let names = fs::read_dir(folder).into_iter().flatten().flatten();
        let broken = names.filter(|e| e.file_name().to_string_lossy().contains(".broken-")).count();
        std::mem::replace(&mut self.broken, broken) < broken
    }

    /// Starts processes again that ended by themselves, as a cluster does after a second; tells how
    /// they ended.
    pub fn supervise(&mut self) -> Vec<String> {
        let mut ended = Vec::new();
        for (name, unit) in &mut self.units {
            let status = unit.process.as_mut().and_then(Process::ended);
            if let Some(status) = status
                && unit.started.elapsed() > Duration::from_secs(1)
            {
                ended.push((*name, status));
            }
        }
        for (name, _) in &ended {
            self.run(name);
        }
        ended
            .into_iter()
            .map(|(name, status)| format!("{name} ended by itself: {status}"))
            .collect()
    }

    /// Takes the memory of each process: the first reading that comes a second after its start is
    /// where growth is counted from.
    pub fn watch_memory(&mut self) {
        for unit in self.units.values_mut() {
            let Some(process) = &unit.process else { continue };
            let now = resident(process);
            if now == 0 || unit.started.elapsed() < Duration::from_secs(1) {
                continue;
            }
            let baseline = *unit.baseline.get_or_insert(now);
            unit.grown = unit.grown.max(now.saturating_sub(baseline));
        }
    }

    /// The most that any process grew, in bytes.
    pub fn grown(&self) -> u64 {
        self.units.values().map(|unit| unit.grown).max().unwrap_or(0)
    }

    /// An address whose stream somebody may read slowly: pages or feed, and its request.
    pub fn stream(&self) -> (u16, String) {
        match self.topology {
            Topology::Standalone => {
                (self.pages, "GET /live/waterfall HTTP/1.1\r\nHost: pages\r\n\r\n".to_owned())
            }
            Topology::Split => {
                let keys = self.folder.join("keys");
                let token = self.token(&keys, manifests::UID, "slow", "WebStatus", &["read"]);
                let head = format!(
                    "GET /v1/events HTTP/1.1\r\nHost: feed\r\nAuthorization: Bearer {token}\r\n"
                );
                (self.feed_port, format!("{head}Accept: text/event-stream\r\n\r\n"))
            }
        }
    }

    /// Ends everything in an orderly way; gives what was wrong.
    pub async fn end(mut self) -> Vec<String> {
        let mut problems = Vec::new();
        for unit in self.units.values() {
            if let Some(process) = &unit.process {
                process.signal(Signal::TERM);
            }
        }
        for (name, unit) in &mut self.units {
            let Some(process) = &mut unit.process else { continue };
            let ended = tokio::time::timeout(
                Duration::from_secs(30),
                wait_until("a process ends", Duration::from_secs(60), async || process.ended()),
            );
            match ended.await {
                Ok(status) if status.success() => {}
                Ok(status) => problems.push(format!("{name} ended with {status} after SIGTERM")),
                Err(_) => problems.push(format!("{name} did not end within 30 s after SIGTERM")),
            }
        }
        problems
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
