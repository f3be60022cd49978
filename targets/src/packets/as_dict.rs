//! 0.8's `asDict` of builds, steps, changes and the rest: the payloads of packets.

use crate::About;
use model::{
    Build, Builder, Buildset, Change, Event, Log, Outcome, Properties, Request, SourceStamp, Step,
    Timestamp, Worker,
};
use serde_json::{Map, Value, json};

/// `start`: what the master is called.
pub fn start(about: &About) -> Value {
    json!({ "status": {
        "title": about.site.title,
        "titleURL": about.site.title_url,
        "buildbotURL": about.site.links.as_ref().map(model::Links::base),
    } })
}

/// An event's payload, unfiltered.
pub fn payload(event: &Event, about: &About) -> Value {
    match event {
        Event::BuildStarted { build: b } | Event::BuildFinished { build: b } => {
            json!({ "build": build(b, about) })
        }
        Event::StepStarted { builder, number, step: s, .. }
        | Event::StepFinished { builder, number, step: s, .. } => json!({
            "properties": [["buildername", builder.as_str(), "Build"], ["buildnumber", number, "Build"]],
            "step": step(s, &|_| Value::Null),
        }),
        Event::RequestSubmitted { request: r }
        | Event::RequestCancelled { request: r }
        | Event::RequestCompleted { request: r } => json!({ "request": request(r, about) }),
        Event::BuildsetSubmitted { buildset: b } | Event::BuildsetCompleted { buildset: b } => {
            json!({ "buildset": buildset(b) })
        }
        Event::ChangeAdded { change: c } => json!({ "change": change(c) }),
        Event::WorkerConnected { worker: w } => json!({ "slave": worker(w) }),
        Event::WorkerDisconnected { worker: w } | Event::WorkerChanged { worker: w } => {
            json!({ "slavename": w.name })
        }
        Event::BuilderAdded { builder: b } | Event::BuilderChanged { builder: b } => {
            json!({ "builderName": b.name.as_str(), "builder": builder(b) })
        }
        Event::BuilderRemoved { builder: b } => json!({ "builderName": b.name.as_str() }),
    }
}

fn build(build: &Build, about: &About) -> Value {
    let url = |step: &Step, log: &Log| {
        about.site.links.as_ref().map_or(Value::Null, |links| links.log(build, step, log).into())
    };
    let steps: Vec<&Step> = build.steps.iter().collect();
    let logs: Vec<Value> = steps
        .iter()
        .flat_map(|s| s.logs.iter().map(move |log| (s, log)))
        .map(|(s, log)| json!([log.name, url(s, log)]))
        .collect();
    let current = steps.iter().find(|s| s.started_at.is_some() && s.complete_at.is_none());
    let stamps = build.buildset.source_stamps.iter();
    json!({
        "builderName": build.builder.name.as_str(),
        "number": build.number,
        "sourceStamps": stamps.map(|s| source_stamp(s, build)).collect::<Vec<_>>(),
        "reason": build.buildset.reason,
        "blame": build.blamelist(),
        "properties": properties(&build.properties),
        "times": times(Some(build.started_at), build.complete_at),
        "text": words(&build.text),
        "results": build.outcome.map(Outcome::code),
        "slave": build.worker.as_ref().map(|worker| worker.name.as_str()),
        "logs": logs,
        "eta": null,
        "steps": steps.iter().map(|s| step(s, &|log| url(s, log))).collect::<Vec<_>>(),
        "currentStep": current.map(|s| step(s, &|log| url(s, log))),
    })
}

fn step(step: &Step, url: &dyn Fn(&Log) -> Value) -> Value {
    let urls: Map<String, Value> =
        step.urls.iter().map(|u| (u.name.clone(), u.url.clone().into())).collect();
    json!({
        "name": step.name,
        "text": words(&step.text),
        "results": [step.outcome.map(Outcome::code), []],
        "isStarted": step.started_at.is_some(),
        "isFinished": step.complete_at.is_some(),
        "statistics": {},
        "times": times(step.started_at, step.complete_at),
        "expectations": [],
        "eta": null,
        "urls": urls,
        "step_number": step.number,
        "hidden": step.hidden,
        "logs": step.logs.iter().map(|log| json!([log.name, url(log)])).collect::<Vec<_>>(),
    })
}

fn source_stamp(stamp: &SourceStamp, build: &Build) -> Value {
    let changes = build.changes.iter().filter(|c| c.codebase == stamp.codebase);
    let mut fields = json!({
        "branch": stamp.branch,
        "revision": stamp.revision,
        "repository": stamp.repository,
        "project": stamp.project,
        "codebase": stamp.codebase,
        "changes": changes.map(change).collect::<Vec<_>>(),
        "hasPatch": stamp.patch.is_some(),
    });
    if let (Some(patch), Value::Object(fields)) = (&stamp.patch, &mut fields) {
        fields.insert("patch_level".into(), patch.level.into());
        fields.insert("patch_body".into(), patch.body.clone().into());
        fields.insert("patch_subdir".into(), patch.subdir.clone().into());
        fields.insert("patch_author".into(), patch.author.clone().into());
        fields.insert("patch_comment".into(), patch.comment.clone().into());
    }
    fields
}

fn change(change: &Change) -> Value {
    let at = jiff::Timestamp::from_second(change.when.0)
        .map(|t| t.strftime("%a %d %b %Y %H:%M:%S").to_string());
    json!({
        "number": change.id,
        "branch": change.branch,
        "category": change.category,
        "who": change.author,
        "comments": change.comments,
        "revision": change.revision,
        "rev": change.revision,
        "when": change.when,
        "at": at.unwrap_or_default(),
        "files": change.files.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>(),
        "revlink": change.revlink,
        "properties": properties(&change.properties),
        "repository": change.repository,
        "codebase": change.codebase,
        "project": change.project,
    })
}

fn request(request: &Request, about: &About) -> Value {
    let builder = about.builders.get(&request.builder);
    json!({
        "builderName": builder.map(|b| b.name.as_str()),
        "buildsetid": request.buildset,
        "brid": request.id,
        "submittedAt": request.submitted_at,
    })
}

fn buildset(buildset: &Buildset) -> Value {
    json!({
        "bsid": buildset.id,
        "external_idstring": null,
        "reason": buildset.reason,
        "sourcestampsetid": buildset.id,
        "submitted_at": buildset.submitted_at,
        "complete": buildset.complete_at.is_some(),
        "complete_at": buildset.complete_at,
        "results": buildset.outcome.map_or(-1, |outcome| i64::from(outcome.code())),
    })
}

fn worker(worker: &Worker) -> Value {
    json!({
        "name": worker.name,
        "access_uri": null,
        "admin": worker.admin,
        "host": worker.host,
        "version": worker.version,
        "connected": worker.connected,
        "runningBuilds": [],
    })
}

fn builder(builder: &Builder) -> Value {
    json!({
        "category": builder.tags.first(),
        "tags": builder.tags,
        "description": builder.description,
        "slaves": [],
        "schedulers": [],
        "cachedBuilds": [],
        "currentBuilds": [],
        "pendingBuilds": 0,
        "state": "idle",
    })
}

fn properties(properties: &Properties) -> Vec<Value> {
    properties.0.iter().map(|(name, p)| json!([name, p.0, p.1])).collect()
}

fn times(start: Option<Timestamp>, end: Option<Timestamp>) -> Value {
    json!([start, end])
}

/// 0.8's texts are lists: the word, then the rest.
fn words(text: &str) -> Vec<&str> {
    text.splitn(2, ' ').filter(|word| !word.is_empty()).collect()
}
