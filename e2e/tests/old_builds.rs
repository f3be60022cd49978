//! A master that has worked for years gets its first standalone: the past is shown, and nobody is told of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::{Lab, Mailbox, Receiver, Standalone, free_port, manifests, wait_until};
use feed::{BuildQuery, Feed, Options};
use std::time::Duration;

const OLD: usize = 500;
/// Its old builds are a quarter of all.
const BUILDER: &str = "quick-00";

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_journal_beside_a_master_with_old_builds_sends_no_mail_about_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut lab = Lab::start(folder.path(), 0.1, &["--extra-builders", "1"]).await;
    lab.grow_old(OLD, &[]).await;
    assert_eq!(lab.finished().await.unwrap().len(), OLD, "the master shows its old builds");
    let mailbox = Mailbox::start(folder.path()).await;
    let receiver = Receiver::start().await;
    let pages = free_port();
    let text = manifests(lab.port(), mailbox.port(), &receiver.url())
        .replace("tcp:0:", &format!("tcp:{pages}:"))
        .replace("mode: [failing, passing, warnings, exception]", "mode: all");
    assert!(text.contains("mode: all"), "{text}");
    let mut standalone = Standalone::start(folder.path(), "data", &text);
    standalone.connected().await;
    let recent = format!("http://127.0.0.1:{pages}/one_line_per_build?numbuilds=1000");
    let shows = async |builds: usize| {
        let page = reqwest::get(&recent).await.ok()?.text().await.ok()?;
        page.contains(&format!("the last {builds} to finish")).then_some(())
    };
    let patience = Duration::from_secs(90);
    // The past is read gently, and each build takes several reads.
    let long = Duration::from_secs(400);
    wait_until("the pages show every old build", long, || shows(OLD)).await;
    // Whatever the history set off would have been sent by the time the new build's mail is there:
    // a target takes a builder's records in the journal's order.
    lab.force(BUILDER).await;
    wait_until("the new build's mail and push", patience, async || {
        let pushed = receiver.packets().iter().any(|packet| packet["event"] == "buildFinished");
        (pushed && !mailbox.mails().is_empty()).then_some(())
    })
    .await;
    wait_until("the pages show the new build too", patience, || shows(OLD + 1)).await;
    standalone.end().await;

    let number = OLD as u64 / 4 + 1;
    let mails = mailbox.mails();
    let bodies: Vec<_> = mails.iter().map(e2e::Mail::body).collect();
    assert_eq!(mails.len(), 1, "only the new build's mail: {bodies:#?}");
    assert!(bodies[0].contains(&format!("/builders/{BUILDER}/builds/{number}")), "{}", bodies[0]);
    for packet in receiver.packets() {
        let build = &packet["payload"]["build"];
        if !build.is_null() {
            assert_eq!(
                (build["builderName"].as_str(), build["number"].as_u64()),
                (Some(BUILDER), Some(number)),
                "a push about another build: {packet:#}"
            );
        }
    }
    let feed = Feed::open(&standalone.journal(), Options::default()).unwrap();
    let (mut count, mut below) = (0, None);
    loop {
        let query = BuildQuery { below, limit: BuildQuery::MAX, ..BuildQuery::default() };
        let builds = feed.builds(query).await.unwrap();
        let Some(last) = builds.last() else { break };
        below = Some(last.id.0);
        count += builds.len();
    }
    assert_eq!(count, OLD + 1, "the journal has the past too");
    feed.close().await;
    lab.end().await;
}
