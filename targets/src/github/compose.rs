//! What is said of a build (G04, G05): one request, the same whenever the same record is composed.

mod summary;

use super::decide::{conclusion, state};
use crate::BuildError;
use crds::{GitHubMode, GitHubStates, GitHubStatusSpec};
use model::{Build, Identity, Timestamp, segment};
use render::{BuildContext, Interpolation, Site};
use serde_json::{Map, Value, json};

/// Characters of a status' description: GitHub refuses a longer one.
const DESCRIPTION: usize = 140;
/// Characters of a context or a check's name.
const CONTEXT: usize = 255;

/// Whose status it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub owner: String,
    pub name: String,
    pub sha: String,
}

impl Commit {
    /// The repository's path below the base address.
    pub fn repository(&self) -> String {
        format!("repos/{}/{}", segment(&self.owner), segment(&self.name))
    }

    /// The repository as people write it.
    pub fn shown(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }
}

/// What is told of a build at its start or its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Whose build, of which master: the same at its start and its end.
    pub(super) build: String,
    pub(super) commit: Commit,
    pub(super) context: String,
    pub(super) mode: GitHubMode,
    /// Whether the build ended.
    pub(super) ends: bool,
    pub(super) began: Timestamp,
    pub(super) body: Map<String, Value>,
}

impl Message {
    /// The path below the base address at which it is told.
    pub fn path(&self) -> String {
        let repository = self.commit.repository();
        match self.mode {
            GitHubMode::Statuses => format!("{repository}/statuses/{}", segment(&self.commit.sha)),
            GitHubMode::Checks => format!("{repository}/check-runs"),
        }
    }

    /// The request's JSON.
    pub fn body(&self) -> Value {
        Value::Object(self.body.clone())
    }

    /// What tells it from other statuses of its commit; empty for GitHub's own default.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// GitHub's word for how the build fares.
    pub fn state(&self) -> &str {
        let word = |key| self.body.get(key).and_then(Value::as_str);
        word("state").or_else(|| word("conclusion")).or_else(|| word("status")).unwrap_or_default()
    }

    /// The page about the build.
    pub(super) fn url(&self) -> Option<&str> {
        self.body.get("target_url").and_then(Value::as_str)
    }

    /// The same about another commit or context.
    pub(super) fn moved(&self, commit: &Commit, context: &str) -> Self {
        let mut other =
            Self { commit: commit.clone(), context: context.to_owned(), ..self.clone() };
        match self.mode {
            GitHubMode::Statuses if context.is_empty() => drop(other.body.remove("context")),
            GitHubMode::Statuses => drop(other.body.insert("context".into(), context.into())),
            GitHubMode::Checks => {
                other.body.insert("name".into(), context.into());
                other.body.insert("head_sha".into(), commit.sha.clone().into());
            }
        }
        other
    }
}

/// Why nothing is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsaid {
    /// Owner, name or commit is empty: the build is not of a commit on GitHub.
    Empty(String),
    /// A setting became something that can be no part of a request.
    Unusable(String),
}

/// Makes messages from builds.
#[derive(Debug)]
pub struct Composer {
    owner: Setting,
    name: Setting,
    sha: Setting,
    context: Setting,
    start: Setting,
    end: Setting,
    mode: GitHubMode,
    states: GitHubStates,
}

/// A text that is filled in, under the name of its field.
#[derive(Debug)]
struct Setting {
    field: &'static str,
    given: String,
    text: Interpolation,
}

impl Setting {
    fn new(field: &'static str, given: &str) -> Result<Self, BuildError> {
        let text = Interpolation::parse(given).map_err(|error| BuildError::new(field, error))?;
        Ok(Self { field, given: given.to_owned(), text })
    }

    fn render(&self, context: &BuildContext) -> String {
        self.text.render(context).trim().to_owned()
    }

    /// A part of the request's address.
    fn part(&self, context: &BuildContext) -> Result<String, Unsaid> {
        let Self { field, given, .. } = self;
        let text = self.render(context);
        match text.as_str() {
            "" => Err(Unsaid::Empty(format!("{field} {given:?} is empty for this build"))),
            // No server would see these: they are taken for steps within the address.
            "." | ".." => Err(Unsaid::Unusable(format!(
                "{field} {given:?} is {text:?} for this build, which names nothing on GitHub"
            ))),
            _ => Ok(text),
        }
    }
}

impl Composer {
    pub fn new(spec: &GitHubStatusSpec) -> Result<Self, BuildError> {
        Ok(Self {
            owner: Setting::new("spec.repoOwner", &spec.repo_owner)?,
            name: Setting::new("spec.repoName", &spec.repo_name)?,
            sha: Setting::new("spec.sha", &spec.sha)?,
            context: Setting::new("spec.context", &spec.context)?,
            start: Setting::new("spec.startDescription", &spec.start_description)?,
            end: Setting::new("spec.endDescription", &spec.end_description)?,
            mode: spec.mode,
            states: spec.states.clone(),
        })
    }

    /// Whether all builds are of the same repository.
    pub fn is_fixed(&self) -> bool {
        self.owner.text.is_fixed() && self.name.text.is_fixed()
    }

    /// What is said of a build as it is now.
    pub fn message(
        &self,
        build: &Build,
        identity: &Identity,
        site: &Site,
    ) -> Result<Message, Unsaid> {
        // A build that was found while it ran may be told of before its properties are: what is
        // filled in would be another commit's.
        let place = [&self.owner, &self.name, &self.sha, &self.context];
        if build.outcome.is_none()
            && build.properties.0.is_empty()
            && place.iter().any(|setting| setting.text.uses_properties())
        {
            let text = "its properties are not known yet; its end will be told";
            return Err(Unsaid::Empty(text.to_owned()));
        }
        let filled = BuildContext::new(build, site);
        let commit = Commit {
            owner: self.owner.part(&filled)?,
            name: self.name.part(&filled)?,
            sha: self.sha.part(&filled)?,
        };
        let context: String = self.context.render(&filled).chars().take(CONTEXT).collect();
        let saying = if build.outcome.is_some() { &self.end } else { &self.start };
        let description: String = saying.render(&filled).chars().take(DESCRIPTION).collect();
        let url = site.links.as_ref().map(|links| links.build(build));
        let Identity { master, database, kind, id, .. } = identity;
        let key = format!("{master}/{database}/{kind}/{id}");
        let body = match self.mode {
            GitHubMode::Statuses => self.status(build, &context, description, url),
            GitHubMode::Checks if context.is_empty() => {
                let text = format!("spec.context {:?} is empty for this build", self.context.given);
                return Err(Unsaid::Unusable(format!("{text}, and a check run needs a name")));
            }
            GitHubMode::Checks => {
                self.check(build, &commit, &context, &key, description, url, site)
            }
        };
        Ok(Message {
            build: key,
            commit,
            context,
            mode: self.mode,
            ends: build.outcome.is_some(),
            began: build.started_at,
            body,
        })
    }

    /// Of `POST /repos/{owner}/{repo}/statuses/{sha}`. What is empty is left out: GitHub has a
    /// default for it.
    fn status(
        &self,
        build: &Build,
        context: &str,
        description: String,
        url: Option<String>,
    ) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("state".into(), state(build.outcome, &self.states).into());
        let texts = [
            ("target_url", url.unwrap_or_default()),
            ("description", description),
            ("context", context.to_owned()),
        ];
        for (key, text) in texts {
            if !text.is_empty() {
                body.insert(key.into(), text.into());
            }
        }
        body
    }

    /// Of `POST /repos/{owner}/{repo}/check-runs`.
    #[allow(clippy::too_many_arguments, reason = "each is a field of the request")]
    fn check(
        &self,
        build: &Build,
        commit: &Commit,
        name: &str,
        key: &str,
        description: String,
        url: Option<String>,
        site: &Site,
    ) -> Map<String, Value> {
        let title = if description.is_empty() { build.text.clone() } else { description };
        let mut body = Map::new();
        let mut put = |key: &str, value: Value| drop(body.insert(key.to_owned(), value));
        put("name", name.into());
        put("head_sha", commit.sha.clone().into());
        put("external_id", key.into());
        put("started_at", build.started_at.rfc3339().into());
        put("output", json!({ "title": title, "summary": summary::summary(build, site) }));
        if let Some(url) = url {
            put("details_url", url.into());
        }
        match build.outcome {
            None => put("status", "in_progress".into()),
            Some(outcome) => {
                put("status", "completed".into());
                put("conclusion", conclusion(outcome, &self.states).into());
                let end = build.complete_at.unwrap_or(build.started_at);
                put("completed_at", end.rfc3339().into());
            }
        }
        body
    }
}
