//! What targets know beside their settings and the records.

use delivery::budget::Limit;
use model::{Builder, BuilderId};
use render::Site;
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::watch;
use url::Url;

/// The master's title, its pages and its builders. Targets hold a
/// [`watch::Receiver`] of it, so a new title or tag needs no restart.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Title and pages.
    pub site: Site,
    /// Builders by key, for records that name only the key.
    pub builders: Arc<BTreeMap<BuilderId, Builder>>,
}

impl About {
    /// A receiver whose value never changes.
    pub fn fixed(self) -> watch::Receiver<Self> {
        watch::Sender::new(self).subscribe()
    }
}

/// Settings that pass their schema but can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {text}")]
pub struct BuildError {
    /// The setting, as the resource has it: `spec.subject`.
    pub field: String,
    /// What is wrong, and what to do.
    pub text: String,
}

impl BuildError {
    pub(crate) fn new(field: impl Into<String>, text: impl std::fmt::Display) -> Self {
        Self { field: field.into(), text: format!("{text}") }
    }
}

/// An address of HTTP. It is not shown, as it may hold a password.
pub(crate) fn address(field: &str, text: &str) -> Result<Url, BuildError> {
    let refused = |error| format!("is no address: {error}; write http://HOST/… or https://HOST/…");
    text.parse().map_err(|error: url::ParseError| BuildError::new(field, refused(error)))
}

/// The limits of `spec.rateLimit`.
pub(crate) fn limits(limit: Option<&crds::RateLimit>) -> Vec<Limit> {
    limit.map(|l| Limit::rate(delivery::MESSAGES, l.messages, l.period.get())).into_iter().collect()
}

/// The readers of PEM take a text without any certificate for an empty list, and then trust nobody.
pub(crate) fn check_pem(field: &str, pem: &[u8]) -> Result<(), BuildError> {
    let begin = b"-----BEGIN CERTIFICATE-----";
    if pem.windows(begin.len()).any(|window| window == begin) {
        return Ok(());
    }
    Err(BuildError::new(field, "holds no PEM certificate (-----BEGIN CERTIFICATE-----)"))
}

/// What a target would send about something, for `check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// Why it would be sent (`mode: failing, problem`), or why not.
    pub why: String,
    /// To whom; empty if nothing is sent.
    pub to: Vec<String>,
    /// A subject or an event's name.
    pub title: String,
    /// The text as it would go out, before any transfer encoding.
    pub body: String,
}

impl Preview {
    pub(crate) fn nothing(why: impl Into<String>) -> Self {
        Self { why: why.into(), to: Vec::new(), title: String::new(), body: String::new() }
    }
}
