//! Makes the targets that resources describe, with the Secrets that they refer to.

use super::StartError;
use crds::{
    GerritPush, GitHubStatus, HttpPush, MailNotifier, SecretKeyRef, StatusPush, WebStatusSpec,
    secrets::{Secret, SecretError, SecretSource},
};
use targets::{About, BuildError, Kind, gerrit, github, http_push, mail, status_push};
use tokio::sync::watch;
use webui::Site;

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
    let of = Given { kind, name, secrets };
    let given = mail::Secrets {
        password: of.text("smtpPasswordSecretRef", spec.smtp_password_secret_ref.as_ref())?,
        ca: of.bytes("caSecretRef", spec.ca_secret_ref.as_ref())?,
    };
    let full = format!("{namespace}/{name}");
    mail::Mail::new(&full, spec, &given, about).map_err(|error| unusable(kind, name, error))
}

/// Makes the target of an `HttpPush`.
pub fn http_push(
    namespace: &str,
    resource: &HttpPush,
    secrets: &SecretSource,
    about: watch::Receiver<About>,
) -> Result<http_push::HttpPush, StartError> {
    let kind = "HttpPush";
    let name = resource.metadata.name.as_deref().unwrap_or_default();
    let spec = &resource.spec;
    let of = Given { kind, name, secrets };
    let certificate = spec.client_certificate_secret_ref.as_ref();
    let mut given = http_push::Secrets {
        authorization: of.text("authorizationSecretRef", spec.authorization_secret_ref.as_ref())?,
        ca: of.bytes("caSecretRef", spec.ca_secret_ref.as_ref())?,
        client_certificate: of.bytes("clientCertificateSecretRef", certificate)?,
        client_key: of.bytes("clientKeySecretRef", spec.client_key_secret_ref.as_ref())?,
        ..http_push::Secrets::default()
    };
    for (at, reference) in spec.signature_secret_refs.iter().enumerate() {
        let key = of.bytes(&format!("signatureSecretRefs[{at}]"), Some(reference))?;
        given.signatures.extend(key);
    }
    for (at, header) in spec.headers.iter().enumerate() {
        let field = format!("headers[{at}].valueSecretRef");
        let value = of.text(&field, header.value_secret_ref.as_ref())?;
        given.headers.extend(value.map(|value| (at, value)));
    }
    let full = format!("{namespace}/{name}");
    http_push::HttpPush::new(&full, spec, &given, about)
        .map_err(|error| unusable(kind, name, error))
}

/// Makes the target of a `StatusPush`.
pub fn status_push(
    resource: &StatusPush,
    about: watch::Receiver<About>,
) -> Result<status_push::StatusPush, StartError> {
    let name = resource.metadata.name.as_deref().unwrap_or_default();
    status_push::StatusPush::new(&resource.spec, about)
        .map_err(|error| unusable("StatusPush", name, error))
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
    let of = Given { kind, name, secrets };
    let http = spec.http.as_ref();
    let given = gerrit::Secrets {
        identity: of.text("identitySecretRef", spec.identity_secret_ref.as_ref())?,
        known_hosts: of.text("knownHostsSecretRef", spec.known_hosts_secret_ref.as_ref())?,
        password: of.text("http.passwordSecretRef", http.map(|http| &http.password_secret_ref))?,
        ca: of.bytes("http.caSecretRef", http.and_then(|http| http.ca_secret_ref.as_ref()))?,
    };
    gerrit::GerritPush::new(spec, &given, about).map_err(|error| unusable(kind, name, error))
}

/// The same without its Secrets: for looking at what it would say.
pub fn gerrit_unsent(
    resource: &GerritPush,
    about: watch::Receiver<About>,
) -> Result<gerrit::GerritPush, StartError> {
    let name = resource.metadata.name.as_deref().unwrap_or_default();
    gerrit::GerritPush::unsent(&resource.spec, about)
        .map_err(|error| unusable("GerritPush", name, error))
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
    let of = Given { kind, name, secrets };
    let key = spec.app.as_ref().map(|app| &app.private_key_secret_ref);
    let given = github::Secrets {
        token: of.text("tokenSecretRef", spec.token_secret_ref.as_ref())?,
        private_key: of.bytes("app.privateKeySecretRef", key)?,
        ca: of.bytes("caSecretRef", spec.ca_secret_ref.as_ref())?,
    };
    github::GitHubStatus::new(name, spec, &given, about)
        .map_err(|error| unusable(kind, name, error))
}

/// Makes the pages of a `WebStatus`.
pub fn site(name: &str, spec: &WebStatusSpec) -> Result<Site, StartError> {
    Site::new(spec.clone()).map_err(|error| StartError::Settings {
        kind: "WebStatus",
        name: name.to_owned(),
        field: error.field(spec),
        reason: error.to_string(),
    })
}

/// Says that a setting of a resource can't be used.
fn unusable(kind: &'static str, name: &str, error: BuildError) -> StartError {
    let BuildError { field, text: reason } = error;
    StartError::Settings { kind, name: name.to_owned(), field, reason }
}

/// Says that the settings of a resource can't be used, none of them in particular.
pub(super) fn settings(kind: &'static str, name: &str, reason: &impl ToString) -> StartError {
    let (name, field) = (name.to_owned(), String::new());
    StartError::Settings { kind, name, field, reason: reason.to_string() }
}

/// The Secrets that a resource's fields may refer to.
struct Given<'a> {
    kind: &'static str,
    name: &'a str,
    secrets: &'a SecretSource,
}

impl Given<'_> {
    fn text(
        &self,
        field: &str,
        reference: Option<&SecretKeyRef>,
    ) -> Result<Option<String>, StartError> {
        let of = (self.kind, self.name, field);
        reference.map(|reference| secret(of, reference, self.secrets, as_text)).transpose()
    }

    fn bytes(
        &self,
        field: &str,
        reference: Option<&SecretKeyRef>,
    ) -> Result<Option<Vec<u8>>, StartError> {
        let of = (self.kind, self.name, field);
        reference.map(|reference| secret(of, reference, self.secrets, as_bytes)).transpose()
    }
}

/// What `read` makes of the Secret that a field refers to.
pub(super) fn secret<T>(
    (kind, name, field): (&'static str, &str, &str),
    reference: &SecretKeyRef,
    secrets: &SecretSource,
    read: impl FnOnce(&Secret) -> Result<T, SecretError>,
) -> Result<T, StartError> {
    secrets.get(reference).and_then(|secret| read(&secret)).map_err(|error| StartError::Secret {
        kind,
        name: name.to_owned(),
        field: field.to_owned(),
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
