//! Hands messages over: what was told where, the token, and one request after the other.

use super::{
    api::{Api, Unwell},
    app::Credentials,
    compose::{Commit, Message},
    refused,
    told::Told,
};
use crate::BuildError;
use crds::{GitHubMode, GitHubStatusSpec};
use delivery::{SendError, budget::Credential};
use model::{Timestamp, segment};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value};

/// A start that is told so many seconds after the build began is late: its end may be told already.
const LATE: u64 = 60;
/// What GitHub calls the context of a status that names none.
const DEFAULT_CONTEXT: &str = "default";

/// GitHub, as this target knows it.
#[derive(Debug)]
pub struct GitHub {
    pub(super) api: Api,
    pub(super) credentials: Credentials,
    pub(super) told: Told,
    /// Whether all builds are of the same repository.
    fixed: bool,
}

/// A status that GitHub has, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Posted {
    state: String,
    context: String,
    target_url: Option<String>,
    created_at: String,
}

impl GitHub {
    pub fn new(
        spec: &GitHubStatusSpec,
        credentials: Credentials,
        ca: Option<&[u8]>,
        fixed: bool,
    ) -> Result<Self, BuildError> {
        let api = Api::new(&spec.base_url, ca)?;
        Ok(Self { api, credentials, told: Told::default(), fixed })
    }

    pub fn secrets(&self) -> Vec<&str> {
        self.credentials.secrets()
    }

    pub fn credential(&self) -> Credential {
        self.credentials.credential(self.api.origin())
    }

    /// The address of a path.
    pub fn place(&self, path: &str) -> String {
        self.api.place(path)
    }

    /// Tells a message, at an end also where the start was told.
    pub async fn send(&self, message: &Message) -> Result<(), SendError> {
        let elsewhere = message.ends.then(|| self.told.elsewhere(message)).flatten();
        let run = self.tell(message).await?;
        if let Some((commit, context)) = elsewhere {
            self.tell(&message.moved(&commit, &context)).await?;
        }
        self.told.note(message, run);
        Ok(())
    }

    /// The check run that it was told in, if it was one.
    async fn tell(&self, message: &Message) -> Result<Option<u64>, SendError> {
        if !message.ends && self.told.ended(message) {
            return Ok(None);
        }
        match message.mode {
            GitHubMode::Statuses => self.status(message).await.map(|()| None),
            GitHubMode::Checks => self.check(message).await,
        }
    }

    async fn status(&self, message: &Message) -> Result<(), SendError> {
        let late = Timestamp::now().seconds_since(message.began) > LATE;
        if !message.ends && late && self.has_end(message).await? {
            tracing::info!(commit = message.commit.sha, "the build's end is told already");
            return Ok(());
        }
        self.ask(Method::POST, &message.path(), Some(&message.body), &message.commit)
            .await
            .map(drop)
    }

    /// Whether GitHub has a status of the build that is not pending: by the build's page, or if it
    /// has none, any of its context since the build began.
    async fn has_end(&self, message: &Message) -> Result<bool, SendError> {
        let Commit { sha, .. } = &message.commit;
        let repository = message.commit.repository();
        let path = format!("{repository}/commits/{}/statuses?per_page=100", segment(sha));
        let answer = self.ask(Method::GET, &path, None, &message.commit).await?;
        let posted = Vec::<Posted>::deserialize(answer).map_err(|error| {
            SendError::Transient(format!("{} answered no statuses: {error}", self.place(&path)))
        })?;
        let context = if message.context.is_empty() { DEFAULT_CONTEXT } else { &message.context };
        let ends = |status: &Posted| match message.url() {
            Some(url) => status.target_url.as_deref() == Some(url),
            None => {
                let at = status.created_at.parse::<jiff::Timestamp>().ok();
                at.is_some_and(|at| at.as_second() >= message.began.0)
            }
        };
        // GitHub does not tell contexts apart by the case of letters.
        let same = |s: &Posted| s.context.to_lowercase() == context.to_lowercase();
        Ok(posted.iter().any(|s| s.state != "pending" && same(s) && ends(s)))
    }

    /// Asks about a commit, with a token that is renewed once if GitHub refuses it.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Map<String, Value>>,
        commit: &Commit,
    ) -> Result<Value, SendError> {
        let mut renewed = false;
        loop {
            let token = self.credentials.token(&self.api).await?;
            let asked = self.api.ask(method.clone(), path, body, token.header.clone()).await;
            let refused = match asked {
                Ok(answer) => return Ok(answer),
                Err(Unwell::Failed(error)) => return Err(error),
                Err(Unwell::Refused(refused)) => refused,
            };
            let stale = refused.status == StatusCode::UNAUTHORIZED && !renewed;
            if stale && self.credentials.renew(&token).await {
                renewed = true;
                continue;
            }
            let words = delivery::redact(&refused::words(&refused), &[token.secret()]);
            let place = self.api.place(path);
            return Err(refused::error(&refused, &place, &words, commit, self.fixed));
        }
    }
}
