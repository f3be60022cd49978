//! The one context of a build that templates, decisions and interpolation see.
//! Every field stands in `docs/build-context.md`; a test compares them.

use model::{Build, Change, Links, Log, LogKind, Outcome, SourceStamp, Step, Timestamp};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What a master and its pages are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The project's title.
    pub title: String,
    /// The project's home page.
    pub title_url: String,
    /// Where the pages about builds are; `None` if nobody shows any.
    pub links: Option<Links>,
}

impl Default for Site {
    /// Buildbot's own title, no pages.
    fn default() -> Self {
        Self { title: "Buildbot".into(), title_url: String::new(), links: None }
    }
}

/// A build as users' texts see it. Absent values are `null`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "docs/build-context.md describes each, and a test compares")]
pub struct BuildContext {
    pub id: i64,
    pub number: i64,
    pub builder: BuilderContext,
    pub worker: Option<String>,
    pub result: &'static str,
    pub result_code: Option<i64>,
    pub previous: Option<&'static str>,
    pub previous_code: Option<i64>,
    pub text: String,
    pub reason: String,
    pub scheduler: Option<String>,
    pub title: String,
    pub title_url: String,
    pub main_url: Option<String>,
    pub url: Option<String>,
    pub started_at: i64,
    pub started: String,
    pub complete_at: Option<i64>,
    pub complete: Option<String>,
    pub seconds: Option<i64>,
    pub blamelist: Vec<String>,
    pub blamed_names: Vec<String>,
    pub owners: Vec<String>,
    pub projects: Vec<String>,
    pub properties: BTreeMap<String, Value>,
    pub source_stamps: Vec<SourceContext>,
    pub changes: Vec<ChangeContext>,
    pub steps: Vec<StepContext>,
    pub last_step: Option<StepContext>,
}

/// A builder.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "docs/build-context.md describes each, and a test compares")]
pub struct BuilderContext {
    pub id: i64,
    pub name: String,
    pub tags: Vec<String>,
    pub url: Option<String>,
}

/// What was built, of one codebase.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "docs/build-context.md describes each, and a test compares")]
pub struct SourceContext {
    pub codebase: String,
    pub project: String,
    pub repository: String,
    pub branch: Option<String>,
    pub revision: Option<String>,
    pub got_revision: Option<String>,
    pub patch: Option<PatchContext>,
}

/// The patch of a try build.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "docs/build-context.md describes each, and a test compares")]
pub struct PatchContext {
    pub author: String,
    pub comment: String,
    pub level: i64,
    pub subdir: String,
    pub body: String,
}

/// A change.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "docs/build-context.md describes each, and a test compares")]
pub struct ChangeContext {
    pub id: i64,
    pub author: String,
    pub author_name: String,
    pub committer: Option<String>,
    pub subject: String,
    pub comments: String,
    pub branch: Option<String>,
    pub revision: Option<String>,
    pub revlink: Option<String>,
    pub when_at: i64,
    pub when: String,
    pub category: Option<String>,
    pub repository: String,
    pub project: String,
    pub codebase: String,
    pub files: Vec<String>,
    pub properties: BTreeMap<String, Value>,
}

/// A step.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "docs/build-context.md describes each, and a test compares")]
pub struct StepContext {
    pub number: i64,
    pub name: String,
    pub text: String,
    pub result: &'static str,
    pub result_code: Option<i64>,
    pub started_at: Option<i64>,
    pub complete_at: Option<i64>,
    pub seconds: Option<i64>,
    pub urls: Vec<UrlContext>,
    pub logs: Vec<LogContext>,
}

/// A link that a step added.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "docs/build-context.md describes each, and a test compares")]
pub struct UrlContext {
    pub name: String,
    pub url: String,
}

/// A log, without its text.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "docs/build-context.md describes each, and a test compares")]
pub struct LogContext {
    pub name: String,
    pub kind: LogKind,
    pub lines: i64,
    pub url: Option<String>,
}

/// CEL tells signed from unsigned numbers and adds only like to like, so all are signed here.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn code(outcome: Option<Outcome>) -> Option<i64> {
    outcome.map(|outcome| i64::from(outcome.code()))
}

/// The word of an outcome; `running` while there is none.
fn word(outcome: Option<Outcome>) -> &'static str {
    outcome.map_or("running", Outcome::word)
}

impl BuildContext {
    /// Of a build, as `site` shows it. Hidden steps are left out.
    pub fn new(build: &Build, site: &Site) -> Self {
        let links = site.links.as_ref();
        let own = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        let steps: Vec<StepContext> =
            build.shown_steps().map(|step| StepContext::new(build, step, links)).collect();
        let last_step = steps.iter().rev().find(|s| s.complete_at.is_some()).cloned();
        let projects: BTreeSet<&str> =
            build.buildset.source_stamps.iter().map(|s| s.project.as_str()).collect();
        Self {
            id: signed(build.id.0),
            number: signed(build.number),
            builder: BuilderContext {
                id: signed(build.builder.id.0),
                name: build.builder.name.to_string(),
                tags: build.builder.tags.clone(),
                url: links.map(|l| l.builder(build.builder.id, &build.builder.name)),
            },
            worker: build.worker.as_ref().map(|worker| worker.name.clone()),
            result: word(build.outcome),
            result_code: code(build.outcome),
            previous: build.previous.map(Outcome::word),
            previous_code: code(build.previous),
            text: build.text.clone(),
            reason: build.buildset.reason.clone(),
            scheduler: build.buildset.scheduler.clone(),
            title: site.title.clone(),
            title_url: site.title_url.clone(),
            main_url: links.map(|l| l.base().to_owned()),
            url: links.map(|l| l.build(build)),
            started_at: build.started_at.0,
            started: build.started_at.rfc3339(),
            complete_at: build.complete_at.map(|t| t.0),
            complete: build.complete_at.map(Timestamp::rfc3339),
            seconds: build.complete_at.map(|t| signed(t.seconds_since(build.started_at))),
            blamelist: own(build.blamelist()),
            blamed_names: own(build.blamed_names()),
            owners: build.owners(),
            projects: own(projects.into_iter().filter(|p| !p.is_empty()).collect()),
            properties: values(&build.properties),
            source_stamps: build
                .buildset
                .source_stamps
                .iter()
                .map(|stamp| SourceContext::new(build, stamp))
                .collect(),
            changes: build.changes.iter().map(ChangeContext::new).collect(),
            steps,
            last_step,
        }
    }
}

fn values(properties: &model::Properties) -> BTreeMap<String, Value> {
    properties.0.iter().map(|(name, property)| (name.clone(), property.0.clone())).collect()
}

impl SourceContext {
    fn new(build: &Build, stamp: &SourceStamp) -> Self {
        Self {
            codebase: stamp.codebase.clone(),
            project: stamp.project.clone(),
            repository: stamp.repository.clone(),
            branch: stamp.branch.clone(),
            revision: stamp.revision.clone(),
            got_revision: build.got_revision(&stamp.codebase).map(str::to_owned),
            patch: stamp.patch.as_ref().map(|patch| PatchContext {
                author: patch.author.clone(),
                comment: patch.comment.clone(),
                level: patch.level,
                subdir: patch.subdir.clone(),
                body: patch.body.clone(),
            }),
        }
    }
}

impl ChangeContext {
    fn new(change: &Change) -> Self {
        Self {
            id: signed(change.id.0),
            author: change.author.clone(),
            author_name: change.author_name().to_owned(),
            committer: change.committer.clone(),
            subject: change.subject().to_owned(),
            comments: change.comments.clone(),
            branch: change.branch.clone(),
            revision: change.revision.clone(),
            revlink: change.revlink.clone().filter(|link| !link.is_empty()),
            when_at: change.when.0,
            when: change.when.rfc3339(),
            category: change.category.clone(),
            repository: change.repository.clone(),
            project: change.project.clone(),
            codebase: change.codebase.clone(),
            files: change.files.clone(),
            properties: values(&change.properties),
        }
    }
}

impl StepContext {
    fn new(build: &Build, step: &Step, links: Option<&Links>) -> Self {
        let log = |log: &Log| LogContext {
            name: log.name.clone(),
            kind: log.kind,
            lines: signed(log.lines),
            url: links.map(|l| l.log(build, step, log)),
        };
        Self {
            number: signed(step.number),
            name: step.name.clone(),
            text: step.text.clone(),
            result: word(step.outcome),
            result_code: code(step.outcome),
            started_at: step.started_at.map(|t| t.0),
            complete_at: step.complete_at.map(|t| t.0),
            seconds: step
                .complete_at
                .zip(step.started_at)
                .map(|(end, start)| signed(end.seconds_since(start))),
            urls: step
                .urls
                .iter()
                .map(|u| UrlContext { name: u.name.clone(), url: u.url.clone() })
                .collect(),
            logs: step.logs.iter().map(log).collect(),
        }
    }
}
