//! Events as CloudEvents 1.0.2, which hold CDEvents 0.4.1 where these have a word for them (row G07).

mod cdevents;

use crate::{About, Preview, packets::as_dict};
use crds::ContentMode;
use model::{Build, Event, Identity, Position, Record};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Map, Value, json};

/// What the value of a header has encoded: all but printable ASCII, and of that what the HTTP binding
/// (§3.1.3.2) names. The space, too: it could be lost at the value's ends.
const HEADER: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// One event as it is posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudEvent {
    /// What stands in headers; nothing where the body has all.
    headers: Vec<(String, String)>,
    body: String,
}

impl CloudEvent {
    /// Makes it of a record.
    pub fn new(record: &Record, about: &About, mode: ContentMode) -> Self {
        let (attributes, data) = parts(record, about);
        match mode {
            ContentMode::Binary => {
                let header = |(name, value): (String, Value)| {
                    let value = value.as_str().map(str::to_owned).unwrap_or_default();
                    (format!("ce-{name}"), utf8_percent_encode(&value, HEADER).to_string())
                };
                Self {
                    headers: attributes.into_iter().map(header).collect(),
                    body: data.to_string(),
                }
            }
            ContentMode::Batched | ContentMode::Structured => {
                Self { headers: Vec::new(), body: whole(attributes, data).to_string() }
            }
        }
    }

    /// Its headers.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Its text in the body.
    pub fn body(&self) -> &str {
        &self.body
    }
}

/// The type of a request's body.
pub fn content_type(mode: ContentMode) -> &'static str {
    match mode {
        ContentMode::Batched => "application/cloudevents-batch+json; charset=UTF-8",
        ContentMode::Structured => "application/cloudevents+json; charset=UTF-8",
        ContentMode::Binary => "application/json",
    }
}

/// The event of a finished build, for people to read.
pub fn preview(build: &Build, about: &About, to: &str) -> Preview {
    let event = Event::BuildFinished { build: Box::new(build.clone()) };
    let journaled = build.complete_at.unwrap_or_default().0.saturating_mul(1000);
    let record = Record {
        position: Position::default(),
        identity: Identity::of(&event, "MASTER", 1, 0),
        journaled_ms: journaled,
        event,
    };
    let (attributes, data) = parts(&record, about);
    let title = attributes["type"].as_str().unwrap_or_default().to_owned();
    let body = format!("{:#}", whole(attributes, data));
    Preview { why: "selected".to_owned(), to: vec![to.to_owned()], title, body }
}

fn whole(mut attributes: Map<String, Value>, data: Value) -> Value {
    attributes.insert("datacontenttype".to_owned(), "application/json".into());
    attributes.insert("data".to_owned(), data);
    Value::Object(attributes)
}

/// An event's attributes, all texts, and its data.
fn parts(record: &Record, about: &About) -> (Map<String, Value>, Value) {
    let id = record.identity.to_string();
    let source = source(record, about);
    let time = time(record);
    let told = cdevents::told(record, about);
    let kind = match &told {
        Some(told) => told.kind.to_owned(),
        None => own_type(&record.event),
    };
    let subject = told.as_ref().map_or_else(|| subject(&record.identity), |told| told.id.clone());
    let data = match told {
        Some(told) => told.data(&id, &source, &time),
        None => own_data(&record.event, about),
    };
    let mut attributes = Map::new();
    for (name, value) in [
        ("specversion", "1.0".to_owned()),
        ("id", id),
        ("source", source),
        ("type", kind),
        ("subject", subject),
        ("time", time),
    ] {
        attributes.insert(name.to_owned(), value.into());
    }
    (attributes, data)
}

/// Where an event comes from: what the master's pages begin with.
fn source(record: &Record, about: &About) -> String {
    match &about.site.links {
        Some(links) => links.base().to_owned(),
        None => format!("/masters/{}", model::segment(&record.identity.master)),
    }
}

/// What a thing is called in every event about it: as an identity, without the moment.
fn subject(identity: &Identity) -> String {
    thing(identity, &identity.kind, identity.id)
}

fn thing(of: &Identity, kind: &str, id: u64) -> String {
    format!("{}/{}/{kind}/{id}", of.master, of.database)
}

/// When it happened by the master's clock; else when it was journaled.
fn time(record: &Record) -> String {
    let happened = record.happened_at().map(|at| at.0.saturating_mul(1000));
    let at = jiff::Timestamp::from_millisecond(happened.unwrap_or(record.journaled_ms));
    at.unwrap_or_default().to_string()
}

/// The type of an event that CDEvents have no word for.
fn own_type(event: &Event) -> String {
    let (kind, word) = match event {
        Event::BuildStarted { .. } => ("build", "started"),
        Event::BuildFinished { .. } => ("build", "finished"),
        Event::StepStarted { .. } => ("step", "started"),
        Event::StepFinished { .. } => ("step", "finished"),
        Event::RequestSubmitted { .. } => ("request", "submitted"),
        Event::RequestCancelled { .. } => ("request", "cancelled"),
        Event::RequestCompleted { .. } => ("request", "completed"),
        Event::BuildsetSubmitted { .. } => ("buildset", "submitted"),
        Event::BuildsetCompleted { .. } => ("buildset", "completed"),
        Event::ChangeAdded { .. } => ("change", "added"),
        Event::WorkerConnected { .. } => ("worker", "connected"),
        Event::WorkerDisconnected { .. } => ("worker", "disconnected"),
        Event::WorkerChanged { .. } => ("worker", "changed"),
        Event::BuilderAdded { .. } => ("builder", "added"),
        Event::BuilderChanged { .. } => ("builder", "changed"),
        Event::BuilderRemoved { .. } => ("builder", "removed"),
    };
    format!("dev.statustargets.{kind}.{word}")
}

/// The payload of 0.8's packet, with what that leaves to the packet's name.
fn own_data(event: &Event, about: &About) -> Value {
    let mut data = as_dict::payload(event, about);
    if let Event::WorkerChanged { worker } = event {
        data["paused"] = worker.paused.into();
        data["graceful"] = worker.graceful.into();
    }
    if let Event::RequestCompleted { request } | Event::RequestCancelled { request } = event {
        data["results"] = json!(request.outcome.map(model::Outcome::word));
    }
    data
}
