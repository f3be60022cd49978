//! `check`: are the manifests right, and what would each target say of the last builds?
//! Sends nothing.

use crate::{
    asked::{self, Asked},
    cli::Check,
    fail::Failure,
    plan::Placed,
    running::{StartError, make},
    standalone,
};
use crds::{
    WebStatusSpec,
    manifest::{LoadOptions, Resource},
    secrets::{Secret, SecretSource},
};
use model::Build;
use std::{fmt::Write as _, path::Path};
use targets::Preview;

/// Validates, and prints what would be said.
///
/// # Errors
/// [`Failure`] when a manifest can't be used.
pub async fn check(arguments: Check) -> Result<(), Failure> {
    let options = LoadOptions {
        without_secrets: true,
        without_masters: arguments.builds.feed.is_some(),
        ..LoadOptions::default()
    };
    let manifests = standalone::load(&arguments.manifests, &options)?;
    let (mut text, mut mistakes) = (String::new(), Vec::new());
    for asked in asked::ask(manifests.documents, &manifests.secrets, &arguments.builds).await? {
        let about = match asked.builds.as_slice() {
            [one] => {
                format!("{} build {}/{}", asked.whose, one.builder.name, one.number)
            }
            several => format!("{} last {} builds", asked.whose, several.len()),
        };
        let _ = writeln!(text, "Master {}: {}; asked about {about}", asked.name, numbers(&asked));
        say(&mut text, &mut mistakes, &asked, &manifests.secrets).await;
        asked.feed.close().await;
    }
    crate::say(&text)?;
    // What can be said is said first.
    if mistakes.is_empty() { Ok(()) } else { Err(Failure::Asked(mistakes)) }
}

async fn say(
    text: &mut String,
    mistakes: &mut Vec<StartError>,
    asked: &Asked,
    secrets: &SecretSource,
) {
    for Placed { resource, source } in &asked.targets {
        let (resource, secrets) = unsent(resource, secrets);
        let (about, feed) = (asked.about.clone(), asked.feed.clone());
        match asked::make(&resource, &asked.namespace, &secrets, about, feed, true) {
            Ok(Some(target)) => {
                let _ = writeln!(text, "\n{} {}", resource.kind(), resource.name());
                for build in &asked.builds {
                    let said = target.preview(build).await;
                    said.iter().for_each(|said| each(text, build, said));
                }
            }
            Ok(None) => {}
            Err(mistake) => mistakes.push(mistake.at(source)),
        }
    }
    for Placed { resource: page, source } in &asked.pages {
        let name = page.metadata.name.as_deref().unwrap_or_default();
        let mut spec = page.spec.clone();
        for folder in elsewhere(&mut spec) {
            let _ = writeln!(
                text,
                "\nWebStatus {name}: the templates in {folder} are on a volume of its pods, and were not looked at"
            );
        }
        if let Err(mistake) = make::site(name, &spec) {
            mistakes.push(mistake.at(source));
        }
    }
}

/// A resource that is asked only: credentials that are not at hand are stood in for, and certificates
/// left out.
fn unsent(resource: &Resource, secrets: &SecretSource) -> (Resource, SecretSource) {
    let mut resource = resource.clone();
    let given = match &mut resource {
        Resource::MailNotifier(mail) => {
            mail.spec.ca_secret_ref = None;
            mail.spec.smtp_password_secret_ref.as_ref()
        }
        Resource::HttpPush(push) => {
            let spec = &mut push.spec;
            spec.ca_secret_ref = None;
            spec.client_certificate_secret_ref = None;
            spec.client_key_secret_ref = None;
            spec.signature_secret_refs.clear();
            // No header is shown.
            spec.headers.clear();
            spec.authorization_secret_ref.as_ref()
        }
        Resource::GitHubStatus(github) => {
            let spec = &mut github.spec;
            spec.ca_secret_ref = None;
            // GitHub is asked nothing, so a token will do for an App.
            if let Some(app) = spec.app.take() {
                let name = "stand-in".to_owned();
                let key = app.private_key_secret_ref.key;
                spec.token_secret_ref = Some(crds::SecretKeyRef { name, key });
            }
            spec.token_secret_ref.as_ref()
        }
        _ => None,
    };
    let secrets = stand_in(secrets, given);
    (resource, secrets)
}

/// How many resources of each kind there are: `1 WebStatus, 2 MailNotifier`.
fn numbers(asked: &Asked) -> String {
    let pages = (!asked.pages.is_empty()).then_some(("WebStatus", asked.pages.len()));
    let mut numbers: Vec<(&str, usize)> = pages.into_iter().collect();
    for kind in asked.targets.iter().map(|target| target.resource.kind()) {
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

fn each(text: &mut String, build: &Build, said: &Preview) {
    let what = build.outcome.map_or("running", model::Outcome::word);
    let _ =
        writeln!(text, "  {} build {} ({what}): {}", build.builder.name, build.number, said.why);
    if said.to.is_empty() {
        return;
    }
    let _ = writeln!(text, "    to       {}", said.to.join(", "));
    let _ = writeln!(text, "    title    {}", said.title);
    for line in said.body.lines() {
        let _ = writeln!(text, "    | {line}");
    }
}
