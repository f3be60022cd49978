//! Watches: what the cluster tells, kept in [`crate::known`], and the resources that it is about
//! reconciled.
//!
//! Of most objects only the metadata is asked for. A watch that breaks off is begun anew with
//! growing pauses.

mod around;
mod children;
mod resources;

pub(crate) use around::{ingress_classes, namespaces, pods, secrets, storage_classes};
pub(crate) use children::children;
pub(crate) use resources::resources;

use crate::{Settings, context::Context, names};
use futures_util::{Stream, StreamExt as _, future::BoxFuture, stream::select_all};
use kube::{
    Api, Resource,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Config, Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use std::{fmt::Debug, pin::Pin, sync::Arc};
use tokio::sync::oneshot;

/// Objects of a page of a list: all that is read at once is in memory at once, for each kind.
const PAGE: u32 = 50;

/// Events of a watch, each with the namespace that the watch is of; `None`: all.
pub(crate) type Events<K> =
    Pin<Box<dyn Stream<Item = (Option<Arc<str>>, watcher::Result<Event<K>>)> + Send>>;

/// A watch that is about to run.
pub(crate) struct Watch {
    /// Done once everything that is there was seen.
    pub seen: oneshot::Receiver<()>,
    /// Runs until the operator ends.
    pub run: BoxFuture<'static, ()>,
}

/// How a watch lists and watches.
pub(crate) fn config() -> Config {
    Config::default().page_size(PAGE)
}

/// A watch of the operator's own objects.
pub(crate) fn own() -> Config {
    config().labels(&format!("{}={}", names::MANAGED_BY, names::MANAGER))
}

/// Watches objects in all namespaces (`None`) or in each of the settings'.
pub(crate) fn events<K>(
    settings: &Settings,
    config: &Config,
    api: impl Fn(Option<&str>) -> Api<K>,
) -> Events<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    K::DynamicType: Clone,
{
    let one = |namespace: Option<&str>| {
        let of: Option<Arc<str>> = namespace.map(Arc::from);
        let events = watcher(api(namespace), config.clone()).default_backoff();
        events.map(move |event| (of.clone(), event)).boxed()
    };
    if settings.namespaces.is_empty() {
        return one(None);
    }
    select_all(settings.namespaces.iter().map(|namespace| one(Some(namespace)))).boxed()
}

/// Watches objects that are in no namespace.
pub(crate) fn watching<K>(
    api: Api<K>,
    config: &Config,
) -> Pin<Box<dyn Stream<Item = watcher::Result<Event<K>>> + Send>>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    K::DynamicType: Clone,
{
    watcher(api, config.clone()).default_backoff().boxed()
}

/// The first complete lists, one a namespace that is watched.
pub(crate) struct FirstLists {
    missing: usize,
    done: Option<oneshot::Sender<()>>,
}

impl FirstLists {
    /// Of the namespaces of the settings.
    pub fn new(settings: &Settings) -> (Self, oneshot::Receiver<()>) {
        let (done, seen) = oneshot::channel();
        (Self { missing: settings.namespaces.len().max(1), done: Some(done) }, seen)
    }

    /// Of one list.
    pub fn one() -> (Self, oneshot::Receiver<()>) {
        let (done, seen) = oneshot::channel();
        (Self { missing: 1, done: Some(done) }, seen)
    }

    /// Whether all were read once.
    pub fn is_complete(&self) -> bool {
        self.done.is_none()
    }

    /// One more is complete.
    pub fn complete(&mut self) {
        self.missing = self.missing.saturating_sub(1);
        if self.missing == 0
            && let Some(done) = self.done.take()
        {
            // Nobody waits for a watch that began late.
            let _ = done.send(());
        }
    }

    /// What can't be listed is not waited for.
    pub fn give_up(&mut self) {
        self.missing = 0;
        self.complete();
    }
}

/// A watch broke off.
pub(crate) fn failed(kind: &str, error: &watcher::Error, context: &Context) {
    context.metrics.watch_failed(kind);
    tracing::warn!(kind, "the watch broke off and begins anew: {error}");
}
