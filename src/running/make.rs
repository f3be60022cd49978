//! Makes the targets that resources describe, with the Secrets that they refer to.

use super::StartError;
use crds::{
    GerritPush, GitHubStatus, HttpPush, MailNotifier, SecretKeyRef, StatusPush,
    secrets::{Secret, SecretError, SecretSource},
};
use targets::{About, Kind, gerrit, github, http_push, mail, status_push};
use tokio::sync::watch;

/// The word that the journal, metrics and logs have for a kind of resource.
pub fn word(kind: &str) -> &'static str {
    match kind {
        "MailNotifier" => Kind::Mail.word(),
        "HttpPush" => Kind::HttpPush.word(),
        "StatusPush" => Kind::StatusPush.word(),
        "GerritPush" => Kind::Gerrit.word(),
        "GitHubStatus" => Kind::GitHub.word(),
        _ => "pages",
    }
}

/// Makes the target of a `MailNotifier`.
pub fn mail(
    namespace: &str,
    resource: &MailNotifier,
    secrets: &SecretSource,
    about: watch::Receiver<About>,
) -> Result<mail::Mail, StartError> {
    let kind = "MailNotifier";
    let name = resource.metadata.name.as_deref().unwrap_or_default();
    let spec = &resource.spec;
    let password = spec.smtp_password_secret_ref.as_ref();
    let of = |field| (kind, name, field);
    let given = mail::Secrets {
        password: password
            .map(|r| secret(of("smtpPasswordSecretRef"), r, secrets, as_text))
            .transpose()?,
        ca: spec
            .ca_secret_ref
            .as_ref()
            .map(|r| secret(of("caSecretRef"), r, secrets, as_bytes))
            .transpose()?,
    };
    let full = format!("{namespace}/{name}");
    mail::Mail::new(&full, spec, &given, about).map_err(|error| settings(kind, name, &error))
}

/// Makes the target of an `HttpPush`.
pub fn http_push(
    resource: &HttpPush,
    secrets: &SecretSource,
    about: watch::Receiver<About>,
) -> Result<http_push::HttpPush, StartError> {
    let kind = "HttpPush";
    let name = resource.metadata.name.as_deref().unwrap_or_default();
    let spec = &resource.spec;
    let authorization = spec.authorization_secret_ref.as_ref();
    let of = |field| (kind, name, field);
    let given = http_push::Secrets {
        authorization: authorization
            .map(|r| secret(of("authorizationSecretRef"), r, secrets, as_text))
            .transpose()?,
        ca: spec
            .ca_secret_ref
            .as_ref()
            .map(|r| secret(of("caSecretRef"), r, secrets, as_bytes))
            .transpose()?,
    };
    http_push::HttpPush::new(spec, &given, about).map_err(|error| settings(kind, name, &error))
}

/// Makes the target of a `StatusPush`.
pub fn status_push(
    resource: &StatusPush,
    about: watch::Receiver<About>,
) -> Result<status_push::StatusPush, StartError> {
    let name = resource.metadata.name.as_deref().unwrap_or_default();
    status_push::StatusPush::new(&resource.spec, about)
        .map_err(|error| settings("StatusPush", name, &error))
}

/// Makes the target of a `GerritPush`.
pub fn gerrit(
    resource: &GerritPush,
    secrets: &SecretSource,
    about: watch::Receiver<About>,
) -> Result<gerrit::GerritPush, StartError> {
    let kind = "GerritPush";
    let name = resource.metadata.name.as_deref().unwrap_or_default();
    let spec = &resource.spec;
    let text = |field, reference: Option<&SecretKeyRef>| {
        reference.map(|r| secret((kind, name, field), r, secrets, as_text)).transpose()
    };
    let http = spec.http.as_ref();
    let given = gerrit::Secrets {
        identity: text("identitySecretRef", spec.identity_secret_ref.as_ref())?,
        known_hosts: text("knownHostsSecretRef", spec.known_hosts_secret_ref.as_ref())?,
        password: text("http.passwordSecretRef", http.map(|http| &http.password_secret_ref))?,
        ca: http
            .and_then(|http| http.ca_secret_ref.as_ref())
            .map(|r| secret((kind, name, "http.caSecretRef"), r, secrets, as_bytes))
            .transpose()?,
    };
    gerrit::GerritPush::new(spec, &given, about).map_err(|error| settings(kind, name, &error))
}

/// The same without its Secrets: for looking at what it would say.
pub fn gerrit_unsent(
    resource: &GerritPush,
    about: watch::Receiver<About>,
) -> Result<gerrit::GerritPush, StartError> {
    let name = resource.metadata.name.as_deref().unwrap_or_default();
    gerrit::GerritPush::unsent(&resource.spec, about)
        .map_err(|error| settings("GerritPush", name, &error))
}

/// Makes the target of a `GitHubStatus`.
pub fn github(
    resource: &GitHubStatus,
    secrets: &SecretSource,
    about: watch::Receiver<About>,
) -> Result<github::GitHubStatus, StartError> {
    let kind = "GitHubStatus";
    let name = resource.metadata.name.as_deref().unwrap_or_default();
    let spec = &resource.spec;
    let of = |field| (kind, name, field);
    let key = spec.app.as_ref().map(|app| &app.private_key_secret_ref);
    let given = github::Secrets {
        token: spec
            .token_secret_ref
            .as_ref()
            .map(|r| secret(of("tokenSecretRef"), r, secrets, as_text))
            .transpose()?,
        private_key: key
            .map(|r| secret(of("app.privateKeySecretRef"), r, secrets, as_bytes))
            .transpose()?,
        ca: spec
            .ca_secret_ref
            .as_ref()
            .map(|r| secret(of("caSecretRef"), r, secrets, as_bytes))
            .transpose()?,
    };
    github::GitHubStatus::new(name, spec, &given, about)
        .map_err(|error| settings(kind, name, &error))
}

/// Says that the settings of a resource can't be used.
pub(super) fn settings(kind: &'static str, name: &str, reason: &impl ToString) -> StartError {
    StartError::Settings { kind, name: name.to_owned(), reason: reason.to_string() }
}

/// What `read` makes of the Secret that a field refers to.
pub(super) fn secret<T>(
    (kind, name, field): (&'static str, &str, &'static str),
    reference: &SecretKeyRef,
    secrets: &SecretSource,
    read: impl FnOnce(&Secret) -> Result<T, SecretError>,
) -> Result<T, StartError> {
    secrets.get(reference).and_then(|secret| read(&secret)).map_err(|error| StartError::Secret {
        kind,
        name: name.to_owned(),
        field,
        source: Box::new(error),
    })
}

/// A Secret's value as text.
pub(super) fn as_text(secret: &Secret) -> Result<String, SecretError> {
    secret.expose().map(str::to_owned)
}

/// A Secret's value as bytes.
#[allow(clippy::unnecessary_wraps, reason = "one of two ways to read a Secret, as `as_text` is")]
pub(super) fn as_bytes(secret: &Secret) -> Result<Vec<u8>, SecretError> {
    Ok(secret.expose_bytes().to_vec())
}
