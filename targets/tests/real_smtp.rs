//! Mail to a real SMTP server that shows faults too: aiosmtpd. `real_postfix.rs` has the usual servers.
//!
//! `BUILDBOT_VENV` names a Python environment with aiosmtpd, and openssl is on the path. `cargo xtask test` sees
//! to both.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use delivery::{SendError, Sent, Target};
use model::{Build, Event, Record};
use serde_json::{Value, json};
use std::{path::Path, process::Stdio, time::Duration};
use support::{about, build, finished, mail_spec, peers::Certificate, record};
use targets::mail::{Mail, Message, Secrets};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(60);

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
    mail.compose(&finished("failure"), support::facts(mail, &finished("failure"))).unwrap().unwrap()
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
    let unknown = send(&starttls.mail_from(from, &ask, Some("s3cret"), None)).await;
    check(unknown, "its certificate is of an authority that is not trusted here; put");
    check(send(&plain.mail(&json!({ "tls": "implicit" }), None)).await, "speaks no TLS; check");
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
    let mut message = mail.compose(&record, support::facts(&mail, &record)).unwrap().unwrap();
    assert_eq!(mail.send(&mut message).await, Ok(Sent::Whole));
    let taken = server.next().await;
    assert_eq!(taken["to"], json!(["list@example.org"]));
    let data = taken["data"].as_str().unwrap();
    assert!(!data.lines().any(|line| line.starts_with("Bcc:")), "{data}");
    assert!(data.contains(" -The Buildbot"), "whole: {data}");
}
