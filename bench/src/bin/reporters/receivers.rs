//! The receivers: a real SMTP server, a real Gerrit, and an HTTP server that takes pushes and statuses and notes when
//! they came. GitHub's stand-in of the tests is not used: it refuses what does not name the version of the API, as the
//! master's own reporter does not.

use crate::rows::{AT_ONCE, Arrivals, OURS, THEIRS, named, pushed};
use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    http::{Method, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use bench::Measured;
use e2e::{Change, Gerrit, Link, Mailbox, Robot, manifests};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

/// What came, with the time.
type Came<T> = Arc<Mutex<Vec<(SystemTime, T)>>>;

fn all<T: Clone>(came: &Came<T>) -> Vec<(SystemTime, T)> {
    came.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn note<T>(came: &Came<T>, what: T) {
    came.lock().unwrap_or_else(PoisonError::into_inner).push((SystemTime::now(), what));
}

pub struct Receivers {
    mailbox: Mailbox,
    gerrit: Gerrit,
    pub changes: Vec<Change>,
    ours: Robot,
    keys: PathBuf,
    posts: Came<(String, Bytes)>,
    reviews: Came<Value>,
    /// Reads Gerrit's events.
    watch: Child,
    links: [(&'static str, Link); 4],
}

impl Receivers {
    /// Starts them. Gerrit takes some ten seconds.
    pub async fn start(folder: &Path) -> Measured<Self> {
        let mailbox = Mailbox::start(folder).await;
        let gerrit = Gerrit::start(folder).await;
        gerrit.verified().await;
        gerrit.grant("Service Users", "Verified").await;
        gerrit.project("measured").await;
        let keys = folder.join("keys");
        fs::create_dir(&keys)?;
        let (theirs, ours) =
            (gerrit.robot("theirs", "ed25519").await, gerrit.robot("ours", "ed25519").await);
        let watcher = gerrit.robot("watcher", "ed25519").await;
        let mut changes = Vec::new();
        for _ in 0..20 {
            changes.push(gerrit.change("measured").await);
        }
        let posts = Came::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let http = listener.local_addr()?.port();
        let app = Router::new()
            .fallback(take)
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(Arc::clone(&posts));
        tokio::spawn(async move { axum::serve(listener, app).await });
        let links = [
            ("SMTP", Link::start(mailbox.port()).await),
            ("HTTP", Link::start(http).await),
            ("GITHUB", Link::start(http).await),
            ("SSH", Link::start(gerrit.ssh()).await),
        ];
        let private = |name: &str, text: &str, mode: u32| -> std::io::Result<()> {
            fs::write(keys.join(name), text)?;
            fs::set_permissions(keys.join(name), fs::Permissions::from_mode(mode))
        };
        private("theirs", &theirs.identity, 0o600)?;
        private("watcher", &watcher.identity, 0o600)?;
        // By its own port and by that of the way to it.
        let hosts = gerrit.known_hosts();
        let by_link = hosts.replace(&gerrit.ssh().to_string(), &links[3].1.port().to_string());
        private("known_hosts", &format!("{hosts}{by_link}"), 0o600)?;
        private("ssh", &ssh(&keys.join("known_hosts")), 0o755)?;
        let reviews = Came::default();
        let watch = watch(&keys, gerrit.ssh(), Arc::clone(&reviews))?;
        Ok(Self { mailbox, gerrit, changes, ours, keys, posts, reviews, watch, links })
    }

    /// Names of ports as the master's configuration has them, and the ports.
    pub fn ports(&self) -> impl Iterator<Item = (&'static str, u16)> {
        self.links.iter().map(|(name, link)| (*name, link.port()))
    }

    fn port(&self, wanted: &str) -> u16 {
        self.ports().find(|(name, _)| *name == wanted).map_or(0, |(_, port)| port)
    }

    /// A folder with a program `ssh` that knows Gerrit.
    pub fn ssh_folder(&self) -> &Path {
        &self.keys
    }

    /// The private key of an account at Gerrit.
    pub fn key(&self, account: &str) -> PathBuf {
        self.keys.join(account)
    }

    /// Nobody can be reached.
    pub async fn close(&self) {
        for (_, link) in &self.links {
            link.refuse().await;
        }
    }

    /// All can again.
    pub async fn open(&self) {
        for (_, link) in &self.links {
            link.accept().await;
        }
    }

    /// How many builds' ends the slowest of ours has told.
    pub fn least_of_ours(&self) -> usize {
        let mails = self.mailbox.mails();
        let mails = mails.iter().filter(|mail| mail.header("From").contains("ours@")).count();
        let mut sides = self.requests();
        let mut count = |kind, side| sides.remove(&(kind, side)).map_or(0, |builds| builds.len());
        let counts = [count("push", OURS), count("push", AT_ONCE), count("GitHub status", OURS)];
        let reviews = self.reviewed(&mut Arrivals::new());
        counts.into_iter().fold(mails.min(reviews), usize::min)
    }

    /// Everything that came.
    pub fn arrivals(&self) -> Measured<Arrivals> {
        let mut arrivals = self.requests();
        self.reviewed(&mut arrivals);
        for mail in self.mailbox.mails() {
            let side = if mail.header("From").contains("ours@") { OURS } else { THEIRS };
            let read = mail.read();
            let text = read["parts"][0]["text"].as_str().unwrap_or_default();
            let (Some(build), Some(at)) = (named(text), mail.at()) else {
                return Err(format!("a mail of no build:\n{}", mail.text()).into());
            };
            arrivals.entry(("mail", side)).or_default().entry(build).or_insert(at);
        }
        Ok(arrivals)
    }

    /// Pushes and statuses.
    fn requests(&self) -> Arrivals {
        let mut arrivals = Arrivals::new();
        // Builders are numbered in the order of the statuses' pages, whichever that is.
        let mut keys = BTreeMap::new();
        let posts = all(&self.posts);
        for (at, (path, body)) in &posts {
            if !path.starts_with("/repos/") {
                continue;
            }
            let status: Value = serde_json::from_slice(body).unwrap_or_default();
            let text = |field: &str| status[field].as_str().unwrap_or_default();
            let Some((whose, builder)) = text("context").split_once('/') else { continue };
            let Some(build) = named(text("target_url")) else { continue };
            keys.insert(builder.to_owned(), build.0);
            let side = if whose == "ours" { OURS } else { THEIRS };
            if text("state") != "pending" {
                let builds = arrivals.entry(("GitHub status", side)).or_default();
                builds.entry(build).or_insert(*at);
            }
        }
        for (at, (path, body)) in posts {
            let side = match path.as_str() {
                "/theirs" => THEIRS,
                "/ours" => OURS,
                "/ours-at-once" => AT_ONCE,
                _ => continue,
            };
            for build in pushed(&path, &body, &keys) {
                arrivals.entry(("push", side)).or_default().entry(build).or_insert(at);
            }
        }
        arrivals
    }

    /// Reviews; how many builds ours told of.
    fn reviewed(&self, arrivals: &mut Arrivals) -> usize {
        for (at, event) in all(&self.reviews) {
            let side = match event["author"]["username"].as_str() {
                Some("ours") => OURS,
                Some("theirs") => THEIRS,
                _ => continue,
            };
            if let Some(build) = event["comment"].as_str().and_then(named) {
                arrivals.entry(("Gerrit review", side)).or_default().entry(build).or_insert(at);
            }
        }
        arrivals.get(&("Gerrit review", OURS)).map_or(0, BTreeMap::len)
    }

    /// One resource of each kind, with what is usual but for names and addresses.
    pub fn manifests(&self, master: u16) -> String {
        let mut text = manifests::master(master, None, "");
        let (smtp, http, github, ssh) =
            (self.port("SMTP"), self.port("HTTP"), self.port("GITHUB"), self.port("SSH"));
        let hosts = fs::read_to_string(self.keys.join("known_hosts")).unwrap_or_default();
        let push = |path: &str| {
            let url = format!("http://127.0.0.1:{http}/{path}");
            json!({ "serverUrl": url, "allowPrivateAddresses": true })
        };
        let mut at_once = push("ours-at-once");
        at_once["bufferDelay"] = "0s".into();
        let secret = |key: &str| json!({ "name": "peers", "key": key });
        let documents = [
            (
                "MailNotifier",
                "mail",
                json!({
                    "fromaddr": "ours@example.org", "sendToInterestedUsers": false,
                    "extraRecipients": ["list@example.org"], "relayhost": "127.0.0.1", "smtpPort": smtp,
                }),
            ),
            ("HttpPush", "push", push("ours")),
            ("HttpPush", "push-at-once", at_once),
            (
                "GitHubStatus",
                "statuses",
                json!({
                    "repoOwner": "example", "repoName": "project", "context": "ours/%(builder)s",
                    "baseUrl": format!("http://127.0.0.1:{github}"), "tokenSecretRef": secret("token"),
                }),
            ),
            (
                "GerritPush",
                "reviews",
                json!({
                    "server": "127.0.0.1", "port": ssh, "username": "ours",
                    "identitySecretRef": secret("identity"), "knownHostsSecretRef": secret("known_hosts"),
                }),
            ),
        ];
        for (kind, name, mut spec) in documents {
            spec["masterRef"] = json!({ "name": "main" });
            let document = json!({
                "apiVersion": "statustargets.dev/v1alpha1", "kind": kind,
                "metadata": { "name": name }, "spec": spec,
            });
            // JSON is YAML.
            text += &format!("---\n{document}\n");
        }
        let secrets = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "peers" },
            "stringData": { "token": "a-token", "identity": self.ours.identity, "known_hosts": hosts },
        });
        text + &format!("---\n{secrets}\n")
    }

    /// Ends Gerrit in an orderly way.
    pub async fn end(mut self) {
        // It may have ended with Gerrit's end.
        let _ = self.watch.kill();
        let _ = self.watch.wait();
        self.gerrit.end().await;
    }
}

/// A program `ssh` that knows Gerrit's keys, and for whoever asks what Gerrit's version is: one that is built from jars
/// calls itself `(dev)`, which the master's reporter can't read. It asks once in ten minutes.
fn ssh(known_hosts: &Path) -> String {
    format!(
        "#!/bin/sh\ncase \"$*\" in *' gerrit version') echo gerrit version 3.10.2; exit;; esac\n\
         exec /usr/bin/ssh -F none -o IdentitiesOnly=yes -o UserKnownHostsFile={} \"$@\"\n",
        known_hosts.display()
    )
}

/// Notes each event of Gerrit's stream as it comes.
fn watch(keys: &Path, port: u16, came: Came<Value>) -> Measured<Child> {
    let mut ssh = Command::new(keys.join("ssh"));
    ssh.arg("-i").arg(keys.join("watcher")).args(["-p", &port.to_string(), "watcher@127.0.0.1"]);
    ssh.args(["gerrit", "stream-events", "-s", "comment-added"]);
    let mut child = ssh.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().ok_or("no output of ssh")?;
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            note(&came, serde_json::from_str(&line).unwrap_or_default());
        }
    });
    Ok(child)
}

/// Takes what comes, as GitHub answers where statuses go.
async fn take(State(came): State<Came<(String, Bytes)>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let json = [(CONTENT_TYPE, "application/json")];
    if head.method == Method::GET {
        return (json, "[]").into_response();
    }
    let path = head.uri.path().to_owned();
    let status = if path.starts_with("/repos/") { StatusCode::CREATED } else { StatusCode::OK };
    note(&came, (path, body));
    (status, json, "{}").into_response()
}
