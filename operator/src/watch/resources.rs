//! The resources themselves.

use super::{FirstLists, Watch, config, events, failed};
use crate::{
    context::Context,
    kinds::{Entry, Kind, Registry, id_of, key_of, master_of},
    known::ResourceId,
};
use crds::Master;
use futures_util::{FutureExt as _, StreamExt as _};
use kube::{
    Api, ResourceExt as _,
    core::error_boundary::DeserializeGuard,
    runtime::{
        reflector::{ObjectRef, store::Writer},
        watcher::Event,
    },
};
use std::sync::Arc;

/// Where `kubectl apply` keeps the whole manifest once more.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Watches a kind of resource. What changes of one is told to those that depend on it.
pub(crate) fn resources<K: Kind>(
    context: &Arc<Context>,
    entry: impl Fn(&Registry) -> &Entry<K> + Send + Sync + 'static,
    mut writer: Writer<DeserializeGuard<K>>,
) -> Watch {
    let (mut first, seen) = FirstLists::new(&context.settings);
    let client = context.client.clone();
    let mut events = events(&context.settings, &config(), |namespace| match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::<DeserializeGuard<K>>::all(client.clone()),
    });
    let context = Arc::clone(context);
    let run = async move {
        while let Some((_, event)) = events.next().await {
            let mut event = match event {
                Ok(event) => event,
                Err(error) => {
                    failed(K::KIND, &error, &context);
                    continue;
                }
            };
            if let Event::Apply(object) | Event::InitApply(object) = &mut event {
                // Nobody looks at them, and they are most of the object.
                object.managed_fields_mut().clear();
                object.annotations_mut().remove(LAST_APPLIED);
            }
            let before = match &event {
                Event::Apply(object) => {
                    entry(&context.registry).store.get(&ObjectRef::from_obj(object))
                }
                _ => None,
            };
            writer.apply_watcher_event(&event);
            entry(&context.registry).note(&event);
            match event {
                Event::Apply(object) => {
                    if before.as_ref().is_none_or(|before| differs(before, &object)) {
                        changed(&object, before.as_deref(), &context);
                    }
                }
                Event::Delete(object) => {
                    tracing::info!(
                        kind = K::KIND,
                        namespace = object.namespace(),
                        "{} is gone",
                        object.name_any()
                    );
                    context.forget(&id_of::<K>(&object));
                    changed(&object, None, &context);
                }
                Event::InitDone if first.is_complete() => context.poke_all(),
                Event::InitDone => first.complete(),
                Event::Init | Event::InitApply(_) => {}
            }
        }
    };
    Watch { seen, run: run.boxed() }
}

/// Whether something changed that a reconcile looks at: not the status, which it writes itself.
fn differs<K: Kind>(before: &DeserializeGuard<K>, now: &DeserializeGuard<K>) -> bool {
    let (before, now) = (kube::Resource::meta(before), kube::Resource::meta(now));
    before.uid != now.uid
        || before.generation != now.generation
        || before.deletion_timestamp != now.deletion_timestamp
        || before.finalizers != now.finalizers
}

/// Has a resource reconciled, and those that depend on it.
fn changed<K: Kind>(
    object: &DeserializeGuard<K>,
    before: Option<&DeserializeGuard<K>>,
    context: &Context,
) {
    context.registry.poke_first(&id_of::<K>(object));
    let (namespace, name) = key_of(object);
    let Ok(resource) = &object.0 else { return };
    match master_of(resource) {
        None => {
            for target in context.targets_of(&namespace, &name) {
                context.registry.poke(&target.id);
            }
        }
        Some((of, master)) => {
            context.registry.poke(&ResourceId::new(Master::KIND, of, master));
            // Messages link to the pages.
            let url = |object: &DeserializeGuard<K>| object.0.as_ref().ok().and_then(Kind::url);
            if before.and_then(url) != url(object) {
                for target in context.targets_of(of, master) {
                    if *target.id.namespace == *namespace {
                        context.registry.poke(&target.id);
                    }
                }
            }
        }
    }
}
