//! A build in which every field has a value.
#![allow(clippy::unwrap_used, missing_docs, dead_code)]

use model::{
    Build, BuildId, BuilderId, BuilderRef, Buildset, Change, ChangeId, Links, Log, LogKind,
    Outcome, Patch, Properties, Property, SourceStamp, Step, StepUrl, Timestamp, WorkerId,
    WorkerRef,
};
use render::{BuildContext, Site};
use serde_json::json;

pub fn build() -> Build {
    let properties = Properties(
        [
            ("owner", json!("ann@example.org")),
            ("got_revision", json!({"": "abc", "lib": "def"})),
            ("version", json!("1.0")),
            ("zero", json!(0)),
            ("none", json!(null)),
            ("yes", json!(true)),
            ("empty", json!("")),
        ]
        .map(|(name, value)| (name.to_owned(), Property(value, "test".into())))
        .into(),
    );
    Build {
        id: BuildId(9),
        number: 7,
        builder: BuilderRef {
            id: BuilderId(2),
            name: "unit win/32".into(),
            tags: vec!["unit".into()],
        },
        worker: Some(WorkerRef { id: WorkerId(1), name: "w1".into() }),
        started_at: Timestamp(1_795_412_378),
        complete_at: Some(Timestamp(1_795_412_383)),
        outcome: Some(Outcome::Failure),
        previous: Some(Outcome::Success),
        text: "failed 'sh <test>'".into(),
        properties,
        buildset: Buildset {
            reason: "forced".into(),
            scheduler: Some("force".into()),
            source_stamps: vec![
                SourceStamp {
                    branch: Some("master".into()),
                    project: "app".into(),
                    repository: "r".into(),
                    patch: Some(Patch { author: "Try <t@x.org>".into(), ..Patch::default() }),
                    ..SourceStamp::default()
                },
                SourceStamp {
                    codebase: "lib".into(),
                    revision: Some("d".into()),
                    ..SourceStamp::default()
                },
            ],
            ..Buildset::default()
        },
        changes: vec![Change {
            id: ChangeId(3),
            author: "Ann <ann@example.org>".into(),
            committer: Some("Bea".into()),
            comments: "mend it\n\nreally".into(),
            branch: Some("master".into()),
            revision: Some("abc".into()),
            revlink: Some("http://x/abc".into()),
            category: Some("c".into()),
            files: vec!["a.c".into()],
            properties: Properties(
                [("k".to_owned(), Property(json!("v"), "Change".into()))].into(),
            ),
            ..Change::default()
        }],
        steps: vec![Step {
            number: 1,
            name: "test".into(),
            text: "failed".into(),
            outcome: Some(Outcome::Failure),
            started_at: Some(Timestamp(1_795_412_379)),
            complete_at: Some(Timestamp(1_795_412_382)),
            urls: vec![StepUrl { name: "artifact".into(), url: "http://x/a".into() }],
            logs: vec![Log {
                name: "stdio".into(),
                slug: "stdio".into(),
                kind: LogKind::Stdio,
                lines: 4,
                ..Log::default()
            }],
            ..Step::default()
        }],
        ..Build::default()
    }
}

pub fn site() -> Site {
    Site {
        title: "Project".into(),
        title_url: "http://project.example.org/".into(),
        links: Some(Links::web_status("http://ci.example.org/")),
    }
}

pub fn context() -> BuildContext {
    BuildContext::new(&build(), &site())
}
