//! A real Buildbot master in a folder and on a port of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

use serde_json::{Value, json};
use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

const CONFIG: &str = r#"
from buildbot.plugins import schedulers, steps, util, worker
from buildbot.process.buildstep import BuildStep
from buildbot.process import results

class Outcome(BuildStep):
    name = 'outcome'
    async def run(self):
        log = await self.addLog('stdio')
        log.addHeader('begin\n')
        log.addStdout('one\ntwo\n')
        await log.finish()
        await self.addCompleteLog('notes', 'text\n')
        return results.Results.index(self.getProperty('outcome', 'success'))

def shell(command):
    return steps.ShellCommand(name='shell', command=command)

quick = util.BuildFactory([shell('echo quick'), Outcome()])
slow = util.BuildFactory([shell('echo slow; sleep 60')])
BuildmasterConfig = {
    'title': 'Test <b>master</b>',
    'titleURL': 'http://localhost/',
    'buildbotURL': 'http://localhost:PORT/',
    'buildbotNetUsageData': None,
    'db': {'db_url': 'sqlite:///state.sqlite'},
    'protocols': {'null': {}},
    'collapseRequests': False,
    'workers': [worker.LocalWorker('local', max_builds=2)],
    'builders': [
        util.BuilderConfig(name='quick one/ä', workernames=['local'], factory=quick, tags=['a']),
        util.BuilderConfig(name='slow', workernames=['local'], factory=slow),
    ],
    'schedulers': [
        schedulers.ForceScheduler(name='force', builderNames=['quick one/ä', 'slow'],
            properties=[util.StringParameter(name='outcome', default='success')]),
        schedulers.AnyBranchScheduler(name='changes', treeStableTimer=None,
            builderNames=['quick one/ä'], properties={'owners': ['Own Er <own@example.org>']}),
    ],
    'www': {
        'port': 'tcp:PORT:interface=127.0.0.1',
        'change_hook_dialects': {'base': True},
        'auth': util.UserPasswordAuth({'reader': 'se cret'}),
        'authz': util.Authz(
            allowRules=[util.AnyEndpointMatcher(role='readers')],
            roleMatchers=[util.RolesFromUsername(roles=['readers'], usernames=['reader'])]),
    },
}
"#;

/// A master; killed when it is dropped.
pub struct Buildbot {
    pub address: SocketAddr,
    venv: PathBuf,
    folder: tempfile::TempDir,
    process: Option<Child>,
    http: reqwest::Client,
    cookie: String,
}

impl Drop for Buildbot {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Buildbot {
    /// The folder of the Python environment that has Buildbot; `None` and said so if none is set.
    #[allow(clippy::print_stderr, reason = "a test that is skipped says so")]
    pub fn venv() -> Option<PathBuf> {
        let venv = std::env::var_os("BUILDBOT_VENV").map(PathBuf::from);
        if venv.is_none() {
            eprintln!("skipped: BUILDBOT_VENV names no Python environment with Buildbot");
        }
        venv
    }

    /// Makes a master and starts it.
    pub async fn start(venv: &Path) -> Self {
        let port =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let config = CONFIG.replace("PORT", &port.to_string());
        std::fs::write(folder.path().join("master.cfg"), config).unwrap();
        let made = Command::new(venv.join("bin/buildbot"))
            .args(["create-master", "-q"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .status();
        assert!(made.unwrap().success());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let http = client();
        let mut this = Self {
            address,
            venv: venv.to_owned(),
            folder,
            process: None,
            http,
            cookie: String::new(),
        };
        this.run().await;
        this
    }

    /// Starts the master's process, and waits until it answers.
    pub async fn run(&mut self) {
        let log = std::fs::File::create(self.folder.path().join("out.log")).unwrap();
        let process = Command::new(self.venv.join("bin/buildbot"))
            .args(["start", "--nodaemon"])
            .arg(self.folder.path())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.process = Some(process);
        for _ in 0..600 {
            let login = self.http.get(self.url("auth/login")).basic_auth("reader", Some("se cret"));
            if let Ok(answer) = login.send().await {
                let set = answer.headers().get_all("set-cookie").iter().next_back();
                self.cookie = set.unwrap().to_str().unwrap().split(';').next().unwrap().to_owned();
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let log = std::fs::read_to_string(self.folder.path().join("twistd.log")).unwrap();
        panic!("the master does not start:\n{log}");
    }

    /// Kills it as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// A REST answer.
    pub async fn get(&self, path: &str) -> Value {
        let mut tries = 0;
        loop {
            let request = self.http.get(self.url(&format!("api/v2/{path}")));
            let request =
                request.header("cookie", &self.cookie).header("accept", "application/json");
            let answer = request.send().await.unwrap();
            let status = answer.status();
            match answer.text().await {
                // Twisted closes a connection under an answer now and then.
                Err(_) if tries < 3 => tries += 1,
                text => {
                    let text = text.unwrap();
                    return serde_json::from_str(&text)
                        .unwrap_or_else(|e| panic!("{path}: {status} {e}: {text:?}"));
                }
            }
        }
    }

    /// Forces a build of a builder.
    pub async fn force(&self, builder: &str, outcome: &str) {
        let builders = self.get("builders").await;
        let of = |b: &&Value| b["name"] == builder;
        let id = &builders["builders"].as_array().unwrap().iter().find(of).unwrap()["builderid"];
        let params = json!({"builderid": id, "outcome": outcome, "reason": "a <test>"});
        self.act("forceschedulers/force", "force", &params).await;
    }

    /// An action.
    pub async fn act(&self, path: &str, method: &str, params: &Value) {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let request = self.http.post(self.url(&format!("api/v2/{path}")));
        let request = request.header("cookie", &self.cookie).body(body.to_string());
        let answer = request.header("content-type", "application/json").send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    /// A change by the hook `base`.
    pub async fn change(&self, comments: &str, revision: &str) {
        let form = format!(
            "author=Ann%20%3Cann%40example.org%3E&comments={comments}&revision={revision}&files=%5B%22a.c%22%5D"
        );
        let request = self.http.post(self.url("change_hook/base")).body(form);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        assert!(request.send().await.unwrap().status().is_success());
    }

    /// Waits until no request is open, but for those of `running` builds.
    pub async fn idle(&self) {
        for _ in 0..600 {
            let open = self.get("buildrequests?complete=false").await;
            if open["buildrequests"].as_array().unwrap().is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the master is never idle");
    }
}

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .no_gzip()
        .build()
        .unwrap()
}
