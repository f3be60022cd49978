//! Everything real around the program: a master, a receiver of each kind, and ways to them that can be closed.

use e2e::{
    Buildmaster, Change, Gerrit, Link, Mailbox, Receiver, Robot, github::GitHub, github::TOKEN,
    manifests,
};
use serde_json::{Value, json};
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// The account at Gerrit.
pub const ROBOT: &str = "ci-bot";
/// Changes that every builder builds, and changes of those that end well.
const ALL: usize = 20;
const GOOD: usize = 5;
/// Requests of these: eight builders, and three.
pub const REQUESTS: usize = ALL * 8 + GOOD * 3;
/// The most packets that the program is given before it has taken some.
pub const CHUNK: usize = 20;

pub struct World {
    pub master: Buildmaster,
    pub mailbox: Mailbox,
    pub receiver: Receiver,
    pub github: GitHub,
    pub gerrit: Gerrit,
    pub changes: Vec<Change>,
    robot: Robot,
    /// What the program that takes packets writes.
    written: PathBuf,
    links: Links,
}

/// Ways to the receivers.
struct Links {
    smtp: Link,
    http: Link,
    github: Link,
    ssh: Link,
    rest: Link,
}

fn port_of(url: &str) -> u16 {
    url.trim_start_matches("http://127.0.0.1:").split('/').next().unwrap().parse().unwrap()
}

impl World {
    pub async fn new(folder: &Path) -> Self {
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("buildbot/endings.cfg");
        let (master, (gerrit, robot, changes), mailbox, receiver, github) = tokio::join!(
            Buildmaster::start(folder, &config, &[]),
            reviewed(folder),
            Mailbox::start(folder),
            Receiver::start(),
            GitHub::start(),
        );
        let links = Links {
            smtp: Link::start(mailbox.port()).await,
            http: Link::start(port_of(&receiver.url())).await,
            github: Link::start(port_of(&github.url())).await,
            ssh: Link::start(gerrit.ssh()).await,
            rest: Link::start(gerrit.http()).await,
        };
        let written = folder.join("written.jsonl");
        Self { master, mailbox, receiver, github, gerrit, changes, robot, written, links }
    }

    fn links(&self) -> [&Link; 5] {
        let Links { smtp, http, github, ssh, rest } = &self.links;
        [smtp, http, github, ssh, rest]
    }

    /// No receiver can be reached any more.
    pub async fn close(&self) {
        for link in self.links() {
            link.refuse().await;
        }
    }

    /// All can again.
    pub async fn open(&self) {
        for link in self.links() {
            link.accept().await;
        }
    }

    /// Tells the master of every change.
    pub async fn push(&self) {
        for (at, change) in self.changes.iter().enumerate() {
            let properties = json!({
                "event.change.id": format!("I{}", change.number),
                "event.change.number": change.number,
                "event.change.project": change.project,
                "event.patchSet.revision": change.revision,
            });
            let fields = [
                ("author", "Ines Duarte <ines@example.org>"),
                ("comments", "A change"),
                ("project", "project"),
                ("repository", "https://example.org/project.git"),
                ("branch", "main"),
                ("revision", &change.revision),
                ("category", if at < ALL { "all" } else { "good" }),
                ("properties", &properties.to_string()),
            ];
            self.master.change(&fields).await;
        }
    }

    /// The packets that the program has written.
    pub fn written(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.written).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// One resource of each kind that sends; of mail and reviews one for builds and another one.
    pub fn manifests(&self) -> String {
        let Links { smtp, http, github, ssh, rest } = &self.links;
        let python = e2e::python();
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/program.py");
        let command = json!([python, program, self.written]);
        let quiet = json!([
            "start",
            "builderAdded",
            "buildedRemoved",
            "builderChangedState",
            "slaveConnected",
            "slaveDisconnected",
            "slavePaused",
            "slaveUnpaused",
        ]);
        let mail = format!(
            "fromaddr: buildbot@example.org\nsendToInterestedUsers: false\n\
             extraRecipients: [list@example.org]\nrelayhost: 127.0.0.1\nsmtpPort: {}\n\
             subject: '%(builder)s|%(prop:buildnumber)s|%(result)s'\n",
            smtp.port()
        );
        let pushes =
            format!("blackList: {quiet}\nfilter: false\nbufferDelay: 100ms\nretryDelay: 1s\n");
        let summary = "{% for build in builds %}{{ build.name }}|{{ build.number }}|{{ build.result }}\
                       {% if not loop.last %}; {% endif %}{% endfor %}";
        let review = "{{ builder.name }}|{{ number }}|{{ result }}";
        let documents = [
            (
                "MailNotifier",
                "results",
                format!("{mail}mode: [failing, passing, warnings, exception]"),
            ),
            ("MailNotifier", "changes", format!("{mail}mode: [change]")),
            (
                "HttpPush",
                "push",
                format!(
                    "{pushes}allowPrivateAddresses: true\nserverUrl: http://127.0.0.1:{}/push",
                    http.port()
                ),
            ),
            ("StatusPush", "program", format!("{pushes}chunkSize: {CHUNK}\ncommand: {command}")),
            (
                "GitHubStatus",
                "github",
                format!(
                    "repoOwner: example\nrepoName: '%(src::project)s'\n\
                     baseUrl: http://127.0.0.1:{}\ntokenSecretRef: {{name: peers, key: token}}",
                    github.port()
                ),
            ),
            (
                "GerritPush",
                "summaries",
                format!(
                    "username: {ROBOT}\nserver: 127.0.0.1\nport: {}\ntag: autogenerated:summaries\n\
                     identitySecretRef: {{name: peers, key: identity}}\n\
                     knownHostsSecretRef: {{name: peers, key: known_hosts}}\n\
                     summary: {}",
                    ssh.port(),
                    json!({ "message": summary }),
                ),
            ),
            (
                "GerritPush",
                "reviews",
                format!(
                    "username: {ROBOT}\nhttp:\n  url: http://127.0.0.1:{}/\n  \
                     passwordSecretRef: {{name: peers, key: password}}\ntag: autogenerated:reviews\n\
                     review: {}",
                    rest.port(),
                    json!({ "message": review, "verified": "0" }),
                ),
            ),
        ];
        let mut text = manifests::master(self.master.port(), None, "");
        text += "---\n";
        text += &manifests::pages(0, "url: http://status.example.org/");
        for (kind, name, spec) in documents {
            let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
            let _ = write!(
                text,
                "---\napiVersion: statustargets.dev/v1alpha1\nkind: {kind}\n\
                 metadata: {{name: {name}}}\nspec:\n  masterRef: {{name: main}}\n{spec}"
            );
        }
        // The account knows Gerrit by the way to it.
        let hosts = self.gerrit.known_hosts();
        let hosts = hosts.replace(&self.gerrit.ssh().to_string(), &ssh.port().to_string());
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "peers" },
            "stringData": {
                "token": TOKEN, "identity": self.robot.identity, "known_hosts": hosts,
                "password": self.robot.password,
            },
        });
        // JSON is YAML.
        text + &format!("---\n{secret}\n")
    }
}

/// A Gerrit with an account that may vote, and changes.
async fn reviewed(folder: &Path) -> (Gerrit, Robot, Vec<Change>) {
    let gerrit = Gerrit::start(folder).await;
    gerrit.verified().await;
    gerrit.grant("Service Users", "Verified").await;
    gerrit.project("reviewed").await;
    let robot = gerrit.robot(ROBOT, "ed25519").await;
    let mut changes = Vec::new();
    for _ in 0..ALL + GOOD {
        changes.push(gerrit.change("reviewed").await);
    }
    (gerrit, robot, changes)
}
