//! Builds of one commit, and targets that tell a stand-in for GitHub of them.

use super::{about, github_spec, record};
use delivery::{SendError, Target as _};
use e2e::github::{APP, GitHub, TOKEN};
use model::{
    Build, BuildId, BuilderId, BuilderRef, Event, Outcome, Record, SourceStamp, Timestamp,
};
use serde_json::{Value, json};
use targets::github::{GitHubStatus, Secrets};
use tempfile::TempDir;

pub const SHA: &str = "e84b9967033c7981cb39a32727ced5541f01d9a6";
pub const OTHER: &str = "770f7ddedd9b9cccf66b66a8c95b7c659ea2dfef";

/// A build that began now, on a builder `bN`.
pub fn build(builder: u64, id: u64, outcome: Option<Outcome>) -> Build {
    let now = Timestamp::now();
    let stamp = SourceStamp { revision: Some(SHA.to_owned()), ..SourceStamp::default() };
    let mut build = Build {
        id: BuildId(id),
        number: id,
        builder: BuilderRef {
            id: BuilderId(builder),
            name: format!("b{builder}").into(),
            tags: Vec::new(),
        },
        started_at: now,
        complete_at: outcome.map(|_| now),
        outcome,
        ..Build::default()
    };
    build.buildset.source_stamps = vec![stamp];
    build
}

/// The start or the end of a build.
pub fn told(build: Build, seq: u64) -> Record {
    let build = Box::new(build);
    let event = match build.outcome {
        None => Event::BuildStarted { build },
        Some(_) => Event::BuildFinished { build },
    };
    record(event, seq)
}

pub fn starts(builder: u64, id: u64) -> Record {
    told(build(builder, id, None), 2 * id)
}

pub fn ends(builder: u64, id: u64, outcome: Outcome) -> Record {
    told(build(builder, id, Some(outcome)), 2 * id + 1)
}

/// A target with a token.
pub fn target(github: &GitHub, more: &Value) -> GitHubStatus {
    let mut all = json!({ "tokenSecretRef": { "name": "github", "key": "token" } });
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let secrets = Secrets { token: Some(TOKEN.to_owned()), ..Secrets::default() };
    make(&github_spec(&github.url(), &all), &secrets)
}

pub fn make(spec: &crds::GitHubStatusSpec, secrets: &Secrets) -> GitHubStatus {
    GitHubStatus::new("github", spec, secrets, about().fixed()).unwrap()
}

/// An App with a key of its own.
pub struct App {
    folder: TempDir,
}

impl App {
    pub fn of(github: &GitHub) -> Self {
        let folder = tempfile::tempdir().unwrap();
        github.make_key(folder.path());
        Self { folder }
    }

    pub fn key(&self) -> Vec<u8> {
        std::fs::read(self.folder.path().join("private-key.pem")).unwrap()
    }

    /// A target that acts as the App.
    pub fn target(&self, github: &GitHub, more: &Value) -> GitHubStatus {
        let secrets = Secrets { private_key: Some(self.key()), ..Secrets::default() };
        make(&Self::spec(github, more), &secrets)
    }

    pub fn spec(github: &GitHub, more: &Value) -> crds::GitHubStatusSpec {
        let mut all = json!({ "app": {
            "appId": APP.0,
            "installationId": APP.1,
            "privateKeySecretRef": { "name": "github", "key": "private-key.pem" },
        } });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        github_spec(&github.url(), &all)
    }
}

/// One attempt.
pub async fn send(target: &GitHubStatus, record: &Record) -> Result<(), SendError> {
    let mut message = target.compose(record, ()).unwrap().unwrap();
    target.send(&mut message).await.map(drop)
}

/// States of one commit and context, in order.
pub fn states(github: &GitHub, sha: &str, context: &str) -> Vec<String> {
    let all = github.statuses().into_iter();
    all.filter(|(s, c, _)| s == sha && c == context).map(|(_, _, state)| state).collect()
}
