//! The program under test: real processes, in one or in several.

mod asked;
mod clock;

pub use clock::Clock;

use super::{
    broken::Broken,
    manifests,
    plan::{Plan, Topology, Victim},
};
use crate::{Link, Process, binary, free_port, wait_until};
use rustix::process::Signal;
use std::{
    collections::BTreeMap,
    env, fs,
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

/// Resident memory of a process in bytes; 0 if it is gone.
fn resident(process: &Process) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}

struct Unit {
    program: PathBuf,
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
    pub async fn start(folder: &Path, plan: &Plan, ports: Ports, clock: Option<Clock>) -> Self {
        let topology = plan.topology;
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
            Topology::Split => system.split(plan.broken).await,
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

    async fn split(&mut self, broken: Option<Broken>) {
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
            if let Some(broken) = broken.filter(|_| name == "push") {
                let receiver = manifests::push_url(self.ports.http);
                let how = ["broken-target", broken.name(), &url, text(&token_file), &receiver];
                let this = env::current_exe().unwrap();
                self.unit_of(name, this, how.map(str::to_owned).to_vec());
                continue;
            }
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
        let arguments = ["--log", "info"].iter().chain(arguments);
        self.unit_of(name, binary().to_owned(), arguments.map(|a| (*a).to_owned()).collect());
    }

    fn unit_of(&mut self, name: &'static str, program: PathBuf, arguments: Vec<String>) {
        let unit = Unit {
            program,
            arguments,
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
        let mut command = Command::new(&unit.program);
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
