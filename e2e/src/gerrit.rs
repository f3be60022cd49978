//! A real Gerrit, and what a person would do with it.

use crate::{Process, free_port, wait_until};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(120);
/// The administrator of a site that was made for trying out.
const ADMIN: (&str, &str) = ("admin", "secret");

/// A Gerrit with a site of its own.
#[derive(Debug)]
pub struct Gerrit {
    site: PathBuf,
    http: u16,
    ssh: u16,
    process: Process,
    client: reqwest::Client,
}

/// A change's newest patch set.
#[derive(Clone, Debug)]
pub struct Change {
    /// The project's name.
    pub project: String,
    /// The change's number.
    pub number: u64,
    /// The commit.
    pub revision: String,
}

/// An account of a program.
#[derive(Clone, Debug)]
pub struct Robot {
    /// What it logs in as.
    pub name: String,
    /// Its private key, for SSH.
    pub identity: String,
    /// Its password, for REST.
    pub password: String,
}

impl Gerrit {
    /// Starts one, which takes some ten seconds.
    pub async fn start(parent: &Path) -> Self {
        let tools = env::var_os("GERRIT").expect(
            "GERRIT is not set: run the tests with `cargo xtask test`, which gets a Gerrit",
        );
        let (tools, site) = (PathBuf::from(tools), parent.join("gerrit"));
        let copied = Command::new("cp").arg("-a").arg(tools.join("site")).arg(&site).status();
        assert!(copied.unwrap().success(), "no site in {}", tools.display());
        let (http, ssh) = (free_port(), free_port());
        let settings = [
            ("httpd.listenUrl", format!("http://127.0.0.1:{http}/")),
            ("gerrit.canonicalWebUrl", format!("http://127.0.0.1:{http}/")),
            ("sshd.listenAddress", format!("127.0.0.1:{ssh}")),
            ("sendemail.enable", "false".to_owned()),
        ];
        for (name, value) in settings {
            let mut git = Command::new("git");
            git.args(["config", "--file"]).arg(site.join("etc/gerrit.config")).args([name, &value]);
            assert!(git.status().unwrap().success(), "{name}");
        }
        let logger = "com.google.common.flogger.backend.log4j.Log4jBackendFactory#getInstance";
        let context = "com.google.gerrit.server.logging.LoggingContext#getInstance";
        let mut java = Command::new("java");
        java.args(["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg("-Djava.net.preferIPv4Stack=true")
            .arg(format!("-Dflogger.backend_factory={logger}"))
            .arg(format!("-Dflogger.logging_context={context}"))
            .arg("-cp")
            .arg(format!("{0}/classes:{0}/jars/*", tools.display()))
            .args(["Launch", "Daemon", "--headless", "--console-log", "-d"])
            .arg(&site);
        let process = Process::start(&mut java, &parent.join("gerrit.out"));
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().timeout(Duration::from_secs(60)).build().unwrap();
        let mut gerrit = Self { site, http, ssh, process, client };
        wait_until("Gerrit answers", PATIENCE, async || {
            let ended = gerrit.process.ended();
            assert!(ended.is_none(), "Gerrit ended:\n{}", gerrit.process.printed());
            gerrit.client.get(gerrit.url("config/server/version")).send().await.ok()
        })
        .await;
        gerrit
    }

    /// The port of its pages and REST API.
    pub fn http(&self) -> u16 {
        self.http
    }

    /// The port of its SSH server.
    pub fn ssh(&self) -> u16 {
        self.ssh
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.http)
    }

    /// Its host keys as lines of a `known_hosts` file, one of each kind.
    pub fn known_hosts(&self) -> String {
        self.known_hosts_at("127.0.0.1")
    }

    /// The same where it is reached at another address.
    pub fn known_hosts_at(&self, host: &str) -> String {
        let kinds = ["ed25519", "ecdsa", "rsa"];
        let line = |kind: &&str| {
            let file = self.site.join(format!("etc/ssh_host_{kind}_key.pub"));
            format!("[{host}]:{} {}", self.ssh, fs::read_to_string(file).unwrap())
        };
        kinds.iter().map(line).collect()
    }

    /// Asks as the administrator.
    pub async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let request = self.client.request(method, self.url(&format!("a/{path}")));
        let request = request.basic_auth(ADMIN.0, Some(ADMIN.1));
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        match text.strip_prefix(")]}'") {
            Some(json) => serde_json::from_str(json).unwrap(),
            None => Value::Null,
        }
    }

    /// Makes a project with a branch.
    pub async fn project(&self, name: &str) {
        let body = json!({ "create_empty_commit": true, "branches": ["master"] });
        self.ask(Method::PUT, &format!("projects/{}", segment(name)), Some(body)).await;
    }

    /// Makes the label `Verified` in all projects, as most sites have it.
    pub async fn verified(&self) {
        let label = json!({
            "commit_message": "Verified",
            "values": { "-1": "Fails", "0": "No score", "+1": "Verified" },
        });
        self.ask(Method::PUT, "projects/All-Projects/labels/Verified", Some(label)).await;
    }

    /// Lets an account's group vote on a label of all projects.
    pub async fn grant(&self, group: &str, label: &str) {
        let found = self.ask(Method::GET, &format!("groups/{}", segment(group)), None).await;
        let id = found["id"].as_str().unwrap();
        let rule = json!({ "action": "ALLOW", "min": -1, "max": 1 });
        let permission = json!({ "label": label, "rules": { id: rule } });
        let permissions = json!({ format!("label-{label}"): permission });
        let access = json!({ "add": { "refs/heads/*": { "permissions": permissions } } });
        self.ask(Method::POST, "projects/All-Projects/access", Some(access)).await;
    }

    /// Makes an account in the group `Service Users`, with a key of a kind that `ssh-keygen` knows.
    pub async fn robot(&self, name: &str, kind: &str) -> Robot {
        let file = self.site.join(format!("{name}-{kind}"));
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", kind, "-N", "", "-C", name, "-f"]).arg(&file);
        assert!(keygen.status().unwrap().success());
        let read = |path: PathBuf| fs::read_to_string(path).unwrap();
        let robot = Robot {
            name: name.to_owned(),
            identity: read(file.clone()),
            password: format!("password of {name}"),
        };
        let account = json!({
            "name": name,
            "email": format!("{name}@example.org"),
            "ssh_key": read(file.with_extension("pub")),
            "http_password": robot.password,
            "groups": ["Service Users"],
        });
        self.ask(Method::PUT, &format!("accounts/{name}"), Some(account)).await;
        robot
    }

    /// Makes a change.
    pub async fn change(&self, project: &str) -> Change {
        let input = json!({ "project": project, "branch": "master", "subject": "A change" });
        let made = self.ask(Method::POST, "changes/", Some(input)).await;
        self.newest(project, made["_number"].as_u64().unwrap()).await
    }

    /// Makes a new patch set of a change.
    pub async fn amend(&self, change: &Change) -> Change {
        let path = format!("changes/{}", change.path());
        let info = self.ask(Method::GET, &path, None).await;
        let id = info["change_id"].as_str().unwrap();
        let message = format!("A better change than {}\n\nChange-Id: {id}\n", change.revision);
        let body = json!({ "message": message });
        self.ask(Method::PUT, &format!("{path}/message"), Some(body)).await;
        self.newest(&change.project, change.number).await
    }

    async fn newest(&self, project: &str, number: u64) -> Change {
        let mut change = Change { project: project.to_owned(), number, revision: String::new() };
        let path = format!("changes/{}?o=CURRENT_REVISION", change.path());
        let info = self.ask(Method::GET, &path, None).await;
        info["current_revision"].as_str().unwrap().clone_into(&mut change.revision);
        change
    }

    /// The messages of an account on a change, oldest first, each with its tag.
    pub async fn messages(&self, change: &Change, author: &str) -> Vec<(String, Option<String>)> {
        let path = format!("changes/{}/messages", change.path());
        let all = self.ask(Method::GET, &path, None).await;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        all.as_array()
            .unwrap()
            .iter()
            .filter(|message| message["author"]["name"] == author)
            .map(|message| (text(&message["message"]).unwrap(), text(&message["tag"])))
            .collect()
    }

    /// The votes on a change's newest patch set: label, name of the account, value.
    pub async fn votes(&self, change: &Change) -> Vec<(String, String, i64)> {
        let path = format!("changes/{}?o=DETAILED_LABELS&o=DETAILED_ACCOUNTS", change.path());
        let info = self.ask(Method::GET, &path, None).await;
        let mut votes = Vec::new();
        for (label, about) in info["labels"].as_object().unwrap() {
            for vote in about["all"].as_array().into_iter().flatten() {
                let value = vote["value"].as_i64().unwrap_or(0);
                if value != 0 {
                    votes.push((label.clone(), vote["name"].as_str().unwrap().to_owned(), value));
                }
            }
        }
        votes
    }

    /// SIGTERM, and waits for the end.
    pub async fn end(mut self) {
        self.process.signal(Signal::TERM);
        self.process.end(PATIENCE).await;
    }
}

impl Change {
    fn path(&self) -> String {
        format!("{}~{}", segment(&self.project), self.number)
    }
}

fn segment(text: &str) -> String {
    model::segment(text).to_string()
}
