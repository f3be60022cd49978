//! How the connection to a master stands, in plain words.

use model::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the connection to a master stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MasterState {
    /// The kind, for programs.
    pub kind: StateKind,
    /// What is so and what is done about it, in plain words, for people.
    pub text: String,
    /// Since when.
    pub since: Timestamp,
}

impl MasterState {
    /// A state from now on.
    pub fn now(kind: StateKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), since: Timestamp::now() }
    }
}

impl Default for MasterState {
    fn default() -> Self {
        Self::now(StateKind::Connecting, "not connected yet")
    }
}

/// Kinds of [`MasterState`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum StateKind {
    /// The first attempt to connect.
    Connecting,
    /// Connected; what was missed is being read.
    CatchingUp,
    /// Connected and up to date.
    Live,
    /// Nothing answers; tried again and again.
    Down,
    /// The connection was lost a moment ago; the master may be restarting.
    Restarting,
    /// The master answers too late or with errors.
    Slow,
    /// Access is denied, or the login refused.
    Denied,
    /// A Buildbot that is too old.
    OldApi,
    /// Something else answers at that address.
    NotBuildbot,
    /// The journal takes nothing (a full disk): reading of the master is halted.
    Halted,
    /// The feed that reads the master does not answer, so nothing is known of the master.
    FeedAway,
}

impl StateKind {
    /// All kinds.
    pub const ALL: [Self; 11] = [
        Self::Connecting,
        Self::CatchingUp,
        Self::Live,
        Self::Down,
        Self::Restarting,
        Self::Slow,
        Self::Denied,
        Self::OldApi,
        Self::NotBuildbot,
        Self::Halted,
        Self::FeedAway,
    ];

    /// The kind as one word, the same as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::CatchingUp => "catchingUp",
            Self::Live => "live",
            Self::Down => "down",
            Self::Restarting => "restarting",
            Self::Slow => "slow",
            Self::Denied => "denied",
            Self::OldApi => "oldApi",
            Self::NotBuildbot => "notBuildbot",
            Self::Halted => "halted",
            Self::FeedAway => "feedAway",
        }
    }

    /// Whether the master is read at present.
    pub fn is_connected(self) -> bool {
        matches!(self, Self::CatchingUp | Self::Live)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::StateKind;

    #[test]
    fn a_kind_has_the_same_name_in_figures_and_in_json() {
        for kind in StateKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
