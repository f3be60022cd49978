//! `MailNotifier`: mail about finished builds, by SMTP (rows M01, M02, M03, M06, M07, M09).

mod address;
mod compose;
mod decide;
mod folder;
mod send;

pub use compose::Message;
pub use decide::matching;

use crate::{About, BuildError, Preview};
use address::Recipients;
use compose::Composer;
use crds::{MailNotifierSpec, MailTls};
use delivery::{
    ComposeError, Options, SendError, Sent, Target,
    budget::{Budgets, Limit},
};
use model::{Build, Event, Record, Selection};
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

    /// What would be sent about a build, now.
    pub fn preview(&self, build: &Build) -> Vec<Preview> {
        if !self.selection.build(build) {
            return vec![Preview::nothing("not one of its builders")];
        }
        let matched = matching(self.composer.modes(), build);
        if matched.is_empty() {
            return vec![Preview::nothing("no mode matches")];
        }
        vec![self.composer.preview(build, &matched, &self.about.borrow().site)]
    }
}

impl Target for Mail {
    type Facts = ();
    type Message = Message;

    fn kind(&self) -> &'static str {
        crate::Kind::Mail.word()
    }

    fn decide(&self, record: &Record) -> bool {
        match &record.event {
            Event::BuildFinished { build } => {
                self.selection.build(build) && !matching(self.composer.modes(), build).is_empty()
            }
            _ => false,
        }
    }

    fn compose(&self, record: &Record, (): ()) -> Result<Option<Message>, ComposeError> {
        let Event::BuildFinished { build } = &record.event else { return Ok(None) };
        let site = self.about.borrow().site.clone();
        self.composer.compose(build, &record.identity, &site)
    }

    fn secrets(&self) -> Vec<&str> {
        match &self.way {
            Way::Smtp(smtp) => smtp.secrets(),
            Way::Folder(_) => Vec::new(),
        }
    }

    async fn send(&self, message: &mut Message) -> Result<Sent, SendError> {
        match &self.way {
            Way::Smtp(smtp) => smtp.send(message).await,
            Way::Folder(folder) => folder::write(folder, message).await,
        }
    }
}
