//! `GitHubStatus`: how the builds of a commit fare, as commit statuses or check runs (rows G04, G05).
//!
//! A build has one status for each context: pending when it begins, something else when it ends.
//! What comes late never takes a status back to pending:
//!
//! - The loop attempts a builder's events in their order, each after the one before it is done with;
//!   the default context names the builder.
//! - A start that is attempted late (a dead letter that is sent again, a backlog) asks first what
//!   GitHub has of the build, and is done if its end is there already.
//!
//! And none stays pending: every end is told, whatever the result and however late; and if the owner,
//! name, commit or context of an end are not those of its start, both are told of it.

mod api;
mod app;
mod checks;
pub(crate) mod compose;
mod decide;
pub(crate) mod refused;
mod send;
mod told;

pub use compose::Message;

use crate::{About, BuildError, Preview};
use app::Credentials;
use compose::{Composer, Unsaid};
use crds::GitHubStatusSpec;
use decide::Choice;
use delivery::{
    ComposeError, Options, SendError, Sent, Target,
    budget::{Budgets, Limit},
};
use model::{Build, Event, Identity, Phase, Record};
use send::GitHub;
use std::{fmt, time::Duration};
use tokio::sync::watch;

/// What a GitHub target has beside its settings.
#[derive(Clone, Default)]
pub struct Secrets {
    /// The value of `tokenSecretRef`.
    pub token: Option<String>,
    /// The value of `app.privateKeySecretRef`: PEM.
    pub private_key: Option<Vec<u8>>,
    /// The value of `caSecretRef`: PEM certificates.
    pub ca: Option<Vec<u8>>,
}

/// Never shows the values.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets")
            .field("token", &self.token.is_some())
            .field("private_key", &self.private_key.is_some())
            .field("ca", &self.ca.is_some())
            .finish()
    }
}

/// The target of one `GitHubStatus`.
#[derive(Debug)]
pub struct GitHubStatus {
    choice: Choice,
    composer: Composer,
    github: GitHub,
    limits: Vec<Limit>,
    about: watch::Receiver<About>,
}

impl GitHubStatus {
    /// Makes the target.
    ///
    /// # Errors
    /// [`BuildError`] names the setting that can't be used.
    pub fn new(
        name: &str,
        spec: &GitHubStatusSpec,
        secrets: &Secrets,
        about: watch::Receiver<About>,
    ) -> Result<Self, BuildError> {
        if spec.base_url.starts_with("http://") {
            tracing::warn!(
                target_name = name,
                "the token goes over the network in the clear; set an https:// baseUrl"
            );
        }
        let composer = Composer::new(spec)?;
        let credentials = Credentials::new(spec, secrets)?;
        let github = GitHub::new(spec, credentials, secrets.ca.as_deref(), composer.is_fixed())?;
        let limits = crate::about::limits(spec.rate_limit.as_ref());
        Ok(Self { choice: Choice::new(spec), composer, github, limits, about })
    }

    /// How it is driven: one status at a time until it is acknowledged, so that a kill repeats at
    /// most one, and because GitHub wants requests of one user one after the other. A status is tried
    /// until GitHub takes it: one that is given up would leave its commit pending.
    pub fn options(&self, name: &str, budgets: &Budgets) -> Options {
        let budget = budgets.of(self.github.credential(), &self.limits);
        // Nothing of a status is put off.
        Options { parallel: 1, put_off: 0, max_age: Duration::MAX, budget, ..Options::new(name) }
    }

    /// What would be said of a build now.
    pub fn preview(&self, build: &Build) -> Vec<Preview> {
        if !self.choice.selects(build) {
            return vec![Preview::nothing("not one of its builders")];
        }
        // What it would be called in the journal is not known here.
        let identity = Identity {
            master: "MASTER".to_owned(),
            database: 1,
            kind: "build".to_owned(),
            id: build.id.0,
            phase: Phase::Finished,
            nth: 0,
        };
        let site = self.about.borrow().site.clone();
        match self.composer.message(build, &identity, &site) {
            Ok(message) => vec![Preview {
                why: message.state().to_owned(),
                to: vec![self.github.place(&message.path())],
                title: message.context().to_owned(),
                body: format!("{:#}", message.body()),
            }],
            Err(Unsaid::Empty(text)) => vec![Preview::nothing(format!("skipped: {text}"))],
            Err(Unsaid::Unusable(text)) => vec![Preview::nothing(format!("can't be sent: {text}"))],
        }
    }
}

impl Target for GitHubStatus {
    type Facts = ();
    type Message = Message;

    fn kind(&self) -> &'static str {
        crate::Kind::GitHub.word()
    }

    fn decide(&self, record: &Record) -> bool {
        self.choice.wants(&record.event)
    }

    fn compose(&self, record: &Record, (): ()) -> Result<Option<Message>, ComposeError> {
        let (Event::BuildStarted { build } | Event::BuildFinished { build }) = &record.event else {
            return Ok(None);
        };
        let site = self.about.borrow().site.clone();
        match self.composer.message(build, &record.identity, &site) {
            Ok(message) => Ok(Some(message)),
            Err(Unsaid::Empty(text)) => {
                tracing::info!(builder = %build.builder.name, number = build.number, "no status: {text}");
                Ok(None)
            }
            Err(Unsaid::Unusable(text)) => Err(ComposeError(text)),
        }
    }

    fn secrets(&self) -> Vec<&str> {
        self.github.secrets()
    }

    async fn send(&self, message: &mut Message) -> Result<Sent, SendError> {
        self.github.send(message).await.map(|()| Sent::Whole)
    }
}
