//! What every target that speaks HTTP needs: a client that trusts whom it is told to and follows
//! nobody elsewhere, and failures as [`SendError`]s that show no secret.

use crate::{
    BuildError,
    answer::{Refusal, refusal},
    egress::Forbidden,
    tls,
};
use delivery::SendError;
use reqwest::{
    Certificate, Client, ClientBuilder, Identity, Response, StatusCode, Url,
    header::{HeaderMap, HeaderValue},
    redirect::Policy,
};
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};
use std::{error::Error, time::Duration};

const CONNECT: Duration = Duration::from_secs(20);
/// How long the words of a refusal are waited for; its status says enough.
const WORDS: Duration = Duration::from_secs(2);
/// Bytes of a refusal that are read.
const BODY: usize = 16 * 1024;
/// Bytes of a refusal's words that are kept in messages.
const LINE: usize = 300;

/// The beginning of a client, to which a target adds its own: without redirects, and with the
/// authorities of `spec.caSecretRef` in place of the system's.
pub(crate) fn client(ca: Option<&[u8]>) -> Result<ClientBuilder, BuildError> {
    // reqwest panics without one. An error only says that the process has one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder().redirect(Policy::none()).connect_timeout(CONNECT);
    let Some(pem) = ca else { return Ok(builder) };
    crate::about::check_pem("spec.caSecretRef", pem)?;
    let certificates = Certificate::from_pem_bundle(pem).map_err(|error| unusable(&error))?;
    Ok(builder.tls_certs_only(certificates))
}

/// The client of what [`client`] began.
pub(crate) fn build(builder: ClientBuilder) -> Result<Client, BuildError> {
    builder.build().map_err(|error| unusable(&error))
}

/// Only certificates keep a client from being built. The cause is in the error's source alone.
fn unusable(error: &reqwest::Error) -> BuildError {
    unusable_at("spec.caSecretRef", error)
}

fn unusable_at(field: &str, error: &reqwest::Error) -> BuildError {
    let cause = error.source().map_or(error.to_string(), ToString::to_string);
    BuildError::new(field, format!("no PEM certificate: {cause}"))
}

/// What the client shows of itself: a certificate and its key, the values of
/// `spec.clientCertificateSecretRef` and `spec.clientKeySecretRef`.
pub(crate) fn identity(certificate: &[u8], key: &[u8]) -> Result<Identity, BuildError> {
    let certificate_field = "spec.clientCertificateSecretRef";
    let refused = |text: String| BuildError::new("spec.clientKeySecretRef", text);
    crate::about::check_pem(certificate_field, certificate)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
    let chain = chain.map_err(|error| {
        BuildError::new(certificate_field, format!("no PEM certificate: {error}"))
    })?;
    // The parser's words could show what stands in the key's place.
    let private = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
        refused(
            "holds no PEM private key (-----BEGIN PRIVATE KEY-----) without a passphrase".into(),
        )
    })?;
    let provider = rustls::crypto::ring::default_provider();
    CertifiedKey::from_der(chain, private, &provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            refused(format!("is not the key of the certificate of {certificate_field}"))
        }
        rustls::Error::InvalidCertificate(error) => {
            BuildError::new(certificate_field, format!("no certificate: {error:?}"))
        }
        error => refused(error.to_string()),
    })?;
    let pem = [certificate, b"\n", key].concat();
    Identity::from_pem(&pem).map_err(|error| unusable_at(certificate_field, &error))
}

/// The value of a header that no log shows. `field` is the setting that it comes from.
pub(crate) fn secret_header(field: &str, value: &str) -> Result<HeaderValue, BuildError> {
    // The error could show the value, so it is not told.
    let mut value = HeaderValue::from_str(value.trim())
        .map_err(|_| BuildError::new(field, "holds characters that a header can't have"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// An address without what may be secret in it: user, password and query.
pub(crate) fn place(url: &Url) -> String {
    let mut url = url.clone();
    // Only addresses without a host refuse these, and those have none to hide.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.to_string()
}

/// An answer that is no success.
#[derive(Debug)]
pub(crate) struct Refused {
    pub status: StatusCode,
    pub class: Refusal,
    pub headers: HeaderMap,
    /// The beginning of its body; empty if none came in time.
    pub body: Vec<u8>,
}

impl Refused {
    /// Reads it.
    pub async fn read(mut response: Response) -> Self {
        let status = response.status();
        let headers = response.headers().clone();
        let class = refusal(status, &headers, jiff::Timestamp::now());
        let mut body = Vec::new();
        let words = async {
            while let Ok(Some(chunk)) = response.chunk().await {
                body.extend_from_slice(&chunk[..chunk.len().min(BODY - body.len())]);
                if body.len() == BODY {
                    return;
                }
            }
        };
        // What came until then is kept.
        let _ = tokio::time::timeout(WORDS, words).await;
        Self { status, class, headers, body }
    }

    /// The first line of the body.
    pub fn line(&self) -> String {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(LINE)]).into_owned();
        text.lines().next().unwrap_or_default().trim().to_owned()
    }

    /// As an error about `place`, with the peer's `words`. `address` is the setting to change when
    /// the peer sends elsewhere.
    pub fn error(&self, place: &str, words: &str, address: &str) -> SendError {
        let text = format!("{place} answered {} {words}", self.status);
        match self.class {
            Refusal::Throttled(after) => SendError::Throttled { after, text },
            Refusal::Permanent => SendError::Permanent(text),
            Refusal::Transient => SendError::Transient(text),
            Refusal::Redirected => SendError::Misconfigured(format!(
                "{text}; redirects are not followed, set {address}"
            )),
            Refusal::Misconfigured => SendError::Misconfigured(text),
        }
    }
}

/// A request that got no answer. What is wrong with TLS, or with an address that is not to be
/// connected to, stays so until somebody mends it.
pub(crate) fn failed(place: &str, error: reqwest::Error) -> SendError {
    if let Some(forbidden) = cause_of::<Forbidden>(&error) {
        return SendError::Misconfigured(format!("{place}: {forbidden}"));
    }
    if let Some(tls) = tls::cause(&error) {
        return SendError::Misconfigured(format!("{place}: {}", tls::words(tls)));
    }
    // The address may hold a password.
    let error = error.without_url();
    let mut text = format!("{place}: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    let text: String = text.chars().take(2 * LINE).collect();
    SendError::Transient(text)
}

/// The first cause of a type.
fn cause_of<T: Error + 'static>(error: &reqwest::Error) -> Option<&T> {
    std::iter::successors(error.source(), |&cause| cause.source())
        .find_map(|cause| cause.downcast_ref())
}
