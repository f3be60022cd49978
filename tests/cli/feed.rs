//! `feed` and `token`: keys, tokens, and the end.

use super::{PATIENCE, program, text};
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// `feed` beside nobody, with a key of its own.
struct FeedRuns {
    child: Child,
    keys: PathBuf,
    address: SocketAddr,
    uid: String,
    _folder: tempfile::TempDir,
}

impl Drop for FeedRuns {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `feed` with the keys of `folder/keys`.
fn feed(folder: &Path) -> Command {
    let file = folder.join("master.yaml");
    let manifest = "{apiVersion: statustargets.dev/v1alpha1, kind: Master, \
                    metadata: {name: main}, spec: {url: 'http://127.0.0.1:9/'}}";
    std::fs::write(&file, manifest).unwrap();
    let mut command = program();
    command.args(["feed", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "-f"]);
    command.arg(file).arg("--data").arg(folder.join("data"));
    command.arg("--keys").arg(folder.join("keys"));
    command
}

fn key(keys: &Path, name: &str, letter: &str) {
    std::fs::create_dir_all(keys).unwrap();
    std::fs::write(keys.join(name), letter.repeat(32)).unwrap();
}

impl FeedRuns {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        key(&keys, "2026-01", "k");
        let (log, out) = (Stdio::null(), Stdio::piped());
        let mut child = feed(folder.path()).stderr(log).stdout(out).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut value = |what: &str| {
            let line = lines.next().unwrap().unwrap();
            line.strip_prefix(what).unwrap_or_else(|| panic!("{what}: {line}")).trim().to_owned()
        };
        let (url, uid) = (value("feed"), value("uid"));
        let address = url.strip_prefix("http://").unwrap().trim_end_matches('/').parse().unwrap();
        Self { child, keys, address, uid, _folder: folder }
    }

    /// What `token` prints for a reader.
    fn token(&self, uid: &str) -> String {
        let output = program()
            .args(["token", "--consumer", "pages", "--kind", "WebStatus", "--right", "read"])
            .args(["--master-uid", uid, "--keys"])
            .arg(&self.keys)
            .output()
            .unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let token = text(&output.stdout);
        assert_eq!(token.lines().count(), 1, "{token}");
        token.trim().to_owned()
    }

    /// Status and body of `/v1/info`.
    fn info(&self, token: &str) -> (u16, serde_json::Value) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!("Authorization: Bearer {token}\r\nHost: test\r\nConnection: close");
        write!(stream, "GET /v1/info HTTP/1.1\r\n{head}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap())
    }
}

#[test]
fn a_feed_without_keys_ends_with_2_and_says_how_to_make_one() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    let refused = || {
        let Output { status, stdout, stderr } = feed(folder.path()).output().unwrap();
        assert_eq!((status.code(), text(&stdout)), (Some(2), String::new()));
        text(&stderr)
    };
    let missing = refused();
    std::fs::create_dir(&keys).unwrap();
    let empty = refused();
    for said in [&missing, &empty] {
        let command = said.split('`').nth(1).unwrap_or_else(|| panic!("no command in {said}"));
        assert!(command.contains(keys.to_str().unwrap()), "{said}");
    }
    // The command does what it says.
    let command = missing.split('`').nth(1).unwrap();
    std::fs::remove_dir(&keys).unwrap();
    assert!(Command::new("sh").args(["-c", command]).status().unwrap().success());
    let token = program()
        .args(["token", "--master-uid", "uid", "--consumer", "a", "--kind", "b"])
        .args(["--right", "read", "--keys"])
        .arg(&keys)
        .output()
        .unwrap();
    assert!(token.status.success(), "{}", text(&token.stderr));
}

#[test]
fn a_feed_accepts_the_tokens_of_its_keys_and_no_others_and_ends_when_asked() {
    let mut feed = FeedRuns::start();
    let good = feed.token(&feed.uid);
    let (status, info) = feed.info(&good);
    assert_eq!((status, info["master_uid"].as_str()), (200, Some(feed.uid.as_str())), "{info}");
    for token in [feed.token("another"), format!("{good}x"), "wrong".to_owned()] {
        let (status, problem) = feed.info(&token);
        assert_eq!((status, problem["code"].as_str()), (401, Some("unauthorized")), "{problem}");
    }
    // The same name with another content, as a Secret that is written anew.
    key(&feed.keys, "2026-01", "n");
    let new = feed.token(&feed.uid);
    let begin = Instant::now();
    while feed.info(&new).0 != 200 {
        assert!(begin.elapsed() < PATIENCE, "the new key is not taken up");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(feed.info(&good).0, 401, "the old key is refused from then on");
    let id = feed.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert_eq!(feed.child.wait().unwrap().code(), Some(0));
}
