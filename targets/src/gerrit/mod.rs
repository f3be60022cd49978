//! `GerritPush`: reviews of the changes that builds were about (rows G01, G02, G03).

pub(crate) mod command;
mod compose;
pub(crate) mod decide;
mod hosts;
mod rest;
mod send;
mod ssh;

pub use compose::{Message, Review, Vote};
pub use decide::{Place, places};

use crate::{About, BuildError, Preview, past};
use compose::Composer;
use crds::GerritPushSpec;
use delivery::{
    ComposeError, Options, SendError, Sent, Target,
    budget::{Budgets, Limit},
};
use feed::AnyFeed;
use model::{Build, Event, Record, Selection};
use send::Sender;
use std::{fmt, time::Duration};
use tokio::sync::watch;

/// What a Gerrit target has beside its settings.
#[derive(Clone, Default)]
pub struct Secrets {
    /// The value of `identitySecretRef`: a private key.
    pub identity: Option<String>,
    /// The value of `knownHostsSecretRef`.
    pub known_hosts: Option<String>,
    /// The value of `http.passwordSecretRef`.
    pub password: Option<String>,
    /// The value of `http.caSecretRef`: PEM certificates.
    pub ca: Option<Vec<u8>>,
}

/// Never shows the values.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets")
            .field("identity", &self.identity.is_some())
            .field("known_hosts", &self.known_hosts.is_some())
            .field("password", &self.password.is_some())
            .field("ca", &self.ca.is_some())
            .finish()
    }
}

/// The target of one `GerritPush`.
#[derive(Debug)]
pub struct GerritPush {
    selection: Selection,
    composer: Composer,
    sender: Sender,
    limits: Vec<Limit>,
    catch_up: Option<Duration>,
    about: watch::Receiver<About>,
    past: Option<AnyFeed>,
}

impl GerritPush {
    /// Makes the target.
    ///
    /// # Errors
    /// [`BuildError`] names the setting that can't be used.
    pub fn new(
        spec: &GerritPushSpec,
        secrets: &Secrets,
        about: watch::Receiver<About>,
    ) -> Result<Self, BuildError> {
        Self::with(spec, Sender::new(spec, secrets)?, about)
    }

    /// One that can say what it would send, and has nothing to log in with.
    ///
    /// # Errors
    /// [`BuildError`] names the setting that can't be used.
    pub fn unsent(
        spec: &GerritPushSpec,
        about: watch::Receiver<About>,
    ) -> Result<Self, BuildError> {
        if let Some(http) = &spec.http {
            crate::about::address("spec.http.url", &http.url)?;
        }
        Self::with(spec, Sender::nowhere(spec), about)
    }

    fn with(
        spec: &GerritPushSpec,
        sender: Sender,
        about: watch::Receiver<About>,
    ) -> Result<Self, BuildError> {
        Ok(Self {
            selection: spec.selection(),
            composer: Composer::new(spec)?,
            sender,
            limits: crate::about::limits(spec.rate_limit.as_ref()),
            catch_up: spec.catch_up.as_ref().and_then(|c| c.max_age).map(Into::into),
            about,
            past: None,
        })
    }

    /// How it is driven: one event's review at a time until it is acknowledged, so that a kill
    /// repeats at most one.
    pub fn options(&self, name: &str, budgets: &Budgets) -> Options {
        let budget = budgets.of(self.sender.credential(), &self.limits);
        // Nothing of a review is put off.
        let catch_up = self.catch_up;
        Options { parallel: 1, put_off: 0, catch_up, budget, ..Options::new(name) }
    }

    /// With the feed that it asks for the builds of a buildset.
    #[must_use]
    pub fn with_past(self, feed: AnyFeed) -> Self {
        Self { past: Some(feed), ..self }
    }

    /// What would be sent about a build, now; the summary as if the build were its buildset's only
    /// one.
    pub fn preview(&self, build: &Build) -> Vec<Preview> {
        if !self.selection.build(build) {
            return vec![Preview::nothing("not one of its builders")];
        }
        if places(&build.properties).is_empty() {
            return vec![Preview::nothing("its properties name no Gerrit change")];
        }
        let site = self.about.borrow().site.clone();
        let all = [
            ("start", self.composer.start(build, &site)),
            ("review", self.composer.review(build, &site)),
            ("summary", self.composer.summary(&build.buildset, vec![build.clone()], &site)),
        ];
        let mut previews = Vec::new();
        for (why, made) in all {
            match made {
                Ok(Some(message)) => previews.push(self.shown(why, &message)),
                Ok(None) => {}
                Err(error) => previews.push(Preview::nothing(format!("{why}: {error}"))),
            }
        }
        if previews.is_empty() {
            previews.push(Preview::nothing("the message is empty"));
        }
        previews
    }

    fn shown(&self, why: &str, message: &Message) -> Preview {
        let places = message.places().iter();
        let to = |place: &Place| {
            format!("{} {} at {}", place.project, place.revision, self.sender.place())
        };
        Preview {
            why: why.to_owned(),
            to: places.map(to).collect(),
            title: message.review().title(),
            body: message.review().text.clone(),
        }
    }
}

impl Target for GerritPush {
    /// The builds of a buildset that is complete, one of each request.
    type Facts = Vec<Build>;
    type Message = Message;

    fn kind(&self) -> &'static str {
        crate::Kind::Gerrit.word()
    }

    fn decide(&self, record: &Record) -> bool {
        let about_a_change =
            |build: &Build| self.selection.build(build) && !places(&build.properties).is_empty();
        match &record.event {
            Event::BuildStarted { build } => self.composer.starts() && about_a_change(build),
            Event::BuildFinished { build } => self.composer.reviews() && about_a_change(build),
            Event::BuildsetCompleted { .. } => self.composer.summarises(),
            _ => false,
        }
    }

    async fn gather(&self, record: &Record) -> Result<Vec<Build>, SendError> {
        match (&record.event, &self.past) {
            (Event::BuildsetCompleted { buildset }, Some(feed)) => {
                past::builds_of(feed, buildset).await
            }
            _ => Ok(Vec::new()),
        }
    }

    fn compose(
        &self,
        record: &Record,
        mut builds: Vec<Build>,
    ) -> Result<Option<Message>, ComposeError> {
        let site = self.about.borrow().site.clone();
        match &record.event {
            Event::BuildStarted { build } => self.composer.start(build, &site),
            Event::BuildFinished { build } => self.composer.review(build, &site),
            Event::BuildsetCompleted { buildset } => {
                builds.retain(|build| self.selection.build(build));
                self.composer.summary(buildset, builds, &site)
            }
            _ => Ok(None),
        }
    }

    fn secrets(&self) -> Vec<&str> {
        self.sender.secrets()
    }

    async fn send(&self, message: &mut Message) -> Result<Sent, SendError> {
        self.sender.send(message).await
    }
}
