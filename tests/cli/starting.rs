//! Processes that are still starting: told to end, or waiting for what is missing.

use super::{PATIENCE, get, program, text};
use serde_json::Value;
use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Lines, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

/// A program that starts, in a folder of its own.
struct Starting {
    child: Child,
    log: PathBuf,
    printed: Lines<BufReader<ChildStdout>>,
}

impl Drop for Starting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Starting {
    fn new(mut command: Command, log: PathBuf) -> Self {
        let log_file = File::create(&log).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log_file).spawn().unwrap();
        let printed = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, log, printed }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// The address that the log tells after these words.
    fn address(&self, words: &str) -> SocketAddr {
        let words = format!("{words} http://");
        soon(|| {
            let log = self.log();
            let after = log.split(&words).nth(1)?;
            after.split_once('/').and_then(|(address, _)| address.parse().ok())
        })
    }

    /// Waits until `/readyz` says so.
    fn readiness(&self, word: &str) -> String {
        let health = self.address("health and figures are served at");
        soon(|| Some(get(health, "/readyz").1).filter(|text| text.contains(word)))
    }

    fn terminate(&mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        soon(|| self.child.try_wait().unwrap()).code()
    }
}

/// What `look` finds, as soon as it finds something.
fn soon<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

const MASTER: &str = "{apiVersion: statustargets.dev/v1alpha1, kind: Master, \
                      metadata: {name: main}, spec: {url: 'http://127.0.0.1:9/'}}";
const LOCKED: &str = "{apiVersion: statustargets.dev/v1alpha1, kind: Master, \
                      metadata: {name: main}, spec: {url: 'http://127.0.0.1:9/', \
                      auth: {username: feed, passwordSecretRef: {name: login, key: password}}}}";
const MAIL: &str = "{apiVersion: statustargets.dev/v1alpha1, kind: MailNotifier, \
                    metadata: {name: mail}, spec: {masterRef: {name: main}, \
                    fromaddr: buildbot@example.org, extraRecipients: [builds@example.org], \
                    relayhost: 127.0.0.1, smtpPort: 2525, tls: starttls, smtpUser: buildbot, \
                    smtpPasswordSecretRef: {name: smtp, key: password}}}";

fn manifest(folder: &Path, name: &str, content: &str) -> PathBuf {
    let file = folder.join(name);
    fs::write(&file, content).unwrap();
    file
}

fn keys(folder: &Path) -> PathBuf {
    let keys = folder.join("keys");
    fs::create_dir_all(&keys).unwrap();
    fs::write(keys.join("1"), "k".repeat(32)).unwrap();
    keys
}

fn feed(folder: &Path, master: &str, more: &[&str]) -> Starting {
    let mut command = program();
    command.args(["feed", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "-f"]);
    command.arg(manifest(folder, "master.yaml", master)).arg("--data").arg(folder.join("data"));
    command.arg("--keys").arg(folder.join("keys"));
    command.arg("--secrets").arg(folder.join("secrets")).args(more);
    Starting::new(command, folder.join("feed.log"))
}

/// A token of the feed that has printed this UID.
fn token(folder: &Path, uid: &str, consumer: &str, kind: &str, rights: &[&str]) -> String {
    let mut command = program();
    command.args(["token", "--consumer", consumer, "--kind", kind, "--master-uid", uid]);
    for right in rights {
        command.args(["--right", right]);
    }
    let output = command.arg("--keys").arg(folder.join("keys")).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).trim().to_owned()
}

fn ask(address: SocketAddr, token: &str, path: &str) -> Value {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!("Authorization: Bearer {token}\r\nHost: test\r\nConnection: close");
    write!(stream, "GET {path} HTTP/1.1\r\n{head}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

fn secret(folder: &Path, name: &str) {
    let secret = folder.join("secrets").join(name);
    fs::create_dir_all(&secret).unwrap();
    fs::write(secret.join("password"), "correct-horse-battery").unwrap();
}

#[test]
fn told_to_end_while_it_still_starts_it_ends_well() {
    for (which, master) in [("standalone", "main"), ("feed", "main"), ("demo", "demo")] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        keys(folder);
        // Reading a pipe waits for somebody who writes: the journal stays half open.
        let journal = folder.join("data/default").join(master);
        fs::create_dir_all(&journal).unwrap();
        let pipe = journal.join("journal.json");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let mut starting = match which {
            "feed" => feed(folder, MASTER, &[]),
            _ => {
                let mut command = program();
                command.args([which, "--metrics", "127.0.0.1:0", "--data"]);
                command.arg(folder.join("data"));
                if which == "standalone" {
                    command.arg("-f").arg(manifest(folder, "master.yaml", MASTER));
                } else {
                    command.args(["--port", "0"]);
                }
                Starting::new(command, folder.join("log"))
            }
        };
        starting.readiness("the journal of Master");
        assert_eq!(starting.terminate(), Some(0), "{which}:\n{}", starting.log());
        let log = starting.log();
        assert!(log.contains("ending: told to before all had started"), "{which}:\n{log}");
    }
}

#[test]
fn a_feed_waits_for_its_keys_and_for_the_masters_password_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut feed = feed(folder, LOCKED, &["--wait"]);
    let waits = feed.readiness("this is mended");
    assert!(waits.contains("keys"), "{waits}");
    keys(folder);
    // It is served and ready, and says what is missing.
    assert_eq!(feed.readiness("ready\n"), "ready\n");
    let address = feed.address("the feed is served at");
    let sidecar = folder.join("data/default/main/journal.json");
    // Written by the journal's own thread, a moment after the journal is open.
    let kept = soon(|| fs::read(&sidecar).ok());
    let kept: Value = serde_json::from_slice(&kept).unwrap();
    let uid = kept["master"].as_str().unwrap();
    let token = token(folder, uid, "operator", "Operator", &["read"]);
    let info =
        soon(|| Some(ask(address, &token, "/v1/info")).filter(|info| !info["problem"].is_null()));
    assert_eq!(info["problem"]["reason"], "SecretMissing", "{info}");
    let message = info["problem"]["message"].as_str().unwrap();
    assert!(message.contains("auth.passwordSecretRef") && message.contains("login"), "{info}");
    assert_eq!(info["state"]["kind"], "denied", "{info}");

    secret(folder, "login");
    let line = feed.printed.next().unwrap().unwrap();
    assert!(line.starts_with("feed"), "{line}");
    assert_eq!(ask(address, &token, "/v1/info")["problem"], Value::Null);
    let log = feed.log();
    assert!(!log.contains("correct-horse-battery"));
    assert_eq!(log.matches("waits until this is mended: Master").count(), 1, "said once:\n{log}");
    assert_eq!(feed.terminate(), Some(0));
}

#[test]
fn without_being_told_to_wait_a_missing_secret_ends_the_feed_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    keys(folder.path());
    let mut feed = feed(folder.path(), LOCKED, &[]);
    assert_eq!(soon(|| feed.child.try_wait().unwrap()).code(), Some(2));
    let log = feed.log();
    assert!(
        log.contains("spec.auth.passwordSecretRef.name: there is no Secret \"login\""),
        "{log}"
    );
}

#[test]
fn a_target_waits_for_its_secret_and_tells_the_feed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    keys(folder);
    let mut feed = feed(folder, MASTER, &[]);
    let mut value =
        || feed.printed.next().unwrap().unwrap().split_whitespace().nth(1).map(String::from);
    let (url, uid) = (value().unwrap(), value().unwrap());
    let address = feed.address("the feed is served at");
    let manager = token(folder, &uid, "operator", "Operator", &["manage"]);
    let own = token(folder, &uid, "mail/mail", "MailNotifier", &["read", "consume"]);

    let mut command = program();
    command.args(["target", "--wait", "--metrics", "127.0.0.1:0", "--feed", &url, "-f"]);
    command.arg(manifest(folder, "mail.yaml", MAIL));
    command.arg("--token-file").arg(folder.join("token"));
    command.arg("--secrets").arg(folder.join("secrets"));
    let mut target = Starting::new(command, folder.join("target.log"));
    // First the token, then the Secret.
    target.readiness("the token in");
    fs::write(folder.join("token"), own).unwrap();
    target.readiness("smtpPasswordSecretRef");
    let problem = soon(|| {
        let all = ask(address, &manager, "/v1/consumers");
        let reader = all["readers"].as_array().unwrap().first().cloned()?;
        assert_eq!(
            (reader["name"].as_str(), reader["kind"].as_str()),
            (Some("mail/mail"), Some("MailNotifier"))
        );
        Some(reader["report"]["problem"].clone()).filter(|problem| !problem.is_null())
    });
    assert_eq!(problem["reason"], "SecretMissing", "{problem}");
    let message = problem["message"].as_str().unwrap();
    assert!(message.contains("MailNotifier \"mail\": spec.smtpPasswordSecretRef"), "{message}");

    secret(folder, "smtp");
    assert_eq!(target.readiness("ready"), "ready\n");
    let report = soon(|| {
        let all = ask(address, &manager, "/v1/consumers");
        assert!(all["consumers"].as_array().unwrap().len() <= 1, "{all}");
        let report = all["consumers"].as_array().unwrap().first()?["report"].clone();
        Some(report).filter(|report| report["problem"].is_null())
    });
    assert_eq!(report["peer"]["state"], "unknown", "nothing was sent: {report}");
    assert_eq!(target.terminate(), Some(0), "{}", target.log());
    assert_eq!(feed.terminate(), Some(0), "{}", feed.log());
}
