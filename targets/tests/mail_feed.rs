//! What mails ask of a real journal: earlier builds, users, the builds of a buildset.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use delivery::Target;
use feed::{Feed, Options};
use master::{Batch, Sink};
use model::{Build, BuildId, Buildset, Event, Outcome, Record, RequestId, World};
use serde_json::{Value, json};
use support::{about, build, mail_spec, record};
use targets::mail::{Mail, Message, Secrets};

/// A journal with these finished builds.
async fn journal(builds: Vec<Build>) -> (tempfile::TempDir, Feed) {
    let folder = tempfile::tempdir().unwrap();
    let feed = Feed::open(folder.path(), Options::default()).unwrap();
    let events = builds.into_iter().map(|build| Event::BuildFinished { build: Box::new(build) });
    let batch = Batch { events: events.collect(), ..Batch::default() };
    feed.ingest().commit(batch, &World::default()).await.unwrap();
    (folder, feed)
}

fn numbered(number: u64, branch: &str, outcome: Outcome) -> Build {
    let mut build = build("failure");
    (build.id, build.number, build.request) = (BuildId(number), number, RequestId(number));
    build.outcome = Some(outcome);
    build.buildset.source_stamps[0].branch = Some(branch.to_owned());
    build
}

fn finished(build: &Build) -> Record {
    record(Event::BuildFinished { build: Box::new(build.clone()) }, 1)
}

fn mail(feed: &Feed, more: &Value) -> Mail {
    let mail = Mail::new("ci/mail", &mail_spec(more), &Secrets::default(), about().fixed());
    mail.unwrap().reading(feed.clone().into())
}

async fn compose(mail: &Mail, record: &Record) -> Option<Message> {
    let facts = mail.gather(record).await.unwrap();
    mail.compose(record, facts).unwrap()
}

fn header(message: &Message, name: &str) -> String {
    let text = String::from_utf8(message.bytes().to_vec()).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    line.unwrap_or_default().to_owned()
}

#[tokio::test]
async fn m10_the_build_before_on_the_same_branch_is_found_far_back_but_not_without_end() {
    let mut builds = vec![numbered(1, "main", Outcome::Success)];
    builds.extend((2..=60).map(|number| numbered(number, "wip", Outcome::Failure)));
    let (_folder, feed) = journal(builds).await;
    let more = json!({ "mode": ["problem"], "previousBuildGetter": "sameBranch" });
    let mail = mail(&feed, &more);
    let told = async |build: Build| {
        let record = finished(&build);
        // What the event tells of the build before does not count.
        assert!(mail.decide(&record));
        compose(&mail, &record).await.is_some()
    };
    let failed = |number, branch| numbered(number, branch, Outcome::Failure);
    assert!(told(failed(61, "main")).await, "succeeded 60 builds ago");
    assert!(!told(failed(61, "wip")).await, "failed before");
    assert!(!told(failed(61, "new")).await, "no build before, no mail");
    assert!(!told(failed(1, "main")).await, "the first");
    assert!(!mail.decide(&finished(&numbered(61, "main", Outcome::Success))));
    let (_other, feed) = journal(
        (1..=260)
            .map(|n| {
                let branch = if n == 1 { "main" } else { "wip" };
                numbered(n, branch, Outcome::Success)
            })
            .collect(),
    )
    .await;
    let mail = self::mail(&feed, &more);
    assert!(compose(&mail, &finished(&failed(261, "main"))).await.is_none(), "260 builds ago");
    assert!(compose(&mail, &finished(&failed(261, "wip"))).await.is_some());
}

#[tokio::test]
async fn m10_the_message_speaks_of_the_build_before_that_was_chosen() {
    let builds = vec![numbered(1, "main", Outcome::Success), numbered(2, "wip", Outcome::Failure)];
    let (_folder, feed) = journal(builds).await;
    let more = json!({ "mode": ["change", "problem"], "previousBuildGetter": "candidate.number == 1",
        "messageFormatter": { "body": "x", "subject": "{{ previous }} {{ matched | join(',') }}" } });
    let build = Build { previous: Some(Outcome::Failure), ..numbered(3, "main", Outcome::Failure) };
    let message = compose(&mail(&feed, &more), &finished(&build)).await.unwrap();
    assert_eq!(header(&message, "Subject"), "success change,problem");
}

#[tokio::test]
async fn m07_names_without_an_address_are_looked_up_among_the_masters_users() {
    let mut known = numbered(1, "main", Outcome::Success);
    known.changes[0].author = "Zoë Adams <zoe@example.org>".to_owned();
    let (_folder, feed) = journal(vec![known]).await;
    let mut build = numbered(2, "main", Outcome::Failure);
    build.changes[0].author = "Zoë Adams".to_owned();
    let owners = model::Property(json!(["Zoë Adam", "Zoë", "bad@localhost"]), "Scheduler".into());
    build.buildset.properties.0.insert("owners".to_owned(), owners);
    let registry = prometheus::Registry::new();
    let figures = delivery::Metrics::register(&registry, "ci/main").unwrap();
    let mail = mail(&feed, &json!({})).counting("ci/mail", figures);
    let message = compose(&mail, &finished(&build)).await.unwrap();
    assert_eq!(header(&message, "To"), "zoe@example.org");
    let family = registry.gather().into_iter().find(|f| f.name().contains("invalid_addresses"));
    assert_eq!(family.unwrap().get_metric()[0].get_counter().get_value(), 1.0);
}

#[tokio::test]
async fn m05_a_buildset_has_the_selected_builds_of_its_requests_and_the_last_of_each() {
    let mut builds: Vec<Build> =
        (1..=4).map(|number| numbered(number, "main", Outcome::Failure)).collect();
    builds[0].request = RequestId(9);
    builds[1].builder.name = "other".into();
    builds[3].request = RequestId(3);
    let (_folder, feed) = journal(builds).await;
    let ids = [1, 2, 3, 4].map(BuildId).to_vec();
    let buildset =
        Buildset { builds: ids, outcome: Some(Outcome::Failure), ..build("failure").buildset };
    let record = record(Event::BuildsetCompleted { buildset: Box::new(buildset) }, 1);
    let more = json!({ "buildSetSummary": true, "builders": ["unit win/32"] });
    let facts = mail(&feed, &more).gather(&record).await.unwrap();
    let numbers: Vec<u64> = facts.builds.iter().map(|build| build.number).collect();
    assert_eq!(numbers, [4, 1], "3 was tried again as 4; 2 is of another builder");
    let none = mail(&feed, &json!({ "buildSetSummary": true, "mode": ["passing"] }));
    assert!(compose(&none, &record).await.is_none());
}
