//! A master, a feed beside it, and processes of the program that read the feed.

use e2e::{
    Lab, Link, Mailbox, Process, Receiver, binary, figure, free_port, manifests, wait_until,
};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

/// The builder whose builds are forced.
pub const BUILDER: &str = "quick-00";
/// How long anything but an end may take.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// How long a process may take to end in order.
const END: Duration = Duration::from_secs(15);

/// Variables of processes.
pub type Environment = Vec<(&'static str, String)>;

/// One process of the program, which can be killed and started again.
pub struct Part {
    arguments: Vec<String>,
    environment: Environment,
    output: PathBuf,
    metrics: u16,
    process: Option<Process>,
}

impl Part {
    /// Starts it, and waits until it is ready.
    pub async fn start(
        folder: &Path,
        name: &str,
        arguments: &[&str],
        environment: Environment,
    ) -> Self {
        let metrics = free_port();
        let address = format!("127.0.0.1:{metrics}");
        let arguments = arguments.iter().copied().chain(["--metrics", &address]);
        let mut part = Self {
            arguments: arguments.map(str::to_owned).collect(),
            environment,
            output: folder.join(format!("{name}.out")),
            metrics,
            process: None,
        };
        part.crash();
        part.ready().await;
        part
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.process = None; // dropping kills
    }

    /// kill -9 if it runs, and a new start.
    pub fn crash(&mut self) {
        self.kill();
        let mut command = Command::new(binary());
        command.args(&self.arguments).envs(self.environment.iter().map(|(n, v)| (n, v)));
        self.process = Some(Process::start(&mut command, &self.output));
    }

    /// The port of its figures.
    pub fn metrics(&self) -> u16 {
        self.metrics
    }

    async fn ready(&mut self) {
        let url = format!("http://127.0.0.1:{}/readyz", self.metrics);
        wait_until("a process is ready", PATIENCE, async || {
            if let Some(status) = self.process.as_mut().and_then(Process::ended) {
                panic!("it ended: {status}\n{}", self.printed());
            }
            reqwest::get(&url).await.ok()?.error_for_status().ok().map(|_| ())
        })
        .await;
    }

    /// What it printed so far.
    pub fn printed(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }

    /// SIGTERM; must end well within fifteen seconds.
    pub async fn end(mut self) {
        let Some(process) = &mut self.process else { return };
        let status = process.end(END).await;
        assert!(status.success(), "{status}\n{}", process.printed());
    }
}

/// The master, what is told of it, and its feed.
pub struct Rig {
    folder: tempfile::TempDir,
    pub lab: Lab,
    pub mailbox: Mailbox,
    pub receiver: Receiver,
    pub feed: Part,
    environment: Environment,
    url: String,
    keys: String,
    uid: String,
}

impl Rig {
    /// Starts all; the feed follows the master when this returns.
    pub async fn start() -> Self {
        Self::start_in(Environment::new()).await
    }

    /// As [`Self::start`], with these variables for each process of the program.
    pub async fn start_in(environment: Environment) -> Self {
        Self::start_so(&["--extra-builders", "1"], environment).await
    }

    /// As [`Self::start`], with a lab made with these arguments.
    pub async fn start_with(lab: &[&str]) -> Self {
        Self::start_so(lab, Environment::new()).await
    }

    async fn start_so(lab: &[&str], environment: Environment) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let lab = Lab::start(at, 0.1, lab).await;
        let mailbox = Mailbox::start(at).await;
        let receiver = Receiver::start().await;
        let path = |name: &str| at.join(name).to_str().unwrap().to_owned();
        let all = manifests(lab.port(), mailbox.port(), &receiver.url());
        for (name, document) in ["master", "pages", "mail", "push"].iter().zip(all.split("---\n")) {
            fs::write(at.join(format!("{name}.yaml")), document).unwrap();
        }
        fs::create_dir(at.join("keys")).unwrap();
        fs::write(at.join("keys/1"), "a key of thirty-two bytes or more").unwrap();
        let (keys, data, master) = (path("keys"), path("data"), path("master.yaml"));
        let listen = format!("127.0.0.1:{}", free_port());
        let arguments =
            ["feed", "-f", &master, "--data", &data, "--keys", &keys, "--listen", &listen];
        let feed = Part::start(at, "feed", &arguments, environment.clone()).await;
        let uid = wait_until("the feed says the master's UID", PATIENCE, async || {
            let printed = feed.printed();
            let line = printed.lines().find_map(|line| line.strip_prefix("uid "))?;
            Some(line.trim().to_owned())
        })
        .await;
        wait_until("the feed follows the master", PATIENCE, async || {
            let connected = figure(feed.metrics, "buildbot_status_master_connected").await?;
            (connected > 0.0).then_some(())
        })
        .await;
        let url = format!("http://{listen}/");
        Self { folder, lab, mailbox, receiver, feed, environment, url, keys, uid }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// The file with a token.
    pub fn token(&self, consumer: &str, rights: &[&str]) -> String {
        let mut command = Command::new(binary());
        command.args(["token", "--keys", &self.keys, "--master-uid", &self.uid, "--kind", "test"]);
        command.args(["--consumer", consumer]);
        command.args(rights.iter().flat_map(|right| ["--right", right]));
        let made = command.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let name = format!("token-{}-{}", consumer.replace('/', "-"), rights.join("-"));
        fs::write(self.path(&name), made.stdout).unwrap();
        self.path(&name)
    }

    /// Adds a line to the spec of a manifest.
    pub fn more(&self, manifest: &str, line: &str) -> String {
        let name = format!("{manifest}-more");
        let text = fs::read_to_string(self.path(&format!("{manifest}.yaml"))).unwrap();
        fs::write(self.path(&format!("{name}.yaml")), format!("{text}  {line}\n")).unwrap();
        name
    }

    /// A manifest of pages on this port.
    pub fn pages_on(&self, port: u16) -> String {
        let text = fs::read_to_string(self.path("pages.yaml")).unwrap();
        fs::write(self.path("pages-on.yaml"), text.replace("tcp:0:", &format!("tcp:{port}:")))
            .unwrap();
        "pages-on".to_owned()
    }

    /// Starts a process for the target in the file `manifest`.
    pub async fn target(&self, process: &str, manifest: &str, consumer: &str) -> Part {
        self.target_by(&self.url, process, manifest, consumer).await
    }

    /// The same, with the feed at this address.
    pub async fn target_by(
        &self,
        url: &str,
        process: &str,
        manifest: &str,
        consumer: &str,
    ) -> Part {
        let file = self.path(&format!("{manifest}.yaml"));
        let token = self.token(consumer, &["read", "consume"]);
        let arguments = ["target", "-f", &file, "--feed", url, "--token-file", &token];
        Part::start(self.folder.path(), process, &arguments, self.environment.clone()).await
    }

    /// A way to the feed that can be cut, and its address.
    pub async fn link(&self) -> (Link, String) {
        let url: reqwest::Url = self.url.parse().unwrap();
        let link = Link::start(url.port().unwrap()).await;
        let url = format!("http://127.0.0.1:{}/", link.port());
        (link, url)
    }

    /// `deliveries` with the token of one who manages.
    pub fn deliveries(&self, arguments: &[&str]) -> Output {
        self.deliveries_as(&self.token("operator", &["manage"]), arguments)
    }

    /// `deliveries` with a token.
    pub fn deliveries_as(&self, token: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command.arg("deliveries").args(arguments);
        command.args(["--feed", &self.url, "--token-file", token]).output().unwrap()
    }

    /// What `deliveries list` tells programs.
    pub fn listed(&self) -> Value {
        json(&self.deliveries(&["list", "--output", "json"]))
    }

    /// Ends the feed and the master.
    pub async fn end(self) {
        self.feed.end().await;
        self.lab.end().await;
    }
}

/// What a command printed that succeeded.
pub fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What a command printed for programs.
pub fn json(output: &Output) -> Value {
    serde_json::from_str(&printed(output)).unwrap()
}

/// The finished builds among packets, by number, in their order.
pub fn finished(packets: &[Value]) -> Vec<u64> {
    let finished = packets.iter().filter(|packet| packet["event"] == "buildFinished");
    finished.map(|packet| packet["payload"]["build"]["number"].as_u64().unwrap()).collect()
}
