//! What CDEvents have a word for: builds are runs of pipelines, steps are runs of tasks, and a
//! review's events of Gerrit are a change's.

use super::{subject, thing};
use crate::{About, packets::as_dict};
use model::{Build, BuilderName, Change, Event, Outcome, Properties, Record, Request, Step};
use serde_json::{Map, Value, json};

/// The version of CDEvents.
const VERSION: &str = "0.4.1";

const QUEUED: &str = "dev.cdevents.pipelinerun.queued.0.2.0";
const STARTED: &str = "dev.cdevents.pipelinerun.started.0.2.0";
const FINISHED: &str = "dev.cdevents.pipelinerun.finished.0.2.0";
const TASK_STARTED: &str = "dev.cdevents.taskrun.started.0.2.0";
const TASK_FINISHED: &str = "dev.cdevents.taskrun.finished.0.2.0";
const CHANGE_CREATED: &str = "dev.cdevents.change.created.0.3.0";
const CHANGE_UPDATED: &str = "dev.cdevents.change.updated.0.2.0";
const CHANGE_MERGED: &str = "dev.cdevents.change.merged.0.2.0";
const CHANGE_ABANDONED: &str = "dev.cdevents.change.abandoned.0.2.0";

/// What a CDEvent says.
pub(super) struct Told {
    /// Its type.
    pub kind: &'static str,
    /// What it is about.
    pub id: String,
    subject: &'static str,
    content: Value,
    custom: Value,
}

impl Told {
    /// The CDEvent of a CloudEvent with this id, source and time.
    pub fn data(self, id: &str, source: &str, time: &str) -> Value {
        json!({
            "context": {
                "version": VERSION,
                "id": id,
                "source": source,
                "type": self.kind,
                "timestamp": time,
            },
            "subject": {
                "id": self.id,
                "source": source,
                "type": self.subject,
                "content": self.content,
            },
            "customData": self.custom,
            "customDataContentType": "application/json",
        })
    }
}

/// What CDEvents say of a record; `None` where they have no word for it.
pub(super) fn told(record: &Record, about: &About) -> Option<Told> {
    let id = subject(&record.identity);
    let run = |kind, content, custom| Told {
        kind,
        id: id.clone(),
        subject: "pipelineRun",
        content,
        custom,
    };
    Some(match &record.event {
        Event::RequestSubmitted { request } => {
            run(QUEUED, queued(request, about), as_dict::payload(&record.event, about))
        }
        Event::BuildStarted { build } => {
            let content = json!({
                "pipelineName": build.builder.name.as_str(),
                "url": build_url(build, about).unwrap_or_default(),
            });
            run(STARTED, content, of_build(build, about))
        }
        Event::BuildFinished { build } => {
            let mut content = Map::new();
            content.insert("pipelineName".into(), build.builder.name.as_str().into());
            content.extend(build_url(build, about).map(|url| ("url".to_owned(), url.into())));
            content.extend(outcome(build.outcome, &build.text));
            run(FINISHED, content.into(), of_build(build, about))
        }
        Event::StepStarted { build, builder, number, step }
        | Event::StepFinished { build, builder, number, step } => {
            let run = thing(&record.identity, "build", build.0);
            let url = step_url(builder, *number, about);
            let mut content = Map::new();
            content.insert("taskName".into(), step.name.clone().into());
            content.insert("pipelineRun".into(), json!({ "id": run }));
            content.extend(url.clone().map(|url| ("url".to_owned(), url.into())));
            let finished = matches!(&record.event, Event::StepFinished { .. });
            if finished {
                content.extend(outcome(step.outcome, &step.text));
            }
            Told {
                kind: if finished { TASK_FINISHED } else { TASK_STARTED },
                id,
                subject: "taskRun",
                content: content.into(),
                custom: of_step(builder, *number, step, url.as_deref()),
            }
        }
        Event::ChangeAdded { change } => {
            let (kind, id) = review(change)?;
            let mut content = Map::new();
            if !change.repository.is_empty() {
                content.insert("repository".into(), json!({ "id": change.repository }));
            }
            if kind == CHANGE_CREATED && !change.comments.is_empty() {
                content.insert("description".into(), change.comments.clone().into());
            }
            let custom = as_dict::payload(&record.event, about);
            Told { kind, id, subject: "change", content: content.into(), custom }
        }
        _ => return None,
    })
}

/// What an event of a `GerritChangeSource` tells of a review, and the review's id. Other changes are
/// commits that are there already, of which nobody knows whether they were proposed or merged.
fn review(change: &Change) -> Option<(&'static str, String)> {
    let text = |name| change.properties.text(name);
    let kind = match text("event.type")?.as_str() {
        "patchset-created" if text("event.patchSet.number").is_some_and(|n| n != "1") => {
            CHANGE_UPDATED
        }
        "patchset-created" => CHANGE_CREATED,
        "change-merged" => CHANGE_MERGED,
        "change-abandoned" => CHANGE_ABANDONED,
        _ => return None,
    };
    let id = text("event.change.id").filter(|id| !id.is_empty())?;
    Some((kind, id))
}

fn queued(request: &Request, about: &About) -> Value {
    let builder = about.builders.get(&request.builder);
    builder.map_or_else(|| json!({}), |builder| json!({ "pipelineName": builder.name.as_str() }))
}

/// CDEvents know three outcomes; what was skipped had none.
fn outcome(outcome: Option<Outcome>, text: &str) -> Vec<(String, Value)> {
    let word = match outcome {
        Some(Outcome::Success | Outcome::Warnings) => "success",
        Some(Outcome::Failure) => "failure",
        Some(Outcome::Exception | Outcome::Retry | Outcome::Cancelled) => "error",
        Some(Outcome::Skipped) | None => return Vec::new(),
    };
    let mut fields = vec![("outcome".to_owned(), word.into())];
    if word != "success" && !text.is_empty() {
        fields.push(("errors".to_owned(), text.into()));
    }
    fields
}

fn build_url(build: &Build, about: &About) -> Option<String> {
    about.site.links.as_ref().map(|links| links.build(build))
}

/// The page of a step's build; a page of the master's own needs a builder that is known.
fn step_url(builder: &BuilderName, number: u64, about: &About) -> Option<String> {
    let links = about.site.links.as_ref()?;
    let known = about.builders.values().find(|known| known.name == *builder);
    let id = match (links, known) {
        (_, Some(known)) => known.id,
        (model::Links::WebStatus(_), None) => model::BuilderId::default(),
        (model::Links::Master(_), None) => return None,
    };
    Some(format!("{}/builds/{number}", links.builder(id, builder)))
}

fn of_build(build: &Build, about: &About) -> Value {
    let stamps = build.buildset.source_stamps.iter().map(|stamp| {
        json!({
            "codebase": stamp.codebase,
            "repository": stamp.repository,
            "project": stamp.project,
            "branch": stamp.branch,
            "revision": stamp.revision,
            "got_revision": build.got_revision(&stamp.codebase),
        })
    });
    json!({
        "builder": build.builder.name.as_str(),
        "tags": build.builder.tags,
        "number": build.number,
        "buildid": build.id,
        "brid": build.request,
        "bsid": build.buildset.id,
        "results": build.outcome.map(Outcome::word),
        "previous_results": build.previous.map(Outcome::word),
        "text": build.text,
        "reason": build.buildset.reason,
        "blame": build.blamelist(),
        "worker": build.worker.as_ref().map(|worker| worker.name.as_str()),
        "source_stamps": stamps.collect::<Vec<_>>(),
        "properties": properties(&build.properties),
        "url": build_url(build, about),
    })
}

fn of_step(builder: &BuilderName, number: u64, step: &Step, url: Option<&str>) -> Value {
    json!({
        "builder": builder.as_str(),
        "number": number,
        "step": step.name,
        "step_number": step.number,
        "results": step.outcome.map(Outcome::word),
        "text": step.text,
        "hidden": step.hidden,
        "logs": step.logs.iter().map(|log| log.name.as_str()).collect::<Vec<_>>(),
        "url": url,
    })
}

fn properties(properties: &Properties) -> Map<String, Value> {
    properties.0.iter().map(|(name, property)| (name.clone(), property.0.clone())).collect()
}
