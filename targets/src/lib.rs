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

pub use about::{About, BuildError, Preview};
