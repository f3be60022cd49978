//! A target of any kind, to be asked or to send one message.

use crate::running::{StartError, make};
use crds::{manifest::Resource, secrets::SecretSource};
use delivery::{OnceError, Sent, Target, once, once_batch};
use feed::AnyFeed;
use model::{Build, Record};
use std::time::Duration;
use targets::{About, Preview, gerrit, github, http_push, mail, status_push};
use tokio::sync::watch;

/// How long one message may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A target of any kind.
#[derive(Debug)]
pub enum Made {
    /// Of a `MailNotifier`.
    Mail(Box<mail::Mail>),
    /// Of an `HttpPush`.
    HttpPush(Box<http_push::HttpPush>),
    /// Of a `StatusPush`.
    StatusPush(Box<status_push::StatusPush>),
    /// Of a `GerritPush`.
    Gerrit(Box<gerrit::GerritPush>),
    /// Of a `GitHubStatus`.
    GitHub(Box<github::GitHubStatus>),
}

/// Makes the target of a resource; `None` of one that sends nothing. One that is `unsent` may have no
/// key to log in with.
///
/// # Errors
/// [`StartError`] names the setting or Secret that can't be used.
pub fn make(
    resource: &Resource,
    namespace: &str,
    secrets: &SecretSource,
    about: watch::Receiver<About>,
    feed: AnyFeed,
    unsent: bool,
) -> Result<Option<Made>, StartError> {
    Ok(Some(match resource {
        Resource::MailNotifier(mail) => {
            Made::Mail(Box::new(make::mail(namespace, mail, secrets, about)?.reading(feed)))
        }
        Resource::HttpPush(push) => {
            Made::HttpPush(Box::new(make::http_push(namespace, push, secrets, about)?))
        }
        Resource::StatusPush(push) => Made::StatusPush(Box::new(make::status_push(push, about)?)),
        Resource::GerritPush(push) => {
            let target = if unsent {
                make::gerrit_unsent(push, about)?
            } else {
                make::gerrit(push, secrets, about)?
            };
            Made::Gerrit(Box::new(target.with_past(feed)))
        }
        Resource::GitHubStatus(github) => {
            Made::GitHub(Box::new(make::github(github, secrets, about)?))
        }
        Resource::Master(_) | Resource::WebStatus(_) => return Ok(None),
    }))
}

impl Made {
    /// What would be said of a build.
    pub async fn preview(&self, build: &Build) -> Vec<Preview> {
        match self {
            Self::Mail(target) => target.preview(build).await,
            Self::HttpPush(target) => target.preview(build),
            Self::StatusPush(target) => target.preview(build),
            Self::Gerrit(target) => target.preview(build),
            Self::GitHub(target) => target.preview(build),
        }
    }

    /// Whether a message says something where others see it for good: a recorded build is nobody's
    /// business there.
    pub fn writes_on_a_forge(&self) -> bool {
        matches!(self, Self::Gerrit(_) | Self::GitHub(_))
    }

    /// Whether the record is one that it tells of.
    pub fn decides(&self, record: &Record) -> bool {
        use delivery::BatchTarget as _;
        match self {
            Self::Mail(target) => target.decide(record),
            Self::HttpPush(target) => target.decide(record),
            Self::StatusPush(target) => target.decide(record),
            Self::Gerrit(target) => target.decide(record),
            Self::GitHub(target) => target.decide(record),
        }
    }

    /// Sends what is said of a record, once; `None` if there is nobody to say it to.
    pub async fn send(&self, record: &Record) -> Result<Option<Sent>, OnceError> {
        match self {
            Self::Mail(target) => Box::pin(once(&**target, record, LIMIT)).await,
            Self::Gerrit(target) => once(&**target, record, LIMIT).await,
            Self::GitHub(target) => once(&**target, record, LIMIT).await,
            Self::HttpPush(target) => once_batch(&**target, record, LIMIT).await.map(Some),
            Self::StatusPush(target) => once_batch(&**target, record, LIMIT).await.map(Some),
        }
    }
}
