//! Faults of a master, or of what is taken for one: each is told in plain words, none loses
//! anything, none is given up.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/fake.rs"]
mod fake;
mod support;

use fake::{Fake, Reply, Socket, settings};
use master::{Fingerprint, Login, StateKind};
use model::{BuildId, Event, RequestId, Timestamp};
use serde_json::json;
use std::time::Duration;
use support::{Memory, Run};

/// What a master that answers so is said to be.
async fn told(path: &str, reply: Reply, kind: StateKind, word: &str) {
    let fake = Fake::start(Socket::Good).await;
    fake.reply(path, reply);
    let journal = Memory::default();
    let run = Run::of(settings(&fake), &journal);
    journal.until(word, |s| s.saw(kind)).await;
    run.stop().await;
    let store = journal.store();
    let state = store.states.iter().find(|s| s.kind == kind).unwrap();
    assert!(state.text.contains(word), "{}", state.text);
    assert_eq!((store.commits, store.events.len()), (0, 0));
}

const MASTERS: &str = "/api/v2/masters";

#[tokio::test]
async fn a_page_that_is_no_json_is_no_buildbot() {
    let html = Reply::Raw("200 OK", "Content-Type: text/html\r\n", "<html>Jenkins</html>");
    told(MASTERS, html, StateKind::NotBuildbot, "Jenkins").await;
}

#[tokio::test]
async fn a_server_without_the_api_is_no_buildbot() {
    let gone = Reply::Raw("404 Not Found", "", "nothing here");
    told(MASTERS, gone, StateKind::NotBuildbot, "no /api/v2").await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let moved = Reply::Raw("302 Found", "Location: http://127.0.0.1:1/\r\n", "");
    told(MASTERS, moved, StateKind::NotBuildbot, "302").await;
}

#[tokio::test]
async fn a_master_that_forbids_reading_wants_a_login() {
    let forbidden = Reply::Raw("403 Forbidden", "", r#"{"error": "Forbidden"}"#);
    told(MASTERS, forbidden, StateKind::Denied, "none is set").await;
}

#[tokio::test]
async fn a_buildbot_before_4_is_too_old() {
    let gone = Reply::Raw("404 Not Found", "", "");
    told("/config", gone, StateKind::OldApi, "4.0 or newer").await;
    let old = Reply::Json(json!({"versions": [["Python", "3.9"], ["Buildbot", "3.11.9"]]}));
    told("/config", old, StateKind::OldApi, "3.11.9").await;
}

#[tokio::test]
async fn a_buildbot_0_8_is_told_by_its_own_api() {
    let fake = Fake::start(Socket::Good).await;
    fake.reply(MASTERS, Reply::Raw("404 Not Found", "", ""));
    fake.reply("/json/project", Reply::Json(json!({"buildbotURL": "http://x/", "title": "t"})));
    let journal = Memory::default();
    let run = Run::of(settings(&fake), &journal);
    journal.until("old", |s| s.saw(StateKind::OldApi)).await;
    run.stop().await;
}

#[tokio::test]
async fn a_master_that_hangs_is_slow() {
    told("/api/v2/builders", Reply::Hang, StateKind::Slow, "did not answer").await;
}

/// Buildbot 4.2 and 4.3 lose the end of an answer now and then (buildbot#9065).
#[tokio::test]
async fn an_answer_that_breaks_off_is_asked_for_again_at_once() {
    let fake = Fake::start(Socket::Good).await;
    fake.reply("/api/v2/workers", Reply::BreaksOff(2, json!({"workers": []})));
    let journal = Memory::default();
    let run = Run::of(settings(&fake), &journal);
    journal.until("live", |s| s.saw(StateKind::Live)).await;
    run.stop().await;
    assert_eq!(fake.times_asked("GET /api/v2/workers"), 3);
    let states = &journal.store().states;
    assert!(
        !states.iter().any(|s| matches!(s.kind, StateKind::Slow | StateKind::Down)),
        "{states:?}"
    );
}

#[tokio::test]
async fn a_master_that_fails_is_slow() {
    let failed = Reply::Raw("503 Service Unavailable", "", "");
    told(MASTERS, failed, StateKind::Slow, "503").await;
}

#[tokio::test]
async fn a_body_without_end_is_not_read_on() {
    let fake = Fake::start(Socket::Good).await;
    fake.reply("/api/v2/workers", Reply::Endless);
    let journal = Memory::default();
    let mut settings = settings(&fake);
    settings.timeout = Duration::from_secs(30);
    let run = Run::of(settings, &journal);
    journal.until("slow", |s| s.saw(StateKind::Slow)).await;
    run.stop().await;
    assert!(journal.store().states.iter().any(|s| s.text.contains("more than 33554432 bytes")));
}

#[tokio::test]
async fn nobody_there_is_down_and_tried_again() {
    let fake = Fake::start(Socket::Good).await;
    let mut settings = settings(&fake);
    // A port that was just free.
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    settings.url = format!("http://{free}/").parse().unwrap();
    let journal = Memory::default();
    let run = Run::of(settings, &journal);
    let down = |s: &support::Store| s.states.iter().filter(|s| s.kind == StateKind::Down).count();
    journal.until("down twice", |s| down(s) >= 2).await;
    run.stop().await;
}

#[tokio::test]
async fn a_half_open_connection_is_noticed() {
    let fake = Fake::start(Socket::HalfOpen).await;
    let journal = Memory::default();
    let run = Run::of(settings(&fake), &journal);
    journal.until("noticed", |s| s.saw(StateKind::Slow)).await;
    journal.until("live again", support::Store::is_live).await;
    run.stop().await;
    assert!(fake.times_asked("GET /ws") >= 2);
}

#[tokio::test]
async fn garbage_frames_are_passed_over_and_what_they_told_is_read() {
    let fake = Fake::start(Socket::Good).await;
    let journal = Memory::default();
    let run = Run::of(settings(&fake), &journal);
    journal.until("live", support::Store::is_live).await;
    let change = json!({"changeid": 7, "author": "Ann", "comments": "c", "when_timestamp": 1});
    fake.reply("/api/v2/changes", Reply::Json(json!({"changes": [change]})));
    for garbage in ["", "not json", "[]", "\u{0}", r#"{"k":"changes/7/new","m":{"changeid":"x"}}"#]
    {
        fake.send(garbage);
    }
    fake.send(r#"{"k":"changes/8/new","m":{"changeid":8,"author":"Bob"}}"#);
    journal.until("both changes", |s| s.events.len() == 2).await;
    run.stop().await;
    assert_eq!(fake.times_asked("GET /ws"), 1, "the connection was kept");
}

#[tokio::test]
async fn a_new_database_without_a_running_build_is_new_once() {
    let fake = Fake::start(Socket::Good).await;
    let journal = Memory::default();
    let mark = Fingerprint {
        build: BuildId(5000),
        request: RequestId(5000),
        started_at: Timestamp(1_795_412_378),
    };
    {
        let mut store = journal.store();
        (store.commits, store.fingerprints) = (1, vec![mark]);
    }
    for _ in 0..2 {
        let run = Run::of(settings(&fake), &journal);
        journal.until("live", support::Store::is_live).await;
        run.stop().await;
        let mut store = journal.store();
        assert_eq!((store.database, store.fingerprints.len()), (1, 0));
        store.states.clear();
    }
}

/// A list of workers that the master wrote before a worker went, and that comes after it.
#[tokio::test]
async fn what_a_frame_told_of_a_worker_is_newer_than_a_list_that_was_asked_for_before() {
    let worker = |connected: &[u8]| json!({"workerid": 1, "name": "w", "connected_to": connected});
    let there = json!({"workers": [worker(&[1])]});
    let fake = Fake::start(Socket::Good).await;
    fake.reply("/api/v2/workers", Reply::Json(there.clone()));
    let journal = Memory::default();
    let run = Run::of(settings(&fake), &journal);
    journal.until("live", support::Store::is_live).await;
    let came = |s: &support::Store| {
        s.events.iter().filter(|e| matches!(e, Event::WorkerConnected { .. })).count()
    };
    let (before, asked) = (came(&journal.store()), fake.times_asked("GET /api/v2/workers"));
    fake.reply("/api/v2/changes", Reply::Json(json!({"changes": [{"changeid": 7}]})));
    fake.reply("/api/v2/workers", Reply::BreaksOff(1, there));
    fake.send("doubt");
    let comparing = async {
        while fake.times_asked("GET /api/v2/workers") == asked {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), comparing).await.expect("a comparison");
    fake.send(&json!({"k": "workers/1/disconnected", "m": worker(&[])}).to_string());
    let gone = |e: &Event| matches!(e, Event::WorkerDisconnected { .. });
    journal.until("the worker's end", |s| s.events.iter().any(gone)).await;
    let compared = |e: &Event| matches!(e, Event::ChangeAdded { .. });
    journal.until("what was compared", |s| s.events.iter().any(compared)).await;
    run.stop().await;
    assert_eq!(came(&journal.store()), before);
}

#[tokio::test]
async fn a_full_disk_halts_and_what_was_missed_is_read_when_it_has_room() {
    let fake = Fake::start(Socket::Good).await;
    let journal = Memory::default();
    let run = Run::of(settings(&fake), &journal);
    journal.until("live", support::Store::is_live).await;
    journal.store().refuse = 1;
    let change = json!({"changeid": 1, "author": "Ann"});
    fake.reply("/api/v2/changes", Reply::Json(json!({"changes": [change]})));
    fake.send(r#"{"k":"changes/1/new","m":{"changeid":1,"author":"Ann"}}"#);
    journal.until("halted", |s| s.saw(StateKind::Halted)).await;
    journal.until("healed", |s| s.events.len() == 1).await;
    run.stop().await;
    assert!(journal.store().states.iter().any(|s| s.text.contains("no space left")));
}

#[tokio::test]
async fn the_session_is_the_last_cookie_of_the_login_and_is_renewed_when_denied() {
    let fake = Fake::start(Socket::Good).await;
    let cookies =
        "Set-Cookie: TWISTED_SESSION=before\r\nSet-Cookie: TWISTED_SESSION=after; Path=/\r\n";
    fake.reply("/auth/login", Reply::Raw("302 Found", cookies, ""));
    fake.reply(MASTERS, Reply::Raw("403 Forbidden", "", "{}"));
    let mut settings = settings(&fake);
    settings.login = Some(Login { username: "reader".into(), password: "hush".into() });
    let journal = Memory::default();
    let run = Run::of(settings, &journal);
    journal.until("denied", |s| s.saw(StateKind::Denied)).await;
    assert!(fake.times_asked("GET /auth/login") >= 2, "it logged in anew before it gave up");
    fake.reply(MASTERS, Reply::Json(json!({"masters": []})));
    journal.until("live", support::Store::is_live).await;
    run.stop().await;
    let asked = fake.asked.lock().unwrap();
    let read = asked.iter().rfind(|head| head.starts_with("GET /api/v2/builders")).unwrap();
    assert!(read.contains("cookie: TWISTED_SESSION=after\r\n"), "{read}");
    assert!(!read.to_lowercase().contains("authorization"), "{read}");
    assert!(journal.store().states.iter().all(|s| !s.text.contains("hush")));
}
