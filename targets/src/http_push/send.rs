//! One POST: a form with the field `packets`.

use super::Secrets;
use crate::{
    BuildError,
    egress::Egress,
    http::{self, Refused},
    packets::Packets,
};
use crds::HttpPushSpec;
use delivery::{SendError, budget::Credential};
use reqwest::{
    Client, Url,
    header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use std::fmt;
use url::form_urlencoded;

/// Where packets go and how.
pub struct Poster {
    client: Client,
    egress: Egress,
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

impl Poster {
    pub fn new(spec: &HttpPushSpec, secrets: &Secrets) -> Result<Self, BuildError> {
        let url: Url =
            spec.server_url.parse().map_err(|error| BuildError::new("spec.serverUrl", error))?;
        let mut headers = HeaderMap::new();
        // As 0.8: each post is a connection of its own.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        if let Some(authorization) = &secrets.authorization {
            let value = http::secret_header("spec.authorizationSecretRef", authorization)?;
            headers.insert(AUTHORIZATION, value);
        }
        let egress = Egress { private: spec.allow_private_addresses };
        let builder = egress
            .guard(http::client(secrets.ca.as_deref())?)
            .user_agent("buildbot")
            .default_headers(headers)
            .pool_max_idle_per_host(0)
            .http1_only();
        let client = http::build(builder)?;
        let given = secrets.authorization.iter().map(|value| value.trim());
        let words = given.clone().filter_map(|value| value.split_once(' ').map(|(_, word)| word));
        let secrets =
            given.chain(words).chain(url.password()).map(|text| text.trim().to_owned()).collect();
        let extra = spec.extra_post_params.clone().into_iter().collect();
        Ok(Self { client, egress, url, extra, secrets })
    }

    /// The address without what may be secret in it.
    pub fn place(&self) -> String {
        http::place(&self.url)
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
        self.egress.check(&self.url).map_err(|forbidden| {
            SendError::Misconfigured(format!("{}: {forbidden}", self.place()))
        })?;
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(self.form(&texts));
        match request.send().await {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => {
                let refused = Refused::read(response).await;
                Err(refused.error(&self.place(), &refused.line(), "serverUrl"))
            }
            Err(error) => Err(http::failed(&self.place(), error)),
        }
    }

    fn form(&self, texts: &[&str]) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("packets", &format!("[{}]", texts.join(",")));
        form.extend_pairs(&self.extra);
        form.finish()
    }
}

/// Bytes that a text takes in a form.
pub fn encoded_len(text: &str) -> usize {
    form_urlencoded::byte_serialize(text.as_bytes()).map(str::len).sum()
}
