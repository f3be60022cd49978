//! Durable consumers over HTTP: what holds in process holds here too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;
mod served;

use common::*;
use feed::{
    Feed, Options,
    http::{
        api::{Ack, AckRequest, AckResponse, Backlog, Base64, Code, OpenRequest, Opened, Records},
        server::Limits,
        token::Right,
    },
};
use model::Position;
use reqwest::Method;
use served::*;
use std::time::Duration;

fn done(generation: u64, positions: impl IntoIterator<Item = Position>) -> AckRequest {
    let ack = |position| Ack { position: Some(position), ..Ack::default() };
    AckRequest { generation, acks: positions.into_iter().map(ack).collect() }
}

async fn poll(served: &Served, generation: u64, more: &str) -> Vec<u64> {
    let path = format!("consumers/mail%2Fmain/events?generation={generation}{more}");
    let records: Records = good(served.get(&path)).await;
    records.records.iter().map(id_of).collect()
}

#[tokio::test]
async fn records_are_streamed_and_what_is_acknowledged_does_not_come_again() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path()).await;
    let Opened { generation, status, state } = served.open(&OpenRequest::default()).await;
    assert_eq!((generation, status.backlog, state.len()), (1, 0, 0));
    let mut stream = served.stream(generation).await;
    add(&served.feed, 1..=3).await;
    let mut positions = Vec::new();
    for id in 1..=3 {
        let event = stream.until("record").await;
        assert_eq!(id_of(event.record()), id);
        assert_eq!(event.position(), event.record().position);
        positions.push(event.position());
    }
    let event = stream.until("backlog").await;
    assert_eq!(serde_json::from_str::<Backlog>(&event.data).unwrap().backlog, 3);
    let answer = served.acknowledge(&done(generation, [positions[0], positions[2]])).await;
    assert_eq!(answer, AckResponse { results: vec![None, None], backlog: 1 });
    let again = served.open(&OpenRequest::default()).await;
    let mut stream = served.stream(again.generation).await;
    assert_eq!(stream.until("record").await.position(), positions[1]);
    add(&served.feed, [4]).await;
    assert_eq!(id_of(stream.until("record").await.record()), 4);
}

#[tokio::test]
async fn acknowledgements_of_a_release_that_says_no_outcome_are_taken_and_count_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path()).await;
    served.open(&OpenRequest::default()).await;
    add(&served.feed, 1..=2).await;
    poll(&served, 1, "&wait=5&limit=2").await;
    for (seq, more, expected) in
        [(1, "", (0, 0)), (2, r#", "delivered": true, "failed": 4"#, (1, 4))]
    {
        let epoch = served.feed.head().epoch;
        let ack = format!(r#"{{"position": {{"epoch": {epoch}, "seq": {seq}}}{more}}}"#);
        let body = format!(r#"{{"generation": 1, "acks": [{ack}]}}"#);
        let path = "consumers/mail%2Fmain/acks";
        let answer: AckResponse = good(served.request(Method::POST, path).body(body)).await;
        assert_eq!(answer.results, [None]);
        let status = served.feed.consumers().remove(0);
        assert_eq!((status.delivered, status.failed), expected);
        assert_eq!(status.last_delivered_ms.is_some(), seq == 2);
    }
}

#[tokio::test]
async fn an_older_generation_is_told_which_one_holds() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path()).await;
    let first = served.open(&OpenRequest::default()).await.generation;
    let mut stream = served.stream(first).await;
    add(&served.feed, [1]).await;
    let position = stream.until("record").await.position();
    let second = served.open(&OpenRequest::default()).await.generation;
    let end = stream.until("end").await;
    let problem: feed::http::api::Problem = serde_json::from_str(&end.data).unwrap();
    assert_eq!((problem.code, problem.generation), (Code::Superseded, Some(second)));
    assert_eq!(stream.next().await, None);
    let acks = served.post("consumers/mail%2Fmain/acks", &done(first, [position]));
    let problem = bad(acks).await;
    assert_eq!((problem.code, problem.generation), (Code::Superseded, Some(second)));
    let path = format!("consumers/mail%2Fmain/events?generation={first}");
    assert_eq!(bad(served.get(&path)).await.code, Code::Superseded);
}

#[tokio::test]
async fn a_later_request_of_one_generation_reads_on_and_the_earlier_ends() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path()).await;
    let generation = served.open(&OpenRequest::default()).await.generation;
    let mut first = served.stream(generation).await;
    add(&served.feed, [1]).await;
    assert_eq!(id_of(first.until("record").await.record()), 1);
    let mut second = served.stream(generation).await;
    let end = first.until("end").await;
    assert!(end.data.contains("another request"), "{end:?}");
    add(&served.feed, [2]).await;
    assert_eq!(id_of(second.until("record").await.record()), 2, "1 is in flight");
}

#[tokio::test]
async fn what_is_held_is_in_flight_from_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path()).await;
    let first = served.open(&OpenRequest::default()).await.generation;
    add(&served.feed, 1..=3).await;
    let mut stream = served.stream(first).await;
    let held = stream.until("record").await.position();
    drop(stream);
    let request = OpenRequest { held: vec![held], ..OpenRequest::default() };
    let second = served.open(&request).await.generation;
    assert_eq!(poll(&served, second, "").await, [2, 3]);
    let answer = served.acknowledge(&done(second, [held])).await;
    assert_eq!(answer, AckResponse { results: vec![None], backlog: 2 });
}

#[tokio::test]
async fn a_long_poll_waits_for_the_first_record_and_takes_no_more_than_it_was_told() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path()).await;
    let generation = served.open(&OpenRequest::default()).await.generation;
    assert_eq!(poll(&served, generation, "&wait=0").await, [0; 0]);
    let (got, ()) = tokio::join!(poll(&served, generation, "&wait=60"), add(&served.feed, [1]));
    assert_eq!(got, [1]);
    add(&served.feed, 2..=300).await;
    assert_eq!(poll(&served, generation, "&limit=2").await, [2, 3]);
    assert_eq!(poll(&served, generation, "").await.len(), 100);
}

#[tokio::test]
async fn a_window_that_is_full_waits_for_acknowledgements() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path()).await;
    let request = OpenRequest { window: Some(2), ..OpenRequest::default() };
    let generation = served.open(&request).await.generation;
    add(&served.feed, 1..=4).await;
    let mut stream = served.stream(generation).await;
    let first = stream.until("record").await.position();
    stream.until("record").await;
    assert!(nothing(stream.until("record")).await);
    served.acknowledge(&done(generation, [first])).await;
    assert_eq!(id_of(stream.until("record").await.record()), 3);
}

#[tokio::test]
async fn each_acknowledgement_has_an_answer_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path()).await;
    let generation = served.open(&OpenRequest::default()).await.generation;
    add(&served.feed, 1..=3).await;
    assert_eq!(poll(&served, generation, "&limit=2").await, [1, 2]);
    let at = |seq| Position { seq, ..served.feed.head() };
    let elsewhere = Position { epoch: 77, seq: 1 };
    let mut request = done(generation, [at(1), at(3), elsewhere]);
    request.acks.push(Ack::default());
    let answer = served.acknowledge(&request).await;
    let codes: Vec<_> = answer.results.iter().map(|r| r.as_ref().map(|p| p.code)).collect();
    assert_eq!(
        codes,
        [None, Some(Code::NotHandedOut), Some(Code::OtherJournal), Some(Code::Bounds)]
    );
    assert_eq!(answer.backlog, 2);
}

#[tokio::test]
async fn state_is_kept_with_the_acknowledgement_and_told_when_the_consumer_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path()).await;
    let generation = served.open(&OpenRequest::default()).await.generation;
    add(&served.feed, [1]).await;
    assert_eq!(poll(&served, generation, "").await, [1]);
    let value = || Base64(vec![0, 255, 7]);
    let set = |key: &str| [(key.to_owned(), value())].into();
    let with_record = Ack { position: Some(served.feed.head()), set: set("a"), ..Ack::default() };
    let alone = Ack { set: set("b"), ..Ack::default() };
    let removed = Ack { remove: vec!["a".into()], ..Ack::default() };
    let mut request = AckRequest { generation, acks: vec![with_record, alone] };
    assert_eq!(served.acknowledge(&request).await.results, [None, None]);
    let opened = served.open(&OpenRequest::default()).await;
    assert_eq!(opened.state.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(opened.state["a"], value());
    request = AckRequest { generation: opened.generation, acks: vec![removed] };
    assert_eq!(served.acknowledge(&request).await.results, [None]);
    assert_eq!(served.open(&OpenRequest::default()).await.state.len(), 1);
}

#[tokio::test]
async fn after_a_restart_of_the_feed_a_consumer_opens_with_what_it_holds_and_misses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (generation, held) = {
        let served = served(dir.path()).await;
        let generation = served.open(&OpenRequest::default()).await.generation;
        add(&served.feed, 1..=3).await;
        let mut stream = served.stream(generation).await;
        let held = stream.until("record").await.position();
        served.end().await;
        (generation, held)
    };
    let served = served(dir.path()).await;
    let path = format!("consumers/mail%2Fmain/events?generation={generation}");
    assert_eq!(bad(served.get(&path)).await.code, Code::NotOpen);
    let acks = served.post("consumers/mail%2Fmain/acks", &done(generation, [held]));
    assert_eq!(bad(acks).await.code, Code::NotOpen);
    let request = OpenRequest { held: vec![held], ..OpenRequest::default() };
    let opened = served.open(&request).await;
    assert_eq!(opened.generation, generation + 1);
    assert_eq!(poll(&served, opened.generation, "").await, [2, 3]);
    assert_eq!(served.acknowledge(&done(opened.generation, [held])).await.results, [None]);
}

#[tokio::test]
async fn a_consumer_that_was_forgotten_hears_so() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path()).await;
    let generation = served.open(&OpenRequest::default()).await.generation;
    let mut stream = served.stream(generation).await;
    let served = served.manager();
    let gone = served.request(Method::DELETE, "consumers/mail%2Fmain").send().await.unwrap();
    assert_eq!(gone.status(), 204);
    let end = stream.until("end").await;
    assert!(end.data.contains("not-found"), "{end:?}");
    assert_eq!(bad(served.get("consumers/mail%2Fmain")).await.code, Code::NotFound);
}

#[tokio::test]
async fn a_reader_that_vanished_is_forgotten_in_time_and_one_with_a_stream_never() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { forget_after: Duration::ZERO, ..options() };
    let feed = Feed::open(dir.path(), options).unwrap();
    let idle = Duration::from_millis(20);
    let mut served = served_with(feed, Limits { idle, ..limits() }).await;
    let mut stream = loop {
        // As long as its stream is not open, it may be closed as idle.
        let generation = served.open(&OpenRequest::default()).await.generation;
        let path = format!("consumers/mail%2Fmain/events?generation={generation}");
        let request = served.get(&path).header("accept", "text/event-stream");
        let response = soon(request.send()).await.unwrap();
        if response.status().is_success() {
            break Events::from(response);
        }
        assert_eq!(problem(response).await.code, Code::NotOpen);
    };
    served.token = token(served.feed.master_uid(), "gone", &[Right::Consume]);
    let _: Opened = good(served.post("consumers/gone/open", &OpenRequest::default())).await;
    // It was opened later, so the other one would be closed first.
    soon(async {
        while served.feed.consumers().len() > 1 {
            served.feed.maintain().await.unwrap();
        }
    })
    .await;
    assert_eq!(served.feed.consumers()[0].name, NAME);
    add(&served.feed, [1]).await;
    assert_eq!(id_of(stream.until("record").await.record()), 1);
    drop(stream);
    soon(async {
        while !served.feed.consumers().is_empty() {
            served.feed.maintain().await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn a_consumer_that_was_closed_for_silence_is_opened_with_what_it_holds_and_misses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path()).await;
    let generation = served.open(&OpenRequest::default()).await.generation;
    add(&served.feed, 1..=3).await;
    assert_eq!(poll(&served, generation, "&limit=1").await, [1]);
    let held = Position { seq: 1, ..served.feed.head() };
    assert_eq!(served.state.close_idle(Duration::from_secs(3600)), 0, "it was used just now");
    soon(async {
        // The end of the last request is seen a little later than its answer.
        while served.state.close_idle(Duration::ZERO) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let path = format!("consumers/mail%2Fmain/events?generation={generation}");
    assert_eq!(bad(served.get(&path)).await.code, Code::NotOpen);
    let acks = served.post("consumers/mail%2Fmain/acks", &done(generation, [held]));
    assert_eq!(bad(acks).await.code, Code::NotOpen);
    let request = OpenRequest { held: vec![held], ..OpenRequest::default() };
    let generation = served.open(&request).await.generation;
    assert_eq!(poll(&served, generation, "").await, [2, 3]);
    assert_eq!(served.acknowledge(&done(generation, [held])).await.results, [None]);
}
