//! Pushes to a real HTTP server (axum), faults included.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use axum::{
    Form, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use delivery::{
    BatchTarget, Health, SendError,
    budget::Budgets,
    compliance::{Journal, records},
    run_batch,
};
use model::{Build, Builder, BuilderId, Change, Event, Request, Step, Worker};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use support::{about, build, metrics, push_spec, quick, record};
use targets::{
    About,
    http_push::{HttpPush, Secrets},
};
use tokio::{io::AsyncReadExt, net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

/// One POST as it came.
#[derive(Clone, Debug)]
struct Posted {
    headers: HeaderMap,
    form: BTreeMap<String, String>,
}

impl Posted {
    fn packets(&self) -> Vec<Value> {
        serde_json::from_str(&self.form["packets"]).unwrap()
    }
}

type Reply = Arc<dyn Fn(usize, &Posted) -> Response + Send + Sync>;

#[derive(Clone)]
struct Receiver {
    posts: Arc<Mutex<Vec<Posted>>>,
    count: watch::Sender<usize>,
    reply: Reply,
}

/// A server on a free port that answers as `reply` says, given the number of posts so far.
async fn receiver(
    reply: impl Fn(usize, &Posted) -> Response + Send + Sync + 'static,
) -> (String, Receiver) {
    async fn take(
        State(receiver): State<Receiver>,
        headers: HeaderMap,
        Form(form): Form<BTreeMap<String, String>>,
    ) -> Response {
        let posted = Posted { headers, form };
        let n = {
            let mut posts = receiver.posts.lock().unwrap();
            posts.push(posted.clone());
            posts.len()
        };
        receiver.count.send_replace(n);
        (receiver.reply)(n, &posted)
    }
    let receiver =
        Receiver { posts: Arc::default(), count: watch::Sender::new(0), reply: Arc::new(reply) };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/submit", listener.local_addr().unwrap());
    let router = Router::new().route("/submit", post(take)).with_state(receiver.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, receiver)
}

fn push(url: &str, more: &Value) -> HttpPush {
    HttpPush::new("ci/push", &push_spec(url, more), &Secrets::default(), about().fixed()).unwrap()
}

fn payloads(push: &HttpPush, events: Vec<Event>) -> Vec<Value> {
    let mut state = push.load(None).unwrap();
    let mut packets = Vec::new();
    for (seq, event) in events.into_iter().enumerate() {
        let record = record(event, seq as u64 + 1);
        assert!(push.decide(&record), "{}", record.event.name());
        let made = push.compose(&mut state, &record).unwrap();
        packets.extend(made.texts().map(|text| serde_json::from_str::<Value>(text).unwrap()));
    }
    packets
}

#[test]
fn g07_a_finished_build_of_a_real_master_is_this_packet() {
    let push = push("http://127.0.0.1:1/", &json!({ "debug": true }));
    let event = Event::BuildFinished { build: Box::new(build("failure")) };
    let packets = payloads(&push, vec![event]);
    insta::assert_snapshot!("packets", serde_json::to_string_pretty(&packets).unwrap());
}

#[test]
fn g07_events_have_the_names_of_0_8_and_numbers_go_on() {
    let builder = Builder { id: BuilderId(2), name: "b".into(), ..Builder::default() };
    let run = Build {
        builder: model::BuilderRef { id: BuilderId(2), name: "b".into(), tags: vec![] },
        ..Build::default()
    };
    let worker = Worker { name: "w".into(), ..Worker::default() };
    let paused = Worker { paused: true, ..worker.clone() };
    let step = Step { name: "test".into(), number: 1, ..Step::default() };
    let step_event =
        |step: Step| Event::StepStarted { build: run.id, builder: "b".into(), number: 0, step };
    let push = push("http://127.0.0.1:1/", &json!({}));
    let packets = payloads(
        &push,
        vec![
            Event::BuilderAdded { builder: builder.clone() },
            Event::ChangeAdded { change: Box::new(Change::default()) },
            Event::RequestSubmitted { request: Request::default() },
            Event::WorkerConnected { worker: worker.clone() },
            Event::WorkerChanged { worker: worker.clone() },
            Event::WorkerChanged { worker: paused.clone() },
            Event::WorkerChanged { worker: paused },
            Event::WorkerChanged { worker: worker.clone() },
            Event::BuildStarted { build: Box::new(run.clone()) },
            step_event(step),
            Event::BuildFinished { build: Box::new(run) },
            Event::WorkerDisconnected { worker },
            Event::RequestCancelled { request: Request::default() },
            Event::BuilderRemoved { builder },
        ],
    );
    let named: Vec<(u64, &str)> =
        packets.iter().map(|p| (p["id"].as_u64().unwrap(), p["event"].as_str().unwrap())).collect();
    let expected = [
        "start",
        "builderAdded",
        "builderChangedState",
        "changeAdded",
        "requestSubmitted",
        "slaveConnected",
        "slavePaused",
        "slaveUnpaused",
        "buildStarted",
        "builderChangedState",
        "stepStarted",
        "buildFinished",
        "builderChangedState",
        "slaveDisconnected",
        "requestCancelled",
        "buildedRemoved",
    ];
    assert_eq!(named, (1..).zip(expected).collect::<Vec<_>>());
    let state = |n: usize| packets[n]["payload"]["state"].as_str().unwrap();
    assert_eq!((state(2), state(9), state(12)), ("idle", "building", "idle"));
    // Build 0 has no number, and a step in it no result: the filter is part of the format.
    assert_eq!(packets[8]["payload"]["build"].get("number"), None);
    assert_eq!(packets[10]["payload"]["step"]["step_number"], 1);
    assert_eq!(packets[0]["started"], packets[15]["started"]);
}

#[test]
fn g07_filter_black_list_and_builders_are_obeyed() {
    let all = push("http://127.0.0.1:1/", &json!({ "filter": false }));
    let finished = || Event::BuildFinished { build: Box::new(build("success_again")) };
    let packet = payloads(&all, vec![finished()]).pop().unwrap();
    assert_eq!(packet["payload"]["build"]["results"], 0);
    assert_eq!(packet["payload"]["build"]["eta"], Value::Null);
    let filtered = push("http://127.0.0.1:1/", &json!({}));
    let packet = payloads(&filtered, vec![finished()]).pop().unwrap();
    assert_eq!(packet["payload"]["build"].get("results"), None);

    let listed = push("http://127.0.0.1:1/", &json!({ "blackList": ["buildFinished"] }));
    assert!(!listed.decide(&record(finished(), 1)));
    let step = Event::StepFinished {
        build: model::BuildId(1),
        builder: "unit".into(),
        number: 1,
        step: Step::default(),
    };
    let builder = Builder {
        id: BuilderId(1),
        name: "unit".into(),
        tags: vec!["fast".into()],
        ..Builder::default()
    };
    let known = About { builders: Arc::new([(builder.id, builder)].into()), ..about() }.fixed();
    for (more, expected) in [
        (json!({ "builders": ["unit"] }), true),
        (json!({ "builders": ["other"] }), false),
        (json!({ "categories": ["fast"] }), true),
        (json!({ "categories": ["slow"] }), false),
    ] {
        let spec = push_spec("http://127.0.0.1:1/", &more);
        let push = HttpPush::new("ci/push", &spec, &Secrets::default(), known.clone()).unwrap();
        assert_eq!(push.decide(&record(step.clone(), 1)), expected, "{more}");
    }
}

#[tokio::test]
async fn certificates_that_are_none_are_said_with_their_field_and_why() {
    let pem = "-----BEGIN CERTIFICATE-----\n…\n-----END CERTIFICATE-----\n";
    for (ca, why) in [("no PEM", "holds no PEM certificate"), (pem, "no PEM certificate: ")] {
        let secrets = Secrets { ca: Some(ca.into()), ..Secrets::default() };
        let spec = push_spec("https://127.0.0.1:1/", &json!({}));
        let error = HttpPush::new("ci/push", &spec, &secrets, about().fixed()).unwrap_err();
        assert_eq!(error.field, "spec.caSecretRef");
        assert!(error.text.starts_with(why) && !error.text.contains("builder"), "{error}");
    }
}

/// Runs a push of `count` builds until `until`, with the waits of the settings.
async fn run_to(
    url: &str,
    more: &Value,
    journal: &Journal,
    until: impl FnMut(&delivery::TargetState) -> bool,
) -> delivery::TargetState {
    let mut settings = json!({ "bufferDelay": "1ms", "retryDelay": "20ms" });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let spec = push_spec(url, &settings);
    let secrets = Secrets { authorization: Some("Bearer s3cret".into()), ..Secrets::default() };
    let push = HttpPush::new("ci/push", &spec, &secrets, about().fixed()).unwrap();
    let options = delivery::BatchOptions {
        hold: quick(),
        attempt_timeout: Duration::from_millis(500),
        ..push.options("push", &Budgets::default())
    };
    let mut state = options.watch();
    let cancel = CancellationToken::new();
    let run = tokio::spawn(run_batch(journal.open(), push, options, metrics(), cancel.clone()));
    let reached = tokio::time::timeout(Duration::from_secs(20), state.wait_for(until)).await;
    let reached = reached.expect("in time").unwrap().clone();
    cancel.cancel();
    run.await.unwrap().unwrap();
    reached
}

#[tokio::test]
async fn g07_packets_are_one_form_field_beside_the_extra_ones() {
    let (url, receiver) = receiver(|_, _| StatusCode::OK.into_response()).await;
    let journal = Journal::new(records(2, 3));
    let more = json!({ "extraPostParams": { "key": "a&b=é" } });
    run_to(&url, &more, &journal, |s| s.delivered == 6).await;
    let posts = receiver.posts.lock().unwrap().clone();
    let first = &posts[0];
    assert_eq!(first.form["key"], "a&b=é");
    assert_eq!(first.headers["user-agent"], "buildbot");
    assert_eq!(first.headers["authorization"], "Bearer s3cret");
    let ids: Vec<u64> =
        posts.iter().flat_map(Posted::packets).map(|p| p["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, (1..=7).collect::<Vec<u64>>());
}

#[tokio::test]
async fn g07_after_a_failure_single_packets_are_tried_until_one_is_taken_then_full_chunks() {
    let (url, receiver) = receiver(|n, _| match n {
        1..=3 => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        _ => StatusCode::OK.into_response(),
    })
    .await;
    let journal = Journal::new(records(1, 10));
    let more = json!({ "chunkSize": 5 });
    let state = run_to(&url, &more, &journal, |s| s.delivered == 10).await;
    assert!(state.retried == 3 && state.dead_letters == 0, "{state:?}");
    let posts = receiver.posts.lock().unwrap().clone();
    let numbers = |post: &Posted| -> Vec<u64> {
        let builds = post.packets().into_iter().filter(|p| p["event"] == "buildFinished");
        builds.map(|p| p["payload"]["build"]["number"].as_u64().unwrap()).collect()
    };
    let all: Vec<Vec<u64>> = posts.iter().map(numbers).collect();
    assert_eq!(all[1..4], [vec![1], vec![1], vec![1]], "{all:?}");
    let taken: Vec<u64> = all[3..].concat();
    assert_eq!(taken, (1..=10).collect::<Vec<u64>>());
    assert!(all[4..].iter().any(|chunk| chunk.len() == 5), "full chunks again: {all:?}");
}

#[tokio::test]
async fn a_large_chunk_is_halved_until_it_fits() {
    let (url, receiver) = receiver(|_, _| StatusCode::OK.into_response()).await;
    let journal = Journal::new(records(1, 40));
    run_to(&url, &json!({ "maxHttpRequestSize": "8Ki" }), &journal, |s| s.delivered == 40).await;
    let posts = receiver.posts.lock().unwrap().clone();
    assert!(posts.len() > 1);
    for post in &posts {
        assert!(post.form["packets"].len() < 8192);
    }
}

#[tokio::test]
async fn a_server_that_asks_for_patience_gets_it() {
    let (url, receiver) = receiver(|n, _| match n {
        1 => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")]).into_response(),
        _ => StatusCode::NO_CONTENT.into_response(),
    })
    .await;
    let began = tokio::time::Instant::now();
    let journal = Journal::new(records(1, 2));
    run_to(&url, &json!({}), &journal, |s| s.delivered == 2).await;
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert!(*receiver.count.borrow() >= 2);
}

#[tokio::test]
async fn redirects_and_refusals_of_the_client_hold_the_push_and_lose_nothing() {
    for (status, text) in [
        (StatusCode::FOUND, "redirects are not followed"),
        (StatusCode::UNAUTHORIZED, "401"),
        (StatusCode::NOT_FOUND, "404"),
    ] {
        let (url, _receiver) = receiver(move |n, _| match n {
            1..=2 => (status, [("location", "http://127.0.0.1:1/")]).into_response(),
            _ => StatusCode::OK.into_response(),
        })
        .await;
        let journal = Journal::new(records(1, 3));
        let held = run_to(&url, &json!({}), &journal, |s| s.health == Health::Misconfigured).await;
        assert!(held.last_error.unwrap().text.contains(text));
        assert_eq!(journal.open_positions().len(), 3);
        let state = run_to(&url, &json!({}), &journal, |s| s.delivered == 3).await;
        assert_eq!(state.dead_letters, 0);
    }
}

#[tokio::test]
async fn a_packet_that_the_server_calls_bad_is_a_dead_letter_and_others_go_on() {
    let bad = |post: &Posted| post.form["packets"].contains("\"number\":2,");
    let (url, _receiver) = receiver(move |_, post| {
        if bad(post) { StatusCode::BAD_REQUEST } else { StatusCode::OK }.into_response()
    })
    .await;
    let journal = Journal::new(records(1, 4));
    run_to(&url, &json!({}), &journal, |s| s.delivered + s.dead_letters == 4).await;
    let dead = journal.dead();
    assert_eq!(dead.keys().map(|p| p.seq).collect::<Vec<_>>(), [2]);
    assert!(dead.values().next().unwrap().text.contains("400"));
}

#[tokio::test]
async fn a_server_that_closes_hangs_or_is_not_there_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let url = format!("http://{address}/");
    let server = tokio::spawn(async move {
        // Closed in the middle of the answer, closed at once, then silent.
        for answer in ["HTTP/1.1 200 OK\r\nContent-Le", "", "hang"] {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 4096];
            let _ = connection.read(&mut buffer).await;
            if answer == "hang" {
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
            let _ = tokio::io::AsyncWriteExt::write_all(&mut connection, answer.as_bytes()).await;
        }
    });
    let journal = Journal::new(records(1, 1));
    let state = run_to(&url, &json!({}), &journal, |s| s.retried == 3).await;
    assert_eq!(state.health, Health::Retrying);
    assert!(state.last_error.unwrap().text.contains("no answer within"));
    server.abort();
    let _ = server.await;
    let state = run_to(&url, &json!({}), &journal, |s| s.retried == 1).await;
    assert!(state.last_error.unwrap().text.contains("onnect"), "nobody listens there now");
    assert_eq!(journal.open_positions().len(), 1, "nothing is lost");
}

#[tokio::test]
async fn neither_password_nor_query_of_the_address_is_told() {
    let push = push("http://user:hunter2@127.0.0.1:1/x?key=s3cret", &json!({}));
    let mut state = push.load(None).unwrap();
    let event = Event::BuildFinished { build: Box::new(build("failure")) };
    let item = push.compose(&mut state, &record(event, 1)).unwrap();
    let Err(SendError::Transient(text)) = push.send(&[&item]).await else { panic!("a failure") };
    assert!(!text.contains("hunter2") && !text.contains("s3cret"), "{text}");
    assert!(!format!("{push:?}").contains("hunter2"));
}
