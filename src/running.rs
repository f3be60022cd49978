//! Starts what a plan says in this process, and ends it.
//!
//! One feed a master, fed by the master itself or by a recording; beside it the pages and the
//! targets, each a task of its own, so that one that is slow or fails costs only itself.

pub mod about;
mod informed;
pub mod make;
mod mending;
mod origin;
mod pages;
mod reports;
mod sinks;

pub use mending::Mending;
pub use origin::{Origin, addressed};
pub use pages::Pages;

use self::reports::Reporter;
use crate::{
    health::Health,
    plan::{MasterPlan, Placed},
};
use crds::{
    manifest::{ObjectMeta, Resource, Source},
    secrets::{SecretError, SecretSource},
};
use feed::{
    AnyFeed, Fault, Feed,
    http::{api::Info, client::Remote},
};
use master::{MasterState, Sink as _, StateKind};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use targets::About;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// How much of the database's pages is kept in memory for each master.
const DATABASE_CACHE: usize = 8 << 20;

/// Why something can't be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The journal can't be opened.
    #[error("Master {master:?}: the journal in {} can't be opened: {source}", .folder.display())]
    Journal {
        /// The master's name.
        master: String,
        /// The journal's folder.
        folder: PathBuf,
        /// Why.
        source: feed::OpenError,
    },
    /// A credential is missing or unusable.
    #[error("{kind} {name:?}: spec.{field}: {source}")]
    Secret {
        /// The resource's kind.
        kind: &'static str,
        /// The resource's name.
        name: String,
        /// The field that refers to the Secret.
        field: String,
        /// Why.
        source: Box<SecretError>,
    },
    /// Any other setting that can't be used.
    #[error("{kind} {name:?}: {}{reason}", before(field))]
    Settings {
        /// The resource's kind.
        kind: &'static str,
        /// The resource's name.
        name: String,
        /// The field, such as `spec.mode[2]`; empty when it is about no field.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The pages' address can't be bound.
    #[error("WebStatus {name:?}: spec.httpPort: {source}")]
    Listen {
        /// The resource's name.
        name: String,
        /// Where and why.
        source: webui::listen::ListenError,
    },
    /// Two metrics of one name: a fault of this program.
    #[error("metrics can't be registered: {0}")]
    Metrics(#[from] prometheus::Error),
    /// One of the others, that manifests can mend.
    #[error("{place}: {source}")]
    At {
        /// `FILE:LINE:COLUMN`.
        place: String,
        /// What is wrong there.
        source: Box<StartError>,
    },
}

/// The field as it stands before a reason.
fn before(field: &str) -> String {
    if field.is_empty() { String::new() } else { format!("{field}: ") }
}

impl StartError {
    /// Whether manifests or Secrets can mend it.
    pub fn is_mistake(&self) -> bool {
        self.fault().is_some()
    }

    /// With the place where the resource stands that it is about.
    #[must_use]
    pub fn at(self, resource: &Source) -> Self {
        let field = match &self {
            Self::Secret { field, .. } => format!("spec.{field}"),
            Self::Settings { field, .. } => field.clone(),
            Self::Listen { .. } => "spec.httpPort".to_owned(),
            Self::Journal { .. } | Self::Metrics(_) | Self::At { .. } => return self,
        };
        Self::At { place: resource.place(&field), source: Box::new(self) }
    }
}

/// Everything that runs.
#[derive(Debug)]
pub struct Running {
    cancel: CancellationToken,
    tasks: JoinSet<()>,
    feeds: Vec<AnyFeed>,
    health: Health,
    budgets: delivery::budget::Budgets,
    outbox: Option<PathBuf>,
    /// Pages that are served, in the order of their documents.
    pub pages: Vec<Pages>,
}

impl Running {
    /// Nothing yet; its figures and what it waits for go to `health`.
    pub fn new(health: &Health) -> Self {
        Self {
            cancel: CancellationToken::new(),
            tasks: JoinSet::new(),
            feeds: Vec::new(),
            health: health.clone(),
            budgets: delivery::budget::Budgets::default(),
            outbox: None,
            pages: Vec::new(),
        }
    }

    /// Ended when the process ends.
    pub fn cancel(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// Starts a master's feed with its pages and targets.
    ///
    /// # Errors
    /// [`StartError`] says what of which resource can't be used; what was started before goes on.
    pub async fn start(
        &mut self,
        plan: &MasterPlan,
        secrets: &SecretSource,
        data: &Path,
        origin: Origin,
    ) -> Result<(), StartError> {
        let metrics = delivery::Metrics::register(self.health.registry(), &plan.full_name())?;
        let Journal { feed, figures } = self.open_feed(plan, data, &origin, None).await?;
        let at_master = |error: StartError| error.at(&plan.master.source);
        let origin = origin.ready(plan, secrets, &figures).map_err(at_master)?;
        let reader = AnyFeed::from(feed.clone());
        let about = about::follow(&mut self.tasks, &reader, plan.links(), &self.cancel).await;
        let reading = Reading {
            feed: &reader,
            namespace: &plan.namespace,
            secrets,
            about: &about,
            metrics: &metrics,
        };
        // Consumers are opened before the first event is journaled: a new one starts at the
        // head, and must not start behind what it should have seen.
        for Placed { resource: target, source } in &plan.targets {
            let place = reading.place(target.metadata());
            let reporter = self.reporter_of(&reader, target.kind(), &place);
            let started = self.start_target(&reading, target, &reporter).await;
            started.map_err(|error| error.at(source))?;
        }
        for Placed { resource: page, source } in &plan.pages {
            let place = reading.place(&page.metadata);
            self.reporter_of(&reader, "WebStatus", &place);
            self.start_pages(&reader, page).await.map_err(|error| error.at(source))?;
        }
        self.fill(plan, &feed, origin);
        Ok(())
    }

    /// Starts one target or pages that read a feed elsewhere, which has answered with `info`.
    ///
    /// # Errors
    /// As [`Running::start`]; settings that can't be used are waited for first, if `mending` does.
    pub async fn start_reader(
        &mut self,
        Placed { resource, source }: &Placed<Resource>,
        secrets: &SecretSource,
        remote: &Remote,
        info: Info,
        mut mending: Mending,
    ) -> Result<(), StartError> {
        let feed = AnyFeed::from(remote.clone());
        self.feeds.push(feed.clone());
        let master = format!("{}/{}", info.namespace, info.name);
        let metrics = delivery::Metrics::register(self.health.registry(), &master)?;
        let standing = feed::Standing::register(self.health.registry(), &master)?;
        self.tasks.spawn(origin::report(
            info.name,
            feed.state(),
            Some(standing),
            self.cancel.clone(),
        ));
        let own = resource.namespace().unwrap_or(&info.namespace);
        let place = place(own, &info.namespace, resource.name());
        let reporter = self.reporter_of(&feed, resource.kind(), &place);
        // Pages know the master by themselves.
        let about = match resource {
            Resource::WebStatus(_) => None,
            _ => Some(about::follow(&mut self.tasks, &feed, info.links, &self.cancel).await),
        };
        let reading = about.as_ref().map(|about| Reading {
            feed: &feed,
            namespace: &info.namespace,
            secrets,
            about,
            metrics: &metrics,
        });
        loop {
            let started = match (resource, &reading) {
                (Resource::WebStatus(page), _) => self.start_pages(&feed, page).await,
                (target, Some(reading)) => self.start_target(reading, target, &reporter).await,
                (_, None) => Ok(()),
            };
            let Err(error) = started else { break };
            let Some(fault) = error.fault() else { return Err(error.at(source)) };
            reporter.problem(Some(fault));
            if !mending.wait(&error).await {
                return Err(error.at(source));
            }
        }
        mending.mended();
        reporter.problem(None);
        Ok(())
    }

    /// Has a master's events journaled in `journal`, for readers elsewhere. `tell` hears of settings
    /// that can't be used, and that all can.
    ///
    /// # Errors
    /// As [`Running::start`]; settings that can't be used are waited for first, if `mending` does.
    pub async fn start_feed(
        &mut self,
        plan: &MasterPlan,
        secrets: &SecretSource,
        journal: Journal,
        origin: &Origin,
        mut mending: Mending,
        tell: impl Fn(Option<Fault>),
    ) -> Result<(), StartError> {
        let Journal { feed, figures } = journal;
        let origin = loop {
            let error = match origin.ready(plan, secrets, &figures) {
                Ok(origin) => break origin,
                Err(error) => error,
            };
            let Some(fault) = error.fault() else { return Err(error) };
            let text = format!("the master is not read: {}", fault.message);
            feed.ingest().state(MasterState::now(StateKind::Denied, text));
            tell(Some(fault));
            if !mending.wait(&error).await {
                return Err(error.at(&plan.master.source));
            }
        };
        mending.mended();
        tell(None);
        self.fill(plan, &feed, origin);
        Ok(())
    }

    /// Runs `task` until it ends by itself, as it does on [`Running::cancel`].
    pub fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Opens a master's journal, whose epoch somebody may remember.
    ///
    /// # Errors
    /// As [`Running::start`].
    pub async fn open_feed(
        &self,
        plan: &MasterPlan,
        data: &Path,
        origin: &Origin,
        expected_epoch: Option<u32>,
    ) -> Result<Journal, StartError> {
        let master = plan.full_name();
        let metrics = feed::Metrics::register(self.health.registry(), &master)?;
        let opening = self.health.wait(format!("the journal of Master {master} is open"));
        let feed = open(plan, data, metrics, expected_epoch).await?;
        drop(opening);
        self.health.watch(&feed);
        let figures = origin.figures(plan, self.health.registry())?;
        Ok(Journal { feed, figures })
    }

    /// What the process of a resource says of itself.
    fn reporter_of(&mut self, feed: &AnyFeed, kind: &'static str, name: &str) -> Reporter {
        self.reporter(feed, sinks::consumer_name(make::word(kind), name), kind)
    }

    /// Has the origin's events journaled.
    fn fill(&mut self, plan: &MasterPlan, feed: &Feed, origin: origin::Ready) {
        feed.set_log_source(origin.logs());
        self.tasks.spawn(origin::report(
            plan.name.clone(),
            feed.state(),
            None,
            self.cancel.clone(),
        ));
        self.tasks.spawn(origin.run(feed.ingest(), self.cancel.clone()));
        self.feeds.push(AnyFeed::from(feed.clone()));
    }

    /// Mails are written into this folder instead of being sent.
    pub fn write_mails_to(&mut self, folder: PathBuf) {
        self.outbox = Some(folder);
    }

    /// Waits until `cancel`, then ends everything: what is in progress is finished or handed
    /// out again at the next start.
    pub async fn end(mut self, patience: Duration) {
        self.cancel.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!(
                "some tasks did not end within {} s and are dropped",
                patience.as_secs()
            );
            self.tasks.shutdown().await;
        }
        for feed in &self.feeds {
            feed.close().await;
        }
    }
}

/// A master's journal that is open.
#[derive(Debug)]
pub struct Journal {
    /// The journal.
    pub feed: Feed,
    /// Figures of the connection to the master.
    figures: master::Metrics,
}

/// What a target is started with.
struct Reading<'a> {
    feed: &'a AnyFeed,
    /// The master's.
    namespace: &'a str,
    secrets: &'a SecretSource,
    about: &'a watch::Receiver<About>,
    metrics: &'a delivery::Metrics,
}

impl Reading<'_> {
    /// A resource's namespace.
    fn namespace_of<'b>(&'b self, metadata: &'b ObjectMeta) -> &'b str {
        metadata.namespace.as_deref().unwrap_or(self.namespace)
    }

    /// What a resource is called in the journal.
    fn place(&self, metadata: &ObjectMeta) -> String {
        let name = metadata.name.as_deref().unwrap_or_default();
        place(self.namespace_of(metadata), self.namespace, name)
    }
}

/// What a resource is called in a master's journal: its name; before it its namespace, where that is
/// not the master's.
fn place(namespace: &str, masters: &str, name: &str) -> String {
    if namespace == masters { name.to_owned() } else { format!("{namespace}/{name}") }
}

/// Opens a master's journal.
///
/// # Errors
/// [`StartError::Journal`].
pub async fn open(
    plan: &MasterPlan,
    data: &Path,
    metrics: feed::Metrics,
    expected_epoch: Option<u32>,
) -> Result<Feed, StartError> {
    let folder = data.join(plan.folder());
    let master = &plan.master.resource;
    let journal = &master.spec.journal;
    let options = feed::Options {
        master_uid: master.metadata.uid.clone(),
        expected_epoch,
        retention: feed::Retention::new(journal.max_age.get(), journal.max_size.bytes()),
        forget_after: journal.forget_targets_after.get(),
        cache_bytes: DATABASE_CACHE,
        metrics,
        ..feed::Options::default()
    };
    let failed =
        |source| StartError::Journal { master: plan.name.clone(), folder: folder.clone(), source };
    let at = folder.clone();
    match tokio::task::spawn_blocking(move || Feed::open(&at, options)).await {
        Ok(opened) => opened.map_err(failed),
        Err(ended) => Err(StartError::Settings {
            kind: "Master",
            name: plan.name.clone(),
            field: String::new(),
            reason: format!("the journal could not be opened: {ended}"),
        }),
    }
}
