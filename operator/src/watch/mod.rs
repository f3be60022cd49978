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
use std::{
    collections::{HashMap, HashSet},
    fmt::Debug,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// Objects of a page of a list: all that is read at once is in memory at once, for each kind.
const PAGE: u32 = 50;

/// For how long the others wait for a namespace whose list is refused: roles may be on their way.
const REFUSED: Duration = Duration::from_secs(5);

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
    /// Those that are not complete yet; `None`: that of all namespaces.
    missing: HashSet<Option<Arc<str>>>,
    /// Since when lists are refused.
    refused: HashMap<Arc<str>, Instant>,
    done: Option<oneshot::Sender<()>>,
}

impl FirstLists {
    /// Of the namespaces of the settings.
    pub fn new(settings: &Settings) -> (Self, oneshot::Receiver<()>) {
        if settings.namespaces.is_empty() {
            return Self::one();
        }
        let namespaces = settings.namespaces.iter();
        Self::of(namespaces.map(|namespace| Some(Arc::from(&**namespace))).collect())
    }

    /// Of one list.
    pub fn one() -> (Self, oneshot::Receiver<()>) {
        Self::of([None].into())
    }

    fn of(missing: HashSet<Option<Arc<str>>>) -> (Self, oneshot::Receiver<()>) {
        let (done, seen) = oneshot::channel();
        (Self { missing, refused: HashMap::new(), done: Some(done) }, seen)
    }

    /// Whether all were read once.
    pub fn is_complete(&self) -> bool {
        self.done.is_none()
    }

    /// That of a namespace is complete.
    pub fn complete(&mut self, namespace: Option<&Arc<str>>) {
        self.missing.remove(&namespace.cloned());
        if self.missing.is_empty()
            && let Some(done) = self.done.take()
        {
            // Nobody waits for a watch that began late.
            let _ = done.send(());
        }
    }

    /// What can't be listed is not waited for.
    pub fn give_up(&mut self) {
        self.missing.clear();
        self.complete(None);
    }

    /// A list failed. That of one namespace which goes on being refused keeps the others waiting no
    /// longer; it is tried again all the same.
    pub fn failed(
        &mut self,
        kind: &str,
        namespace: Option<&Arc<str>>,
        error: &watcher::Error,
        now: Instant,
    ) {
        let Some(namespace) = namespace.filter(|_| !self.is_complete()) else { return };
        if !is_refused(error) || !self.missing.contains(&Some(Arc::clone(namespace))) {
            return;
        }
        let since = *self.refused.entry(Arc::clone(namespace)).or_insert(now);
        if now.duration_since(since) >= REFUSED {
            tracing::warn!(
                kind,
                %namespace,
                "they may not be listed in this namespace: what is there is not acted upon until \
                 the operator may; see the chart's watchNamespaces"
            );
            self.complete(Some(namespace));
        }
    }
}

/// Whether an API server answered that a list is not allowed.
fn is_refused(error: &watcher::Error) -> bool {
    let refused = |error: &kube::Error| matches!(error, kube::Error::Api(said) if said.code == 403);
    matches!(error, watcher::Error::InitialListFailed(error) if refused(error))
}

/// A watch broke off.
pub(crate) fn failed(kind: &str, error: &watcher::Error, context: &Context) {
    context.metrics.watch_failed(kind);
    tracing::warn!(kind, "the watch broke off and begins anew: {error}");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use kube::core::Status;

    #[test]
    fn k09_a_namespace_that_is_refused_keeps_the_others_waiting_for_some_seconds() {
        let mut settings = Settings::new("image");
        settings.namespaces = ["a", "b", "c"].map(str::to_owned).into();
        let (mut first, mut seen) = FirstLists::new(&settings);
        let [a, b, c] = ["a", "b", "c"].map(Arc::<str>::from);
        let failed = |code| {
            let said = Status { code, ..Status::default() };
            watcher::Error::InitialListFailed(kube::Error::Api(Box::new(said)))
        };
        let begin = Instant::now();
        // The list of one namespace, read twice, is not that of another.
        first.complete(Some(&a));
        first.complete(Some(&a));
        first.complete(Some(&b));
        first.failed("Pod", Some(&c), &failed(403), begin);
        first.failed("Pod", Some(&c), &failed(403), begin + REFUSED / 2);
        // What may pass by itself is waited for.
        first.failed("Pod", Some(&c), &failed(500), begin + 2 * REFUSED);
        assert!(!first.is_complete() && seen.try_recv().is_err());
        first.failed("Pod", Some(&c), &failed(403), begin + REFUSED);
        assert!(first.is_complete());
        seen.try_recv().unwrap();
    }
}
