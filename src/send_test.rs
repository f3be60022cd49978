//! `test`: one real message of each target, so that one sees whether it arrives.

use crate::{
    asked::{self, Asked, make},
    cli::{self, Test},
    fail::Failure,
    plan::Placed,
    running::StartError,
    standalone,
};
use crds::{
    manifest::{LoadOptions, Resource},
    secrets::SecretSource,
};
use delivery::Sent;
use model::{Build, Event, Identity, Position, Record};
use std::time::{SystemTime, UNIX_EPOCH};

/// Sends, and says of each target how it went.
///
/// # Errors
/// [`Failure`] when a manifest can't be used, nothing is meant, or a message did not arrive.
pub async fn send_test(arguments: Test) -> Result<(), Failure> {
    let Test { manifests, builds, only, to } = arguments;
    let options = LoadOptions { without_masters: builds.feed.is_some(), ..LoadOptions::default() };
    let manifests = standalone::load(&manifests, &options)?;
    let (mut sent, mut failed) = (0, 0);
    for asked in asked::ask(manifests.documents, &manifests.secrets, &builds).await? {
        let meant = asked.targets.iter().filter(|target| is_meant(&target.resource, &only));
        for mut target in meant.cloned().collect::<Vec<_>>() {
            divert(&mut target.resource, to.as_deref());
            let line = match one(&asked, &target, &manifests.secrets, &builds).await {
                Ok(line) => {
                    sent += 1;
                    line
                }
                Err(line) => {
                    failed += 1;
                    line
                }
            };
            let Placed { resource, .. } = &target;
            crate::say(&format!("{} {}: {line}\n", resource.kind(), resource.name()))?;
        }
        asked.feed.close().await;
    }
    match (sent, failed) {
        (0, 0) if only.is_empty() => {
            Err(Failure::Usage("none of the documents is of a target that sends".to_owned()))
        }
        (0, 0) => Err(Failure::Usage(format!(
            "--only: none of the targets is called {}",
            only.join(" or ")
        ))),
        (_, 0) => Ok(()),
        (_, failed) => Err(Failure::Other(format!("{failed} of {} failed", sent + failed))),
    }
}

/// Whether a resource is one of those that were named, by name or by kind and name.
fn is_meant(resource: &Resource, only: &[String]) -> bool {
    only.is_empty()
        || only.iter().any(|named| match named.split_once('/') {
            Some((kind, name)) => {
                kind.eq_ignore_ascii_case(resource.kind()) && name == resource.name()
            }
            None => named == resource.name(),
        })
}

/// Has mails go to one address alone.
fn divert(resource: &mut Resource, to: Option<&str>) {
    if let (Resource::MailNotifier(mail), Some(to)) = (resource, to) {
        mail.spec.send_to_interested_users = false;
        mail.spec.extra_recipients = vec![to.to_owned()];
    }
}

/// Sends a message about the first of the builds that there is something to say of; tells how it
/// went, for people.
async fn one(
    asked: &Asked,
    Placed { resource, source }: &Placed<Resource>,
    secrets: &SecretSource,
    which: &cli::Builds,
) -> Result<String, String> {
    let (about, feed) = (asked.about.clone(), asked.feed.clone());
    let target = make(resource, &asked.namespace, secrets, about, feed, false)
        .map_err(|error: StartError| error.at(source).to_string())?
        .ok_or("sends nothing")?;
    // What is written there stays, so it must be about what somebody named.
    if target.writes_on_a_forge() && which.build.is_none() {
        let text = "what it says stays with a change or a commit: name a build that belongs to one, \
                    --build BUILDER/NUMBER";
        return Err(text.to_owned());
    }
    let mut why = Vec::new();
    for build in &asked.builds {
        for record in records(build) {
            if !target.decides(&record) {
                continue;
            }
            let name = format!("{} {}/{}", asked.whose, build.builder.name, build.number);
            match target.send(&record).await {
                Ok(Some(Sent::Whole)) => return Ok(format!("sent what it says of {name}")),
                Ok(Some(Sent::Partly(text))) => {
                    return Err(format!("sent a part of what it says of {name}: {text}"));
                }
                Ok(None) => {}
                Err(error) => return Err(format!("about {name}: {error}")),
            }
        }
        let build_name = format!("{}/{}", build.builder.name, build.number);
        let said = target.preview(build).await;
        why.extend(said.first().map(|said| format!("{build_name}: {}", said.why)));
    }
    if why.is_empty() {
        why.push("there is no finished build".to_owned());
    }
    Err(format!("has nothing to say. {}", why.join("; ")))
}

/// What may be told of a build, in the order in which it is tried. The identity is one of its own, so
/// that nobody takes it for a repeat of a real one.
fn records(build: &Build) -> [Record; 3] {
    let mut buildset = build.buildset.clone();
    buildset.builds = vec![build.id];
    let started = Build { outcome: None, complete_at: None, ..build.clone() };
    [
        Event::BuildFinished { build: Box::new(build.clone()) },
        Event::BuildsetCompleted { buildset: Box::new(buildset) },
        Event::BuildStarted { build: Box::new(started) },
    ]
    .map(record)
}

fn record(event: Event) -> Record {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    Record {
        position: Position { epoch: 1, seq: 1 },
        identity: Identity::of(&event, &format!("test-{now}"), 1, 1),
        journaled_ms: i64::try_from(now).unwrap_or(i64::MAX),
        event,
    }
}
