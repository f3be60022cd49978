//! `check` and `test` about a build of a real master: what would be said, and whether it arrives.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::{Lab, Mailbox, Receiver, Standalone, binary, manifests, wait_until};
use std::{
    fs,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

const BUILDER: &str = "quick-00";

/// How a command ended, and what it said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs the program about the manifest in `folder`.
async fn run(command: &'static str, folder: &Path, more: &[&str]) -> Said {
    let mut program = Command::new(binary());
    program.args([command, "-f"]).arg(folder.join("status.yaml")).args(more);
    let ended = tokio::task::spawn_blocking(move || program.output().unwrap()).await;
    let Output { status, stdout, stderr } = ended.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: status.code(), out: text(&stdout), err: text(&stderr) }
}

/// A master with two builds of one builder, and a manifest about it.
async fn world(folder: &Path) -> (Lab, Mailbox, Receiver, String) {
    let lab = Lab::start(folder, 0.1, &["--extra-builders", "1"]).await;
    for builds in 1..=2 {
        lab.force(BUILDER).await;
        wait_until("the build ends", Duration::from_secs(90), async || {
            (lab.finished().await?.len() == builds).then_some(())
        })
        .await;
    }
    let mailbox = Mailbox::start(folder).await;
    let receiver = Receiver::start().await;
    let text = [
        manifests::master(lab.port(), None, ""),
        manifests::mail(mailbox.port(), "messageFormatter: {builtin: htmlWithLog}"),
        manifests::push(&receiver.url()),
    ]
    .join("---\n");
    fs::write(folder.join("status.yaml"), &text).unwrap();
    (lab, mailbox, receiver, text)
}

#[tokio::test(flavor = "multi_thread")]
async fn check_renders_a_named_build_with_its_logs_and_test_sends_it_once() {
    let folder = tempfile::tempdir().unwrap();
    let (lab, mailbox, receiver, text) = world(folder.path()).await;
    let second = format!("{BUILDER}/2");

    // The master itself is asked, and nothing is sent.
    let said = run("check", folder.path(), &["--build", &second]).await;
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(said.out.contains(&format!("asked about the master's build {second}")), "{said:#?}");
    assert!(said.out.contains("list@example.org") && said.out.contains("buildFinished"));
    let steps = lab.get(&format!("builders/{BUILDER}/builds/2/steps")).await.unwrap();
    let step = steps["steps"].as_array().unwrap().last().unwrap()["stepid"].as_u64().unwrap();
    let logs = lab.get(&format!("steps/{step}/logs")).await.unwrap();
    let last = logs["logs"][0]["logid"].as_u64().unwrap();
    let log = lab.get(&format!("logs/{last}/contents")).await.unwrap();
    let lines = log["logchunks"][0]["content"].as_str().unwrap();
    let line =
        &lines.lines().rev().find(|line| line.starts_with('o') && line.len() > 8).unwrap()[1..];
    assert!(said.out.contains(line), "no {line:?} in {}", said.out);
    assert!(mailbox.mails().is_empty() && receiver.packets().is_empty());

    // What is not there is named, with what is.
    let said = run("check", folder.path(), &["--build", "quick-00/99"]).await;
    assert_eq!(said.code, Some(2), "{said:#?}");
    assert!(said.err.contains("no finished build 99; the last below it is 2"), "{said:#?}");
    let said = run("test", folder.path(), &["--build", "nobody/1"]).await;
    assert_eq!(said.code, Some(2), "{said:#?}");
    assert!(
        said.err.contains("no builder \"nobody\"; it has ") && said.err.contains(BUILDER),
        "{said:#?}"
    );

    // One mail to one's own address, and one push.
    let arguments = ["--build", second.as_str(), "--to", "me@example.org"];
    let said = run("test", folder.path(), &arguments).await;
    assert_eq!(said.code, Some(0), "{said:#?}");
    let sent = format!("sent what it says of the master's {second}");
    assert_eq!(said.out.matches(&sent).count(), 2, "{said:#?}");
    let mails = mailbox.mails();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].header("To"), "me@example.org");
    assert!(mails[0].body().contains(line), "{}", mails[0].body());
    let told = |event: &str| {
        let packets = receiver.packets();
        packets.iter().filter(|packet| packet["event"] == event).cloned().collect::<Vec<_>>()
    };
    let finished = told("buildFinished");
    assert_eq!(finished.len(), 1, "{finished:#?}");
    assert_eq!(finished[0]["payload"]["build"]["number"], 2);

    // The journal of a standalone that ended, and only one of its targets.
    let mut standalone = Standalone::start(folder.path(), "data", &text);
    standalone.connected().await;
    lab.force(BUILDER).await;
    wait_until("the third build's mail", Duration::from_secs(90), async || {
        (mailbox.mails().len() == 2).then_some(())
    })
    .await;
    standalone.end().await;
    let data = folder.path().join("data").display().to_string();
    let arguments = ["--data", &data, "--build", "quick-00/3", "--only", "MailNotifier/mail"];
    let said = run("test", folder.path(), &arguments).await;
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(said.out.contains("sent what it says of the journal's quick-00/3"), "{said:#?}");
    let mails = mailbox.mails();
    assert_eq!(mails.len(), 3);
    assert_eq!(mails[2].header("Subject"), mails[1].header("Subject"));
    // A mail program must not take the one for the other.
    assert_ne!(mails[2].header("Message-ID"), mails[1].header("Message-ID"));
    let said = run("test", folder.path(), &["--only", "nothing"]).await;
    assert_eq!(said.code, Some(2), "{said:#?}");

    // A peer that is away is said, and the others get theirs.
    let away = text.replace(&format!("smtpPort: {}", mailbox.port()), "smtpPort: 9");
    fs::write(folder.path().join("status.yaml"), away).unwrap();
    let before = told("buildFinished").len();
    let said = run("test", folder.path(), &["--build", &second]).await;
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(said.out.contains("127.0.0.1:9") && said.err.contains("1 of 2 failed"), "{said:#?}");
    assert_eq!(told("buildFinished").len(), before + 1);
    lab.end().await;
}
