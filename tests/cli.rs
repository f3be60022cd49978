//! The command line: what it prints, where it serves, and how it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "cli/feed.rs"]
mod feed;
#[path = "cli/mistakes.rs"]
mod mistakes;
#[path = "cli/starting.rs"]
mod starting;

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(30);

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_buildbot-status"))
}

fn examples(which: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples").join(which)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A program that runs, and what it has printed so far. Killed when dropped.
struct Running {
    child: Child,
    folder: tempfile::TempDir,
    pages: SocketAddr,
    metrics: SocketAddr,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SECRET: &str = "correct-horse-battery";

impl Running {
    /// `standalone` with every kind beside the master at `master`.
    fn start(master: &str, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("all.yaml");
        let manifest = include_str!("cli/all.yaml").replace("MASTER", master);
        std::fs::write(&file, manifest).unwrap();
        let secrets = folder.path().join("secrets/smtp");
        std::fs::create_dir_all(&secrets).unwrap();
        std::fs::write(secrets.join("password"), SECRET).unwrap();
        let mut child = program()
            .args(["standalone", "--metrics", "127.0.0.1:0"])
            .args(more)
            .arg("-f")
            .arg(&file)
            .arg("--data")
            .arg(folder.path().join("data"))
            .arg("--secrets")
            .arg(folder.path().join("secrets"))
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut address = |what: &str| {
            let line = lines.next().unwrap().unwrap();
            let url = line.strip_prefix(what).unwrap_or_else(|| panic!("{what}: {line}"));
            let place = url.trim().strip_prefix("http://").unwrap();
            place.split('/').next().unwrap().parse().unwrap()
        };
        let (pages, metrics) = (address("pages"), address("metrics"));
        Self { child, folder, pages, metrics }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Waits until the log has all of `words`.
    fn says(&self, words: &[&str]) -> String {
        let begin = Instant::now();
        loop {
            let log = self.log();
            if words.iter().all(|word| log.contains(word)) {
                return log;
            }
            assert!(begin.elapsed() < PATIENCE, "{words:?} not in\n{log}");
            std::thread::yield_now();
        }
    }

    fn terminate(&mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(begin.elapsed() < Duration::from_secs(12), "it does not end\n{}", self.log());
            std::thread::yield_now();
        }
    }
}

fn get(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

/// Answers every request with the same, for ever: what no real master does.
fn impostor(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut request = [0; 2048];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}

#[test]
fn k01_crds_prints_one_definition_a_kind() {
    let Output { status, stdout, .. } = program().arg("crds").output().unwrap();
    assert!(status.success());
    let text = text(&stdout);
    for kind in [
        "masters",
        "webstatuses",
        "mailnotifiers",
        "httppushes",
        "statuspushes",
        "gerritpushes",
        "githubstatuses",
    ] {
        assert_eq!(text.matches(&format!("name: {kind}.statustargets.dev")).count(), 1, "{kind}");
    }
}

#[test]
fn check_says_what_each_target_would_say_and_sends_nothing() {
    // A Secret that is not at hand is no obstacle: nothing is sent.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.yaml");
    let manifest = include_str!("cli/all.yaml").replace("MASTER", "http://127.0.0.1:9/");
    std::fs::write(&file, manifest).unwrap();
    let status = "/api/v3/repos/example/project/statuses/";
    for (which, github) in [(examples("minimal"), "skipped: spec.sha"), (file, status)] {
        let Output { status, stdout, stderr } =
            program().arg("check").arg("-f").arg(&which).output().unwrap();
        assert!(status.success(), "{}: {}", which.display(), text(&stderr));
        let said = text(&stdout);
        for part in ["MailNotifier ", "HttpPush ", "The Buildbot has", "buildFinished", github] {
            assert!(said.contains(part), "{}: no {part:?} in\n{said}", which.display());
        }
    }
}

#[test]
fn check_says_why_a_gerrit_would_hear_nothing() {
    let output = program().arg("check").arg("-f").arg(examples("minimal")).output().unwrap();
    let said = text(&output.stdout);
    assert!(said.contains("\nGerritPush gerrit\n"), "{said}");
    assert!(said.contains("its properties name no Gerrit change"), "{said}");
}

#[test]
fn check_does_not_ask_for_what_only_the_pods_have() {
    let Output { status, stdout, stderr } =
        program().arg("check").arg("-f").arg(examples("full")).output().unwrap();
    assert!(status.success(), "{}", text(&stderr));
    let said = text(&stdout);
    for folder in ["/etc/buildbot-status/templates", "/usr/share/our-templates"] {
        let note = format!("WebStatus pages: the templates in {folder} are on a volume");
        assert!(said.contains(&note), "{said}");
    }
}

#[test]
fn check_says_all_it_can_before_it_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    for file in examples("full").read_dir().unwrap().map(Result::unwrap) {
        let manifest = std::fs::read_to_string(file.path()).unwrap();
        let manifest = manifest.replace("/usr/share/our-templates", "/usr/share/no-such-folder");
        let manifest = manifest.replace("mountPath: /usr/share/no-such-folder", "mountPath: /data");
        std::fs::write(folder.path().join(file.file_name()), manifest).unwrap();
    }
    let Output { status, stdout, stderr } =
        program().arg("check").arg("-f").arg(folder.path()).output().unwrap();
    assert_eq!(status.code(), Some(2));
    let (said, missing) = (text(&stdout), text(&stderr));
    assert!(said.contains("MailNotifier mail") && said.contains("HttpPush push"), "{said}");
    assert!(missing.contains("WebStatus \"pages\"") && missing.contains("templates"), "{missing}");
}

#[test]
fn a_mistake_is_told_with_file_line_and_fix_and_nothing_starts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.yaml");
    let manifest = include_str!("cli/all.yaml").replace("fromaddr", "fromadr");
    std::fs::write(&file, manifest).unwrap();
    for command in ["check", "standalone"] {
        let Output { status, stdout, stderr } =
            program().arg(command).arg("-f").arg(&file).output().unwrap();
        assert_eq!(status.code(), Some(2));
        assert!(stdout.is_empty());
        let said = text(&stderr);
        let place = format!("{}:", file.display());
        assert!(said.contains(&place) && said.contains("did you mean \"fromaddr\"?"), "{said}");
    }
}

#[test]
fn k09_beside_nobody_it_serves_pages_tells_its_health_and_ends_when_asked() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut running = Running::start(&format!("http://{nobody}/"), &[]);
    assert!(get(running.pages, "/waterfall").0.contains("200"));
    for path in ["/healthz", "/readyz"] {
        assert!(get(running.metrics, path).0.contains("200"), "{path}");
    }
    let figures = get(running.metrics, "/metrics").1;
    for name in [
        "buildbot_status_master_connected{master=\"default/main\"} 0",
        "buildbot_status_feed_commits_total",
    ] {
        assert!(figures.contains(name), "no {name} in\n{figures}");
    }
    running.says(&["cannot be reached"]);
    assert_eq!(running.terminate(), Some(0));
}

#[test]
fn a_request_that_is_never_sent_whole_does_not_hold_up_the_end() {
    let mut running = Running::start("http://127.0.0.1:9/", &[]);
    let mut half = TcpStream::connect(running.metrics).unwrap();
    half.write_all(b"GET /healthz HTTP/1.1\r\nHo").unwrap();
    // Connections are accepted in their order, so the half request's is when this is answered.
    get(running.metrics, "/healthz");
    assert_eq!(running.terminate(), Some(0), "{}", running.log());
}

#[test]
fn k09_health_is_served_before_the_journal_is_open_and_tells_what_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("master.yaml");
    let manifest = "{apiVersion: statustargets.dev/v1alpha1, kind: Master, \
                    metadata: {name: main}, spec: {url: 'http://127.0.0.1:9/'}}";
    std::fs::write(&file, manifest).unwrap();
    // Reading a pipe waits for somebody who writes: the journal stays half open until then.
    let journal = folder.path().join("data/default/main");
    std::fs::create_dir_all(&journal).unwrap();
    let pipe = journal.join("journal.json");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut child = program()
        .args(["standalone", "--metrics", "127.0.0.1:0", "-f"])
        .arg(&file)
        .arg("--data")
        .arg(folder.path().join("data"))
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let log = BufReader::new(child.stderr.take().unwrap()).lines();
    let served = "health and figures are served at http://";
    let line = log.map(Result::unwrap).find(|line| line.contains(served)).unwrap();
    let address = line.split(served).nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
    let wait = "the journal of Master default/main is open";
    let (status, text) = loop {
        let (status, text) = get(address, "/readyz");
        // The first moments have other waits only.
        if text.contains(wait) || !text.starts_with("starting") {
            break (status, text);
        }
    };
    assert!(status.contains("503") && text.starts_with("starting; waits until"), "{status} {text}");
    assert!(get(address, "/healthz").0.contains("200"));
    assert!(get(address, "/metrics").1.contains("process_resident_memory_bytes"));
    std::fs::write(&pipe, "").unwrap();
    let printed = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    assert!(printed.starts_with("metrics"), "{printed}");
    assert_eq!(get(address, "/readyz").1, "ready\n");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn what_is_no_master_or_denies_access_is_told_in_plain_words() {
    let page = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    let denied = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    for (answer, words) in [(page, "not a Buildbot master"), (denied, "denies access")] {
        let running = Running::start(&impostor(answer), &[]);
        running.says(&[words]);
        assert!(get(running.pages, "/").0.contains("200"));
    }
}

#[test]
fn logs_for_programs_are_json_and_no_secret_is_ever_written() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let arguments = ["--log-format", "json", "--log", "trace"];
    let mut running = Running::start(&format!("http://{nobody}/"), &arguments);
    running.says(&["cannot be reached"]);
    assert_eq!(running.terminate(), Some(0));
    let log = running.log();
    for line in log.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).expect(line);
        assert!(entry["level"].is_string() && entry["timestamp"].is_string(), "{line}");
    }
    assert!(!log.contains(SECRET));
    let found = Command::new("grep")
        .args(["-rl", SECRET])
        .arg(running.folder.path().join("data"))
        .output()
        .unwrap();
    assert_eq!(text(&found.stdout), "");
}
