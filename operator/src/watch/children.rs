//! The operator's own objects.

use super::{FirstLists, Watch, events, failed, own};
use crate::{
    children::ChildKind,
    context::Context,
    known::{self, ChildId, ResourceId, Workload},
};
use futures_util::{FutureExt as _, StreamExt as _};
use kube::{
    Api,
    api::ObjectMeta,
    core::{DynamicObject, PartialObjectMeta},
    runtime::watcher::{self, Event},
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

/// Watches a kind of object. Of those with pods the status is of interest, of others the metadata.
pub(crate) fn children(context: &Arc<Context>, kind: ChildKind) -> Watch {
    let (first, seen) = FirstLists::new(&context.settings);
    let resource = kind.resource();
    let context = Arc::clone(context);
    let run = if kind.has_pods() {
        let client = context.client.clone();
        let mut events = events(&context.settings, &own(), |namespace| match namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::<known::Object>::all_with(client.clone(), &resource),
        });
        let mut watching = Watching { context, kind, first, lists: HashMap::new() };
        async move {
            while let Some((namespace, event)) = events.next().await {
                let event = event.map(|event| {
                    map(event, |object| {
                        let workload = known::workload(&object);
                        (object.metadata, Some(workload))
                    })
                });
                watching.take(namespace, event).await;
            }
        }
        .boxed()
    } else {
        let client = context.client.clone();
        let mut events = events(&context.settings, &own(), |namespace| match namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::<PartialObjectMeta<DynamicObject>>::all_with(client.clone(), &resource),
        });
        let mut watching = Watching { context, kind, first, lists: HashMap::new() };
        async move {
            while let Some((namespace, event)) = events.next().await {
                let event = event.map(|event| map(event, |object| (object.metadata, None)));
                watching.take(namespace, event).await;
            }
        }
        .boxed()
    };
    Watch { seen, run }
}

/// What of an object is of interest.
type Of = (ObjectMeta, Option<Workload>);

fn map<K>(event: Event<K>, of: impl Fn(K) -> Of) -> Event<Of> {
    match event {
        Event::Apply(object) => Event::Apply(of(object)),
        Event::Delete(object) => Event::Delete(of(object)),
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(of(object)),
        Event::InitDone => Event::InitDone,
    }
}

/// Whether the API server does not know what is watched.
fn not_found(error: &watcher::Error) -> bool {
    use watcher::Error::{InitialListFailed, WatchFailed, WatchStartFailed};
    matches!(
        error,
        InitialListFailed(kube::Error::Api(refusal))
            | WatchStartFailed(kube::Error::Api(refusal))
            | WatchFailed(kube::Error::Api(refusal))
            if refusal.code == 404
    )
}

struct Watching {
    context: Arc<Context>,
    kind: ChildKind,
    first: FirstLists,
    /// What lists that are being read held so far, by namespace.
    lists: HashMap<Option<Arc<str>>, HashSet<ChildId>>,
}

impl Watching {
    async fn take(&mut self, namespace: Option<Arc<str>>, event: watcher::Result<Event<Of>>) {
        let known = &self.context.known;
        match event {
            Ok(Event::Apply((metadata, workload))) => {
                if let Some(owner) = known.note(self.kind, &metadata, workload) {
                    self.context.registry.poke(&owner);
                }
            }
            Ok(Event::Delete((metadata, _))) => {
                if let Some(owner) = known.gone(self.kind, &metadata) {
                    self.missing(owner).await;
                }
            }
            Ok(Event::Init) => {
                self.lists.insert(namespace, HashSet::new());
            }
            Ok(Event::InitApply((metadata, workload))) => {
                if let Some(id) = known::child_id(self.kind, &metadata) {
                    self.lists.entry(namespace).or_default().insert(id);
                }
                let owner = known.note(self.kind, &metadata, workload);
                // At the start every resource is reconciled anyway.
                if let Some(owner) = owner.filter(|_| self.first.is_complete()) {
                    self.context.registry.poke(&owner);
                }
            }
            Ok(Event::InitDone) => {
                let listed = self.lists.remove(&namespace).unwrap_or_default();
                for owner in known.keep_only(self.kind, namespace.as_deref(), &listed) {
                    self.missing(owner).await;
                }
                self.first.complete(namespace.as_ref());
            }
            Err(error) => {
                if self.kind.is_optional() && not_found(&error) {
                    // The kind is gone, and nobody is to wait for its objects.
                    self.first.give_up();
                    self.context.doubts.note();
                }
                failed(self.kind.name(), &error, &self.context);
                let kind = self.kind.name();
                self.first.failed(kind, namespace.as_ref(), &error, Instant::now());
            }
        }
    }

    /// An object is gone: its resource is reconciled.
    async fn missing(&self, owner: ResourceId) {
        if self.kind.is_optional() {
            self.context.doubts.missing(owner);
        } else {
            self.context.registry.poke(&owner);
        }
    }
}
