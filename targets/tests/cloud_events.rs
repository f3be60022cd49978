//! CloudEvents: held against the published schemas, and read by the SDK of who receives them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use delivery::{
    BatchTarget as _,
    compliance::{Journal, records},
};
use model::{
    Builder, BuilderId, Buildset, Change, Event, Outcome, Properties, Property, Record, Request,
    Step, Timestamp, Worker,
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, path::Path};
use support::{
    build,
    events::{Peer, post, push, run, soon},
    finished, record,
};
use targets::{
    About,
    http_push::{HttpPush, Secrets},
};

fn events(url: &str, mode: &str) -> HttpPush {
    let mut more = soon();
    more["format"] = "cloudevents".into();
    more["contentMode"] = mode.into();
    push(url, &more, &Secrets::default())
}

/// A schema that was published. What no event of ours has is taken out: it refers to other files.
fn schema(name: &str) -> jsonschema::Validator {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../e2e/peers/cdevents").join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut schema: Value = serde_json::from_str(&text).unwrap();
    let context = schema.pointer_mut("/properties/context/properties");
    if let Some(context) = context.and_then(Value::as_object_mut) {
        context.remove("links");
    }
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
}

/// A change of a Gerrit's event.
fn review(kind: &str, patch_set: u64) -> Event {
    let properties = [
        ("event.type", json!(kind)),
        ("event.change.id", json!("I74c1")),
        ("event.patchSet.number", json!(patch_set)),
    ];
    let properties =
        properties.map(|(name, value)| (name.to_owned(), Property(value, "Change".to_owned())));
    Event::ChangeAdded {
        change: Box::new(Change {
            properties: Properties(properties.into()),
            repository: "ssh://gerrit/demo".into(),
            comments: "Say it".into(),
            when: Timestamp(1_795_412_300),
            ..Change::default()
        }),
    }
}

/// One of each event, and the type that it has.
fn all() -> Vec<(Event, &'static str)> {
    let step = |outcome| Step {
        name: "test".into(),
        text: "failed test".into(),
        outcome,
        started_at: Some(Timestamp(1_795_412_300)),
        complete_at: outcome.map(|_| Timestamp(1_795_412_301)),
        ..Step::default()
    };
    let stepped = |step| (model::BuildId(7), "unit win".into(), 4, step);
    let (build_id, builder, number, begun) = stepped(step(None));
    let started = Event::StepStarted { build: build_id, builder, number, step: begun };
    let (build_id, builder, number, ended) = stepped(step(Some(Outcome::Failure)));
    let step_finished = Event::StepFinished { build: build_id, builder, number, step: ended };
    let worker = Worker { name: "w".into(), ..Worker::default() };
    let builder = Builder { name: "b".into(), ..Builder::default() };
    let request = Request { builder: BuilderId(2), ..Request::default() };
    let buildset = Box::<Buildset>::default();
    let run = || Box::new(build("failure"));
    vec![
        (Event::BuildStarted { build: run() }, "dev.cdevents.pipelinerun.started.0.2.0"),
        (Event::BuildFinished { build: run() }, "dev.cdevents.pipelinerun.finished.0.2.0"),
        (started, "dev.cdevents.taskrun.started.0.2.0"),
        (step_finished, "dev.cdevents.taskrun.finished.0.2.0"),
        (
            Event::RequestSubmitted { request: request.clone() },
            "dev.cdevents.pipelinerun.queued.0.2.0",
        ),
        (review("patchset-created", 1), "dev.cdevents.change.created.0.3.0"),
        (review("patchset-created", 2), "dev.cdevents.change.updated.0.2.0"),
        (review("change-merged", 2), "dev.cdevents.change.merged.0.2.0"),
        (review("change-abandoned", 2), "dev.cdevents.change.abandoned.0.2.0"),
        (review("ref-updated", 2), "dev.statustargets.change.added"),
        (Event::ChangeAdded { change: Box::default() }, "dev.statustargets.change.added"),
        (
            Event::RequestCancelled { request: request.clone() },
            "dev.statustargets.request.cancelled",
        ),
        (Event::RequestCompleted { request }, "dev.statustargets.request.completed"),
        (
            Event::BuildsetSubmitted { buildset: buildset.clone() },
            "dev.statustargets.buildset.submitted",
        ),
        (Event::BuildsetCompleted { buildset }, "dev.statustargets.buildset.completed"),
        (Event::WorkerConnected { worker: worker.clone() }, "dev.statustargets.worker.connected"),
        (
            Event::WorkerDisconnected { worker: worker.clone() },
            "dev.statustargets.worker.disconnected",
        ),
        (Event::WorkerChanged { worker }, "dev.statustargets.worker.changed"),
        (Event::BuilderAdded { builder: builder.clone() }, "dev.statustargets.builder.added"),
        (Event::BuilderChanged { builder: builder.clone() }, "dev.statustargets.builder.changed"),
        (Event::BuilderRemoved { builder }, "dev.statustargets.builder.removed"),
    ]
}

/// What a push makes of a record, as JSON.
fn made(push: &HttpPush, record: &Record) -> Value {
    let item = push.compose(&mut push.load(None).unwrap(), record).unwrap();
    let texts: Vec<&str> = item.texts().collect();
    serde_json::from_str(texts[0]).unwrap()
}

#[test]
fn g07_each_event_is_what_the_published_schemas_say() {
    let own = events("http://127.0.0.1:1/", "structured");
    // Without pages of its own and without anything known of the master.
    let spec = support::push_spec("http://127.0.0.1:1/", &json!({ "format": "cloudevents" }));
    let bare =
        HttpPush::new("ci/push", &spec, &Secrets::default(), About::default().fixed()).unwrap();
    let cloud_event = schema("cloudevents.json");
    let mut checked = BTreeSet::new();
    for (seq, (event, kind)) in (1..).zip(all()) {
        let record = record(event, seq);
        for push in [&own, &bare] {
            assert!(push.decide(&record), "{kind}");
            let event = made(push, &record);
            assert_eq!(event["type"], kind);
            let faults: Vec<String> =
                cloud_event.iter_errors(&event).map(|fault| fault.to_string()).collect();
            assert!(faults.is_empty(), "{faults:?} {event:#}");
            assert_eq!(event["id"], record.identity.to_string());
            let mut words = kind.split('.').skip(1);
            if words.next() == Some("cdevents") {
                let name: String = words.take(2).collect();
                let data = &event["data"];
                let faults: Vec<String> = schema(&format!("{name}.json"))
                    .iter_errors(data)
                    .map(|fault| format!("{}: {fault}", fault.instance_path()))
                    .collect();
                assert!(faults.is_empty(), "{faults:?} {data:#}");
                // As CDEvents' binding to CloudEvents has it.
                for (attribute, field) in
                    [("id", "id"), ("source", "source"), ("type", "type"), ("time", "timestamp")]
                {
                    assert_eq!(event[attribute], data["context"][field], "{kind} {attribute}");
                }
                assert_eq!(event["subject"], data["subject"]["id"], "{kind}");
                checked.insert(name);
            } else {
                assert!(event["data"].is_object(), "{event:#}");
            }
        }
    }
    assert_eq!(checked.len(), 9, "{checked:?}");
}

#[test]
fn g07_a_finished_build_is_this_event() {
    let event = made(&events("http://127.0.0.1:1/", "structured"), &finished("failure"));
    insta::assert_snapshot!("cloud_event", serde_json::to_string_pretty(&event).unwrap());
}

#[test]
fn g07_a_step_names_the_run_that_its_build_is() {
    let push = events("http://127.0.0.1:1/", "structured");
    let mut run = build("failure");
    run.id = model::BuildId(7);
    let run = made(&push, &record(Event::BuildStarted { build: Box::new(run) }, 1));
    let (step, _) = all().swap_remove(3);
    let step = made(&push, &record(step, 2));
    let content = &step["data"]["subject"]["content"];
    assert_eq!(content["pipelineRun"]["id"], run["subject"]);
    assert_eq!(
        (&content["outcome"], &content["errors"]),
        (&json!("failure"), &json!("failed test"))
    );
}

#[tokio::test]
async fn g07_the_sdk_reads_the_same_event_in_each_content_mode() {
    let mut peer = Peer::start(&json!({})).await;
    let mut records: Vec<Record> =
        (1..).zip(all()).map(|(seq, (event, _))| record(event, seq)).collect();
    // A name that no header could hold as it is.
    records[0].identity.master = "Zoë \"100%\" ".to_owned();
    let (mut read, mut ids) = (Vec::new(), Vec::new());
    for (mode, kind) in [
        ("structured", "application/cloudevents+json; charset=UTF-8"),
        ("binary", "application/json"),
    ] {
        let push = events(&peer.url(), mode);
        let mut events = Vec::new();
        for record in &records {
            post(&push, std::slice::from_ref(record)).await.unwrap();
            let told = peer.next().await;
            assert_eq!(told["headers"]["content-type"], kind);
            events.extend(told["events"].as_array().unwrap().clone());
        }
        read.push(events);
    }
    let batched = events(&peer.url(), "batched");
    post(&batched, &records).await.unwrap();
    let told = peer.next().await;
    let kind = "application/cloudevents-batch+json; charset=UTF-8";
    assert_eq!(told["headers"]["content-type"], kind);
    read.push(told["events"].as_array().unwrap().clone());
    for events in &mut read {
        assert_eq!(events.len(), records.len());
        // Data in JSON has this type wherever it is told: in the event or in the request's header.
        for event in events.iter_mut() {
            assert_eq!(event["datacontenttype"], "application/json");
        }
        ids.push(events.iter().map(|event| event["id"].clone()).collect::<Vec<_>>());
    }
    assert_eq!(read[0], read[1]);
    assert_eq!(read[0], read[2]);
    assert_eq!(ids[0][0], records[0].identity.to_string());
}

#[tokio::test]
async fn g07_events_go_in_batches_or_one_by_one_and_each_once() {
    for (mode, most) in [("batched", 4), ("structured", 1), ("binary", 1)] {
        let mut peer = Peer::start(&json!({})).await;
        let mut more = soon();
        // What is posted alone waits for nothing: with this delay, 12 would take a minute.
        more["bufferDelay"] = if mode == "batched" { "1ms" } else { "5s" }.into();
        more["format"] = "cloudevents".into();
        more["contentMode"] = mode.into();
        more["chunkSize"] = 4.into();
        let push = push(&peer.url(), &more, &Secrets::default());
        let began = std::time::Instant::now();
        let journal = Journal::new(records(2, 6));
        let state = run(push, &journal, |state| state.delivered == 12).await;
        assert!(state.dead_letters == 0 && began.elapsed().as_secs() < 5, "{mode} {state:?}");
        let (mut ids, mut sizes) = (BTreeSet::new(), BTreeSet::new());
        let mut count = 0;
        while count < 12 {
            let told = peer.next().await;
            let events = told["events"].as_array().unwrap();
            sizes.insert(events.len());
            count += events.len();
            ids.extend(events.iter().map(|event| event["id"].as_str().unwrap().to_owned()));
        }
        assert_eq!((count, ids.len(), sizes.last()), (12, 12, Some(&most)), "{mode}");
    }
}

#[test]
fn g07_check_shows_the_event() {
    let push = events("http://127.0.0.1:1/", "binary");
    let shown = push.preview(&build("failure"));
    assert_eq!(shown[0].title, "dev.cdevents.pipelinerun.finished.0.2.0");
    let event: Value = serde_json::from_str(&shown[0].body).unwrap();
    assert_eq!(event["data"]["customData"]["results"], "failure");
    let mut more = soon();
    more["format"] = "cloudevents".into();
    more["builders"] = json!(["other"]);
    let other = support::events::push("http://127.0.0.1:1/", &more, &Secrets::default());
    assert!(other.preview(&build("failure"))[0].to.is_empty());
}
