//! One POST: a form with the field `packets`, or CloudEvents.

use super::{
    Item, Secrets,
    sign::{self, Signer},
};
use crate::{
    BuildError, cloud_events,
    egress::Egress,
    http::{self, Refused},
};
use crds::{ContentMode, HttpPushSpec, PushFormat, PushHeader};
use delivery::{SendError, budget::Credential};
use reqwest::{
    Client, Url,
    header::{
        AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
    },
};
use std::{collections::BTreeMap, fmt};
use url::form_urlencoded;

/// How texts become a body.
enum Body {
    /// The field `packets` of a form, beside these.
    Form(Vec<(String, String)>),
    Events(ContentMode),
}

impl Body {
    fn content_type(&self) -> &'static str {
        match self {
            Self::Form(_) => "application/x-www-form-urlencoded",
            Self::Events(mode) => cloud_events::content_type(*mode),
        }
    }

    fn of(&self, texts: &[&str]) -> String {
        match self {
            Self::Form(extra) => {
                let mut form = form_urlencoded::Serializer::new(String::new());
                form.append_pair("packets", &format!("[{}]", texts.join(",")));
                form.extend_pairs(extra);
                form.finish()
            }
            Self::Events(ContentMode::Batched) => format!("[{}]", texts.join(",")),
            // There is one.
            Self::Events(_) => texts.concat(),
        }
    }
}

/// Where packets go and how.
pub struct Poster {
    /// Whose posts these are.
    name: String,
    client: Client,
    egress: Egress,
    signer: Signer,
    url: Url,
    body: Body,
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
    pub fn new(name: &str, spec: &HttpPushSpec, secrets: &Secrets) -> Result<Self, BuildError> {
        let url = crate::about::address("spec.serverUrl", &spec.server_url)?;
        let egress = Egress { private: spec.allow_private_addresses };
        let mut builder = egress
            .guard(http::client(secrets.ca.as_deref())?)
            .default_headers(headers(spec, secrets)?)
            .pool_max_idle_per_host(0)
            .http1_only();
        if let (Some(certificate), Some(key)) = (&secrets.client_certificate, &secrets.client_key) {
            builder = builder.identity(http::identity(certificate, key)?);
        }
        let client = http::build(builder)?;
        let given = secrets.authorization.iter().chain(secrets.headers.values());
        let given = given.map(|value| value.trim());
        let words = given.clone().filter_map(|value| value.split_once(' ').map(|(_, word)| word));
        let hidden =
            given.chain(words).chain(url.password()).map(|text| text.trim().to_owned()).collect();
        let body = match spec.format {
            PushFormat::Buildbot => {
                Body::Form(spec.extra_post_params.clone().into_iter().collect())
            }
            PushFormat::CloudEvents => Body::Events(spec.content_mode.unwrap_or_default()),
        };
        let signer = Signer::new(&secrets.signatures)?;
        Ok(Self { name: name.to_owned(), client, egress, signer, url, body, secrets: hidden })
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

    pub async fn post(&self, items: &[&Item]) -> Result<(), SendError> {
        let texts: Vec<&str> = items.iter().flat_map(|item| item.texts()).collect();
        if texts.is_empty() {
            return Ok(());
        }
        self.egress.check(&self.url).map_err(|forbidden| {
            SendError::Misconfigured(format!("{}: {forbidden}", self.place()))
        })?;
        let body = self.body.of(&texts).into_bytes();
        let mut request =
            self.client.post(self.url.clone()).header(CONTENT_TYPE, self.body.content_type());
        if let [item] = items {
            for (name, value) in item.headers() {
                request = request.header(name, value);
            }
        }
        let id = sign::id(&self.name, items.iter().map(|item| item.identity.as_str()));
        let now = jiff::Timestamp::now().as_second();
        for (name, value) in self.signer.headers(&id, now, &body) {
            request = request.header(name, value);
        }
        match request.body(body).send().await {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => {
                let refused = Refused::read(response).await;
                Err(refused.error(&self.place(), &refused.line(), "serverUrl"))
            }
            Err(error) => Err(http::failed(&self.place(), error)),
        }
    }

    /// Bytes that a text takes in a body.
    pub fn len(&self, text: &str) -> usize {
        match self.body {
            Body::Form(_) => form_urlencoded::byte_serialize(text.as_bytes()).map(str::len).sum(),
            Body::Events(_) => text.len(),
        }
    }
}

/// The headers that every post has.
fn headers(spec: &HttpPushSpec, secrets: &Secrets) -> Result<HeaderMap, BuildError> {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static("buildbot"));
    // What is set replaces what is usual; what is set twice is sent twice.
    headers.extend(own_headers(&spec.headers, &secrets.headers)?);
    // As 0.8: each post is a connection of its own.
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    if let Some(authorization) = &secrets.authorization {
        let value = http::secret_header("spec.authorizationSecretRef", authorization)?;
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

fn own_headers(
    headers: &[PushHeader],
    secrets: &BTreeMap<usize, String>,
) -> Result<HeaderMap, BuildError> {
    let mut own = HeaderMap::new();
    for (at, header) in headers.iter().enumerate() {
        let name: HeaderName = header
            .name
            .parse()
            .map_err(|error| BuildError::new(format!("spec.headers[{at}].name"), error))?;
        let value = match (&header.value, secrets.get(&at)) {
            (Some(value), _) => HeaderValue::from_str(value)
                .map_err(|error| BuildError::new(format!("spec.headers[{at}].value"), error))?,
            (None, Some(secret)) => {
                http::secret_header(&format!("spec.headers[{at}].valueSecretRef"), secret)?
            }
            (None, None) => continue,
        };
        own.append(name, value);
    }
    Ok(own)
}
