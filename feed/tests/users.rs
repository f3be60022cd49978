//! People whom changes and builds name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::*;
use feed::{Feed, History, Options, User};
use master::{Batch, Sink as _};
use model::{Change, ChangeId, Event, Properties, Property, Timestamp, World};

fn by(id: u64, author: &str, committer: Option<&str>, when: i64) -> Change {
    Change {
        id: ChangeId(id),
        author: author.into(),
        committer: committer.map(str::to_owned),
        when: Timestamp(when),
        ..Change::default()
    }
}

async fn people(feed: &Feed) -> Vec<(String, Option<String>)> {
    let users = feed.users(None, 1000).await.unwrap();
    users.into_iter().map(|User { name, address, .. }| (name, address)).collect()
}

fn person(name: &str, address: Option<&str>) -> (String, Option<String>) {
    (name.to_owned(), address.map(str::to_owned))
}

#[tokio::test]
async fn authors_committers_and_owners_are_known_with_their_newest_address() {
    let dir = tempfile::tempdir().unwrap();
    let feed = open(dir.path());
    let mut past = build(1, 1);
    let owner = Property(serde_json::json!(["dora", "Carl <carl@example.org>"]), "x".into());
    past.buildset.properties = Properties([("owners".to_owned(), owner)].into());
    past.changes = vec![by(9, "Eve <eve@example.org>", None, 50)];
    let batch = Batch {
        events: vec![Event::ChangeAdded {
            change: Box::new(by(2, "Ann <ann@new.example.org>", Some("bob"), 200)),
        }],
        history: vec![past],
        history_changes: vec![
            by(1, "Ann <ann@old.example.org>", None, 100),
            by(3, "bob <bob@example.org>", None, 10),
            by(4, "", None, 10),
        ],
        ..Batch::default()
    };
    feed.ingest().commit(batch, &World::default()).await.unwrap();
    let expected = [
        person("Ann", Some("ann@new.example.org")),
        person("Carl", Some("carl@example.org")),
        person("Eve", Some("eve@example.org")),
        person("bob", Some("bob@example.org")),
        person("dora", None),
    ];
    assert_eq!(people(&feed).await, expected);
    let users = feed.users(None, 1).await.unwrap();
    assert_eq!((users[0].name.as_str(), users[0].last_seen_ms), ("Ann", 200_000));

    // Page by page, none twice.
    let mut after = None;
    let mut paged = Vec::new();
    loop {
        let page = feed.users(after.as_deref(), 2).await.unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = Some(last.name.clone());
        paged.extend(page.into_iter().map(|user| (user.name, user.address)));
    }
    assert_eq!(paged, expected);
}

#[tokio::test]
async fn no_more_people_are_kept_than_may_be_and_those_seen_last_stay() {
    let dir = tempfile::tempdir().unwrap();
    let history = History { max_users: 100, ..History::default() };
    let feed = Feed::open(dir.path(), Options { history, ..options() }).unwrap();
    let changes = (1..=150).map(|n| by(n, &format!("user {n:03}"), None, n as i64)).collect();
    let batch = Batch { history_changes: changes, ..Batch::default() };
    feed.ingest().commit(batch, &World::default()).await.unwrap();
    feed.maintain().await.unwrap();
    let people = people(&feed).await;
    assert_eq!(people.len(), 90, "room for some, so that this is not done each time");
    assert_eq!(people[0].0, "user 061");
}
