//! One POST: a form with the field `packets`.

use super::Secrets;
use crate::{
    BuildError,
    answer::{Refusal, refusal},
    packets::Packets,
};
use crds::HttpPushSpec;
use delivery::{SendError, budget::Credential};
use reqwest::{
    Certificate, Client, Response, Url,
    header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue},
    redirect::Policy,
};
use std::{fmt, time::Duration};
use url::form_urlencoded;

const CONNECT: Duration = Duration::from_secs(20);
/// How long the words of a refusal are waited for; its status says enough.
const WORDS: Duration = Duration::from_secs(2);
/// Bytes of an answer that are read, and kept in messages.
const ANSWER: usize = 300;

/// Where packets go and how.
pub struct Poster {
    client: Client,
    url: Url,
    extra: Vec<(String, String)>,
    /// What the receiver may repeat, and nobody else may see.
    secrets: Vec<String>,
}

/// Without user, password and query of the address.
impl fmt::Debug for Poster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Poster({})", self.place())
    }
}

/// Only certificates keep a client from being built. The cause is in the error's source alone.
fn unusable(error: &reqwest::Error) -> BuildError {
    let cause = std::error::Error::source(error).map_or(error.to_string(), ToString::to_string);
    BuildError::new("spec.caSecretRef", format!("no PEM certificate: {cause}"))
}

impl Poster {
    pub fn new(spec: &HttpPushSpec, secrets: &Secrets) -> Result<Self, BuildError> {
        let url: Url =
            spec.server_url.parse().map_err(|error| BuildError::new("spec.serverUrl", error))?;
        let mut headers = HeaderMap::new();
        // As 0.8: each post is a connection of its own.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        if let Some(authorization) = &secrets.authorization {
            // The error could show the value, so it is not told.
            let mut value = HeaderValue::from_str(authorization.trim()).map_err(|_| {
                let text = "holds characters that a header can't have";
                BuildError::new("spec.authorizationSecretRef", text)
            })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        // reqwest panics without one. An error only says that the process has one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .user_agent("buildbot")
            .default_headers(headers)
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .pool_max_idle_per_host(0)
            .http1_only();
        if let Some(pem) = &secrets.ca {
            crate::about::check_pem("spec.caSecretRef", pem)?;
            let certificates =
                Certificate::from_pem_bundle(pem).map_err(|error| unusable(&error))?;
            builder = builder.tls_certs_only(certificates);
        }
        let client = builder.build().map_err(|error| unusable(&error))?;
        let given = secrets.authorization.iter().map(|value| value.trim());
        let words = given.clone().filter_map(|value| value.split_once(' ').map(|(_, word)| word));
        let secrets =
            given.chain(words).chain(url.password()).map(|text| text.trim().to_owned()).collect();
        let extra = spec.extra_post_params.clone().into_iter().collect();
        Ok(Self { client, url, extra, secrets })
    }

    /// The address without what may be secret in it.
    pub fn place(&self) -> String {
        let mut url = self.url.clone();
        // Only addresses without a host refuse these, and those have none to hide.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_query(None);
        url.to_string()
    }

    pub fn secrets(&self) -> Vec<&str> {
        self.secrets.iter().map(String::as_str).collect()
    }

    /// What limits are counted by: the server with its user, and the authorization.
    pub fn credential(&self) -> Credential {
        let place = [self.url.origin().ascii_serialization(), self.url.username().to_owned()];
        let parts = place.iter().chain(&self.secrets);
        Credential::of(parts.map(|part| part.as_bytes()))
    }

    pub async fn post(&self, items: &[&Packets]) -> Result<(), SendError> {
        let texts: Vec<&str> = items.iter().flat_map(|packets| packets.texts()).collect();
        if texts.is_empty() {
            return Ok(());
        }
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(self.form(&texts));
        match request.send().await {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => Err(self.refused(response).await),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn form(&self, texts: &[&str]) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("packets", &format!("[{}]", texts.join(",")));
        form.extend_pairs(&self.extra);
        form.finish()
    }

    async fn refused(&self, mut response: Response) -> SendError {
        let status = response.status();
        let class = refusal(status, response.headers(), jiff::Timestamp::now());
        let words = tokio::time::timeout(WORDS, response.chunk()).await;
        let answer = words.ok().and_then(Result::ok).flatten().unwrap_or_default();
        let answer = String::from_utf8_lossy(&answer[..answer.len().min(ANSWER)]).into_owned();
        let answer = answer.lines().next().unwrap_or_default().trim().to_owned();
        let text = format!("{} answered {status} {answer}", self.place());
        match class {
            Refusal::Throttled(after) => SendError::Throttled { after, text },
            Refusal::Permanent => SendError::Permanent(text),
            Refusal::Transient => SendError::Transient(text),
            Refusal::Redirected => SendError::Misconfigured(format!(
                "{text}; redirects are not followed, set serverUrl"
            )),
            Refusal::Misconfigured => SendError::Misconfigured(text),
        }
    }

    fn failed(&self, error: reqwest::Error) -> SendError {
        let tls = is_tls(&error);
        // The address may hold a password.
        let error = error.without_url();
        let mut text = format!("{}: {error}", self.place());
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            text = format!("{text}: {inner}");
            cause = inner.source();
        }
        let text: String = text.chars().take(2 * ANSWER).collect();
        if tls { SendError::Misconfigured(text) } else { SendError::Transient(text) }
    }
}

fn is_tls(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(inner) = cause {
        let io = inner.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if inner.is::<rustls::Error>() || io.is_some_and(|io| io.is::<rustls::Error>()) {
            return true;
        }
        cause = inner.source();
    }
    false
}

/// Bytes that a text takes in a form.
pub fn encoded_len(text: &str) -> usize {
    form_urlencoded::byte_serialize(text.as_bytes()).map(str::len).sum()
}
