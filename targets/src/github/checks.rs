//! Check runs: made when a build begins, completed when it ends, and found again by what is said of
//! them in `external_id`, so that a repetition makes no second one.

use super::{compose::Message, send::GitHub};
use delivery::SendError;
use model::segment;
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

/// Check runs of one commit and name that are looked through.
const PAGES: u32 = 10;
const PAGE: usize = 100;

/// Check runs of a commit, as far as they matter here.
#[derive(Debug, Deserialize)]
struct Runs {
    check_runs: Vec<Run>,
}

#[derive(Debug, Deserialize)]
struct Run {
    id: u64,
    external_id: Option<String>,
}

impl GitHub {
    /// Makes or completes the build's check run; its ID.
    pub(super) async fn check(&self, message: &Message) -> Result<Option<u64>, SendError> {
        let known = match self.told.run(message) {
            Some(id) => Some(id),
            None => self.find(message).await?,
        };
        let commit = &message.commit;
        let Some(id) = known else {
            let made = self.ask(Method::POST, &message.path(), Some(&message.body), commit).await?;
            return Ok(made.get("id").and_then(Value::as_u64));
        };
        if message.ends {
            let mut body = message.body.clone();
            // A run stays with its commit.
            body.remove("head_sha");
            let path = format!("{}/{id}", message.path());
            self.ask(Method::PATCH, &path, Some(&body), commit).await?;
        }
        Ok(Some(id))
    }

    /// The build's check run, if GitHub has it.
    async fn find(&self, message: &Message) -> Result<Option<u64>, SendError> {
        let repository = message.commit.repository();
        let (sha, name) = (segment(&message.commit.sha), segment(&message.context));
        let app = self.credentials.app_id().map(|id| format!("&app_id={id}")).unwrap_or_default();
        for page in 1..=PAGES {
            let path = format!(
                "{repository}/commits/{sha}/check-runs?check_name={name}&filter=all{app}&per_page={PAGE}&page={page}"
            );
            let answer = self.ask(Method::GET, &path, None, &message.commit).await?;
            let Runs { check_runs } = Runs::deserialize(answer).map_err(|error| {
                SendError::Transient(format!(
                    "{} answered no check runs: {error}",
                    self.place(&path)
                ))
            })?;
            let own = |run: &&Run| run.external_id.as_deref() == Some(&message.build);
            if let Some(run) = check_runs.iter().find(own) {
                return Ok(Some(run.id));
            }
            if check_runs.len() < PAGE {
                break;
            }
        }
        Ok(None)
    }
}
