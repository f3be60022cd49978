//! What `check` and `test` have in common: manifests, and builds to ask their targets about.

mod made;

pub use made::make;

use crate::{
    cli::{BuildName, Builds},
    demo,
    fail::Failure,
    plan::{self, MasterPlan, Placed},
    running::{self, Origin, StartError, about::about},
};
use crds::{
    WebStatus,
    manifest::{Document, Resource},
    secrets::SecretSource,
};
use feed::{
    AnyFeed, BuildQuery, Feed, Item, ReadError, SnapshotLimits,
    http::client::{Remote, RemoteOptions},
};
use master::{OnceError, PlayOptions, Wanted};
use model::{Build, Links};
use std::{path::Path, sync::Arc};
use targets::About;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A master with its documents, and builds of it.
#[derive(Debug)]
pub struct Asked {
    /// The master's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its pages.
    pub pages: Vec<Placed<WebStatus>>,
    /// Its targets.
    pub targets: Vec<Placed<Resource>>,
    /// Where more is asked.
    pub feed: AnyFeed,
    /// What targets know of the master.
    pub about: watch::Receiver<About>,
    /// The builds, last first.
    pub builds: Vec<Build>,
    /// Whose they are: `the demo's`.
    pub whose: &'static str,
    /// A journal for the moment.
    _folder: Option<TempDir>,
}

/// Finds the builds that are meant of each master.
///
/// # Errors
/// [`Failure`] where they can't be had.
pub async fn ask(
    documents: Vec<Document>,
    secrets: &SecretSource,
    which: &Builds,
) -> Result<Vec<Asked>, Failure> {
    if let (false, None, Some(url), Some(token)) =
        (which.master, &which.data, &which.feed, &which.token_file)
    {
        let remote = Remote::new(url, token, RemoteOptions::default())?;
        return Ok(vec![elsewhere(documents, remote, url, which).await?]);
    }
    let mut all = Vec::new();
    for plan in plan::plan(documents)? {
        all.push(of_plan(plan, secrets, which).await?);
    }
    Ok(all)
}

/// Of a feed elsewhere, whose master need not be among the documents.
async fn elsewhere(
    documents: Vec<Document>,
    remote: Remote,
    url: &str,
    which: &Builds,
) -> Result<Asked, Failure> {
    let info =
        remote.info().await.map_err(|error| Failure::Other(format!("--feed: {url}: {error}")))?;
    let (mut pages, mut targets) = (Vec::new(), Vec::new());
    for Document { resource, source, .. } in documents {
        match resource {
            Resource::Master(_) => {}
            Resource::WebStatus(resource) => pages.push(Placed { resource, source }),
            resource => targets.push(Placed { resource, source }),
        }
    }
    let feed = AnyFeed::from(remote);
    let links = which.pages.as_deref().map_or(info.links, Links::web_status);
    let (about, builds) = seen(&feed, links, which).await?;
    Ok(Asked {
        name: info.name,
        namespace: info.namespace,
        pages,
        targets,
        feed,
        about: about.fixed(),
        builds,
        whose: "the feed's",
        _folder: None,
    })
}

async fn of_plan(
    plan: MasterPlan,
    secrets: &SecretSource,
    which: &Builds,
) -> Result<Asked, Failure> {
    // Whether it is asked or not: this looks at all that the manifests say.
    running::addressed(&plan).map_err(|error| error.at(&plan.master.source))?;
    let links = plan.links();
    let journaled = match &which.data {
        Some(data) => journal(&plan, secrets, data).await?,
        None => None,
    };
    let (feed, whose, folder) = match journaled {
        Some(feed) => (feed, "the journal's", None),
        None if which.data.is_none() && (which.master || which.build.is_some()) => {
            let (feed, folder) = master_feed(&plan, secrets, which).await?;
            (feed, "the master's", Some(folder))
        }
        None => {
            let (feed, folder) = demo_feed().await?;
            (feed, "the demo's", Some(folder))
        }
    };
    let feed = AnyFeed::from(feed);
    let (about, builds) = seen(&feed, links, which).await?;
    let MasterPlan { name, namespace, pages, targets, .. } = plan;
    let about = about.fixed();
    Ok(Asked { name, namespace, pages, targets, feed, about, builds, whose, _folder: folder })
}

/// The journal of a standalone that ended; `None` where there is none.
async fn journal(
    plan: &MasterPlan,
    secrets: &SecretSource,
    data: &Path,
) -> Result<Option<Feed>, Failure> {
    if !data.join(plan.folder()).is_dir() {
        return Ok(None);
    }
    let feed = running::open(plan, data, feed::Metrics::default(), None).await?;
    // Texts of logs are with the master, who is asked only for what a message shows.
    match Origin::client(plan, secrets) {
        Ok(client) => feed.set_log_source(Arc::new(client)),
        Err(error) => tracing::warn!("texts of logs are not read: {error}"),
    }
    let none = feed.snapshot(limits(1)).await.map_err(|e| unread(&e))?.builds.is_empty();
    Ok((!none).then_some(feed))
}

/// What the master has, read for the moment.
async fn master_feed(
    plan: &MasterPlan,
    secrets: &SecretSource,
    which: &Builds,
) -> Result<(Feed, TempDir), Failure> {
    let at_master = |error: StartError| error.at(&plan.master.source);
    let client = Origin::client(plan, secrets).map_err(at_master)?;
    let wanted = match &which.build {
        Some(BuildName { builder, number }) => {
            Wanted::Build { builder: builder.clone(), number: *number }
        }
        None => Wanted::Last(which.builds),
    };
    let (folder, feed) = empty()?;
    master::once(&client, &wanted, &mut feed.ingest()).await.map_err(|error| match error {
        OnceError::NoBuilder { .. } | OnceError::NoBuild { .. } => {
            Failure::Usage(format!("--build: {error}"))
        }
        error => Failure::Other(format!("Master {:?}: {error}", plan.name)),
    })?;
    feed.set_log_source(Arc::new(client));
    Ok((feed, folder))
}

/// The recording that is shipped with the program.
async fn demo_feed() -> Result<(Feed, TempDir), Failure> {
    let (folder, feed) = empty()?;
    let mut follower = feed.follow(feed.head());
    let cancel = CancellationToken::new();
    let recording = demo::recording()?;
    feed.set_log_source(Arc::new(recording.clone()));
    let options = PlayOptions { preload_loops: 1, ..PlayOptions::default() };
    let player = tokio::spawn(master::play(recording, options, feed.ingest(), cancel.clone()));
    // The past is there once the play is live.
    loop {
        if let Item::State(state) = follower.next().await
            && state.kind == master::StateKind::Live
        {
            break;
        }
    }
    cancel.cancel();
    let _ = player.await;
    Ok((feed, folder))
}

/// An empty journal in a folder that goes with it.
fn empty() -> Result<(TempDir, Feed), Failure> {
    let folder = tempfile::tempdir()
        .map_err(|source| Failure::Folder { path: std::env::temp_dir(), source })?;
    let feed = Feed::open(folder.path(), feed::Options::default())
        .map_err(|error| Failure::Other(error.to_string()))?;
    Ok((folder, feed))
}

/// What targets know of the master, and the builds that are meant.
async fn seen(
    feed: &AnyFeed,
    links: Links,
    which: &Builds,
) -> Result<(About, Vec<Build>), Failure> {
    let snapshot = feed.snapshot(limits(which.builds)).await.map_err(|e| unread(&e))?;
    let builds = match &which.build {
        None => snapshot.builds,
        Some(BuildName { builder, number }) => {
            let known = &snapshot.world.builders;
            let id = known.values().find(|b| b.name.as_str() == builder).map(|b| b.id);
            let below = number.checked_add(1);
            let query = BuildQuery { builder: id, below, limit: 1 };
            let found = match id {
                Some(_) => feed.builds(query).await.map_err(|e| unread(&e))?,
                None => Vec::new(),
            };
            let found: Vec<Build> = found.into_iter().filter(|b| b.number == *number).collect();
            if found.is_empty() {
                return Err(Failure::Usage(format!(
                    "--build: no finished build {builder}/{number} is known there; --master asks \
                     the master itself"
                )));
            }
            found
        }
    };
    Ok((about(snapshot.world, &links), builds))
}

fn limits(builds: usize) -> SnapshotLimits {
    SnapshotLimits { builds_per_builder: builds, builds_total: builds, changes: 0 }
}

fn unread(error: &ReadError) -> Failure {
    Failure::Other(error.to_string())
}
