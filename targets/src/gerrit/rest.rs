//! Gerrit's REST API, with the account's HTTP password.

use super::{
    Secrets,
    compose::{Review, Vote},
    decide::Place,
    send::{Found, Marks},
};
use crate::{
    BuildError,
    http::{self, Refused},
};
use crds::{GerritHttp, GerritPushSpec};
use delivery::{SendError, budget::Credential};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, header::CONTENT_TYPE};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, fmt};

/// Gerrit writes this before its JSON, so that no page can use it as a script.
const GUARD: &str = ")]}'";
/// Changes that one commit may be in.
const CHANGES: &str = "10";
/// Most bytes of an answer.
const ANSWER: usize = 4 << 20;

/// Where Gerrit is and who we are.
pub struct Rest {
    client: Client,
    /// Ends in `/a/changes/`.
    changes: Url,
    place: String,
    username: String,
    password: String,
    marks: Marks,
}

/// Without the password.
impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rest({} as {})", self.place, self.username)
    }
}

/// A change, as far as it matters here.
#[derive(Deserialize)]
struct Change {
    id: String,
    #[serde(rename = "_number")]
    number: u64,
    status: String,
    current_revision: Option<String>,
    #[serde(default)]
    revisions: BTreeMap<String, Revision>,
    #[serde(default)]
    messages: Vec<Said>,
}

#[derive(Deserialize)]
struct Revision {
    #[serde(rename = "_number")]
    number: u64,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    author: Account,
    #[serde(default)]
    message: String,
}

#[derive(Default, Deserialize)]
struct Account {
    #[serde(default)]
    username: String,
}

/// What came of a review.
#[derive(Deserialize)]
struct Reviewed {
    #[serde(default)]
    labels: BTreeMap<String, i64>,
}

impl Rest {
    pub fn new(
        spec: &GerritPushSpec,
        settings: &GerritHttp,
        secrets: &Secrets,
        marks: Marks,
    ) -> Result<Self, BuildError> {
        let mut url = crate::about::address("spec.http.url", &settings.url)?;
        let place = http::place(&url);
        if url.scheme() == "http" {
            tracing::warn!(
                url = place,
                "the password goes over the network in the clear; use https"
            );
        }
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/a/changes/"));
        url.set_query(None);
        let within = |error: BuildError| BuildError::new("spec.http.caSecretRef", error.text);
        let builder = http::client(secrets.ca.as_deref()).map_err(within)?;
        let client = http::build(builder.user_agent("buildbot")).map_err(within)?;
        let password = secrets.password.as_deref().unwrap_or_default().trim().to_owned();
        Ok(Self { client, changes: url, place, username: spec.username.clone(), password, marks })
    }

    pub fn place(&self) -> String {
        self.place.clone()
    }

    pub fn secrets(&self) -> Vec<&str> {
        vec![&self.password]
    }

    pub fn credential(&self) -> Credential {
        let parts = [&self.place, &self.username, &self.password];
        Credential::of(parts.map(|part| part.as_bytes()))
    }

    /// The changes that have a patch set.
    pub async fn find(&self, place: &Place, comments: bool) -> Result<Vec<Found>, SendError> {
        let question = format!("commit:{} project:\"{}\"", place.revision, place.project);
        let mut query = vec![("q", question.as_str()), ("n", CHANGES), ("o", "ALL_REVISIONS")];
        if comments {
            query.extend([("o", "MESSAGES"), ("o", "DETAILED_ACCOUNTS")]);
        }
        let request = self.client.get(self.changes.clone()).query(&query);
        let answer = self.answer(request).await?;
        if !answer.status().is_success() {
            let refused = Refused::read(answer).await;
            return Err(refused.error(&self.place, &refused.line(), "http.url"));
        }
        let changes: Vec<Change> = self.json(answer).await?;
        let found = changes.into_iter().filter_map(|change| {
            let number = |revision: &String| change.revisions.get(revision).map(|r| r.number);
            let patch_set = number(&place.revision)?;
            let last = change.messages.iter().rev().find(|m| m.author.username == self.username);
            Some(Found {
                patch_set,
                newest: change.current_revision.as_ref().and_then(number).unwrap_or(patch_set),
                last: last.map(|said| said.message.clone()),
                change: change.number,
                status: change.status,
                id: change.id,
            })
        });
        Ok(found.collect())
    }

    /// Sends a review; the votes that were counted.
    pub async fn review(&self, found: &Found, review: &Review) -> Result<Vec<Vote>, SendError> {
        let labels: Map<String, Value> =
            review.votes.iter().map(|vote| (vote.label.clone(), vote.value.into())).collect();
        let mut input = json!({ "message": review.text, "labels": labels, "tag": self.marks.tag });
        if let Some(notify) = &self.marks.notify {
            input["notify"] = notify.as_str().into();
        }
        // The id is one segment, percent-encoded by Gerrit already.
        let address = format!("{}/revisions/{}/review", found.id, found.patch_set);
        let url = self
            .changes
            .join(&address)
            .map_err(|error| SendError::Permanent(format!("{}: {address}: {error}", self.place)))?;
        let request = self.client.post(url).header(CONTENT_TYPE, "application/json; charset=UTF-8");
        let answer = self.answer(request.body(input.to_string())).await?;
        if !answer.status().is_success() {
            return Err(self.refused(&Refused::read(answer).await));
        }
        let Reviewed { labels } = self.json(answer).await?;
        Ok(labels.into_iter().map(|(label, value)| Vote { label, value }).collect())
    }

    /// A review that is refused: what is wrong with it is so for this change only.
    fn refused(&self, refused: &Refused) -> SendError {
        let words = refused.line();
        let of_the_change = match refused.status {
            StatusCode::NOT_FOUND | StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => true,
            StatusCode::FORBIDDEN => words.contains("label"),
            _ => false,
        };
        match refused.error(&self.place, &words, "http.url") {
            SendError::Misconfigured(text) if of_the_change => SendError::Permanent(text),
            error => error,
        }
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Response, SendError> {
        let request = request.basic_auth(&self.username, Some(&self.password));
        request.send().await.map_err(|error| http::failed(&self.place, error))
    }

    async fn json<T: DeserializeOwned>(&self, mut answer: Response) -> Result<T, SendError> {
        let mut bytes = Vec::new();
        loop {
            let chunk = answer.chunk().await.map_err(|error| http::failed(&self.place, error))?;
            let Some(chunk) = chunk else { break };
            if bytes.len() + chunk.len() > ANSWER {
                let text = format!("{} answered more than {ANSWER} bytes", self.place);
                return Err(SendError::Transient(text));
            }
            bytes.extend_from_slice(&chunk);
        }
        let json = bytes.strip_prefix(GUARD.as_bytes()).unwrap_or(&bytes);
        serde_json::from_slice(json).map_err(|error| {
            let text = format!("{} gave no answer of a Gerrit: {error}", self.place);
            SendError::Transient(text)
        })
    }
}
