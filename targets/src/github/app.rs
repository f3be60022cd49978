//! Who asks: a token as it is, or a GitHub App, which signs its name (RS256) and is handed tokens of
//! an hour for it.

use super::{
    Secrets,
    api::{Api, Unwell},
    refused,
};
use crate::{BuildError, http};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use crds::{GitHubMode, GitHubStatusSpec};
use delivery::{SendError, budget::Credential};
use reqwest::{Method, header::HeaderValue};
use ring::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};
use serde_json::{Map, Value, json};
use std::fmt;
use tokio::sync::Mutex;

const KEY: &str = "spec.app.privateKeySecretRef";
/// A token is renewed so long before its end, in seconds: requests with it may wait.
const EARLY: i64 = 300;
/// How long a signed name holds, in seconds. GitHub takes ten minutes, counted by its own clock.
const SIGNED: i64 = 540;
/// How far this machine's clock may be ahead, in seconds.
const AHEAD: i64 = 60;

/// Who asks.
pub enum Credentials {
    /// Whoever the token is of.
    Token(Token),
    /// An App.
    App(Box<App>),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token",
            Self::App(_) => "App",
        })
    }
}

/// What a request is signed with.
#[derive(Clone)]
pub struct Token {
    text: String,
    /// `Authorization`.
    pub header: HeaderValue,
}

impl Token {
    fn new(field: &str, text: &str) -> Result<Self, BuildError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(BuildError::new(field, "is empty"));
        }
        let header = http::secret_header(field, &format!("Bearer {text}"))?;
        Ok(Self { text: text.to_owned(), header })
    }

    /// What nobody may see.
    pub fn secret(&self) -> &str {
        &self.text
    }
}

/// An App, as it is installed in an account.
pub struct App {
    id: u64,
    installation: u64,
    key: RsaKeyPair,
    /// What its tokens are good for.
    permission: &'static str,
    minted: Mutex<Option<Minted>>,
}

struct Minted {
    token: Token,
    until: jiff::Timestamp,
}

impl Credentials {
    pub fn new(spec: &GitHubStatusSpec, secrets: &Secrets) -> Result<Self, BuildError> {
        match (&spec.app, &secrets.private_key, &secrets.token) {
            (Some(app), Some(pem), _) => Ok(Self::App(Box::new(App {
                id: app.app_id,
                installation: app.installation_id,
                key: private_key(pem)?,
                permission: match spec.mode {
                    GitHubMode::Statuses => "statuses",
                    GitHubMode::Checks => "checks",
                },
                minted: Mutex::default(),
            }))),
            (None, _, Some(token)) => Token::new("spec.tokenSecretRef", token).map(Self::Token),
            (Some(_), None, _) => Err(BuildError::new(KEY, "has no value")),
            (None, _, None) => Err(BuildError::new("spec.tokenSecretRef", "has no value")),
        }
    }

    /// What limits are counted by: the server, and the token or the App's installation.
    pub fn credential(&self, origin: &str) -> Credential {
        let own = match self {
            Self::Token(token) => token.text.clone(),
            Self::App(app) => format!("app {} {}", app.id, app.installation),
        };
        Credential::of([origin, own.as_str()].map(str::as_bytes))
    }

    /// What never changes and nobody may see.
    pub fn secrets(&self) -> Vec<&str> {
        match self {
            Self::Token(token) => vec![token.secret()],
            Self::App(_) => Vec::new(),
        }
    }

    /// The App's ID.
    pub fn app_id(&self) -> Option<u64> {
        match self {
            Self::Token(_) => None,
            Self::App(app) => Some(app.id),
        }
    }

    /// A token that holds for some minutes at least.
    pub async fn token(&self, api: &Api) -> Result<Token, SendError> {
        let app = match self {
            Self::Token(token) => return Ok(token.clone()),
            Self::App(app) => app,
        };
        let mut minted = app.minted.lock().await;
        let now = jiff::Timestamp::now();
        if let Some(minted) = &*minted
            && minted.until.as_second() - now.as_second() > EARLY
        {
            return Ok(minted.token.clone());
        }
        let new = app.mint(api, now).await?;
        let token = new.token.clone();
        *minted = Some(new);
        Ok(token)
    }

    /// Does without a token that GitHub refused; false if there is no other to be had.
    pub async fn renew(&self, refused: &Token) -> bool {
        let Self::App(app) = self else { return false };
        let mut minted = app.minted.lock().await;
        if minted.as_ref().is_some_and(|minted| minted.token.text == refused.text) {
            *minted = None;
        }
        true
    }
}

impl App {
    /// Has GitHub make a token of the installation, with no more rights than are needed.
    async fn mint(&self, api: &Api, now: jiff::Timestamp) -> Result<Minted, SendError> {
        let path = format!("app/installations/{}/access_tokens", self.installation);
        let signed = Token::new(KEY, &self.signed(now)?).map_err(|error| mended(&error))?;
        let wanted = json!({ self.permission: "write" });
        let body = Map::from_iter([("permissions".to_owned(), wanted)]);
        let asked = api.ask(Method::POST, &path, Some(&body), signed.header.clone()).await;
        let answer = asked.map_err(|unwell| match unwell {
            Unwell::Failed(error) => error,
            Unwell::Refused(refused) => {
                let words = delivery::redact(&refused::words(&refused), &[signed.secret()]);
                refused::minting(&refused, &api.place(&path), &words, self.permission)
            }
        })?;
        let text = |key: &str| answer.get(key).and_then(Value::as_str);
        let until = text("expires_at").and_then(|time| time.parse().ok());
        let token = text("token").and_then(|token| Token::new(KEY, token).ok());
        match token.zip(until) {
            Some((token, until)) => Ok(Minted { token, until }),
            None => Err(SendError::Transient(format!(
                "{} answered without token and expires_at; is spec.baseUrl GitHub's API?",
                api.place(&path)
            ))),
        }
    }

    /// The App's name, signed (RFC 7519).
    fn signed(&self, now: jiff::Timestamp) -> Result<String, SendError> {
        let begin = now.as_second() - AHEAD;
        let claims = json!({ "iat": begin, "exp": begin + SIGNED, "iss": self.id.to_string() });
        let head = json!({ "alg": "RS256", "typ": "JWT" });
        let pack = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let text = [head, claims].map(|part| pack(part.to_string().as_bytes())).join(".");
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
            .map_err(|_| SendError::Misconfigured(format!("{KEY}: the key can't sign")))?;
        Ok(format!("{text}.{}", pack(&signature)))
    }
}

fn mended(error: &BuildError) -> SendError {
    SendError::Misconfigured(error.to_string())
}

/// GitHub hands out PKCS#1; PKCS#8 is what others turn it into.
fn private_key(pem: &[u8]) -> Result<RsaKeyPair, BuildError> {
    let say = |text: &str| BuildError::new(KEY, text);
    // The errors could show parts of the key, so they are not told.
    let der = PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        say("holds no PEM key (-----BEGIN RSA PRIVATE KEY-----): generate one in the App's settings")
    })?;
    let key = match &der {
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        _ => return Err(say("holds a key that is not RSA: take the one that GitHub hands out")),
    };
    key.map_err(|_| {
        say("holds no RSA key of 2048 bits or more: take the one that GitHub hands out")
    })
}
