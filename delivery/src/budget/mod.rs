//! What may be asked of a peer in a time, by all targets of one credential together.
//!
//! A [`Budget`] is a set of [`Limit`]s: so many in any span of a period, several at once, or so
//! many for each key. Whoever wants to send spends a [`Cost`] first, and waits for its turn: those
//! that want the same limit go in the order in which they came. A peer that asks
//! for patience holds all of them up ([`Budget::hold`]).
//!
//! ```
//! use delivery::budget::{Budget, Cost, Limit};
//! use std::time::Duration;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! // GitHub's: requests, requests that create something, and statuses of a commit and context.
//! let github = Budget::new(&[
//!     Limit::rate("requests", 5000, Duration::from_secs(3600)),
//!     Limit::rate("content", 80, Duration::from_secs(60)),
//!     Limit::each("statuses", 1000),
//! ]);
//! let cost = Cost::of_one("requests").and("content").and("statuses").key("d76e234 unit");
//! github.spend(&cost).await.unwrap();
//! assert_eq!(github.left()["content"], 79);
//! # });
//! ```

mod ledger;
#[cfg(test)]
mod tests;

use ledger::{Claim, Ledger};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// One limit of a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Its name, in costs and in metrics: `messages`.
    pub name: &'static str,
    /// How much it allows.
    pub quota: Quota,
}

/// How much a limit allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// At most `count` in any span of `period`.
    Rate {
        /// How many.
        count: u32,
        /// In what time.
        period: Duration,
    },
    /// At most `count` for each key, for ever.
    Each {
        /// How many.
        count: u32,
    },
}

impl Limit {
    /// At most `count` in any span of `period`.
    pub const fn rate(name: &'static str, count: u32, period: Duration) -> Self {
        Self { name, quota: Quota::Rate { count, period } }
    }

    /// At most `count` for each key.
    pub const fn each(name: &'static str, count: u32) -> Self {
        Self { name, quota: Quota::Each { count } }
    }
}

/// What one request costs. A limit that a budget does not have costs nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    limits: Vec<(&'static str, u32)>,
    key: String,
}

impl Cost {
    /// One of a limit.
    pub fn of_one(limit: &'static str) -> Self {
        Self { limits: vec![(limit, 1)], key: String::new() }
    }

    /// And one of another limit.
    #[must_use]
    pub fn and(mut self, limit: &'static str) -> Self {
        self.limits.push((limit, 1));
        self
    }

    /// With the key that keyed limits count it under.
    #[must_use]
    pub fn key(self, key: impl Into<String>) -> Self {
        Self { key: key.into(), ..self }
    }

    fn of(&self, limit: &str) -> u32 {
        self.limits.iter().filter(|(name, _)| *name == limit).map(|(_, count)| count).sum()
    }

    /// Whether both want the same limit.
    fn meets(&self, other: &Self) -> bool {
        self.limits.iter().any(|(name, count)| *count > 0 && other.of(name) > 0)
    }
}

/// A cost that no time will make affordable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the limit {limit:?} allows no more for {key:?}")]
pub struct Exhausted {
    /// The limit's name.
    pub limit: &'static str,
    /// The cost's key.
    pub key: String,
}

/// The limits of one credential and what is left of them.
pub struct Budget {
    ledger: Mutex<Ledger>,
    changed: Notify,
    epoch: Instant,
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("left", &self.left()).finish_non_exhaustive()
    }
}

impl Default for Budget {
    /// Without limits of its own; what the peer says still holds.
    fn default() -> Self {
        Self { ledger: Mutex::default(), changed: Notify::new(), epoch: Instant::now() }
    }
}

impl Budget {
    /// A budget of which nothing is spent.
    pub fn new(limits: &[Limit]) -> Self {
        let budget = Self::default();
        budget.ledger().add(limits);
        budget
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// Waits for its turn and spends `cost`; says how long it waited. May be dropped while it
    /// waits: then nothing is spent.
    ///
    /// # Errors
    /// [`Exhausted`] if no time will do.
    pub async fn spend(&self, cost: &Cost) -> Result<Duration, Exhausted> {
        let began = Instant::now();
        let place = Place { budget: self, ticket: self.ledger().enter(cost.clone()) };
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let claim = self.ledger().claim(place.ticket, self.now());
            match claim {
                Claim::Granted => return Ok(began.elapsed()),
                Claim::Never(limit) => return Err(Exhausted { limit, key: cost.key.clone() }),
                Claim::Behind => changed.await,
                Claim::At(at) => tokio::select! {
                    () = changed => {}
                    () = sleep_until(self.epoch + at) => {}
                },
            }
        }
    }

    /// The peer wants nothing for as long as `wait`.
    pub fn hold(&self, wait: Duration) {
        self.ledger().block(self.now().saturating_add(wait));
        self.changed.notify_waiters();
    }

    /// What is left of each rate now, by its name.
    pub fn left(&self) -> BTreeMap<&'static str, u32> {
        self.ledger().left(self.now())
    }
}

/// A place in the queue, given up when dropped.
struct Place<'a> {
    budget: &'a Budget,
    ticket: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.budget.ledger().leave(self.ticket);
        self.budget.changed.notify_waiters();
    }
}

/// What tells credentials apart: a digest of peer, user and secret, never the secret. It is kept
/// in memory only, and not shown.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Credential([u8; 32]);

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential")
    }
}

impl Credential {
    /// The digest of what makes a credential: the peer's address, the user, the secret.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        Self(digest.finalize().into())
    }
}

/// The budgets of a process. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Budgets(Arc<Mutex<HashMap<Credential, Arc<Budget>>>>);

impl Budgets {
    /// The budget of a credential, which then has also these limits.
    pub fn of(&self, credential: Credential, limits: &[Limit]) -> Arc<Budget> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = all.entry(credential).or_default();
        budget.ledger().add(limits);
        Arc::clone(budget)
    }
}
