//! Signed tokens: who may ask a feed for what.
//!
//! A token is a JSON Web Token (RFC 7519) signed with HMAC-SHA-256 by a key of the master. The
//! feed needs no list of tokens: a new reader never restarts it. A key is replaced by putting a
//! second one beside it: from then on the new one signs, and both are accepted, until the old one
//! is taken away.
//!
//! ```
//! use feed::http::token::{Claims, Keys, Kind, Right};
//!
//! # fn example(dir: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
//! # std::fs::write(dir.join("2026-01"), "a key of thirty-two bytes or more")?;
//! let keys = Keys::from_dir(dir)?;
//! let token = keys.sign(&Claims {
//!     master_uid: "5a1c".to_owned(),
//!     consumer: "mail/main".to_owned(),
//!     kind: Kind::new("MailNotifier"),
//!     rights: [Right::Read, Right::Consume].into(),
//!     expires: None,
//! });
//! assert!(keys.verify(&token, "5a1c")?.rights.contains(&Right::Consume));
//! assert!(keys.verify(&token, "another master").is_err());
//! # Ok(())
//! # }
//! # let dir = tempfile::tempdir().unwrap();
//! # example(dir.path()).unwrap();
//! ```

mod keys;

pub(crate) use keys::subject;
pub use keys::{Keys, KeysError};

use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, str::FromStr};

/// Most bytes of a token that is looked at.
pub const MAX_BYTES: usize = 4096;

/// What a token says of who carries it. The names on the wire are those of RFC 7519.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// UID of the master whose feed may be asked.
    #[serde(rename = "aud")]
    pub master_uid: String,
    /// Name of the one consumer that [`Right::Consume`] is about, such as `mail/main`.
    #[serde(rename = "sub")]
    pub consumer: String,
    /// What kind of reader it is.
    pub kind: Kind,
    /// What may be asked.
    pub rights: BTreeSet<Right>,
    /// From when on it is refused: seconds since 1970 UTC; `None`: never.
    #[serde(rename = "exp", default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
}

/// What kind of reader a token was made for, such as `MailNotifier`: for logs, not for rights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Kind(String);

impl Kind {
    /// A kind of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What may be asked of a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// Everything that pages need: info, snapshot, events, builds, changes, users, logs.
    Read,
    /// The token's own consumer: open, read, acknowledge, its figures and dead letters.
    Consume,
    /// All consumers: list, figures, dead letters, replay, drop, forget.
    Manage,
}

impl Right {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Read, Self::Consume, Self::Manage];
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Consume => "consume",
            Self::Manage => "manage",
        })
    }
}

impl FromStr for Right {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|right| right.to_string() == text)
            .ok_or_else(|| format!("{text:?} is no right; there are read, consume and manage"))
    }
}

/// Why a token is refused. Says nothing that helps to make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no token of this kind.
    #[error("the token is malformed: it must be as `buildbot-status token` printed it")]
    Malformed,
    /// It is longer than [`MAX_BYTES`].
    #[error("the token is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// It is not signed with HMAC-SHA-256.
    #[error("the token is signed in a way that is not accepted here")]
    Algorithm,
    /// The key that it names is not here (any more).
    #[error("the token's key is not known here: the key was replaced; make a new token")]
    UnknownKey,
    /// The signature does not fit.
    #[error("the token's signature is wrong")]
    Forged,
    /// It is for another master's feed.
    #[error("the token is for the feed of another master")]
    OtherMaster,
    /// Its time is over.
    #[error("the token has expired: make a new one")]
    Expired,
}

#[cfg(test)]
mod tests;
