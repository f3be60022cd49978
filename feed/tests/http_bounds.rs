//! What is too much, too slow, malformed, or comes at the end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;
mod served;

use axum::{body::Body, http::Request};
use common::*;
use feed::{
    Feed, Snapshot,
    http::{
        api::{Code, OpenRequest, Problem},
        server::{About, Limits, ROUTES, State, router},
        token::Right,
    },
};
use master::Sink as _;
use model::{Change, ChangeId, Event, Links, World};
use proptest::prelude::*;
use served::*;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tower::ServiceExt as _;

/// Asks, and does not read the answer.
async fn ask(served: &Served, path: &str) -> TcpStream {
    let mut socket = TcpStream::connect(served.address).await.unwrap();
    let request = format!(
        "GET /v1/{path} HTTP/1.1\r\nHost: feed\r\nAccept: text/event-stream\r\n\
         Authorization: Bearer {}\r\n\r\n",
        served.token
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    socket
}

/// Asks, and reads no more than that there is an answer.
async fn stall(served: &Served, path: &str) -> TcpStream {
    let mut socket = ask(served, path).await;
    let mut first = [0; 12];
    soon(socket.read_exact(&mut first)).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    socket
}

/// Waits until so many requests run.
async fn requests(served: &Served, count: usize) {
    soon(async {
        while served.state.requests() != count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_stalls_holds_up_nobody_takes_no_records_and_is_cut() {
    const RECORDS: u64 = 3000;
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path()).await;
    let request = OpenRequest { window: Some(10_000), ..OpenRequest::default() };
    let generation = served.open(&request).await.generation;
    let path = format!("consumers/mail%2Fmain/events?generation={generation}");
    let mut consumer = stall(&served, &path).await;
    let pages = stall(&served, "events").await;
    let mut healthy = Events::of(served.get("events")).await;
    requests(&served, 3).await;
    let journal = async {
        for _ in 0..10 {
            let change = Change { comments: "x".repeat(16 << 10), ..Change::default() };
            let added = |id| Event::ChangeAdded {
                change: Box::new(Change { id: ChangeId(id), ..change.clone() }),
            };
            let events = (0..RECORDS / 10).map(added).collect();
            served.feed.ingest().commit(batch(events), &World::default()).await.unwrap();
        }
    };
    let read = async {
        for _ in 0..RECORDS {
            healthy.until("record").await;
        }
    };
    tokio::join!(journal, read);
    // Some are in the kernel's buffers and in one of the server's, the others in the journal.
    let status = &served.feed.consumers()[0];
    assert_eq!(status.backlog, RECORDS);
    assert!(status.in_flight < 1500, "{status:?}");
    requests(&served, 1).await;
    let mut got = Vec::new();
    // The end of the connection, in whatever way.
    let _ = soon(consumer.read_to_end(&mut got)).await;
    assert!(got.len() < (RECORDS as usize * 16) << 10, "not all came: {}", got.len());
    drop(pages);
    let again = served.open(&request).await.generation;
    assert_eq!(served.stream(again).await.until("record").await.position().seq, 1);
}

#[tokio::test]
async fn at_the_end_streams_and_polls_end_at_once() {
    let dir = tempfile::tempdir().unwrap();
    // Whoever waits for the grace waits longer than the test.
    let limits = Limits { grace: Duration::from_secs(3600), ..Limits::default() };
    let served = served_with(open(dir.path()), limits).await;
    let generation = served.open(&OpenRequest::default()).await.generation;
    let mut consumer = served.stream(generation).await;
    let mut pages = Events::of(served.get("events")).await;
    let idle = TcpStream::connect(served.address).await.unwrap();
    let other = served.token.clone();
    let poll = {
        let token = token(served.feed.master_uid(), "other", &[Right::Consume]);
        let body = served.raw().post(served.url("consumers/other/open")).bearer_auth(&token);
        let opened: feed::http::api::Opened = good(body.body("{}")).await;
        let path = format!("consumers/other/events?wait=60&generation={}", opened.generation);
        let request = served.raw().get(served.url(&path)).bearer_auth(&token);
        tokio::spawn(request.send())
    };
    requests(&served, 3).await;
    served.cancel.cancel();
    let end = consumer.until("end").await;
    let problem_: Problem = serde_json::from_str(&end.data).unwrap();
    assert_eq!(problem_.code, Code::Unavailable);
    assert_eq!(consumer.next().await, None);
    while pages.next().await.is_some() {}
    let polled = soon(poll).await.unwrap().unwrap();
    assert_eq!(problem(polled).await.code, Code::Unavailable);
    drop((idle, other));
    served.end().await;
}

#[tokio::test]
async fn one_token_has_a_bounded_number_of_streams_and_others_are_not_hindered() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path()).await;
    let mut streams = Vec::new();
    for _ in 0..64 {
        streams.push(Events::of(served.get("events")).await);
    }
    assert_eq!(bad(served.get("info")).await.code, Code::TooMany);
    let other = token(served.feed.master_uid(), "pages", &[Right::Read]);
    let info = served.raw().get(served.url("info")).bearer_auth(other);
    assert_eq!(info.send().await.unwrap().status(), 200);
    streams.pop();
    requests(&served, 63).await;
    assert_eq!(served.get("info").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn an_answer_keeps_its_place_and_a_snapshot_its_room_until_they_are_written() {
    let dir = tempfile::tempdir().unwrap();
    // Nobody is cut for being slow.
    let served = served_with(open(dir.path()), Limits::default()).await;
    let change = Change { comments: "x".repeat(16 << 10), ..Change::default() };
    let added =
        |id| Event::ChangeAdded { change: Box::new(Change { id: ChangeId(id), ..change.clone() }) };
    // More than the kernel's buffers hold.
    let events = (1..=2000).map(added).collect();
    served.feed.ingest().commit(batch(events), &World::default()).await.unwrap();
    let first = stall(&served, "snapshot?changes=5000").await;
    let second = stall(&served, "snapshot?changes=5000").await;
    assert_eq!(served.state.requests(), 2);
    let mut waiting = Vec::new();
    for _ in 2..64 {
        waiting.push(ask(&served, "snapshot?changes=0").await);
    }
    requests(&served, 64).await;
    assert_eq!(bad(served.get("info")).await.code, Code::TooMany);
    let other = token(served.feed.master_uid(), "pages", &[Right::Read]);
    let others = served.raw().get(served.url("snapshot?changes=1")).bearer_auth(other);
    assert_eq!(good::<Snapshot>(others).await.changes.len(), 1);
    drop(first);
    for mut socket in waiting {
        soon(socket.read_exact(&mut [0; 12])).await.unwrap();
    }
    requests(&served, 1).await;
    drop(second);
    requests(&served, 0).await;
}

#[tokio::test]
async fn what_is_too_large_or_nowhere_is_a_problem() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path()).await;
    let large = "x".repeat(5 << 20);
    let open = "consumers/mail%2Fmain/open";
    assert_eq!(bad(served.post(open, &large)).await.code, Code::Bounds);
    let long = format!("builds?limit=1&x={}", "y".repeat(5000));
    assert_eq!(bad(served.get(&long)).await.code, Code::Bounds);
    assert_eq!(bad(served.get("builds?limit=many")).await.code, Code::Bounds);
    assert_eq!(bad(served.get("builds/none")).await.code, Code::Bounds);
    assert_eq!(bad(served.get("events?from=yesterday")).await.code, Code::Bounds);
    let id = served.get("events").header("last-event-id", "yesterday");
    assert_eq!(bad(id).await.code, Code::Bounds);
    assert_eq!(bad(served.get("nowhere")).await.code, Code::NotFound);
    assert_eq!(bad(served.post("info", &"")).await.code, Code::Method);
    let generation = served.open(&OpenRequest::default()).await.generation;
    let acks =
        serde_json::json!({ "generation": generation, "acks": vec![serde_json::json!({}); 1001] });
    let problem = bad(served.post("consumers/mail%2Fmain/acks", &acks)).await;
    assert_eq!(problem.code, Code::Bounds);
    let long = "n".repeat(300);
    let token = token(served.feed.master_uid(), &long, &[Right::Consume]);
    let url = served.url(&format!("consumers/{long}/open"));
    let open = served.raw().post(url).bearer_auth(token).body("{}");
    assert_eq!(bad(open).await.code, Code::Bounds);
}

/// A segment or value of anything, percent-encoded or not.
fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[0-9]{1,25}",
        2 => "-?[0-9]{1,3}(\\.[0-9]{1,21})?",
        1 => "[0-9]\\.[0-9]~[0-9a-f]{1,9}\\.[0-9]{1,3}",
        1 => "(%[0-9A-F]{2}){1,8}",
        1 => "%[0-9a-zA-Z]{0,2}",
        2 => "[a-zA-Z0-9._~+-]{1,12}",
        1 => Just("mail%2Fmain".to_owned()),
    ]
}

fn query() -> impl Strategy<Value = String> {
    let names = "(generation|wait|limit|below|builder|from|after|first|changes|builds_total|x)";
    prop::collection::vec((names, part()), 0..4).prop_map(|pairs| {
        // No poll waits: a second `wait` is one too many.
        let pairs = pairs.into_iter().map(|(name, value)| format!("&{name}={value}"));
        format!("wait=0{}", pairs.collect::<String>())
    })
}

fn body() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("null".to_owned()),
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        Just(r#"{"epoch":1,"seq":1}"#.to_owned()),
        Just(r#"[{"epoch":1,"seq":18446744073709551615}]"#.to_owned()),
        Just(r#"[{"set":{"":"/w=="}},{"position":{"epoch":0,"seq":0},"letter":{}}]"#.to_owned()),
        Just(r#"{"max_age_ms":18446744073709551615,"max_builds":18446744073709551615}"#.to_owned()),
        "-?[0-9]{1,21}",
        "\"\\PC{0,9}\"",
    ];
    let names = "(window|max_backlog_ms|catch_up|held|generation|acks|position|set|remove)";
    let object = prop::collection::vec((names, value), 0..4).prop_map(|pairs| {
        let pairs: Vec<_> =
            pairs.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", pairs.join(","))
    });
    prop_oneof![4 => object, 1 => "\\PC{0,40}", 1 => "[\\[{\\]}\":,0-9]{0,200}"]
}

#[test]
fn whatever_is_asked_is_answered_without_a_panic_and_without_an_error_of_the_server() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let feed: Feed = {
        let _guard = runtime.enter();
        open(dir.path())
    };
    runtime.block_on(add(&feed, 1..=5));
    feed.set_log_source(log_source());
    let about = About {
        namespace: String::new(),
        name: String::new(),
        links: Links::master(""),
        release: String::new(),
    };
    let token = token(feed.master_uid(), NAME, &Right::ALL);
    let router = router(State::new(feed, keys(), about));
    let routes = prop::sample::select(ROUTES.to_vec());
    let given = (routes, part(), part(), query(), body(), any::<bool>());
    proptest!(ProptestConfig::with_cases(1500), |((method, route, _) in given.0, name in given.1, id in given.2, query in given.3, body in given.4, sse in given.5)| {
        let path = route.replace("{name}", &name).replace("{id}", &id).replace("{position}", &id);
        let accept = if sse { "text/event-stream" } else { "*/*" };
        let request = Request::builder()
            .method(method.to_uppercase().as_str())
            .uri(format!("{path}?{query}"))
            .header("authorization", format!("Bearer {token}"))
            .header("accept", accept)
            .header("last-event-id", id.as_str())
            .body(Body::from(body));
        // Not every text is a URI.
        if let Ok(request) = request {
            let answer = runtime.block_on(router.clone().oneshot(request)).unwrap();
            let status = answer.status();
            // 502 is the log's source: it denies.
            prop_assert!(!status.is_server_error() || status == 502, "{status}");
        }
    });
}

#[tokio::test]
async fn requests_are_counted_by_route_and_status() {
    let dir = tempfile::tempdir().unwrap();
    let registry = prometheus::Registry::new();
    let metrics = feed::Metrics::register(&registry, "ci/main").unwrap();
    let feed = Feed::open(dir.path(), feed::Options { metrics, ..options() }).unwrap();
    let mut served = served_with(feed, limits()).await;
    let _: feed::http::api::Builds = good(served.get("builds?limit=2")).await;
    for id in [1, 2] {
        assert_eq!(bad(served.get(&format!("builds/{id}"))).await.code, Code::NotFound);
    }
    let _stream = Events::of(served.get("events")).await;
    assert_eq!(bad(served.get("no-such-path")).await.code, Code::NotFound);
    served.token.push('x');
    assert_eq!(bad(served.get("builds")).await.code, Code::Unauthorized);
    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    let counts = text.lines().filter_map(|l| l.strip_prefix("buildbot_status_feed_requests_total"));
    let counts: Vec<_> = counts.filter_map(|l| l.strip_prefix("{master=\"ci/main\",")).collect();
    let expected = [
        "route=\"get /v1/builds\",status=\"200\"} 1",
        "route=\"get /v1/builds\",status=\"401\"} 1",
        "route=\"get /v1/builds/{id}\",status=\"404\"} 2",
        "route=\"get /v1/events\",status=\"200\"} 1",
    ];
    assert_eq!(counts, expected, "{text}");
}
