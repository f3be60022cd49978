//! Gerrit's SSH server: one connection an attempt, one command after the other on it.

use super::{
    Secrets,
    command::{self, Answer, Version},
    compose::{Review, Vote},
    decide::Place,
    hosts::Hosts,
    send::{Found, Marks},
};
use crate::BuildError;
use crds::GerritPushSpec;
use delivery::{SendError, budget::Credential};
use russh::{
    ChannelMsg, Preferred, client,
    keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate},
};
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::net::TcpStream;

/// For the connection, the greetings and the login together.
const CONNECT: Duration = Duration::from_secs(20);
/// A connection on which nothing comes for so long is closed.
const SILENCE: Duration = Duration::from_secs(60);
/// How long a server's version is believed: each question is a command, and delays a review.
const VERSION: Duration = Duration::from_secs(600);
/// How long a connection is kept for the next review: to connect and log in takes longer than to review.
/// Shorter than [`SILENCE`], after which it closes by itself.
const KEPT: Duration = Duration::from_secs(30);
/// Most bytes of an answer.
const ANSWER: usize = 4 << 20;

/// Where the server is and who we are.
pub struct Ssh {
    host: String,
    port: u16,
    username: String,
    key: Arc<PrivateKey>,
    hosts: Arc<Hosts>,
    config: Arc<client::Config>,
    marks: Marks,
    /// The server's version, and when it said so.
    version: Mutex<Option<(Instant, Version)>>,
    /// A connection that the last review went over, and when.
    kept: Mutex<Option<(Instant, Session)>>,
}

/// Without the key.
impl fmt::Debug for Ssh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ssh({}@{})", self.username, self.place())
    }
}

impl Ssh {
    pub fn new(spec: &GerritPushSpec, secrets: &Secrets, marks: Marks) -> Result<Self, BuildError> {
        let host = spec.server.clone().unwrap_or_default();
        let identity = secrets.identity.as_deref().unwrap_or_default();
        let key = private_key(identity)
            .map_err(|text| BuildError::new("spec.identitySecretRef", text))?;
        let known = secrets.known_hosts.as_deref().unwrap_or_default();
        let hosts = Hosts::new(&host, spec.port, known)?;
        let preferred = Preferred::DEFAULT;
        let config = client::Config {
            inactivity_timeout: Some(SILENCE),
            nodelay: true,
            preferred: Preferred { key: hosts.preferred(&preferred.key).into(), ..preferred },
            ..client::Config::default()
        };
        Ok(Self {
            host,
            port: spec.port,
            username: spec.username.clone(),
            key: Arc::new(key),
            hosts: Arc::new(hosts),
            config: Arc::new(config),
            marks,
            version: Mutex::default(),
            kept: Mutex::default(),
        })
    }

    pub fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    fn fingerprint(&self) -> String {
        self.key.fingerprint(HashAlg::Sha256).to_string()
    }

    pub fn credential(&self) -> Credential {
        let port = self.port.to_be_bytes();
        let key = self.fingerprint();
        Credential::of([self.host.as_bytes(), &port, self.username.as_bytes(), key.as_bytes()])
    }

    /// The connection that was kept, if it is fit for use.
    pub fn kept(&self) -> Option<Session> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (_, session) = kept.filter(|(at, _)| at.elapsed() < KEPT)?;
        (!session.handle.is_closed()).then_some(session)
    }

    /// Keeps a connection for the next review.
    pub fn keep(&self, session: Session) {
        let kept = Some((Instant::now(), session));
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept;
    }

    /// Connects, checks the host's key, and logs in.
    pub async fn connect(&self) -> Result<Session, SendError> {
        let late = |_| {
            let (place, seconds) = (self.place(), CONNECT.as_secs());
            SendError::Transient(format!("{place}: no connection and login within {seconds} s"))
        };
        let handle = tokio::time::timeout(CONNECT, self.log_in()).await.map_err(late)??;
        let session = Session {
            handle,
            username: self.username.clone(),
            place: self.place(),
            marks: self.marks.clone(),
            version: Version::parse(""),
        };
        let version = self.version(&session).await?;
        Ok(Session { version, ..session })
    }

    /// The server's version, asked for if nobody did lately.
    async fn version(&self, session: &Session) -> Result<Version, SendError> {
        let said = || self.version.lock().unwrap_or_else(PoisonError::into_inner);
        let known = said().filter(|(at, _)| at.elapsed() < VERSION);
        if let Some((_, version)) = known {
            return Ok(version);
        }
        let version = Version::parse(&session.ask("gerrit version").await?);
        *said() = Some((Instant::now(), version));
        Ok(version)
    }

    async fn log_in(&self) -> Result<client::Handle<Client>, SendError> {
        let place = self.place();
        let stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|error| SendError::Transient(format!("{place}: {error}")))?;
        let client = Client { hosts: Arc::clone(&self.hosts) };
        let connected = client::connect_stream(Arc::clone(&self.config), stream, client).await;
        let mut handle = connected.map_err(|trouble| trouble.class(&place))?;
        // Only RSA keys come with several hashes, and servers say late which of them they know.
        let hash = if self.key.algorithm().is_rsa() {
            let best = handle.best_supported_rsa_hash().await;
            best.map_err(|error| talking(&place, &error))?.unwrap_or(Some(HashAlg::Sha512))
        } else {
            None
        };
        let key = PrivateKeyWithHashAlg::new(Arc::clone(&self.key), hash);
        let login = handle.authenticate_publickey(&self.username, key).await;
        if login.map_err(|error| talking(&place, &error))?.success() {
            return Ok(handle);
        }
        // A connection that ends meanwhile looks like a refusal.
        if handle.is_closed() {
            return Err(SendError::Transient(format!("{place}: ended during the login")));
        }
        Err(SendError::Misconfigured(format!(
            "{place} refuses the user {:?} with the key {}: add its public key to the account, or \
             set username and identitySecretRef",
            self.username,
            self.fingerprint()
        )))
    }
}

fn private_key(text: &str) -> Result<PrivateKey, String> {
    use russh::keys::Error::KeyIsEncrypted;
    let key = match russh::keys::decode_secret_key(text, None) {
        Ok(key) => key,
        Err(KeyIsEncrypted) => return Err(encrypted()),
        // The error could show a part of the key, so it is not told.
        Err(_) => {
            return Err("holds no private key that can be read: an OpenSSH or PEM file, such as \
                        `ssh-keygen -t ed25519 -N ''` writes"
                .to_owned());
        }
    };
    if key.is_encrypted() { Err(encrypted()) } else { Ok(key) }
}

fn encrypted() -> String {
    "is protected by a passphrase, which nobody is there to type: take it away with \
     `ssh-keygen -p -N ''`"
        .to_owned()
}

/// Answers the protocol's questions.
struct Client {
    hosts: Arc<Hosts>,
}

/// Why there is no connection.
#[derive(Debug)]
enum Trouble {
    /// The host's key is not accepted; with what to do about it.
    Host(String),
    Ssh(russh::Error),
}

impl From<russh::Error> for Trouble {
    fn from(error: russh::Error) -> Self {
        Self::Ssh(error)
    }
}

impl Trouble {
    fn class(self, place: &str) -> SendError {
        match self {
            Self::Host(text) => SendError::Misconfigured(text),
            Self::Ssh(error @ (russh::Error::NoCommonAlgo { .. } | russh::Error::Version)) => {
                SendError::Misconfigured(format!("{place}: {error}"))
            }
            Self::Ssh(error) => talking(place, &error),
        }
    }
}

impl client::Handler for Client {
    type Error = Trouble;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Trouble> {
        match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => {
                self.hosts.check(key).map(|()| true).map_err(Trouble::Host)
            }
            // None is asked for.
            PublicKeyOrCertificate::Certificate(_) => Ok(false),
        }
    }
}

fn talking(place: &str, error: &russh::Error) -> SendError {
    SendError::Transient(format!("{place}: {error}"))
}

/// A connection that is logged in.
pub struct Session {
    handle: client::Handle<Client>,
    username: String,
    place: String,
    marks: Marks,
    version: Version,
}

impl Session {
    /// The changes that have a patch set.
    pub async fn find(&self, place: &Place, comments: bool) -> Result<Vec<Found>, SendError> {
        let answer = self.ask(&command::find(place, comments)).await?;
        command::found(&answer, place, &self.username)
    }

    /// Sends a review; the votes that stand then.
    pub async fn review(
        &self,
        place: &Place,
        found: &Found,
        review: &Review,
    ) -> Result<Vec<Vote>, SendError> {
        let command = command::review(place, found, review, &self.marks, self.version);
        self.run(&command).await?.text()?;
        if review.votes.is_empty() || !self.version.has_labels() {
            return Ok(review.votes.clone());
        }
        // Gerrit leaves out a label or a value that it does not have, and says that all is well.
        let answer = self.ask(&command::votes(found)).await?;
        command::voted(&answer, found, &self.username)
    }

    /// Asks what every account may ask: a refusal is none of a change.
    async fn ask(&self, command: &str) -> Result<String, SendError> {
        self.run(command).await?.text().map_err(|error| match error {
            SendError::Permanent(text) => {
                let what = command.split('\'').next().unwrap_or_default().trim_end();
                SendError::Misconfigured(format!("{} refuses `{what}`: {text}", self.place))
            }
            error => error,
        })
    }

    async fn run(&self, command: &str) -> Result<Answer, SendError> {
        self.exchange(command).await.map_err(|error| talking(&self.place, &error))
    }

    async fn exchange(&self, command: &str) -> Result<Answer, russh::Error> {
        let mut channel = self.handle.channel_open_session().await?;
        channel.exec(true, command).await?;
        channel.eof().await?;
        let mut answer = Answer::default();
        while let Some(message) = channel.wait().await {
            match message {
                ChannelMsg::Data { data } => keep(&mut answer.out, &data),
                ChannelMsg::ExtendedData { data, .. } => keep(&mut answer.err, &data),
                ChannelMsg::ExitStatus { exit_status } => answer.status = Some(exit_status),
                _ => {}
            }
        }
        Ok(answer)
    }
}

fn keep(all: &mut Vec<u8>, more: &[u8]) {
    all.extend_from_slice(&more[..more.len().min(ANSWER - all.len())]);
}
