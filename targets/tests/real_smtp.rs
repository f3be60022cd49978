//! Mail to real SMTP servers: aiosmtpd for logins, TLS and faults, Postfix for the real thing.
//!
//! `BUILDBOT_VENV` names a Python environment with aiosmtpd. openssl and Postfix are on the
//! path. `cargo xtask test` sees to all three.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use delivery::{SendError, Sent, Target};
use model::{Build, Event, Record};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::{Command as Sync, Stdio},
    time::Duration,
};
use support::{about, build, finished, mail_spec, record};
use targets::mail::{Mail, Message, Secrets};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A certificate for localhost that nobody else trusts.
struct Certificate {
    folder: tempfile::TempDir,
}

impl Certificate {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = Sync::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args([
                "-nodes", "-days", "2", "-subj", "/CN=test", "-keyout", "k.pem", "-out", "c.pem",
            ])
            .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
            // A server's certificate that is its own authority is not accepted as one.
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .current_dir(folder.path())
            .output()
            .expect("openssl");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self { folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn pem(&self) -> Vec<u8> {
        std::fs::read(self.file("c.pem")).unwrap()
    }
}

/// aiosmtpd. Ends with the test, since its standard input does.
struct Server {
    port: u16,
    lines: Lines<BufReader<ChildStdout>>,
    certificate: Certificate,
    _input: ChildStdin,
    _child: Child,
}

impl Server {
    async fn start(mode: &str, login: &str) -> Self {
        let certificate = Certificate::new();
        let venv =
            std::env::var("BUILDBOT_VENV").expect("BUILDBOT_VENV names a Python environment");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/smtp_server.py");
        let mut child = Command::new(Path::new(&venv).join("bin/python"))
            .arg(script)
            .args([mode, login])
            .args([certificate.file("c.pem"), certificate.file("k.pem")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("python");
        let input = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut server = Self { port: 0, lines, certificate, _input: input, _child: child };
        let hello = server.next().await;
        server.port = u16::try_from(hello["port"].as_u64().unwrap()).unwrap();
        server
    }

    /// The next mail that it took.
    async fn next(&mut self) -> Value {
        let line = timeout(PATIENCE, self.lines.next_line()).await.expect("in time");
        serde_json::from_str(&line.unwrap().expect("the server runs")).unwrap()
    }

    /// A target for this server.
    fn mail(&self, more: &Value, password: Option<&str>) -> Mail {
        self.mail_from("bot@example.org", more, password, Some(self.certificate.pem()))
    }

    fn mail_from(
        &self,
        from: &str,
        more: &Value,
        password: Option<&str>,
        ca: Option<Vec<u8>>,
    ) -> Mail {
        let mut settings = json!({
            "fromaddr": from, "relayhost": "localhost", "smtpPort": self.port, "mode": "all",
            "sendToInterestedUsers": false, "extraRecipients": ["list@example.org"],
        });
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let secrets = Secrets { password: password.map(str::to_owned), ca };
        Mail::new("ci/mail", &mail_spec(&settings), &secrets, about().fixed()).unwrap()
    }
}

fn compose(mail: &Mail) -> Message {
    mail.compose(&finished("failure")).unwrap().unwrap()
}

async fn send(mail: &Mail) -> Result<Sent, SendError> {
    mail.send(&mut compose(mail)).await
}

/// Sends until it is no longer put off, as the loop does.
async fn send_until_done(mail: &Mail) -> (Result<Sent, SendError>, Vec<SendError>) {
    let mut message = compose(mail);
    let mut failures = Vec::new();
    loop {
        match mail.send(&mut message).await {
            Err(
                error @ (SendError::PutOff(_)
                | SendError::Transient(_)
                | SendError::Throttled { .. }),
            ) if failures.len() < 3 => {
                failures.push(error);
            }
            done => return (done, failures),
        }
    }
}

fn to(recipients: &[&str]) -> Value {
    json!({ "extraRecipients": recipients })
}

#[tokio::test]
async fn m06_plain_starttls_implicit_tls_and_logins_work() {
    for (mode, login, settings) in [
        ("plain", "noauth", json!({})),
        ("plain", "auth", json!({ "smtpUser": "bot" })),
        ("starttls", "noauth", json!({ "tls": "starttls" })),
        ("starttls", "auth", json!({ "useTls": true, "smtpUser": "bot" })),
        ("implicit", "auth", json!({ "tls": "implicit", "smtpUser": "bot" })),
    ] {
        let mut server = Server::start(mode, login).await;
        let what = format!("{mode} {login}");
        let tls = mode != "plain";
        let ca = tls.then(|| server.certificate.pem());
        let password = settings.get("smtpUser").map(|_| "s3cret");
        let mail = server.mail_from("Bot <bot@example.org>", &settings, password, ca);
        mail.reach().await.expect(&what);
        assert_eq!(send(&mail).await, Ok(Sent::Whole), "{what}");
        let taken = server.next().await;
        assert_eq!(taken["from"], "bot@example.org", "{what}");
        assert_eq!(taken["to"], json!(["list@example.org"]), "{what}");
        assert_eq!(taken["tls"], tls, "{what}");
        assert_eq!(taken["user"], password.map_or(Value::Null, |_| "bot".into()), "{what}");
        let data = taken["data"].as_str().unwrap();
        let id = compose(&mail).id;
        assert!(data.contains(&format!("Message-ID: {id}")), "{what}: {data}");
        assert!(data.contains("Auto-Submitted: auto-generated"), "{what}: {data}");
    }
}

#[tokio::test]
async fn m06_what_somebody_has_to_mend_holds_the_target() {
    let plain = Server::start("plain", "noauth").await;
    let starttls = Server::start("starttls", "auth").await;
    let ask = json!({ "tls": "starttls", "smtpUser": "bot" });
    let check = |result: Result<Sent, SendError>, part: &str| match result {
        Err(SendError::Misconfigured(text)) => {
            assert!(text.contains(part) && !text.contains("wr0ng"), "{part}: {text}");
        }
        other => panic!("{part}: {other:?}"),
    };
    check(send(&plain.mail(&json!({ "tls": "starttls" }), None)).await, "offers no STARTTLS");
    check(send(&starttls.mail(&ask, Some("wr0ng"))).await, "535");
    // No authority but the system's, which does not know the certificate.
    let from = "bot@example.org";
    check(send(&starttls.mail_from(from, &ask, Some("s3cret"), None)).await, "certificate");
    // Required, and not given.
    check(send(&starttls.mail(&json!({ "tls": "starttls" }), None)).await, "530");
    let sender = plain.mail_from("nosender@example.org", &json!({}), None, None);
    check(send(&sender).await, "550");
    let implicit = plain.mail(&json!({ "tls": "implicit" }), None);
    check(send(&implicit).await, "localhost");
}

#[tokio::test]
async fn m06_each_recipient_gets_it_once_whatever_happens_to_the_others() {
    let mut server = Server::start("plain", "noauth").await;
    let mail = server.mail(&to(&["ann@example.org", "gone@example.org", "grey@example.org"]), None);
    let (done, failures) = send_until_done(&mail).await;
    let Ok(Sent::Partly(text)) = done else { panic!("{done:?}") };
    assert!(text.contains("gone@example.org") && text.contains("550"), "{text}");
    assert!(matches!(&failures[..], [SendError::PutOff(text)] if text.contains("grey")));
    assert_eq!(server.next().await["to"], json!(["ann@example.org"]));
    assert_eq!(server.next().await["to"], json!(["grey@example.org"]));
}

#[tokio::test]
async fn m06_refusals_have_their_classes() {
    let mut server = Server::start("plain", "noauth").await;
    let gone = send(&server.mail(&to(&["gone@example.org"]), None)).await;
    assert!(matches!(gone, Err(SendError::Permanent(text)) if text.contains("gone@example.org")));
    let full = send(&server.mail(&to(&["full@example.org"]), None)).await;
    assert!(matches!(full, Err(SendError::PutOff(text)) if text.contains("452")));
    let headers = json!({ "extraHeaders": { "X-Refuse": "yes" } });
    let content = send(&server.mail(&headers, None)).await;
    assert!(matches!(content, Err(SendError::Permanent(text)) if text.contains("554")));
    for (who, throttled) in [("busy@example.org", true), ("drop@example.org", false)] {
        let (done, failures) =
            send_until_done(&server.mail(&to(&[who, "ann@example.org"]), None)).await;
        assert_eq!(done, Ok(Sent::Whole), "{who}");
        let class = matches!(failures[..], [SendError::Throttled { .. }]);
        assert_eq!((failures.len(), class), (1, throttled), "{who}: {failures:?}");
        assert_eq!(server.next().await["to"], json!(["ann@example.org", who]));
    }
    let port = server.port;
    drop(server);
    let mail = json!({ "relayhost": "127.0.0.1", "smtpPort": port, "mode": "all" });
    let mail = Mail::new("m", &mail_spec(&mail), &Secrets::default(), about().fixed()).unwrap();
    timeout(PATIENCE, async {
        loop {
            match mail.reach().await {
                Ok(()) => tokio::task::yield_now().await,
                Err(error) => {
                    return assert!(matches!(error, SendError::Transient(_)), "{error:?}");
                }
            }
        }
    })
    .await
    .expect("the server ends");
}

#[tokio::test]
async fn names_that_look_like_headers_or_commands_stay_text() {
    let mut server = Server::start("plain", "noauth").await;
    let mut odd: Build = build("failure");
    odd.builder.name = "b\r\nBcc: eve@example.org\r\n\r\n.\r\nQUIT".into();
    odd.buildset.reason = "line\n.\nRCPT TO:<eve@example.org>".into();
    let record: Record = record(Event::BuildFinished { build: Box::new(odd) }, 1);
    let mail = server.mail(&json!({ "subject": "%(builder)s" }), None);
    let mut message = mail.compose(&record).unwrap().unwrap();
    assert_eq!(mail.send(&mut message).await, Ok(Sent::Whole));
    let taken = server.next().await;
    assert_eq!(taken["to"], json!(["list@example.org"]));
    let data = taken["data"].as_str().unwrap();
    assert!(!data.lines().any(|line| line.starts_with("Bcc:")), "{data}");
    assert!(data.contains(" -The Buildbot"), "whole: {data}");
}

/// Postfix with a configuration of its own, which discards or bounces as told.
struct Postfix {
    folder: tempfile::TempDir,
    port: u16,
}

impl Postfix {
    /// A free port is asked for first, since Postfix can't say which one it got.
    fn start(certificate: &Certificate) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = folder.path().display();
        let (cert, key) = (certificate.file("c.pem"), certificate.file("k.pem"));
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {at}/queue\ndata_directory = {at}/data\n\
             maillog_file = {at}/log\nmaillog_file_prefixes = {at}\nmyhostname = mx.example.org\n\
             mynetworks = 127.0.0.0/8\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n\
             mydestination =\nlocal_recipient_maps =\nalias_maps =\nalias_database =\n\
             relay_domains = example.org\nrelay_transport = discard\ndefault_transport = discard\n\
             smtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}\nsmtpd_tls_security_level = encrypt\n\
             smtpd_recipient_restrictions = check_recipient_access inline:{{ {{gone@example.org = 550 no such user}} {{full@example.org = 452 mailbox full}} }}, permit_mynetworks, reject\n\
             header_checks = regexp:{at}/headers\n",
            cert.display(),
            key.display(),
        );
        // Name, type, private, unprivileged, chroot, wakeup, most processes, command.
        let master = format!(
            "127.0.0.1:{port} inet n - n - - smtpd\npickup unix n - n 60 1 pickup\n\
             cleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\n\
             rewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\n\
             defer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\n\
             discard unix - - n - - discard\ntlsmgr unix - - n 1000? 1 tlsmgr\n\
             anvil unix - - n - 1 anvil\nscache unix - - n - 1 scache\n\
             proxymap unix - - n - - proxymap\nerror unix - - n - - error\n\
             retry unix - - n - - error\nflush unix n - n 1000? 0 flush\n\
             postlog unix-dgram n - n - 1 postlogd\n"
        );
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("main.cf", &main);
        write("master.cf", &master);
        // Puts the headers that matter into the log.
        write("headers", "/^(Message-ID|Subject|Auto-Submitted):/ WARN\n");
        std::fs::create_dir(folder.path().join("queue")).unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        let own = Sync::new("chown").arg("postfix").arg(folder.path().join("data")).status();
        assert!(own.expect("chown").success());
        // The daemons run as `postfix` and must get to their queue.
        let open =
            Sync::new("chmod").arg("755").args([folder.path(), certificate.folder.path()]).status();
        assert!(open.expect("chmod").success());
        let postfix = Self { folder, port };
        postfix.command("start");
        postfix
    }

    fn command(&self, word: &str) {
        let done = Sync::new("postfix")
            .arg("-c")
            .arg(self.folder.path())
            .arg(word)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .expect("postfix");
        assert!(done.status.success(), "postfix {word}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        self.command("stop");
    }
}

#[tokio::test]
async fn m06_postfix_takes_a_mail_over_starttls_and_refuses_some_recipients() {
    let certificate = Certificate::new();
    let postfix = Postfix::start(&certificate);
    let settings = json!({
        "fromaddr": "bot@example.org", "relayhost": "127.0.0.1", "smtpPort": postfix.port,
        "tls": "starttls", "mode": "all", "sendToInterestedUsers": false,
        "extraRecipients": ["ann@example.org", "gone@example.org"],
    });
    let secrets = Secrets { password: None, ca: Some(certificate.pem()) };
    let mail = Mail::new("m", &mail_spec(&settings), &secrets, about().fixed()).unwrap();
    let reachable = async {
        // Its port opens a moment after it says that it started.
        while matches!(mail.reach().await, Err(SendError::Transient(_))) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(PATIENCE, reachable).await.is_ok(), "{}", postfix.log());
    let Ok(Sent::Partly(text)) = send(&mail).await else { panic!("{}", postfix.log()) };
    assert!(text.contains("gone@example.org") && text.contains("no such user"), "{text}");
    let id = compose(&mail).id;
    let logged = async {
        while !(postfix.log().contains("to=<ann@example.org>") && postfix.log().contains(&id)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(PATIENCE, logged).await.is_ok(), "{}", postfix.log());
    let mut full = settings.clone();
    full["extraRecipients"] = json!(["full@example.org"]);
    let full = Mail::new("m", &mail_spec(&full), &secrets, about().fixed()).unwrap();
    assert!(matches!(send(&full).await, Err(SendError::PutOff(text)) if text.contains("452")));
    // TLS is required there: a mail in the clear is refused, and somebody has to see to it.
    let mut clear = settings;
    clear["tls"] = json!("none");
    let clear = Mail::new("m", &mail_spec(&clear), &Secrets::default(), about().fixed()).unwrap();
    assert!(
        matches!(send(&clear).await, Err(SendError::Misconfigured(text)) if text.contains("530"))
    );
}
