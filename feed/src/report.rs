//! What the process that runs a consumer, or pages, says of itself: kept in memory, for whoever
//! writes the resource's status.

use crate::{ConsumerError, shared::now_ms};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

/// Most characters of a message that are kept.
const MESSAGE: usize = 1024;
/// Most characters of a reason.
const REASON: usize = 64;
/// For how long a report counts of which nothing more was heard: ten minutes.
const FORGET_MS: i64 = 600_000;

/// What a process says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Report {
    /// When the feed heard it last: milliseconds since 1970 UTC. What a reporter says is not
    /// looked at.
    pub at_ms: i64,
    /// Whether whom the process sends to can be reached.
    pub peer: Peer,
    /// Settings that the process can't use, and so waits for.
    pub problem: Option<Fault>,
}

/// Whether whom a target sends to can be reached, as its last attempt says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Peer {
    /// In one word.
    pub state: PeerState,
    /// The class of the failure, such as `Transient`, where the peer can't be reached; else empty.
    pub reason: String,
    /// What happened, in plain words, where the peer can't be reached; else empty. At most 1024
    /// characters.
    pub message: String,
    /// Since when the state is as it is: milliseconds since 1970 UTC.
    pub since_ms: i64,
}

/// See [`Peer`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PeerState {
    /// Nothing was tried since the process started, or there is no peer.
    #[default]
    Unknown,
    /// It answered the last attempt.
    Reachable,
    /// The last attempt failed, and is repeated.
    Unreachable,
}

/// Why something can't go on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Fault {
    /// The class, such as `SecretKeyMissing`: letters and digits.
    pub reason: String,
    /// What is wrong and where, in plain words. At most 1024 characters.
    pub message: String,
}

/// One who reports and has no consumer: pages, or a target that waits for its settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReaderStatus {
    /// The name that its token is for.
    pub name: String,
    /// The kind that its token is for, such as `WebStatus`.
    pub kind: String,
    /// When it was heard last: milliseconds since 1970 UTC.
    pub last_seen_ms: i64,
    /// What it said then.
    pub report: Report,
}

impl Peer {
    /// Notes how an attempt ended: `None` if the peer answered, else the failure's class and what
    /// happened.
    pub fn attempted(&mut self, failure: Option<(&str, &str)>) {
        let state = if failure.is_some() { PeerState::Unreachable } else { PeerState::Reachable };
        let (reason, message) = failure.unwrap_or_default();
        let since_ms = if self.state == state { self.since_ms } else { now_ms() };
        *self = Self { state, reason: reason.to_owned(), message: cut(message), since_ms };
    }
}

impl Fault {
    /// A fault of this class; the message is cut to what is kept.
    pub fn new(reason: impl Into<String>, message: &str) -> Self {
        Self { reason: reason.into(), message: cut(message) }
    }
}

impl Report {
    /// As it is kept, from now on.
    fn heard(mut self) -> Result<Self, ConsumerError> {
        reason("peer.reason", &self.peer.reason)?;
        self.peer.message = cut(&self.peer.message);
        if let Some(fault) = &mut self.problem {
            if fault.reason.is_empty() {
                return Err(ConsumerError::Bounds("problem.reason: it is empty".to_owned()));
            }
            reason("problem.reason", &fault.reason)?;
            fault.message = cut(&fault.message);
        }
        self.at_ms = now_ms();
        Ok(self)
    }
}

fn reason(field: &str, reason: &str) -> Result<(), ConsumerError> {
    let good = reason.len() <= REASON
        && reason.chars().all(|c| c.is_ascii_alphanumeric())
        && !reason.starts_with(|c: char| c.is_ascii_digit());
    if good {
        return Ok(());
    }
    Err(ConsumerError::Bounds(format!(
        "{field}: letters and digits, at most {REASON}, are possible; a letter comes first"
    )))
}

fn cut(message: &str) -> String {
    message.chars().take(MESSAGE).collect()
}

/// The newest report of each process, by the name of its token.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    by_name: Mutex<BTreeMap<String, (String, Report)>>,
}

impl Reports {
    /// Keeps what `name`, of this kind, says now.
    pub(crate) fn put(&self, name: &str, kind: &str, report: Report) -> Result<(), ConsumerError> {
        let report = report.heard()?;
        self.lock().insert(name.to_owned(), (kind.to_owned(), report));
        Ok(())
    }

    /// What `name` said last, if that is not long ago.
    pub(crate) fn get(&self, name: &str) -> Option<Report> {
        let earliest = now_ms() - FORGET_MS;
        let found = self.lock().get(name).map(|(_, report)| report.clone());
        found.filter(|report| report.at_ms >= earliest)
    }

    /// All who reported and are not `known` otherwise, by name.
    pub(crate) fn others(&self, known: impl Fn(&str) -> bool) -> Vec<ReaderStatus> {
        self.forget_older_than(now_ms() - FORGET_MS);
        let status = |(name, (kind, report)): (&String, &(String, Report))| ReaderStatus {
            name: name.clone(),
            kind: kind.clone(),
            last_seen_ms: report.at_ms,
            report: report.clone(),
        };
        self.lock().iter().filter(|(name, _)| !known(name)).map(status).collect()
    }

    pub(crate) fn remove(&self, name: &str) {
        self.lock().remove(name);
    }

    fn forget_older_than(&self, at_ms: i64) {
        self.lock().retain(|_, (_, report)| report.at_ms >= at_ms);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (String, Report)>> {
        self.by_name.lock().unwrap_or_else(|e| e.into_inner())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_peers_state_tells_since_when_it_is_so() {
        let mut peer = Peer::default();
        peer.attempted(Some(("Transient", "no connection")));
        assert_eq!((peer.state, peer.reason.as_str()), (PeerState::Unreachable, "Transient"));
        assert!(peer.since_ms > 0);
        peer.since_ms = 7;
        peer.attempted(Some(("Misconfigured", "535 wrong password")));
        assert_eq!((peer.since_ms, peer.message.as_str()), (7, "535 wrong password"));
        peer.attempted(None);
        assert_eq!((peer.state, peer.message.as_str()), (PeerState::Reachable, ""));
        assert!(peer.since_ms > 7);
    }

    #[test]
    fn messages_are_cut_and_reasons_that_are_no_word_are_refused() {
        let report = |reason: &str| Report {
            at_ms: 1,
            peer: Peer { message: "ä".repeat(3000), ..Peer::default() },
            problem: Some(Fault { reason: reason.to_owned(), message: "x".repeat(3000) }),
        };
        let heard = report("SecretMissing").heard().unwrap();
        assert_eq!(heard.peer.message.chars().count(), 1024);
        assert_eq!(heard.problem.unwrap().message.len(), 1024);
        assert!(heard.at_ms > 1, "by the feed's clock");
        for bad in ["", "a b", "1a", &"a".repeat(65), "ä"] {
            assert!(matches!(report(bad).heard(), Err(ConsumerError::Bounds(_))), "{bad:?}");
        }
    }

    #[test]
    fn who_says_nothing_for_long_is_forgotten() {
        let reports = Reports::default();
        for name in ["pages", "mail/main"] {
            reports.put(name, "WebStatus", Report::default()).unwrap();
        }
        let names = |all: Vec<ReaderStatus>| all.into_iter().map(|r| r.name).collect::<Vec<_>>();
        assert_eq!(names(reports.others(|name| name == "mail/main")), ["pages"]);
        reports.lock().get_mut("pages").unwrap().1.at_ms -= FORGET_MS + 1000;
        assert_eq!(reports.get("pages"), None);
        assert_eq!(names(reports.others(|_| false)), ["mail/main"]);
    }
}
