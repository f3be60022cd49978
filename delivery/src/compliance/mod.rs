//! The test that every target passes: the rules of `docs/target-rules.md`, each by its number.
//! Needs the feature `compliance`.
//!
//! A target's test gives a [`Peer`] that can be told how to answer, and a way to start its loop;
//! [`Kit::check`] does the rest with a journal in memory.
#![allow(clippy::panic, clippy::expect_used, reason = "a failure is a failed test")]

mod journal;
mod kit;
mod peer;
mod rules;

pub use journal::{Journal, Reader, records};
pub use kit::{Kit, Running, Setup};
pub use peer::{Answer, Peer, Script, Seen};
pub use rules::RULES;

use std::sync::{Mutex, MutexGuard};

/// The password or token of the target that is tested. A peer that refuses for good says it.
pub const SECRET: &str = "hunter2-s3cret";

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
