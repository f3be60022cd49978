//! `docs/feed-api.openapi.yaml` is made of the types and routes, and real answers are as it says.
//! `UPDATE_GENERATED=1` writes it anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;
mod openapi;
mod served;

use common::*;
use feed::http::{api::*, server::ROUTES, token::Right};
use master::{Batch, MasterState, Sink as _, StateKind};
use model::{Builder, BuilderId, Live, World};
use openapi::{Answer, document, operations};
use reqwest::Method;
use serde_json::{Value, json};
use served::*;
use std::{collections::BTreeSet, path::Path};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/feed-api.openapi.yaml");

#[test]
fn the_file_is_as_the_types_and_routes_are() {
    let options = serde_saphyr::ser_options! {
        compact_list_indent: true,
        prefer_block_scalars: false,
    };
    let yaml = serde_saphyr::to_string_with_options(&document(), options).unwrap();
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(FILE, &yaml).unwrap();
    }
    let kept = std::fs::read_to_string(Path::new(FILE)).unwrap_or_default();
    assert!(kept == yaml, "docs/feed-api.openapi.yaml is old: cargo xtask generate");
}

#[test]
fn every_route_is_described_and_nothing_else_is() {
    let served: BTreeSet<_> = ROUTES.iter().map(|(method, path, _)| (*method, *path)).collect();
    let described: BTreeSet<_> = operations().iter().map(|o| (o.method, o.path)).collect();
    assert_eq!(served, described);
    assert_eq!(operations().len(), ROUTES.len(), "each once");
}

#[test]
fn letters_are_asked_for_after_a_position_and_not_after_a_place() {
    let document = document();
    let pattern = |path: &str, name: &str| {
        let parameters = document["paths"][path]["get"]["parameters"].as_array().unwrap();
        let parameter = parameters.iter().find(|parameter| parameter["name"] == name);
        parameter.unwrap()["schema"]["pattern"].as_str().unwrap().to_owned()
    };
    let letters = "/v1/consumers/{name}/dead-letters";
    let one = pattern(&format!("{letters}/{{position}}"), "position");
    assert_eq!(pattern(letters, "after"), one);
    assert_ne!(pattern("/v1/events", "from"), one);
}

/// Panics unless `value` is as the component of this name says.
fn check(document: &Value, name: &str, value: &Value) {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$ref": format!("#/components/schemas/{name}"),
        "components": document["components"],
    });
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{name}: {errors:#?} in {value:#}");
}

/// A request for each operation, in an order in which all succeed.
const REQUESTS: &[(&str, &str, &str, &str)] = &[
    ("get", "/v1/info", "", ""),
    ("get", "/v1/snapshot", "?changes=3", ""),
    ("get", "/v1/builds", "?limit=2", ""),
    ("get", "/v1/builds/{id}", "", ""),
    ("get", "/v1/changes", "", ""),
    ("get", "/v1/changes/{id}", "", ""),
    ("get", "/v1/users", "", ""),
    ("get", "/v1/logs/{id}", "", ""),
    ("post", "/v1/consumers/{name}/open", "", r#"{"window": 5, "held": []}"#),
    ("get", "/v1/consumers/{name}/events", "?generation=2&wait=0", ""),
    (
        "post",
        "/v1/consumers/{name}/acks",
        "",
        r#"{"generation": 2, "acks": [
            {"position": {"epoch": EPOCH, "seq": 1}, "letter": {"class": "permanent"}},
            {"position": {"epoch": EPOCH, "seq": 9}}, {"set": {"a": "eA=="}}]}"#,
    ),
    (
        "put",
        "/v1/consumers/{name}/report",
        "",
        r#"{"peer": {"state": "unreachable", "reason": "Transient", "message": "no connection"},
            "problem": {"reason": "SecretMissing", "message": "there is no Secret"}}"#,
    ),
    ("get", "/v1/consumers", "", ""),
    ("get", "/v1/consumers/{name}", "", ""),
    ("get", "/v1/consumers/{name}/dead-letters", "", ""),
    ("get", "/v1/consumers/{name}/dead-letters/{position}", "", ""),
    ("post", "/v1/consumers/{name}/dead-letters/{position}/replay", "", ""),
    ("delete", "/v1/consumers/{name}/dead-letters/{position}", "", ""),
    ("post", "/v1/consumers/{name}/replay", "", r#"{"catch_up": {"max_builds": 2}}"#),
    ("delete", "/v1/consumers/{name}", "", ""),
];

#[tokio::test]
async fn real_answers_are_as_the_document_says() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = served(dir.path()).await;
    served.token = token(served.feed.master_uid(), NAME, &Right::ALL);
    served.feed.set_log_source(log_source());
    let document = document();
    let mut stream = Events::of(served.get("events")).await;
    served.open(&OpenRequest::default()).await;
    let builders = [(BuilderId(3), Builder { id: BuilderId(3), ..Builder::default() })].into();
    let world = World { builders, ..World::default() };
    let past = Batch {
        history: (5..9).map(|id| build(id, 3)).chain([build(10, 1)]).collect(),
        history_changes: vec![change(10)],
        dirty: all_of(&world),
        ..batch(vec![finished(20, 3), added(3)])
    };
    let mut ingest = served.feed.ingest();
    soon(ingest.commit(past, &world)).await.unwrap();
    ingest.live(Live::BuildText { build: build(1, 1).id, text: "compiling".into() });
    ingest.state(MasterState::now(StateKind::Live, "connected"));

    let epoch = served.feed.head().epoch;
    let mut asked = BTreeSet::new();
    for (method, route, query, body) in REQUESTS {
        let operations = operations();
        let operation =
            operations.iter().find(|o| (o.method, o.path) == (*method, *route)).unwrap();
        asked.insert((*method, *route));
        let path = route.trim_start_matches("/v1/").replace("{name}", "mail%2Fmain");
        let path = path.replace("{id}", "10").replace("{position}", &format!("{epoch}.1"));
        let verb = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
        let body = body.replace("EPOCH", &epoch.to_string());
        let request = served.request(verb, &format!("{path}{query}")).body(body);
        let response = soon(request.send()).await.unwrap();
        let (status, text) = (response.status().as_u16(), soon(response.text()).await.unwrap());
        match operation.answer {
            Answer::Json(name) => {
                assert_eq!(status, 200, "{method} {route}: {text}");
                check(&document, name, &serde_json::from_str(&text).unwrap());
            }
            Answer::Nothing => assert_eq!((status, text.as_str()), (204, ""), "{method} {route}"),
            Answer::Events | Answer::Silence => panic!("{route} is asked below"),
        }
    }
    // Those that are streams alone.
    asked.insert(("get", "/v1/events"));
    asked.insert(("get", "/v1/logs/{id}/watch"));
    drop(Events::of(served.get("logs/10/watch")).await);
    assert_eq!(asked.len(), ROUTES.len(), "every operation was asked for");
    for name in ["state", "historyChange", "history", "record", "record", "live", "state"] {
        let event = stream.until(name).await;
        let data: Value = serde_json::from_str(&event.data).unwrap();
        check(&document, "Item", &json!({ "type": name, "data": data }));
    }
    let refused = serde_json::to_value(bad(served.get("builds/99")).await).unwrap();
    check(&document, "Problem", &refused);
}
