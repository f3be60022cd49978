//! The delivery targets. Each is a folder with the same files in the same order: `mod` (what it
//! is, its settings), `decide` (which records matter: pure), `compose` (what to say: pure),
//! `send` (the protocol: thin). [`delivery`] drives them.
//!
//! | kind | target | loop |
//! |---|---|---|
//! | `MailNotifier` | [`mail::Mail`] | [`delivery::run`] |
//! | `GitHubStatus` | [`github::GitHubStatus`] | [`delivery::run`] |
//! | `HttpPush` | [`http_push::HttpPush`] | [`delivery::run_batch`] |
//! | `StatusPush` | [`status_push::StatusPush`] | [`delivery::run_batch`] |
//! | `GerritPush` | [`gerrit::GerritPush`] | [`delivery::run`] |

mod about;
mod answer;
mod cloud_events;
mod egress;
#[cfg(test)]
mod fuzz;
pub mod gerrit;
pub mod github;
mod http;
pub mod http_push;
pub mod mail;
mod packets;
pub mod past;
pub mod status_push;
mod tls;

/// Every kind of target. `tests/complies.rs` runs each through the rules of `docs/target-rules.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`mail::Mail`].
    Mail,
    /// [`http_push::HttpPush`].
    HttpPush,
    /// [`status_push::StatusPush`].
    StatusPush,
    /// [`gerrit::GerritPush`].
    Gerrit,
    /// [`github::GitHubStatus`].
    GitHub,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Mail, Self::HttpPush, Self::StatusPush, Self::Gerrit, Self::GitHub];

    /// The word in metrics, logs and the names of consumers.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::HttpPush => "http_push",
            Self::StatusPush => "status_push",
            Self::Gerrit => "gerrit",
            Self::GitHub => "github",
        }
    }
}

pub use about::{About, BuildError, Preview};
