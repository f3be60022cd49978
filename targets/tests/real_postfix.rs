//! Mail to the servers of a usual machine: Postfix, and Dovecot for its logins.
//!
//! Both are on the path, and openssl; `cargo xtask test` sees to that.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use delivery::{SendError, Sent, Target};
use serde_json::{Value, json};
use std::time::Duration;
use support::{
    about, finished, mail_spec,
    peers::{Certificate, Dovecot, Postfix},
};
use targets::mail::{Mail, Message, Secrets};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

fn compose(mail: &Mail) -> Message {
    mail.compose(&finished("failure"), support::facts(mail, &finished("failure"))).unwrap().unwrap()
}

async fn send(mail: &Mail) -> Result<Sent, SendError> {
    mail.send(&mut compose(mail)).await
}

/// Its ports open a moment after it says that it started.
async fn until_it_answers(mail: &Mail, postfix: &Postfix) {
    let reachable = async {
        while matches!(mail.reach().await, Err(SendError::Transient(_))) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(PATIENCE, reachable).await.is_ok(), "{}", postfix.log());
}

async fn until_logged(postfix: &Postfix, parts: &[&str]) {
    let logged = async {
        while !parts.iter().all(|part| postfix.log().contains(part)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(PATIENCE, logged).await.is_ok(), "{parts:?} in\n{}", postfix.log());
}

#[tokio::test]
async fn m06_postfix_takes_a_mail_over_starttls_and_refuses_some_recipients() {
    let certificate = Certificate::new();
    let postfix = Postfix::start(&certificate, None);
    let settings = json!({
        "fromaddr": "bot@example.org", "relayhost": "127.0.0.1", "smtpPort": postfix.port,
        "tls": "starttls", "mode": "all", "sendToInterestedUsers": false,
        "extraRecipients": ["ann@example.org", "gone@example.org"],
    });
    let secrets = Secrets { password: None, ca: Some(certificate.pem()) };
    let mail = Mail::new("m", &mail_spec(&settings), &secrets, about().fixed()).unwrap();
    until_it_answers(&mail, &postfix).await;
    let Ok(Sent::Partly(text)) = send(&mail).await else { panic!("{}", postfix.log()) };
    assert!(text.contains("gone@example.org") && text.contains("no such user"), "{text}");
    let id = compose(&mail).id;
    until_logged(&postfix, &["to=<ann@example.org>", &id]).await;
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

#[tokio::test]
async fn m06_postfix_takes_logins_that_dovecot_knows_over_starttls_and_implicit_tls() {
    let certificate = Certificate::new();
    let dovecot = Dovecot::start();
    let postfix = Postfix::start(&certificate, Some(&dovecot.socket()));
    for (tls, port) in [("starttls", postfix.submission), ("implicit", postfix.implicit)] {
        let to = format!("{tls}@example.org");
        let mail = |more: Value, password: Option<&str>| {
            let mut settings = json!({
                "fromaddr": "bot@example.org", "relayhost": "localhost", "smtpPort": port,
                "tls": tls, "mode": "all", "sendToInterestedUsers": false, "extraRecipients": [to],
            });
            settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let password = password.map(str::to_owned);
            let secrets = Secrets { password, ca: Some(certificate.pem()) };
            Mail::new("m", &mail_spec(&settings), &secrets, about().fixed()).unwrap()
        };
        let bot = mail(json!({ "smtpUser": "bot" }), Some("s3cret"));
        until_it_answers(&bot, &postfix).await;
        assert_eq!(send(&bot).await, Ok(Sent::Whole), "{tls}: {}", postfix.log());
        let id = compose(&bot).id;
        until_logged(&postfix, &["sasl_username=bot", &format!("to=<{to}>"), &id]).await;
        match send(&mail(json!({ "smtpUser": "bot" }), Some("wr0ng"))).await {
            Err(SendError::Misconfigured(text)) => {
                assert!(text.contains("535") && !text.contains("wr0ng"), "{tls}: {text}");
            }
            other => panic!("{tls}: {other:?}"),
        }
        let nobody = send(&mail(json!({}), None)).await;
        assert!(
            matches!(&nobody, Err(SendError::Permanent(text)) if text.contains("554")),
            "{tls}: {nobody:?}"
        );
    }
}
