//! `MailNotifier`: mail about finished builds and buildsets, by SMTP (rows M01 to M10).

pub(crate) mod address;
mod compose;
mod decide;
mod folder;
mod gather;
mod logs;
pub(crate) mod lookup;
mod previous;
mod send;

pub use compose::{Facts, Message, Tail, Tails};
pub use decide::matching;

use crate::{About, BuildError, Preview};
use address::Recipients;
use compose::{Composer, Topic};
use crds::{MailNotifierSpec, MailTls};
use delivery::{
    ComposeError, Metrics, Options, SendError, Sent, Target,
    budget::{Budgets, Limit},
};
use feed::AnyFeed;
use model::{Build, Event, Record, Selection};
use previous::Previous;
use send::Smtp;
use std::{fmt, path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::watch;

/// What a mail target has beside its settings.
#[derive(Clone, Default)]
pub struct Secrets {
    /// The value of `smtpPasswordSecretRef`.
    pub password: Option<String>,
    /// The value of `caSecretRef`: PEM certificates.
    pub ca: Option<Vec<u8>>,
}

/// Never shows the values.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets")
            .field("password", &self.password.is_some())
            .field("ca", &self.ca.is_some())
            .finish()
    }
}

/// The target of one `MailNotifier`.
#[derive(Debug)]
pub struct Mail {
    selection: Selection,
    composer: Composer,
    previous: Previous,
    summary: bool,
    feed: Option<AnyFeed>,
    invalid: Option<(String, Metrics)>,
    way: Way,
    limits: Vec<Limit>,
    catch_up: Option<Duration>,
    about: watch::Receiver<About>,
}

/// How mails leave.
#[derive(Debug)]
enum Way {
    Smtp(Smtp),
    Folder(PathBuf),
}

impl Mail {
    /// Makes the target of the resource `name` (`NAMESPACE/NAME`: part of each Message-ID, so that
    /// two notifiers' mails about one build are told apart).
    ///
    /// # Errors
    /// [`BuildError`] names the setting that can't be used.
    pub fn new(
        name: &str,
        spec: &MailNotifierSpec,
        secrets: &Secrets,
        about: watch::Receiver<About>,
    ) -> Result<Self, BuildError> {
        if spec.smtp_user.is_some() && spec.tls() == MailTls::None {
            tracing::warn!(
                target_name = name,
                "the password goes over the network in the clear; set tls"
            );
        }
        Ok(Self {
            selection: Selection {
                builders: spec.builders.clone().unwrap_or_default(),
                categories: spec.categories.clone().unwrap_or_default(),
                branches: Vec::new(),
            },
            composer: Composer::new(name, spec, Recipients::new(spec)?)?,
            previous: Previous::new(&spec.previous_build_getter)?,
            summary: spec.build_set_summary,
            feed: None,
            invalid: None,
            way: Way::Smtp(Smtp::new(spec, secrets)?),
            limits: crate::about::limits(spec.rate_limit.as_ref()),
            catch_up: spec.catch_up.as_ref().and_then(|c| c.max_age).map(Into::into),
            about,
        })
    }

    /// How it is driven: one mail at a time until it is acknowledged, so that a kill repeats at
    /// most one. All go to one server, which gains nothing by several at once. The budget is that
    /// of its server and login.
    pub fn options(&self, name: &str, budgets: &Budgets) -> Options {
        let budget = match &self.way {
            Way::Smtp(smtp) => budgets.of(smtp.credential(), &self.limits),
            Way::Folder(_) => Arc::default(),
        };
        let (attempt_timeout, catch_up) = (send::ATTEMPT, self.catch_up);
        Options { parallel: 1, attempt_timeout, catch_up, budget, ..Options::new(name) }
    }

    /// Has logs, earlier builds, buildsets and users asked of this feed. Without one, mails say what
    /// their records hold.
    #[must_use]
    pub fn reading(self, feed: AnyFeed) -> Self {
        Self { feed: Some(feed), ..self }
    }

    /// Has addresses that are none counted, under the resource's name in the figures.
    #[must_use]
    pub fn counting(self, name: &str, metrics: Metrics) -> Self {
        Self { invalid: Some((name.to_owned(), metrics)), ..self }
    }

    /// Mails become files of this folder instead of going to a server (for a demo).
    #[must_use]
    pub fn into_folder(self, folder: PathBuf) -> Self {
        Self { way: Way::Folder(folder), ..self }
    }

    /// Connects, secures the connection and logs in, and sends nothing.
    ///
    /// # Errors
    /// As a send would fail.
    pub async fn reach(&self) -> Result<(), SendError> {
        match &self.way {
            Way::Smtp(smtp) => smtp.reach().await,
            Way::Folder(_) => Ok(()),
        }
    }

    /// What would be sent about a build, now: with the feed, all of it as it would be sent; without,
    /// as far as it follows from the build alone. A buildset's mail is as if the build were its only
    /// one.
    pub async fn preview(&self, build: &Build) -> Vec<Preview> {
        if !self.selection.build(build) {
            return vec![Preview::nothing("not one of its builders")];
        }
        let facts = match self.facts_of(vec![build.clone()], true).await {
            Ok(facts) => facts,
            Err(error) => return vec![Preview::nothing(format!("can't be told now: {error}"))],
        };
        let matches = |build: &Build| !matching(self.composer.modes(), build).is_empty();
        if !facts.builds.iter().any(matches) {
            return vec![Preview::nothing("no mode matches")];
        }
        let site = self.about.borrow().site.clone();
        let topic = if self.summary { Topic::Buildset(&build.buildset) } else { Topic::Build };
        let addressed = self.composer.recipients.of(&facts.builds, &facts.known);
        vec![self.composer.preview(topic, &facts, &addressed, &site)]
    }
}

impl Target for Mail {
    type Facts = Facts;
    type Message = Message;

    fn kind(&self) -> &'static str {
        crate::Kind::Mail.word()
    }

    fn decide(&self, record: &Record) -> bool {
        match &record.event {
            Event::BuildFinished { build } if !self.summary => {
                let modes = self.composer.modes();
                self.selection.build(build)
                    && if self.previous.is_told() {
                        !matching(modes, build).is_empty()
                    } else {
                        decide::possible(modes, build)
                    }
            }
            Event::BuildsetCompleted { .. } => self.summary,
            _ => false,
        }
    }

    async fn gather(&self, record: &Record) -> Result<Facts, SendError> {
        self.facts(record).await
    }

    fn compose(&self, record: &Record, facts: Facts) -> Result<Option<Message>, ComposeError> {
        let topic = match &record.event {
            Event::BuildsetCompleted { buildset } => Topic::Buildset(buildset),
            _ => Topic::Build,
        };
        let site = self.about.borrow().site.clone();
        let addressed = self.composer.recipients.of(&facts.builds, &facts.known);
        for user in &addressed.invalid {
            tracing::warn!(user, "no valid address, so this user gets no mail");
            if let Some((name, metrics)) = &self.invalid {
                metrics.invalid_address(name, self.kind());
            }
        }
        self.composer.compose(topic, &facts, addressed, &record.identity, &site)
    }

    fn secrets(&self) -> Vec<&str> {
        match &self.way {
            Way::Smtp(smtp) => smtp.secrets(),
            Way::Folder(_) => Vec::new(),
        }
    }

    async fn send(&self, message: &mut Message) -> Result<Sent, SendError> {
        message.fill(self.feed.as_ref()).await?;
        let result = match &self.way {
            Way::Smtp(smtp) => smtp.send(message).await,
            Way::Folder(folder) => folder::write(folder, message).await,
        };
        message.empty();
        result
    }
}
