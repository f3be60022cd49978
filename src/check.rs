//! `check`: are the manifests right, and what would each target say of the last builds?
//! Sends nothing.

use crate::{
    cli::Check,
    demo,
    fail::Failure,
    plan::{self, MasterPlan},
    running::{self, StartError, about::about, make},
    standalone,
};
use crds::{
    WebStatusSpec,
    manifest::{LoadOptions, Resource},
    secrets::{Secret, SecretSource},
};
use feed::{Feed, Item, SnapshotLimits};
use master::PlayOptions;
use model::{Build, World};
use std::{fmt::Write as _, path::Path};
use targets::{About, Preview};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Validates, and prints what would be said.
///
/// # Errors
/// [`Failure`] when a manifest can't be used.
pub async fn check(arguments: Check) -> Result<(), Failure> {
    let options = LoadOptions { without_secrets: true, ..LoadOptions::default() };
    let manifests = standalone::load(&arguments.manifests, &options)?;
    let plans = plan::plan(manifests.documents)?;
    let (mut text, mut failures) = (String::new(), Vec::new());
    let mut demo = None;
    for plan in &plans {
        let known = match &arguments.data {
            Some(data) => journaled(plan, data, arguments.builds).await?,
            None => None,
        };
        let (origin, (world, builds)) = match (&known, &demo) {
            (Some(known), _) => ("the journal's", known),
            (None, Some(played)) => ("the demo's", played),
            (None, None) => ("the demo's", &*demo.insert(recorded(arguments.builds).await?)),
        };
        let _ = writeln!(
            text,
            "Master {}: {}; asked about {origin} last {} builds",
            plan.name,
            numbers(plan),
            builds.len(),
        );
        say(&mut text, &mut failures, plan, &manifests.secrets, world, builds);
    }
    crate::say(&text)?;
    // What can be said is said first.
    if failures.is_empty() { Ok(()) } else { Err(Failure::Other(failures.join("\n"))) }
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
    let feed = running::open(plan, data, feed::Metrics::default(), None).await?;
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
    failures: &mut Vec<String>,
    plan: &MasterPlan,
    secrets: &SecretSource,
    world: &World,
    builds: &[Build],
) {
    let about = about(world.clone(), &plan.links()).fixed();
    for resource in &plan.targets {
        match previewer(resource, &plan.namespace, secrets, about.clone()) {
            Ok(preview) => each(text, resource, builds, preview),
            Err(failure) => failures.push(failure.to_string()),
        }
    }
    for page in &plan.pages {
        let name = page.metadata.name.as_deref().unwrap_or_default();
        let mut spec = page.spec.clone();
        for folder in elsewhere(&mut spec) {
            let _ = writeln!(
                text,
                "\nWebStatus {name}: the templates in {folder} are on a volume of its pods, and were not looked at"
            );
        }
        if let Err(error) = webui::Site::new(spec) {
            failures.push(format!("WebStatus {name:?}: {error}"));
        }
    }
}

/// What a target would say of a build.
type Previewer = Box<dyn Fn(&Build) -> Vec<Preview>>;

/// Makes the target that a resource describes, to be asked only: credentials that are not at hand
/// are stood in for, and certificates left out.
fn previewer(
    resource: &Resource,
    namespace: &str,
    secrets: &SecretSource,
    about: watch::Receiver<About>,
) -> Result<Previewer, StartError> {
    Ok(match resource.clone() {
        Resource::MailNotifier(mut mail) => {
            let secrets = stand_in(secrets, mail.spec.smtp_password_secret_ref.as_ref());
            mail.spec.ca_secret_ref = None;
            let target = make::mail(namespace, &mail, &secrets, about)?;
            Box::new(move |build| target.preview(build))
        }
        Resource::HttpPush(mut push) => {
            let secrets = stand_in(secrets, push.spec.authorization_secret_ref.as_ref());
            push.spec.ca_secret_ref = None;
            let target = make::http_push(&push, &secrets, about)?;
            Box::new(move |build| target.preview(build))
        }
        Resource::StatusPush(push) => {
            let target = make::status_push(&push, about)?;
            Box::new(move |build| target.preview(build))
        }
        Resource::GerritPush(push) => {
            // Nothing can stand in for a key.
            let target = make::gerrit_unsent(&push, about)?;
            Box::new(move |build| target.preview(build))
        }
        Resource::GitHubStatus(mut github) => {
            let spec = &mut github.spec;
            spec.ca_secret_ref = None;
            // GitHub is asked nothing, so a token will do for an App.
            if let Some(app) = spec.app.take() {
                let name = "stand-in".to_owned();
                let key = app.private_key_secret_ref.key;
                spec.token_secret_ref = Some(crds::SecretKeyRef { name, key });
            }
            let secrets = stand_in(secrets, spec.token_secret_ref.as_ref());
            let target = make::github(&github, &secrets, about)?;
            Box::new(move |build| target.preview(build))
        }
        Resource::Master(_) | Resource::WebStatus(_) => Box::new(|_| Vec::new()),
    })
}

/// How many resources of each kind a plan has: `1 WebStatus, 2 MailNotifier`.
fn numbers(plan: &MasterPlan) -> String {
    let pages = (!plan.pages.is_empty()).then_some(("WebStatus", plan.pages.len()));
    let mut numbers: Vec<(&str, usize)> = pages.into_iter().collect();
    for kind in plan.targets.iter().map(Resource::kind) {
        match numbers.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, number)) => *number += 1,
            None => numbers.push((kind, 1)),
        }
    }
    let texts: Vec<String> = numbers.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
    if texts.is_empty() { "nothing is told of it".to_owned() } else { texts.join(", ") }
}

/// Takes out the folders of templates that only the pods have, and gives their names.
fn elsewhere(spec: &mut WebStatusSpec) -> Vec<String> {
    let pod = spec.pod.clone().unwrap_or_default();
    let mounted = |folder: &String| {
        let mut places = pod.volume_mounts.iter().filter_map(|mount| mount["mountPath"].as_str());
        !Path::new(folder).exists() && places.any(|place| Path::new(folder).starts_with(place))
    };
    let mut out: Vec<String> =
        spec.templates_dir.take_if(|folder| mounted(folder)).into_iter().collect();
    out.extend(spec.jinja_loaders.extract_if(.., |folder| mounted(folder)));
    out
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
    resource: &Resource,
    builds: &[Build],
    preview: impl Fn(&Build) -> Vec<Preview>,
) {
    let _ = writeln!(text, "\n{} {}", resource.kind(), resource.name());
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
