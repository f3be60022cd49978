//! Pages that reach below what memory holds go on in the journal.

use super::site;
use axum::{
    body::Body,
    http::{Request, StatusCode},
    middleware::{self, Next},
    response::IntoResponse as _,
};
use feed::{
    Feed, Options,
    http::{
        client::{Remote, RemoteOptions},
        server::{About, State},
        token::{Claims, Keys, Kind, Right},
    },
};
use master::{Batch, Dirty, Sink as _};
use model::{Build, BuildId, Builder, BuilderId, Links, Outcome, World};
use regex::Regex;
use std::{
    collections::BTreeMap,
    future::IntoFuture as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use webui::{
    server::{App, router},
    testing::{MIN, NOW, build, builder, change},
    view::{Limits, Shared, follow},
};

const BUILDERS: u64 = 6;
const EACH: u64 = 60;
/// Finished builds that the view keeps of 360.
const KEPT: usize = 40;
/// Builds of one page, at most: each takes a row.
const ROWS: usize = 50;

/// Every builder builds every twenty minutes; every eleventh build is Cleo's. Keys are in the order of
/// beginnings.
fn history() -> Vec<Build> {
    let mut builds: Vec<Build> = (1..=BUILDERS)
        .flat_map(|of| {
            let ago = move |number| 20 * (EACH - number) as i64 + 3 * of as i64 + 15;
            (1..=EACH).map(move |number| build(of, number, ago(number), 9, Outcome::Success))
        })
        .collect();
    builds.sort_by_key(|b| b.started_at);
    for (build, id) in builds.iter_mut().zip(1..) {
        build.id = BuildId(id);
        let who = if id % 11 == 0 { "Cleo" } else { "Ann" };
        if id % 5 == 0 || id % 11 == 0 {
            let ago = (NOW.0 - build.started_at.0) / MIN + 1;
            build.changes = vec![change(id, ago, who)];
        }
    }
    builds
}

struct Stage {
    app: Arc<App>,
    feed: Feed,
    builds: Vec<Build>,
    _folder: tempfile::TempDir,
    cancel: CancellationToken,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// A journal that holds all of it.
async fn journal(folder: &Path) -> (Feed, Vec<Build>) {
    let options = Options { min_free_bytes: 0, ..Options::default() };
    let feed = Feed::open(folder, options).unwrap();
    let builders: BTreeMap<BuilderId, Builder> =
        (1..=BUILDERS).map(|id| (BuilderId(id), builder(id, None, &[]))).collect();
    let builds = history();
    let batch = Batch {
        history_changes: builds.iter().flat_map(|b| b.changes.clone()).collect(),
        history: builds.clone(),
        dirty: Dirty {
            meta: true,
            builders: builders.keys().copied().collect(),
            ..Dirty::default()
        },
        ..Batch::default()
    };
    feed.ingest().commit(batch, &World { builders, ..World::default() }).await.unwrap();
    (feed, builds)
}

async fn world() -> Stage {
    let folder = tempfile::tempdir().unwrap();
    let (feed, builds) = journal(folder.path()).await;
    let (view, cancel) = (Shared::default(), CancellationToken::new());
    let limits = Limits { builds: KEPT, ..Limits::default() };
    let mut changed = view.subscribe();
    tokio::spawn(follow(view.clone(), feed.clone().into(), limits, cancel.clone()));
    changed.wait_for(|_| view.read().horizon().is_some()).await.unwrap();
    assert_eq!(view.read().builds().count(), KEPT);
    let site = site(serde_json::json!({}));
    let app = Arc::new(App::new(view, site, feed.clone().into()));
    Stage { app, feed, builds, _folder: folder, cancel }
}

impl Stage {
    async fn get(&self, path: &str) -> (u16, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = router(self.app.clone()).oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// Goes through all pages. How often each build stands, and each change.
    async fn walk(&self, query: &str) -> (BTreeMap<String, usize>, BTreeMap<u64, usize>) {
        let build =
            Regex::new("<div class=(?:b|\"b [^\"]*\")><a href=\"builders/([^\"]+)\"").unwrap();
        let change = Regex::new("<a href=\"changes/([0-9]+)\"").unwrap();
        let older = Regex::new("rel=next href=\"./(waterfall[^\"]+)\"").unwrap();
        let (mut builds, mut changes) = (BTreeMap::new(), BTreeMap::new());
        let mut path = format!("/waterfall?num_events={ROWS}&{query}");
        for _ in 0..100 {
            let (status, html) = self.get(&path).await;
            assert_eq!(status, 200, "{html}");
            let before: usize = builds.values().sum();
            for found in build.captures_iter(&html) {
                *builds.entry(found[1].to_owned()).or_default() += 1;
            }
            let shown = builds.values().sum::<usize>() - before;
            assert!(shown <= ROWS * BUILDERS as usize, "{shown} on {path}");
            for found in change.captures_iter(&html) {
                *changes.entry(found[1].parse().unwrap()).or_default() += 1;
            }
            let Some(next) = older.captures(&html) else { return (builds, changes) };
            path = format!("/{}", next[1].replace("&amp;", "&"));
        }
        panic!("there is always an older page: {path}");
    }

    /// The builds that are so, each once.
    fn once(&self, is: impl Fn(&Build) -> bool) -> BTreeMap<String, usize> {
        let found = self.builds.iter().filter(|b| is(b));
        found.map(|b| (format!("{}/builds/{}", b.builder.name, b.number), 1)).collect()
    }
}

#[tokio::test]
async fn p02_older_pages_go_on_in_the_journal_and_show_every_build_and_change_once() {
    let world = world().await;
    let (builds, changes) = world.walk("").await;
    assert_eq!(builds, world.once(|_| true));
    let all = world.builds.iter().flat_map(|b| &b.changes).map(|c| (c.id.0, 1)).collect();
    assert_eq!(changes, all);
    assert_eq!(world.walk("view=compact").await.0.len(), world.builds.len());
}

#[tokio::test]
async fn p02_older_pages_keep_their_arguments_in_the_journal() {
    let world = world().await;
    let of = |b: &Build, ids: &[u64]| ids.contains(&b.builder.id.0);
    let (builds, _) = world.walk("builder=b3").await;
    assert_eq!(builds, world.once(|b| of(b, &[3])));
    let (builds, _) = world.walk("builder=b3&show=b5").await;
    assert_eq!(builds, world.once(|b| of(b, &[3, 5])));
    let (builds, _) = world.walk("committer=Cleo&first_time=0").await;
    assert_eq!(builds, world.once(|b| b.changes.iter().any(|c| c.author == "Cleo")));
    // In the midst of the journal, from the beginning of a day or of the address's own.
    let top = NOW.0 - 9 * 60 * MIN;
    let ended = |b: &Build, by: i64| b.complete_at.is_some_and(|end| end.0 <= by);
    let (builds, _) = world.walk(&format!("last_time={top}")).await;
    assert_eq!(builds, world.once(|b| ended(b, top)));
    let bottom = top - 180 * MIN;
    let (builds, _) = world.walk(&format!("last_time={top}&first_time={bottom}")).await;
    assert_eq!(builds, world.once(|b| ended(b, top) && !ended(b, bottom)));
    let (_, html) = world.get("/waterfall?last_time=2020-01-01").await;
    assert!(html.contains("No older builds") && !html.contains("<div class=b>"), "{html}");
}

#[tokio::test]
async fn p02_the_present_is_shown_from_memory_and_a_journal_that_is_closed_is_an_error_in_words() {
    let world = world().await;
    let old = format!("/waterfall?last_time={}", NOW.0 - 9 * 60 * MIN);
    assert_eq!(world.get(&old).await.0, 200);
    world.feed.close().await;
    let (status, html) = world.get("/waterfall").await;
    assert!(status == 200 && html.contains("rel=next"), "{html}");
    let (status, html) = world.get(&old).await;
    assert!(status == 503 && html.contains("The journal does not answer"), "{html}");
}

#[tokio::test]
async fn p02_older_builds_are_asked_for_again_when_the_journal_did_not_answer() {
    let folder = tempfile::tempdir().unwrap();
    let (feed, builds) = journal(&folder.path().join("data")).await;
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    std::fs::create_dir(folder.path().join("keys")).unwrap();
    file("keys/1", "a key of thirty-two bytes or more");
    let keys = Keys::from_dir(&folder.path().join("keys")).unwrap();
    let token = keys.sign(&Claims {
        master_uid: feed.master_uid().into(),
        consumer: "pages".into(),
        kind: Kind::new("WebStatus"),
        rights: Right::ALL.into(),
        expires: None,
    });
    let about = About {
        namespace: "default".into(),
        name: "main".into(),
        links: Links::master("http://master.example/"),
        release: "0.0.1".into(),
    };
    // A journal in good order, but for the first question for builds.
    let failed = Arc::new(AtomicBool::new(false));
    let fails = failed.clone();
    let broken = middleware::from_fn(move |request: Request<Body>, next: Next| {
        let fails = request.uri().path() == "/v1/builds" && !fails.swap(true, Ordering::Relaxed);
        async move {
            if fails {
                StatusCode::SERVICE_UNAVAILABLE.into_response()
            } else {
                next.run(request).await
            }
        }
    });
    let served = feed::http::server::router(State::new(feed, keys, about)).layer(broken);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(axum::serve(listener, served).into_future());
    let remote = Remote::new(&url, &file("token", &token), RemoteOptions::default()).unwrap();
    let (view, cancel) = (Shared::default(), CancellationToken::new());
    let mut changed = view.subscribe();
    let following = follow(view.clone(), remote.into(), Limits::default(), cancel.clone());
    let following = tokio::spawn(following);
    let all = |_: &u64| view.read().builds().count() == builds.len();
    let waited = tokio::time::timeout(Duration::from_secs(30), changed.wait_for(all)).await;
    assert!(waited.is_ok_and(|changed| changed.is_ok()), "older builds never came");
    assert!(failed.load(Ordering::Relaxed));
    cancel.cancel();
    following.await.unwrap();
    server.abort();
}

#[tokio::test]
async fn p10_a_builders_page_goes_on_in_the_journal() {
    let world = world().await;
    let line = Regex::new("href=\"../builders/b2/builds/([0-9]+)\"").unwrap();
    for (wanted, more) in [(50, true), (60, false), (500, false)] {
        let (status, html) = world.get(&format!("/builders/b2?numbuilds={wanted}")).await;
        assert_eq!(status, 200, "{html}");
        let mut numbers: Vec<u64> =
            line.captures_iter(&html).map(|c| c[1].parse().unwrap()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let shown = wanted.min(EACH);
        assert_eq!(numbers, (EACH - shown + 1..=EACH).collect::<Vec<_>>(), "{wanted}");
        assert_eq!(html.contains("Show more"), more, "{wanted}");
    }
    assert_eq!(world.get("/builders/nosuch").await.0, 404);
    assert_eq!(world.get("/builders/b2?numbuilds=x").await.0, 400);
}
