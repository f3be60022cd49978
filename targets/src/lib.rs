//! The delivery targets. Each is a folder with the same files in the same order: `mod` (what it
//! is, its settings), `decide` (which records matter: pure), `compose` (what to say: pure),
//! `send` (the protocol: thin). [`delivery`] drives them.
//!
//! | kind | target | loop |
//! |---|---|---|
//! | `MailNotifier` | [`mail::Mail`] | [`delivery::run`] |
//! | `HttpPush` | [`http_push::HttpPush`] | [`delivery::run_batch`] |

mod about;
mod answer;
pub mod http_push;
pub mod mail;
pub mod past;

/// Every kind of target. `tests/complies.rs` runs each through the rules of `docs/target-rules.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`mail::Mail`].
    Mail,
    /// [`http_push::HttpPush`].
    HttpPush,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Mail, Self::HttpPush];

    /// The word in metrics, logs and the names of consumers.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::HttpPush => "http_push",
        }
    }
}

pub use about::{About, BuildError, Preview};
