//! SMTP: plain, STARTTLS or TLS from the first byte, with a login or without (M06).

use super::{Message, Secrets};
use crate::{BuildError, tls};
use crds::{MailNotifierSpec, MailTls};
use delivery::{SendError, Sent, budget::Credential};
use lettre::transport::smtp::{
    authentication::{Credentials, Mechanism},
    client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters},
    commands::{Data, Mail, Rcpt},
    extension::{ClientId, Extension, MailBodyParameter, MailParameter},
};
use std::{error::Error as _, fmt, time::Duration};

type SmtpError = lettre::transport::smtp::Error;

/// For each of the server's addresses.
const CONNECT: Duration = Duration::from_secs(20);
/// Connection, greeting, TLS and login together.
const ARRIVE: Duration = Duration::from_secs(60);
/// Sender and recipients. A mail that is cut off here goes again and reaches nobody twice.
const ENVELOPE: Duration = Duration::from_secs(120);
/// The content until the server has taken it. Whoever gives up here sends it twice, so a server is
/// given ten minutes (RFC 5321 §4.5.3.2.6).
const CONTENT: Duration = Duration::from_secs(600);
/// A whole attempt.
pub const ATTEMPT: Duration = Duration::from_secs(800);
/// The mail is taken already when we say good-bye, so that is not waited for at length.
const QUIT: Duration = Duration::from_secs(2);
/// Words of a server's answer that are kept.
const ANSWER: usize = 300;

/// Where mails go and how.
pub struct Smtp {
    host: String,
    port: u16,
    tls: MailTls,
    parameters: Option<TlsParameters>,
    login: Option<Credentials>,
    user: String,
    password: Option<String>,
}

/// Without the login and the keys.
impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Smtp({}:{}, {:?})", self.host, self.port, self.tls)
    }
}

impl Smtp {
    pub fn new(spec: &MailNotifierSpec, secrets: &Secrets) -> Result<Self, BuildError> {
        let parameters = match spec.tls() {
            MailTls::None => None,
            MailTls::Starttls | MailTls::Implicit => {
                let mut builder = TlsParameters::builder(spec.relayhost.clone());
                if let Some(pem) = &secrets.ca {
                    crate::about::check_pem("spec.caSecretRef", pem)?;
                    let certificate = Certificate::from_pem(pem).map_err(|error| {
                        BuildError::new("spec.caSecretRef", format!("no PEM certificate: {error}"))
                    })?;
                    builder = builder
                        .certificate_store(CertificateStore::None)
                        .add_root_certificate(certificate);
                }
                let parameters = builder.build_rustls();
                Some(parameters.map_err(|error| BuildError::new("spec.caSecretRef", error))?)
            }
        };
        let login = match (&spec.smtp_user, &secrets.password) {
            (Some(user), Some(password)) => Some(Credentials::new(user.clone(), password.clone())),
            (Some(_), None) => {
                let text = "smtpUser is set, but its password is missing";
                return Err(BuildError::new("spec.smtpPasswordSecretRef", text));
            }
            (None, _) => None,
        };
        let user = spec.smtp_user.clone().unwrap_or_default();
        let password = secrets.password.clone();
        let (host, port) = (spec.relayhost.clone(), spec.smtp_port);
        Ok(Self { host, port, tls: spec.tls(), parameters, login, user, password })
    }

    pub fn secrets(&self) -> Vec<&str> {
        self.password.as_deref().into_iter().collect()
    }

    /// What limits are counted by: server and login.
    pub fn credential(&self) -> Credential {
        let port = self.port.to_be_bytes();
        let password = self.password.as_deref().unwrap_or_default();
        Credential::of([self.host.as_bytes(), &port, self.user.as_bytes(), password.as_bytes()])
    }

    pub async fn reach(&self) -> Result<(), SendError> {
        let connection = self.connect().await?;
        quit(connection).await;
        Ok(())
    }

    pub async fn send(&self, message: &mut Message) -> Result<Sent, SendError> {
        // An attempt may have run out of time after the server took the last of it.
        if !message.remaining.is_empty() {
            let mut connection = self.connect().await?;
            let result = transact(&mut connection, message).await;
            quit(connection).await;
            result?;
        }
        if message.refused.is_empty() {
            Ok(Sent::Whole)
        } else {
            Ok(Sent::Partly(format!("not taken for {}", message.refused.join("; "))))
        }
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, SendError> {
        let what = format!("{}:{} has no greeting, TLS and login", self.host, self.port);
        within(ARRIVE, &what, self.log_in()).await
    }

    async fn log_in(&self) -> Result<AsyncSmtpConnection, SendError> {
        let place = || format!("{}:{}", self.host, self.port);
        let hello = ClientId::default();
        let implicit = match self.tls {
            MailTls::Implicit => self.parameters.clone(),
            MailTls::None | MailTls::Starttls => None,
        };
        let address = (self.host.as_str(), self.port);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(address, Some(CONNECT), &hello, implicit, None)
                .await
                .map_err(|error| connecting(&error, &place()))?;
        if let (MailTls::Starttls, Some(parameters)) = (self.tls, &self.parameters) {
            if !connection.can_starttls() {
                quit(connection).await;
                let text = format!("{} offers no STARTTLS, which tls or useTls asks for", place());
                return Err(SendError::Misconfigured(text));
            }
            connection
                .starttls(parameters.clone(), &hello)
                .await
                .map_err(|error| connecting(&error, &place()))?;
        }
        if let Some(login) = &self.login {
            let mechanisms = [Mechanism::Plain, Mechanism::Login];
            if let Err(error) = connection.auth(&mechanisms, login).await {
                quit(connection).await;
                return Err(logging_in(&error, &place()));
            }
        }
        Ok(connection)
    }
}

/// A step with its own deadline.
async fn within<T>(
    limit: Duration,
    what: &str,
    step: impl Future<Output = Result<T, SendError>>,
) -> Result<T, SendError> {
    tokio::time::timeout(limit, step).await.unwrap_or_else(|_| {
        Err(SendError::Transient(format!("{what} within {} s", limit.as_secs())))
    })
}

async fn quit(mut connection: AsyncSmtpConnection) {
    // Whatever the answer: there is nothing left to do about it.
    let _ = tokio::time::timeout(QUIT, connection.abort()).await;
}

/// Hands over what remains. On return `remaining` holds those that were put off.
async fn transact(
    connection: &mut AsyncSmtpConnection,
    message: &mut Message,
) -> Result<(), SendError> {
    let told = within(ENVELOPE, "no answer about the recipients", envelope(connection, message));
    let Envelope { accepted, put_off, mut refused, last } = told.await?;
    // The message is changed only once the server has spoken about the whole of it: this future
    // may be dropped at any await, and then all of it is tried again.
    if accepted > 0 {
        let content = hand_over(connection, message.bytes());
        within(CONTENT, "no answer about the content", content).await?;
        message.sent = true;
    }
    message.refused.append(&mut refused);
    message.remaining = put_off;
    if !message.remaining.is_empty() {
        return Err(SendError::PutOff(last));
    }
    if !message.sent {
        return Err(SendError::Permanent(message.refused.join("; ")));
    }
    Ok(())
}

/// What the server says of the recipients.
#[derive(Default)]
struct Envelope {
    accepted: usize,
    put_off: Vec<lettre::Address>,
    refused: Vec<String>,
    /// About the last one that was put off.
    last: String,
}

async fn envelope(
    connection: &mut AsyncSmtpConnection,
    message: &Message,
) -> Result<Envelope, SendError> {
    let mut options = Vec::new();
    let wide = |address: &lettre::Address| !address.to_string().is_ascii();
    if wide(&message.from) || message.remaining.iter().any(wide) {
        if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            let text = "an address has letters beyond ASCII, and the server takes none (SMTPUTF8)";
            return Err(SendError::Permanent(text.to_owned()));
        }
        options.push(MailParameter::SmtpUtfEight);
    }
    if !message.bytes().is_ascii()
        && connection.server_info().supports_feature(Extension::EightBitMime)
    {
        options.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    let mail = Mail::new(Some(message.from.clone()), options);
    connection.command(mail).await.map_err(|error| sender(&error))?;

    let mut told = Envelope::default();
    for recipient in &message.remaining {
        let Err(error) = connection.command(Rcpt::new(recipient.clone(), Vec::new())).await else {
            told.accepted += 1;
            continue;
        };
        let text = format!("{recipient}: {}", said(&error));
        match code(&error) {
            // The connection is gone or going.
            None | Some(421) => return Err(talking(&error)),
            Some(530) => return Err(SendError::Misconfigured(text)),
            Some(400..=499) => {
                told.put_off.push(recipient.clone());
                told.last = text;
            }
            Some(_) => told.refused.push(text),
        }
    }
    Ok(told)
}

async fn hand_over(connection: &mut AsyncSmtpConnection, bytes: &[u8]) -> Result<(), SendError> {
    connection.command(Data).await.map_err(|error| content(&error))?;
    connection.message(bytes).await.map_err(|error| content(&error))?;
    Ok(())
}

fn code(error: &SmtpError) -> Option<u16> {
    error.status().map(u16::from)
}

/// The server's words or the reason, cut. Neither holds the password: lettre names no command.
fn said(error: &SmtpError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text.chars().take(ANSWER).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn throttled(error: &SmtpError) -> SendError {
    SendError::Throttled { after: None, text: said(error) }
}

fn connecting(error: &SmtpError, place: &str) -> SendError {
    if let Some(tls) = tls::cause(error) {
        return SendError::Misconfigured(format!("{place}: {}", tls::words(tls)));
    }
    let text = format!("{place}: {}", said(error));
    match code(error) {
        Some(421) => SendError::Throttled { after: None, text },
        Some(500..) => SendError::Misconfigured(text),
        _ if error.is_tls() => SendError::Misconfigured(text),
        _ => SendError::Transient(text),
    }
}

fn logging_in(error: &SmtpError, place: &str) -> SendError {
    let text = format!("{place} refuses the login: {}", said(error));
    match code(error) {
        Some(421) => throttled(error),
        Some(500..) => SendError::Misconfigured(text),
        // No mechanism in common.
        None if error.is_client() => SendError::Misconfigured(text),
        _ => SendError::Transient(text),
    }
}

/// `MAIL FROM` is the same for all mails: a refusal is one of the sender, unless it is of the size.
fn sender(error: &SmtpError) -> SendError {
    match code(error) {
        Some(421 | 450..=452) => throttled(error),
        Some(552) => SendError::Permanent(said(error)),
        Some(500..) => SendError::Misconfigured(said(error)),
        _ => SendError::Transient(said(error)),
    }
}

fn talking(error: &SmtpError) -> SendError {
    match code(error) {
        Some(421) => throttled(error),
        _ => SendError::Transient(said(error)),
    }
}

fn content(error: &SmtpError) -> SendError {
    match code(error) {
        Some(500..) => SendError::Permanent(said(error)),
        _ => talking(error),
    }
}
