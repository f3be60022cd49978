//! `check`: are the manifests right, and what would each target say of the last builds?
//! Sends nothing.

use crate::{
    cli::Check,
    demo,
    fail::Failure,
    plan::{self, MasterPlan},
    running::{self, about::about, sinks},
    standalone,
};
use crds::secrets::{Secret, SecretSource};
use feed::{Feed, Item, SnapshotLimits};
use master::PlayOptions;
use model::{Build, World};
use std::{fmt::Write as _, path::Path};
use targets::Preview;
use tokio_util::sync::CancellationToken;

/// Validates, and prints what would be said.
///
/// # Errors
/// [`Failure`] when a manifest can't be used.
pub async fn check(arguments: Check) -> Result<(), Failure> {
    let manifests = standalone::load(&arguments.manifests, true)?;
    let plans = plan::plan(manifests.documents)?;
    let mut text = String::new();
    for plan in &plans {
        let known = match &arguments.data {
            Some(data) => journaled(plan, data, arguments.builds).await?,
            None => None,
        };
        let (origin, world, builds) = match known {
            Some((world, builds)) => ("the journal's", world, builds),
            None => {
                let (world, builds) = recorded(arguments.builds).await?;
                ("the demo's", world, builds)
            }
        };
        let _ = writeln!(
            text,
            "Master {}: {} pages, {} mail, {} push; asked about {origin} last {} builds",
            plan.name,
            plan.pages.len(),
            plan.mails.len(),
            plan.pushes.len(),
            builds.len(),
        );
        say(&mut text, plan, &manifests.secrets, &world, &builds)?;
    }
    crate::say(&text)
}

/// The last builds of the journal in the data folder; `None` where there are none.
async fn journaled(
    plan: &MasterPlan,
    data: &Path,
    builds: usize,
) -> Result<Option<(World, Vec<Build>)>, Failure> {
    if !data.join(plan.folder()).is_dir() {
        return Ok(None);
    }
    let feed = running::open(plan, data, feed::Metrics::default()).await?;
    let last = last(&feed, builds).await?;
    Ok((!last.1.is_empty()).then_some(last))
}

/// The last builds of the demo's recording.
async fn recorded(builds: usize) -> Result<(World, Vec<Build>), Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::Other(format!("the recording can't be played: {error}"))
    };
    let folder = tempfile::tempdir().map_err(|error| failed(&error))?;
    let feed =
        Feed::open(folder.path(), feed::Options::default()).map_err(|error| failed(&error))?;
    let mut follower = feed.follow(feed.head());
    let cancel = CancellationToken::new();
    let options = PlayOptions { preload_loops: 1, ..PlayOptions::default() };
    let player =
        tokio::spawn(master::play(demo::recording()?, options, feed.ingest(), cancel.clone()));
    // The past is there once the play is live.
    loop {
        if let Item::State(state) = follower.next().await
            && state.kind == master::StateKind::Live
        {
            break;
        }
    }
    let last = last(&feed, builds).await;
    cancel.cancel();
    let _ = player.await;
    last
}

async fn last(feed: &Feed, builds: usize) -> Result<(World, Vec<Build>), Failure> {
    let limits = SnapshotLimits { builds_per_builder: builds, builds_total: builds, changes: 0 };
    let snapshot =
        feed.snapshot(limits).await.map_err(|error| Failure::Other(error.to_string()))?;
    Ok((snapshot.world, snapshot.builds))
}

fn say(
    text: &mut String,
    plan: &MasterPlan,
    secrets: &SecretSource,
    world: &World,
    builds: &[Build],
) -> Result<(), Failure> {
    let about = about(world.clone(), &plan.links()).fixed();
    for resource in &plan.mails {
        let secrets = stand_in(secrets, resource.spec.smtp_password_secret_ref.as_ref());
        let mut resource = resource.clone();
        resource.spec.ca_secret_ref = None;
        let target = sinks::mail(plan, &resource, &secrets, about.clone())?;
        each(text, "MailNotifier", &resource.metadata.name, builds, |build| target.preview(build));
    }
    for resource in &plan.pushes {
        let secrets = stand_in(secrets, resource.spec.authorization_secret_ref.as_ref());
        let mut resource = resource.clone();
        resource.spec.ca_secret_ref = None;
        let target = sinks::push(&resource, &secrets, about.clone())?;
        each(text, "HttpPush", &resource.metadata.name, builds, |build| target.preview(build));
    }
    for page in &plan.pages {
        webui::Site::new(page.spec.clone()).map_err(|error| {
            let name = page.metadata.name.as_deref().unwrap_or_default();
            Failure::Other(format!("WebStatus {name:?}: {error}"))
        })?;
    }
    Ok(())
}

/// A Secret that is not at hand is stood in for: nothing is sent.
fn stand_in(secrets: &SecretSource, reference: Option<&crds::SecretKeyRef>) -> SecretSource {
    let mut all = secrets.clone();
    if let Some(reference) = reference
        && secrets.get(reference).is_err()
    {
        let value = (reference.key.clone(), Secret::new("stand-in"));
        all.insert(reference.name.clone(), [value].into());
    }
    all
}

fn each(
    text: &mut String,
    kind: &str,
    name: &Option<String>,
    builds: &[Build],
    preview: impl Fn(&Build) -> Vec<Preview>,
) {
    let _ = writeln!(text, "\n{kind} {}", name.as_deref().unwrap_or_default());
    for build in builds {
        for said in preview(build) {
            let what = build.outcome.map_or("running", model::Outcome::word);
            let _ = writeln!(
                text,
                "  {} build {} ({what}): {}",
                build.builder.name, build.number, said.why
            );
            if said.to.is_empty() {
                continue;
            }
            let _ = writeln!(text, "    to       {}", said.to.join(", "));
            let _ = writeln!(text, "    title    {}", said.title);
            for line in said.body.lines() {
                let _ = writeln!(text, "    | {line}");
            }
        }
    }
}
