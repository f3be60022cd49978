//! What comes over the network and from the disk, changed: requests, tokens, rows, whole journals.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use crate::{
    Feed, Options,
    http::{
        api::{Code, Problem},
        server::{About, ROUTES, State, router},
        token::{Claims, Keys, Kind, Right},
        words::Place,
    },
    store::tables::{checksum, decode, encode, record},
};
use axum::{
    body::{Body, to_bytes},
    http::{Method, Request, Uri, header},
};
use fuzz::{bytes, check, text};
use master::{Batch, Sink as _};
use model::{Build, BuildId, Change, Event, Identity, Links, Outcome, Position, Record, World};
use proptest::prelude::*;
use std::{fs, path::Path, time::Duration};
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

fn options() -> Options {
    Options { min_free_bytes: 0, group_commit: Duration::from_millis(1), ..Options::default() }
}

fn keys() -> Keys {
    Keys::new([("1", b"a key of thirty-two bytes or more".as_slice())]).unwrap()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn events() -> Vec<Event> {
    let build = |id| Build {
        id: BuildId(id),
        number: id,
        outcome: Some(Outcome::Success),
        ..Build::default()
    };
    let change = Change { author: "Ann <ann@example.org>".into(), ..Change::default() };
    vec![
        Event::ChangeAdded { change: Box::new(change) },
        Event::BuildFinished { build: Box::new(build(7)) },
        Event::BuildStarted { build: Box::new(Build { outcome: None, ..build(8) }) },
    ]
}

async fn filled(dir: &Path) -> Feed {
    let feed = Feed::open(dir, options()).unwrap();
    let batch = Batch { events: events(), ..Batch::default() };
    feed.ingest().commit(batch, &World::default()).await.unwrap();
    feed
}

fn claims(uid: &str) -> Claims {
    Claims {
        master_uid: uid.into(),
        consumer: "mail/main".into(),
        kind: Kind::new("MailNotifier"),
        rights: Right::ALL.into(),
        expires: None,
    }
}

const QUERIES: &[&str] = &[
    "?changes=3&builds=2",
    "?limit=2&before=9&builder=1&outcome=failure&branch=master",
    "?first=0&limit=100",
    "?generation=2&wait=0",
    "?generation=1&wait=0&max=5",
    "?after=1.1~1f2e.7",
    "?names=ann&names=bea",
    "",
];
const BODIES: &[&str] = &[
    r#"{"window": 5, "held": [{"epoch": 1, "seq": 1}]}"#,
    r#"{"generation": 1, "acks": [{"position": {"epoch": 1, "seq": 1}, "letter": {"class": "permanent"}}, {"set": {"a": "eA=="}}]}"#,
    r#"{"peer": {"state": "unreachable", "reason": "Transient", "message": "no connection"}, "problem": {"reason": "SecretMissing", "message": "no"}}"#,
    r#"{"catch_up": {"max_builds": 2, "max_age_ms": 1000}}"#,
    "",
];
const WORDS: &[&str] = &[
    "generation",
    "\"acks\":",
    "\"seq\":",
    "&limit=",
    "&before=",
    "&wait=0",
    "&generation=1",
    "{",
    "}",
    "[",
    "]",
    "\\ud800",
];

#[test]
fn any_request_has_an_answer_as_the_api_describes_it() {
    let (dir, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let feed = runtime.block_on(filled(dir.path()));
    let about = About {
        namespace: "default".into(),
        name: "main".into(),
        links: Links::master("http://master.example/"),
        release: "0.0.1".into(),
    };
    let token = keys().sign(&claims(feed.master_uid()));
    let app = router(State::new(feed.clone(), keys(), about));
    let paths: Vec<String> = ROUTES
        .iter()
        .map(|(_, path, _)| {
            let path = path.replace("{name}", "mail%2Fmain").replace("{id}", "7");
            path.replace("{position}", "1.1")
        })
        .collect();
    let which = 0..ROUTES.len();
    // Half of the paths as they are: what follows is to be reached, too.
    let path = (which, any::<bool>(), text(&paths, &[]));
    let cases =
        (path, text(QUERIES, WORDS), bytes(BODIES, WORDS), text(&[token], &["."]), any::<bool>());
    check(1000, cases, |((route, as_it_is, path), query, body, other, real)| {
        let path = if as_it_is { paths[route].clone() } else { path };
        let query = query.trim_start_matches('?');
        let encoded: String = format!("{path}?{query}")
            .bytes()
            .map(|b| match b {
                0x21..=0x7e if !b"\"<>`{}\\^|#".contains(&b) => char::from(b).to_string(),
                _ => format!("%{b:02X}"),
            })
            .collect();
        let Ok(uri) = format!("/{}", encoded.trim_start_matches('/')).parse::<Uri>() else {
            return;
        };
        let method = Method::from_bytes(ROUTES[route].0.to_uppercase().as_bytes()).unwrap();
        let token = if real { keys().sign(&claims(feed.master_uid())) } else { other };
        let Ok(token) = header::HeaderValue::from_str(&format!("Bearer {token}")) else { return };
        let request = Request::builder()
            .method(&method)
            .uri(&uri)
            .header(header::AUTHORIZATION, token)
            .header(header::CONTENT_TYPE, "application/json");
        let request = request.body(Body::from(body)).unwrap();
        runtime.block_on(async {
            // Who waits for records waits for as long as was asked for.
            let answer =
                tokio::time::timeout(Duration::from_millis(300), app.clone().oneshot(request));
            let Ok(response) = answer.await else {
                assert!(
                    uri.path().ends_with("/events") || uri.path().ends_with("/watch"),
                    "{uri} hangs"
                );
                return;
            };
            let (parts, body) = response.unwrap().into_parts();
            if parts.status.is_success() {
                return;
            }
            let body = to_bytes(body, 1 << 20).await.unwrap();
            let said = String::from_utf8_lossy(&body);
            let problem: Problem = serde_json::from_slice(&body).unwrap_or_else(|error| {
                panic!("{method} {uri}: {}: {error}: {said}", parts.status)
            });
            assert_eq!(parts.status.as_u16(), problem.code.status(), "{method} {uri}: {said}");
            let fault = [Code::Damaged, Code::Unknown, Code::DiskFull, Code::Unavailable];
            assert!(!fault.contains(&problem.code), "{method} {uri}: {said}");
            assert!(
                said.len() < 20_000 + 4 * encoded.len(),
                "{method} {uri}: {} bytes",
                said.len()
            );
        });
    });
}

#[test]
fn a_path_that_is_no_text_is_refused_as_everything_else_is() {
    let (dir, runtime) = (tempfile::tempdir().unwrap(), runtime());
    runtime.block_on(async {
        let feed = filled(dir.path()).await;
        let token = keys().sign(&claims(feed.master_uid()));
        let about = About {
            namespace: "default".into(),
            name: "main".into(),
            links: Links::master("http://master.example/"),
            release: "0.0.1".into(),
        };
        let request = Request::get("/v1/consumers/mail%ff")
            .header(header::AUTHORIZATION, format!("Bearer {token}"));
        let request = request.body(Body::empty()).unwrap();
        let response = router(State::new(feed, keys(), about)).oneshot(request).await.unwrap();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        assert_eq!(serde_json::from_slice::<Problem>(&body).unwrap().code, Code::Bounds);
    });
}

#[test]
fn no_token_but_the_one_that_was_signed_is_accepted() {
    let real = keys().sign(&claims("uid"));
    check(3000, text(std::slice::from_ref(&real), &[".", "=", "eyJhbGciOiJub25lIn0."]), |token| {
        match keys().verify(&token, "uid") {
            Ok(_) => assert_eq!(token, real),
            Err(error) => assert!(!error.to_string().contains(&real)),
        }
    });
}

#[test]
fn any_place_is_written_as_it_is_read() {
    check(3000, text(&["1.42", "1.42~1f2e.7"], &["~", "."]), |text| {
        if let Ok(place) = text.parse::<Place>() {
            assert_eq!(place.to_string().parse::<Place>().unwrap(), place);
        }
    });
}

#[test]
fn any_bytes_of_a_row_are_a_record_or_an_error() {
    let rows: Vec<Vec<u8>> = (1..)
        .zip(events())
        .map(|(seq, event)| {
            let identity = Identity::of(&event, "uid", 1, seq);
            let position = Position { epoch: 1, seq };
            encode(&Record { position, identity, journaled_ms: 5, event }).unwrap()
        })
        .collect();
    check(3000, bytes(&rows, &["\u{df}"]), |row| {
        // A checksum that is right for the wrong bytes: what a mistaken writer would leave.
        if let Ok(read) = record((5, checksum(&row), &row)) {
            assert_eq!(decode::<Record>("a record", &encode(&read).unwrap()).unwrap(), read);
        }
        let damaged = record((5, checksum(&row) ^ 1, &row)).unwrap_err().to_string();
        assert!(damaged.contains("checksum"), "{damaged}");
    });
}

#[test]
fn any_bytes_of_a_journal_are_opened_or_kept_aside() {
    let (dir, runtime) = (tempfile::tempdir().unwrap(), runtime());
    runtime.block_on(async { filled(dir.path()).await.close().await });
    let file = fs::read(dir.path().join("journal.redb")).unwrap();
    // Most of a new file is empty; what is written stands at some places.
    let written: Vec<usize> = (0..file.len()).filter(|at| file[*at] != 0).collect();
    let damage = prop::collection::vec((any::<prop::sample::Index>(), 1..=u8::MAX), 1..6);
    let cut = prop::option::weighted(0.2, 0..file.len());
    check(25, (damage, cut), |(damage, cut)| {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = file.clone();
        for (at, bits) in damage {
            bytes[*at.get(&written)] ^= bits;
        }
        bytes.truncate(cut.unwrap_or(bytes.len()));
        fs::write(dir.path().join("journal.redb"), bytes).unwrap();
        runtime.block_on(async {
            match Feed::open(dir.path(), options()) {
                Ok(feed) => {
                    // What the damage left can be asked for, and be added to or be refused.
                    let _ = feed.snapshot(crate::SnapshotLimits::default()).await;
                    let batch = Batch { events: events(), ..Batch::default() };
                    let _ = feed.ingest().commit(batch, &World::default()).await;
                    feed.close().await;
                }
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        });
    });
}
