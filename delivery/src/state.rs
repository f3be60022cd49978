//! How a target fares, for status pages and health checks.

use feed::Peer;
use model::Timestamp;
use serde::Serialize;

/// One word for a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Health {
    /// Nothing was sent yet.
    #[default]
    Idle,
    /// The last attempt was taken.
    Delivering,
    /// The last attempt failed and is repeated.
    Retrying,
    /// The peer asked for patience, or the credential's budget is spent.
    Throttled,
    /// Somebody has to change a setting; records wait.
    Misconfigured,
    /// The loop has ended.
    Stopped,
}

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// When.
    pub at: Timestamp,
    /// [`crate::SendError::class`], `compose` or `expired`.
    pub class: &'static str,
    /// In plain words.
    pub text: String,
}

/// A target's present state and its figures since the process started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetState {
    /// The kind: `mail`.
    pub kind: &'static str,
    /// The resource's name.
    pub name: String,
    /// One word for it.
    pub health: Health,
    /// Whether the peer can be reached. It can, if it refuses one message for good.
    pub peer: Peer,
    /// When the peer last took something.
    pub last_success: Option<Timestamp>,
    /// What failed last; stays after a success.
    pub last_error: Option<Problem>,
    /// Records that the peer took.
    pub delivered: u64,
    /// Records that were of no interest, had nobody to be sent to, or were too old.
    pub skipped: u64,
    /// Attempts that failed and were repeated.
    pub retried: u64,
    /// Records that were given up.
    pub dead_letters: u64,
    /// Records at work.
    pub in_flight: u64,
    /// Records in the journal that are not done.
    pub backlog: u64,
}
