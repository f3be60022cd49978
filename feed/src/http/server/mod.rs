//! A feed, served over HTTP: routes, rights and bounds over a [`Feed`].
//!
//! A reader that is slow costs no memory: a record is taken from the journal when there is room
//! to write it, and a connection on which nothing can be written for a while is closed.

mod acks;
mod answer;
mod auth;
mod consumers;
mod encoded;
mod ephemeral;
mod held;
mod letters;
mod listen;
mod places;
mod read;
mod routes;
mod slots;
mod sse;
mod stream;

pub use listen::{Limits, serve};
pub use routes::{Need, ROUTES, router};

use self::{encoded::Encoded, places::Places, slots::Slots};
use crate::{Fault, Feed, http::token::Keys};
use model::Links;
use std::{
    sync::{Arc, RwLock},
    time::Duration,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// How many snapshots are made at a time: each is whole in memory, twice.
const SNAPSHOTS: usize = 2;

/// Whose feed is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The `Master` resource's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Where messages link to.
    pub links: Links,
    /// The feed's release.
    pub release: String,
}

/// What all requests share; clones are one.
#[derive(Clone, Debug)]
pub struct State {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    feed: Feed,
    keys: RwLock<Keys>,
    about: About,
    problem: RwLock<Option<Fault>>,
    /// Tells this process apart from those before.
    process: u32,
    stop: CancellationToken,
    slots: Slots,
    places: Places,
    encoded: Encoded,
    snapshots: Semaphore,
}

impl State {
    /// Serves `feed` to those who carry a token of `keys`.
    pub fn new(feed: Feed, keys: Keys, about: About) -> Self {
        let inner = Inner {
            feed,
            keys: RwLock::new(keys),
            about,
            problem: RwLock::default(),
            process: uuid::Uuid::new_v4().as_fields().0,
            stop: CancellationToken::new(),
            slots: Slots::default(),
            places: Places::default(),
            encoded: Encoded::default(),
            snapshots: Semaphore::new(SNAPSHOTS),
        };
        Self { inner: Arc::new(inner) }
    }

    /// From now on these keys are accepted; streams that are open go on.
    pub fn set_keys(&self, keys: Keys) {
        *self.inner.keys.write().unwrap_or_else(|e| e.into_inner()) = keys;
    }

    /// Says in [`crate::http::api::Info`] which settings can't be used, or that all can.
    pub fn set_problem(&self, problem: Option<Fault>) {
        *self.inner.problem.write().unwrap_or_else(|e| e.into_inner()) = problem;
    }

    fn problem(&self) -> Option<Fault> {
        self.inner.problem.read().unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// Ends all streams and long polls, at once; other requests are still answered.
    pub fn end_streams(&self) {
        self.inner.stop.cancel();
    }

    /// Closes the consumers that no request or stream was about for this long, and tells how many
    /// they were. [`serve`] does so by itself.
    pub fn close_idle(&self, idle: Duration) -> usize {
        self.inner.slots.close_idle(idle)
    }

    /// How many requests run now, streams included.
    pub fn requests(&self) -> usize {
        self.inner.places.count()
    }

    fn feed(&self) -> &Feed {
        &self.inner.feed
    }
}
